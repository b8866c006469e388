//! What is attached to a network, and moving it to another one of the same name.

use std::collections::HashMap;

use anyhow::{Context, Result};
use bollard::models::{
    EndpointSettings, NetworkConnectRequest, NetworkCreateRequest, NetworkDisconnectRequest,
    NetworkInspect,
};
use bollard::query_parameters::ListContainersOptions;
use futures_util::future::try_join_all;

use super::containers::{ignore, short};
use super::{Engine, is_not_found, status_of};

/// A container's attachment to one network, as it was made.
#[derive(Clone, Debug, PartialEq)]
pub struct Endpoint {
    /// Id of the container.
    pub container: String,
    settings: EndpointSettings,
}

/// The definition of a network as the Engine has it.
#[derive(Clone, Debug, PartialEq)]
pub struct NetworkDefinition(NetworkCreateRequest);

impl Engine {
    /// Everything attached to a network, of any project, running or not.
    ///
    /// # Errors
    ///
    /// When the Engine does not answer.
    pub async fn endpoints(&self, network: &str) -> Result<Vec<Endpoint>> {
        let filters = HashMap::from([("network".to_owned(), vec![network.to_owned()])]);
        let options =
            ListContainersOptions { all: true, filters: Some(filters), ..Default::default() };
        let listed = self.docker()?.list_containers(Some(options)).await;
        let listed = listed.with_context(|| format!("list what is attached to `{network}`"))?;
        let ids = listed.into_iter().filter_map(|container| container.id);
        let found = try_join_all(ids.map(|id| self.endpoint(network, id))).await?;
        Ok(found.into_iter().flatten().collect())
    }

    async fn endpoint(&self, network: &str, container: String) -> Result<Option<Endpoint>> {
        let inspected = self.docker()?.inspect_container(&container, None).await;
        let inspected =
            inspected.with_context(|| format!("inspect container `{}`", short(&container)));
        let settings = match inspected {
            Ok(inspected) => inspected.network_settings.unwrap_or_default(),
            Err(error) if is_not_found(&error) => return Ok(None),
            Err(error) => return Err(error),
        };
        let endpoint = settings.networks.unwrap_or_default().remove(network);
        Ok(endpoint.map(|endpoint| {
            let settings = as_asked_for(endpoint, &container);
            Endpoint { container, settings }
        }))
    }

    /// Puts a container into a network again, running or not; one that is gone is fine.
    ///
    /// # Errors
    ///
    /// When the network cannot take it, e.g. because it has no such address.
    pub async fn reconnect(&self, network: &str, endpoint: &Endpoint) -> Result<()> {
        let request = NetworkConnectRequest {
            container: endpoint.container.clone(),
            endpoint_config: Some(endpoint.settings.clone()),
        };
        let connected = self.docker()?.connect_network(network, request).await;
        let what =
            || format!("attach container `{}` to network `{network}`", short(&endpoint.container));
        ignore(connected.with_context(what), is_no_container)
    }

    /// Takes a container out of a network, running or not; one that is gone or not attached is fine.
    ///
    /// # Errors
    ///
    /// When the Engine cannot.
    pub async fn disconnect(&self, network: &str, container: &str) -> Result<()> {
        let request =
            NetworkDisconnectRequest { container: container.to_owned(), force: Some(true) };
        let disconnected = self.docker()?.disconnect_network(network, request).await;
        let what = || format!("detach container `{}` from network `{network}`", short(container));
        ignore(disconnected.with_context(what), |error| {
            is_not_found(error) || format!("{error:#}").contains("not connected")
        })
    }

    /// How a network was made; `None` where there is none of that name.
    ///
    /// # Errors
    ///
    /// When the Engine does not answer.
    pub async fn network_definition(&self, name: &str) -> Result<Option<NetworkDefinition>> {
        let inspected = self.docker()?.inspect_network(name, None).await;
        match inspected.with_context(|| format!("inspect network `{name}`")) {
            Ok(inspected) => Ok(Some(NetworkDefinition(definition(inspected)))),
            Err(error) if is_not_found(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Makes a network again as it was.
    ///
    /// # Errors
    ///
    /// When the Engine refuses.
    pub async fn restore_network(&self, definition: &NetworkDefinition) -> Result<()> {
        let created = self.docker()?.create_network(definition.0.clone()).await;
        let created = created.with_context(|| format!("create network `{}`", definition.0.name));
        ignore(created.map(drop), |error| status_of(error) == Some(409))
    }
}

/// 404 is the answer to both a missing container and a missing network.
fn is_no_container(error: &anyhow::Error) -> bool {
    is_not_found(error) && format!("{error:#}").contains("No such container")
}

/// What was asked for, without what the Engine made of it.
fn as_asked_for(endpoint: EndpointSettings, container: &str) -> EndpointSettings {
    // The Engine adds the short id by itself, up to API 1.44 visibly.
    let aliases = endpoint.aliases.map(|mut aliases| {
        aliases.retain(|alias| !container.starts_with(alias.as_str()));
        aliases
    });
    EndpointSettings {
        aliases,
        ipam_config: endpoint.ipam_config,
        links: endpoint.links,
        driver_opts: endpoint.driver_opts,
        gw_priority: endpoint.gw_priority,
        ..Default::default()
    }
}

fn definition(network: NetworkInspect) -> NetworkCreateRequest {
    NetworkCreateRequest {
        name: network.name.unwrap_or_default(),
        driver: network.driver,
        internal: network.internal,
        attachable: network.attachable,
        ingress: network.ingress,
        ipam: network.ipam,
        enable_ipv4: network.enable_ipv4,
        enable_ipv6: network.enable_ipv6,
        options: network.options,
        labels: network.labels,
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_attachment_is_made_again_as_it_was_asked_for() {
        let container = "0123456789abcdef".repeat(4);
        let inspected = json!({
            "IPAMConfig": {"IPv4Address": "10.9.0.5"}, "Links": ["db:sql"],
            "Aliases": ["p-web-1", "web", "0123456789ab"], "DriverOpts": {"o": "1"},
            "NetworkID": "n", "EndpointID": "e", "Gateway": "10.9.0.1", "IPAddress": "10.9.0.5",
            "MacAddress": "02:42:0a:09:00:05", "GwPriority": 3,
        });
        let asked = as_asked_for(serde_json::from_value(inspected).unwrap(), &container);
        let expected = json!({
            "IPAMConfig": {"IPv4Address": "10.9.0.5"}, "Links": ["db:sql"],
            "Aliases": ["p-web-1", "web"], "DriverOpts": {"o": "1"}, "GwPriority": 3,
        });
        assert_eq!(serde_json::to_value(asked).unwrap(), expected);
    }
}
