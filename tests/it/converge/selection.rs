//! Which services take part: profiles, names, and services that are off.

use super::{Do, ROW, Row, check};

const PROFILES: &str = "services: {web: {image: APP, network_mode: none}, tool: {image: APP, network_mode: none, profiles: [debug]}}";

#[test]
fn only_what_takes_part_moves() {
    check(&[
        Row { name: "a profile that is off", before: PROFILES, ..ROW },
        Row {
            name: "a profile by variable",
            before: PROFILES,
            meanwhile: &[Do::Write(".env", "COMPOSE_PROFILES=debug\n")],
            moved: "tool-1 created",
            ..ROW
        },
        Row {
            name: "a profile that goes off leaves its containers",
            before: PROFILES,
            meanwhile: &[Do::Compose("--profile debug up -d")],
            up: "--remove-orphans",
            ..ROW
        },
        Row {
            name: "a service comes into a profile that is off",
            before: "services: {web: {image: APP, network_mode: none}, tool: {image: APP, network_mode: none}}",
            after: PROFILES,
            up: "--remove-orphans",
            ..ROW
        },
        Row {
            name: "a named service brings what it depends on",
            before: "services: {other: {image: APP, network_mode: none}}",
            after: "services: {db: {image: APP, network_mode: none}, web: {image: APP, network_mode: none, depends_on: [db]}, other: {image: APP2, network_mode: none}, more: {image: APP, network_mode: none}}",
            up: "web",
            moved: "db-1 created, web-1 created",
            ..ROW
        },
        Row {
            name: "a named service is on, whatever its profiles",
            before: PROFILES,
            up: "tool",
            moved: "tool-1 created",
            ..ROW
        },
        Row {
            name: "orphans go beside a named service, too",
            before: "services: {web: {image: APP, network_mode: none}, old: {image: APP, network_mode: none}, other: {image: APP, network_mode: none}}",
            after: "services: {web: {image: APP, network_mode: none}, other: {image: APP2, network_mode: none}}",
            up: "--remove-orphans web",
            moved: "old-1 removed",
            ..ROW
        },
        Row {
            name: "networks and volumes of others are not made for a named service",
            before: "services: {web: {image: APP, network_mode: none}}",
            after: "services: {web: {image: APP2, network_mode: none}, db: {image: APP, networks: [n], volumes: ['vol:/v']}}\nnetworks: {n: {}}\nvolumes: {vol: {}}",
            up: "web",
            moved: "web-1 replaced",
            ..ROW
        },
    ]);
}
