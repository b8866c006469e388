//! Patterns of file names, as a shell has them: `*`, `?`, `[a-z]`, and `**` for any directories.

use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};

/// A pattern of paths below a directory. `*` and `?` match a leading dot, too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    segments: Vec<String>,
}

impl Pattern {
    /// Reads a pattern of relative paths.
    ///
    /// # Errors
    ///
    /// What is expected, where it is none.
    pub fn parse(text: &str) -> Result<Self, String> {
        let segments: Vec<String> =
            text.split('/').filter(|it| !it.is_empty() && *it != ".").map(str::to_owned).collect();
        if text.starts_with('/') {
            return Err(format!("`{text}` is absolute: write it relative to the directory"));
        }
        if segments.is_empty() || segments.iter().any(|it| it == "..") || text.contains('\0') {
            return Err(format!(
                "`{text}` is no pattern of files: write e.g. `*.log` or `**/*.nc`"
            ));
        }
        Ok(Self { segments })
    }

    /// Whether a path, given by its parts, is one of the pattern.
    pub fn matches(&self, path: &[&OsStr]) -> bool {
        matches_all(&self.segments, path)
    }

    /// The pattern of all that is below what this one matches; `None` where it says that itself.
    pub fn below(&self) -> Option<Self> {
        let is_all = self.segments.last().is_some_and(|it| it == "**");
        let segments = || self.segments.iter().cloned().chain(["**".to_owned()]).collect();
        (!is_all).then(|| Self { segments: segments() })
    }

    /// Whether the pattern says something of files below a directory, given by its parts.
    pub fn reaches_below(&self, directory: &[&OsStr]) -> bool {
        let mut segments = self.segments.iter();
        for part in directory {
            match segments.next() {
                Some(segment) if segment == "**" => return true,
                Some(segment) if one_matches(segment.as_bytes(), part.as_bytes()) => {}
                _ => return false,
            }
        }
        segments.next().is_some()
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.segments.join("/"))
    }
}

/// Files by an absolute pattern: the directory that it names without wildcards, and what lies below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilesBelow {
    /// Where to look.
    pub directory: PathBuf,
    /// Which files there.
    pub pattern: Pattern,
}

impl FilesBelow {
    /// Reads an absolute pattern.
    ///
    /// # Errors
    ///
    /// What is expected, where it is none.
    pub fn parse(text: &str) -> Result<Self, String> {
        let refused = || {
            format!(
                "`{text}` is no absolute path or pattern of files: write e.g. `/var/log/web/*.log`"
            )
        };
        let path = Path::new(text);
        let strange = |part: &Component<'_>| matches!(part, Component::ParentDir);
        if !path.is_absolute() || text.ends_with('/') || path.components().any(|it| strange(&it)) {
            return Err(refused());
        }
        let parts: Vec<&str> = text.split('/').filter(|it| !it.is_empty()).collect();
        let wild = parts.iter().position(|it| it.contains(['*', '?', '[', '\\']));
        let split = wild.unwrap_or(parts.len()).min(parts.len().saturating_sub(1));
        let pattern = Pattern::parse(&parts[split..].join("/")).map_err(|_| refused())?;
        Ok(Self { directory: PathBuf::from(format!("/{}", parts[..split].join("/"))), pattern })
    }
}

impl fmt::Display for FilesBelow {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.directory.join(self.pattern.to_string()).display())
    }
}

fn matches_all(segments: &[String], path: &[&OsStr]) -> bool {
    match (segments, path) {
        ([], rest) => rest.is_empty(),
        // At the end it stands for all files below; else for any directories, also none.
        ([last], rest) if last == "**" => !rest.is_empty(),
        ([first, rest @ ..], _) if first == "**" => {
            (0..=path.len()).any(|skipped| matches_all(rest, &path[skipped..]))
        }
        (_, []) => false,
        ([first, rest @ ..], [part, parts @ ..]) => {
            one_matches(first.as_bytes(), part.as_bytes()) && matches_all(rest, parts)
        }
    }
}

/// Whether one name is as one segment says; a `*` that matched too little is tried again with more.
fn one_matches(pattern: &[u8], name: &[u8]) -> bool {
    let (mut at, mut place) = (0, 0);
    let mut again: Option<(usize, usize)> = None;
    while place < name.len() {
        let step = match pattern.get(at) {
            Some(b'*') => {
                again = Some((at + 1, place));
                at += 1;
                continue;
            }
            Some(b'?') => Some(1),
            Some(b'[') => match class(&pattern[at..], name[place]) {
                Some((found, length)) => found.then_some(length),
                // Nothing closes it: it stands for itself.
                None => (name[place] == b'[').then_some(1),
            },
            Some(b'\\') if pattern.get(at + 1) == Some(&name[place]) => Some(2),
            Some(letter) if *letter == name[place] => Some(1),
            _ => None,
        };
        match (step, again) {
            (Some(length), _) => (at, place) = (at + length, place + 1),
            (None, Some((after, from))) => {
                (at, place) = (after, from + 1);
                again = Some((after, from + 1));
            }
            (None, None) => return false,
        }
    }
    pattern[at..].iter().all(|letter| *letter == b'*')
}

/// Whether a class `[a-z]` or `[!a-z]` at the start of a pattern has a letter, and its length.
fn class(pattern: &[u8], letter: u8) -> Option<(bool, usize)> {
    let negated = matches!(pattern.get(1), Some(b'!' | b'^'));
    let first = 1 + usize::from(negated);
    // A bracket that closes at once stands for itself.
    let end = first + 1 + pattern.get(first + 1..)?.iter().position(|it| *it == b']')?;
    let (mut at, mut found) = (first, false);
    while at < end {
        if pattern.get(at + 1) == Some(&b'-') && at + 2 < end {
            found |= (pattern[at]..=pattern[at + 2]).contains(&letter);
            at += 3;
        } else {
            found |= pattern[at] == letter;
            at += 1;
        }
    }
    Some((found != negated, end + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(path: &str) -> Vec<&OsStr> {
        path.split('/').filter(|it| !it.is_empty()).map(OsStr::new).collect()
    }

    #[test]
    fn names_match_as_in_a_shell() {
        for (pattern, path, expected) in [
            ("*.log", "a.log", true),
            ("*.log", "a.log.1", false),
            ("*.log", "sub/a.log", false),
            ("**/*.log", "a.log", true),
            ("**/*.log", "x/y/a.log", true),
            ("x/**", "x/y/a", true),
            ("x/**", "x", false),
            ("x/**", "y/a", false),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("[a-c]x", "bx", true),
            ("[!a-c]x", "bx", false),
            ("[]]x", "]x", true),
            ("[ab", "[ab", true),
            ("*a*b", "xxaxxab", true),
            ("*a*b", "xxaxx", false),
            ("\\*", "*", true),
            ("\\*", "a", false),
            ("*/logs/*.log", "app/logs/x.log", true),
        ] {
            let found = Pattern::parse(pattern).unwrap().matches(&parts(path));
            assert_eq!(found, expected, "{pattern} {path}");
        }
        for (pattern, directory, expected) in [
            ("*.log", "", true),
            ("*.log", "sub", false),
            ("**/*.log", "a/b/c", true),
            ("*/logs/*.log", "app", true),
            ("*/logs/*.log", "app/logs", true),
            ("*/logs/*.log", "app/other", false),
            ("*/logs/*.log", "app/logs/deep", false),
        ] {
            let found = Pattern::parse(pattern).unwrap().reaches_below(&parts(directory));
            assert_eq!(found, expected, "{pattern} {directory}");
        }
    }

    #[test]
    fn an_absolute_pattern_names_where_to_look() {
        for (text, expected) in [
            ("/var/log/web/*.log", Some("/var/log/web *.log")),
            ("/var/log/a.log", Some("/var/log a.log")),
            ("/srv/*/logs/**", Some("/srv */logs/**")),
            ("/a.log", Some("/ a.log")),
            ("var/log/*.log", None),
            ("/var/../etc/*", None),
            ("/var/log/", None),
            ("/", None),
        ] {
            let found = FilesBelow::parse(text);
            let found = found.map(|it| format!("{} {}", it.directory.display(), it.pattern)).ok();
            assert_eq!(found.as_deref(), expected, "{text}");
        }
    }
}
