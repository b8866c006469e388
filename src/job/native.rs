//! Reads job files: one job or a list of them, in one or several YAML documents.
//!
//! Reports everything that is wrong with a file at once, and opens nothing.

mod deploy;
mod fields;
mod run;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono_tz::{TZ_VARIANTS, Tz};

pub(crate) use self::deploy::{repository_name, unique_name};
use self::fields::{Fields, Keys};
use super::schedule::Schedule;
use super::{Job, Keep, Notify, Policy, Window, Work};
use crate::compose::interpolate::substitute;
use crate::compose::yaml::{self, Node};
use crate::problem::{self, Problem, Problems};
use crate::settings::Settings;

/// Longest time a deploy may take where its job says nothing.
pub const DEPLOY_TIMEOUT: Duration = Duration::from_mins(30);
/// Longest time a container may run where its job says nothing.
pub const RUN_TIMEOUT: Duration = Duration::from_hours(1);

const KEYS: Keys = Keys {
    of: "a job",
    known: &["name", "description", "enabled", "schedule", "timezone", "timeout", "deploy", "run"],
    later: &[
        "on",
        "overlap",
        "catch_up",
        "retry",
        "notify",
        "exec",
        "http",
        "backup",
        "cache_sync",
        "sync",
        "rotate",
        "on_failure",
        "jitter",
        "after",
        "labels",
    ],
};

/// Finds the top directory of the checkout that holds a directory.
pub type Toplevel<'a> = &'a dyn Fn(&Path) -> Option<PathBuf>;

/// Reads the jobs of a file; `file` is its name for messages.
pub fn parse(text: &str, file: &str, settings: &Settings) -> Result<Vec<Job>, Problems> {
    parse_with(
        text,
        file,
        &Context { settings, variables: &settings.variables, toplevel: &|_| None },
    )
}

/// What a job file is read with.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// Defaults.
    pub settings: &'a Settings,
    /// Variables for interpolation.
    pub variables: &'a BTreeMap<String, String>,
    /// A source inside a checkout stands for that checkout.
    pub toplevel: Toplevel<'a>,
}

/// Reads the jobs of a file whose sources may be directories inside checkouts.
pub fn parse_with(text: &str, file: &str, context: &Context<'_>) -> Result<Vec<Job>, Problems> {
    let mut reader = Reader {
        settings: context.settings,
        variables: context.variables,
        toplevel: context.toplevel,
        problems: Vec::new(),
    };
    let mut jobs: Vec<Job> = Vec::new();
    for mut document in yaml::parse(text, file)? {
        reader.interpolate(&mut document);
        let interpolated = reader.problems.len();
        let items = document.as_sequence().unwrap_or(std::slice::from_ref(&document));
        for item in items.iter().filter(|item| !item.is_null()) {
            let Some(job) = reader.read_job(item) else { continue };
            if let Some(first) = jobs.iter().find(|first| first.name == job.name) {
                let place = item.get("name").unwrap_or(item);
                reader.problems.push(duplicate(place.problem(""), &job.name, &first.origin));
            } else {
                jobs.push(job);
            }
        }
        reader.forget_what_follows_from(interpolated);
    }
    reader.problems.sort_by_key(|problem| (problem.line, problem.column));
    Problems(reader.problems).into_result()?;
    Ok(jobs)
}

/// The problem of a second job of a name.
pub(super) fn duplicate(place: Problem, name: &str, first: &str) -> Problem {
    let message = format!("there is a job `{name}` already, in `{first}`");
    Problem { message, ..place }.with_hint("names of jobs are unique: give one another name")
}

/// What reading goes on with, and what was wrong so far.
struct Reader<'a> {
    settings: &'a Settings,
    variables: &'a BTreeMap<String, String>,
    toplevel: Toplevel<'a>,
    problems: Vec<Problem>,
}

impl Reader<'_> {
    /// Where our clones live.
    fn clones(&self) -> PathBuf {
        self.settings.state_dir.join("sources")
    }

    /// Replaces variables. Unlike in a Compose file, one that is not set is a problem: a job that runs
    /// at night with half a command is worse than one that is refused.
    fn interpolate(&mut self, node: &mut Node) {
        let Self { variables, problems, .. } = self;
        let lookup = |name: &str| variables.get(name).cloned();
        node.each_text(&mut |span, text| {
            if !text.contains('$') {
                return;
            }
            let mut unset = BTreeSet::new();
            let replaced = substitute(text, &lookup, &mut unset);
            for name in unset {
                let problem = span.problem(format!("variable `{name}` is not set"));
                problems.push(problem.with_hint(format!(
                    "set `{name}` in env.local, or write `${{{name}:-}}` for empty, or `$$` for `$`"
                )));
            }
            match replaced {
                Ok(replaced) => *text = replaced,
                Err(failure) => {
                    let hint = failure.hint().replace("`.env`", "env.local");
                    problems.push(span.problem(failure.message()).with_hint(hint));
                }
            }
        });
    }

    /// Drops problems at a place whose variable was the real problem.
    fn forget_what_follows_from(&mut self, interpolated: usize) {
        let later = self.problems.split_off(interpolated);
        let place = |problem: &Problem| (problem.line, problem.column);
        let known: Vec<_> = self.problems.iter().map(place).collect();
        self.problems.extend(later.into_iter().filter(|later| !known.contains(&place(later))));
    }

    fn read_job(&mut self, node: &Node) -> Option<Job> {
        let fields = fields::open(node, &KEYS, &mut self.problems)?;
        let name = self.read_name(node, &fields);
        let schedule = self.read_schedule(&fields);
        let timezone = self.read_timezone(&fields);
        let timeout = fields.duration("timeout", &mut self.problems);
        let description = fields.plain("description", &mut self.problems);
        let enabled = fields.boolean("enabled", &mut self.problems).unwrap_or(true);
        let work = self.read_work(node, &fields, name.as_deref().unwrap_or_default())?;
        let usual = match work {
            Work::Deploy(_) => DEPLOY_TIMEOUT,
            _ => RUN_TIMEOUT,
        };
        Some(Job {
            name: name?,
            description,
            origin: format!("{}:{}", node.span.source.file, node.span.line),
            schedule: if enabled { schedule } else { Schedule::Manual },
            timezone,
            window: Window::default(),
            on: Vec::new(),
            policy: Policy::default(),
            keep: Keep::default(),
            notify: Notify::default(),
            timeout: timeout.unwrap_or(usual),
            work,
        })
    }

    fn read_name(&mut self, node: &Node, fields: &Fields<'_>) -> Option<String> {
        let Some((name, place)) = fields.text("name", &mut self.problems) else {
            let place = fields.node("name").unwrap_or(node);
            let missing = place.problem("a job needs a `name`");
            self.problems.push(missing.with_hint("write e.g. `name: web`"));
            return None;
        };
        let letters =
            name.chars().all(|letter| letter.is_ascii_alphanumeric() || "._-".contains(letter));
        if !letters || !name.starts_with(|first: char| first.is_ascii_alphanumeric()) {
            let hint = "letters, digits, `.`, `_` and `-`, starting with a letter or digit";
            let problem = place.problem(format!("`{name}` is no name of a job"));
            self.problems.push(problem.with_hint(hint));
            return None;
        }
        Some(name)
    }

    fn read_schedule(&mut self, fields: &Fields<'_>) -> Schedule {
        let Some(node) = fields.node("schedule") else { return Schedule::Manual };
        let text = fields::scalar_of("schedule", node, &mut self.problems);
        match text.map(|text| Schedule::parse(&text)) {
            Some(Ok(schedule)) => schedule,
            Some(Err(reason)) => {
                self.problems.push(node.problem(reason));
                Schedule::Manual
            }
            None => Schedule::Manual,
        }
    }

    fn read_timezone(&mut self, fields: &Fields<'_>) -> Tz {
        let Some((name, place)) = fields.text("timezone", &mut self.problems) else {
            return self.settings.timezone;
        };
        name.parse().unwrap_or_else(|_| {
            let near = problem::nearest(&name, TZ_VARIANTS.iter().map(|zone| zone.name()));
            let problem = place.problem(format!("`{name}` is no time zone"));
            self.problems.push(problem.with_hint(match near {
                Some(near) => format!("did you mean `{near}`?"),
                None => "write an IANA name, e.g. `America/Toronto`".to_owned(),
            }));
            self.settings.timezone
        })
    }

    fn read_work(&mut self, node: &Node, fields: &Fields<'_>, job: &str) -> Option<Work> {
        match (fields.node("deploy"), fields.node("run")) {
            (Some(deploy), None) => deploy::read(deploy, job, self).map(Work::Deploy),
            (None, Some(run)) => run::read(run, self).map(Box::new).map(Work::Run),
            (Some(_), Some(second)) => {
                let problem = second.problem("a job has exactly one of `deploy` and `run`");
                self.problems.push(problem.with_hint("make two jobs of it"));
                None
            }
            (None, None) => {
                // A kind of work that is to come has been named already.
                let later = ["exec", "http", "backup", "cache_sync", "sync", "rotate"];
                if later.iter().all(|kind| fields.node(kind).is_none()) {
                    let problem = node.problem("a job has exactly one of `deploy` and `run`");
                    self.problems.push(problem.with_hint("say what it does"));
                }
                None
            }
        }
    }
}

#[cfg(test)]
pub(super) mod tests;
