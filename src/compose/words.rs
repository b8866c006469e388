//! The words of a command that is one string, as docker compose's splitter finds them.
//!
//! It is not a shell: variables and backquotes stay as they are, and an operator outside of quotes ends
//! the command without a word of complaint. The words enter the hash, so its ways are followed.

/// Splits a command; `None` where a quote or a parenthesis stays open or stands alone.
pub fn split(text: &str) -> Option<Vec<String>> {
    let mut words = Words::default();
    for c in text.chars() {
        match words.take(c) {
            Step::On => {}
            Step::End => break,
            Step::Refuse => return None,
        }
    }
    words.finish()
}

enum Step {
    On,
    End,
    Refuse,
}

#[derive(Default)]
struct Words {
    done: Vec<String>,
    word: String,
    /// Whether there is a word, which may be empty between quotes.
    is_open: bool,
    is_escaped: bool,
    quote: Option<char>,
}

impl Words {
    /// `quote` is `'`, `"`, a backquote, or `(` within `$( )`.
    fn take(&mut self, c: char) -> Step {
        if std::mem::take(&mut self.is_escaped) {
            self.push(match c {
                't' => '\t',
                'n' => '\n',
                c => c,
            });
            return Step::On;
        }
        match (self.quote, c) {
            (Some('\''), '\\') => self.word.push(c),
            (_, '\\') => self.is_escaped = true,
            (Some(_), ' ' | '\t' | '\r' | '\n') => self.word.push(c),
            (None, ' ' | '\t' | '\r' | '\n') => self.end_word(),
            (None | Some('`'), '"' | '\'') => self.quote_in_turn(c),
            (Some(quote @ ('"' | '\'')), c) if c == quote => {
                self.quote = None;
                self.is_open = true;
            }
            (None, '`') => {
                self.quote = Some(c);
                self.push(c);
            }
            (Some('`'), '`') | (Some('('), ')') => {
                self.quote = None;
                self.push(c);
            }
            (None, '(') if self.word.ends_with('$') => {
                self.quote = Some(c);
                self.push(c);
            }
            (None | Some('('), '(') | (None, ')') => return Step::Refuse,
            (None, ';' | '&' | '|' | '<') => return Step::End,
            (None, '>') => {
                // A number before it is the file that would be redirected.
                self.is_open &= !self.word.starts_with(|c: char| c.is_ascii_digit());
                return Step::End;
            }
            (_, c) => self.push(c),
        }
        Step::On
    }

    fn quote_in_turn(&mut self, c: char) {
        match self.quote {
            None => self.quote = Some(c),
            Some(_) => self.push(c),
        }
    }

    fn push(&mut self, c: char) {
        self.word.push(c);
        self.is_open = true;
    }

    fn end_word(&mut self) {
        if std::mem::take(&mut self.is_open) {
            self.done.push(std::mem::take(&mut self.word));
        }
    }

    fn finish(mut self) -> Option<Vec<String>> {
        if self.is_escaped || self.quote.is_some() {
            return None;
        }
        self.end_word();
        Some(self.done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_as_docker_compose_does() {
        for (text, expected) in [
            ("a  b\tc", Some(&["a", "b", "c"][..])),
            ("", Some(&[])),
            ("'a b' \"c d\"", Some(&["a b", "c d"])),
            ("a''b \"\" c", Some(&["ab", "", "c"])),
            (r"a\ b c\td 'e\f'", Some(&["a b", "c\td", r"e\f"])),
            (r#"sh -c "echo \"x\" \$Y""#, Some(&["sh", "-c", "echo \"x\" $Y"])),
            ("a # b", Some(&["a", "#", "b"])),
            ("a;b && c", Some(&["a"])),
            ("a 2>b", Some(&["a"])),
            ("a>b", Some(&["a"])),
            ("echo $(a b) `c d`", Some(&["echo", "$(a b)", "`c d`"])),
            ("'a", None),
            ("a\\", None),
            ("(a)", None),
            ("a)", None),
        ] {
            let expected = expected.map(|words| words.iter().map(|it| (*it).to_owned()).collect());
            assert_eq!(split(text), expected, "{text}");
        }
    }
}
