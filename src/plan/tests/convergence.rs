//! Carrying out a plan leads to a world that needs no plan, wherever it was cut short before.
//!
//! A small Engine of values stands in for the real one; it does what `apply` does, one step after the
//! other, and refuses what the real one refuses.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::plan::labels::Provenance;
use crate::plan::references::Stands;
use crate::plan::rivals::first_name;
use crate::plan::{Action, Change, Plan, Preparation, recovery, references};

/// What the two sides of the world look like at one moment.
#[derive(Clone, Debug)]
struct Wish {
    /// Per service: definition, replicas, whether it is a one-shot, whether its name is its own.
    services: BTreeMap<String, (u8, u32, bool, bool)>,
    /// Whether each service lives in the network of the one before it.
    chained: bool,
    /// Version of the image.
    image: u8,
}

/// What happens to the world behind our back.
#[derive(Clone, Debug)]
enum Mishap {
    State(usize, State),
    Unhealthy(usize),
    Fails(usize),
    Gone(usize),
    NetworkMadeAgain,
    VolumeGone,
}

#[derive(Clone, Debug)]
struct World {
    observed: Observed,
    one_shots: Vec<String>,
    made: u32,
    /// Steps until the crash.
    steps_left: usize,
    /// Ids of the containers that the changes of the plan at hand end with.
    fresh: Vec<Option<String>>,
    /// Ids of old containers whose restart policy is put aside.
    resting: BTreeSet<String>,
}

/// The crash.
struct Crashed;

impl World {
    fn step(&mut self) -> Result<(), Crashed> {
        self.steps_left = self.steps_left.checked_sub(1).ok_or(Crashed)?;
        Ok(())
    }

    fn container(&mut self, id: &str) -> &mut Container {
        self.observed.containers.iter_mut().find(|it| it.id == id).expect("no such container")
    }

    fn position(&self, id: &str) -> usize {
        self.observed.containers.iter().position(|it| it.id == id).expect("no such container")
    }

    fn make_id(&mut self) -> String {
        self.made += 1;
        // The seed ends with a letter: padding must not make two ids one.
        id(&format!("{:x}x", self.made))
    }

    fn run(&mut self, case: &Case, plan: &Plan) -> Result<(), Crashed> {
        let well = self.well_by_service();
        for step in &plan.prepare {
            self.step()?;
            self.prepare(case, step);
        }
        let existing = |change: &Change| match &change.action {
            Action::Create | Action::Replace { .. } => None,
            Action::Start { id }
            | Action::Restart { id }
            | Action::Rename { id }
            | Action::Finish { id, .. } => Some(id.clone()),
        };
        self.fresh = plan.changes.iter().map(existing).collect();
        for (index, change) in plan.changes.iter().enumerate() {
            if self.fresh[index].is_none() {
                self.step()?;
                self.fresh[index] = Some(self.create(case, plan, change));
            }
        }
        let ids: Vec<String> = self.fresh.iter().flatten().cloned().collect();
        assert_eq!(self.well_by_service(), well, "preparing took away what ran: {plan:#?}");
        for (change, id) in plan.changes.iter().zip(&ids) {
            self.switch(change, id)?;
        }
        for (change, id) in plan.changes.iter().zip(&ids) {
            self.let_old_go(change, id)?;
        }
        for removal in &plan.removals {
            self.step()?;
            let position = self.position(&removal.id);
            self.observed.containers.remove(position);
        }
        for (change, id) in plan.changes.iter().zip(&ids) {
            self.give_name(change, id)?;
        }
        Ok(())
    }

    /// Whether each service has a container that runs and is well.
    fn well_by_service(&self) -> BTreeMap<String, bool> {
        let mut well = BTreeMap::new();
        for it in self.observed.containers.iter().filter(|it| it.is_up()) {
            well.insert(it.service().to_owned(), true);
        }
        well
    }

    fn prepare(&mut self, case: &Case, step: &Preparation) {
        match step {
            Preparation::CreateNetwork { name, .. } => {
                let made = self.make_id();
                let network = resource(name, labels::NETWORK, "network-hash");
                self.observed.networks.push(Resource { id: made, ..network });
            }
            Preparation::CreateVolume { key, name } => {
                let hash = case.hashes.volumes[key][0].clone();
                self.observed.volumes.push(resource(name, labels::VOLUME, &hash));
            }
            Preparation::PullImage { .. } | Preparation::BuildImage { .. } => {
                panic!("every image is there")
            }
            Preparation::RemoveLeftover { id, put_aside, .. } => {
                if let Some(put_aside) = put_aside {
                    self.resting.remove(&put_aside.id);
                }
                let position = self.position(id);
                self.observed.containers.remove(position);
            }
        }
    }

    /// Ids of what a service refers to.
    fn referred(&self, case: &Case, plan: &Plan, service: &Service) -> BTreeMap<String, String> {
        let id_of = |name: &str| match references::stands_for(name, &case.observed, plan) {
            Some(Stands::Standing(id)) => id.to_owned(),
            Some(Stands::Made(index)) => self.fresh[index].clone().expect("made before"),
            None => panic!("nothing stands for {name}"),
        };
        let names = references::referred(service).into_iter();
        names.map(|name| (name.to_owned(), id_of(name))).collect()
    }

    fn create(&mut self, case: &Case, plan: &Plan, change: &Change) -> String {
        let old = match &change.action {
            Action::Replace { old } => Some(old),
            _ => None,
        };
        let service = &case.project.services[&change.service];
        let image_id = self.observed.images["nginx:latest"].id.clone();
        let name = first_name(change, &case.observed, plan);
        self.assert_free(&name);
        let provenance = Provenance {
            hash: &case.hashes.referring(service, &self.referred(case, plan, service))[0],
            content: None,
            number: change.number,
            image_id: &image_id,
            replaces: old,
            replaces_restart: old.map(|old| {
                assert!(!self.resting.contains(&old.id), "nobody knows its restart policy");
                "always"
            }),
            revision: "",
            run: 0,
        };
        let networks = service.networks.keys().map(|key| case.project.networks[key].name.clone());
        let volumes = service.volumes.iter().filter_map(|it| it.source.as_ref());
        let container = Container {
            id: self.make_id(),
            name,
            labels: labels::of_container(&case.project, service, &provenance),
            networks: networks.map(|name| (name, String::new())).collect(),
            volumes: volumes.map(|key| case.project.volumes[key].name.clone()).collect(),
            image_id,
            ..Container::default()
        };
        let id = container.id.clone();
        self.observed.containers.push(container);
        id
    }

    fn switch(&mut self, change: &Change, id: &str) -> Result<(), Crashed> {
        if let Action::Replace { old } = &change.action {
            self.step()?;
            self.resting.insert(old.id.clone());
        }
        if let Some(old) = change.action.old().filter(|old| old.running) {
            self.step()?;
            let old = self.container(&old.id);
            (old.state, old.exit_code) = (State::Exited, Some(143));
        }
        if matches!(change.action, Action::Restart { .. }) {
            self.step()?;
            let it = self.container(id);
            (it.state, it.exit_code) = (State::Exited, Some(143));
        }
        if !matches!(change.action, Action::Finish { .. } | Action::Rename { .. }) {
            self.step()?;
            self.start(id);
        }
        Ok(())
    }

    fn start(&mut self, id: &str) {
        let ids: BTreeMap<String, String> =
            self.observed.networks.iter().map(|it| (it.name.clone(), it.id.clone())).collect();
        let one_shots = self.one_shots.clone();
        let container = self.container(id);
        for (name, id) in &mut container.networks {
            id.clone_from(&ids[name]);
        }
        container.health = None;
        let ends = one_shots.iter().any(|it| it == container.service());
        (container.state, container.exit_code) =
            if ends { (State::Exited, Some(0)) } else { (State::Running, None) };
    }

    fn let_old_go(&mut self, change: &Change, id: &str) -> Result<(), Crashed> {
        let (Action::Replace { old } | Action::Finish { old, .. }) = &change.action else {
            return Ok(());
        };
        self.step()?;
        let new = self.container(id);
        let is_well = new.is_up() || new.is_done();
        assert!(is_well, "the old one goes before its replacement runs: {change:?}");
        let position = self.position(&old.id);
        self.observed.containers.remove(position);
        Ok(())
    }

    fn give_name(&mut self, change: &Change, id: &str) -> Result<(), Crashed> {
        let container = self.container(id);
        let is_misnamed = container.name != change.name;
        if !is_misnamed || matches!(change.action, Action::Start { .. } | Action::Restart { .. }) {
            return Ok(());
        }
        self.step()?;
        self.assert_free(&change.name);
        self.container(id).name.clone_from(&change.name);
        Ok(())
    }

    fn assert_free(&self, name: &str) {
        let is_taken = self.observed.containers.iter().any(|it| it.name == name);
        assert!(!is_taken, "the name {name} is taken: {:#?}", self.observed.containers);
    }

    fn recover(&mut self) {
        for rescue in recovery(&self.observed) {
            let position = self.position(&rescue.remove.0);
            self.observed.containers.remove(position);
            if let Some(put_aside) = rescue.put_aside {
                self.resting.remove(&put_aside.id);
            }
            if let Some((id, _)) = rescue.start {
                let old = self.container(&id);
                (old.state, old.exit_code) = (State::Running, None);
            }
        }
    }

    fn suffer(&mut self, mishap: &Mishap) {
        let count = self.observed.containers.len();
        match mishap {
            Mishap::NetworkMadeAgain => {
                let made = self.make_id();
                for network in &mut self.observed.networks {
                    network.id.clone_from(&made);
                }
            }
            Mishap::VolumeGone => self.observed.volumes.clear(),
            Mishap::State(..) | Mishap::Unhealthy(_) | Mishap::Fails(_) | Mishap::Gone(_)
                if count == 0 => {}
            Mishap::State(index, state) => {
                self.observed.containers[index % count].state = *state;
            }
            Mishap::Unhealthy(index) => {
                self.observed.containers[index % count].health = Some(Health::Unhealthy);
            }
            Mishap::Fails(index) => {
                let container = &mut self.observed.containers[index % count];
                (container.state, container.exit_code) = (State::Exited, Some(1));
            }
            Mishap::Gone(index) => {
                let gone = self.observed.containers.remove(index % count);
                // Whoever removes it by hand takes with it what only its label said.
                self.resting.retain(|id| gone.replaces() != Some(id.as_str()));
            }
        }
    }

    /// Plans for a wish; the first steps of the plan are done, as many as there are `steps`.
    fn live_through(&mut self, wish: &Wish, steps: usize) -> Case {
        let case = self.case(wish);
        self.steps_left = steps;
        let plan = case.plan().expect("nothing to refuse");
        let _: Result<(), Crashed> = self.run(&case, &plan);
        self.expect_one_to_come_back();
        self.case(wish)
    }

    /// Of a container that runs and the one whose place it takes, the Engine starts one when it starts.
    fn expect_one_to_come_back(&self) {
        let containers = &self.observed.containers;
        for new in containers.iter().filter(|it| it.state == State::Running) {
            let old = containers.iter().find(|it| new.replaces() == Some(&it.id));
            assert!(old.is_none_or(|it| self.resting.contains(&it.id)), "{old:#?} beside {new:#?}");
        }
    }

    fn case(&mut self, wish: &Wish) -> Case {
        let mut case = Case::empty();
        let template = case.project.services.remove("web").expect("the template");
        case.options.remove_orphans = true;
        case.add_template_volume();
        self.one_shots.clear();
        for (name, (definition, replicas, one_shot, own_name)) in &wish.services {
            let scale = if *own_name { 1.min(*replicas) } else { *replicas };
            let service = Service {
                name: name.clone(),
                scale: Some(scale),
                restart: (!one_shot).then(|| "always".to_owned()),
                container_name: own_name.then(|| format!("own-{name}")),
                volumes: vec![mount(Some("data"), "/data")],
                ..template.clone()
            };
            if *one_shot {
                self.one_shots.push(name.clone());
            }
            let mut service = service;
            service.command = Some(vec![format!("{definition} {one_shot} {own_name}")]);
            let lived_with = case.project.services.values().next_back();
            if let Some(other) = lived_with.filter(|it| wish.chained && it.replicas() > 0) {
                service.network_mode = Some(format!("service:{}", other.name));
                service.networks.clear();
                let restart = Dependency { restart: true, ..depends_on(&other.name).1 };
                service.depends_on.insert(other.name.clone(), restart);
            }
            case.project.services.insert(name.clone(), service);
        }
        case.hashes.services = Hashes::of(&case.project, case.hashes.to_write).services;
        self.observed.images =
            [("nginx:latest".to_owned(), identity(&format!("sha256:{}", wish.image)))].into();
        case.observed = self.observed.clone();
        case
    }
}

impl Case {
    fn add_template_volume(&mut self) {
        let volume = Volume { name: "p_data".to_owned(), ..Volume::default() };
        self.project.volumes.insert("data".to_owned(), volume);
    }
}

fn wishes() -> impl Strategy<Value = Wish> {
    let service = (0_u8..2, 0_u32..4, any::<bool>(), any::<bool>());
    let services = proptest::collection::btree_map("[abc]", service, 0..3);
    (services, any::<bool>(), 0_u8..2).prop_map(|(services, chained, image)| Wish {
        services,
        chained,
        image,
    })
}

fn mishaps() -> impl Strategy<Value = Mishap> {
    let states = prop::sample::select(vec![
        State::Created,
        State::Paused,
        State::Restarting,
        State::Exited,
        State::Dead,
    ]);
    prop_oneof![
        (any::<usize>(), states).prop_map(|(index, state)| Mishap::State(index, state)),
        any::<usize>().prop_map(Mishap::Unhealthy),
        any::<usize>().prop_map(Mishap::Fails),
        any::<usize>().prop_map(Mishap::Gone),
        Just(Mishap::NetworkMadeAgain),
        Just(Mishap::VolumeGone),
    ]
}

#[derive(Clone, Debug)]
struct Episode {
    wish: Wish,
    steps: usize,
    mishaps: Vec<Mishap>,
    recovers: bool,
}

fn episodes() -> impl Strategy<Value = Episode> {
    let mishaps = proptest::collection::vec(mishaps(), 0..3);
    (wishes(), 0_usize..40, mishaps, any::<bool>())
        .prop_map(|(wish, steps, mishaps, recovers)| Episode { wish, steps, mishaps, recovers })
}

proptest! {
    #[test]
    fn one_uninterrupted_look_ends_every_story(
        story in proptest::collection::vec(episodes(), 0..5),
        last in wishes(),
    ) {
        let observed = Observed::default();
        let mut world = World { observed, one_shots: Vec::new(), made: 0, steps_left: 0, fresh: Vec::new(), resting: BTreeSet::new() };
        for episode in &story {
            world.live_through(&episode.wish, episode.steps);
            for mishap in &episode.mishaps {
                world.suffer(mishap);
            }
            if episode.recovers {
                world.recover();
            }
        }
        let after = world.live_through(&last, usize::MAX);
        let plan = after.plan().expect("nothing to refuse");
        prop_assert!(plan.is_empty(), "{:#?}\n{:#?}", plan.lines(), after.observed.containers);
        let replicas: usize = after.project.services.values().map(|it| it.replicas() as usize).sum();
        prop_assert_eq!(after.observed.containers.len(), replicas);
        let rests = |it: &Container| world.resting.contains(&it.id);
        prop_assert!(!after.observed.containers.iter().any(rests), "{:#?}", world);
    }
}
