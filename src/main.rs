//! The program's door: parse the command line, start, exit code.

use std::process::ExitCode;

use clap::Parser;
use roadstead::cli::{Arguments, run};

fn main() -> ExitCode {
    run(Arguments::parse())
}
