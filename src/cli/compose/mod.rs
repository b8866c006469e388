//! `compose`: works on one project as docker compose does, with our plan and our way back.

mod arguments;
mod config;
mod down;
mod ps;
mod up;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use self::arguments::Command;
pub(super) use self::arguments::Compose;
use super::output::Output;
use super::setup::log_to_console;
use crate::compose::decode::service::clean_path;
use crate::compose::model::Project;
use crate::compose::{Request, load};
use crate::docker::Engine;
use crate::git::View;

/// What every command works with.
struct Session {
    engine: Engine,
    request: Request,
    output: Output,
}

/// `compose`.
pub(super) async fn run(env_file: Option<&Path>, output: Output, arguments: Compose) -> Result<u8> {
    log_to_console(tracing::Level::INFO);
    let variables = variables();
    let engine = Engine::new(variables.get("DOCKER_HOST").map(String::as_str))?;
    let request = request(&arguments, env_file, variables)?;
    let session = Session { engine, request, output };
    match &arguments.command {
        Command::Config(arguments) => config::config(&session, arguments),
        Command::Up(arguments) => up::up(&session, arguments).await,
        Command::Ps(arguments) => ps::ps(&session, arguments).await,
        Command::Down(arguments) => down::down(&session, arguments).await,
    }
}

fn variables() -> BTreeMap<String, String> {
    let pairs = crate::config::environment().0.into_iter();
    pairs
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

fn request(
    arguments: &Compose,
    env_file: Option<&Path>,
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
        env_files: env_file.map(|file| current.join(file)).into_iter().collect(),
        profiles: arguments.profile.clone(),
        project_name: arguments.project_name.clone(),
        variables,
        all_resources: arguments.all_resources,
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

/// Files of this machine.
fn disk() -> Result<View> {
    View::open(&[]).context("read the disk")
}

fn load_project(request: &Request) -> Result<Project> {
    let project = load::load(request, &disk()?)?;
    for warning in &project.warnings {
        tracing::warn!("{warning}");
    }
    Ok(project)
}

/// The name without loading the files, where it was given.
fn project_name(request: &Request) -> Result<String> {
    match &request.project_name {
        Some(name) => Ok(name.clone()),
        None => Ok(load_project(request)?.name),
    }
}
