//! Finds where a refused construct ends, so that what follows it is still checked.

use super::Piece;
use super::statement::{HereDocument, Item, Parser};

impl Parser<'_> {
    /// Skips the rest of the line, and of compound commands that start on it.
    pub(super) fn skip_line(&mut self, at_command: bool) {
        self.skip(Vec::new(), at_command);
    }

    /// Skips to the end of the compound command that was opened by `opener`.
    pub(super) fn skip_compound(&mut self, opener: &str) {
        let at_command = !matches!(opener, "for" | "case");
        self.skip(closer_of(opener).into_iter().collect(), at_command);
    }

    /// Skips a function, after its name or the word `function`; its body may start on a later line.
    pub(super) fn skip_function(&mut self) {
        while self.peek().is_some_and(|character| !"{\n".contains(character)) {
            self.next();
        }
        while self.peek().is_some_and(char::is_whitespace) {
            self.next();
        }
        self.skip_line(true);
    }

    /// One problem was told already: those inside would only repeat it.
    fn skip(&mut self, mut closers: Vec<&'static str>, mut at_command: bool) {
        let told = self.problems.len();
        loop {
            match self.next_item() {
                Item::End if closers.is_empty() || self.is_at_end() => break,
                Item::End => at_command = true,
                Item::Operator(operator, _) => {
                    if operator == "(" {
                        closers.push(")");
                    } else if closers.last() == Some(&operator) {
                        closers.pop();
                    }
                    at_command = true;
                }
                Item::Word(word) => {
                    // `if)` is a pattern of `case`.
                    let at_keyword = at_command && self.peek() != Some(')');
                    let keyword = word.plain.as_deref().filter(|_| at_keyword).unwrap_or_default();
                    if let Some(closer) = closer_of(keyword) {
                        closers.push(closer);
                    } else if closers.last() == Some(&keyword) {
                        closers.pop();
                    }
                    at_command = matches!(
                        keyword,
                        "then" | "do" | "else" | "elif" | "!" | "if" | "while" | "until" | "{"
                    );
                }
            }
        }
        self.problems.truncate(told);
    }

    /// Remembers the delimiter after `<<`; the body starts on the next line.
    pub(super) fn read_delimiter(&mut self, strips_tabs: bool) {
        while matches!(self.peek(), Some(' ' | '\t')) {
            self.next();
        }
        let mut delimiter = String::new();
        for piece in self.argument().0 {
            if let Piece::Text(text) = piece {
                delimiter.push_str(&text);
            }
        }
        self.here_documents.push(HereDocument { delimiter, strips_tabs });
    }

    /// Skips the bodies of the line's here-documents.
    pub(super) fn skip_here_documents(&mut self) {
        for document in std::mem::take(&mut self.here_documents) {
            while self.peek_raw().is_some() {
                let mut line = String::new();
                while let Some(character) = self.next_raw().filter(|character| *character != '\n') {
                    line.push(character);
                }
                let line = if document.strips_tabs { line.trim_start_matches('\t') } else { &line };
                if line == document.delimiter {
                    break;
                }
            }
        }
    }

    /// Skips the rest of `$( … )` or `$(( … ))`, after its first parenthesis.
    pub(super) fn skip_substitution(&mut self) {
        let mut open = 1_usize;
        while open > 0 {
            match self.next() {
                None => return,
                Some('\\') => self.skip_escaped(),
                Some('(') => open += 1,
                Some(')') => open -= 1,
                Some('\'') => self.skip_past('\''),
                Some('"') => self.skip_double_quoted(),
                Some(_) => {}
            }
        }
    }

    /// Skips past the next backquote that is not escaped.
    pub(super) fn skip_backquoted(&mut self) {
        while let Some(character) = self.next() {
            match character {
                '\\' => self.skip_escaped(),
                '`' => return,
                _ => {}
            }
        }
    }

    fn skip_double_quoted(&mut self) {
        while let Some(character) = self.next() {
            match character {
                '\\' => self.skip_escaped(),
                '"' => return,
                '$' if self.peek() == Some('(') && self.depth < Self::DEEPEST => {
                    self.next();
                    self.depth += 1;
                    self.skip_substitution();
                    self.depth -= 1;
                }
                _ => {}
            }
        }
    }

    fn skip_escaped(&mut self) {
        self.next_raw();
    }

    fn skip_past(&mut self, end: char) {
        while self.next_raw().is_some_and(|character| character != end) {}
    }
}

fn closer_of(opener: &str) -> Option<&'static str> {
    match opener {
        "if" => Some("fi"),
        "for" | "while" | "until" => Some("done"),
        "case" => Some("esac"),
        "{" => Some("}"),
        "(" => Some(")"),
        _ => None,
    }
}
