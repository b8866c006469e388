//! Containers of services that are gone: left, removed, or replaced by what takes their place.

use super::{Do, ROW, Row, check};

const TWO: &str =
    "services: {web: {image: APP, network_mode: none}, gone: {image: APP, network_mode: none}}";
const ONE: &str = "services: {web: {image: APP, network_mode: none}}";

#[test]
fn orphans_go_when_asked() {
    check(&[
        Row { name: "not asked", before: TWO, after: ONE, ..ROW },
        Row {
            name: "asked",
            before: TWO,
            after: ONE,
            up: "--remove-orphans",
            moved: "gone-1 removed",
            ..ROW
        },
        Row {
            name: "several and stopped ones",
            before: "services: {web: {image: APP, network_mode: none}, a: {image: APP, network_mode: none, scale: 2}, b: {image: APP, network_mode: none}}",
            meanwhile: &[Do::Docker("stop PROJECT-b-1")],
            after: ONE,
            up: "--remove-orphans",
            moved: "a-1 removed, a-2 removed, b-1 removed",
            ..ROW
        },
        Row {
            name: "those of the same project name in another directory stay",
            files: &[("other/compose.yml", "services: {theirs: {image: APP, network_mode: none}}")],
            before: ONE,
            meanwhile: &[Do::Compose("-p PROJECT -f other/compose.yml up -d")],
            up: "--remove-orphans",
            ..ROW
        },
        Row {
            name: "the oracle's run containers stay",
            before: ONE,
            meanwhile: &[Do::Oracle("run -d --name PROJECT-oneoff web sleep 100000")],
            up: "--remove-orphans",
            ..ROW
        },
        Row {
            name: "also while only some services are named",
            before: TWO,
            after: "services: {web: {image: APP2, network_mode: none}}",
            up: "--remove-orphans web",
            moved: "gone-1 removed, web-1 replaced",
            ..ROW
        },
        Row {
            name: "they stay when the rest fails",
            before: TWO,
            after: "services: {web: {image: APP, network_mode: none, command: [/nowhere]}}",
            up: "--remove-orphans",
            fails: "/nowhere",
            moved: "web-1 restarted",
            ..ROW
        },
        Row {
            name: "their network stays beside",
            before: "services: {web: {image: APP, network_mode: none}, gone: {image: APP, networks: [n]}}\nnetworks: {n: {}}",
            after: ONE,
            up: "--remove-orphans",
            moved: "gone-1 removed",
            ..ROW
        },
    ]);
}

#[test]
fn a_renamed_service_takes_the_place_of_its_orphan() {
    check(&[
        Row {
            name: "with neither name nor port",
            before: "services: {old: {image: APP, network_mode: none}, db: {image: APP, network_mode: none}}",
            after: "services: {new: {image: APP, network_mode: none}, db: {image: APP, network_mode: none}}",
            up: "--remove-orphans",
            moved: "new-1 created, old-1 removed",
            ..ROW
        },
        Row {
            name: "it keeps its container's name",
            before: "services: {old: {image: APP, network_mode: none, container_name: PROJECT-boss}}",
            after: "services: {new: {image: APP2, network_mode: none, container_name: PROJECT-boss}}",
            up: "--remove-orphans",
            moved: "boss replaced",
            ask: &[("inspect boss {{index .Config.Labels \"com.docker.compose.service\"}}", "new")],
            ..ROW
        },
        Row {
            name: "it keeps its port",
            before: "services: {old: {image: APP, ports: ['127.0.0.1:PORT1:80']}}",
            after: "services: {new: {image: APP2, ports: ['127.0.0.1:PORT1:80']}}",
            up: "--remove-orphans",
            moved: "new-1 created, old-1 removed",
            ask: &[("docker port PROJECT-new-1", "80/tcp -> 127.0.0.1:PORT1")],
            ..ROW
        },
        Row {
            name: "it keeps both",
            before: "services: {old: {image: APP, container_name: PROJECT-boss, ports: ['PORT1:80']}}",
            after: "services: {new: {image: APP2, container_name: PROJECT-boss, ports: ['PORT1:80']}}",
            up: "--remove-orphans",
            moved: "boss replaced",
            ..ROW
        },
        Row {
            name: "it keeps its name and does not start: the orphan runs on",
            before: "services: {old: {image: APP, network_mode: none, container_name: PROJECT-boss}}",
            after: "services: {new: {image: APP, network_mode: none, container_name: PROJECT-boss, command: [/nowhere]}}",
            up: "--remove-orphans",
            fails: "/nowhere",
            moved: "boss restarted",
            ..ROW
        },
        Row {
            name: "it keeps its port and does not start: the orphan runs on",
            before: "services: {old: {image: APP, ports: ['127.0.0.1:PORT1:80']}}",
            after: "services: {new: {image: APP, command: [/nowhere], ports: ['127.0.0.1:PORT1:80']}}",
            up: "--remove-orphans",
            fails: "/nowhere",
            moved: "old-1 restarted",
            ..ROW
        },
        Row {
            name: "it keeps its address",
            before: "services: {old: {image: APP, networks: {n: {ipv4_address: NET1.20}}}}\nnetworks: {n: {ipam: {config: [{subnet: NET1.0/24}]}}}",
            after: "services: {new: {image: APP2, networks: {n: {ipv4_address: NET1.20}}}}\nnetworks: {n: {ipam: {config: [{subnet: NET1.0/24}]}}}",
            up: "--remove-orphans",
            moved: "new-1 created, old-1 removed",
            ask: &[("in new-1 ip address | grep -c 'inet NET1.20/'", "1")],
            ..ROW
        },
        Row {
            name: "a service that was there takes the port of one that is gone",
            before: "services: {old: {image: APP, ports: ['127.0.0.1:PORT1:80']}, web: {image: APP}}",
            after: "services: {web: {image: APP, ports: ['127.0.0.1:PORT1:80']}}",
            up: "--remove-orphans",
            moved: "web-1 replaced, old-1 removed",
            ..ROW
        },
        Row {
            name: "its name is kept and nobody asked to remove it: nothing is touched",
            before: "services: {old: {image: APP, network_mode: none, container_name: PROJECT-boss}}",
            after: "services: {new: {image: APP, network_mode: none, container_name: PROJECT-boss}}",
            fails: "--remove-orphans",
            ..ROW
        },
        Row {
            name: "its port is kept and nobody asked to remove it: nothing is touched",
            before: "services: {old: {image: APP, ports: ['127.0.0.1:PORT1:80']}}",
            after: "services: {new: {image: APP, ports: ['127.0.0.1:PORT1:80']}}",
            fails: "--remove-orphans",
            ..ROW
        },
    ]);
}
