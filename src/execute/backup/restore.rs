//! Restoring: which snapshot, what of it, and to where.

use std::path::Path;

use anyhow::{Result, ensure};
use serde_json::json;

use super::made::report;
use super::session::{Desk, End, PATHS, Seen, Session, TARGET, Target, VOLUMES};
use super::{ask, desk, ending_of, quiesce, sweep, tag};
use crate::backup::protocol::{Event, Operation, Snapshot, Summary};
use crate::docker::is_unreachable;
use crate::execute::put_back::put_back;
use crate::execute::sink::ERR;
use crate::execute::{Answer, Context, failed, stopped};
use crate::job::Work;
use crate::job::work::{Backup, Quiesce, QuiesceHow, Repository, Selection, Target as Of};
use crate::plan::backup::{self as plan, Still};
use crate::plan::housekeeping::bytes_text;
use crate::plan::observed::{Container, State};
use crate::reconcile::World;
use crate::run::{Ending, Outcome, Reason, Restore};
use crate::source::counted;

/// A snapshot, and what of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Chosen {
    /// The snapshot.
    pub snapshot: Snapshot,
    /// The path as it is in the snapshot; `None` is all of it.
    pub path: Option<String>,
}

/// A volume of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Where it is in the snapshot.
    pub path: String,
    /// The name of the volume.
    pub volume: String,
    /// Whether it is only a part of the volume.
    pub is_part: bool,
}

/// All snapshots with these tags, oldest first.
///
/// # Errors
///
/// When the worker does not answer; with how it ended.
pub async fn snapshots(
    desk: &Desk<'_>,
    repository: &Repository,
    tags: Vec<String>,
) -> std::result::Result<Vec<Snapshot>, End> {
    let mut found = Vec::new();
    let mut heard = |event: &Event| {
        if let Event::Snapshot(snapshot) = event {
            found.push(snapshot.clone());
        }
    };
    let seen = Seen::default();
    match ask(desk, repository, (&seen, Operation::Snapshots { tags }), &mut heard).await {
        End::Done(_) => Ok(found),
        end => Err(end),
    }
}

/// The snapshot that is meant: by its id or the beginning of one, else the newest that has the path.
///
/// # Errors
///
/// What is missing, and what there is.
pub fn choose(
    snapshots: &[Snapshot],
    wanted: Option<&str>,
    path: Option<&str>,
) -> std::result::Result<Chosen, String> {
    let wanted = wanted.filter(|it| *it != "latest");
    let meant: Vec<&Snapshot> = match wanted {
        Some(id) => snapshots.iter().filter(|it| it.id.starts_with(id)).collect(),
        None => snapshots.iter().collect(),
    };
    if meant.is_empty() {
        return Err(match wanted {
            Some(id) => format!("there is no snapshot `{id}`: `roadstead backup list` names them"),
            None => "there is no snapshot yet".to_owned(),
        });
    }
    if let (Some(id), [_, _, ..]) = (wanted, meant.as_slice()) {
        return Err(format!("`{id}` is the beginning of {} ids: give more of it", meant.len()));
    }
    let Some(path) = path else {
        let snapshot = meant.last().map(|it| Snapshot::clone(it)).unwrap_or_default();
        return Ok(Chosen { snapshot, path: None });
    };
    for snapshot in meant.iter().rev() {
        let forms = forms(path);
        if let Some(path) = forms.into_iter().find(|path| covers(snapshot, path)) {
            return Ok(Chosen { snapshot: Snapshot::clone(snapshot), path: Some(path) });
        }
    }
    let newest = meant.last().map(|it| it.paths.join(", ")).unwrap_or_default();
    Err(format!("no snapshot holds `{path}`; the newest holds {newest}"))
}

/// What a person may mean by a path: as it is in the snapshot, a volume's name, a path of the host.
fn forms(path: &str) -> Vec<String> {
    let path = match path.trim_end_matches('/') {
        "" => "/",
        path => path,
    };
    if path.starts_with('/') {
        return vec![path.to_owned(), format!("{PATHS}{path}")];
    }
    vec![format!("{VOLUMES}/{path}"), format!("/{path}"), path.to_owned()]
}

fn covers(snapshot: &Snapshot, path: &str) -> bool {
    let plain = |text: &str| text.trim_matches('/').to_owned();
    snapshot.paths.iter().any(|it| Path::new(&plain(path)).starts_with(plain(it)))
}

/// The volumes that are restored of what was chosen.
pub fn places(chosen: &Chosen) -> Vec<Place> {
    let of = |path: &str| {
        let rest = path.strip_prefix(VOLUMES)?.strip_prefix('/')?;
        let (volume, part) = rest.split_once('/').unwrap_or((rest, ""));
        let is_part = !part.is_empty();
        Some(Place { path: path.to_owned(), volume: volume.to_owned(), is_part })
    };
    match &chosen.path {
        Some(path) => of(path).into_iter().collect(),
        None => chosen.snapshot.paths.iter().filter_map(|it| of(it)).collect(),
    }
}

/// Who has volumes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Users {
    /// Those that can be stopped, in that order.
    running: Vec<Still>,
    /// Names of those that cannot: they are paused.
    paused: Vec<String>,
    /// We are one of them.
    ourselves: bool,
}

/// The containers that live and have one of these volumes.
///
/// # Errors
///
/// When the Engine does not answer.
async fn users_of(world: &World, repository: &Repository, volumes: &[String]) -> Result<Users> {
    let all = world.engine.all_containers().await?;
    let has = |it: &&Container| it.volumes.iter().any(|name| volumes.contains(name));
    let users = || all.iter().filter(|it| it.state.lives()).filter(has);
    let targets = users().map(|it| Of::Name(it.id.clone())).collect();
    let quiesce = Quiesce { how: QuiesceHow::Stop, targets, ..Quiesce::default() };
    let nothing = Backup {
        repository: repository.clone(),
        what: Selection::default(),
        dumps: Vec::new(),
        quiesce,
        exclude: Vec::new(),
        exclude_caches: false,
        tags: Vec::new(),
        host: None,
        keep: None,
        dry_run: false,
    };
    let there = plan::World { containers: &all, volumes: &[], host: world.host_paths().await? };
    let paused = users().filter(|it| it.state == State::Paused).map(|it| it.name.clone());
    Ok(Users {
        running: plan::reading(&nothing, &there).still,
        paused: paused.collect(),
        ourselves: users().any(|it| it.is_ourselves),
    })
}

/// Restores into a volume that is there, or a directory.
pub async fn restore(
    desk: &Desk<'_>,
    repository: &Repository,
    chosen: &Chosen,
    target: (Target, bool),
    heard: &mut (dyn FnMut(&Event) + Send),
) -> End {
    let (seen, operation) = restoring(chosen, target);
    ask(desk, repository, (&seen, operation), heard).await
}

fn restoring(chosen: &Chosen, (target, delete): (Target, bool)) -> (Seen, Operation) {
    let seen = Seen { target: Some(target), ..Seen::default() };
    let operation = Operation::Restore {
        snapshot: chosen.snapshot.id.clone(),
        tags: Vec::new(),
        path: chosen.path.clone(),
        to: TARGET.into(),
        delete,
        dry_run: false,
    };
    (seen, operation)
}

/// The tags of the snapshots that are a job's; of one that has none of its own, all.
pub fn tags_of(job: &str, work: &Work) -> Vec<String> {
    match work {
        Work::Backup(_) => vec![tag(job)],
        Work::RestoreDrill(drill) => vec![tag(&drill.of)],
        _ => Vec::new(),
    }
}

/// A volume that is restored in place, and from what.
type Wanted = (Chosen, String);

/// Restores volumes in place. Who has them is stopped meanwhile, and that is written down before.
pub(in crate::execute) async fn in_place(context: Context<'_>, restore: &Restore) -> Answer {
    let (job, work) = (&context.job.name, &context.job.work);
    let refused = |message: String| {
        Ok(failed(Reason::NotStarted, format!("job `{job}`: {message}; nothing was touched")))
    };
    let Some(repository) = work.repository() else {
        return refused("it has no repository".to_owned());
    };
    sweep(context).await?;
    let said = |bytes: &[u8]| context.sink.write(ERR, bytes);
    let list = desk(context, "list", &said);
    let all = match snapshots(&list, repository, tags_of(job, work)).await {
        Ok(all) => all,
        Err(end) => return Ok(ending_of(&end, repository, job, "list snapshots")),
    };
    let chosen = match choose(&all, restore.snapshot.as_deref(), restore.path.as_deref()) {
        Ok(chosen) => chosen,
        Err(why) => return refused(why),
    };
    let wanted = match wanted(context, &chosen).await {
        Ok(wanted) => wanted,
        Err(error) if is_unreachable(&error) => return Err(error),
        Err(error) => return refused(format!("{error:#}")),
    };
    let still = match still(context, repository, (&wanted, restore.stop)).await {
        Ok(still) => still,
        Err(error) if is_unreachable(&error) => return Err(error),
        Err(error) => return refused(format!("{error:#}")),
    };
    let kept = quiesce::keep_still(context, &still).await;
    let ending = match kept {
        Ok(()) => all_of(context, repository, (&chosen, &wanted)).await,
        Err(ending) => ending,
    };
    Ok(put_back(context, ending).await)
}

/// The volumes, all of which are looked at before the first is touched.
async fn wanted(context: Context<'_>, chosen: &Chosen) -> Result<Vec<Wanted>> {
    let places = places(chosen);
    let holds = chosen.path.clone().unwrap_or_else(|| chosen.snapshot.paths.join(", "));
    ensure!(!places.is_empty(), "{holds} is of no volume: restore it by --to into a directory");
    if let Some(part) = places.iter().find(|it| it.is_part) {
        let Place { path, volume, .. } = part;
        anyhow::bail!(
            "`{path}` is only a part of volume `{volume}`, and only whole volumes are restored in \
             place: restore it into a directory by --to"
        );
    }
    let there = context.world.engine.all_volumes().await?;
    for Place { volume, .. } in &places {
        ensure!(
            there.iter().any(|it| it.name == *volume),
            "there is no volume `{volume}` to restore in place: leave out --in-place"
        );
    }
    let one =
        |Place { path, volume, .. }: Place| (Chosen { path: Some(path), ..chosen.clone() }, volume);
    Ok(places.into_iter().map(one).collect())
}

/// Who is to be stopped, in that order.
async fn still(
    context: Context<'_>,
    repository: &Repository,
    (wanted, may_stop): (&[Wanted], bool),
) -> Result<Vec<Still>> {
    let names: Vec<String> = wanted.iter().map(|it| it.1.clone()).collect();
    let users = users_of(context.world, repository, &names).await?;
    let all = users.running.iter().map(|it| &it.name).chain(&users.paused);
    let list = all.map(String::as_str).collect::<Vec<_>>().join(", ");
    let names = names.join(", ");
    ensure!(!users.ourselves, "roadstead itself has one of {names} mounted: restore it elsewhere");
    ensure!(
        list.is_empty() || may_stop,
        "{names} in use by {list}: stop that, or have it done by --stop"
    );
    let paused = users.paused.join(", ");
    ensure!(paused.is_empty(), "{paused} is paused: unpause or stop it first");
    quiesce::refuse(context, &users.running).await?;
    Ok(users.running)
}

/// Restores each; the first that fails ends it.
async fn all_of(
    context: Context<'_>,
    repository: &Repository,
    (chosen, wanted): (&Chosen, &[Wanted]),
) -> Ending {
    let (mut restored, mut troubles, mut texts) = (Vec::new(), Vec::new(), Vec::new());
    let mut failure = None;
    for (number, (what, volume)) in wanted.iter().enumerate() {
        if context.cancel.is_cancelled() {
            failure = Some(stopped(format!("stopped before volume `{volume}` was restored")));
            break;
        }
        let step = format!("restore volume {volume}");
        let one = async {
            let ended =
                into(context, repository, (number, what, volume.as_str()), &mut troubles).await;
            ended.map_err(|ending| {
                let error = anyhow::anyhow!(ending.message.clone());
                failure = Some(ending);
                error
            })
        };
        let Ok(summary) = context.journal.step(step, Box::pin(one)).await else { break };
        texts.push(format!("volume {volume} ({})", bytes_text(summary.bytes)));
        restored.push(json!({
            "path": what.path, "to": format!("volume {volume}"), "files": summary.files_changed,
            "bytes": summary.bytes,
        }));
    }
    let results =
        json!({ "snapshot": chosen.snapshot.id, "restored": restored, "troubles": troubles });
    context.made_of(|it| it.results = Some(results)).await;
    let id = &chosen.snapshot.id;
    let short = id.get(..8).unwrap_or(id);
    if let Some(failure) = failure {
        return failure;
    }
    if let Some(first) = troubles.first() {
        let count = counted(troubles.len(), "trouble");
        let message = format!("{} as in snapshot {short}, but {count}: {first}", texts.join(", "));
        return failed(Reason::Incomplete, message);
    }
    let message = format!("restored as in snapshot {short}: {}", texts.join(", "));
    Ending::new(Outcome::Succeeded, Reason::Done, message)
}

/// Restores one volume.
async fn into(
    context: Context<'_>,
    repository: &Repository,
    (number, chosen, volume): (usize, &Chosen, &str),
    troubles: &mut Vec<String>,
) -> std::result::Result<Summary, Ending> {
    let said = |bytes: &[u8]| context.sink.write(ERR, bytes);
    let desk = desk(context, &format!("restore-{}", number + 1), &said);
    let (seen, operation) = restoring(chosen, (Target::Volume(volume.to_owned()), true));
    let begun = Session::begin(&desk, repository, &seen, operation).await;
    let mut session = begun
        .map_err(|error| failed(Reason::NotStarted, format!("volume `{volume}`: {error:#}")))?;
    // It is ended before anybody who has the volume is started again.
    let id = session.id.clone();
    context.made_of(|it| it.container = Some(id)).await;
    let mut heard = |event: &Event| {
        report(context.execution.progress, event);
        if let Event::Trouble { path, what, .. } = event {
            troubles.push(format!("{path}: {what}"));
        }
    };
    let end = session.hear_out(context.cancel, &mut heard).await;
    session.close().await;
    match end {
        End::Done(summary) => Ok(*summary),
        end => {
            let ending = ending_of(&end, repository, &context.job.name, "restore");
            let message = format!(
                "{}: volume `{volume}` may be restored in part, restore it once more",
                ending.message
            );
            Err(Ending { message, ..ending })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot(id: &str, paths: &[&str]) -> Snapshot {
        Snapshot {
            id: id.to_owned(),
            paths: paths.iter().map(|it| (*it).to_owned()).collect(),
            ..Snapshot::default()
        }
    }

    #[test]
    fn the_newest_snapshot_that_has_the_path_is_meant() {
        let all = [
            snapshot("aa1", &["/volumes/data", "/paths/etc/app"]),
            snapshot("ab2", &["/volumes/data", "/paths/etc/app"]),
            snapshot("ac3", &["/db.postgres.sql"]),
        ];
        for (wanted, path, expected) in [
            (None, None, Ok(("ac3", None))),
            (Some("latest"), Some("data"), Ok(("ab2", Some("/volumes/data")))),
            (None, Some("/volumes/data/sub/"), Ok(("ab2", Some("/volumes/data/sub")))),
            (None, Some("/etc/app/a.conf"), Ok(("ab2", Some("/paths/etc/app/a.conf")))),
            (None, Some("db.postgres.sql"), Ok(("ac3", Some("/db.postgres.sql")))),
            (Some("aa"), None, Ok(("aa1", None))),
            (Some("aa1"), Some("data"), Ok(("aa1", Some("/volumes/data")))),
            (Some("a"), None, Err("the beginning of 3 ids")),
            (Some("f"), None, Err("there is no snapshot `f`")),
            (None, Some("/volumes/dat"), Err("no snapshot holds `/volumes/dat`")),
        ] {
            let found = choose(&all, wanted, path);
            match (found, expected) {
                (Ok(found), Ok((id, path))) => {
                    assert_eq!((found.snapshot.id.as_str(), found.path.as_deref()), (id, path));
                }
                (Err(error), Err(says)) => assert!(error.contains(says), "{error}"),
                (found, expected) => panic!("{wanted:?} {path:?}: {found:?}, not {expected:?}"),
            }
        }
        assert!(choose(&[], None, None).unwrap_err().contains("no snapshot yet"));
    }

    #[test]
    fn volumes_are_told_from_what_is_beside_them() {
        let whole = Chosen {
            snapshot: snapshot("a", &["/volumes/a", "/volumes/b", "/paths/etc"]),
            path: None,
        };
        let names: Vec<String> = places(&whole).into_iter().map(|it| it.volume).collect();
        assert_eq!(names, ["a", "b"]);
        let part = Chosen { path: Some("/volumes/a/x/y".to_owned()), ..whole.clone() };
        let expected =
            Place { path: "/volumes/a/x/y".to_owned(), volume: "a".to_owned(), is_part: true };
        assert_eq!(places(&part), [expected]);
        let beside = Chosen { path: Some("/paths/etc".to_owned()), ..whole };
        assert!(places(&beside).is_empty());
    }
}
