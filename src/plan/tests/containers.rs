//! What happens to the containers of a service.

use super::*;

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
            "content of a secret",
            |case| {
                case.hashes.contents.insert("web".to_owned(), "new".to_owned());
                set(case.container(), labels::CONTENT, "old");
            },
            &["replace container p-web-1 (content of a secret or config changed)"],
        ),
        (
            "content of a secret that somebody else wrote",
            |case| drop(case.hashes.contents.insert("web".to_owned(), "new".to_owned())),
            &[],
        ),
        (
            "asked for",
            |case| case.options.recreate = Recreate::Always,
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
fn containers_follow_those_they_live_with() {
    /// A service `side` that lives in the network of `web`, made when `web` had the id it has now.
    fn side(case: &mut Case) {
        let side = case.add_service("side");
        side.network_mode = Some("service:web".to_owned());
        side.networks.clear();
        let restart = Dependency { restart: true, ..depends_on("web").1 };
        side.depends_on.insert("web".to_owned(), restart);
        let ids = [("web".to_owned(), id("web1"))].into();
        let hash = case.hashes.referring(&case.project.services["side"], &ids)[0].clone();
        let container = case.add("side", 1);
        container.networks.clear();
        set(container, labels::CONFIG_HASH, &hash);
    }
    check(&[
        ("as it was", side, &[]),
        (
            "the other one changed",
            |case| {
                side(case);
                set(case.container(), labels::CONFIG_HASH, "another");
            },
            &[
                "replace container p-web-1 (configuration changed)",
                "replace container p-side-1 (lives with a container of web, which is made new)",
            ],
        ),
        (
            "the other one is missing",
            |case| {
                side(case);
                case.observed.containers.remove(0);
            },
            &[
                "create container p-web-1 (missing)",
                "replace container p-side-1 (lives with a container of web, which is made new)",
            ],
        ),
        (
            "the other one was made new meanwhile",
            |case| {
                side(case);
                case.container().id = id("web1again");
            },
            &["replace container p-side-1 (configuration changed)"],
        ),
        (
            "the other one only starts",
            |case| {
                side(case);
                case.container().state = State::Exited;
            },
            &[
                "start container p-web-1 (exited)",
                "restart container p-side-1 (lives with a container of web, which starts anew)",
            ],
        ),
        (
            "both only start",
            |case| {
                side(case);
                case.container().state = State::Exited;
                case.observed.containers[1].state = State::Exited;
            },
            &["start container p-web-1 (exited)", "start container p-side-1 (exited)"],
        ),
        (
            "the other one was only frozen",
            |case| {
                side(case);
                case.container().state = State::Paused;
            },
            &["start container p-web-1 (paused)"],
        ),
        (
            "the other one gets a second replica",
            |case| {
                side(case);
                case.service().scale = Some(2);
            },
            &["create container p-web-2 (missing)"],
        ),
        (
            "volumes of the other one",
            |case| {
                case.add_service("side").volumes_from = vec!["web:ro".to_owned()];
            },
            &["create container p-side-1 (missing)"],
        ),
    ]);
}

#[test]
fn dependents_restart_where_they_ask_for_it() {
    fn dependent(case: &mut Case, restart: bool) {
        let dependency = Dependency { restart, ..depends_on("web").1 };
        case.add_service("api").depends_on.insert("web".to_owned(), dependency);
        case.add("api", 1);
    }
    fn changed(case: &mut Case) {
        set(case.container(), labels::CONFIG_HASH, "another");
    }
    check(&[
        ("nothing changed", |case| dependent(case, true), &[]),
        (
            "asked for",
            |case| {
                dependent(case, true);
                changed(case);
            },
            &[
                "replace container p-web-1 (configuration changed)",
                "restart container p-api-1 (web is replaced)",
            ],
        ),
        (
            "not asked for",
            |case| {
                dependent(case, false);
                changed(case);
            },
            &["replace container p-web-1 (configuration changed)"],
        ),
        (
            "asked for, and does not run",
            |case| {
                dependent(case, true);
                changed(case);
                case.observed.containers[1].state = State::Exited;
            },
            &[
                "replace container p-web-1 (configuration changed)",
                "start container p-api-1 (exited)",
            ],
        ),
    ]);
}

#[test]
fn what_is_replaced_is_the_callers_choice() {
    fn changed(case: &mut Case, recreate: Recreate) {
        case.options.recreate = recreate;
        set(case.container(), labels::CONFIG_HASH, "another");
    }
    check(&[
        ("never", |case| changed(case, Recreate::Never), &[]),
        (
            "never, but it is down",
            |case| {
                changed(case, Recreate::Never);
                case.container().state = State::Exited;
            },
            &["start container p-web-1 (exited)"],
        ),
        (
            "what differs",
            |case| changed(case, Recreate::Diverged),
            &["replace container p-web-1 (configuration changed)"],
        ),
        (
            "one service without what it depends on",
            |case| {
                case.add_service("api").depends_on.extend([depends_on("web")]);
                changed(case, Recreate::Diverged);
                case.options.services.insert("api".to_owned());
                case.options.no_deps = true;
            },
            &["create container p-api-1 (missing)"],
        ),
    ]);
    let mut case = Case::converged();
    case.container().anonymous_volumes = [("/data".to_owned(), "ab".repeat(32))].into();
    changed(&mut case, Recreate::Diverged);
    case.options.renew_anonymous_volumes = true;
    let plan = case.plan().unwrap();
    let crate::plan::Action::Replace { old } = &plan.changes[0].action else { panic!("{plan:?}") };
    assert!(old.anonymous_volumes.is_empty());
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
        case.service().deploy =
            Some(Deploy { restart_policy: Some(policy), ..Deploy::default() }.into());
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
        ("done, deploy without condition", |case| deployed(case, None), &[]),
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
                case.service().deploy =
                    Some(Deploy { replicas: Some(2), ..Deploy::default() }.into());
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
    case.options.recreate = Recreate::Always;
    let plan = case.plan().unwrap();
    let crate::plan::Action::Replace { old } = &plan.changes[0].action else { panic!("{plan:?}") };
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
        case.options.recreate = Recreate::Always;
        let plan = case.plan().unwrap();
        let crate::plan::Action::Replace { old } = &plan.changes[0].action else {
            panic!("{plan:?}")
        };
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
