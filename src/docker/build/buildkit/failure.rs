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

/// An error of a build with what is known of its place.
pub(super) fn explained(error: anyhow::Error, step: Option<&str>) -> anyhow::Error {
    let Some(status) = error.downcast_ref::<Status>() else { return error };
    if status.message.contains(NO_CONTEXTS) {
        return error.context(
            "`build.additional_contexts` needs Engine 23.0 (API 1.42) or newer, or a `# syntax=` line in \
             the Dockerfile",
        );
    }
    let line = status.details.iter().find_map(place);
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
            (status("m", &[detail.clone()]), Some("RUN x"), "Dockerfile:7: RUN x: m"),
            (status("m", &[detail]), None, "Dockerfile:7: m"),
            (status("m", &[Any::default()]), Some("RUN x"), "RUN x: m"),
            (status("m", &[]), None, "m"),
        ] {
            assert_eq!(format!("{:#}", explained(status.into(), step)), expected);
        }
        let old = status("unsupported frontend capability moby.buildkit.frontend.contexts", &[]);
        assert!(explained(old.into(), None).to_string().contains("Engine 23.0"));
    }
}
