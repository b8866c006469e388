//! The least client there is: a request on a kept connection, and its answer.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;

/// One connection to the Engine.
pub(super) struct Wire {
    stream: BufReader<UnixStream>,
}

impl Wire {
    pub(super) fn new(socket: &Path) -> Self {
        Self { stream: BufReader::new(UnixStream::connect(socket).unwrap()) }
    }

    /// Posts this body; panics where the Engine refuses.
    pub(super) fn post(&mut self, path: &str, body: &str) {
        let length = body.len();
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: docker\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\n\r\n{body}"
        );
        self.stream.get_mut().write_all(request.as_bytes()).unwrap();
        let status = self.line();
        let mut length = 0;
        loop {
            let line = self.line();
            match line.split_once(':') {
                Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                    length = value.trim().parse().unwrap();
                }
                Some((name, _)) => {
                    assert!(!name.eq_ignore_ascii_case("transfer-encoding"), "{path}: {status}");
                }
                None => break,
            }
        }
        let mut answer = vec![0; length];
        self.stream.read_exact(&mut answer).unwrap();
        let answer = String::from_utf8_lossy(&answer);
        assert!(status.starts_with("HTTP/1.1 2"), "{path}: {status}{answer}");
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.stream.read_line(&mut line).unwrap();
        line
    }
}
