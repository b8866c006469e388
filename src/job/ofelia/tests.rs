//! Labels and INI files as people write them.

use super::*;
use crate::compose::model::PullPolicy;
use crate::job::native::NoFiles;
use crate::job::native::tests::settings;
use crate::job::work::{Target, Work};
use crate::job::{Job, Overlap, WebhookFormat, When};

fn container(
    name: &str,
    compose: Option<(&str, &str)>,
    labels: &[(&str, &str)],
) -> LabelledContainer {
    LabelledContainer {
        name: name.to_owned(),
        labels: labels
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect(),
        project: compose.map(|(project, _)| project.to_owned()),
        service: compose.map(|(_, service)| service.to_owned()),
        running: true,
        is_ours: false,
    }
}

fn of_labels(containers: &[LabelledContainer]) -> (Vec<Job>, Vec<String>) {
    of_labels_with(containers, &[])
}

fn of_labels_with(containers: &[LabelledContainer], grants: &[&str]) -> (Vec<Job>, Vec<String>) {
    let mut settings = settings();
    let grants = grants.iter().map(|text| Grant::parse(text).expect("a grant"));
    settings.schedulers.ofelia_grants = grants.collect();
    let variables = &settings.variables;
    let context = Context { settings: &settings, variables, toplevel: &|_| None, files: &NoFiles };
    let (jobs, problems) = jobs_of_labels(containers, &context);
    let jobs = jobs.into_iter().map(|it| it.job).collect();
    (jobs, problems.0.iter().map(Problem::plain).collect())
}

fn of_ini(text: &str, dialect: Dialect) -> (Vec<Job>, Vec<String>) {
    let settings = settings();
    let variables = &settings.variables;
    let context = Context { settings: &settings, variables, toplevel: &|_| None, files: &NoFiles };
    told(read_ini(text, "config.ini", dialect, &context, &[]))
}

fn told(imported: Imported) -> (Vec<Job>, Vec<String>) {
    let problems = imported.problems.iter().map(Problem::plain).collect();
    (imported.jobs.into_iter().map(|it| it.job).collect(), problems)
}

fn shown(job: &Job) -> String {
    let what = match &job.work {
        Work::Exec(exec) => match &exec.target {
            Target::Name(name) => format!("exec {name} {:?} {:?}", exec.command, exec.user),
            other => format!("{other:?}"),
        },
        Work::Run(run) => {
            let service = run.container.unpack().service;
            format!("run {} {:?}", service.image, service.command)
        }
        Work::Command(command) => format!("command {:?}", command.argv),
        other => other.kind().to_owned(),
    };
    format!("{} {} {what}", job.name, job.schedule)
}

#[test]
fn reads_labels_as_ofelia_does() {
    let enabled = ("ofelia.enabled", "true");
    let web = container(
        "shop-web-1",
        Some(("shop", "web")),
        &[
            enabled,
            ("ofelia.job-exec.clean.schedule", "@every 1h"),
            ("ofelia.job-exec.clean.command", "sh -c 'rm -rf /tmp/$X && true'"),
            // Forced to the container that carries the label.
            ("ofelia.job-exec.clean.container", "other"),
            ("ofelia.job-exec.clean.no-overlap", "true"),
            ("ofelia.job-run.stray.schedule", "@daily"),
            ("ofelia.job-run.stray.image", "alpine"),
            ("com.docker.compose.project", "shop"),
        ],
    );
    let scheduler = container(
        "ofelia",
        None,
        &[
            enabled,
            ("ofelia.service", "true"),
            ("ofelia.job-run.report.schedule", "0 20 * * *"),
            ("ofelia.job-run.report.image", "alpine:3.21"),
            ("ofelia.job-run.report.command", "date -u"),
            ("ofelia.job-run.report.volume", "[\"/a:/b\", \"cc:/d:ro\"]"),
            ("ofelia.job-run.report.environment", "A=b"),
            ("ofelia.job-run.report.delete", "false"),
            ("ofelia.job-run.report.pull", "false"),
            ("ofelia.job-run.report.network", "front"),
            ("ofelia.job-exec.other.schedule", "@daily"),
            ("ofelia.job-exec.other.command", "true"),
            ("ofelia.job-exec.other.container", "shop-web-1"),
            ("ofelia.job-local.here.schedule", "@daily"),
            ("ofelia.job-local.here.command", "df -h"),
            ("ofelia.job-service-run.swarm.schedule", "@daily"),
            ("ofelia.job-service-run.swarm.image", "alpine"),
        ],
    );
    let other = container(
        "blog-web-1",
        Some(("blog", "web")),
        &[
            ("chadburn.enabled", "true"),
            ("chadburn.job-exec.clean.schedule", "*/5 * * * *"),
            ("chadburn.job-exec.clean.command", "true"),
            ("chadburn.job-exec.clean.user", "www-data"),
        ],
    );
    let silent = container("a", None, &[("ofelia.job-exec.x.schedule", "@daily")]);
    let stopped = LabelledContainer { running: false, ..web.clone() };
    let (jobs, problems) = of_labels(&[scheduler, web, other, silent, stopped]);
    assert_eq!(
        jobs.iter().map(shown).collect::<Vec<_>>(),
        [
            "blog.web.exec.clean */5 * * * * exec blog-web-1 [\"true\"] Some(\"www-data\")",
            "ofelia.exec.other @daily exec shop-web-1 [\"true\"] Some(\"root\")",
            "ofelia.local.here @daily command [\"df\", \"-h\"]",
            "ofelia.run.report 0 20 * * * run alpine:3.21 Some([\"date\", \"-u\"])",
            "shop.web.exec.clean @every 1h exec shop-web-1 [\"sh\", \"-c\", \"rm -rf /tmp/$X && true\"] \
             Some(\"root\")",
        ]
    );
    let report = &jobs[3];
    assert_eq!((report.policy.overlap, jobs[4].policy.overlap), (Overlap::Allow, Overlap::Skip));
    let Work::Run(run) = &report.work else { panic!("a run") };
    let run = run.container.unpack();
    assert!(
        run.keep && run.service.volumes.len() == 2 && run.service.networks.contains_key("front")
    );
    let all = problems.join("\n");
    for expected in [
        "`job-run` of `stray` is left out",
        "AUTODEPLOY_OFELIA_LABEL_JOBS=run",
        "Swarm",
        "0 20 * * *",
    ] {
        assert!(all.contains(expected), "{expected}: {all}");
    }
}

#[test]
fn of_two_replicas_both_stay_and_a_warning_says_so() {
    let labels = [
        ("ofelia.enabled", "true"),
        ("ofelia.job-exec.a.schedule", "@daily"),
        ("ofelia.job-exec.a.command", "true"),
    ];
    let replicas = [
        container("shop-web-2", Some(("shop", "web")), &labels),
        container("shop-web-1", Some(("shop", "web")), &labels),
    ];
    let (jobs, problems) = of_labels(&replicas);
    let names: Vec<String> = jobs.iter().map(shown).collect();
    assert!(names[0].starts_with("shop.web.exec.a @daily exec shop-web-1"), "{names:?}");
    assert!(names[1].starts_with("shop.web.exec.a-2 @daily exec shop-web-2"), "{names:?}");
    assert!(problems[0].contains("container shop-web-2: there is a job"), "{problems:?}");
}

#[test]
fn reads_the_ini_file() {
    let text = "\u{feff}; a comment\n[global]\ndefault-user = app\n\n\
        [job-exec \"a b\"]\nschedule = @hourly ; behind\nCONTAINER = web\ncommand = touch \"/tmp/x y\" \\\n  z\n\
        environment = A=1\nenvironment = B=\"x y\"\nno-overlap\n\n\
        [job-run \"r\"]\nschedule = 0 20 * * *\nimage = alpine\nvolume = /a:/b\nvolume = cc:/d:ro\n\
        max-retries = 3\nretry-delay-ms = 500\nhistory-limit = 5\nmax-runtime = 2h\nrun-on-startup = true\n\
        on-success = after\n[job-local \"after\"]\nschedule = @triggered\ncommand = \"echo #1\"\n\
        [job-run \"r\"]\nuser = default\n";
    let (jobs, problems) = of_ini(text, Dialect::V1);
    let shown: Vec<String> = jobs.iter().map(shown).collect();
    assert_eq!(shown.len(), 4, "{shown:?} {problems:?}");
    // Quotes of the file are gone before the command is split.
    assert_eq!(
        shown[0],
        "a-b @hourly exec web [\"touch\", \"/tmp/x\", \"y\", \"z\"] Some(\"app\")"
    );
    assert_eq!(jobs[0].policy.overlap, Overlap::Skip);
    let Work::Exec(exec) = &jobs[0].work else { panic!("an exec") };
    assert_eq!(exec.environment["B"], "x y");
    // Minute 20 of each hour, as 0.3 reads it.
    assert!(
        !jobs[1].schedule.to_string().starts_with("0 20 * * *")
            || jobs[1].schedule.to_string().len() > 10
    );
    assert_eq!((jobs[1].policy.retry.max, jobs[1].keep.runs), (3, 5));
    let Work::Run(run) = &jobs[1].work else { panic!("a run") };
    let run = run.container.unpack();
    assert_eq!((run.service.volumes.len(), run.service.user.as_deref()), (2, None));
    let after = jobs.iter().find(|job| job.name == "after").expect("there");
    assert_eq!(after.on, [crate::job::On::Ended { job: "r".to_owned(), when: When::Success }]);
}

#[test]
fn refuses_an_ini_file_as_a_whole() {
    for (text, expected) in [
        (
            "[job-exec \"a\"]\nschedul = @daily",
            "2:1: unknown key `schedul` of `job-exec` (did you mean `schedule`?)",
        ),
        ("[job-exek \"a\"]", "unknown section `job-exek` (did you mean `job-exec`?)"),
        ("[job-exec]", "has no name"),
        ("a = b", "stands in no section"),
        ("[job-exec \"a\"]\ncommand = \"a", "never closed"),
        ("[job-exec \"a\"]\ncommand = a\\q", "no escape"),
    ] {
        let (jobs, problems) = of_ini(&format!("{text}\n"), Dialect::Auto);
        assert!(jobs.is_empty() && problems.iter().any(|it| it.contains(expected)), "{problems:?}");
    }
}

#[test]
fn says_why_a_job_is_refused() {
    for (text, expected) in [
        ("[job-exec \"a\"]\nschedule = @daily\ncommand = b", "names no `container`"),
        ("[job-exec \"a\"]\nschedule = @daily\ncontainer = b", "has no `command`"),
        ("[job-run \"a\"]\nschedule = @daily", "neither `image` nor `container`"),
        ("[job-run \"a\"]\nimage = b", "has no `schedule`"),
        ("[job-service-run \"a\"]\nschedule = @daily\nimage = b", "Swarm"),
        ("[job-run \"a\"]\nschedule = 61 * * * *\nimage = b", "no minute"),
    ] {
        let (jobs, problems) = of_ini(&format!("{text}\n"), Dialect::Auto);
        assert!(jobs.is_empty(), "{text}");
        assert!(problems.iter().any(|it| it.contains(expected)), "{text}: {problems:?}");
    }
}

#[test]
fn jobs_that_reach_beyond_their_container_need_leave() {
    let labels = [
        ("ofelia.enabled", "true"),
        ("ofelia.job-run.a.schedule", "@daily"),
        ("ofelia.job-run.a.image", "alpine"),
        ("ofelia.job-local.b.schedule", "@daily"),
        ("ofelia.job-local.b.command", "df"),
        ("ofelia.job-exec.c.schedule", "@daily"),
        ("ofelia.job-exec.c.command", "true"),
        ("ofelia.job-exec.c.privileged", "true"),
        ("ofelia.job-service-run.d.schedule", "@daily"),
        ("ofelia.job-service-run.d.image", "alpine"),
    ];
    let web = container("shop-web-1", Some(("shop", "web")), &labels);
    for (grants, expected, is_privileged, told) in [
        (&[][..], &["exec.c"][..], false, 4),
        (&["run"], &["exec.c", "run.a"], true, 2),
        (&["job-run:shop"], &["exec.c", "run.a"], true, 2),
        (&["run:shop-web-1", "local:shop"], &["exec.c", "local.b", "run.a"], true, 1),
        (&["run:blog", "compose"], &["exec.c"], false, 4),
    ] {
        let (jobs, problems) = of_labels_with(std::slice::from_ref(&web), grants);
        let names: Vec<&str> =
            jobs.iter().filter_map(|job| job.name.strip_prefix("shop.web.")).collect();
        assert_eq!(names, expected, "{grants:?}: {problems:#?}");
        let Work::Exec(exec) = &jobs[0].work else { panic!("an exec") };
        assert_eq!(exec.privileged, is_privileged, "{grants:?}");
        assert_eq!(problems.len(), told, "{grants:?}: {problems:#?}");
    }
    for (text, near) in [("runs", Some("run")), ("exec", None), ("run:", Some("run"))] {
        assert_eq!(Grant::parse(text).expect_err(text).near, near, "{text}");
    }
}

#[test]
fn jobs_of_labels_that_set_each_other_off_in_a_circle_are_left_out() {
    let (jobs, problems) = of_labels(&[container(
        "web",
        None,
        &[
            ("ofelia.enabled", "true"),
            ("ofelia.job-exec.a.schedule", "@daily"),
            ("ofelia.job-exec.a.command", "true"),
            ("ofelia.job-exec.a.on-success", "b"),
            ("ofelia.job-exec.b.schedule", "@daily"),
            ("ofelia.job-exec.b.command", "true"),
            ("ofelia.job-exec.b.on-success", "a"),
            ("ofelia.job-exec.c.schedule", "@daily"),
            ("ofelia.job-exec.c.command", "true"),
        ],
    )]);
    let names: Vec<&str> = jobs.iter().map(|job| job.name.as_str()).collect();
    assert_eq!(names, ["web.exec.c"]);
    assert!(problems.iter().any(|it| it.contains("in a circle")), "{problems:?}");
}

/// The `[global]` and the parameters of a job, its webhooks, what is told.
type Row<'a> = (&'a str, &'a str, &'a [(WebhookFormat, &'a str)], &'a str);

#[test]
fn whom_ofelia_told_is_told() {
    use WebhookFormat::{Gotify, Json, Slack, Teams};
    let own = "slack-webhook = https://hooks.slack.com/x";
    let rows: [Row<'_>; 14] = [
        ("", own, &[(Slack, "https://hooks.slack.com/x")], "not of each run"),
        (
            "",
            &format!("{own}\nslack-only-on-error = true"),
            &[(Slack, "https://hooks.slack.com/x")],
            "",
        ),
        (own, "slack-only-on-error = true", &[(Slack, "https://hooks.slack.com/x")], ""),
        (
            &format!("{own}\nslack-only-on-error = true"),
            "slack-webhook = https://other.example",
            &[(Slack, "https://other.example")],
            "",
        ),
        (
            "",
            "gotify-webhook = https://g.example/message?token=$t\ngotify-only-on-error = true",
            &[(Gotify, "https://g.example/message?token=$t")],
            "",
        ),
        (
            "",
            "teams-webhook = https://t.example\nteams-only-on-error = true",
            &[(Teams, "https://t.example")],
            "",
        ),
        ("", "webhooks = plain", &[(Json, "https://p.example/hook")], ""),
        ("webhooks = plain", "", &[(Json, "https://p.example/hook")], ""),
        (
            "webhooks = plain",
            "webhooks = slack, gotify",
            &[
                (Gotify, "https://g.example/message"),
                (Json, "https://p.example/hook"),
                (Slack, "https://hooks.slack.com/services/T0/B0/abc"),
            ],
            "not of each run",
        ),
        ("", "webhooks = none", &[], "there is no webhook `none`"),
        ("", "webhooks = page", &[], "in the form of `pagerduty` are not sent"),
        ("", "webhooks = glad", &[], "told of `success` only"),
        ("", "smtp-host = a\nemail-to = b", &[], "mail is not sent"),
        ("", "gotify-priority = 5", &[], "has priority 8"),
    ];
    let sections = "[webhook \"plain\"]\nurl = https://p.example/hook\nretry-count = 3\n\
        [webhook \"slack\"]\npreset = slack\nid = T0/B0\nsecret = abc\ntrigger = always\n\
        [webhook \"gotify\"]\npreset = gotify\nurl = https://g.example\nsecret = key\n\
        [webhook \"page\"]\npreset = pagerduty\nsecret = key\n\
        [webhook \"glad\"]\nurl = https://p.example\ntrigger = success\n\
        [webhook \"check\"]\npreset = healthchecks\nid = some-uuid\n";
    for (global, parameters, expected, told) in rows {
        let text = format!(
            "[global]\n{global}\n{sections}[job-exec \"a\"]\nschedule = @daily\ncontainer = c\n\
             command = d\n{parameters}\n"
        );
        let (jobs, problems) = of_ini(&text, Dialect::Auto);
        let [job] = jobs.as_slice() else { panic!("{text}: {problems:?}") };
        let found: Vec<_> =
            job.notify.webhooks.iter().map(|it| (it.format, it.url.expose())).collect();
        assert_eq!(found, expected, "{parameters}");
        if told.is_empty() {
            assert!(problems.is_empty(), "{parameters}: {problems:?}");
        } else {
            assert!(problems.iter().any(|it| it.contains(told)), "{parameters}: {problems:?}");
        }
        assert!(problems.iter().all(|it| !it.contains("example")), "no address is told");
    }
    let (jobs, _) = of_ini(
        &format!(
            "{sections}[job-exec \"a\"]\nschedule = @daily\ncontainer = c\ncommand = d\n\
             webhooks = check,gotify"
        ),
        Dialect::Auto,
    );
    let notify = &jobs[0].notify;
    assert_eq!(
        notify.ping.as_ref().map(|it| it.url.expose()),
        Some("https://hc-ping.com/some-uuid")
    );
    assert_eq!(notify.webhooks[0].headers[0].1.expose(), "key");
}

#[test]
fn webhooks_of_labels_are_those_of_the_service_container() {
    let service = container(
        "ofelia",
        None,
        &[
            ("ofelia.enabled", "true"),
            ("ofelia.service", "true"),
            ("ofelia.webhooks", "chat"),
            ("ofelia.webhook.chat.preset", "teams"),
            ("ofelia.webhook.chat.url", "https://t.example"),
        ],
    );
    let labels = [
        ("ofelia.enabled", "true"),
        ("ofelia.webhook.chat.url", "https://stray.example"),
        ("ofelia.job-exec.a.schedule", "@daily"),
        ("ofelia.job-exec.a.command", "true"),
    ];
    let (jobs, problems) = of_labels(&[service, container("web", None, &labels)]);
    let [job] = jobs.as_slice() else { panic!("{problems:?}") };
    assert_eq!(job.notify.webhooks[0].url.expose(), "https://t.example");
    assert!(problems[0].contains("names no type of job"), "{problems:?}");
}

#[test]
fn parameters_that_say_nothing_to_a_type_are_told() {
    for (kind, parameters, expected) in [
        (
            "job-exec",
            "container = b\ncommand = c\nhostname = d",
            "`hostname` of `a` means nothing to a `job-exec`",
        ),
        (
            "job-exec",
            "container = b\ncommand = c\nenv-file = /d",
            "`env-file` of `a` means nothing",
        ),
        (
            "job-local",
            "command = c\nenv-from = d",
            "`env-from` of `a` means nothing to a `job-local`",
        ),
        ("job-run", "image = b\ndir = /d", "`dir` of `a` means nothing to a `job-run`"),
        ("job-run", "image = b\nsave-folder = /d", "see `roadstead logs`"),
    ] {
        let (jobs, problems) =
            of_ini(&format!("[{kind} \"a\"]\nschedule = @daily\n{parameters}\n"), Dialect::Auto);
        assert_eq!(jobs.len(), 1, "{problems:?}");
        assert!(problems.iter().any(|it| it.contains(expected)), "{parameters}: {problems:?}");
    }
}

#[test]
fn pulls_and_borrows_as_ofelia_does() {
    for (parameters, policy, falls_back) in [
        ("", PullPolicy::Always, true),
        ("pull = true", PullPolicy::Always, true),
        ("pull = false", PullPolicy::Missing, false),
        // As Go: what is no truth is false.
        ("pull = maybe", PullPolicy::Missing, false),
    ] {
        let text = format!(
            "[job-run \"a\"]\nschedule = @daily\nimage = b\nenv-from = web\nenv-from = db\n{parameters}\n"
        );
        let (jobs, problems) = of_ini(&text, Dialect::Auto);
        let Work::Run(run) = &jobs[0].work else { panic!("{problems:?}") };
        let run = run.container.unpack();
        assert_eq!(
            (&run.service.pull_policy, run.pull_fallback),
            (&policy, falls_back),
            "{parameters}"
        );
        assert_eq!(run.env_from, ["web", "db"]);
    }
}

#[test]
fn our_own_container_stands_in_the_place_of_ofelias() {
    // What people write on Ofelia's container: its image carries `enabled` and `service` itself.
    let labels =
        [("ofelia.job-run.a.schedule", "@daily"), ("ofelia.job-run.a.image", "alpine:3.21")];
    let own = container("scheduler", Some(("stack", "ofelia")), &labels);
    assert!(of_labels(std::slice::from_ref(&own)).0.is_empty());
    let (jobs, problems) = of_labels(&[LabelledContainer { is_ours: true, ..own }]);
    assert_eq!(jobs[0].name, "stack.ofelia.run.a", "{problems:?}");
}
