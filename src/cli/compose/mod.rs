//! `compose`: works on one project as docker compose does, with our plan and our way back.

mod arguments;
mod ask;
mod attach;
mod build;
mod columns;
mod commit;
mod config;
mod cp;
mod digests;
mod down;
mod events;
mod exec;
mod export;
mod human;
mod images;
mod lifecycle;
mod logs;
mod ls;
mod moment;
mod port;
mod progress;
mod ps;
mod pull;
mod push;
mod registries;
mod rm;
mod run;
mod scale;
mod stats;
mod target;
mod template;
mod terminal;
mod top;
mod up;
mod version;
mod volumes;
mod wait;
mod words;

use std::collections::BTreeMap;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::{CommandFactory, ValueEnum};

pub(super) use self::arguments::Compose;
use self::arguments::{Ansi, Command, ProgressForm};
use self::progress::{Channel, Progress};
pub(super) use self::words::rewrite;
use super::output::Output;
use super::setup::{log_as_objects, log_steps_to_stdout, log_to_console};
use super::{Arguments, Usage, exit_code, message};
use crate::compose::decode::service::clean_path;
use crate::compose::hash::Dialect;
use crate::compose::model::Project;
use crate::compose::{Conflicts, Request, load};
use crate::docker::Engine;
use crate::git::View;
use crate::registry::host_of_context;

/// What every command works with.
struct Session {
    engine: Engine,
    request: Request,
    output: Output,
    /// Tells what is being done.
    progress: Progress,
    /// Nothing is to be changed.
    dry_run: bool,
    /// How many calls at once.
    parallel: usize,
}

/// `compose`.
pub(super) async fn run(
    env_files: &[PathBuf],
    output: Output,
    mut arguments: Compose,
) -> Result<u8> {
    let Some(command) = &arguments.command else {
        if arguments.version {
            return version::version(&version::Version::default());
        }
        return help();
    };
    if arguments.no_ansi {
        arguments.ansi = Ansi::Never;
    }
    arguments.project_directory = arguments.project_directory.or(arguments.workdir.take());
    let variables = variables();
    // What the command line leaves open.
    if arguments.progress == ProgressForm::Auto {
        arguments.progress = word(&variables, "COMPOSE_PROGRESS")?.unwrap_or(ProgressForm::Auto);
    }
    if arguments.ansi == Ansi::Auto {
        arguments.ansi = word(&variables, "COMPOSE_ANSI")?.unwrap_or(Ansi::Auto);
    }
    // For shells that take all of stderr for failure. The value as Go reads it.
    let to_stdout = variables.get("COMPOSE_STATUS_STDOUT").and_then(|it| words::boolean(it));
    let channel = if to_stdout == Some(true) { Channel::Stdout } else { Channel::Stderr };
    match (arguments.progress, channel) {
        (ProgressForm::Quiet, _) => log_to_console(tracing::Level::WARN),
        (ProgressForm::Json, _) => log_as_objects(),
        (_, Channel::Stderr) => log_to_console(tracing::Level::INFO),
        (_, Channel::Stdout) => log_steps_to_stdout(),
    }
    let form = (arguments.progress, arguments.ansi);
    let progress = Progress::new(channel, form, arguments.dry_run);
    let ended = carry_out((env_files, output), &arguments, command, (progress, variables)).await;
    match ended {
        Err(error) if progress.is_json() => {
            Progress::failure(&message(&error));
            Ok(exit_code(&error))
        }
        ended => ended,
    }
}

async fn carry_out(
    (env_files, output): (&[PathBuf], Output),
    arguments: &Compose,
    command: &Command,
    (progress, variables): (Progress, BTreeMap<String, String>),
) -> Result<u8> {
    let engine = Engine::new(engine_host(arguments, &variables)?.as_deref())?;
    let output = colored(output, arguments.ansi);
    let session = Session {
        engine,
        progress,
        dry_run: arguments.dry_run,
        parallel: at_once(arguments.parallel, &variables),
        request: request(arguments, env_files, variables)?,
        output,
    };
    // Boxed: some commands keep much across a wait.
    Box::pin(dispatch(&session, command)).await
}

/// Prints the help where no command was named, as docker compose does.
fn help() -> Result<u8> {
    let mut root = Arguments::command();
    root.build();
    let compose = root.find_subcommand_mut("compose").context("there is a command `compose`")?;
    compose.print_long_help().context("print the help")?;
    Ok(0)
}

async fn dispatch(session: &Session, command: &Command) -> Result<u8> {
    match command {
        Command::Config(arguments) => config::config(session, arguments).await,
        Command::Up(arguments) => up::up(session, arguments).await,
        Command::Create(arguments) => up::create(session, arguments).await,
        Command::Ps(arguments) => ps::ps(session, arguments).await,
        Command::Ls(arguments) => ls::ls(session, arguments).await,
        Command::Stop(arguments) => lifecycle::stop(session, arguments).await,
        Command::Start(arguments) => lifecycle::start(session, arguments).await,
        Command::Restart(arguments) => lifecycle::restart(session, arguments).await,
        Command::Pause(arguments) => lifecycle::pause(session, arguments).await,
        Command::Unpause(arguments) => lifecycle::unpause(session, arguments).await,
        Command::Kill(arguments) => lifecycle::kill(session, arguments).await,
        Command::Rm(arguments) => rm::rm(session, arguments).await,
        Command::Logs(arguments) => logs::logs(session, arguments).await,
        Command::Exec(arguments) => exec::exec(session, arguments).await,
        Command::Run(arguments) => Box::pin(run::run(session, arguments)).await,
        Command::Cp(arguments) => cp::cp(session, arguments).await,
        Command::Top(arguments) => top::top(session, arguments).await,
        Command::Port(arguments) => port::port(session, arguments).await,
        Command::Images(arguments) => images::images(session, arguments).await,
        Command::Build(arguments) => build::build(session, arguments).await,
        Command::Pull(arguments) => pull::pull(session, arguments).await,
        Command::Push(arguments) => push::push(session, arguments).await,
        Command::Volumes(arguments) => volumes::volumes(session, arguments).await,
        Command::Export(arguments) => export::export(session, arguments).await,
        Command::Commit(arguments) => commit::commit(session, arguments).await,
        Command::Scale(arguments) => scale::scale(session, arguments).await,
        Command::Wait(arguments) => wait::wait(session, arguments).await,
        Command::Events(arguments) => events::events(session, arguments).await,
        Command::Attach(arguments) => attach::attach(session, arguments).await,
        Command::Stats(arguments) => stats::stats(session, arguments).await,
        Command::Version(arguments) => version::version(arguments),
        Command::Down(arguments) => down::down(session, arguments).await,
    }
}

/// What a variable says, in one of the words that the flag of the same name takes.
fn word<T: ValueEnum>(variables: &BTreeMap<String, String>, name: &str) -> Result<Option<T>> {
    let Some(text) = variables.get(name).filter(|it| !it.is_empty()) else { return Ok(None) };
    let read = T::from_str(text, true).map_err(|_| {
        let known = T::value_variants().iter().filter_map(ValueEnum::to_possible_value);
        let known: Vec<String> = known.map(|it| it.get_name().to_owned()).collect();
        Usage(format!("{name} is `{text}`: expected one of {}", known.join(", ")))
    });
    Ok(Some(read?))
}

/// Where the Engine is: as the command line says, `DOCKER_HOST`, or the context of Docker's client.
fn engine_host(
    arguments: &Compose,
    variables: &BTreeMap<String, String>,
) -> Result<Option<String>> {
    let given = |name: &str| variables.get(name).filter(|it| !it.is_empty()).cloned();
    let host = arguments.host.clone().or_else(|| given("DOCKER_HOST"));
    if host.is_some() && arguments.context.is_none() {
        return Ok(host);
    }
    let context = arguments.context.clone().or_else(|| given("DOCKER_CONTEXT"));
    Ok(host_of_context(variables, context.as_deref())?.or(host))
}

/// `--ansi` wins over what stdout is.
fn colored(output: Output, ansi: Ansi) -> Output {
    let color = match ansi {
        Ansi::Never => false,
        Ansi::Always => true,
        Ansi::Auto => output.color,
    };
    Output { color, ..output }
}

/// `--parallel`, else `COMPOSE_PARALLEL_LIMIT`, else no limit.
fn at_once(asked: i32, variables: &BTreeMap<String, String>) -> usize {
    let limit = || variables.get("COMPOSE_PARALLEL_LIMIT")?.parse::<i32>().ok();
    let wanted = if asked > 0 { Some(asked) } else { limit() };
    wanted.and_then(|it| usize::try_from(it).ok()).filter(|it| *it > 0).unwrap_or(usize::MAX)
}

fn variables() -> BTreeMap<String, String> {
    let pairs = crate::config::environment().0.into_iter();
    pairs
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

/// The same variable as in `env.local`.
fn dialect(variables: &BTreeMap<String, String>) -> Result<Dialect> {
    const NAME: &str = "AUTODEPLOY_COMPOSE_HASH";
    let Some(text) = variables.get(NAME) else { return Ok(Dialect::default()) };
    let read = crate::config::compose_hash(text);
    read.with_context(|| Usage(format!("{NAME} is `{text}`: expected `5` or `2.40`")))
}

fn request(
    arguments: &Compose,
    env_files: &[PathBuf],
    mut variables: BTreeMap<String, String>,
) -> Result<Request> {
    let current = current_directory(&variables)?;
    variables.insert("PWD".to_owned(), current.display().to_string());
    let absolute = |path: &PathBuf| {
        if is_stdin(path) { path.clone() } else { clean(&current.join(path)) }
    };
    let files: Vec<PathBuf> = arguments.file.iter().map(absolute).collect();
    let first = files.iter().find(|path| !is_stdin(path)).and_then(|file| file.parent());
    let directory = match (&arguments.project_directory, first) {
        (Some(directory), _) => clean(&current.join(directory)),
        (None, Some(parent)) => parent.to_owned(),
        (None, None) => current.clone(),
    };
    std::fs::metadata(&directory)
        .with_context(|| format!("find project directory `{}`", directory.display()))?;
    let stdin =
        files.iter().any(|path| is_stdin(path)).then(|| std::io::read_to_string(std::io::stdin()));
    Ok(Request {
        directory,
        upwards: true,
        follow_files: arguments.project_directory.is_none(),
        files,
        stdin: stdin.transpose().context("read standard input")?,
        env_files: env_files.iter().map(|file| current.join(file)).collect(),
        profiles: arguments.profile.clone(),
        project_name: arguments.project_name.clone(),
        conflicts: Conflicts::of(dialect(&variables)?),
        variables,
        all_resources: arguments.all_resources,
        underscores: arguments.compatibility,
        ..Request::default()
    })
}

/// The directory we are in; where it is known by a way through symbolic links, by that way.
fn current_directory(variables: &BTreeMap<String, String>) -> Result<PathBuf> {
    let current = std::env::current_dir().context("find the current directory")?;
    let known = variables.get("PWD").map(PathBuf::from).filter(|path| path.is_absolute());
    let same = |path: &PathBuf| std::fs::canonicalize(path).is_ok_and(|path| path == current);
    Ok(known.filter(same).map_or(current, |path| clean(&path)))
}

fn clean(path: &Path) -> PathBuf {
    PathBuf::from(clean_path(&path.to_string_lossy()))
}

fn is_stdin(path: &Path) -> bool {
    path == Path::new("-")
}

/// Our stdout as a file, for bytes.
fn own_stdout() -> Result<std::fs::File> {
    let stdout = std::io::stdout();
    Ok(stdout.as_fd().try_clone_to_owned().context("open stdout")?.into())
}

/// Seconds a container gets to stop, as the Engine counts: -1 is as long as it takes.
fn stop_timeout(seconds: i64) -> i32 {
    i32::try_from(seconds.max(-1)).unwrap_or(i32::MAX)
}

fn load_project(request: &Request) -> Result<Project> {
    load_project_telling(request, |_| ())
}

/// The project, whose name is told as soon as it is known.
fn load_project_telling(request: &Request, tell_name: impl FnOnce(&str)) -> Result<Project> {
    let load::Loaded { project, tree, environment: _ } =
        load::load_telling(request, &View::of_this_machine(), tell_name)?;
    // The kernel takes memory back at once when the command ends, and we node by node.
    std::mem::forget(tree);
    for warning in &project.warnings {
        tracing::warn!("{warning}");
    }
    Ok(project)
}

/// Whether a variable, of the environment or of `.env`, says yes.
fn flag(request: &Request, name: &str) -> bool {
    let value = request.variables.get(name);
    value.and_then(|it| crate::compose::scalar::boolean(it)).unwrap_or(false)
}

/// The platform of images whose service names none.
fn default_platform(request: &Request) -> Option<String> {
    let platform = request.variables.get("DOCKER_DEFAULT_PLATFORM");
    platform.filter(|it| !it.is_empty()).cloned()
}
