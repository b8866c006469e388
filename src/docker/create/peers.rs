//! Other containers in the body of a new one: links, shared namespaces, volumes of others.

use anyhow::{Context, Result};

use super::{NewContainer, Surroundings};
use crate::compose::model::{Project, Service};

/// A container of a service, for others that name the service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Full id.
    pub id: String,
    /// The name it has in the end.
    pub name: String,
    /// Its number in the service, from 1.
    pub number: u32,
}

/// A mode of a namespace: that of another service is that of its first container.
///
/// # Errors
///
/// When that service has no container.
pub(super) fn mode(new: &NewContainer<'_>, key: &str, mode: &str) -> Result<String> {
    let Some(name) = mode.strip_prefix("service:") else { return Ok(mode.to_owned()) };
    let peer = first(new, key, name)?;
    Ok(format!("container:{}", peer.id))
}

/// `VolumesFrom`: containers by id; how far they may write was said behind a colon.
///
/// # Errors
///
/// When a service it names has no container.
pub(super) fn volumes_from(new: &NewContainer<'_>) -> Result<Vec<String>> {
    let entry = |text: &String| {
        if let Some(container) = text.strip_prefix("container:") {
            return Ok(container.to_owned());
        }
        let (name, access) = match text.split_once(':') {
            Some((name, access)) => (name, format!(":{access}")),
            None => (text.as_str(), String::new()),
        };
        Ok(format!("{}{access}", first(new, "volumes_from", name)?.id))
    };
    new.service.volumes_from.iter().map(entry).collect()
}

fn first<'a>(new: &NewContainer<'a>, key: &str, name: &str) -> Result<&'a Peer> {
    let peers = new.surroundings.peers.get(name);
    peers.and_then(|it| it.first()).with_context(|| {
        format!(
            "service `{}`: `{key}` names service `{name}`, which has no container: start `{name}` first",
            new.service.name
        )
    })
}

/// `Links`, each as `container:alias`: every container of a linked service under three names.
pub(super) fn links(
    project: &Project,
    service: &Service,
    surroundings: &Surroundings,
) -> Vec<String> {
    let mut links = Vec::new();
    let between = project.separator();
    for text in &service.links {
        let (name, alias) = text.split_once(':').unwrap_or((text, text));
        for peer in surroundings.peers.get(name).into_iter().flatten() {
            let (container, number) = (&peer.name, peer.number);
            links.push(format!("{container}:{alias}"));
            links.push(format!("{container}:{name}{between}{number}"));
            links.push(format!("{container}:{}{between}{name}{between}{number}", project.name));
        }
    }
    let external = service.external_links.iter().map(|text| {
        let (name, alias) = text.split_once(':').unwrap_or((text, text));
        format!("{name}:{alias}")
    });
    links.extend(external);
    links
}
