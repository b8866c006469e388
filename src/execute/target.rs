//! Containers that are there, as a job names them.

use std::collections::BTreeMap;

use anyhow::Result;

use super::failed;
use crate::docker::Engine;
use crate::job::work::{Scope, Target};
use crate::plan::labels;
use crate::plan::observed::{Container, State};
use crate::run::{Ending, Reason};

/// A container that a job names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// Full id.
    pub(super) id: String,
    /// Name.
    pub(super) name: String,
    /// Life cycle state.
    pub(super) state: State,
}

/// The containers of a target, in the order of their numbers; those that run before the others. Never
/// empty: the ending says what is missing.
pub(super) async fn find(engine: &Engine, target: &Target) -> Result<Result<Vec<Found>, Ending>> {
    let containers = match target {
        Target::Name(name) => {
            let Some(about) = engine.about(name).await? else {
                let message = format!("there is no container `{name}`");
                return Ok(Err(failed(Reason::NoSuchContainer, message)));
            };
            return Ok(Ok(vec![Found { id: about.id, name: about.name, state: about.state }]));
        }
        Target::Service { project, service } => {
            let mut all = engine.containers_of(project).await?;
            all.retain(|it| it.service() == service && !it.is_oneoff());
            all
        }
        Target::Labels(wanted) => match wanted.split_first() {
            None => Vec::new(),
            Some((first, rest)) => {
                let mut all = engine.containers_with(first).await?;
                all.retain(|it| rest.iter().all(|label| has_label(it, label)));
                all
            }
        },
    };
    if containers.is_empty() {
        let message = format!("there is no container {}", described(target));
        return Ok(Err(failed(Reason::NoSuchContainer, message)));
    }
    Ok(Ok(in_order(containers)))
}

/// The variables of containers, those of a later one before those of an earlier one. The ending says
/// which container is missing.
pub(super) async fn environment_of(
    engine: &Engine,
    containers: &[String],
) -> Result<Result<BTreeMap<String, String>, Ending>> {
    let mut variables = BTreeMap::new();
    for name in containers {
        let Some(environment) = engine.environment_of(name).await? else {
            let message = format!("there is no container `{name}` to take the environment from");
            return Ok(Err(failed(Reason::NoSuchContainer, message)));
        };
        variables.extend(environment);
    }
    Ok(Ok(variables))
}

/// Those of them in which a command can run: the first, or all.
pub(super) fn running(
    found: Vec<Found>,
    target: &Target,
    scope: Scope,
) -> Result<Vec<Found>, Ending> {
    let states: Vec<String> =
        found.iter().map(|it| format!("`{}` is {}", it.name, it.state.as_str())).collect();
    let mut running: Vec<Found> =
        found.into_iter().filter(|it| it.state == State::Running).collect();
    if scope == Scope::First {
        running.truncate(1);
    }
    if running.is_empty() {
        let message = format!(
            "no container {} runs ({}): start it first",
            described(target),
            states.join(", ")
        );
        return Err(failed(Reason::NoSuchContainer, message));
    }
    Ok(running)
}

fn in_order(mut containers: Vec<Container>) -> Vec<Found> {
    containers.sort_by(|a, b| {
        let key = |it: &Container| (it.state != State::Running, it.number(), it.name.clone());
        key(a).cmp(&key(b))
    });
    let found = |it: Container| Found { id: it.id, name: it.name, state: it.state };
    containers.into_iter().map(found).collect()
}

fn has_label(container: &Container, wanted: &str) -> bool {
    match wanted.split_once('=') {
        Some((name, value)) => container.labels.get(name).is_some_and(|it| it == value),
        None => container.labels.contains_key(wanted),
    }
}

/// The target for people.
pub(super) fn described(target: &Target) -> String {
    match target {
        Target::Name(name) => format!("`{name}`"),
        Target::Service { project, service } => {
            format!("of service `{service}` of project `{project}` ({}=…)", labels::PROJECT)
        }
        Target::Labels(wanted) => format!("with the labels `{}`", wanted.join("`, `")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container(name: &str, number: u32, state: State) -> Container {
        let number = (labels::CONTAINER_NUMBER.to_owned(), number.to_string());
        Container {
            name: name.to_owned(),
            state,
            labels: [number, ("role".to_owned(), "web".to_owned())].into(),
            ..Container::default()
        }
    }

    #[test]
    fn those_that_run_come_first_in_the_order_of_their_numbers() {
        let containers = vec![
            container("w-10", 10, State::Running),
            container("w-1", 1, State::Exited),
            container("w-2", 2, State::Running),
        ];
        let found = in_order(containers);
        let names: Vec<_> = found.iter().map(|it| it.name.as_str()).collect();
        assert_eq!(names, ["w-2", "w-10", "w-1"]);
        let target = Target::Labels(vec!["role=web".to_owned()]);
        for (scope, expected) in [(Scope::First, 1), (Scope::All, 2)] {
            assert_eq!(running(found.clone(), &target, scope).unwrap().len(), expected);
        }
        let ended = vec![found[2].clone()];
        let ending = running(ended, &target, Scope::All).unwrap_err();
        assert_eq!(ending.reason, Reason::NoSuchContainer);
        assert!(ending.message.contains("`w-1` is exited"), "{}", ending.message);
    }

    #[test]
    fn labels_are_asked_for_with_and_without_a_value() {
        let container = container("w", 1, State::Running);
        for (label, expected) in [
            ("role", true),
            ("role=web", true),
            ("role=db", false),
            ("rol", false),
            ("role=", false),
        ] {
            assert_eq!(has_label(&container, label), expected, "{label}");
        }
    }
}
