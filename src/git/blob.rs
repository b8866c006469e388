//! The id that git gives a content: with it two files are known to be alike without one of them.

use super::sha1::Sha1;

/// Computes the id of a blob from its content, part after part.
pub struct BlobId(Sha1);

impl BlobId {
    /// Begins with a content of so many bytes.
    pub fn of_size(bytes: u64) -> Self {
        let mut sha1 = Sha1::new();
        sha1.update(format!("blob {bytes}\0").as_bytes());
        Self(sha1)
    }

    /// Goes on with the next part.
    pub fn update(&mut self, part: &[u8]) {
        self.0.update(part);
    }

    /// The id.
    pub fn finish(self) -> [u8; 20] {
        self.0.finish()
    }
}

#[cfg(test)]
mod tests {
    use git2::{ObjectType, Oid};

    use super::*;

    #[test]
    fn ids_are_those_of_git() {
        for bytes in [0_usize, 1, 55, 56, 63, 64, 65, 119, 1000, 100_000] {
            let content: Vec<u8> =
                (0..bytes).map(|at| u8::try_from(at * 7 % 251).unwrap()).collect();
            let expected = Oid::hash_object(ObjectType::Blob, &content).unwrap();
            for part in [1, 64, 1000] {
                let mut id = BlobId::of_size(bytes as u64);
                content.chunks(part).for_each(|part| id.update(part));
                assert_eq!(id.finish(), expected.as_bytes(), "{bytes} by {part}");
            }
        }
    }
}
