//! A container's log as a stream of lines.

use std::collections::VecDeque;
use std::pin::Pin;

use anyhow::{Context, Result};
use bollard::container::LogOutput;
use bollard::errors::Error as BollardError;
use bollard::query_parameters::LogsOptions;
use futures_util::{Stream as Streaming, StreamExt, stream};

use super::containers::short;
use super::output::{line, split_lines};
use super::{Engine, OutputLine, Stream};

/// Which lines of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogRange {
    /// Goes on with what is written from now on.
    pub follow: bool,
    /// From this time on, seconds since the Unix epoch; 0 is all.
    pub since: i32,
    /// Up to this time, seconds since the Unix epoch; 0 is all.
    pub until: i32,
    /// How many of the last lines; `all` is all.
    pub tail: String,
    /// Begins each line with its time.
    pub timestamps: bool,
}

struct Reader {
    chunks: Pin<Box<dyn Streaming<Item = Result<LogOutput, BollardError>> + Send>>,
    pending: [Vec<u8>; 2],
    lines: VecDeque<OutputLine>,
    ended: bool,
}

impl Engine {
    /// Reads a container's log line by line.
    ///
    /// # Errors
    ///
    /// When the Engine cannot be reached; what it refuses comes in the stream.
    pub fn log_lines(
        &self,
        id: &str,
        range: &LogRange,
    ) -> Result<impl Streaming<Item = Result<OutputLine>> + Send + use<>> {
        let options = LogsOptions {
            follow: range.follow,
            stdout: true,
            stderr: true,
            since: range.since,
            until: range.until,
            timestamps: range.timestamps,
            tail: range.tail.clone(),
        };
        let docker = self.docker()?.clone();
        let what = format!("read the log of container `{}`", short(id));
        let id = id.to_owned();
        let reader = Reader {
            chunks: Box::pin(docker.logs(&id, Some(options))),
            pending: [Vec::new(), Vec::new()],
            lines: VecDeque::new(),
            ended: false,
        };
        Ok(stream::try_unfold(reader, move |mut reader| {
            let what = what.clone();
            async move { Ok(reader.next().await.context(what)?.map(|line| (line, reader))) }
        }))
    }
}

impl Reader {
    async fn next(&mut self) -> Result<Option<OutputLine>, BollardError> {
        loop {
            if let Some(line) = self.lines.pop_front() {
                return Ok(Some(line));
            }
            if self.ended {
                return Ok(None);
            }
            match self.chunks.next().await {
                Some(chunk) => self.take(chunk?),
                None => self.end(),
            }
        }
    }

    fn take(&mut self, chunk: LogOutput) {
        let (stream, bytes) = match chunk {
            LogOutput::StdErr { message } => (Stream::Err, message),
            LogOutput::StdOut { message }
            | LogOutput::Console { message }
            | LogOutput::StdIn { message } => (Stream::Out, message),
        };
        let Self { pending, lines, .. } = self;
        let pending = &mut pending[usize::from(stream == Stream::Err)];
        split_lines(pending, &bytes, stream, &mut |line| lines.push_back(line));
    }

    fn end(&mut self) {
        self.ended = true;
        for (rest, stream) in self.pending.iter_mut().zip([Stream::Out, Stream::Err]) {
            if !rest.is_empty() {
                self.lines.push_back(line(&std::mem::take(rest), stream));
            }
        }
    }
}
