//! The program's door: parse the command line, start, exit code.

use std::process::ExitCode;

use roadstead::cli::{arguments, run};

/// musl's own allocator takes a fifth of the time of a whole command (`make bench`).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    run(arguments())
}
