//! Where and how a command prints.

use std::io::{self, BufWriter, ErrorKind, IsTerminal, Write};

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use serde::Serialize;

/// What stdout is, and what was asked of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Output {
    /// A person is looking: tables and relative times.
    pub terminal: bool,
    /// `--json`.
    pub json: bool,
    /// Color is wanted.
    pub color: bool,
}

impl Output {
    /// Looks at stdout and `NO_COLOR`.
    #[expect(clippy::disallowed_methods, reason = "NO_COLOR is about the terminal, not a setting")]
    pub fn detect(json: bool) -> Self {
        let terminal = io::stdout().is_terminal();
        let allowed = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self { terminal, json, color: terminal && allowed && !json }
    }
}

/// What every view needs besides its values.
#[derive(Clone, Copy, Debug)]
pub struct Page {
    /// Where it is printed.
    pub output: Output,
    /// The time that relative times are told from.
    pub now: DateTime<Utc>,
    /// Time zone of absolute times.
    pub timezone: Tz,
}

/// Prints to stdout; a reader that closes the pipe early ends it quietly.
pub fn print(write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    print_to(io::stdout().lock(), write)
}

/// Prints `values` as one JSON document.
pub fn json(to: &mut dyn Write, values: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *to, values)?;
    writeln!(to)
}

fn print_to(
    target: impl Write,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<()> {
    let mut buffered = BufWriter::new(target);
    let written = write(&mut buffered).and_then(|()| buffered.flush());
    match written {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => {
            // Else dropping the buffer would try once more.
            let _ = buffered.into_parts();
            Ok(())
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Failing(ErrorKind);

    impl Write for Failing {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_closed_pipe_ends_quietly() {
        let rows = [(ErrorKind::BrokenPipe, true), (ErrorKind::StorageFull, false)];
        for (kind, quiet) in rows {
            let printed = print_to(Failing(kind), |to| json(to, &["a"]));
            assert_eq!(printed.is_ok(), quiet, "{kind}");
        }
    }
}
