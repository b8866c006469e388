//! What containers write: chunks of bytes in, lines out.

use anyhow::{Context, Result};
use bollard::container::LogOutput;
use bollard::query_parameters::LogsOptions;
use futures_util::StreamExt;

use super::Engine;
use super::containers::short;

/// One line of a container's output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputLine {
    /// Where it was written.
    pub stream: Stream,
    /// The line without its end; invalid UTF-8 replaced.
    pub text: String,
}

/// One of a container's output streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
}

impl Engine {
    /// The last lines a container wrote.
    ///
    /// # Errors
    ///
    /// When its logging driver cannot be read.
    pub async fn last_lines(&self, id: &str, count: usize) -> Result<Vec<OutputLine>> {
        let mut lines = Vec::new();
        let options = LogsOptions {
            stdout: true,
            stderr: true,
            tail: count.to_string(),
            ..Default::default()
        };
        self.read_output(id, options, &mut |line| lines.push(line)).await?;
        Ok(lines)
    }

    /// Follows a container's output from its start to its end.
    ///
    /// # Errors
    ///
    /// When the Engine goes away while following.
    pub async fn follow_output(
        &self,
        id: &str,
        sink: &mut (dyn FnMut(OutputLine) + Send),
    ) -> Result<()> {
        let options =
            LogsOptions { follow: true, stdout: true, stderr: true, ..Default::default() };
        self.read_output(id, options, sink).await
    }

    async fn read_output(
        &self,
        id: &str,
        options: LogsOptions,
        sink: &mut (dyn FnMut(OutputLine) + Send),
    ) -> Result<()> {
        let mut stream = Box::pin(self.docker()?.logs(id, Some(options)));
        let mut pending = [Vec::new(), Vec::new()];
        while let Some(chunk) = stream.next().await {
            let chunk =
                chunk.with_context(|| format!("read the output of container `{}`", short(id)))?;
            let (stream, bytes) = match chunk {
                LogOutput::StdErr { message } => (Stream::Err, message),
                LogOutput::StdOut { message }
                | LogOutput::Console { message }
                | LogOutput::StdIn { message } => (Stream::Out, message),
            };
            split_lines(&mut pending[usize::from(stream == Stream::Err)], &bytes, stream, sink);
        }
        for (rest, stream) in pending.into_iter().zip([Stream::Out, Stream::Err]) {
            if !rest.is_empty() {
                sink(line(&rest, stream));
            }
        }
        Ok(())
    }
}

/// Longest line kept whole: a stream without line ends must not fill our memory.
const LONGEST_LINE_BYTES: usize = 64 * 1024;

pub(super) fn split_lines(
    pending: &mut Vec<u8>,
    bytes: &[u8],
    stream: Stream,
    sink: &mut (dyn FnMut(OutputLine) + Send),
) {
    for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
        pending.extend_from_slice(piece);
        if pending.ends_with(b"\n") || pending.len() >= LONGEST_LINE_BYTES {
            sink(line(pending, stream));
            pending.clear();
        }
    }
}

pub(super) fn line(bytes: &[u8], stream: Stream) -> OutputLine {
    let text = String::from_utf8_lossy(bytes);
    OutputLine { stream, text: text.trim_end_matches(['\n', '\r']).to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What it shows, the chunks, the lines they make, and what is no line yet.
    type Row<'a> = (&'a str, &'a [&'a [u8]], &'a [&'a str], &'a str);

    #[test]
    fn chunks_become_lines_wherever_they_are_cut() {
        let long = "x".repeat(LONGEST_LINE_BYTES);
        let rows: &[Row<'_>] = &[
            ("one line", &[b"a\n"], &["a"], ""),
            ("two in one chunk", &[b"a\nb\n"], &["a", "b"], ""),
            ("one in two chunks", &[b"a", b"b\n"], &["ab"], ""),
            ("an empty line", &[b"\n"], &[""], ""),
            ("line end of a terminal", &[b"a\r\nb\r", b"\n"], &["a", "b"], ""),
            ("no line end yet", &[b"a\nb"], &["a"], "b"),
            ("a character cut in two", &["é\n".as_bytes().split_at(1).0, b"\xa9\n"], &["é"], ""),
            ("no text at all", &[b"\xff\n"], &["\u{fffd}"], ""),
            ("leading blanks stay", &[b"  a \n"], &["  a "], ""),
            ("no line end ever", &[long.as_bytes(), b"y\n"], &[&long, "y"], ""),
            ("nothing", &[b""], &[], ""),
        ];
        for (what, chunks, expected, rest) in rows {
            let mut lines = Vec::new();
            let mut pending = Vec::new();
            for chunk in *chunks {
                split_lines(&mut pending, chunk, Stream::Out, &mut |line| lines.push(line.text));
            }
            assert_eq!(lines, *expected, "{what}");
            assert_eq!(pending, rest.as_bytes(), "{what}");
        }
    }
}
