//! Words: quotes, escapes and the expansions that need no shell.
//!
//! Rules: POSIX Shell Command Language, 2.2 Quoting, 2.6.1 Tilde Expansion, 2.6.2 Parameter Expansion.

use super::statement::Parser;
use super::{Operation, OperationKind, Piece, Place, Word, is_name_part, is_name_start};

/// Where a word stands, which decides where it ends and what its quotes mean.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// An argument of a command.
    Argument,
    /// The value of an assignment.
    Value,
    /// The word of `${V:-word}`.
    Braced,
    /// The word of `"${V:-word}"`: single quotes are literal.
    BracedQuoted,
}

impl Parser<'_> {
    /// Deepest nesting of `${ … }`; beyond it a file can only mean to exhaust the stack.
    pub(super) const DEEPEST: usize = 64;

    /// Reads the value of an assignment.
    pub(super) fn value(&mut self) -> Word {
        self.word(Mode::Value)
    }

    /// Reads a word of a command.
    pub(super) fn argument(&mut self) -> Word {
        self.word(Mode::Argument)
    }

    fn word(&mut self, mode: Mode) -> Word {
        let mut word = Word::default();
        let mut tilde_counts = mode != Mode::BracedQuoted;
        let mut follows_colon = false;
        while let Some(character) = self.peek() {
            if ends(mode, character) {
                break;
            }
            let place = self.place();
            self.next();
            let after_colon = character == ':' && matches!(mode, Mode::Value | Mode::Braced);
            match character {
                '\'' if mode != Mode::BracedQuoted => self.single_quoted(place, &mut word),
                '"' => self.double_quoted(place, &mut word),
                '\\' if mode == Mode::BracedQuoted => self.escape_in_double_quotes(true, &mut word),
                '\\' => self.escape(&mut word),
                '$' => self.dollar(place, mode == Mode::BracedQuoted, &mut word),
                '`' => self.refuse_backquotes(place),
                '~' if tilde_counts => self.tilde(place, (mode, follows_colon), &mut word),
                _ => word.push(character),
            }
            tilde_counts = after_colon;
            follows_colon = after_colon;
        }
        word
    }

    fn single_quoted(&mut self, place: Place, word: &mut Word) {
        word.append(Word(vec![Piece::Text(String::new())]));
        loop {
            match self.next_raw() {
                None => return self.report_unclosed(place, "`'`"),
                Some('\'') => return,
                Some(character) => word.push(character),
            }
        }
    }

    fn double_quoted(&mut self, place: Place, word: &mut Word) {
        word.append(Word(vec![Piece::Text(String::new())]));
        loop {
            let here = self.place();
            match self.next() {
                None => return self.report_unclosed(place, "`\"`"),
                Some('"') => return,
                Some('\\') => self.escape_in_double_quotes(false, word),
                Some('$') => self.dollar(here, true, word),
                Some('`') => self.refuse_backquotes(here),
                Some(character) => word.push(character),
            }
        }
    }

    fn escape(&mut self, word: &mut Word) {
        word.push(self.next_raw().unwrap_or('\\'));
    }

    /// In double quotes a backslash is itself, except before what it can take the meaning from.
    fn escape_in_double_quotes(&mut self, in_braces: bool, word: &mut Word) {
        match self.peek_raw() {
            Some(character @ ('$' | '`' | '"' | '\\')) => {
                self.next_raw();
                word.push(character);
            }
            Some('}') if in_braces => {
                self.next_raw();
                word.push('}');
            }
            _ => word.push('\\'),
        }
    }

    fn dollar(&mut self, place: Place, quoted: bool, word: &mut Word) {
        match self.peek() {
            Some('{') => {
                self.next();
                self.braced(place, quoted, word);
            }
            Some('(') => self.refuse_parenthesis(place),
            Some(character) if is_name_start(character) => {
                let name = self.name();
                word.append(Word(vec![Piece::Parameter { name, place, operation: None }]));
            }
            Some(character) if is_special(character) => {
                self.refuse(
                    place,
                    &format!("the shell's own parameter `${character}`"),
                    "write `\\$` or single quotes for a dollar sign",
                );
                self.next();
            }
            Some('\'' | '"') if !quoted => self.refuse(
                place,
                "a quote after `$`",
                "remove the `$`, or write `\\$` for a dollar sign",
            ),
            _ => word.push('$'),
        }
    }

    /// After `${`.
    fn braced(&mut self, place: Place, quoted: bool, word: &mut Word) {
        if self.depth >= Self::DEEPEST {
            self.refuse(place, "`${` nested this deep", "use a variable for the inner part");
            self.unclosed = true;
            while self.next().is_some() {}
            return;
        }
        self.depth += 1;
        let name = self.name();
        let empty_is_unset = self.peek() == Some(':');
        let symbol = self.ahead().nth(usize::from(empty_is_unset));
        let kind = symbol.and_then(operation_kind).filter(|_| !name.is_empty());
        let operation = match (self.peek(), kind) {
            (Some('}'), _) if !name.is_empty() => None,
            (_, Some(kind)) => {
                self.advance(1 + usize::from(empty_is_unset));
                Some(Operation { kind, empty_is_unset, word: self.braced_word(quoted) })
            }
            _ => {
                self.refuse_braces(place, &name);
                let told = self.problems.len();
                self.braced_word(quoted);
                self.problems.truncate(told);
                None
            }
        };
        self.depth -= 1;
        if self.next() != Some('}') {
            return self.report_unclosed(place, "`${`");
        }
        word.append(Word(vec![Piece::Parameter { name, place, operation }]));
    }

    fn braced_word(&mut self, quoted: bool) -> Word {
        self.word(if quoted { Mode::BracedQuoted } else { Mode::Braced })
    }

    fn name(&mut self) -> String {
        let mut name = String::new();
        if self.peek().is_some_and(is_name_start) {
            while let Some(character) = self.peek().filter(|character| is_name_part(*character)) {
                name.push(character);
                self.next();
            }
        }
        name
    }

    /// `~` alone or before `/` or `:` is the home directory; `~name` needs the user database.
    fn tilde(&mut self, place: Place, (mode, after_colon): (Mode, bool), word: &mut Word) {
        let is_user =
            |character: &char| character.is_ascii_alphanumeric() || "._-".contains(*character);
        let length = self.ahead().take_while(is_user).count();
        let whole = match self.ahead().nth(length) {
            None | Some('/') => true,
            Some(':') => matches!(mode, Mode::Value | Mode::Braced),
            Some(character) => ends(mode, character),
        };
        let beside_colon = after_colon || self.ahead().nth(length) == Some(':');
        match (whole, length) {
            (true, _) if beside_colon && mode == Mode::Braced => self.refuse(
                place,
                "`~` beside `:` within `${…}`, which shells read in different ways,",
                "write the directory itself, or quote the `~`",
            ),
            (true, 0) => word.append(Word(vec![Piece::Home])),
            (true, _) => self.refuse(
                place,
                "the home directory of another user (`~name`)",
                "write the directory itself, or quote the `~`",
            ),
            (false, _) => word.push('~'),
        }
    }

    fn refuse_backquotes(&mut self, place: Place) {
        self.refuse(place, "command substitution with backquotes", SUBSTITUTION_HINT);
        self.skip_backquoted();
    }

    fn refuse_parenthesis(&mut self, place: Place) {
        if self.looking_at("((") {
            self.refuse(place, "arithmetic `$((…))`", "write the number it comes to");
        } else {
            self.refuse(place, "command substitution `$(…)`", SUBSTITUTION_HINT);
        }
        self.next();
        self.skip_substitution();
    }

    fn refuse_braces(&mut self, place: Place, name: &str) {
        if self.is_at_end() {
            return;
        }
        let hint = "of `${…}` only the forms V V:-x V-x V:=x V=x V:?m V?m V:+x V+x are read";
        if name.is_empty() {
            self.refuse(place, "this form of `${…}`", hint);
        } else {
            self.refuse(place, &format!("this form of `${{{name}…}}`"), hint);
        }
    }

    fn report_unclosed(&mut self, place: Place, what: &str) {
        if !self.unclosed {
            self.unclosed = true;
            let of = self.subject.as_ref().map(|name| format!(" in the value of `{name}`"));
            let message =
                format!("the {what} opened here{} is never closed", of.unwrap_or_default());
            self.report(
                place,
                message,
                "close it, or escape it with `\\` if it is part of the value",
            );
        }
    }
}

const SUBSTITUTION_HINT: &str =
    "write what the command prints; single quotes keep the text as it is";

fn operation_kind(symbol: char) -> Option<OperationKind> {
    match symbol {
        '-' => Some(OperationKind::Default),
        '=' => Some(OperationKind::Assign),
        '?' => Some(OperationKind::Require),
        '+' => Some(OperationKind::Alternative),
        _ => None,
    }
}

fn is_special(character: char) -> bool {
    character.is_ascii_digit() || "@*#?-$!".contains(character)
}

fn ends(mode: Mode, character: char) -> bool {
    match mode {
        Mode::Argument | Mode::Value => " \t\n;&|<>()".contains(character),
        Mode::Braced | Mode::BracedQuoted => character == '}',
    }
}
