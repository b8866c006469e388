//! The little of the shell that job text of birdhouse needs: words, quotes, variables, redirections.
//!
//! What comes out is text of our own form, where variables are put in later. What the grammar does not
//! know is named, and left to a real shell.

use std::collections::BTreeMap;

/// A command without anything that only a shell can do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Plain {
    /// Its words, in our form: `$$` is a `$`.
    pub(super) words: Vec<String>,
    /// File of the standard output, and whether it is added to.
    pub(super) stdout: Option<(String, bool)>,
    /// File of the standard error.
    pub(super) stderr: Option<(String, bool)>,
}

/// Reads a command line; the error names what only a shell can do.
pub(super) fn read(text: &str, variables: &BTreeMap<String, String>) -> Result<Plain, String> {
    let mut scanner = Scanner { rest: text.trim(), variables, plain: Plain::default() };
    scanner.read()?;
    Ok(scanner.plain)
}

struct Scanner<'a> {
    rest: &'a str,
    variables: &'a BTreeMap<String, String>,
    plain: Plain,
}

impl Scanner<'_> {
    fn read(&mut self) -> Result<(), String> {
        loop {
            let blanks = self.rest.trim_start_matches([' ', '\t']);
            // A newline ends a command; behind the last one there is none to begin.
            self.rest = if blanks.trim().is_empty() { "" } else { blanks };
            let Some(next) = self.rest.chars().next() else { return Ok(()) };
            if next == '#' {
                return Ok(());
            }
            if !self.redirection()? {
                let words = self.word()?;
                self.plain.words.extend(words);
            }
        }
    }

    /// Reads a redirection, if one stands here.
    fn redirection(&mut self) -> Result<bool, String> {
        let digits = self.rest.len() - self.rest.trim_start_matches(['1', '2', '&']).len();
        let (from, behind) = self.rest.split_at(digits.min(1));
        if from == "2" && behind.starts_with(">&1") {
            self.rest = &behind[3..];
            self.plain.stderr.clone_from(&self.plain.stdout);
            return Ok(true);
        }
        if matches!(from, "" | "1") && behind.starts_with(">&2") {
            self.rest = &behind[3..];
            self.plain.stdout.clone_from(&self.plain.stderr);
            return Ok(true);
        }
        let Some(behind) = behind.strip_prefix('>') else { return Ok(false) };
        let appended = behind.strip_prefix('>');
        self.rest = appended.unwrap_or(behind).trim_start_matches([' ', '\t']);
        if self.rest.starts_with(['&', '(', '|', '>']) {
            return Err(format!("`>{}`", &self.rest[..1]));
        }
        let words = self.word()?;
        let [file] = words.as_slice() else { return Err("`>` without one file".to_owned()) };
        if !file.starts_with('/') {
            return Err(format!("`>` into the relative path `{file}`"));
        }
        let file = Some((file.clone(), appended.is_some()));
        match from {
            "2" => self.plain.stderr = file,
            "&" => {
                self.plain.stdout.clone_from(&file);
                self.plain.stderr = file;
            }
            _ => self.plain.stdout = file,
        }
        Ok(true)
    }

    /// Reads a word; an unquoted variable may make several of it, or none.
    fn word(&mut self) -> Result<Vec<String>, String> {
        let mut words: Vec<String> = Vec::new();
        let mut word = String::new();
        let mut is_one = false;
        let mut chars = self.rest.char_indices();
        let mut end = self.rest.len();
        let mut skip_to = 0;
        while let Some((at, c)) = chars.next() {
            if at < skip_to {
                continue;
            }
            match c {
                ' ' | '\t' | '>' => {
                    end = at;
                    break;
                }
                '|' | '&' | ';' | '(' | ')' | '<' | '`' => return Err(format!("`{c}`")),
                '\n' => return Err("a second line".to_owned()),
                '\\' => match chars.next() {
                    Some((_, '\n')) => {}
                    Some((_, next)) => {
                        push(&mut word, next);
                        is_one = true;
                    }
                    None => return Err("a backslash at the end".to_owned()),
                },
                '\'' => {
                    let rest = &self.rest[at + 1..];
                    let close = rest.find('\'').ok_or("a quote that is never closed")?;
                    rest[..close].chars().for_each(|c| push(&mut word, c));
                    skip_to = at + 1 + close + 1;
                    is_one = true;
                }
                '"' => {
                    let (inner, used) = Self::double_quoted(&self.rest[at + 1..])?;
                    word += &inner;
                    skip_to = at + 1 + used;
                    is_one = true;
                }
                '$' => {
                    let (name, used) = variable(&self.rest[at + 1..])?;
                    skip_to = at + 1 + used;
                    let value = name.map(|name| (name, self.variables.get(name)));
                    match value {
                        None => word += "$$",
                        Some((_, Some(value))) if value.is_empty() => {}
                        Some((name, Some(value))) if !value.contains(char::is_whitespace) => {
                            word.extend(["${", name, ":-}"]);
                        }
                        // What is unset or empty is nothing, not an empty word.
                        Some((_, None)) => {}
                        Some((_, Some(value))) => {
                            let mut parts = value.split_whitespace();
                            if value.starts_with(char::is_whitespace) && !word.is_empty() {
                                words.push(std::mem::take(&mut word));
                            }
                            if let Some(first) = parts.next() {
                                first.chars().for_each(|c| push(&mut word, c));
                                is_one = true;
                            }
                            for part in parts {
                                words.push(std::mem::take(&mut word));
                                part.chars().for_each(|c| push(&mut word, c));
                            }
                        }
                    }
                }
                c => {
                    word.push(c);
                    is_one = true;
                }
            }
        }
        self.rest = &self.rest[end..];
        if is_one || !word.is_empty() {
            words.push(word);
        }
        Ok(words)
    }

    /// The text in double quotes, in our form, and how long it was with its closing quote.
    fn double_quoted(text: &str) -> Result<(String, usize), String> {
        let mut inner = String::new();
        let mut chars = text.char_indices();
        let mut skip_to = 0;
        while let Some((at, c)) = chars.next() {
            if at < skip_to {
                continue;
            }
            match c {
                '"' => return Ok((inner, at + 1)),
                '`' => return Err("`` ` ``".to_owned()),
                '\\' => match chars.next() {
                    Some((_, '\n')) => {}
                    Some((_, next @ ('"' | '\\' | '$' | '`'))) => push(&mut inner, next),
                    Some((_, next)) => {
                        inner.push('\\');
                        push(&mut inner, next);
                    }
                    None => break,
                },
                '$' => {
                    let (name, used) = variable(&text[at + 1..])?;
                    skip_to = at + 1 + used;
                    match name {
                        Some(name) => inner.extend(["${", name, ":-}"]),
                        None => inner += "$$",
                    }
                }
                c => inner.push(c),
            }
        }
        Err("a quote that is never closed".to_owned())
    }
}

/// The name of the variable behind a `$`, and how long it is; none where the `$` is only that.
fn variable(text: &str) -> Result<(Option<&str>, usize), String> {
    let is_letter = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if let Some(braced) = text.strip_prefix('{') {
        let end = braced.find(|c| !is_letter(c)).unwrap_or(braced.len());
        let name = &braced[..end];
        if name.is_empty() || !braced[end..].starts_with('}') {
            return Err("`${…}` that is no plain variable".to_owned());
        }
        return Ok((Some(name), end + 2));
    }
    if text.starts_with('(') {
        return Err("`$(…)`".to_owned());
    }
    if text.starts_with(|c: char| c.is_ascii_digit() || "?@*#!$-".contains(c)) {
        return Err(format!("`${}`", &text[..1]));
    }
    let end = text.find(|c| !is_letter(c)).unwrap_or(text.len());
    Ok(if end == 0 { (None, 0) } else { (Some(&text[..end]), end) })
}

/// Adds a character that means only itself.
fn push(word: &mut String, c: char) {
    word.push(c);
    if c == '$' {
        word.push('$');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Text, its words, and the files of its output.
    type Row = (&'static str, Vec<&'static str>, Option<&'static str>, Option<&'static str>);

    #[test]
    fn reads_what_needs_no_shell() {
        let variables = [("A", "x"), ("TWO", "x  y"), ("E", "")];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let rows: Vec<Row> = vec![
            ("a b  c", vec!["a", "b", "c"], None, None),
            ("a 'b c' \"d e\" f\\ g", vec!["a", "b c", "d e", "f g"], None, None),
            ("bash -c 'a && b | c > d'", vec!["bash", "-c", "a && b | c > d"], None, None),
            ("a ''", vec!["a", ""], None, None),
            ("a \\* *", vec!["a", "*", "*"], None, None),
            (
                "a $A ${A}b \"$A c\" '$A'",
                vec!["a", "${A:-}", "${A:-}b", "${A:-} c", "$$A"],
                None,
                None,
            ),
            ("a $TWO$A $E $NONE", vec!["a", "x", "y${A:-}"], None, None),
            ("a --x=$NONE \"$NONE\"", vec!["a", "--x=", "${NONE:-}"], None, None),
            ("a # b", vec!["a"], None, None),
            ("a#b", vec!["a#b"], None, None),
            ("a >> /l 2>&1", vec!["a"], Some(">>/l"), Some(">>/l")),
            ("a >/l", vec!["a"], Some(">/l"), None),
            ("a>/l 2>/e", vec!["a"], Some(">/l"), Some(">/e")),
            ("a 2>&1 >> /l", vec!["a"], Some(">>/l"), None),
            ("a &>> '/l x'", vec!["a"], Some(">>/l x"), Some(">>/l x")),
            ("a 22 1>/l", vec!["a", "22"], Some(">/l"), None),
            ("\n  a b\n", vec!["a", "b"], None, None),
            ("a \\\n b", vec!["a", "b"], None, None),
            ("\"a\\\"b\\$c\\d\"", vec!["a\"b$$c\\d"], None, None),
        ];
        let shown = |file: Option<(String, bool)>| {
            file.map(|(file, append)| format!("{}{file}", if append { ">>" } else { ">" }))
        };
        for (text, words, stdout, stderr) in rows {
            let plain = read(text, &variables).unwrap_or_else(|why| panic!("{text}: {why}"));
            let found: Vec<&str> = plain.words.iter().map(String::as_str).collect();
            let expected: Vec<&str> = words.into_iter().collect();
            assert_eq!(found, expected, "{text}");
            assert_eq!(shown(plain.stdout).as_deref(), stdout, "{text}");
            assert_eq!(shown(plain.stderr).as_deref(), stderr, "{text}");
        }
    }

    #[test]
    fn names_what_only_a_shell_can_do() {
        for (text, expected) in [
            ("a && b", "`&`"),
            ("a | b", "`|`"),
            ("a; b", "`;`"),
            ("a $(b)", "`$(…)`"),
            ("a `b`", "```"),
            ("a \"`b`\"", "` `"),
            ("a ${B:-c}", "no plain variable"),
            ("a < b", "`<`"),
            ("a\nb", "a second line"),
            ("a 'b", "never closed"),
            ("a > b", "relative"),
            ("a $1", "`$1`"),
            ("(a)", "`(`"),
        ] {
            let why = read(text, &BTreeMap::new()).expect_err(text);
            assert!(why.contains(expected), "{text}: {why}");
        }
    }
}
