//! A private authority of certificates.

use std::path::PathBuf;

use tempfile::TempDir;

use super::run;

/// A private authority, and certificates that it signed for a server on loopback and for a client.
pub(crate) struct Authority(TempDir);

impl Authority {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let openssl = |arguments: &str| {
            let words: Vec<&str> = arguments.split_whitespace().collect();
            run(directory.path(), "openssl", &words);
        };
        openssl(
            "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=ours -keyout ca.key -out ca.pem",
        );
        std::fs::write(directory.path().join("names"), "subjectAltName=IP:127.0.0.1").unwrap();
        for name in ["server", "client"] {
            openssl(&format!(
                "req -newkey rsa:2048 -nodes -subj /CN={name} -keyout {name}.key -out {name}.csr"
            ));
            openssl(&format!(
                "x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile names -out {name}.pem"
            ));
        }
        let read = |name: &str| std::fs::read_to_string(directory.path().join(name)).unwrap();
        std::fs::write(directory.path().join("both.pem"), read("client.pem") + &read("client.key"))
            .unwrap();
        Self(directory)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}
