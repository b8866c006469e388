//! The switch: new containers beside the old ones, then one by one in their place, or all the way back.

mod addresses;
mod back;
mod names;
mod policies;
mod rivals;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use anyhow::{Context as _, Result};
use futures_util::StreamExt;
use futures_util::stream::{self, FuturesUnordered};
use tokio::sync::{Semaphore, watch as channel};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use self::policies::Policy;
use super::hooks;
use super::networks::{self, Moved};
use super::{Context, Deed, Gate, Proof, Verb, Watch, seconds, stopped};
use crate::compose::model::{Condition, Service};
use crate::docker::{NewContainer, Peer, Surroundings};
use crate::plan::observed::{Container, State};
use crate::plan::references::{self, Stands};
use crate::plan::rivals::{Rival, goes};
use crate::plan::{Action, Change, Kept, Plan, labels};

/// Changes sent to the Engine at once. More gains nothing: 20 starts take as long at 20 as at 4
/// (measured on Engine 20.10, two cores).
const PARALLEL_CALLS: usize = 8;
/// Lines of a failed container's output that go into the log.
const LAST_LINES: usize = 10;
/// Longest wait for them: the service is down meanwhile.
const LAST_LINES_DEADLINE: Duration = Duration::from_secs(5);
/// Longest wait for a dependency to complete where no run's timeout is shorter.
const LONGEST_WORK: Duration = Duration::from_hours(24);

/// How far one change has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    Waiting,
    /// The old one may have been stopped.
    Touched,
    Started,
    Well,
}

/// The changes of one plan on their way.
pub(super) struct Switch<'a, 'c> {
    context: &'a Context<'c>,
    plan: &'a Plan,
    changes: &'a [Change],
    watch: &'a Watch,
    /// Id of the container that each change ends with, once there is one.
    ids: Mutex<Vec<Option<String>>>,
    stages: channel::Sender<Vec<Stage>>,
    calls: Semaphore,
    /// Stopped for another container's sake, and restarted by no change when that one fails.
    stopped: Mutex<Vec<Rival>>,
    /// Restart policies of old containers, by id.
    policies: Mutex<BTreeMap<String, Policy>>,
    /// Networks that were made anew.
    moved: Mutex<Vec<Moved>>,
    /// Set by the first failure: the others stop at their next step boundary.
    halt: CancellationToken,
}

impl<'a, 'c> Switch<'a, 'c> {
    pub(super) fn new(context: &'a Context<'c>, plan: &'a Plan, watch: &'a Watch) -> Self {
        let existing = |change: &Change| match &change.action {
            Action::Start { id }
            | Action::Restart { id }
            | Action::Rename { id }
            | Action::Finish { id, .. } => Some(id.clone()),
            Action::Create | Action::Replace { .. } => None,
        };
        let put_aside = |change: &Change| {
            let old = change.action.old()?;
            Some((old.id.clone(), Policy::aside(old.restart_policy.as_ref()?)))
        };
        Self {
            context,
            plan,
            changes: &plan.changes,
            watch,
            ids: Mutex::new(plan.changes.iter().map(existing).collect()),
            stages: channel::Sender::new(vec![Stage::Waiting; plan.changes.len()]),
            calls: Semaphore::new(PARALLEL_CALLS),
            stopped: Mutex::default(),
            policies: Mutex::new(plan.changes.iter().filter_map(put_aside).collect()),
            moved: Mutex::default(),
            halt: context.cancel.child_token(),
        }
    }

    fn id(&self, index: usize) -> Option<String> {
        self.ids.lock().expect("no holder of this lock panics")[index].clone()
    }

    fn set_id(&self, index: usize, id: Option<String>) {
        self.ids.lock().expect("no holder of this lock panics")[index] = id;
    }

    fn reach(&self, index: usize, stage: Stage) {
        // One that stops for another one's sake may be further by itself.
        self.stages.send_modify(|stages| stages[index] = stages[index].max(stage));
    }

    fn service(&self, change: &Change) -> Result<&'a Service> {
        let services = &self.context.project.services;
        services.get(&change.service).with_context(|| format!("no service `{}`", change.service))
    }

    /// Creates every new container beside what runs; those that others refer to come first.
    pub(super) async fn create_all(&self) -> Result<()> {
        self.expect_free_names().await?;
        let mut left: Vec<usize> = (0..self.changes.len()).collect();
        while !left.is_empty() {
            let waits = |index: &usize| {
                let service = self.context.project.services.get(&self.changes[*index].service);
                let Some(service) = service else { return false };
                let needed = references::made_before(service);
                let is_needed = |other: &Change| {
                    needed.contains(&other.service.as_str())
                        || references::named_containers(service).any(|name| name == other.name)
                };
                left.iter().any(|other| other != index && is_needed(&self.changes[*other]))
            };
            let (later, now): (Vec<_>, Vec<_>) = left.iter().partition(|index| waits(index));
            // The loader refuses cycles; one that came through fails at the Engine.
            let (later, now) = if now.is_empty() { (now, later) } else { (later, now) };
            let creations = now.into_iter().map(|index| self.create_if_new(index));
            let results: Vec<Result<()>> =
                stream::iter(creations).buffer_unordered(PARALLEL_CALLS).collect().await;
            results.into_iter().collect::<Result<()>>()?;
            left = later;
        }
        Ok(())
    }

    /// Ids of the containers that those of a service refer to, by service.
    fn referred_ids(&self, service: &Service) -> BTreeMap<String, String> {
        let id_of =
            |name: &str| match references::stands_for(name, self.context.observed, self.plan)? {
                Stands::Standing(id) => Some(id.to_owned()),
                Stands::Made(index) => self.id(index),
            };
        let names = references::referred(service).into_iter();
        names.filter_map(|name| Some((name.to_owned(), id_of(name)?))).collect()
    }

    /// What a new container is made from besides its project: above all, the containers there will be.
    fn surroundings(&self) -> Surroundings {
        let standing = self.context.observed.containers.iter().filter(|it| {
            let changes = self.changes.iter().any(|change| change.touches(&it.id));
            !it.is_oneoff() && !changes && !goes(self.plan, &it.id)
        });
        let standing = standing.map(|it| {
            let peer = Peer { id: it.id.clone(), name: it.name.clone(), number: it.number() };
            (it.service().to_owned(), peer)
        });
        let changing = (0..self.changes.len()).filter_map(|index| {
            let change = &self.changes[index];
            let peer =
                Peer { id: self.id(index)?, name: change.name.clone(), number: change.number };
            Some((change.service.clone(), peer))
        });
        let mut peers: BTreeMap<String, Vec<Peer>> = BTreeMap::new();
        for (service, peer) in standing.chain(changing) {
            let known = peers.entry(service).or_default();
            // One change may rename a container that another one starts.
            if !known.iter().any(|it| it.id == peer.id) {
                known.push(peer);
            }
        }
        for known in peers.values_mut() {
            known.sort_by(|a, b| a.name.cmp(&b.name));
        }
        Surroundings { peers, ..self.context.materials.surroundings.clone() }
    }

    async fn create_if_new(&self, index: usize) -> Result<()> {
        if self.context.cancel.is_cancelled() {
            return Err(stopped());
        }
        let change = &self.changes[index];
        match &change.action {
            Action::Create => self.create(index, change, None).await,
            Action::Replace { old } => self.create(index, change, Some(old)).await,
            Action::Start { .. }
            | Action::Restart { .. }
            | Action::Rename { .. }
            | Action::Finish { .. } => Ok(()),
        }
    }

    async fn create(&self, index: usize, change: &Change, old: Option<&Kept>) -> Result<()> {
        let context = self.context;
        let service = self.service(change)?;
        let ids = self.referred_ids(service);
        let hashes = context.hashes.referring(service, &ids);
        let image = crate::plan::observed::familiar(&service.image);
        let policy = match old {
            Some(old) => self.learn_policy(old).await?,
            None => None,
        };
        let labels = labels::of_container(
            context.project,
            service,
            &labels::Provenance {
                hash: hashes.first().map_or("", String::as_str),
                content: context.hashes.contents.get(&change.service).map(String::as_str),
                number: change.number,
                image_id: context.observed.images.get(&image).map_or("", |it| it.id.as_str()),
                replaces: old,
                replaces_restart: policy.as_deref(),
                revision: context.revision,
                run: context.journal.run(),
            },
        );
        let name = self.first_name(change);
        let anonymous_volumes = match old {
            Some(old) => self.inherited_volumes(service, old).await?,
            None => BTreeMap::new(),
        };
        let new = NewContainer {
            project: context.project,
            service: &self.without_addresses(service),
            name: &name,
            final_name: &change.name,
            labels: &labels,
            anonymous_volumes: &anonymous_volumes,
            surroundings: &self.surroundings(),
        };
        // Boxed: the body of a create call is large.
        let work = Box::pin(context.engine.create_service(&new));
        let step = context.journal.step(format!("create container {name}"), work);
        let verb = if old.is_some() { Verb::Replace } else { Verb::Create };
        let id = context.journal.watched(Deed::container(verb, &change.name), step).await?;
        self.set_id(index, Some(id));
        Ok(())
    }

    /// Anonymous volumes that go over to the new container: those that it still asks for, itself or
    /// by its image.
    async fn inherited_volumes(
        &self,
        service: &Service,
        old: &Kept,
    ) -> Result<BTreeMap<String, String>> {
        let mut volumes = old.anonymous_volumes.clone();
        let is_asked_for = |target: &String| {
            service.volumes.iter().any(|it| it.target == *target && it.source.is_none())
        };
        if !volumes.keys().all(is_asked_for) {
            let of_image = self.context.engine.image_volumes(&service.image).await?;
            volumes.retain(|target, _| is_asked_for(target) || of_image.contains(target));
        }
        Ok(volumes)
    }

    /// Makes the networks anew whose definition changed.
    pub(super) async fn make_networks_anew(&self, plan: &Plan) -> Result<()> {
        for change in &plan.networks {
            if self.context.cancel.is_cancelled() {
                return Err(stopped());
            }
            let moved =
                networks::make_anew(self.context, plan, change, &self.addresses(&change.key))
                    .await?;
            self.moved.lock().expect("no holder of this lock panics").extend(moved);
        }
        Ok(())
    }

    /// Switches all changes, each as soon as what it depends on is there.
    pub(super) async fn run_all(&self) -> Result<()> {
        let mut running: FuturesUnordered<_> =
            (0..self.changes.len()).map(|index| self.run(index)).collect();
        let mut first = None;
        while let Some(result) = running.next().await {
            if let Err(error) = result {
                self.halt.cancel();
                // The others only report that they were halted.
                first.get_or_insert(error);
            }
        }
        first.map_or(Ok(()), Err)
    }

    async fn run(&self, index: usize) -> Result<()> {
        let change = &self.changes[index];
        let begun = Instant::now();
        if self.context.start {
            tokio::select! {
                biased;
                () = self.halt.cancelled() => return Err(stopped()),
                result = self.dependencies(change) => result?,
            }
        }
        let id = self.id(index).context("the container was not created")?;
        self.touch(index, change, &id).await?;
        self.reach(index, Stage::Started);
        let word = if !self.context.start {
            "not started"
        } else if matches!(change.action, Action::Rename { .. }) {
            "running"
        } else {
            tokio::select! {
                biased;
                () = self.halt.cancelled() => return Err(stopped()),
                result = self.verify(change, &id) => result?,
            }
        };
        self.reach(index, Stage::Well);
        info!("{change}: {word} after {}", seconds(begun));
        Ok(())
    }

    /// Stops the old container, if any, and starts the new one: the only moment of absence.
    async fn touch(&self, index: usize, change: &Change, id: &str) -> Result<()> {
        let _permit = self.calls.acquire().await.context("the switch is over")?;
        if self.halt.is_cancelled() {
            return Err(stopped());
        }
        let context = self.context;
        self.reach(index, Stage::Touched);
        let old = change.action.old();
        if let Some(old) = old {
            self.put_policy_aside(&old.id).await;
        }
        let to_stop = match (&change.action, old.filter(|old| old.running)) {
            (Action::Restart { id }, _) => Some((id, &change.name)),
            (_, old) => old.map(|old| (&old.id, &old.name)),
        };
        if let Some((id, name)) = to_stop {
            let grace = self.service(change)?.stop_grace_period;
            let work = context.stop(id, grace);
            let step = context.journal.step(format!("stop container {name}"), work);
            if old.is_some() {
                // Somebody who looks on sees one container being replaced.
                step.await?;
            } else {
                context.journal.watched(Deed::container(Verb::Stop, name), step).await?;
            }
        }
        if matches!(change.action, Action::Finish { .. } | Action::Rename { .. }) || !context.start
        {
            return Ok(());
        }
        self.stop_rivals(change).await?;
        if self.halt.is_cancelled() {
            return Err(stopped());
        }
        let service = self.service(change)?;
        let container = (id, change.name.as_str());
        if self.is_first_to_run(index) {
            let surroundings = &self.surroundings();
            let maker = hooks::Maker { project: context.project, surroundings };
            // Boxed: the body of a create call is large.
            Box::pin(hooks::before_start(context.engine, &maker, service, container)).await?;
        }
        let uploads = context.materials.uploads.get(&change.service);
        context.engine.upload_secrets(id, uploads.map_or(&[], Vec::as_slice)).await?;
        let deed = Deed::container(Verb::Start, &change.name);
        context.journal.deed(deed, context.engine.start(id)).await?;
        hooks::inside(context.engine, container, &service.post_start, "post_start").await
    }

    /// Whether `pre_start` hooks run before this change: once for a service that does not run, or for
    /// each container where a hook says so.
    fn is_first_to_run(&self, index: usize) -> bool {
        let change = &self.changes[index];
        let hooks = self.context.project.services.get(&change.service).map(|it| &it.pre_start);
        if hooks.is_none_or(Vec::is_empty) {
            return false;
        }
        let earlier = self.changes[..index].iter().any(|it| it.service == change.service);
        let stays = |it: &&Container| {
            it.service() == change.service
                && it.state == State::Running
                && !it.is_oneoff()
                && !self.changes.iter().any(|change| change.touches(&it.id))
        };
        !earlier && !self.context.observed.containers.iter().any(|it| stays(&it))
    }

    async fn verify(&self, change: &Change, id: &str) -> Result<&'static str> {
        let takes_a_place = matches!(change.action, Action::Replace { .. } | Action::Finish { .. });
        match self.context.wait.proof {
            Proof::Started => return Ok("started"),
            Proof::WellInPlace if !takes_a_place => return Ok("started"),
            Proof::Well | Proof::WellInPlace => {}
        }
        let service = self.service(change)?;
        let gate = Gate {
            within: self.context.wait.within,
            stable_for: self.context.wait.stable_for,
            healthy: self.context.wait.healthy,
            restarts: crate::plan::restarts_after_success(service),
        };
        let deed = Deed::container(Verb::Verify, &change.name);
        let work = self.context.journal.step(deed, self.watch.well(id, &change.name, &gate));
        let verified =
            if gate.healthy { self.context.journal.watched(deed, work).await } else { work.await };
        if verified.is_err() {
            self.tell_last_lines(change, id).await;
        }
        verified
    }

    async fn tell_last_lines(&self, change: &Change, id: &str) {
        let lines = self.context.engine.last_lines(id, LAST_LINES);
        let lines = tokio::time::timeout(LAST_LINES_DEADLINE, lines).await;
        for line in lines.ok().and_then(Result::ok).unwrap_or_default() {
            info!("{} | {}", change.name, line.text);
        }
    }

    /// Waits until everything a change depends on has reached its condition.
    async fn dependencies(&self, change: &Change) -> Result<()> {
        for wait in &change.after {
            let reached = self.dependency(wait).await;
            let reached = reached
                .with_context(|| format!("`{}` waits for `{}`", change.service, wait.service));
            match reached {
                Err(error) if wait.required => return Err(error),
                Err(error) => warn!("{error:#}; going on, it is not required"),
                Ok(()) => {}
            }
        }
        Ok(())
    }

    async fn dependency(&self, wait: &crate::plan::Wait) -> Result<()> {
        let changing: Vec<usize> = (0..self.changes.len())
            .filter(|index| self.changes[*index].service == wait.service)
            .collect();
        let mut stages = self.stages.subscribe();
        let all_started =
            |stages: &Vec<Stage>| changing.iter().all(|index| stages[*index] >= Stage::Started);
        stages.wait_for(all_started).await.context("the switch is over")?;
        // The time of a dependency begins when it has started; work to completion takes its time, the
        // run's own timeout bounds it.
        let within = match wait.condition {
            Condition::Started | Condition::Healthy => self.context.wait.within,
            Condition::CompletedSuccessfully => LONGEST_WORK,
        };
        let deadline = Instant::now() + within;
        let is_changing = |id: &str| changing.iter().any(|index| self.changes[*index].touches(id));
        let existing = self.context.observed.containers.iter().filter(|it| {
            it.service() == wait.service
                && !it.is_oneoff()
                && !is_changing(&it.id)
                && !goes(self.plan, &it.id)
        });
        let existing = existing.map(|it| (it.id.clone(), it.name.clone()));
        let changed = changing
            .iter()
            .filter_map(|index| Some((self.id(*index)?, self.changes[*index].name.clone())));
        for (id, name) in existing.chain(changed) {
            let work = self.watch.reach(&id, &name, wait.condition, deadline);
            let verb = match wait.condition {
                Condition::Started => {
                    work.await?;
                    continue;
                }
                Condition::Healthy => Verb::Verify,
                Condition::CompletedSuccessfully => Verb::Await,
            };
            self.context.journal.watched(Deed::container(verb, &name), work).await?;
        }
        Ok(())
    }

    pub(super) fn stages(&self) -> Vec<Stage> {
        self.stages.borrow().clone()
    }
}
