//! Drives the worker of backups by its standard input and output, and looks at trees of files.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use roadstead::backup::protocol::{
    Access, Event, Failure, Frame, Label, Operation, Request, Snapshot, Summary, Tool,
};
use roadstead::job::work::Location;

use super::process::output;
use super::roadstead::program;

/// The password of all repositories.
pub(crate) const PASSWORD: &str = "correct horse";

/// A repository in a directory, made where there is none.
pub(crate) fn directory(path: &Path) -> Access {
    at(Location::Directory(path.to_path_buf()))
}

/// A repository somewhere, made where there is none.
pub(crate) fn at(location: Location) -> Access {
    Access {
        tool: Tool::Rustic,
        location,
        password: PASSWORD.to_owned(),
        init: true,
        credentials: Vec::new(),
        certificates: None,
    }
}

/// A label of the job `name`.
pub(crate) fn label(name: &str) -> Label {
    Label { host: "test".to_owned(), tags: vec![format!("job:{name}")] }
}

/// A backup of `paths` by the job `files`.
pub(crate) fn backup_of(paths: &[&Path]) -> Operation {
    Operation::Backup {
        paths: paths.iter().map(|path| path.to_path_buf()).collect(),
        exclude: Vec::new(),
        exclude_caches: false,
        label: label("files"),
        dry_run: false,
    }
}

/// A restore of the newest snapshot.
pub(crate) fn restore_to(to: &Path, path: Option<&Path>) -> Operation {
    Operation::Restore {
        snapshot: "latest".to_owned(),
        tags: Vec::new(),
        path: path.map(|path| path.display().to_string()),
        to: to.to_path_buf(),
        delete: false,
        dry_run: false,
    }
}

/// A restore of the newest snapshot of a tree, into that.
pub(crate) fn restore_in_place(tree: &Path, delete: bool, dry_run: bool) -> Operation {
    Operation::Restore {
        snapshot: "latest".to_owned(),
        tags: Vec::new(),
        path: Some(tree.display().to_string()),
        to: tree.to_path_buf(),
        delete,
        dry_run,
    }
}

/// A running worker.
pub(crate) struct Worker {
    pub(crate) child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    /// What it said.
    pub(crate) events: Vec<Event>,
}

impl Worker {
    /// Starts one and says what to do.
    #[track_caller]
    pub(crate) fn start(access: &Access, operation: &Operation) -> Self {
        let (repository, operation) = (access.clone(), operation.clone());
        Self::ask(&Request { repository, operation, holder: None })
    }

    /// Starts one and says all that it is told.
    #[track_caller]
    pub(crate) fn ask(request: &Request) -> Self {
        Self::begin(Command::new(program()).arg("backup-worker"), request)
    }

    /// Starts one that finds nothing but what is in `root`, as in an image made from scratch.
    #[track_caller]
    pub(crate) fn start_in(root: &Path, access: &Access, operation: &Operation) -> Self {
        let inside = root.join("roadstead");
        if !inside.exists() {
            fs::copy(program(), &inside).unwrap();
        }
        let mut command = Command::new("/usr/sbin/chroot");
        command.env_clear().arg(root).args(["/roadstead", "backup-worker"]);
        let (repository, operation) = (access.clone(), operation.clone());
        Self::begin(&mut command, &Request { repository, operation, holder: None })
    }

    #[track_caller]
    fn begin(command: &mut Command, request: &Request) -> Self {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().unwrap());
        let mut worker = Self { child, input, output, events: Vec::new() };
        worker.send(Frame::Request, &serde_json::to_vec(request).unwrap());
        worker
    }

    /// Sends a frame; a worker that ended does not hear it.
    pub(crate) fn send(&mut self, frame: Frame, body: &[u8]) {
        let Some(input) = &mut self.input else { return };
        let mut bytes = vec![frame as u8];
        bytes.extend_from_slice(&u32::try_from(body.len()).unwrap().to_be_bytes());
        bytes.extend_from_slice(body);
        let _ = input.write_all(&bytes).and_then(|()| input.flush());
    }

    /// Ends its input.
    pub(crate) fn hang_up(&mut self) {
        self.input = None;
    }

    /// The next event; `None` at the end.
    pub(crate) fn next(&mut self) -> Option<Event> {
        let mut line = String::new();
        if self.output.read_line(&mut line).unwrap() == 0 {
            return None;
        }
        let event: Event = serde_json::from_str(&line).unwrap_or_else(|_| panic!("{line}"));
        self.events.push(event.clone());
        Some(event)
    }

    /// Reads until it is ready; panics when it ends before.
    #[track_caller]
    pub(crate) fn ready(&mut self) {
        while let Some(event) = self.next() {
            if event == Event::Ready {
                return;
            }
        }
        panic!("not ready: {:?}", self.events);
    }

    /// Reads to the end: what it did, or why not.
    #[track_caller]
    pub(crate) fn end(&mut self) -> Result<Summary, (Failure, String)> {
        while let Some(event) = self.next() {
            if event == Event::Ready {
                self.send(Frame::Go, b"");
            }
        }
        let code = self.child.wait().unwrap().code();
        match self.events.last() {
            Some(Event::Done(summary)) => {
                assert_eq!(code, Some(0));
                Ok(summary.clone())
            }
            Some(Event::Failed { class, message }) => {
                assert_eq!(code, Some(1));
                Err((*class, message.clone()))
            }
            other => panic!("it ended with {code:?} after {other:?}"),
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Carries one operation out; panics when it fails.
#[track_caller]
pub(crate) fn done(access: &Access, operation: &Operation) -> (Summary, Vec<Event>) {
    let mut worker = Worker::start(access, operation);
    match worker.end() {
        Ok(summary) => (summary, std::mem::take(&mut worker.events)),
        Err(failed) => panic!("{failed:?}"),
    }
}

/// Carries one operation out that fails.
#[track_caller]
pub(crate) fn failed(access: &Access, operation: &Operation) -> (Failure, String) {
    let mut worker = Worker::start(access, operation);
    worker.end().expect_err("it should fail")
}

/// Dumps `content` under `name`, in pieces.
#[track_caller]
pub(crate) fn dump(access: &Access, name: &str, content: &[u8]) -> Summary {
    let operation = Operation::Dump { name: name.to_owned(), label: label("dump") };
    let mut worker = Worker::start(access, &operation);
    worker.ready();
    for piece in content.chunks(100_000) {
        worker.send(Frame::Piece, piece);
    }
    worker.send(Frame::Whole, b"");
    worker.end().unwrap()
}

/// All snapshots, oldest first.
#[track_caller]
pub(crate) fn snapshots(access: &Access) -> Vec<Snapshot> {
    let (_, events) = done(access, &Operation::Snapshots { tags: Vec::new() });
    let told = events.into_iter().filter_map(|event| match event {
        Event::Snapshot(snapshot) => Some(snapshot),
        _ => None,
    });
    told.collect()
}

/// A call of restic on a repository.
pub(crate) fn restic(repository: &str) -> Command {
    let mut command = Command::new("restic");
    command
        .args(["--no-cache", "--repo", repository])
        .env("RESTIC_PASSWORD", PASSWORD)
        .env("RESTIC_PROGRESS_FPS", "0.1");
    command
}

/// Runs restic to its end; panics if it fails.
#[track_caller]
pub(crate) fn restic_does(repository: &str, arguments: &[&str]) -> String {
    output(restic(repository).args(arguments)).ok()
}

/// Asks restic whether a repository is whole, reading all of it.
#[track_caller]
pub(crate) fn restic_checks(repository: &str) {
    restic_does(repository, &["check", "--read-data"]);
}

/// Bytes that do not compress, the same for the same seed.
pub(crate) fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// Makes a tree with one of everything, `tree`, in a directory.
pub(crate) fn tree_in(directory: &Path) -> PathBuf {
    let tree = directory.join("tree");
    make_tree(&tree);
    tree
}

/// A tree with one of everything.
fn make_tree(root: &Path) {
    let file = |name: &[u8], content: &[u8]| {
        let path = root.join(PathBuf::from(OsString::from_vec(name.to_vec())));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    };
    file(b"small.txt", b"hello\n");
    file(b"deep/er/still/nothing", b"");
    file(b"deep/big.bin", &noise(1, 3_000_000));
    file("übergröße/日本語 ☂.txt".as_bytes(), b"unicode");
    file(b"odd/\xff\xfe.bin", b"no unicode");
    file(b"odd/quote\"back\\slash\nline\ttab'", b"quoted");
    file(b"odd/ space ", b"spaces");
    let tool = file(b"bin/tool", b"#!/bin/sh\n");
    fs::set_permissions(&tool, fs::Permissions::from_mode(0o4755)).unwrap();
    let secret = file(b"secret/key", b"k");
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o400)).unwrap();
    std::os::unix::fs::chown(&secret, Some(1234), Some(5678)).unwrap();
    let linked = file(b"links/one", &noise(2, 10_000));
    fs::hard_link(&linked, root.join("links/two")).unwrap();
    symlink("one", root.join("links/to-one")).unwrap();
    symlink("/nowhere/at/all", root.join("links/dangling")).unwrap();
    let hole = file(b"sparse.img", b"start");
    let hole = fs::OpenOptions::new().write(true).open(hole).unwrap();
    hole.set_len(16 << 20).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        root.join("pipe"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR,
        0,
    )
    .unwrap();
    for path in [root.join("small.txt"), root.join("deep"), root.to_path_buf()] {
        let flags = rustix::fs::XattrFlags::empty();
        rustix::fs::lsetxattr(&path, "user.color", b"blue\0\xff", flags).unwrap();
    }
    fs::create_dir(root.join("empty")).unwrap();
    fs::set_permissions(root, fs::Permissions::from_mode(0o2750)).unwrap();
    std::os::unix::fs::chown(root, Some(70), Some(71)).unwrap();
    // Directories last: what is made in them changes their time.
    for (path, seconds) in [
        ("small.txt", 1_000_000_000),
        ("links/to-one", 1_100_000_000),
        ("deep/er", 1_200_000_000),
        ("deep", 1_300_000_000),
        ("", 1_400_000_000),
    ] {
        set_modified(&root.join(path), seconds);
    }
}

/// Sets when something was modified, with a fraction of a second.
pub(crate) fn set_modified(path: &Path, seconds: i64) {
    let time = rustix::fs::Timespec { tv_sec: seconds, tv_nsec: 123_456_789 };
    let times = rustix::fs::Timestamps { last_access: time, last_modification: time };
    let flags = rustix::fs::AtFlags::SYMLINK_NOFOLLOW;
    rustix::fs::utimensat(rustix::fs::CWD, path, &times, flags).unwrap();
}

/// Everything that a restore has to bring back, by path.
pub(crate) fn look(root: &Path) -> BTreeMap<OsString, String> {
    let mut seen = BTreeMap::new();
    let mut links = BTreeMap::new();
    look_at(root, Path::new(""), &mut seen, &mut links);
    seen
}

fn look_at(
    root: &Path,
    below: &Path,
    seen: &mut BTreeMap<OsString, String>,
    links: &mut BTreeMap<u64, PathBuf>,
) {
    let path = if below.as_os_str().is_empty() { root.to_path_buf() } else { root.join(below) };
    let metadata = fs::symlink_metadata(&path).unwrap();
    let kind = metadata.file_type();
    let mut said = format!(
        "{:o} {}:{} {}.{:09}",
        metadata.mode(),
        metadata.uid(),
        metadata.gid(),
        metadata.mtime(),
        metadata.mtime_nsec()
    );
    if kind.is_file() {
        let content = fs::read(&path).unwrap();
        let sum = content.iter().fold(0_u64, |sum, byte| {
            sum.rotate_left(5).wrapping_mul(31).wrapping_add(u64::from(*byte))
        });
        write!(said, " {} B {sum:x}", content.len()).unwrap();
        let first = links.entry(metadata.ino()).or_insert_with(|| below.to_path_buf());
        write!(said, " is {}", first.display()).unwrap();
    } else if kind.is_symlink() {
        write!(said, " -> {:?}", fs::read_link(&path).unwrap().as_os_str().as_bytes()).unwrap();
    }
    let mut value = [0; 64];
    if let Ok(length) = rustix::fs::lgetxattr(&path, "user.color", &mut value) {
        write!(said, " color {:?}", &value[..length]).unwrap();
    }
    seen.insert(below.as_os_str().to_owned(), said);
    if kind.is_dir() {
        let mut names: Vec<_> =
            fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        for name in names {
            look_at(root, &below.join(name), seen, links);
        }
    }
}
