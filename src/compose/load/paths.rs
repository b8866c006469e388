//! Paths of a document, brought from the directory they were written for to the project's.

use std::path::Path;

use crate::compose::decode::service::clean_path;
use crate::compose::yaml::{Key, Node, Value};

/// Beginnings of build contexts that are no paths.
const REMOTE_CONTEXTS: &[&str] =
    &["service:", "https://", "http://", "git://", "ssh://", "github.com/", "git@"];

/// Where relative paths of a document begin.
#[derive(Clone, Copy)]
pub(super) struct Base<'a> {
    /// Put before relative paths; itself maybe relative to a directory further out.
    pub directory: &'a str,
    /// What `~` stands for.
    pub home: Option<&'a str>,
}

/// Resolves every path of a project, and has builds that name no context begin in its directory.
pub(super) fn resolve(root: &mut Node, base: Base<'_>) {
    each(root, "services", |service| {
        if let Some(build) = service.get_mut("build")
            && build.as_mapping().is_some()
            && build.get("context").is_none()
        {
            let context = build.with_value(Value::String(".".to_owned()));
            build.insert(Key::implied("context", &build.span.clone()), context);
        }
    });
    resolve_written(root, base);
}

/// Resolves every path that a document names. Its forms are the long ones.
pub(super) fn resolve_written(root: &mut Node, base: Base<'_>) {
    each(root, "services", |service| resolve_service(service, base));
    for section in ["secrets", "configs"] {
        each(root, section, |resource| base.unix(resource.get_mut("file")));
    }
    each(root, "volumes", |volume| resolve_volume(volume, base));
}

fn resolve_service(service: &mut Node, base: Base<'_>) {
    let Value::Mapping(entries) = &mut service.value else { return };
    for (key, node) in entries {
        match key.name.as_str() {
            "build" => resolve_build(node, base),
            "env_file" => items(node, |file| base.plain(file.get_mut("path"))),
            "label_file" if node.as_str().is_some() => base.plain(Some(node)),
            "label_file" => items(node, |file| base.plain(Some(file))),
            "extends" => base.plain(node.get_mut("file")),
            "develop" => {
                if let Some(watch) = node.get_mut("watch") {
                    items(watch, |rule| base.plain(rule.get_mut("path")));
                }
            }
            "volumes" => items(node, |mount| {
                if mount.get("type").and_then(Node::as_str) == Some("bind") {
                    base.unix(mount.get_mut("source"));
                }
            }),
            _ => {}
        }
    }
}

fn resolve_build(build: &mut Node, base: Base<'_>) {
    if build.as_mapping().is_none() {
        return;
    }
    base.context(build.get_mut("context"));
    if let Some(contexts) = build.get_mut("additional_contexts") {
        match &mut contexts.value {
            Value::Mapping(entries) => {
                for (_, context) in entries {
                    base.context(Some(context));
                }
            }
            Value::Sequence(items) => {
                for item in items {
                    after_equals(item, |text| base.of_context(text));
                }
            }
            _ => {}
        }
    }
    if let Some(ssh) = build.get_mut("ssh") {
        match &mut ssh.value {
            Value::Mapping(entries) => {
                for (_, key) in entries {
                    base.unix(Some(key));
                }
            }
            Value::Sequence(items) => {
                for item in items {
                    after_equals(item, |text| base.joined(text));
                }
            }
            _ => {}
        }
    }
}

/// A volume that binds a directory of the host.
fn resolve_volume(volume: &mut Node, base: Base<'_>) {
    let is_local = volume.get("driver").and_then(Node::as_str) == Some("local");
    let Some(options) = volume.get_mut("driver_opts").filter(|_| is_local) else { return };
    if options.get("o").and_then(Node::as_str) == Some("bind") {
        base.unix(options.get_mut("device"));
    }
}

/// Replaces what stands after the first `=`.
fn after_equals(item: &mut Node, replace: impl FnOnce(&str) -> String) {
    let Value::String(text) = &mut item.value else { return };
    if let Some((name, path)) = text.split_once('=') {
        *text = format!("{name}={}", replace(path));
    }
}

impl Base<'_> {
    /// A path of this machine; an empty one stays.
    fn plain(self, node: Option<&mut Node>) {
        replace(node, |text| if text.is_empty() { String::new() } else { self.joined(text) });
    }

    /// A path of the machine the Engine runs on, which may be one of Windows.
    fn unix(self, node: Option<&mut Node>) {
        replace(node, |text| {
            if is_absolute_on_windows(text) { text.to_owned() } else { self.joined(text) }
        });
    }

    fn context(self, node: Option<&mut Node>) {
        replace(node, |text| self.of_context(text));
    }

    fn of_context(self, text: &str) -> String {
        let remote = REMOTE_CONTEXTS.iter().any(|start| text.starts_with(start));
        // An empty context stays none: docker compose knows it beside a missing one.
        if remote || text.is_empty() || text.contains("://") {
            text.to_owned()
        } else {
            self.joined(text)
        }
    }

    /// The path behind this directory; an absolute one stays as written.
    pub(super) fn joined(self, path: &str) -> String {
        match (path.strip_prefix('~'), self.home) {
            (Some(rest), Some(home)) => clean_path(&format!("{home}/{rest}")),
            _ if path.starts_with('/') => path.to_owned(),
            _ if self.directory.is_empty() => clean_path(path),
            _ => clean_path(&format!("{}/{path}", self.directory)),
        }
    }
}

/// Whether a path begins with a drive and a slash, or names a share of the network.
fn is_absolute_on_windows(path: &str) -> bool {
    let is_slash = |byte: &u8| matches!(byte, b'/' | b'\\');
    match path.as_bytes() {
        [drive, b':', slash, ..] => drive.is_ascii_alphabetic() && is_slash(slash),
        [first @ b'\\', second, ..] => is_slash(first) && is_slash(second),
        _ => false,
    }
}

fn replace(node: Option<&mut Node>, replaced: impl FnOnce(&str) -> String) {
    let Some(node) = node else { return };
    if let Value::String(text) = &mut node.value {
        *text = replaced(text);
    }
}

/// The way from one absolute directory to another, as Go's `filepath.Rel`.
pub(super) fn relative(from: &Path, to: &Path) -> String {
    let (from, to): (Vec<_>, Vec<_>) = (from.components().collect(), to.components().collect());
    let common = from.iter().zip(&to).take_while(|(left, right)| left == right).count();
    let up = std::iter::repeat_n("..".to_owned(), from.len() - common);
    let down = to[common..].iter().map(|part| part.as_os_str().to_string_lossy().into_owned());
    let parts: Vec<String> = up.chain(down).collect();
    if parts.is_empty() { ".".to_owned() } else { parts.join("/") }
}

fn each(root: &mut Node, section: &str, mut visit: impl FnMut(&mut Node)) {
    if let Some(Node { value: Value::Mapping(entries), .. }) = root.get_mut(section) {
        for (_, node) in entries {
            visit(node);
        }
    }
}

fn items(node: &mut Node, visit: impl FnMut(&mut Node)) {
    if let Value::Sequence(items) = &mut node.value {
        items.iter_mut().for_each(visit);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn joins_paths_as_go_does() {
        for (directory, path, expected) in [
            ("/p", "./a/", "/p/a"),
            ("/p", "../a", "/a"),
            ("/p", "/a//b", "/a//b"),
            ("/p", "~/a", "/home/a"),
            ("/p", "~", "/home"),
            ("s", "./a", "s/a"),
            ("s", "../../a", "../a"),
            (".", "a", "a"),
        ] {
            let base = Base { directory, home: Some("/home") };
            assert_eq!(base.joined(path), expected, "{directory} {path}");
        }
    }

    #[test]
    fn finds_the_way_between_directories() {
        for (from, to, expected) in [
            ("/p", "/p", "."),
            ("/p", "/p/a/b", "a/b"),
            ("/p/q", "/p/a", "../a"),
            ("/p", "/", ".."),
        ] {
            assert_eq!(relative(Path::new(from), Path::new(to)), expected, "{from} {to}");
        }
    }
}
