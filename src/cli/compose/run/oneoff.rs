//! The one-off container: the service with what the command line changes.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result, bail};

use super::arguments::Run;
use crate::cli::compose::Session;
use crate::cli::compose::exec::environment;
use crate::cli::compose::up::Found;
use crate::compose::decode::service::clean_path;
use crate::compose::model::{Mount, MountKind, Project, Service};
use crate::compose::{dotenv, shortforms};
use crate::docker::{NewContainer, Peer, Surroundings};
use crate::plan::labels::{self, Provenance};
use crate::plan::observed::{Container, familiar};

/// docker compose's label of the random part of a one-off's name.
const SLUG: &str = "com.docker.compose.slug";
/// How much of it is in the name.
const SLUG_IN_NAME: usize = 12;

/// Everything a one-off container is made from.
pub(super) struct OneOffContainer {
    project: Project,
    service: Service,
    name: String,
    labels: BTreeMap<String, String>,
    anonymous_volumes: BTreeMap<String, String>,
    /// Containers of other services, proxies, profiles.
    pub(super) surroundings: Surroundings,
}

impl OneOffContainer {
    /// Puts it together; changes nothing.
    pub(super) async fn new(
        session: &Session,
        arguments: &Run,
        (service, command): (&str, &[String]),
        found: &Found,
        tty: bool,
    ) -> Result<Self> {
        let project = found.project.clone();
        let slug = slug()?;
        let mut service =
            project.services.get(service).cloned().context("the service was looked up")?;
        change(&mut service, arguments, command)?;
        service.tty = tty;
        service.environment.extend(variables(session, arguments)?);
        let host = session.engine.host_paths().await?;
        for text in &arguments.volume {
            let mut mount = mount(session, text)?;
            if let (MountKind::Bind { .. }, Some(source)) = (&mount.kind, &mut mount.source) {
                *source = host.on_host(Path::new(source)).display().to_string();
            }
            service.volumes.retain(|it| it.target != mount.target);
            service.volumes.push(mount);
        }
        let short = slug.get(..SLUG_IN_NAME).unwrap_or(&slug);
        let name = match &arguments.name {
            Some(name) => name.clone(),
            None => format!("{}-{}-run-{short}", project.name, service.name),
        };
        let image = found.observed.images.get(&familiar(&service.image));
        let Some(image) = image else {
            bail!("image `{}` is not there: pull or build it", service.image);
        };
        let hash = found.hashes.services.get(&service.name).and_then(|it| it.first());
        let provenance = Provenance {
            hash: hash.map_or("", String::as_str),
            content: None,
            number: 0,
            image_id: &image.id,
            replaces: None,
            revision: "",
            run: 0,
        };
        let mut labels = labels::of_container(&project, &service, &provenance);
        labels.remove(labels::CONTAINER_NUMBER);
        labels.insert(labels::ONEOFF.to_owned(), "True".to_owned());
        labels.insert(SLUG.to_owned(), slug);
        Ok(Self {
            project,
            service,
            name,
            labels,
            anonymous_volumes: BTreeMap::new(),
            surroundings: surroundings(session, found).await?,
        })
    }

    /// As the Engine creates it.
    pub(super) fn as_new(&self) -> NewContainer<'_> {
        NewContainer {
            project: &self.project,
            service: &self.service,
            name: &self.name,
            final_name: &self.name,
            labels: &self.labels,
            anonymous_volumes: &self.anonymous_volumes,
            surroundings: &self.surroundings,
        }
    }
}

/// Containers whose namespaces and volumes it may share, and what was read for the project.
async fn surroundings(session: &Session, found: &Found) -> Result<Surroundings> {
    let mut containers = session.engine.containers_of(&found.project.name).await?;
    containers.retain(|it| !it.is_oneoff());
    containers.sort_by_key(Container::number);
    let mut peers: BTreeMap<String, Vec<Peer>> = BTreeMap::new();
    for it in containers {
        let peer = Peer { id: it.id.clone(), name: it.name.clone(), number: it.number() };
        peers.entry(it.service().to_owned()).or_default().push(peer);
    }
    Ok(Surroundings { peers, ..found.materials.surroundings.clone() })
}

/// What flags change in the service.
fn change(service: &mut Service, arguments: &Run, command: &[String]) -> Result<()> {
    // A one-off does not come back, and there is one of it.
    service.restart = None;
    if let Some(deploy) = &mut service.deploy {
        deploy.restart_policy = None;
    }
    service.stdin_open = arguments.interactive;
    service.container_name.clone_from(&arguments.name);
    if let Some(entrypoint) = &arguments.entrypoint {
        let words = shell_words::split(entrypoint)
            .with_context(|| format!("read the entrypoint `{entrypoint}`"))?;
        service.entrypoint = Some(words);
        service.command = Some(Vec::new());
    }
    if !command.is_empty() {
        service.command = Some(command.to_vec());
    }
    if let Some(user) = &arguments.user {
        service.user = Some(user.clone());
    }
    if let Some(directory) = &arguments.workdir {
        service.working_dir = Some(directory.clone());
    }
    service.cap_add.extend(arguments.cap_add.iter().cloned());
    service.cap_drop.extend(arguments.cap_drop.iter().cloned());
    service.labels.extend(arguments.label.iter().cloned());
    if !arguments.service_ports {
        service.ports.clear();
    }
    for text in &arguments.publish {
        let ports = shortforms::ports(text).map_err(|what| anyhow::anyhow!("-p {text}: {what}"));
        service.ports.extend(ports?);
    }
    Ok(())
}

/// Variables of `--env-from-file`, then those of `-e`.
fn variables(session: &Session, arguments: &Run) -> Result<BTreeMap<String, Option<String>>> {
    let ours = &session.request.variables;
    let mut variables = BTreeMap::new();
    for path in &arguments.env_from_file {
        let file = path.display().to_string();
        let text =
            std::fs::read_to_string(path).with_context(|| format!("read variables of `{file}`"))?;
        let lookup = |name: &str| ours.get(name).cloned();
        let read = dotenv::parse(&text, &file, &lookup, &BTreeMap::new(), &mut BTreeSet::new())?;
        variables.extend(read.into_iter().map(|(name, value)| (name, Some(value))));
    }
    for entry in environment(session, &arguments.env) {
        let (name, value) = entry.split_once('=').unwrap_or((&entry, ""));
        variables.insert(name.to_owned(), Some(value.to_owned()));
    }
    Ok(variables)
}

/// Reads `-v`; paths begin where we stand.
fn mount(session: &Session, text: &str) -> Result<Mount> {
    let mut mount = shortforms::mount(text).map_err(|what| anyhow::anyhow!("-v {text}: {what}"))?;
    if let (MountKind::Bind { .. }, Some(source)) = (&mount.kind, &mut mount.source) {
        let home = session.request.variables.get("HOME");
        let path = if let (Some(rest), Some(home)) = (source.strip_prefix('~'), home) {
            format!("{home}{rest}")
        } else {
            let here = std::env::current_dir().context("find the current directory")?;
            here.join(&source).display().to_string()
        };
        *source = clean_path(&path);
    }
    Ok(mount)
}

/// 64 random hexadecimal digits.
fn slug() -> Result<String> {
    use std::fmt::Write as _;
    let mut bytes = [0; 32];
    let mut source = std::fs::File::open("/dev/urandom").context("open /dev/urandom")?;
    source.read_exact(&mut bytes).context("read /dev/urandom")?;
    let mut text = String::new();
    for byte in bytes {
        write!(text, "{byte:02x}")?;
    }
    Ok(text)
}
