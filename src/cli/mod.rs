//! The command line: thin. Parses, calls, prints, and turns the end into an exit code.

mod act;
mod arguments;
mod ask;
mod backup;
mod bar;
mod compose;
mod explain;
mod inspect;
mod labels;
mod logs;
pub mod output;
pub mod runs;
mod setup;
mod simulate;
pub mod table;
pub mod text;
mod tidy;
mod transfer;
pub mod views;

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{CommandFactory, Parser};

pub use self::arguments::Arguments;
use self::arguments::Command;
use self::output::{Output, print};
use crate::daemon::unknown_job;
use crate::job::Job;
use crate::problem::Problems;

/// Exit code of a failed run.
const FAILED: u8 = 1;
/// How long a thread that may block waits for more. What was read on one is given back when it ends: of
/// 100,000 jobs read anew, memory as large as all of them.
const IDLE_THREAD: Duration = Duration::from_secs(1);
/// Exit code of bad usage or configuration.
const USAGE: u8 = 2;

/// The arguments of this process. Ends it with a message where they cannot be read, or with the help
/// that was asked for.
pub fn arguments() -> Arguments {
    let words: Vec<OsString> = std::env::args_os().collect();
    // Hardly anybody writes them so, and to know the flags costs time.
    let is_odd = |word: &OsString| {
        let bytes = word.as_encoded_bytes();
        bytes.is_empty() || bytes.starts_with(b"-") && bytes.contains(&b'=')
    };
    // The second one may be the value of the first.
    let are_flags =
        |pair: &[OsString]| pair.iter().all(|it| it.as_encoded_bytes().starts_with(b"-"));
    if !words.iter().any(is_odd) && !words.windows(2).any(are_flags) {
        return Arguments::parse_from(words);
    }
    Arguments::parse_from(compose::rewrite(words, &Arguments::command()))
}

/// Carries out a command; its exit code is 0 done or nothing to do, 1 a run failed, 2 bad usage or
/// configuration, 3 `plan` found changes.
pub fn run(arguments: Arguments) -> ExitCode {
    if matches!(arguments.command, Command::BackupWorker) {
        crate::backup::worker();
    }
    // One thread does for a command, and is there sooner; the daemon has many runs at once.
    let mut builder = match arguments.command {
        Command::Serve => tokio::runtime::Builder::new_multi_thread(),
        _ => tokio::runtime::Builder::new_current_thread(),
    };
    let runtime = builder.enable_all().thread_keep_alive(IDLE_THREAD).build();
    let runtime = match runtime.context("start the runtime") {
        Ok(runtime) => runtime,
        Err(error) => return report(&error),
    };
    let result = runtime.block_on(dispatch(arguments));
    // A thread that git left behind must not hold up the exit.
    runtime.shutdown_background();
    match result {
        Ok(code) => ExitCode::from(code),
        Err(error) => report(&error),
    }
}

async fn dispatch(arguments: Arguments) -> Result<u8> {
    let output = Output::detect(arguments.json);
    let env_files = arguments.env_file;
    let env_file = env_files.last().map(PathBuf::as_path);
    match arguments.command {
        Command::Serve => act::serve(env_file).await,
        // It has no runtime, and ended the process already.
        Command::BackupWorker => Ok(FAILED),
        Command::Check => inspect::check(env_file, output),
        Command::Status => inspect::status(env_file, output).await,
        Command::Plan { job } => act::plan(env_file, output, job.as_deref()).await,
        Command::Deploy { job } => act::deploy(env_file, output, job.as_deref()).await,
        Command::Run(run) => act::run_job(env_file, output, &run).await,
        Command::Pause(pause) => ask::pause(env_file, output, pause).await,
        Command::Resume(resume) => ask::resume(env_file, output, resume).await,
        Command::Cancel { what } => ask::cancel(env_file, output, what).await,
        Command::Event { name } => ask::event(env_file, output, name).await,
        Command::Jobs => inspect::jobs(env_file, output).await,
        Command::Next(next) => inspect::next(env_file, output, &next).await,
        Command::Explain(explain) => explain::explain(env_file, output, &explain).await,
        Command::Simulate(simulate) => simulate::simulate(env_file, output, &simulate).await,
        Command::Runs(runs) => inspect::runs(env_file, output, &runs).await,
        Command::Logs(logs) => logs::logs(env_file, output, &logs).await,
        Command::Health => act::health(env_file, output).await,
        Command::Backup(backup) => Box::pin(backup::run(env_file, output, *backup)).await,
        Command::Compose(compose) => compose::run(&env_files, output, *compose).await,
        Command::Import(import) => transfer::import(env_file, output, &import),
        Command::Export(export) => transfer::export(env_file, &export).await,
        Command::Schema => transfer::schema(),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Arguments::command(), "roadstead", &mut script);
            print(|to| to.write_all(&script))?;
            Ok(0)
        }
    }
}

/// Prints why a command ended; what a person wrote wrong is no failure of a run.
fn report(error: &anyhow::Error) -> ExitCode {
    let _ = writeln!(io::stderr(), "roadstead: {}", message(error));
    ExitCode::from(exit_code(error))
}

fn message(error: &anyhow::Error) -> String {
    match error.downcast_ref::<Problems>() {
        Some(problems) => problems.clone().in_order().to_string(),
        None => format!("{error:#}"),
    }
}

fn exit_code(error: &anyhow::Error) -> u8 {
    if error.is::<Problems>() || error.is::<Usage>() { USAGE } else { FAILED }
}

/// A command that cannot be carried out as it was given: what to give instead.
#[derive(Debug)]
struct Usage(String);

impl std::fmt::Display for Usage {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

/// The job called `name`.
///
/// # Errors
///
/// With the nearest known name when there is none.
fn known_job<'a>(name: &str, jobs: &'a [Job]) -> Result<&'a Job, Usage> {
    jobs.iter().find(|job| job.name == name).ok_or_else(|| Usage(unknown_job(name, jobs)))
}
