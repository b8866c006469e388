//! Job files: what each key means, and what each mistake is answered with.

use super::*;
use crate::compose::model::Service;
use crate::job::{Deploy, Keep, Notify, Policy, Window};
use crate::settings::{
    GitSettings, HealthGate, LogFormat, LogSettings, ManagedRepository, Settings,
};
use crate::source::{Origin, Source};

/// Settings with a few variables set.
pub(crate) fn settings() -> Settings {
    let variables = [("STACK", "/srv/stack"), ("EMPTY", ""), ("ON", "true"), ("TOKEN", "secret")];
    Settings {
        compose_hash: crate::compose::hash::Dialect::V5,
        checkouts: Vec::new(),
        compose_dir: None,
        repositories: Vec::<ManagedRepository>::new(),
        platform_frequency: "7 5 * * *".to_owned(),
        timezone: Tz::America__Toronto,
        git: GitSettings {
            deploy_key_dir: PathBuf::from("/root/.ssh"),
            known_hosts: PathBuf::from("/root/.ssh/known_hosts"),
            token_dir: PathBuf::from("/root/.ssh"),
            timeout: Duration::from_mins(1),
        },
        jobs_dir: PathBuf::from("/etc/roadstead/jobs"),
        schedulers: crate::settings::SchedulerSettings::default(),
        state_dir: PathBuf::from("/state"),
        log: LogSettings {
            dir: PathBuf::from("/var/log/roadstead"),
            max_size_bytes: 1 << 20,
            keep: 6,
            compress: true,
            format: LogFormat::Text,
            level: "info".to_owned(),
        },
        docker_host: None,
        health: HealthGate { within: Duration::from_mins(2), stable_for: Duration::from_secs(10) },
        listen: None,
        tokens_file: None,
        shutdown_grace: Duration::from_secs(30),
        limits: crate::settings::RunLimits::default(),
        allow_commands: false,
        variables: variables.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
    }
}

fn read(text: &str) -> Vec<Job> {
    parse(text, "web.yml", &settings()).unwrap_or_else(|problems| panic!("{text}:\n{problems}"))
}

fn read_deploy(text: &str) -> Deploy {
    let job = read(&format!("name: web\ndeploy:\n{text}")).remove(0);
    let Work::Deploy(deploy) = job.work else { panic!("a deploy") };
    *deploy
}

fn read_run(text: &str) -> Service {
    let job = read(&format!("name: web\nrun:\n  image: alpine\n{text}")).remove(0);
    let Work::Run(run) = job.work else { panic!("a run") };
    run.container.unpack().service
}

fn managed(name: &str, directory: &str, url: &str, reference: Option<&str>) -> Source {
    let origin = Origin::Managed { url: url.to_owned(), reference: reference.map(str::to_owned) };
    Source { name: name.to_owned(), directory: PathBuf::from(directory), origin }
}

fn in_place(name: &str, directory: &str) -> Source {
    Source { name: name.to_owned(), directory: PathBuf::from(directory), origin: Origin::InPlace }
}

#[test]
fn reads_a_whole_deploy() {
    let jobs = read(
        r#"
name: web
description: The web site.
schedule: "*/5 * * * *"
timezone: Europe/Berlin
timeout: 10m
deploy:
  source: { repo: "https://git.example/infra.git", ref: main }
  path: stacks/web
  files: [compose.yml, compose.prod.yml]
  profiles: [prod]
  env_file: [prod.env]
  project: site
  remove_orphans: false
  health: { within: 3m, stable_for: 5s }
"#,
    );
    let directory = PathBuf::from("/state/sources/web/stacks/web");
    let expected = Job {
        name: "web".to_owned(),
        description: Some("The web site.".into()),
        origin: Place::of("web.yml").at_line(2),
        schedule: Schedule::parse("*/5 * * * *").expect("valid"),
        terms: Arc::new(Terms {
            timezone: Tz::Europe__Berlin,
            window: Window::default(),
            on: Vec::new(),
            policy: Policy::default(),
            keep: Keep::default(),
            notify: Notify::default(),
            timeout: Duration::from_mins(10),
        }),
        work: Work::Deploy(Box::new(Deploy {
            sources: vec![managed(
                "infra",
                "/state/sources/web",
                "https://git.example/infra.git",
                Some("main"),
            )],
            directory,
            files: vec![PathBuf::from("compose.yml"), PathBuf::from("compose.prod.yml")],
            profiles: vec!["prod".to_owned()],
            env_files: vec![PathBuf::from("prod.env")],
            project_name: Some("site".to_owned()),
            remove_orphans: false,
            health: HealthGate {
                within: Duration::from_mins(3),
                stable_for: Duration::from_secs(5),
            },
        })),
    };
    assert_eq!(jobs, [expected]);
    let locks: Vec<String> = jobs[0].locks().into_iter().collect();
    assert_eq!(
        locks,
        ["checkout:/state/sources/web", "directory:/state/sources/web/stacks/web", "project:site"]
    );
}

#[test]
fn reads_one_job_a_list_or_several_documents() {
    let job = |name: &str| format!("{{ name: {name}, run: {{ image: alpine }} }}\n");
    let rows = [
        (String::new(), vec![]),
        ("# nothing\n---\n".to_owned(), vec![]),
        (job("a"), vec!["a"]),
        (format!("- {}- {}", job("a"), job("b")), vec!["a", "b"]),
        (format!("- {}- {}---\n{}", job("a"), job("b"), job("c")), vec!["a", "b", "c"]),
    ];
    for (text, expected) in rows {
        let names: Vec<String> = read(&text).into_iter().map(|job| job.name).collect();
        assert_eq!(names, expected, "{text}");
    }
}

#[test]
fn fills_in_defaults() {
    let deploy = &read("name: a\ndeploy: { source: /srv/stack }")[0];
    assert_eq!(deploy.schedule, Schedule::Manual);
    assert_eq!(deploy.timezone, Tz::America__Toronto);
    assert_eq!(deploy.timeout, DEPLOY_TIMEOUT);
    let run = &read("{name: a, schedule: '@daily', enabled: false, run: {image: alpine}}")[0];
    assert_eq!(run.timeout, RUN_TIMEOUT);
    assert_eq!(run.schedule, Schedule::Manual, "the clock never starts a disabled job");
    let on = &read("{name: a, schedule: '@daily', enabled: '${ON}', run: {image: alpine}}")[0];
    assert_eq!(on.schedule, Schedule::parse("@daily").expect("valid"));
}

#[test]
fn reads_every_form_of_source() {
    let url = "https://git.example/conf.git";
    let rows: Vec<(&str, Vec<Source>, &str)> = vec![
        ("  source: /srv/stack/", vec![in_place("stack", "/srv/stack")], "/srv/stack"),
        ("  source: { repo: '${STACK}' }", vec![in_place("stack", "/srv/stack")], "/srv/stack"),
        (
            "  source: git@git.example:group/conf.git",
            vec![managed("conf", "/state/sources/web", "git@git.example:group/conf.git", None)],
            "/state/sources/web",
        ),
        (
            "  sources: '${EMPTY} ${STACK} /srv/stack/. https://git.example/conf.git#prod'",
            vec![
                in_place("stack", "/srv/stack"),
                managed("conf", "/state/sources/web+conf", url, Some("prod")),
            ],
            "/srv/stack",
        ),
        (
            "  sources: [/srv/a/conf, /srv/b/conf, { repo: 'https://git.example/conf.git' }]\n  \
             path: /srv/b/conf/compose",
            vec![
                in_place("conf", "/srv/a/conf"),
                in_place("conf-2", "/srv/b/conf"),
                managed("conf-3", "/state/sources/web+conf-3", url, None),
            ],
            "/srv/b/conf/compose",
        ),
        (
            "  source: /srv/stack\n  path: a/../b/./c",
            vec![in_place("stack", "/srv/stack")],
            "/srv/stack/b/c",
        ),
        (
            "  source: /srv/stack\n  path: '${EMPTY}'",
            vec![in_place("stack", "/srv/stack")],
            "/srv/stack",
        ),
    ];
    for (text, sources, directory) in rows {
        let deploy = read_deploy(text);
        assert_eq!(deploy.sources, sources, "{text}");
        assert_eq!(deploy.directory, PathBuf::from(directory), "{text}");
        assert!(deploy.remove_orphans);
    }
}

#[test]
fn reads_a_container() {
    let arguments = |words: &[&str]| Some(words.iter().map(|word| (*word).to_owned()).collect());
    assert_eq!(
        read_run("  command: sh -c 'echo $$HOME'").command,
        arguments(&["sh", "-c", "echo $HOME"])
    );
    assert_eq!(read_run("  command: [sleep, 5]").command, arguments(&["sleep", "5"]));
    assert_eq!(read_run("  entrypoint: []").entrypoint, arguments(&[]));
    assert_eq!(read_run("").command, None);
    let environment = |text: &str| -> Vec<String> {
        let pairs = read_run(text).environment;
        let text = |value: Option<String>| value.unwrap_or_default();
        pairs.into_iter().map(|(name, value)| format!("{name}={}", text(value))).collect()
    };
    let expected = ["A=1", "B=x=y", "TOKEN=secret"];
    assert_eq!(environment("  environment: { A: 1, B: x=y, TOKEN: , NO: }"), expected);
    assert_eq!(environment("  environment: [A=1, B=x=y, TOKEN, NO]"), expected);
    let run = read_run(
        "  volumes: [data:/data, /srv:/srv:ro]\n  networks: [front, back]\n  user: 1000\n  \
         working_dir: /srv",
    );
    let mounts = run.volumes.iter().map(|it| (it.source.as_deref(), it.target.as_str()));
    assert_eq!(mounts.collect::<Vec<_>>(), [(Some("data"), "/data"), (Some("/srv"), "/srv")]);
    assert_eq!(run.networks.keys().collect::<Vec<_>>(), ["back", "front"]);
    assert_eq!(run.user.as_deref(), Some("1000"));
    assert_eq!(run.working_dir.as_deref(), Some("/srv"));
}

/// Each problem as `line:column message | hint`, without the hint where there is none.
fn problems(text: &str) -> Vec<String> {
    let found = parse(text, "web.yml", &settings()).expect_err(text);
    let place = |number: Option<usize>| number.unwrap_or_default();
    found
        .0
        .iter()
        .map(|problem| {
            let hint = problem.hint.as_deref().map(|hint| format!(" | {hint}")).unwrap_or_default();
            let (line, column) = (place(problem.line), place(problem.column));
            format!("{line}:{column} {}{hint}", problem.message)
        })
        .collect()
}

#[test]
fn reports_everything_that_is_wrong_at_once() {
    let text = r#"- name: web
  scedule: "@daily"
  timezone: America/Torronto
  timeout: 90
  retry: { max: 3, of: 2 }
  deploy:
    source: { repo: "https://git.example/infra.git", refs: main }
    path: ../other
    files: { a: b }
    remove_orphans: perhaps
- name: "no good"
  schedule: "61 * * * *"
  run: { command: "sh -c 'x", volumes: [data], image: "${IMAGE}" }
"#;
    assert_eq!(
        problems(text),
        [
            "2:3 unknown key `scedule` | did you mean `schedule`?",
            "3:13 `America/Torronto` is no time zone | did you mean `America/Toronto`?",
            "4:12 `timeout`: `90` is no duration: write a number and a unit, e.g. `90s` or `1h30m`",
            "5:20 unknown key `of` | `retry` has the keys `max`, `backoff`, `cap`",
            "7:54 unknown key `refs` | did you mean `ref`?",
            "8:11 `path` leads outside the sources: `/state/sources/other` | write a path relative to \
         the first source, or add the checkout it lies in",
            "9:12 `files` must hold a string, not a mapping",
            "10:21 `remove_orphans` must be `true` or `false`, not `perhaps`",
            "11:9 `no good` is no name of a job | letters, digits, `.`, `_` and `-`, starting with a \
         letter or digit",
            "12:13 `61` is no minute in `61 * * * *`: values are 0 to 59; write them, e.g. `*/5`",
            "13:19 `run.command` has a quote that is never closed",
            "13:41 `data` is no volume | write `source:/target` or `source:/target:ro`",
            "13:55 variable `IMAGE` is not set | set `IMAGE` in env.local, or write `${IMAGE:-}` for \
         empty, or `$$` for `$`",
        ]
    );
}

#[test]
fn refuses_each_of_these() {
    let deploy = |rest: &str| format!("name: web\ndeploy:\n  {rest}");
    let rows = [
        ("just text".to_owned(), "1:1 a job must be a mapping, not a string"),
        ("run: { image: a }".to_owned(), "1:1 a job needs a `name`"),
        ("name: web".to_owned(), "1:1 a job has exactly one of `deploy`"),
        (
            "name: web\nbackup: { password: a, labels: true }".to_owned(),
            "2:9 `backup` needs a `repository`",
        ),
        (
            "name: web\nrun: {image: a}\ndeploy: {source: /a}".to_owned(),
            "`deploy` or `run`, not both",
        ),
        ("name: web\nrun: {}".to_owned(), "2:6 `run` needs an `image`"),
        ("name: web\nrun: {image: a, working_dir: b}".to_owned(), "must be absolute"),
        ("name: web\nrun: {image: a}\ntimeout: 0s".to_owned(), "3:10 `timeout` must be longer"),
        ("name: web\nrun: {image: a}\nschedule: ''".to_owned(), "3:11 the schedule is empty"),
        (
            "name: web\nrun: {image: '${X:?why}'}".to_owned(),
            "`X` is missing a value: why | set `X`",
        ),
        ("name: web\nrun: {image: '${X'}".to_owned(), "2:14 invalid interpolation"),
        ("name: web\nrun: {environment: a, image: a}".to_owned(), "a mapping or a list"),
        (deploy("path: a"), "3:3 `deploy` needs a `source`"),
        (deploy("sources: '${EMPTY}'"), "3:12 `deploy` needs a `source`"),
        (deploy("source: { ref: main }"), "3:11 `source` needs a `repo`"),
        (deploy("source: stack"), "`stack` is neither a URL nor an absolute directory"),
        (deploy("source: -o:x"), "is neither a URL"),
        (deploy("source: { repo: /srv/a, ref: b }"), "`ref` does not go with the checkout"),
        (deploy("source: https://token@git.example/a"), "holds a password or token"),
        (deploy("source: ssh://me:secret@git.example/a"), "holds a password or token"),
        (
            deploy("source: https://git.example/a#semver:^1"),
            "`semver:` in a `ref` is not supported",
        ),
        (deploy("source: /srv/a\n  sources: /srv/b"), "`source` or `sources`, not both"),
        (deploy("source: /srv/a\n  path: /etc"), "leads outside the sources"),
        (deploy("source: /srv/a\n  path: /srv/ab"), "leads outside the sources"),
        (deploy("source: /srv/a\n  project: Web"), "`Web` is no project name"),
        (deploy("source: /srv/a\n  on_failure: keep"), "`on_failure` is not supported yet"),
        (deploy("source: /srv/a\n  health: { within: soon }"), "`within`: `soon` is no duration"),
    ];
    for (text, expected) in rows {
        let found = problems(&text);
        assert_eq!(found.len(), 1, "{text}: {found:#?}");
        assert!(found[0].contains(expected), "{text}: {found:?}");
    }
    let secret = parse(&deploy("source: https://token@git.example/a"), "web.yml", &settings());
    assert!(!format!("{}", secret.expect_err("a token")).contains("token@"));
}

#[test]
fn refuses_a_second_job_of_a_name() {
    let text = "- { name: a, run: { image: a } }\n- { name: a, run: { image: b } }\n";
    assert_eq!(
        problems(text),
        ["2:11 there is a job `a` already, in `web.yml:1` | names of jobs are unique: give one \
         another name"]
    );
}

mod backups;
mod corpus;
mod documents;
