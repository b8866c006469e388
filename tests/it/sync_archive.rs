//! `sync` from archives: what is cut off, too large, hostile or another than promised changes nothing.

#![expect(clippy::unwrap_used, reason = "a fixture that fails is a test that fails")]

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use sha2::{Digest as _, Sha256};

use crate::support::{Engine, Roadstead};
use crate::sync_git::{results, tree};

/// What the server answers: bytes as they go out.
type Answer = Arc<Mutex<Vec<u8>>>;

/// A server that gives every caller the same bytes.
struct Server {
    port: u16,
    answer: Answer,
    asked: Arc<AtomicUsize>,
}

impl Server {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (answer, asked) = (Answer::default(), Arc::new(AtomicUsize::new(0)));
        let (given, counted) = (Arc::clone(&answer), Arc::clone(&asked));
        // Ends with the tests.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                counted.fetch_add(1, Ordering::SeqCst);
                give(stream, &given.lock().unwrap());
            }
        });
        Self { port, answer, asked }
    }

    fn says(&self, head: &str, body: &[u8]) {
        let head = format!("HTTP/1.1 {head}\r\nConnection: close\r\n\r\n");
        *self.answer.lock().unwrap() = [head.as_bytes(), body].concat();
    }

    fn gives(&self, body: &[u8]) {
        self.says(&format!("200 OK\r\nContent-Length: {}", body.len()), body);
    }
}

fn give(mut stream: TcpStream, answer: &[u8]) {
    let mut request = [0; 4096];
    let _ = stream.read(&mut request);
    let _ = stream.write_all(answer);
}

/// A tar of these entries: `name=content`, `name->target`, `name/`, `name==other` for a second name.
fn tar(entries: &[&str]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for entry in entries {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o4755);
        header.set_size(0);
        let (name, content) = if let Some((name, target)) = entry.split_once("->") {
            header.set_entry_type(tar::EntryType::Symlink);
            header.as_old_mut().linkname[..target.len()].copy_from_slice(target.as_bytes());
            (name, "")
        } else if let Some((name, other)) = entry.split_once("==") {
            header.set_entry_type(tar::EntryType::Link);
            header.as_old_mut().linkname[..other.len()].copy_from_slice(other.as_bytes());
            (name, "")
        } else if let Some((name, content)) = entry.split_once('=') {
            header.set_size(content.len() as u64);
            (name, content)
        } else if let Some(name) = entry.strip_prefix("dev:") {
            header.set_entry_type(tar::EntryType::Char);
            (name, "")
        } else {
            header.set_entry_type(tar::EntryType::Directory);
            (*entry, "")
        };
        // By hand: the library refuses what is tested here.
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_cksum();
        builder.append(&header, content.as_bytes()).unwrap();
    }
    builder.into_inner().unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packer.write_all(bytes).unwrap();
    packer.finish().unwrap()
}

fn sha256(bytes: &[u8]) -> String {
    format!("{:x}", Sha256::digest(bytes))
}

fn write_job(roadstead: &Roadstead, server: &Server, archive: &str, map: &str) {
    let (port, to) = (server.port, roadstead.path("to").display().to_string());
    roadstead.write_job(
        "job.yml",
        &format!(
            "name: data\nsync:\n  archive:\n    url: 'http://127.0.0.1:{port}/x.tar?key=hush'\n{archive}  maps:\n  - to: {to}\n{map}"
        ),
    );
}

#[test]
fn archives_of_every_packing_are_brought_and_what_is_known_is_not_got_again() {
    let (server, roadstead) = (Server::start(), Roadstead::new(&Engine::shared().host(), ""));
    let long = format!("top/{}/deep", "n".repeat(90));
    let plain = tar(&["top/", "top/a=1", "./top/d/b=2", "top/l->d/b", "top/same==top/a", "other"]);
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(1);
    header.set_mode(0o644);
    let longer = format!("{long}/{}", "m".repeat(120));
    builder.append_data(&mut header, &longer, &b"3"[..]).unwrap();
    let with_long = builder.into_inner().unwrap();
    let zstd = zstd::stream::encode_all(&plain[..], 0).unwrap();
    for (number, packed) in [plain.clone(), gzip(&plain), zstd].into_iter().enumerate() {
        server.gives(&packed);
        let checksum = format!("    sha256: {}\n    strip_components: 1\n", sha256(&packed));
        write_job(&roadstead, &server, &checksum, "");
        roadstead.run(&["run", "data"]).ok();
        assert_eq!(tree(&roadstead.path("to")), ["a=1", "d/", "d/b=2", "l->d/b", "same=1"]);
        let asked = server.asked.load(Ordering::SeqCst);
        let said = roadstead.run(&["run", "data"]).ok();
        assert!(said.contains("unchanged"), "{said}");
        assert_eq!(server.asked.load(Ordering::SeqCst), asked, "{number}");
    }
    // Without a checksum it is asked for each time; long names are whole, and nothing is setuid.
    server.gives(&gzip(&with_long));
    write_job(&roadstead, &server, "", "");
    roadstead.run(&["run", "data"]).ok();
    assert!(roadstead.path("to").join(&longer).exists(), "{:?}", tree(&roadstead.path("to")));
    server.gives(&plain);
    roadstead.run(&["run", "data"]).ok();
    let about = fs::metadata(roadstead.path("to/top/a")).unwrap();
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&about.permissions()) & 0o7777, 0o755);
    assert_eq!(results(&roadstead)["removed"], 1);
    assert!(!roadstead.log("data").contains("hush"));
}

#[test]
fn what_is_not_as_promised_changes_nothing() {
    let (server, roadstead) = (Server::start(), Roadstead::new(&Engine::shared().host(), ""));
    write_job(&roadstead, &server, "", "");
    server.gives(&tar(&["a=1"]));
    roadstead.run(&["run", "data"]).ok();
    let refused = |archive: &str, part: &str| {
        write_job(&roadstead, &server, archive, "");
        let said = roadstead.run(&["run", "data"]).fails_with(1);
        assert!(said.contains(part) && said.contains("nothing was changed"), "{part}: {said}");
        assert!(!said.contains("hush"), "{said}");
        assert_eq!(tree(&roadstead.path("to")), ["a=1"], "{part}");
    };
    let good = tar(&["a=2", "b=3"]);
    let packed = gzip(&good);
    let checksum = format!("    sha256: {}\n", sha256(b"another"));
    server.gives(&good);
    refused(&checksum, "expectation_failed");
    server.says("404 Not Found\r\nContent-Length: 0", b"");
    refused("", "status 404");
    // Cut off: by its length, without a length, and what is packed.
    server.says(&format!("200 OK\r\nContent-Length: {}", good.len()), &good[..700]);
    refused("", "http_failed");
    server.says("200 OK", &good[..700]);
    refused("", "cut off");
    server.says("200 OK", &good[..1024]);
    refused("", "cut off");
    server.says("200 OK", &packed[..packed.len() / 2]);
    refused("", "cut off");
    let zstd = zstd::stream::encode_all(&good[..], 0).unwrap();
    server.says("200 OK", &zstd[..zstd.len() - 8]);
    refused("", "archive");
    server.gives(b"<html>no archive</html>");
    refused("", "archive");
    server.gives(b"");
    refused("", "archive");
    // Too large: as it is said, as it comes, unpacked, and by number.
    server.gives(&good);
    refused("    max_size: 1k\n", "larger than 1024 bytes");
    server.says("200 OK", &good);
    refused("    max_size: 1k\n", "larger than 1024 bytes");
    let bomb = gzip(&tar(&[&format!("big={}", "0".repeat(8 << 20))]));
    assert!(bomb.len() < 100_000);
    server.gives(&bomb);
    refused("    max_unpacked: 1m\n", "max_unpacked");
    server.gives(&good);
    refused("    max_entries: 1\n", "max_entries");
    for (entries, part) in [
        (&["../x=1"][..], "is no name"),
        (&["/etc/x=1"], "is an absolute path"),
        (&["a/../../x=1"], "is no name"),
        (&[".git/config=1"], "git's own name"),
        (&["l->/etc", "l/x=1"], "a directory at once"),
        (&["l->../.."], "leads out of the directory"),
        (&["l->/etc/passwd"], "is an absolute path"),
        (&["a==/etc/passwd"], "is an absolute path"),
        (&["a==none"], "second name"),
        (&["dev:x"], "neither file, link nor directory"),
        (&["a=1", "a/b=1"], "a directory at once"),
    ] {
        server.gives(&tar(entries));
        refused("", part);
    }
    // Whoever has nothing to say leaves what is there.
    server.gives(&tar(&["empty/"]));
    refused("", "needs_person");
}
