//! From a [`Request`] to a [`Project`]: finds and reads the files, then interpolates, merges,
//! decodes, normalises and checks.
//!
//! All reading goes through [`Files`]. Every problem of every file is reported together, as far as
//! one stage can go on after it.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use super::check::{self, Names};
use super::decode::service::{Draft, EnvFile, clean_path, service};
use super::decode::{self, At, Decoder, resources};
use super::model::{Mount, MountKind, Project, Service};
use super::resolve::Surroundings;
use super::yaml::{self, Node};
use super::{Files, Request, dotenv, emit, interpolate, merge};
use crate::problem::{Problem, Problems};

/// Names of Compose files, in order of preference.
const NAMES: &[&str] =
    &["compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml"];
/// Names of the file laid over it, in order of preference.
const OVERRIDE_NAMES: &[&str] = &[
    "compose.override.yml",
    "compose.override.yaml",
    "docker-compose.override.yml",
    "docker-compose.override.yaml",
];
const TOP_KEYS: &[&str] = &[
    "name", "services", "networks", "volumes", "secrets", "configs", "models", "include", "version",
];

/// Loads a project.
pub fn load(request: &Request, files: &dyn Files) -> Result<Project, Problems> {
    let mut loader =
        Loader { request, files, environment: BTreeMap::new(), unset: BTreeSet::new() };
    loader.read_environment()?;
    let paths = loader.paths()?;
    let documents = loader.documents(&paths)?;
    let name = loader.name(&documents)?;
    loader.environment.insert("COMPOSE_PROJECT_NAME".to_owned(), name.clone());
    let root = loader.merged(documents)?;
    let mut project = loader.project(name, &root)?;
    project.files = paths;
    let unset = loader.unset.iter();
    let unset =
        unset.map(|name| format!("variable `{name}` is not set: it becomes an empty string"));
    project.warnings.splice(0..0, unset);
    Ok(project)
}

/// A name made of what a project name may hold; maybe empty.
pub fn normalise_name(name: &str) -> String {
    let lower = name.to_lowercase();
    let kept: String = lower.chars().filter(|c| is_name_character(*c)).collect();
    kept.trim_start_matches(['_', '-']).to_owned()
}

fn is_name_character(c: char) -> bool {
    c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '-')
}

struct Loader<'a> {
    request: &'a Request,
    files: &'a dyn Files,
    /// Variables of the request over those of the environment files.
    environment: BTreeMap<String, String>,
    /// Variables that were used without a value.
    unset: BTreeSet<String>,
}

impl Loader<'_> {
    /// A path as a person knows it: beneath the directory without the directory.
    fn shown(&self, path: &Path) -> String {
        path.strip_prefix(&self.request.directory).unwrap_or(path).display().to_string()
    }

    fn absolute(&self, path: impl AsRef<Path>) -> PathBuf {
        let path = self.request.directory.join(path);
        PathBuf::from(clean_path(&path.to_string_lossy()))
    }

    fn read_environment(&mut self) -> Result<(), Problems> {
        let variables = &self.request.variables;
        let listed = variables.get("COMPOSE_ENV_FILES").filter(|list| !list.is_empty());
        let disabled = variables.get("COMPOSE_DISABLE_ENV_FILE");
        let disabled = disabled.and_then(|value| super::scalar::boolean(value)).unwrap_or(false);
        let mut paths = self.request.env_files.clone();
        if let (true, Some(listed)) = (paths.is_empty(), listed) {
            paths = listed.split(',').map(PathBuf::from).collect();
        }
        let optional = paths.is_empty();
        if optional && !disabled {
            paths.push(PathBuf::from(".env"));
        }
        for path in paths {
            let path = self.absolute(path);
            let shown = self.shown(&path);
            let text = match self.files.read(&path) {
                Ok(text) => text,
                Err(error) if optional && error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => {
                    return Err(
                        Problem::in_file(shown, format!("read environment file: {error}")).into()
                    );
                }
            };
            let lookup = |name: &str| variables.get(name).cloned();
            let values = dotenv::parse(&text, &shown, &lookup, &self.environment, &mut self.unset)?;
            self.environment.extend(values);
        }
        let variables = variables.iter().map(|(name, value)| (name.clone(), value.clone()));
        self.environment.extend(variables);
        Ok(())
    }

    /// The Compose files, absolute, in order.
    fn paths(&self) -> Result<Vec<PathBuf>, Problems> {
        if !self.request.files.is_empty() {
            return Ok(self.request.files.iter().map(|path| self.absolute(path)).collect());
        }
        if let Some(list) = self.environment.get("COMPOSE_FILE").filter(|list| !list.is_empty()) {
            let separator = self.environment.get("COMPOSE_PATH_SEPARATOR");
            let separator = separator.map_or(":", String::as_str);
            return Ok(list.split(separator).map(|path| self.absolute(path)).collect());
        }
        let Some(main) = self.first_of(NAMES)? else {
            let directory = self.request.directory.display();
            let names = NAMES.join("`, `");
            let message = format!("no Compose file in this directory: expected one of `{names}`");
            return Err(Problem::in_file(directory.to_string(), message).into());
        };
        let mut paths = vec![main];
        paths.extend(self.first_of(OVERRIDE_NAMES)?);
        Ok(paths)
    }

    fn first_of(&self, names: &[&str]) -> Result<Option<PathBuf>, Problems> {
        for name in names {
            let path = self.absolute(name);
            match self.files.read(&path) {
                Ok(_) => return Ok(Some(path)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    let message = format!("read Compose file: {error}");
                    return Err(Problem::in_file(self.shown(&path), message).into());
                }
            }
        }
        Ok(None)
    }

    /// Every document of every file.
    fn documents(&self, paths: &[PathBuf]) -> Result<Vec<Node>, Problems> {
        let mut documents = Vec::new();
        let mut problems = Vec::new();
        for path in paths {
            let shown = self.shown(path);
            let read = match self.files.read(path) {
                Ok(text) => yaml::parse(&text, &shown),
                Err(error) => {
                    let message = format!("read Compose file: {error}");
                    Err(Problem::in_file(shown.clone(), message).into())
                }
            };
            let read = match read {
                Ok(read) => read,
                Err(found) => {
                    problems.extend(found.0);
                    continue;
                }
            };
            let before = documents.len();
            for document in read.into_iter().filter(|document| !document.is_null()) {
                if document.as_mapping().is_none() {
                    let kind = document.value.kind();
                    let message = format!("file is {kind}: expected a mapping with `services`");
                    problems.push(document.problem(message));
                }
                documents.push(document);
            }
            if documents.len() == before {
                let message = "file is empty: expected a mapping with `services`";
                problems.push(Problem::in_file(shown, message));
            }
        }
        Problems(problems).into_result()?;
        Ok(documents)
    }

    /// `-p`, `COMPOSE_PROJECT_NAME`, the last `name`, the name of the directory.
    fn name(&mut self, documents: &[Node]) -> Result<String, Problems> {
        let chosen = self.request.project_name.clone().map(|name| (name, "project name"));
        let variable = self.environment.get("COMPOSE_PROJECT_NAME").cloned();
        let variable = variable.map(|name| (name, "`COMPOSE_PROJECT_NAME`"));
        let chosen = chosen.or(variable).filter(|(name, _)| !name.is_empty());
        if let Some((name, what)) = chosen {
            let starts = name.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
            if starts && name.chars().all(is_name_character) {
                return Ok(name);
            }
            let message = format!(
                "{what} is `{name}`: expected lower-case letters, digits, `_` and `-`, first a \
                 letter or digit"
            );
            return Err(Problem::in_file("environment", message).into());
        }
        let mut problems = Vec::new();
        let mut written = None;
        for node in documents.iter().filter_map(|document| document.get("name")) {
            let mut node = node.clone();
            let environment = &self.environment;
            let lookup = |name: &str| environment.get(name).cloned();
            interpolate::interpolate(&mut node, &lookup, &mut self.unset, &mut problems);
            let name = node.as_str().map(normalise_name);
            match name.filter(|name| !name.is_empty()) {
                Some(name) => written = Some(name),
                None => problems.push(node.problem("`name` holds no letter or digit")),
            }
        }
        Problems(problems).into_result()?;
        if let Some(name) = written {
            return Ok(name);
        }
        let directory = &self.request.directory;
        let base = directory.file_name().map(|name| normalise_name(&name.to_string_lossy()));
        base.filter(|name| !name.is_empty()).ok_or_else(|| {
            let message = "the project has no name, and none can be made of the directory's";
            let problem = Problem::in_file(directory.display().to_string(), message);
            problem.with_hint("write `name:` in the Compose file").into()
        })
    }

    fn merged(&mut self, documents: Vec<Node>) -> Result<Node, Problems> {
        let mut problems = Vec::new();
        let mut merged = None;
        for mut document in documents {
            let environment = &self.environment;
            let lookup = |name: &str| environment.get(name).cloned();
            interpolate::interpolate(&mut document, &lookup, &mut self.unset, &mut problems);
            merged = Some(merge::merge(merged, document, &mut problems));
        }
        Problems(problems).into_result()?;
        merged.ok_or_else(|| {
            let directory = self.request.directory.display().to_string();
            Problem::in_file(directory, "no Compose file was named").into()
        })
    }

    fn project(&mut self, name: String, root: &Node) -> Result<Project, Problems> {
        let active = self.active_profiles();
        let mut decoder = Decoder::default();
        let mut drafts = BTreeMap::new();
        let mut project = Project { name, working_dir: self.absolute(""), ..Project::default() };
        let at = At::root(root);
        for (key, node) in decoder.mapping(at) {
            let field = at.key(key, node);
            match key.name.as_str() {
                "name" => {}
                "version" => {
                    decoder.string(field);
                    project.warnings.push(format!(
                        "{}:{}: `version` is obsolete and ignored: remove it",
                        key.span.source.file, key.span.line
                    ));
                }
                "services" => drafts = services(&mut decoder, field, &active),
                "networks" => {
                    project.networks = each(&mut decoder, field, resources::network);
                }
                "volumes" => project.volumes = each(&mut decoder, field, resources::volume),
                "secrets" => project.secrets = each(&mut decoder, field, decode::files::secret),
                "configs" => project.configs = each(&mut decoder, field, decode::files::config),
                "models" => project.models = each(&mut decoder, field, resources::model),
                "include" => decoder.refuse(field, "is not supported yet"),
                extension if extension.starts_with("x-") => {
                    project.extensions.insert(key.name.clone(), emit::json(node));
                }
                _ => decoder.unknown(at, key, TOP_KEYS),
            }
        }
        let declared: Vec<String> = drafts.keys().cloned().collect();
        let (enabled, disabled): (BTreeMap<_, _>, BTreeMap<_, _>) =
            drafts.into_iter().partition(|(_, draft)| is_enabled(&draft.service.profiles, &active));
        project.disabled_services = disabled.into_keys().collect();
        for (name, draft) in enabled {
            let service = self.resolved(draft, &mut decoder.problems);
            project.services.insert(name, service);
        }
        let names = Names {
            services: declared.iter().map(String::as_str).collect(),
            enabled: project.services.keys().map(String::as_str).collect(),
            networks: project.networks.keys().map(String::as_str).collect(),
            volumes: project.volumes.keys().map(String::as_str).collect(),
            secrets: project.secrets.keys().map(String::as_str).collect(),
            configs: project.configs.keys().map(String::as_str).collect(),
        };
        check::check(root, &project.services, &names, &mut decoder.problems);
        let mut problems = decoder.problems;
        problems.sort_by(|left, right| {
            (&left.file, left.line, left.column).cmp(&(&right.file, right.line, right.column))
        });
        problems.dedup();
        Problems(problems).into_result()?;
        project.warnings.extend(decoder.warnings);
        self.normalise(&mut project);
        Ok(project)
    }

    fn active_profiles(&self) -> Vec<String> {
        if !self.request.profiles.is_empty() {
            return self.request.profiles.clone();
        }
        let list = self.environment.get("COMPOSE_PROFILES");
        let list = list.into_iter().flat_map(|list| list.split(','));
        list.map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect()
    }

    /// A service with its environment, paths and implied keys filled in.
    fn resolved(&mut self, draft: Draft, problems: &mut Vec<Problem>) -> Service {
        let Draft { mut service, env_files, label_files } = draft;
        for (name, value) in &mut service.environment {
            if value.is_none() {
                *value = self.environment.get(name).cloned();
            }
        }
        let mut folded = BTreeMap::new();
        for file in &env_files {
            match self.env_file(file, &service, &folded) {
                Ok(values) => folded.extend(values),
                Err(found) => problems.extend(found.0),
            }
        }
        let folded = folded.into_iter().map(|(name, value)| (name, Some(value)));
        let own = std::mem::take(&mut service.environment);
        service.environment = folded.chain(own).collect();
        let mut labels = BTreeMap::new();
        for file in &label_files {
            match self.label_file(file, &labels) {
                Ok(values) => labels.extend(values),
                Err(found) => problems.extend(found.0),
            }
        }
        labels.append(&mut service.labels);
        service.labels = labels;
        for mount in &mut service.volumes {
            self.resolve_source(mount);
        }
        if service.networks.is_empty() && service.network_mode.is_none() {
            service.networks.insert("default".to_owned(), None);
        }
        self.surroundings(&|path| self.host_path(path)).service(&mut service);
        service
    }

    fn env_file(
        &mut self,
        file: &EnvFile,
        service: &Service,
        earlier: &BTreeMap<String, String>,
    ) -> Result<BTreeMap<String, String>, Problems> {
        let path = self.absolute(&file.path);
        let shown = self.shown(&path);
        let text = match self.files.read(&path) {
            Ok(text) => text,
            Err(error) if !file.required && error.kind() == io::ErrorKind::NotFound => {
                return Ok(BTreeMap::new());
            }
            Err(error) => {
                let message = format!("read env_file `{}`: {error}", file.path);
                let hint = "write `required: false` if it may be missing";
                return Err(file.span.problem(message).with_hint(hint).into());
            }
        };
        let environment = &self.environment;
        let lookup = |name: &str| {
            let own = service.environment.get(name).cloned().flatten();
            environment.get(name).cloned().or(own)
        };
        if file.raw {
            dotenv::parse_raw(&text, &shown, &lookup)
        } else {
            dotenv::parse(&text, &shown, &lookup, earlier, &mut self.unset)
        }
    }

    fn label_file(
        &mut self,
        file: &EnvFile,
        earlier: &BTreeMap<String, String>,
    ) -> Result<BTreeMap<String, String>, Problems> {
        let path = self.absolute(&file.path);
        let text = self.files.read(&path).map_err(|error| {
            file.span.problem(format!("read label_file `{}`: {error}", file.path))
        })?;
        let lookup = |name: &str| earlier.get(name).cloned();
        dotenv::parse(&text, &self.shown(&path), &lookup, earlier, &mut self.unset)
    }

    fn surroundings<'a>(&'a self, host_path: &'a dyn Fn(&str) -> String) -> Surroundings<'a> {
        Surroundings { host_path, environment: &self.environment }
    }

    fn resolve_source(&self, mount: &mut Mount) {
        let MountKind::Bind { .. } = mount.kind else { return };
        if let Some(source) = &mut mount.source {
            *source = self.host_path(source);
        }
    }

    /// A path of the host, absolute: `~` is `HOME`, the rest is beneath the directory.
    fn host_path(&self, path: &str) -> String {
        let home = self.environment.get("HOME");
        match (path.strip_prefix('~'), home) {
            (Some(rest), Some(home)) => clean_path(&format!("{home}/{rest}")),
            _ if path.starts_with('/') => path.to_owned(),
            _ => self.absolute(path).display().to_string(),
        }
    }

    /// Names everything and drops what no service uses.
    fn normalise(&self, project: &mut Project) {
        self.surroundings(&|path| self.host_path(path)).files(project);
        let Project { name, services, networks, volumes, .. } = project;
        for service in services.values_mut() {
            service.imply_image(name);
            let required = |other: &String| !project.disabled_services.contains(other);
            service.depends_on.retain(|other, _| required(other));
            // Compose says the number in both places when there is a `deploy`.
            if let (Some(scale), Some(deploy)) = (service.scale, &mut service.deploy) {
                deploy.replicas = Some(scale);
            }
        }
        let used: BTreeSet<&String> =
            services.values().flat_map(|service| service.networks.keys()).collect();
        networks.retain(|key, _| used.contains(key));
        if used.contains(&"default".to_owned()) {
            networks.entry("default".to_owned()).or_default();
        }
        for (key, network) in networks {
            name_resource(&mut network.name, network.external, name, key);
        }
        let mounts = services.values().flat_map(|service| &service.volumes);
        let named = mounts.filter(|mount| matches!(mount.kind, MountKind::Volume { .. }));
        let used: BTreeSet<&String> = named.filter_map(|mount| mount.source.as_ref()).collect();
        volumes.retain(|key, _| used.contains(key));
        for (key, volume) in volumes {
            name_resource(&mut volume.name, volume.external, name, key);
            let is_bind = volume.driver_opts.get("o").is_some_and(|options| options == "bind");
            if is_bind
                && volume.driver.as_deref() == Some("local")
                && let Some(device) = volume.driver_opts.get_mut("device")
            {
                *device = self.host_path(device);
            }
        }
    }
}

fn name_resource(name: &mut String, external: bool, project: &str, key: &str) {
    if name.is_empty() {
        *name = if external { key.to_owned() } else { format!("{project}_{key}") };
    }
}

fn services(decoder: &mut Decoder, at: At<'_>, active: &[String]) -> BTreeMap<String, Draft> {
    let mut drafts = BTreeMap::new();
    for (key, node) in decoder.mapping(at) {
        refuse_name(decoder, at, key);
        let profiles = node.get("profiles").and_then(Node::as_sequence).unwrap_or_default();
        let profiles: Vec<String> =
            profiles.iter().filter_map(|item| item.as_str().map(str::to_owned)).collect();
        let enabled = is_enabled(&profiles, active);
        let draft = service(decoder, at.key(key, node), &key.name, enabled);
        drafts.insert(key.name.clone(), draft);
    }
    drafts
}

/// Reads each entry of a top-level mapping.
fn each<T>(
    decoder: &mut Decoder,
    at: At<'_>,
    read: fn(&mut Decoder, At<'_>) -> T,
) -> BTreeMap<String, T> {
    let mut values = BTreeMap::new();
    for (key, node) in decoder.mapping(at) {
        refuse_name(decoder, at, key);
        values.insert(key.name.clone(), read(decoder, at.key(key, node)));
    }
    values
}

fn refuse_name(decoder: &mut Decoder, at: At<'_>, key: &yaml::Key) {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if key.name.is_empty() || !key.name.chars().all(allowed) {
        let message =
            format!("`{at}` has the name `{}`: expected letters, digits, `.`, `_`, `-`", key.name);
        decoder.problems.push(key.span.problem(message));
    }
}

fn is_enabled(profiles: &[String], active: &[String]) -> bool {
    let named = |profile: &String| active.contains(profile);
    profiles.is_empty() || active.iter().any(|name| name == "*") || profiles.iter().any(named)
}
