//! Flags of `docker run` and `docker exec`, as keys of `run` and `exec`.

use serde_json::{Map, Value, json};

/// What a flag does to a container.
#[derive(Clone, Copy)]
enum Rule {
    /// No value; sets a key to `true`.
    Flag(&'static str),
    /// A value at a key.
    One(&'static str),
    /// A value added to a list.
    Many(&'static str),
    /// Without effect here, with a value or not.
    Ignored { has_value: bool },
    /// What the flag does is written below.
    Special { has_value: bool },
}

use Rule::{Flag, Ignored, Many, One, Special};

/// The flags of `docker run` with their short forms.
const RUN: &[(&str, Option<char>, Rule)] = &[
    ("add-host", None, Many("extra_hosts")),
    ("annotation", None, Many("annotations")),
    ("attach", Some('a'), Ignored { has_value: true }),
    ("cap-add", None, Many("cap_add")),
    ("cap-drop", None, Many("cap_drop")),
    ("cgroup-parent", None, One("cgroup_parent")),
    ("cgroupns", None, One("cgroup")),
    ("cpu-period", None, One("cpu_period")),
    ("cpu-quota", None, One("cpu_quota")),
    ("cpu-shares", Some('c'), One("cpu_shares")),
    ("cpus", None, One("cpus")),
    ("cpuset-cpus", None, One("cpuset")),
    ("detach", Some('d'), Ignored { has_value: false }),
    ("device", None, Many("devices")),
    ("device-cgroup-rule", None, Many("device_cgroup_rules")),
    ("disable-content-trust", None, Ignored { has_value: false }),
    ("dns", None, Many("dns")),
    ("dns-opt", None, Many("dns_opt")),
    ("dns-option", None, Many("dns_opt")),
    ("dns-search", None, Many("dns_search")),
    ("domainname", None, One("domainname")),
    ("entrypoint", None, Special { has_value: true }),
    ("env", Some('e'), Many("environment")),
    ("env-file", None, Special { has_value: true }),
    ("expose", None, Many("expose")),
    ("gpus", None, Special { has_value: true }),
    ("group-add", None, Many("group_add")),
    ("hostname", Some('h'), One("hostname")),
    ("init", None, Flag("init")),
    ("interactive", Some('i'), Flag("stdin_open")),
    ("ip", None, Special { has_value: true }),
    ("ip6", None, Special { has_value: true }),
    ("ipc", None, One("ipc")),
    ("label", Some('l'), Many("labels")),
    ("label-file", None, Many("label_file")),
    ("link", None, Many("external_links")),
    ("log-driver", None, Special { has_value: true }),
    ("log-opt", None, Special { has_value: true }),
    ("mac-address", None, One("mac_address")),
    ("memory", Some('m'), One("mem_limit")),
    ("memory-reservation", None, One("mem_reservation")),
    ("memory-swap", None, One("memswap_limit")),
    ("memory-swappiness", None, One("mem_swappiness")),
    ("mount", None, Special { has_value: true }),
    ("name", None, One("container_name")),
    ("net", None, Special { has_value: true }),
    ("net-alias", None, Special { has_value: true }),
    ("network", None, Special { has_value: true }),
    ("network-alias", None, Special { has_value: true }),
    ("no-healthcheck", None, Special { has_value: false }),
    ("oom-kill-disable", None, Flag("oom_kill_disable")),
    ("oom-score-adj", None, One("oom_score_adj")),
    ("pid", None, One("pid")),
    ("pids-limit", None, One("pids_limit")),
    ("platform", None, One("platform")),
    ("privileged", None, Flag("privileged")),
    ("publish", Some('p'), Many("ports")),
    ("pull", None, Special { has_value: true }),
    ("quiet", Some('q'), Ignored { has_value: false }),
    ("read-only", None, Flag("read_only")),
    ("restart", None, Special { has_value: true }),
    ("rm", None, Ignored { has_value: false }),
    ("runtime", None, One("runtime")),
    ("security-opt", None, Many("security_opt")),
    ("shm-size", None, One("shm_size")),
    ("sig-proxy", None, Ignored { has_value: false }),
    ("stop-signal", None, One("stop_signal")),
    ("stop-timeout", None, Special { has_value: true }),
    ("storage-opt", None, Special { has_value: true }),
    ("sysctl", None, Many("sysctls")),
    ("tmpfs", None, Many("tmpfs")),
    ("tty", Some('t'), Flag("tty")),
    ("ulimit", None, Special { has_value: true }),
    ("user", Some('u'), One("user")),
    ("userns", None, One("userns_mode")),
    ("uts", None, One("uts")),
    ("volume", Some('v'), Special { has_value: true }),
    ("volumes-from", None, Many("volumes_from")),
    ("workdir", Some('w'), One("working_dir")),
];

/// The flags of `docker exec`.
const EXEC: &[(&str, Option<char>, Rule)] = &[
    ("detach", Some('d'), Ignored { has_value: false }),
    ("env", Some('e'), Many("environment")),
    ("env-file", None, Ignored { has_value: true }),
    ("interactive", Some('i'), Ignored { has_value: false }),
    ("privileged", None, Flag("privileged")),
    ("tty", Some('t'), Flag("tty")),
    ("user", Some('u'), One("user")),
    ("workdir", Some('w'), One("working_dir")),
];

/// The keys that flags came to, and what a person should know.
pub(super) struct Keys {
    pub(super) keys: Map<String, Value>,
    pub(super) warnings: Vec<String>,
}

/// Reads flags of `docker run`; the error is what is no flag that we know.
pub(super) fn run(words: &[String]) -> Result<Keys, String> {
    read(words, RUN, "docker run")
}

/// Reads flags of `docker exec`.
pub(super) fn exec(words: &[String]) -> Result<Keys, String> {
    read(words, EXEC, "docker exec")
}

fn read(
    words: &[String],
    table: &[(&'static str, Option<char>, Rule)],
    program: &str,
) -> Result<Keys, String> {
    let mut keys = Keys { keys: Map::new(), warnings: Vec::new() };
    let mut words = words.iter();
    let unknown = |word: &str| {
        format!("`{word}` is no flag of `{program}` that is known here: correct or remove it")
    };
    while let Some(word) = words.next() {
        if let Some(long) = word.strip_prefix("--").filter(|long| !long.is_empty()) {
            let (name, written) = match long.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (long, None),
            };
            let found = table.iter().find(|(known, _, _)| *known == name);
            let (name, _, rule) = found.ok_or_else(|| unknown(word))?;
            let value = if takes_value(*rule) {
                let next = written.or_else(|| words.next().cloned());
                Some(next.ok_or_else(|| format!("`{word}` needs a value"))?)
            } else {
                written
            };
            keys.apply(name, *rule, value)?;
            continue;
        }
        let Some(letters) = word.strip_prefix('-').filter(|letters| !letters.is_empty()) else {
            return Err(format!(
                "`{word}` is no flag of `{program}`: put it into quotes or remove it"
            ));
        };
        let mut rest = letters;
        while let Some(letter) = rest.chars().next() {
            rest = &rest[letter.len_utf8()..];
            let found = table.iter().find(|(_, short, _)| *short == Some(letter));
            let (name, _, rule) = found.ok_or_else(|| unknown(word))?;
            if takes_value(*rule) {
                let glued = std::mem::take(&mut rest);
                let glued = glued.strip_prefix('=').unwrap_or(glued);
                let value =
                    if glued.is_empty() { words.next().cloned() } else { Some(glued.to_owned()) };
                let value = value.ok_or_else(|| format!("`{word}` needs a value"))?;
                keys.apply(name, *rule, Some(value))?;
            } else {
                keys.apply(name, *rule, None)?;
            }
        }
    }
    Ok(keys)
}

fn takes_value(rule: Rule) -> bool {
    match rule {
        One(_) | Many(_) => true,
        Ignored { has_value } | Special { has_value } => has_value,
        Flag(_) => false,
    }
}

impl Keys {
    fn apply(&mut self, name: &str, rule: Rule, value: Option<String>) -> Result<(), String> {
        match rule {
            Ignored { .. } => {}
            Flag(key) => {
                let on = value.is_none_or(|value| matches!(value.as_str(), "true" | "1" | "t"));
                self.keys.insert(key.to_owned(), on.into());
            }
            One(key) => {
                let value = value.unwrap_or_default();
                self.keys.insert(key.to_owned(), scalar(key, value));
            }
            Many(key) => self.add(key, value.unwrap_or_default().into()),
            Special { .. } => self.special(name, &value.unwrap_or_default())?,
        }
        Ok(())
    }

    /// Adds to a list; the same thing twice is there once.
    pub(super) fn add(&mut self, key: &str, value: Value) {
        let list = self.keys.entry(key).or_insert_with(|| json!([]));
        if let Value::Array(items) = list
            && !items.contains(&value)
        {
            items.push(value);
        }
    }

    fn nested(&mut self, key: &str) -> &mut Map<String, Value> {
        let entry = self.keys.entry(key).or_insert_with(|| json!({}));
        if !entry.is_object() {
            *entry = json!({});
        }
        entry.as_object_mut().expect("it was made one")
    }

    fn special(&mut self, name: &str, value: &str) -> Result<(), String> {
        match name {
            "entrypoint" => {
                let entrypoint = if value.is_empty() { json!([]) } else { json!([value]) };
                self.keys.insert("entrypoint".to_owned(), entrypoint);
            }
            "env-file" => self.add("env_file", json!({"path": value, "format": "raw"})),
            "gpus" => {
                let request = gpus(value)?;
                self.keys.insert("gpus".to_owned(), json!([request]));
            }
            "ip" => self.network()?.insert("ipv4_address".to_owned(), value.into()).map_or((), drop),
            "ip6" => self.network()?.insert("ipv6_address".to_owned(), value.into()).map_or((), drop),
            "log-driver" => {
                self.nested("logging").insert("driver".to_owned(), value.into());
            }
            "log-opt" => {
                let (option, value) = value.split_once('=').unwrap_or((value, ""));
                let options = self.nested("logging").entry("options").or_insert_with(|| json!({}));
                options[option] = value.into();
            }
            "mount" => {
                let mount = mount(value)?;
                self.mount(mount)?;
            }
            "volume" => self.mount(value.into())?,
            "net" | "network" => self.connect(value),
            "net-alias" | "network-alias" => {
                let network = self.network()?;
                let aliases = network.entry("aliases").or_insert_with(|| json!([]));
                if let Value::Array(aliases) = aliases {
                    aliases.push(value.into());
                }
            }
            "no-healthcheck" => {
                self.keys.insert("healthcheck".to_owned(), json!({"disable": true}));
            }
            "pull" => {
                self.keys.insert("pull_policy".to_owned(), value.into());
            }
            "restart" if value == "no" => {}
            "restart" => self.warnings.push(format!(
                "`--restart {value}` is left out: a job runs its container once; `retry` in a native \
                 job file tries again"
            )),
            "stop-timeout" => {
                self.keys.insert("stop_grace_period".to_owned(), format!("{value}s").into());
            }
            "storage-opt" => {
                let (option, value) = value.split_once('=').unwrap_or((value, ""));
                self.nested("storage_opt").insert(option.to_owned(), value.into());
            }
            "ulimit" => {
                let (limit, values) = value.split_once('=').ok_or_else(|| {
                    format!("`--ulimit {value}` has no `=`: write e.g. `--ulimit nofile=1024:2048`")
                })?;
                let (soft, hard) = values.split_once(':').unwrap_or((values, values));
                let number = |text: &str| {
                    text.parse::<i64>().map_err(|_| format!("`--ulimit {value}` is no number"))
                };
                let (soft, hard) = (number(soft)?, number(hard)?);
                let both =
                    if soft == hard { json!(soft) } else { json!({"soft": soft, "hard": hard}) };
                self.nested("ulimits").insert(limit.to_owned(), both);
            }
            other => return Err(format!("`--{other}` is not supported here")),
        }
        Ok(())
    }

    /// Connects to a network of the host, or to what is none.
    pub(super) fn connect(&mut self, network: &str) {
        let is_mode = matches!(network, "host" | "none" | "bridge" | "default")
            || network.starts_with("container:");
        // `name=` is the long form, with options behind commas.
        if is_mode {
            self.keys.insert("network_mode".to_owned(), network.into());
        } else {
            let mut parts = network.split(',');
            let first = parts.next().unwrap_or_default();
            let name = first.strip_prefix("name=").unwrap_or(first);
            let mut options = Map::new();
            for part in parts {
                if let Some(alias) = part.strip_prefix("alias=") {
                    options.insert("aliases".to_owned(), json!([alias]));
                } else if let Some(address) = part.strip_prefix("ip=") {
                    options.insert("ipv4_address".to_owned(), address.into());
                }
            }
            let options = if options.is_empty() { Value::Null } else { Value::Object(options) };
            self.nested("networks").insert(name.to_owned(), options);
        }
    }

    /// The options of the network connected to.
    fn network(&mut self) -> Result<&mut Map<String, Value>, String> {
        let networks = self.keys.get_mut("networks").and_then(Value::as_object_mut);
        let network = networks.and_then(|networks| networks.values_mut().last());
        let network = network.ok_or("a flag of a network stands before `--network`")?;
        if network.is_null() {
            *network = json!({});
        }
        network.as_object_mut().ok_or_else(|| "a network without options".to_owned())
    }

    /// Adds a mount; the same one twice is one, as the docker CLI has it.
    pub(super) fn mount(&mut self, mount: Value) -> Result<(), String> {
        let target = target(&mount).map(str::to_owned);
        let mounts = self.keys.get("volumes").and_then(Value::as_array);
        let rival = mounts.into_iter().flatten().find(|other| target_of(other) == target);
        if let Some(rival) = rival.filter(|rival| **rival != mount) {
            return Err(format!(
                "two mounts at `{}`, `{}` and `{}`, which docker refuses: remove one",
                target.unwrap_or_default(),
                shown(rival),
                shown(&mount)
            ));
        }
        self.add("volumes", mount);
        Ok(())
    }
}

fn shown(mount: &Value) -> String {
    mount.as_str().map_or_else(|| mount.to_string(), str::to_owned)
}

fn target_of(mount: &Value) -> Option<String> {
    target(mount).map(str::to_owned)
}

/// Where a mount is in the container.
fn target(mount: &Value) -> Option<&str> {
    let target = match mount {
        Value::String(text) => {
            let mut parts = text.split(':');
            let first = parts.next()?;
            parts.next().unwrap_or(first)
        }
        other => other.get("target")?.as_str()?,
    };
    Some(if target.len() > 1 { target.trim_end_matches('/') } else { target })
}

/// Numbers where Compose wants no text.
fn scalar(key: &str, value: String) -> Value {
    let is_number = matches!(
        key,
        "cpu_period"
            | "cpu_quota"
            | "cpu_shares"
            | "cpus"
            | "oom_score_adj"
            | "pids_limit"
            | "mem_swappiness"
    );
    if is_number {
        if let Ok(number) = value.parse::<i64>() {
            return number.into();
        }
        if let Ok(number) = value.parse::<f64>() {
            return number.into();
        }
    }
    value.into()
}

/// `all`, a number, or `key=value` pairs.
fn gpus(text: &str) -> Result<Value, String> {
    if text == "all" {
        return Ok(json!({"count": "all"}));
    }
    if let Ok(count) = text.parse::<i64>() {
        return Ok(json!({"count": count}));
    }
    let mut request = Map::new();
    for part in text.trim_matches('"').split(',') {
        match part.split_once('=') {
            Some(("device", id)) => {
                let ids = request.entry("device_ids").or_insert_with(|| json!([]));
                if let Value::Array(ids) = ids {
                    ids.push(id.into());
                }
            }
            Some(("count", count)) => {
                let count = count.parse::<i64>().map_or_else(|_| json!(count), |it| json!(it));
                request.insert("count".to_owned(), count);
            }
            Some(("driver", driver)) => {
                request.insert("driver".to_owned(), driver.into());
            }
            Some(("capabilities", capability)) => {
                request.insert("capabilities".to_owned(), json!([capability]));
            }
            None if request.contains_key("device_ids") => {
                request["device_ids"]
                    .as_array_mut()
                    .into_iter()
                    .for_each(|ids| ids.push(part.into()));
            }
            _ => return Err(format!("`--gpus {text}` is not understood")),
        }
    }
    Ok(Value::Object(request))
}

/// `type=bind,source=/a,target=/b,readonly`.
fn mount(text: &str) -> Result<Value, String> {
    let mut mount = Map::new();
    mount.insert("type".to_owned(), "volume".into());
    for part in text.split(',') {
        let (name, value) = part.split_once('=').unwrap_or((part, "true"));
        let mut nested = |section: &str, key: &str, value: Value| {
            let options = mount.entry(section).or_insert_with(|| json!({}));
            options[key] = value;
        };
        match name {
            "type" => mount["type"] = value.into(),
            "source" | "src" => drop(mount.insert("source".to_owned(), value.into())),
            "target" | "dst" | "destination" => {
                mount.insert("target".to_owned(), value.into());
            }
            "readonly" | "ro" => {
                mount.insert("read_only".to_owned(), (value == "true" || value == "1").into());
            }
            "bind-propagation" => nested("bind", "propagation", value.into()),
            "volume-nocopy" => nested("volume", "nocopy", (value == "true").into()),
            "volume-subpath" => nested("volume", "subpath", value.into()),
            "tmpfs-size" => nested("tmpfs", "size", value.into()),
            "tmpfs-mode" => {
                let mode = i64::from_str_radix(value, 8)
                    .map_err(|_| format!("`--mount {text}`: `{part}`"))?;
                nested("tmpfs", "mode", mode.into());
            }
            _ => return Err(format!("`--mount {text}`: `{part}` is not understood")),
        }
    }
    if !mount.contains_key("target") {
        return Err(format!("`--mount {text}` has no `target`"));
    }
    Ok(Value::Object(mount))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        shell_words::split(text).expect(text)
    }

    #[test]
    fn reads_flags_as_docker_does() {
        let rows = [
            ("--rm --name a", json!({"container_name": "a"})),
            ("--name=a --name b", json!({"container_name": "b"})),
            ("-v /a:/b -v /a:/b --volume c:/d:ro", json!({"volumes": ["/a:/b", "c:/d:ro"]})),
            ("-v/a:/b", json!({"volumes": ["/a:/b"]})),
            ("-e A=b --env=C -eD=e", json!({"environment": ["A=b", "C", "D=e"]})),
            ("-it", json!({"stdin_open": true, "tty": true})),
            ("-dit -u 1000:1000", json!({"stdin_open": true, "tty": true, "user": "1000:1000"})),
            ("--network front", json!({"networks": {"front": null}})),
            ("--net host", json!({"network_mode": "host"})),
            (
                "--network front --network-alias me",
                json!({"networks": {"front": {"aliases": ["me"]}}}),
            ),
            ("--entrypoint /bin/sh", json!({"entrypoint": ["/bin/sh"]})),
            ("--entrypoint ''", json!({"entrypoint": []})),
            ("--memory 512m --cpus 0.5", json!({"mem_limit": "512m", "cpus": 0.5})),
            (
                "--ulimit nofile=1024:2048",
                json!({"ulimits": {"nofile": {"soft": 1024, "hard": 2048}}}),
            ),
            ("--ulimit nofile=1024", json!({"ulimits": {"nofile": 1024}})),
            (
                "--log-driver json-file --log-opt max-size=10m",
                json!({"logging": {"driver": "json-file", "options": {"max-size": "10m"}}}),
            ),
            ("--gpus all", json!({"gpus": [{"count": "all"}]})),
            ("--gpus '\"device=0,2\"'", json!({"gpus": [{"device_ids": ["0", "2"]}]})),
            (
                "--mount type=bind,source=/a,target=/b,readonly",
                json!({"volumes": [{"type": "bind", "source": "/a", "target": "/b", "read_only": true}]}),
            ),
            ("--env-file /e", json!({"env_file": [{"path": "/e", "format": "raw"}]})),
            ("--restart no --init --privileged", json!({"init": true, "privileged": true})),
            ("--label a=b -l c", json!({"labels": ["a=b", "c"]})),
            (
                "--add-host a:1.2.3.4 --dns 1.1.1.1 --hostname h --link x:y --volumes-from z:ro --pull always --platform linux/amd64 --cap-add NET_ADMIN",
                json!({
                    "extra_hosts": ["a:1.2.3.4"], "dns": ["1.1.1.1"], "hostname": "h",
                    "external_links": ["x:y"], "volumes_from": ["z:ro"], "pull_policy": "always",
                    "platform": "linux/amd64", "cap_add": ["NET_ADMIN"],
                }),
            ),
        ];
        for (text, expected) in rows {
            let keys = run(&words(text)).unwrap_or_else(|why| panic!("{text}: {why}"));
            assert_eq!(Value::Object(keys.keys), expected, "{text}");
        }
        let keys = exec(&words("-it -u root -w /srv -e A=b")).unwrap_or_else(|why| panic!("{why}"));
        let expected =
            json!({"tty": true, "user": "root", "working_dir": "/srv", "environment": ["A=b"]});
        assert_eq!(Value::Object(keys.keys), expected);
    }

    #[test]
    fn refuses_with_the_text_of_the_flag() {
        for (text, expected) in [
            ("--frobnicate x", "`--frobnicate`"),
            ("-Z", "`-Z`"),
            ("image", "`image` is no flag"),
            ("--name", "needs a value"),
            ("-v /a:/b -v /c:/b", "two mounts at `/b`"),
            ("-v /a:/b:ro -v /a:/b", "two mounts at `/b`"),
            ("--ulimit nofile", "no `=`"),
            ("--mount type=bind", "no `target`"),
        ] {
            let why = run(&words(text)).err().unwrap_or_else(|| panic!("{text}"));
            assert!(why.contains(expected), "{text}: {why}");
        }
        assert!(exec(&words("--rm")).is_err());
    }
}
