//! From statements to values.

use std::collections::BTreeMap;
use std::slice;

use indexmap::IndexMap;

use super::{Assigned, Assignment, Operation, OperationKind, Piece, Place, Statement, Word};
use crate::problem::Problem;

/// Longest value: far beyond what an environment can hold (128 KiB on Linux), and short enough that
/// lines which double each other cannot exhaust the memory.
const LONGEST_BYTES: usize = 1024 * 1024;
/// Most bytes that references bring in altogether: many long values are as bad as one.
const MOST_BYTES: usize = 16 * LONGEST_BYTES;

/// Expands `statements` in order: values, and what is wrong with them.
pub(super) fn expand(
    statements: &[Statement],
    file: &str,
    environment: &BTreeMap<String, String>,
) -> (IndexMap<String, Assigned>, Vec<Problem>) {
    let mut expansion =
        Expansion { file, environment, assigned: IndexMap::new(), problems: Vec::new(), spent: 0 };
    for statement in statements {
        match statement {
            Statement::Assign(one) => expansion.assign(slice::from_ref(one)),
            Statement::Export(several) => expansion.assign(several),
            Statement::Evaluate(word) => {
                expansion.word(word, None);
            }
        }
        if expansion.is_spent() {
            let limit = MOST_BYTES >> 20;
            let message = format!("values up to here are longer than {limit} MiB together");
            expansion.report_long(message, Some(line_of(statement)));
            break;
        }
    }
    (expansion.assigned, expansion.problems)
}

struct Expansion<'a> {
    file: &'a str,
    environment: &'a BTreeMap<String, String>,
    assigned: IndexMap<String, Assigned>,
    problems: Vec<Problem>,
    /// Bytes that references brought in.
    spent: usize,
}

impl Expansion<'_> {
    fn assign(&mut self, assignments: &[Assignment]) {
        let mut values = Vec::new();
        for Assignment { name, line, value } in assignments {
            values.push(self.word(value, Some((name, *line))));
        }
        for (Assignment { name, line, .. }, value) in assignments.iter().zip(values) {
            self.assigned.insert(name.clone(), Assigned { value, line: *line });
        }
    }

    /// The value of a variable; empty when too much was brought in, which is told in the end.
    fn lookup(&mut self, name: &str) -> Option<String> {
        let assigned = || self.assigned.get(name).map(|assigned| &assigned.value);
        let value = self.environment.get(name).or_else(assigned)?;
        self.spent += value.len();
        Some(if self.is_spent() { String::new() } else { value.clone() })
    }

    fn is_spent(&self) -> bool {
        self.spent > MOST_BYTES
    }

    fn word(&mut self, word: &Word, assigns: Option<(&str, usize)>) -> String {
        let mut value = String::new();
        for piece in &word.0 {
            match piece {
                Piece::Text(text) => value.push_str(text),
                Piece::Home => value.push_str(self.lookup("HOME").as_deref().unwrap_or("~")),
                Piece::Parameter { name, place, operation } => {
                    value.push_str(&self.parameter(name, *place, operation.as_ref()));
                }
            }
            if value.len() > LONGEST_BYTES {
                self.report_too_long(assigns);
                return String::new();
            }
        }
        value
    }

    fn parameter(&mut self, name: &str, place: Place, operation: Option<&Operation>) -> String {
        let value = self.lookup(name);
        let Some(Operation { kind, empty_is_unset, word }) = operation else {
            return value.unwrap_or_default();
        };
        let present = value.filter(|value| !(*empty_is_unset && value.is_empty()));
        match (kind, present) {
            (OperationKind::Alternative, Some(_)) | (OperationKind::Default, None) => {
                self.word(word, None)
            }
            (OperationKind::Alternative, None) => String::new(),
            (_, Some(value)) => value,
            (OperationKind::Assign, None) => {
                let value = self.word(word, None);
                let assigned = Assigned { value: value.clone(), line: place.line };
                self.assigned.insert(name.to_owned(), assigned);
                value
            }
            (OperationKind::Require, None) => {
                self.report_missing(name, place, word);
                String::new()
            }
        }
    }

    fn report_missing(&mut self, name: &str, place: Place, word: &Word) {
        let said = as_written(word);
        let said = if said.is_empty() { "it must have a value".to_owned() } else { said };
        let mut problem = Problem::in_file(self.file, format!("`{name}` is not set: {said}"))
            .at_line(place.line)
            .with_hint(format!("assign `{name}` above this line or in the environment"));
        problem.column = Some(place.column);
        self.problems.push(problem);
    }

    fn report_too_long(&mut self, assigns: Option<(&str, usize)>) {
        let (what, line) = match assigns {
            Some((name, line)) => (format!("the value of `{name}`"), Some(line)),
            None => ("a value".to_owned(), None),
        };
        self.report_long(format!("{what} is longer than 1 MiB after expansion"), line);
    }

    fn report_long(&mut self, message: String, line: Option<usize>) {
        let mut problem = Problem::in_file(self.file, message)
            .with_hint("put long text into a file and assign its path");
        problem.line = line;
        self.problems.push(problem);
    }
}

/// Where a statement stands, as far as that is known.
fn line_of(statement: &Statement) -> usize {
    let first = match statement {
        Statement::Assign(one) => return one.line,
        Statement::Export(several) => return several.first().map_or(1, |one| one.line),
        Statement::Evaluate(word) => word.0.iter().find_map(|piece| match piece {
            Piece::Parameter { place, .. } => Some(place.line),
            Piece::Text(_) | Piece::Home => None,
        }),
    };
    first.unwrap_or(1)
}

/// The text of a message, its references by name: their values may be secrets.
fn as_written(word: &Word) -> String {
    let mut text = String::new();
    for piece in &word.0 {
        match piece {
            Piece::Text(literal) => text.push_str(literal),
            Piece::Home => text.push('~'),
            Piece::Parameter { name, .. } => {
                text.push('$');
                text.push_str(name);
            }
        }
    }
    text
}
