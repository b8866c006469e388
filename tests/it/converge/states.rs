//! Containers found in any state, and what interrupted work of ours or of docker compose left.

use super::{Do, ROW, Row, check};

const WEB: &str =
    "services: {web: {image: APP, network_mode: none}, db: {image: APP, network_mode: none}}";
const CHANGED: &str =
    "services: {web: {image: APP2, network_mode: none}, db: {image: APP, network_mode: none}}";

#[test]
fn whatever_state_a_container_is_in_it_ends_up_running() {
    check(&[
        Row {
            name: "stopped",
            before: WEB,
            meanwhile: &[Do::Docker("stop PROJECT-web-1")],
            moved: "web-1 started",
            ..ROW
        },
        Row {
            name: "killed",
            before: WEB,
            meanwhile: &[Do::Docker("kill PROJECT-web-1")],
            moved: "web-1 started",
            ..ROW
        },
        Row {
            name: "paused",
            before: WEB,
            meanwhile: &[Do::Docker("pause PROJECT-web-1")],
            moved: "web-1 started",
            ..ROW
        },
        Row {
            name: "paused and changed",
            before: WEB,
            meanwhile: &[Do::Docker("pause PROJECT-web-1")],
            after: CHANGED,
            moved: "web-1 replaced",
            ..ROW
        },
        Row {
            name: "stopped and changed",
            before: WEB,
            meanwhile: &[Do::Docker("stop PROJECT-web-1")],
            after: CHANGED,
            moved: "web-1 replaced",
            ..ROW
        },
        Row {
            name: "removed",
            before: WEB,
            meanwhile: &[Do::Docker("rm -f PROJECT-web-1")],
            moved: "web-1 created",
            ..ROW
        },
        Row {
            name: "all removed, networks and volumes too",
            before: "services: {web: {image: APP, volumes: ['vol:/v']}}\nvolumes: {vol: {}}",
            meanwhile: &[Do::Compose("down --volumes")],
            moved: "web-1 created, net default created, vol vol created",
            ..ROW
        },
        Row {
            name: "created and never started",
            first: &[Do::Write("compose.yml", WEB), Do::Oracle("create")],
            moved: "web-1 started, db-1 started",
            ..ROW
        },
        Row {
            name: "created, never started and changed",
            first: &[Do::Write("compose.yml", WEB), Do::Oracle("create")],
            after: CHANGED,
            moved: "web-1 replaced, db-1 started",
            ..ROW
        },
        Row {
            name: "renamed by somebody",
            before: WEB,
            meanwhile: &[Do::Docker("rename PROJECT-web-1 PROJECT-mine")],
            ..ROW
        },
        Row {
            name: "renamed by somebody and changed",
            before: WEB,
            meanwhile: &[Do::Docker("rename PROJECT-web-1 PROJECT-mine")],
            after: CHANGED,
            moved: "web-1 created, mine removed",
            ..ROW
        },
    ]);
}

#[test]
fn containers_of_docker_compose_are_ours() {
    const FULL: &str = "services: {web: {image: APP, networks: {default: {aliases: [www]}}, volumes: ['vol:/v', /anon], environment: {A: '1'}, depends_on: [db], labels: {a: b}}, db: {image: APP, scale: 2}, job: {image: APP, command: ['true']}}\nvolumes: {vol: {}}\nnetworks: {default: {labels: {x: y}}}";
    check(&[
        Row {
            name: "as they are",
            first: &[
                Do::Write("compose.yml", FULL),
                Do::Oracle("up -d"),
                Do::Await("job-1", "exited"),
            ],
            ..ROW
        },
        Row {
            name: "a changed one is replaced",
            first: &[Do::Write("compose.yml", WEB), Do::Oracle("up -d")],
            after: CHANGED,
            moved: "web-1 replaced",
            ..ROW
        },
        Row {
            name: "its network is made anew",
            first: &[
                Do::Write("compose.yml", "services: {web: {image: APP}, db: {image: APP}}"),
                Do::Oracle("up -d"),
            ],
            after: "services: {web: {image: APP}, db: {image: APP}}\nnetworks: {default: {labels: {a: b}}}",
            moved: "net default anew",
            ask: &[("in db-1 wget -q -O - http://web/", "one")],
            ..ROW
        },
        Row {
            name: "those whose network it had made anew without names",
            first: &[
                Do::Write("compose.yml", "services: {web: {image: APP}, db: {image: APP}}"),
                Do::Oracle("up -d"),
                Do::Docker("network disconnect PROJECT_default PROJECT-web-1"),
                Do::Docker("network connect PROJECT_default PROJECT-web-1"),
            ],
            ..ROW
        },
        Row {
            name: "its leftover of an interrupted recreate goes",
            first: &[
                Do::Write("compose.yml", WEB),
                Do::Oracle("up -d"),
                // What its recreate makes first: the new one under a temporary name.
                Do::Docker(
                    "create --name 0123456789ab_PROJECT-web-1 --network none \
                     --label com.docker.compose.project=PROJECT \
                     --label com.docker.compose.service=web \
                     --label com.docker.compose.oneoff=False \
                     --label com.docker.compose.container-number=1 \
                     --label com.docker.compose.config-hash=none \
                     --label com.docker.compose.replace=PROJECT-web-1 APP2",
                ),
            ],
            moved: "HEX_web-1 removed",
            ..ROW
        },
        Row {
            name: "its leftover goes and the rest changes",
            first: &[
                Do::Write("compose.yml", WEB),
                Do::Oracle("up -d"),
                Do::Docker(
                    "create --name 0123456789ab_PROJECT-web-1 --network none \
                     --label com.docker.compose.project=PROJECT \
                     --label com.docker.compose.service=web \
                     --label com.docker.compose.oneoff=False \
                     --label com.docker.compose.container-number=1 \
                     --label com.docker.compose.config-hash=none \
                     --label com.docker.compose.replace=PROJECT-web-1 APP2",
                ),
            ],
            after: CHANGED,
            moved: "HEX_web-1 removed, web-1 replaced",
            ..ROW
        },
        Row {
            name: "its recreate was cut short after the old one went",
            first: &[
                Do::Write("compose.yml", WEB),
                Do::Oracle("up -d"),
                Do::Docker("rename PROJECT-web-1 0123456789ab_PROJECT-web-1"),
            ],
            moved: "web-1 renamed",
            ..ROW
        },
    ]);
}
