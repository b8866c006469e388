//! Jobs of birdhouse as they are rendered and as people add them.

use super::*;
use crate::job::native::NoFiles;
use crate::job::native::tests::settings;
use crate::job::schedule::Schedule;
use crate::job::work::{Exec, Redirect, Scope, Target, Work};
use crate::job::{Job, RunContainer};

/// The shipped jobs as birdhouse renders them, with a block of `AUTODEPLOY_EXTRA_SCHEDULER_JOBS` behind.
const RENDERED: &str = include_str!("../../../tests/jobs/birdhouse.yml");

/// Name, schedule, image, command, mounts and environment.
type Row<'a> = (&'a str, &'a str, &'a str, Vec<&'a str>, Vec<&'a str>, Vec<&'a str>);

fn imported(text: &str) -> Imported {
    let mut settings = settings();
    settings.variables.insert("IMG".to_owned(), "alpine:3.21".to_owned());
    let variables = &settings.variables;
    let context = Context { settings: &settings, variables, toplevel: &|_| None, files: &NoFiles };
    read(text, "config.yml", &context, &[])
}

fn jobs(text: &str) -> Vec<Job> {
    let imported = imported(text);
    let errors: Vec<_> = imported.problems.iter().filter(|problem| !problem.is_warning()).collect();
    assert!(errors.is_empty(), "{errors:#?}");
    imported.jobs.into_iter().map(|it| it.job).collect()
}

fn run(job: &Job) -> RunContainer {
    let Work::Run(run) = &job.work else { panic!("{}: a run", job.name) };
    run.container.unpack()
}

/// What `docker run` would be told: image, command, `source:target[:ro]` of mounts, `NAME=value`.
fn told(run: &RunContainer) -> (String, Vec<String>, Vec<String>, Vec<String>) {
    let service = &run.service;
    let mounts = service.volumes.iter().map(|mount| {
        let mode = if mount.read_only { ":ro" } else { "" };
        format!("{}:{}{mode}", mount.source.as_deref().unwrap_or_default(), mount.target)
    });
    let environment = service
        .environment
        .iter()
        .map(|(name, value)| format!("{name}={}", value.as_deref().unwrap_or_default()));
    let command = service.command.clone().unwrap_or_default();
    (service.image.clone(), command, mounts.collect(), environment.collect())
}

#[test]
fn the_nine_jobs_give_the_containers_of_their_docker_lines() {
    const COMPOSE: &str = "pavics/docker-compose:docker-28.5.1-compose-v2.40.0-251016";
    let jobs = jobs(RENDERED);
    let p = "/opt/birdhouse-deploy/birdhouse";
    let sock = "/var/run/docker.sock:/var/run/docker.sock:ro";
    let rows: Vec<Row<'_>> = vec![
        (
            "autodeploy",
            "7 5 * * *",
            COMPOSE,
            vec!["/opt/birdhouse-deploy/birdhouse/deployment/triggerdeploy.sh", p],
            vec![
                "/opt/conf:/opt/conf",
                sock,
                "/var/log/birdhouse:/var/log/birdhouse",
                "/opt/birdhouse-deploy/birdhouse/..:/opt/birdhouse-deploy",
                "/root/.ssh:/root/.ssh:ro",
                "/etc/ssl/cert.pem:/etc/ssl/cert.pem:ro",
                "/data/jupyterhub_user_data:/data/jupyterhub_user_data",
            ],
            vec![
                "AUTODEPLOY_GIT_GLOBAL_SAFE_DIRECTORY=1",
                "AUTODEPLOY_SILENT=true",
                "BIRDHOUSE_AUTODEPLOY_DEPLOY_KEY_ROOT_DIR=/root/.ssh",
                "BIRDHOUSE_COMPOSE=/opt/birdhouse-deploy/birdhouse/birdhouse-compose.sh",
                "BIRDHOUSE_LOCAL_ENV=/opt/conf/env.local",
                "BIRDHOUSE_LOG_DIR=/var/log/birdhouse",
                "CODE_OWNERSHIP=1000:1000",
                "COMPOSE_DIR=/opt/birdhouse-deploy/birdhouse",
                "JUPYTERHUB_USER_DATA_DIR=/data/jupyterhub_user_data",
            ],
        ),
        (
            "notebookdeploy",
            "@hourly",
            "docker:28.5.1-cli",
            vec!["/opt/birdhouse-deploy/birdhouse/deployment/trigger-deploy-notebook"],
            vec![
                sock,
                "/var/log/birdhouse:/var/log/birdhouse",
                // Written twice: the docker CLI makes one of it.
                "/opt/birdhouse-deploy/birdhouse:/opt/birdhouse-deploy/birdhouse:ro",
                "/data/jupyterhub_user_data:/data/jupyterhub_user_data",
                "/tmp/notebookdeploy:/tmp/notebookdeploy",
                "/opt/birdhouse-deploy/birdhouse/env.local:/opt/birdhouse-deploy/birdhouse/env.local",
            ],
            vec![
                "BIRDHOUSE_COMPOSE=/opt/birdhouse-deploy/birdhouse/birdhouse-compose.sh",
                "BIRDHOUSE_LOCAL_ENV=/opt/birdhouse-deploy/birdhouse/env.local",
                "COMPOSE_DIR=/opt/birdhouse-deploy/birdhouse",
                "JUPYTERHUB_USER_DATA_DIR=/data/jupyterhub_user_data",
                "TMP_BASE_DIR=/tmp/notebookdeploy",
            ],
        ),
        (
            "logrotate",
            "@daily",
            "stakater/logrotate:3.13.0",
            vec![
                "bash",
                "-c",
                "cp /etc/logrotate.conf.orig /etc/logrotate.conf && chown root:root /etc/logrotate.conf \
                 && chmod 644 /etc/logrotate.conf && /usr/sbin/logrotate -v /etc/logrotate.conf",
            ],
            vec![
                "/var/log/birdhouse:/var/log/birdhouse",
                "/data/logrotate:/var/lib",
                "/opt/birdhouse-deploy/birdhouse/components/scheduler/logrotate.conf:\
                 /etc/logrotate.conf.orig:ro",
            ],
            vec![],
        ),
        (
            "logrotate-nginx",
            "*/10 * * * *",
            "stakater/logrotate:3.13.0",
            vec![
                "bash",
                "-c",
                "cp /etc/logrotate.conf.orig /etc/logrotate.conf && chmod 644 /etc/logrotate.conf && \
                 /usr/sbin/logrotate -v /etc/logrotate.conf >> /var/log/birdhouse/logrotate-nginx.log 2>&1",
            ],
            vec![
                "/var/log/birdhouse:/var/log/birdhouse",
                "birdhouse_proxy-logs:/var/log/nginx/",
                "/opt/birdhouse-deploy/birdhouse/logrotate-nginx.conf:/etc/logrotate.conf.orig:ro",
            ],
            vec![],
        ),
        (
            "renew_letsencrypt_ssl",
            "22 5 * * 0",
            COMPOSE,
            vec!["/opt/birdhouse-deploy/birdhouse/deployment/certbotwrapper"],
            vec![
                sock,
                "/opt/birdhouse-deploy/birdhouse:/opt/birdhouse-deploy/birdhouse:ro",
                "/var/log/birdhouse:/var/log/birdhouse",
                "/etc/ssl:/etc/ssl",
                "/opt/conf:/opt/conf:ro",
            ],
            vec![
                "CERTBOTWRAPPER_LOGFILE=/var/log/birdhouse/renew_letsencrypt_ssl.log",
                "CERTBOT_RENEW=1",
                "COMPOSE_DIR=/opt/birdhouse-deploy/birdhouse",
                "FORCE_CERTBOT_E2E=1",
            ],
        ),
        (
            "deploy_raven_testdata_to_thredds",
            "*/30 * * * *",
            "docker:28.5.1-cli",
            vec!["/deploy-data", "/config.yml"],
            vec![
                sock,
                "/opt/birdhouse-deploy/birdhouse/deployment/deploy-data:/deploy-data:ro",
                "/opt/birdhouse-deploy/birdhouse/raven.yml:/config.yml:ro",
                "/data/deploy_data_cache/raven:/data/deploy_data_cache/raven",
                "/var/log/birdhouse:/var/log/birdhouse",
            ],
            vec![
                "DEPLOY_DATA_CHECKOUT_CACHE=/data/deploy_data_cache/raven",
                "DEPLOY_DATA_LOGFILE=/var/log/birdhouse/raven.log",
            ],
        ),
        (
            "deploy_xclim_testdata_to_thredds",
            "7,37 * * * *",
            "docker:28.5.1-cli",
            vec!["/deploy-data", "/config.yml"],
            vec![
                sock,
                "/opt/birdhouse-deploy/birdhouse/deployment/deploy-data:/deploy-data:ro",
                "/opt/birdhouse-deploy/birdhouse/xclim.yml:/config.yml:ro",
                "/data/deploy_data_cache/xclim:/data/deploy_data_cache/xclim",
                "/var/log/birdhouse:/var/log/birdhouse",
            ],
            vec![
                "DEPLOY_DATA_CHECKOUT_CACHE=/data/deploy_data_cache/xclim",
                "DEPLOY_DATA_LOGFILE=/var/log/birdhouse/xclim.log",
            ],
        ),
        (
            "clean_old_files_finch",
            "5 4 * * 0",
            "alpine:3.21",
            vec!["/clean-old-files.sh", "30", "atime", "/wps_outputs/finch"],
            vec![
                "/opt/birdhouse-deploy/birdhouse/clean-old-files.sh:/clean-old-files.sh:ro",
                "birdhouse_wps_outputs:/wps_outputs",
            ],
            vec![],
        ),
        (
            "store_backups_to_restic_repository",
            "1 1 * * *",
            "docker:28.5.1-cli",
            vec!["/opt/birdhouse-deploy/bin/birdhouse", "backup", "create", "-a", "*", "-u", "*"],
            vec![
                sock,
                "/opt/birdhouse-deploy:/opt/birdhouse-deploy",
                "/opt/conf/env.local:/opt/conf/env.local:ro",
                "/root/.ssh:/root/.ssh:ro",
                "/opt/conf/restic.env:/opt/conf/restic.env:ro",
            ],
            vec![
                "BIRDHOUSE_BACKWARD_COMPATIBLE_ALLOWED=True",
                "BIRDHOUSE_COLOR=0",
                "BIRDHOUSE_COMPOSE=/opt/birdhouse-deploy/birdhouse/birdhouse-compose.sh",
                "BIRDHOUSE_LOCAL_ENV=/opt/conf/env.local",
                "BIRDHOUSE_LOG_LEVEL=INFO",
                "BIRDHOUSE_LOG_QUIET=True",
            ],
        ),
    ];
    for (name, schedule, image, command, mounts, environment) in rows {
        let job = jobs.iter().find(|job| job.name == name).unwrap_or_else(|| panic!("{name}"));
        assert_eq!(job.schedule, Schedule::parse(schedule).expect("valid"), "{name}");
        let run = run(job);
        let (found_image, found_command, found_mounts, found_environment) = told(&run);
        assert_eq!(found_image, image, "{name}");
        assert_eq!(found_command, command, "{name}");
        let normal = |mount: &str| mount.replace("/nginx/", "/nginx").replace("nginx:ro", "nginx");
        let found: Vec<String> = found_mounts.iter().map(|mount| normal(mount)).collect();
        let expected: Vec<String> = mounts.iter().map(|mount| normal(mount)).collect();
        assert_eq!(found, expected, "{name}");
        assert_eq!(found_environment, environment, "{name}");
        // `--rm --name NAME` stands behind all other flags.
        assert_eq!(run.service.container_name.as_deref(), Some(name));
        assert!(!run.keep && run.service.entrypoint.is_none(), "{name}");
    }
    let nginx = jobs.iter().find(|job| job.name == "logrotate-nginx").expect("there");
    let [Work::Exec(trigger)] = nginx.work.then() else { panic!("a trigger") };
    assert_eq!(trigger.target, Target::Name("proxy".to_owned()));
    assert_eq!(trigger.command[..2], ["bash", "-c"]);
    assert!(trigger.command[2].contains("kill -USR1 `cat"), "{:?}", trigger.command);
    let clean = jobs.iter().find(|job| job.name == "clean_old_files_finch").expect("there");
    let redirect = run(clean).redirect;
    let file = redirect.stdout.clone().expect("redirected");
    assert_eq!((file.path.to_str(), file.append), (Some("/logs/clean_old_files.log"), true));
    assert_eq!(redirect.stderr, redirect.stdout);
}

#[test]
fn the_jobs_of_the_field_are_read() {
    let jobs = jobs(RENDERED);
    let names: Vec<&str> = jobs.iter().map(|job| job.name.as_str()).collect();
    assert_eq!(
        names[9..],
        ["hello", "local", "in-container", "every", "start", "start-onstart", "hello-2"]
    );
    let local = jobs.iter().find(|job| job.name == "local").expect("there");
    let Work::Command(command) = &local.work else { panic!("a command") };
    assert_eq!(command.argv, ["df", "-h"]);
    let inside = jobs.iter().find(|job| job.name == "in-container").expect("there");
    let Work::Exec(inside) = &inside.work else { panic!("an exec") };
    let Exec { target, scope, command, .. } = inside.as_ref();
    let service = Target::Service { project: "birdhouse".to_owned(), service: "weaver".to_owned() };
    assert_eq!((target, *scope), (&service, Scope::All));
    assert_eq!(command, &["sh", "-c", "weaver clean && weaver check"]);
    let start = jobs.iter().find(|job| job.name == "start-onstart").expect("there");
    assert_eq!(start.schedule, Schedule::Startup);
    let Work::Group(group) = &start.work else { panic!("a group") };
    assert_eq!(group.jobs, ["start"]);
}

#[test]
fn says_what_is_skipped_refused_or_otherwise() {
    let rows = [
        ("- {name: a, command: b, image: c}", 0, "`a` is skipped: it has no `schedule`"),
        ("- {name: a, schedule: '@daily', image: c}", 0, "`a` is skipped: it has no `command`"),
        (
            "- {name: a, schedule: '@daily', command: b, image: c, dockerargs: --frob}",
            0,
            "`a` is refused: `dockerargs`: `--frob` is no flag",
        ),
        (
            "- {name: ab, schedule: '@daily', command: b && c, image: c}",
            1,
            "`&` in `command` needs a shell",
        ),
        ("- {name: ab, schedule: '@every 2h', command: b, image: c}", 1, "at other times"),
        ("- {name: ab, schedule: '0 0 5 * * *', command: b, image: c}", 1, "six fields"),
        ("- {name: ab, schedule: '61 5 * * *', command: b, image: c}", 0, "no minute"),
        (
            "- {name: a b, schedule: '@daily', command: b, image: c}\n\
             - {name: a b, schedule: '@daily', command: b, image: c}",
            2,
            "there is a job `a b` already",
        ),
        ("{a: b}", 0, "expected a list"),
        ("- {name: ab, schedule: '@daily', command: b, image: c, random: 5}", 1, "`random`"),
        ("- {name: ab, schedule: '@daily', command: b}", 1, "AUTODEPLOY_ALLOW_COMMANDS"),
    ];
    for (text, count, expected) in rows {
        let imported = imported(text);
        assert_eq!(imported.jobs.len(), count, "{text}: {:#?}", imported.problems);
        let told: Vec<String> =
            imported.problems.iter().map(crate::problem::Problem::plain).collect();
        assert!(told.iter().any(|it| it.contains(expected)), "{text}: {told:#?}");
    }
}

#[test]
fn puts_variables_in_where_birdhouse_did() {
    let text = "- {name: ab, schedule: '@daily', command: 'echo $IMG ''$IMG''', image: '${IMG}'}";
    let jobs = jobs(text);
    let run = run(&jobs[0]);
    assert_eq!(run.service.image, "alpine:3.21");
    assert_eq!(
        run.service.command.as_deref(),
        Some(&["echo".to_owned(), "alpine:3.21".to_owned(), "$IMG".to_owned()][..])
    );
    // What is written into a file names the variable, and not its value.
    assert!(imported(text).jobs[0].yaml().contains("${IMG:-}"));
    assert_eq!(run.redirect, Redirect::default());
}

#[test]
fn a_missing_bracket_among_flags_loses_only_its_job() {
    let text = "- {name: ab, schedule: '@daily', command: b, image: c, dockerargs: '-v /a:/b \"'}\n\
                - {name: cd, schedule: '@daily', command: b, image: c}";
    let imported = imported(text);
    assert_eq!(imported.jobs.len(), 1);
    assert_eq!(imported.jobs[0].job.name, "cd");
}

/// An entry without its `schedule`, what is in our form of it, what is told.
#[test]
fn each_field_is_done_or_told() {
    let rows = [
        ("command: b, image: c", "schedule: 7 5 * * *\n", ""),
        ("command: b, image: c", "overlap: skip\n", ""),
        ("command: b, image: c", "catch_up: none\n", ""),
        ("name: ab, command: b, image: c", "container_name: ab\n", ""),
        ("name: A b!, command: b, image: c", "name: A-b\n", ""),
        ("command: b, image: c, dockerargs: '--name xy'", "container_name: xy\n", ""),
        ("name: ab, command: b, image: c, dockerargs: '--name xy'", "container_name: ab\n", ""),
        ("comment: says it, command: b, image: c", "description: says it\n", ""),
        ("command: b, image: '${IMG}'", "image: ${IMG:-}\n", ""),
        ("command: b, image: c, volumes: ['/a:/b:ro']", "- /a:/b:ro\n", ""),
        ("command: b, image: c, ports: ['80:80']", "- 80:80\n", ""),
        ("command: b, image: c, expose: [80]", "expose:\n", ""),
        ("command: b, image: c, environment: ['A=b c']", "- A=b c\n", ""),
        ("command: b, image: c, network: front", "front:", ""),
        ("command: b, image: c, project: p", "image: c\n", "`project` means nothing with `image`"),
        (
            "command: b, image: c, container: d",
            "image: c\n",
            "`container` means nothing with `image`",
        ),
        ("command: b, container: c", "container: c\n", ""),
        ("command: b, container: c, dockerargs: '-u 1 -w /d -e A=b'", "user: '1'\n", ""),
        (
            "command: b, container: c, volumes: ['/a:/b']",
            "container: c\n",
            "`volumes` means nothing with `container`",
        ),
        ("command: b, container: c, project: p", "scope: all\n", ""),
        (
            "command: b, dockerargs: '-v /a:/b'",
            "argv:\n",
            "`dockerargs` means nothing without `image`",
        ),
        ("command: b", "argv:\n", "AUTODEPLOY_ALLOW_COMMANDS"),
        ("command: 'b >> /c 2>&1', image: c", "file: /c\n", ""),
        ("command: 'b \\*', image: c", "- '*'\n", ""),
        ("command: 'b | c', image: d", "- b | c\n", "needs a shell"),
        ("command: b, image: c, trigger: [{command: d, container: e}]", "then:\n", ""),
        ("command: b, image: c, trigger: [{container: e}]", "image: c\n", "is skipped"),
        ("command: b, image: c, onstart: true", "image: c\n", ""),
        ("command: b, image: c, random: 5", "image: c\n", "`random` means nothing"),
        ("command: b, image: c, schedule: '@hourly'", "schedule: '@hourly'\n", ""),
        ("command: b, image: c, schedule: '@reboot'", "schedule: '@reboot'\n", ""),
        ("command: b, image: c, schedule: '@every 30m'", "schedule: '@every 30m'\n", ""),
        (
            "command: b, image: c, schedule: '@every 1d2h'",
            "schedule: '@every 1d2h'\n",
            "at other times",
        ),
        ("command: b, image: c, schedule: '0 0 1 * MON'", "schedule: 0 0 1 * MON\n", ""),
    ];
    for (entry, expected, told) in rows {
        let usual = if entry.contains("schedule:") { "" } else { ", schedule: '7 5 * * *'" };
        let imported = imported(&format!("- {{{entry}{usual}}}"));
        assert!(!imported.jobs.is_empty(), "{entry}: {:#?}", imported.problems);
        // Quotes of YAML are of one kind here.
        let yaml = imported.jobs[0].yaml().replace('"', "'");
        assert!(yaml.contains(expected), "{entry}: {yaml}");
        let all: Vec<String> =
            imported.problems.iter().map(crate::problem::Problem::plain).collect();
        if told.is_empty() {
            assert!(all.is_empty(), "{entry}: {all:?}");
        } else {
            assert!(all.iter().any(|it| it.contains(told)), "{entry}: {all:?}");
        }
    }
}
