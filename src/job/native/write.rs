//! Jobs in their written form: what an export prints, and what an import writes into a file.
//!
//! A job is printed from what was written of it, before variables were put in: no value of a variable,
//! and so no secret of `env.local`, gets into a file this way.

use std::borrow::Borrow;

use serde_json::{Map, Value};

use super::table::JOB;
use crate::compose::yaml::{Key, Node, Span};
use crate::compose::{emit, yaml};
use crate::job::Job;

/// A job, and what was written of it.
#[derive(Clone, Debug)]
pub struct Written {
    /// The job.
    pub job: Job,
    /// Its text as a tree, before variables were put in.
    pub tree: Node,
}

impl Borrow<Job> for Written {
    fn borrow(&self) -> &Job {
        &self.job
    }
}

impl Written {
    /// The job as YAML that reads back as the same job. Two texts of the same tree are alike.
    pub fn yaml(&self) -> String {
        emit::yaml(&in_order(json(&self.tree)))
    }

    /// Its tree as JSON.
    pub fn json(&self) -> Value {
        in_order(json(&self.tree))
    }
}

/// Jobs as one YAML text: a job alone as a mapping, several as documents.
pub fn yaml_of(jobs: &[Written]) -> String {
    jobs.iter().map(Written::yaml).collect::<Vec<_>>().join("---\n")
}

/// The tree as JSON, its keys in the order they were written in.
pub fn json(node: &Node) -> Value {
    match &node.value {
        yaml::Value::Sequence(items) => items.iter().map(json).collect(),
        yaml::Value::Mapping(entries) => {
            let entries = entries.iter().map(|(key, node)| (key.name.clone(), json(node)));
            Value::Object(entries.collect())
        }
        yaml::Value::Null
        | yaml::Value::Bool(_)
        | yaml::Value::Int(_)
        | yaml::Value::Float(_)
        | yaml::Value::Timestamp(_)
        | yaml::Value::String(_) => emit::json(node),
    }
}

/// JSON as a tree all of which stands at one place.
pub fn tree(value: &Value, span: &Span) -> Node {
    let value = match value {
        Value::Null => yaml::Value::Null,
        Value::Bool(value) => yaml::Value::Bool(*value),
        Value::Number(number) => match number.as_i128() {
            Some(number) => yaml::Value::Int(number),
            None => yaml::Value::Float(number.as_f64().unwrap_or_default()),
        },
        Value::String(text) => yaml::Value::String(text.clone()),
        Value::Array(items) => {
            yaml::Value::Sequence(items.iter().map(|item| tree(item, span)).collect())
        }
        Value::Object(entries) => {
            let entries = entries.iter();
            let entries = entries.map(|(key, value)| (Key::implied(key, span), tree(value, span)));
            yaml::Value::Mapping(entries.collect())
        }
    };
    Node { value, span: span.clone(), tag: None }
}

/// The same text where every `$` is one: what variables cannot touch.
pub fn escape(value: &mut Value) {
    match value {
        Value::String(text) if text.contains('$') => *text = text.replace('$', "$$"),
        Value::Array(items) => items.iter_mut().for_each(escape),
        Value::Object(entries) => entries.values_mut().for_each(escape),
        _ => {}
    }
}

/// The keys of a job in the order of the table; those of its work stay as they were written.
fn in_order(value: Value) -> Value {
    let Value::Object(mut entries) = value else { return value };
    let mut ordered = Map::new();
    for name in JOB.names() {
        ordered.extend(entries.shift_remove_entry(name));
    }
    ordered.extend(entries);
    Value::Object(ordered)
}
