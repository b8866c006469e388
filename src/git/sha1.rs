//! SHA-1, which git names contents by, and HMAC-SHA-1, which OpenSSH hashes the host names of
//! `known_hosts` with.
//!
//! Neither protects anything here: names are hidden by it, and keys are compared in full.

/// Length of a digest in bytes.
pub(super) const DIGEST_BYTES: usize = 20;

const BLOCK_BYTES: usize = 64;

/// The keyed digest of `message` ([RFC 2104](https://www.rfc-editor.org/rfc/rfc2104)).
pub(super) fn hmac(key: &[u8], message: &[u8]) -> [u8; DIGEST_BYTES] {
    let mut block = [0_u8; BLOCK_BYTES];
    if key.len() > BLOCK_BYTES {
        block[..DIGEST_BYTES].copy_from_slice(&digest(&[key]));
    } else {
        block[..key.len()].copy_from_slice(key);
    }
    let inner = digest(&[&block.map(|byte| byte ^ 0x36), message]);
    digest(&[&block.map(|byte| byte ^ 0x5c), &inner])
}

fn digest(parts: &[&[u8]]) -> [u8; DIGEST_BYTES] {
    let mut sha1 = Sha1::default();
    for part in parts {
        sha1.update(part);
    }
    sha1.finish()
}

/// A digest that is made part after part.
pub(super) struct Sha1 {
    state: [u32; 5],
    /// What does not fill a block yet.
    rest: Vec<u8>,
    bytes: u64,
}

impl Default for Sha1 {
    fn default() -> Self {
        let state = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476, 0xc3d2_e1f0];
        Self { state, rest: Vec::with_capacity(BLOCK_BYTES), bytes: 0 }
    }
}

impl Sha1 {
    /// Goes on with the next part.
    pub(super) fn update(&mut self, mut part: &[u8]) {
        self.bytes += part.len() as u64;
        if !self.rest.is_empty() {
            let missing = (BLOCK_BYTES - self.rest.len()).min(part.len());
            self.rest.extend_from_slice(&part[..missing]);
            part = &part[missing..];
            if self.rest.len() < BLOCK_BYTES {
                return;
            }
            compress(&mut self.state, &self.rest);
            self.rest.clear();
        }
        let blocks = part.chunks_exact(BLOCK_BYTES);
        self.rest.extend_from_slice(blocks.remainder());
        for block in blocks {
            compress(&mut self.state, block);
        }
    }

    /// The digest of all parts.
    pub(super) fn finish(mut self) -> [u8; DIGEST_BYTES] {
        let bits = self.bytes * 8;
        let mut end = std::mem::take(&mut self.rest);
        end.push(0x80);
        while end.len() % BLOCK_BYTES != BLOCK_BYTES - 8 {
            end.push(0);
        }
        end.extend(bits.to_be_bytes());
        for block in end.chunks_exact(BLOCK_BYTES) {
            compress(&mut self.state, block);
        }
        let mut digest = [0; DIGEST_BYTES];
        for (bytes, word) in digest.chunks_exact_mut(4).zip(self.state) {
            bytes.copy_from_slice(&word.to_be_bytes());
        }
        digest
    }
}

fn compress(state: &mut [u32; 5], block: &[u8]) {
    let mut words = [0_u32; 80];
    for (word, bytes) in words.iter_mut().zip(block.chunks_exact(4)) {
        *word = bytes.iter().fold(0, |word, byte| (word << 8) | u32::from(*byte));
    }
    for index in 16..80 {
        let mixed = words[index - 3] ^ words[index - 8] ^ words[index - 14] ^ words[index - 16];
        words[index] = mixed.rotate_left(1);
    }
    let [mut first, mut second, mut third, mut fourth, mut fifth] = *state;
    for (index, word) in words.iter().enumerate() {
        let (choice, constant) = match index {
            0..20 => ((second & third) | (!second & fourth), 0x5a82_7999),
            20..40 => (second ^ third ^ fourth, 0x6ed9_eba1),
            40..60 => ((second & third) | (second & fourth) | (third & fourth), 0x8f1b_bcdc),
            _ => (second ^ third ^ fourth, 0xca62_c1d6_u32),
        };
        let next = first
            .rotate_left(5)
            .wrapping_add(choice)
            .wrapping_add(fifth)
            .wrapping_add(constant)
            .wrapping_add(*word);
        (first, second, third, fourth, fifth) =
            (next, first, second.rotate_left(30), third, fourth);
    }
    for (old, new) in state.iter_mut().zip([first, second, third, fourth, fifth]) {
        *old = old.wrapping_add(new);
    }
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
            let digits = hmac(key, message).map(|byte| format!("{byte:02x}"));
            assert_eq!(digits.concat(), expected);
        }
    }
}
