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
    /// The quote that is open: `'` or `"`.
    quote: Option<char>,
    /// What is open around it: a backquote, or `(` of `$( )`.
    around: Option<char>,
}

impl Words {
    fn take(&mut self, c: char) -> Step {
        if std::mem::take(&mut self.is_escaped) {
            self.push(c);
            return Step::On;
        }
        match (c, self.quote, self.around) {
            ('\\', None | Some('"'), _) => self.is_escaped = true,
            (' ' | '\t' | '\r' | '\n', None, None) => self.end_word(),
            ('\\' | ' ' | '\t' | '\r' | '\n', _, _) => self.word.push(c),
            ('"' | '\'', None, None | Some('`')) => self.quote = Some(c),
            ('"' | '\'', Some(quote), None | Some('`')) if c == quote => {
                self.quote = None;
                self.is_open = true;
            }
            ('`', None, None | Some('`')) => self.turn('`', c),
            (')', None, None | Some('(')) => self.turn('(', c),
            ('(', None, None) if self.word.ends_with('$') => self.turn('(', c),
            ('(', None, None | Some('(')) => return Step::Refuse,
            (';' | '&' | '|' | '<', None, None) => return Step::End,
            ('>', None, None) => {
                // A number before it is the file that would be redirected.
                self.is_open &= !self.word.starts_with(|c: char| c.is_ascii_digit());
                return Step::End;
            }
            _ => self.push(c),
        }
        Step::On
    }

    /// Opens or closes what stands around words; its signs are part of the word.
    fn turn(&mut self, around: char, sign: char) {
        self.around = if self.around.is_none() { Some(around) } else { None };
        self.push(sign);
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
        if self.is_escaped || self.quote.is_some() || self.around.is_some() {
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
            (r"a\ b c\nd 'e\f'", Some(&["a b", "cnd", r"e\f"])),
            ("`''x` `a b`", Some(&["`x`", "`a b`"])),
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
