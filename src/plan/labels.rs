//! Labels: docker compose's, so that both tools see the same containers, and our own beside them.
//!
//! The set and the spelling are those of docker compose 2.40 (`pkg/api/labels.go`).

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::Kept;
use crate::compose::model::{Project, Service};

/// Project name.
pub const PROJECT: &str = "com.docker.compose.project";
/// Service name.
pub const SERVICE: &str = "com.docker.compose.service";
/// Hash of the service's, network's or volume's definition.
pub const CONFIG_HASH: &str = "com.docker.compose.config-hash";
/// `True` for containers of `compose run`.
pub const ONEOFF: &str = "com.docker.compose.oneoff";
/// Number in the service, from 1.
pub const CONTAINER_NUMBER: &str = "com.docker.compose.container-number";
/// Id of the image.
pub const IMAGE: &str = "com.docker.compose.image";
/// `service:condition:restart`, separated by commas.
pub const DEPENDS_ON: &str = "com.docker.compose.depends_on";
/// Project directory on the host.
pub const WORKING_DIR: &str = "com.docker.compose.project.working_dir";
/// Compose files on the host, separated by commas.
pub const CONFIG_FILES: &str = "com.docker.compose.project.config_files";
/// Environment files that were named, on the host, separated by commas; absent where none was.
pub const ENVIRONMENT_FILES: &str = "com.docker.compose.project.environment_file";
/// Version of the tool.
pub const VERSION: &str = "com.docker.compose.version";
/// Key of a network.
pub const NETWORK: &str = "com.docker.compose.network";
/// Key of a volume.
pub const VOLUME: &str = "com.docker.compose.volume";
/// Name of the container that this one was made to replace.
pub const REPLACE: &str = "com.docker.compose.replace";
/// Kind of hook that a container was made for.
pub const HOOK: &str = "com.docker.compose.hook";
/// Ours: id of the container that this one was made to replace. While both exist, a switch is unfinished.
pub const REPLACES: &str = "dev.roadstead.replaces";
/// Ours: whether the container that this one was made to replace is to run again if the switch fails.
pub const REPLACES_RUNNING: &str = "dev.roadstead.replaces-running";
/// Ours: restart policy of the container that this one was made to replace, which is without it for
/// the time of the switch; missing where it keeps its own.
pub const REPLACES_RESTART: &str = "dev.roadstead.replaces-restart";
/// Yes, as a label's value.
pub const YES: &str = "true";
/// No, as a label's value.
pub const NO: &str = "false";
/// Ours: digest of what was written into a container, its secrets and configs.
pub const CONTENT: &str = "dev.roadstead.content";
/// Ours: the revision a container was made from.
pub const REVISION: &str = "dev.roadstead.revision";
/// Ours: number of the run that made it.
pub const RUN: &str = "dev.roadstead.run";
/// Ours: job of a container made by a `run:` job.
pub const JOB: &str = "dev.roadstead.job";

/// Labels common to everything of a project.
fn common(project: &Project, hash: &str) -> BTreeMap<String, String> {
    BTreeMap::from([
        (PROJECT.to_owned(), project.name.clone()),
        (CONFIG_HASH.to_owned(), hash.to_owned()),
        (VERSION.to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
    ])
}

/// Labels of a network of the project; the user's come first, ours win.
pub fn of_network(project: &Project, key: &str, hash: &str) -> BTreeMap<String, String> {
    let mut labels = project.networks.get(key).map(|it| it.labels.clone()).unwrap_or_default();
    labels.extend(common(project, hash));
    labels.insert(NETWORK.to_owned(), key.to_owned());
    labels
}

/// Labels of a volume of the project; the user's come first, ours win.
pub fn of_volume(project: &Project, key: &str, hash: &str) -> BTreeMap<String, String> {
    let mut labels = project.volumes.get(key).map(|it| it.labels.clone()).unwrap_or_default();
    labels.extend(common(project, hash));
    labels.insert(VOLUME.to_owned(), key.to_owned());
    labels
}

/// What a container's labels say beyond its service's definition.
#[derive(Clone, Debug)]
pub struct Provenance<'a> {
    /// Hash of the service.
    pub hash: &'a str,
    /// Digest of its secrets and configs, where it has some that are written into it.
    pub content: Option<&'a str>,
    /// Number in the service, from 1.
    pub number: u32,
    /// Id of the image.
    pub image_id: &'a str,
    /// The container to be replaced.
    pub replaces: Option<&'a Kept>,
    /// The restart policy that this one is without for the time of the switch.
    pub replaces_restart: Option<&'a str>,
    /// Revision the project was loaded at; empty outside of git.
    pub revision: &'a str,
    /// The run that makes it; 0 outside of a run.
    pub run: i64,
}

/// Labels of a service's container; the user's come first, ours win.
pub fn of_container(
    project: &Project,
    service: &Service,
    provenance: &Provenance<'_>,
) -> BTreeMap<String, String> {
    let mut labels = service.labels.clone();
    labels.extend(common(project, provenance.hash));
    let is_on = |name: &&String| !project.disabled_services.contains(*name);
    let depends_on =
        service.depends_on.iter().filter(|(name, _)| is_on(name)).map(|(name, dependency)| {
            format!("{name}:{}:{}", dependency.condition.as_str(), dependency.restart)
        });
    let list = |files: &[PathBuf]| {
        let files: Vec<_> = files.iter().map(|file| file.display().to_string()).collect();
        files.join(",")
    };
    for (name, value) in [
        (SERVICE, service.name.clone()),
        (ONEOFF, "False".to_owned()),
        (CONTAINER_NUMBER, provenance.number.to_string()),
        (IMAGE, provenance.image_id.to_owned()),
        (DEPENDS_ON, depends_on.collect::<Vec<_>>().join(",")),
        (WORKING_DIR, project.working_dir.display().to_string()),
        (CONFIG_FILES, list(&project.files)),
    ] {
        labels.insert(name.to_owned(), value);
    }
    if !project.env_files.is_empty() {
        labels.insert(ENVIRONMENT_FILES.to_owned(), list(&project.env_files));
    }
    if let Some(old) = provenance.replaces {
        labels.insert(REPLACES.to_owned(), old.id.clone());
        labels.insert(REPLACE.to_owned(), old.name.clone());
        let running = if old.restart { YES } else { NO };
        labels.insert(REPLACES_RUNNING.to_owned(), running.to_owned());
        if let Some(policy) = provenance.replaces_restart {
            labels.insert(REPLACES_RESTART.to_owned(), policy.to_owned());
        }
    }
    if let Some(content) = provenance.content {
        labels.insert(CONTENT.to_owned(), content.to_owned());
    }
    if !provenance.revision.is_empty() {
        labels.insert(REVISION.to_owned(), provenance.revision.to_owned());
    }
    if provenance.run != 0 {
        labels.insert(RUN.to_owned(), provenance.run.to_string());
    }
    labels
}

/// Labels of a container that runs a hook: no configuration hash, so that nobody takes it for a
/// container of the service.
pub fn of_hook(project: &Project, service: &Service, hook: &str) -> BTreeMap<String, String> {
    let pairs = [
        (PROJECT, project.name.as_str()),
        (SERVICE, service.name.as_str()),
        (ONEOFF, "True"),
        (HOOK, hook),
        (VERSION, env!("CARGO_PKG_VERSION")),
    ];
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compose::model::{Condition, Dependency, Network, Volume};

    fn pairs(list: &[(&str, &str)]) -> BTreeMap<String, String> {
        list.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn project() -> Project {
        let labels = pairs(&[("mine", "1"), (PROJECT, "forged")]);
        let network =
            Network { name: "p_n".to_owned(), labels: labels.clone(), ..Network::default() };
        let volume = Volume { name: "p_v".to_owned(), labels, ..Volume::default() };
        Project {
            name: "p".to_owned(),
            working_dir: "/srv/p".into(),
            files: vec!["/srv/p/a.yml".into(), "/srv/p/b.yml".into()],
            networks: [("n".to_owned(), network)].into(),
            volumes: [("v".to_owned(), volume)].into(),
            ..Project::default()
        }
    }

    const VERSION_NOW: &str = env!("CARGO_PKG_VERSION");

    #[test]
    fn networks_and_volumes_carry_the_labels_of_docker_compose() {
        let common = [("mine", "1"), (PROJECT, "p"), (CONFIG_HASH, "h"), (VERSION, VERSION_NOW)];
        let mut network = pairs(&common);
        network.insert(NETWORK.to_owned(), "n".to_owned());
        assert_eq!(of_network(&project(), "n", "h"), network);
        let mut volume = pairs(&common);
        volume.insert(VOLUME.to_owned(), "v".to_owned());
        assert_eq!(of_volume(&project(), "v", "h"), volume);
    }

    #[test]
    fn containers_carry_what_both_tools_read() {
        let depends_on = |condition, restart| Dependency { condition, restart, required: true };
        let service = Service {
            name: "web".to_owned(),
            labels: pairs(&[("mine", "1"), (SERVICE, "forged"), (ONEOFF, "True")]),
            depends_on: [
                ("db".to_owned(), depends_on(Condition::Healthy, true)),
                ("init".to_owned(), depends_on(Condition::CompletedSuccessfully, false)),
            ]
            .into(),
            ..Service::default()
        };
        let old = |restart| Kept {
            id: "abc".to_owned(),
            name: "p-web-2".to_owned(),
            restart,
            running: restart,
            anonymous_volumes: BTreeMap::new(),
            restart_policy: None,
        };
        let base = [
            ("mine", "1"),
            (PROJECT, "p"),
            (SERVICE, "web"),
            (CONFIG_HASH, "h"),
            (ONEOFF, "False"),
            (CONTAINER_NUMBER, "2"),
            (IMAGE, "sha256:1"),
            (DEPENDS_ON, "db:service_healthy:true,init:service_completed_successfully:false"),
            (WORKING_DIR, "/srv/p"),
            (CONFIG_FILES, "/srv/p/a.yml,/srv/p/b.yml"),
            (ENVIRONMENT_FILES, "/srv/p/a.env,/srv/b.env"),
            (VERSION, VERSION_NOW),
        ];
        let (ran, stood) = (old(true), old(false));
        let env_files = vec!["/srv/p/a.env".into(), "/srv/b.env".into()];
        let project = Project { env_files, ..project() };
        for (replaces, revision, run, more) in [
            (None, "", 0, &[][..]),
            (None, "main@1a2b3c4", 7, &[(REVISION, "main@1a2b3c4"), (RUN, "7")]),
            (
                Some(&ran),
                "",
                0,
                &[
                    (REPLACES, "abc"),
                    (REPLACE, "p-web-2"),
                    (REPLACES_RUNNING, YES),
                    (REPLACES_RESTART, "always"),
                ],
            ),
            (
                Some(&stood),
                "",
                0,
                &[(REPLACES, "abc"), (REPLACE, "p-web-2"), (REPLACES_RUNNING, NO)],
            ),
        ] {
            let provenance = Provenance {
                hash: "h",
                content: None,
                number: 2,
                image_id: "sha256:1",
                replaces,
                replaces_restart: replaces.filter(|old| old.restart).map(|_| "always"),
                revision,
                run,
            };
            let expected = pairs(&[&base[..], more].concat());
            assert_eq!(of_container(&project, &service, &provenance), expected, "{provenance:?}");
        }
    }
}
