//! Secrets out of what is written down.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use aho_corasick::{AhoCorasick, Input};

/// What stands in a secret's place.
const MASK: &[u8] = b"***";

/// A shorter value is no secret: masking it would make any text unreadable.
const SHORTEST_BYTES: usize = 4;

/// The shortest line of a value of many lines, such as a key, that is masked by itself.
const SHORTEST_LINE_BYTES: usize = 12;

/// Words in a variable's name that make its value a secret.
const WORDS: [&str; 8] =
    ["PASSWORD", "PASSWD", "PASSPHRASE", "TOKEN", "SECRET", "KEY", "CREDENTIAL", "CREDENTIALS"];

/// Ends of names that say where a secret is, not what.
const PLACES: [&str; 6] = ["_FILE", "_DIR", "_PATH", "_URL", "_NAME", "_ID"];

/// Values that are no secret, whatever a variable is called.
const PLAIN: [&str; 6] = ["true", "false", "none", "null", "auto", "default"];

/// The values of variables that are secrets, by the variables' names (`PASSWORD`, `TOKEN`, `SECRET`,
/// `KEY` and their like, but not `..._FILE` or `..._DIR`), and the passwords in addresses
/// (`https://user:password@host`).
pub fn secrets_of(variables: &BTreeMap<String, String>) -> Arc<[String]> {
    let mut found = BTreeSet::new();
    for (name, value) in variables {
        let name = name.to_ascii_uppercase();
        let is_place = PLACES.iter().any(|end| name.ends_with(end)) || value.starts_with('/');
        let is_plain = PLAIN.contains(&value.to_ascii_lowercase().as_str());
        // `API_KEY` and `APIKEY`, but not `MAX_TOKENS` or `KEYCLOAK_HOST`.
        let mut parts = name.split('_');
        let is_secret = parts.any(|part| WORDS.iter().any(|word| part.ends_with(word)));
        if is_secret && !is_place && !is_plain {
            found.insert(value.clone());
        }
        found.extend(password(value).map(str::to_owned));
    }
    found.retain(|value| value.len() >= SHORTEST_BYTES);
    found.into_iter().collect()
}

/// The password in an address.
fn password(value: &str) -> Option<&str> {
    let (_, rest) = value.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let (user, _) = authority.rsplit_once('@')?;
    user.split_once(':').map(|(_, password)| password)
}

/// Values that are not to be written down.
#[derive(Clone, Default)]
pub(super) struct Secrets {
    search: Option<Arc<AhoCorasick>>,
    longest: usize,
}

impl Secrets {
    /// Takes the values; those shorter than four bytes are not masked. Of a value of many lines each
    /// line is masked.
    pub(super) fn new(values: impl IntoIterator<Item = String>) -> Self {
        let mut parts = BTreeSet::new();
        for value in values {
            let shortest =
                if value.trim().contains('\n') { SHORTEST_LINE_BYTES } else { SHORTEST_BYTES };
            let lines = value.lines().map(str::trim).filter(|line| line.len() >= shortest);
            parts.extend(lines.map(str::to_owned));
        }
        let longest = parts.iter().map(String::len).max().unwrap_or_default();
        let search = AhoCorasick::new(&parts).ok().filter(|_| longest > 0).map(Arc::new);
        Self { search, longest }
    }

    /// Length of the longest one in bytes.
    pub(super) fn longest(&self) -> usize {
        self.longest
    }

    /// The text with `***` in place of each secret.
    pub(super) fn mask<'a>(&self, text: &'a [u8]) -> Cow<'a, [u8]> {
        let places = self.places(text, 0);
        if places.is_empty() {
            return text.into();
        }
        let mut masked = Vec::with_capacity(text.len());
        let mut from = 0;
        for (start, end) in places {
            masked.extend_from_slice(&text[from..start]);
            masked.extend_from_slice(MASK);
            from = end;
        }
        masked.extend_from_slice(&text[from..]);
        masked.into()
    }

    /// Start of the secret, or of the overlapping ones, that lie across `at`; else `at`.
    pub(super) fn start_of_one_across(&self, text: &[u8], at: usize) -> usize {
        let from = at.saturating_sub(8 * self.longest);
        let across = |(start, end): &(usize, usize)| *start < at && at < *end;
        self.places(text, from).into_iter().find(across).map_or(at, |(start, _)| start)
    }

    /// Where secrets are from `from` on, overlapping ones as one.
    fn places(&self, text: &[u8], from: usize) -> Vec<(usize, usize)> {
        let Some(search) = &self.search else { return Vec::new() };
        let input = Input::new(text).range(from..);
        let mut found: Vec<_> =
            search.find_overlapping_iter(input).map(|it| (it.start(), it.end())).collect();
        found.sort_unstable();
        found.dedup_by(|later, earlier| {
            let overlap = later.0 < earlier.1;
            if overlap {
                earlier.1 = earlier.1.max(later.1);
            }
            overlap
        });
        found
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secrets(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_masked_wherever_they_stand() {
        let key = "-----BEGIN KEY-----\nMIIBVgIBADANBg\nshort\n-----END KEY-----\n";
        let rows: &[(&[&str], &str, &str)] = &[
            (&["hunter2"], "a hunter2 b hunter2", "a *** b ***"),
            (&["hunter2"], "hunter", "hunter"),
            (&["hunter2"], "hunter2hunter2", "******"),
            (&["abc"], "abc", "abc"),
            (&["", "  ", "\n"], "a b", "a b"),
            (&["abcd", "cdef"], "abcdef", "***"),
            (&["abcd", "abcdef"], "abcdef abcd", "*** ***"),
            (&["pässword"], "is pässword", "is ***"),
            (&[key], "MIIBVgIBADANBg short", "*** short"),
            (&[], "hunter2", "hunter2"),
        ];
        for (secrets, text, expected) in rows {
            let secrets = Secrets::new(secrets.iter().map(|it| (*it).to_owned()));
            assert_eq!(
                String::from_utf8_lossy(&secrets.mask(text.as_bytes())),
                *expected,
                "{text}"
            );
            assert!(!format!("{secrets:?}").contains("hunter2"));
        }
    }

    #[test]
    fn secrets_are_known_by_the_names_of_their_variables() {
        let rows = [
            ("DB_PASSWORD", "hunter2", Some("hunter2")),
            ("GITHUB_TOKEN", "ghp_123", Some("ghp_123")),
            ("aws_secret_access_key", "wJalr", Some("wJalr")),
            ("API_KEY", "k-123", Some("k-123")),
            ("DB_PASSWORD", "abc", None),
            ("DB_PASSWORD_FILE", "secrets/db", None),
            ("AUTODEPLOY_DEPLOY_KEY_ROOT_DIR", "keys", None),
            ("SSL_KEY", "/etc/ssl/key.pem", None),
            ("USE_TOKEN", "True", None),
            ("AWS_ACCESS_KEY_ID", "AKIA", None),
            ("APIKEY", "k-123", Some("k-123")),
            ("HOSTNAME", "example.org", None),
            ("MAX_TOKENS", "4096", None),
            ("KEYCLOAK_HOST", "example.org", None),
            ("DATABASE_URL", "postgres://me:hunter2@db/x", Some("hunter2")),
            ("DATABASE_URL", "postgres://me@db/x?at=a:b@c", None),
        ];
        for (name, value, expected) in rows {
            let variables = BTreeMap::from([(name.to_owned(), value.to_owned())]);
            assert_eq!(secrets_of(&variables).first().map(String::as_str), expected, "{name}");
        }
    }
}
