//! `plan` of jobs that keep the host tidy and its caches warm: what their next run would do.

use std::path::Path;

use anyhow::{Result, bail};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::output::{Output, print};
use super::setup::{now, world};
use crate::execute::backup::{backup_lines, backup_prospect, keep_text, summary};
use crate::execute::{
    cache_prospect, certificate_prospect, clean_prospect, prune_prospect, refresh_lines,
    rotate_prospect, sync_prospect,
};
use crate::job::work::Repository;
use crate::job::{Configuration, Job, Work};
use crate::plan::housekeeping::certificate::Due;
use crate::settings::Settings;
use crate::source::counted;
use crate::store::Store;

/// A plan to be shown.
struct Shown {
    summary: String,
    lines: Vec<String>,
    changes: bool,
    plan: Value,
    /// What could not be looked at.
    troubles: Vec<String>,
}

/// The store for reading; made where there is none yet.
async fn store(settings: &Settings) -> Result<Store> {
    match Store::open_read_only(&settings.state_dir).await? {
        Some(store) => Ok(store),
        None => Store::open(&settings.state_dir).await,
    }
}

/// The plan of a job that works on a repository, whatever is in it.
fn of_repository(repository: &Repository, lines: Vec<String>) -> Shown {
    let name = repository.location.name();
    Shown {
        plan: json!({ "repository": name, "steps": lines }),
        summary: name,
        lines,
        changes: true,
        troubles: Vec::new(),
    }
}

/// Shows the plan of a job, where it is of such a kind; whether there is something to do.
pub(super) async fn plan(
    env_file: Option<&Path>,
    output: Output,
    configuration: &Configuration,
    job: &Job,
) -> Result<Option<bool>> {
    let settings = &configuration.settings;
    let cancel = CancellationToken::new();
    let shown = match &job.work {
        Work::Rotate(rotate) => {
            let world = world(env_file, configuration)?;
            let store = store(settings).await?;
            let (at, of) = ((&store, &settings.log), (job.name.as_str(), &**rotate));
            let prospect = rotate_prospect(&world, at, of, &cancel).await?;
            Shown {
                summary: prospect.plan.summary(),
                lines: prospect.plan.lines(),
                changes: !prospect.plan.logs.is_empty(),
                plan: serde_json::to_value(&prospect.plan)?,
                troubles: prospect.troubles,
            }
        }
        Work::Clean(clean) => {
            let prospect = clean_prospect(clean, now(), &cancel).await?;
            let (mut lines, plan) = (prospect.left, prospect.plan);
            lines.extend(plan.lines());
            Shown {
                summary: plan.summary(),
                lines,
                changes: !plan.is_empty(),
                plan: serde_json::to_value(&plan)?,
                troubles: prospect.troubles,
            }
        }
        Work::CacheSync(sync) => {
            let prospect = cache_prospect(sync, &cancel).await?;
            Shown {
                summary: prospect.summary(),
                lines: prospect.lines(),
                changes: prospect.changes(),
                plan: prospect.value(),
                troubles: prospect.troubles(),
            }
        }
        Work::Refresh(refresh) => {
            let lines = refresh_lines(refresh);
            Shown {
                summary: counted(refresh.requests.len(), "request"),
                changes: true,
                plan: json!({ "requests": lines }),
                lines,
                troubles: Vec::new(),
            }
        }
        Work::Prune(prune) => {
            let world = world(env_file, configuration)?;
            let store = store(settings).await?;
            let prospect = prune_prospect(&world, &store, &configuration.jobs, prune).await?;
            Shown {
                summary: prospect.plan.summary(),
                lines: prospect.plan.lines(),
                changes: !prospect.plan.going.is_empty(),
                plan: serde_json::to_value(&prospect.plan)?,
                troubles: prospect.troubles,
            }
        }
        Work::Certificate(certificate) => {
            let due = certificate_prospect(certificate, now())?.due;
            let changes = !matches!(due, Due::NotBefore(..));
            let command = match due {
                Due::NotBefore(..) => Vec::new(),
                Due::Renew(_) => certificate.command(false),
                Due::First(_) => certificate.command(true),
            };
            Shown {
                summary: due.text().to_owned(),
                lines: changes
                    .then(|| format!("run certbot {}", command.join(" ")))
                    .into_iter()
                    .collect(),
                changes,
                plan: json!({ "due": changes, "why": due.text(), "certbot": command }),
                troubles: Vec::new(),
            }
        }
        Work::Sync(sync) => {
            let world = world(env_file, configuration)?;
            let store = store(settings).await?;
            let of = (job.name.as_str(), &**sync);
            let prospects = match sync_prospect(&world, &store, of, &cancel).await? {
                Ok(prospects) => prospects,
                Err(ending) => bail!("{} ({}): {}", job.name, ending.reason, ending.message),
            };
            let at = prospects.iter().map(|it| format!("{} {}", it.source, it.revision));
            let plans = || prospects.iter().flat_map(|it| &it.plans);
            let mut lines = Vec::new();
            for plan in plans() {
                lines.push(plan.summary());
                lines.extend(plan.lines());
            }
            let plan = prospects.iter().map(
                |it| json!({ "source": it.source, "revision": it.revision, "maps": it.plans }),
            );
            Shown {
                summary: at.collect::<Vec<_>>().join(", "),
                lines,
                changes: plans().any(|it| !it.is_empty()),
                plan: plan.collect(),
                troubles: prospects.iter().flat_map(|it| it.notes.clone()).collect(),
            }
        }
        Work::Backup(work) => {
            let world = world(env_file, configuration)?;
            let reading = backup_prospect(&world, work).await?;
            let mut lines = backup_lines(work, &reading);
            lines.extend(reading.notes.iter().map(|it| format!("note: {it}")));
            Shown {
                summary: format!("{} to {}", summary(&reading), work.repository.location.name()),
                lines,
                changes: !reading.is_empty(),
                plan: json!({
                    "repository": work.repository.location.name(), "sources": reading.sources,
                    "still": reading.still, "exclude": reading.exclude,
                    "dumps": reading.dumps.iter().map(|it| json!({
                        "container": it.container, "kind": it.dump.kind, "file": it.file,
                    })).collect::<Vec<_>>(),
                }),
                troubles: reading.problems,
            }
        }
        Work::BackupPrune(work) => {
            let mut lines = vec!["remove data that no snapshot needs".to_owned()];
            if let Some(keep) = &work.keep {
                let of = match work.of.as_slice() {
                    [] => String::new(),
                    of => format!(" of {}", of.join(", ")),
                };
                let rules = keep_text(keep);
                lines.insert(0, format!("forget what none of its rules keeps{of}: {rules}"));
            }
            of_repository(&work.repository, lines)
        }
        Work::BackupCheck(work) => {
            let line = match work.read_in {
                0 => "look whether all is there; read no data".to_owned(),
                1 => "look whether all is there, and read all data".to_owned(),
                of => format!(
                    "look whether all is there, and read the next of {of} parts of the data"
                ),
            };
            of_repository(&work.repository, vec![line])
        }
        Work::RestoreDrill(work) => {
            let what = work.path.as_deref().map_or_else(String::new, |it| format!(" of {it}"));
            let lines = vec![
                format!(
                    "restore the newest snapshot{what} of job {} into a volume of its own",
                    work.of
                ),
                format!("run {} with it at /restore", work.check.unpack().service.image),
                "remove the volume".to_owned(),
            ];
            of_repository(&work.repository, lines)
        }
        _ => return Ok(None),
    };
    print(|to| {
        if output.json {
            let value = json!({ "job": job.name, "changes": shown.changes, "plan": shown.plan,
                                "troubles": shown.troubles });
            return writeln!(to, "{value:#}");
        }
        writeln!(to, "{}: {}", job.name, shown.summary)?;
        for line in &shown.lines {
            writeln!(to, "  {line}")?;
        }
        for trouble in &shown.troubles {
            writeln!(to, "  trouble: {trouble}")?;
        }
        Ok(())
    })?;
    Ok(Some(shown.changes))
}
