//! The job list of birdhouse's scheduler, a crontab in YAML whose entries are `docker run` and
//! `docker exec` lines.
//!
//! What the text means in bash is kept where it needs no shell; where it does, a shell runs inside the
//! container instead of in the scheduler, and a warning says so.

mod dockerargs;
mod shell;

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use self::dockerargs::Keys;
use super::foreign::{Imported, Names, TIMEOUT, legal};
use super::native::Context;
use crate::compose::yaml::{self, Node};

/// Keys that are read, of an entry or of an item of its `trigger`.
const KNOWN: &[&str] = &[
    "name",
    "comment",
    "schedule",
    "command",
    "image",
    "container",
    "project",
    "dockerargs",
    "volumes",
    "ports",
    "expose",
    "environment",
    "network",
    "trigger",
    "onstart",
];

/// Keys that only a container has; of one that is there, the last two.
const FLAGS: [&str; 7] =
    ["volumes", "ports", "expose", "environment", "network", "dockerargs", "project"];

/// Reads a list of entries; `file` is its name for messages. `names` are those of jobs read before.
pub fn read(text: &str, file: &str, context: &Context<'_>, taken: &[String]) -> Imported {
    let mut imported = Imported::default();
    let documents = match yaml::parse(text, file) {
        Ok(documents) => documents,
        Err(problems) => {
            imported.problems.extend(problems.0);
            return imported;
        }
    };
    let mut names = Names::default();
    for name in taken {
        names.give(name);
    }
    for document in documents.iter().filter(|document| !document.is_null()) {
        let Some(entries) = document.as_sequence() else {
            let kind = document.value.kind();
            imported.refuse(&document.span, format!("the jobs are {kind}: expected a list"));
            continue;
        };
        for (index, entry) in entries.iter().enumerate() {
            read_entry(entry, index, &mut imported, &mut names, context);
        }
    }
    imported
}

fn read_entry(
    entry: &Node,
    index: usize,
    imported: &mut Imported,
    names: &mut Names,
    context: &Context<'_>,
) {
    if entry.as_mapping().is_none() {
        let kind = entry.value.kind();
        return imported.refuse(&entry.span, format!("a job is {kind}: expected a mapping"));
    }
    for (key, _) in entry.as_mapping().unwrap_or_default() {
        if !KNOWN.contains(&key.name.as_str()) {
            imported.warn(&key.span, format!("`{}` means nothing, in birdhouse neither", key.name));
        }
    }
    let text = |key: &str| text(entry, key);
    let written = text("name").or_else(|| text("comment").filter(|comment| comment.len() < 40));
    let called = written.clone().unwrap_or_else(|| format!("job-{}", index + 1));
    let Some(schedule) = text("schedule") else {
        return imported.warn(&entry.span, format!("`{called}` is skipped: it has no `schedule`"));
    };
    if text("command").is_none() {
        return imported.warn(&entry.span, format!("`{called}` is skipped: it has no `command`"));
    }
    if names.has(&called) {
        imported.warn(
            &entry.span,
            format!("there is a job `{called}` already: this one gets a number"),
        );
    }
    let name = names.give(&called);
    let work = match (Entry { node: entry, variables: context.variables }).work(imported) {
        Ok(mut work) => {
            if let (Some(_), Some(run)) = (text("name"), work.get_mut("run")) {
                // As `--name` behind the other flags: the last one wins.
                let own = if legal(&called) == called && legal(&name) == called {
                    &called
                } else {
                    &name
                };
                if own.len() > 1 {
                    run["container_name"] = own.clone().into();
                }
            }
            work
        }
        Err((node, why)) => {
            return imported.refuse(&node.span, format!("`{called}` is refused: {why}"));
        }
    };
    let mut job = Map::new();
    job.insert("name".to_owned(), name.clone().into());
    if let Some(comment) = text("comment") {
        job.insert("description".to_owned(), super::foreign::literal(&comment).into());
    }
    warn_of_schedule(&schedule, entry, imported);
    job.insert("schedule".to_owned(), super::foreign::literal(&schedule).into());
    job.insert("overlap".to_owned(), "skip".into());
    job.insert("catch_up".to_owned(), "none".into());
    job.insert("timeout".to_owned(), TIMEOUT.into());
    job.extend(work);
    imported.add(job, &entry.span, context);
    let on_start = entry.get("onstart").and_then(|node| node.value.scalar_text());
    if on_start.as_deref() == Some("true") {
        imported.add_start(&name, names, &entry.span, context);
    }
}

/// Says where a schedule ran otherwise than it reads.
fn warn_of_schedule(schedule: &str, entry: &Node, imported: &mut Imported) {
    let place = entry.get("schedule").unwrap_or(entry);
    if let Some(every) = schedule.trim().strip_prefix("@every")
        && let Ok(every) = super::duration::parse(every)
    {
        let minutes = every.as_secs() / 60;
        if minutes == 0 || minutes >= 60 || 60 % minutes != 0 || every.as_secs() % 60 != 0 {
            let message = format!(
                "`{schedule}` runs as often as it says; birdhouse ran it as `*/{minutes} * * * *`, at \
                 other times"
            );
            imported.warn(&place.span, message);
        }
    } else if schedule.split_whitespace().count() == 6 {
        let message = format!(
            "`{schedule}` has six fields, and is read with seconds first; birdhouse never ran such a job"
        );
        imported.warn(&place.span, message);
    }
}

/// An entry, or an item of a `trigger`.
struct Entry<'a> {
    node: &'a Node,
    variables: &'a BTreeMap<String, String>,
}

type Refused<'a> = (&'a Node, String);

impl<'a> Entry<'a> {
    /// What it does: a mapping of one kind of work.
    fn work(&self, imported: &mut Imported) -> Result<Map<String, Value>, Refused<'a>> {
        let node = self.node;
        let then = self.triggers(imported)?;
        let command = text(node, "command").unwrap_or_default();
        let place = node.get("command").unwrap_or(node);
        let (means_nothing, to): (&[&str], _) = match (text(node, "image"), text(node, "container"))
        {
            (Some(_), container) => {
                let both =
                    if container.is_some() { &["container", "project"][..] } else { &["project"] };
                (both, "with `image`")
            }
            (None, Some(_)) => (&FLAGS[..5], "with `container`"),
            (None, None) => (&FLAGS, "without `image` and `container`"),
        };
        for (key, _) in node.as_mapping().unwrap_or_default() {
            if means_nothing.contains(&key.name.as_str()) {
                imported.warn(
                    &key.span,
                    format!("`{}` means nothing {to}, in birdhouse neither", key.name),
                );
            }
        }
        let (kind, mut keys) = if let Some(image) = text(node, "image") {
            ("run", self.container(&image, &command, imported)?)
        } else if let Some(container) = text(node, "container") {
            ("exec", self.exec(&container, &command, imported)?)
        } else {
            let mut keys = Map::new();
            match shell::read(&command, self.variables) {
                Ok(plain) => put_plain(&mut keys, "argv", plain),
                Err(_) => {
                    keys.insert("argv".to_owned(), shell_line(&command, &["sh", "-c"]));
                }
            }
            let message = "it runs inside Roadstead, as it ran inside birdhouse's scheduler: \
                           AUTODEPLOY_ALLOW_COMMANDS must allow that, and the programs be there";
            imported.warn(&place.span, message);
            ("command", keys)
        };
        if !then.is_empty() {
            keys.insert("then".to_owned(), Value::Array(then));
        }
        Ok(Map::from_iter([(kind.to_owned(), Value::Object(keys))]))
    }

    fn container(
        &self,
        image: &str,
        command: &str,
        imported: &mut Imported,
    ) -> Result<Map<String, Value>, Refused<'a>> {
        let mut flags = self.flags(dockerargs::run, imported)?;
        self.lists(&mut flags)?;
        let mut keys = Map::new();
        keys.insert("image".to_owned(), substituted(image).into());
        match shell::read(command, self.variables) {
            Ok(plain) => put_plain(&mut keys, "command", plain),
            Err(feature) => {
                keys.insert("entrypoint".to_owned(), json!(["sh", "-c"]));
                keys.insert("command".to_owned(), shell_line(command, &[]));
                flags.keys.shift_remove("entrypoint");
                self.warn_of_shell(&feature, "a shell in a container of its image", imported);
            }
        }
        keys.extend(flags.keys);
        Ok(keys)
    }

    fn exec(
        &self,
        container: &str,
        command: &str,
        imported: &mut Imported,
    ) -> Result<Map<String, Value>, Refused<'a>> {
        let flags = self.flags(dockerargs::exec, imported)?;
        let mut keys = Map::new();
        if let Some(project) = text(self.node, "project") {
            keys.insert("project".to_owned(), substituted(&project).into());
            keys.insert("service".to_owned(), substituted(container).into());
            keys.insert("scope".to_owned(), "all".into());
        } else {
            keys.insert("container".to_owned(), substituted(container).into());
        }
        match shell::read(command, self.variables) {
            Ok(plain) => put_plain(&mut keys, "command", plain),
            Err(feature) => {
                keys.insert("command".to_owned(), shell_line(command, &["sh", "-c"]));
                self.warn_of_shell(&feature, "a shell in the container", imported);
            }
        }
        keys.extend(flags.keys);
        Ok(keys)
    }

    fn warn_of_shell(&self, feature: &str, what: &str, imported: &mut Imported) {
        let place = self.node.get("command").unwrap_or(self.node);
        let message = format!(
            "{feature} in `command` needs a shell: {what} runs it all, where birdhouse's scheduler \
             ran it; what is redirected goes to files in that container"
        );
        imported.warn(&place.span, message);
    }

    /// The flags of `dockerargs`.
    fn flags(
        &self,
        read: fn(&[String]) -> Result<Keys, String>,
        imported: &mut Imported,
    ) -> Result<Keys, Refused<'a>> {
        let Some(place) = self.node.get("dockerargs") else {
            return Ok(Keys { keys: Map::new(), warnings: Vec::new() });
        };
        let arguments = text(self.node, "dockerargs").unwrap_or_default();
        // Folded text of YAML may keep its line breaks; to the shell they were blanks.
        let line = arguments.replace('\n', " ");
        let refused = |why: String| (place, format!("`dockerargs`: {why}"));
        let plain = shell::read(&line, self.variables)
            .map_err(|feature| refused(format!("{feature} needs a shell: write plain flags")))?;
        if plain.stdout.is_some() || plain.stderr.is_some() {
            return Err(refused("a redirection among flags".to_owned()));
        }
        let keys = read(&plain.words).map_err(refused)?;
        for warning in &keys.warnings {
            imported.warn(&place.span, warning.clone());
        }
        Ok(keys)
    }

    /// The keys that are lists of flags.
    fn lists(&self, flags: &mut Keys) -> Result<(), Refused<'a>> {
        let texts = |key: &str| -> Vec<(&'a Node, String)> {
            let node = self.node.get(key);
            let items = node.map(|it| it.as_sequence().unwrap_or(std::slice::from_ref(it)));
            let items = items.unwrap_or_default().iter();
            items.filter_map(|item| Some((item, substituted(&item.value.scalar_text()?)))).collect()
        };
        for (place, text) in texts("volumes") {
            flags.mount(text.into()).map_err(|why| (place, why))?;
        }
        for key in ["ports", "expose", "environment"] {
            for (_, text) in texts(key) {
                flags.add(key, text.into());
            }
        }
        for (_, text) in texts("network") {
            flags.connect(&text);
        }
        Ok(())
    }

    fn triggers(&self, imported: &mut Imported) -> Result<Vec<Value>, Refused<'a>> {
        let Some(trigger) = self.node.get("trigger") else { return Ok(Vec::new()) };
        let items = trigger.as_sequence().unwrap_or_default();
        let mut works = Vec::new();
        for item in items {
            if text(item, "command").is_none() {
                imported.warn(&item.span, "a `trigger` without `command` is skipped");
                continue;
            }
            let entry = Self { node: item, variables: self.variables };
            works.push(Value::Object(entry.work(imported)?));
        }
        Ok(works)
    }
}

/// A scalar as text; empty counts as absent.
fn text(node: &Node, key: &str) -> Option<String> {
    let text = node.get(key)?.value.scalar_text()?.into_owned();
    (!text.trim().is_empty()).then_some(text)
}

/// A command line as one argument of a shell; the variables in it are the shell's.
fn shell_line(command: &str, before: &[&str]) -> Value {
    let line = super::foreign::literal(command.trim());
    before.iter().map(|word| Value::from(*word)).chain([line.into()]).collect()
}

fn put_plain(keys: &mut Map<String, Value>, key: &str, plain: shell::Plain) {
    keys.insert(key.to_owned(), plain.words.into());
    let mut redirect = Map::new();
    for (name, file) in [("stdout", plain.stdout), ("stderr", plain.stderr)] {
        if let Some((file, append)) = file {
            redirect.insert(name.to_owned(), json!({"file": file, "append": append}));
        }
    }
    if !redirect.is_empty() {
        keys.insert("redirect".to_owned(), Value::Object(redirect));
    }
}

/// As `envsubst` has it: `$NAME` and `${NAME}`, empty where not set, and every other `$` as it is.
fn substituted(text: &str) -> String {
    let mut output = String::new();
    let mut rest = text.trim();
    while let Some(at) = rest.find('$') {
        output += &rest[..at];
        let behind = &rest[at + 1..];
        let is_letter = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let braced = behind.strip_prefix('{').and_then(|inner| inner.split_once('}'));
        let bare = &behind[..behind.find(|c| !is_letter(c)).unwrap_or(behind.len())];
        let is_name = |name: &str| {
            !name.is_empty()
                && name.chars().all(is_letter)
                && !name.starts_with(|c: char| c.is_ascii_digit())
        };
        match braced {
            Some((name, after)) if is_name(name) => {
                output.extend(["${", name, ":-}"]);
                rest = after;
            }
            _ if is_name(bare) => {
                output.extend(["${", bare, ":-}"]);
                rest = &behind[bare.len()..];
            }
            _ => {
                output += "$$";
                rest = behind;
            }
        }
    }
    output + rest
}

#[cfg(test)]
mod tests;
