//! The encryption of a repository, for what the library does not write: locks, packs and their index.

use aes256ctr_poly1305aes::aead::AeadInPlace;
use aes256ctr_poly1305aes::{Aes256CtrPoly1305Aes, Key, Nonce, Tag};
use rustic_core::repofile::MasterKey;
use sha2::{Digest, Sha256};

/// Bytes before what is encrypted, and behind it.
const AROUND: usize = 16;
/// First byte of a file that is packed with zstd.
const PACKED: u8 = 2;

/// The key of a repository.
pub(super) struct Seal {
    cipher: Aes256CtrPoly1305Aes,
}

impl Seal {
    pub(super) fn new(master: &MasterKey) -> Self {
        let mut key = Key::default();
        for (to, from) in
            key.iter_mut().zip(master.encrypt.iter().chain(&master.mac.k).chain(&master.mac.r))
        {
            *to = *from;
        }
        Self { cipher: Aes256CtrPoly1305Aes::new(&key) }
    }

    /// Encrypts; `None` only without any randomness.
    pub(super) fn close(&self, plain: &[u8]) -> Option<Vec<u8>> {
        let mut nonce = Nonce::default();
        openssl::rand::rand_bytes(&mut nonce).ok()?;
        let mut sealed = Vec::with_capacity(plain.len() + 2 * AROUND);
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(plain);
        let body = sealed.get_mut(AROUND..)?;
        let tag = self.cipher.encrypt_in_place_detached(&nonce, &[], body).ok()?;
        sealed.extend_from_slice(&tag);
        Some(sealed)
    }

    /// Packs a file, and encrypts it.
    pub(super) fn close_packed(&self, plain: &[u8], level: i32) -> Option<Vec<u8>> {
        let mut packed = vec![PACKED];
        zstd::stream::copy_encode(plain, &mut packed, level).ok()?;
        self.close(&packed)
    }

    /// Decrypts; `None` when it is not of this repository.
    pub(super) fn decrypt(&self, sealed: &[u8]) -> Option<Vec<u8>> {
        let (nonce, rest) = sealed.split_at_checked(AROUND)?;
        let (body, tag) = rest.split_at_checked(rest.len().checked_sub(AROUND)?)?;
        let mut plain = body.to_vec();
        let (nonce, tag) = (Nonce::from_slice(nonce), Tag::from_slice(tag));
        self.cipher.decrypt_in_place_detached(nonce, &[], &mut plain, tag).ok()?;
        Some(plain)
    }

    /// Decrypts a file, and unpacks it; `None` when it is not of this repository.
    pub(super) fn open(&self, sealed: &[u8]) -> Option<Vec<u8>> {
        let plain = self.decrypt(sealed)?;
        match plain.split_first() {
            Some((&PACKED, packed)) => zstd::decode_all(packed).ok(),
            _ => Some(plain),
        }
    }
}

/// The name of a file or piece with this content.
pub(super) fn name_of(content: &[u8]) -> String {
    Sha256::digest(content).iter().fold(String::with_capacity(64), |mut name, byte| {
        for digit in [byte >> 4, byte & 15] {
            name.push(char::from_digit(digit.into(), 16).unwrap_or_default());
        }
        name
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_closed_opens_with_the_same_key_only() {
        let (mine, other) = (Seal::new(&MasterKey::new()), Seal::new(&MasterKey::new()));
        let sealed = mine.close(b"{\"a\":1}").unwrap();
        assert_eq!(mine.open(&sealed).as_deref(), Some(b"{\"a\":1}".as_slice()));
        assert_eq!(other.open(&sealed), None);
        assert_eq!(mine.open(&sealed[..20]), None);
        let mut changed = sealed;
        changed[18] ^= 1;
        assert_eq!(mine.open(&changed), None);
    }

    #[test]
    fn names_are_hashes_in_hexadecimal() {
        let name = name_of(b"");
        assert_eq!(name, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    }
}
