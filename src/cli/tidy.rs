//! `plan` of jobs that keep the host tidy: what their next run would do.

use std::path::Path;

use anyhow::Result;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::output::{Output, print};
use super::setup::{now, world};
use crate::execute::{clean_prospect, rotate_prospect};
use crate::job::{Configuration, Job, Work};
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

/// Shows the plan of a job, where it is of such a kind; whether there is something to do.
pub(super) async fn plan(
    env_file: Option<&Path>,
    output: Output,
    configuration: &Configuration,
    job: &Job,
) -> Result<Option<bool>> {
    let settings = &configuration.settings;
    let world = world(env_file, configuration)?;
    let store = match Store::open_read_only(&settings.state_dir).await? {
        Some(store) => store,
        None => Store::open(&settings.state_dir).await?,
    };
    let cancel = CancellationToken::new();
    let shown = match &job.work {
        Work::Rotate(rotate) => {
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
