//! Pieces of a template in, nodes out.

use std::collections::BTreeMap;
use std::iter::Peekable;
use std::vec::IntoIter;

use serde_json::Value;

use super::call::FUNCTIONS;
use super::lex::{Item, Mistake, Piece, Token, mistake, pieces};
use crate::cli::compose::target::did_you_mean;

/// A piece of a template, understood.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Node {
    /// As it is.
    Text(String),
    /// A value.
    Print(Pipeline),
    /// `if`.
    If(Branch),
    /// `with`.
    With(Branch),
    /// `range`.
    Range(Branch),
    /// `template`, by name.
    Template(usize, String, Option<Pipeline>),
    /// `break`.
    Break,
    /// `continue`.
    Continue,
}

/// A value, and what is done with it or without.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Branch {
    pub(super) value: Pipeline,
    pub(super) body: Vec<Node>,
    pub(super) otherwise: Vec<Node>,
}

/// Commands joined by `|`, and the variables that get the value.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Pipeline {
    pub(super) at: usize,
    /// Names before `:=` or `=`.
    pub(super) variables: Vec<String>,
    /// `:=`.
    pub(super) declares: bool,
    pub(super) commands: Vec<Vec<Operand>>,
}

/// A word of a command, and the fields that are taken of it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Operand {
    pub(super) at: usize,
    pub(super) root: Root,
    pub(super) fields: Vec<String>,
}

/// What a word begins with.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Root {
    /// `.`.
    Dot,
    /// `$name`.
    Variable(String),
    /// A string, a number, true, false.
    Value(Value),
    /// `nil`.
    Nil,
    /// A function by its name.
    Function(String),
    /// What stands in parentheses.
    Group(Pipeline),
}

/// Nodes, and the templates that are defined beside them.
pub(super) type Parsed = (Vec<Node>, BTreeMap<String, Vec<Node>>);

/// Reads a template.
pub(super) fn parse(text: &str) -> Result<Parsed, Mistake> {
    let mut parser = Parser {
        pieces: pieces(text)?.into_iter(),
        end: text.len(),
        defined: BTreeMap::new(),
        variables: vec![String::new()],
        ranges: 0,
        depth: 0,
    };
    match parser.block()? {
        (nodes, None) => Ok((nodes, parser.defined)),
        (_, Some(stop)) => mistake(
            stop.at,
            format!(
                "`{{{{{}}}}}` without an `if`, `range`, `with`, `define` or `block`",
                stop.word
            ),
        ),
    }
}

struct Parser {
    pieces: IntoIter<Piece>,
    end: usize,
    defined: BTreeMap<String, Vec<Node>>,
    /// Names that are known here.
    variables: Vec<String>,
    /// How many `range`s we are in.
    ranges: usize,
    /// How many blocks and parentheses we are in.
    depth: usize,
}

/// What ends a block.
struct Stop {
    at: usize,
    word: String,
    rest: Vec<Item>,
}

impl Parser {
    /// Nodes up to `end` or `else`, and that word with what follows it.
    fn block(&mut self) -> Result<(Vec<Node>, Option<Stop>), Mistake> {
        let mut nodes = Vec::new();
        while let Some(piece) = self.pieces.next() {
            let (at, mut items) = match piece {
                Piece::Text(text) => {
                    if !text.is_empty() {
                        nodes.push(Node::Text(text));
                    }
                    continue;
                }
                Piece::Action(at, items) => (at, items),
            };
            let word = match items.first() {
                Some(Item { token: Token::Word(word), .. }) => word.clone(),
                _ => String::new(),
            };
            let is_keyword = KEYWORDS.contains(&word.as_str());
            if is_keyword {
                items.remove(0);
            }
            match word.as_str() {
                "end" | "else" => return Ok((nodes, Some(Stop { at, word, rest: items }))),
                "if" | "with" | "range" => nodes.push(self.branch(&word, at, items)?),
                "break" | "continue" => {
                    if self.ranges == 0 {
                        return mistake(at, format!("`{word}` outside of a `range`"));
                    }
                    nodes.push(if word == "break" { Node::Break } else { Node::Continue });
                }
                "define" => {
                    let (name, _) = Self::name(at, items)?;
                    self.define(at, name)?;
                }
                "template" | "block" => {
                    let (name, rest) = Self::name(at, items)?;
                    let value = if rest.is_empty() { None } else { Some(self.pipeline(at, rest)?) };
                    if word == "block" {
                        self.define(at, name.clone())?;
                    }
                    nodes.push(Node::Template(at, name, value));
                }
                _ => nodes.push(Node::Print(self.pipeline(at, items)?)),
            }
        }
        Ok((nodes, None))
    }

    /// The quoted name that an action begins with, and the rest of it.
    fn name(at: usize, mut items: Vec<Item>) -> Result<(String, Vec<Item>), Mistake> {
        match items.first().map(|it| it.token.clone()) {
            Some(Token::Value(Value::String(name))) => {
                items.remove(0);
                Ok((name, items))
            }
            _ => mistake(at, "expected the name of a template, in quotes"),
        }
    }

    /// A template that begins here; it knows none of our variables.
    fn define(&mut self, at: usize, name: String) -> Result<(), Mistake> {
        self.enter(at)?;
        let outer = std::mem::replace(&mut self.variables, vec![String::new()]);
        let ranges = std::mem::take(&mut self.ranges);
        let (body, stop) = self.block()?;
        self.expect_end(at, stop)?;
        self.depth -= 1;
        (self.variables, self.ranges) = (outer, ranges);
        self.defined.insert(name, body);
        Ok(())
    }

    fn expect_end(&self, at: usize, stop: Option<Stop>) -> Result<(), Mistake> {
        match stop {
            Some(stop) if stop.word == "end" => Ok(()),
            Some(stop) => mistake(stop.at, "a second `{{else}}`: an `{{end}}` is missing"),
            None => mistake(at.min(self.end), "its `{{end}}` is missing"),
        }
    }

    /// `if`, `with` and `range`; `else if` is an `if` of its own, with the same end.
    fn branch(&mut self, word: &str, at: usize, items: Vec<Item>) -> Result<Node, Mistake> {
        let known = self.variables.len();
        if items.is_empty() {
            return mistake(at, format!("`{word}` needs a value"));
        }
        self.enter(at)?;
        let value = self.pipeline(at, items)?;
        let is_range = word == "range";
        if value.variables.len() > 1 && !is_range {
            return mistake(at, "two variables are for `range`");
        }
        self.ranges += usize::from(is_range);
        let (body, stop) = self.block()?;
        self.ranges -= usize::from(is_range);
        let mut otherwise = Vec::new();
        match stop {
            Some(mut stop) if stop.word == "else" => {
                let next = match stop.rest.first().map(|it| &it.token) {
                    Some(Token::Word(next)) => next.clone(),
                    _ => String::new(),
                };
                if !is_range && next == word {
                    stop.rest.remove(0);
                    otherwise.push(self.branch(word, stop.at, stop.rest)?);
                } else if !stop.rest.is_empty() {
                    return mistake(stop.at, format!("`{word}` has no `else {next}`"));
                } else {
                    let stop = self.block()?;
                    otherwise = stop.0;
                    self.expect_end(at, stop.1)?;
                }
            }
            stop => self.expect_end(at, stop)?,
        }
        self.variables.truncate(known);
        self.depth -= 1;
        let branch = Branch { value, body, otherwise };
        Ok(match word {
            "if" => Node::If(branch),
            "with" => Node::With(branch),
            _ => Node::Range(branch),
        })
    }

    /// One level further in; what is nested without measure would not fit on the stack.
    fn enter(&mut self, at: usize) -> Result<(), Mistake> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return mistake(at, format!("nested deeper than {MAX_DEPTH} levels"));
        }
        Ok(())
    }

    fn pipeline(&mut self, at: usize, items: Vec<Item>) -> Result<Pipeline, Mistake> {
        let mut items = items.into_iter().peekable();
        let pipeline = self.commands(at, &mut items, false)?;
        if pipeline.commands.iter().any(Vec::is_empty) {
            return mistake(at, "a value is missing");
        }
        Ok(pipeline)
    }

    fn commands(
        &mut self,
        at: usize,
        items: &mut Peekable<IntoIter<Item>>,
        in_group: bool,
    ) -> Result<Pipeline, Mistake> {
        let mut pipeline = Pipeline { at, ..Pipeline::default() };
        let mut commands: Vec<Vec<Operand>> = vec![Vec::new()];
        loop {
            let Some(item) = items.next() else {
                if in_group {
                    return mistake(at, "a parenthesis is not closed");
                }
                break;
            };
            let is_first = commands.len() == 1 && commands[0].len() <= 2;
            let command = commands.last_mut().expect("there is always one");
            match item.token {
                Token::Close if in_group => break,
                Token::Close => return mistake(item.at, "a parenthesis that was not opened"),
                Token::Pipe => commands.push(Vec::new()),
                Token::Comma if is_first && command.len() == 1 => {}
                Token::Declare | Token::Assign if is_first && !command.is_empty() => {
                    pipeline.declares = item.token == Token::Declare;
                    for operand in command.drain(..) {
                        match operand.root {
                            Root::Variable(name) if operand.fields.is_empty() => {
                                pipeline.variables.push(name);
                            }
                            _ => return mistake(item.at, "only a variable can be set"),
                        }
                    }
                }
                Token::Comma | Token::Declare | Token::Assign => {
                    return mistake(item.at, "unexpected here");
                }
                _ => {
                    let operand = self.operand(item, items)?;
                    command.push(operand);
                }
            }
        }
        self.check(&pipeline, &commands)?;
        if pipeline.declares {
            self.variables.extend(pipeline.variables.iter().cloned());
        }
        Ok(Pipeline { commands, ..pipeline })
    }

    fn check(&self, pipeline: &Pipeline, commands: &[Vec<Operand>]) -> Result<(), Mistake> {
        if let Some(unknown) = pipeline.variables.iter().find(|it| !self.variables.contains(it))
            && !pipeline.declares
        {
            return mistake(pipeline.at, format!("there is no variable `${unknown}`"));
        }
        for operand in commands.iter().flatten() {
            if let Root::Variable(name) = &operand.root
                && !self.variables.contains(name)
            {
                return mistake(operand.at, format!("there is no variable `${name}`"));
            }
        }
        for command in commands.iter().skip(1) {
            if let Some(Operand { at, root: Root::Value(_) | Root::Nil | Root::Dot, fields }) =
                command.first()
                && fields.is_empty()
            {
                return mistake(*at, "a value cannot be given to a value: expected a function");
            }
        }
        Ok(())
    }

    fn operand(
        &mut self,
        item: Item,
        items: &mut Peekable<IntoIter<Item>>,
    ) -> Result<Operand, Mistake> {
        let at = item.at;
        let mut fields = Vec::new();
        let root = match item.token {
            Token::Dot => Root::Dot,
            Token::Field(name) => {
                fields.push(name);
                Root::Dot
            }
            Token::Variable(name) => Root::Variable(name),
            Token::Value(value) => Root::Value(value),
            Token::Word(word) if word == "nil" => Root::Nil,
            Token::Word(word) if FUNCTIONS.contains(&word.as_str()) => Root::Function(word),
            Token::Word(word) => {
                let near = did_you_mean(&word, FUNCTIONS);
                return mistake(at, format!("there is no function `{word}`{near}"));
            }
            _ => {
                self.enter(at)?;
                let group = self.commands(at, items, true)?;
                self.depth -= 1;
                Root::Group(group)
            }
        };
        while let Some(Item { spaced: false, token: Token::Field(name), .. }) = items.peek() {
            fields.push(name.clone());
            items.next();
        }
        Ok(Operand { at, root, fields })
    }
}

/// Deepest nesting of blocks and parentheses.
const MAX_DEPTH: usize = 100;

/// Words that begin an action, and are no functions.
const KEYWORDS: [&str; 10] =
    ["end", "else", "if", "with", "range", "break", "continue", "define", "template", "block"];
