//! Credentials in the form the Engine wants them: JSON in a header, in the base64 of addresses.
//!
//! bollard encodes these headers with `+` and `/`, which the Engine takes for no credentials at all.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Map, Value, json};

use crate::image::Credentials;

/// Header of the credentials for one registry.
pub(super) const REGISTRY_AUTH: &str = "x-registry-auth";
/// Header of the credentials for every registry a build may pull from.
pub(super) const REGISTRY_CONFIG: &str = "x-registry-config";

/// The value of [`REGISTRY_AUTH`].
pub(super) fn for_one(server: &str, credentials: &Credentials) -> SecretString {
    encoded(&auth(server, credentials))
}

/// The value of [`REGISTRY_CONFIG`].
pub(super) fn for_all(credentials: &BTreeMap<String, Credentials>) -> SecretString {
    let entry = |(server, it): (&String, &Credentials)| (server.clone(), auth(server, it));
    encoded(&Value::Object(credentials.iter().map(entry).collect::<Map<_, _>>()))
}

fn auth(server: &str, credentials: &Credentials) -> Value {
    match credentials {
        Credentials::Password { username, password } => json!({
            "username": username,
            "password": password.expose_secret(),
            "serveraddress": server,
        }),
        Credentials::IdentityToken(token) => json!({
            "identitytoken": token.expose_secret(),
            "serveraddress": server,
        }),
    }
}

fn encoded(value: &Value) -> SecretString {
    URL_SAFE.encode(value.to_string()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_use_the_alphabet_the_engine_reads() {
        // In the other alphabet this password has a `/` and a `+`.
        let password = Credentials::Password { username: "u".to_owned(), password: "??>~~".into() };
        let token = Credentials::IdentityToken("t".into());
        for (value, expected) in [
            (
                for_one("h:5", &password),
                json!({"username": "u", "password": "??>~~", "serveraddress": "h:5"}),
            ),
            (for_one("h:5", &token), json!({"identitytoken": "t", "serveraddress": "h:5"})),
            (
                for_all(&[("h:5".to_owned(), token.clone())].into()),
                json!({"h:5": {"identitytoken": "t", "serveraddress": "h:5"}}),
            ),
            (for_all(&BTreeMap::new()), json!({})),
        ] {
            let text = value.expose_secret();
            assert!(!text.contains(['+', '/']), "{text}");
            let decoded = URL_SAFE.decode(text).unwrap();
            assert_eq!(serde_json::from_slice::<Value>(&decoded).unwrap(), expected);
        }
    }
}
