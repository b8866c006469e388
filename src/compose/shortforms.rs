//! The short forms of ports, volumes, devices and hosts: one string each.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::model::{Device, Mount, MountKind, Port};

/// What a short `ports` entry says; a range is many ports.
pub struct Ports<'t> {
    host_ip: &'t str,
    target: (u16, u16),
    published: Option<(u16, u16)>,
    protocol: String,
}

/// Reads `[[ip:]published:]target[/protocol]`; equal ranges expand pairwise.
pub fn ports(text: &str) -> Result<Vec<Port>, String> {
    port_ranges(text).map(|ranges| ranges.expand())
}

/// The same, but not expanded: a short text can mean 65535 ports.
pub fn port_ranges(text: &str) -> Result<Ports<'_>, String> {
    let (address, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let protocol = if protocol.is_empty() { "tcp" } else { protocol }.to_ascii_lowercase();
    if !matches!(protocol.as_str(), "tcp" | "udp" | "sctp") {
        return Err(format!(
            "protocol `{protocol}` of port `{text}` is none of `tcp`, `udp`, `sctp`"
        ));
    }
    let mut pieces = address.rsplitn(3, ':');
    let target = pieces.next().unwrap_or_default();
    let published = pieces.next().unwrap_or_default();
    let host_ip = pieces.next().unwrap_or_default();
    let bracketed = host_ip.strip_prefix('[').and_then(|ip| ip.strip_suffix(']'));
    if bracketed.is_none() && host_ip.contains(':') {
        return Err(format!("`{host_ip}` in port `{text}` needs brackets: write `[{host_ip}]`"));
    }
    let host_ip = bracketed.unwrap_or(host_ip);
    if !host_ip.is_empty() && host_ip.parse::<IpAddr>().is_err() {
        return Err(format!("`{host_ip}` in port `{text}` is not an IP address"));
    }
    if target.is_empty() {
        return Err(format!("port `{text}` names no container port"));
    }
    let (first, last) = port_range(target)
        .ok_or_else(|| format!("container port `{target}` is not a port or a range of ports"))?;
    if first == 0 {
        return Err(format!("container port `{target}` is no port: expected 1 to 65535"));
    }
    let host = match published {
        "" => None,
        _ => Some(port_range(published).ok_or_else(|| {
            format!("published port `{published}` is not a port or a range of ports")
        })?),
    };
    if let Some((host_first, host_last)) = host
        && host_last - host_first != last - first
        && first != last
    {
        return Err(format!(
            "ranges `{published}` and `{target}` differ in length: expected as many published ports \
             as container ports"
        ));
    }
    Ok(Ports { host_ip, target: (first, last), published: host, protocol })
}

impl Ports<'_> {
    /// How many ports they are.
    pub fn count(&self) -> usize {
        usize::from(self.target.1 - self.target.0) + 1
    }

    /// Each of them.
    pub fn expand(&self) -> Vec<Port> {
        let (first, last) = self.target;
        let published = |target_port: u16| {
            self.published.map(|(host_first, host_last)| {
                if first == last && host_first != host_last {
                    format!("{host_first}-{host_last}")
                } else {
                    (host_first + (target_port - first)).to_string()
                }
            })
        };
        let mut ports: Vec<Port> = (first..=last)
            .map(|target_port| Port {
                name: None,
                mode: Some("ingress".to_owned()),
                host_ip: (!self.host_ip.is_empty()).then(|| self.host_ip.to_owned()),
                target: target_port,
                published: published(target_port),
                protocol: self.protocol.clone(),
                app_protocol: None,
            })
            .collect();
        // The order of compose-go, which sorts `port/protocol` as text; the hash depends on it.
        ports.sort_by_cached_key(|port| format!("{}/{}", port.target, port.protocol));
        ports
    }
}

fn port_range(text: &str) -> Option<(u16, u16)> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let port = |text: &str| if text.starts_with('+') { None } else { text.parse().ok() };
    let (first, last) = (port(first)?, port(last)?);
    (first <= last).then_some((first, last))
}

/// Splits at colons, but for those in `${NAME:-default}` of a text that is not interpolated.
fn split_outside_variables(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut start, mut depth) = (0, 0_usize);
    for (at, char) in text.char_indices() {
        match char {
            '$' if text[at + 1..].starts_with('{') => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            ':' if depth == 0 => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

/// Reads `[source:]target[:options]`; paths stay as written.
pub fn mount(text: &str) -> Result<Mount, String> {
    let parts = split_outside_variables(text);
    if text.is_empty() || parts.iter().any(|part| part.is_empty()) {
        return Err(format!(
            "volume `{text}` has an empty part: expected `[source:]target[:options]`"
        ));
    }
    let one_letter = |part: &&str| part.len() == 1 && part.chars().all(char::is_alphabetic);
    if let Some(letter) = parts[..parts.len() - 1].iter().find(|part| one_letter(part)) {
        return Err(format!(
            "`{letter}:` in volume `{text}` reads as a Windows drive: use the long form \
             (`type`, `source`, `target`) or a longer name"
        ));
    }
    let (source, target, options) = match parts[..] {
        [target] => (None, target, ""),
        [source, target] => (Some(source), target, ""),
        [source, target, options] => (Some(source), target, options),
        _ => {
            return Err(format!(
                "volume `{text}` has too many colons: expected `[source:]target[:options]`"
            ));
        }
    };
    let mut read_only = false;
    let mut no_copy = false;
    let (mut selinux, mut propagation) = (None, None);
    for option in options.split(',') {
        match option {
            "ro" => read_only = true,
            "rw" => read_only = false,
            "nocopy" => no_copy = true,
            "z" | "Z" => selinux = Some(option.to_owned()),
            "private" | "rprivate" | "shared" | "rshared" | "slave" | "rslave" => {
                propagation = Some(option.to_owned());
            }
            // Compose ignores what it does not know, e.g. `cached`.
            _ => {}
        }
    }
    let is_path = source.is_some_and(|source| source.starts_with(['.', '/', '~']));
    let bind = |create_host_path| MountKind::Bind {
        selinux: selinux.clone(),
        propagation: propagation.clone(),
        create_host_path,
        recursive: None,
    };
    let is_shared = selinux.is_some() || propagation.is_some();
    let volume = MountKind::Volume { nocopy: no_copy, subpath: None, labels: BTreeMap::new() };
    let (kind, other_block) = if is_path {
        (bind(Some(true)), no_copy.then_some(volume))
    } else {
        (volume, is_shared.then(|| bind(None)))
    };
    Ok(Mount {
        kind,
        source: source.map(str::to_owned),
        target: target.to_owned(),
        read_only,
        consistency: None,
        // `docker compose` writes an empty `volume` block for any short form that names a source.
        options_given: source.is_some() || text.len() > 2,
        other_blocks: other_block.into_iter().collect(),
    })
}

/// Reads `source[:target[:permissions]]`.
pub fn device(text: &str) -> Result<Device, String> {
    let parts: Vec<&str> = text.split(':').collect();
    let (source, target, permissions) = match parts[..] {
        [source] | [source, ""] => (source, source, "rwm"),
        [source, target] => (source, target, "rwm"),
        [source, "", permissions] => (source, source, permissions),
        [source, target, permissions] => (source, target, permissions),
        _ => {
            return Err(format!(
                "device `{text}` has too many colons: expected `source[:target[:permissions]]`"
            ));
        }
    };
    Ok(Device {
        source: source.to_owned(),
        target: target.to_owned(),
        permissions: permissions.to_owned(),
    })
}

/// Reads `host:ip` or `host=ip`, where several addresses stand between commas.
pub fn extra_host(text: &str) -> Result<(String, Vec<String>), String> {
    let (host, address) =
        text.split_once('=').or_else(|| text.split_once(':')).ok_or_else(|| {
            format!("extra host `{text}` has no address: expected `host:ip` or `host=ip`")
        })?;
    check_host(host)?;
    Ok((host.to_owned(), address.split(',').map(|it| bare_address(it).to_owned()).collect()))
}

/// Refuses what can be no name of a host.
pub fn check_host(host: &str) -> Result<(), String> {
    if host.is_empty() || host.contains([':', '=']) {
        return Err(format!("`{host}` is not the name of a host"));
    }
    Ok(())
}

/// An address without the brackets of IPv6.
pub fn bare_address(address: &str) -> &str {
    address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_ports(text: &str, expected: &str) {
        let shown = match ports(text) {
            Ok(ports) => ports
                .iter()
                .map(|port| {
                    let (host_ip, published) = (port.host_ip.as_deref(), port.published.as_deref());
                    let (host_ip, published) = (host_ip.unwrap_or("-"), published.unwrap_or("-"));
                    format!("{host_ip} {published} {}/{}", port.target, port.protocol)
                })
                .collect::<Vec<_>>()
                .join(", "),
            Err(message) => message,
        };
        assert_eq!(shown, expected, "{text}");
    }

    #[test]
    fn reads_ports() {
        for (text, expected) in [
            ("80", "- - 80/tcp"),
            ("8080:80/UDP", "- 8080 80/udp"),
            ("127.0.0.1:80:81", "127.0.0.1 80 81/tcp"),
            ("127.0.0.1::80", "127.0.0.1 - 80/tcp"),
            ("[::1]:80:81", "::1 80 81/tcp"),
            ("::80", "- - 80/tcp"),
            ("8000-8002:80", "- 8000-8002 80/tcp"),
            ("1-2:9999-10000", "- 2 10000/tcp, - 1 9999/tcp"),
            ("80/x", "protocol `x` of port `80/x` is none of `tcp`, `udp`, `sctp`"),
            ("+80", "container port `+80` is not a port or a range of ports"),
            ("1-+2:80", "published port `1-+2` is not a port or a range of ports"),
            ("a:80", "published port `a` is not a port or a range of ports"),
            ("80:70000", "container port `70000` is not a port or a range of ports"),
            ("1.2.3:80:80", "`1.2.3` in port `1.2.3:80:80` is not an IP address"),
            ("", "port `` names no container port"),
        ] {
            check_ports(text, expected);
        }
        assert!(ports("8000-8002:9000-9001").unwrap_err().contains("differ in length"));
    }

    #[test]
    fn reads_volumes() {
        for (text, source, target, read_only) in [
            ("/y", None, "/y", false),
            ("./x:/y:ro", Some("./x"), "/y", true),
            ("vol:/y:z,ro", Some("vol"), "/y", true),
        ] {
            let mount = mount(text).unwrap();
            let shown = (mount.source.as_deref(), mount.target.as_str(), mount.read_only);
            assert_eq!(shown, (source, target, read_only), "{text}");
        }
        for text in ["", "a::b", ":a", "v:/d", "/a:/b:ro:x"] {
            mount(text).expect_err(text);
        }
    }
}
