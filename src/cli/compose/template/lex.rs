//! Text of a template in, pieces out: text between actions, and the tokens of actions.

use serde_json::Value;

/// What is wrong with a template, and where.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Mistake {
    /// Byte of the template.
    pub(super) at: usize,
    /// What is wrong.
    pub(super) what: String,
}

/// A mistake at a place.
pub(super) fn mistake<T>(at: usize, what: impl Into<String>) -> Result<T, Mistake> {
    Err(Mistake { at, what: what.into() })
}

/// A piece of a template.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Piece {
    /// As it is.
    Text(String),
    /// What stands in braces.
    Action(usize, Vec<Item>),
}

/// A token of an action.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Item {
    /// Where it begins.
    pub(super) at: usize,
    /// Whether a blank stands before it.
    pub(super) spaced: bool,
    /// What it is.
    pub(super) token: Token,
}

/// See [`Item`].
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    /// `.`.
    Dot,
    /// `.Name`.
    Field(String),
    /// `$name`; `$` has an empty name.
    Variable(String),
    /// A word: a keyword, a function.
    Word(String),
    /// A string, a number, a character, true, false.
    Value(Value),
    /// `|`.
    Pipe,
    /// `(`.
    Open,
    /// `)`.
    Close,
    /// `,`.
    Comma,
    /// `:=`.
    Declare,
    /// `=`.
    Assign,
}

/// Takes a template apart.
pub(super) fn pieces(text: &str) -> Result<Vec<Piece>, Mistake> {
    let mut pieces = Vec::new();
    let mut at = 0;
    let mut trims = false;
    loop {
        let rest = &text[at..];
        let (before, begin) = match rest.find("{{") {
            Some(length) => (&rest[..length], Some(at + length)),
            None => (rest, None),
        };
        let before = if trims { before.trim_start_matches(is_blank) } else { before };
        let Some(begin) = begin else {
            pieces.push(Piece::Text(before.to_owned()));
            return Ok(pieces);
        };
        let inner = &text[begin + 2..];
        let trims_before = inner.starts_with('-') && inner[1..].starts_with(is_blank);
        let kept = if trims_before { before.trim_end_matches(is_blank) } else { before };
        pieces.push(Piece::Text(kept.to_owned()));
        let mut lexer = Lexer { text, begin, at: begin + 2 + usize::from(trims_before) };
        if let Some(items) = lexer.action()? {
            pieces.push(Piece::Action(begin, items));
        }
        trims = lexer.closes_with_trim();
        at = lexer.at + if trims { " -}}".len() } else { "}}".len() };
    }
}

fn is_blank(one: char) -> bool {
    matches!(one, ' ' | '\t' | '\r' | '\n')
}

fn is_letter(one: char) -> bool {
    one == '_' || one.is_alphanumeric()
}

struct Lexer<'a> {
    text: &'a str,
    begin: usize,
    at: usize,
}

impl Lexer<'_> {
    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn closes_with_trim(&self) -> bool {
        let mut rest = self.rest().chars();
        rest.next().is_some_and(is_blank) && rest.as_str().starts_with("-}}")
    }

    /// The tokens up to the closing braces; `None` for a comment.
    fn action(&mut self) -> Result<Option<Vec<Item>>, Mistake> {
        if self.rest().trim_start_matches(is_blank).starts_with("/*") {
            let Some(end) = self.rest().find("*/") else {
                return mistake(self.begin, "a comment is not closed");
            };
            self.at += end + 2;
            if self.closes_with_trim() || self.rest().starts_with("}}") {
                return Ok(None);
            }
            return mistake(self.at, "a comment ends before its braces");
        }
        let mut items = Vec::new();
        let mut spaced = false;
        loop {
            if self.closes_with_trim() || self.rest().starts_with("}}") {
                return Ok(Some(items));
            }
            let at = self.at;
            let Some(first) = self.rest().chars().next() else {
                return mistake(self.begin, "`{{` without `}}`");
            };
            if is_blank(first) {
                self.at += 1;
                spaced = true;
                continue;
            }
            let token = self.token(first)?;
            items.push(Item { at, spaced, token });
            spaced = false;
        }
    }

    fn token(&mut self, first: char) -> Result<Token, Mistake> {
        let second = self.rest().chars().nth(1);
        let is_number = first.is_ascii_digit()
            || matches!(first, '+' | '-' | '.') && second.is_some_and(|it| it.is_ascii_digit());
        if is_number {
            return self.number();
        }
        let simple = match first {
            '|' => Some((Token::Pipe, 1)),
            '(' => Some((Token::Open, 1)),
            ')' => Some((Token::Close, 1)),
            ',' => Some((Token::Comma, 1)),
            '=' => Some((Token::Assign, 1)),
            ':' if second == Some('=') => Some((Token::Declare, 2)),
            _ => None,
        };
        if let Some((token, length)) = simple {
            self.at += length;
            return Ok(token);
        }
        match first {
            '"' | '`' | '\'' => self.quoted(first),
            '.' => {
                let name = self.name(1);
                Ok(if name.is_empty() { Token::Dot } else { Token::Field(name) })
            }
            '$' => Ok(Token::Variable(self.name(1))),
            _ if is_letter(first) => Ok(match self.name(0) {
                word if word == "true" || word == "false" => {
                    Token::Value(Value::from(word == "true"))
                }
                word => Token::Word(word),
            }),
            other => mistake(self.at, format!("`{other}` means nothing here")),
        }
    }

    /// The letters after so many bytes.
    fn name(&mut self, skip: usize) -> String {
        let rest = &self.rest()[skip..];
        let length = rest.find(|it| !is_letter(it)).unwrap_or(rest.len());
        let name = rest[..length].to_owned();
        self.at += skip + length;
        name
    }

    fn number(&mut self) -> Result<Token, Mistake> {
        let rest = self.rest();
        let mut length = 0;
        let mut before = ' ';
        for one in rest.chars() {
            let is_sign = matches!(one, '+' | '-');
            if !(is_letter(one) || one == '.' || is_sign && (length == 0 || before == 'e')) {
                break;
            }
            length += one.len_utf8();
            before = one.to_ascii_lowercase();
        }
        let word = &rest[..length];
        let Some(value) = number(word) else {
            return mistake(self.at, format!("`{word}` is no number"));
        };
        self.at += length;
        Ok(Token::Value(value))
    }

    fn quoted(&mut self, quote: char) -> Result<Token, Mistake> {
        let begin = self.at;
        let mut text = String::new();
        let mut characters = self.rest().char_indices().skip(1);
        let mut end = None;
        while let Some((at, one)) = characters.next() {
            match one {
                _ if one == quote => {
                    end = Some(at + 1);
                    break;
                }
                '\\' if quote != '`' => {
                    let Some((_, escaped)) = characters.next() else { break };
                    let digits = |count: usize, radix| {
                        let digits: String =
                            characters.by_ref().take(count).map(|it| it.1).collect();
                        let code = u32::from_str_radix(&digits, radix).ok();
                        code.and_then(char::from_u32)
                    };
                    let Some(one) = escape(escaped, digits) else {
                        return mistake(begin + at, format!("`\\{escaped}` means nothing"));
                    };
                    text.push(one);
                }
                '\n' if quote != '`' => break,
                other => text.push(other),
            }
        }
        let Some(end) = end else { return mistake(begin, "a quote is not closed") };
        self.at += end;
        if quote != '\'' {
            return Ok(Token::Value(Value::from(text)));
        }
        let mut letters = text.chars();
        match (letters.next(), letters.next()) {
            (Some(one), None) => Ok(Token::Value(Value::from(u32::from(one)))),
            _ => mistake(begin, "single quotes hold one character: use double ones"),
        }
    }
}

fn escape(letter: char, mut digits: impl FnMut(usize, u32) -> Option<char>) -> Option<char> {
    Some(match letter {
        'n' => '\n',
        't' => '\t',
        'r' => '\r',
        'a' => '\x07',
        'b' => '\x08',
        'f' => '\x0c',
        'v' => '\x0b',
        '\\' | '"' | '\'' => letter,
        'x' => digits(2, 16)?,
        'u' => digits(4, 16)?,
        'U' => digits(8, 16)?,
        '0'..='3' => {
            let rest = u32::from(digits(2, 8)?);
            char::from_u32(letter.to_digit(8)? * 64 + rest)?
        }
        _ => return None,
    })
}

/// A number as Go writes it: with `_`, in another base, with an exponent.
fn number(word: &str) -> Option<Value> {
    let plain = word.replace('_', "").to_lowercase();
    let (sign, digits) = match plain.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, plain.strip_prefix('+').unwrap_or(&plain)),
    };
    let (radix, digits) = [("0x", 16), ("0o", 8), ("0b", 2)]
        .into_iter()
        .find_map(|(prefix, radix)| Some((radix, digits.strip_prefix(prefix)?)))
        .unwrap_or((10, digits));
    if let Ok(whole) = i64::from_str_radix(digits, radix) {
        return Some(Value::from(sign * whole));
    }
    plain.parse::<f64>().ok().filter(|it| it.is_finite()).map(Value::from)
}
