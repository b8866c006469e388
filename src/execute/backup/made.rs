//! What a backup made, heard from its workers while they make it.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};

use crate::backup::protocol::{Event, Summary};
use crate::plan::housekeeping::bytes_text;
use crate::run::{Ending, Live, Outcome, Progress, Reason};
use crate::source::counted;

/// How many troubles are named; all are counted.
const NAMED: usize = 20;
/// Digits of an id that people read.
const SHORT: usize = 8;

/// What was made so far.
#[derive(Default)]
pub(in crate::execute) struct Made {
    repository: String,
    snapshots: Vec<(String, Summary)>,
    /// Where, what, and whether it was gone.
    troubles: Vec<(String, String, bool)>,
    vanished: u64,
    unreadable: u64,
    /// What was asked for and is not there.
    missing: Vec<String>,
    /// Who wrote while all were to be still.
    disturbers: Vec<String>,
    window: Option<Duration>,
    forgotten: Option<(u64, usize)>,
    /// Where it is said how far it is.
    live: Live,
}

impl Made {
    /// Nothing yet.
    pub(super) fn new(repository: &str, live: &Live) -> Self {
        Self { repository: repository.to_owned(), live: Arc::clone(live), ..Self::default() }
    }

    /// Keeps what an event says that is worth it.
    pub(super) fn hear(&mut self, event: &Event) {
        report(&self.live, event);
        if let Event::Trouble { path, what, vanished } = event {
            *(if *vanished { &mut self.vanished } else { &mut self.unreadable }) += 1;
            if self.troubles.len() < NAMED {
                self.troubles.push((path.clone(), what.clone(), *vanished));
            }
        }
    }

    pub(super) fn troubles_of_plan(&mut self, problems: &[String]) {
        self.missing = problems.to_vec();
    }

    pub(super) fn snapshot(&mut self, of: &str, summary: Summary) {
        self.snapshots.push((of.to_owned(), summary));
    }

    pub(super) fn window(&mut self, window: Duration) {
        self.window = Some(window);
    }

    pub(super) fn disturbed(&mut self, by: impl IntoIterator<Item = String>) {
        self.disturbers.extend(by);
    }

    pub(super) fn forgot(&mut self, summary: &Summary) {
        self.forgotten = Some((summary.kept, summary.forgotten.len()));
    }

    /// The record of the run.
    pub(super) fn value(&self) -> Value {
        let snapshots = self.snapshots.iter().map(|(of, it)| {
            json!({
                "of": of, "id": it.snapshot.as_ref().map(|it| &it.id), "files": it.files,
                "files_changed": it.files_changed, "bytes": it.bytes, "added": it.stored,
            })
        });
        let troubles = self.troubles.iter().map(
            |(path, what, vanished)| json!({ "path": path, "what": what, "vanished": vanished }),
        );
        json!({
            "repository": self.repository,
            "made": self.snapshots.iter().any(|(_, it)| it.made),
            "snapshots": snapshots.collect::<Vec<_>>(),
            "bytes": self.snapshots.iter().map(|(_, it)| it.bytes).sum::<u64>(),
            "added": self.snapshots.iter().map(|(_, it)| it.stored).sum::<u64>(),
            "window_ms": self.window.map(|it| u64::try_from(it.as_millis()).unwrap_or(u64::MAX)),
            "vanished": self.vanished, "unreadable": self.unreadable,
            "troubles": troubles.collect::<Vec<_>>(),
            "missing": self.missing, "disturbed_by": self.disturbers,
            "kept": self.forgotten.map(|it| it.0), "forgotten": self.forgotten.map(|it| it.1),
        })
    }

    /// What is stored, in few words.
    fn text(&self) -> String {
        let one = |(of, it): &(String, Summary)| {
            let id = it.snapshot.as_ref().map_or("", |it| it.id.as_str());
            format!(
                "{of} {} ({}, {}, {} added)",
                id.get(..SHORT).unwrap_or(id),
                counted(usize::try_from(it.files).unwrap_or(usize::MAX), "file"),
                bytes_text(it.bytes),
                bytes_text(it.stored)
            )
        };
        let mut parts: Vec<String> = self.snapshots.iter().map(one).collect();
        parts.extend(self.window.map(|it| format!("writers were still for {} ms", it.as_millis())));
        parts.extend(self.forgotten.filter(|it| it.1 > 0).map(|it| format!("{} forgotten", it.1)));
        parts.join("; ")
    }

    /// An ending that says what is stored all the same.
    pub(super) fn after(&self, ending: Ending) -> Ending {
        if self.snapshots.is_empty() {
            return ending;
        }
        Ending { message: format!("{}; stored: {}", ending.message, self.text()), ..ending }
    }

    /// How it ended where not all was read.
    pub(super) fn incomplete(&self) -> Option<Ending> {
        if !self.missing.is_empty() {
            let message = self.missing.join("; ");
            return Some(self.after(super::failed(Reason::Incomplete, message)));
        }
        let mut parts = Vec::new();
        if self.vanished + self.unreadable > 0 {
            let first = self.troubles.iter().take(3);
            let named: Vec<String> =
                first.map(|(path, what, _)| format!("{path}: {what}")).collect();
            let (vanished, unreadable) = (self.vanished, self.unreadable);
            let named = named.join("; ");
            parts.push(format!("{vanished} vanished, {unreadable} unreadable ({named})"));
        }
        if !self.disturbers.is_empty() {
            parts.push(format!(
                "container {} was started by somebody else while its data was read, so that what is \
                 stored of it may be torn",
                self.disturbers.join(", ")
            ));
        }
        if parts.is_empty() {
            return None;
        }
        let message = format!("{}; nothing is forgotten", parts.join("; "));
        Some(self.after(Ending::new(Outcome::Degraded, Reason::Incomplete, message)))
    }

    /// How it ended where all went well.
    pub(super) fn ending(&self) -> Ending {
        Ending::new(Outcome::Succeeded, Reason::Done, format!("stored: {}", self.text()))
    }
}

/// Says how far a worker is, where an event tells.
pub(super) fn report(live: &Live, event: &Event) {
    if let Event::Progress { what, done, all } = event {
        let progress = Progress { what: what.clone(), done: *done, all: *all };
        *live.lock().unwrap_or_else(PoisonError::into_inner) = Some(progress);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backup::protocol::Snapshot;

    fn made() -> Made {
        let mut made = Made::new("/srv/backup", &Live::default());
        let snapshot = Some(Snapshot { id: "ab".repeat(32), ..Snapshot::default() });
        let summary =
            Summary { snapshot, files: 2, bytes: 2048, stored: 100, ..Summary::default() };
        made.snapshot("files", summary);
        made
    }

    #[test]
    fn what_could_not_be_read_is_never_silent() {
        let mut made = made();
        assert!(made.incomplete().is_none());
        let said = made.ending().message;
        assert_eq!(said, "stored: files abababab (2 files, 2.0 KiB, 100 B added)");
        for number in 0..30 {
            made.hear(&Event::Trouble {
                path: format!("/volumes/a/{number}"),
                what: "permission denied".to_owned(),
                vanished: number == 0,
            });
        }
        let ending = made.incomplete().unwrap();
        assert_eq!(ending.outcome, Outcome::Degraded);
        assert!(ending.message.starts_with("1 vanished, 29 unreadable (/volumes/a/0"));
        let value = made.value();
        assert_eq!((&value["unreadable"], &value["vanished"]), (&29.into(), &1.into()));
        assert_eq!(value["troubles"].as_array().unwrap().len(), NAMED);
    }

    #[test]
    fn who_wrote_meanwhile_is_told() {
        let mut made = made();
        made.disturbed([]);
        assert!(made.incomplete().is_none());
        made.disturbed(["shop-web-1".to_owned()]);
        let ending = made.incomplete().unwrap();
        assert_eq!((ending.outcome, ending.reason), (Outcome::Degraded, Reason::Incomplete));
        assert!(
            ending.message.starts_with("container shop-web-1 was started"),
            "{}",
            ending.message
        );
        assert_eq!(made.value()["disturbed_by"][0], "shop-web-1");
    }

    #[test]
    fn what_a_label_asked_for_in_vain_is_a_failure() {
        let mut made = made();
        made.troubles_of_plan(&["there is no volume `x`".to_owned()]);
        let ending = made.incomplete().unwrap();
        assert_eq!(ending.outcome, Outcome::Failed);
        assert!(ending.message.contains("stored: files"), "{}", ending.message);
    }
}
