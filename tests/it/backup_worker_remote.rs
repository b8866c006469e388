//! The worker of backups on servers: restic's REST protocol and S3, with faults.

#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test drives programs, waits for them, and fails loudly"
)]

use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::Ordering;
use std::time::Duration;

use roadstead::backup::protocol::{Access, Failure, Frame, Operation};
use roadstead::job::work::{Keep, Location};

use crate::support::bucket::Bucket;
use crate::support::rest_server::{RestServer, Trouble};
use crate::support::worker::{
    Worker, at, backup_of, done, dump, failed, label, look, noise, restic_checks, restic_does,
    restore_to, snapshots, tree_in,
};
use crate::support::{free_port, process, repository, wait_for};

const LIST: Operation = Operation::Snapshots { tags: Vec::new() };

fn rest(server: &RestServer) -> Access {
    at(Location::Rest(server.url("")))
}

/// All that is done to a repository, somewhere.
fn is_worked_on(access: &Access, check: impl Fn()) {
    let place = tempfile::tempdir().unwrap();
    let tree = tree_in(place.path());
    assert!(done(access, &backup_of(&[&tree])).0.made);
    let (second, _) = done(access, &backup_of(&[&tree]));
    assert!(second.files_changed == 0 && second.stored < 10_000, "{second:?}");
    dump(access, "a.sql", &noise(5, 2_000_000));
    check();
    let restored = place.path().join("restored");
    let mut restore = restore_to(&restored, Some(&tree));
    if let Operation::Restore { tags, .. } = &mut restore {
        *tags = vec!["job:files".to_owned()];
    }
    done(access, &restore);
    assert_eq!(look(&tree), look(&restored));
    let keep = Keep { last: 1, ..Keep::default() };
    let forget = Operation::Forget { tags: vec!["job:files".to_owned()], keep, dry_run: false };
    assert_eq!(done(access, &forget).0.forgotten.len(), 1);
    done(access, &Operation::Prune { dry_run: false });
    done(access, &Operation::Check { number: 0, of: 1 });
    check();
    assert_eq!(snapshots(access).len(), 2);
}

#[test]
fn a_rest_server_keeps_what_restic_reads() {
    let server = RestServer::start();
    let shown = format!("rest:{}", server.url(""));
    is_worked_on(&rest(&server), || restic_checks(&shown));
    assert_eq!(server.files("locks"), 0);
    let to = tempfile::tempdir().unwrap();
    let target = to.path().display().to_string();
    restic_does(&shown, &["restore", "latest", "--target", &target]);
    assert!(fs::read(to.path().join("a.sql")).unwrap() == noise(5, 2_000_000));
}

#[test]
fn a_rest_server_that_refuses_or_is_not_there_is_said_to() {
    let server = RestServer::start();
    server.wants("YWRhOnBAc3M=");
    let (class, message) = failed(&rest(&server), &LIST);
    assert!(class == Failure::Unreachable && message.contains("credentials"), "{message}");
    let by_url = at(Location::Rest(server.url("ada:p%40ss")));
    done(&by_url, &LIST);
    let mut by_variables = rest(&server);
    by_variables.credentials = vec![
        ("RESTIC_REST_USERNAME".to_owned(), "ada".to_owned()),
        ("RESTIC_REST_PASSWORD".to_owned(), "p@ss".to_owned()),
    ];
    done(&by_variables, &LIST);
    let mut wrong = at(Location::Rest(server.url("ada:secret")));
    let (_, message) = failed(&wrong, &LIST);
    assert!(!message.contains("secret"), "{message}");

    wrong.location = Location::Rest(format!("http://127.0.0.1:{}/", free_port()));
    let (class, message) = failed(&wrong, &LIST);
    assert!(class == Failure::Unreachable && message.contains("no connection"), "{message}");
    let mut missing = at(Location::Rest(RestServer::start().url("")));
    missing.init = false;
    assert_eq!(failed(&missing, &LIST).0, Failure::NoRepository);
}

#[test]
fn what_passes_on_a_rest_server_is_waited_out_and_what_stays_saves_nothing() {
    let server = RestServer::start();
    let access = rest(&server);
    dump(&access, "a.sql", &noise(1, 3_000_000));

    server.fails("POST /repo/data/", Trouble::Status(503), 1);
    dump(&access, "b.sql", &noise(2, 3_000_000));
    server.fails("POST /repo/data/", Trouble::Cut, 2);
    dump(&access, "c.sql", &noise(3, 3_000_000));
    server.fails("GET /repo/snapshots/", Trouble::Status(502), 1);
    assert_eq!(snapshots(&access).len(), 3);

    for (trouble, expected) in [
        (Trouble::Cut, Failure::Unreachable),
        (Trouble::Status(503), Failure::Unreachable),
        (Trouble::Status(507), Failure::Full),
    ] {
        for what in ["data", "index", "snapshots"] {
            server.fails(&format!("POST /repo/{what}/"), trouble, usize::MAX);
            let operation = Operation::Dump { name: "d.sql".to_owned(), label: label("dump") };
            let mut worker = Worker::start(&access, &operation);
            worker.ready();
            worker.send(Frame::Piece, &noise(4, 3_000_000));
            worker.send(Frame::Whole, b"");
            let (class, message) = worker.end().unwrap_err();
            assert_eq!(class, expected, "{what} {trouble:?}: {message}");
            server.fails("", trouble, 0);
            assert_eq!(snapshots(&access).len(), 3, "{what} {trouble:?}");
        }
    }
    server.fails("GET /repo/data/", Trouble::Status(503), usize::MAX);
    let to = tempfile::tempdir().unwrap();
    let (class, message) = failed(&access, &restore_to(&to.path().join("to"), None));
    assert_eq!(class, Failure::Unreachable, "{message}");
    server.fails("", Trouble::Cut, 0);
    assert_eq!(server.files("locks"), 0);
    done(&access, &Operation::Prune { dry_run: false });
    restic_checks(&format!("rest:{}", server.url("")));
}

#[test]
fn a_bucket_keeps_what_restic_reads() {
    let bucket = Bucket::start();
    let access = Bucket::access(bucket.port);
    is_worked_on(&access, || {
        bucket.restic(&["check", "--read-data"]);
    });
    let to = tempfile::tempdir().unwrap();
    let target = to.path().display().to_string();
    bucket.restic(&["restore", "latest", "--target", &target]);
    assert!(fs::read(to.path().join("a.sql")).unwrap() == noise(5, 2_000_000));
    assert_eq!(bucket.restic(&["list", "locks"]), "");
    // More than fit into one page of a list: 1000.
    for number in 0..1005 {
        bucket.ask("PUT", &format!("/bucket/some/where/snapshots/{number:064x}"));
    }
    let last =
        Operation::Files { snapshot: format!("{:064x}", 1004), tags: Vec::new(), path: None };
    assert_ne!(failed(&access, &last).0, Failure::NotFound, "the second page was not read");
}

#[test]
fn a_bucket_that_hangs_up_is_asked_again_and_one_that_is_not_there_is_said() {
    let bucket = Bucket::start();
    let access = Bucket::access(bucket.proxy);
    bucket.cuts.store(2, Ordering::SeqCst);
    dump(&access, "a.sql", &noise(1, 3_000_000));
    assert_eq!(bucket.cuts.load(Ordering::SeqCst), 0, "nothing was cut");
    bucket.cuts.store(u64::MAX, Ordering::SeqCst);
    let operation = Operation::Dump { name: "b.sql".to_owned(), label: label("dump") };
    let mut worker = Worker::start(&access, &operation);
    worker.ready();
    worker.send(Frame::Piece, &noise(2, 3_000_000));
    worker.send(Frame::Whole, b"");
    let (class, message) = worker.end().unwrap_err();
    assert_eq!(class, Failure::Unreachable, "{message}");
    bucket.cuts.store(0, Ordering::SeqCst);
    assert_eq!(snapshots(&access).len(), 1);
    done(&access, &Operation::Prune { dry_run: false });
    bucket.restic(&["check", "--read-data"]);

    let mut other = access.clone();
    other.location = Location::S3 {
        endpoint: format!("http://127.0.0.1:{}", bucket.port),
        bucket: "nowhere".to_owned(),
        prefix: String::new(),
    };
    let (class, message) = failed(&other, &backup_of(&[Path::new("/etc/hosts")]));
    assert!(class == Failure::Other && message.contains("no such bucket"), "{message}");
    other.init = false;
    assert_eq!(failed(&other, &LIST).0, Failure::NoRepository);
    drop(bucket);
    assert_eq!(failed(&access, &LIST).0, Failure::Unreachable);
}

#[test]
fn a_server_is_trusted_by_the_authority_that_is_given() {
    let place = tempfile::tempdir().unwrap();
    let file = |name: &str| place.path().join(name).display().to_string();
    let (certificate, key, port) = (file("cert.pem"), file("key.pem"), free_port());
    let arguments = "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=test -addext \
                     subjectAltName=IP:127.0.0.1";
    process::output(Command::new("openssl").args(arguments.split(' ')).args([
        "-keyout",
        &key,
        "-out",
        &certificate,
    ]))
    .ok();
    let script = repository().join("scripts/moto.sh");
    let venv = PathBuf::from(process::output(&mut Command::new(script)).ok());
    let mut server = Command::new(venv.join("bin/moto_server"))
        .args(["-H", "127.0.0.1", "-p", &port.to_string(), "-s", "-c", &certificate, "-k", &key])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    wait_for("moto", Duration::from_mins(1), || TcpStream::connect(("127.0.0.1", port)).is_ok());
    let mut access = Bucket::access(port);
    if let Location::S3 { endpoint, .. } = &mut access.location {
        *endpoint = format!("https://127.0.0.1:{port}");
    }
    access.init = false;
    let strange = failed(&access, &LIST);
    access.certificates = Some(fs::read_to_string(&certificate).unwrap());
    let trusted = failed(&access, &LIST);
    access.certificates = Some("no certificate".to_owned());
    let unusable = failed(&access, &LIST);
    server.kill().unwrap();
    server.wait().unwrap();
    assert!(strange.0 == Failure::Unreachable && strange.1.contains("certificate"), "{strange:?}");
    assert_eq!(trusted.0, Failure::NoRepository, "{trusted:?}");
    assert_ne!(unusable.0, Failure::NoRepository, "{unusable:?}");
}
