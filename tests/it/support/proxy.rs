//! A socket in front of the Engine's that writes down each request.
//!
//! It passes every byte on as it comes and reads along: request lines, headers, and enough of the
//! bodies to know where the next request of a kept connection starts. After `Upgrade:` (attach,
//! exec, build sessions) the rest of a connection is not HTTP any more and only passes.

use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use tempfile::TempDir;

/// Method and path (with query, without the API version) of one request.
pub(crate) type Request = (String, String);

/// A listening proxy. Its threads end with the connections; the listener ends with the process.
#[derive(Debug)]
pub(crate) struct CountingProxy {
    directory: TempDir,
    seen: Arc<Seen>,
}

/// A request with its JSON.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Body {
    pub(crate) path: String,
    pub(crate) json: serde_json::Value,
}

/// Bytes of the largest body that is kept: create calls are far below, archives far above.
const LARGEST_BODY: u64 = 1024 * 1024;

/// What the connections share.
#[derive(Debug, Default)]
struct Seen {
    requests: Mutex<Vec<Request>>,
    bodies: Mutex<Vec<Body>>,
    traps: Mutex<Vec<Arc<Trap>>>,
}

/// Which side of a caught request waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hold {
    /// The request: the Engine has not heard of it.
    Request,
    /// The answer: the Engine has done it, and the client does not know.
    Answer,
}

/// Holds the first request of a kind until it is let go. Dropped, a held request is never passed on.
#[derive(Debug)]
pub(crate) struct Catch(Arc<Trap>);

#[derive(Debug)]
struct Trap {
    method: String,
    path_part: String,
    hold: Hold,
    state: Mutex<TrapState>,
    changed: Condvar,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TrapState {
    Armed,
    /// It matched; for [`Hold::Answer`] the answer is still on its way.
    Sprung,
    Holding,
    Released,
    Abandoned,
}

impl Catch {
    /// Waits until a request of this kind is held.
    #[track_caller]
    pub(crate) fn wait(&self, timeout: Duration) {
        let what = format!("{} {}", self.0.method, self.0.path_part);
        super::wait_for(&what, timeout, || *self.0.state.lock().unwrap() == TrapState::Holding);
    }

    /// Lets the held request go on.
    pub(crate) fn release(&self) {
        self.0.set(TrapState::Released);
    }
}

impl Drop for Catch {
    fn drop(&mut self) {
        self.0.set(TrapState::Abandoned);
    }
}

impl Trap {
    fn set(&self, state: TrapState) {
        let mut current = self.state.lock().unwrap();
        if *current != TrapState::Released {
            *current = state;
        }
        self.changed.notify_all();
    }

    /// Takes this request if it is the first of its kind.
    fn springs(&self, method: &str, path: &str) -> bool {
        let mut state = self.state.lock().unwrap();
        let matches = *state == TrapState::Armed
            && method == self.method
            && path.contains(self.path_part.as_str());
        if matches {
            *state = TrapState::Sprung;
        }
        matches
    }

    /// Waits until it is let go; false where it never is.
    fn hold(&self) -> bool {
        self.set(TrapState::Holding);
        let held = self.state.lock().unwrap();
        let ended = self.changed.wait_while(held, |state| *state == TrapState::Holding).unwrap();
        *ended == TrapState::Released
    }
}

impl CountingProxy {
    /// Starts a proxy in front of `engine`, the path of a socket.
    pub(crate) fn new(engine: &Path) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(directory.path().join("docker.sock")).unwrap();
        let seen = Arc::<Seen>::default();
        let (engine, shared) = (engine.to_path_buf(), Arc::clone(&seen));
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (engine, seen) = (engine.clone(), Arc::clone(&shared));
                std::thread::spawn(move || serve(&client, &engine, &seen));
            }
        });
        Self { directory, seen }
    }

    /// Holds the first request from now on with this method and a path that contains `path_part`.
    pub(crate) fn catch(&self, method: &str, path_part: &str, hold: Hold) -> Catch {
        let trap = Arc::new(Trap {
            method: method.to_owned(),
            path_part: path_part.to_owned(),
            hold,
            state: Mutex::new(TrapState::Armed),
            changed: Condvar::new(),
        });
        self.seen.traps.lock().unwrap().push(Arc::clone(&trap));
        Catch(trap)
    }

    /// The value of `DOCKER_HOST` that leads through the proxy.
    pub(crate) fn host(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    /// Path of the proxy's own socket.
    pub(crate) fn socket(&self) -> PathBuf {
        self.directory.path().join("docker.sock")
    }

    /// Returns the requests so far, in the order of their arrival.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.seen.requests.lock().unwrap().clone()
    }

    /// Returns the requests so far and forgets them.
    pub(crate) fn take(&self) -> Vec<Request> {
        std::mem::take(&mut *self.seen.requests.lock().unwrap())
    }

    /// Returns the JSON bodies of the requests so far and forgets them.
    pub(crate) fn take_bodies(&self) -> Vec<Body> {
        std::mem::take(&mut *self.seen.bodies.lock().unwrap())
    }

    /// Returns those requests so far that may change something.
    pub(crate) fn writes(&self) -> Vec<Request> {
        let mut requests = self.requests();
        requests.retain(|(method, _)| method != "GET" && method != "HEAD");
        requests
    }
}

/// Connects one client to the engine and copies both ways until both have ended.
fn serve(client: &UnixStream, engine: &Path, seen: &Seen) {
    let Ok(server) = UnixStream::connect(engine) else {
        let _ = client.shutdown(Shutdown::Both);
        return;
    };
    let held_answer = Arc::new(Mutex::new(None));
    let (from, to) = (server.try_clone().unwrap(), client.try_clone().unwrap());
    let trap = Arc::clone(&held_answer);
    let back = std::thread::spawn(move || pass_answers(from, to, &trap));
    let mut forth = Forth { from: BufReader::new(client), to: &server, held_answer };
    // An error is the end of a connection, which both sides see for themselves.
    while let Ok(true) = forth.pass_request(seen) {}
    let _ = server.shutdown(Shutdown::Write);
    let _ = back.join();
}

/// Copies what the engine says, and holds the answer to a caught request.
fn pass_answers(mut from: UnixStream, mut to: UnixStream, held: &Mutex<Option<Arc<Trap>>>) {
    let mut buffer = [0; 16 * 1024];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        let trap = held.lock().unwrap().take();
        let passes = trap.is_none_or(|trap| trap.hold());
        if !passes || to.write_all(&buffer[..length]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}

/// The way from the client to the engine.
struct Forth<'a> {
    from: BufReader<&'a UnixStream>,
    to: &'a UnixStream,
    held_answer: Arc<Mutex<Option<Arc<Trap>>>>,
}

impl Forth<'_> {
    /// Writes a request down; false where it was caught and must never arrive.
    fn note(&self, seen: &Seen, method: &str, path: &str) -> bool {
        seen.requests.lock().unwrap().push((method.to_owned(), path.to_owned()));
        let traps = seen.traps.lock().unwrap().clone();
        match traps.into_iter().find(|trap| trap.springs(method, path)) {
            Some(trap) if trap.hold == Hold::Request => trap.hold(),
            Some(trap) => {
                *self.held_answer.lock().unwrap() = Some(trap);
                true
            }
            None => true,
        }
    }

    /// Passes one request; returns whether another may follow.
    fn pass_request(&mut self, seen: &Seen) -> std::io::Result<bool> {
        let Some(line) = self.read_line()? else { return Ok(false) };
        let mut words = line.split(' ');
        if let (Some(method), Some(path)) = (words.next(), words.next())
            && !self.note(seen, method, without_version(path))
        {
            return Ok(false);
        }
        let path = line.split(' ').nth(1).map(without_version).unwrap_or_default().to_owned();
        let mut head = line.clone();
        let (mut length, mut chunked, mut upgrade) = (0, false, false);
        loop {
            let Some(header) = self.read_line()? else { return Ok(false) };
            head.push_str(&header);
            let Some((name, value)) = header.split_once(':') else { break };
            match (name.to_ascii_lowercase().as_str(), value.trim()) {
                ("content-length", value) => length = value.parse().unwrap_or(0),
                ("transfer-encoding", value) => chunked = value.eq_ignore_ascii_case("chunked"),
                ("upgrade", _) => upgrade = true,
                _ => {}
            }
        }
        self.to.write_all(head.as_bytes())?;
        if upgrade {
            std::io::copy(&mut self.from, &mut self.to)?;
            return Ok(false);
        }
        if chunked {
            self.pass_chunks()?;
        } else if (1..=LARGEST_BODY).contains(&length) {
            self.pass_body(seen, path, length)?;
        } else {
            self.pass_bytes(length)?;
        }
        Ok(true)
    }

    /// Passes a body that is small enough to be kept.
    fn pass_body(&mut self, seen: &Seen, path: String, length: u64) -> std::io::Result<()> {
        let mut body = Vec::new();
        let passed = (&mut self.from).take(length).read_to_end(&mut body)? as u64;
        if let Ok(json) = serde_json::from_slice(&body) {
            seen.bodies.lock().unwrap().push(Body { path, json });
        }
        self.to.write_all(&body)?;
        if passed == length { Ok(()) } else { Err(std::io::ErrorKind::UnexpectedEof.into()) }
    }

    fn pass_chunks(&mut self) -> std::io::Result<()> {
        loop {
            let Some(line) = self.read_line()? else { return Ok(()) };
            self.to.write_all(line.as_bytes())?;
            let size = line.split(';').next().unwrap_or_default().trim();
            match u64::from_str_radix(size, 16).unwrap_or(0) {
                0 => break,
                size => self.pass_bytes(size + 2)?,
            }
        }
        // Trailers, if any, then the empty line.
        while let Some(line) = self.read_line()? {
            self.to.write_all(line.as_bytes())?;
            if line.trim().is_empty() {
                break;
            }
        }
        Ok(())
    }

    /// Passes `length` bytes as they arrive: a body may be slow and must not be held back.
    fn pass_bytes(&mut self, length: u64) -> std::io::Result<()> {
        let passed = std::io::copy(&mut (&mut self.from).take(length), &mut self.to)?;
        if passed == length { Ok(()) } else { Err(std::io::ErrorKind::UnexpectedEof.into()) }
    }

    fn read_line(&mut self) -> std::io::Result<Option<String>> {
        let mut line = Vec::new();
        let length = self.from.read_until(b'\n', &mut line)?;
        Ok((length > 0).then(|| String::from_utf8_lossy(&line).into_owned()))
    }
}

/// `/v1.41/containers/json` is `/containers/json`.
fn without_version(path: &str) -> &str {
    let Some((version, _)) = path.strip_prefix("/v").and_then(|rest| rest.split_once('/')) else {
        return path;
    };
    let numeric = version.chars().all(|c| c.is_ascii_digit() || c == '.');
    if numeric { &path[2 + version.len()..] } else { path }
}
