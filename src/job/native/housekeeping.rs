//! Reads the kinds of work that keep a host tidy.

use super::Reader;
use super::fields::{self, Fields};
use super::kinds::target;
use super::tables_of_housekeeping::{COMPRESSIONS, CREATE, METHODS, ROTATE, SIGNAL};
use crate::compose::yaml::Node;
use crate::job::work::{Compression, Create, FilesBelow, Rotate, RotateMethod, SignalTo};
use crate::problem::Problem;

/// Reads `rotate`.
pub(super) fn rotate(node: &Node, reader: &mut Reader<'_>) -> Option<Rotate> {
    let fields = fields::open(node, &ROTATE, &mut reader.problems)?;
    let signal = fields.node("signal").and_then(|signal| signal_to(signal, reader));
    let problems = &mut reader.problems;
    let files = files_below("files", &fields, problems);
    if files.is_empty() && fields.node("files").is_none() {
        fields.lacks("files", node, "/var/log/web/*.log", problems);
    }
    let method = match fields.word("method", METHODS, problems) {
        Some("copytruncate") => RotateMethod::CopyTruncate,
        Some(_) => RotateMethod::Rename,
        // Nobody tells such a writer to leave the renamed file.
        None if signal.is_none() && fields.node("create").is_none() => RotateMethod::CopyTruncate,
        None => RotateMethod::Rename,
    };
    if method == RotateMethod::CopyTruncate {
        for (name, is_there) in
            [("create", fields.node("create").is_some()), ("signal", signal.is_some())]
        {
            if let Some(place) = fields.node(name).filter(|_| is_there) {
                let problem =
                    place.problem(format!("`{name}` does not go with `method: copytruncate`"));
                problems.push(problem.with_hint(
                    "the writer keeps its file: leave it out, or write `method: rename`",
                ));
            }
        }
    }
    let before = problems.len();
    let (size, every) = (fields.size("size", problems), fields.duration("every", problems));
    if size.is_none() && every.is_none() && problems.len() == before {
        let problem = node.problem("`rotate` says nothing of when");
        problems.push(problem.with_hint("write `size: 20m`, `every: 1w`, or both"));
    }
    Some(Rotate {
        files,
        exclude: files_below("exclude", &fields, problems),
        size,
        every,
        min_size: fields.size("min_size", problems).unwrap_or(1),
        keep: fields
            .integer("keep", (1, 10_000), problems)
            .and_then(|keep| usize::try_from(keep).ok())
            .unwrap_or(6),
        max_age: fields.duration("max_age", problems),
        compress: match fields.word("compress", COMPRESSIONS, problems) {
            Some("none") => None,
            Some("zstd") => Some(Compression::Zstd),
            _ => Some(Compression::Gzip),
        },
        create: (method == RotateMethod::Rename).then(|| create(&fields, problems)).flatten(),
        method,
        signal,
        dry_run: fields.boolean("dry_run", problems).unwrap_or(false),
    })
    .filter(|it| !it.files.is_empty())
}

fn files_below(name: &str, fields: &Fields<'_>, problems: &mut Vec<Problem>) -> Vec<FilesBelow> {
    let mut files = Vec::new();
    for text in fields.strings(name, problems) {
        // A variable holds several, separated by blanks.
        for one in text.split_whitespace() {
            match FilesBelow::parse(one) {
                Ok(below) => files.push(below),
                Err(expected) => {
                    problems.extend(fields.node(name).map(|place| place.problem(expected)));
                }
            }
        }
    }
    files
}

fn create(fields: &Fields<'_>, problems: &mut Vec<Problem>) -> Option<Create> {
    let Some(node) = fields.node("create") else { return Some(Create::default()) };
    if node.as_mapping().is_none() {
        let wanted = fields.boolean("create", problems).unwrap_or(true);
        return wanted.then(Create::default);
    }
    let fields = fields::open(node, &CREATE, problems)?;
    let mode = fields.text("mode", problems).and_then(|(text, place)| {
        let mode = u32::from_str_radix(text.trim(), 8).ok().filter(|mode| *mode <= 0o777);
        if mode.is_none() {
            let problem = place.problem(format!("`mode` is `{text}`: expected permissions"));
            problems.push(problem.with_hint("write three octal digits in quotes, e.g. `\"0640\"`"));
        }
        mode
    });
    let owner = fields.text("owner", problems).and_then(|(text, place)| {
        let parts = text.trim().split_once(':');
        let owner = parts.and_then(|(user, group)| Some((user.parse().ok()?, group.parse().ok()?)));
        if owner.is_none() {
            let problem = place.problem(format!("`owner` is `{text}`: expected user and group"));
            problems.push(problem.with_hint("write their numbers in quotes, e.g. `\"101:4\"`"));
        }
        owner
    });
    Some(Create { mode, owner })
}

fn signal_to(node: &Node, reader: &mut Reader<'_>) -> Option<SignalTo> {
    let fields = fields::open(node, &SIGNAL, &mut reader.problems)?;
    let names = ["container", "project", "service", "labels"];
    let is_empty = |name: &&str| fields.plain(name, &mut Vec::new()).is_none();
    // A variable that is not set says that there is nobody to tell.
    if fields.node("container").is_some() && names.iter().all(|name| is_empty(&name)) {
        return None;
    }
    let target = target(node, &fields, reader);
    let signal = fields.plain("signal", &mut reader.problems);
    Some(SignalTo { target: target?, signal: signal.unwrap_or_else(|| "SIGUSR1".to_owned()) })
}
