//! What one run's processes write: chunks of bytes in, lines in the job's log out.

use crate::run::RunId;
use crate::settings::LogSettings;

/// Bytes of the end of the output that messages and pings quote.
const TAIL_BYTES: usize = 4096;

/// The output of one run.
#[derive(Debug)]
pub struct Output {
    job: String,
    run: RunId,
    /// What a stream wrote since its last line end.
    partial: Vec<(&'static str, Vec<u8>)>,
    tail: String,
}

impl Output {
    /// Opens the output of a run.
    pub fn open(_settings: &LogSettings, job: &str, run: RunId) -> Self {
        Self { job: job.to_owned(), run, partial: Vec::new(), tail: String::new() }
    }

    /// Takes what a stream (`out`, `err`, `remote`) wrote, cut anywhere.
    pub fn write(&mut self, stream: &'static str, bytes: &[u8]) {
        let position = self.partial.iter().position(|(name, _)| *name == stream);
        let index = position.unwrap_or_else(|| {
            self.partial.push((stream, Vec::new()));
            self.partial.len() - 1
        });
        let mut lines = std::mem::take(&mut self.partial[index].1);
        lines.extend_from_slice(bytes);
        let end = lines.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        let rest = lines.split_off(end);
        self.partial[index].1 = rest;
        for line in lines.split_inclusive(|byte| *byte == b'\n') {
            self.line(stream, line);
        }
    }

    /// Ends the output and returns its tail.
    pub fn finish(mut self) -> String {
        for (stream, rest) in std::mem::take(&mut self.partial) {
            if !rest.is_empty() {
                self.line(stream, &rest);
            }
        }
        self.tail
    }

    fn line(&mut self, stream: &'static str, line: &[u8]) {
        let text = String::from_utf8_lossy(line);
        super::output_line(&self.job, self.run, stream, &text);
        self.tail.push_str(&text);
        let excess = self.tail.len().saturating_sub(TAIL_BYTES);
        let cut = (excess..=self.tail.len()).find(|at| self.tail.is_char_boundary(*at));
        self.tail.drain(..cut.unwrap_or_default());
    }
}
