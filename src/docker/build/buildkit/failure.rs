//! Why a build failed: the step, the line of the Dockerfile, and what happened.

use serde::Deserialize;

use super::grpc::Status;
use super::messages::Any;

/// The detail of a status that names lines of the Dockerfile.
const SOURCE: &str = "errdefs.Source";
/// What the Engine's own reader of Dockerfiles says where it is too old for named contexts.
const NO_CONTEXTS: &str = "moby.buildkit.frontend.contexts";

#[derive(Deserialize)]
struct Source {
    info: Option<Info>,
    #[serde(default)]
    ranges: Vec<Range>,
}

#[derive(Deserialize)]
struct Info {
    filename: Option<String>,
}

#[derive(Deserialize)]
struct Range {
    start: Option<Position>,
}

#[derive(Deserialize)]
struct Position {
    line: Option<u32>,
}

/// An error of a build with what is known of its place: the step that failed, in this Dockerfile.
pub(super) fn explained(
    error: anyhow::Error,
    step: Option<&str>,
    dockerfile: Option<(&str, &str)>,
) -> anyhow::Error {
    let Some(status) = error.downcast_ref::<Status>() else { return error };
    if status.message.contains(NO_CONTEXTS) {
        return error.context(
            "`build.additional_contexts` needs Engine 23.0 (API 1.42) or newer, or a `# syntax=` line in \
             the Dockerfile",
        );
    }
    // An older Engine does not tell the line.
    let found = || {
        let (name, text) = dockerfile?;
        Some(format!("{name}:{}", line_of(step?, text)?))
    };
    let line = status.details.iter().find_map(place).or_else(found);
    match (line, step) {
        (Some(line), Some(step)) => error.context(format!("{line}: {step}")),
        (Some(line), None) => error.context(line),
        (None, Some(step)) => error.context(step.to_owned()),
        (None, None) => error,
    }
}

/// `Dockerfile:7`.
fn place(detail: &Any) -> Option<String> {
    if !detail.kind.contains(SOURCE) {
        return None;
    }
    let source: Source = serde_json::from_slice(&detail.value).ok()?;
    let line = source.ranges.first()?.start.as_ref()?.line?;
    Some(format!("{}:{line}", source.info?.filename?))
}

/// The line on which the instruction of a step begins, e.g. of `[build 2/3] RUN make`.
fn line_of(step: &str, dockerfile: &str) -> Option<usize> {
    let (_, instruction) = step.split_once("] ")?;
    let bare = |text: &str| text.split_whitespace().collect::<String>();
    let wanted = bare(instruction);
    let mut whole = String::new();
    let mut beginning = 0;
    for (index, line) in dockerfile.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if whole.is_empty() {
            beginning = index + 1;
        }
        if let Some(part) = line.strip_suffix('\\') {
            whole.push_str(part);
            continue;
        }
        whole.push_str(line);
        if bare(&std::mem::take(&mut whole)) == wanted {
            return Some(beginning);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::docker::build::buildkit::grpc::UNKNOWN;

    #[test]
    fn failures_name_their_place() {
        let source = r#"{"info":{"filename":"Dockerfile"},"ranges":[{"start":{"line":7}}]}"#;
        let detail = Any {
            kind: "github.com/moby/buildkit/errdefs.Source+json".to_owned(),
            value: source.as_bytes().to_vec(),
        };
        let status = |message: &str, details: &[Any]| Status {
            details: details.to_vec(),
            ..Status::new(UNKNOWN, message)
        };
        for (status, step, expected) in [
            (status("m", std::slice::from_ref(&detail)), Some("RUN x"), "Dockerfile:7: RUN x: m"),
            (status("m", std::slice::from_ref(&detail)), None, "Dockerfile:7: m"),
            (status("m", &[Any::default()]), Some("RUN x"), "RUN x: m"),
            (status("m", &[]), None, "m"),
        ] {
            assert_eq!(format!("{:#}", explained(status.into(), step, None)), expected);
        }
        let old = status("unsupported frontend capability moby.buildkit.frontend.contexts", &[]);
        assert!(explained(old.into(), None, None).to_string().contains("Engine 23.0"));
    }

    #[test]
    fn the_line_is_found_where_the_engine_does_not_tell() {
        let dockerfile =
            "FROM a AS b\n\n# RUN make\nRUN one; \\\n  # why\n  two\nRUN  make all\nRUN x \\\n";
        for (step, expected) in [
            ("[b 1/3] FROM a AS b", Some(1)),
            ("[b 2/3] RUN one;   two", Some(4)),
            ("[b 3/3] RUN make all", Some(7)),
            ("[b 3/3] RUN other", None),
            ("exporting to image", None),
        ] {
            assert_eq!(line_of(step, dockerfile), expected, "{step}");
        }
        let status = Status::new(UNKNOWN, "m");
        let step = Some("[b 3/3] RUN make all");
        let found = explained(status.into(), step, Some(("Dockerfile", dockerfile)));
        assert_eq!(format!("{found:#}"), "Dockerfile:7: [b 3/3] RUN make all: m");
    }
}
