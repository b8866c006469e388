//! The configuration hashes of `docker compose`: SHA-256 over what Go's `encoding/json` prints.
//!
//! Equal hashes let us adopt a running project without a restart, and hand it back.

use sha2::{Digest, Sha256};

pub use super::canonical::Dialect;
use super::canonical::Form;
use super::canonical::object::Object;
use super::canonical::resources::{network_json, volume_json};
use super::canonical::service::service_json;
use super::model::{Network, Service, Volume};

/// The hash of a service: without `depends_on`, `profiles`, `scale`, replicas and pull policy.
///
/// Sources of binds enter as they stand in the model: translate them to host paths first.
pub fn service_hash(service: &Service, dialect: Dialect) -> String {
    digest(service_json(service, Form::Hash(dialect)))
}

/// The hash of a network; the same in every dialect.
pub fn network_hash(network: &Network) -> String {
    digest(network_json(network))
}

/// The hash of a volume; the same in every dialect.
pub fn volume_hash(volume: &Volume) -> String {
    let driver = volume.driver.clone().unwrap_or_else(|| "local".to_owned());
    digest(volume_json(&Volume { driver: Some(driver), ..volume.clone() }))
}

fn digest(object: Object) -> String {
    let bytes = Sha256::digest(object.into_text());
    bytes.iter().fold(String::with_capacity(64), |mut hex, byte| {
        for digit in [byte >> 4, byte & 15] {
            hex.extend(char::from_digit(digit.into(), 16));
        }
        hex
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equals_the_labels_of_docker_compose() {
        let network = Network { name: "p_default".to_owned(), ..Network::default() };
        assert_eq!(network_json(&network).into_text(), r#"{"name":"p_default","ipam":{}}"#);
    }
}
