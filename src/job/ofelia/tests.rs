//! Labels and INI files as people write them.

use super::*;
use crate::job::native::NoFiles;
use crate::job::native::tests::settings;
use crate::job::work::{Target, Work};
use crate::job::{Job, Overlap, When};

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
    }
}

fn of_labels(containers: &[LabelledContainer]) -> (Vec<Job>, Vec<String>) {
    let settings = settings();
    let variables = &settings.variables;
    let context = Context { settings: &settings, variables, toplevel: &|_| None, files: &NoFiles };
    let (jobs, problems) = jobs_of_labels(containers, Dialect::Auto, &context);
    (jobs, problems.0.iter().map(Problem::plain).collect())
}

fn of_ini(text: &str, dialect: Dialect) -> (Vec<Job>, Vec<String>) {
    let settings = settings();
    let variables = &settings.variables;
    let context = Context { settings: &settings, variables, toplevel: &|_| None, files: &NoFiles };
    told(read_ini(text, "config.ini", dialect, &context))
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
        Work::Run(run) => format!("run {} {:?}", run.service.image, run.service.command),
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
    assert!(
        run.keep && run.service.volumes.len() == 2 && run.service.networks.contains_key("front")
    );
    let all = problems.join("\n");
    for expected in ["`job-run` of `stray` is passed over", "Swarm", "0 20 * * *"] {
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
