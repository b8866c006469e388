//! `.dockerignore`: which files of a build context are sent.
//!
//! The rules are those of moby's `patternmatcher`, with its corners: a pattern also takes what is
//! beneath a directory it names, the last pattern that matches decides, `!` takes back.

use anyhow::{Result, bail};

/// The patterns of one `.dockerignore`, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Ignore {
    patterns: Vec<Pattern>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Pattern {
    text: String,
    takes_back: bool,
    tokens: Vec<Token>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Char(char),
    /// `?`: one character of a name.
    One,
    /// `*`: any part of a name.
    Some,
    /// `**/`: any directories, or none; what is in them follows as [`Token::Inside`].
    Directories,
    /// Anything up to a slash, and further.
    Inside,
    /// `**` at the end: anything.
    Rest,
    Class(Class),
}

/// `[a-z]`, `[^x]`: like those of regular expressions, they match a slash, too.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Class {
    is_negated: bool,
    ranges: Vec<(char, char)>,
}

/// Which patterns matched a directory: they hold for what is in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Matched(Vec<bool>);

impl Ignore {
    /// Reads the text of a `.dockerignore`.
    ///
    /// # Errors
    ///
    /// Says which line holds no pattern.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut ignore = Self::default();
        for (index, line) in text.lines().enumerate() {
            if line.starts_with('#') {
                continue;
            }
            let line = line.trim();
            let (takes_back, rest) = match line.strip_prefix('!') {
                Some(rest) => (true, rest.trim()),
                None => (false, line),
            };
            if line.is_empty() {
                continue;
            }
            let place = format!("`.dockerignore`, line {}: `{line}`", index + 1);
            if rest.is_empty() {
                bail!("{place}: expected a pattern after `!`");
            }
            let cleaned = clean(rest);
            let relative = match cleaned.strip_prefix('/') {
                Some(relative) if !relative.is_empty() => relative,
                _ => &cleaned,
            };
            let Some(tokens) = tokens(relative) else {
                bail!("{place}: a `[` is not closed, or a range is empty");
            };
            ignore.patterns.push(Pattern { text: relative.to_owned(), takes_back, tokens });
        }
        Ok(ignore)
    }

    /// Sends this file whatever the patterns say.
    pub(super) fn keep(&mut self, path: &str) {
        let tokens = path.chars().map(Token::Char).collect();
        self.patterns.push(Pattern { text: path.to_owned(), takes_back: true, tokens });
    }

    /// Whether a path is left out, and what holds for what is in it. `parent` is what was returned for
    /// its directory, nothing for the context itself.
    pub(super) fn matches(&self, path: &str, parent: Option<&Matched>) -> (bool, Matched) {
        let mut is_out = false;
        let mut matched = vec![false; self.patterns.len()];
        for (index, pattern) in self.patterns.iter().enumerate() {
            let by_parent = parent.is_some_and(|it| it.0.get(index) == Some(&true));
            // What cannot change the answer is not looked at, and then does not hold beneath.
            let is_idle = pattern.takes_back != is_out;
            if by_parent || (!is_idle && is_match(&pattern.tokens, path)) {
                matched[index] = true;
                is_out = !pattern.takes_back;
            }
        }
        (is_out, Matched(matched))
    }

    /// Whether something in a directory that is left out may still be sent.
    pub(super) fn may_take_back_in(&self, directory: &str) -> bool {
        let inside = format!("{directory}/");
        let mut back = self.patterns.iter().filter(|it| it.takes_back);
        back.any(|it| format!("{}/", it.text).starts_with(&inside))
    }
}

/// Go's `path.Clean`.
fn clean(path: &str) -> String {
    let is_rooted = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|it| *it != "..") => {
                parts.pop();
            }
            ".." if is_rooted => {}
            part => parts.push(part),
        }
    }
    let joined = parts.join("/");
    match (is_rooted, joined.is_empty()) {
        (true, _) => format!("/{joined}"),
        (false, true) => ".".to_owned(),
        (false, false) => joined,
    }
}

/// `None` where the pattern is malformed.
fn tokens(pattern: &str) -> Option<Vec<Token>> {
    let mut tokens = Vec::new();
    let mut rest = pattern.chars().peekable();
    // `**name` without a slash and without wildcards is the end of a path, as moby has it.
    if let Some(end) = pattern.strip_prefix("**")
        && !end.starts_with('/')
        && !end.contains(['*', '?', '[', ']', '\\'])
    {
        tokens.push(Token::Rest);
        rest = end.chars().peekable();
    }
    while let Some(character) = rest.next() {
        match character {
            '*' if rest.next_if_eq(&'*').is_some() => {
                let _ = rest.next_if_eq(&'/');
                if rest.peek().is_none() {
                    tokens.push(Token::Rest);
                } else {
                    tokens.extend([Token::Directories, Token::Inside]);
                }
            }
            '*' => tokens.push(Token::Some),
            '?' => tokens.push(Token::One),
            '\\' => tokens.push(Token::Char(rest.next()?)),
            '[' => tokens.push(Token::Class(class(&mut rest)?)),
            other => tokens.push(Token::Char(other)),
        }
    }
    Some(tokens)
}

fn class(rest: &mut impl Iterator<Item = char>) -> Option<Class> {
    let mut next = || match rest.next()? {
        '\\' => Some((rest.next()?, true)),
        other => Some((other, false)),
    };
    let mut class = Class { is_negated: false, ranges: Vec::new() };
    let mut item = next()?;
    if item == ('^', false) {
        class.is_negated = true;
        item = next()?;
    }
    loop {
        if item == (']', false) {
            return (!class.ranges.is_empty()).then_some(class);
        }
        let first = item.0;
        item = next()?;
        let mut last = first;
        if item == ('-', false) {
            item = next()?;
            if item == (']', false) {
                return None;
            }
            last = item.0;
            item = next()?;
        }
        if last < first {
            return None;
        }
        class.ranges.push((first, last));
    }
}

/// Whether the whole path matches. All places in the pattern that may hold are kept side by side, so
/// that no pattern takes longer than its length times the path's.
fn is_match(tokens: &[Token], path: &str) -> bool {
    let mut places = vec![false; tokens.len() + 1];
    places[0] = true;
    skip(tokens, &mut places);
    for character in path.chars() {
        let mut after = vec![false; tokens.len() + 1];
        for (index, token) in tokens.iter().enumerate().filter(|(index, _)| places[*index]) {
            let (stays, moves) = match token {
                Token::Char(wanted) => (false, *wanted == character),
                Token::One => (false, character != '/'),
                Token::Some => (character != '/', false),
                Token::Directories => (false, false),
                Token::Inside => (true, character == '/'),
                Token::Rest => (true, false),
                Token::Class(class) => (false, class.contains(character)),
            };
            after[index] |= stays;
            after[index + 1] |= moves;
        }
        places = after;
        skip(tokens, &mut places);
    }
    places[tokens.len()]
}

/// Steps over tokens that may match nothing.
fn skip(tokens: &[Token], places: &mut [bool]) {
    for (index, token) in tokens.iter().enumerate() {
        if !places[index] {
            continue;
        }
        match token {
            Token::Some | Token::Rest => places[index + 1] = true,
            Token::Directories => {
                places[index + 1] = true;
                places[index + 2] = true;
            }
            Token::Char(_) | Token::One | Token::Inside | Token::Class(_) => {}
        }
    }
}

impl Class {
    fn contains(&self, character: char) -> bool {
        let is_in = self.ranges.iter().any(|(first, last)| (*first..=*last).contains(&character));
        is_in != self.is_negated
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether a path is left out, walked to as a context is: its directories first.
    fn is_out(ignore: &Ignore, path: &str) -> bool {
        let mut parent = None;
        for (end, _) in path.match_indices('/') {
            let directory = &path[..end];
            let (is_out, matched) = ignore.matches(directory, parent.as_ref());
            if is_out && !ignore.may_take_back_in(directory) {
                return true;
            }
            parent = Some(matched);
        }
        ignore.matches(path, parent.as_ref()).0
    }

    #[test]
    fn patterns_take_what_mobys_take() {
        // The patterns, what they leave out, and what they send.
        for (text, out, sent) in [
            ("", "", "a a/b .dockerignore"),
            ("# a\n\n", "", "a"),
            (" a ", "a a/b", "ab b/a"),
            ("/a", "a a/b", "b/a"),
            ("a/", "a a/b", "b"),
            ("./a/../b", "b b/c", "a"),
            ("*.log", "x.log x.log/y", "a/x.log x.logs"),
            ("**/*.log", "x.log a/x.log a/b/x.log", "x.logs"),
            ("**/x", "x a/x a/b/x x/y", "ax a/bx"),
            ("**x", "x ax a/bx", "xa"),
            ("**x*", "x a/x xa", "bx"),
            ("a/**", "a/b a/b/c", "a b"),
            ("**", "a a/b", ""),
            ("a/**/z", "a/z a/b/z a/b/c/z", "az a/bz"),
            ("a/*/z", "a/b/z", "a/z a/b/c/z"),
            ("a?c", "abc", "ac a/c abbc"),
            ("[a-c]x", "ax bx cx", "dx"),
            ("[^a-c]x", "dx", "ax"),
            ("a\\*", "a*", "ab"),
            ("a.b", "a.b", "axb"),
            ("a+(b)", "a+(b)", "aab"),
            ("*\n!a", "b", "a a/b"),
            ("*\n!a\na/b", "b a/b", "a a/c"),
            ("a\n!a/b", "a a/c", "a/b a/b/c"),
            ("*\n!*/x", "a a/x", ""),
            ("a\n!**/x", "a a/x", "x"),
            ("!a\na", "a", "b"),
            ("\u{feff}a", "a", "b"),
            ("ü*", "üb", "u"),
        ] {
            let ignore = Ignore::parse(text).unwrap();
            for path in out.split_whitespace() {
                assert!(is_out(&ignore, path), "{text:?} must leave out {path}");
            }
            for path in sent.split_whitespace() {
                assert!(!is_out(&ignore, path), "{text:?} must send {path}");
            }
        }
    }

    #[test]
    fn what_is_kept_is_sent_in_spite_of_every_pattern() {
        let mut ignore = Ignore::parse("*\ndocker\n").unwrap();
        ignore.keep("docker/Dockerfile");
        assert!(!is_out(&ignore, "docker/Dockerfile"));
        assert!(is_out(&ignore, "docker/other"));
    }

    #[test]
    fn malformed_patterns_are_told_with_their_line() {
        for (text, expected) in [
            ("a\n!", "line 2: `!`"),
            ("[a", "line 1: `[a`"),
            ("[]", "line 1"),
            ("[b-a]", "line 1"),
            ("a\\", "line 1"),
        ] {
            let error = Ignore::parse(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    #[test]
    fn no_pattern_takes_long() {
        let pattern = "a*".repeat(200) + "b";
        let ignore = Ignore::parse(&pattern).unwrap();
        assert!(!is_out(&ignore, &"a".repeat(4000)));
    }

    #[test]
    fn paths_are_cleaned_like_gos() {
        for (path, expected) in [
            ("a", "a"),
            ("a/", "a"),
            ("./a", "a"),
            ("a//b", "a/b"),
            ("a/../b", "b"),
            ("..", ".."),
            ("../a", "../a"),
            ("/", "/"),
            ("/..", "/"),
            ("/a/.", "/a"),
            (".", "."),
            ("a/..", "."),
        ] {
            assert_eq!(clean(path), expected, "{path}");
        }
    }
}
