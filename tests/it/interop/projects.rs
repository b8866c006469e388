//! Projects as people have them, each with one corner of what a Compose file can say.

use crate::converge::Do;

/// One project. In its texts stand the words of [`crate::converge`]; its service `web` lasts and has a
/// shell.
#[derive(Clone, Copy)]
pub(super) struct Project {
    /// What it is about.
    pub(super) name: &'static str,
    /// `compose.yml`.
    pub(super) compose: &'static str,
    /// Files beside it.
    pub(super) files: &'static [(&'static str, &'static str)],
    /// What happens before there is anything.
    pub(super) first: &'static [Do],
    /// Arguments before each command.
    pub(super) arguments: &'static str,
    /// Variables of both programs.
    pub(super) environment: &'static [(&'static str, &'static str)],
    /// Containers that end by themselves, and well.
    pub(super) ends: &'static [&'static str],
    /// The least API version that can do it.
    pub(super) api: (u32, u32),
}

/// A project that says nothing.
const PROJECT: Project = Project {
    name: "",
    compose: "",
    files: &[],
    first: &[],
    arguments: "",
    environment: &[],
    ends: &[],
    api: (1, 41),
};

pub(super) const PROJECTS: &[Project] = &[
    Project {
        name: "many networks, aliases, static addresses",
        compose: "\
services:
  web:
    image: APP
    networks:
      front: {ipv4_address: NET1.10, aliases: [www, site]}
      back: {priority: 100}
  db:
    image: APP
    networks: {back: {aliases: [sql, data.internal], ipv4_address: NET2.20}}
  edge: {image: APP, networks: [default, front, back, plain]}
  lone: {image: APP, networks: {plain: null}}
networks:
  default: {driver: bridge}
  front:
    labels: [org.example.side=front]
    ipam: {driver: default, config: [{subnet: NET1.0/24, gateway: NET1.1, aux_addresses: {router: NET1.2}}]}
  back:
    internal: true
    driver_opts: {com.docker.network.bridge.enable_icc: 'true', com.docker.network.driver.mtu: 1400}
    ipam: {config: [{subnet: NET2.0/24, ip_range: NET2.0/25}]}
  plain: {attachable: true, name: PROJECT-named}
",
        ..PROJECT
    },
    Project {
        name: "volumes: named, anonymous, bound, in memory",
        files: &[("conf/a.conf", "a\n"), ("page.html", "<p>page</p>\n")],
        compose: "\
services:
  web:
    image: APP
    volumes:
      - data:/data
      - logs:/logs:ro
      - /anonymous
      - ./conf:/conf:ro
      - ./page.html:/www/page.html
      - ./made/by/compose:/made
      - {type: volume, source: data, target: /again, volume: {nocopy: true}}
      - {type: volume, target: /anonymous too}
      - {type: bind, source: ./conf, target: /long, read_only: true, bind: {create_host_path: false}}
      - {type: bind, source: ./conf, target: /private, bind: {propagation: rprivate}}
      - {type: tmpfs, target: /memory, tmpfs: {size: 1m, mode: 0o1770}}
    tmpfs: [/run, '/tmp:size=2m,mode=1777']
  reader: {image: APP, volumes: ['named:/named', memory:/memory]}
volumes:
  data:
  logs: {labels: {org.example.keep: 'yes'}, driver: local}
  named: {name: PROJECT-named}
  memory: {driver: local, driver_opts: {type: tmpfs, device: tmpfs, o: 'size=1m'}}
",
        ..PROJECT
    },
    Project {
        name: "secrets and configs of files, variables and text",
        files: &[("secret.txt", "s3cret\n"), ("app.conf", "port = 80\n")],
        environment: &[("TOKEN", "t0ken"), ("GREETING", "hello")],
        compose: "\
services:
  web:
    image: APP
    secrets: [filed, token, {source: filed, target: renamed}, {source: token, target: /etc/token, uid: '1000', gid: '1000', mode: 0o440}]
    configs: [app, {source: app, target: /etc/app.conf, mode: 0o444}, {source: inline, target: /etc/inline, uid: '7'}, {source: greeting, target: /greeting}]
  other: {image: APP, secrets: [token]}
secrets: {filed: {file: ./secret.txt}, token: {environment: TOKEN}}
configs:
  app: {file: app.conf}
  inline: {content: \"greeting=${GREETING}\\nsecond line\\n\"}
  greeting: {environment: GREETING}
",
        ..PROJECT
    },
    Project {
        name: "profiles, some of them on",
        arguments: "--profile debug --profile extra",
        compose: "\
services:
  web: {image: APP}
  shell: {image: APP, profiles: [debug], depends_on: [web]}
  both: {image: APP, profiles: [debug, prod]}
  off: {image: APP, profiles: [prod]}
",
        ..PROJECT
    },
    Project {
        name: "every condition of depends_on",
        ends: &["migrate-1"],
        compose: "\
services:
  web:
    image: APP
    depends_on:
      db: {condition: service_healthy, restart: true}
      migrate: {condition: service_completed_successfully}
      cache: {condition: service_started}
      missing: {condition: service_started, required: false}
  db: {image: APP, healthcheck: {test: 'wget -q -O /dev/null http://127.0.0.1/', interval: 200ms, timeout: 2s, retries: 50}}
  migrate: {image: APP, command: 'true', depends_on: {db: {condition: service_healthy}}}
  cache: {image: APP, depends_on: [db]}
  missing: {image: APP, profiles: [never]}
",
        ..PROJECT
    },
    Project {
        name: "health checks in all forms",
        compose: "\
services:
  web: {image: APP, healthcheck: {test: [CMD, 'true'], interval: 500ms, start_period: 1m30s}}
  shell: {image: APP, healthcheck: {test: [CMD-SHELL, 'exit 0'], interval: 1s, timeout: 1s500ms, retries: 2}}
  text: {image: APP, healthcheck: {test: 'exit 0', interval: 1s}}
  off: {image: 'rs-test/unhealthy:1', healthcheck: {disable: true}}
  none: {image: 'rs-test/unhealthy:1', healthcheck: {test: [NONE]}}
  inherited: {image: 'rs-test/unhealthy:1', healthcheck: {test: [CMD, 'true']}}
",
        ..PROJECT
    },
    Project {
        name: "scale and replicas",
        compose: "\
services:
  web: {image: APP, scale: 3, volumes: [/data], depends_on: [worker]}
  worker: {image: APP, deploy: {mode: replicated, replicas: 2}, ports: ['80']}
  global: {image: APP, deploy: {mode: global}}
  none: {image: APP, deploy: {replicas: 0}}
",
        ..PROJECT
    },
    Project {
        name: "links, inside and to the outside",
        first: &[Do::Docker("run -d --name PROJECT-outside APP")],
        compose: "\
services:
  web: {image: APP, links: [db, 'cache:redis'], external_links: ['PROJECT-outside:old']}
  app: {image: APP, links: [db, 'cache:redis'], networks: [default, back]}
  db: {image: APP, networks: [default, back]}
  cache: {image: APP}
networks: {back: {}}
",
        ..PROJECT
    },
    Project {
        name: "networks of other services, of the host, none",
        compose: "\
services:
  web: {image: APP, networks: [default, back], hostname: front}
  sidecar: {image: APP, command: sleep 100000, network_mode: 'service:web'}
  second: {image: APP, command: sleep 100000, network_mode: 'service:web', depends_on: {sidecar: {condition: service_started}}}
  host: {image: APP, command: sleep 100000, network_mode: host}
  none: {image: APP, network_mode: none}
networks: {back: {}}
",
        ..PROJECT
    },
    Project {
        name: "process ids, shared memory and volumes of other services",
        compose: "\
services:
  web: {image: APP, ipc: shareable, volumes: [/shared]}
  debug: {image: APP, command: sleep 100000, pid: 'service:web', ipc: 'service:web'}
  backup: {image: APP, command: sleep 100000, volumes_from: ['web:ro'], network_mode: none}
  host: {image: APP, pid: host, ipc: host, uts: host}
  private: {image: APP, ipc: private, shm_size: 32m}
",
        ..PROJECT
    },
    Project {
        name: "names of containers and hosts",
        compose: "\
services:
  web: {image: APP, container_name: PROJECT-front, hostname: front, domainname: example.org}
  db: {image: APP, container_name: PROJECT.db_1, depends_on: [web]}
  mac: {image: APP, mac_address: '02:42:0a:00:00:07'}
  with.dots_and-dashes: {image: APP}
",
        ..PROJECT
    },
    Project {
        name: "one-shots",
        ends: &["once-1", "seed-1", "many-1", "many-2"],
        compose: "\
services:
  web: {image: APP, depends_on: {seed: {condition: service_completed_successfully}}}
  once: {image: APP, command: [sh, -c, 'echo done']}
  seed: {image: APP, command: touch /data/seeded, volumes: ['data:/data'], restart: 'no'}
  many: {image: APP, command: 'true', scale: 2, restart: on-failure}
volumes: {data: {}}
",
        ..PROJECT
    },
    Project {
        name: "settings of the process and its surroundings",
        compose: "\
services:
  web:
    image: APP
    init: true
    user: '0:0'
    working_dir: /www
    stop_signal: SIGKILL
    stop_grace_period: 1m30s
    restart: unless-stopped
    read_only: true
    environment: {A: '1', EMPTY: '', NUMBER: 1.50, BOOL: 'true', BARE: null}
    labels: {org.example.a: b, org.example.number: 1}
    annotations: {org.example.note: text}
    logging: {driver: json-file, options: {max-size: 1m, max-file: '2'}}
    ulimits: {nproc: 65535, nofile: {soft: 512, hard: 1024}}
    sysctls: {net.core.somaxconn: 1024}
    tmpfs: /run
    shm_size: 64m
    devices: ['/dev/null:/dev/nothing:r', /dev/full]
    device_cgroup_rules: ['c 1:3 mr']
    cap_add: [NET_ADMIN]
    cap_drop: [MKNOD]
    security_opt: [no-new-privileges:true]
    group_add: ['5', '6']
    extra_hosts: ['one:10.0.0.1', 'two=10.0.0.2', 'six:::1']
    dns: 9.9.9.9
    dns_opt: ['ndots:2']
    dns_search: [example.com]
    expose: ['81', '82-83/udp']
  other:
    image: APP
    entrypoint: sh -c
    command: ['exec sleep 100000']
    stdin_open: true
    tty: true
    logging: {driver: local}
    runtime: runc
    oom_score_adj: 100
    sysctls: [net.ipv4.ip_default_ttl=70]
    environment: [A=1, 'WITH=a = b', EMPTY=]
    labels: [org.example.bare]
",
        ..PROJECT
    },
    Project {
        name: "limits of resources",
        compose: "\
services:
  web:
    image: APP
    restart: always
    deploy:
      labels: {org.example.swarm: only}
      resources:
        limits: {cpus: '0.5', memory: 64M, pids: 70}
        reservations: {memory: 20M}
      restart_policy: {condition: on-failure, max_attempts: 5}
  old: {image: APP, cpus: 0.25, mem_limit: 64m, mem_reservation: 32m, memswap_limit: 128m, pids_limit: 99}
  shares: {image: APP, cpu_shares: 512, cpuset: '0'}
  quota: {image: APP, cpu_period: 100000, cpu_quota: 50000}
",
        ..PROJECT
    },
    Project {
        name: "extends, in this file and from another one",
        files: &[
            (
                "common/base.yml",
                "services:\n  base:\n    image: APP\n    env_file: base.env\n    volumes: ['./conf:/conf:ro']\n    labels: {from: base}\n    depends_on: [db]\n  db: {image: APP}\n",
            ),
            ("common/base.env", "COLOR=red\n"),
            ("common/conf/a", "a\n"),
        ],
        compose: "\
services:
  web: {extends: {file: common/base.yml, service: base}, environment: {SIZE: big}, labels: {from: web}}
  second: {extends: web, ports: ['127.0.0.1::80']}
  third: {extends: {service: second}, environment: {COLOR: blue}}
  db: {image: APP}
",
        ..PROJECT
    },
    Project {
        name: "include, with another directory and environment",
        files: &[
            ("parts/db.yml", "services: {db: {image: 'APP', environment: {NAME: '${NAME}'}, volumes: ['./conf:/conf', 'data:/data']}}\nvolumes: {data: {}}\n"),
            ("parts/db.env", "NAME=of-the-part\n"),
            ("parts/conf/a", "a\n"),
            ("cache.yml", "services: {cache: {image: APP, networks: [shared]}}\nnetworks: {shared: {}}\n"),
        ],
        compose: "\
include:
  - {path: parts/db.yml, env_file: parts/db.env, project_directory: parts}
  - cache.yml
services:
  web: {image: APP, depends_on: [db, cache], networks: [shared, default]}
",
        ..PROJECT
    },
    Project {
        name: "several files, with resets",
        arguments: "-f compose.yml -f prod.yml -f site.yml",
        files: &[
            (
                "prod.yml",
                "services:\n  web: {restart: always, ports: !override ['127.0.0.1::80'], environment: {STAGE: prod}, volumes: ['more:/more']}\n  debug: !reset null\nvolumes: {more: {}}\n",
            ),
            ("site.yml", "services:\n  web: {labels: {site: here}, command: !reset null}\n  site: {image: APP}\n"),
        ],
        compose: "\
services:
  web: {image: APP, command: [sleep, '100000'], ports: ['8080:80'], environment: {STAGE: dev, A: b}, volumes: ['data:/data']}
  debug: {image: APP}
volumes: {data: {}}
",
        ..PROJECT
    },
    Project {
        name: "an override file found by its name",
        files: &[("compose.override.yml", "services:\n  web: {environment: {FROM: override}}\n  mail: {image: APP}\n")],
        compose: "services: {web: {image: APP, environment: {FROM: base, KEPT: 'yes'}}}\n",
        ..PROJECT
    },
    Project {
        name: "variables from everywhere",
        files: &[
            (".env", "IMAGE=APP\nLEVEL=from-dotenv\nQUOTED=\"a b\"\n"),
            ("web.env", "COLOR=red\nLITERAL='$HOME'\nEXPANDED=${LEVEL}-x\n# a note\nexport EXPORTED=1\n"),
            ("raw.env", "RAW=$NOT 'kept' \"as it is\"\n"),
        ],
        environment: &[("FROM_SHELL", "shell"), ("COLOR", "not this")],
        compose: "\
x-common: &common
  restart: unless-stopped
  labels: &labels {org.example.team: blue}
services:
  web:
    <<: *common
    image: ${IMAGE:?no image}
    env_file:
      - web.env
      - {path: raw.env, format: raw}
      - {path: missing.env, required: false}
    environment:
      - LEVEL
      - FROM_SHELL
      - NOT_SET
      - DEFAULTED=${NOT_SET:-${LEVEL}}
      - DOLLAR=$$5
      - QUOTED=${QUOTED}
      - ALTERNATIVE=${LEVEL:+yes}
  other: {<<: *common, image: '${IMAGE}', labels: {<<: *labels, more: '1'}}
",
        ..PROJECT
    },
    Project {
        name: "an image built from a local context",
        environment: &[("DOCKER_BUILDKIT", "0")],
        files: &[
            ("site/Dockerfile", "FROM APP AS base\nARG COLOR=none\nENV COLOR=$COLOR\nCOPY page.html /www/page.html\nFROM base AS debug\nRUN touch /debug\nFROM base AS last\nLABEL last=1\n"),
            ("site/page.html", "<p>page</p>\n"),
            ("site/.dockerignore", "ignored\n"),
            ("site/ignored", "x\n"),
            ("site/Other", "FROM APP\nLABEL other=1\n"),
        ],
        compose: "\
services:
  web: {build: ./site}
  debug: {build: {context: site, target: debug, args: {COLOR: red}, labels: {org.example.built: here}}}
  named: {image: 'PROJECT-named:3', build: {context: ./site, dockerfile: Other}}
  plain: {image: APP}
",
        ..PROJECT
    },
    Project {
        name: "pull policies where the image is there",
        compose: "\
services:
  web: {image: APP, pull_policy: missing}
  never: {image: APP, pull_policy: never}
  if: {image: APP2, pull_policy: if_not_present}
  weekly: {image: APP, pull_policy: weekly}
  every: {image: APP, pull_policy: every_12h}
",
        ..PROJECT
    },
    Project {
        name: "hooks",
        compose: "\
services:
  web:
    image: APP
    volumes: ['data:/data']
    post_start:
      - {command: [sh, -c, 'echo started >> /data/hooks'], user: '0:0', environment: {A: b}, working_dir: /}
      - {command: touch /data/again}
    pre_stop: [{command: touch /data/stopped}]
  plain: {image: APP, depends_on: [web]}
volumes: {data: {}}
",
        ..PROJECT
    },
    Project {
        name: "ports",
        compose: "\
services:
  web: {image: APP, ports: ['127.0.0.1:PORT1:80', '127.0.0.1::81/udp', '82']}
  long:
    image: APP
    ports:
      - {target: 80, published: 'PORT2', host_ip: 127.0.0.1, protocol: tcp, mode: host, name: http, app_protocol: http}
      - {target: 81, protocol: udp}
  range: {image: APP, ports: ['127.0.0.1::7000-7002']}
",
        ..PROJECT
    },
    Project {
        name: "networks and volumes of somebody else",
        first: &[
            Do::Docker("network create PROJECT-shared"),
            Do::Docker("volume create PROJECT-store"),
        ],
        compose: "\
services:
  web: {image: APP, networks: {shared: {aliases: [site]}, default: {}}, volumes: ['store:/store', 'own:/own']}
networks: {shared: {external: true, name: PROJECT-shared}}
volumes: {store: {external: true, name: PROJECT-store}, own: {name: PROJECT-of-its-own}}
",
        ..PROJECT
    },
    Project {
        name: "what is for other tools",
        files: &[("src/a", "a\n")],
        compose: "\
version: '3.8'
x-top: {any: [thing]}
services:
  web:
    image: APP
    x-own: {a: 1}
    develop: {watch: [{path: ./src, action: sync, target: /src}]}
    deploy: {placement: {constraints: [node.role == manager]}, update_config: {parallelism: 2}}
    credential_spec: {file: spec.json}
  silent: {image: APP, attach: false, command: [sh, -c, 'echo for those who ask; exec sleep 100000']}
  scheduled: {image: APP, labels: {ofelia.enabled: 'true', traefik.http.routers.a.rule: 'Host(`a`)'}}
",
        ..PROJECT
    },
    Project {
        name: "what newer engines can",
        api: (1, 49),
        first: &[
            Do::Docker("volume create PROJECT-store"),
            Do::Docker("run --rm -v PROJECT-store:/store APP mkdir /store/part"),
        ],
        compose: "\
services:
  web:
    image: APP
    healthcheck: {test: [CMD, 'true'], interval: 30s, start_period: 20s, start_interval: 500ms}
    networks:
      front: {mac_address: '02:42:0a:00:00:08', gw_priority: 7, interface_name: eth7}
      back: {mac_address: '02:42:0a:00:00:09'}
    volumes:
      - {type: volume, source: store, target: /part, volume: {subpath: part}}
      - {type: image, source: APP2, target: /image}
  other:
    image: APP
    volumes: [{type: image, source: APP2, target: /site, image: {subpath: www}}]
networks: {front: {enable_ipv4: true}, back: {}}
volumes: {store: {external: true, name: PROJECT-store}}
",
        ..PROJECT
    },
];
