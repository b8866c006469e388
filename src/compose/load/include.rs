//! `include`: whole projects whose resources become ours.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{self, ScopedJoinHandle};

use super::discovery::cleaned;
use super::paths::{self, Base};
use super::{Loader, Scope, normalise, remote};
use crate::compose::Conflicts;
use crate::compose::merge::{self, Notes, Resets};
use crate::compose::yaml::{Key, Node, Span, Value};

const KEYS: &[&str] = &["path", "project_directory", "env_file"];
/// Sections whose resources are taken over.
const SECTIONS: &[&str] = &["services", "volumes", "networks", "secrets", "configs", "models"];
/// Deepest nesting of files that include files.
const DEEPEST: usize = 50;
/// Most entries of all `include`s together: a few files that include each other twice would be read
/// without an end.
const MOST: usize = 1000;
/// Fewest entries that are worth a second thread, which takes a tenth of a millisecond to begin.
const WORTH_A_THREAD: usize = 4;

/// One entry of `include`.
struct Include {
    paths: Vec<(String, Span)>,
    directory: Option<String>,
    env_files: Vec<(String, Span)>,
    span: Span,
}

/// An entry, and where it is written.
type Entry<'a> = (Include, &'a Node);

impl Loader<'_> {
    /// Takes over what a document includes; `chain` holds the files around it, itself the last.
    pub(super) fn include(
        &mut self,
        document: &mut Node,
        scope: &Scope,
        resets: &Resets,
        chain: &[PathBuf],
    ) {
        let Some(node) = document.remove("include") else { return };
        let items = match &node.value {
            Value::Null => return,
            Value::Sequence(items) => items,
            value => {
                let message = format!("`include` is {}: expected a list of files", value.kind());
                self.problems.push(node.problem(message));
                return;
            }
        };
        let mut includes = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            includes.extend(self.read_include(index, item).map(|include| (include, item)));
        }
        for imported in self.all_included(&includes, scope, chain) {
            self.import(imported, document, resets);
        }
    }

    /// What entries bring, in their order. Of many, a second thread reads one half.
    fn all_included(
        &mut self,
        entries: &[Entry<'_>],
        scope: &Scope,
        chain: &[PathBuf],
    ) -> Vec<Node> {
        // What is included by what is included is read by the thread that reads that.
        let is_outermost = chain.len() == 1;
        if !is_outermost || entries.len() < WORTH_A_THREAD {
            return self.each_included(entries, scope, chain);
        }
        let (here, beside) = entries.split_at(entries.len().div_ceil(2));
        let (request, files) = (self.request, self.files);
        let (directory, environment) = (self.directory.clone(), self.environment.clone());
        let included = Arc::clone(&self.included);
        thread::scope(|threads| {
            let second = thread::Builder::new().spawn_scoped(threads, move || {
                let loader = Self::new(request, files);
                let mut loader = Self { directory, environment, included, ..loader };
                let imported = loader.each_included(beside, scope, chain);
                (imported, loader.findings())
            });
            let mut imported = self.each_included(here, scope, chain);
            match second.map(ScopedJoinHandle::join) {
                Ok(Ok((more, found))) => {
                    imported.extend(more);
                    self.take_over(found);
                }
                Ok(Err(panic)) => std::panic::resume_unwind(panic),
                // The machine gives no thread.
                Err(_) => imported.extend(self.each_included(beside, scope, chain)),
            }
            imported
        })
    }

    fn each_included(
        &mut self,
        entries: &[Entry<'_>],
        scope: &Scope,
        chain: &[PathBuf],
    ) -> Vec<Node> {
        let imported =
            entries.iter().filter_map(|(include, item)| self.included(include, item, scope, chain));
        imported.collect()
    }

    fn read_include(&mut self, index: usize, item: &Node) -> Option<Include> {
        let path = format!("include[{index}]");
        let span = item.span.clone();
        if item.as_str().is_some() {
            let paths = self.texts(&path, item);
            return Some(Include { paths, directory: None, env_files: Vec::new(), span });
        }
        let Some(entries) = item.as_mapping() else {
            let kind = item.value.kind();
            let message = format!("`{path}` is {kind}: expected a path, or a mapping with `path`");
            self.problems.push(item.problem(message));
            return None;
        };
        let mut include =
            Include { paths: Vec::new(), directory: None, env_files: Vec::new(), span };
        for (key, node) in entries {
            let place = format!("{path}.{}", key.name);
            match key.name.as_str() {
                "path" => include.paths = self.texts(&place, node),
                "env_file" | "project_directory" if node.is_null() => {}
                "project_directory" if node.as_sequence().is_some() => {
                    let message = format!("`{place}` is a list: expected a directory");
                    self.problems.push(node.problem(message));
                }
                "env_file" => include.env_files = self.texts(&place, node),
                "project_directory" => {
                    include.directory = self.texts(&place, node).pop().map(|(text, _)| text);
                }
                _ => self.known_key(&path, key, KEYS),
            }
        }
        if item.get("path").is_none() {
            self.problems.push(item.problem(format!("`{path}` has no `path`")));
        }
        (!include.paths.is_empty()).then_some(include)
    }

    /// One string or a list of them.
    fn texts(&mut self, path: &str, node: &Node) -> Vec<(String, Span)> {
        let items = node.as_sequence().unwrap_or(std::slice::from_ref(node));
        let mut texts = Vec::with_capacity(items.len());
        for item in items {
            if let Some(text) = item.as_str() {
                texts.push((text.to_owned(), item.span.clone()));
            } else {
                let kind = item.value.kind();
                self.problems.push(item.problem(format!("`{path}` is {kind}: expected a path")));
            }
        }
        texts
    }

    /// What an entry brings, as one document with long forms and paths relative to the scope.
    fn included(
        &mut self,
        include: &Include,
        item: &Node,
        scope: &Scope,
        chain: &[PathBuf],
    ) -> Option<Node> {
        for (path, _) in &include.paths {
            if let Some(kind) = remote::kind(path) {
                self.problems.push(remote::refusal(item, "include", path, kind));
                return None;
            }
        }
        let absolute = |path: &str| cleaned(&scope.directory.join(path));
        let files: Vec<(PathBuf, Option<Span>)> =
            include.paths.iter().map(|(path, span)| (absolute(path), Some(span.clone()))).collect();
        let main = files.first()?.0.clone();
        if chain.contains(&main) || chain.len() > DEEPEST {
            let shown: Vec<String> =
                chain.iter().chain([&main]).map(|file| self.shown(file)).collect();
            let message = format!("files include each other in a circle: {}", shown.join(" -> "));
            self.problems.push(include.span.problem(message));
            return None;
        }
        let before = self.included.fetch_add(1, Ordering::Relaxed);
        if before >= MOST {
            if before == MOST {
                let message = format!("more than {MOST} files are included: expected far less");
                self.problems.push(include.span.problem(message));
            }
            return None;
        }
        let parent = || main.parent().unwrap_or(Path::new("/")).to_owned();
        let directory = include.directory.as_deref().map_or_else(parent, absolute);
        let base = match include.directory.as_deref() {
            Some(given) if given.starts_with('/') => given.to_owned(),
            _ => paths::relative(&scope.directory, &directory),
        };
        let environment = self.included_environment(
            &scope.environment,
            &directory,
            &include.env_files,
            &scope.directory,
        );
        let inner = Scope { directory, environment, home: scope.home.clone() };
        let mut imported = self.documents(&files, &inner, chain)?;
        paths::resolve(&mut imported, Base { directory: &base, home: inner.home() });
        normalise::inherit_all(&mut imported, &inner.environment);
        self.keep_file_values(&imported, &inner);
        Some(imported)
    }

    /// Remembers what secrets and configs take from variables that only the included project has.
    fn keep_file_values(&mut self, imported: &Node, scope: &Scope) {
        for section in ["secrets", "configs"] {
            let files = imported.get(section).and_then(Node::as_mapping).unwrap_or_default();
            for (key, file) in files {
                let variable = file.get("environment").and_then(Node::as_str);
                if let Some(value) = variable.and_then(|name| scope.environment.get(name)) {
                    let place = (section, key.name.clone());
                    self.file_values.entry(place).or_insert_with(|| value.clone());
                }
            }
        }
    }

    /// Takes the resources of an included document over into the one that includes it.
    fn import(&mut self, mut imported: Node, document: &mut Node, resets: &Resets) {
        for section in SECTIONS {
            let Some(Node { value: Value::Mapping(resources), span, .. }) =
                imported.remove(section)
            else {
                continue;
            };
            if document.get(section).is_none_or(Node::is_null) {
                let none =
                    Node { value: Value::Mapping(Vec::new()), span: span.clone(), tag: None };
                document.insert(Key::implied(*section, &span), none);
            }
            let Some(target) = document.get_mut(section) else { continue };
            for (key, resource) in resources {
                self.import_resource(section, (key, resource), target, resets);
            }
        }
    }

    fn import_resource(
        &mut self,
        section: &str,
        (key, mut resource): (Key, Node),
        target: &mut Node,
        resets: &Resets,
    ) {
        let Some(own) = target.get_mut(&key.name) else {
            target.insert(key, resource);
            return;
        };
        match self.request.conflicts {
            Conflicts::Merge => {
                resets.apply_to(section, &key.name, &mut resource);
                let empty = own.with_value(Value::Null);
                let over = std::mem::replace(own, empty);
                let mut notes = Notes::default();
                *own = merge::resource(section, &key.name, resource, over, &mut notes);
                self.problems.append(&mut notes.problems);
            }
            Conflicts::Refuse if is_same(&resource, own) => {}
            Conflicts::Refuse => {
                let message = format!(
                    "`{section}.{}` is defined in {}:{}, too, which this file includes",
                    key.name,
                    key.span.source.file,
                    key.span.line()
                );
                self.problems.push(own.problem(message).with_hint("rename one of them"));
            }
        }
    }
}

/// Whether two values are equal, whatever the order of their keys.
fn is_same(left: &Node, right: &Node) -> bool {
    match (&left.value, &right.value) {
        (Value::Mapping(one), Value::Mapping(other)) => {
            let has = |(key, node): &(Key, Node)| {
                right.get(&key.name).is_some_and(|twin| is_same(node, twin))
            };
            one.len() == other.len() && one.iter().all(has)
        }
        (Value::Sequence(one), Value::Sequence(other)) => {
            one.len() == other.len()
                && one.iter().zip(other).all(|(left, right)| is_same(left, right))
        }
        (left, right) => left == right,
    }
}
