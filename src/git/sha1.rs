//! SHA-1, which git names contents by, and HMAC-SHA-1, which OpenSSH hashes the host names of
//! `known_hosts` with: those of the OpenSSL that git itself is linked with.
//!
//! Neither protects anything here: names are hidden by it, and keys are compared in full.

use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::pkey::PKey;
pub(super) use openssl::sha::Sha1;
use openssl::sign::Signer;

/// Length of a digest in bytes.
pub(super) const DIGEST_BYTES: usize = 20;

/// The keyed digest of `message` ([RFC 2104](https://www.rfc-editor.org/rfc/rfc2104)).
///
/// # Errors
///
/// When OpenSSL may not make it, e.g. because it is set up to do without SHA-1.
pub(super) fn hmac(key: &[u8], message: &[u8]) -> Result<Vec<u8>, ErrorStack> {
    let key = PKey::hmac(key)?;
    Signer::new(MessageDigest::sha1(), &key)?.sign_oneshot_to_vec(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_rfc_2202() {
        let rows: [(&[u8], &[u8], &str); 3] = [
            (&[0x0b; 20], b"Hi There", "b617318655057264e28bc0b6fb378c8ef146be00"),
            (b"Jefe", b"what do ya want for nothing?", "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"),
            (
                &[0xaa; 80],
                b"Test Using Larger Than Block-Size Key - Hash Key First",
                "aa4ae5e15272d00e95705637ce8a3b55ed402112",
            ),
        ];
        for (key, message, expected) in rows {
            let digest = hmac(key, message).expect("OpenSSL knows SHA-1");
            let digits: Vec<String> = digest.iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(digits.concat(), expected);
        }
    }
}
