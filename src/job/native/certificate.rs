//! Reads `certificate`.

use std::path::{Component, Path};
use std::time::Duration;

use super::fields::{self, Fields};
use super::housekeeping::signal_to;
use super::kinds::target;
use super::tables_of_housekeeping::{CERTIFICATE, TOLD};
use super::tables_of_work::ONE_TARGET;
use super::{Reader, run};
use crate::compose::yaml::Node;
use crate::job::work::{Certificate, Target};
use crate::job::{Packed, RunContainer};
use crate::problem::Problem;

const RENEW_BEFORE: Duration = Duration::from_hours(30 * 24);
const SIGNAL: &str = "SIGHUP";
/// Keys of `run` that would stand in our way.
const OURS: [&str; 5] = ["command", "container", "keep", "then", "redirect"];

pub(super) fn certificate(node: &Node, reader: &mut Reader<'_>) -> Option<Certificate> {
    let fields = fields::open(node, &CERTIFICATE, &mut reader.problems)?;
    let certbot = fields.node("certbot").and_then(|it| certbot(it, reader));
    if fields.node("certbot").is_none() {
        let example = "{ image: \"certbot/certbot:v3.1.0\" }";
        fields.lacks("certbot", node, example, &mut reader.problems);
    }
    let (stop, restart) =
        (one_target("stop", &fields, reader), one_target("restart", &fields, reader));
    let signal = fields.node("signal").and_then(|it| signal_to(it, (&TOLD, SIGNAL), reader));
    let problems = &mut reader.problems;
    let bundle = fields.required("bundle", node, "/data/certificates/bundle.pem", problems);
    let bundle = bundle.and_then(|text| {
        let path = Path::new(text.trim());
        let is_strange = path.components().any(|it| matches!(it, Component::ParentDir));
        if !path.is_absolute() || is_strange || text.trim().ends_with('/') {
            let message = format!("`bundle` is `{text}`: expected an absolute path of a file");
            problems.extend(fields.node("bundle").map(|it| it.problem(message)));
            return None;
        }
        Some(path.to_owned())
    });
    let domains = domains(node, &fields, problems);
    Some(Certificate {
        bundle: bundle?,
        domains: domains?,
        email: fields.plain("email", problems),
        renew_before: fields.duration("renew_before", problems).unwrap_or(RENEW_BEFORE),
        certbot: certbot?,
        arguments: fields.arguments("arguments", problems).unwrap_or_default(),
        stop,
        signal,
        restart,
        dry_run: fields.boolean("dry_run", problems).unwrap_or(false),
    })
}

fn domains(node: &Node, fields: &Fields<'_>, problems: &mut Vec<Problem>) -> Option<Vec<String>> {
    let texts = fields.strings("domains", problems);
    let words = texts.iter().flat_map(|it| it.split([' ', ',', '\n'])).filter(|it| !it.is_empty());
    let domains: Vec<String> = words.map(str::to_owned).collect();
    if domains.is_empty() {
        fields.lacks("domains", node, "example.org", problems);
        return None;
    }
    // The first one is part of a path, and all are arguments.
    let is_name = |it: &&String| {
        let plain = it.strip_prefix("*.").unwrap_or(it);
        let known = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
        !plain.starts_with(['-', '.']) && !plain.contains("..") && plain.bytes().all(known)
    };
    if let Some(wrong) = domains.iter().find(|it| !is_name(it)) {
        let place = fields.node("domains").unwrap_or(node);
        problems.push(place.problem(format!("`{wrong}` is no name of a host")));
        return None;
    }
    Some(domains)
}

fn certbot(node: &Node, reader: &mut Reader<'_>) -> Option<Packed<RunContainer>> {
    for (key, _) in node.as_mapping().unwrap_or_default() {
        if OURS.contains(&key.name.as_str()) {
            let message = format!("`{}` means nothing in `certbot`", key.name);
            let hint = "write what certbot is to be told besides into `arguments`";
            reader.problems.push(key.span.problem(message).with_hint(hint));
        }
    }
    run::read(node, reader).map(|run| run.container)
}

/// A target; a variable that is not set says that there is none.
fn one_target(name: &str, fields: &Fields<'_>, reader: &mut Reader<'_>) -> Option<Target> {
    let node = fields.node(name)?;
    let fields = fields::open(node, &ONE_TARGET, &mut reader.problems)?;
    let is_empty = |name: &str| fields.plain(name, &mut Vec::new()).is_none();
    let names = ["container", "project", "service"];
    if fields.node("container").is_some()
        && names.iter().all(|it| is_empty(it))
        && fields.strings("labels", &mut Vec::new()).is_empty()
    {
        return None;
    }
    target(node, &fields, reader)
}
