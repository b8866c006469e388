//! Nothing changed: a second look moves nothing, whatever the definition is made of.

use super::{Do, ROW, Row, check};

/// A row whose only content is a definition.
const fn same(name: &'static str, before: &'static str) -> Row {
    Row { name, before, ..ROW }
}

#[test]
fn a_definition_that_is_the_same_moves_nothing() {
    check(&[
        same("plain", "services: {web: {image: APP, network_mode: none}}"),
        same(
            "texts that look like numbers, dates and booleans",
            "services: {web: {image: APP, network_mode: none, environment: {A: 0777, B: 1.10, C: yes, E: '', F: null, G: 1e3}}}",
        ),
        same(
            "command, entrypoint, user, working directory",
            "services: {web: {image: APP, network_mode: none, entrypoint: [sh, -c], command: ['sleep $$((50 * 2000))'], user: '0:0', working_dir: /www}}",
        ),
        same(
            "labels with dots, dollars and angle brackets",
            "services: {web: {image: APP, network_mode: none, labels: {a.b/c: '<&>$$x', empty: ''}}}",
        ),
        same(
            "ports in both forms",
            "services: {web: {image: APP, ports: ['127.0.0.1:PORT1:80', '127.0.0.1::81/udp', {target: 82, published: 'PORT2', host_ip: 127.0.0.1}], expose: ['90-92']}}",
        ),
        Row {
            files: &[("conf/a", "a"), ("one", "1")],
            ..same(
                "every kind of mount",
                "services: {web: {image: APP, network_mode: none, tmpfs: [/t1], volumes: ['data:/data', './conf:/conf:ro', /anonymous, {type: tmpfs, target: /t2, tmpfs: {size: 1m}}, {type: bind, source: ./one, target: /one}, {type: volume, source: data, target: /copy, volume: {nocopy: true}}]}}\nvolumes: {data: {labels: {a: b}}}",
            )
        },
        same(
            "a health check",
            "services: {web: {image: APP, network_mode: none, healthcheck: {test: 'true', interval: 1m30s, timeout: 1s, retries: 2, start_period: 5s}}}",
        ),
        same(
            "a health check turned off",
            "services: {web: {image: APP, network_mode: none, healthcheck: {disable: true}}}",
        ),
        same(
            "limits",
            "services: {web: {image: APP, network_mode: none, mem_limit: 64m, cpus: 0.5, pids_limit: 100, ulimits: {nproc: 512, nofile: {soft: 1024, hard: 2048}}, shm_size: 32m, oom_score_adj: 10, deploy: {resources: {reservations: {memory: 16M}}}}}",
        ),
        same(
            "capabilities, devices, sysctls",
            "services: {web: {image: APP, cap_add: [NET_ADMIN], cap_drop: [ALL], devices: ['/dev/null:/dev/nothing:r'], sysctls: {net.core.somaxconn: 512}, security_opt: [no-new-privileges], read_only: true, init: true}}",
        ),
        same(
            "names of other hosts and a host name of its own",
            "services: {web: {image: APP, hostname: boss, domainname: example.org, extra_hosts: ['one:10.0.0.1', 'two=10.0.0.2'], dns: [10.0.0.3], dns_search: [example.org], dns_opt: [ndots:2]}}",
        ),
        same(
            "two networks with aliases, addresses and priorities",
            "services: {web: {image: APP, networks: {a: {aliases: [www, site], ipv4_address: NET1.9}, b: {priority: 9}}}}\nnetworks: {a: {ipam: {config: [{subnet: NET1.0/24, gateway: NET1.1}]}}, b: {internal: true, labels: [x=y]}}",
        ),
        same(
            "logging, restart policy, stop signal and grace",
            "services: {web: {image: APP, network_mode: none, logging: {driver: json-file, options: {max-size: 1m, max-file: '2'}}, restart: on-failure:3, stop_signal: SIGTERM, stop_grace_period: 0s}}",
        ),
        same(
            "anchors, merge keys and extension fields",
            "x-base: &base {image: APP, network_mode: none, environment: {A: '1'}}\nservices: {one: {<<: *base}, two: {<<: *base, environment: {B: '2'}, x-note: [1]}}",
        ),
        Row {
            files: &[
                ("a.env", "A='x y'\nB=$UNSET\nC=\"1\\n2\"\n"),
                (".env", "TAG=1\nNAME=n\n"),
                ("base.yml", "services: {base: {image: APP, network_mode: none, labels: [l=1]}}"),
            ],
            ..same(
                "env files, interpolation and extends",
                "services: {web: {extends: {file: base.yml, service: base}, env_file: [a.env, {path: gone.env, required: false}], environment: ['N=${NAME:-x}', 'E=${NONE:-${TAG}}']}}",
            )
        },
        same(
            "replicas",
            "services: {web: {image: APP, network_mode: none, deploy: {replicas: 2, labels: {swarm: only}}}, none: {image: APP, scale: 0}}",
        ),
        same(
            "a name of its own",
            "services: {web: {image: APP, network_mode: none, container_name: PROJECT-boss}}",
        ),
        same(
            "dependencies of every kind",
            "services: {db: {image: APP, network_mode: none, healthcheck: {test: 'true', interval: 1s}}, once: {image: APP, network_mode: none, command: 'true'}, web: {image: APP, network_mode: none, depends_on: {db: {condition: service_healthy, restart: true}, once: {condition: service_completed_successfully}, off: {condition: service_started, required: false}}}, off: {image: APP, profiles: [off]}}",
        ),
        same(
            "namespaces and volumes of others",
            "services: {a: {image: APP, ipc: shareable, volumes: [/shared]}, b: {image: APP, network_mode: 'service:a', ipc: 'service:a', pid: 'service:a', volumes_from: ['a:ro']}}",
        ),
        same("links", "services: {db: {image: APP}, web: {image: APP, links: ['db:sql', db]}}"),
        same(
            "the host's own network and namespaces",
            "services: {web: {image: APP, command: sleep 100000, network_mode: host, pid: host, ipc: host}}",
        ),
        same(
            "an image by its id's tag and a platform of none",
            "services: {web: {image: docker.io/APP, network_mode: none, pull_policy: never}}",
        ),
        same(
            "a terminal and an open input",
            "services: {web: {image: APP, network_mode: none, tty: true, stdin_open: true, command: sh}}",
        ),
        Row {
            files: &[("part/compose.yml", "services: {part: {image: APP, network_mode: none}}")],
            ..same(
                "included files",
                "include: [part/compose.yml]\nservices: {web: {image: APP, network_mode: none, depends_on: [part]}}",
            )
        },
    ]);
}

#[test]
fn what_is_no_change_moves_nothing() {
    check(&[
        Row {
            name: "other spelling, order and comments",
            before: "services: {web: {image: APP, network_mode: none, environment: {B: '2', A: '1'}, labels: {x: '1'}, command: sleep 100000}}",
            after: "# a comment\nservices:\n  web:\n    labels: [x=1]\n    environment: [A=1, B=2]\n    command: [sleep, '100000']\n    network_mode: none\n    image: APP\n",
            ..ROW
        },
        Row {
            name: "a variable in place of its value",
            files: &[(".env", "N=5\n")],
            before: "services: {web: {image: APP, network_mode: none, environment: {N: '5'}}}",
            after: "services: {web: {image: APP, network_mode: none, environment: {N: '${N}'}}}",
            ..ROW
        },
        Row {
            name: "keys that no container has: depends_on, profiles, pull_policy, scale",
            before: "services: {db: {image: APP, network_mode: none}, web: {image: APP, network_mode: none}}",
            after: "services: {db: {image: APP, network_mode: none, pull_policy: missing}, web: {image: APP, network_mode: none, depends_on: [db], scale: 1}}",
            ..ROW
        },
        Row {
            name: "an env file's content moved into the file",
            files: &[("a.env", "A=1\n")],
            before: "services: {web: {image: APP, network_mode: none, env_file: a.env}}",
            after: "services: {web: {image: APP, network_mode: none, environment: {A: '1'}}}",
            ..ROW
        },
        Row {
            name: "a network and a volume that nobody uses",
            before: "services: {web: {image: APP, network_mode: none}}",
            after: "services: {web: {image: APP, network_mode: none}}\nnetworks: {idle: {}}\nvolumes: {idle: {}}",
            ..ROW
        },
        Row {
            name: "the content of a bind-mounted directory",
            files: &[("conf/a", "old")],
            before: "services: {web: {image: APP, network_mode: none, volumes: ['./conf:/conf']}}",
            meanwhile: &[Do::Write("conf/a", "new")],
            ask: &[("in web-1 cat /conf/a", "new")],
            ..ROW
        },
        Row {
            name: "one service named, all others changed",
            before: "services: {web: {image: APP, network_mode: none}, other: {image: APP, network_mode: none}}",
            after: "services: {web: {image: APP, network_mode: none}, other: {image: APP2, network_mode: none}}",
            up: "web",
            ..ROW
        },
        Row {
            name: "a file that is split in two",
            files: &[("part.yml", "services: {db: {image: APP, network_mode: none}}")],
            before: "services: {web: {image: APP, network_mode: none}, db: {image: APP, network_mode: none}}",
            after: "include: [part.yml]\nservices: {web: {image: APP, network_mode: none}}",
            ..ROW
        },
    ]);
}
