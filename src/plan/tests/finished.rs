//! Which containers that ended well are left as they are.

use super::*;
use crate::compose::model::{Healthcheck, Port};
use crate::plan::Finished;

#[test]
fn a_server_that_was_stopped_runs_again_and_work_that_is_done_does_not() {
    fn ended(case: &mut Case) {
        case.service().restart = None;
        let container = case.container();
        (container.state, container.exit_code) = (State::Exited, Some(0));
    }
    fn awaited(case: &mut Case, condition: Condition) {
        let dependency = Dependency { condition, restart: false, required: true };
        let api = Service {
            name: "api".to_owned(),
            scale: Some(0),
            depends_on: [("web".to_owned(), dependency)].into(),
            ..Service::default()
        };
        case.project.services.insert("api".to_owned(), api);
        ended(case);
    }
    fn checked(case: &mut Case, word: &str) {
        let test = vec![word.to_owned(), "true".to_owned()];
        case.service().healthcheck = Some(Box::new(Healthcheck { test, ..Healthcheck::default() }));
        ended(case);
    }
    fn with_a_port(case: &mut Case) {
        case.service().ports = vec![Port::default()];
        ended(case);
    }
    fn looked_on(case: &mut Case) {
        case.options.finished = Finished::Awaited;
        ended(case);
    }
    let again: &[&str] = &["start container p-web-1 (exited with 0)"];
    check(&[
        ("work", ended, &[]),
        ("with a port", with_a_port, again),
        ("with a health check", |case| checked(case, "CMD"), again),
        ("without the image's health check", |case| checked(case, "NONE"), &[]),
        (
            "stopped",
            |case| {
                ended(case);
                case.container().was_stopped = true;
            },
            again,
        ),
        (
            "awaited, with a port",
            |case| {
                with_a_port(case);
                awaited(case, Condition::CompletedSuccessfully);
            },
            &[],
        ),
        ("looked on", looked_on, again),
        (
            "looked on, started for another",
            |case| {
                looked_on(case);
                awaited(case, Condition::Started);
            },
            again,
        ),
        (
            "looked on, awaited",
            |case| {
                looked_on(case);
                awaited(case, Condition::CompletedSuccessfully);
            },
            &[],
        ),
        (
            "named",
            |case| {
                case.options.services.insert("web".to_owned());
                awaited(case, Condition::CompletedSuccessfully);
            },
            again,
        ),
    ]);
}
