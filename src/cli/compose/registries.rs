//! Pulling with the credentials of Docker's own client, told while it goes on.

use anyhow::Result;

use super::Session;
use super::human::size;
use super::progress::{Progress, Standing};
use crate::docker::{Layers, PullOptions};
use crate::image::Reference;
use crate::registry::ClientConfig;

/// Docker's client configuration, found as the docker client finds it.
pub(super) fn client_config(session: &Session) -> Result<ClientConfig> {
    ClientConfig::load(&session.request.variables)
}

/// An image to pull.
pub(super) struct Wanted<'a> {
    /// Under whose name it is told.
    pub(super) service: &'a str,
    /// Reference as written.
    pub(super) image: &'a str,
    /// Platform, where not the Engine's own.
    pub(super) platform: Option<String>,
}

/// Pulls an image and tells how far it is.
///
/// # Errors
///
/// When the registry does not have it, does not let us in, or falls silent; when the image's name or
/// the configuration is malformed, or a credential helper fails.
pub(super) async fn pull(
    session: &Session,
    config: &ClientConfig,
    Wanted { service, image, platform }: Wanted<'_>,
    progress: Progress,
) -> Result<()> {
    let credentials = config.credentials(&Reference::parse(image)?).await?;
    let (mut layers, mut told) = (Layers::default(), 0);
    let mut sink = |said| {
        layers.see(&said);
        let text = layers_text(&layers);
        if layers.done() > told {
            told = layers.done();
            progress.tell(service, Standing::Working, "Pulling", &text);
        }
        progress.passing(service, "Pulling", &text);
    };
    session.engine.pull_image(image, &PullOptions { platform, credentials }, &mut sink).await
}

/// `2/5 layers, 12.5MB of 40MB`.
fn layers_text(layers: &Layers) -> String {
    let (current, total) = layers.bytes();
    let count = format!("{}/{} layers", layers.done(), layers.all());
    if total == 0 {
        return count;
    }
    format!("{count}, {} of {}", size(current, 3), size(total, 3))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::docker;

    #[test]
    fn layers_and_bytes_are_told() {
        let mut layers = Layers::default();
        let mut say = |id: &str, status: &str, bytes: Option<(i64, i64)>| {
            layers.see(&docker::Progress::Layer {
                id: id.to_owned(),
                status: status.to_owned(),
                current: bytes.map(|it| it.0),
                total: bytes.map(|it| it.1),
            });
            layers_text(&layers)
        };
        for (id, status, bytes, expected) in [
            ("latest", "Pulling from library/nginx", None, "0/0 layers"),
            ("a", "Pulling fs layer", None, "0/1 layers"),
            ("b", "Already exists", None, "1/2 layers"),
            ("a", "Downloading", Some((500_000, 2_000_000)), "1/2 layers, 500kB of 2MB"),
            ("a", "Download complete", None, "1/2 layers, 2MB of 2MB"),
            ("a", "Extracting", Some((1, 2_000_000)), "1/2 layers, 2MB of 2MB"),
            ("a", "Pull complete", None, "2/2 layers, 2MB of 2MB"),
            ("", "Digest: sha256:1", None, "2/2 layers, 2MB of 2MB"),
        ] {
            assert_eq!(say(id, status, bytes), expected, "{id} {status}");
        }
    }
}
