//! The four list calls that observe a project.

use std::collections::HashMap;

use anyhow::{Context, Result};
use bollard::models::{ContainerSummary, EndpointSettings, MountPoint, PortSummary};
use bollard::query_parameters::{ListContainersOptions, ListNetworksOptions, ListVolumesOptions};

use super::Engine;
use crate::plan::labels;
use crate::plan::observed::{Container, Health, Observed, Resource, State, exit_code_from_status};
use crate::plan::rivals::Claim;

impl Engine {
    /// Observes one project: its containers, and all networks, volumes and images.
    ///
    /// # Errors
    ///
    /// When one of the four calls fails.
    pub async fn observe(&self, project: &str) -> Result<Observed> {
        let (containers, surroundings) =
            tokio::try_join!(self.containers_of(project), self.surroundings())?;
        Ok(Observed { containers, ..surroundings })
    }

    /// Observes what does not belong to one project: all networks, volumes and images.
    ///
    /// # Errors
    ///
    /// When one of the three calls fails.
    pub async fn surroundings(&self) -> Result<Observed> {
        let (networks, volumes, images) =
            tokio::try_join!(self.networks(), self.volumes(), self.images())?;
        Ok(Observed { networks, volumes, images, ..Observed::default() })
    }

    /// Containers of one project, in every state.
    ///
    /// # Errors
    ///
    /// When the call fails.
    pub async fn containers_of(&self, project: &str) -> Result<Vec<Container>> {
        self.containers_with(&format!("{}={project}", labels::PROJECT)).await
    }

    /// Containers that carry a label, written `name` or `name=value`, in every state.
    ///
    /// # Errors
    ///
    /// When the call fails.
    pub async fn containers_with(&self, label: &str) -> Result<Vec<Container>> {
        self.containers_where(Some(("label", label))).await
    }

    /// The container we run in; `None` where we run in none of this Engine's.
    ///
    /// # Errors
    ///
    /// When the call fails.
    pub async fn ourselves(&self) -> Result<Option<Container>> {
        let Some(own) = self.own_container() else { return Ok(None) };
        Ok(self.containers_where(Some(("id", own))).await?.into_iter().next())
    }

    /// All containers, in every state.
    ///
    /// # Errors
    ///
    /// When the call fails.
    pub async fn all_containers(&self) -> Result<Vec<Container>> {
        self.containers_where(None).await
    }

    async fn containers_where(&self, filter: Option<(&str, &str)>) -> Result<Vec<Container>> {
        let filters =
            filter.map(|(name, value)| HashMap::from([(name.to_owned(), vec![value.to_owned()])]));
        let options = ListContainersOptions { all: true, filters, ..Default::default() };
        let listed = self.docker()?.list_containers(Some(options)).await;
        let listed = listed.context("list containers")?;
        let own = self.own_container();
        let observed = listed.into_iter().map(container);
        Ok(observed
            .map(|it| Container { is_ourselves: own.is_some_and(|id| id == it.id), ..it })
            .collect())
    }

    async fn networks(&self) -> Result<Vec<Resource>> {
        let listed = self.docker()?.list_networks(None::<ListNetworksOptions>).await;
        let resource = |network: bollard::models::Network| Resource {
            id: network.id.unwrap_or_default(),
            name: network.name.unwrap_or_default(),
            labels: network.labels.unwrap_or_default().into_iter().collect(),
        };
        Ok(listed.context("list networks")?.into_iter().map(resource).collect())
    }

    async fn volumes(&self) -> Result<Vec<Resource>> {
        let listed = self.docker()?.list_volumes(None::<ListVolumesOptions>).await;
        let resource = |volume: bollard::models::Volume| Resource {
            id: volume.name.clone(),
            name: volume.name,
            labels: volume.labels.into_iter().collect(),
        };
        let volumes = listed.context("list volumes")?.volumes.unwrap_or_default();
        Ok(volumes.into_iter().map(resource).collect())
    }
}

pub(super) fn container(summary: ContainerSummary) -> Container {
    let status = summary.status.unwrap_or_default();
    let state = summary.state.map(|state| state.to_string()).unwrap_or_default();
    let networks = summary.network_settings.and_then(|it| it.networks).unwrap_or_default();
    let names = summary.names.unwrap_or_default();
    let name = names.iter().map(|name| name.trim_start_matches('/')).find(|it| !it.contains('/'));
    let mounts = summary.mounts.unwrap_or_default();
    let ports = summary.ports.unwrap_or_default();
    Container {
        id: summary.id.unwrap_or_default(),
        name: name.unwrap_or_default().to_owned(),
        image_id: summary.image_id.unwrap_or_default(),
        state: State::parse(&state).unwrap_or_default(),
        health: Health::from_status(&status),
        exit_code: exit_code_from_status(&status),
        created: summary.created.unwrap_or_default(),
        labels: summary.labels.unwrap_or_default().into_iter().collect(),
        claims: ports
            .iter()
            .filter_map(port_claim)
            .chain(networks.iter().flat_map(addresses))
            .collect(),
        networks: networks
            .into_iter()
            .map(|(name, endpoint)| (name, endpoint.network_id.unwrap_or_default()))
            .collect(),
        is_ourselves: false,
        was_stopped: false,
        anonymous_volumes: mounts.iter().filter_map(anonymous_volume).collect(),
        writes: mounts.iter().filter(|it| it.rw != Some(false)).flat_map(places).collect(),
        volumes: mounts.into_iter().filter_map(|mount| mount.name).collect(),
        ports: ports.iter().map(port).collect(),
        status,
    }
}

/// What a mount is of: the name of a volume, the path on the host.
fn places(mount: &MountPoint) -> impl Iterator<Item = String> {
    let places = [mount.name.clone(), mount.source.clone()].into_iter().flatten();
    places.filter(|it| !it.is_empty())
}

/// The Engine names anonymous volumes by 64 hexadecimal digits.
fn anonymous_volume(mount: &MountPoint) -> Option<(String, String)> {
    let name = mount.name.as_ref()?;
    let is_anonymous = name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_anonymous.then(|| Some((mount.destination.clone()?, name.clone())))?
}

fn port_claim(port: &PortSummary) -> Option<Claim> {
    let protocol = port.typ.map(|typ| typ.to_string()).unwrap_or_default();
    Some(Claim::port(&protocol, port.ip.as_deref().unwrap_or_default(), port.public_port?))
}

fn addresses((network, endpoint): (&String, &EndpointSettings)) -> Vec<Claim> {
    let addresses = [&endpoint.ip_address, &endpoint.global_ipv6_address].into_iter().flatten();
    let given = addresses.filter(|address| !address.is_empty());
    given.map(|it| Claim::Address { network: network.clone(), address: it.clone() }).collect()
}

fn port(port: &PortSummary) -> String {
    let protocol = port.typ.map(|typ| typ.to_string()).unwrap_or_default();
    match (&port.ip, port.public_port) {
        (Some(ip), Some(public)) => format!("{ip}:{public}->{}/{protocol}", port.private_port),
        (None, Some(public)) => format!("{public}->{}/{protocol}", port.private_port),
        _ => format!("{}/{protocol}", port.private_port),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// What is read from one item of the list of containers.
    fn read(item: &Value) -> Container {
        container(serde_json::from_value(item.clone()).unwrap())
    }

    #[test]
    fn a_list_item_becomes_a_container() {
        let anonymous = "ab".repeat(32);
        let found = read(&json!({
            "Id": "c1", "Names": ["/other/alias", "/p-web-1"], "ImageID": "sha256:1",
            "State": "running", "Status": "Up 2 hours (healthy)", "Created": 5,
            "Labels": {"a": "b"},
            "NetworkSettings": {"Networks": {"p_default": {
                "NetworkID": "n1", "IPAddress": "10.0.0.2", "GlobalIPv6Address": "",
            }}},
            "Mounts": [
                {"Type": "volume", "Name": "p_data", "Destination": "/data"},
                {"Type": "volume", "Name": anonymous, "Destination": "/anonymous"},
                {"Type": "bind", "Source": "/h", "Destination": "/bind", "RW": true},
                {"Type": "bind", "Source": "/r", "Destination": "/read", "RW": false},
            ],
            "Ports": [{"IP": "0.0.0.0", "PrivatePort": 80, "PublicPort": 8080, "Type": "tcp"}],
        }));
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        let expected = Container {
            id: "c1".to_owned(),
            name: "p-web-1".to_owned(),
            image_id: "sha256:1".to_owned(),
            state: State::Running,
            health: Some(Health::Healthy),
            exit_code: None,
            status: "Up 2 hours (healthy)".to_owned(),
            created: 5,
            labels: [pair("a", "b")].into(),
            networks: [pair("p_default", "n1")].into(),
            volumes: ["p_data".to_owned(), anonymous.clone()].into(),
            writes: ["p_data".to_owned(), anonymous.clone(), "/h".to_owned()].into(),
            is_ourselves: false,
            was_stopped: false,
            anonymous_volumes: [pair("/anonymous", &anonymous)].into(),
            claims: [
                Claim::port("tcp", "0.0.0.0", 8080),
                Claim::Address { network: "p_default".to_owned(), address: "10.0.0.2".to_owned() },
            ]
            .into(),
            ports: vec!["0.0.0.0:8080->80/tcp".to_owned()],
        };
        assert_eq!(found, expected);
        assert_eq!(read(&json!({})), Container::default());
    }

    #[test]
    fn states_come_with_their_exit_code() {
        for (state, status, expected, exit_code) in [
            ("created", "Created", State::Created, None),
            ("running", "Up 1 second", State::Running, None),
            ("paused", "Up 1 hour (Paused)", State::Paused, None),
            ("restarting", "Restarting (1) 2 seconds ago", State::Restarting, None),
            ("removing", "Removal In Progress", State::Removing, None),
            ("exited", "Exited (137) 3 days ago", State::Exited, Some(137)),
            ("dead", "Dead", State::Dead, None),
        ] {
            let found = read(&json!({"State": state, "Status": status}));
            assert_eq!((found.state, found.exit_code), (expected, exit_code), "{state}");
            assert_eq!(State::parse(expected.as_str()), Some(expected));
        }
    }

    #[test]
    fn ports_read_as_people_write_them() {
        for (port_json, expected) in [
            (json!({"PrivatePort": 80, "Type": "tcp"}), "80/tcp"),
            (json!({"PrivatePort": 80, "PublicPort": 1, "Type": "tcp"}), "1->80/tcp"),
            (
                json!({"IP": "::", "PrivatePort": 53, "PublicPort": 2, "Type": "udp"}),
                ":::2->53/udp",
            ),
        ] {
            assert_eq!(port(&serde_json::from_value(port_json).unwrap()), expected);
        }
    }

    #[test]
    fn only_names_the_engine_made_are_anonymous() {
        for (name, expected) in [
            (Some("ab".repeat(32)), true),
            (Some("xy".repeat(32)), false),
            (Some("data".to_owned()), false),
            (None, false),
        ] {
            let mount =
                MountPoint { name, destination: Some("/t".to_owned()), ..MountPoint::default() };
            assert_eq!(anonymous_volume(&mount).is_some(), expected, "{mount:?}");
        }
    }
}
