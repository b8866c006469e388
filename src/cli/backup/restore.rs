//! `backup restore`: into new volumes, in place, or into a directory.

use std::path::Path;

use anyhow::{Result, bail};
use serde_json::json;

use super::arguments::Restore;
use super::{Office, repository_of, short, show};
use crate::backup::protocol::{Event, Summary};
use crate::cli::act::run_now;
use crate::cli::bar::Bar;
use crate::cli::output::{Output, json, print};
use crate::cli::setup::configuration;
use crate::cli::{FAILED, Usage, known_job};
use crate::compose::model::Volume;
use crate::control::Exclusive;
use crate::daemon::put_back_what_is_owed;
use crate::execute::backup::{Chosen, End, Place, Target, places, restore};
use crate::plan::housekeeping::bytes_text;
use crate::run;
use crate::source::counted;
use crate::store::Store;

/// One thing that was restored.
struct Done {
    what: String,
    to: String,
    summary: Summary,
}

/// `backup restore --in-place`: a run of its own, so that who it stops is started again whatever happens.
pub(super) async fn in_place(
    env_file: Option<&Path>,
    output: Output,
    asked: &Restore,
) -> Result<u8> {
    let configuration = configuration(env_file)?;
    repository_of(known_job(&asked.job, &configuration.jobs)?)?;
    let (snapshot, path) = (asked.snapshot.clone(), asked.path.clone());
    let wanted = run::Restore { snapshot, path, stop: asked.stop };
    Box::pin(run_now(env_file, output, &configuration, (&asked.job, Some(wanted)))).await
}

impl Office<'_> {
    pub(super) async fn restore(&self, asked: &Restore) -> Result<u8> {
        self.put_back_what_is_owed().await?;
        let chosen = self.chosen(asked.snapshot.as_deref(), asked.path.as_deref()).await?;
        let mut troubles = Vec::new();
        let done = match &asked.to {
            Some(directory) => {
                std::fs::create_dir_all(directory)?;
                let directory = std::fs::canonicalize(directory)?;
                let what = chosen.path.clone().unwrap_or_else(|| "all".to_owned());
                let to = directory.display().to_string();
                let target = (Target::Directory(directory), false);
                let summary = self.one(&chosen, target, &mut troubles).await?;
                vec![Done { what, to, summary }]
            }
            None => self.volumes(asked, &chosen, &mut troubles).await?,
        };
        print(|to| {
            if self.output.json {
                let all: Vec<_> = done
                    .iter()
                    .map(|it| {
                        json!({ "path": it.what, "to": it.to, "files": it.summary.files_changed,
                                "bytes": it.summary.bytes })
                    })
                    .collect();
                let value = json!({ "snapshot": chosen.snapshot.id, "restored": all,
                                    "troubles": troubles });
                return json(to, &value);
            }
            for it in &done {
                let id = short(&chosen.snapshot.id);
                let size = bytes_text(it.summary.bytes);
                writeln!(to, "{} of snapshot {id} is in {} ({size})", it.what, it.to)?;
            }
            for trouble in &troubles {
                writeln!(to, "trouble: {trouble}")?;
            }
            Ok(())
        })?;
        Ok(if troubles.is_empty() { 0 } else { FAILED })
    }

    /// Where no daemon did: what one that died had stopped is started again.
    async fn put_back_what_is_owed(&self) -> Result<()> {
        let state_dir = &self.configuration.settings.state_dir;
        // On a new host there is none.
        if !state_dir.is_dir() {
            return Ok(());
        }
        let Some(_held) = Exclusive::take(state_dir)? else { return Ok(()) };
        let store = Store::open(state_dir).await?;
        put_back_what_is_owed(&self.world, &store, self.configuration).await
    }

    /// Restores volumes, all of which are looked at before the first is touched.
    async fn volumes(
        &self,
        asked: &Restore,
        chosen: &Chosen,
        troubles: &mut Vec<String>,
    ) -> Result<Vec<Done>> {
        let mut wanted: Vec<(Option<Place>, Chosen, String)> = places(chosen)
            .into_iter()
            .map(|place| {
                let path = Some(place.path.clone());
                let of_place = Chosen { path, ..chosen.clone() };
                let name = format!("{}-restored", place.volume);
                (Some(place), of_place, name)
            })
            .collect();
        match (&asked.volume, wanted.as_mut_slice()) {
            (Some(name), [one]) => one.2.clone_from(name),
            // A dump, or a directory of the host.
            (Some(name), []) => wanted.push((None, chosen.clone(), name.clone())),
            (Some(_), _) => {
                let paths = chosen.snapshot.paths.join(", ");
                bail!(Usage(format!("name with --path which of {paths} goes into the volume")));
            }
            (None, []) => {
                let holds = chosen.path.clone().unwrap_or(chosen.snapshot.paths.join(", "));
                bail!(Usage(format!(
                    "{holds} is of no volume: give --to DIR, or --volume NEW for a new volume"
                )));
            }
            (None, _) => {}
        }
        let names: Vec<String> = wanted.iter().map(|it| it.2.clone()).collect();
        let there = self.world.engine.all_volumes().await?;
        for name in &names {
            if there.iter().any(|it| it.name == *name) {
                bail!("volume `{name}` is there already: remove it, or name another by --volume");
            }
        }
        let mut done = Vec::new();
        for (_, chosen, name) in &wanted {
            let volume = Volume { name: name.clone(), ..Volume::default() };
            self.world.engine.create_volume(&volume, &volume.labels).await?;
            let restored = self.one(chosen, (Target::Volume(name.clone()), false), troubles).await;
            if restored.is_err() {
                // Half of a volume is none.
                let _ = self.world.engine.remove_volume(name).await;
            }
            done.push(told(chosen, name, restored?));
        }
        Ok(done)
    }

    async fn one(
        &self,
        chosen: &Chosen,
        target: (Target, bool),
        troubles: &mut Vec<String>,
    ) -> Result<Summary> {
        let desk = self.desk("restore");
        let before = troubles.len();
        let mut bar = Bar::new(self.output);
        let mut heard = |event: &Event| {
            show(&mut bar, event);
            if let Event::Trouble { path, what, .. } = event {
                troubles.push(format!("{path}: {what}"));
            }
        };
        let end = restore(&desk, self.repository, chosen, target, &mut heard).await;
        drop(bar);
        match end {
            End::Done(summary) => Ok(*summary),
            end => {
                let count = counted(troubles.len() - before, "trouble");
                Err(self.error(end).context(format!("not restored ({count})")))
            }
        }
    }
}

fn told(chosen: &Chosen, volume: &str, summary: Summary) -> Done {
    let what = chosen.path.clone().unwrap_or_else(|| "all".to_owned());
    Done { what, to: format!("volume {volume}"), summary }
}
