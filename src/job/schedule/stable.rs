//! A hash that never changes: what it decides (a minute for `H`, a delay) outlives restarts and releases.

use sha2::{Digest, Sha256};

/// The same number for the same parts, today and in every release: the first eight bytes of SHA-256 over
/// the parts, each ended by a zero byte.
pub fn stable_hash(parts: &[&str]) -> u64 {
    let mut digest = Sha256::new();
    for part in parts {
        digest.update(part.as_bytes());
        digest.update([0]);
    }
    digest.finalize().iter().take(8).fold(0, |hash, byte| hash << 8 | u64::from(*byte))
}

/// A number from `lowest` to `highest`, drawn by `hash`.
pub(super) fn within(hash: u64, lowest: u32, highest: u32) -> u32 {
    let size = u64::from(highest.saturating_sub(lowest)) + 1;
    lowest + u32::try_from(hash % size).expect("less than a u32 and one")
}

/// Dkron's own: the sum of the name's code points.
pub(super) fn dkron_hash(name: &str) -> u64 {
    name.chars().map(|letter| u64::from(u32::from(letter))).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_changes() {
        // Changing a row moves jobs of existing installations.
        let rows = [
            (&["web"] as &[&str], 0xe216_3fd5_88f7_993c_u64),
            (&["web", "minute"], 0xf4a2_eb52_baf8_b558),
            (&["", ""], 0x96a2_96d2_24f2_85c6),
            (&[], 0xe3b0_c442_98fc_1c14),
        ];
        for (parts, hash) in rows {
            assert_eq!(stable_hash(parts), hash, "{parts:?}");
        }
        assert_eq!(dkron_hash("job1"), 106 + 111 + 98 + 49);
        assert_eq!((within(0, 5, 5), within(61, 0, 59), within(30, 1, 28)), (5, 1, 3));
    }
}
