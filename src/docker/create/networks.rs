//! How a container stands in its networks, at creation and when it is connected again.

use std::cmp::Reverse;

use bollard::models::{EndpointIpamConfig, EndpointSettings};

use super::peers::links;
use super::{Surroundings, non_empty, non_empty_map};
use crate::compose::model::{Project, Service, ServiceNetwork};

/// The bridge driver's option for the name of an interface.
const INTERFACE_NAME: &str = "com.docker.network.endpoint.ifname";

/// A network of a container, and how the container stands in it.
#[derive(Clone, Debug, PartialEq)]
pub struct Attachment {
    /// The network's key in the project.
    pub key: String,
    /// Name of the network on the Engine.
    pub network: String,
    /// How the container stands in it.
    pub endpoint: EndpointSettings,
}

/// Networks of a service in docker compose's order: priority first, then name.
pub(in crate::docker) fn by_priority(service: &Service) -> Vec<(&String, &Option<ServiceNetwork>)> {
    let mut keys: Vec<_> = service.networks.iter().collect();
    let priority = |it: &Option<ServiceNetwork>| it.as_ref().and_then(|it| it.priority);
    keys.sort_by_key(|(_, it)| Reverse(priority(it).unwrap_or(0)));
    keys
}

/// How a container of a service stands in each of its networks, the primary one first. The same at
/// creation and when a network was made anew: aliases, addresses, links and options are all there.
pub fn endpoints(
    project: &Project,
    service: &Service,
    container_name: &str,
    surroundings: &Surroundings,
) -> Vec<Attachment> {
    if service.network_mode.is_some() {
        return Vec::new();
    }
    let links = links(project, service, surroundings);
    let mut attachments: Vec<Attachment> = by_priority(service)
        .into_iter()
        .filter_map(|(key, settings)| {
            let network = project.networks.get(key)?.name.clone();
            let settings = settings.clone().unwrap_or_default();
            let endpoint = endpoint(service, container_name, settings, links.clone());
            Some(Attachment { key: key.clone(), network, endpoint })
        })
        .collect();
    // The service's own address is that of its first interface.
    if let Some(primary) = attachments.first_mut() {
        let address = &mut primary.endpoint.mac_address;
        *address = address.take().or_else(|| service.mac_address.clone());
    }
    attachments
}

fn endpoint(
    service: &Service,
    container_name: &str,
    settings: ServiceNetwork,
    links: Vec<String>,
) -> EndpointSettings {
    let mut aliases = vec![container_name.to_owned(), service.name.clone()];
    aliases.extend(settings.aliases);
    let has_address = settings.ipv4_address.is_some()
        || settings.ipv6_address.is_some()
        || !settings.link_local_ips.is_empty();
    let ipam = EndpointIpamConfig {
        ipv4_address: settings.ipv4_address,
        ipv6_address: settings.ipv6_address,
        link_local_ips: non_empty(settings.link_local_ips),
    };
    let mut options = settings.driver_opts;
    options.extend(settings.interface_name.map(|name| (INTERFACE_NAME.to_owned(), name)));
    EndpointSettings {
        aliases: Some(aliases),
        links: non_empty(links),
        ipam_config: has_address.then_some(ipam),
        mac_address: settings.mac_address,
        driver_opts: non_empty_map(&options),
        gw_priority: settings.gw_priority.filter(|it| *it != 0),
        ..Default::default()
    }
}
