//! What the formats of other schedulers share: they are brought into our own form and read from there.
//!
//! So there is one reader that knows what a job is, and what an import writes is what was read.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::native::write::{Written, tree};
use super::native::{self, Context};
use crate::compose::yaml::Span;
use crate::problem::Problem;

/// How long a run may take where another scheduler sets no limit: longer than any of their jobs, short
/// enough that one that hangs is noticed.
pub(super) const TIMEOUT: &str = "24h";

/// Jobs of another scheduler, and all that is to be said about them.
#[derive(Debug, Default)]
pub struct Imported {
    /// The jobs, each with its text in our form.
    pub jobs: Vec<Written>,
    /// Entries that are no job of ours, and warnings.
    pub problems: Vec<Problem>,
}

impl Imported {
    /// Reads a job that was brought into our form; variables in it are put in. One that cannot be read
    /// is a problem.
    pub(super) fn add(&mut self, job: Map<String, Value>, span: &Span, context: &Context<'_>) {
        let node = tree(&Value::Object(job), span);
        let (job, problems) = native::read_one(&node, context);
        let is_broken = problems.0.iter().any(|problem| !problem.is_warning());
        self.problems.extend(problems.0);
        if let Some(job) = job.filter(|_| !is_broken) {
            self.jobs.push(Written { job, tree: node });
        }
    }

    /// Adds a job that runs another one when Roadstead starts.
    pub(super) fn add_start(
        &mut self,
        job: &str,
        names: &mut Names,
        span: &Span,
        context: &Context<'_>,
    ) {
        let name = names.give(&format!("{job}-onstart"));
        let start =
            json!({"name": name, "schedule": "@startup", "timeout": TIMEOUT, "group": [job]});
        if let Value::Object(start) = start {
            self.add(start, span, context);
        }
    }

    /// Says something about a place that stops nothing.
    pub(super) fn warn(&mut self, span: &Span, message: impl Into<String>) {
        self.problems.push(span.problem(message).as_warning());
    }

    /// Says why something at a place is no job.
    pub(super) fn refuse(&mut self, span: &Span, message: impl Into<String>) {
        self.problems.push(span.problem(message));
    }
}

/// Names of jobs that are given out once each.
#[derive(Debug, Default)]
pub(super) struct Names(BTreeSet<String>);

impl Names {
    /// A legal name made of a text, with a number behind it where it is taken.
    pub(super) fn give(&mut self, text: &str) -> String {
        let legal = legal(text);
        let numbered = (2_u32..).map(|number| format!("{legal}-{number}"));
        let mut candidates = std::iter::once(legal.clone()).chain(numbered);
        let name = candidates.find(|name| !self.0.contains(name)).unwrap_or(legal);
        self.0.insert(name.clone());
        name
    }

    /// Whether the name made of a text is taken.
    pub(super) fn has(&self, text: &str) -> bool {
        self.0.contains(&legal(text))
    }
}

/// A text made fit for a name of a job.
pub(super) fn legal(text: &str) -> String {
    let allowed = |letter: char| letter.is_ascii_alphanumeric() || "._-".contains(letter);
    let name: String =
        text.trim().chars().map(|letter| if allowed(letter) { letter } else { '-' }).collect();
    let name = name.trim_start_matches(['.', '_', '-']).trim_end_matches('-');
    if name.is_empty() { "job".to_owned() } else { name.to_owned() }
}

/// A text in which every `$` stays one.
pub(super) fn literal(text: &str) -> String {
    text.replace('$', "$$")
}

/// The same for a list.
pub(super) fn literals<S: AsRef<str>>(texts: impl IntoIterator<Item = S>) -> Value {
    texts.into_iter().map(|text| Value::String(literal(text.as_ref()))).collect()
}
