//! The rolling hash of content-defined chunking, as `rustic_core` uses it.

mod polynom;
mod rolling_hash;

pub use polynom::{Polynom, Polynom64};
pub use rolling_hash::{Rabin64, RollingHash64};
