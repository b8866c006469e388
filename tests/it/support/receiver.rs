//! A small HTTP server that remembers what it was told: a check, or somebody's webhook.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

/// One request.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    /// Method and path with its query, e.g. `POST /abc/start?rid=...`.
    pub(crate) line: String,
    /// Header lines, names in lower case.
    pub(crate) headers: Vec<String>,
    /// The body.
    pub(crate) body: String,
}

impl Told {
    /// The path without its query.
    pub(crate) fn path(&self) -> &str {
        self.line.split([' ', '?']).nth(1).unwrap()
    }

    /// A value of the query.
    pub(crate) fn query(&self, name: &str) -> Option<&str> {
        let query = self.line.split_once('?')?.1;
        query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
    }
}

/// What somebody is answered.
#[derive(Clone, Debug)]
enum Answer {
    /// The status line and headers.
    Says(String),
    /// Nothing; the connection stays open.
    Hangs,
    /// Nothing, not even read: as if nobody were there, but the port stays ours.
    Away,
}

/// A running receiver. Dropped, its port is closed.
#[derive(Debug)]
pub(crate) struct Receiver {
    port: u16,
    told: Arc<Mutex<Vec<Told>>>,
    answer: Arc<Mutex<Answer>>,
    stopped: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Receiver {
    /// Starts one that answers 200.
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let told: Arc<Mutex<Vec<Told>>> = Arc::default();
        let answer = Arc::new(Mutex::new(Answer::Says("200 OK".to_owned())));
        let stopped: Arc<AtomicBool> = Arc::default();
        let serve = {
            let (told, answer, stopped) =
                (Arc::clone(&told), Arc::clone(&answer), Arc::clone(&stopped));
            move || {
                let mut held = Vec::new();
                for stream in listener.incoming() {
                    if stopped.load(Ordering::SeqCst) {
                        return;
                    }
                    held.extend(stream.ok().and_then(|stream| take(stream, &told, &answer)));
                }
            }
        };
        let thread = Some(std::thread::spawn(serve));
        Self { port, told, answer, stopped, thread }
    }

    /// Its address with a path.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// Answers so from now on: `503 No`, or with headers as `200 OK\r\nName: value`.
    pub(crate) fn answer(&self, answer: &str) {
        *self.answer.lock().unwrap() = Answer::Says(answer.to_owned());
    }

    /// Answers nothing from now on, and keeps connections open.
    pub(crate) fn hang(&self) {
        *self.answer.lock().unwrap() = Answer::Hangs;
    }

    /// Hangs up on everybody from now on, until it is to answer.
    pub(crate) fn go_away(&self) {
        *self.answer.lock().unwrap() = Answer::Away;
    }

    /// What it was told so far.
    pub(crate) fn told(&self) -> Vec<Told> {
        self.told.lock().unwrap().clone()
    }

    /// The paths it was told of so far.
    pub(crate) fn paths(&self) -> Vec<String> {
        self.told().iter().map(|told| told.path().to_owned()).collect()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(("127.0.0.1", self.port));
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// Takes one request; returns the connection where it is not answered.
fn take(stream: TcpStream, told: &Mutex<Vec<Told>>, answer: &Mutex<Answer>) -> Option<TcpStream> {
    if matches!(*answer.lock().unwrap(), Answer::Away) {
        return None;
    }
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut headers = Vec::new();
    loop {
        let mut header = String::new();
        if reader.read_line(&mut header).ok()? == 0 {
            // Whoever it was is gone, and has told nothing.
            return None;
        }
        if header.trim_end().is_empty() {
            break;
        }
        let (name, value) = header.trim_end().split_once(':')?;
        headers.push(format!("{}: {}", name.to_ascii_lowercase(), value.trim()));
    }
    let length = headers.iter().find_map(|header| header.strip_prefix("content-length: "));
    let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
    reader.read_exact(&mut body).ok()?;
    let line = line.trim_end().trim_end_matches(" HTTP/1.1").to_owned();
    let body = String::from_utf8_lossy(&body).into_owned();
    let said = answer.lock().unwrap().clone();
    told.lock().unwrap().push(Told { line, headers, body });
    let mut stream = reader.into_inner();
    let said = match said {
        Answer::Says(said) => said,
        Answer::Hangs => return Some(stream),
        Answer::Away => return None,
    };
    let text = format!("HTTP/1.1 {said}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    let _ = stream.write_all(text.as_bytes());
    None
}
