//! Restoring: which snapshot, what of it, and to where.

use std::path::Path;

use anyhow::Result;

use super::ask;
use super::session::{Desk, End, PATHS, Seen, TARGET, Target, VOLUMES};
use crate::backup::protocol::{Event, Operation, Snapshot};
use crate::job::work::{Backup, Quiesce, QuiesceHow, Repository, Selection, Target as Of};
use crate::plan::backup::{self as plan, Still};
use crate::plan::observed::{Container, State};
use crate::reconcile::World;

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
pub struct Users {
    /// Those that can be stopped, in that order.
    pub running: Vec<Still>,
    /// Names of those that cannot: they are paused.
    pub paused: Vec<String>,
    /// We are one of them.
    pub ourselves: bool,
}

/// The containers that live and have one of these volumes.
///
/// # Errors
///
/// When the Engine does not answer.
pub async fn users_of(world: &World, repository: &Repository, volumes: &[String]) -> Result<Users> {
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
    (target, delete): (Target, bool),
    heard: &mut (dyn FnMut(&Event) + Send),
) -> End {
    let seen = Seen { target: Some(target), ..Seen::default() };
    let operation = Operation::Restore {
        snapshot: chosen.snapshot.id.clone(),
        tags: Vec::new(),
        path: chosen.path.clone(),
        to: TARGET.into(),
        delete,
        dry_run: false,
    };
    ask(desk, repository, (&seen, operation), heard).await
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
