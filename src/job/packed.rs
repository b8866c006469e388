//! Values that are many and seldom looked at, in a fraction of their memory.

use std::fmt;
use std::marker::PhantomData;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// A value as bytes, unpacked where it is needed.
///
/// A Compose service has ninety fields, of which a job says five: 1.8 kB in memory, and about 60 B packed.
/// With 100,000 idle jobs that is most of what the daemon would hold.
///
/// # Guarantees
///
/// Nothing is lost: what is unpacked equals what was packed, since both follow from the same fields. The
/// bytes never leave this process; their form may be another one in the next release.
pub struct Packed<T> {
    bytes: Box<[u8]>,
    of: PhantomData<fn() -> T>,
}

impl<T: Serialize + DeserializeOwned> Packed<T> {
    /// Packs a value.
    ///
    /// # Panics
    ///
    /// When serde cannot write the value, as a path that is not UTF-8: job files are text, so none is.
    pub fn of(value: &T) -> Self {
        let bytes = postcard::to_allocvec(value).expect("values of jobs are text and numbers");
        Self { bytes: without_zeros(&bytes), of: PhantomData }
    }

    /// The value.
    pub fn unpack(&self) -> T {
        let bytes = with_zeros(&self.bytes);
        postcard::from_bytes(&bytes).expect("the bytes are those of a value of this type")
    }

    /// How many bytes it takes.
    pub fn size(&self) -> usize {
        self.bytes.len()
    }
}

/// What is empty is a zero, and nearly all is empty: of each run of zeros one is kept, and their number.
fn without_zeros(bytes: &[u8]) -> Box<[u8]> {
    let mut short = Vec::with_capacity(bytes.len());
    let alike = bytes.chunk_by(|one, next| (*one == 0) == (*next == 0));
    for run in alike {
        if run[0] != 0 {
            short.extend_from_slice(run);
            continue;
        }
        for zeros in run.chunks(usize::from(u8::MAX)) {
            short.extend([0, u8::try_from(zeros.len()).unwrap_or(u8::MAX)]);
        }
    }
    short.into_boxed_slice()
}

/// The opposite of [`without_zeros`].
fn with_zeros(short: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(2 * short.len());
    let mut rest = short.iter();
    while let Some(byte) = rest.next() {
        match byte {
            0 => {
                let zeros = rest.next().copied().unwrap_or_default();
                bytes.resize(bytes.len() + usize::from(zeros), 0);
            }
            byte => bytes.push(*byte),
        }
    }
    bytes
}

impl<T> Clone for Packed<T> {
    fn clone(&self) -> Self {
        Self { bytes: self.bytes.clone(), of: PhantomData }
    }
}

impl<T: Serialize + DeserializeOwned + Default> Default for Packed<T> {
    fn default() -> Self {
        Self::of(&T::default())
    }
}

/// Equal values have equal bytes.
impl<T> PartialEq for Packed<T> {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

/// Shows the value.
impl<T: Serialize + DeserializeOwned + fmt::Debug> fmt::Debug for Packed<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.unpack().fmt(formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeros_come_back_in_their_number() {
        let many = [vec![1], vec![0; 700], vec![2, 0, 3]].concat();
        let rows: [(&[u8], usize); 7] = [
            (&[], 0),
            (&[1, 2], 2),
            (&[0], 2),
            (&[0, 0, 0], 2),
            (&[5, 0, 0, 6, 0], 6),
            (&[0; 256], 4),
            (&many, 1 + 6 + 4),
        ];
        for (bytes, length) in rows {
            let short = without_zeros(bytes);
            assert_eq!(short.len(), length, "{bytes:?}");
            assert_eq!(with_zeros(&short), bytes);
        }
    }
}
