//! Commands that ask the daemon for something, and get one line as their answer.

use std::path::Path;

use anyhow::{Result, bail};
use serde_json::json;

use super::Usage;
use super::act::may_be_a_job;
use super::arguments;
use super::output::{Output, print};
use super::setup::{configuration, now};
use crate::control::{Call, Reply, Request};
use crate::daemon::unknown_job;
use crate::job::Configuration;
use crate::store::{Pause, Pauses, Store};

/// `pause`.
pub(super) async fn pause(
    env_file: Option<&Path>,
    output: Output,
    pause: arguments::Pause,
) -> Result<u8> {
    let configuration = configuration(env_file)?;
    must_exist(&configuration, &pause.jobs, &[])?;
    let request = Request::Pause { jobs: pause.jobs.clone(), reason: pause.reason.clone() };
    if let Some(said) = asked(&configuration, &request).await? {
        return tell(output, &said);
    }
    // Nobody serves: what is written now holds from the next start on.
    let store = Store::open(&configuration.settings.state_dir).await?;
    store.pause(&pause.jobs, &Pause { since: now(), reason: pause.reason }).await?;
    tell(output, &Pauses::said_of(&pause.jobs))
}

/// `resume`.
pub(super) async fn resume(
    env_file: Option<&Path>,
    output: Output,
    resume: arguments::Resume,
) -> Result<u8> {
    let configuration = configuration(env_file)?;
    let request = Request::Resume { jobs: resume.jobs.clone() };
    let store = Store::open_read_only(&configuration.settings.state_dir).await?;
    let paused = match &store {
        Some(store) => store.pauses().await?,
        None => Pauses::default(),
    };
    // One that is gone can still be paused.
    let names: Vec<String> = paused.of_jobs.keys().cloned().collect();
    must_exist(&configuration, &resume.jobs, &names)?;
    if let Some(said) = asked(&configuration, &request).await? {
        return tell(output, &said);
    }
    let jobs = paused.to_resume(&resume.jobs).map_err(anyhow::Error::msg)?;
    let was_all = resume.all && paused.of_all.is_some();
    if was_all || !jobs.is_empty() {
        let store = Store::open(&configuration.settings.state_dir).await?;
        store.resume(&jobs, resume.all).await?;
    }
    tell(output, &Pauses::said(&jobs, was_all))
}

/// `cancel`.
pub(super) async fn cancel(env_file: Option<&Path>, output: Output, what: String) -> Result<u8> {
    ask(env_file, output, &Request::Cancel { what }).await
}

/// `event`.
pub(super) async fn event(env_file: Option<&Path>, output: Output, name: String) -> Result<u8> {
    ask(env_file, output, &Request::Event { name }).await
}

async fn ask(env_file: Option<&Path>, output: Output, request: &Request) -> Result<u8> {
    let configuration = configuration(env_file)?;
    let Some(said) = asked(&configuration, request).await? else {
        let state_dir = configuration.settings.state_dir.display();
        bail!("no `roadstead serve` is at work in `{state_dir}`: there is nobody to ask")
    };
    tell(output, &said)
}

/// What the daemon says; `None` where none serves.
async fn asked(configuration: &Configuration, request: &Request) -> Result<Option<String>> {
    let call = Call::place(&configuration.settings.state_dir, request).await?;
    let Some(mut call) = call else { return Ok(None) };
    match call.next().await? {
        Reply::Done { message } => Ok(Some(message)),
        Reply::Refused { message } => bail!(message),
        _ => bail!("roadstead answered something else"),
    }
}

fn must_exist(configuration: &Configuration, jobs: &[String], besides: &[String]) -> Result<()> {
    let is_known = |name: &String| besides.contains(name) || may_be_a_job(configuration, name);
    match jobs.iter().find(|job| !is_known(job)) {
        Some(unknown) => bail!(Usage(unknown_job(unknown, &configuration.jobs))),
        None => Ok(()),
    }
}

fn tell(output: Output, message: &str) -> Result<u8> {
    print(|to| {
        if output.json {
            return writeln!(to, "{:#}", json!({ "message": message }));
        }
        writeln!(to, "{message}")
    })?;
    Ok(0)
}
