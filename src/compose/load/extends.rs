//! `extends`: a service laid over another one, of the same file or of another.

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::discovery::cleaned;
use super::paths::{self, Base};
use super::{Loader, Scope, remote, widen};
use crate::compose::merge::{self, Notes, Resets, unique};
use crate::compose::yaml::{Key, Node, Value};
use crate::problem::nearest;

/// Longest chain of services that extend each other.
const LONGEST_CHAIN: usize = 100;

const KEYS: &[&str] = &["service", "file"];

/// Services of one file or document that may extend each other.
pub(super) struct Sheet {
    file: PathBuf,
    services: Node,
    /// Where each of them stands.
    index: HashMap<String, usize>,
    resets: Resets,
    /// Those that were completed.
    done: RefCell<HashMap<String, Rc<Node>>>,
}

impl Sheet {
    fn new(file: &Path, services: Node, resets: Resets) -> Self {
        let entries = services.as_mapping().unwrap_or_default().iter().enumerate();
        let index = entries.map(|(slot, (key, _))| (key.name.clone(), slot)).collect();
        Self { file: file.to_owned(), services, index, resets, done: RefCell::default() }
    }

    fn get(&self, name: &str) -> Option<&Node> {
        let entry = self.services.as_mapping()?.get(*self.index.get(name)?)?;
        Some(&entry.1)
    }
}

/// Where a service is looked for: in which surroundings, and on which way.
struct Walk<'a> {
    scope: &'a Scope,
    chain: Vec<Link>,
}

/// A service on the way to the one that everything begins with.
struct Link {
    file: PathBuf,
    service: String,
}

/// What `extends` names.
struct Reference {
    service: String,
    file: Option<String>,
}

impl Loader<'_> {
    /// Completes the services of a document that extend others.
    pub(super) fn extend(
        &mut self,
        document: &mut Node,
        file: &Path,
        scope: &Scope,
        resets: &Resets,
    ) {
        let Some(services) = document.get_mut("services") else { return };
        let extending: Vec<String> = services
            .as_mapping()
            .unwrap_or_default()
            .iter()
            .filter(|(_, service)| service.get("extends").is_some())
            .map(|(key, _)| key.name.clone())
            .collect();
        if extending.is_empty() {
            return;
        }
        let empty = services.with_value(Value::Null);
        let sheet = Sheet::new(file, std::mem::replace(services, empty), resets.clone());
        for name in extending {
            let mut walk = Walk { scope, chain: Vec::new() };
            self.extended(&name, &sheet, &mut walk);
        }
        let Sheet { services: complete, done, .. } = sheet;
        *services = complete;
        let mut done = done.into_inner();
        if let Value::Mapping(entries) = &mut services.value {
            for (key, service) in entries {
                if let Some(complete) = done.remove(&key.name) {
                    *service = Rc::unwrap_or_clone(complete);
                }
            }
        }
    }

    /// A service with everything it inherits.
    fn extended(&mut self, name: &str, sheet: &Sheet, walk: &mut Walk<'_>) -> Option<Rc<Node>> {
        if let Some(done) = sheet.done.borrow().get(name) {
            return Some(Rc::clone(done));
        }
        let mut service = sheet.get(name)?.clone();
        let Some(extends) = service.remove("extends") else { return Some(Rc::new(service)) };
        if self.is_circular(name, sheet, &extends, &walk.chain) {
            return Some(Rc::new(service));
        }
        walk.chain.push(Link { file: sheet.file.clone(), service: name.to_owned() });
        let base = self.base(name, &extends, sheet, walk);
        walk.chain.pop();
        let complete = Rc::new(match base {
            Some(base) => {
                let mut base = Rc::unwrap_or_clone(base);
                sheet.resets.apply_to("services", name, &mut base);
                if service.get("gpus").is_some_and(|gpus| !gpus.is_null())
                    && base.get("gpus").is_some_and(|gpus| gpus.as_str().is_some())
                {
                    // A short form of the same file is not in its long form yet, and gives way.
                    base.remove("gpus");
                }
                let mut notes = Notes::default();
                let merged = merge::service(base, service, name, &mut notes);
                self.problems.append(&mut notes.problems);
                merged
            }
            None => service,
        });
        sheet.done.borrow_mut().insert(name.to_owned(), Rc::clone(&complete));
        Some(complete)
    }

    /// Whether a service was met before on the way to it, which is a problem.
    fn is_circular(&mut self, name: &str, sheet: &Sheet, extends: &Node, chain: &[Link]) -> bool {
        let same = |link: &Link| link.service == name && link.file == sheet.file;
        let start = chain.iter().position(same);
        if start.is_none() && chain.len() < LONGEST_CHAIN {
            return false;
        }
        let mut shown: Vec<String> = chain[start.unwrap_or(0)..]
            .iter()
            .map(|link| format!("`{}` in {}", link.service, self.shown(&link.file)))
            .collect();
        shown.push(format!("`{name}` in {}", self.shown(&sheet.file)));
        let message = if start.is_some() {
            format!("services extend each other in a circle: {}", shown.join(", then "))
        } else {
            format!("more than {LONGEST_CHAIN} services extend each other, up to `{name}`")
        };
        self.problems.push(extends.problem(message));
        true
    }

    fn base(
        &mut self,
        name: &str,
        extends: &Node,
        sheet: &Sheet,
        walk: &mut Walk<'_>,
    ) -> Option<Rc<Node>> {
        let scope = walk.scope;
        let Reference { service, file } = self.reference(name, extends)?;
        let Some(file) = file else {
            return self.base_of(&service, extends, sheet, walk);
        };
        let place = extends.get("file").unwrap_or(extends);
        if let Some(kind) = remote::kind(&file) {
            self.problems.push(remote::refusal(place, "services.*.extends.file", &file, kind));
            return None;
        }
        let base = Base { directory: "", home: scope.home() };
        let path = cleaned(&scope.directory.join(base.joined(&file)));
        let other = self.sheet(&path, place, scope)?;
        self.base_of(&service, extends, &other, walk)
    }

    fn base_of(
        &mut self,
        service: &str,
        extends: &Node,
        sheet: &Sheet,
        walk: &mut Walk<'_>,
    ) -> Option<Rc<Node>> {
        if sheet.get(service).is_none() {
            let known = sheet.services.as_mapping().unwrap_or_default();
            let near = nearest(service, known.iter().map(|(key, _)| key.name.as_str()));
            let file = self.shown(&sheet.file);
            let place = extends.get("service").unwrap_or(extends);
            let problem =
                place.problem(format!("there is no service `{service}` in {file} to extend"));
            self.problems.push(match near {
                Some(near) => problem.with_hint(format!("did you mean `{near}`?")),
                None => problem,
            });
            return None;
        }
        let base = self.extended(service, sheet, walk)?;
        (!base.is_null()).then_some(base)
    }

    fn reference(&mut self, name: &str, extends: &Node) -> Option<Reference> {
        if let Some(service) = extends.as_str() {
            return Some(Reference { service: service.to_owned(), file: None });
        }
        let before = self.problems.len();
        let path = format!("services.{name}.extends");
        let Some(entries) = extends.as_mapping() else {
            let kind = extends.value.kind();
            let message =
                format!("`{path}` is {kind}: expected the name of a service, or a mapping");
            self.problems.push(extends.problem(message));
            return None;
        };
        for (key, value) in entries {
            self.known_key(&path, key, KEYS);
            let is_unset = value.is_null() && key.name == "file";
            if value.as_str().is_none() && !is_unset && KEYS.contains(&key.name.as_str()) {
                let kind = value.value.kind();
                let message = format!("`{path}.{}` is {kind}: expected a string", key.name);
                self.problems.push(value.problem(message));
            }
        }
        let text = |key: &str| extends.get(key).and_then(Node::as_str).map(str::to_owned);
        let Some(service) = text("service") else {
            if self.problems.len() == before {
                self.problems.push(extends.problem(format!("`{path}` has no `service`")));
            }
            return None;
        };
        Some(Reference { service, file: text("file") })
    }

    /// Refuses a key that a mapping of the loader's own does not have.
    pub(super) fn known_key(&mut self, path: &str, key: &Key, known: &[&str]) {
        if known.contains(&key.name.as_str()) || key.name.starts_with("x-") {
            return;
        }
        let problem = key.span.problem(format!("unknown key `{path}.{}`", key.name));
        self.problems.push(match nearest(&key.name, known.iter().copied()) {
            Some(near) => problem.with_hint(format!("did you mean `{near}`?")),
            None => problem.with_hint(format!("known are `{}`", known.join("`, `"))),
        });
    }

    /// The services of another file, with its paths relative to the scope's directory.
    fn sheet(&mut self, path: &Path, place: &Node, scope: &Scope) -> Option<Rc<Sheet>> {
        // By their bytes: a path is hashed part by part.
        let key = (scope.directory.clone().into_os_string(), path.as_os_str().to_owned());
        if let Some(known) = self.sheets.get(&key) {
            return known.clone();
        }
        let sheet = self.read_sheet(path, place, scope).map(Rc::new);
        self.sheets.insert(key, sheet.clone());
        sheet
    }

    /// The documents of a file that projects in several directories may extend: parsed at most twice,
    /// since most are needed once and need not be kept.
    fn parse_shared(&mut self, path: &Path, place: &Node) -> Vec<Node> {
        if let Some(Some(documents)) = self.extended_files.get(path) {
            return documents.clone();
        }
        let documents = self.parse(path, Some(&place.span));
        let again = self.extended_files.contains_key(path);
        self.extended_files.insert(path.to_owned(), again.then(|| documents.clone()));
        documents
    }

    fn read_sheet(&mut self, path: &Path, place: &Node, scope: &Scope) -> Option<Sheet> {
        let documents = self.parse_shared(path, place);
        let mut merged: Option<Node> = None;
        let mut all = Resets::default();
        let mut notes = Notes::default();
        for mut document in documents {
            self.interpolate(&mut document, scope);
            let resets = merge::take_resets(&mut document);
            if let Some(merged) = &mut merged {
                resets.apply(merged, &mut notes);
            }
            all.extend(resets);
            merged = Some(merge::merge(merged, document, &mut notes));
        }
        // Nobody checks values of this file that it replaces itself: docker compose does not either.
        self.problems.append(&mut notes.problems);
        let mut root = merged?;
        widen::widen(&mut root);
        unique::deduplicate(&mut root, &mut notes);
        let directory = path.parent().unwrap_or(Path::new("/"));
        let directory = paths::relative(&scope.directory, directory);
        // A build that names no context has that of the project that extends it.
        paths::resolve_written(&mut root, Base { directory: &directory, home: scope.home() });
        let Some(services) = root.remove("services") else {
            let file = self.shown(path);
            self.problems.push(place.problem(format!("{file} has no `services` to extend")));
            return None;
        };
        Some(Sheet::new(path, services, all))
    }
}
