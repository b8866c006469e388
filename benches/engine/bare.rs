//! The Engine calls that nobody can do without: the floor that we are measured against.

use std::collections::HashMap;

use bollard::models::{ContainerCreateBody, EndpointSettings, NetworkingConfig};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, ListContainersOptionsBuilder, ListImagesOptionsBuilder,
    ListNetworksOptionsBuilder, ListVolumesOptionsBuilder, RemoveContainerOptionsBuilder,
    RenameContainerOptionsBuilder,
};
use bollard::{API_DEFAULT_VERSION, Docker};
use tokio::runtime::Runtime;

use super::support::Engine;

/// A connected client, outside the measured time.
pub(super) struct Calls {
    runtime: Runtime,
    docker: Docker,
}

impl Calls {
    /// Connects and agrees on a version.
    pub(super) fn new(engine: &Engine) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let docker = runtime.block_on(async {
            let path = engine.socket().to_str().unwrap();
            let docker = Docker::connect_with_unix(path, 60, API_DEFAULT_VERSION).unwrap();
            docker.negotiate_version().await.unwrap()
        });
        Self { runtime, docker }
    }

    /// The four list calls of one look at a project of so many containers.
    pub(super) fn list(&self, project: &str, size: usize) {
        let label = format!("com.docker.compose.project={project}");
        let filters = HashMap::from([("label", vec![label.as_str()])]);
        let containers = ListContainersOptionsBuilder::new().all(true).filters(&filters).build();
        let networks = ListNetworksOptionsBuilder::new().filters(&filters).build();
        let volumes = ListVolumesOptionsBuilder::new().filters(&filters).build();
        let images = ListImagesOptionsBuilder::new().build();
        self.runtime.block_on(async {
            let found = self.docker.list_containers(Some(containers)).await.unwrap();
            assert_eq!(found.len(), size, "containers of `{project}`");
            self.docker.list_networks(Some(networks)).await.unwrap();
            self.docker.list_volumes(Some(volumes)).await.unwrap();
            self.docker.list_images(Some(images)).await.unwrap();
        });
    }

    /// Replaces a container by a changed one in the safe order: create, stop, start, remove, rename.
    pub(super) fn replace(&self, name: &str, change: usize) {
        let new = format!("{name}-new");
        self.runtime.block_on(async {
            let old = self.docker.inspect_container(name, None).await.unwrap();
            let config = old.config.unwrap();
            let endpoints = old.network_settings.unwrap().networks.unwrap_or_default();
            let body = ContainerCreateBody {
                image: config.image,
                cmd: config.cmd,
                labels: config.labels,
                env: Some(vec![format!("CHANGE={change}")]),
                host_config: old.host_config,
                networking_config: Some(NetworkingConfig {
                    endpoints_config: Some(
                        endpoints
                            .into_iter()
                            .map(|(network, endpoint)| {
                                let aliases = endpoint.aliases;
                                (
                                    network,
                                    EndpointSettings { aliases, ..EndpointSettings::default() },
                                )
                            })
                            .collect(),
                    ),
                }),
                ..ContainerCreateBody::default()
            };
            let options = CreateContainerOptionsBuilder::new().name(&new).build();
            self.docker.create_container(Some(options), body).await.unwrap();
            self.docker.stop_container(name, None).await.unwrap();
            self.docker.start_container(&new, None).await.unwrap();
            let force = RemoveContainerOptionsBuilder::new().force(true).build();
            self.docker.remove_container(name, Some(force)).await.unwrap();
            let rename = RenameContainerOptionsBuilder::new().name(name).build();
            self.docker.rename_container(&new, rename).await.unwrap();
        });
    }
}
