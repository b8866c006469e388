//! The control socket: how a command talks to the running daemon, and who may be the daemon.
//!
//! One JSON object a line over a Unix socket in the state directory, which only its owner may open.

use std::fs::{File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};

use crate::job::ofelia::LabelledContainer;
use crate::run::{Ending, Progress, Restore, RunId};

/// Longest request.
const LONGEST_LINE_BYTES: u64 = 1024 * 1024;
/// Longest reply: the labels of some hundred thousand jobs.
const LONGEST_REPLY_BYTES: u64 = 64 * 1024 * 1024;
/// Longest wait for the other side to take or send a line it owes at once.
const LINE_DEADLINE: Duration = Duration::from_secs(5);

/// What a command asks of the daemon.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "snake_case")]
pub enum Request {
    /// Run a job now.
    Run {
        /// Its name.
        job: String,
    },
    /// Restore a backup of a job in place now.
    Restore {
        /// Name of the job.
        job: String,
        /// What.
        restore: Restore,
    },
    /// Say how far a run is.
    Progress {
        /// Its number.
        run: RunId,
    },
    /// Let jobs have no new runs but what a person asks for.
    Pause {
        /// Their names; empty is all, also those that come later.
        jobs: Vec<String>,
        /// Why, for those who ask later.
        reason: String,
    },
    /// End pauses.
    Resume {
        /// Names of the jobs; empty is all.
        jobs: Vec<String>,
    },
    /// End a run, or all runs of a job.
    Cancel {
        /// Number of the run, or name of the job.
        what: String,
    },
    /// Set off what waits for a webhook.
    Event {
        /// Name of the webhook.
        name: String,
    },
    /// Say whether all is well.
    Health,
    /// Read the configuration anew.
    Reload,
    /// Say which containers have labels that jobs are read from.
    Labels,
}

/// What the daemon answers; a `Run` gets an `Accepted` and later a `Finished`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum Reply {
    /// The job will run.
    Accepted {
        /// Number of the run.
        run: RunId,
        /// True when another run of it, or of a job it shares a lock with, must end first.
        waits: bool,
    },
    /// The run has started.
    Started {
        /// Its number.
        run: RunId,
    },
    /// The run has ended.
    Finished {
        /// Its number.
        run: RunId,
        /// How.
        ending: Ending,
    },
    /// How far a run is.
    Progress {
        /// `None` where it does not say.
        progress: Option<Progress>,
    },
    /// The daemon lives.
    Health {
        /// True when nothing needs attention.
        healthy: bool,
        /// One line for people.
        message: String,
    },
    /// The containers with labels that jobs are read from, as they were last seen.
    Labels {
        /// With those labels only.
        containers: Vec<LabelledContainer>,
    },
    /// The request was carried out.
    Done {
        /// One line for people.
        message: String,
    },
    /// The request was not carried out.
    Refused {
        /// Why, and what to do.
        message: String,
    },
}

/// Path of the control socket.
pub fn socket_path(state_dir: &Path) -> PathBuf {
    state_dir.join("roadstead.sock")
}

/// The right to change what runs on this host: held by one process at a time, freed when it dies.
#[derive(Debug)]
pub struct Exclusive {
    _file: File,
}

impl Exclusive {
    /// Takes the right; `None` when another process holds it.
    ///
    /// # Errors
    ///
    /// When the lock file cannot be opened.
    pub fn take(state_dir: &Path) -> Result<Option<Self>> {
        let path = state_dir.join("roadstead.lock");
        let mut options = OpenOptions::new();
        let opened = options.create(true).truncate(false).write(true).mode(0o640).open(&path);
        let file = opened.with_context(|| {
            format!("open `{}`: is the state directory writable?", path.display())
        })?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Self { _file: file })),
            Err(error) if error == rustix::io::Errno::WOULDBLOCK => Ok(None),
            Err(error) => Err(error).with_context(|| format!("lock `{}`", path.display())),
        }
    }
}

/// The daemon's end of the control socket.
#[derive(Debug)]
pub struct Listener {
    listener: UnixListener,
}

impl Listener {
    /// Opens the socket. Only the holder of [`Exclusive`] may: it replaces a dead daemon's socket.
    ///
    /// # Errors
    ///
    /// When the state directory does not take a socket.
    pub fn bind(state_dir: &Path, _held: &Exclusive) -> Result<Self> {
        let path = socket_path(state_dir);
        let describe = || format!("open control socket `{}`", path.display());
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(error).with_context(describe);
            }
            _ => {}
        }
        let listener = UnixListener::bind(&path).with_context(describe)?;
        std::fs::set_permissions(&path, Permissions::from_mode(0o600)).with_context(describe)?;
        Ok(Self { listener })
    }

    /// The next connection.
    ///
    /// # Cancel safety
    ///
    /// Safe: no connection is lost.
    ///
    /// # Errors
    ///
    /// When the process is out of file descriptors.
    pub async fn accept(&self) -> io::Result<UnixStream> {
        self.listener.accept().await.map(|(stream, _)| stream)
    }
}

/// One command's connection, after its request was read.
#[derive(Debug)]
pub struct Conversation {
    /// What it asks.
    pub request: Request,
    writer: OwnedWriteHalf,
}

impl Conversation {
    /// Reads the request of a new connection; bounded in size and time.
    ///
    /// # Errors
    ///
    /// When nothing readable comes.
    pub async fn open(stream: UnixStream) -> Result<Self> {
        let (reader, writer) = stream.into_split();
        let mut lines = BufReader::new(reader.take(LONGEST_LINE_BYTES));
        let line = tokio::time::timeout(LINE_DEADLINE, next_line(&mut lines)).await??;
        let line = line.context("the connection closed before a request")?;
        let request = serde_json::from_str(&line).context("read the request")?;
        Ok(Self { request, writer })
    }

    /// Sends a reply. A command that went away is no error.
    pub async fn reply(&mut self, reply: &Reply) {
        let mut line = serde_json::to_vec(reply).expect("replies have string keys only");
        line.push(b'\n');
        let _ = tokio::time::timeout(LINE_DEADLINE, self.writer.write_all(&line)).await;
    }
}

/// A command's end of the control socket.
#[derive(Debug)]
pub struct Call {
    lines: BufReader<tokio::io::Take<OwnedReadHalf>>,
    _writer: OwnedWriteHalf,
}

impl Call {
    /// Sends a request to the daemon; `None` when none is running.
    ///
    /// # Errors
    ///
    /// When a daemon is there but does not take the request.
    pub async fn place(state_dir: &Path, request: &Request) -> Result<Option<Self>> {
        let path = socket_path(state_dir);
        let stream = match UnixStream::connect(&path).await {
            Ok(stream) => stream,
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
                ) =>
            {
                return Ok(None);
            }
            Err(error) => {
                return Err(error).with_context(|| {
                    format!("talk to roadstead at `{}`: are you its user?", path.display())
                });
            }
        };
        let (reader, mut writer) = stream.into_split();
        let mut line = serde_json::to_vec(request)?;
        line.push(b'\n');
        writer.write_all(&line).await.context("send the request")?;
        Ok(Some(Self { lines: BufReader::new(reader.take(LONGEST_REPLY_BYTES)), _writer: writer }))
    }

    /// The next reply.
    ///
    /// # Errors
    ///
    /// When the daemon went away.
    pub async fn next(&mut self) -> Result<Reply> {
        let line = next_line(&mut self.lines).await?;
        let line = line.ok_or_else(|| anyhow!("roadstead stopped before it answered"))?;
        serde_json::from_str(&line).context("read the reply")
    }
}

async fn next_line<R: tokio::io::AsyncRead + Unpin>(
    lines: &mut BufReader<R>,
) -> Result<Option<String>> {
    let mut line = String::new();
    let read = lines.read_line(&mut line).await.context("read from the control socket")?;
    Ok((read > 0).then_some(line))
}
