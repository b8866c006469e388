//! Reads job files: one job or a list of them, in one or several YAML documents.
//!
//! Reports everything that is wrong with a file at once, and opens nothing.

mod backup;
mod cache;
mod certificate;
mod deploy;
mod deploy_data;
mod fields;
mod housekeeping;
mod http;
mod kinds;
mod limits;
mod prune;
mod rsync;
mod run;
pub mod schema;
mod sync;
mod table;
mod tables_of_backup;
mod tables_of_cache;
mod tables_of_housekeeping;
mod tables_of_http;
mod tables_of_sync;
mod tables_of_work;
pub mod write;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use chrono_tz::{TZ_VARIANTS, Tz};

pub(crate) use self::deploy::{repository_name, unique_name};
use self::fields::Fields;
use self::table::JOB;
use self::write::Written;
use super::schedule::{Dialect, Schedule};
use super::{Job, Overlap, Place, Terms, Work};
use crate::compose::Files;
use crate::compose::interpolate::substitute;
use crate::compose::load::alone::SERVICE_KEYS;
use crate::compose::yaml::{self, Node};
use crate::problem::{self, Problem, Problems};
use crate::settings::Settings;

/// Longest time a deploy may take where its job says nothing.
pub const DEPLOY_TIMEOUT: Duration = Duration::from_mins(30);
/// Longest time a container may run where its job says nothing.
pub const RUN_TIMEOUT: Duration = Duration::from_hours(1);

/// Finds the top directory of the checkout that holds a directory.
pub type Toplevel<'a> = &'a dyn Fn(&Path) -> Option<PathBuf>;

/// Reads the jobs of a file; `file` is its name for messages. Anything wrong is an error.
pub fn parse(text: &str, file: &str, settings: &Settings) -> Result<Vec<Job>, Problems> {
    let context =
        Context { settings, variables: &settings.variables, toplevel: &|_| None, files: &NoFiles };
    parse_with(text, file, &context)
}

/// No files at all.
pub struct NoFiles;

impl Files for NoFiles {
    fn read_bytes(&self, _: &Path) -> io::Result<Vec<u8>> {
        Err(io::ErrorKind::NotFound.into())
    }
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
    /// Where the `env_file`s of containers are read from.
    pub files: &'a dyn Files,
}

/// Reads the jobs of a file whose sources may be directories inside checkouts; anything wrong is an error.
pub fn parse_with(text: &str, file: &str, context: &Context<'_>) -> Result<Vec<Job>, Problems> {
    let (jobs, problems) = read_file(text, file, context);
    let (errors, _) = problems.split();
    errors.into_result()?;
    Ok(jobs)
}

/// Reads the jobs of a file, and all that is wrong with it: a job with an error is left out, and the
/// others stay. A file that is no YAML has none.
pub fn read_file(text: &str, file: &str, context: &Context<'_>) -> (Vec<Job>, Problems) {
    let (written, problems) = read_written(text, file, context);
    (written.into_iter().map(|it| it.job).collect(), problems)
}

/// The same, each job with what was written of it, before variables were put in.
pub fn read_written(text: &str, file: &str, context: &Context<'_>) -> (Vec<Written>, Problems) {
    let documents = match yaml::parse(text, file) {
        Ok(documents) => documents,
        Err(problems) => return (Vec::new(), problems),
    };
    let mut problems = Vec::new();
    let mut jobs: Vec<Written> = Vec::new();
    let mut first: HashMap<String, String> = HashMap::new();
    for document in documents {
        for item in fields::items_of(&document).iter().filter(|item| !item.is_null()) {
            let (job, found) = read_one(item, context);
            let is_broken = found.0.iter().any(|problem| !problem.is_warning());
            problems.extend(found.0);
            let Some(job) = job else { continue };
            if let Some(first) = first.get(&job.name) {
                let place = item.get("name").unwrap_or(item);
                problems.push(duplicate(place.problem(""), &job.name, first));
            } else if !is_broken {
                first.insert(job.name.clone(), job.origin.to_string());
                jobs.push(Written { job, tree: item.clone() });
            }
        }
    }
    problems.sort_by_key(|problem| (problem.line, problem.column));
    (jobs, Problems(problems))
}

/// Reads one job, with variables in it.
pub(super) fn read_one(item: &Node, context: &Context<'_>) -> (Option<Job>, Problems) {
    let mut reader = Reader::new(context);
    let mut item = item.clone();
    reader.interpolate(&mut item);
    let interpolated = reader.problems.len();
    let job = reader.read_job(&item);
    reader.forget_what_follows_from(interpolated);
    (job, Problems(reader.problems))
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
    files: &'a dyn Files,
    problems: Vec<Problem>,
}

impl<'a> Reader<'a> {
    fn new(context: &Context<'a>) -> Self {
        let Context { settings, variables, toplevel, files } = *context;
        Self { settings, variables, toplevel, files, problems: Vec::new() }
    }
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
        let fields = fields::open(node, &JOB, &mut self.problems)?;
        let name = self.read_name(node, &fields);
        let (schedule, prefix) = self.read_schedule(&fields, name.as_deref().unwrap_or_default());
        let timezone = self.read_timezone(&fields, prefix);
        let timeout = fields.duration("timeout", &mut self.problems);
        let description = fields.plain("description", &mut self.problems);
        let enabled = fields.boolean("enabled", &mut self.problems).unwrap_or(true);
        let on = limits::on(&fields, self);
        let window = limits::window(&fields, timezone, self);
        let keep = limits::keep(&fields, self);
        let notify = limits::notify(&fields, self);
        fields.mapping("labels", &mut self.problems);
        let is_deploy = fields.node("deploy").is_some();
        let usual = if is_deploy { Overlap::Queue } else { Overlap::Skip };
        let policy = limits::policy(&fields, usual, self);
        let work = self.read_work(node, &fields, name.as_deref().unwrap_or_default());
        let usual = if is_deploy { DEPLOY_TIMEOUT } else { RUN_TIMEOUT };
        let terms = Terms {
            timezone,
            window,
            on: if enabled { on } else { Vec::new() },
            policy,
            keep,
            notify,
            timeout: timeout.unwrap_or(usual),
        };
        Some(Job {
            name: name?,
            description: description.map(String::into_boxed_str),
            origin: Place::of(&node.span.source.file).at_line(node.span.line()),
            schedule: if enabled { schedule } else { Schedule::Manual },
            terms: Arc::new(terms),
            work: work?,
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

    /// The schedule, and the zone that a prefix of it names.
    fn read_schedule(&mut self, fields: &Fields<'_>, job: &str) -> (Schedule, Option<Tz>) {
        let names: Vec<&'static str> = Dialect::ALL.iter().map(|(name, _)| *name).collect();
        let dialect = fields.word("dialect", &names, &mut self.problems);
        let dialect = Dialect::ALL.iter().find(|(name, _)| Some(*name) == dialect);
        let dialect = dialect.map(|(_, dialect)| *dialect).unwrap_or_default();
        let Some(node) = fields.node("schedule") else { return (Schedule::Manual, None) };
        let text = fields::scalar_of("schedule", node, &mut self.problems);
        match text.map(|text| Schedule::parse_in(&text, dialect, job)) {
            Some(Ok(reading)) => {
                let warning = reading.warning.map(|text| node.problem(text).as_warning());
                self.problems.extend(warning);
                (reading.schedule, reading.timezone)
            }
            Some(Err(reason)) => {
                self.problems.push(node.problem(reason));
                (Schedule::Manual, None)
            }
            None => (Schedule::Manual, None),
        }
    }

    fn read_timezone(&mut self, fields: &Fields<'_>, prefix: Option<Tz>) -> Tz {
        let usual = prefix.unwrap_or(self.settings.timezone);
        let Some((name, place)) = fields.text("timezone", &mut self.problems) else { return usual };
        let zone = name.parse().unwrap_or_else(|_| {
            let near = problem::nearest(&name, TZ_VARIANTS.iter().map(|zone| zone.name()));
            let problem = place.problem(format!("`{name}` is no time zone"));
            self.problems.push(problem.with_hint(match near {
                Some(near) => format!("did you mean `{near}`?"),
                None => "write an IANA name, e.g. `America/Toronto`".to_owned(),
            }));
            usual
        });
        if prefix.is_some_and(|prefix| prefix != zone) {
            let message = "the schedule names a time zone, and `timezone` another one";
            self.problems.push(place.problem(message).with_hint("write one of them"));
        }
        zone
    }

    fn read_work(&mut self, node: &Node, fields: &Fields<'_>, job: &str) -> Option<Work> {
        let mut written = Work::KINDS.iter().filter_map(|kind| Some((*kind, fields.node(kind)?)));
        let Some((kind, first)) = written.next() else {
            // A kind of work that is to come has been named already.
            if JOB.later.iter().all(|kind| node.get(kind).is_none()) {
                let kinds = Work::KINDS.join("`, `");
                let problem = node.problem(format!("a job has exactly one of `{kinds}`"));
                self.problems.push(problem.with_hint("say what it does"));
            }
            return None;
        };
        if let Some((other, second)) = written.next() {
            let problem = second.problem(format!("a job has `{kind}` or `{other}`, not both"));
            self.problems.push(problem.with_hint("make two jobs of it"));
            return None;
        }
        self.work(kind, first, job)
    }

    /// Reads work of a kind; `job` is the name of the job it is the whole of.
    fn work(&mut self, kind: &str, node: &Node, job: &str) -> Option<Work> {
        match kind {
            "deploy" => deploy::read(node, job, self).map(Box::new).map(Work::Deploy),
            "run" => run::read(node, self).map(Work::Run),
            "exec" => kinds::exec(node, self).map(Box::new).map(Work::Exec),
            "compose_run" => kinds::compose_run(node, self).map(Box::new).map(Work::ComposeRun),
            "container" => kinds::container(node, self).map(Box::new).map(Work::Container),
            "command" => kinds::command(node, self).map(Box::new).map(Work::Command),
            "http" => http::http(node, self).map(Box::new).map(Work::Http),
            "ogc_process" => http::ogc_process(node, self).map(Box::new).map(Work::OgcProcess),
            "group" => kinds::group(node, self).map(Box::new).map(Work::Group),
            "cache_sync" => cache::cache_sync(node, self).map(Box::new).map(Work::CacheSync),
            "refresh" => cache::refresh(node, self).map(Box::new).map(Work::Refresh),
            "clean" => housekeeping::clean(node, self).map(Box::new).map(Work::Clean),
            "prune" => prune::prune(node, self).map(Box::new).map(Work::Prune),
            "certificate" => {
                certificate::certificate(node, self).map(Box::new).map(Work::Certificate)
            }
            "sync" => sync::read(node, job, self).map(Box::new).map(Work::Sync),
            "backup" => backup::backup(node, self).map(Box::new).map(Work::Backup),
            "backup_prune" => backup::backup_prune(node, self).map(Box::new).map(Work::BackupPrune),
            "backup_check" => backup::backup_check(node, self).map(Box::new).map(Work::BackupCheck),
            "restore_drill" => {
                backup::restore_drill(node, self).map(Box::new).map(Work::RestoreDrill)
            }
            "rotate" => housekeeping::rotate(node, self).map(Box::new).map(Work::Rotate),
            _ => None,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
