//! A server that speaks S3 (moto), with a bucket, and a proxy before it that makes trouble.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use roadstead::backup::protocol::Access;
use roadstead::job::work::Location;

use super::authority::Authority;
use super::worker::{at, restic};
use super::{free_port, process, repository, wait_for};

/// A moto of a test's own, with a bucket, behind a proxy that can hang up.
pub(crate) struct Bucket {
    server: Child,
    pub(crate) port: u16,
    /// The port of the proxy.
    pub(crate) proxy: u16,
    /// How many uploads of packs are cut yet.
    pub(crate) cuts: Arc<AtomicU64>,
    /// While it is held, uploads of packs wait in the proxy.
    pub(crate) gate: Arc<Mutex<()>>,
    /// What uploads of packs began with.
    asked: Arc<Mutex<Vec<String>>>,
}

/// What a proxy does besides passing on.
#[derive(Clone)]
struct Trouble {
    cuts: Arc<AtomicU64>,
    gate: Arc<Mutex<()>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Bucket {
    pub(crate) fn start() -> Self {
        let port = free_port();
        let (cuts, gate, asked) = (Arc::default(), Arc::default(), Arc::default());
        let trouble =
            Trouble { cuts: Arc::clone(&cuts), gate: Arc::clone(&gate), asked: Arc::clone(&asked) };
        Self { server: serve(port), port, proxy: proxy(port, trouble), cuts, gate, asked }
    }

    /// Ends the server, and all that it has.
    pub(crate) fn die(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }

    /// Starts it anew, with an empty bucket.
    pub(crate) fn return_empty(&mut self) {
        self.server = serve(self.port);
    }

    /// What uploads of packs began with.
    pub(crate) fn packs(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    /// Asks the server itself, and gives its answer.
    #[track_caller]
    pub(crate) fn ask(&self, method: &str, path: &str) -> String {
        ask(self.port, method, path)
    }

    pub(crate) fn access(port: u16) -> Access {
        let mut access = at(Location::S3 {
            endpoint: format!("http://127.0.0.1:{port}"),
            bucket: "bucket".to_owned(),
            prefix: "some/where".to_owned(),
        });
        access.credentials = vec![
            ("AWS_ACCESS_KEY_ID".to_owned(), "key".to_owned()),
            ("AWS_SECRET_ACCESS_KEY".to_owned(), "secret".to_owned()),
        ];
        access
    }

    pub(crate) fn restic(&self, arguments: &[&str]) -> String {
        let shown = format!("s3:http://127.0.0.1:{}/bucket/some/where", self.port);
        let mut command = restic(&shown);
        command.env("AWS_ACCESS_KEY_ID", "key").env("AWS_SECRET_ACCESS_KEY", "secret");
        process::output(command.args(arguments)).ok()
    }
}

impl Drop for Bucket {
    fn drop(&mut self) {
        self.die();
    }
}

/// One without a bucket that speaks TLS only, with the certificate of an authority. Dropped, it ends.
pub(crate) struct SafeServer {
    server: Child,
    pub(crate) port: u16,
}

impl SafeServer {
    pub(crate) fn start(authority: &Authority) -> Self {
        let port = free_port();
        let path = |name| authority.path(name).display().to_string();
        let (certificate, key) = (path("server.pem"), path("server.key"));
        Self { server: moto(port, &["-s", "-c", &certificate, "-k", &key]), port }
    }
}

impl Drop for SafeServer {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// Starts a server, and makes the bucket.
fn serve(port: u16) -> Child {
    let server = moto(port, &[]);
    ask(port, "PUT", "/bucket");
    server
}

fn moto(port: u16, options: &[&str]) -> Child {
    let script = repository().join("scripts/moto.sh");
    let venv = PathBuf::from(process::output(&mut Command::new(script)).ok());
    let server = Command::new(venv.join("bin/moto_server"))
        .args(["-H", "127.0.0.1", "-p", &port.to_string()])
        .args(options)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    wait_for("moto", Duration::from_mins(1), || TcpStream::connect(("127.0.0.1", port)).is_ok());
    server
}

#[track_caller]
fn ask(port: u16, method: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\
         Content-Length: 0\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    answer
}

/// A proxy that hangs up in the middle of so many uploads of packs, or of parts of archives.
fn proxy(to: u16, trouble: Trouble) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let trouble = trouble.clone();
            std::thread::spawn(move || {
                let client = client.unwrap();
                let Ok(server) = TcpStream::connect(("127.0.0.1", to)) else { return };
                let (mut from, mut back) =
                    (server.try_clone().unwrap(), client.try_clone().unwrap());
                std::thread::spawn(move || {
                    let _ = std::io::copy(&mut from, &mut back);
                    let _ = back.shutdown(std::net::Shutdown::Both);
                });
                let _ = pass(&client, &server, &trouble);
                let _ = server.shutdown(std::net::Shutdown::Both);
                let _ = client.shutdown(std::net::Shutdown::Both);
            });
        }
    });
    port
}

fn pass(mut client: &TcpStream, mut server: &TcpStream, trouble: &Trouble) -> std::io::Result<()> {
    let mut buffer = [0; 16 * 1024];
    loop {
        let count = client.read(&mut buffer)?;
        if count == 0 {
            return Ok(());
        }
        let is_pack = buffer.starts_with(b"PUT /bucket/some/where/data/");
        if is_pack {
            let line = buffer[..count].split(|byte| *byte == b'\r').next().unwrap_or_default();
            let line = String::from_utf8_lossy(line).into_owned();
            trouble.asked.lock().unwrap().push(line);
            drop(trouble.gate.lock());
        }
        let is_part = buffer.starts_with(b"PUT ")
            && buffer[..count]
                .split(|byte| *byte == b'\r')
                .next()
                .is_some_and(|line| String::from_utf8_lossy(line).contains("partNumber="));
        let less = |left: u64| left.checked_sub(1);
        let take = |cuts: &AtomicU64| cuts.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less);
        if (is_pack || is_part) && take(&trouble.cuts).is_ok() {
            server.write_all(&buffer[..count])?;
            let _ = client.read(&mut buffer)?;
            return Ok(());
        }
        server.write_all(&buffer[..count])?;
    }
}
