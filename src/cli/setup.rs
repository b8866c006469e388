//! What most commands begin with: the configuration, and the systems it names.

use std::collections::BTreeSet;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use chrono::{DateTime, Utc};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::writer::{BoxMakeWriter, MakeWriterExt as _};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::compose::Files;
use crate::config::{self, Loaded};
use crate::daemon::Recorder;
use crate::docker::Engine;
use crate::git::{self, Git, View};
use crate::job::native::Context as JobContext;
use crate::job::platform::Texts;
use crate::job::{Configuration, Reader, platform};
use crate::plan::refresh::comes_too_seldom;
use crate::problem::{Problem, Problems};
use crate::reconcile::World;
use crate::settings::Settings;

/// Reads the wall clock: the only place that does.
#[expect(clippy::disallowed_methods, reason = "the one place that reads the clock")]
pub(super) fn now() -> DateTime<Utc> {
    Utc::now()
}

/// Everything read from the disk, kept apart by how bad it is.
pub(super) struct Everything {
    pub(super) configuration: Configuration,
    /// Oddities in `env.local` and in job files.
    pub(super) warnings: Problems,
    /// Variables that do not exist.
    pub(super) unknown: Problems,
    /// Broken job files.
    pub(super) broken_jobs: Problems,
}

/// Reads `env.local`, the environment and all job files through `files`.
pub(super) fn read(env_file: Option<&Path>, files: &dyn Files) -> Result<Everything, Problems> {
    let environment = config::environment();
    let found = config::read_env_file(env_file, &environment)?;
    let found = found.map(|(path, text)| {
        // In a revision about to be applied it may read differently than on the disk.
        let real = std::fs::canonicalize(&path).unwrap_or_else(|_| path.clone());
        let text = files.read(&real).unwrap_or(text);
        (path, text)
    });
    let file = found.as_ref().map(|(path, text)| (path.as_path(), text.as_str()));
    let Loaded { settings, mut warnings, unknown } = config::load(file, &environment)?;
    let (texts, mut broken_jobs) = job_texts(&settings);
    let variables = &settings.variables;
    let context = JobContext { settings: &settings, variables, toplevel: &git::toplevel, files };
    let (jobs, problems) = platform::load_all(texts, &context);
    let (errors, oddities) = problems.split();
    let seldom = jobs.iter().filter_map(|job| comes_too_seldom(job, now()));
    broken_jobs.0.extend(errors.0);
    warnings.0.extend(oddities.0.into_iter().chain(seldom));
    let all = [&warnings, &unknown, &broken_jobs].into_iter().flat_map(|it| it.0.clone());
    let problems = Problems(all.collect());
    let configuration = Configuration { settings, jobs, problems };
    Ok(Everything { configuration, warnings, unknown, broken_jobs })
}

/// Reads the text of every file of jobs, with what could not be read.
pub(super) fn job_texts(settings: &Settings) -> (Texts, Problems) {
    let named = |files: Vec<config::job_files::JobFile>| {
        files.into_iter().map(|it| (it.path.display().to_string(), it.text)).collect::<Vec<_>>()
    };
    let (native, mut problems) = config::job_files::read_job_files(&settings.jobs_dir);
    let (lists, wrong) = config::job_files::read_job_files(&settings.schedulers.jobs_dir);
    problems.0.extend(wrong.0);
    let mut birdhouse = named(lists);
    if !settings.schedulers.extra_jobs.trim().is_empty() {
        let text = settings.schedulers.extra_jobs.clone();
        birdhouse.push(("AUTODEPLOY_EXTRA_SCHEDULER_JOBS".to_owned(), text));
    }
    let mut ofelia = Vec::new();
    if let Some(path) = &settings.schedulers.ofelia_config {
        let name = path.display().to_string();
        match std::fs::read_to_string(path) {
            Ok(text) => ofelia.push((name, text)),
            Err(error) => {
                let problem = Problem::in_file(name, format!("read Ofelia's file: {error}"));
                problems
                    .0
                    .push(problem.with_hint("set `AUTODEPLOY_OFELIA_CONFIG`, or let us read it"));
            }
        }
    }
    (Texts { native: named(native), birdhouse, ofelia }, problems)
}

/// Reads everything from the disk.
pub(super) fn read_disk(env_file: Option<&Path>) -> Result<Everything> {
    read_and_recorded(env_file).map(|(everything, _)| everything)
}

/// As [`read_disk`], with the files that it was read from.
pub(super) fn read_and_recorded(
    env_file: Option<&Path>,
) -> Result<(Everything, BTreeSet<PathBuf>)> {
    let disk = View::open(&[]).context("read the disk")?;
    let recorder = Recorder::of(&disk);
    let everything = read(env_file, &recorder)?;
    Ok((everything, recorder.asked()))
}

/// The configuration of a command that goes on in spite of warnings.
pub(super) fn configuration(env_file: Option<&Path>) -> Result<Configuration> {
    Ok(read_disk(env_file)?.configuration)
}

/// The systems that the configuration names.
pub(super) fn world(env_file: Option<&Path>, configuration: &Configuration) -> Result<World> {
    let settings = &configuration.settings;
    let engine = Engine::new(settings.docker_host.as_deref())?;
    let git = Git::new(&settings.git);
    let env_file: Option<PathBuf> = env_file.map(Path::to_owned);
    let reader: Reader =
        Arc::new(move |files| read(env_file.as_deref(), files).map(|it| it.configuration));
    let variables = Arc::new(settings.variables.clone());
    let mut world = World::new(engine, git, reader, now);
    world.variables = variables;
    Ok(world)
}

/// Sends warnings to stderr as objects, in docker compose's form.
pub(super) fn log_as_objects() {
    let subscriber = tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_max_level(tracing::Level::WARN)
        .event_format(Objects)
        .finish();
    let _ = tracing::subscriber::set_global_default(subscriber);
}

/// One object a line.
struct Objects;

impl<S, N> FormatEvent<S, N> for Objects
where
    S: tracing::Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &tracing::Event<'_>,
    ) -> std::fmt::Result {
        let mut message = Message(String::new());
        event.record(&mut message);
        let level = match *event.metadata().level() {
            tracing::Level::WARN => "warning".to_owned(),
            other => other.to_string().to_lowercase(),
        };
        let time = now().to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
        let line = serde_json::json!({ "level": level, "msg": message.0, "time": time });
        writeln!(writer, "{line}")
    }
}

/// The message of an event.
struct Message(String);

impl tracing::field::Visit for Message {
    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
        if field.name() == "message" {
            self.0 = format!("{value:?}");
        }
    }
}

/// Sends warnings to stderr, for commands whose answer goes to stdout.
pub(super) fn log_to_console(level: tracing::Level) {
    let is_terminal = std::io::stderr().is_terminal();
    log_to(BoxMakeWriter::new(std::io::stderr), level, is_terminal);
}

/// Sends warnings to stderr and what is done to stdout.
pub(super) fn log_steps_to_stdout() {
    let warnings = std::io::stderr.with_max_level(tracing::Level::WARN);
    let writer = warnings.or_else(std::io::stdout.with_max_level(tracing::Level::INFO));
    log_to(BoxMakeWriter::new(writer), tracing::Level::INFO, std::io::stdout().is_terminal());
}

fn log_to(writer: BoxMakeWriter, level: tracing::Level, is_colored: bool) {
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(is_colored)
        .with_writer(writer)
        .with_max_level(level)
        .with_target(false)
        .without_time()
        .finish();
    // A second command in one process, as in tests, keeps the first's.
    let _ = tracing::subscriber::set_global_default(subscriber);
}
