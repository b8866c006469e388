//! Variables: of the project, of what it includes, and of each service.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

use super::Loader;
use super::discovery::{cleaned, is_absent, why};
use crate::compose::yaml::{Key, Node, Span, Value};
use crate::compose::{dotenv, scalar};
use crate::problem::{Problem, Problems};

impl Loader<'_> {
    /// Reads the environment files of the request: those named, else `.env` of the directory.
    pub(super) fn read_environment(&mut self) -> Result<(), Problems> {
        let variables = &self.request.variables;
        self.environment.clone_from(variables);
        let directory = self.directory.display().to_string();
        self.environment.entry("PWD".to_owned()).or_insert(directory);
        let mut named = self.request.env_files.clone();
        if let (true, Some(list)) = (named.is_empty(), variables.get("COMPOSE_ENV_FILES")) {
            named = list.split(',').filter(|path| !path.is_empty()).map(PathBuf::from).collect();
        }
        if named.is_empty() {
            return self.read_default();
        }
        let mut read = BTreeMap::new();
        for path in named {
            let path = self.absolute(path);
            let shown = self.shown(&path);
            let values = self.environment_file(&path, &shown, &read).and_then(|values| {
                values.ok_or_else(|| {
                    Problem::in_file(shown, "there is no such environment file").into()
                })
            })?;
            read.extend(values);
            self.env_files.push(path);
        }
        self.add(read);
        Ok(())
    }

    /// Reads `.env` of the directory, if it has one; what is known stays.
    pub(super) fn read_default(&mut self) -> Result<(), Problems> {
        let variables = &self.request.variables;
        let listed = variables.get("COMPOSE_ENV_FILES").is_some_and(|list| !list.is_empty());
        if listed || !self.request.env_files.is_empty() || self.is_disabled()? {
            return Ok(());
        }
        let path = self.absolute(".env");
        let shown = self.shown(&path);
        if let Some(read) = self.environment_file(&path, &shown, &BTreeMap::new())? {
            self.add(read);
        }
        Ok(())
    }

    fn is_disabled(&self) -> Result<bool, Problems> {
        let Some(text) = self.request.variables.get("COMPOSE_DISABLE_ENV_FILE") else {
            return Ok(false);
        };
        scalar::boolean(text).ok_or_else(|| {
            let message =
                format!("`COMPOSE_DISABLE_ENV_FILE` is `{text}`: expected `true` or `false`");
            Problem::in_file("environment", message).into()
        })
    }

    fn add(&mut self, read: BTreeMap<String, String>) {
        for (name, value) in read {
            self.environment.entry(name).or_insert(value);
        }
    }

    fn environment_file(
        &mut self,
        path: &Path,
        shown: &str,
        earlier: &BTreeMap<String, String>,
    ) -> Result<Option<BTreeMap<String, String>>, Problems> {
        let text = match self.text(path) {
            Ok(text) => text,
            Err(error) if is_absent(&error) => return Ok(None),
            Err(error) => {
                return Err(Problem::in_file(
                    shown,
                    format!("read environment file: {}", why(&error)),
                )
                .into());
            }
        };
        let Self { environment, unset, .. } = self;
        let lookup = |name: &str| environment.get(name).cloned();
        dotenv::parse(&text, shown, &lookup, earlier, unset).map(Some)
    }

    /// The text of an environment file; the null device is an empty one. One in another encoding is
    /// read all the same, since it is often a comment alone that holds such characters.
    fn text(&mut self, path: &Path) -> std::io::Result<String> {
        if path == Path::new("/dev/null") {
            return Ok(String::new());
        }
        String::from_utf8(self.files.read_bytes(path)?).or_else(|error| {
            let shown = self.shown(path);
            self.warnings.push(format!(
                "`{shown}` is not UTF-8 text: what is not is read as `{}`",
                char::REPLACEMENT_CHARACTER
            ));
            Ok(String::from_utf8_lossy(error.as_bytes()).into_owned())
        })
    }

    /// The variables of an included project: those around it, then its own files.
    pub(super) fn included_environment(
        &mut self,
        around: &BTreeMap<String, String>,
        directory: &Path,
        named: &[(String, Span)],
        relative_to: &Path,
    ) -> BTreeMap<String, String> {
        let mut environment = around.clone();
        let mut files: Vec<(PathBuf, Option<&Span>)> = named
            .iter()
            .map(|(path, span)| (cleaned(&relative_to.join(path)), Some(span)))
            .collect();
        if files.is_empty() {
            files.push((directory.join(".env"), None));
        }
        let mut read = BTreeMap::new();
        for (path, span) in files {
            let shown = self.shown(&path);
            let text = match (self.text(&path), span) {
                (Ok(text), _) => text,
                (Err(error), None) if is_absent(&error) => continue,
                (Err(error), span) => {
                    let message = format!("read environment file `{shown}`: {}", why(&error));
                    self.problems.push(match span {
                        Some(span) => span.problem(message),
                        None => Problem::in_file(shown, message),
                    });
                    continue;
                }
            };
            let lookup = |name: &str| around.get(name).cloned();
            match dotenv::parse(&text, &shown, &lookup, &read, &mut self.unset) {
                Ok(values) => read.extend(values),
                Err(found) => self.problems.extend(found.0),
            }
        }
        for (name, value) in read {
            environment.entry(name).or_insert(value);
        }
        environment
    }

    /// Reads the `env_file`s and `label_file`s of a service into its environment and labels.
    pub(super) fn read_service_files(&mut self, service: &mut Node) {
        let own = own_values(service.get("environment"));
        let files = service.get("env_file").and_then(Node::as_sequence).unwrap_or_default();
        let mut folded = BTreeMap::new();
        for file in files {
            match self.service_file(file, &own, &folded) {
                Ok(values) => folded.extend(values),
                Err(found) => self.problems.extend(found.0),
            }
        }
        let span = service.get("env_file").map(|node| node.span.clone());
        fold(service, "environment", folded, span);
        self.read_labels(service);
    }

    fn service_file(
        &mut self,
        file: &Node,
        own: &BTreeMap<String, Option<String>>,
        earlier: &BTreeMap<String, String>,
    ) -> Result<BTreeMap<String, String>, Problems> {
        // What has no path was refused by the decoder.
        let Some(node) = file.get("path") else { return Ok(BTreeMap::new()) };
        let Some(written) = node.as_str() else { return Ok(BTreeMap::new()) };
        let path = self.absolute(written);
        let required = file.get("required").is_none_or(|required| {
            let text = required.value.scalar_text();
            text.and_then(|text| scalar::boolean(&text)).unwrap_or(true)
        });
        let shown = self.shown(&path);
        let text = match self.text(&path) {
            Ok(text) => text,
            Err(error) if !required && error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(BTreeMap::new());
            }
            Err(error) => {
                let message = format!("read env_file `{shown}`: {}", why(&error));
                let hint = "write `required: false` if it may be missing";
                return Err(node.problem(message).with_hint(hint).into());
            }
        };
        let Self { environment, unset, .. } = self;
        let lookup = |name: &str| {
            environment.get(name).cloned().or_else(|| own.get(name).cloned().flatten())
        };
        if file.get("format").and_then(Node::as_str) == Some("raw") {
            dotenv::parse_raw(&text, &shown, &lookup)
        } else {
            dotenv::parse(&text, &shown, &lookup, earlier, unset)
        }
    }

    fn read_labels(&mut self, service: &mut Node) {
        let Some(node) = service.get("label_file") else { return };
        let span = node.span.clone();
        let files = match &node.value {
            Value::Sequence(items) => items.clone(),
            _ => vec![node.clone()],
        };
        let mut labels = BTreeMap::new();
        for file in files {
            let Some(written) = file.as_str() else { continue };
            let path = self.absolute(written);
            let shown = self.shown(&path);
            let text = match self.text(&path) {
                Ok(text) => text,
                Err(error) => {
                    let message = format!("read label_file `{shown}`: {}", why(&error));
                    self.problems.push(file.problem(message));
                    continue;
                }
            };
            // Labels see those of the files before, then their own, not the environment.
            let before = labels.clone();
            let lookup = |name: &str| before.get(name).cloned();
            match dotenv::parse(&text, &shown, &lookup, &labels, &mut self.unset) {
                Ok(values) => labels.extend(values),
                Err(found) => self.problems.extend(found.0),
            }
        }
        fold(service, "labels", labels, Some(span));
    }
}

/// What a service says of its environment itself.
fn own_values(environment: Option<&Node>) -> BTreeMap<String, Option<String>> {
    let mut values = BTreeMap::new();
    match environment.map(|node| &node.value) {
        Some(Value::Sequence(items)) => {
            for text in items.iter().filter_map(Node::as_str) {
                match text.split_once('=') {
                    Some((name, value)) => values.insert(name.to_owned(), Some(value.to_owned())),
                    None => values.insert(text.to_owned(), None),
                };
            }
        }
        Some(Value::Mapping(entries)) => {
            for (key, node) in entries {
                let value = node.value.scalar_text().map(std::borrow::Cow::into_owned);
                values.insert(key.name.clone(), value);
            }
        }
        _ => {}
    }
    values
}

/// Puts values beneath what a service says itself at a key.
fn fold(service: &mut Node, key: &str, values: BTreeMap<String, String>, span: Option<Span>) {
    let Some(span) = span.filter(|_| !values.is_empty()) else { return };
    let text = |text: String| Node { value: Value::String(text), span: span.clone(), tag: None };
    if service.get(key).is_none_or(Node::is_null) {
        let none = Node { value: Value::Mapping(Vec::new()), span: span.clone(), tag: None };
        service.insert(Key::implied(key, &span), none);
    }
    let Some(node) = service.get_mut(key) else { return };
    match &mut node.value {
        Value::Mapping(entries) => {
            let known: HashSet<String> = entries.iter().map(|(key, _)| key.name.clone()).collect();
            let new = values.into_iter().filter(|(name, _)| !known.contains(name));
            entries.extend(new.map(|(name, value)| (Key::implied(name, &span), text(value))));
        }
        // The later of a name wins.
        Value::Sequence(items) => {
            let files = values.into_iter().map(|(name, value)| text(format!("{name}={value}")));
            items.splice(0..0, files.collect::<Vec<_>>());
        }
        _ => {}
    }
}
