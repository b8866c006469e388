//! The bodies of our create calls are those of docker compose 2.40, key by key, on both engines.
//!
//! Both go through a proxy that keeps them. Compared is what they mean: Go writes out what is empty, and
//! the order of a set is chance. What else differs is in [`meaning`], each with its reason.

#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "drives docker compose, and fails loudly"
)]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use roadstead::compose::model::Project;
use roadstead::compose::{Request, load};
use roadstead::docker::{ApiVersion, Engine as Client, NewContainer, Peer, Surroundings, profiles};
use roadstead::git::View;
use serde_json::{Map, Value, json};

use crate::support::process::output;
use crate::support::proxy::Body;
use crate::support::{CountingProxy, Engine, on_both_engines, oracle, unique, write_files};

/// Every key that every Engine takes.
const EVERYWHERE: &str = "\
services:
  db: {image: 'rs-test/app:1', mac_address: '02:42:ac:11:00:07', ipc: shareable}
  plain: {image: 'rs-test/app:1'}
  process:
    image: rs-test/app:1
    command: [sleep, '1000']
    entrypoint: [sh, -c]
    hostname: h
    domainname: d.example
    user: '1000:1000'
    working_dir: /srv
    tty: true
    stdin_open: true
    init: true
    stop_signal: SIGUSR1
    stop_grace_period: 1m30s
    environment: {A: '1', BARE: null, EMPTY: '', HTTP_PROXY: mine}
    labels: {a: b}
    annotations: {note: one}
    healthcheck: {test: 'true', interval: 1s, timeout: 2s, retries: 4, start_period: 5s}
    read_only: true
    restart: on-failure:3
    logging: {driver: json-file, options: {max-size: 1m}}
    tmpfs: [/t1, '/t2:size=1m']
    shm_size: 1m
    sysctls: {net.core.somaxconn: 1024}
    ulimits: {nproc: 65535, nofile: {soft: 20000, hard: 40000}}
    group_add: [audio, 5]
    expose: ['81', '82-83/udp']
    ports:
      - '127.0.0.1:18080:80'
      - '53/udp'
      - {target: 90, published: '8001-8003', host_ip: 127.0.0.1, protocol: tcp, mode: host}
    extra_hosts: ['one:10.0.0.1', 'six:::1']
    dns: [9.9.9.9]
    dns_opt: ['ndots:2']
    dns_search: [example.com]
  cleared: {image: 'rs-test/app:1', command: [], entrypoint: [], healthcheck: {disable: true}}
  limits:
    image: rs-test/app:1
    cpus: 0.1
    cpu_shares: 512
    cpuset: '0'
    mem_limit: 64m
    mem_reservation: 32m
    memswap_limit: 128m
    pids_limit: 99
    oom_kill_disable: false
    oom_score_adj: 100
    cgroup_parent: /rs
    blkio_config:
      weight: 300
      weight_device: [{path: /dev/vda, weight: 400}]
      device_read_bps: [{path: /dev/vda, rate: 1mb}]
      device_read_iops: [{path: /dev/vda, rate: 120}]
      device_write_bps: [{path: /dev/vda, rate: 2mb}]
      device_write_iops: [{path: /dev/vda, rate: 130}]
  cpu: {image: 'rs-test/app:1', cpu_period: 100000, cpu_quota: 50000, mem_swappiness: 10}
  deployed:
    image: rs-test/app:1
    restart: always
    deploy:
      restart_policy: {condition: on-failure, max_attempts: 5, delay: 5s}
      labels: {x: y}
      resources:
        limits: {cpus: '0.5', memory: 50M, pids: 7}
        reservations: {cpus: '0.25', memory: 20M}
  security:
    image: rs-test/app:1
    privileged: true
    cap_add: [NET_ADMIN]
    cap_drop: [MKNOD]
    security_opt:
      - seccomp=seccomp.json
      - no-new-privileges:true
      - systempaths=unconfined
      - label:disable
    userns_mode: host
    uts: host
    cgroup: host
    devices: ['/dev/null:/dev/zero2:r', /dev/full]
    device_cgroup_rules: ['c 1:3 mr']
    pid: host
    runtime: runc
  sharing:
    image: rs-test/app:1
    network_mode: service:db
    ipc: service:db
    pid: service:plain
    volumes_from: [plain, db]
  mounts:
    image: rs-test/app:1
    volumes:
      - data:/data
      - data:/ro:ro
      - /anon
      - ./conf:/conf:ro
      - ./conf2:/conf2:z
      - {type: bind, source: ./conf, target: /long}
      - {type: bind, source: ./conf, target: /nocreate, bind: {create_host_path: false}}
      - {type: bind, source: ./conf, target: /prop, bind: {propagation: rprivate, create_host_path: false}}
      - {type: bind, source: ./conf, target: /rec, read_only: true, bind: {recursive: disabled, create_host_path: false}}
      - {type: volume, source: data, target: /nocopy, volume: {nocopy: true}}
      - {type: volume, target: /anon2}
      - {type: tmpfs, target: /mem, tmpfs: {size: 1m, mode: 0o755}}
      - data:/nc:nocopy
    secrets: [filed, {source: filed, target: other}, enved]
    configs: [filed, {source: inline, target: /etc/inline}]
  networked:
    image: rs-test/app:1
    networks:
      front: {aliases: [www], ipv4_address: SUBNET.5, priority: 10, driver_opts: {com.example: '1'}}
      back: {aliases: [backend], link_local_ips: [169.254.1.1]}
      default:
  linked:
    image: rs-test/app:1
    links: [db, 'plain:p']
    external_links: ['other:o']
    networks: {default: {}, back: {}}
  host: {image: 'rs-test/app:1', network_mode: host}
  none: {image: 'rs-test/app:1', network_mode: none}
networks:
  front: {ipam: {config: [{subnet: SUBNET.0/24, gateway: SUBNET.1}]}, labels: {l: m}}
  back: {driver: bridge, internal: true, attachable: true, driver_opts: {com.docker.network.bridge.enable_icc: 'true'}}
volumes: {data: {driver: local, labels: {v: w}}}
secrets: {filed: {file: ./secret.txt}, enved: {environment: SECRET}}
configs: {filed: {file: ./config.txt}, inline: {content: 'hello'}}
";

/// What needs API 1.49.
const NEW_ONLY: &str = "\
services:
  probed: {image: 'rs-test/app:1', healthcheck: {test: 'true', start_period: 5s, start_interval: 6s}}
  addressed:
    image: rs-test/app:1
    networks:
      front: {mac_address: '02:42:ac:11:00:08', gw_priority: 7, interface_name: eth7}
      back: {mac_address: '02:42:ac:11:00:09'}
  mounted:
    image: rs-test/app:1
    volumes:
      - {type: image, source: 'rs-test/app:2', target: /image}
      - {type: image, source: 'rs-test/app:2', target: /www, image: {subpath: www}}
      - {type: bind, source: ./conf, target: /w, read_only: true, bind: {recursive: writable, create_host_path: false}}
networks: {front: {}, back: {}}
";

/// What this machine has not: the Engine may refuse it, but was asked the same.
const REFUSED: [&str; 4] = [
    "services: {a: {image: 'rs-test/app:1', cpu_count: 2, cpu_percent: 10, isolation: default}}",
    "services: {a: {image: 'rs-test/app:1', storage_opt: {size: 1G}}}",
    "services: {a: {image: 'rs-test/app:1', cpu_rt_period: 1000, cpu_rt_runtime: 500}}",
    "services:
  a:
    image: rs-test/app:1
    devices: [vendor.com/net=one]
    gpus: [{driver: nvidia, count: 2, capabilities: [compute], options: {o: '1'}}, {device_ids: ['0']}]
    deploy: {resources: {reservations: {devices: [{capabilities: [tpu], count: 1}]}}}",
];

/// Ours have further labels, and what both have is compared where containers are adopted. The next two
/// are facts that the Engine reports: it ignores them in a request. The last is the size of a terminal
/// that docker compose has not.
const NOT_COMPARED: [&str; 4] = ["Labels", "IPAddress", "IPv6Gateway", "ConsoleSize"];

/// Bodies by what they make: `container p-web-1`, `network p_front`.
type Bodies = BTreeMap<String, Value>;

on_both_engines!(bodies_are_those_of_docker_compose);

fn bodies_are_those_of_docker_compose(engine: &Engine) {
    let directory = tempfile::tempdir().unwrap();
    write_files(
        directory.path(),
        &[
            ("conf/a", "a"),
            ("secret.txt", "s"),
            ("config.txt", "c"),
            ("seccomp.json", "{ \"defaultAction\": \"SCMP_ACT_ALLOW\" }"),
            (
                "docker/config.json",
                r#"{"proxies": {"default": {"httpProxy": "http://p:1", "noProxy": "n"}}}"#,
            ),
        ],
    );
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let client = Client::new(Some(&engine.host())).unwrap();
    let api = runtime.block_on(client.api_version()).unwrap();
    let subnet = engine.subnet();
    let mut texts = vec![EVERYWHERE];
    texts.extend(REFUSED);
    if api >= ApiVersion(1, 49) {
        texts.push(NEW_ONLY);
    }
    for text in texts {
        let name = unique("bodies");
        let text = &text.replace("SUBNET", &subnet);
        write_files(directory.path(), &[("compose.yml", text)]);
        let theirs = theirs(engine, directory.path(), &name);
        let ours = runtime.block_on(ours(engine, directory.path(), &name));
        assert!(!theirs.is_empty(), "docker compose made nothing of\n{text}");
        let names: Vec<_> = theirs.keys().collect();
        assert_eq!(ours.keys().collect::<Vec<_>>(), names, "{text}");
        let differences: Vec<_> = theirs
            .iter()
            .filter(|(what, body)| &ours[*what] != *body)
            .map(|(what, body)| format!("{what}\nours   {}\ntheirs {body}", ours[what]))
            .collect();
        assert!(differences.is_empty(), "{}", differences.join("\n\n"));
    }
}

/// What docker compose asks the Engine for.
fn theirs(engine: &Engine, directory: &Path, name: &str) -> Bodies {
    let proxy = CountingProxy::new(engine.socket());
    let compose = |host: &str, arguments: &[&str]| {
        let mut command = Command::new(oracle());
        command.args(["-p", name]).args(arguments).current_dir(directory);
        command.env("DOCKER_HOST", host).env("SECRET", "xyz");
        command.env("DOCKER_CONFIG", directory.join("docker"));
        output(&mut command)
    };
    compose(&proxy.host(), &["create"]);
    let bodies = by_name(&proxy.take_bodies(), &names_by_id(engine, name));
    compose(&engine.host(), &["down", "--volumes", "--timeout", "0"]);
    bodies
}

/// What we ask the Engine for.
async fn ours(engine: &Engine, directory: &Path, name: &str) -> Bodies {
    let proxy = CountingProxy::new(engine.socket());
    let client = Client::new(Some(&proxy.host())).unwrap();
    let project = project(directory, name);
    let none = BTreeMap::new();
    for network in project.networks.values() {
        client.create_network(network, &none).await.unwrap();
    }
    for volume in project.volumes.values() {
        client.create_volume(volume, &none).await.unwrap();
    }
    let mut surroundings = Surroundings {
        proxies: pairs(&[("HTTP_PROXY", "http://p:1"), ("NO_PROXY", "n")]),
        ..Surroundings::default()
    };
    let mut ids = BTreeMap::new();
    let mut services: Vec<_> = project.services.values().collect();
    // Those that others name come first.
    services.sort_by_key(|it| !matches!(it.name.as_str(), "db" | "plain"));
    for service in services {
        for path in profiles(service) {
            let text = std::fs::read_to_string(directory.join(path)).unwrap();
            surroundings.profiles.insert(path.to_owned(), text);
        }
        let container = project.container_name(service, 1);
        let new = NewContainer {
            project: &project,
            service,
            name: &container,
            final_name: &container,
            labels: &pairs(&[("com.docker.compose.project", name)]),
            anonymous_volumes: &none,
            surroundings: &surroundings,
        };
        if let Ok(id) = client.create_service(&new).await {
            ids.insert(id.clone(), container.clone());
            let peer = Peer { id, name: container, number: 1 };
            surroundings.peers.insert(service.name.clone(), vec![peer]);
        }
    }
    let bodies = by_name(&proxy.take_bodies(), &ids);
    for id in ids.keys() {
        client.remove(id).await.unwrap();
    }
    for network in project.networks.values() {
        client.remove_network(&network.name).await.unwrap();
    }
    for volume in project.volumes.values() {
        client.remove_volume(&volume.name).await.unwrap();
    }
    bodies
}

/// Both spellings of each, as the docker client sets proxies.
fn pairs(list: &[(&str, &str)]) -> BTreeMap<String, String> {
    let both = |(name, value): &(&str, &str)| {
        [((*name).to_owned(), (*value).to_owned()), (name.to_lowercase(), (*value).to_owned())]
    };
    list.iter().flat_map(both).collect()
}

fn project(directory: &Path, name: &str) -> Project {
    let request = Request {
        directory: directory.canonicalize().unwrap(),
        project_name: Some(name.to_owned()),
        variables: [("SECRET".to_owned(), "xyz".to_owned())].into(),
        ..Request::default()
    };
    let disk = View::open(&[]).unwrap();
    load::load(&request, &disk).unwrap_or_else(|problems| panic!("{problems}"))
}

fn names_by_id(engine: &Engine, project: &str) -> BTreeMap<String, String> {
    let ids = engine.containers_of(project);
    let name = |id: &String| engine.inspect(id, "{{.Name}}").unwrap_or_default();
    ids.into_iter().map(|id| (id.clone(), name(&id).trim_start_matches('/').to_owned())).collect()
}

/// Bodies that make or connect something, with names in the place of ids.
fn by_name(bodies: &[Body], names: &BTreeMap<String, String>) -> Bodies {
    let mut found = Bodies::new();
    for body in bodies {
        let mut text = body.json.to_string();
        for (id, name) in names {
            text = text.replace(id, name);
        }
        let json = serde_json::from_str(&text).unwrap();
        let (path, query) = body.path.split_once('?').unwrap_or((&body.path, ""));
        let what = match path {
            "/containers/create" => {
                let name = query.split('&').find_map(|it| it.strip_prefix("name="));
                format!("container {}", name.unwrap_or_default())
            }
            "/networks/create" => format!("network {}", json_text(&json, "Name")),
            "/volumes/create" => format!("volume {}", json_text(&json, "Name")),
            path if path.ends_with("/connect") => {
                format!("{path} of {}", json_text(&json, "Container"))
            }
            _ => continue,
        };
        found.insert(what, meaning("", json).unwrap_or_default());
    }
    found
}

fn json_text(json: &Value, key: &str) -> String {
    json[key].as_str().unwrap_or_default().to_owned()
}

/// What a value means: without what is empty, in one order.
fn meaning(key: &str, value: Value) -> Option<Value> {
    if NOT_COMPARED.contains(&key) {
        return None;
    }
    match (key, value) {
        // The Engine's word for the default.
        ("Name", Value::String(text)) if text == "no" => None,
        // Go's client adds the prefix, which the Engine does itself.
        ("CapAdd" | "CapDrop", Value::Array(list)) => {
            let bare =
                |it: Value| json!(it.as_str().unwrap_or_default().trim_start_matches("CAP_"));
            non_empty(list.into_iter().map(bare).collect())
        }
        // An empty one takes away what the image has.
        ("Cmd" | "Entrypoint" | "MaskedPaths" | "ReadonlyPaths", Value::Array(list)) => {
            Some(Value::Array(list))
        }
        // It sends ranges as they are written, which the Engine does not read as ranges.
        ("ExposedPorts", Value::Object(map)) => {
            let ports = map.keys().flat_map(|it| ports_of(it)).map(|port| (port, json!({})));
            (!map.is_empty()).then(|| Value::Object(sorted(ports.collect())))
        }
        // Their keys are what counts, also without a value.
        ("Tmpfs" | "PortBindings", Value::Object(map)) => {
            let entry = |(key, it): (String, Value)| {
                let bindings = it.as_array().map(|list| {
                    list.iter().map(|it| meaning("", it.clone()).unwrap_or(json!({}))).collect()
                });
                (key, bindings.map_or(it, Value::Array))
            };
            (!map.is_empty()).then(|| Value::Object(sorted(map.into_iter().map(entry).collect())))
        }
        ("Binds" | "Mounts" | "Env" | "ExtraHosts" | "Ulimits", Value::Array(list)) => {
            let mut list: Vec<_> = list.into_iter().filter_map(|it| meaning("", it)).collect();
            list.sort_by_key(ToString::to_string);
            non_empty(list)
        }
        (_, Value::Array(list)) => {
            non_empty(list.into_iter().filter_map(|it| meaning("", it)).collect())
        }
        (_, Value::Object(map)) => {
            let pairs = map.into_iter().filter_map(|(key, it)| {
                let value = meaning(&key, it)?;
                Some((key, value))
            });
            let map = sorted(pairs.collect());
            (!map.is_empty()).then_some(Value::Object(map))
        }
        (_, Value::Null | Value::Bool(false)) => None,
        (_, Value::String(text)) if text.is_empty() => None,
        (_, Value::Number(number)) if number.as_i64() == Some(0) => None,
        (_, other) => Some(other),
    }
}

/// Each port of `first[-last][/protocol]`.
fn ports_of(text: &str) -> Vec<String> {
    let (range, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let (first, last) = range.split_once('-').unwrap_or((range, range));
    let ports = first.parse::<u16>().unwrap()..=last.parse().unwrap();
    ports.map(|port| format!("{port}/{protocol}")).collect()
}

fn sorted(map: Map<String, Value>) -> Map<String, Value> {
    map.into_iter().collect::<BTreeMap<_, _>>().into_iter().collect()
}

fn non_empty(list: Vec<Value>) -> Option<Value> {
    (!list.is_empty()).then_some(Value::Array(list))
}
