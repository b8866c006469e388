//! Jobs in labels of containers, followed while they come and go.

use crate::support::scene::PATIENCE;
use crate::support::{Engine, Roadstead, unique, wait_for};

#[test]
fn a_container_brings_its_jobs_and_takes_them_with_it() {
    let engine = Engine::shared();
    let name = unique("labels");
    let label = |rest: &str| format!("ofelia.job-exec.{name}.{rest}");
    let schedule = label("schedule=@every 1s");
    let command = label("command=sh -c 'echo in-$HOSTNAME'");
    // The image knows no names of users.
    let user = label("user=0");
    let roadstead =
        Roadstead::new(&engine.host(), "AUTODEPLOY_OFELIA_LABELS=true\nAUTODEPLOY_TIMEZONE=UTC");
    let daemon = roadstead.serve();
    let job = format!("{name}.exec.{name}");
    wait_for("the daemon to serve", PATIENCE, || daemon.console().contains("serves"));
    let mut arguments = vec!["run", "--detach", "--name", &name, "--hostname", "inside"];
    for text in ["ofelia.enabled=true", &schedule, &command, &user] {
        arguments.extend(["--label", text]);
    }
    arguments.extend(["rs-test/app:1", "sleep", "600"]);
    engine.docker(&arguments);
    let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        wait_for("runs of the job", PATIENCE, || roadstead.log(&job).contains("in-inside"));
        // It is in no file: the daemon knows it.
        roadstead.run(&["pause", &job]).ok();
        roadstead.run(&["run", &job]).ok();
        // Commands that read files ask it for what they cannot know.
        roadstead.run(&["resume", &job]).ok();
        for command in [&["jobs"][..], &["status"], &["next", &job], &["explain", &job]] {
            assert!(roadstead.run(command).ok().contains(&job), "{command:?}");
        }
        assert!(roadstead.run(&["simulate", &job, "--limit", "3"]).ok().contains(&job));
        let exported = roadstead.run(&["export", &job]).ok();
        assert!(exported.contains("dialect: ofelia"), "{exported}");
        engine.docker(&["rm", "--force", &name]);
        wait_for("the job to go", PATIENCE, || {
            daemon.console().contains(&format!("job {job} is gone"))
                || roadstead.log("roadstead").contains(&format!("job {job} is gone"))
        });
    }));
    engine.try_docker(&["rm", "--force", &name]);
    if let Err(panic) = found {
        std::panic::resume_unwind(panic);
    }
}

/// A scheduler with jobs of its own and a site with a job of another container, as people write them.
#[test]
fn a_stack_with_labels_runs_as_ofelia_runs_it() {
    let engine = Engine::shared();
    let (scheduler, site) = (unique("scheduler"), unique("site"));
    // The image is there, and its registry is not: Ofelia runs what is there.
    let image = format!("127.0.0.1:1/{}:1", unique("tool"));
    engine.docker(&["tag", "rs-test/app:1", &image]);
    let settings = format!(
        "AUTODEPLOY_OFELIA_LABELS=true\nAUTODEPLOY_TIMEZONE=UTC\nAUTODEPLOY_OFELIA_LABEL_JOBS=run:{site}"
    );
    let roadstead = Roadstead::new(&engine.host(), &settings);
    let daemon = roadstead.serve();
    wait_for("the daemon to serve", PATIENCE, || daemon.console().contains("serves"));
    let start = |name: &str, environment: &str, labels: &[String]| {
        let mut arguments = vec!["run", "--detach", "--name", name, "--env", environment];
        for label in ["ofelia.enabled=true"].into_iter().chain(labels.iter().map(String::as_str)) {
            arguments.extend(["--label", label]);
        }
        arguments.extend(["rs-test/app:1", "sleep", "600"]);
        engine.docker(&arguments);
    };
    let run = |rest: &str| format!("ofelia.job-run.{rest}");
    let (own, of_site) = (format!("{scheduler}.run.report"), format!("{site}.run.report"));
    start(
        &scheduler,
        "WHO=scheduler",
        &[
            "ofelia.service=true".to_owned(),
            run("report.schedule=0 20 * * *"),
            run(&format!("report.image={image}")),
            run("report.command=sh -c 'echo $WHO-$WHAT'"),
            run("report.user=0"),
            run("report.environment=[\"WHAT=reports\"]"),
            run(&format!("report.env-from=[\"{scheduler}\", \"{site}\"]")),
        ],
    );
    start(
        &site,
        "WHO=site",
        &[
            run("report.schedule=@daily"),
            run(&format!("report.image={image}")),
            run("report.command=echo mine"),
            run("report.user=0"),
            "ofelia.job-exec.peek.schedule=@daily".to_owned(),
            "ofelia.job-exec.peek.command=sh -c 'echo peek-$WHO'".to_owned(),
            "ofelia.job-exec.peek.user=0".to_owned(),
            format!("ofelia.job-exec.peek.env-from={scheduler}"),
            "ofelia.job-local.host.schedule=@daily".to_owned(),
            "ofelia.job-local.host.command=id".to_owned(),
        ],
    );
    let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        wait_for("the jobs of both", PATIENCE, || {
            let jobs = roadstead.run(&["jobs", "--json"]).ok();
            jobs.contains(&own) && jobs.contains(&of_site)
        });
        assert!(!roadstead.run(&["jobs"]).ok().contains("local.host"), "nobody gave it leave");
        let told = roadstead.log("roadstead");
        for expected in [
            "`job-local` of `host` is left out",
            "AUTODEPLOY_OFELIA_LABEL_JOBS=local",
            "0 20 * * *",
        ] {
            assert!(told.contains(expected), "{expected}: {told}");
        }
        roadstead.run(&["run", &own]).ok();
        let log = roadstead.log(&own);
        assert!(log.contains("site-reports"), "the last container's, and its own: {log}");
        assert!(log.contains("the image that is there is run"), "{log}");
        roadstead.run(&["run", &of_site]).ok();
        assert!(roadstead.log(&of_site).contains("mine"));
        let peek = format!("{site}.exec.peek");
        roadstead.run(&["run", &peek]).ok();
        assert!(roadstead.log(&peek).contains("peek-scheduler"), "{}", roadstead.log(&peek));
    }));
    for name in [&scheduler, &site] {
        engine.try_docker(&["rm", "--force", name]);
    }
    engine.try_docker(&["rmi", &image]);
    if let Err(panic) = found {
        std::panic::resume_unwind(panic);
    }
}

#[test]
fn without_a_daemon_jobs_of_labels_are_said_not_to_be_known() {
    let labels = |setting: &str| Roadstead::new("unix:///nonexistent/docker.sock", setting);
    let followed = labels("AUTODEPLOY_OFELIA_LABELS=true\n");
    followed.write_job("a.yml", "{ name: a, schedule: '@daily', run: { image: a } }");
    for command in
        [&["jobs"][..], &["status"], &["next"], &["explain", "a"], &["simulate"], &["export"]]
    {
        let said = followed.run(command);
        assert_eq!(said.code, Some(0), "{command:?}: {}", said.stderr);
        assert!(
            said.stderr.contains("no `roadstead serve` is at work"),
            "{command:?}: {}",
            said.stderr
        );
    }
    let said = labels("").run(&["jobs"]);
    assert!(said.stderr.is_empty(), "{}", said.stderr);
}
