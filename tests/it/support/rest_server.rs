//! A server of restic's REST protocol, version 2, that keeps files in memory and fails on demand.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::wait_for;

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// Answers with this status.
    Status(u16),
    /// Hangs up in the middle of what is sent to it.
    Cut,
}

#[derive(Default)]
struct State {
    files: BTreeMap<String, Vec<u8>>,
    /// For requests that begin so: what goes wrong, and how often yet.
    trouble: Option<(String, Trouble, usize)>,
    /// `Authorization` that is asked for.
    wanted: Option<String>,
    asked: Vec<String>,
    is_dead: bool,
}

/// A running server; it ends with the test.
pub(crate) struct RestServer {
    port: u16,
    state: Arc<Mutex<State>>,
    /// While it is held, packs that were sent are not taken.
    pub(crate) gate: Arc<Mutex<()>>,
}

impl RestServer {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = Self { port, state: Arc::default(), gate: Arc::default() };
        server.listen(listener);
        server
    }

    fn listen(&self, listener: TcpListener) {
        let (shared, gate) = (Arc::clone(&self.state), Arc::clone(&self.gate));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if shared.lock().unwrap().is_dead {
                    return;
                }
                let (state, gate) = (Arc::clone(&shared), Arc::clone(&gate));
                std::thread::spawn(move || {
                    // A client that went away ends a thread, not the test.
                    let _ = serve(&stream.unwrap(), &state, &gate);
                });
            }
        });
    }

    /// Answers nobody any more, in the middle of what it does; what it has stays.
    pub(crate) fn die(&self) {
        self.state.lock().unwrap().is_dead = true;
        wait_for("the end of the server", Duration::from_mins(1), || {
            TcpStream::connect(("127.0.0.1", self.port)).is_err()
        });
    }

    /// Is there again.
    pub(crate) fn return_whole(&self) {
        self.state.lock().unwrap().is_dead = false;
        self.listen(TcpListener::bind(("127.0.0.1", self.port)).unwrap());
    }

    /// URL of a repository, with a user where there is one.
    pub(crate) fn url(&self, user: &str) -> String {
        let at = if user.is_empty() { "" } else { "@" };
        format!("http://{user}{at}127.0.0.1:{}/repo/", self.port)
    }

    /// Lets the next `times` requests that begin with `start`, e.g. `POST /repo/data`, fail.
    pub(crate) fn fails(&self, start: &str, trouble: Trouble, times: usize) {
        self.state.lock().unwrap().trouble = Some((start.to_owned(), trouble, times));
    }

    /// Asks for a user and password, as base64.
    pub(crate) fn wants(&self, basic: &str) {
        self.state.lock().unwrap().wanted = Some(format!("Basic {basic}"));
    }

    /// How many requests began so.
    pub(crate) fn asked(&self, start: &str) -> usize {
        self.state.lock().unwrap().asked.iter().filter(|it| it.starts_with(start)).count()
    }

    /// How many files are below a directory.
    pub(crate) fn files(&self, directory: &str) -> usize {
        let start = format!("/repo/{directory}/");
        self.state.lock().unwrap().files.keys().filter(|name| name.starts_with(&start)).count()
    }
}

fn serve(stream: &TcpStream, state: &Mutex<State>, gate: &Mutex<()>) -> std::io::Result<()> {
    let mut input = BufReader::new(stream);
    let mut first = String::new();
    input.read_line(&mut first)?;
    let mut words = first.split_whitespace();
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        input.read_line(&mut line)?;
        match line.trim_end().split_once(": ") {
            Some((name, value)) => headers.insert(name.to_ascii_lowercase(), value.to_owned()),
            None => break,
        };
    }
    let length = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
    let trouble = {
        let mut state = state.lock().unwrap();
        let asked = format!("{method} {target}");
        let trouble = match &mut state.trouble {
            Some((start, trouble, left)) if asked.starts_with(start.as_str()) && *left > 0 => {
                *left -= 1;
                Some(*trouble)
            }
            _ => None,
        };
        state.asked.push(asked);
        trouble
    };
    if trouble == Some(Trouble::Cut) {
        let mut half = vec![0; length / 2];
        input.read_exact(&mut half)?;
        return stream.shutdown(std::net::Shutdown::Both);
    }
    let mut body = vec![0; length];
    input.read_exact(&mut body)?;
    if let Some(Trouble::Status(status)) = trouble {
        return answer(stream, status, &[], b"trouble");
    }
    if method == "POST" && target.contains("/data/") {
        drop(gate.lock());
    }
    let mut state = state.lock().unwrap();
    if state.is_dead {
        return stream.shutdown(std::net::Shutdown::Both);
    }
    if state.wanted.is_some() && state.wanted.as_ref() != headers.get("authorization") {
        return answer(stream, 401, &[], b"who are you?");
    }
    let path = target.split('?').next().unwrap_or_default().to_owned();
    match method {
        "POST" if target.ends_with("?create=true") => answer(stream, 200, &[], b""),
        // As restic's own server.
        "POST" if path.ends_with("/config") && state.files.contains_key(&path) => {
            answer(stream, 403, &[], b"there is one")
        }
        "POST" => {
            state.files.insert(path, body);
            answer(stream, 200, &[], b"")
        }
        "DELETE" => {
            let known = state.files.remove(&path).is_some();
            answer(stream, if known { 200 } else { 404 }, &[], b"")
        }
        "GET" if path.ends_with('/') => {
            let mut list = String::new();
            for (name, content) in state.files.iter().filter(|(name, _)| name.starts_with(&path)) {
                let name = &name[path.len()..];
                let comma = if list.is_empty() { "" } else { "," };
                write!(list, r#"{comma}{{"name":"{name}","size":{}}}"#, content.len()).unwrap();
            }
            let kind = "Content-Type: application/vnd.x.restic.rest.v2";
            answer(stream, 200, &[kind], format!("[{list}]").as_bytes())
        }
        _ => match state.files.get(&path) {
            None => answer(stream, 404, &[], b""),
            Some(content) if method == "HEAD" => {
                let head = format!(
                    "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
                    content.len()
                );
                (&*stream).write_all(head.as_bytes())
            }
            Some(content) => match headers.get("range") {
                None => answer(stream, 200, &[], content),
                Some(range) => {
                    let (from, to) = range.strip_prefix("bytes=").unwrap().split_once('-').unwrap();
                    let from: usize = from.parse().unwrap();
                    let to = to.parse().map_or(content.len(), |to: usize| to + 1);
                    let part = &content[from..to.min(content.len())];
                    let shown = format!(
                        "Content-Range: bytes {from}-{}/{}",
                        from + part.len() - 1,
                        content.len()
                    );
                    answer(stream, 206, &[&shown], part)
                }
            },
        },
    }
}

fn answer(
    mut stream: &TcpStream,
    status: u16,
    headers: &[&str],
    body: &[u8],
) -> std::io::Result<()> {
    let mut head =
        format!("HTTP/1.1 {status} X\r\nConnection: close\r\nContent-Length: {}\r\n", body.len());
    for header in headers {
        write!(head, "{header}\r\n").unwrap();
    }
    stream.write_all(format!("{head}\r\n").as_bytes())?;
    stream.write_all(body)
}
