//! Text of a template in, nodes out.

use serde_json::Value;

/// A piece of a template.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Node {
    /// As it is.
    Text(String),
    /// A value.
    Print(Pipeline),
    /// `if`, `else if`, and what stands under `else`.
    If(Vec<(Pipeline, Vec<Self>)>, Vec<Self>),
    /// `range`, and what stands under `else`.
    Range(Pipeline, Vec<Self>, Vec<Self>),
    /// `with`, and what stands under `else`.
    With(Pipeline, Vec<Self>, Vec<Self>),
}

/// Commands joined by `|`.
pub(super) type Pipeline = Vec<Vec<Operand>>;

/// A word of a command.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Operand {
    /// A function by its name.
    Function(String),
    /// `.A.B`; empty is `.`.
    Field(Vec<String>),
    /// `$.A.B`.
    RootField(Vec<String>),
    /// A string, a number, true, false.
    Value(Value),
    /// What stands in parentheses.
    Group(Pipeline),
}

enum Piece {
    Text(String),
    Action(String),
}

/// Reads a template.
pub(super) fn parse(text: &str) -> Result<Vec<Node>, String> {
    let mut pieces = pieces(text)?.into_iter();
    let (nodes, end) = block(&mut pieces)?;
    match end {
        None => Ok(nodes),
        Some(word) => Err(format!("`{{{{{word}}}}}` without an `if`, `range` or `with`")),
    }
}

fn pieces(text: &str) -> Result<Vec<Piece>, String> {
    let mut pieces = Vec::new();
    let mut rest = text;
    let mut trims = false;
    loop {
        let (before, action) = match rest.split_once("{{") {
            Some((before, after)) => (before, Some(after)),
            None => (rest, None),
        };
        let before = if trims { before.trim_start() } else { before };
        let Some(action) = action else {
            pieces.push(Piece::Text(before.to_owned()));
            return Ok(pieces);
        };
        let (inner, after) = action.split_once("}}").ok_or("`{{` without `}}`")?;
        let trimmed = inner.strip_prefix("- ");
        pieces.push(Piece::Text(
            if trimmed.is_some() { before.trim_end() } else { before }.to_owned(),
        ));
        let inner = trimmed.unwrap_or(inner);
        let kept = inner.strip_suffix(" -");
        trims = kept.is_some();
        let inner = kept.unwrap_or(inner).trim();
        if !inner.starts_with("/*") {
            pieces.push(Piece::Action(inner.to_owned()));
        }
        rest = after;
    }
}

/// Nodes up to `end` or `else`, and that word with what follows it.
fn block(pieces: &mut impl Iterator<Item = Piece>) -> Result<(Vec<Node>, Option<String>), String> {
    let mut nodes = Vec::new();
    while let Some(piece) = pieces.next() {
        let action = match piece {
            Piece::Text(text) => {
                nodes.push(Node::Text(text));
                continue;
            }
            Piece::Action(action) => action,
        };
        let (word, rest) = action.split_once(char::is_whitespace).unwrap_or((&action, ""));
        match word {
            "end" | "else" => return Ok((nodes, Some(action.clone()))),
            "if" => nodes.push(conditional(rest, pieces)?),
            "range" => {
                let (body, otherwise) = body(pieces)?;
                nodes.push(Node::Range(pipeline(rest)?, body, otherwise));
            }
            "with" => {
                let (body, otherwise) = body(pieces)?;
                nodes.push(Node::With(pipeline(rest)?, body, otherwise));
            }
            _ => nodes.push(Node::Print(pipeline(&action)?)),
        }
    }
    Ok((nodes, None))
}

fn body(pieces: &mut impl Iterator<Item = Piece>) -> Result<(Vec<Node>, Vec<Node>), String> {
    let (nodes, end) = block(pieces)?;
    match end.as_deref() {
        Some("end") => Ok((nodes, Vec::new())),
        Some("else") => match block(pieces)? {
            (otherwise, Some(end)) if end == "end" => Ok((nodes, otherwise)),
            _ => Err("an `{{end}}` is missing".to_owned()),
        },
        _ => Err("an `{{end}}` is missing".to_owned()),
    }
}

fn conditional(condition: &str, pieces: &mut impl Iterator<Item = Piece>) -> Result<Node, String> {
    let mut condition = pipeline(condition)?;
    let mut branches = Vec::new();
    loop {
        let (nodes, end) = block(pieces)?;
        branches.push((condition, nodes));
        let end = end.ok_or("an `{{end}}` is missing")?;
        if end == "end" {
            return Ok(Node::If(branches, Vec::new()));
        }
        let rest = end.strip_prefix("else").unwrap_or_default().trim();
        match rest.strip_prefix("if") {
            Some(next) => condition = pipeline(next)?,
            None => match block(pieces)? {
                (otherwise, Some(end)) if end == "end" => return Ok(Node::If(branches, otherwise)),
                _ => return Err("an `{{end}}` is missing".to_owned()),
            },
        }
    }
}

fn pipeline(text: &str) -> Result<Pipeline, String> {
    let mut words = Words { rest: text };
    let pipeline = words.pipeline(false)?;
    Ok(pipeline)
}

struct Words<'a> {
    rest: &'a str,
}

impl Words<'_> {
    fn pipeline(&mut self, in_group: bool) -> Result<Pipeline, String> {
        let mut commands = vec![Vec::new()];
        loop {
            self.rest = self.rest.trim_start();
            let Some(first) = self.rest.chars().next() else {
                if in_group {
                    return Err("a parenthesis is not closed".to_owned());
                }
                return Ok(commands);
            };
            let command = commands.last_mut().expect("there is always one");
            match first {
                ')' if in_group => {
                    self.rest = &self.rest[1..];
                    return Ok(commands);
                }
                '|' => {
                    self.rest = &self.rest[1..];
                    commands.push(Vec::new());
                }
                '(' => {
                    self.rest = &self.rest[1..];
                    let group = self.pipeline(true)?;
                    command.push(self.group(group));
                }
                '"' | '`' => command.push(Operand::Value(Value::from(self.string(first)?))),
                _ => command.push(self.word()?),
            }
        }
    }

    /// `(index .A 1).B`: the fields after a parenthesis are fields of its value.
    fn group(&mut self, group: Pipeline) -> Operand {
        if !self.rest.starts_with('.') {
            return Operand::Group(group);
        }
        let end = self.rest.find(|c: char| c.is_whitespace() || "()|".contains(c));
        let (path, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        self.rest = rest;
        let mut group = group;
        let key = Operand::Value(Value::from(path.trim_start_matches('.')));
        group.push(vec![Operand::Function("\0field".to_owned()), key]);
        Operand::Group(group)
    }

    fn string(&mut self, quote: char) -> Result<String, String> {
        let mut text = String::new();
        let mut characters = self.rest.char_indices().skip(1);
        while let Some((at, one)) = characters.next() {
            if one == quote {
                self.rest = &self.rest[at + 1..];
                return Ok(text);
            }
            match one {
                '\\' if quote == '"' => match characters.next() {
                    Some((_, 'n')) => text.push('\n'),
                    Some((_, 't')) => text.push('\t'),
                    Some((_, other)) => text.push(other),
                    None => break,
                },
                other => text.push(other),
            }
        }
        Err("a quote is not closed".to_owned())
    }

    fn word(&mut self) -> Result<Operand, String> {
        let end = self.rest.find(|c: char| c.is_whitespace() || "()|\"`".contains(c));
        let (word, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        self.rest = rest;
        let path = |text: &str| text.split('.').skip(1).map(str::to_owned).collect::<Vec<_>>();
        Ok(match word {
            "." => Operand::Field(Vec::new()),
            "$" => Operand::RootField(Vec::new()),
            "true" => Operand::Value(Value::from(true)),
            "false" => Operand::Value(Value::from(false)),
            "nil" => Operand::Value(Value::Null),
            _ if word.starts_with('.') => Operand::Field(path(word)),
            _ if word.starts_with("$.") => Operand::RootField(path(word)),
            _ => match word.parse::<i64>() {
                Ok(number) => Operand::Value(Value::from(number)),
                Err(_) if word.starts_with(char::is_alphabetic) => {
                    Operand::Function(word.to_owned())
                }
                Err(_) => return Err(format!("`{word}` is neither a field nor a function")),
            },
        })
    }
}
