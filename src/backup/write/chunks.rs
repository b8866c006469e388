//! Cuts content into chunks where its own bytes say so, so that what is inserted moves no cut behind it.

use std::io::{self, Read};

use rustic_cdc::{Rabin64, RollingHash64};
use rustic_core::repofile::ConfigFile;

use super::internal;
use crate::backup::talk::Outcome;

/// Bytes that are read at once.
const READ: usize = 512 << 10;
/// Bytes that a cut depends on, and their number as a power of two.
const WINDOW: (usize, u32) = (64, 6);

/// Where a repository cuts.
#[derive(Clone, Copy, Debug)]
pub(in crate::backup) struct Cuts {
    polynom: u64,
    mask: u64,
    /// Bytes of the shortest chunk that is not the last.
    pub(in crate::backup) shortest: usize,
    longest: usize,
}

impl Cuts {
    /// Those of a repository.
    ///
    /// # Errors
    ///
    /// When they are none that we know.
    pub(super) fn of(config: &ConfigFile) -> Outcome<Self> {
        let polynom = config.poly().map_err(|error| internal(error.display_log()))?;
        let (size, shortest, longest) =
            (config.chunk_size(), config.chunk_min_size(), config.chunk_max_size());
        let is_rabin = matches!(config.chunker(), rustic_core::repofile::Chunker::Rabin);
        if !is_rabin || !size.is_power_of_two() || shortest < WINDOW.0 || longest < shortest {
            return Err(internal("the repository is cut in a way that we do not know"));
        }
        Ok(Self { polynom, mask: size as u64 - 1, shortest, longest })
    }
}

/// The chunks of one stream.
pub(super) struct Chunks<R> {
    from: R,
    cuts: Cuts,
    hash: Rabin64,
    /// Read and in no chunk yet.
    rest: Vec<u8>,
    has_ended: bool,
}

impl<R: Read> Chunks<R> {
    pub(super) fn new(from: R, cuts: Cuts) -> Self {
        let hash = Rabin64::new_with_polynom(WINDOW.1, &cuts.polynom);
        Self { from, cuts, hash, rest: Vec::new(), has_ended: false }
    }

    /// The next one; `None` at the end.
    pub(super) fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        while self.rest.len() <= self.cuts.shortest && !self.has_ended {
            self.read()?;
        }
        let mut end = self.cuts.shortest;
        if self.rest.len() < end {
            return Ok(Some(std::mem::take(&mut self.rest)).filter(|it| !it.is_empty()));
        }
        // As rustic_core begins: without the byte right before.
        let mut before = self.rest[end - WINDOW.0..end].iter().copied();
        self.hash.reset_and_prefill_window(&mut before);
        while end < self.cuts.longest && self.hash.hash & self.cuts.mask != 0 {
            if end == self.rest.len() {
                if self.has_ended {
                    break;
                }
                self.read()?;
                continue;
            }
            self.hash.slide(self.rest[end]);
            end += 1;
        }
        let behind = self.rest.split_off(end);
        Ok(Some(std::mem::replace(&mut self.rest, behind)))
    }

    /// Reads on.
    fn read(&mut self) -> io::Result<()> {
        let before = self.rest.len();
        let count = (&mut self.from).take(READ as u64).read_to_end(&mut self.rest)?;
        self.has_ended = count < READ;
        debug_assert_eq!(self.rest.len(), before + count, "what is read comes behind");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CUTS: Cuts = Cuts {
        polynom: 0x003D_A335_8B4D_C173,
        mask: (1 << 12) - 1,
        shortest: 1 << 10,
        longest: 1 << 14,
    };

    fn chunks(content: &[u8]) -> Vec<Vec<u8>> {
        let mut chunks = Chunks::new(content, CUTS);
        std::iter::from_fn(|| chunks.next().unwrap()).collect()
    }

    fn noise(length: usize) -> Vec<u8> {
        let mut state = 7_u32;
        let next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state.to_be_bytes()[0]
        };
        std::iter::repeat_with(next).take(length).collect()
    }

    #[test]
    fn chunks_are_the_content_and_as_long_as_they_may_be() {
        for length in [0, 1, 1023, 1024, 1025, 100_000, 2 << 20] {
            let content = noise(length);
            let chunks = chunks(&content);
            assert!(chunks.concat() == content, "{length}");
            let before_last = chunks.iter().rev().skip(1);
            assert!(before_last.into_iter().all(|it| (1 << 10..=1 << 14).contains(&it.len())));
            assert!(chunks.iter().all(|it| !it.is_empty() && it.len() <= 1 << 14));
        }
        assert!(chunks(&vec![0; 40_000]).iter().all(|it| it.len() <= 1 << 14));
    }

    #[test]
    fn what_is_inserted_changes_the_chunks_around_it_only() {
        let before = noise(1 << 20);
        let mut after = before.clone();
        after.splice(500_000..500_000, *b"inserted");
        let (before, after) = (chunks(&before), chunks(&after));
        let new = after.iter().filter(|it| !before.contains(it)).count();
        assert!(before.len() > 100 && new <= 3, "{new} of {}", before.len());
    }
}
