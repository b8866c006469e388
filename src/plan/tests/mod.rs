//! Plans as tables: what is changed about a converged world, and the lines of the plan that follows.

mod convergence;
mod interrupted;

use std::collections::BTreeMap;

use super::observed::{Container, Health, Observed, Resource, State};
use super::{Desired, Hashes, Options, labels, plan};
use crate::compose::model::{
    Condition, Dependency, Deploy, Mount, MountKind, Network, Project, PullPolicy, RestartPolicy,
    Service, ServiceNetwork, Volume,
};

/// A project `p` with one service `web`, and the Engine as it is when nothing is to do.
#[derive(Clone, Debug)]
struct Case {
    project: Project,
    hashes: Hashes,
    observed: Observed,
    options: Options,
}

impl Case {
    fn converged() -> Self {
        let mut case = Self::empty();
        let container = case.container_of("web", 1);
        case.observed.containers.push(container);
        case
    }

    /// Everything is there except containers.
    fn empty() -> Self {
        let web = Service {
            name: "web".to_owned(),
            image: "nginx".to_owned(),
            restart: Some("always".to_owned()),
            networks: [("default".to_owned(), None)].into(),
            ..Service::default()
        };
        let network = Network { name: "p_default".to_owned(), ..Network::default() };
        let project = Project {
            name: "p".to_owned(),
            working_dir: "/srv/p".into(),
            services: [("web".to_owned(), web)].into(),
            networks: [("default".to_owned(), network)].into(),
            ..Project::default()
        };
        let both = || vec!["new-dialect".to_owned(), "old-dialect".to_owned()];
        let hashes = Hashes {
            services: [("web".to_owned(), both())].into(),
            networks: [("default".to_owned(), vec!["network-hash".to_owned()])].into(),
            volumes: [("data".to_owned(), vec!["volume-hash".to_owned()])].into(),
        };
        let observed = Observed {
            networks: vec![resource("p_default", labels::NETWORK, "network-hash")],
            images: [("nginx:latest".to_owned(), "sha256:one".to_owned())].into(),
            ..Observed::default()
        };
        Self { project, hashes, observed, options: Options::default() }
    }

    fn service(&mut self) -> &mut Service {
        self.project.services.get_mut("web").unwrap()
    }

    fn container(&mut self) -> &mut Container {
        &mut self.observed.containers[0]
    }

    /// Adds a service like `web`.
    fn add_service(&mut self, name: &str) -> &mut Service {
        let service = Service { name: name.to_owned(), ..self.project.services["web"].clone() };
        self.hashes.services.insert(name.to_owned(), self.hashes.services["web"].clone());
        self.project.services.entry(name.to_owned()).or_insert(service)
    }

    /// Adds a running, current container.
    fn add(&mut self, service: &str, number: u32) -> &mut Container {
        let container = self.container_of(service, number);
        self.observed.containers.push(container);
        self.observed.containers.last_mut().unwrap()
    }

    fn container_of(&self, service: &str, number: u32) -> Container {
        let number_text = number.to_string();
        let pairs = [
            (labels::PROJECT, "p"),
            (labels::SERVICE, service),
            (labels::CONFIG_HASH, "new-dialect"),
            (labels::ONEOFF, "False"),
            (labels::CONTAINER_NUMBER, &number_text),
            (labels::WORKING_DIR, "/srv/p"),
        ];
        Container {
            id: id(&format!("{service}{number}")),
            name: format!("p-{service}-{number}"),
            image_id: self.observed.images.get("nginx:latest").cloned().unwrap_or_default(),
            state: State::Running,
            labels: pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
            networks: [("p_default".to_owned(), id("p_default"))].into(),
            ..Container::default()
        }
    }

    fn add_volume(&mut self, is_external: bool) {
        let volume =
            Volume { name: "p_data".to_owned(), external: is_external, ..Volume::default() };
        self.project.volumes.insert("data".to_owned(), volume);
        self.service().volumes.push(mount(Some("data"), "/data"));
    }

    fn plan(&self) -> Result<super::Plan, super::Refusal> {
        let desired =
            Desired { project: &self.project, hashes: &self.hashes, options: &self.options };
        plan(&desired, &self.observed)
    }

    /// The plan as lines; notes and refusals too.
    fn lines(&self) -> Vec<String> {
        match self.plan() {
            Ok(plan) => {
                let notes = plan.notes.iter().map(|note| format!("note: {note}"));
                plan.lines().into_iter().chain(notes).collect()
            }
            Err(refusal) => refusal.0.iter().map(|what| format!("refused: {what}")).collect(),
        }
    }
}

/// An id as long as the Engine's that begins with `seed`.
fn id(seed: &str) -> String {
    format!("{seed:0<64}")
}

fn resource(name: &str, key_label: &str, hash: &str) -> Resource {
    let pairs = [(key_label, "key"), (labels::CONFIG_HASH, hash), (labels::PROJECT, "p")];
    let labels = pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    Resource { id: id(name), name: name.to_owned(), labels }
}

fn mount(source: Option<&str>, target: &str) -> Mount {
    Mount {
        kind: MountKind::Volume {
            selinux: None,
            propagation: None,
            nocopy: false,
            subpath: None,
            labels: BTreeMap::new(),
        },
        source: source.map(str::to_owned),
        target: target.to_owned(),
        read_only: false,
        consistency: None,
        options_given: false,
    }
}

fn set(container: &mut Container, label: &str, value: &str) {
    container.labels.insert(label.to_owned(), value.to_owned());
}

fn depends_on(service: &str) -> (String, Dependency) {
    let dependency = Dependency { condition: Condition::Healthy, restart: false, required: true };
    (service.to_owned(), dependency)
}

type Row<'a> = (&'a str, fn(&mut Case), &'a [&'a str]);

fn check(rows: &[Row<'_>]) {
    for (what, change, expected) in rows {
        let mut case = Case::converged();
        change(&mut case);
        assert_eq!(case.lines(), *expected, "{what}");
    }
}

#[test]
fn a_world_as_desired_needs_nothing() {
    check(&[
        ("as it is", |_| {}, &[]),
        (
            "made by the other dialect",
            |case| {
                set(case.container(), labels::CONFIG_HASH, "old-dialect");
            },
            &[],
        ),
        ("restarting by itself", |case| case.container().state = State::Restarting, &[]),
        (
            "unhealthy but current",
            |case| {
                case.container().health = Some(Health::Unhealthy);
            },
            &[],
        ),
        (
            "on its way out and not ours to count",
            |case| {
                case.add("old", 1).state = State::Removing;
            },
            &[],
        ),
        (
            "a one-off of `compose run`",
            |case| {
                set(case.add("web", 2), labels::ONEOFF, "True");
            },
            &[],
        ),
        (
            "a one-off of a service that is gone",
            |case| {
                case.options.remove_orphans = true;
                set(case.add("gone", 1), labels::ONEOFF, "True");
            },
            &[],
        ),
        (
            "on the host's network",
            |case| {
                case.service().networks.clear();
                case.service().network_mode = Some("host".to_owned());
                case.container().networks.clear();
            },
            &[],
        ),
        (
            "never pulled and not there",
            |case| {
                case.service().pull_policy = PullPolicy::Never;
                case.observed.images.clear();
            },
            &[],
        ),
    ]);
    let plan = Case::converged().plan().unwrap();
    assert!(plan.is_empty());
    assert_eq!((plan.unchanged, plan.summary().as_str()), (1, "1 unchanged"));
}

#[test]
fn what_is_missing_is_made() {
    check(&[
        (
            "container",
            |case| case.observed.containers.clear(),
            &["create container p-web-1 (missing)"],
        ),
        (
            "container on its way out",
            |case| case.container().state = State::Removing,
            &["create container p-web-1 (missing)"],
        ),
        (
            "named container",
            |case| {
                case.observed.containers.clear();
                case.service().container_name = Some("site".to_owned());
            },
            &["create container site (missing)"],
        ),
        (
            "network",
            |case| case.observed.networks.clear(),
            &[
                "create network p_default",
                "replace container p-web-1 (not attached to network p_default)",
            ],
        ),
        (
            "volume",
            |case| case.add_volume(false),
            &["create volume p_data", "replace container p-web-1 (volume p_data is not mounted)"],
        ),
        (
            "mount of a volume that exists",
            |case| {
                case.add_volume(false);
                case.observed.volumes.push(resource("p_data", labels::VOLUME, "volume-hash"));
            },
            &["replace container p-web-1 (volume p_data is not mounted)"],
        ),
        (
            "nothing with the volume mounted",
            |case| {
                case.add_volume(false);
                case.observed.volumes.push(resource("p_data", labels::VOLUME, "volume-hash"));
                case.container().volumes.insert("p_data".to_owned());
            },
            &[],
        ),
        (
            "external network",
            |case| {
                case.observed.networks.clear();
                case.project.networks.get_mut("default").unwrap().external = true;
            },
            &["refused: external network `p_default` does not exist: create it with \
             `docker network create p_default`"],
        ),
        (
            "external volume and network at once",
            |case| {
                case.add_volume(true);
                case.observed.networks.clear();
                case.project.networks.get_mut("default").unwrap().external = true;
            },
            &[
                "refused: external network `p_default` does not exist: create it with \
             `docker network create p_default`",
                "refused: external volume `p_data` does not exist: create it with \
             `docker volume create p_data`",
            ],
        ),
    ]);
}

#[test]
fn images_are_pulled_as_the_policy_says() {
    fn policy(case: &mut Case, policy: PullPolicy, is_present: bool) {
        case.service().pull_policy = policy;
        if !is_present {
            case.observed.images.clear();
        }
    }
    check(&[
        ("missing, absent", |case| policy(case, PullPolicy::Missing, false), &["pull image nginx"]),
        ("missing, there", |case| policy(case, PullPolicy::Missing, true), &[]),
        ("always, there", |case| policy(case, PullPolicy::Always, true), &["pull image nginx"]),
        ("always, absent", |case| policy(case, PullPolicy::Always, false), &["pull image nginx"]),
        ("never, absent", |case| policy(case, PullPolicy::Never, false), &[]),
        (
            "once for two services",
            |case| {
                case.observed.images.clear();
                case.add_service("api").scale = Some(2);
            },
            &[
                "pull image nginx",
                "create container p-api-1 (missing)",
                "create container p-api-2 (missing)",
            ],
        ),
        (
            "not for a service of no containers",
            |case| {
                case.observed.images.clear();
                case.observed.containers.clear();
                case.service().scale = Some(0);
            },
            &[],
        ),
    ]);
    let mut case = Case::empty();
    case.observed.images.clear();
    let plan = case.plan().unwrap();
    assert_eq!(plan.pulls().count(), 1);
    assert_eq!(plan.summary(), "1 to create, 1 to prepare");
    assert_eq!(plan.without_pulls().summary(), "1 to create");
}

#[test]
fn containers_that_differ_are_replaced() {
    check(&[
        (
            "configuration",
            |case| {
                set(case.container(), labels::CONFIG_HASH, "another");
            },
            &["replace container p-web-1 (configuration changed)"],
        ),
        (
            "no hash at all",
            |case| {
                case.container().labels.remove(labels::CONFIG_HASH);
            },
            &["replace container p-web-1 (configuration changed)"],
        ),
        (
            "image",
            |case| case.container().image_id = "sha256:zero".to_owned(),
            &["replace container p-web-1 (image nginx changed)"],
        ),
        (
            "asked for",
            |case| case.options.force_recreate = true,
            &["replace container p-web-1 (asked for)"],
        ),
        (
            "half removed",
            |case| case.container().state = State::Dead,
            &["replace container p-web-1 (half removed)"],
        ),
        (
            "its network was made again",
            |case| {
                case.container().networks.insert("p_default".to_owned(), id("gone"));
            },
            &["replace container p-web-1 (not attached to network p_default)"],
        ),
        (
            "attached to one of two networks of that name",
            |case| {
                case.observed.networks[0].id = id("twin");
                case.observed.networks.push(resource("p_default", labels::NETWORK, "network-hash"));
            },
            &[],
        ),
        (
            "detached from its network",
            |case| case.container().networks.clear(),
            &["replace container p-web-1 (not attached to network p_default)"],
        ),
        (
            "another name",
            |case| {
                case.service().container_name = Some("site".to_owned());
                set(case.container(), labels::CONFIG_HASH, "another");
            },
            &["replace container site (configuration changed)"],
        ),
    ]);
}

#[test]
fn containers_that_stand_still_are_started() {
    fn stopped(case: &mut Case, state: State, exit_code: Option<i64>, restart: Option<&str>) {
        case.service().restart = restart.map(str::to_owned);
        let container = case.container();
        (container.state, container.exit_code) = (state, exit_code);
    }
    fn deployed(case: &mut Case, condition: Option<&str>) {
        stopped(case, State::Exited, Some(0), Some("no"));
        let policy =
            RestartPolicy { condition: condition.map(str::to_owned), ..RestartPolicy::default() };
        case.service().deploy = Some(Deploy { restart_policy: Some(policy), ..Deploy::default() });
    }
    check(&[
        (
            "created",
            |case| {
                stopped(case, State::Created, None, None);
                // The Engine knows no network id before the first start.
                case.container().networks.insert("p_default".to_owned(), String::new());
            },
            &["start container p-web-1 (never started)"],
        ),
        (
            "paused",
            |case| stopped(case, State::Paused, None, None),
            &["start container p-web-1 (paused)"],
        ),
        (
            "failed",
            |case| stopped(case, State::Exited, Some(1), None),
            &["start container p-web-1 (exited with 1)"],
        ),
        (
            "failed, of a one-shot",
            |case| {
                stopped(case, State::Exited, Some(3), Some("on-failure:2"));
            },
            &["start container p-web-1 (exited with 3)"],
        ),
        (
            "unknown exit code",
            |case| stopped(case, State::Exited, None, None),
            &["start container p-web-1 (exited)"],
        ),
        ("done, restart not given", |case| stopped(case, State::Exited, Some(0), None), &[]),
        ("done, restart: no", |case| stopped(case, State::Exited, Some(0), Some("no")), &[]),
        (
            "done, on-failure",
            |case| {
                stopped(case, State::Exited, Some(0), Some("on-failure"));
            },
            &[],
        ),
        (
            "done, on-failure:3",
            |case| {
                stopped(case, State::Exited, Some(0), Some("on-failure:3"));
            },
            &[],
        ),
        (
            "ended, always",
            |case| stopped(case, State::Exited, Some(0), Some("always")),
            &["start container p-web-1 (exited with 0)"],
        ),
        (
            "ended, unless-stopped",
            |case| {
                stopped(case, State::Exited, Some(0), Some("unless-stopped"));
            },
            &["start container p-web-1 (exited with 0)"],
        ),
        ("done, deploy none", |case| deployed(case, Some("none")), &[]),
        ("done, deploy on-failure", |case| deployed(case, Some("on-failure")), &[]),
        (
            "ended, deploy any",
            |case| deployed(case, Some("any")),
            &["start container p-web-1 (exited with 0)"],
        ),
        (
            "ended, deploy without condition",
            |case| deployed(case, None),
            &["start container p-web-1 (exited with 0)"],
        ),
    ]);
}

#[test]
fn replicas_are_added_and_taken_away() {
    check(&[
        (
            "up",
            |case| case.service().scale = Some(3),
            &["create container p-web-2 (missing)", "create container p-web-3 (missing)"],
        ),
        (
            "up by deploy",
            |case| {
                case.service().deploy = Some(Deploy { replicas: Some(2), ..Deploy::default() });
            },
            &["create container p-web-2 (missing)"],
        ),
        (
            "up behind a gap",
            |case| {
                case.service().scale = Some(2);
                case.observed.containers.clear();
                case.add("web", 4);
            },
            &["create container p-web-5 (missing)"],
        ),
        (
            "down",
            |case| {
                case.add("web", 2);
                case.add("web", 3);
            },
            &[
                "remove container p-web-2 (1 replicas wanted)",
                "remove container p-web-3 (1 replicas wanted)",
            ],
        ),
        (
            "down, the outdated one first",
            |case| {
                set(case.container(), labels::CONFIG_HASH, "another");
                case.add("web", 2);
            },
            &["remove container p-web-1 (1 replicas wanted)"],
        ),
        (
            "to none",
            |case| case.service().scale = Some(0),
            &["remove container p-web-1 (0 replicas wanted)"],
        ),
    ]);
}

#[test]
fn orphans_go_only_when_asked_and_only_our_own() {
    check(&[
        (
            "not asked",
            |case| _ = case.add("old", 1),
            &["note: container `p-old-1` belongs to no service any more (orphan)"],
        ),
        (
            "asked",
            |case| {
                case.options.remove_orphans = true;
                case.add("old", 1);
            },
            &["remove container p-old-1 (service old is gone)"],
        ),
        (
            "of a project of the same name elsewhere",
            |case| {
                case.options.remove_orphans = true;
                set(case.add("old", 1), labels::WORKING_DIR, "/home/p");
            },
            &["note: container `p-old-1` belongs to project `p` in `/home/p`, not in `/srv/p`; \
             left alone"],
        ),
        (
            "without a directory",
            |case| {
                case.options.remove_orphans = true;
                case.add("old", 1).labels.remove(labels::WORKING_DIR);
            },
            &["remove container p-old-1 (service old is gone)"],
        ),
        (
            "of a disabled service",
            |case| {
                case.options.remove_orphans = true;
                case.project.disabled_services.push("old".to_owned());
                case.add("old", 1);
            },
            &[],
        ),
        (
            "a helper that docker compose does not see",
            |case| {
                case.options.remove_orphans = true;
                case.add("old", 1).labels.remove(labels::CONFIG_HASH);
            },
            &[],
        ),
        (
            "while services were named",
            |case| {
                case.options.remove_orphans = true;
                case.options.services.insert("web".to_owned());
                case.add("old", 1);
            },
            &[],
        ),
    ]);
}

#[test]
fn resources_of_others_and_changed_ones_are_not_touched() {
    check(&[
        (
            "network of somebody else",
            |case| case.observed.networks[0].labels.clear(),
            &["note: network `p_default` was not made for this project; using it as it is"],
        ),
        (
            "external network",
            |case| {
                case.observed.networks[0].labels.clear();
                case.project.networks.get_mut("default").unwrap().external = true;
            },
            &[],
        ),
        (
            "network of an old docker compose",
            |case| {
                case.observed.networks[0].labels.remove(labels::CONFIG_HASH);
            },
            &[],
        ),
        (
            "changed network",
            |case| {
                case.observed.networks[0] = resource("p_default", labels::NETWORK, "another");
            },
            &[
                "refused: the definition of network `p_default` changed and containers are attached \
             to it: take the project down once (`roadstead compose down`), the next look makes it \
             new",
            ],
        ),
        (
            "volume of somebody else",
            |case| {
                case.add_volume(false);
                case.container().volumes.insert("p_data".to_owned());
                let volume = Resource { labels: BTreeMap::new(), ..resource("p_data", "", "") };
                case.observed.volumes.push(volume);
            },
            &["note: volume `p_data` was not made for this project; using it as it is"],
        ),
        (
            "changed volume",
            |case| {
                case.add_volume(false);
                case.container().volumes.insert("p_data".to_owned());
                case.observed.volumes.push(resource("p_data", labels::VOLUME, "another"));
            },
            &[
                "note: the definition of volume `p_data` changed; its data is kept under the old one: \
             remove the volume by hand to have it made new",
            ],
        ),
    ]);
}

#[test]
fn named_services_bring_their_dependencies_and_nothing_else() {
    fn three(case: &mut Case, asked: &str) {
        case.observed.containers.clear();
        case.add_service("db");
        let api = case.add_service("api");
        api.depends_on.extend([depends_on("db")]);
        api.networks = [("back".to_owned(), None)].into();
        let back = Network { name: "p_back".to_owned(), external: true, ..Network::default() };
        case.project.networks.insert("back".to_owned(), back);
        case.options.services.insert(asked.to_owned());
    }
    check(&[
        (
            "alone; the network of others is not asked for",
            |case| three(case, "web"),
            &["create container p-web-1 (missing)"],
        ),
        (
            "with what it depends on",
            |case| {
                three(case, "api");
                case.project.networks.get_mut("back").unwrap().external = false;
            },
            &[
                "create network p_back",
                "create container p-db-1 (missing)",
                "create container p-api-1 (missing)",
            ],
        ),
        (
            "with a network that is missing",
            |case| three(case, "api"),
            &["refused: external network `p_back` does not exist: create it with \
             `docker network create p_back`"],
        ),
    ]);
}

#[test]
fn changes_wait_for_what_their_service_depends_on() {
    let mut case = Case::empty();
    case.add_service("db");
    case.service().depends_on.extend([depends_on("db")]);
    let plan = case.plan().unwrap();
    let waits: Vec<_> = plan.changes.iter().map(|it| (it.name.as_str(), it.after.len())).collect();
    assert_eq!(waits, [("p-db-1", 0), ("p-web-1", 1)]);
    let wait = &plan.changes[1].after[0];
    assert_eq!(
        (wait.service.as_str(), wait.condition, wait.required),
        ("db", Condition::Healthy, true)
    );
}

#[test]
fn replacements_take_over_anonymous_volumes() {
    let mut case = Case::converged();
    let volumes: BTreeMap<String, String> = [("/data".to_owned(), "ab".repeat(32))].into();
    case.container().anonymous_volumes.clone_from(&volumes);
    case.options.force_recreate = true;
    let plan = case.plan().unwrap();
    let super::Action::Replace { old } = &plan.changes[0].action else { panic!("{plan:?}") };
    assert_eq!(old.anonymous_volumes, volumes);
    assert!(old.restart && old.running);
    assert!(plan.changes[0].touches(&id("web1")));
}

#[test]
fn only_what_ran_is_to_run_again() {
    for (state, restart) in [
        (State::Running, true),
        (State::Restarting, true),
        (State::Paused, true),
        (State::Exited, false),
        (State::Created, false),
        (State::Dead, false),
    ] {
        let mut case = Case::converged();
        case.container().state = state;
        case.options.force_recreate = true;
        let plan = case.plan().unwrap();
        let super::Action::Replace { old } = &plan.changes[0].action else { panic!("{plan:?}") };
        assert_eq!((old.restart, old.running), (restart, restart), "{state:?}");
    }
}

#[test]
fn settings_of_a_network_do_not_matter_to_the_plan() {
    let mut case = Case::converged();
    let settings = ServiceNetwork { aliases: vec!["www".to_owned()], ..ServiceNetwork::default() };
    case.service().networks.insert("default".to_owned(), Some(settings));
    assert_eq!(case.lines(), [""; 0]);
}

#[test]
fn a_plan_is_printed_as_json_with_words() {
    let mut case = Case::empty();
    case.add_service("db");
    case.service().depends_on.extend([depends_on("db")]);
    let json = serde_json::to_value(case.plan().unwrap()).unwrap();
    assert_eq!(json["changes"][1]["action"]["action"], "create");
    assert_eq!(json["changes"][1]["after"][0]["condition"], "service_healthy");
}
