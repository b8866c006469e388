//! Talking to a process in a container: our stdin, stdout, stderr and terminal are its own.

use std::io::{IsTerminal, Read, Write};

use anyhow::{Context, Result, bail};
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use tokio::io::AsyncWriteExt;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use crate::docker::{Attached, Chunk, Stream, TerminalSize};

/// How much is read from stdin at once, and how many such pieces wait.
const PIECE_BYTES: usize = 32 * 1024;
const PIECES_WAITING: usize = 4;

/// What a talk is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Manner {
    /// The process has a terminal, so ours gives it every key.
    pub(super) tty: bool,
    /// The process reads our stdin.
    pub(super) stdin: bool,
}

/// Tells the process how large the terminal is.
pub(super) type Resize<'a> = dyn Fn(TerminalSize) -> BoxFuture<'a, Result<()>> + 'a;

/// Whether a process gets a terminal: when it was asked for, else where both our ends are one.
///
/// docker compose looks at stdout alone and then fails when stdin is a pipe.
pub(super) fn wants_terminal(asked: bool, refused: bool, stdin: bool) -> Result<bool> {
    let here = std::io::stdin().is_terminal();
    if refused {
        return Ok(false);
    }
    if asked && stdin && !here {
        bail!("the input device is not a TTY: leave out `-t`, or say `-T`");
    }
    Ok(asked || std::io::stdout().is_terminal() && (here || !stdin))
}

/// Passes bytes to and fro until the process closes its streams.
pub(super) async fn converse(
    attached: Attached,
    manner: Manner,
    resize: Option<&Resize<'_>>,
) -> Result<()> {
    let Attached { mut output, mut input } = attached;
    let _raw = if manner.tty && manner.stdin { Raw::set()? } else { None };
    let listen = async {
        while let Some(chunk) = output.next().await {
            if !write(&chunk?)? {
                break;
            }
        }
        anyhow::Ok(())
    };
    let speak = async {
        let mut pieces = manner.stdin.then(read_stdin);
        while let Some(pieces) = &mut pieces
            && let Some(piece) = pieces.recv().await
        {
            // A process that does not read any more may still have to say something.
            if input.write_all(&piece).await.is_err() || input.flush().await.is_err() {
                break;
            }
        }
        if manner.stdin {
            let _ = input.shutdown().await;
        }
        std::future::pending::<()>().await;
    };
    let follow_size = async {
        if let Some(resize) = resize.filter(|_| manner.tty) {
            // What has ended cannot be resized, which is no error.
            let _ = follow_size(resize).await;
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        ended = listen => ended,
        () = speak => Ok(()),
        () = follow_size => Ok(()),
        told = told_to_end(), if manner.tty => told,
    }
}

/// With a terminal in raw mode keys make no signals; one that still comes must not leave it raw.
async fn told_to_end() -> Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("listen for signals")?;
    let mut hang_up = signal(SignalKind::hangup()).context("listen for signals")?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = hang_up.recv() => {}
    }
    bail!("told to end; the process in the container goes on")
}

/// Our terminal's size to the process, now and at every change.
async fn follow_size(resize: &Resize<'_>) -> Result<()> {
    let mut changes = signal(SignalKind::window_change()).context("listen for signals")?;
    loop {
        if let Some(size) = size() {
            // Before the process runs there is nothing to resize: once more when it may.
            if resize(size).await.is_err() {
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                let _ = resize(size).await;
            }
        }
        if changes.recv().await.is_none() {
            return Ok(());
        }
    }
}

fn size() -> Option<TerminalSize> {
    let size = tcgetwinsize(std::io::stdout()).ok()?;
    (size.ws_col > 0).then_some(TerminalSize { columns: size.ws_col, lines: size.ws_row })
}

/// False when nobody reads any more.
fn write(chunk: &Chunk) -> std::io::Result<bool> {
    let written = match chunk.stream {
        Stream::Out => {
            let mut out = std::io::stdout().lock();
            out.write_all(&chunk.bytes).and_then(|()| out.flush())
        }
        Stream::Err => std::io::stderr().lock().write_all(&chunk.bytes),
    };
    match written {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(false),
        other => other.map(|()| true),
    }
}

/// Reads stdin on a thread of its own: a read there cannot be called off, but may be left behind.
fn read_stdin() -> mpsc::Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel(PIECES_WAITING);
    tokio::task::spawn_blocking(move || {
        let mut buffer = vec![0; PIECE_BYTES];
        let mut stdin = std::io::stdin().lock();
        while let Ok(count) = stdin.read(&mut buffer)
            && count > 0
            && sender.blocking_send(buffer[..count].to_vec()).is_ok()
        {}
    });
    receiver
}

/// Our terminal in raw mode; dropped, it is as before.
struct Raw {
    before: Termios,
}

impl Raw {
    /// `None` where stdin is no terminal.
    fn set() -> Result<Option<Self>> {
        let stdin = std::io::stdin();
        if !stdin.is_terminal() {
            return Ok(None);
        }
        let before = tcgetattr(&stdin).context("read the terminal's mode")?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(&stdin, OptionalActions::Now, &raw).context("set the terminal's mode")?;
        Ok(Some(Self { before }))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, &self.before);
    }
}
