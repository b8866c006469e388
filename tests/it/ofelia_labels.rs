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
