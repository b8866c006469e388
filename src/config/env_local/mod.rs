//! Reads `env.local`: the part of shell that only assigns, so that nothing has to be run to know it.
//!
//! What needs a shell is named with its place and refused; no value is ever half-read. Values appear
//! in no message, because any of them may be a secret.

mod expand;
mod skip;
mod statement;
mod word;

use std::collections::BTreeMap;

use indexmap::IndexMap;

use self::statement::Parser;
use crate::problem::Problems;

/// What the file says about one variable.
#[derive(Clone, PartialEq, Eq)]
pub struct Assigned {
    /// Value after quotes and expansions.
    pub value: String,
    /// Line of the assignment that counts, from 1.
    pub line: usize,
}

/// Shows the line only: the value may be a secret.
impl std::fmt::Debug for Assigned {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Assigned").field("line", &self.line).finish_non_exhaustive()
    }
}

/// Reads the text of an `env.local`; `file` is its name in messages.
///
/// References see `environment` before the file's own assignments, because a variable of the
/// environment keeps its value. The result holds what the file says even where the environment says
/// otherwise; who merges the two lets the environment win.
pub fn parse(
    text: &str,
    file: &str,
    environment: &BTreeMap<String, String>,
) -> Result<IndexMap<String, Assigned>, Problems> {
    let (assigned, problems) = parse_partly(text, file, environment);
    problems.into_result()?;
    Ok(assigned)
}

/// As [`parse`], and in spite of problems returns what the lines without one say, so that what is
/// wrong with those values can be told together with the problems. Nothing may be run with it.
pub fn parse_partly(
    text: &str,
    file: &str,
    environment: &BTreeMap<String, String>,
) -> (IndexMap<String, Assigned>, Problems) {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text).replace("\r\n", "\n");
    let (statements, refused) = Parser::new(&text, file).parse();
    let (mut assigned, failed) = expand::expand(&statements, file, environment);
    // What fails after a line that was refused may fail because of it.
    let problems = if refused.is_empty() { failed } else { refused };
    assigned.retain(|_, it| problems.iter().all(|problem| problem.line != Some(it.line)));
    (assigned, Problems(problems))
}

/// A place in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    line: usize,
    column: usize,
}

/// One effect of the file, in order.
enum Statement {
    /// `NAME=value`.
    Assign(Assignment),
    /// The assignments of one `export`: all values are expanded before the first is assigned.
    Export(Vec<Assignment>),
    /// An argument of `:`, expanded for what `${V:=x}` and `${V:?m}` in it do.
    Evaluate(Word),
}

struct Assignment {
    name: String,
    line: usize,
    value: Word,
}

/// A word: pieces that are concatenated.
#[derive(Default)]
struct Word(Vec<Piece>);

impl Word {
    fn push(&mut self, character: char) {
        if let Some(Piece::Text(text)) = self.0.last_mut() {
            text.push(character);
        } else {
            self.0.push(Piece::Text(character.to_string()));
        }
    }

    /// Keeps a quoted empty string: `""` is a word, too.
    fn append(&mut self, other: Self) {
        for piece in other.0 {
            match (self.0.last_mut(), piece) {
                (Some(Piece::Text(text)), Piece::Text(more)) => text.push_str(&more),
                (_, piece) => self.0.push(piece),
            }
        }
    }
}

enum Piece {
    /// Literal text.
    Text(String),
    /// `~`: the home directory.
    Home,
    /// `$V`, `${V}`, `${V:-word}` and their like.
    Parameter { name: String, place: Place, operation: Option<Operation> },
}

/// What follows the name in `${V:-word}`.
struct Operation {
    kind: OperationKind,
    /// With `:`, an empty value is treated as no value.
    empty_is_unset: bool,
    word: Word,
}

#[derive(Clone, Copy)]
enum OperationKind {
    /// `-`: the word stands in for a missing value.
    Default,
    /// `=`: as `-`, and is assigned.
    Assign,
    /// `?`: a missing value is an error.
    Require,
    /// `+`: the word stands in for a value that is there.
    Alternative,
}

fn is_name_start(character: char) -> bool {
    character.is_ascii_alphabetic() || character == '_'
}

fn is_name_part(character: char) -> bool {
    character.is_ascii_alphanumeric() || character == '_'
}

/// True for a name that a shell can assign to.
fn is_name(text: &str) -> bool {
    text.starts_with(is_name_start) && text.chars().all(is_name_part)
}

#[cfg(test)]
mod tests;
