//! The check of ssh host keys against an OpenSSH `known_hosts` file.
//!
//! libgit2's own check reads only `$HOME/.ssh/known_hosts` and gives one error for an unknown and for a
//! changed key, which call for opposite reactions.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::sha1;

/// What the file says about the key of a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trust {
    /// The file holds this very key for the host.
    Known,
    /// The file holds no key of this type for the host.
    Unknown,
    /// The file holds another key of this type for the host, in this line.
    Changed(usize),
    /// The file names the key as revoked, in this line.
    Revoked(usize),
}

/// The entries of a `known_hosts` file; lines that are none are left out.
pub(super) struct KnownHosts {
    entries: Vec<Entry>,
}

struct Entry {
    line: usize,
    marker: Option<String>,
    hosts: Hosts,
    key_type: String,
    key: String,
}

enum Hosts {
    Patterns(Vec<String>),
    Hashed { salt: Vec<u8>, digest: Vec<u8> },
}

impl KnownHosts {
    /// Reads the entries of the text of a file.
    pub(super) fn parse(text: &str) -> Self {
        let numbered = (1..).zip(text.lines());
        Self { entries: numbered.filter_map(|(line, text)| Entry::parse(line, text)).collect() }
    }

    /// What the file says about this key of this host.
    pub(super) fn check(&self, host: &str, port: u16, key: &[u8]) -> Trust {
        let encoded = STANDARD.encode(key);
        let key_type = key_type(key).unwrap_or_default();
        let revoked = |entry: &&Entry| {
            entry.is_revocation() && entry.key == encoded && entry.names(host, port)
        };
        if let Some(entry) = self.entries.iter().find(revoked) {
            return Trust::Revoked(entry.line);
        }
        let of_host = || self.plain().filter(|entry| entry.names(host, port));
        if of_host().any(|entry| entry.key == encoded) {
            return Trust::Known;
        }
        if let Some(entry) = of_host().find(|entry| entry.key_type == key_type) {
            return Trust::Changed(entry.line);
        }
        // As OpenSSH: an entry without a port vouches for the key on every port, but does not make
        // another key there a changed one.
        let mut without_port = self.plain().filter(|entry| entry.names(host, DEFAULT_PORT));
        if without_port.any(|entry| entry.key == encoded) { Trust::Known } else { Trust::Unknown }
    }

    /// Lines `host type key` of what is known of a host, free of hashes and patterns.
    pub(super) fn lines_of(&self, host: &str, port: u16) -> Vec<String> {
        let named = |entry: &&Entry| entry.names(host, port) || entry.names(host, DEFAULT_PORT);
        let name = name_of(host, port);
        let line = |entry: &Entry| format!("{name} {} {}", entry.key_type, entry.key);
        self.plain().filter(named).map(line).collect()
    }

    fn plain(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(|entry| entry.marker.is_none())
    }
}

/// Port of ssh where none is named.
pub(super) const DEFAULT_PORT: u16 = 22;

/// The host as `known_hosts` writes it.
pub(super) fn name_of(host: &str, port: u16) -> String {
    let host = host.to_lowercase();
    if port == DEFAULT_PORT { host } else { format!("[{host}]:{port}") }
}

/// The type that a key names itself, e.g. `ssh-ed25519`.
pub(super) fn key_type(key: &[u8]) -> Option<&str> {
    let (length, rest) = key.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    std::str::from_utf8(rest.get(..length)?).ok()
}

impl Entry {
    fn parse(line: usize, text: &str) -> Option<Self> {
        let mut words = text.split_whitespace().peekable();
        let marker = words.next_if(|word| word.starts_with('@')).map(ToOwned::to_owned);
        let hosts = words.next().filter(|word| !word.starts_with('#'))?;
        let key_type = words.next()?.to_owned();
        let key = words.next()?.to_owned();
        STANDARD.decode(&key).ok()?;
        Some(Self { line, marker, hosts: Hosts::parse(hosts)?, key_type, key })
    }

    fn is_revocation(&self) -> bool {
        self.marker.as_deref() == Some("@revoked")
    }

    fn names(&self, host: &str, port: u16) -> bool {
        self.hosts.match_name(&name_of(host, port))
    }
}

impl Hosts {
    fn parse(text: &str) -> Option<Self> {
        let Some(hashed) = text.strip_prefix("|1|") else {
            let patterns = text.split(',').map(str::to_lowercase).collect();
            return Some(Self::Patterns(patterns));
        };
        let (salt, digest) = hashed.split_once('|')?;
        let digest = STANDARD.decode(digest).ok().filter(|one| one.len() == sha1::DIGEST_BYTES)?;
        Some(Self::Hashed { salt: STANDARD.decode(salt).ok()?, digest })
    }

    fn match_name(&self, name: &str) -> bool {
        match self {
            Self::Hashed { salt, digest } => {
                sha1::hmac(salt, name.as_bytes()).is_ok_and(|it| it == *digest)
            }
            Self::Patterns(patterns) => {
                let refused = patterns.iter().filter_map(|pattern| pattern.strip_prefix('!'));
                let mut asked = patterns.iter().filter(|pattern| !pattern.starts_with('!'));
                let matches = |pattern: &str| glob(pattern.as_bytes(), name.as_bytes());
                !refused.into_iter().any(matches) && asked.any(|pattern| matches(pattern))
            }
        }
    }
}

/// Matches `*` and `?`, in time proportional to the product of both lengths.
fn glob(pattern: &[u8], name: &[u8]) -> bool {
    let mut reachable = vec![false; name.len() + 1];
    reachable[0] = true;
    for &symbol in pattern {
        let before = reachable.clone();
        for end in 0..=name.len() {
            reachable[end] = match symbol {
                b'*' => before[end] || (end > 0 && reachable[end - 1]),
                b'?' => end > 0 && before[end - 1],
                _ => end > 0 && before[end - 1] && name[end - 1] == symbol,
            };
        }
    }
    reachable[name.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(key_type: &str, body: u8) -> Vec<u8> {
        let length = u32::try_from(key_type.len()).unwrap();
        [&length.to_be_bytes()[..], key_type.as_bytes(), &[body; 32]].concat()
    }

    fn hashed(name: &str) -> String {
        let salt = [7_u8; 20];
        let digest = sha1::hmac(&salt, name.as_bytes()).unwrap();
        format!("|1|{}|{}", STANDARD.encode(salt), STANDARD.encode(digest))
    }

    #[test]
    fn tells_known_unknown_changed_and_revoked_keys_apart() {
        let good = key("ssh-ed25519", 1);
        let other = key("ssh-ed25519", 2);
        let rsa = key("ssh-rsa", 3);
        let line = |hosts: &str, key: &[u8]| {
            format!("{hosts} {} {} comment", key_type(key).unwrap(), STANDARD.encode(key))
        };
        let rows = [
            (line("git.example", &good), "git.example", 22, Trust::Known),
            (line("Git.Example,10.0.0.1", &good), "git.example", 22, Trust::Known),
            (line("git.example", &good), "GIT.example", 22, Trust::Known),
            (line("git.example", &other), "git.example", 22, Trust::Changed(1)),
            (line("git.example", &rsa), "git.example", 22, Trust::Unknown),
            (line("git.example", &good), "evil.example", 22, Trust::Unknown),
            (line("[git.example]:2222", &good), "git.example", 2222, Trust::Known),
            (line("[git.example]:2222", &other), "git.example", 2222, Trust::Changed(1)),
            (line("[git.example]:2222", &good), "git.example", 22, Trust::Unknown),
            (line("git.example", &good), "git.example", 2222, Trust::Known),
            (line("git.example", &other), "git.example", 2222, Trust::Unknown),
            (line(&hashed("git.example"), &good), "git.example", 22, Trust::Known),
            (line(&hashed("git.example"), &other), "git.example", 22, Trust::Changed(1)),
            (line(&hashed("[git.example]:7"), &good), "git.example", 7, Trust::Known),
            (line("*.example", &good), "git.example", 22, Trust::Known),
            (line("*.example,!git.example", &good), "git.example", 22, Trust::Unknown),
            (line("gi?.example", &good), "git.example", 22, Trust::Known),
            (
                format!("# c\n\n{}", line("git.example", &other)),
                "git.example",
                22,
                Trust::Changed(3),
            ),
            (line("@revoked * ", &good), "git.example", 22, Trust::Revoked(1)),
            (line("@cert-authority *", &good), "git.example", 22, Trust::Unknown),
            ("git.example ssh-ed25519 %%%".to_owned(), "git.example", 22, Trust::Unknown),
            (String::new(), "git.example", 22, Trust::Unknown),
        ];
        for (text, host, port, expected) in rows {
            assert_eq!(KnownHosts::parse(&text).check(host, port, &good), expected, "{text}");
        }
    }

    #[test]
    fn lists_what_is_known_of_a_host_without_hashes() {
        let good = key("ssh-ed25519", 1);
        let text = format!("{} ssh-ed25519 {}", hashed("[h]:7"), STANDARD.encode(&good));
        let lines = KnownHosts::parse(&text).lines_of("h", 7);
        assert_eq!(lines, [format!("[h]:7 ssh-ed25519 {}", STANDARD.encode(&good))]);
    }
}
