//! Commands that change something, or ask the daemon to.

use std::io::Write;
use std::path::Path;
use std::sync::{Arc, PoisonError};

use anyhow::{Context, Result, bail};
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::arguments::Run;
use super::bar::{self, Bar};
use super::output::{Output, print};
use super::setup::{configuration, log_to_console, now, read_and_recorded, world};
use super::{FAILED, Usage, tidy};
use crate::control::{Call, Exclusive, Listener, Reply, Request};
use crate::daemon;
use crate::job::{Configuration, Deploy, Job, Work};
use crate::logs;
use crate::problem::nearest;
use crate::reconcile;
use crate::run::{Ending, Live, Outcome, Restore, RunId, Trigger};
use crate::store::Store;
use crate::web::Web;

/// Exit code of `plan` when there is something to do.
const CHANGES: u8 = 3;

/// `serve`.
pub(super) async fn serve(env_file: Option<&Path>) -> Result<u8> {
    let (everything, read_from) = read_and_recorded(env_file)?;
    let configuration = everything.configuration;
    let settings = &configuration.settings;
    let _guard = logs::start(&settings.log, settings.timezone, true);
    for problem in &configuration.problems.0 {
        tracing::warn!("{problem}");
    }
    let store = Store::open(&settings.state_dir).await?;
    let Some(held) = Exclusive::take(&settings.state_dir)? else {
        bail!("another roadstead already uses `{}`", settings.state_dir.display());
    };
    let listener = Listener::bind(&settings.state_dir, &held)?;
    let world = world(env_file, &configuration)?;
    let web = Web::open(settings).await?;
    // Given away, not copied: 100,000 jobs are large.
    let served = daemon::serve(world, store, (configuration, read_from), listener);
    match web {
        None => served.await?,
        Some(web) => tokio::select! {
            served = served => served?,
            () = web.serve() => {}
        },
    }
    Ok(0)
}

/// `plan`.
pub(super) async fn plan(env_file: Option<&Path>, output: Output, job: Option<&str>) -> Result<u8> {
    log_to_console(tracing::Level::WARN);
    let configuration = configuration(env_file)?;
    let named = configuration.jobs.iter().find(|it| Some(it.name.as_str()) == job);
    if let Some(named) = named.filter(|it| !matches!(it.work, Work::Deploy(_)))
        && let Some(changes) = tidy::plan(env_file, output, &configuration, named).await?
    {
        return Ok(if changes { CHANGES } else { 0 });
    }
    let (job, deploy) = deploy_job(&configuration, job)?;
    let world = world(env_file, &configuration)?;
    let store = match Store::open_read_only(&configuration.settings.state_dir).await? {
        Some(store) => store,
        None => Store::open(&configuration.settings.state_dir).await?,
    };
    world.engine.ping().await?;
    let prospect = reconcile::prospect(&world, &store, job, deploy, Trigger::Manual).await;
    let prospect = match prospect {
        Ok(prospect) => prospect,
        Err(stopped) => return tell_ending(output, None, &stopped.ending),
    };
    let plan = &prospect.plan;
    print(|to| {
        if output.json {
            let applied = prospect.applied.as_ref().map(|it| it.revision.to_string());
            let revision = prospect.revision.to_string();
            let value = json!({ "job": job.name, "revision": revision, "applied": applied,
                                "changes": !plan.is_empty(), "plan": plan });
            return writeln!(to, "{value:#}");
        }
        writeln!(to, "{} at {}: {}", plan.project, prospect.revision, plan.summary())?;
        for line in plan.lines() {
            writeln!(to, "  {line}")?;
        }
        for note in &plan.notes {
            writeln!(to, "  note: {note}")?;
        }
        Ok(())
    })?;
    Ok(if plan.is_empty() { 0 } else { CHANGES })
}

/// `deploy`.
pub(super) async fn deploy(
    env_file: Option<&Path>,
    output: Output,
    job: Option<&str>,
) -> Result<u8> {
    let configuration = configuration(env_file)?;
    let name = deploy_job(&configuration, job)?.0.name.clone();
    Box::pin(run_now(env_file, output, &configuration, (&name, None))).await
}

/// `run`.
pub(super) async fn run_job(env_file: Option<&Path>, output: Output, run: &Run) -> Result<u8> {
    let configuration = configuration(env_file)?;
    let job = &run.job;
    if !may_be_a_job(&configuration, job) {
        bail!(Usage(daemon::unknown_job(job, &configuration.jobs)));
    }
    if !run.no_wait {
        return Box::pin(run_now(env_file, output, &configuration, (job, None))).await;
    }
    let request = Request::Run { job: job.clone() };
    let state_dir = &configuration.settings.state_dir;
    let Some(mut call) = Call::place(state_dir, &request).await? else {
        let state_dir = state_dir.display();
        bail!(
            "no `roadstead serve` is at work in `{state_dir}`, and only it can run a job while \
             nobody waits: start it, or leave out --no-wait"
        );
    };
    match call.next().await? {
        Reply::Accepted { run, waits } => {
            print(|to| {
                if output.json {
                    return writeln!(to, "{:#}", json!({ "run": run, "waits": waits }));
                }
                writeln!(to, "run {run} {}", if waits { "is queued" } else { "starts" })
            })?;
            Ok(0)
        }
        Reply::Finished { run, ending } => tell_ending(output, Some(run), &ending),
        Reply::Refused { message } => bail!(message),
        _ => bail!("roadstead answered something else"),
    }
}

/// `run` of a job, waiting for its end.
pub(super) async fn run_and_wait(env_file: Option<&Path>, output: Output, job: &str) -> Result<u8> {
    let run = Run { job: job.to_owned(), wait: true, no_wait: false };
    run_job(env_file, output, &run).await
}

/// Whether there may be such a job: those of labels are in no file, and known to the daemon alone.
pub(super) fn may_be_a_job(configuration: &Configuration, name: &str) -> bool {
    configuration.settings.schedulers.ofelia_labels
        || configuration.jobs.iter().any(|job| job.name == name)
}

/// The deploy job a person means.
fn deploy_job<'a>(
    configuration: &'a Configuration,
    name: Option<&str>,
) -> Result<(&'a Job, &'a Deploy)> {
    let deploys: Vec<(&Job, &Deploy)> = configuration
        .jobs
        .iter()
        .filter_map(|job| match &job.work {
            Work::Deploy(deploy) => Some((job, deploy.as_ref())),
            _ => None,
        })
        .collect();
    let found = match (name, deploys.as_slice()) {
        (Some(name), _) => deploys.iter().find(|(job, _)| job.name == name),
        (None, [only]) => Some(only),
        (None, _) => deploys.iter().find(|(job, _)| job.name == "autodeploy"),
    };
    let names: Vec<&str> = deploys.iter().map(|(job, _)| job.name.as_str()).collect();
    match (found, name) {
        (Some(found), _) => Ok(*found),
        (None, Some(name)) if configuration.jobs.iter().any(|job| job.name == name) => {
            bail!(Usage(format!("job `{name}` deploys nothing; `roadstead run {name}` runs it")))
        }
        (None, _) if names.is_empty() => bail!(Usage(
            "there is no deploy job: set AUTODEPLOY_EXTRA_REPOS or AUTODEPLOY_REPOS in env.local, \
             or write a job file"
                .to_owned()
        )),
        (None, Some(name)) => {
            let near = nearest(name, names.iter().copied());
            let hint = near.map_or_else(
                || format!("there are: {}", names.join(", ")),
                |near| format!("did you mean `{near}`?"),
            );
            bail!(Usage(format!("there is no deploy job `{name}`; {hint}")))
        }
        (None, None) => bail!(Usage(format!("name the deploy job, one of: {}", names.join(", ")))),
    }
}

/// Has the daemon run a job, or restore a backup of it, or does it here where there is none.
pub(super) async fn run_now(
    env_file: Option<&Path>,
    output: Output,
    configuration: &Configuration,
    (name, restore): (&str, Option<Restore>),
) -> Result<u8> {
    let settings = &configuration.settings;
    let job = name.to_owned();
    let request = match restore.clone() {
        Some(restore) => Request::Restore { job, restore },
        None => Request::Run { job },
    };
    if let Some(call) = Call::place(&settings.state_dir, &request).await? {
        return follow_call(output, &settings.state_dir, call).await;
    }
    let _guard = logs::start(&settings.log, settings.timezone, true);
    let store = Store::open(&settings.state_dir).await?;
    let Some(_held) = Exclusive::take(&settings.state_dir)? else {
        bail!("another roadstead is at work in `{}`", settings.state_dir.display());
    };
    let cancel = CancellationToken::new();
    let world = world(env_file, configuration)?;
    let progress = Live::default();
    let wanted = (name, restore, Arc::clone(&progress));
    let work = daemon::run_once(&world, &store, configuration, wanted, cancel.clone());
    let mut terminate = signal(SignalKind::terminate()).context("listen for signals")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("listen for signals")?;
    let mut work = std::pin::pin!(work);
    let mut bar = Bar::new(output);
    let (run, ending) = loop {
        tokio::select! {
            ended = &mut work => break ended?,
            _ = terminate.recv() => cancel.cancel(),
            _ = interrupt.recv() => cancel.cancel(),
            () = tokio::time::sleep(bar::EVERY), if bar.is_shown() => {
                let known = progress.lock().unwrap_or_else(PoisonError::into_inner).clone();
                if let Some(known) = known {
                    bar.show(&known);
                }
            }
        }
    };
    drop(bar);
    tell_ending(output, Some(run), &ending)
}

async fn follow_call(output: Output, state_dir: &Path, mut call: Call) -> Result<u8> {
    let (mut bar, mut started) = (Bar::new(output), None);
    loop {
        let reply = next_reply(&mut call, state_dir, (&mut bar, started)).await?;
        match reply {
            Reply::Accepted { run, waits: true } if !output.json => {
                writeln!(std::io::stderr(), "run {run} waits for its turn")?;
            }
            Reply::Started { run } => {
                started = Some(run);
                if !output.json {
                    writeln!(std::io::stderr(), "run {run} started")?;
                }
            }
            Reply::Accepted { .. } => {}
            Reply::Finished { run, ending } => {
                drop(bar);
                return tell_ending(output, Some(run), &ending);
            }
            Reply::Refused { message } => bail!(message),
            Reply::Health { message, .. } | Reply::Done { message } => {
                bail!("roadstead answered something else: {message}")
            }
            Reply::Labels { .. } | Reply::Progress { .. } => {
                bail!("roadstead answered something else")
            }
        }
    }
}

/// The next reply; until it comes a terminal shows how far the run is.
async fn next_reply(
    call: &mut Call,
    state_dir: &Path,
    (bar, run): (&mut Bar, Option<RunId>),
) -> Result<Reply> {
    let mut reply = std::pin::pin!(call.next());
    loop {
        let Some(run) = run.filter(|_| bar.is_shown()) else { return reply.await };
        if let Ok(reply) = tokio::time::timeout(bar::EVERY, &mut reply).await {
            return reply;
        }
        // A daemon that does not say it has other things to do.
        let asked = async {
            let mut call = Call::place(state_dir, &Request::Progress { run }).await?;
            anyhow::Ok(match &mut call {
                Some(call) => Some(call.next().await?),
                None => None,
            })
        };
        let told = tokio::time::timeout(bar::EVERY, asked).await;
        if let Ok(Ok(Some(Reply::Progress { progress: Some(progress) }))) = told {
            bar.show(&progress);
        }
    }
}

/// Prints how a run ended; the exit code is the container's own where there is one.
fn tell_ending(output: Output, run: Option<RunId>, ending: &Ending) -> Result<u8> {
    print(|to| {
        if output.json {
            let value = json!({ "run": run, "outcome": ending.outcome, "reason": ending.reason,
                                "message": ending.message, "exit_code": ending.exit_code });
            return writeln!(to, "{value:#}");
        }
        let number = run.map(|run| format!("run {run} ")).unwrap_or_default();
        writeln!(to, "{number}{} ({}): {}", ending.outcome, ending.reason, ending.message)
    })?;
    // Who asked for a run and got none must not read that as success.
    if matches!(ending.outcome, Outcome::Skipped | Outcome::Missed) {
        return Ok(FAILED);
    }
    let own = ending.exit_code.and_then(|code| u8::try_from(code).ok());
    Ok(own.unwrap_or_else(|| ending.outcome.exit_code()))
}

/// `health`.
pub(super) async fn health(env_file: Option<&Path>, output: Output) -> Result<u8> {
    let settings = configuration(env_file)?.settings;
    let (healthy, message) = match Call::place(&settings.state_dir, &Request::Health).await? {
        None => (
            false,
            format!("no `roadstead serve` is at work in `{}`", settings.state_dir.display()),
        ),
        Some(mut call) => {
            let deadline = std::time::Duration::from_secs(5);
            let reply = tokio::time::timeout(deadline, call.next()).await;
            match reply.context("roadstead does not answer").and_then(|it| it) {
                Ok(Reply::Health { healthy, message }) => (healthy, message),
                Ok(_) => (false, "roadstead answered something else".to_owned()),
                Err(error) => (false, format!("{error:#}")),
            }
        }
    };
    print(|to| {
        if output.json {
            let value = json!({ "healthy": healthy, "message": message, "at": now() });
            return writeln!(to, "{value:#}");
        }
        writeln!(to, "{}: {message}", if healthy { "healthy" } else { "unhealthy" })
    })?;
    Ok(if healthy { 0 } else { FAILED })
}
