//! Containers that live with another one: they follow it when it is made new, and only then.

use super::{Do, ROW, Row, check};

macro_rules! with {
    ($parent:literal, $child:literal) => {
        concat!(
            "services: {a: {image: ",
            $parent,
            "}, b: {image: APP, command: sleep 100000, ",
            $child,
            "}}"
        )
    };
}

/// Whether `b` shares what `a` has.
const SHARED_NETWORK: (&str, &str) = ("in b-1 wget -q -O - http://127.0.0.1/", "two");

#[test]
fn what_lives_with_a_container_follows_it() {
    check(&[
        Row {
            name: "network: the other one changes",
            before: with!("APP", "network_mode: 'service:a'"),
            after: with!("APP2", "network_mode: 'service:a'"),
            moved: "a-1 replaced, b-1 replaced",
            ask: &[SHARED_NETWORK],
            ..ROW
        },
        Row {
            name: "network: it changes itself",
            before: with!("APP2", "network_mode: 'service:a'"),
            after: with!("APP2", "network_mode: 'service:a', labels: {a: b}"),
            moved: "b-1 replaced",
            ask: &[SHARED_NETWORK],
            ..ROW
        },
        Row {
            name: "network: the other one is gone",
            before: with!("APP2", "network_mode: 'service:a'"),
            meanwhile: &[Do::Docker("rm -f PROJECT-a-1")],
            moved: "a-1 created, b-1 replaced",
            ask: &[SHARED_NETWORK],
            ..ROW
        },
        Row {
            name: "network: both were stopped",
            before: with!("APP2", "network_mode: 'service:a'"),
            meanwhile: &[Do::Docker("stop -t 0 PROJECT-b-1 PROJECT-a-1")],
            moved: "a-1 started, b-1 started",
            ask: &[SHARED_NETWORK],
            ..ROW
        },
        Row {
            name: "network: the other one was stopped, its network with it",
            before: with!("APP2", "network_mode: 'service:a'"),
            meanwhile: &[Do::Docker("stop -t 0 PROJECT-a-1")],
            moved: "a-1 started, b-1 restarted",
            ask: &[SHARED_NETWORK],
            ..ROW
        },
        Row {
            name: "network: the other one's network is made anew",
            before: "services: {a: {image: APP2, networks: [n]}, b: {image: APP, command: sleep 100000, network_mode: 'service:a'}, c: {image: APP, networks: [n]}}\nnetworks: {n: {}}",
            after: "services: {a: {image: APP2, networks: [n]}, b: {image: APP, command: sleep 100000, network_mode: 'service:a'}, c: {image: APP, networks: [n]}}\nnetworks: {n: {labels: {x: y}}}",
            moved: "net n anew",
            ask: &[SHARED_NETWORK, ("in b-1 wget -q -O - http://c/", "one")],
            ..ROW
        },
        Row {
            name: "a chain of three",
            before: "services: {a: {image: APP}, b: {image: APP, command: sleep 100000, network_mode: 'service:a', ipc: shareable}, c: {image: APP, command: sleep 100000, ipc: 'service:b', network_mode: none}, d: {image: APP}}",
            after: "services: {a: {image: APP2}, b: {image: APP, command: sleep 100000, network_mode: 'service:a', ipc: shareable}, c: {image: APP, command: sleep 100000, ipc: 'service:b', network_mode: none}, d: {image: APP}}",
            moved: "a-1 replaced, b-1 replaced, c-1 replaced",
            ask: &[SHARED_NETWORK],
            ..ROW
        },
        Row {
            name: "process ids: the other one changes",
            before: with!("APP", "pid: 'service:a'"),
            after: with!("APP2", "pid: 'service:a'"),
            moved: "a-1 replaced, b-1 replaced",
            ask: &[("in b-1 ps | grep -c '[h]ttpd -f'", "1")],
            ..ROW
        },
        Row {
            name: "ipc: the other one changes",
            before: with!("APP, ipc: shareable", "ipc: 'service:a'"),
            after: with!("APP2, ipc: shareable", "ipc: 'service:a'"),
            moved: "a-1 replaced, b-1 replaced",
            ..ROW
        },
        Row {
            name: "volumes: the other one changes and keeps them",
            before: with!("APP, volumes: [/data]", "volumes_from: [a]"),
            meanwhile: &[Do::Exec("a-1", "echo kept > /data/x")],
            after: with!("APP2, volumes: [/data]", "volumes_from: [a]"),
            moved: "a-1 replaced, b-1 replaced",
            ask: &[("in b-1 cat /data/x", "kept")],
            ..ROW
        },
        Row {
            name: "volumes: the other one was stopped",
            before: with!("APP, volumes: [/data]", "volumes_from: ['a:ro']"),
            meanwhile: &[Do::Docker("stop -t 0 PROJECT-a-1")],
            moved: "a-1 started",
            ..ROW
        },
        Row {
            name: "it comes to live with another one",
            before: "services: {a: {image: APP}, b: {image: APP2}, c: {image: APP, command: sleep 100000, network_mode: 'service:a'}}",
            after: "services: {a: {image: APP}, b: {image: APP2}, c: {image: APP, command: sleep 100000, network_mode: 'service:b'}}",
            moved: "c-1 replaced",
            ask: &[("in c-1 wget -q -O - http://127.0.0.1/", "two")],
            ..ROW
        },
        Row {
            name: "the other one gets a second replica",
            before: with!("APP2", "network_mode: 'service:a'"),
            after: with!("APP2, scale: 2", "network_mode: 'service:a'"),
            moved: "a-2 created",
            ask: &[SHARED_NETWORK],
            ..ROW
        },
    ]);
}
