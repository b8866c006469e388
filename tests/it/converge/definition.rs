//! One key of one service changes: its container is replaced, its neighbour stays.

use super::{Do, ROW, Row, check};

/// A service `web` that gets another definition, beside a `db` that stays.
macro_rules! change {
    ($name:literal, $old:literal => $new:literal $(, $question:literal = $answer:literal)*) => {
        Row {
            name: $name,
            before: concat!(
                "services: {db: {image: APP, network_mode: none}, web: {image: APP, network_mode: none",
                $old, "}}"
            ),
            after: concat!(
                "services: {db: {image: APP, network_mode: none}, web: {image: APP, network_mode: none",
                $new, "}}"
            ),
            moved: "web-1 replaced",
            ask: &[$(($question, $answer)),*],
            ..ROW
        }
    };
}

#[test]
fn a_changed_key_replaces_its_container_alone() {
    check(&[
        change!("environment gets a variable", "" => ", environment: {A: '1'}", "in web-1 echo $A" = "1"),
        change!("environment loses a variable", ", environment: {A: '1'}" => "", "in web-1 echo $A" = ""),
        change!("a label", ", labels: {a: '1'}" => ", labels: {a: '2'}",
            "inspect web-1 {{.Config.Labels.a}}" = "2"),
        change!("command", ", command: sleep 100000" => ", command: sleep 200000",
            "inspect web-1 {{index .Config.Cmd 1}}" = "200000"),
        change!("entrypoint", "" => ", entrypoint: [sleep, '100000']",
            "inspect web-1 {{.Path}}" = "sleep"),
        change!("a health check comes", "" => ", healthcheck: {test: 'true', interval: 1s}",
            "inspect web-1 {{.Config.Healthcheck.Interval}}" = "1s"),
        change!("a health check goes", ", healthcheck: {test: 'true', interval: 1s}" => "",
            "inspect web-1 {{.Config.Healthcheck}}" = "<nil>"),
        change!("the restart policy", ", restart: always" => ", restart: unless-stopped",
            "inspect web-1 {{.HostConfig.RestartPolicy.Name}}" = "unless-stopped"),
        change!("the user", "" => ", user: '1000:1000'", "in web-1 id -u" = "1000"),
        change!("a limit", ", mem_limit: 64m" => ", mem_limit: 32m",
            "inspect web-1 {{.HostConfig.Memory}}" = "33554432"),
        change!("a tmpfs", "" => ", tmpfs: [/tmp]", "in web-1 grep -c ' /tmp tmpfs' /proc/mounts" = "1"),
        change!("the host name", ", hostname: a" => ", hostname: b", "in web-1 hostname" = "b"),
        change!("logging", "" => ", logging: {driver: none}",
            "inspect web-1 {{.HostConfig.LogConfig.Type}}" = "none"),
        Row {
            name: "from no network to the project's own",
            before: "services: {db: {image: APP, network_mode: none}, web: {image: APP, network_mode: none}}",
            after: "services: {db: {image: APP, network_mode: none}, web: {image: APP}}",
            moved: "web-1 replaced, net default created",
            ask: &[("aliases default of web-1", "web web-1")],
            ..ROW
        },
        Row {
            name: "the content of an env file",
            files: &[("a.env", "A=1\n")],
            before: "services: {db: {image: APP, network_mode: none}, web: {image: APP, network_mode: none, env_file: a.env}}",
            meanwhile: &[Do::Write("a.env", "A=2\n")],
            moved: "web-1 replaced",
            ask: &[("in web-1 echo $A", "2")],
            ..ROW
        },
        Row {
            name: "a variable in .env that one service reads",
            files: &[(".env", "A=1\n")],
            before: "services: {db: {image: APP, network_mode: none}, web: {image: APP, network_mode: none, environment: {A: '${A}'}}}",
            meanwhile: &[Do::Write(".env", "A=2\n")],
            moved: "web-1 replaced",
            ..ROW
        },
        Row {
            name: "a published port",
            before: "services: {db: {image: APP}, web: {image: APP, ports: ['127.0.0.1:PORT1:80']}}",
            after: "services: {db: {image: APP}, web: {image: APP, ports: ['127.0.0.1:PORT2:80']}}",
            moved: "web-1 replaced",
            ask: &[("docker port PROJECT-web-1", "80/tcp -> 127.0.0.1:PORT2")],
            ..ROW
        },
        Row {
            name: "two services at once",
            before: "services: {a: {image: APP, network_mode: none}, b: {image: APP, network_mode: none}, c: {image: APP, network_mode: none}}",
            after: "services: {a: {image: APP2, network_mode: none}, b: {image: APP2, network_mode: none}, c: {image: APP, network_mode: none}}",
            moved: "a-1 replaced, b-1 replaced",
            ask: &[("inspect a-1 {{.Config.Image}}", "APP2")],
            ..ROW
        },
        Row {
            name: "a shared anchor changes all that use it",
            before: "x-all: &all {image: APP, network_mode: none, labels: {v: '1'}}\nservices: {a: *all, b: *all, c: {image: APP, network_mode: none}}",
            after: "x-all: &all {image: APP, network_mode: none, labels: {v: '2'}}\nservices: {a: *all, b: *all, c: {image: APP, network_mode: none}}",
            moved: "a-1 replaced, b-1 replaced",
            ..ROW
        },
    ]);
}

#[test]
fn flags_say_what_is_replaced() {
    const TWO: &str = "services: {db: {image: APP, network_mode: none}, web: {image: APP, network_mode: none, depends_on: [db]}}";
    check(&[
        Row {
            name: "everything is asked for",
            before: TWO,
            up: "--force-recreate",
            moved: "db-1 replaced, web-1 replaced",
            ..ROW
        },
        Row {
            name: "one service is asked for",
            before: TWO,
            up: "--force-recreate db",
            moved: "db-1 replaced",
            ..ROW
        },
        Row {
            name: "what is named is asked for by force, what it depends on is not",
            before: TWO,
            up: "--force-recreate web",
            moved: "web-1 replaced",
            ..ROW
        },
        Row {
            name: "what is depended on is asked for by force, what is named is not",
            before: TWO,
            up: "--always-recreate-deps web",
            moved: "db-1 replaced",
            ..ROW
        },
        Row {
            name: "what depends on nothing that is named",
            before: TWO,
            up: "--always-recreate-deps",
            ..ROW
        },
        Row {
            name: "what is named and not what it depends on",
            before: TWO,
            after: "services: {db: {image: APP2, network_mode: none}, web: {image: APP2, network_mode: none, depends_on: [db]}}",
            up: "--no-deps web",
            moved: "web-1 replaced",
            ..ROW
        },
        Row {
            name: "nothing, where nothing may be replaced",
            before: TWO,
            after: "services: {db: {image: APP2, network_mode: none}, web: {image: APP, network_mode: none, depends_on: [db]}}",
            up: "--no-recreate",
            ..ROW
        },
        Row {
            name: "a service is added",
            before: "services: {web: {image: APP, network_mode: none}}",
            after: TWO,
            moved: "db-1 created",
            ..ROW
        },
        Row {
            name: "looking first touches nothing",
            before: "services: {db: {image: APP, network_mode: none}}",
            meanwhile: &[Do::Compose("up --dry-run --force-recreate")],
            ..ROW
        },
    ]);
}
