//! `config` of a project that is spread over many files.

use std::fmt::Write as _;
use std::path::Path;

use super::peers::Peers;
use super::rounds::{many, medians, timed};
use super::support::write_files;
use super::table::{Row, Table};

/// Files given by `-f`.
const LAYERS: usize = 5;

/// Included projects; each has a file, one laid over it, and variables of its own.
const STACKS: usize = 10;

/// Services of a stack. Each extends one of a file of its own, and has an environment file.
const SERVICES: usize = 5;

/// Files with what the extended services themselves extend.
const BASES: usize = 4;

/// All files: the above, and `.env`.
const FILES: usize = LAYERS + 3 * STACKS + 2 * STACKS * SERVICES + BASES + 1;

/// Adds the row of this module.
pub(super) fn measure(peers: &Peers<'_>, table: &mut Table) {
    let directory = tempfile::tempdir().unwrap();
    let files = files();
    assert_eq!(files.len(), FILES, "files of the project");
    for (path, text) in &files {
        write_files(directory.path(), &[(path, text)]);
    }
    let layers = layers(directory.path());
    let arguments: Vec<&str> =
        layers.iter().flat_map(|it| ["-f", it]).chain(["config", "--format", "json"]).collect();
    let ours = || peers.roadstead.run(&[&["compose"], arguments.as_slice()].concat()).ok();
    let theirs = || peers.oracle(&arguments).ok();
    assert_eq!(ours(), theirs(), "both understand the same");
    let [ours, theirs] =
        medians(many(), &mut [&mut |_| timed(|| drop(ours())), &mut |_| timed(|| drop(theirs()))]);
    let what = format!("`config`, {FILES} files, {} services", STACKS * SERVICES);
    table.add(Row::times(&what, ours, Some(theirs), None).faster_than_oracle(50.0));
}

fn layers(directory: &Path) -> Vec<String> {
    (0..LAYERS).map(|it| directory.join(format!("layer{it}.yml")).display().to_string()).collect()
}

/// Path and text of each file.
fn files() -> Vec<(String, String)> {
    let mut files = vec![(".env".to_owned(), "REGISTRY=registry.example\nTAG=1.2\n".to_owned())];
    files.extend((0..BASES).map(base));
    files.extend((0..STACKS).flat_map(stack));
    files.extend((0..LAYERS).map(layer));
    files
}

fn base(number: usize) -> (String, String) {
    let text = format!(
        "services:\n  base:\n    restart: unless-stopped\n    logging: {{driver: json-file, \
         options: {{max-size: 10m, max-file: '3'}}}}\n    environment: {{BASE: '{number}', ZONE: \
         '${{ZONE:-none}}'}}\n    labels: {{base: b{number}}}\n    ulimits: {{nofile: {{soft: \
         1024, hard: 4096}}}}\n    deploy: {{resources: {{limits: {{memory: 256m}}}}}}\n"
    );
    (format!("bases/base{number}.yml"), text)
}

fn stack(stack: usize) -> Vec<(String, String)> {
    let mut text = "services:\n".to_owned();
    let mut over = "services:\n".to_owned();
    let mut files = vec![(format!("stack{stack}/own.env"), format!("ZONE=z{stack}\n"))];
    for service in 0..SERVICES {
        let name = format!("s{stack}-{service}");
        let _ = write!(
            text,
            "  {name}:\n    extends: {{file: services/{name}.yml, service: app}}\n    env_file: \
             [envs/{name}.env]\n    networks: [inner{stack}]\n    volumes: ['data{stack}-{service}:/data', \
             './conf:/conf:ro']\n    ports: ['{}:80']\n",
            20000 + stack * 100 + service
        );
        if let Some(before) = service.checked_sub(1) {
            let _ = writeln!(text, "    depends_on: [s{stack}-{before}]");
        }
        let _ = write!(
            over,
            "  {name}:\n    environment: ['OVER=${{ZONE}}', 'LEVEL=${{LEVEL:-info}}']\n    labels: \
             {{over: 'yes'}}\n"
        );
        let extended = format!(
            "services:\n  app:\n    extends: {{file: ../../bases/base{}.yml, service: base}}\n    \
             image: ${{REGISTRY:-local}}/{name}:${{TAG:-latest}}\n    command: [serve, --name, \
             {name}]\n    healthcheck: {{test: [CMD, check], interval: 10s, retries: 3}}\n    \
             environment: {{NAME: {name}}}\n",
            service % BASES
        );
        let environment: String = (0..10)
            .fold(String::new(), |text, it| format!("{text}{name}_{it}=\"value {it}\"\n"))
            .replace('-', "_");
        files.push((format!("stack{stack}/services/{name}.yml"), extended));
        files.push((format!("stack{stack}/envs/{name}.env"), environment));
    }
    let _ = write!(text, "networks:\n  inner{stack}: {{}}\nvolumes:\n");
    for service in 0..SERVICES {
        let _ = writeln!(text, "  data{stack}-{service}: {{}}");
    }
    files.push((format!("stack{stack}/compose.yml"), text));
    files.push((format!("stack{stack}/over.yml"), over));
    files
}

/// What is included cannot be changed in the file that includes it, only in a later one.
fn layer(layer: usize) -> (String, String) {
    let mut text = String::new();
    if layer == 0 {
        text.push_str("name: many\ninclude:\n");
        for stack in 0..STACKS {
            let _ = writeln!(
                text,
                "  - {{path: [stack{stack}/compose.yml, stack{stack}/over.yml], env_file: \
                 stack{stack}/own.env}}"
            );
        }
    } else {
        text.push_str("services:\n");
        for stack in 0..STACKS {
            let _ = writeln!(
                text,
                "  s{stack}-{layer}: {{environment: {{LAYER: '{layer}'}}, labels: [layer={layer}]}}"
            );
        }
    }
    (format!("layer{layer}.yml"), text)
}
