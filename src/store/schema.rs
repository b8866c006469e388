//! The store's file: how it is opened, its journal mode, and its schema with one migration a version.

use std::fs::{DirBuilder, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior};

/// File name in the state directory.
pub const FILE: &str = "roadstead.db";

/// How long a statement waits for another process that writes.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// One migration a row; `PRAGMA user_version` is the number of those applied. Only ever append.
///
/// Times are integer milliseconds since 1970-01-01T00:00:00Z: they compare and index as numbers.
/// Revisions are JSON, as [`crate::source::Revision`] writes itself.
const MIGRATIONS: &[&str] = &[
    "
    CREATE TABLE runs (
        id        INTEGER PRIMARY KEY AUTOINCREMENT,
        job       TEXT    NOT NULL,
        trigger   TEXT    NOT NULL,
        slot      INTEGER,
        started   INTEGER NOT NULL,
        ended     INTEGER,
        revision  TEXT,
        outcome   TEXT    NOT NULL,
        reason    TEXT,
        message   TEXT    NOT NULL DEFAULT '',
        exit_code INTEGER
    );
    CREATE UNIQUE INDEX runs_by_slot ON runs (job, slot);
    CREATE INDEX runs_by_job ON runs (job, id);
    CREATE INDEX runs_by_outcome ON runs (outcome, id);
    CREATE TABLE steps (
        run     INTEGER NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
        position INTEGER NOT NULL,
        name    TEXT    NOT NULL,
        started INTEGER NOT NULL,
        ended   INTEGER,
        error   TEXT,
        PRIMARY KEY (run, position)
    ) WITHOUT ROWID;
    CREATE TABLE applied (
        job      TEXT    PRIMARY KEY,
        project  TEXT    NOT NULL,
        revision TEXT    NOT NULL,
        run      INTEGER NOT NULL,
        at       INTEGER NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE quarantines (
        job      TEXT    PRIMARY KEY,
        revision TEXT    NOT NULL,
        run      INTEGER NOT NULL,
        reason   TEXT    NOT NULL,
        message  TEXT    NOT NULL,
        since    INTEGER NOT NULL
    ) WITHOUT ROWID;
",
    "
    ALTER TABLE runs ADD COLUMN details TEXT;
    ALTER TABLE runs ADD COLUMN kind TEXT;
    CREATE TABLE transitions (
        id    INTEGER PRIMARY KEY,
        run   INTEGER NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
        state TEXT    NOT NULL,
        at    INTEGER NOT NULL
    );
    CREATE INDEX transitions_by_run ON transitions (run, id);
    CREATE TABLE pauses (
        job    TEXT    PRIMARY KEY,
        since  INTEGER NOT NULL,
        reason TEXT    NOT NULL
    ) WITHOUT ROWID;
",
    "
    CREATE TABLE untold (
        run INTEGER PRIMARY KEY REFERENCES runs (id) ON DELETE CASCADE
    ) WITHOUT ROWID;
    CREATE TABLE pause_of_all (
        one    INTEGER PRIMARY KEY CHECK (one = 1),
        since  INTEGER NOT NULL,
        reason TEXT    NOT NULL
    ) WITHOUT ROWID;
",
    "
    CREATE TABLE rotations (
        job     TEXT    NOT NULL,
        path    BLOB    NOT NULL,
        rotated INTEGER NOT NULL,
        is_open INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY (job, path)
    ) WITHOUT ROWID;
",
    "
    CREATE TABLE used_images (
        job       TEXT    NOT NULL,
        revision  TEXT    NOT NULL,
        reference TEXT    NOT NULL,
        image     TEXT    NOT NULL,
        run       INTEGER NOT NULL,
        at        INTEGER NOT NULL,
        PRIMARY KEY (job, revision, reference, image)
    ) WITHOUT ROWID;
",
    "
    CREATE TABLE syncs (
        job      TEXT NOT NULL,
        source   TEXT NOT NULL,
        revision TEXT,
        untold   TEXT,
        PRIMARY KEY (job, source)
    ) WITHOUT ROWID;
",
];

/// Opens the store for writing, making directory, file and schema where they are missing.
pub(super) fn open(state_dir: &Path) -> Result<Connection> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o750)
        .create(state_dir)
        .with_context(|| format!("create `{}`; {NOT_WRITABLE}", state_dir.display()))?;
    let path = state_dir.join(FILE);
    // Ours before SQLite's: it would make the file readable for everyone.
    OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o640)
        .open(&path)
        .with_context(|| format!("open `{}`; {NOT_WRITABLE}", path.display()))?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(&path, flags)
        .and_then(|connection| prepare(connection, wal_works_on(state_dir)))
        .map_err(|error| explain(error, &path))?;
    migrate(&mut connection, &path)?;
    Ok(connection)
}

/// Opens the store for reading; `None` where the daemon has not made one yet.
pub(super) fn open_read_only(state_dir: &Path) -> Result<Option<Connection>> {
    let path = state_dir.join(FILE);
    match std::fs::metadata(&path) {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("read `{}`", path.display())),
    }
    let (connection, version) =
        read_only_connection(&path).map_err(|error| explain(error, &path))?;
    match usize::try_from(version).unwrap_or_default() {
        0 => Ok(None),
        version if version > MIGRATIONS.len() => Err(too_new(&path, version)),
        version if version < MIGRATIONS.len() => {
            bail!("`{}` has an older format; start `roadstead serve` once", path.display())
        }
        _ => Ok(Some(connection)),
    }
}

/// What `open` and its messages advise when the state directory refuses us.
const NOT_WRITABLE: &str = "set `AUTODEPLOY_STATE_DIR` to a directory that Roadstead may write, or \
                            change the owner or the mount of this one";

fn read_only_connection(path: &Path) -> rusqlite::Result<(Connection, i64)> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let opened = Connection::open_with_flags(path, flags).and_then(with_version);
    let wal = PathBuf::from(format!("{}-wal", path.display()));
    match opened {
        // WAL needs its side files even to read. In a directory we may not write, and where no
        // daemon is running, the file by itself is complete.
        Err(_) if !wal.exists() => {
            let uri = format!("file:{}?immutable=1", percent_encoded(path));
            Connection::open_with_flags(uri, flags | OpenFlags::SQLITE_OPEN_URI)
                .and_then(with_version)
        }
        other => other,
    }
}

fn with_version(connection: Connection) -> rusqlite::Result<(Connection, i64)> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    let version = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    Ok((connection, version))
}

fn percent_encoded(path: &Path) -> String {
    path.to_string_lossy().replace('%', "%25").replace('?', "%3f").replace('#', "%23")
}

fn prepare(connection: Connection, wal: bool) -> rusqlite::Result<Connection> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    if connection.is_readonly("main")? {
        let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_READONLY);
        return Err(rusqlite::Error::SqliteFailure(code, None));
    }
    let mode = |name: &str| -> rusqlite::Result<String> {
        connection.pragma_update_and_check(None, "journal_mode", name, |row| row.get(0))
    };
    // SQLite answers with the mode it could set, or with an error where memory cannot be shared.
    let set = if wal { mode("wal") } else { mode("delete") };
    match set {
        Err(error) if is_damage(&error) => return Err(error),
        Ok(answer) if answer == "wal" => {}
        Ok(_) | Err(_) => {
            mode("delete")?;
        }
    }
    // A step must be in the journal before it is taken, also across a power cut.
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    Ok(connection)
}

/// WAL shares memory between processes, which file systems of other machines cannot.
fn wal_works_on(directory: &Path) -> bool {
    // NFS, SMB, CIFS, SMB2, 9P, Ceph, AFS, Coda; numbers from statfs(2).
    const NETWORK: [u64; 8] = [
        0x6969,
        0x517b,
        0xff53_4d42,
        0xfe53_4d42,
        0x0102_1997,
        0x00c3_6400,
        0x5346_414f,
        0x7375_7245,
    ];
    rustix::fs::statfs(directory).is_ok_and(|found| {
        // The type's sign and width differ by platform; the numbers fill 32 bits.
        let [low @ .., _, _, _, _] = found.f_type.to_le_bytes();
        !NETWORK.contains(&u64::from(u32::from_le_bytes(low)))
    })
}

fn migrate(connection: &mut Connection, path: &Path) -> Result<()> {
    let found = apply_migrations(connection).map_err(|error| explain(error, path))?;
    if found > MIGRATIONS.len() { Err(too_new(path, found)) } else { Ok(()) }
}

/// Applies what is missing in one transaction; returns the version found.
fn apply_migrations(connection: &mut Connection) -> rusqlite::Result<usize> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let found: i64 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let found = usize::try_from(found).unwrap_or_default();
    for migration in MIGRATIONS.iter().skip(found) {
        transaction.execute_batch(migration)?;
    }
    if found < MIGRATIONS.len() {
        let version = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
        transaction.pragma_update(None, "user_version", version)?;
    }
    transaction.commit()?;
    Ok(found)
}

fn too_new(path: &Path, version: usize) -> anyhow::Error {
    anyhow!(
        "`{}` has format {version}, this Roadstead knows up to {}; use the newer Roadstead, or \
         restore the backup made before the upgrade",
        path.display(),
        MIGRATIONS.len()
    )
}

fn is_damage(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt))
}

/// Adds file and advice to an error of `SQLite`.
pub(super) fn explain(error: rusqlite::Error, path: &Path) -> anyhow::Error {
    let advice = match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
            "the file is damaged: restore it from a backup, or move it away to start with an empty \
             history; containers are not touched by that"
        }
        Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
            NOT_WRITABLE
        }
        Some(ErrorCode::DiskFull) => "the disk is full: free some space",
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            "another process holds it: run one `roadstead serve` for one state directory"
        }
        _ => return anyhow::Error::new(error).context(format!("use `{}`", path.display())),
    };
    anyhow::Error::new(error).context(format!("use `{}`; {advice}", path.display()))
}
