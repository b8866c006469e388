//! Ports of a new container: what is exposed, and what is published.

use bollard::models::{PortBinding, PortMap};

use crate::compose::model::Service;

/// `ExposedPorts`: what is published is exposed, too.
pub(super) fn exposed(service: &Service) -> Vec<String> {
    let published = service.ports.iter().map(|port| format!("{}/{}", port.target, port.protocol));
    let exposed = service.expose.iter().flat_map(|text| ports_of_range(text));
    let mut ports: Vec<String> = exposed.chain(published).collect();
    ports.sort();
    ports.dedup();
    ports
}

/// Each port of `first[-last][/protocol]`; the Engine takes no ranges here. The loader has refused
/// what is no port.
fn ports_of_range(text: &str) -> Vec<String> {
    let (range, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let (first, last) = range.split_once('-').unwrap_or((range, range));
    let (Ok(first), Ok(last)) = (first.parse::<u16>(), last.parse::<u16>()) else {
        return Vec::new();
    };
    (first..=last).map(|port| format!("{port}/{protocol}")).collect()
}

/// `PortBindings`.
pub(super) fn bindings(service: &Service) -> PortMap {
    let mut bindings = PortMap::new();
    for port in &service.ports {
        let key = format!("{}/{}", port.target, port.protocol);
        let binding =
            PortBinding { host_ip: port.host_ip.clone(), host_port: port.published.clone() };
        bindings.entry(key).or_default().get_or_insert_default().push(binding);
    }
    bindings
}
