//! What happens around containers: networks, volumes, images, orphans, and which services take part.

use super::*;

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
        (
            "always, there, and so in the registry",
            |case| {
                policy(case, PullPolicy::Always, true);
                case.options.as_in_registry = ["nginx".to_owned()].into();
            },
            &[],
        ),
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
            "what is due is built, and not pulled",
            |case| {
                policy(case, PullPolicy::Always, true);
                case.options.builds = ["web".to_owned()].into();
            },
            &["build image nginx"],
        ),
        (
            "what can be built is not pulled",
            |case| {
                policy(case, PullPolicy::Unset, false);
                case.service().build = Some(Box::default());
            },
            &[],
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
            &["remove container p-old-1 (service old is gone)"],
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
            &["make network p_default anew (definition changed)"],
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
             `roadstead compose up -d -y` makes it new, without the data",
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
