//! `prune`: what runs of ours left on the Engine.
//!
//! Observed while no deploy goes on, planned, and then removed one by one, each without force: what
//! somebody uses meanwhile stays, and is no failure.

use std::collections::BTreeMap;

use anyhow::Result;
use serde_json::json;
use tracing::{info, warn};

use super::sink::OUT;
use super::{Answer, Context, failed, stopped};
use crate::docker::{Engine, Removed, is_unreachable};
use crate::job::work::{Deploy, LEAST_REVISIONS, Prune};
use crate::job::{Job, Work};
use crate::plan::housekeeping::bytes_text;
use crate::plan::housekeeping::prune::{
    self as plan, Going, Needed, PrunePlan, Stock, What, is_candidate,
};
use crate::plan::observed::familiar;
use crate::reconcile::{self, World};
use crate::run::{Ending, Outcome, Reason};
use crate::store::{Store, UsedImage};

/// All profiles: what a service that is off now needs stays, too.
const ALL_PROFILES: &str = "*";

/// What would go, and what could not be looked at.
pub struct PruneProspect {
    /// The plan.
    pub plan: PrunePlan,
    /// Projects that cannot be read.
    pub troubles: Vec<String>,
    /// An image without a name is needed, and may be what another one was built on.
    spare_parents: bool,
}

/// Looks at what the Engine has and at what is needed, and plans; touches nothing. `jobs` are all jobs.
///
/// # Errors
///
/// When the Engine or the store fails.
pub async fn prune_prospect(
    world: &World,
    store: &Store,
    jobs: &[Job],
    work: &Prune,
) -> Result<PruneProspect> {
    let needed = needed(world, store, jobs, work).await?;
    let stock = stock(&world.engine, &needed, work).await?;
    let plan = plan::plan(work, &stock, &needed, (world.now)());
    let is_needed = |id: &String| needed.images.contains_key(id);
    let spare_parents =
        stock.images.iter().any(|it| it.tags.is_empty() && is_needed(&it.identity.id));
    let unreadable = needed.unreadable.iter();
    let troubles = unreadable.map(|(name, why)| format!("project `{name}`: {why}")).collect();
    Ok(PruneProspect { plan, troubles, spare_parents })
}

/// What is ours, and what of it somebody needs.
async fn needed(world: &World, store: &Store, jobs: &[Job], work: &Prune) -> Result<Needed> {
    let (projects, mut known) = (store.deployed_projects().await?, store.jobs_with_runs().await?);
    known.extend(jobs.iter().map(|it| it.name.clone()));
    let mut needed = Needed { projects, jobs: known, ..Needed::default() };
    for job in jobs {
        let names = job.work.images().into_iter();
        needed.names.extend(names.map(|it| (familiar(&it), format!("job {} names it", job.name))));
        let deploys = |work: &Work| match work {
            Work::Deploy(deploy) => Some(Deploy::clone(deploy)),
            Work::ComposeRun(run) if run.project.starts_with('/') => {
                Some(reconcile::deploy_of_directory(run.project.as_ref()))
            }
            _ => None,
        };
        let all = std::iter::once(&job.work).chain(job.work.then());
        for deploy in all.filter_map(deploys) {
            let applied = store.applied(&job.name).await?.map(|it| it.project);
            declared(world, (job, deploy), applied, &mut needed).await?;
        }
    }
    let keep = work.images.as_ref().map_or(LEAST_REVISIONS, |it| it.keep.max(LEAST_REVISIONS));
    let used = store.used_images().await?;
    let deploys = jobs.iter().filter(|it| matches!(it.work, Work::Deploy(_)));
    let deploys: Vec<&str> = deploys.map(|it| it.name.as_str()).collect();
    needed.images = of_last_revisions(&used, &deploys, keep);
    for it in used {
        needed.used.insert(it.image);
        needed.references.insert(familiar(&it.reference));
    }
    Ok(needed)
}

/// What the project of a deploy declares as its directory is now.
async fn declared(
    world: &World,
    (job, deploy): (&Job, Deploy),
    applied: Option<String>,
    needed: &mut Needed,
) -> Result<()> {
    let is_deploy = matches!(job.work, Work::Deploy(_));
    let expected = deploy.expected_project();
    let deploy = Deploy { profiles: vec![ALL_PROFILES.to_owned()], ..deploy };
    match reconcile::model(world, &deploy).await {
        Ok(model) => {
            let project = model.project;
            if is_deploy {
                needed.projects.insert(project.name.clone());
            }
            for service in project.services.values().filter(|it| !it.image.is_empty()) {
                let why = format!("service {} of job {} is of it", service.name, job.name);
                needed.names.insert(familiar(&service.image), why);
            }
            needed.networks.extend(project.networks.into_values().map(|it| it.name));
            needed.volumes.extend(project.volumes.into_values().map(|it| it.name));
        }
        Err(ending) if ending.reason == Reason::EngineUnreachable => {
            anyhow::bail!("{}", ending.message);
        }
        Err(ending) => {
            for name in std::iter::once(expected).chain(applied) {
                if is_deploy {
                    needed.projects.insert(name.clone());
                }
                needed.unreadable.insert(name, ending.message.clone());
            }
        }
    }
    Ok(())
}

/// The images of so many last revisions of each deploy that there is.
fn of_last_revisions(
    used: &[UsedImage],
    deploys: &[&str],
    keep: usize,
) -> BTreeMap<String, String> {
    let mut images = BTreeMap::new();
    for job in deploys {
        let mut runs = Vec::new();
        // The latest first.
        for it in used.iter().filter(|it| it.job == *job && !it.revision.is_empty()) {
            if !runs.contains(&it.run) {
                runs.push(it.run);
            }
            let Some(place) = runs.iter().position(|run| *run == it.run).filter(|it| *it < keep)
            else {
                continue;
            };
            let why = match place {
                0 => format!("job {job} runs it"),
                1 => format!("job {job} ran it before, and may go back to it"),
                place => format!("job {job} ran it {place} revisions ago"),
            };
            images.entry(it.image.clone()).or_insert(why);
        }
    }
    images
}

/// What the Engine has; ages are asked for only where they matter.
async fn stock(engine: &Engine, needed: &Needed, work: &Prune) -> Result<Stock> {
    let mut stock = Stock::default();
    for container in engine.all_containers().await? {
        let may_go = is_candidate(&container, needed) && !container.state.lives();
        let ended = if may_go { engine.ended_at(&container.id).await? } else { None };
        stock.containers.push((container, ended));
    }
    if let Some(rules) = &work.images {
        stock.images = engine.all_images().await?;
        for image in &mut stock.images {
            let is_in_use = stock.containers.iter().any(|(it, _)| it.image_id == image.identity.id);
            let is_used = needed.used.contains(&image.identity.id);
            if (rules.all || is_used) && !is_in_use {
                let named = engine.named_at(&image.identity.id).await?;
                image.since = named.map_or(image.since, |named| named.max(image.since));
            }
        }
    }
    if work.networks.is_some() {
        stock.networks = engine.all_networks().await?;
    }
    if work.volumes.is_some() {
        stock.volumes = engine.all_volumes().await?;
    }
    Ok(stock)
}

#[derive(Debug, Default)]
struct Counts {
    removed: BTreeMap<What, usize>,
    bytes: u64,
    in_use: usize,
    vanished: usize,
    troubles: Vec<String>,
}

pub(super) async fn prune(context: Context<'_>, work: &Prune) -> Answer {
    let (store, jobs) = (context.execution.store, context.execution.jobs);
    let prospect = prune_prospect(context.world, store, jobs, work).await?;
    info!("{}", prospect.plan.summary());
    for line in prospect.plan.lines() {
        context.sink.line(OUT, &line);
    }
    for trouble in &prospect.troubles {
        warn!("{trouble}; all of it stays");
    }
    let plan = &prospect.plan;
    if let Some(why) = &plan.refused {
        let message = format!("{} things may go; {why}", plan.going.len());
        return Ok(failed(Reason::NeedsPerson, message));
    }
    if work.dry_run {
        let message = format!("dry run: {}; nothing was done", plan.summary());
        return Ok(Ending::new(Outcome::Succeeded, Reason::Done, message));
    }
    let mut counts = Counts::default();
    for going in &plan.going {
        if context.cancel.is_cancelled() {
            break;
        }
        let step = format!("remove {} {}", going.what.as_str(), going.name);
        let removal = remove(&context.world.engine, going, prospect.spare_parents);
        match context.journal.step(step, removal).await {
            Ok(Removed::Done) => {
                *counts.removed.entry(going.what).or_default() += 1;
                counts.bytes += going.bytes;
            }
            Ok(Removed::InUse) => {
                info!("{} {} is in use by now, and stays", going.what.as_str(), going.name);
                counts.in_use += 1;
            }
            Ok(Removed::Vanished) => counts.vanished += 1,
            Err(error) if is_unreachable(&error) => return Err(error),
            Err(error) => counts.troubles.push(format!("{error:#}")),
        }
    }
    Ok(ending(context, plan, counts).await)
}

async fn remove(engine: &Engine, going: &Going, spare_parents: bool) -> Result<Removed> {
    match going.what {
        What::Container => engine.drop_container(&going.id).await,
        What::Image => engine.drop_image(&going.id, &going.names, spare_parents).await,
        What::Network => engine.drop_network(&going.id).await,
        What::Volume => engine.drop_volume(&going.id).await,
    }
}

async fn ending(context: Context<'_>, plan: &PrunePlan, counts: Counts) -> Ending {
    let of = |what: What| counts.removed.get(&what).copied().unwrap_or_default();
    let results = json!({
        "containers": of(What::Container), "images": of(What::Image),
        "networks": of(What::Network), "volumes": of(What::Volume), "bytes": counts.bytes,
        "staying": plan.staying.len(), "foreign": plan.foreign, "in_use": counts.in_use,
        "vanished": counts.vanished, "failed": counts.troubles.len(),
    });
    context.made_of(|details| details.results = Some(results)).await;
    let mut parts: Vec<String> = What::ALL
        .into_iter()
        .filter(|what| of(*what) > 0)
        .map(|what| match what {
            What::Image => format!("{} images ({})", of(what), bytes_text(counts.bytes)),
            what => format!("{} {}s", of(what), what.as_str()),
        })
        .collect();
    if parts.is_empty() {
        parts.push("nothing".to_owned());
    }
    let mut done = format!("{} removed, {} of ours stay", parts.join(", "), plan.staying.len());
    for (count, what) in [(counts.in_use, "in use by now"), (counts.vanished, "vanished")] {
        if count > 0 {
            done = format!("{done}, {count} {what}");
        }
    }
    if context.cancel.is_cancelled() {
        return stopped(format!("stopped; {done}; the next run goes on"));
    }
    for trouble in &counts.troubles {
        warn!("{trouble}");
    }
    match counts.troubles.first() {
        None => Ending::new(Outcome::Succeeded, Reason::Done, done),
        Some(first) => {
            let count = counts.troubles.len();
            failed(Reason::Incomplete, format!("{done}; {count} failed: {first}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_images_of_the_last_revisions_of_each_deploy_stay() {
        let used = |job: &str, revision: &str, image: &str, run| UsedImage {
            job: job.to_owned(),
            revision: revision.to_owned(),
            reference: "r".to_owned(),
            image: image.to_owned(),
            run,
        };
        let used = [
            used("gone", "r1", "of-gone", 9),
            used("load", "", "of-load", 8),
            // Gone back to r1: it is the latest again.
            used("web", "r1", "one", 7),
            used("web", "r1", "both", 7),
            used("web", "r3", "three", 6),
            used("web", "r3", "both", 6),
            used("web", "r2", "two", 5),
            used("web", "r0", "zero", 2),
        ];
        for (keep, expected) in
            [(2, "both one three"), (3, "both one three two"), (9, "both one three two zero")]
        {
            let found = of_last_revisions(&used, &["web"], keep);
            assert_eq!(found.into_keys().collect::<Vec<_>>().join(" "), expected, "{keep}");
        }
    }
}
