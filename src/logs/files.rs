//! All log files behind one writer: the worker thread's side.
//!
//! The worker hands over one frame a call: the file's name, a NUL, the text. It is never told of an
//! error, because it would drop it: errors are counted, and said on stderr at most once a minute.

use std::collections::HashMap;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tracing::Level;

use crate::logs::backlog::Backlog;
use crate::logs::line::{Form, Line, Named};
use crate::logs::rotate::{Limits, Lost, RotatingFile};
use crate::logs::runs;
use crate::logs::{MAIN, log_path, now};

/// Files kept open; the one not written for longest is closed for the next.
const OPEN_FILES: usize = 64;

const COMPLAIN_EVERY: Duration = Duration::from_mins(1);

/// The text for one file, as the worker gets it: whole lines, or nothing when the file is done with.
pub(super) fn frame(file: &str, text: &str) -> Vec<u8> {
    [file.as_bytes(), b"\0", text.as_bytes()].concat()
}

pub(super) struct Files {
    dir: PathBuf,
    limits: Limits,
    form: Form,
    by_name: HashMap<String, (RotatingFile, Instant)>,
    errors: Arc<AtomicU64>,
    complained: Option<Instant>,
    backlog: Arc<Backlog>,
    dropped_told: u64,
}

impl Files {
    pub(super) fn new(dir: PathBuf, limits: Limits, form: Form) -> Self {
        Self {
            dir,
            limits,
            form,
            by_name: HashMap::new(),
            errors: Arc::default(),
            complained: None,
            backlog: Arc::default(),
            dropped_told: 0,
        }
    }

    pub(super) fn errors(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.errors)
    }

    pub(super) fn backlog(&self) -> Arc<Backlog> {
        Arc::clone(&self.backlog)
    }

    /// Opens the main file, to say at once when the directory cannot be written.
    pub(super) fn probe(&mut self) {
        if let Err(error) = self.file(MAIN).open() {
            self.complain(&error);
        }
    }

    fn write_to(&mut self, name: &str, text: &[u8]) {
        // Where files are small, a text of many lines would make one too large.
        if text.len() as u64 > self.limits.max_size_bytes / 16 && !runs::is_of_run(name) {
            for line in text.split_inclusive(|byte| *byte == b'\n') {
                self.append_to(name, line);
            }
        } else {
            self.append_to(name, text);
        }
    }

    fn append_to(&mut self, name: &str, text: &[u8]) {
        let form = self.form;
        let of_run = runs::is_of_run(name);
        let written = self
            .file(name)
            .write_lines(text, |lost| if of_run { run_notice(lost) } else { notice(form, lost) });
        if let Err(error) = written {
            self.complain(&error);
        }
    }

    /// Gives back what is kept for a file that gets no more lines.
    fn close(&mut self, name: &str) {
        let told = self.by_name.remove(name).map(|(mut file, _)| file.finish(run_notice));
        if let Some(Err(error)) = told {
            self.complain(&error);
        }
    }

    fn tell_dropped(&mut self) {
        let dropped = self.backlog.dropped();
        if dropped > self.dropped_told {
            let lines = dropped - self.dropped_told;
            self.dropped_told = dropped;
            let why = "they came faster than they could be written".to_owned();
            let text = notice(self.form, &Lost { lines, why });
            self.write_to(MAIN, text.as_bytes());
        }
    }

    fn file(&mut self, name: &str) -> &mut RotatingFile {
        if !self.by_name.get(name).is_some_and(|(file, _)| file.is_open()) {
            self.close_one();
        }
        let now = Instant::now();
        let (dir, mut limits) = (&self.dir, self.limits);
        if runs::is_of_run(name) {
            limits.max_size_bytes = u64::MAX;
        }
        let new = || (RotatingFile::new(log_path(dir, name), limits), now);
        let (file, used) = self.by_name.entry(name.to_owned()).or_insert_with(new);
        *used = now;
        file
    }

    fn close_one(&mut self) {
        let open = self.by_name.values_mut().filter(|(file, _)| file.is_open());
        let mut open: Vec<_> = open.collect();
        if open.len() >= OPEN_FILES {
            open.sort_by_key(|(_, used)| *used);
            open.into_iter().take(1).for_each(|(file, _)| file.close());
        }
    }

    fn complain(&mut self, error: &io::Error) {
        let count = self.errors.fetch_add(1, Ordering::Relaxed) + 1;
        let now = Instant::now();
        if self.complained.is_some_and(|last| now.duration_since(last) < COMPLAIN_EVERY) {
            return;
        }
        self.complained = Some(now);
        let dir = self.dir.display();
        let advice = "lines are lost until it can be written: free some space, or set \
                      `AUTODEPLOY_LOG_DIR` to a directory that Roadstead may write";
        // Nobody is left to tell when stderr fails, too.
        let _ = writeln!(
            io::stderr(),
            "warning: write logs in `{dir}`: {error} (error {count}); {advice}"
        );
    }
}

impl Write for Files {
    fn write(&mut self, frame: &[u8]) -> io::Result<usize> {
        let mut parts = frame.splitn(2, |byte| *byte == 0);
        if let (Some(name), Some(text)) = (parts.next(), parts.next()) {
            self.tell_dropped();
            let name = String::from_utf8_lossy(name).into_owned();
            if text.is_empty() {
                self.close(&name);
            } else {
                self.write_to(&name, text);
            }
        }
        self.backlog.finish();
        Ok(frame.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn run_notice(lost: &Lost) -> String {
    runs::note(now(), &format!("lost {} lines: {}", lost.lines, lost.why))
}

fn notice(form: Form, lost: &Lost) -> String {
    let message = format!("lost {} lines: {}", lost.lines, lost.why);
    let (time, level) = (now(), Level::WARN);
    let line = Line { time, level, job: None, run: None, message, fields: Vec::new() };
    form.render(&line, Named::No)
}
