//! What a backup reads, who is kept still meanwhile, and what is dumped: from a job, and from the labels
//! of containers.
//!
//! Nothing here fails: what cannot be done as it was asked for is named, and the rest is kept all the same.

mod dump;
mod labels;
mod order;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub use self::dump::{dump_command, file_name};
use self::labels::{Asked, Volumes};
use super::host_paths::HostPaths;
use super::labels::PROJECT;
use super::observed::{Container, Resource, State};
use crate::job::work::{Backup, Dump, QuiesceHow, Target};
use crate::problem;

/// Where a worker sees volumes: the path in a snapshot is `/volumes/NAME`.
pub const VOLUMES: &str = "/volumes";

/// What is there.
#[derive(Clone, Copy, Debug)]
pub struct World<'a> {
    /// All containers, in every state.
    pub containers: &'a [Container],
    /// All volumes.
    pub volumes: &'a [Resource],
    /// Where our own paths lie on the host.
    pub host: &'a HostPaths,
}

/// What a backup is to do.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reading {
    /// What is read: volumes by name, then paths.
    pub sources: Vec<Source>,
    /// Globs of what is left out, of the job and of labels.
    pub exclude: Vec<String>,
    /// Who is kept still, in the order in which that is done; they go on in the reverse order.
    pub still: Vec<Still>,
    /// What is dumped. Who is dumped must not be still: dumps come first.
    pub dumps: Vec<Dumped>,
    /// What could not be done as it was asked for: the run is not complete.
    pub problems: Vec<String>,
    /// What a person should know besides.
    pub notes: Vec<String>,
}

impl Reading {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.sources.is_empty() && self.dumps.is_empty()
    }
}

/// Something that is read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// A volume, by its name.
    Volume(String),
    /// A directory or file, as our own container sees it.
    Path(PathBuf),
}

/// Something that is read, and who writes to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Source {
    /// What.
    pub what: What,
    /// Names of the living containers that have it mounted for writing.
    pub writers: Vec<String>,
}

/// A container that is kept still while others read: `before`, then `how`, and in the end the reverse of
/// `how`, then `after`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Still {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// How; with [`QuiesceHow::Exec`] the commands are all.
    pub how: QuiesceHow,
    /// A command in it while it still runs; empty is none.
    pub before: Vec<String>,
    /// A command in it once it runs again; empty is none.
    pub after: Vec<String>,
}

/// A database that is dumped, and where.
#[derive(Clone, Debug, PartialEq)]
pub struct Dumped {
    /// How.
    pub dump: Dump,
    /// Id of its container.
    pub id: String,
    /// Name of its container.
    pub container: String,
    /// Name of the file in the snapshot; no two of a run have the same one.
    pub file: String,
}

/// Decides what a job reads of what is there.
pub fn reading(backup: &Backup, world: &World<'_>) -> Reading {
    let mut reading = Reading { exclude: backup.exclude.clone(), ..Reading::default() };
    let labelled = labelled(backup, world, &mut reading);
    let volumes = volumes(backup, &labelled, world, &mut reading);
    let paths = backup.what.paths.iter().cloned().collect::<BTreeSet<PathBuf>>();
    let is_below_another = |path: &Path| path.ancestors().skip(1).any(|it| paths.contains(it));
    let paths = paths.iter().filter(|path| !is_below_another(path)).cloned();
    let mut writers = BTreeSet::new();
    for what in volumes.into_iter().map(What::Volume).chain(paths.map(What::Path)) {
        let found: Vec<&Container> =
            world.containers.iter().filter(|it| writes(it, &what, world.host)).collect();
        writers.extend(found.iter().map(|it| it.id.clone()));
        let mut names: Vec<String> = found.iter().map(|it| it.name.clone()).collect();
        names.sort();
        reading.sources.push(Source { what, writers: names });
    }
    still(backup, (&labelled, &writers), world, &mut reading);
    dumps(backup, &labelled, world, &mut reading);
    reading
}

/// The containers that a target means, the one to take first in front.
pub fn find<'a>(target: &Target, containers: &'a [Container]) -> Vec<&'a Container> {
    let is_meant = |it: &&Container| match target {
        Target::Name(name) => {
            it.name == *name || it.id == *name || name.len() >= 12 && it.id.starts_with(name)
        }
        Target::Service { project, service } => {
            it.label(PROJECT) == project && it.service() == service && !it.is_oneoff()
        }
        Target::Labels(labels) => labels.iter().all(|label| match label.split_once('=') {
            Some((name, value)) => it.labels.get(name).is_some_and(|it| it == value),
            None => it.labels.contains_key(label),
        }),
    };
    let mut found: Vec<&Container> = containers.iter().filter(is_meant).collect();
    found.sort_by_key(|it| (it.state != State::Running, it.number(), &it.name));
    found
}

fn described(target: &Target) -> String {
    match target {
        Target::Name(name) => format!("`{name}`"),
        Target::Service { project, service } => format!("of service `{project}/{service}`"),
        Target::Labels(labels) => format!("with the labels `{}`", labels.join("`, `")),
    }
}

/// What the labels of each container ask for.
fn labelled<'a>(
    backup: &Backup,
    world: &World<'a>,
    reading: &mut Reading,
) -> Vec<(&'a Container, Asked)> {
    if !backup.what.labels {
        return Vec::new();
    }
    // Containers of `compose run` have the labels of their service, and none of its data to themselves.
    let mut containers: Vec<_> = world.containers.iter().filter(|it| !it.is_oneoff()).collect();
    containers.sort_by_key(|it| &it.name);
    containers
        .into_iter()
        .map(|it| {
            let asked = labels::asked(it, &backup.tags, &mut reading.problems, &mut reading.notes);
            (it, asked)
        })
        .collect()
}

/// The names of all volumes that are read.
fn volumes(
    backup: &Backup,
    labelled: &[(&Container, Asked)],
    world: &World<'_>,
    reading: &mut Reading,
) -> BTreeSet<String> {
    let mut chosen = BTreeSet::new();
    let known = || world.volumes.iter().map(|it| it.name.as_str());
    for name in &backup.what.volumes {
        if known().any(|it| it == name) {
            chosen.insert(name.clone());
            continue;
        }
        let near = problem::nearest(name, known());
        let near = near.map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
        reading.problems.push(format!("there is no volume `{name}`{near}"));
    }
    for project in &backup.what.projects {
        let mine = |labels: &BTreeMap<String, String>| labels.get(PROJECT) == Some(project);
        let containers: Vec<_> = world.containers.iter().filter(|it| mine(&it.labels)).collect();
        let volumes = world.volumes.iter().filter(|it| mine(&it.labels) && !is_anonymous(&it.name));
        let volumes: Vec<String> = volumes.map(|it| it.name.clone()).collect();
        if containers.is_empty() && volumes.is_empty() {
            let projects = world.containers.iter().map(|it| it.label(PROJECT));
            let near = problem::nearest(project, projects.filter(|it| !it.is_empty()));
            let near = near.map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
            let message = format!("there is no project `{project}` on the Engine{near}");
            reading.problems.push(message);
        }
        chosen.extend(volumes);
        chosen.extend(containers.into_iter().flat_map(named_volumes).cloned());
    }
    for (container, asked) in labelled {
        let of_container: Vec<String> = match &asked.volumes {
            Volumes::None => Vec::new(),
            Volumes::All => named_volumes(container).cloned().collect(),
            Volumes::Named(names) => {
                let found = names.iter().map(|name| volume_of(container, name));
                let (good, bad): (Vec<_>, Vec<_>) = found.partition(Result::is_ok);
                reading.problems.extend(bad.into_iter().filter_map(Result::err));
                good.into_iter().flatten().collect()
            }
        };
        for (volume, pattern) in
            of_container.iter().flat_map(|it| asked.exclude.iter().map(move |glob| (it, glob)))
        {
            let between = if pattern.starts_with('/') { "" } else { "/**/" };
            reading.exclude.push(format!("{VOLUMES}/{volume}{between}{pattern}"));
        }
        if of_container.is_empty() && !asked.exclude.is_empty() {
            let message = "`roadstead.backup.exclude` goes with `roadstead.backup.volumes`";
            reading.problems.push(format!("container `{}`: {message}", container.name));
        }
        chosen.extend(of_container);
    }
    chosen
}

fn named_volumes(container: &Container) -> impl Iterator<Item = &String> {
    let anonymous: BTreeSet<&String> = container.anonymous_volumes.values().collect();
    container.volumes.iter().filter(move |it| !anonymous.contains(it))
}

fn is_anonymous(name: &str) -> bool {
    name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The volume that a label names: by its name, or by its key in the Compose file.
fn volume_of(container: &Container, name: &str) -> Result<String, String> {
    let in_project = format!("{}_{name}", container.label(PROJECT));
    let found = container.volumes.iter().find(|it| *it == name);
    let found = found.or_else(|| container.volumes.iter().find(|it| **it == in_project));
    found.cloned().ok_or_else(|| {
        let has: Vec<&str> = named_volumes(container).map(String::as_str).collect();
        let near = problem::nearest(name, has.iter().copied());
        let near = near.or_else(|| problem::nearest(&in_project, has.iter().copied()));
        let hint = match (near, has.is_empty()) {
            (Some(near), _) => format!("; did you mean `{near}`?"),
            (None, true) => ": it has no named volume".to_owned(),
            (None, false) => format!(": it has `{}`", has.join("`, `")),
        };
        format!("container `{}` has no volume `{name}` to keep{hint}", container.name)
    })
}

/// Whether a container that lives has it mounted for writing; we ourselves do not count.
fn writes(container: &Container, what: &What, host: &HostPaths) -> bool {
    if !container.state.lives() || container.is_ourselves {
        return false;
    }
    match what {
        What::Volume(name) => container.writes.contains(name),
        What::Path(path) => {
            let path = host.on_host(path);
            let mut places = container.writes.iter().map(Path::new).filter(|it| it.is_absolute());
            places.any(|place| place.starts_with(&path) || path.starts_with(place))
        }
    }
}

/// Who writes to what is read though those who did were made still: begun or let go on by somebody else.
pub fn disturbers(reading: &Reading, world: &World<'_>) -> BTreeSet<String> {
    let halted = reading.still.iter().filter(|it| it.how.halts());
    let halted: BTreeSet<&String> = halted.map(|it| &it.name).collect();
    let runs = |it: &&Container| matches!(it.state, State::Running | State::Restarting);
    let mut found = BTreeSet::new();
    for Source { what, writers } in &reading.sources {
        if !writers.iter().any(|name| halted.contains(name)) {
            continue;
        }
        let now = world.containers.iter().filter(runs).filter(|it| writes(it, what, world.host));
        // Whom nobody halted wrote before, too.
        let is_new = |name: &&String| halted.contains(name) || !writers.contains(name);
        found.extend(now.map(|it| &it.name).filter(is_new).cloned());
    }
    found
}

/// Who is kept still, and how: a label on a container before the words of the job.
fn still(
    backup: &Backup,
    (labelled, writers): (&[(&Container, Asked)], &BTreeSet<String>),
    world: &World<'_>,
    reading: &mut Reading,
) {
    let quiesce = &backup.quiesce;
    let mut meant = BTreeSet::new();
    if quiesce.how != QuiesceHow::None {
        for target in &quiesce.targets {
            let found = find(target, world.containers);
            if found.is_empty() {
                let message = format!("there is no container {} to keep still", described(target));
                reading.problems.push(message);
            }
            meant.extend(found.into_iter().map(|it| it.id.clone()));
        }
        if quiesce.targets.is_empty() {
            meant.extend(writers.iter().cloned());
        }
    }
    let labels: BTreeMap<&str, &Asked> =
        labelled.iter().map(|(it, asked)| (it.id.as_str(), asked)).collect();
    let mut all = Vec::new();
    for container in world.containers {
        let mut still = Still {
            id: container.id.clone(),
            name: container.name.clone(),
            how: QuiesceHow::None,
            before: Vec::new(),
            after: Vec::new(),
        };
        match labels.get(container.id.as_str()).filter(|it| it.how.is_some()) {
            Some(asked) => {
                still.how = asked.how.unwrap_or_default();
                still.before.clone_from(&asked.before);
                still.after.clone_from(&asked.after);
            }
            None if meant.contains(&container.id) => {
                still.how = quiesce.how;
                still.before.clone_from(&quiesce.before);
                still.after.clone_from(&quiesce.after);
            }
            None => continue,
        }
        let runs = match still.how {
            QuiesceHow::None => false,
            QuiesceHow::Exec | QuiesceHow::Pause => container.state == State::Running,
            QuiesceHow::Stop => matches!(container.state, State::Running | State::Restarting),
        };
        if runs && container.is_ourselves {
            let message = format!("`{}` is ourselves, and is not kept still", container.name);
            reading.notes.push(message);
        } else if runs {
            all.push(still);
        }
    }
    reading.still = order::dependents_first(all, world.containers);
}

/// The dumps of the job, then those of labels.
fn dumps(
    backup: &Backup,
    labelled: &[(&Container, Asked)],
    world: &World<'_>,
    reading: &mut Reading,
) {
    let of_job = backup.dumps.iter().map(|dump| (dump, false));
    let of_labels = labelled.iter().flat_map(|(_, asked)| &asked.dumps).map(|dump| (dump, true));
    for (dump, is_of_label) in of_job.chain(of_labels) {
        let found = find(&dump.target, world.containers);
        let kind = dump.kind.as_str();
        let Some(first) = found.first() else {
            let message =
                format!("there is no container {} to dump {kind} of", described(&dump.target));
            reading.problems.push(message);
            continue;
        };
        if first.state != State::Running {
            let (name, state) = (&first.name, first.state.as_str());
            let message = format!("`{name}` is {state}: its {kind} cannot be dumped");
            reading.problems.push(message);
            continue;
        }
        // The job may want one twice, by another user or with other arguments.
        let is_the_same = |it: &Dumped| {
            let of_one = it.dump.kind == dump.kind && it.dump.database == dump.database;
            if is_of_label { of_one } else { it.dump == *dump }
        };
        if reading.dumps.iter().any(|it| it.id == first.id && is_the_same(it)) {
            continue;
        }
        let name = file_name(dump, &first.name);
        let mut file = name.clone();
        let mut number = 2;
        while reading.dumps.iter().any(|it| it.file == file) {
            file = format!("{number}-{name}");
            number += 1;
        }
        let (id, container) = (first.id.clone(), first.name.clone());
        reading.dumps.push(Dumped { dump: dump.clone(), id, container, file });
    }
}
