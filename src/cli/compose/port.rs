//! `compose port`.

use anyhow::{Context, Result, bail};
use clap::Args;

use super::Session;
use crate::cli::output::print;

// Arguments of `port`.
#[derive(Debug, Args)]
pub(super) struct Port {
    /// tcp or udp
    #[arg(long, default_value = "tcp")]
    protocol: String,
    /// Number of the container, where the service has several
    #[arg(long, value_name = "N")]
    index: Option<u32>,
    /// The service
    service: String,
    /// Port in the container
    #[arg(value_name = "PRIVATE_PORT")]
    number: u16,
}

/// Prints the address that a port of a service is published at.
pub(super) async fn port(session: &Session, arguments: &Port) -> Result<u8> {
    let Port { protocol, index, service, number } = arguments;
    let target = session.target(&[])?;
    let container = session.one_container(&target, service, *index).await?;
    let listed = session.listed(&target, true).await?;
    let listed = listed.into_iter().find(|it| it.container.id == container.id);
    let listed = listed.with_context(|| format!("container `{}` is gone", container.name))?;
    let protocol = protocol.to_lowercase();
    let published = listed.ports.iter().filter(|it| !it.address.is_empty());
    let mut same = published.filter(|it| it.target == *number && it.protocol == protocol);
    let Some(found) = same.next() else {
        let ports: Vec<_> =
            listed.ports.iter().map(|it| format!("{}/{}", it.target, it.protocol)).collect();
        let has = if ports.is_empty() { "it has none".to_owned() } else { ports.join(", ") };
        bail!("no port {number}/{protocol} for container {}: {has}", container.name);
    };
    print(|to| writeln!(to, "{}:{}", found.address, found.published))?;
    Ok(0)
}
