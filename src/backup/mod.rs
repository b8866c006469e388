//! Repositories of restic's format, read and written by a process of its own.
//!
//! The daemon never opens a repository: it starts `roadstead backup-worker` in a container that has the
//! volumes mounted, tells it on its standard input what to do, and reads from its standard output how
//! that goes. So the memory of an index and the threads of `rustic_core` end with the work, and a worker
//! whose daemon dies loses its input and ends, too.

pub mod protocol;
