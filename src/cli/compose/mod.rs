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
        Command::Create(arguments) => up::create(&session, arguments).await,
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
    variables: BTreeMap<String, String>,
) -> Result<Request> {
    let current = std::env::current_dir().context("find the current directory")?;
    let first = arguments.file.first().and_then(|file| file.parent());
    let directory = match (&arguments.project_directory, first) {
        (Some(directory), _) => current.join(directory),
        (None, Some(parent)) => current.join(parent),
        (None, None) => current.clone(),
    };
    let directory = std::fs::canonicalize(&directory)
        .with_context(|| format!("find project directory `{}`", directory.display()))?;
    let files: Vec<PathBuf> = arguments.file.iter().map(|file| current.join(file)).collect();
    Ok(Request {
        directory,
        files,
        env_files: env_file.map(|file| current.join(file)).into_iter().collect(),
        profiles: arguments.profile.clone(),
        project_name: arguments.project_name.clone(),
        variables,
        ..Request::default()
    })
}

fn load_project(request: &Request) -> Result<Project> {
    let disk = View::open(&[]).context("read the disk")?;
    let project = load::load(request, &disk)?;
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

/// Whether a variable, of the environment or of `.env`, says yes.
fn flag(request: &Request, name: &str) -> bool {
    let value = request.variables.get(name);
    value.and_then(|it| crate::compose::scalar::boolean(it)).unwrap_or(false)
}
