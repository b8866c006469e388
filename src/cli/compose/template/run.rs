//! Filling a template in.

use serde_json::Value;

use super::call::{call, is_true};
use super::lex::{Mistake, mistake};
use super::parse::{Branch, Node, Operand, Parsed, Pipeline, Root};
use super::printf::text;
use super::{LABELS, visible};
use crate::cli::compose::target::did_you_mean;

/// Templates may call each other; deeper than this they do without end.
const MAX_DEPTH: usize = 100;

/// A template on its way.
pub(super) struct Run<'a> {
    pub(super) parsed: &'a Parsed,
    /// What was printed so far.
    pub(super) printed: String,
    /// It is the row of headers.
    pub(super) headings: bool,
    pub(super) variables: Vec<(String, Value)>,
    pub(super) depth: usize,
}

/// How it goes on after a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flow {
    On,
    Break,
    Continue,
}

impl Run<'_> {
    /// Fills in one template; `$` is what it is given.
    pub(super) fn whole(&mut self, nodes: &[Node], dot: &Value) -> Result<(), Mistake> {
        let outer = std::mem::replace(&mut self.variables, vec![(String::new(), dot.clone())]);
        self.walk(nodes, dot)?;
        self.variables = outer;
        Ok(())
    }

    fn walk(&mut self, nodes: &[Node], dot: &Value) -> Result<Flow, Mistake> {
        for node in nodes {
            let flow = match node {
                Node::Text(text) => {
                    self.printed.push_str(text);
                    Flow::On
                }
                Node::Print(pipeline) => {
                    let value = self.evaluate(pipeline, dot)?;
                    if pipeline.variables.is_empty() {
                        let word = if value.is_null() { "<no value>" } else { &text(&value) };
                        self.printed.push_str(word);
                    }
                    Flow::On
                }
                Node::If(branch) => self.branch(branch, dot, false)?,
                Node::With(branch) => self.branch(branch, dot, true)?,
                Node::Range(branch) => self.range(branch, dot)?,
                Node::Template(at, name, value) => {
                    let value = match value {
                        Some(pipeline) => self.evaluate(pipeline, dot)?,
                        None => Value::Null,
                    };
                    let Some(nodes) = self.parsed.1.get(name) else {
                        return mistake(*at, format!("there is no template `{name}`"));
                    };
                    self.depth += 1;
                    if self.depth > MAX_DEPTH {
                        return mistake(*at, "templates call each other without end");
                    }
                    self.whole(nodes, &value)?;
                    self.depth -= 1;
                    Flow::On
                }
                Node::Break => Flow::Break,
                Node::Continue => Flow::Continue,
            };
            if flow != Flow::On {
                return Ok(flow);
            }
        }
        Ok(Flow::On)
    }

    fn branch(&mut self, branch: &Branch, dot: &Value, moves: bool) -> Result<Flow, Mistake> {
        let known = self.variables.len();
        let value = self.evaluate(&branch.value, dot)?;
        let flow = match (is_true(&value), moves) {
            (true, true) => self.walk(&branch.body, &value)?,
            (true, false) => self.walk(&branch.body, dot)?,
            (false, _) => self.walk(&branch.otherwise, dot)?,
        };
        self.variables.truncate(known);
        Ok(flow)
    }

    fn range(&mut self, branch: &Branch, dot: &Value) -> Result<Flow, Mistake> {
        let Branch { value: pipeline, body, otherwise } = branch;
        let known = self.variables.len();
        let plain = Pipeline { variables: Vec::new(), ..pipeline.clone() };
        let items: Vec<Value> = match self.evaluate(&plain, dot)? {
            Value::Array(items) => items,
            Value::Null => Vec::new(),
            Value::Number(count) if count.is_i64() && pipeline.variables.len() < 2 => {
                (0..count.as_i64().unwrap_or_default()).map(Value::from).collect()
            }
            other => {
                return mistake(pipeline.at, format!("cannot range over `{}`", text(&other)));
            }
        };
        if items.is_empty() {
            return self.walk(otherwise, dot);
        }
        for (at, item) in items.iter().enumerate() {
            let values = match pipeline.variables.len() {
                2 => vec![Value::from(at), item.clone()],
                _ => vec![item.clone()],
            };
            for (name, value) in pipeline.variables.iter().zip(values) {
                self.set(name, value, pipeline.declares);
            }
            let flow = self.walk(body, item)?;
            if pipeline.declares {
                self.variables.truncate(known);
            }
            if flow == Flow::Break {
                break;
            }
        }
        self.variables.truncate(known);
        Ok(Flow::On)
    }

    fn set(&mut self, name: &str, value: Value, declares: bool) {
        match self.variables.iter_mut().rev().find(|it| it.0 == name) {
            Some(known) if !declares => known.1 = value,
            _ => self.variables.push((name.to_owned(), value)),
        }
    }

    /// Each command of a pipe gets the value of the one before it as its last argument.
    fn evaluate(&mut self, pipeline: &Pipeline, dot: &Value) -> Result<Value, Mistake> {
        let mut value = None;
        for command in &pipeline.commands {
            value = Some(self.command(command, value, dot)?);
        }
        let value = value.unwrap_or(Value::Null);
        for name in &pipeline.variables {
            self.set(name, value.clone(), pipeline.declares);
        }
        Ok(value)
    }

    fn command(
        &mut self,
        command: &[Operand],
        piped: Option<Value>,
        dot: &Value,
    ) -> Result<Value, Mistake> {
        let Some((first, rest)) = command.split_first() else { return Ok(Value::Null) };
        if let (Root::Function(name), true) = (&first.root, first.fields.is_empty()) {
            return self.call(first.at, name, (rest, piped), dot);
        }
        if first.root == Root::Nil {
            return mistake(first.at, "`nil` is no value of its own");
        }
        let is_label = matches!(first.fields.last(), Some(name) if name == "Label");
        if is_label && first.fields.len() == 1 {
            let row = self.root(first, dot)?;
            let mut arguments = Vec::new();
            for operand in rest {
                arguments.push(self.operand(operand, dot)?);
            }
            arguments.extend(piped);
            return match &arguments[..] {
                [Value::String(name)] => Ok(label(&row, name)),
                _ => mistake(first.at, "`.Label` takes the name of a label, in quotes"),
            };
        }
        if !rest.is_empty() || piped.is_some() {
            let at = rest.first().map_or(first.at, |it| it.at);
            return mistake(at, "only functions and `.Label` take values");
        }
        self.operand(first, dot)
    }

    fn call(
        &mut self,
        at: usize,
        name: &str,
        (operands, piped): (&[Operand], Option<Value>),
        dot: &Value,
    ) -> Result<Value, Mistake> {
        let mut given = Vec::new();
        for operand in operands {
            let value = self.operand(operand, dot)?;
            // What comes after it does not matter, and may not be there.
            let decides = match name {
                "and" => !is_true(&value),
                "or" => is_true(&value),
                _ => false,
            };
            if decides {
                return Ok(value);
            }
            given.push(value);
        }
        given.extend(piped);
        call(name, &given, self.headings).or_else(|what| mistake(at, what))
    }

    fn operand(&mut self, operand: &Operand, dot: &Value) -> Result<Value, Mistake> {
        let value = self.root(operand, dot)?;
        if operand.fields.is_empty() {
            return Ok(visible(&value));
        }
        Self::fields(operand.at, value, &operand.fields)
    }

    fn root(&mut self, operand: &Operand, dot: &Value) -> Result<Value, Mistake> {
        Ok(match &operand.root {
            Root::Dot => dot.clone(),
            Root::Variable(name) => {
                let found = self.variables.iter().rev().find(|it| it.0 == *name);
                found.map_or(Value::Null, |it| it.1.clone())
            }
            Root::Value(value) => value.clone(),
            Root::Nil => Value::Null,
            Root::Group(pipeline) => self.evaluate(pipeline, dot)?,
            Root::Function(name) => self.call(operand.at, name, (&[], None), dot)?,
        })
    }

    fn fields(at: usize, value: Value, path: &[String]) -> Result<Value, Mistake> {
        let mut value = value;
        for name in path {
            let found = value.get(name).cloned();
            let Some(found) = found else {
                let Some(map) = value.as_object() else {
                    let what = format!("`{}` has no field `.{name}`", text(&value));
                    return mistake(at, what);
                };
                let known: Vec<&str> =
                    map.keys().map(String::as_str).filter(|it| !it.starts_with('\0')).collect();
                let near = did_you_mean(name, known.iter().copied());
                let known = known.join(", ");
                return mistake(
                    at,
                    format!("there is no field `.{name}`{near} (there are {known})"),
                );
            };
            value = found;
        }
        Ok(value)
    }
}

/// The value of a label; in the row of headers the last part of its name, in words.
fn label(row: &Value, name: &str) -> Value {
    if let Some(labels) = row.get(LABELS) {
        return labels.get(name).cloned().unwrap_or_else(|| Value::from(""));
    }
    let last = name.rsplit('.').next().unwrap_or_default();
    Value::from(last.replace(['-', '_'], " "))
}
