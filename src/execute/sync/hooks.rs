//! Containers that are told what changed.

use anyhow::Result;
use tracing::info;

use super::super::{Context, failed, run, stopped, suffix_of};
use super::source::Commits;
use crate::job::work::SyncSource;
use crate::plan::sync::Changed;
use crate::run::{Ending, Outcome, Reason};

/// What hooks are told.
pub(super) struct About<'a> {
    pub(super) previous: &'a str,
    pub(super) revision: &'a str,
    pub(super) changed: &'a Changed,
    pub(super) git: Option<&'a Commits>,
}

impl About<'_> {
    /// As variables.
    fn variables(&self) -> Vec<(&'static str, String)> {
        let mut variables = vec![
            ("SYNC_PREVIOUS_REVISION", self.previous.to_owned()),
            ("SYNC_REVISION", self.revision.to_owned()),
            ("SYNC_CHANGED_COUNT", self.changed.count.to_string()),
            ("SYNC_CHANGED_FILES", self.changed.files.join("\n")),
        ];
        if let Some(git) = self.git {
            let name_status = git.name_status.clone().unwrap_or_default();
            variables.extend([
                ("GIT_PREVIOUS_COMMIT_HASH", self.previous.to_owned()),
                ("GIT_NEW_COMMIT_HASH", self.revision.to_owned()),
                ("GIT_CHANGED_FILES", name_status),
            ]);
        }
        variables
    }
}

/// Runs the hooks of a source in order, up to the first failure, which is the ending of the run.
pub(super) async fn run(
    context: Context<'_>,
    source: &SyncSource,
    about: &About<'_>,
) -> Result<Result<(), Ending>> {
    let count = source.hooks.len();
    for (index, hook) in source.hooks.iter().enumerate() {
        let number = index + 1;
        if context.cancel.is_cancelled() {
            let message =
                format!("stopped before hook {number} of {count}; the next run runs them");
            return Ok(Err(stopped(message)));
        }
        info!("hook {number} of {count} ({})", hook.service.image);
        let mut hook = hook.clone();
        for (name, value) in about.variables() {
            hook.service.environment.insert(name.to_owned(), Some(value));
        }
        let suffix = suffix_of(context, number);
        let suffix = format!("{suffix}-{}", source.name);
        // A place of its own in the record: how it ends is not how the run does.
        let member = match context.member {
            Some(member) => format!("{member}/{} hook {number}", source.name),
            None => format!("{} hook {number}", source.name),
        };
        let inner = Context { suffix: &suffix, member: Some(&member), ..context };
        let running = Box::pin(run::run(inner, &hook));
        let ending = context.step(format!("run hook {number} of {}", source.name), running).await?;
        match ending.outcome {
            Outcome::Succeeded => {}
            Outcome::Cancelled => return Ok(Err(ending)),
            _ => {
                let message = format!(
                    "hook {number} of {count} failed, and is run again by the next run: {}",
                    ending.message
                );
                let reason = match ending.reason {
                    // The sync itself was not in anybody's way.
                    Reason::Overlap => Reason::Incomplete,
                    reason => reason,
                };
                return Ok(Err(Ending { exit_code: ending.exit_code, ..failed(reason, message) }));
            }
        }
    }
    Ok(Ok(()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hooks_are_told_what_changed_within_bounds() {
        let mut changed = Changed::default();
        changed.add(["/to/a", "/to/b"].map(Into::into).into_iter());
        changed.add(["/to/b", "/to/c"].map(Into::into).into_iter());
        let git = Commits { name_status: Some("M\ta".to_owned()) };
        let told = |changed: &Changed, git| {
            About { previous: "", revision: "1a", changed, git }.variables()
        };
        let all = told(&changed, Some(&git));
        for (name, expected) in [
            ("SYNC_PREVIOUS_REVISION", ""),
            ("SYNC_REVISION", "1a"),
            ("SYNC_CHANGED_COUNT", "3"),
            ("SYNC_CHANGED_FILES", "/to/a\n/to/b\n/to/c"),
            ("GIT_NEW_COMMIT_HASH", "1a"),
            ("GIT_CHANGED_FILES", "M\ta"),
        ] {
            let found = all.iter().find(|(it, _)| *it == name).unwrap();
            assert_eq!(found.1, expected, "{name}");
        }
        changed.add((0..2000).map(|number| format!("/to/{number}").into()));
        let all = told(&changed, None);
        assert_eq!((all[2].1.as_str(), all[3].1.as_str(), all.len()), ("2003", "", 4));
        changed.add(["/to/x".into()].into_iter());
        assert_eq!((changed.count, changed.files.len()), (2004, 0));
    }
}
