//! One run of one job, within its time: one file a kind of work.
//!
//! How a run ended is always an answer, never an error; what its processes write goes out while they
//! write it, and nothing of it is collected.

mod adopt;
pub mod backup;
mod beneath;
mod cache;
mod certificate;
mod clean;
mod command;
mod compose_run;
mod container;
mod exec;
mod follow;
mod group;
mod http;
mod kill;
mod ogc;
mod prune;
mod put_back;
mod record;
mod refresh;
mod rotate;
mod run;
mod sink;
mod stop;
mod sync;
mod target;

pub use self::adopt::adopt;
pub use self::cache::{CacheProspect, cache_prospect};
pub use self::certificate::{CertificateProspect, certificate_prospect};
pub use self::clean::{CleanProspect, clean_prospect};
pub use self::group::{at_hand, locks, members, related, sources};
pub use self::prune::{PruneProspect, prune_prospect};
pub use self::put_back::bring_back;
pub use self::refresh::refresh_lines;
pub use self::rotate::{RotateProspect, rotate_prospect};
pub use self::sync::{SyncProspect, sync_prospect};

use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use futures_util::future::BoxFuture;
use indexmap::IndexMap;
use tokio_util::sync::CancellationToken;
use tracing::info;

use self::record::Record;
use self::sink::Sink;
use crate::apply::Journal;
use crate::docker::{Container, is_unreachable};
use crate::git;
use crate::job::{Job, Retry, Work};
use crate::logs::{Output, secrets_of};
use crate::reconcile::{self, DeployRun, World};
use crate::run::{Details, Ending, Live, Outcome, Reason, Restore, RunId, Trigger};
use crate::settings::LogSettings;
use crate::store::Store;

/// How long a run may take to put things back once its time is over, beyond its own grace.
const TIME_TO_PUT_BACK: Duration = Duration::from_mins(5);

/// One run of a job.
pub struct Execution<'a> {
    /// The job.
    pub job: &'a Job,
    /// Number of the run.
    pub run: RunId,
    /// What said "look now".
    pub trigger: Trigger,
    /// History.
    pub store: &'a Store,
    /// How output is written.
    pub log: &'a LogSettings,
    /// Asks to stop at the next step boundary.
    pub cancel: CancellationToken,
    /// Set where something could not be put back.
    pub needs_recovery: &'a AtomicBool,
    /// The other jobs that its work is about, as [`at_hand`] finds them.
    pub jobs: &'a [Job],
    /// Whether jobs may run programs in our own container.
    pub allow_commands: bool,
    /// What it restores in place, in place of the job's work.
    pub restore: Option<&'a Restore>,
    /// Where it says how far it is.
    pub progress: &'a Live,
}

/// Everything that a kind of work is carried out with.
#[derive(Clone, Copy)]
struct Context<'a> {
    world: &'a World,
    execution: &'a Execution<'a>,
    /// The job whose work it is: the run's own, or one of its group.
    job: &'a Job,
    journal: &'a Journal,
    output: &'a Mutex<Output>,
    sink: &'a Sink<'a>,
    record: &'a Record<'a>,
    /// Asks to stop: somebody wants it, or the time is over.
    cancel: &'a CancellationToken,
    timed_out: &'a AtomicBool,
    /// Tells apart what belongs to works of one run: empty for the first, else e.g. `-2`.
    suffix: &'a str,
    /// How many groups it is in.
    depth: usize,
    /// Which job of a group it is, e.g. `inner/load`: what its part of the record is called.
    member: Option<&'a str>,
}

impl Context<'_> {
    /// Writes down what the work is made of.
    async fn made_of(self, change: impl FnOnce(&mut Details)) {
        self.record.change(self.member, change).await;
    }

    /// A step that ends with an ending: one that is not good is an error in the journal, too.
    async fn step(self, name: String, work: impl Future<Output = Answer>) -> Answer {
        let mut ended = None;
        let work = async {
            let ending = work.await?;
            let (is_good, message) = (is_good(&ending), ending.message.clone());
            ended = Some(ending);
            anyhow::ensure!(is_good, message);
            Ok(())
        };
        let journaled = self.journal.step(name, work).await;
        match (ended, journaled) {
            (Some(ending), _) => Ok(ending),
            (None, Err(error)) => Err(error),
            (None, Ok(())) => Ok(failed(Reason::Internal, "it was not run")),
        }
    }
}

/// The pause after so many tries, drawn at random as [`Retry::pause_after`] says.
pub fn pause_after(retry: &Retry, tries: u32) -> Duration {
    retry.pause_after(tries, RandomState::new().build_hasher().finish())
}

/// Whether nothing went wrong.
fn is_good(ending: &Ending) -> bool {
    match ending.outcome {
        Outcome::Succeeded | Outcome::Degraded | Outcome::Unchanged | Outcome::Skipped => true,
        Outcome::Queued
        | Outcome::Starting
        | Outcome::Running
        | Outcome::Missed
        | Outcome::Blocked
        | Outcome::Failed
        | Outcome::TimedOut
        | Outcome::Cancelled
        | Outcome::Lost => false,
    }
}

/// Whether what was asked was done, if only as far as the job says is enough.
fn is_done(ending: &Ending) -> bool {
    matches!(ending.outcome, Outcome::Succeeded | Outcome::Degraded)
}

/// Runs a job. Never fails: how it ended is the answer.
pub async fn execute(world: &World, execution: &Execution<'_>) -> Ending {
    let output = prepared(
        Output::open(execution.log, &execution.job.name, execution.run),
        world,
        execution.job,
    );
    within_time(world, execution, (output, execution.job.timeout), None).await
}

/// The output without what is secret, and within its bound.
fn prepared(output: Output, world: &World, job: &Job) -> Output {
    let mut variables = BTreeMap::clone(&world.variables);
    let all = |environment: &IndexMap<String, String>| {
        environment.iter().map(|(name, value)| (name.clone(), value.clone())).collect()
    };
    let own: Vec<(String, String)> = match &job.work {
        Work::Run(run) => {
            let environment = run.container.unpack().service.environment.into_iter();
            environment.filter_map(|(name, value)| Some((name, value?))).collect()
        }
        Work::Certificate(work) => {
            let environment = work.certbot.unpack().service.environment.into_iter();
            environment.filter_map(|(name, value)| Some((name, value?))).collect()
        }
        Work::Exec(exec) => all(&exec.environment),
        Work::Command(command) => all(&command.environment),
        Work::ComposeRun(run) => all(&run.environment),
        Work::Deploy(_)
        | Work::Container(_)
        | Work::Http(_)
        | Work::OgcProcess(_)
        | Work::Group(_)
        | Work::Rotate(_)
        | Work::Clean(_)
        | Work::CacheSync(_)
        | Work::Refresh(_)
        | Work::Prune(_)
        | Work::Backup(_)
        | Work::BackupPrune(_)
        | Work::BackupCheck(_) => Vec::new(),
        Work::RestoreDrill(work) => {
            let environment = work.check.unpack().service.environment.into_iter();
            environment.filter_map(|(name, value)| Some((name, value?))).collect()
        }
        Work::Sync(sync) => sync.hook_variables(),
    };
    let mut secrets = secrets_of(&variables).to_vec();
    variables = own.into_iter().collect();
    secrets.extend(secrets_of(&variables).iter().cloned());
    secrets.extend(backup::secrets(&job.work));
    output.masking(&secrets).limited_to(job.keep.run_bytes)
}

/// Carries out or takes over the work of a run, with a limit on its time.
async fn within_time(
    world: &World,
    execution: &Execution<'_>,
    (output, limit): (Output, Duration),
    left: Option<&[Container]>,
) -> Ending {
    let job = execution.job;
    let cancel = execution.cancel.child_token();
    let timed_out = AtomicBool::new(false);
    let output = Mutex::new(output);
    let sink = Sink::new(&output, None);
    let journal = Journal::of_run(execution.store.clone(), execution.run, world.now);
    let record = Record::open(execution.store, execution.run).await;
    // A deploy has the revision of what it deploys.
    if !matches!(job.work, Work::Deploy(_))
        && let Some(revision) = job_revision(job).await
    {
        record.change(None, |it| it.job_revision = Some(revision)).await;
    }
    let context = Context {
        world,
        execution,
        job,
        journal: &journal,
        output: &output,
        sink: &sink,
        record: &record,
        cancel: &cancel,
        timed_out: &timed_out,
        suffix: "",
        depth: 0,
        member: None,
    };
    let work = async {
        match (left, execution.restore) {
            (Some(containers), _) => adopt::go_on(context, containers).await,
            (None, Some(restore)) => {
                let restored = Box::pin(backup::in_place(context, restore)).await;
                restored.unwrap_or_else(|error| engine_ending(&error))
            }
            (None, None) => carry_out(context, &job.work).await,
        }
    };
    // Boxed: what a run keeps across its waits is large.
    let ending = limited(execution, (job, limit), (&cancel, &timed_out), Box::pin(work)).await;
    drop(sink);
    // The tail is quoted by whoever tells of this run, from the run's own file.
    output.into_inner().unwrap_or_else(PoisonError::into_inner).finish();
    ending
}

/// The commit that the job's file is of.
async fn job_revision(job: &Job) -> Option<String> {
    let file = job.file()?.to_owned();
    tokio::task::spawn_blocking(move || git::revision_of(&file)).await.ok().flatten()
}

/// Waits for work, and has it stop when its time is over.
async fn limited(
    execution: &Execution<'_>,
    (job, limit): (&Job, Duration),
    (cancel, timed_out): (&CancellationToken, &AtomicBool),
    mut work: impl Future<Output = Ending> + Unpin,
) -> Ending {
    if let Ok(ending) = tokio::time::timeout(limit, &mut work).await {
        return ending;
    }
    timed_out.store(true, Ordering::Relaxed);
    cancel.cancel();
    // What is left for a further try is no round number.
    let seconds = (job.timeout.as_secs_f64() * 1000.0).round() / 1000.0;
    let limit = format!("the run took longer than its timeout of {seconds} s");
    let grace = job.policy.stop.grace.unwrap_or_default();
    match tokio::time::timeout(TIME_TO_PUT_BACK + grace, &mut work).await {
        Ok(ending) if ending.outcome == Outcome::Cancelled || ending.reason == Reason::TimedOut => {
            let message = format!("{limit}: {}", ending.message);
            Ending { outcome: Outcome::Failed, reason: Reason::TimedOut, message, ..ending }
        }
        // It ended by itself in the last moment.
        Ok(ending) => ending,
        Err(_) => {
            execution.needs_recovery.store(true, Ordering::Relaxed);
            let message = format!(
                "{limit} and could not be brought to a step boundary; what is half done is repaired \
                 before anything else runs"
            );
            Ending::new(Outcome::Failed, Reason::TimedOut, message)
        }
    }
}

/// Carries out one work and what follows it. Boxed, because works may hold others.
fn carry_out<'a>(context: Context<'a>, work: &'a Work) -> BoxFuture<'a, Ending> {
    Box::pin(async move {
        let ending = alone(context, work).await;
        and_then(context, ending, work.then(), 0).await
    })
}

/// Carries out one work without what follows it.
fn alone<'a>(context: Context<'a>, work: &'a Work) -> BoxFuture<'a, Ending> {
    Box::pin(async move {
        // Each boxed: otherwise every run would be as large as the largest kind.
        let ended = match work {
            Work::Deploy(deploy) => {
                let run = DeployRun {
                    job: context.job,
                    deploy,
                    run: context.execution.run,
                    trigger: context.execution.trigger,
                    cancel: context.cancel,
                    timed_out: context.timed_out,
                    store: context.execution.store,
                    needs_recovery: context.execution.needs_recovery,
                };
                Ok(Box::pin(reconcile::deploy(context.world, &run)).await)
            }
            Work::Run(run) => Box::pin(run::run(context, &run.container.unpack())).await,
            Work::Exec(exec) => Box::pin(exec::exec(context, exec)).await,
            Work::ComposeRun(run) => Box::pin(compose_run::compose_run(context, run)).await,
            Work::Container(action) => Box::pin(container::act(context, action)).await,
            Work::Command(command) => Box::pin(command::command(context, command)).await,
            Work::Http(work) => Box::pin(http::http(context, work)).await,
            Work::OgcProcess(process) => Box::pin(ogc::process(context, process)).await,
            Work::Group(group) => Box::pin(group::group(context, group, None)).await,
            Work::Rotate(work) => Box::pin(rotate::rotate(context, work)).await,
            Work::Clean(work) => Box::pin(clean::clean(context, work)).await,
            Work::CacheSync(work) => Box::pin(cache::sync(context, work)).await,
            Work::Refresh(work) => Box::pin(refresh::refresh(context, work)).await,
            Work::Prune(work) => Box::pin(prune::prune(context, work)).await,
            Work::Certificate(work) => Box::pin(certificate::certificate(context, work)).await,
            Work::Sync(work) => Box::pin(sync::sync(context, work)).await,
            Work::Backup(work) => Box::pin(backup::backup(context, work)).await,
            Work::BackupPrune(work) => Box::pin(backup::prune(context, work)).await,
            Work::BackupCheck(work) => Box::pin(backup::check(context, work)).await,
            Work::RestoreDrill(work) => Box::pin(backup::drill(context, work)).await,
        };
        ended.unwrap_or_else(|error| engine_ending(&error))
    })
}

/// Runs what comes after a work that succeeded, in order from this place on, up to the first failure;
/// `ending` is the work's own, or that of the last one before the place.
async fn and_then(context: Context<'_>, ending: Ending, works: &[Work], from: usize) -> Ending {
    if !is_done(&ending) || from == works.len() {
        return ending;
    }
    let mut ending = ending;
    for (index, work) in works.iter().enumerate().skip(from) {
        let (number, count) = (index + 1, works.len());
        if context.cancel.is_cancelled() {
            let message = format!("stopped before what follows it, {number} of {count}");
            return Ending::new(Outcome::Cancelled, Reason::Shutdown, message);
        }
        info!("{}; then {number} of {count} ({})", ending.message, work.kind());
        let suffix = suffix_of(context, number);
        // What follows what follows has no place of its own in the record.
        if context.suffix.is_empty() {
            let goes_on = |details: &mut Details| {
                (details.then, details.since, details.ending) = (number, None, None);
            };
            context.made_of(goes_on).await;
        }
        let next = carry_out(Context { suffix: &suffix, ..context }, work).await;
        if next.outcome != Outcome::Succeeded {
            let message = format!("then {number} of {count} ({}): {}", work.kind(), next.message);
            let next = Ending { message, ..next };
            if !is_done(&next) {
                return next;
            }
            ending = next;
        }
    }
    let message = format!("{}, and what follows it ({}) succeeded", ending.message, works.len());
    Ending { message, ..ending }
}

/// What tells the containers of a work from others of its run; 0 is the job's own work.
fn suffix_of(context: Context<'_>, number: usize) -> String {
    match number {
        0 => context.suffix.to_owned(),
        _ => format!("{}-{}", context.suffix, number + 1),
    }
}

/// The ending of a work that met an error of the Engine, or one that nobody foresaw.
fn engine_ending(error: &anyhow::Error) -> Ending {
    let reason = if is_unreachable(error) { Reason::EngineUnreachable } else { Reason::Internal };
    failed(reason, format!("{error:#}"))
}

fn failed(reason: Reason, message: impl Into<String>) -> Ending {
    Ending::new(Outcome::Failed, reason, message)
}

/// The ending of a work that was asked to stop, and how it did.
fn stopped(how: impl Into<String>) -> Ending {
    Ending::new(Outcome::Cancelled, Reason::Shutdown, how)
}

/// The ending of a process that ended by itself; `who` is what it was, where it is one of several.
fn exited(code: i64, who: &str, took: &str) -> Ending {
    let (outcome, reason) = match code {
        0 => (Outcome::Succeeded, Reason::ExitedZero),
        _ => (Outcome::Failed, Reason::ExitedNonZero),
    };
    let hint = match code {
        126 => " (it cannot be executed)",
        127 => " (no such program)",
        _ => "",
    };
    let message = format!("{who}exited with {code}{hint} after {took}");
    Ending { exit_code: Some(code), ..Ending::new(outcome, reason, message) }
}

/// What a work answers: an ending, or an error that is one of the Engine's.
type Answer = Result<Ending>;
