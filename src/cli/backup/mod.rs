//! `backup`: what is in a repository, and out of it again. Each command starts a worker of its own, on the
//! Engine that the configuration names.

mod arguments;
mod restore;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context as _, Result, bail};
use chrono::DateTime;
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

pub(in crate::cli) use self::arguments::Backup;
use self::arguments::{All, Command, Diff, List, Prune, Show, Verified};
use super::bar::Bar;
use super::inspect::time_or_ago;
use super::output::{Output, Page, json, print};
use super::setup::{configuration, log_to_console, now, world};
use super::table::Table;
use super::text::moment;
use super::{FAILED, Usage, act, known_job};
use crate::backup::protocol::{Event, Operation, Snapshot, Summary};
use crate::execute::backup::{
    Chosen, Desk, End, Seen, ask, choose, failure_text, keep_text, snapshots, tags_of,
    tags_to_prune, verified,
};
use crate::job::work::{Keep, Repository};
use crate::job::{Configuration, Job, Work};
use crate::plan::housekeeping::bytes_text;
use crate::reconcile::World;
use crate::run::Progress;
use crate::store::{RunFilter, Store};

/// How many runs of a drill are looked through.
const RUNS: usize = 200;

/// One command at work.
struct Office<'a> {
    configuration: &'a Configuration,
    world: World,
    job: &'a Job,
    repository: &'a Repository,
    output: Output,
    cancel: CancellationToken,
    /// How many workers it asked for.
    asked: AtomicU32,
}

/// `backup`.
pub(super) async fn run(env_file: Option<&Path>, output: Output, backup: Backup) -> Result<u8> {
    match &backup.command {
        Command::Run(it) => return act::run_and_wait(env_file, output, &it.job).await,
        Command::Plan(it) => return act::plan(env_file, output, Some(&it.job)).await,
        Command::Restore(it) if it.in_place => {
            return restore::in_place(env_file, output, it).await;
        }
        _ => {}
    }
    log_to_console(tracing::Level::WARN);
    let configuration = configuration(env_file)?;
    let job = known_job(backup.command.job(), &configuration.jobs)?;
    let repository = repository_of(job)?;
    let world = world(env_file, &configuration)?;
    let cancel = CancellationToken::new();
    let (configuration, asked) = (&configuration, AtomicU32::new(1));
    let office = Office { configuration, world, job, repository, output, cancel, asked };
    let cancel = office.cancel.clone();
    let work = async {
        match &backup.command {
            Command::Run(_) | Command::Plan(_) => Ok(FAILED),
            Command::List(it) => office.list(it).await,
            Command::Show(it) => office.show(it).await,
            Command::Diff(it) => office.diff(it).await,
            Command::Restore(it) => office.restore(it).await,
            Command::Verify(it) => office.verify(it).await,
            Command::Verified(it) => office.verified(it).await,
            Command::Prune(it) => office.prune(it).await,
            Command::Unlock(it) => office.unlock(it).await,
        }
    };
    let mut work = Box::pin(work);
    let mut terminate = signal(SignalKind::terminate()).context("listen for signals")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("listen for signals")?;
    tokio::select! {
        done = &mut work => return done,
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    cancel.cancel();
    work.await
}

/// The repository of a job.
fn repository_of(job: &Job) -> Result<&Repository, Usage> {
    job.work.repository().ok_or_else(|| {
        Usage(format!(
            "job `{}` is of kind `{}` and has no repository: name one of kind backup, backup_prune, \
             backup_check or restore_drill",
            job.name,
            job.work.kind()
        ))
    })
}

/// Shows how far a worker is, where an event tells.
fn show(bar: &mut Bar, event: &Event) {
    if let Event::Progress { what, done, all } = event {
        bar.show(&Progress { what: what.clone(), done: *done, all: *all });
    }
}

impl Command {
    fn job(&self) -> &str {
        match self {
            Self::Run(it) | Self::Plan(it) => &it.job,
            Self::List(it) => &it.job,
            Self::Show(it) => &it.job,
            Self::Diff(it) => &it.job,
            Self::Restore(it) => &it.job,
            Self::Verify(it) | Self::Unlock(it) => &it.job,
            Self::Verified(it) => &it.job,
            Self::Prune(it) => &it.job,
        }
    }
}

/// What a worker says besides.
fn said(bytes: &[u8]) {
    let _ = std::io::stderr().write_all(bytes);
}

impl Office<'_> {
    fn desk(&self, what: &str) -> Desk<'_> {
        let number = self.asked.fetch_add(1, Ordering::Relaxed);
        let name = format!("roadstead-{}-{what}-{}-{number}", self.job.name, std::process::id());
        Desk {
            world: &self.world,
            name,
            labels: BTreeMap::new(),
            auto_remove: true,
            cancel: &self.cancel,
            said: &said,
        }
    }

    /// The tags of the snapshots that are the job's; of one that has none, all.
    fn tags(&self) -> Vec<String> {
        tags_of(&self.job.name, &self.job.work)
    }

    /// Why a worker did not do it.
    fn error(&self, end: End) -> anyhow::Error {
        let place = self.repository.location.name();
        match end {
            End::Done(_) => anyhow::anyhow!("the worker ended early"),
            End::Broken(error) => error,
            End::Failed(class, message) => {
                anyhow::anyhow!(failure_text(class, &message, (&place, &self.job.name)))
            }
        }
    }

    async fn ask(
        &self,
        operation: Operation,
        heard: &mut (dyn FnMut(&Event) + Send),
    ) -> Result<Summary> {
        let (desk, seen) = (self.desk("backup"), Seen::default());
        match ask(&desk, self.repository, (&seen, operation), heard).await {
            End::Done(summary) => Ok(*summary),
            end => Err(self.error(end)),
        }
    }

    async fn snapshots(&self, tags: Vec<String>) -> Result<Vec<Snapshot>> {
        let desk = self.desk("list");
        let found = snapshots(&desk, self.repository, tags).await;
        found.map_err(|end| self.error(end))
    }

    async fn chosen(&self, wanted: Option<&str>, path: Option<&str>) -> Result<Chosen> {
        let all = self.snapshots(self.tags()).await?;
        choose(&all, wanted, path).map_err(|why| anyhow::anyhow!("job `{}`: {why}", self.job.name))
    }

    async fn list(&self, list: &List) -> Result<u8> {
        let tags = if list.all { Vec::new() } else { self.tags() };
        let all = self.snapshots(tags).await?;
        let timezone = self.configuration.settings.timezone;
        let page = Page { output: self.output, now: now(), timezone };
        print(|to| {
            if self.output.json {
                return json(to, &all);
            }
            let header = ["SNAPSHOT", "TIME", "HOST", "TAGS", "PATHS", "FILES", "SIZE", "ADDED"];
            let mut table = Table::new(&header);
            for it in &all {
                let time = DateTime::parse_from_rfc3339(&it.time);
                let time = time.map_or_else(|_| it.time.clone(), |at| moment(&page, at.to_utc()));
                let bytes = |it: Option<u64>| it.map(bytes_text).unwrap_or_default();
                table.row([
                    short(&it.id).into(),
                    time.into(),
                    it.host.as_str().into(),
                    it.tags.join(" ").into(),
                    it.paths.join(" ").into(),
                    it.files.map(|it| it.to_string()).unwrap_or_default().into(),
                    bytes(it.bytes).into(),
                    bytes(it.added).into(),
                ]);
            }
            table.write(to, self.output, "no snapshots yet")
        })?;
        Ok(0)
    }

    async fn show(&self, show: &Show) -> Result<u8> {
        let chosen = self.chosen(Some(&show.snapshot), show.path.as_deref()).await?;
        let mut entries = Vec::new();
        let mut heard = |event: &Event| {
            if matches!(event, Event::Entry { .. }) {
                entries.push(event.clone());
            }
        };
        let operation = Operation::Files {
            snapshot: chosen.snapshot.id.clone(),
            tags: Vec::new(),
            path: chosen.path.clone(),
        };
        self.ask(operation, &mut heard).await?;
        print(|to| {
            if self.output.json {
                let entries: Vec<_> = entries.iter().map(without_name).collect();
                return json(to, &json!({ "snapshot": chosen.snapshot, "entries": entries }));
            }
            let mut table = Table::new(&["MODE", "OWNER", "SIZE", "MODIFIED", "KIND", "PATH"]);
            for entry in &entries {
                let Event::Entry { path, kind, size, mode, uid, gid, modified } = entry else {
                    continue;
                };
                table.row([
                    format!("{:04o}", mode & 0o7777).into(),
                    format!("{uid}:{gid}").into(),
                    size.to_string().into(),
                    modified.clone().unwrap_or_default().into(),
                    kind.as_str().into(),
                    path.as_str().into(),
                ]);
            }
            table.write(to, self.output, "it holds nothing")
        })?;
        Ok(0)
    }

    async fn diff(&self, diff: &Diff) -> Result<u8> {
        let all = self.snapshots(self.tags()).await?;
        let of = |wanted: &str| {
            let chosen = choose(&all, Some(wanted), None);
            chosen.map_err(|why| anyhow::anyhow!("job `{}`: {why}", self.job.name))
        };
        let (from, to) = (of(&diff.from)?.snapshot.id, of(&diff.to)?.snapshot.id);
        let mut found = Vec::new();
        let mut heard = |event: &Event| {
            if let Event::Difference { path, how } = event {
                found.push((how.clone(), path.clone()));
            }
        };
        self.ask(Operation::Diff { from: from.clone(), to: to.clone() }, &mut heard).await?;
        print(|out| {
            if self.output.json {
                let all: Vec<_> =
                    found.iter().map(|(how, path)| json!({ "how": how, "path": path })).collect();
                return json(out, &json!({ "from": from, "to": to, "differences": all }));
            }
            let mut table = Table::new(&["HOW", "PATH"]);
            for (how, path) in &found {
                table.row([how.as_str().into(), path.as_str().into()]);
            }
            table.write(out, self.output, "they are equal")
        })?;
        Ok(0)
    }

    async fn verify(&self, verify: &All) -> Result<u8> {
        let of = u32::from(verify.all);
        let (mut troubles, mut bar) = (Vec::new(), Bar::new(self.output));
        let mut heard = |event: &Event| {
            show(&mut bar, event);
            if let Event::Trouble { path, what, .. } = event {
                troubles.push(format!("{path}: {what}"));
            }
        };
        let summary = self.ask(Operation::Check { number: 0, of }, &mut heard).await?;
        drop(bar);
        let is_good = troubles.is_empty();
        print(|to| {
            if self.output.json {
                let value =
                    json!({ "good": is_good, "bytes": summary.bytes, "troubles": troubles });
                return json(to, &value);
            }
            let place = self.repository.location.name();
            for trouble in &troubles {
                writeln!(to, "{trouble}")?;
            }
            match (is_good, verify.all) {
                (false, _) => writeln!(to, "{place} is damaged"),
                // restic does not say how much.
                (true, true) if summary.bytes == 0 => {
                    writeln!(to, "{place} is whole: all was read")
                }
                (true, true) => {
                    writeln!(to, "{place} is whole: {} read", bytes_text(summary.bytes))
                }
                (true, false) => {
                    writeln!(to, "{place} is whole in its structure; --all reads the data, too")
                }
            }
        })?;
        Ok(if is_good { 0 } else { FAILED })
    }

    async fn verified(&self, asked: &Verified) -> Result<u8> {
        let since = time_or_ago("within", &asked.within)?;
        let of = match &self.job.work {
            Work::RestoreDrill(drill) => &drill.of,
            _ => &self.job.name,
        };
        let is_drill = |it: &&Job| matches!(&it.work, Work::RestoreDrill(drill) if drill.of == *of);
        let drills: Vec<&Job> = self.configuration.jobs.iter().filter(is_drill).collect();
        if drills.is_empty() {
            bail!(
                "no job of kind restore_drill is about `{of}`: write one, `restore_drill: {{of: {of}, …}}`"
            );
        }
        let store = Store::open_read_only(&self.configuration.settings.state_dir).await?;
        let mut runs = Vec::new();
        if let Some(store) = &store {
            for drill in &drills {
                let filter = RunFilter {
                    job: Some(drill.name.clone()),
                    limit: RUNS,
                    ..RunFilter::default()
                };
                for run in store.runs(&filter).await? {
                    let details = store.details(run.id).await?;
                    runs.push((run, details));
                }
            }
        }
        let found = verified(&runs, of, since);
        print(|to| {
            if self.output.json {
                let value = json!({ "job": of, "verified": found.is_some(), "drill": found });
                return json(to, &value);
            }
            match &found {
                Some(found) => writeln!(
                    to,
                    "run {} proved snapshot {} of {} at {}",
                    found.run,
                    short(&found.snapshot),
                    found.made,
                    found.at.to_rfc3339()
                ),
                None => writeln!(
                    to,
                    "no drill proved a backup of `{of}` within {}: run {}",
                    asked.within,
                    drills.iter().map(|it| it.name.as_str()).collect::<Vec<_>>().join(" or ")
                ),
            }
        })?;
        Ok(if found.is_some() { 0 } else { FAILED })
    }

    async fn prune(&self, prune: &Prune) -> Result<u8> {
        let keep: Option<&Keep> = match &self.job.work {
            Work::Backup(work) => work.keep.as_ref(),
            Work::BackupPrune(work) => work.keep.as_ref(),
            _ => None,
        };
        let dry_run = prune.dry_run;
        let mut forgotten = Vec::new();
        if let Some(keep) = keep {
            let all = match &self.job.work {
                Work::BackupPrune(work) => tags_to_prune(&work.of),
                _ => vec![self.tags()],
            };
            for tags in all {
                let operation = Operation::Forget { tags, keep: keep.clone(), dry_run };
                forgotten.extend(self.ask(operation, &mut |_| ()).await?.forgotten);
            }
        }
        let freed = self.ask(Operation::Prune { dry_run }, &mut |_| ()).await?.stored;
        print(|to| {
            if self.output.json {
                let value = json!({ "dry_run": dry_run, "forgotten": forgotten, "freed": freed });
                return json(to, &value);
            }
            let would = if dry_run { "would be " } else { "" };
            if let Some(keep) = keep {
                let count = forgotten.len();
                writeln!(to, "{count} snapshots {would}forgotten (kept: {})", keep_text(keep))?;
            }
            writeln!(to, "{} {would}freed", bytes_text(freed))
        })?;
        Ok(0)
    }

    async fn unlock(&self, unlock: &All) -> Result<u8> {
        let summary = self.ask(Operation::Unlock { all: unlock.all }, &mut |_| ()).await?;
        print(|to| {
            if self.output.json {
                return json(to, &json!({ "unlocked": summary.unlocked }));
            }
            writeln!(to, "{} locks removed", summary.unlocked)
        })?;
        Ok(0)
    }
}

/// An entry as JSON, without the word that says that it is one.
fn without_name(event: &Event) -> serde_json::Value {
    let mut value = serde_json::to_value(event).unwrap_or_default();
    if let Some(object) = value.as_object_mut() {
        object.shift_remove("event");
    }
    value
}

fn short(id: &str) -> &str {
    id.get(..8).unwrap_or(id)
}
