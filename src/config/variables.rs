//! Every variable we know: the one table that the reader, `env.local.example` and
//! `docs/configuration.md` agree on.

mod backup;
mod cache;
mod data;
mod housekeeping;

/// One variable.
#[derive(Clone, Copy, Debug)]
pub struct Variable {
    /// Our name.
    pub name: &'static str,
    /// Other names it is read under, newest first.
    pub aliases: &'static [&'static str],
    /// What we do with it.
    pub status: Status,
    /// Section of the example file.
    pub group: Group,
    /// Form of its value, for people; also its unit.
    pub unit: &'static str,
    /// Value when unset, as one would write it; empty where there is none.
    pub default: &'static str,
    /// A value one may write.
    pub example: &'static str,
    /// What it decides.
    pub meaning: &'static str,
}

/// What we do with a variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Read.
    Read,
    /// Read, and one of the few that every user sets.
    Essential,
    /// Read from the process environment only: it says where the file is.
    Environment,
    /// Known, but not supported yet: a warning when set.
    Later,
    /// Belongs to birdhouse and means nothing to us: accepted in silence.
    Foreign,
}

/// Section of the example file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// What to deploy, and when.
    Deploy,
    /// How git reaches its remotes.
    Git,
    /// Jobs besides deploys.
    Jobs,
    /// Ready jobs that keep the host tidy.
    Housekeeping,
    /// Ready jobs that look after caches.
    Caches,
    /// Ready jobs that keep backups.
    Backup,
    /// Logs.
    Logs,
    /// Waiting for containers and for the end.
    Waiting,
    /// Where things are on the host.
    Host,
    /// Names that concern only birdhouse.
    Birdhouse,
}

impl Group {
    /// All sections in the order of the example file.
    pub const ALL: [Self; 10] = [
        Self::Deploy,
        Self::Git,
        Self::Jobs,
        Self::Housekeeping,
        Self::Caches,
        Self::Backup,
        Self::Logs,
        Self::Waiting,
        Self::Host,
        Self::Birdhouse,
    ];

    /// The heading of the section.
    pub fn title(self) -> &'static str {
        match self {
            Self::Deploy => "What to deploy, and when",
            Self::Git => "How git reaches its remotes",
            Self::Jobs => "Jobs",
            Self::Housekeeping => "Keeping the host tidy",
            Self::Caches => "Caches of map servers",
            Self::Backup => "Backup",
            Self::Logs => "Logs",
            Self::Waiting => "How long to wait",
            Self::Host => "Where things are",
            Self::Birdhouse => "Names of birdhouse that mean nothing here",
        }
    }
}

/// All variables, in the order of the example file.
pub fn variables() -> impl Iterator<Item = &'static Variable> {
    let housekeeping = VARIABLES.iter().chain(housekeeping::VARIABLES);
    housekeeping.chain(data::VARIABLES).chain(cache::VARIABLES).chain(backup::VARIABLES)
}

const VARIABLES: &[Variable] = &[
    Variable {
        name: "AUTODEPLOY_EXTRA_REPOS",
        aliases: &["BIRDHOUSE_AUTODEPLOY_EXTRA_REPOS"],
        status: Status::Essential,
        group: Group::Deploy,
        unit: "absolute paths, separated by spaces or lines",
        default: "",
        example: "/srv/stack",
        meaning: "Git checkouts on this host. They are updated in place, by fast-forward only.",
    },
    Variable {
        name: "COMPOSE_DIR",
        aliases: &[],
        status: Status::Essential,
        group: Group::Deploy,
        unit: "absolute path",
        default: "first path of AUTODEPLOY_EXTRA_REPOS",
        example: "/srv/stack",
        meaning: "Directory of the Compose project that the `autodeploy` job keeps up to date.",
    },
    Variable {
        name: "AUTODEPLOY_PLATFORM_FREQUENCY",
        aliases: &["BIRDHOUSE_AUTODEPLOY_PLATFORM_FREQUENCY"],
        status: Status::Essential,
        group: Group::Deploy,
        unit: "schedule: 5 cron fields, or 6 with seconds first, or @daily, @every 90s, @startup, \
               @manual",
        default: "7 5 * * *",
        example: "*/5 * * * *",
        meaning: "When the deploys made from these variables look for new commits.",
    },
    Variable {
        name: "AUTODEPLOY_REPOS",
        aliases: &[],
        status: Status::Read,
        group: Group::Deploy,
        unit: "git URLs as URL#ref, separated by spaces or lines; without #ref the default branch",
        default: "",
        example: "https://git.example.org/infra.git#main git@git.example.org:web.git",
        meaning: "Repositories that are cloned into AUTODEPLOY_STATE_DIR and deployed from there.",
    },
    Variable {
        name: "AUTODEPLOY_TIMEZONE",
        aliases: &[],
        status: Status::Read,
        group: Group::Deploy,
        unit: "IANA time zone",
        default: "UTC",
        example: "America/Toronto",
        meaning: "Time zone of schedules that name none.",
    },
    Variable {
        name: "AUTODEPLOY_DEPLOY_KEY_ROOT_DIR",
        aliases: &["BIRDHOUSE_AUTODEPLOY_DEPLOY_KEY_ROOT_DIR"],
        status: Status::Read,
        group: Group::Git,
        unit: "absolute path",
        default: "~/.ssh",
        example: "/etc/roadstead/keys",
        meaning: "Directory of ssh keys: `<repository>_deploy_key`, else `id_rsa_git_ssh_read_only`.",
    },
    Variable {
        name: "AUTODEPLOY_KNOWN_HOSTS",
        aliases: &[],
        status: Status::Read,
        group: Group::Git,
        unit: "absolute path of a file",
        default: "known_hosts in AUTODEPLOY_DEPLOY_KEY_ROOT_DIR",
        example: "/etc/roadstead/known_hosts",
        meaning: "Host keys of ssh servers, as OpenSSH writes them. A host that is not in it is refused.",
    },
    Variable {
        name: "AUTODEPLOY_GIT_TOKEN_DIR",
        aliases: &[],
        status: Status::Read,
        group: Group::Git,
        unit: "absolute path",
        default: "AUTODEPLOY_DEPLOY_KEY_ROOT_DIR",
        example: "/etc/roadstead/tokens",
        meaning: "Directory of https tokens: `<repository>_token`, else `<host>_token`, each holding \
                  `token` or `user:token`.",
    },
    Variable {
        name: "AUTODEPLOY_GIT_TIMEOUT",
        aliases: &[],
        status: Status::Read,
        group: Group::Git,
        unit: "duration: 500ms, 30s, 2m, 1h30m, 1d",
        default: "60s",
        example: "2m",
        meaning: "Longest time one network step with one remote may take.",
    },
    Variable {
        name: "AUTODEPLOY_JOBS_DIR",
        aliases: &[],
        status: Status::Read,
        group: Group::Jobs,
        unit: "absolute path",
        default: "/etc/roadstead/jobs",
        example: "/srv/stack/jobs",
        meaning: "Directory of job files (`*.yml`, `*.yaml`). It may be missing.",
    },
    Variable {
        name: "AUTODEPLOY_EXTRA_SCHEDULER_JOBS",
        aliases: &["BIRDHOUSE_AUTODEPLOY_EXTRA_SCHEDULER_JOBS"],
        status: Status::Read,
        group: Group::Jobs,
        unit: "YAML list",
        default: "",
        example: "- name: hello",
        meaning: "Jobs in the format of birdhouse.",
    },
    Variable {
        name: "AUTODEPLOY_SCHEDULER_JOBS_DIR",
        aliases: &[],
        status: Status::Read,
        group: Group::Jobs,
        unit: "absolute path",
        default: "/scheduler-job-configs",
        example: "/srv/stack/scheduler-jobs",
        meaning: "Directory of files (`*.yml`) with jobs in the format of birdhouse. It may be missing.",
    },
    Variable {
        name: "AUTODEPLOY_OFELIA_CONFIG",
        aliases: &[],
        status: Status::Read,
        group: Group::Jobs,
        unit: "absolute path",
        default: "",
        example: "/etc/ofelia/config.ini",
        meaning: "An INI file of Ofelia, whose jobs are read as they stand there.",
    },
    Variable {
        name: "AUTODEPLOY_OFELIA_LABELS",
        aliases: &[],
        status: Status::Read,
        group: Group::Jobs,
        unit: "true or false",
        default: "false",
        example: "true",
        meaning: "Follows the labels of containers that Ofelia reads (`ofelia.job-exec.NAME.schedule` \
                  and so on).",
    },
    Variable {
        name: "AUTODEPLOY_OFELIA_DIALECT",
        aliases: &[],
        status: Status::Read,
        group: Group::Jobs,
        unit: "auto, v1 (0.3: seconds first) or v3 (0.4 and its forks)",
        default: "auto",
        example: "v1",
        meaning: "Which Ofelia the schedules in labels and in the INI file were written for. `auto` is `v3`, with a warning \
                  wherever 0.3 would have run a job at other times.",
    },
    Variable {
        name: "AUTODEPLOY_OFELIA_LABEL_JOBS",
        aliases: &[],
        status: Status::Read,
        group: Group::Jobs,
        unit: "types of jobs (run, local, compose), each alone or with a project or container",
        default: "",
        example: "run:shop local:ops",
        meaning: "Whose labels may hold jobs that reach beyond their container: `run` are `job-run`s of \
                  any container, `run:shop` those of Compose project or container `shop`. Who may write \
                  such a label is root on this host. `job-exec` needs no leave, nor does a container with \
                  `ofelia.service=true`.",
    },
    Variable {
        name: "AUTODEPLOY_ALLOW_COMMANDS",
        aliases: &[],
        status: Status::Read,
        group: Group::Jobs,
        unit: "true or false",
        default: "false",
        example: "true",
        meaning: "Lets jobs of the kind `command` run programs in our own container. Whoever writes job \
                  files then rules this container, and with it the Docker Engine.",
    },
    Variable {
        name: "AUTODEPLOY_LOG_DIR",
        aliases: &["BIRDHOUSE_LOG_DIR", "PAVICS_LOG_DIR"],
        status: Status::Read,
        group: Group::Logs,
        unit: "absolute path",
        default: "/var/log/roadstead",
        example: "/var/log/birdhouse",
        meaning: "Directory of log files: one a job, and `roadstead.log`.",
    },
    Variable {
        name: "AUTODEPLOY_LOG_MAX_SIZE",
        aliases: &[],
        status: Status::Read,
        group: Group::Logs,
        unit: "size: bytes, or a number with K, M, G (multiples of 1024; KiB, KB mean the same)",
        default: "10MiB",
        example: "50M",
        meaning: "A log file that would grow beyond this is rotated.",
    },
    Variable {
        name: "AUTODEPLOY_LOG_KEEP",
        aliases: &[],
        status: Status::Read,
        group: Group::Logs,
        unit: "number of files, 1 to 1000",
        default: "6",
        example: "20",
        meaning: "Rotated files to keep of each log.",
    },
    Variable {
        name: "AUTODEPLOY_LOG_COMPRESS",
        aliases: &[],
        status: Status::Read,
        group: Group::Logs,
        unit: "true or false",
        default: "true",
        example: "false",
        meaning: "Compresses rotated files with gzip.",
    },
    Variable {
        name: "AUTODEPLOY_LOG_FORMAT",
        aliases: &[],
        status: Status::Read,
        group: Group::Logs,
        unit: "text or json",
        default: "text",
        example: "json",
        meaning: "Form of a log line: for people, or one JSON object a line.",
    },
    Variable {
        name: "AUTODEPLOY_LOG_LEVEL",
        aliases: &[],
        status: Status::Read,
        group: Group::Logs,
        unit: "error, warn, info, debug or trace",
        default: "info",
        example: "debug",
        meaning: "Least severe level that is written.",
    },
    Variable {
        name: "AUTODEPLOY_HEALTH_WITHIN",
        aliases: &[],
        status: Status::Read,
        group: Group::Waiting,
        unit: "duration",
        default: "2m",
        example: "5m",
        meaning: "Longest time a new container may take to run and be healthy; after it the old one \
                  comes back.",
    },
    Variable {
        name: "AUTODEPLOY_HEALTH_STABLE_FOR",
        aliases: &[],
        status: Status::Read,
        group: Group::Waiting,
        unit: "duration",
        default: "10s",
        example: "30s",
        meaning: "How long a new container without a health check must stay up before the old one \
                  is removed.",
    },
    Variable {
        name: "AUTODEPLOY_SHUTDOWN_GRACE",
        aliases: &[],
        status: Status::Read,
        group: Group::Waiting,
        unit: "duration",
        default: "8s",
        example: "30s",
        meaning: "How long running work may take to end when we are stopped. Docker kills after 10s \
                  unless `--stop-timeout` says more.",
    },
    Variable {
        name: "AUTODEPLOY_MAX_RUNS",
        aliases: &[],
        status: Status::Read,
        group: Group::Jobs,
        unit: "number from 1 to 1000",
        default: "8",
        example: "16",
        meaning: "How many runs go on at once; further ones wait, and each is accounted for.",
    },
    Variable {
        name: "AUTODEPLOY_MAX_RUNS_OF_KIND",
        aliases: &[],
        status: Status::Read,
        group: Group::Jobs,
        unit: "kind=number, separated by spaces",
        default: "",
        example: "deploy=4 run=8",
        meaning: "How many runs of one kind of work go on at once.",
    },
    Variable {
        name: "AUTODEPLOY_MAX_RUNS_OF_SOURCE",
        aliases: &[],
        status: Status::Read,
        group: Group::Jobs,
        unit: "number from 1 to 1000",
        default: "",
        example: "2",
        meaning: "How many runs go on at once whose work comes from the same source: a repository by \
                  its URL, or a checkout on the host. A deploy has its sources, a `compose_run` \
                  those of the deploy it names, a group those of its jobs.",
    },
    Variable {
        name: "AUTODEPLOY_START_RATE",
        aliases: &[],
        status: Status::Read,
        group: Group::Jobs,
        unit: "starts a second; 0 is no limit",
        default: "10",
        example: "20",
        meaning: "How many runs that work on the Docker Engine start in one second.",
    },
    Variable {
        name: "AUTODEPLOY_COMPOSE_HASH",
        aliases: &[],
        status: Status::Read,
        group: Group::Host,
        unit: "5 or 2.40",
        default: "5",
        example: "2.40",
        meaning: "Release of docker compose whose configuration hash our containers carry. Both are \
                  recognised on containers that exist; say 2.40 where somebody runs docker compose \
                  2.x on the same projects, else that makes containers with bind mounts anew. \
                  With 2.40, what a file and one that it includes both define must be the same; \
                  since 5.0 the including file is laid over the other.",
    },
    Variable {
        name: "AUTODEPLOY_STATE_DIR",
        aliases: &[],
        status: Status::Read,
        group: Group::Host,
        unit: "absolute path",
        default: "/var/lib/roadstead",
        example: "/srv/roadstead",
        meaning: "Directory of the history, of managed clones and of the control socket.",
    },
    Variable {
        name: "DOCKER_HOST",
        aliases: &[],
        status: Status::Read,
        group: Group::Host,
        unit: "unix:///path or tcp://host:port",
        default: "unix:///var/run/docker.sock",
        example: "tcp://127.0.0.1:2375",
        meaning: "Address of the Docker Engine.",
    },
    Variable {
        name: "ROADSTEAD_ENV_FILE",
        aliases: &["BIRDHOUSE_LOCAL_ENV"],
        status: Status::Environment,
        group: Group::Host,
        unit: "path of a file",
        default: "/etc/roadstead/env.local, if it exists",
        example: "/srv/stack/env.local",
        meaning: "The `env.local` to read; `--env-file` wins over it.",
    },
    Variable {
        name: "AUTODEPLOY_LISTEN",
        aliases: &[],
        status: Status::Read,
        group: Group::Host,
        unit: "address:port",
        default: "",
        example: "127.0.0.1:8080",
        meaning: "Address at which webhooks are taken (POST /webhooks/NAME) and health is told \
                  (GET /healthz); none is opened where this is not set. Anything but a loopback \
                  address needs AUTODEPLOY_TOKENS_FILE.",
    },
    Variable {
        name: "AUTODEPLOY_TOKENS_FILE",
        aliases: &[],
        status: Status::Read,
        group: Group::Host,
        unit: "absolute path of a file",
        default: "",
        example: "/etc/roadstead/tokens",
        meaning: "Who may call webhooks: one token a line, of 16 characters at least. It is sent as \
                  `Authorization: Bearer`, as `X-Gitlab-Token`, or is the secret of the signature of \
                  GitHub, Gitea or Forgejo. Read anew for each call.",
    },
    foreign("AUTODEPLOY_NOTEBOOK_EXTRA_DOCKER_ARGS", &[]),
    foreign("AUTODEPLOY_PLATFORM_EXTRA_DOCKER_ARGS", &[]),
    foreign("AUTODEPLOY_SILENT", &[]),
    foreign("AUTODEPLOY_CODE_OWNERSHIP", &["BIRDHOUSE_AUTODEPLOY_CODE_OWNERSHIP"]),
    foreign("AUTODEPLOY_GIT_GLOBAL_SAFE_DIRECTORY", &[]),
    foreign(
        "AUTODEPLOY_EXTRA_REPOS_AS_DOCKER_VOLUMES",
        &["BIRDHOUSE_AUTODEPLOY_EXTRA_REPOS_AS_DOCKER_VOLUMES"],
    ),
    foreign("AUTODEPLOY_JUPYTERHUB_ARGS", &["BIRDHOUSE_AUTODEPLOY_JUPYTERHUB_ARGS"]),
];

const fn foreign(name: &'static str, aliases: &'static [&'static str]) -> Variable {
    Variable {
        name,
        aliases,
        status: Status::Foreign,
        group: Group::Birdhouse,
        unit: "",
        default: "",
        example: "",
        meaning: "",
    }
}

/// Our variables start with this; a name that does and is not in the table is a mistake.
pub const PREFIX: &str = "AUTODEPLOY_";

impl Variable {
    /// All names it is read under, the one that wins first.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        std::iter::once(self.name).chain(self.aliases.iter().copied())
    }

    /// True when it is read from the file.
    pub fn is_read(&self) -> bool {
        matches!(self.status, Status::Read | Status::Essential)
    }
}

/// The variable that is read under `name`.
pub fn find(name: &str) -> Option<&'static Variable> {
    variables().find(|variable| variable.names().any(|known| known == name))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fmt::Write as _;
    use std::path::Path;

    use super::{Group, Status, Variable, find, variables};
    use crate::config::{Environment, load};

    const EXAMPLE: &str = include_str!("../../env.local.example");
    const PAGE: &str = include_str!("../../docs/configuration.md");

    #[test]
    fn names_are_unique_and_found() {
        let mut seen = std::collections::BTreeSet::new();
        for variable in variables() {
            for name in variable.names() {
                assert!(seen.insert(name), "{name} is in the table twice");
                assert_eq!(find(name).map(|found| found.name), Some(variable.name));
            }
        }
    }

    /// The part of `env.local.example` below its introduction.
    fn example_of_the_table() -> String {
        let mut text = String::new();
        for group in Group::ALL {
            if group == Group::Birdhouse {
                continue;
            }
            let _ = writeln!(text, "# ---- {} ----\n", group.title());
            for variable in variables().filter(|variable| variable.group == group) {
                if variable.status != Status::Environment {
                    text.push_str(&example_entry(variable));
                }
            }
        }
        text
    }

    fn example_entry(variable: &Variable) -> String {
        let mut text = String::new();
        for line in wrapped(variable.meaning) {
            let _ = writeln!(text, "# {line}");
        }
        if variable.status == Status::Later {
            text.push_str("# Not supported yet: setting it gives a warning.\n");
        }
        for line in wrapped(&format!("Value: {}.", variable.unit)) {
            let _ = writeln!(text, "# {line}");
        }
        let default = if variable.default.is_empty() { "none" } else { variable.default };
        let _ = writeln!(text, "# Default: {default}");
        if !variable.aliases.is_empty() {
            let _ = writeln!(text, "# Also read as: {}", variable.aliases.join(", "));
        }
        let mark = if variable.status == Status::Essential { "" } else { "#" };
        let _ = writeln!(text, "{mark}{}=\"{}\"\n", variable.name, variable.example);
        text
    }

    fn wrapped(text: &str) -> Vec<String> {
        let mut lines = vec![String::new()];
        for word in text.split_whitespace() {
            let last = lines.last_mut().unwrap();
            if last.len() + word.len() > 90 {
                lines.push(word.to_owned());
            } else {
                if !last.is_empty() {
                    last.push(' ');
                }
                last.push_str(word);
            }
        }
        lines
    }

    /// The tables of `docs/configuration.md`, between its two markers.
    fn page_of_the_table() -> String {
        let mut text = String::new();
        for group in Group::ALL {
            let members = || variables().filter(|variable| variable.group == group);
            let _ = writeln!(text, "### {}\n", group.title());
            if group == Group::Birdhouse {
                text.push_str("Accepted in silence: ");
                let names: Vec<_> =
                    members().flat_map(Variable::names).map(|name| format!("`{name}`")).collect();
                let _ = writeln!(text, "{}.\n", names.join(", "));
                continue;
            }
            text.push_str("| variable | default | value | meaning |\n|---|---|---|---|\n");
            for variable in members() {
                text.push_str(&page_row(variable));
            }
            text.push('\n');
        }
        text
    }

    fn page_row(variable: &Variable) -> String {
        let code = |text: &str| if text.is_empty() { "–".into() } else { format!("`{text}`") };
        let mut name = code(variable.name);
        for alias in variable.aliases {
            let _ = write!(name, "<br>also `{alias}`");
        }
        let note = match variable.status {
            Status::Later => " Not supported yet: setting it gives a warning.",
            Status::Environment => " Process environment only.",
            Status::Read | Status::Essential | Status::Foreign => "",
        };
        format!(
            "| {name} | {} | {}, e.g. {} | {}{note} |\n",
            code(variable.default),
            variable.unit,
            code(variable.example),
            variable.meaning
        )
    }

    /// `UPDATE_DOCS=1 cargo test --lib config::variables` writes both files from the table.
    fn check(path: &str, text: &str, start: &str, end: &str, expected: &str) {
        let (before, rest) = text.split_once(start).expect("the start marker is there");
        let (_, after) = rest.split_once(end).unwrap_or((rest, ""));
        let expected = format!("{before}{start}{expected}{end}{after}");
        if expected != text {
            #[expect(clippy::disallowed_methods, reason = "a switch of this test, not a setting")]
            if std::env::var_os("UPDATE_DOCS").is_some() {
                std::fs::write(Path::new(env!("CARGO_MANIFEST_DIR")).join(path), &expected)
                    .unwrap();
                return;
            }
            assert_eq!(text, expected, "{path} differs from the table: run with UPDATE_DOCS=1");
        }
    }

    #[test]
    fn the_example_says_what_the_table_says() {
        let start = "# ==== Variables ====\n\n";
        check("env.local.example", EXAMPLE, start, "# ==== End ====\n", &example_of_the_table());
    }

    #[test]
    fn the_page_says_what_the_table_says() {
        let start = "<!-- variables -->\n\n";
        check("docs/configuration.md", PAGE, start, "<!-- end -->\n", &page_of_the_table());
    }

    #[test]
    fn the_example_is_read_without_a_problem() {
        let lines = EXAMPLE.lines().map(|line| {
            let bare = line.strip_prefix('#').unwrap_or_default();
            if bare.starts_with(|it: char| it.is_ascii_uppercase()) { bare } else { line }
        });
        let uncommented = lines.collect::<Vec<_>>().join("\n");
        let later = variables().filter(|variable| variable.status == Status::Later).count();
        for (text, warnings) in [(EXAMPLE, 0), (uncommented.as_str(), later)] {
            let loaded = load(Some((Path::new("env.local"), text)), &Environment(BTreeMap::new()));
            let loaded = loaded.unwrap();
            assert_eq!(loaded.warnings.0.len(), warnings, "{}", loaded.warnings);
            assert_eq!(loaded.unknown.0, []);
        }
    }
}
