//! `backup` and the kinds around it: what is read is decided by [`crate::plan::backup`], what is stored by a
//! worker (`session`), and this is the order of things.
//!
//! Dumps come first, each a snapshot of its own. Then volumes and directories become one, and only while
//! they are read are writers kept still. What a run owes to others is written down before.

mod drill;
mod dump;
mod holder;
mod keep;
mod made;
mod quiesce;
mod restore;
mod session;

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, bail};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

pub(super) use self::drill::drill;
pub use self::drill::{Verified, verified};
pub use self::keep::tags_to_prune;
pub(super) use self::keep::{check, prune};
pub(super) use self::made::Made;
pub(super) use self::restore::in_place;
pub use self::restore::{Chosen, Place, choose, places, restore, snapshots, tags_of};
pub use self::session::{Desk, End, Seen, Target};
use self::session::{Session, WORKER, seen_at};
use super::put_back;
use super::sink::{ERR, OUT};
use super::{Answer, Context, engine_ending, failed, stopped};
use crate::backup::protocol::{Event, Failure, Frame, Label, Operation, Summary};
use crate::docker::{Container, is_unreachable};
use crate::job::Work;
use crate::job::work::{Backup, Location, Password, Repository};
use crate::plan::backup::{self as plan, Reading, What};
use crate::plan::labels;
use crate::plan::observed::Container as Observed;
use crate::reconcile::World;
use crate::run::{Details, Ending, Outcome, Reason};

/// Looks at what a backup would read; touches nothing.
///
/// # Errors
///
/// When the Engine does not answer.
pub async fn backup_prospect(world: &World, work: &Backup) -> Result<Reading> {
    let (containers, volumes) =
        tokio::try_join!(world.engine.all_containers(), world.engine.surroundings())?;
    let containers: Vec<Observed> =
        containers.into_iter().filter(|it| !it.labels.contains_key(WORKER)).collect();
    let there = plan::World {
        containers: &containers,
        volumes: &volumes.volumes,
        host: world.host_paths().await?,
    };
    let mut reading = plan::reading(work, &there);
    for source in &reading.sources {
        if let What::Path(path) = &source.what
            && !path.exists()
        {
            let message = format!(
                "there is no `{}` that we can see: correct `paths`, or mount it into our container",
                path.display()
            );
            reading.problems.push(message);
        }
    }
    Ok(reading)
}

/// What a backup would do, for people.
pub fn backup_lines(work: &Backup, reading: &Reading) -> Vec<String> {
    let mut lines = Vec::new();
    for it in &reading.dumps {
        let kind = it.dump.kind.as_str();
        lines.push(format!("dump {kind} of container {} as {}", it.container, it.file));
    }
    for it in &reading.still {
        let how = match it.how {
            crate::job::work::QuiesceHow::Stop => "stop",
            crate::job::work::QuiesceHow::Pause => "pause",
            _ => "run commands in",
        };
        lines.push(format!("{how} container {} while they are read", it.name));
    }
    for source in &reading.sources {
        let what = match &source.what {
            What::Volume(name) => format!("volume {name}"),
            What::Path(path) => path.display().to_string(),
        };
        let writers = if source.writers.is_empty() {
            String::new()
        } else {
            format!(" (written by {})", source.writers.join(", "))
        };
        lines.push(format!("read {what}{writers}"));
    }
    if let Some(keep) = &work.keep {
        lines.push(format!("forget what none of its rules keeps: {}", keep_text(keep)));
    }
    lines
}

/// The rules for people.
pub fn keep_text(keep: &crate::job::work::Keep) -> String {
    let mut rules: Vec<String> = [
        ("last", keep.last),
        ("hourly", keep.hourly),
        ("daily", keep.daily),
        ("weekly", keep.weekly),
        ("monthly", keep.monthly),
        ("yearly", keep.yearly),
    ]
    .into_iter()
    .filter(|(_, count)| *count > 0)
    .map(|(name, count)| format!("{name} {count}"))
    .collect();
    rules.extend(keep.within.map(|it| format!("within {} h", it.as_secs() / 3600)));
    rules.extend(keep.tags.iter().map(|it| format!("tag {it}")));
    rules.join(", ")
}

pub(super) async fn backup(context: Context<'_>, work: &Backup) -> Answer {
    let reading = backup_prospect(context.world, work).await?;
    for line in backup_lines(work, &reading) {
        context.sink.line(OUT, &line);
    }
    for note in &reading.notes {
        info!("{note}");
    }
    for problem in &reading.problems {
        warn!("{problem}");
    }
    // What labels ask for is of many owners: one that is wrong does not cost the others their backup.
    if !reading.problems.is_empty() && (!work.what.labels || reading.is_empty()) {
        let message = format!("{}; nothing was touched", reading.problems.join("; "));
        return Ok(failed(Reason::NotStarted, message));
    }
    if work.dry_run {
        let what = summary(&reading);
        let message = format!("dry run: would store {what}; nothing was done");
        return Ok(Ending::new(Outcome::Succeeded, Reason::Done, message));
    }
    if reading.is_empty() {
        let message = "there is nothing to keep: name volumes, paths, projects or dumps, or label \
                       containers";
        return Ok(failed(Reason::NotStarted, message));
    }
    // All that can fail safely comes first.
    if let Err(error) = session::access(&work.repository, false) {
        return Ok(failed(Reason::NotStarted, format!("{error:#}; nothing was touched")));
    }
    if let Err(error) = quiesce::refuse(context, &reading.still).await {
        if is_unreachable(&error) {
            return Err(error);
        }
        return Ok(failed(Reason::NotStarted, format!("{error:#}; nothing was touched")));
    }
    sweep(context).await?;
    let host = match &work.host {
        Some(host) => host.clone(),
        None => context.world.engine.host_name().await?,
    };
    let mut tags = vec![tag(&context.job.name)];
    tags.extend(work.tags.iter().cloned());
    let label = Label { host, tags };
    let mut made = Made::new(&work.repository.location.name(), context.execution.progress);
    made.troubles_of_plan(&reading.problems);
    let ending = store(context, work, (&reading, &label), &mut made).await;
    let results = made.value();
    context.made_of(|it| it.results = Some(results)).await;
    Ok(ending)
}

/// What no output of a run may hold.
pub(super) fn secrets(work: &Work) -> Vec<String> {
    let Some(repository) = work.repository() else { return Vec::new() };
    let mut secrets: Vec<String> =
        repository.credentials.iter().map(|(_, it)| it.expose().to_owned()).collect();
    if let Password::Value(password) = &repository.password {
        secrets.push(password.expose().to_owned());
    }
    if let Location::Rest(url) = &repository.location {
        let authority = url.split_once("://").and_then(|(_, rest)| rest.split('/').next());
        let user = authority.and_then(|it| it.rsplit_once('@')).map(|(user, _)| user);
        secrets.extend(user.and_then(|it| it.split_once(':')).map(|(_, it)| it.to_owned()));
    }
    if let Work::Backup(work) = work {
        let passwords = work.dumps.iter().filter_map(|it| it.password.as_ref());
        secrets.extend(passwords.map(|it| it.expose().to_owned()));
    }
    // One that is part of many words would hide them.
    secrets.retain(|it| it.len() >= 4);
    secrets
}

/// The tag of a job's snapshots.
pub fn tag(job: &str) -> String {
    format!("job:{job}")
}

/// What would be stored, in few words.
pub fn summary(reading: &Reading) -> String {
    let volumes = reading.sources.iter().filter(|it| matches!(it.what, What::Volume(_))).count();
    let parts = [
        (volumes, "volume"),
        (reading.sources.len() - volumes, "path"),
        (reading.dumps.len(), "dump"),
    ];
    let parts: Vec<String> = parts
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, noun)| crate::source::counted(count, noun))
        .collect();
    if parts.is_empty() { "nothing".to_owned() } else { parts.join(", ") }
}

/// All snapshots, and what follows from them.
async fn store(
    context: Context<'_>,
    work: &Backup,
    (reading, label): (&Reading, &Label),
    made: &mut Made,
) -> Ending {
    let said = |bytes: &[u8]| context.sink.write(ERR, bytes);
    let mut failures: Vec<Ending> = Vec::new();
    for (number, dumped) in reading.dumps.iter().enumerate() {
        if context.cancel.is_cancelled() {
            return made.after(stopped("stopped before all was stored"));
        }
        let desk = desk(context, &format!("dump-{}", number + 1), &said);
        let work = dump::dump(context, &desk, &work.repository, (dumped, label), made);
        let (mut failure, step) = (None, format!("store dump {}", dumped.file));
        let stored = async {
            if let Err(error) = Box::pin(work).await {
                let message = error.ending.message.clone();
                failure = Some(error);
                bail!(message);
            }
            Ok(())
        };
        let _ = context.journal.step(step, stored).await;
        let results = made.value();
        context.made_of(|it| it.results = Some(results)).await;
        match failure {
            Some(failure) if failure.is_last => return made.after(failure.ending),
            Some(failure) => {
                warn!("{}", failure.ending.message);
                failures.push(failure.ending);
            }
            None => {}
        }
    }
    if !reading.sources.is_empty() {
        if context.cancel.is_cancelled() {
            return made.after(stopped("stopped before all was stored"));
        }
        let desk = desk(context, "files", &said);
        let stored = Box::pin(files(context, &desk, work, (reading, label), made)).await;
        let results = made.value();
        context.made_of(|it| it.results = Some(results)).await;
        if let Err(ending) = stored {
            failures.push(ending);
        }
    }
    if let Some(first) = failures.first() {
        let all: Vec<&str> = failures.iter().map(|it| it.message.as_str()).collect();
        return made.after(Ending { message: all.join("; "), ..first.clone() });
    }
    if let Some(ending) = made.incomplete() {
        return ending;
    }
    if let Some(keep) = &work.keep {
        let desk = desk(context, "forget", &said);
        let operation = Operation::Forget {
            tags: vec![tag(&context.job.name)],
            keep: keep.clone(),
            dry_run: false,
        };
        let step = context.journal.step("forget old snapshots", async {
            perform(&desk, &work.repository, operation, made).await.map_err(|end| {
                anyhow::anyhow!(
                    ending_of(&end, &work.repository, &context.job.name, "forget").message
                )
            })
        });
        match step.await {
            Ok(summary) => made.forgot(&summary),
            Err(error) => {
                let message = format!("old snapshots stay: {error:#}");
                return made.after(failed(Reason::Incomplete, message));
            }
        }
    }
    made.ending()
}

/// The snapshot of volumes and directories.
async fn files(
    context: Context<'_>,
    desk: &Desk<'_>,
    work: &Backup,
    (reading, label): (&Reading, &Label),
    made: &mut Made,
) -> std::result::Result<(), Ending> {
    let mut seen = Seen::default();
    for source in &reading.sources {
        match &source.what {
            What::Volume(name) => seen.volumes.push(name.clone()),
            What::Path(path) => seen.paths.push(path.clone()),
        }
    }
    let volumes = seen.volumes.iter().map(|it| session::volume_at(it));
    let operation = Operation::Backup {
        paths: volumes.chain(seen.paths.iter().map(|it| seen_at(it))).collect(),
        exclude: reading.exclude.iter().map(|it| exclude(it, &seen)).collect(),
        exclude_caches: work.exclude_caches,
        label: label.clone(),
        dry_run: false,
    };
    let begun = Session::begin(desk, &work.repository, &seen, operation);
    let begun = context.journal.step("start a worker of backups", begun).await;
    let mut session = begun.map_err(|error| dump::not_begun(&error))?;
    // Who goes on with us when we die ends it first.
    let id = session.id.clone();
    context.made_of(|it| it.container = Some(id)).await;
    let ended = read(context, &mut session, work, reading, made).await;
    session.close().await;
    ended
}

/// Has a worker read while writers are still.
async fn read(
    context: Context<'_>,
    session: &mut Session<'_>,
    work: &Backup,
    reading: &Reading,
    made: &mut Made,
) -> std::result::Result<(), Ending> {
    let cancel = context.cancel;
    let of = |end: &End| ending_of(end, &work.repository, &context.job.name, "files");
    let is_ready = |event: &Event| matches!(event, Event::Ready);
    if let Some(end) = session.until(cancel, is_ready, &mut |event| made.hear(event)).await {
        return Err(of(&end));
    }
    let begun = Instant::now();
    let still = quiesce::keep_still(context, &reading.still).await;
    let end = match &still {
        Ok(()) => {
            let _ = session.input.tell(Frame::Go, &[]).await;
            let is_read = |event: &Event| matches!(event, Event::Read);
            let never = CancellationToken::new();
            let mut heard = |event: &Event| made.hear(event);
            // Where we are asked to stop, writers do not wait until the worker has.
            tokio::select! {
                end = session.until(&never, is_read, &mut heard) => end,
                () = cancel.cancelled() => None,
            }
        }
        Err(_) => None,
    };
    if still.is_ok() && end.is_none() && !cancel.is_cancelled() {
        made.disturbed(disturbers(context, reading).await);
    }
    // Whatever it was: they go on at once.
    let down = if reading.still.is_empty() { Vec::new() } else { put_back::all(context).await };
    if !reading.still.is_empty() {
        made.window(begun.elapsed());
    }
    let ended = match (still, end) {
        (Err(ending), _) => {
            session.hang_up().await;
            Err(ending)
        }
        (Ok(()), Some(end)) => Ok(end),
        (Ok(()), None) => Ok(session.hear_out(cancel, &mut |event| made.hear(event)).await),
    };
    let ended = ended.and_then(|end| match end {
        End::Done(summary) => {
            made.snapshot("files", *summary);
            Ok(())
        }
        end => Err(of(&end)),
    });
    if down.is_empty() {
        return ended;
    }
    let before = ended.err().map(|it| format!("{}; ", it.message)).unwrap_or_default();
    Err(failed(Reason::RollbackIncomplete, format!("{before}{}", down.join("; "))))
}

/// Who wrote while all were to be still.
async fn disturbers(context: Context<'_>, reading: &Reading) -> BTreeSet<String> {
    if !reading.still.iter().any(|it| it.how.halts()) {
        return BTreeSet::new();
    }
    let looked = async {
        let containers = context.world.engine.all_containers().await?;
        let host = context.world.host_paths().await?;
        let there = plan::World { containers: &containers, volumes: &[], host };
        anyhow::Ok(plan::disturbers(reading, &there))
    };
    looked.await.unwrap_or_else(|error| {
        warn!("nobody knows whether somebody wrote meanwhile: {error:#}");
        BTreeSet::new()
    })
}

/// A glob of a job, for where a worker sees what it is about.
fn exclude(glob: &str, seen: &Seen) -> String {
    let (not, rest) = glob.strip_prefix('!').map_or(("", glob), |rest| ("!", rest));
    let is_of_host = seen.paths.iter().any(|it| std::path::Path::new(rest).starts_with(it));
    if is_of_host && !rest.starts_with(session::VOLUMES) {
        return format!("{not}{}{rest}", session::PATHS);
    }
    glob.to_owned()
}

/// Has a worker carry out an operation that needs nothing but its repository.
pub(super) async fn perform(
    desk: &Desk<'_>,
    repository: &Repository,
    operation: Operation,
    made: &mut Made,
) -> std::result::Result<Summary, End> {
    let (seen, mut heard) = (Seen::default(), |event: &Event| made.hear(event));
    match ask(desk, repository, (&seen, operation), &mut heard).await {
        End::Done(summary) => Ok(*summary),
        end => Err(end),
    }
}

/// Has a worker carry out an operation, and listens to its end.
pub async fn ask(
    desk: &Desk<'_>,
    repository: &Repository,
    (seen, operation): (&Seen, Operation),
    heard: &mut (dyn FnMut(&Event) + Send),
) -> End {
    let mut session = match Session::begin(desk, repository, seen, operation).await {
        Ok(session) => session,
        Err(error) => return End::Broken(error),
    };
    let end = session.hear_out(desk.cancel, heard).await;
    session.close().await;
    end
}

/// Where a run asks for a worker.
fn desk<'a>(context: Context<'a>, what: &str, said: &'a (dyn Fn(&[u8]) + Send + Sync)) -> Desk<'a> {
    let (job, run, suffix) = (&context.job.name, context.execution.run, context.suffix);
    Desk {
        world: context.world,
        name: format!("roadstead-{job}-{run}{suffix}-backup-{what}"),
        labels: own_labels(context),
        auto_remove: false,
        cancel: context.cancel,
        said,
    }
}

/// The labels of what a run makes.
fn own_labels(context: Context<'_>) -> BTreeMap<String, String> {
    BTreeMap::from([
        (labels::JOB.to_owned(), context.job.name.clone()),
        (labels::RUN.to_owned(), context.execution.run.to_string()),
    ])
}

/// Removes workers that runs of the job before, or tries of this one, left behind.
async fn sweep(context: Context<'_>) -> Result<()> {
    let engine = &context.world.engine;
    let label = format!("{}={}", labels::JOB, context.job.name);
    for container in engine.containers_with(&label).await? {
        if container.labels.contains_key(WORKER) {
            engine.discard(&container.id, true).await?;
        }
    }
    Ok(())
}

/// A work that a crash of ours cut off: its worker ended with us, and what it owes is put back.
pub(super) async fn cut_off(
    context: Context<'_>,
    known: &Details,
    containers: &[Container],
) -> Ending {
    for container in containers.iter().filter(|it| known.container.as_ref() == Some(&it.id)) {
        super::run::remove(context, &container.id, &container.name).await;
    }
    let message = "roadstead died during this work: what it had stopped is as before, and no snapshot \
                   is half stored; the next run does it anew";
    let ending = Ending::new(Outcome::Lost, Reason::Crashed, message);
    put_back::put_back(context, ending).await
}

/// How a run ends whose worker did not do what it was to do.
pub(super) fn ending_of(end: &End, repository: &Repository, job: &str, what: &str) -> Ending {
    let (class, message) = match end {
        End::Done(_) => return failed(Reason::Internal, "it was done"),
        End::Broken(error) if is_unreachable(error) => return engine_ending(error),
        End::Broken(error) => return failed(Reason::RemoteFailed, format!("{what}: {error:#}")),
        End::Failed(class, message) => (*class, message),
    };
    let place = repository.location.name();
    let message = failure_text(class, message, (&place, job));
    match class {
        Failure::Stopped => stopped(format!("{what}: {message}")),
        class => failed(reason(class), format!("{what}: {message}")),
    }
}

/// What a worker's failure says to people.
pub fn failure_text(class: Failure, message: &str, (place, job): (&str, &str)) -> String {
    match class {
        Failure::Locked => format!(
            "repository `{place}`: {message}; `roadstead backup unlock {job} --all` frees it at once, \
             where nobody is at work there"
        ),
        Failure::Stopped | Failure::Cut => message.to_owned(),
        _ if message.contains(place) => message.to_owned(),
        _ => format!("repository `{place}`: {message}"),
    }
}

fn reason(class: Failure) -> Reason {
    match class {
        Failure::NoRepository => Reason::NeedsPerson,
        Failure::WrongPassword => Reason::Unauthorized,
        Failure::Unreachable => Reason::RemoteUnreachable,
        Failure::Cut => Reason::Incomplete,
        Failure::Stopped => Reason::Shutdown,
        Failure::Locked | Failure::Full | Failure::NotFound | Failure::Damaged | Failure::Other => {
            Reason::RemoteFailed
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_follow_what_they_are_about() {
        let seen = Seen { paths: vec!["/srv/app".into()], ..Seen::default() };
        for (glob, expected) in [
            ("*.log", "*.log"),
            ("/srv/app/cache", "/paths/srv/app/cache"),
            ("!/srv/app/cache/keep", "!/paths/srv/app/cache/keep"),
            ("/srv/apple", "/srv/apple"),
            ("/volumes/data/tmp", "/volumes/data/tmp"),
        ] {
            assert_eq!(exclude(glob, &seen), expected, "{glob}");
        }
    }
}
