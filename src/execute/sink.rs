//! Where the bytes of a run's processes go: the run's output, and files besides.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, Result};
use tracing::warn;

use crate::job::work::{Redirect, RedirectFile};
use crate::logs::{Output, Voice};

/// The standard output of a process.
pub(super) const OUT: &str = "out";
/// The standard error of a process.
pub(super) const ERR: &str = "err";
/// What something elsewhere says.
pub(super) const REMOTE: &str = "remote";

/// Takes bytes of the streams of a run, from one process or from several.
pub(super) struct Sink<'a> {
    output: &'a Mutex<Output>,
    /// Who speaks, where several do.
    voice: Option<Mutex<Voice>>,
}

impl<'a> Sink<'a> {
    /// A sink into a run's output; `mark` is who speaks, where several do.
    pub(super) fn new(output: &'a Mutex<Output>, mark: Option<&str>) -> Self {
        Self { output, voice: mark.map(Voice::of).map(Mutex::new) }
    }

    /// Passes over so many lines of each stream, which come again.
    pub(super) fn passing_over(mut self, lines: BTreeMap<String, u64>) -> Self {
        if let Some(voice) = &mut self.voice {
            voice.get_mut().unwrap_or_else(PoisonError::into_inner).passing_over(lines);
        }
        self
    }

    /// Takes bytes, cut anywhere.
    pub(super) fn write(&self, stream: &'static str, bytes: &[u8]) {
        let mut output = self.output.lock().unwrap_or_else(PoisonError::into_inner);
        match &self.voice {
            None => output.write(stream, bytes),
            Some(voice) => {
                let mut voice = voice.lock().unwrap_or_else(PoisonError::into_inner);
                output.write_of(&mut voice, stream, bytes);
            }
        }
    }

    /// Takes one line of text.
    pub(super) fn line(&self, stream: &'static str, line: &str) {
        self.write(stream, format!("{line}\n").as_bytes());
    }
}

impl Drop for Sink<'_> {
    fn drop(&mut self) {
        let Some(voice) = self.voice.take() else { return };
        let voice = voice.into_inner().unwrap_or_else(PoisonError::into_inner);
        self.output.lock().unwrap_or_else(PoisonError::into_inner).end_of(voice);
    }
}

/// Files that a process's streams go to besides.
#[derive(Debug, Default)]
pub(super) struct Tee {
    files: Vec<(String, File)>,
    out: Option<usize>,
    err: Option<usize>,
}

impl Tee {
    /// Opens the files of a redirection, with the directories above them.
    ///
    /// # Errors
    ///
    /// When one cannot be opened.
    pub(super) fn open(redirect: &Redirect) -> Result<Self> {
        let mut tee = Self::default();
        let mut at = |file: &Option<RedirectFile>, same: Option<(&RedirectFile, usize)>| {
            let Some(file) = file else { return anyhow::Ok(None) };
            if let Some((_, index)) = same.filter(|(other, _)| other.path == file.path) {
                return Ok(Some(index));
            }
            tee.files.push((file.path.display().to_string(), open(&file.path, file.append)?));
            Ok(Some(tee.files.len() - 1))
        };
        let out = at(&redirect.stdout, None)?;
        let err = at(&redirect.stderr, redirect.stdout.as_ref().zip(out))?;
        (tee.out, tee.err) = (out, err);
        Ok(tee)
    }

    /// As [`Self::open`] for a process that writes already: what was appended stays, and is not
    /// appended a second time.
    pub(super) fn open_again(redirect: &Redirect) -> Result<Self> {
        let again = |file: &Option<RedirectFile>| file.clone().filter(|file| !file.append);
        let (stdout, stderr) = (again(&redirect.stdout), again(&redirect.stderr));
        if redirect.stdout != stdout || redirect.stderr != stderr {
            warn!("what was written while we were away is missing in the files it is appended to");
        }
        Self::open(&Redirect { stdout, stderr })
    }

    /// Takes bytes of a stream. A file that cannot be written to any more is told of once.
    pub(super) fn write(&mut self, stream: &'static str, bytes: &[u8]) {
        let index = if stream == ERR { &mut self.err } else { &mut self.out };
        let Some((path, file)) = index.and_then(|at| self.files.get_mut(at)) else { return };
        if let Err(error) = file.write_all(bytes) {
            warn!("write to `{path}`: {error}; the rest of the output is missing there");
            *index = None;
        }
    }
}

fn open(path: &Path, append: bool) -> Result<File> {
    let place = || format!("open `{}` for the output", path.display());
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).with_context(place)?;
    }
    File::options()
        .create(true)
        .write(true)
        .append(append)
        .truncate(!append)
        .open(path)
        .with_context(place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirections_write_as_a_shell_does() {
        let directory = tempfile::tempdir().unwrap();
        let file = |name: &str, append: bool| {
            Some(RedirectFile { path: directory.path().join(name), append })
        };
        // Before; where the streams go; what is in `deep/a` and `b` after.
        for (before, stdout, stderr, a, b) in [
            ("old\n", file("deep/a", true), None, "old\nout\n", ""),
            ("old\n", file("deep/a", false), None, "out\n", ""),
            ("old\n", file("deep/a", true), file("deep/a", true), "old\nout\nerr\n", ""),
            ("old\n", file("deep/a", false), file("b", false), "out\n", "err\n"),
            ("old\n", None, file("b", true), "old\n", "err\n"),
            ("old\n", None, None, "old\n", ""),
        ] {
            let _ = fs::remove_dir_all(directory.path().join("deep"));
            let _ = fs::remove_file(directory.path().join("b"));
            fs::create_dir_all(directory.path().join("deep")).unwrap();
            fs::write(directory.path().join("deep/a"), before).unwrap();
            let redirect = Redirect { stdout, stderr };
            let mut tee = Tee::open(&redirect).unwrap();
            tee.write(OUT, b"out\n");
            tee.write(ERR, b"err\n");
            let read =
                |name: &str| fs::read_to_string(directory.path().join(name)).unwrap_or_default();
            assert_eq!((read("deep/a").as_str(), read("b").as_str()), (a, b), "{redirect:?}");
        }
        let impossible = Redirect { stdout: file("deep", true), stderr: None };
        let error = format!("{:#}", Tee::open(&impossible).unwrap_err());
        assert!(error.contains("for the output"), "{error}");
    }
}
