//! The program `restic` as a child of the worker: called, listened to, and ended with all that it holds.
//!
//! It is told secrets in its environment only. When the worker is told to stop it is interrupted, gives its
//! lock back and ends; if it does not, it is killed and its lock removed.

use std::ffi::OsString;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::said::{self, Said};
use crate::backup::pause;
use crate::backup::protocol::{Access, Failure};
use crate::backup::talk::{self, Failed, Outcome, Talk, locked};
use crate::job::work::Location;

/// Its name, looked for in `PATH`.
const NAME: &str = "restic";
/// How long it may take to end when it is interrupted, and to remove a lock.
const PATIENCE: Duration = Duration::from_secs(8);
/// Between two looks at whether it has ended.
const BETWEEN_LOOKS: Duration = Duration::from_millis(10);
/// Lines of its errors that are kept.
const LINES_KEPT: usize = 200;
/// How often it may try to reach a repository before it is taken for unreachable.
const TRIES: u32 = 4;
/// How many of them are said of one failure.
const LINES_SAID: usize = 3;

/// What lines of ssh begin with, and how many of its last ones are said.
const OF_SSH: &str = "subprocess ssh: ";
const LINES_OF_SSH: usize = 2;

/// The program, and how it is called for one repository.
#[derive(Debug)]
pub(super) struct Program {
    running: Arc<Running>,
    talk: Arc<Talk>,
    certificates: Option<PathBuf>,
    /// For people, without secrets.
    place: String,
    secrets: Vec<String>,
}

/// What it said, and how it ended.
#[derive(Debug)]
pub(super) struct Called {
    code: Option<i32>,
    /// All of its output, where nobody heard it line by line.
    pub(super) out: String,
    /// The last lines of its errors.
    pub(super) errors: Vec<String>,
    place: String,
    secrets: Vec<String>,
}

/// The one child at a time.
struct Running {
    environment: Vec<(OsString, OsString)>,
    state: Mutex<State>,
    /// What is removed at the end.
    litter: Mutex<Vec<PathBuf>>,
}

enum State {
    Idle,
    Runs(Child),
    Over,
}

/// It may hold secrets.
impl std::fmt::Debug for Running {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Running").finish_non_exhaustive()
    }
}

/// One line, of its output or of its errors.
enum Line {
    Out(String),
    Error(String),
}

impl Program {
    /// Prepares it; nothing is called yet.
    ///
    /// # Errors
    ///
    /// When a certificate cannot be written for it.
    pub(super) fn new(access: &Access, talk: &Arc<Talk>) -> Outcome<Self> {
        let temporary = std::env::temp_dir();
        // An image made from scratch has none.
        let _ = fs::create_dir_all(&temporary);
        let certificates = access.certificates.as_ref().map(|text| {
            let path = temporary.join(format!("roadstead-ca-{}.pem", std::process::id()));
            let failed = |error| {
                let what =
                    format!("certificates cannot be written to `{}`: {error}", path.display());
                Failed::new(Failure::Other, what)
            };
            fs::write(&path, text).map_err(failed)?;
            Ok(path)
        });
        let certificates = certificates.transpose()?;
        let mut environment = vec![
            ("RESTIC_REPOSITORY".to_owned(), address(access)),
            ("RESTIC_PASSWORD".to_owned(), access.password.clone()),
            ("RESTIC_PROGRESS_FPS".to_owned(), "2".to_owned()),
        ];
        environment.extend(access.credentials.iter().cloned());
        let running = Arc::new(Running {
            environment: environment.into_iter().map(|(a, b)| (a.into(), b.into())).collect(),
            state: Mutex::new(State::Idle),
            litter: Mutex::new(certificates.iter().cloned().collect()),
        });
        talk.hold(Arc::<Running>::clone(&running));
        let credentials = access.credentials.iter().map(|(_, value)| value.clone());
        let mut secrets: Vec<String> = credentials.chain([access.password.clone()]).collect();
        if let Location::Rest(url) = &access.location {
            let user = url.split_once("://").and_then(|(_, rest)| rest.split_once('@'));
            secrets.extend(user.and_then(|(user, _)| Some(user.split_once(':')?.1.to_owned())));
        }
        secrets.retain(|secret| secret.len() >= 4);
        let place = access.location.name();
        Ok(Self { running, talk: Arc::clone(talk), certificates, place, secrets })
    }

    /// Removes something at the end of the worker, whatever that is.
    pub(super) fn litter(&self, path: &Path) {
        locked(&self.running.litter).push(path.to_owned());
    }

    /// Calls it, and collects what it says.
    ///
    /// # Errors
    ///
    /// When it cannot be started.
    pub(super) fn call(&self, arguments: &[&str]) -> Outcome<Called> {
        let mut out = String::new();
        let called = self.run(arguments, None, &mut |line| {
            if let Line::Out(line) = line {
                out.push_str(line);
                out.push('\n');
            }
        })?;
        Ok(Called { out, ..called })
    }

    /// Calls it, gives it an input to read, and hears each line that it says, in whatever way.
    ///
    /// # Errors
    ///
    /// When it cannot be started.
    pub(super) fn follow(
        &self,
        arguments: &[&str],
        input: Option<Input>,
        heard: &mut dyn FnMut(&str),
    ) -> Outcome<Called> {
        self.run(arguments, input, &mut |line| match line {
            Line::Out(line) | Line::Error(line) => heard(line),
        })
    }

    fn run(
        &self,
        arguments: &[&str],
        input: Option<Input>,
        heard: &mut dyn FnMut(&Line),
    ) -> Outcome<Called> {
        let mut command = self.running.command();
        if let Some(path) = &self.certificates {
            command.arg("--cacert").arg(path);
        }
        let (stdin, kept) = match input {
            Some(input) => (Stdio::from(input.read), Some(input.kept)),
            None => (Stdio::null(), None),
        };
        command.args(arguments).stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped());
        let (out, error) = self.running.start(&mut command)?;
        // These are its own now.
        drop((command, kept));
        let (sender, lines) = channel();
        read_lines(out, sender.clone(), Line::Out);
        read_lines(error, sender, Line::Error);
        let mut errors: Vec<String> = Vec::new();
        for line in lines {
            heard(&line);
            let Line::Error(line) = line else { continue };
            match said::hear(&line) {
                Some(Said::Over(text)) => errors.extend(text.lines().map(str::to_owned)),
                Some(_) => {}
                None if line.trim().is_empty() => {}
                None => errors.push(line),
            }
            if errors.len() > LINES_KEPT {
                errors.remove(0);
            }
        }
        let status = self.running.ended()?;
        let (place, secrets) = (self.place.clone(), self.secrets.clone());
        Ok(Called { code: status.code(), out: String::new(), errors, place, secrets })
    }

    /// Calls it, and gives up when it goes on trying to reach the repository.
    ///
    /// # Errors
    ///
    /// When it cannot be started.
    pub(super) fn probe(&self, arguments: &[&str]) -> Outcome<Called> {
        let mut tried = 0;
        let called = self.follow(arguments, None, &mut |line| {
            tried += u32::from(line.contains("returned error, retrying"));
            if tried == TRIES {
                self.running.interrupt();
            }
        })?;
        let code = called.code.filter(|_| tried < TRIES);
        Ok(Called { code, ..called })
    }

    /// Says how far it is.
    pub(super) fn status(&self, what: &str, said: &Said) {
        if let Said::Status { done, all } = said {
            self.talk.reached(what, *done, *all);
        }
    }
}

/// What restic reads.
pub(super) struct Input {
    read: OwnedFd,
    /// Our end, which it has, too: so our death is not the end of a dump.
    kept: OwnedFd,
}

impl Input {
    /// With our end, whose [`UnixStream::shutdown`] alone ends it.
    ///
    /// # Errors
    ///
    /// When too many files are open.
    pub(super) fn new() -> std::io::Result<(UnixStream, Self)> {
        let (ours, theirs) = UnixStream::pair()?;
        let kept: OwnedFd = ours.try_clone()?.into();
        rustix::io::fcntl_setfd(&kept, rustix::io::FdFlags::empty())?;
        Ok((ours, Self { read: theirs.into(), kept }))
    }
}

impl Running {
    #[expect(clippy::disallowed_methods, reason = "it runs in a container of its own image")]
    fn command(&self) -> Command {
        let mut command = Command::new(NAME);
        command.arg("--no-cache").envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Starts a child; when all ends it never comes back.
    fn start(
        &self,
        command: &mut Command,
    ) -> Outcome<(impl Read + Send + use<>, impl Read + Send + use<>)> {
        let mut state = locked(&self.state);
        if matches!(*state, State::Over) {
            drop(state);
            rest();
        }
        let mut child = command.spawn().map_err(|error| {
            let what = format!(
                "`{NAME}` cannot be started ({error}): set `image` to one that has it in its `PATH`"
            );
            Failed::new(Failure::Other, what)
        })?;
        let pipes = child.stdout.take().zip(child.stderr.take());
        *state = State::Runs(child);
        pipes.ok_or_else(|| Failed::new(Failure::Other, "restic has no output"))
    }

    fn interrupt(&self) {
        if let State::Runs(child) = &*locked(&self.state) {
            interrupt(child);
        }
    }

    /// Waits for the end of the child, which closed its output.
    fn ended(&self) -> Outcome<ExitStatus> {
        loop {
            let mut state = locked(&self.state);
            match &mut *state {
                State::Runs(child) => match child.try_wait() {
                    Ok(Some(status)) => {
                        *state = State::Idle;
                        return Ok(status);
                    }
                    Ok(None) => {}
                    Err(error) => {
                        let what = format!("how restic ended cannot be seen: {error}");
                        return Err(Failed::new(Failure::Other, what));
                    }
                },
                State::Idle | State::Over => {
                    drop(state);
                    rest();
                }
            }
            drop(state);
            pause(BETWEEN_LOOKS);
        }
    }
}

impl talk::Leave for Running {
    fn leave(&self) {
        let state = std::mem::replace(&mut *locked(&self.state), State::Over);
        if let State::Runs(mut child) = state {
            interrupt(&child);
            if !ends_in_time(&mut child) {
                let _ = child.kill();
                let _ = child.wait();
                // Of a process that is gone: that is known here only.
                let mut unlock = self.command();
                unlock.arg("unlock").stdin(Stdio::null());
                unlock.stdout(Stdio::null()).stderr(Stdio::null());
                if let Ok(mut child) = unlock.spawn()
                    && !ends_in_time(&mut child)
                {
                    let _ = child.kill();
                }
            }
        }
        for path in locked(&self.litter).drain(..) {
            let _ = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        }
    }
}

fn interrupt(child: &Child) {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    if let Some(pid) = pid {
        let _ = kill_process(pid, Signal::INT);
    }
}

fn ends_in_time(child: &mut Child) -> bool {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if !matches!(child.try_wait(), Ok(None)) {
            return true;
        }
        if Instant::now() > deadline {
            return false;
        }
        pause(BETWEEN_LOOKS);
    }
}

/// Waits for the end of the process.
fn rest() -> ! {
    loop {
        std::thread::park();
    }
}

fn read_lines(
    from: impl Read + Send + 'static,
    to: Sender<Line>,
    kind: impl Fn(String) -> Line + Send + 'static,
) {
    std::thread::spawn(move || {
        let mut from = BufReader::new(from);
        let mut line = Vec::new();
        while from.read_until(b'\n', &mut line).is_ok_and(|count| count > 0) {
            let text = String::from_utf8_lossy(&line).trim_end_matches(['\n', '\r']).to_owned();
            if to.send(kind(text)).is_err() {
                return;
            }
            line.clear();
        }
    });
}

/// The repository as restic writes it. Before 0.16 it takes a user of its REST protocol there only.
fn address(access: &Access) -> String {
    match &access.location {
        Location::Directory(path) => format!("local:{}", path.display()),
        Location::Rest(url) => {
            let of = |wanted: &str| access.credentials.iter().find(|(name, _)| name == wanted);
            let user = of("RESTIC_REST_USERNAME").filter(|_| !url.contains('@'));
            match (user, url.split_once("://")) {
                (Some((_, user)), Some((scheme, rest))) => {
                    let password = of("RESTIC_REST_PASSWORD").map_or("", |(_, it)| it.as_str());
                    format!("rest:{scheme}://{}:{}@{rest}", in_url(user), in_url(password))
                }
                _ => format!("rest:{url}"),
            }
        }
        Location::S3 { .. } | Location::Other(_) => access.location.name(),
    }
}

fn in_url(text: &str) -> String {
    let one = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => {
            char::from(byte).to_string()
        }
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(one).collect()
}

impl Called {
    /// What it said, when it did what was asked.
    ///
    /// # Errors
    ///
    /// When it did not.
    pub(super) fn good(self) -> Outcome<Self> {
        if self.code == Some(0) { Ok(self) } else { Err(self.failed()) }
    }

    /// As [`Self::good`], where something could not be read and the rest is stored; and whether that is so.
    ///
    /// # Errors
    ///
    /// When it did not.
    pub(super) fn good_in_part(self) -> Outcome<bool> {
        if self.code == Some(3) { Ok(true) } else { self.good().map(|_| false) }
    }

    /// What a check found.
    pub(super) fn findings(&self) -> Vec<String> {
        let is_finding = |line: &&String| {
            !line.starts_with("Fatal: repository contains errors") && !line.starts_with("warning:")
        };
        self.errors.iter().filter(is_finding).map(|line| self.plain(line)).collect()
    }

    /// Why it did not do it.
    pub(super) fn failed(&self) -> Failed {
        let place = &self.place;
        let says_why =
            |line: &String| line.starts_with("Fatal:") || line.contains("already locked");
        let fatal = self.errors.iter().position(says_why);
        let first = fatal.unwrap_or_else(|| self.errors.len().saturating_sub(LINES_SAID));
        // Why there is no way to a host is known to ssh alone.
        let of_ssh = self.errors[..first].iter().filter_map(|line| line.strip_prefix(OF_SSH));
        let of_ssh: Vec<&str> = of_ssh.collect();
        let of_ssh = of_ssh.iter().skip(of_ssh.len().saturating_sub(LINES_OF_SSH)).copied();
        let last = self.errors[first..].iter().map(String::as_str).take(LINES_SAID);
        let said: Vec<String> = of_ssh.chain(last).map(|line| self.plain(line)).collect();
        let mut what = said.join("; ");
        if what.is_empty() {
            let code =
                self.code.map_or_else(|| "by a signal".to_owned(), |it| format!("with {it}"));
            what = format!("it ended {code} and said nothing");
        }
        let class = said::class(self.code, &self.errors.join("\n"));
        let message = match class {
            Failure::NoRepository => format!(
                "there is no repository in {place}: correct where it is, or set `init: true` to make one"
            ),
            Failure::WrongPassword => {
                format!("the password does not open {place}: correct it; nothing was changed")
            }
            Failure::Locked => format!(
                "{place} is locked: {what}; wait for the end of that work; if it is not there any more, \
                 run `roadstead backup unlock`"
            ),
            Failure::Unreachable => {
                // What ssh says of it restic may pass on or not: it depends on which ends first.
                let advice = if what.contains("sftp session") {
                    "; ssh does not get in: see whether `ssh_dir` has the host in its `known_hosts`, and a key \
                     that is let in there"
                } else {
                    ""
                };
                format!(
                    "{place} cannot be reached: {what}{advice}; it is tried again with the next run"
                )
            }
            Failure::Full => format!(
                "there is no room left ({place}: {what}): make room, or forget snapshots and prune; all \
                 that was there before is whole"
            ),
            Failure::Damaged => format!("{place} seems to be damaged: {what}; run a check of it"),
            _ => format!("{place}: restic: {what}"),
        };
        Failed::new(class, message)
    }

    /// A line of it, without its first word and without secrets.
    fn plain(&self, line: &str) -> String {
        let line = line.trim_start_matches("Fatal: ").trim().to_owned();
        self.secrets.iter().fold(line, |line, secret| line.replace(secret, "***"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backup::protocol::Tool;

    fn access(location: Location, credentials: &[(&str, &str)]) -> Access {
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Access {
            tool: Tool::Restic,
            location,
            password: "secret".to_owned(),
            init: false,
            credentials: credentials.iter().map(own).collect(),
            certificates: None,
        }
    }

    #[test]
    fn an_address_is_written_as_restic_reads_it() {
        let user = [("RESTIC_REST_USERNAME", "ada"), ("RESTIC_REST_PASSWORD", "p@w/d")];
        let rest = |url: &str| Location::Rest(url.to_owned());
        let bucket = Location::S3 {
            endpoint: "https://h:9000".to_owned(),
            bucket: "b".to_owned(),
            prefix: "c/d".to_owned(),
        };
        for (location, credentials, expected) in [
            (Location::Directory("/srv/a:b".into()), &user[..0], "local:/srv/a:b"),
            (rest("https://h/x/"), &user[..0], "rest:https://h/x/"),
            (rest("https://h/x/"), &user[..], "rest:https://ada:p%40w%2Fd@h/x/"),
            (rest("https://eve:1@h/x/"), &user[..], "rest:https://eve:1@h/x/"),
            (bucket, &user[..0], "s3:https://h:9000/b/c/d"),
            (Location::Other("sftp:a@h:/x".to_owned()), &user[..0], "sftp:a@h:/x"),
        ] {
            assert_eq!(address(&access(location, credentials)), expected);
        }
    }

    #[test]
    fn a_failure_says_what_restic_says_last_and_no_secret() {
        let called = |code, errors: &[&str]| Called {
            code: Some(code),
            out: String::new(),
            errors: errors.iter().map(|&line| line.to_owned()).collect(),
            place: "/srv".to_owned(),
            secrets: vec!["hush".to_owned()],
        };
        let failed = called(1, &["a", "Fatal: no hush here", "more"]).failed();
        assert_eq!(failed.message, "/srv: restic: no *** here; more");
        let ssh = "subprocess ssh: ";
        let lines =
            ["@@@", "No key is known.", "Verification failed."].map(|it| format!("{ssh}{it}"));
        let lines = [&lines[0], &lines[1], &lines[2], "Fatal: unable to open x: EOF"];
        let failed = called(1, &lines).failed();
        let expected = "/srv cannot be reached: No key is known.; Verification failed.; unable to open x: EOF; \
                        it is tried again with the next run";
        assert_eq!(failed.message, expected);
        let failed = called(1, &["Fatal: unable to open x: unable to start the sftp session: EOF"]);
        let said = failed.failed().message;
        assert!(
            said.contains("session: EOF; ssh does not get in") && said.contains("known_hosts"),
            "{said}"
        );
        let failed = called(1, &[]).failed();
        assert_eq!(failed.message, "/srv: restic: it ended with 1 and said nothing");
        assert!(called(3, &[]).good_in_part().unwrap());
        assert!(!called(0, &[]).good_in_part().unwrap());
        assert!(called(1, &[]).good_in_part().is_err());
    }
}
