//! What waits for what, what restarts with what, and work that is done.

use super::{Do, ROW, Row, check, check_on_both};

const DONE: &str = "services: {job: {image: APP, network_mode: none, command: ['true']}, web: {image: APP, network_mode: none, depends_on: {job: {condition: service_completed_successfully}}}}";

#[test]
fn dependents_restart_only_where_asked() {
    check(&[
        Row {
            name: "restart: true",
            before: "services: {db: {image: APP, network_mode: none}, web: {image: APP, network_mode: none, depends_on: {db: {condition: service_started, restart: true}}}}",
            after: "services: {db: {image: APP2, network_mode: none}, web: {image: APP, network_mode: none, depends_on: {db: {condition: service_started, restart: true}}}}",
            moved: "db-1 replaced, web-1 restarted",
            ..ROW
        },
        Row {
            name: "without it",
            before: "services: {db: {image: APP, network_mode: none}, web: {image: APP, network_mode: none, depends_on: [db]}}",
            after: "services: {db: {image: APP2, network_mode: none}, web: {image: APP, network_mode: none, depends_on: [db]}}",
            moved: "db-1 replaced",
            ..ROW
        },
        Row {
            name: "a dependency that only starts again",
            before: "services: {db: {image: APP, network_mode: none}, web: {image: APP, network_mode: none, depends_on: {db: {condition: service_started, restart: true}}}}",
            meanwhile: &[Do::Docker("stop PROJECT-db-1")],
            moved: "db-1 started",
            ..ROW
        },
        Row {
            name: "not further: what restarts is no other one",
            before: "services: {a: {image: APP, network_mode: none}, b: {image: APP, network_mode: none, depends_on: {a: {condition: service_started, restart: true}}}, c: {image: APP, network_mode: none, depends_on: {b: {condition: service_started, restart: true}}}}",
            after: "services: {a: {image: APP2, network_mode: none}, b: {image: APP, network_mode: none, depends_on: {a: {condition: service_started, restart: true}}}, c: {image: APP, network_mode: none, depends_on: {b: {condition: service_started, restart: true}}}}",
            moved: "a-1 replaced, b-1 restarted",
            ..ROW
        },
        Row {
            name: "a stopped dependent starts",
            before: "services: {db: {image: APP, network_mode: none}, web: {image: APP, network_mode: none, depends_on: {db: {condition: service_started, restart: true}}}}",
            meanwhile: &[Do::Docker("stop PROJECT-web-1")],
            after: "services: {db: {image: APP2, network_mode: none}, web: {image: APP, network_mode: none, depends_on: {db: {condition: service_started, restart: true}}}}",
            moved: "db-1 replaced, web-1 started",
            ..ROW
        },
    ]);
}

#[test]
fn conditions_hold_what_waits_for_them() {
    check(&[
        Row {
            name: "healthy",
            before: "services: {db: {image: APP, network_mode: none, healthcheck: {test: 'true', interval: 1s}}}",
            after: "services: {db: {image: APP2, network_mode: none, healthcheck: {test: 'true', interval: 1s}}, web: {image: APP, network_mode: none, depends_on: {db: {condition: service_healthy}}}}",
            moved: "db-1 replaced, web-1 created",
            ask: &[("inspect db-1 {{.State.Health.Status}}", "healthy")],
            ..ROW
        },
        Row {
            name: "never healthy: all is as it was",
            before: "services: {db: {image: APP, network_mode: none}, web: {image: APP, network_mode: none, depends_on: [db]}}",
            after: "services: {db: {image: 'rs-test/unhealthy:1', network_mode: none}, web: {image: APP2, network_mode: none, depends_on: {db: {condition: service_healthy}}}}",
            fails: "is unhealthy",
            moved: "db-1 restarted",
            ..ROW
        },
        Row {
            name: "never healthy, but not required",
            before: "services: {web: {image: APP, network_mode: none}}",
            after: "services: {db: {image: 'rs-test/unhealthy:1', network_mode: none}, web: {image: APP2, network_mode: none, depends_on: {db: {condition: service_healthy, required: false}}}}",
            moved: "db-1 created, web-1 replaced",
            ..ROW
        },
        Row {
            name: "without a health check to become healthy by",
            before: "services: {db: {image: APP, network_mode: none}}",
            after: "services: {db: {image: APP, network_mode: none}, web: {image: APP, network_mode: none, depends_on: {db: {condition: service_healthy}}}}",
            fails: "has no health check",
            ..ROW
        },
        Row {
            name: "completed",
            before: "services: {web: {image: APP, network_mode: none}}",
            after: DONE,
            moved: "job-1 created exited",
            ..ROW
        },
        Row {
            name: "completed with a failure: all is as it was",
            before: "services: {web: {image: APP, network_mode: none}}",
            after: "services: {job: {image: APP, network_mode: none, command: ['false']}, web: {image: APP2, network_mode: none, depends_on: {job: {condition: service_completed_successfully}}}}",
            fails: "exited with",
            ..ROW
        },
        Row {
            name: "completed with a failure, but not required",
            before: "services: {web: {image: APP, network_mode: none}}",
            after: "services: {job: {image: APP, network_mode: none, command: ['sh', '-c', 'sleep 1; false']}, web: {image: APP2, network_mode: none, depends_on: {job: {condition: service_completed_successfully, required: false}}}}",
            moved: "job-1 created exited, web-1 replaced",
            again: "job-1 ran exited",
            ..ROW
        },
        Row {
            name: "a dependency outside of the active profiles that is not required",
            before: "services: {web: {image: APP, network_mode: none}}",
            after: "services: {off: {image: APP, profiles: [off]}, web: {image: APP2, network_mode: none, depends_on: {off: {condition: service_healthy, required: false}}}}",
            moved: "web-1 replaced",
            ..ROW
        },
        Row {
            name: "a dependency scaled to none",
            before: "services: {web: {image: APP, network_mode: none}}",
            after: "services: {db: {image: APP, network_mode: none, scale: 0}, web: {image: APP2, network_mode: none, depends_on: {db: {condition: service_healthy}}}}",
            moved: "web-1 replaced",
            ..ROW
        },
    ]);
}

#[test]
fn work_that_is_done_is_not_done_again() {
    check_on_both(&[
        Row {
            name: "done and unchanged",
            before: DONE,
            meanwhile: &[Do::Await("job-1", "exited")],
            ..ROW
        },
        Row {
            name: "done, and what waited for it changes",
            before: DONE,
            meanwhile: &[Do::Await("job-1", "exited")],
            after: "services: {job: {image: APP, network_mode: none, command: ['true']}, web: {image: APP2, network_mode: none, depends_on: {job: {condition: service_completed_successfully}}}}",
            moved: "web-1 replaced",
            ..ROW
        },
        Row {
            name: "done, and changed: it runs again",
            before: DONE,
            meanwhile: &[Do::Await("job-1", "exited")],
            after: "services: {job: {image: APP2, network_mode: none, command: ['true']}, web: {image: APP, network_mode: none, depends_on: {job: {condition: service_completed_successfully}}}}",
            moved: "job-1 replaced exited",
            ..ROW
        },
        Row {
            name: "failed: it runs again",
            files: &[("marks/x", "")],
            before: "services: {job: {image: APP, network_mode: none, volumes: ['./marks:/marks'], command: ['sh', '-c', 'sleep 0.5; test -e /marks/go']}}",
            meanwhile: &[Do::Await("job-1", "exited"), Do::Write("marks/go", "")],
            moved: "job-1 ran exited",
            ..ROW
        },
        Row {
            name: "changed to something that fails: it counts as before",
            before: DONE,
            meanwhile: &[Do::Await("job-1", "exited")],
            after: "services: {job: {image: APP, network_mode: none, command: ['false']}, web: {image: APP2, network_mode: none, depends_on: {job: {condition: service_completed_successfully}}}}",
            fails: "exited with",
            ..ROW
        },
        Row {
            name: "removed: it is done again",
            before: DONE,
            meanwhile: &[Do::Await("job-1", "exited"), Do::Docker("rm PROJECT-job-1")],
            moved: "job-1 created exited",
            ..ROW
        },
    ]);
}
