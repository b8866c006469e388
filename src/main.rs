//! The program's door: memory, the command line, exit code.

use std::fs::File;
use std::io::Read;
use std::process::ExitCode;

use roadstead::cli::{arguments, run};
use roadstead::memory::{self, Memory};

#[global_allocator]
static ALLOCATOR: Memory = Memory;

fn main() -> ExitCode {
    if serves() {
        memory::forgo_huge_pages();
    } else {
        memory::begin();
    }
    run(arguments())
}

/// Whether this is the daemon. Reads the arguments without allocating anything.
fn serves() -> bool {
    let mut words = [0; 4096];
    let read = File::open("/proc/self/cmdline").and_then(|mut file| file.read(&mut words));
    read.is_ok_and(|length| words[..length].split(|byte| *byte == 0).any(|word| word == b"serve"))
}
