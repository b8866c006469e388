//! Jobs in labels of containers: `ofelia.<type>.<name>.<parameter>`.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::ini::place;
use super::parameters::{EXEC, LISTS, REACHING, RUN, TYPES};
use super::{Common, Raw, add_all};
use crate::job::foreign::{Imported, Names};
use crate::job::native::Context;
use crate::job::native::write::Written;
use crate::job::{Job, links};
use crate::problem::{Problems, nearest};

/// Beginnings of the labels that are ours to read; their grammar is the same.
const PREFIXES: [&str; 2] = ["ofelia", "chadburn"];

/// A container that may carry jobs in its labels.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LabelledContainer {
    /// Its name, without the slash.
    pub name: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// The Compose project it belongs to.
    pub project: Option<String>,
    /// The Compose service it belongs to.
    pub service: Option<String>,
    /// Whether it runs.
    pub running: bool,
    /// Whether it is the one that Roadstead runs in: it stands in the place of Ofelia's own, whose image
    /// carries `ofelia.enabled=true` and `ofelia.service=true`.
    pub is_ours: bool,
}

/// Before the name of a container in [`Job::origin`].
const ORIGIN: &str = "container ";

/// Whether a job was read from a label.
pub fn is_of_label(job: &Job) -> bool {
    job.origin.file().starts_with(ORIGIN)
}

/// Jobs of labels whose names no other job has: a job of a file wins over one of a label.
pub fn without_taken(of_labels: Vec<Written>, jobs: &[Job]) -> Vec<Written> {
    let taken: BTreeSet<&str> =
        jobs.iter().filter(|job| !is_of_label(job)).map(|job| job.name.as_str()).collect();
    of_labels.into_iter().filter(|it| !taken.contains(it.job.name.as_str())).collect()
}

/// Leave for labels of containers without `ofelia.service=true` to hold jobs of a type besides
/// `job-exec`: such a job reaches beyond its container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    kind: String,
    /// A Compose project, or the name of a container; `None` is any container.
    who: Option<String>,
}

/// Why a text is no grant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrantError {
    /// The type of jobs that may be meant.
    pub near: Option<&'static str>,
}

impl Grant {
    /// What a grant may be of: types of jobs without their `job-`.
    pub const KINDS: [&'static str; 3] = ["run", "local", "compose"];

    /// Reads `TYPE` or `TYPE:WHO`, e.g. `run:shop`.
    ///
    /// # Errors
    ///
    /// When there is no such type of jobs.
    pub fn parse(text: &str) -> Result<Self, GrantError> {
        let (kind, who) =
            text.split_once(':').map_or((text, None), |(kind, who)| (kind, Some(who)));
        let kind = kind.strip_prefix("job-").unwrap_or(kind);
        if !Self::KINDS.contains(&kind) || who.is_some_and(str::is_empty) {
            return Err(GrantError { near: nearest(kind, Self::KINDS) });
        }
        Ok(Self { kind: format!("job-{kind}"), who: who.map(str::to_owned) })
    }

    fn covers(&self, kind: &str, container: &LabelledContainer) -> bool {
        let is_who =
            |who: &String| container.project.as_ref() == Some(who) || container.name == *who;
        self.kind == kind && self.who.as_ref().is_none_or(is_who)
    }
}

impl LabelledContainer {
    /// Only the labels that jobs are read from, with what tells where they belong.
    #[must_use]
    pub fn of_labels(mut self) -> Self {
        self.labels.retain(|key, _| is_ours(key));
        self
    }

    /// Whether a label says so, under either prefix, or the place it stands in.
    fn says(&self, what: &str) -> bool {
        let is_true = |prefix: &str| {
            self.labels.get(&format!("{prefix}.{what}")).is_some_and(|value| value == "true")
        };
        self.is_ours || PREFIXES.iter().any(|prefix| is_true(prefix))
    }

    /// Who it is in names of jobs: `project.service`, or its own name.
    fn identity(&self) -> String {
        match (&self.project, &self.service) {
            (Some(project), Some(service)) => format!("{project}.{service}"),
            _ => self.name.clone(),
        }
    }
}

/// Whether a label is one that jobs are read from.
fn is_ours(key: &str) -> bool {
    PREFIXES.iter().any(|prefix| key.starts_with(prefix))
}

/// The jobs in labels of containers, with what is wrong or ambiguous about them.
///
/// Of running containers with `ofelia.enabled=true`: `job-exec` of any, run in the container that carries
/// it; the other types only of our own container, of one with `ofelia.service=true`, or where a [`Grant`] of
/// the settings covers it. A job is called `project.service.type.name`, so that two projects cannot take each other's;
/// of the same name on two containers both stay, and a warning says so. Containers are read in the order of
/// their names: the same containers always give the same jobs. Jobs that set each other off in a circle are
/// left out.
pub fn jobs_of_labels(
    containers: &[LabelledContainer],
    context: &Context<'_>,
) -> (Vec<Written>, Problems) {
    let schedulers = &context.settings.schedulers;
    let mut imported = Imported::default();
    let mut names = Names::default();
    let mut common = Common::default();
    let mut drafts = Vec::new();
    let mut sorted: Vec<&LabelledContainer> =
        containers.iter().filter(|it| it.running && it.says("enabled")).collect();
    sorted.sort_by(|left, right| left.name.cmp(&right.name));
    for container in sorted {
        let span = place(&format!("{ORIGIN}{}", container.name));
        for mut raw in raws(container, &mut common, &mut imported) {
            if !container.says("service") {
                let may = |kind: &str| {
                    schedulers.ofelia_grants.iter().any(|it| it.covers(kind, container))
                };
                if raw.kind == EXEC {
                    raw.parameters.insert("container".to_owned(), vec![container.name.clone()]);
                    for name in REACHING.iter().filter(|_| !may(RUN)) {
                        if raw.parameters.remove(*name).is_some() {
                            let message = format!(
                                "`{name}` of `{}` is left out: {}",
                                raw.name,
                                ungranted(RUN)
                            );
                            imported.warn(&span, message);
                        }
                    }
                } else if !may(&raw.kind) {
                    let message = format!(
                        "`{}` of `{}` is left out: {}",
                        raw.kind,
                        raw.name,
                        ungranted(&raw.kind)
                    );
                    imported.warn(&span, message);
                    continue;
                }
            }
            let kind = raw.kind.strip_prefix("job-").unwrap_or(&raw.kind);
            let identity = format!("{}.{kind}.{}", container.identity(), raw.name);
            if names.has(&identity) {
                let message = format!(
                    "there is a job `{identity}` of another container already: both stay, and this one \
                     gets a number"
                );
                imported.warn(&span, message);
            }
            let name = names.give(&identity);
            drafts.push((raw, name));
        }
    }
    let dialect = schedulers.ofelia_dialect;
    add_all(&drafts, (&common, dialect), &mut imported, (context, &mut names));
    let all: Vec<&Job> = imported.jobs.iter().map(|it| &it.job).collect();
    let (stuck, wrong) = links::check(&all);
    imported.problems.extend(wrong.0);
    imported.jobs.retain(|it| !stuck.contains(&it.job.name));
    (imported.jobs, Problems(imported.problems))
}

/// Why a label that reaches beyond its container does not count.
fn ungranted(kind: &str) -> String {
    let kind = kind.strip_prefix("job-").unwrap_or(kind);
    if !Grant::KINDS.contains(&kind) {
        return "of a container without the label `ofelia.service=true` only `job-exec` counts"
            .to_owned();
    }
    format!(
        "it reaches beyond a container without the label `ofelia.service=true`; \
         `AUTODEPLOY_OFELIA_LABEL_JOBS={kind}` allows it to all, `{kind}:NAME` to a Compose project or a \
         container"
    )
}

/// The jobs of one container; what a service container says of all goes to `common`.
fn raws(container: &LabelledContainer, common: &mut Common, imported: &mut Imported) -> Vec<Raw> {
    let span = place(&format!("{ORIGIN}{}", container.name));
    let mut jobs: BTreeMap<(String, String), Raw> = BTreeMap::new();
    for (key, value) in &container.labels {
        if !is_ours(key) {
            continue;
        }
        // What stands behind the fourth part never counted.
        let mut parts = key.split('.').skip(1);
        let (kind, name, parameter) = match (parts.next(), parts.next(), parts.next()) {
            (Some(kind), Some(name), Some(parameter)) => (kind, name, parameter),
            (Some(global), _, None) if container.says("service") => {
                common.global.insert(global.to_owned(), value.clone());
                continue;
            }
            _ => continue,
        };
        if kind == "webhook" && container.says("service") {
            let webhook = common.webhooks.entry(name.to_owned()).or_default();
            webhook.insert(parameter.to_owned(), value.clone());
            continue;
        }
        if !TYPES.contains(&kind) {
            imported.warn(&span, format!("`{key}` names no type of job"));
            continue;
        }
        if parts.next().is_some() {
            let message = format!("`{key}` has a dot too many: a name of a job has none in labels");
            imported.warn(&span, message);
        }
        let entry = jobs.entry((kind.to_owned(), name.to_owned()));
        let raw = entry.or_insert_with(|| Raw::new(kind, name, &span));
        let values = match serde_json::from_str::<Vec<String>>(value) {
            Ok(values) if LISTS.contains(&parameter) => values,
            _ => vec![value.clone()],
        };
        for value in values {
            // Ofelia passes an unknown parameter of a label over in silence.
            if let Err(problem) = raw.set(parameter, value, &span) {
                imported.problems.push(problem.as_warning());
            }
        }
    }
    jobs.into_values().collect()
}
