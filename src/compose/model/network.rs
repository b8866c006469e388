//! Networks, how a service stands in them, and the ports it publishes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A service's attachment to a network.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ServiceNetwork {
    /// `aliases`.
    pub aliases: Vec<String>,
    /// `driver_opts`.
    pub driver_opts: BTreeMap<String, String>,
    /// `gw_priority`: the highest provides the default gateway.
    pub gw_priority: Option<i64>,
    /// `interface_name`.
    pub interface_name: Option<String>,
    /// `ipv4_address`.
    pub ipv4_address: Option<String>,
    /// `ipv6_address`.
    pub ipv6_address: Option<String>,
    /// `link_local_ips`.
    pub link_local_ips: Vec<String>,
    /// `mac_address`.
    pub mac_address: Option<String>,
    /// `priority`: the highest is the primary network.
    pub priority: Option<i64>,
}

/// One published or exposed port.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Port {
    /// `name`.
    pub name: Option<String>,
    /// `mode`: `ingress` unless said otherwise.
    pub mode: Option<String>,
    /// `host_ip`.
    pub host_ip: Option<String>,
    /// `target`: port in the container.
    pub target: u16,
    /// `published`: port or range on the host; `None` lets the Engine choose.
    pub published: Option<String>,
    /// `protocol`: `tcp`, `udp` or `sctp`.
    pub protocol: String,
    /// `app_protocol`.
    pub app_protocol: Option<String>,
}

/// A top-level network.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Network {
    /// `name`: as the Engine knows it.
    pub name: String,
    /// `driver`.
    pub driver: Option<String>,
    /// `driver_opts`.
    pub driver_opts: BTreeMap<String, String>,
    /// `ipam`.
    pub ipam: Ipam,
    /// `external`: made by somebody else, must exist.
    pub external: bool,
    /// `internal`.
    pub internal: bool,
    /// `attachable`.
    pub attachable: bool,
    /// `labels`.
    pub labels: BTreeMap<String, String>,
    /// `enable_ipv4`.
    pub enable_ipv4: Option<bool>,
    /// `enable_ipv6`.
    pub enable_ipv6: Option<bool>,
}

/// `ipam` of a network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ipam {
    /// `driver`.
    pub driver: Option<String>,
    /// `config`.
    pub config: Vec<IpamPool>,
    /// `options`.
    pub options: BTreeMap<String, String>,
}

/// One entry of `ipam.config`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IpamPool {
    /// `subnet`.
    pub subnet: Option<String>,
    /// `gateway`.
    pub gateway: Option<String>,
    /// `ip_range`.
    pub ip_range: Option<String>,
    /// `aux_addresses`.
    pub aux_addresses: BTreeMap<String, String>,
}
