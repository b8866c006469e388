//! Runs a program to its end and keeps what it said.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;

/// What a finished program left.
#[derive(Clone, Debug)]
pub(crate) struct Output {
    /// Exit code; `None` when a signal ended it.
    pub(crate) code: Option<i32>,
    /// Standard output.
    pub(crate) stdout: String,
    /// Standard error.
    pub(crate) stderr: String,
}

impl Output {
    /// Returns standard output without the last newline; panics if the program failed.
    #[track_caller]
    pub(crate) fn ok(self) -> String {
        assert_eq!(self.code, Some(0), "stdout: {}\nstderr: {}", self.stdout, self.stderr);
        self.stdout.trim_end().to_owned()
    }

    /// Panics unless the program ended with `code`; returns both streams.
    #[track_caller]
    pub(crate) fn fails_with(self, code: i32) -> String {
        assert_eq!(self.code, Some(code), "stdout: {}\nstderr: {}", self.stdout, self.stderr);
        format!("{}{}", self.stdout, self.stderr)
    }
}

/// Runs a prepared command to its end, without standard input.
#[track_caller]
pub(crate) fn output(command: &mut Command) -> Output {
    let output = command
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("start {command:?}: {error}"));
    Output {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Runs `program` in `directory`; returns its output, panics if it fails.
#[track_caller]
pub(crate) fn run<A: AsRef<OsStr>>(directory: &Path, program: &str, arguments: &[A]) -> String {
    output(Command::new(program).args(arguments).current_dir(directory)).ok()
}
