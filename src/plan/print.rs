//! Plans in words, for the log and for `plan`.

use std::fmt;

use super::{Action, Change, NetworkChange, Plan, Preparation, Refusal, Removal};

impl Plan {
    /// One line for each thing that will happen, in order.
    pub fn lines(&self) -> Vec<String> {
        let prepare = self.prepare.iter().map(ToString::to_string);
        let changes = self.changes.iter().map(ToString::to_string);
        let removals = self.removals.iter().map(ToString::to_string);
        let networks = self.networks.iter().map(ToString::to_string);
        prepare.chain(networks).chain(changes).chain(removals).collect()
    }

    /// Counts in a sentence: `1 to replace, 1 to create, 48 unchanged`.
    pub fn summary(&self) -> String {
        let count = |wanted: fn(&Action) -> bool| {
            self.changes.iter().filter(|change| wanted(&change.action)).count()
        };
        let counts = [
            (count(|it| matches!(it, Action::Create)), "to create"),
            (count(|it| matches!(it, Action::Replace { .. })), "to replace"),
            (count(|it| matches!(it, Action::Start { .. })), "to start"),
            (count(|it| matches!(it, Action::Restart { .. })), "to restart"),
            (count(|it| matches!(it, Action::Finish { .. } | Action::Rename { .. })), "to finish"),
            (self.removals.len(), "to remove"),
            (self.prepare.len() + self.networks.len(), "to prepare"),
            (self.unchanged, "unchanged"),
        ];
        let parts = counts.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}"));
        let text = parts.collect::<Vec<_>>().join(", ");
        if text.is_empty() { "nothing to run".to_owned() } else { text }
    }
}

impl fmt::Display for Preparation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CreateNetwork { name, .. } => write!(formatter, "create network {name}"),
            Self::CreateVolume { name, .. } => write!(formatter, "create volume {name}"),
            Self::PullImage { image } => write!(formatter, "pull image {image}"),
            Self::BuildImage { image, .. } => write!(formatter, "build image {image}"),
            Self::RemoveLeftover { name, .. } => {
                write!(formatter, "remove container {name} (left by an interrupted run)")
            }
        }
    }
}

impl fmt::Display for NetworkChange {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "make network {} anew (definition changed)", self.name)
    }
}

impl fmt::Display for Change {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = match &self.action {
            Action::Create => "create",
            Action::Replace { .. } => "replace",
            Action::Start { .. } => "start",
            Action::Restart { .. } => "restart",
            Action::Rename { .. } => "rename",
            Action::Finish { .. } => "finish replacing",
        };
        write!(formatter, "{verb} container {} ({})", self.name, self.why)
    }
}

impl fmt::Display for Removal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "remove container {} ({})", self.name, self.why)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0.join("; "))
    }
}

impl std::error::Error for Refusal {}
