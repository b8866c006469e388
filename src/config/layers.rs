//! Which of several names and places a variable's value comes from.

use std::collections::BTreeMap;

use indexmap::IndexMap;

use super::env_local::Assigned;
use super::variables::{PREFIX, Status, Variable, find, variables};
use crate::problem::{Problem, nearest};

/// The file and the environment.
pub(super) struct Layers {
    /// Name of the file in messages.
    pub(super) file: String,
    pub(super) assigned: IndexMap<String, Assigned>,
    pub(super) environment: BTreeMap<String, String>,
}

/// A value and where it was written.
pub(super) struct Sourced {
    pub(super) value: String,
    /// The name it was written under.
    pub(super) name: &'static str,
    pub(super) file: String,
    pub(super) line: Option<usize>,
}

impl Sourced {
    pub(super) fn problem(&self, message: String) -> Problem {
        let mut problem = Problem::in_file(&self.file, message);
        problem.line = self.line;
        problem
    }
}

/// Values by our name for them.
pub(super) type Found = BTreeMap<&'static str, Sourced>;

impl Layers {
    /// Finds the value of every variable of the table; an empty value is none.
    pub(super) fn resolve(&self, warnings: &mut Vec<Problem>) -> Found {
        let mut found = Found::new();
        for variable in variables() {
            let mut candidates = self.candidates(variable).into_iter();
            let Some(winner) = candidates.next() else { continue };
            let differs =
                |loser: &Sourced| loser.name != winner.name && loser.value != winner.value;
            warnings.extend(candidates.filter(differs).map(|loser| conflict(&winner, &loser)));
            match variable.status {
                Status::Read | Status::Essential => {
                    found.insert(variable.name, winner);
                }
                Status::Later => warnings.push(
                    winner
                        .problem(format!("`{}` is not supported yet and is ignored", winner.name))
                        .with_hint(variable.meaning),
                ),
                Status::Environment if winner.line.is_some() => {
                    let what = "has no effect in the file: set it in the environment";
                    warnings.push(winner.problem(format!("`{}` {what}", winner.name)));
                }
                Status::Environment | Status::Foreign => {}
            }
        }
        found
    }

    /// All places that set the variable, the one that wins first: the environment before the file,
    /// our name before older ones.
    fn candidates(&self, variable: &'static Variable) -> Vec<Sourced> {
        let mut candidates = Vec::new();
        for name in variable.names() {
            if let Some(value) = self.environment.get(name) {
                let (value, file) = (unquoted(value).to_owned(), "environment".to_owned());
                candidates.push(Sourced { value, name, file, line: None });
            }
        }
        for name in variable.names() {
            if let Some(Assigned { value, line }) = self.assigned.get(name) {
                let (value, file) = (value.clone(), self.file.clone());
                candidates.push(Sourced { value, name, file, line: Some(*line) });
            }
        }
        candidates.retain(|candidate| !candidate.value.trim().is_empty());
        candidates
    }

    /// Everything that both say, as written; our names stand for older ones.
    pub(super) fn variables(&self, found: &Found) -> BTreeMap<String, String> {
        let assigned = self.assigned.iter();
        let mut variables: BTreeMap<_, _> =
            assigned.map(|(name, assigned)| (name.clone(), assigned.value.clone())).collect();
        variables.extend(self.environment.clone());
        variables.extend(found.iter().map(|(name, one)| ((*name).to_owned(), one.value.clone())));
        variables
    }

    /// Names that look like ours and are not.
    pub(super) fn unknown(&self) -> Vec<Problem> {
        let is_unknown = |name: &&String| name.starts_with(PREFIX) && find(name).is_none();
        let mut problems = Vec::new();
        for name in self.environment.keys().filter(is_unknown) {
            problems.push(unknown(name, Problem::in_file("environment", String::new())));
        }
        for (name, Assigned { line, .. }) in
            self.assigned.iter().filter(|(name, _)| is_unknown(name))
        {
            problems
                .push(unknown(name, Problem::in_file(&self.file, String::new()).at_line(*line)));
        }
        problems
    }
}

fn unknown(name: &str, mut problem: Problem) -> Problem {
    problem.message = format!("unknown variable `{name}`");
    let known = variables().filter(|variable| variable.is_read()).map(|variable| variable.name);
    match nearest(name, known) {
        Some(known) => problem.with_hint(format!("did you mean `{known}`?")),
        None => problem.with_hint("remove it; `env.local.example` lists every variable"),
    }
}

fn conflict(winner: &Sourced, loser: &Sourced) -> Problem {
    let place = match winner.line {
        Some(line) => format!("line {line}"),
        None => "the environment".to_owned(),
    };
    let message =
        format!("`{}` is ignored: `{}` of {place} says otherwise", loser.name, winner.name);
    loser.problem(message).with_hint("keep one of the two")
}

/// `docker run --env-file` passes the quotes of `NAME="value"` on; no value of ours begins with one.
fn unquoted(value: &str) -> &str {
    let inner = |quote: char| value.strip_prefix(quote)?.strip_suffix(quote);
    inner('"').or_else(|| inner('\'')).unwrap_or(value)
}
