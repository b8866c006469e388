//! The command line: thin.

pub mod output;
pub mod runs;
pub mod table;
pub mod text;
pub mod views;
