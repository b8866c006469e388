//! What `BuildKit` says of its steps, as lines: those of docker's `--progress=plain`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::messages::{StatusResponse, Timestamp, Vertex, VertexLog, VertexStatus, VertexWarning};

/// What a step ends with that did not fail itself.
const CANCELED: &str = "context canceled";

/// The steps so far.
#[derive(Debug, Default)]
pub(super) struct Trace {
    steps: BTreeMap<String, Step>,
    /// How many were shown.
    shown: usize,
    /// The name of the step that failed first.
    pub(super) failed: Option<String>,
}

#[derive(Debug, Default)]
struct Step {
    /// Zero until it is shown.
    number: usize,
    name: String,
    /// Milliseconds.
    started: Option<i64>,
    is_over: bool,
    has_failed: bool,
    /// The beginning of a line.
    pending: Vec<u8>,
    /// Parts of which the end was told.
    parts: BTreeSet<String>,
}

impl Trace {
    /// The lines of a message.
    pub(super) fn take(&mut self, said: &StatusResponse) -> String {
        let mut lines = String::new();
        // What a step writes comes before its end, and its beginning before that.
        let speaking: BTreeSet<_> = said.statuses.iter().map(|it| &it.vertex).collect();
        let speaking: BTreeSet<_> = said.logs.iter().map(|it| &it.vertex).chain(speaking).collect();
        for vertex in &said.vertexes {
            self.begin(vertex, &mut lines);
            if !speaking.contains(&vertex.digest) {
                self.end(vertex, &mut lines);
            }
        }
        for status in &said.statuses {
            self.part(status, &mut lines);
        }
        for log in &said.logs {
            self.log(log, &mut lines);
        }
        for vertex in &said.vertexes {
            self.end(vertex, &mut lines);
        }
        for warning in &said.warnings {
            lines.push_str(&warned(warning));
        }
        lines
    }

    fn begin(&mut self, vertex: &Vertex, lines: &mut String) {
        let step = self.steps.entry(vertex.digest.clone()).or_default();
        step.name.clone_from(&vertex.name);
        step.started = vertex.started.as_ref().map(milliseconds).or(step.started);
        let is_seen = vertex.started.is_some() || vertex.cached || !vertex.error.is_empty();
        if is_seen && step.number == 0 {
            self.shown += 1;
            step.number = self.shown;
            line(lines, format_args!("#{} {}", step.number, step.name));
        }
    }

    fn end(&mut self, vertex: &Vertex, lines: &mut String) {
        let Some(step) = self.steps.get_mut(&vertex.digest) else { return };
        let Some(completed) = &vertex.completed else { return };
        if step.number == 0 {
            return;
        }
        // One that is looked at again ends again; only a failure is news then, once.
        let was_over = std::mem::replace(&mut step.is_over, true);
        let has_failed = !vertex.error.is_empty();
        if was_over && (!has_failed || step.has_failed) {
            return;
        }
        step.has_failed = has_failed;
        if !step.pending.is_empty() {
            let rest = std::mem::take(&mut step.pending);
            line(lines, format_args!("#{} {}", step.number, String::from_utf8_lossy(&rest)));
        }
        let end = if vertex.cached {
            "CACHED".to_owned()
        } else if vertex.error.is_empty() {
            let took = milliseconds(completed) - step.started.unwrap_or_default();
            format!("DONE {}.{}s", took.max(0) / 1000, took.max(0) % 1000 / 100)
        } else {
            format!("ERROR: {}", vertex.error)
        };
        if !vertex.error.is_empty() && !vertex.error.contains(CANCELED) {
            self.failed.get_or_insert_with(|| step.name.clone());
        }
        line(lines, format_args!("#{} {end}", step.number));
    }

    fn part(&mut self, status: &VertexStatus, lines: &mut String) {
        let Some(step) = self.steps.get_mut(&status.vertex).filter(|it| it.number > 0) else {
            return;
        };
        if status.completed.is_some() && step.parts.insert(status.id.clone()) {
            let size = match status.current {
                0 => String::new(),
                bytes => format!(" {}", size(bytes)),
            };
            line(lines, format_args!("#{} {}{size} done", step.number, status.id));
        }
    }

    fn log(&mut self, log: &VertexLog, lines: &mut String) {
        let Some(step) = self.steps.get_mut(&log.vertex) else { return };
        let since = log.timestamp.as_ref().map(milliseconds).zip(step.started);
        let since = since.map_or(0, |(at, started)| (at - started).max(0));
        step.pending.extend_from_slice(&log.text);
        while let Some(end) = step.pending.iter().position(|byte| *byte == b'\n') {
            let bytes: Vec<u8> = step.pending.drain(..=end).collect();
            let text = String::from_utf8_lossy(&bytes);
            let (seconds, rest) = (since / 1000, since % 1000);
            line(lines, format_args!("#{} {seconds}.{rest:03} {}", step.number, text.trim_end()));
        }
    }
}

/// Adds a line; writing to a string cannot fail.
fn line(lines: &mut String, line: std::fmt::Arguments<'_>) {
    let _ = writeln!(lines, "{line}");
}

fn warned(warning: &VertexWarning) -> String {
    let text = String::from_utf8_lossy(&warning.short);
    match warning.address.as_str() {
        "" => format!("warning: {text}\n"),
        address => format!("warning: {text} ({address})\n"),
    }
}

fn milliseconds(time: &Timestamp) -> i64 {
    time.seconds * 1000 + i64::from(time.nanoseconds) / 1_000_000
}

/// Bytes in the unit that fits, with one digit behind the point.
fn size(bytes: i64) -> String {
    let units = ["kB", "MB", "GB", "TB"];
    let mut unit = "B";
    let mut tenths = bytes * 10;
    for larger in units {
        if tenths < 10_000 {
            break;
        }
        (unit, tenths) = (larger, tenths / 1000);
    }
    match tenths % 10 {
        0 => format!("{}{unit}", tenths / 10),
        tenth => format!("{}.{tenth}{unit}", tenths / 10),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(milliseconds: i32) -> Timestamp {
        Timestamp { seconds: 100, nanoseconds: milliseconds * 1_000_000 }
    }

    fn vertex(digest: &str, started: i32) -> Vertex {
        Vertex {
            digest: digest.to_owned(),
            name: format!("step {digest}"),
            started: Some(at(started)),
            ..Vertex::default()
        }
    }

    fn log(text: &str) -> VertexLog {
        let text = text.as_bytes().to_vec();
        VertexLog { vertex: "a".to_owned(), timestamp: Some(at(250)), text }
    }

    #[test]
    fn steps_are_lines() {
        let done = |it: Vertex| Vertex { completed: Some(at(900)), ..it };
        let mut trace = Trace::default();
        let waiting = Vertex { started: None, ..vertex("b", 0) };
        let part = VertexStatus {
            id: "sending".to_owned(),
            vertex: "a".to_owned(),
            current: 12_345,
            completed: Some(at(300)),
        };
        let rows = [
            (
                StatusResponse { vertexes: vec![vertex("a", 0), waiting], ..Default::default() },
                "#1 step a\n",
            ),
            (StatusResponse { logs: vec![log("one\ntw")], ..Default::default() }, "#1 0.250 one\n"),
            (
                StatusResponse {
                    statuses: vec![part.clone(), part],
                    logs: vec![log("o\nlast")],
                    ..Default::default()
                },
                "#1 sending 12.3kB done\n#1 0.250 two\n",
            ),
            (
                StatusResponse {
                    vertexes: vec![
                        done(vertex("a", 0)),
                        Vertex { cached: true, ..done(vertex("b", 900)) },
                    ],
                    ..Default::default()
                },
                "#1 last\n#1 DONE 0.9s\n#2 step b\n#2 CACHED\n",
            ),
            (StatusResponse { vertexes: vec![done(vertex("a", 0))], ..Default::default() }, ""),
            (
                StatusResponse {
                    vertexes: vec![
                        Vertex { error: CANCELED.to_owned(), ..done(vertex("c", 0)) },
                        Vertex { error: "exit code: 7".to_owned(), ..done(vertex("d", 0)) },
                    ],
                    ..Default::default()
                },
                "#3 step c\n#3 ERROR: context canceled\n#4 step d\n#4 ERROR: exit code: 7\n",
            ),
        ];
        for (said, expected) in rows {
            assert_eq!(trace.take(&said), expected);
        }
        assert_eq!(trace.failed.as_deref(), Some("step d"));
    }

    #[test]
    fn sizes_have_a_unit() {
        for (bytes, expected) in [
            (1, "1B"),
            (999, "999B"),
            (1000, "1kB"),
            (12_345, "12.3kB"),
            (2_500_000, "2.5MB"),
            (7_000_000_000, "7GB"),
        ] {
            assert_eq!(size(bytes), expected);
        }
    }
}
