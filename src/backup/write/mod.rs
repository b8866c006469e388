//! Writes what a backup reads: content and trees become blobs, blobs packs, and packs an index.
//!
//! The library has a way of its own for this, which hands each file through eight threads one by one, and
//! makes a context of zstd for each: with small files that costs more than all the rest. Here files go
//! in batches to as many threads as there are processors, whose contexts last. What is written is the
//! same: <https://restic.readthedocs.io/en/stable/100_references.html#repository-format>.
//!
//! ```text
//! caller ── batches of small files ──────────────┐
//!    │                                           ├── pool: hash, pack, encrypt ── packs ── store, index
//!    └── large files ── reader ── chunks ────────┘
//! ```

mod chunks;
mod known;
mod packs;
mod pool;

use std::fmt;

use rustic_core::DataId;

pub(super) use self::known::Known;
pub(super) use self::packs::Written;
pub(super) use self::pool::{Content, Large, Pool, Reply, Small};
use super::talk::Failed;

/// What a blob holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Blob {
    /// A piece of a file.
    Data,
    /// A directory.
    Tree,
}

impl Blob {
    /// Its word in an index.
    fn word(self) -> &'static str {
        match self {
            Self::Data => "data",
            Self::Tree => "tree",
        }
    }
}

/// The hash of what a blob holds, which is its name.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Name(pub(super) [u8; 32]);

impl Name {
    /// The name of a blob with this content.
    pub(super) fn of(content: &[u8]) -> Self {
        Self(openssl::sha::sha256(content))
    }

    /// As the library has it.
    pub(super) fn id(self) -> rustic_core::Id {
        rustic_core::Id::new(self.0)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// Something that is read, piece by piece, in whatever order they come.
#[derive(Debug, Default)]
pub(super) struct Pieces {
    names: Vec<Option<Name>>,
    there: usize,
    /// How many pieces and bytes there are, once that is known.
    all: Option<(usize, u64)>,
}

impl Pieces {
    /// Keeps what came of reading it; false when it could not be read.
    pub(super) fn hear(&mut self, reply: &Reply) -> bool {
        match *reply {
            Reply::Whole(_, Some((name, bytes))) => {
                self.all = Some((name.is_some().into(), bytes));
                if let Some(name) = name {
                    self.put(0, name);
                }
            }
            Reply::Piece(_, at, name) => self.put(at, name),
            Reply::Pieces(_, Some(all)) => self.all = Some(all),
            Reply::Whole(_, None) | Reply::Pieces(_, None) | Reply::Broken => return false,
        }
        true
    }

    fn put(&mut self, at: usize, name: Name) {
        if self.names.len() <= at {
            self.names.resize(at + 1, None);
        }
        self.there += usize::from(self.names[at].replace(name).is_none());
    }

    /// Whether all of it is read.
    pub(super) fn are_complete(&self) -> bool {
        self.all.is_some_and(|(count, _)| count == self.there)
    }

    /// Bytes in all, once that is known.
    pub(super) fn bytes(&self) -> u64 {
        self.all.map_or(0, |(_, bytes)| bytes)
    }

    /// The names, as the library has them.
    pub(super) fn ids(self) -> Vec<DataId> {
        self.names.into_iter().flatten().map(|name| DataId::from(name.id())).collect()
    }
}

/// An error that should not be: of memory, randomness or a library.
fn internal(what: impl fmt::Display) -> Failed {
    Failed::new(super::protocol::Failure::Other, format!("{what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_complete_once_all_are_there_in_whatever_order() {
        let name = |byte: u8| Name([byte; 32]);
        let mut pieces = Pieces::default();
        for reply in [
            Reply::Piece(0, 2, name(2)),
            Reply::Pieces(0, Some((3, 30))),
            Reply::Piece(0, 0, name(0)),
        ] {
            assert!(pieces.hear(&reply) && !pieces.are_complete());
        }
        assert!(pieces.hear(&Reply::Piece(0, 1, name(1))) && pieces.are_complete());
        assert_eq!(pieces.bytes(), 30);
        let ids: Vec<_> = (0..3).map(|byte| DataId::from(name(byte).id())).collect();
        assert_eq!(pieces.ids(), ids);

        let mut empty = Pieces::default();
        assert!(empty.hear(&Reply::Whole(0, Some((None, 0)))) && empty.are_complete());
        assert!(!Pieces::default().hear(&Reply::Whole(0, None)));
        assert!(!Pieces::default().hear(&Reply::Pieces(0, None)));
    }
}
