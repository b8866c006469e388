//! What the decoder leaves to the surroundings of a project: paths made absolute, values taken from
//! the environment, and what is implied where nobody wrote it.

use std::collections::{BTreeMap, BTreeSet};

use super::model::{
    Build, Condition, Dependency, FileObject, FileSource, Hidden, Project, Service,
};

/// Where paths begin and variables come from.
pub(super) struct Surroundings<'a> {
    /// Makes a path of the host absolute.
    pub(super) host_path: &'a dyn Fn(&str) -> String,
    /// Variables of the project.
    pub(super) environment: &'a BTreeMap<String, String>,
}

impl Surroundings<'_> {
    /// Resolves what a service says of its image and of paths.
    pub(super) fn service(&self, service: &mut Service) {
        if let Some(build) = &mut service.build {
            self.build(build);
        }
        for watch in service.develop.iter_mut().flat_map(|develop| &mut develop.watch) {
            watch.path = (self.host_path)(&watch.path);
        }
        imply_dependencies(service);
    }

    fn build(&self, build: &mut Build) {
        build.context = self.context(&build.context);
        for context in build.additional_contexts.values_mut() {
            *context = self.context(context);
        }
        for path in build.ssh.iter_mut().filter_map(|key| key.path.as_mut()) {
            *path = (self.host_path)(path);
        }
        for (name, value) in &mut build.args {
            if value.is_none() {
                *value = self.environment.get(name).cloned();
            }
        }
        build.args.retain(|_, value| value.is_some());
    }

    /// A directory, absolute; an address or another service's image stays as it is.
    fn context(&self, context: &str) -> String {
        let starts = ["service:", "github.com/", "git@"];
        let elsewhere = context.contains("://") || starts.iter().any(|it| context.starts_with(it));
        if elsewhere || context.is_empty() {
            return context.to_owned();
        }
        (self.host_path)(context)
    }

    /// Resolves secrets and configs, and drops those that no service uses.
    pub(super) fn files(&self, project: &mut Project) {
        let Project { name, services, secrets, configs, .. } = project;
        let built = |service: &'_ Service| -> Vec<String> {
            let build = service.build.iter().flat_map(|build| &build.secrets);
            let used = service.secrets.iter().chain(build);
            used.map(|reference| reference.source.clone()).collect()
        };
        let used: BTreeSet<String> = services.values().flat_map(built).collect();
        secrets.retain(|key, _| used.contains(key));
        let references = services.values().flat_map(|service| &service.configs);
        let used: BTreeSet<&String> = references.map(|reference| &reference.source).collect();
        configs.retain(|key, _| used.contains(key));
        for (key, file) in secrets.iter_mut().chain(configs.iter_mut()) {
            self.file(file, name, key);
        }
    }

    fn file(&self, file: &mut FileObject, project: &str, key: &str) {
        if file.name.is_empty() {
            file.name = if file.external { key.to_owned() } else { format!("{project}_{key}") };
        }
        match &mut file.source {
            FileSource::Elsewhere | FileSource::Content(_) => {}
            FileSource::File(path) => *path = (self.host_path)(path),
            FileSource::Environment { variable, value } => {
                *value = self.environment.get(variable).cloned().map(Hidden::new);
            }
        }
    }
}

/// Sharing something of another service means starting after it.
fn imply_dependencies(service: &mut Service) {
    let links = service.links.iter().map(|link| {
        let (name, alias) = link.split_once(':').unwrap_or((link, ""));
        if alias.contains(':') { link.as_str() } else { name }
    });
    let modes = [&service.network_mode, &service.ipc, &service.pid, &service.uts];
    let named = modes.into_iter().flatten().filter_map(|mode| mode.strip_prefix("service:"));
    let sources = service.volumes_from.iter().filter(|from| !from.starts_with("container:"));
    let sources = sources.filter_map(|from| from.split(':').next());
    let implied = links.chain(named).map(|name| (name.to_owned(), true));
    let implied: Vec<(String, bool)> =
        implied.chain(sources.map(|name| (name.to_owned(), false))).collect();
    for (name, restart) in implied {
        service.depends_on.entry(name).or_insert(Dependency {
            condition: Condition::Started,
            restart,
            required: true,
        });
    }
}
