//! A project on the shared engine, and what there is to see of it.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use super::Do;
use crate::support::process::{Output, output};
use crate::support::{
    CountingProxy, Engine, free_port, oracle, roadstead, unique, wait_for, write_files,
};

/// Longest wait of [`Do::Await`].
const PATIENCE: Duration = Duration::from_secs(30);

/// One project directory. Dropped, everything whose name has the project's in it goes.
pub(crate) struct World {
    pub(crate) proxy: CountingProxy,
    /// Variables of both programs.
    pub(crate) environment: Vec<(&'static str, &'static str)>,
    engine: &'static Engine,
    directory: TempDir,
    words: Vec<(&'static str, String)>,
}

/// What there is: by name, the name without the project's.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    containers: BTreeMap<String, Container>,
    networks: BTreeMap<String, String>,
    volumes: BTreeMap<String, String>,
}

#[derive(Clone, Debug, PartialEq)]
struct Container {
    id: String,
    state: String,
    started: String,
    /// Networks: aliases and addresses that were asked for.
    wires: BTreeMap<String, Vec<String>>,
    /// Targets: what is mounted there.
    mounts: BTreeMap<String, String>,
}

impl World {
    /// A project of these files on an engine; nothing is brought up.
    pub(crate) fn new(engine: &'static Engine, files: &[(&str, &str)]) -> Self {
        // The last letter keeps one name from being the beginning of another.
        let project = format!("{}x", unique("cv"));
        let (net1, net2) = (engine.subnet(), engine.subnet());
        let words = vec![
            ("PROJECT", project.clone()),
            ("NET1", net1),
            ("NET2", net2),
            ("PORT1", free_port().to_string()),
            ("PORT2", free_port().to_string()),
            ("APP2", "rs-test/app:2".to_owned()),
            ("APP", "rs-test/app:1".to_owned()),
            ("OWN", format!("rs-test/{project}")),
        ];
        let proxy = CountingProxy::new(engine.socket());
        let (environment, directory) = (Vec::new(), tempfile::tempdir().unwrap());
        let world = Self { proxy, environment, engine, directory, words };
        std::fs::create_dir(world.path()).unwrap();
        for (path, text) in files {
            world.write(path, text);
        }
        world
    }

    fn project(&self) -> &str {
        &self.words[0].1
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join(self.project())
    }

    /// A text with the row's words in it.
    pub(crate) fn text(&self, text: &str) -> String {
        let words = self.words.iter();
        words.fold(text.to_owned(), |text, (word, value)| text.replace(word, value))
    }

    pub(crate) fn write(&self, path: &str, text: &str) {
        write_files(&self.path(), &[(path, &self.text(text))]);
    }

    /// `roadstead compose up -d` with further arguments.
    pub(super) fn up(&self, arguments: &str) -> Output {
        self.compose(&format!("up -d {arguments}"))
    }

    /// `roadstead compose` with these arguments.
    pub(crate) fn compose(&self, arguments: &str) -> Output {
        output(&mut self.command(arguments))
    }

    /// `docker compose` with these arguments.
    pub(crate) fn oracle(&self, arguments: &str) -> Output {
        let mut command = Command::new(oracle());
        command.args(words(&self.text(arguments))).current_dir(self.path());
        self.surround(&mut command);
        output(command.env("DOCKER_HOST", self.engine.host()))
    }

    /// `roadstead compose` with these arguments, through the proxy.
    pub(super) fn command(&self, arguments: &str) -> Command {
        let mut command = Command::new(roadstead::program());
        command.arg("compose").args(words(&self.text(arguments))).current_dir(self.path());
        self.surround(&mut command);
        command.env("DOCKER_HOST", self.proxy.host());
        command
    }

    /// Nothing of the caller's environment, and the world's own variables.
    fn surround(&self, command: &mut Command) {
        command.env_clear().env("HOME", self.directory.path());
        command.envs(self.environment.iter().copied());
    }

    #[track_caller]
    pub(crate) fn make(&self, step: &Do) {
        match step {
            Do::Docker(arguments) => {
                let arguments = words(&self.text(arguments));
                self.engine.docker(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
            }
            Do::Exec(container, script) => drop(self.exec(container, script).ok()),
            Do::Compose(arguments) => drop(self.compose(arguments).ok()),
            Do::Oracle(arguments) => drop(self.oracle(arguments).ok()),
            Do::Write(path, text) => self.write(path, text),
            Do::Build(tag, line) => {
                let dockerfile = self.text(&format!("FROM APP\n{line}\n"));
                self.engine.build_image(&self.text(tag), &dockerfile, &[]);
            }
            Do::Await(container, state) => {
                wait_for(&format!("{container} {state}"), PATIENCE, || {
                    let seen = self.see();
                    seen.containers.get(*container).is_some_and(|it| it.state == *state)
                });
            }
        }
    }

    fn exec(&self, container: &str, script: &str) -> Output {
        let container = self.full_name(container);
        self.engine.try_docker(&["exec", &container, "sh", "-c", &self.text(script)])
    }

    fn full_name(&self, container: &str) -> String {
        format!("{}-{container}", self.project())
    }

    fn short_name(&self, name: &str) -> String {
        let (temporary, name) = match name.split_once('_') {
            Some((id, rest)) if id.len() == 12 && rest.starts_with(self.project()) => {
                ("HEX_", rest)
            }
            _ => ("", name),
        };
        let rest = name.strip_prefix(self.project()).map_or(name, |rest| &rest[1..]);
        format!("{temporary}{rest}")
    }

    /// Everything with the project's name in its own.
    pub(crate) fn see(&self) -> Seen {
        let filter = format!("{{\"name\":[\"{}\"]}}", self.project());
        let filter = filter.replace('{', "%7B").replace('}', "%7D").replace('"', "%22");
        let mut seen = Seen::default();
        for listed in self.list(&format!("/containers/json?all=1&filters={filter}")) {
            let id = listed["Id"].as_str().unwrap_or_default().to_owned();
            // One that ends in this moment is seen as gone.
            let Some(it) = self.get(&format!("/containers/{id}/json")) else { continue };
            let name = it["Name"].as_str().unwrap_or_default().trim_start_matches('/');
            seen.containers.insert(self.short_name(name), self.container(id, &it));
        }
        for it in self.list(&format!("/networks?filters={filter}")) {
            let name = self.short_name(it["Name"].as_str().unwrap_or_default());
            seen.networks.insert(name, it["Id"].as_str().unwrap_or_default().to_owned());
        }
        let volumes = self.get(&format!("/volumes?filters={filter}")).unwrap_or_default();
        for it in volumes["Volumes"].as_array().into_iter().flatten() {
            let name = self.short_name(it["Name"].as_str().unwrap_or_default());
            seen.volumes.insert(name, it["CreatedAt"].to_string());
        }
        seen
    }

    fn container(&self, id: String, it: &Value) -> Container {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let wires = it["NetworkSettings"]["Networks"].as_object().into_iter().flatten();
        let wires = wires.map(|(name, endpoint)| {
            let aliases = endpoint["Aliases"].as_array().into_iter().flatten();
            let mut asked: Vec<String> = aliases.map(text).collect();
            // The Engine's own word for it, which newer ones do not list.
            asked.retain(|alias| *alias != id[..12]);
            asked.extend(["IPv4Address", "IPv6Address"].iter().filter_map(|key| {
                Some(endpoint["IPAMConfig"][key].as_str().filter(|it| !it.is_empty())?.to_owned())
            }));
            let mut asked: Vec<_> = asked.iter().map(|it| self.short_name(it)).collect();
            asked.sort();
            asked.dedup();
            (self.short_name(name), asked)
        });
        let mounts = it["Mounts"].as_array().into_iter().flatten();
        let mounts = mounts.map(|it| {
            let source = if it["Name"].is_string() { &it["Name"] } else { &it["Source"] };
            (text(&it["Destination"]), self.short_name(&text(source)))
        });
        Container {
            state: text(&it["State"]["Status"]),
            started: text(&it["State"]["StartedAt"]),
            wires: wires.collect(),
            mounts: mounts.collect(),
            id,
        }
    }

    fn list(&self, path: &str) -> Vec<Value> {
        match self.get(path) {
            Some(Value::Array(items)) => items,
            other => panic!("{path}: {other:?}"),
        }
    }

    /// An answer of the engine; `None` where it has no such thing. HTTP/1.0 answers in one piece.
    fn get(&self, path: &str) -> Option<Value> {
        let mut stream = UnixStream::connect(self.engine.socket()).unwrap();
        write!(stream, "GET {path} HTTP/1.0\r\nHost: engine\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        head.contains(" 200 ").then(|| serde_json::from_str(body).unwrap())
    }

    /// What moved, one word a thing:
    ///
    /// - containers: `created`, `removed`, `replaced`, `started`, `restarted`, `ran` (ended again),
    ///   `rewired` (other aliases or addresses), `renamed`; then its state where it does not run;
    /// - `net NAME` and `vol NAME`: `created`, `removed`, `anew`.
    pub(super) fn moved(before: &Seen, after: &Seen) -> Vec<String> {
        let mut moved = Vec::new();
        for (name, new) in &after.containers {
            let verb = match before.containers.get(name) {
                Some(old) if old.id == new.id => verb(old, new),
                Some(_) => Some("replaced"),
                None if before.containers.values().any(|it| it.id == new.id) => Some("renamed"),
                None => Some("created"),
            };
            let Some(verb) = verb else { continue };
            let state =
                if new.state == "running" { String::new() } else { format!(" {}", new.state) };
            moved.push(format!("{name} {verb}{state}"));
        }
        for (name, old) in &before.containers {
            let is_there = after.containers.values().any(|it| it.id == old.id);
            if !is_there && !after.containers.contains_key(name) {
                moved.push(format!("{name} removed"));
            }
        }
        for (kind, before, after) in
            [("net", &before.networks, &after.networks), ("vol", &before.volumes, &after.volumes)]
        {
            for (name, id) in after {
                match before.get(name) {
                    Some(old) if old == id => {}
                    Some(_) => moved.push(format!("{kind} {name} anew")),
                    None => moved.push(format!("{kind} {name} created")),
                }
            }
            let gone = before.keys().filter(|name| !after.contains_key(*name));
            moved.extend(gone.map(|name| format!("{kind} {name} removed")));
        }
        moved.sort();
        moved
    }

    /// Answers a question:
    ///
    /// - `aliases NETWORK of CONTAINER`: those asked for, addresses among them;
    /// - `mount TARGET of CONTAINER`: the volume or path that is there;
    /// - `networks of CONTAINER`;
    /// - `in CONTAINER SCRIPT`: what a shell in it says;
    /// - `inspect CONTAINER FORMAT`, `docker ARGUMENTS`: what the docker client says.
    pub(crate) fn ask(&self, seen: &Seen, question: &str) -> String {
        let container = |name: &str| {
            seen.containers.get(name).unwrap_or_else(|| panic!("{question}: none in {seen:#?}"))
        };
        match *question.splitn(4, ' ').collect::<Vec<_>>() {
            ["aliases", network, "of", name] => container(name).wires[network].join(" "),
            ["mount", target, "of", name] => {
                container(name).mounts.get(target).cloned().unwrap_or_default()
            }
            ["networks", "of", name] => {
                container(name).wires.keys().cloned().collect::<Vec<_>>().join(" ")
            }
            ["in", name, ..] => self.exec(name, &question[4 + name.len()..]).ok(),
            ["inspect", name, ..] => {
                let format = self.text(&question[9 + name.len()..]);
                self.engine.inspect(&self.full_name(name), &format).unwrap_or_default()
            }
            ["docker", ..] => {
                let arguments = words(&self.text(&question[7..]));
                self.engine.docker(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
            }
            _ => panic!("no such question: {question}"),
        }
    }
}

/// What happened to one container that is still there.
fn verb(old: &Container, new: &Container) -> Option<&'static str> {
    let is_same_start = old.started == new.started;
    Some(match (old.state.as_str(), new.state.as_str()) {
        (_, "running") if old.state != "running" => "started",
        (_, "running") if !is_same_start => "restarted",
        (_, "exited") if !is_same_start => "ran",
        (old, new) if old != new => "is",
        _ if old.wires != new.wires => "rewired",
        _ => return None,
    })
}

/// Items between commas, sorted.
pub(super) fn items(text: &str) -> Vec<String> {
    let mut items: Vec<_> = text.split(',').map(|it| it.trim().to_owned()).collect();
    items.retain(|it| !it.is_empty());
    items.sort();
    items
}

/// Words between spaces; one in single quotes may hold spaces.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (index, part) in text.split('\'').enumerate() {
        if index % 2 == 1 {
            words.push(part.to_owned());
        } else {
            words.extend(part.split_whitespace().map(str::to_owned));
        }
    }
    words
}

impl Drop for World {
    fn drop(&mut self) {
        let filter = format!("name={}", self.project());
        for (list, remove) in [
            (["ps", "--all"], &["rm", "--force", "--volumes"][..]),
            (["network", "ls"], &["network", "rm"]),
            (["volume", "ls"], &["volume", "rm"]),
        ] {
            let mut list = list.to_vec();
            list.extend(["--quiet", "--filter", &filter]);
            let found = self.engine.try_docker(&list).stdout;
            let mut arguments = remove.to_vec();
            arguments.extend(found.lines());
            if arguments.len() > remove.len() {
                self.engine.try_docker(&arguments);
            }
        }
    }
}
