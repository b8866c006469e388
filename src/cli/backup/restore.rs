//! `backup restore`: into new volumes, in place, or into a directory.

use std::io::Write as _;

use anyhow::{Result, bail};
use serde_json::json;

use super::arguments::Restore;
use super::{Office, short};
use crate::backup::protocol::{Event, Summary};
use crate::cli::output::{json, print};
use crate::cli::{FAILED, Usage};
use crate::compose::model::Volume;
use crate::execute::backup::{Chosen, End, Place, Target, places, restore, users_of};
use crate::plan::backup::Still;
use crate::plan::housekeeping::bytes_text;
use crate::source::counted;

/// One thing that was restored.
struct Done {
    what: String,
    to: String,
    summary: Summary,
}

impl Office<'_> {
    pub(super) async fn restore(&self, asked: &Restore) -> Result<u8> {
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
                let name = if asked.in_place {
                    place.volume.clone()
                } else {
                    format!("{}-restored", place.volume)
                };
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
        let part = wanted.iter().filter_map(|it| it.0.as_ref()).find(|it| it.is_part);
        if let Some(part) = part.filter(|_| asked.in_place) {
            bail!(Usage(format!(
                "`{}` is only a part of volume `{}`, and only whole volumes are restored in place: \
                 restore it into a directory by --to",
                part.path, part.volume
            )));
        }
        let names: Vec<String> = wanted.iter().map(|it| it.2.clone()).collect();
        let there = self.world.engine.all_volumes().await?;
        for name in &names {
            let is_there = there.iter().any(|it| it.name == *name);
            if is_there && !asked.in_place {
                bail!("volume `{name}` is there already: remove it, or name another by --volume");
            }
            if !is_there && asked.in_place {
                bail!("there is no volume `{name}` to restore in place: leave out --in-place");
            }
        }
        if asked.in_place {
            return self.in_place(asked, &wanted, troubles).await;
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

    /// Restores into volumes that are there, while nobody has them.
    async fn in_place(
        &self,
        asked: &Restore,
        wanted: &[(Option<Place>, Chosen, String)],
        troubles: &mut Vec<String>,
    ) -> Result<Vec<Done>> {
        let names: Vec<String> = wanted.iter().map(|it| it.2.clone()).collect();
        let users = users_of(&self.world, self.repository, &names).await?;
        let all = users.running.iter().map(|it| &it.name).chain(&users.paused);
        let list = all.map(String::as_str).collect::<Vec<_>>().join(", ");
        if users.ourselves {
            bail!("roadstead itself has one of {} mounted: restore it elsewhere", names.join(", "));
        }
        if !list.is_empty() && !asked.stop {
            bail!("{} in use by {list}: stop that, or have it done by --stop", names.join(", "));
        }
        if !users.paused.is_empty() {
            bail!("{} is paused: unpause or stop it first", users.paused.join(", "));
        }
        let users = users.running;
        if !users.is_empty() {
            // A command has no place to write down what it owes after a crash.
            let again: Vec<&str> = users.iter().rev().map(|it| it.name.as_str()).collect();
            let again = again.join(" ");
            writeln!(
                std::io::stderr(),
                "stopping {list}; if this command is killed: docker start {again}"
            )?;
        }
        let restored = async {
            for user in &users {
                self.world.engine.stop_within(&user.id, None).await?;
            }
            let mut done = Vec::new();
            for (_, chosen, name) in wanted {
                let target = (Target::Volume(name.clone()), true);
                done.push(told(chosen, name, self.one(chosen, target, troubles).await?));
            }
            anyhow::Ok(done)
        };
        let restored = restored.await;
        let down = self.start_again(&users).await;
        match (restored, down.is_empty()) {
            (Ok(done), true) => Ok(done),
            (Err(error), true) => Err(error),
            (Ok(_), false) => bail!("restored, but down are: {}", down.join("; ")),
            (Err(error), false) => bail!("{error:#}; and down are: {}", down.join("; ")),
        }
    }

    async fn start_again(&self, users: &[Still]) -> Vec<String> {
        let mut down = Vec::new();
        for user in users.iter().rev() {
            if let Err(error) = self.world.engine.start(&user.id).await {
                down.push(format!("{} ({error:#})", user.name));
            }
        }
        down
    }

    async fn one(
        &self,
        chosen: &Chosen,
        target: (Target, bool),
        troubles: &mut Vec<String>,
    ) -> Result<Summary> {
        let desk = self.desk("restore");
        let before = troubles.len();
        let mut heard = |event: &Event| {
            if let Event::Trouble { path, what, .. } = event {
                troubles.push(format!("{path}: {what}"));
            }
        };
        let end = restore(&desk, self.repository, chosen, target, &mut heard).await;
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
