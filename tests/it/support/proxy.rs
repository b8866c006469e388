//! A socket in front of the Engine's that writes down each request.
//!
//! It passes every byte on as it comes and reads along: request lines, headers, and enough of the
//! bodies to know where the next request of a kept connection starts. After `Upgrade:` (attach,
//! exec, build sessions) the rest of a connection is not HTTP any more and only passes.

use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use tempfile::TempDir;

/// Method and path (with query, without the API version) of one request.
pub(crate) type Request = (String, String);

/// A listening proxy. Its threads end with the connections; the listener ends with the process.
#[derive(Debug)]
pub(crate) struct CountingProxy {
    directory: TempDir,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl CountingProxy {
    /// Starts a proxy in front of `engine`, the path of a socket.
    pub(crate) fn new(engine: &Path) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(directory.path().join("docker.sock")).unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (engine, seen) = (engine.to_path_buf(), Arc::clone(&requests));
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (engine, seen) = (engine.clone(), Arc::clone(&seen));
                std::thread::spawn(move || serve(&client, &engine, &seen));
            }
        });
        Self { directory, requests }
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
        self.requests.lock().unwrap().clone()
    }

    /// Returns the requests so far and forgets them.
    pub(crate) fn take(&self) -> Vec<Request> {
        std::mem::take(&mut *self.requests.lock().unwrap())
    }

    /// Returns those requests so far that may change something.
    pub(crate) fn writes(&self) -> Vec<Request> {
        let mut requests = self.requests();
        requests.retain(|(method, _)| method != "GET" && method != "HEAD");
        requests
    }
}

/// Connects one client to the engine and copies both ways until both have ended.
fn serve(client: &UnixStream, engine: &Path, seen: &Mutex<Vec<Request>>) {
    let Ok(server) = UnixStream::connect(engine) else {
        let _ = client.shutdown(Shutdown::Both);
        return;
    };
    let (mut from, mut to) = (server.try_clone().unwrap(), client.try_clone().unwrap());
    let back = std::thread::spawn(move || {
        let _ = std::io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Write);
    });
    let mut forth = Forth { from: BufReader::new(client), to: &server };
    // An error is the end of a connection, which both sides see for themselves.
    while let Ok(true) = forth.pass_request(seen) {}
    let _ = server.shutdown(Shutdown::Write);
    let _ = back.join();
}

/// The way from the client to the engine.
struct Forth<'a> {
    from: BufReader<&'a UnixStream>,
    to: &'a UnixStream,
}

impl Forth<'_> {
    /// Passes one request; returns whether another may follow.
    fn pass_request(&mut self, seen: &Mutex<Vec<Request>>) -> std::io::Result<bool> {
        let Some(line) = self.read_line()? else { return Ok(false) };
        let mut words = line.split(' ');
        if let (Some(method), Some(path)) = (words.next(), words.next()) {
            seen.lock().unwrap().push((method.to_owned(), without_version(path).to_owned()));
        }
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
        } else {
            self.pass_bytes(length)?;
        }
        Ok(true)
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
