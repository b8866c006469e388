//! Jobs in labels of containers: `ofelia.<type>.<name>.<parameter>`.

use std::collections::BTreeMap;

use super::ini::place;
use super::{Dialect, LISTS, Raw, TYPES, add_all};
use crate::job::Job;
use crate::job::foreign::{Imported, Names};
use crate::job::native::Context;
use crate::problem::Problems;

/// Beginnings of the labels that are ours to read; their grammar is the same.
const PREFIXES: [&str; 2] = ["ofelia", "chadburn"];

/// A container that may carry jobs in its labels.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
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
}

/// Before the name of a container in [`Job::origin`].
const ORIGIN: &str = "container ";

/// Whether a job was read from a label.
pub fn is_of_label(job: &Job) -> bool {
    job.origin.starts_with(ORIGIN)
}

impl LabelledContainer {
    /// Whether a label says so, under either prefix.
    fn says(&self, what: &str) -> bool {
        let is_true = |prefix: &str| {
            self.labels.get(&format!("{prefix}.{what}")).is_some_and(|value| value == "true")
        };
        PREFIXES.iter().any(|prefix| is_true(prefix))
    }

    /// Who it is in names of jobs: `project.service`, or its own name.
    fn identity(&self) -> String {
        match (&self.project, &self.service) {
            (Some(project), Some(service)) => format!("{project}.{service}"),
            _ => self.name.clone(),
        }
    }
}

/// The jobs in labels of containers, with what is wrong or ambiguous about them.
///
/// Of running containers with `ofelia.enabled=true`: `job-exec` of any, run in the container that carries
/// it; the other types only of a container with `ofelia.service=true`. A job is called
/// `project.service.type.name`, so that two projects cannot take each other's; of the same name on two
/// containers both stay, and a warning says so. Containers are read in the order of their names: the same
/// containers always give the same jobs.
pub fn jobs_of_labels(
    containers: &[LabelledContainer],
    dialect: Dialect,
    context: &Context<'_>,
) -> (Vec<Job>, Problems) {
    let mut imported = Imported::default();
    let mut names = Names::default();
    let mut global = BTreeMap::new();
    let mut drafts = Vec::new();
    let mut sorted: Vec<&LabelledContainer> =
        containers.iter().filter(|it| it.running && it.says("enabled")).collect();
    sorted.sort_by(|left, right| left.name.cmp(&right.name));
    for container in sorted {
        let span = place(&format!("{ORIGIN}{}", container.name));
        for mut raw in raws(container, &mut global, &mut imported) {
            let is_exec = raw.kind == "job-exec";
            if !is_exec && !container.says("service") {
                let message = format!(
                    "`{}` of `{}` is passed over: only `job-exec` counts on a container without the \
                     label `ofelia.service=true`",
                    raw.kind, raw.name
                );
                imported.warn(&span, message);
                continue;
            }
            if is_exec && !container.says("service") {
                raw.parameters.insert("container".to_owned(), vec![container.name.clone()]);
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
    add_all(&drafts, &global, dialect, &mut imported, (context, &mut names));
    let jobs = imported.jobs.into_iter().map(|it| it.job).collect();
    (jobs, Problems(imported.problems))
}

/// The jobs of one container; what a service container says of all goes to `global`.
fn raws(
    container: &LabelledContainer,
    global: &mut BTreeMap<String, String>,
    imported: &mut Imported,
) -> Vec<Raw> {
    let span = place(&format!("{ORIGIN}{}", container.name));
    let mut jobs: BTreeMap<(String, String), Raw> = BTreeMap::new();
    for (key, value) in &container.labels {
        if !PREFIXES.iter().any(|prefix| key.starts_with(prefix)) {
            continue;
        }
        // What stands behind the fourth part never counted.
        let mut parts = key.split('.').skip(1);
        let (Some(kind), Some(name), Some(parameter)) = (parts.next(), parts.next(), parts.next())
        else {
            if container.says("service")
                && let Some(name) = key.split('.').nth(1)
                && name == "default-user"
            {
                global.insert(name.to_owned(), value.clone());
            }
            continue;
        };
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
