//! What a repository has: which blobs, and the trees of earlier snapshots.

use std::collections::{HashMap, HashSet};
use std::sync::Mutex;

use rustic_core::repofile::{IndexFile, Node};
use rustic_core::{DataId, Id, OpenStatus, PackedId, Repository};
use serde::Deserialize;

use super::{Blob, Name};
use crate::backup::repository::Site;
use crate::backup::seal::Seal;
use crate::backup::store::Kind;
use crate::backup::talk::{Outcome, locked};

/// Where a tree is: the number of its pack, its place there and its length unpacked, if it is packed.
type Place = (u32, u32, u32, Option<u32>);

/// The blobs of a repository.
pub(in crate::backup) struct Known {
    data: Mutex<HashSet<Id>>,
    /// Those that were there at the beginning.
    places: HashMap<Id, Place>,
    packs: Vec<String>,
    /// Those that were added since.
    trees: Mutex<HashSet<Id>>,
}

impl Known {
    /// Reads all of the index.
    ///
    /// # Errors
    ///
    /// When a part of it cannot be read.
    pub(in crate::backup) fn read(
        site: &Site,
        repository: &Repository<OpenStatus>,
    ) -> Outcome<Self> {
        let (mut data, mut places, mut packs) = (HashSet::new(), HashMap::new(), Vec::new());
        let files = repository.stream_files::<IndexFile>().map_err(|error| site.failed(&error))?;
        for file in files {
            let (_, file) = file.map_err(|error| site.failed(&error))?;
            for pack in file.packs {
                let number = u32::try_from(packs.len()).unwrap_or(u32::MAX);
                let mut has_trees = false;
                for blob in pack.blobs {
                    let id = blob.id.into_inner();
                    if blob.tpe == DataId::TYPE {
                        data.insert(id);
                        continue;
                    }
                    let at = blob.location;
                    let unpacked = at.uncompressed_length.map(std::num::NonZeroU32::get);
                    places.insert(id, (number, at.offset, at.length, unpacked));
                    has_trees = true;
                }
                if has_trees {
                    packs.push(pack.id.to_hex().as_str().to_owned());
                }
            }
        }
        Ok(Self { data: Mutex::new(data), places, packs, trees: Mutex::default() })
    }

    /// Whether a blob is new; from now on it is not.
    pub(super) fn claim(&self, blob: Blob, name: Name) -> bool {
        match blob {
            Blob::Data => locked(&self.data).insert(name.id()),
            Blob::Tree => {
                !self.places.contains_key(&name.id()) && locked(&self.trees).insert(name.id())
            }
        }
    }

    /// Whether all of these pieces of a file are there.
    pub(in crate::backup) fn has_all(&self, mut ids: impl Iterator<Item = Id>) -> bool {
        let data = locked(&self.data);
        ids.all(|id| data.contains(&id))
    }

    /// What an earlier snapshot has in a directory; `None` where that cannot be read: then all is read
    /// anew.
    pub(in crate::backup) fn tree(&self, site: &Site, seal: &Seal, id: Id) -> Option<Vec<Node>> {
        #[derive(Deserialize)]
        struct Tree {
            nodes: Option<Vec<Node>>,
        }
        let (pack, offset, length, unpacked) = *self.places.get(&id)?;
        let pack = self.packs.get(usize::try_from(pack).ok()?)?;
        let sealed =
            site.backend.store.read(Kind::Data, pack, Some((offset.into(), length))).ok()?;
        let mut plain = seal.decrypt(&sealed)?;
        if let Some(unpacked) = unpacked {
            plain = zstd::bulk::decompress(&plain, usize::try_from(unpacked).ok()?).ok()?;
        }
        Some(serde_json::from_slice::<Tree>(&plain).ok()?.nodes.unwrap_or_default())
    }
}
