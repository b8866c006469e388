//! The container of one `compose run`.

use anyhow::Result;
use bollard::models::EndpointSettings;

use super::Engine;
use super::create::{NewContainer, blueprint};

/// In what a one-off container differs from the service's others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OneOff {
    /// Whether it reads from us.
    pub stdin: bool,
    /// Whether the Engine removes it at its end.
    pub auto_remove: bool,
    /// Whether others on its networks know it by the service's names.
    pub aliases: bool,
}

impl Engine {
    /// Creates a one-off container of a service and returns its id.
    ///
    /// # Errors
    ///
    /// When the Engine refuses; a container half made is removed again.
    pub async fn create_one_off(&self, new: &NewContainer<'_>, one_off: OneOff) -> Result<String> {
        let mut blueprint = blueprint(new, self.api_version().await?)?;
        let body = &mut blueprint.body;
        body.attach_stdin = Some(one_off.stdin);
        body.open_stdin = Some(one_off.stdin);
        body.stdin_once = Some(one_off.stdin);
        if let Some(host) = &mut body.host_config {
            host.auto_remove = Some(one_off.auto_remove);
        }
        if !one_off.aliases {
            let networks = body.networking_config.iter_mut();
            let endpoints = networks.filter_map(|it| it.endpoints_config.as_mut());
            endpoints.flat_map(|it| it.values_mut()).for_each(|it| anonymise(it, new.final_name));
            blueprint
                .attachments
                .iter_mut()
                .for_each(|it| anonymise(&mut it.endpoint, new.final_name));
        }
        self.create_from(new, blueprint).await
    }
}

/// Takes the service's names away: what asks for the service must not reach a one-off.
fn anonymise(endpoint: &mut EndpointSettings, name: &str) {
    endpoint.aliases = Some(vec![name.to_owned()]);
}
