//! Names, ports and addresses that go from one container to another.

use super::*;
use crate::compose::model::Port;
use crate::plan::rivals::{Claim, first_name};

fn publish(service: &mut Service, number: &str) {
    service.ports.push(Port {
        target: 80,
        published: Some(number.to_owned()),
        protocol: "tcp".to_owned(),
        ..Port::default()
    });
}

fn holds(container: &mut Container, number: u16) {
    container.claims.insert(Claim::port("tcp", "0.0.0.0", number));
}

/// `web` was called `old` before: the container of `old` is there, that of `web` is not.
fn renamed(case: &mut Case) {
    case.observed.containers.clear();
    case.options.remove_orphans = true;
    case.add("old", 1);
}

#[test]
fn a_service_takes_the_place_of_one_that_is_gone() {
    check(&[
        (
            "neither name nor port",
            renamed,
            &[
                "create container p-web-1 (missing)",
                "remove container p-old-1 (service old is gone)",
            ],
        ),
        (
            "its port",
            |case| {
                renamed(case);
                publish(case.service(), "80");
                holds(case.container(), 80);
            },
            &["replace container p-web-1 (takes the place of p-old-1)"],
        ),
        (
            "its port, but it does not run",
            |case| {
                renamed(case);
                publish(case.service(), "80");
                holds(case.container(), 80);
                case.container().state = State::Exited;
            },
            &[
                "create container p-web-1 (missing)",
                "remove container p-old-1 (service old is gone)",
            ],
        ),
        (
            "a range of ports takes another one",
            |case| {
                renamed(case);
                publish(case.service(), "80-90");
                holds(case.container(), 80);
            },
            &[
                "create container p-web-1 (missing)",
                "remove container p-old-1 (service old is gone)",
            ],
        ),
        (
            "its name",
            |case| {
                renamed(case);
                case.service().container_name = Some("p-old-1".to_owned());
            },
            &["replace container p-old-1 (takes the place of p-old-1)"],
        ),
        (
            "its address",
            |case| {
                renamed(case);
                let endpoint = ServiceNetwork {
                    ipv4_address: Some("10.0.0.9".to_owned()),
                    ..Default::default()
                };
                case.service().networks.insert("default".to_owned(), Some(endpoint));
                let (network, address) = ("p_default".to_owned(), "10.0.0.9".to_owned());
                case.container().claims.insert(Claim::Address { network, address });
            },
            &["replace container p-web-1 (takes the place of p-old-1)"],
        ),
        (
            "a run was cut short after it had stopped the old one",
            |case| {
                renamed(case);
                case.container().state = State::Exited;
                let new = case.add("web", 1);
                (new.name, new.state) = ("old100000000_p-web-1".to_owned(), State::Created);
                set(new, labels::REPLACES, &id("old1"));
            },
            &[
                "remove container old100000000_p-web-1 (left by an interrupted run)",
                "replace container p-web-1 (takes the place of p-old-1)",
            ],
        ),
        (
            "a run was cut short after it had started the new one",
            |case| {
                renamed(case);
                case.container().state = State::Exited;
                let new = case.add("web", 1);
                new.name = "old100000000_p-web-1".to_owned();
                set(new, labels::REPLACES, &id("old1"));
            },
            &["finish replacing container p-web-1 (an interrupted run had started it)"],
        ),
        (
            "its port, and nobody asked to remove it",
            |case| {
                renamed(case);
                case.options.remove_orphans = false;
                publish(case.service(), "80");
                holds(case.container(), 80);
            },
            &[
                "refused: `web` needs the port or address of container `p-old-1`, which belongs to no \
               service any more: let orphans be removed (`--remove-orphans`)",
            ],
        ),
    ]);
}

#[test]
fn who_has_a_port_stops_before_who_needs_it_starts() {
    let mut case = Case::converged();
    publish(case.service(), "80");
    set(case.container(), labels::CONFIG_HASH, "another");
    holds(case.container(), 81);
    publish(case.add_service("api"), "81");
    let api = case.add("api", 1);
    set(api, labels::CONFIG_HASH, "another");
    holds(api, 80);
    let plan = case.plan().unwrap();
    let rivals: Vec<Vec<&str>> = plan
        .changes
        .iter()
        .map(|change| change.rivals.iter().map(|it| it.name.as_str()).collect())
        .collect();
    // Each of the two has what the other needs.
    assert_eq!(rivals, [["p-web-1"], ["p-api-1"]]);
}

#[test]
fn a_name_that_is_given_up_is_taken_in_the_end() {
    let mut case = Case::converged();
    case.container().name = "boss".to_owned();
    set(case.container(), labels::CONFIG_HASH, "another");
    case.add_service("api").container_name = Some("boss".to_owned());
    let plan = case.plan().unwrap();
    let names: Vec<_> = plan
        .changes
        .iter()
        .map(|it| (first_name(it, &case.observed, &plan), it.name.as_str()))
        .collect();
    let beside = |name: &str| format!("web100000000_{name}");
    assert_eq!(names, [(beside("boss"), "boss"), (beside("p-web-1"), "p-web-1")]);
}
