//! Networks and volumes: the calls that make and remove them.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result};
use bollard::models::{
    ContainerStateStatusEnum, Ipam as ApiIpam, IpamConfig, NetworkCreateRequest,
    VolumeCreateRequest,
};
use bollard::query_parameters::RemoveVolumeOptions;
use tokio::time::{Instant, sleep};

use super::containers::{ignore, short};
use super::gates::SEVERAL_ENDPOINTS;
use super::{Engine, is_not_found, raw, status_of};
use crate::compose::model::{Ipam, IpamPool, Network, Volume};

/// How long the Engine may hold a network for containers that are gone, before we take them from it, and
/// when we leave it to the next try.
const LETS_GO_WITHIN: Duration = Duration::from_secs(2);
const GIVES_UP_AFTER: Duration = Duration::from_secs(10);
const ASKS_AGAIN_AFTER: Duration = Duration::from_millis(100);

impl Engine {
    /// Creates a network.
    ///
    /// # Errors
    ///
    /// When the Engine refuses, e.g. because subnets overlap.
    pub async fn create_network(
        &self,
        network: &Network,
        labels: &BTreeMap<String, String>,
    ) -> Result<()> {
        let request = network_request(network, labels);
        // Before API 1.44 the Engine would make a second network of the same name.
        let docker = if self.api_version().await? < SEVERAL_ENDPOINTS {
            raw::with_fields(self.docker()?, &request, &[("CheckDuplicate", true.into())])?
        } else {
            self.docker()?.clone()
        };
        let created = docker.create_network(request).await;
        let created = created.with_context(|| format!("create network `{}`", network.name));
        // 409: made meanwhile by somebody else, which is what we wanted.
        ignore(created.map(drop), |error| status_of(error) == Some(409))
    }

    /// Removes a network; one that is gone is fine. Where only containers that are gone hold it, their
    /// endpoints are waited for and then taken from it: the Engine may answer that a container is removed
    /// before it has let go of its endpoint, and at times never does.
    ///
    /// # Errors
    ///
    /// When containers are attached.
    pub async fn remove_network(&self, name: &str) -> Result<()> {
        let asked_since = Instant::now();
        loop {
            let removed = self.docker()?.remove_network(name).await;
            let removed = removed.with_context(|| format!("remove network `{name}`"));
            let is_held = removed.as_ref().is_err_and(|error| status_of(error) == Some(403));
            if !is_held || asked_since.elapsed() >= GIVES_UP_AFTER {
                return ignore(removed, is_not_found);
            }
            let Some(endpoints) = self.endpoints_left(name).await? else { return removed };
            if asked_since.elapsed() >= LETS_GO_WITHIN {
                for endpoint in endpoints {
                    self.disconnect(name, &endpoint).await?;
                }
            }
            sleep(ASKS_AGAIN_AFTER).await;
        }
    }

    /// Names of the endpoints of a network whose containers are gone, or on their way out; `None` where
    /// another one is attached.
    async fn endpoints_left(&self, network: &str) -> Result<Option<Vec<String>>> {
        let inspected = self.docker()?.inspect_network(network, None).await;
        let inspected = match inspected.with_context(|| format!("inspect network `{network}`")) {
            Err(error) if is_not_found(&error) => return Ok(Some(Vec::new())),
            inspected => inspected?,
        };
        let mut left = Vec::new();
        for (id, endpoint) in inspected.containers.unwrap_or_default() {
            let attached = self.docker()?.inspect_container(&id, None).await;
            let attached = attached.with_context(|| format!("inspect container `{}`", short(&id)));
            let state = match attached {
                Err(error) if is_not_found(&error) => Some(ContainerStateStatusEnum::REMOVING),
                attached => attached?.state.and_then(|it| it.status),
            };
            if state != Some(ContainerStateStatusEnum::REMOVING) {
                return Ok(None);
            }
            left.extend(endpoint.name);
        }
        Ok(Some(left))
    }

    /// Creates a volume; one that exists is left alone.
    ///
    /// # Errors
    ///
    /// When the driver refuses.
    pub async fn create_volume(
        &self,
        volume: &Volume,
        labels: &BTreeMap<String, String>,
    ) -> Result<()> {
        let request = VolumeCreateRequest {
            name: Some(volume.name.clone()),
            driver: volume.driver.clone(),
            driver_opts: Some(volume.driver_opts.clone().into_iter().collect()),
            labels: Some(labels.clone().into_iter().collect()),
            ..Default::default()
        };
        let created = self.docker()?.create_volume(request).await;
        created.map(drop).with_context(|| format!("create volume `{}`", volume.name))
    }

    /// Removes a volume and its data; one that is gone is fine.
    ///
    /// # Errors
    ///
    /// When a container mounts it.
    pub async fn remove_volume(&self, name: &str) -> Result<()> {
        let removed = self.docker()?.remove_volume(name, None::<RemoveVolumeOptions>).await;
        ignore(removed.with_context(|| format!("remove volume `{name}`")), is_not_found)
    }
}

fn network_request(network: &Network, labels: &BTreeMap<String, String>) -> NetworkCreateRequest {
    let pool = |pool: &IpamPool| IpamConfig {
        subnet: pool.subnet.clone(),
        ip_range: pool.ip_range.clone(),
        gateway: pool.gateway.clone(),
        auxiliary_addresses: (!pool.aux_addresses.is_empty())
            .then(|| pool.aux_addresses.clone().into_iter().collect()),
    };
    let ipam = &network.ipam;
    NetworkCreateRequest {
        name: network.name.clone(),
        driver: network.driver.clone(),
        internal: Some(network.internal),
        attachable: Some(network.attachable),
        enable_ipv4: network.enable_ipv4,
        enable_ipv6: network.enable_ipv6,
        options: Some(network.driver_opts.clone().into_iter().collect()),
        labels: Some(labels.clone().into_iter().collect()),
        ipam: (*ipam != Ipam::default()).then(|| ApiIpam {
            driver: ipam.driver.clone(),
            config: Some(ipam.config.iter().map(pool).collect()),
            options: Some(ipam.options.clone().into_iter().collect()),
        }),
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_network_is_asked_for_as_it_was_written() {
        let text = |value: &str| Some(value.to_owned());
        let pairs = |name: &str, value: &str| [(name.to_owned(), value.to_owned())].into();
        let full = Network {
            name: "p_n".to_owned(),
            driver: text("bridge"),
            driver_opts: pairs("o", "1"),
            ipam: Ipam {
                driver: text("default"),
                config: vec![IpamPool {
                    subnet: text("10.0.0.0/24"),
                    gateway: text("10.0.0.1"),
                    ip_range: text("10.0.0.0/25"),
                    aux_addresses: pairs("router", "10.0.0.9"),
                }],
                options: pairs("i", "2"),
            },
            internal: true,
            attachable: true,
            enable_ipv6: Some(true),
            ..Network::default()
        };
        let plain = Network { name: "p_n".to_owned(), ..Network::default() };
        for (network, expected) in [
            (
                full,
                json!({
                    "Name": "p_n", "Driver": "bridge", "Options": {"o": "1"},
                    "Internal": true, "Attachable": true, "EnableIPv6": true,
                    "Labels": {"a": "b"},
                    "IPAM": {
                        "Driver": "default", "Options": {"i": "2"},
                        "Config": [{
                            "Subnet": "10.0.0.0/24", "Gateway": "10.0.0.1",
                            "IPRange": "10.0.0.0/25",
                            "AuxiliaryAddresses": {"router": "10.0.0.9"},
                        }],
                    },
                }),
            ),
            // Without a word on addresses the Engine's own pools are used.
            (
                plain,
                json!({
                    "Name": "p_n", "Options": {}, "Internal": false, "Attachable": false,
                    "Labels": {"a": "b"},
                }),
            ),
        ] {
            let request = network_request(&network, &pairs("a", "b"));
            assert_eq!(serde_json::to_value(request).unwrap(), expected, "{network:?}");
        }
    }
}
