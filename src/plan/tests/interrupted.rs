//! Switches that were cut short: an old container and the new one made to replace it.

use super::*;
use crate::plan::{Action, name_beside, recovery};

/// A switch of `p-web-1` that was cut short, in this state of the two containers.
fn switch(old: Option<State>, new: State) -> Case {
    let mut case = Case::converged();
    set(case.container(), labels::CONFIG_HASH, "before");
    let mut made = case.container_of("web", 1);
    made.id = id("new1");
    made.name = name_beside(&id("web1"), "p-web-1");
    made.state = new;
    set(&mut made, labels::REPLACES, &id("web1"));
    set(&mut made, labels::REPLACES_RUNNING, labels::YES);
    match old {
        Some(state) => case.container().state = state,
        None => case.observed.containers.clear(),
    }
    case.observed.containers.push(made);
    case
}

fn new_of(case: &mut Case) -> &mut Container {
    case.observed.containers.last_mut().unwrap()
}

const FINISH: &str = "finish replacing container p-web-1 (an interrupted run had started it)";
const REMOVE_NEW: &str = "remove container web100000000_p-web-1 (left by an interrupted run)";
const REMOVE_OLD: &str = "remove container p-web-1 (left by an interrupted run)";
const REPLACE: &str = "replace container p-web-1 (configuration changed)";

#[test]
fn a_switch_cut_short_is_finished_or_begun_again() {
    use State::{Created, Dead, Exited, Paused, Restarting, Running};
    let outdated: fn(&mut Container) = |new| set(new, labels::CONFIG_HASH, "between");
    let as_it_is: fn(&mut Container) = |_| {};
    let unhealthy: fn(&mut Container) = |new| new.health = Some(Health::Unhealthy);
    let starting: fn(&mut Container) = |new| new.health = Some(Health::Starting);
    let outdated_and_starting: fn(&mut Container) = |new| {
        set(new, labels::CONFIG_HASH, "between");
        new.health = Some(Health::Starting);
    };
    let again: &[&str] = &[REMOVE_NEW, REPLACE];
    for (old, new, change, expected) in [
        (Running, Created, as_it_is, again),
        (Exited, Created, as_it_is, again),
        (Created, Created, as_it_is, again),
        (Running, Running, as_it_is, &[FINISH]),
        (Exited, Running, as_it_is, &[FINISH]),
        (Dead, Running, as_it_is, &[FINISH]),
        (Exited, Running, starting, &[FINISH]),
        (Exited, Running, unhealthy, again),
        (Running, Running, unhealthy, again),
        (Exited, Restarting, as_it_is, again),
        (Exited, Paused, as_it_is, again),
        (Exited, Exited, as_it_is, again),
        (Running, Exited, as_it_is, again),
        (Exited, Dead, as_it_is, again),
        (Running, Created, outdated, again),
        (Exited, Created, outdated, again),
        (Exited, Exited, outdated, again),
        // Both run: the one that was well before is the one to keep.
        (Running, Running, outdated, again),
        // Only the new one runs, and well: it must run on until its own replacement is there.
        (Exited, Running, outdated, &[REMOVE_OLD, REPLACE]),
        (Exited, Running, outdated_and_starting, again),
    ] {
        let mut case = switch(Some(old), new);
        change(new_of(&mut case));
        assert_eq!(case.lines(), expected, "old {old:?}, new {new:?}");
    }
}

#[test]
fn what_an_interrupted_run_stopped_is_to_run_again() {
    for (old, new, label, restart) in [
        (State::Exited, State::Exited, Some(labels::YES), true),
        (State::Exited, State::Created, Some(labels::YES), true),
        (State::Running, State::Created, Some(labels::YES), true),
        // A one-shot or a broken one did not run before.
        (State::Exited, State::Exited, Some(labels::NO), false),
        (State::Running, State::Created, Some(labels::NO), true),
        (State::Exited, State::Exited, None, true),
        (State::Exited, State::Running, Some(labels::YES), true),
        (State::Exited, State::Running, Some(labels::NO), false),
    ] {
        let mut case = switch(Some(old), new);
        match label {
            Some(value) => set(new_of(&mut case), labels::REPLACES_RUNNING, value),
            None => drop(new_of(&mut case).labels.remove(labels::REPLACES_RUNNING)),
        }
        let plan = case.plan().unwrap();
        let (Action::Replace { old: kept } | Action::Finish { old: kept, .. }) =
            &plan.changes[0].action
        else {
            panic!("{plan:?}")
        };
        assert_eq!(kept.id, id("web1"));
        assert_eq!(kept.restart, restart, "old {old:?}, new {new:?}, label {label:?}");
    }
}

type Row<'a> = (&'a str, fn() -> Case, &'a [&'a str]);

#[test]
fn other_ends_of_a_switch() {
    let rows: &[Row<'_>] = &[
        (
            "crash between removal and renaming",
            || switch(None, State::Running),
            &["rename container p-web-1 (an interrupted run left it under a temporary name)"],
        ),
        (
            "and then it exited",
            || {
                let mut case = switch(None, State::Exited);
                new_of(&mut case).exit_code = Some(2);
                case
            },
            &[
                "rename container p-web-1 (an interrupted run left it under a temporary name)",
                "start container p-web-1 (exited with 2)",
            ],
        ),
        (
            "and then it was changed",
            || {
                let mut case = switch(None, State::Running);
                set(new_of(&mut case), labels::CONFIG_HASH, "between");
                case
            },
            &[REPLACE],
        ),
        (
            "docker compose was cut short between removal and renaming",
            || {
                let mut case = Case::converged();
                case.container().name = "0123456789ab_p-web-1".to_owned();
                case
            },
            &["rename container p-web-1 (an interrupted run left it under a temporary name)"],
        ),
        (
            "docker compose was cut short before the removal",
            || {
                let mut case = Case::converged();
                let leftover = case.add("web", 1);
                leftover.id = id("left");
                leftover.name = "0123456789ab_p-web-1".to_owned();
                leftover.state = State::Created;
                case
            },
            &["remove container 0123456789ab_p-web-1 (left by an interrupted run)"],
        ),
        (
            "a name that only looks temporary",
            || {
                let mut case = Case::converged();
                case.container().name = "0123456789ab_other".to_owned();
                case
            },
            &[],
        ),
        (
            "renamed, the label stays",
            || {
                let mut case = switch(None, State::Running);
                new_of(&mut case).name = "p-web-1".to_owned();
                case
            },
            &[],
        ),
        (
            "one-shot that is done",
            || {
                let mut case = switch(Some(State::Exited), State::Exited);
                case.service().restart = None;
                set(new_of(&mut case), labels::REPLACES_RUNNING, labels::NO);
                new_of(&mut case).exit_code = Some(0);
                case
            },
            &[FINISH],
        ),
        (
            "one-shot that failed",
            || {
                let mut case = switch(Some(State::Exited), State::Exited);
                case.service().restart = None;
                new_of(&mut case).exit_code = Some(1);
                case
            },
            &[REMOVE_NEW, REPLACE],
        ),
        (
            "old one on its way out",
            || switch(Some(State::Removing), State::Running),
            &["rename container p-web-1 (an interrupted run left it under a temporary name)"],
        ),
        (
            "finishing gives the desired name, not the old one",
            || {
                let mut case = switch(Some(State::Exited), State::Running);
                case.service().container_name = Some("site".to_owned());
                case
            },
            &["finish replacing container site (an interrupted run had started it)"],
        ),
        (
            "scaled up meanwhile: numbers in use are not given again",
            || {
                let mut case = switch(Some(State::Exited), State::Running);
                case.service().scale = Some(2);
                case
            },
            &[FINISH, "create container p-web-2 (missing)"],
        ),
        (
            "scaled to none meanwhile",
            || {
                let mut case = switch(Some(State::Exited), State::Running);
                case.service().scale = Some(0);
                case
            },
            &[REMOVE_OLD, "remove container web100000000_p-web-1 (0 replicas wanted)"],
        ),
        (
            "scaled to none before the new one ran",
            || {
                let mut case = switch(Some(State::Running), State::Created);
                case.service().scale = Some(0);
                case
            },
            &[REMOVE_NEW, "remove container p-web-1 (0 replicas wanted)"],
        ),
        (
            "forced while the new one runs",
            || {
                let mut case = switch(Some(State::Exited), State::Running);
                case.options.recreate = Recreate::Always;
                case
            },
            &[REMOVE_OLD, "replace container p-web-1 (asked for)"],
        ),
        (
            "of a service that is gone",
            || {
                let mut case = switch(Some(State::Exited), State::Running);
                case.options.remove_orphans = true;
                case.project.services.clear();
                case
            },
            &[
                "remove container p-web-1 (service web is gone)",
                "remove container web100000000_p-web-1 (service web is gone)",
            ],
        ),
    ];
    for (what, case, expected) in rows {
        assert_eq!(case().lines(), *expected, "{what}");
    }
}

#[test]
fn recovery_brings_back_what_ran() {
    use State::{Created, Dead, Exited, Paused, Removing, Restarting, Running};
    // Whether it removes the new one and starts the old one; `None` leaves both alone.
    for (old, new, ran, exit_code, expected) in [
        (Running, Created, true, None, Some(false)),
        (Exited, Created, true, None, Some(true)),
        (Exited, Exited, true, Some(1), Some(true)),
        (Exited, Exited, true, Some(0), Some(true)),
        (Exited, Restarting, true, None, Some(true)),
        (Paused, Created, true, None, Some(true)),
        (Exited, Running, true, None, None),
        (Running, Running, true, None, None),
        // An old one-shot is not run a second time, and a new one that is done is the plan's.
        (Exited, Created, false, None, Some(false)),
        (Exited, Exited, false, Some(1), Some(false)),
        (Exited, Exited, false, Some(0), None),
        // One that is going away cannot be started.
        (Removing, Exited, true, Some(1), None),
        (Dead, Created, true, None, None),
    ] {
        let mut case = switch(Some(old), new);
        set(
            new_of(&mut case),
            labels::REPLACES_RUNNING,
            if ran { labels::YES } else { labels::NO },
        );
        new_of(&mut case).exit_code = exit_code;
        let rescues = recovery(&case.observed);
        let found = rescues.first().map(|rescue| rescue.start.is_some());
        assert_eq!(found, expected, "old {old:?}, new {new:?}, ran {ran}, code {exit_code:?}");
        for rescue in rescues {
            assert_eq!(rescue.remove.0, id("new1"));
            assert!(rescue.start.is_none_or(|(start, _)| start == id("web1")));
        }
    }
    let unhealthy = {
        let mut case = switch(Some(State::Exited), State::Running);
        new_of(&mut case).health = Some(Health::Unhealthy);
        recovery(&case.observed)
    };
    assert_eq!(unhealthy.len(), 1);
    assert_eq!(recovery(&Case::converged().observed), []);
    assert_eq!(recovery(&switch(None, State::Exited).observed), []);
}
