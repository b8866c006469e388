//! Whether a job is well, and what is told of it. Pure.

use crate::run::{Ending, Outcome};

/// How a job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// Its last run did what was asked.
    Well,
    /// Its last run did not.
    Ill,
}

/// A change of a job's health, of which webhooks are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It was well, or nothing was known, and now it is ill.
    Failing,
    /// It was ill and is well again.
    Recovered,
}

impl Change {
    /// The word in messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Failing => "failing",
            Self::Recovered => "recovered",
        }
    }
}

/// What the end of a run says of its job. A run that did not take place, or was stopped, says nothing;
/// one that was lost does.
pub fn health(outcome: Outcome) -> Option<Health> {
    match outcome {
        Outcome::Succeeded | Outcome::Degraded | Outcome::Unchanged => Some(Health::Well),
        Outcome::Queued
        | Outcome::Starting
        | Outcome::Running
        | Outcome::Skipped
        | Outcome::Missed
        | Outcome::Cancelled => None,
        Outcome::Blocked | Outcome::Failed | Outcome::TimedOut | Outcome::Lost => Some(Health::Ill),
    }
}

/// What is told when a run ends so, after the job was last known to be as `previous` says.
pub fn change(previous: Option<Health>, outcome: Outcome) -> Option<Change> {
    match (previous, health(outcome)?) {
        (None | Some(Health::Well), Health::Ill) => Some(Change::Failing),
        (Some(Health::Ill), Health::Well) => Some(Change::Recovered),
        (Some(Health::Ill), Health::Ill) | (None | Some(Health::Well), Health::Well) => None,
    }
}

/// What a check is told at the end of a run: what its address ends in. `https://healthchecks.io/docs/http_api/`
pub(super) fn ping_ending(ending: &Ending) -> String {
    match (health(ending.outcome), ending.exit_code) {
        (None, _) => "/log".to_owned(),
        (Some(Health::Well), _) => String::new(),
        (Some(Health::Ill), Some(code @ 1..=255)) => format!("/{code}"),
        (Some(Health::Ill), _) => "/fail".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::Reason;

    #[test]
    fn a_change_is_told_once_and_so_is_the_recovery() {
        use Change::{Failing, Recovered};
        use Outcome::{Blocked, Cancelled, Failed, Lost, Running, Skipped, Succeeded, Unchanged};
        let rows: &[(&[Outcome], &[Option<Change>])] = &[
            (&[Succeeded, Succeeded, Unchanged], &[None, None, None]),
            (
                &[Failed, Failed, Succeeded, Unchanged],
                &[Some(Failing), None, Some(Recovered), None],
            ),
            (&[Succeeded, Lost, Blocked, Unchanged], &[None, Some(Failing), None, Some(Recovered)]),
            (&[Failed, Skipped, Cancelled, Failed], &[Some(Failing), None, None, None]),
            (&[Succeeded, Skipped, Cancelled, Running], &[None, None, None, None]),
            (&[Failed, Skipped, Succeeded], &[Some(Failing), None, Some(Recovered)]),
        ];
        for (outcomes, expected) in rows {
            let mut known = None;
            let mut told = Vec::new();
            for outcome in *outcomes {
                told.push(change(known, *outcome));
                known = health(*outcome).or(known);
            }
            assert_eq!(told, *expected, "{outcomes:?}");
        }
    }

    #[test]
    fn a_check_is_told_how_a_run_ended() {
        let rows = [
            (Outcome::Succeeded, Some(0), ""),
            (Outcome::Degraded, None, ""),
            (Outcome::Unchanged, None, ""),
            (Outcome::Failed, Some(7), "/7"),
            (Outcome::Failed, Some(255), "/255"),
            (Outcome::Failed, Some(256), "/fail"),
            (Outcome::Failed, Some(-1), "/fail"),
            (Outcome::Failed, Some(0), "/fail"),
            (Outcome::Failed, None, "/fail"),
            (Outcome::Blocked, None, "/fail"),
            (Outcome::Lost, None, "/fail"),
            (Outcome::TimedOut, None, "/fail"),
            (Outcome::TimedOut, Some(143), "/143"),
            (Outcome::Skipped, None, "/log"),
            (Outcome::Missed, None, "/log"),
            (Outcome::Cancelled, None, "/log"),
        ];
        for (outcome, exit_code, expected) in rows {
            let ending = Ending { exit_code, ..Ending::new(outcome, Reason::Internal, "") };
            assert_eq!(ping_ending(&ending), expected, "{outcome} {exit_code:?}");
        }
    }
}
