//! Reads `run:`, a container to completion: a Compose service, and what only a job has.

use std::path::Path;

use super::Reader;
use super::fields::{self, Fields};
use super::kinds;
use super::tables_of_work::{NOT_ALONE, RUN};
use crate::compose::load::alone::{Place, load_alone};
use crate::compose::model::Service;
use crate::compose::yaml::{Node, Value};
use crate::job::{Packed, PackedRun, RunContainer};

/// Reads the work of a `run:` job.
pub(super) fn read(node: &Node, reader: &mut Reader<'_>) -> Option<PackedRun> {
    let fields = fields::open(node, &RUN, &mut reader.problems)?;
    refuse_what_needs_others(node, reader);
    let container = fields.plain("container", &mut reader.problems);
    let image = fields.plain("image", &mut reader.problems);
    match (&container, &image) {
        (None, None) => {
            fields.lacks("image", node, "alpine:3.22", &mut reader.problems);
            service(node, &fields, reader);
            return None;
        }
        (Some(_), Some(_)) => {
            let place = fields.node("image").unwrap_or(node);
            let both = place.problem("`run` has an `image` or a `container`, not both");
            reader.problems.push(both.with_hint("an existing container keeps its image"));
        }
        _ => {}
    }
    let volumes_from = fields.strings("volumes_from", &mut reader.problems).into_iter();
    let volumes_from =
        volumes_from.map(|it| it.strip_prefix("container:").map_or(it.clone(), str::to_owned));
    let run = RunContainer {
        container,
        keep: fields.boolean("keep", &mut reader.problems).unwrap_or(false),
        volumes_from: volumes_from.collect(),
        env_from: fields.strings("env_from", &mut reader.problems),
        pull_fallback: fields.boolean("pull_fallback", &mut reader.problems).unwrap_or(false),
        redirect: kinds::redirect(&fields, reader),
        service: Service::default(),
    };
    let then = kinds::then(&fields, reader);
    let run = RunContainer { service: service(node, &fields, reader)?, ..run };
    Some(PackedRun { container: Packed::of(&run), then })
}

fn refuse_what_needs_others(node: &Node, reader: &mut Reader<'_>) {
    for (key, _) in node.as_mapping().unwrap_or_default() {
        if let Some((name, instead)) = NOT_ALONE.iter().find(|(name, _)| *name == key.name) {
            let problem = key.span.problem(format!("`{name}` means nothing in `run`"));
            reader.problems.push(problem.with_hint(*instead));
        }
    }
}

/// The keys of the service, through the decoder of Compose files.
fn service(node: &Node, fields: &Fields<'_>, reader: &mut Reader<'_>) -> Option<Service> {
    let own = |name: &str| RUN.names().any(|own| own == name && own != "image");
    let skipped = |name: &str| own(name) || NOT_ALONE.iter().any(|(key, _)| *key == name);
    let entries = node.as_mapping()?.iter().filter(|(key, value)| {
        // An empty value is as if nothing were written, as everywhere in job files.
        let of_service = super::SERVICE_KEYS.contains(&key.name.as_str());
        of_service && !skipped(&key.name) && (!value.is_null() || key.name == "environment")
    });
    let mut entries: Vec<_> = entries.cloned().collect();
    for (key, value) in &mut entries {
        // A number is a text here, as everywhere in job files.
        if matches!(key.name.as_str(), "command" | "entrypoint") {
            if let Value::Sequence(items) = &mut value.value {
                items.iter_mut().for_each(as_text);
            }
        } else if matches!(key.name.as_str(), "user" | "working_dir" | "hostname" | "image") {
            as_text(value);
        }
        // Names of networks are often all there is to say of them, and a single one all there are.
        let is_list = matches!(key.name.as_str(), "networks" | "volumes");
        if is_list && value.as_str().is_some() {
            let one = std::mem::replace(value, value.with_value(Value::Null));
            *value = one.with_value(Value::Sequence(vec![one.clone()]));
        }
    }
    if let Some(volumes) = fields.node("volumes") {
        refuse_anonymous(volumes, reader);
    }
    let service = node.with_value(Value::Mapping(entries));
    let file = Path::new(&node.span.source.file);
    let directory = file.parent().filter(|it| it.is_absolute()).unwrap_or(Path::new("/"));
    let place = Place { key: "run", directory, environment: reader.variables, files: reader.files };
    let (mut service, warnings) = match load_alone(&service, place) {
        Ok(read) => read,
        Err(found) => {
            reader.problems.extend(found.0);
            return None;
        }
    };
    reader.problems.extend(warnings.into_iter().map(|text| node.problem(text).as_warning()));
    // What has no value anywhere is left out.
    service.environment.retain(|_, value| value.is_some());
    if let (Some(directory), Some(place)) = (&service.working_dir, fields.node("working_dir"))
        && !directory.starts_with('/')
    {
        let message = format!("`working_dir` must be absolute, not `{directory}`");
        reader.problems.push(place.problem(message));
    }
    Some(service)
}

fn as_text(node: &mut Node) {
    if let Some(text) = node.value.scalar_text().map(std::borrow::Cow::into_owned) {
        node.value = Value::String(text);
    }
}

/// A container of a job is removed at its end: what it leaves in a volume without a name is lost, and
/// a volume that is no path is nearly always a mistake.
fn refuse_anonymous(volumes: &Node, reader: &mut Reader<'_>) {
    for item in fields::items_of(volumes) {
        let Some(text) = item.as_str().filter(|it| !it.contains(':') && !it.starts_with('/'))
        else {
            continue;
        };
        let problem = item.problem(format!("`{text}` is no volume"));
        reader.problems.push(problem.with_hint("write `source:/target` or `source:/target:ro`"));
    }
}
