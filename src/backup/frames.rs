//! What a worker is told on its standard input, read by a thread of its own.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use tokio::signal::unix::{SignalKind, signal};

use super::protocol::{Failure, Frame, Request};
use super::talk::{Failed, Outcome, Talk};

/// Above this a frame is none of ours.
const LONGEST_FRAME: u32 = 16 << 20;
/// Pieces that wait for the library.
const PIECES_AHEAD: usize = 4;

/// One frame.
type Whole = (Frame, Vec<u8>);

/// What comes after the request.
#[derive(Debug)]
pub(super) struct Told {
    frames: Receiver<Whole>,
}

/// Reads the request.
///
/// # Errors
///
/// When there is none.
pub(super) fn request(input: &mut impl Read) -> Outcome<Request> {
    let bad = |what: String| Failed::new(Failure::Other, format!("no request: {what}"));
    match read(input).map_err(|error| bad(error.to_string()))? {
        Some((Frame::Request, body)) => {
            // The error of the reader is not shown: it may quote a secret.
            serde_json::from_slice(&body).map_err(|_| bad("it is not of our protocol".to_owned()))
        }
        Some((frame, _)) => Err(bad(format!("the first frame is a {frame:?}"))),
        None => Err(bad("the input ended".to_owned())),
    }
}

impl Told {
    /// Follows the input in a thread: `Stop`, `Cut` and its end are the end of the process at once.
    /// `dump` says whether pieces of one are expected.
    pub(super) fn follow(talk: &Arc<Talk>, dump: bool) -> Self {
        let (sender, frames) = sync_channel(PIECES_AHEAD);
        let talk = Arc::clone(talk);
        std::thread::spawn(move || follow(&talk, dump, &sender));
        Self { frames }
    }

    /// Waits until writers are still.
    pub(super) fn wait_for_go(&self) {
        while !matches!(self.next().0, Frame::Go) {}
    }

    /// The next frame; after the last one it waits for the end of the process.
    fn next(&self) -> Whole {
        match self.frames.recv() {
            Ok(frame) => frame,
            Err(_) => loop {
                std::thread::park();
            },
        }
    }

    /// The dump that comes in pieces, as one stream. It ends only when the dump is whole.
    pub(super) fn into_dump(self) -> Dump {
        Dump { told: self, piece: io::Cursor::new(Vec::new()), is_whole: false }
    }
}

/// Ends the process as a `Stop` does when it is told to terminate, e.g. because the host goes down.
pub(super) fn end_by_signal(talk: &Arc<Talk>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    // Without it the signal ends us all the same, and the lock is stale in half an hour.
    let Ok(runtime) = runtime else { return };
    let talk = Arc::clone(talk);
    std::thread::spawn(move || {
        let told = runtime.block_on(async {
            match signal(SignalKind::terminate()) {
                Ok(mut signal) => signal.recv().await,
                Err(_) => None,
            }
        });
        if told.is_some() {
            talk.end(Err(Failed::new(Failure::Stopped, "stopped by a signal")));
        }
    });
}

fn follow(talk: &Talk, dump: bool, sender: &SyncSender<Whole>) {
    let is_whole = AtomicBool::new(!dump);
    let cut = |why: &str| {
        let class = if is_whole.load(Ordering::Relaxed) { Failure::Stopped } else { Failure::Cut };
        let what = match class {
            Failure::Cut => "the dump was cut, and nothing of it is kept",
            _ => "stopped",
        };
        talk.end(Err(Failed::new(class, format!("{what}: {why}"))))
    };
    let mut input = io::stdin().lock();
    loop {
        match read(&mut input) {
            Ok(Some((Frame::Stop, _))) => {
                talk.end(Err(Failed::new(Failure::Stopped, "stopped, as was asked")));
            }
            Ok(Some((Frame::Cut, _))) => cut("its command failed or was ended"),
            Ok(Some((Frame::Request, _))) => cut("a second request came"),
            Ok(Some(frame)) => {
                if matches!(frame.0, Frame::Whole) {
                    is_whole.store(true, Ordering::Relaxed);
                }
                if sender.send(frame).is_err() {
                    // Nobody takes frames any more; the end is still listened for.
                }
            }
            Ok(None) => cut("who asked for it is gone"),
            Err(error) => cut(&error.to_string()),
        }
    }
}

/// Reads one frame; `None` at the end of input.
fn read(input: &mut impl Read) -> io::Result<Option<Whole>> {
    let mut kind = [0];
    if input.read(&mut kind)? == 0 {
        return Ok(None);
    }
    let mut length = [0; 4];
    input.read_exact(&mut length)?;
    let length = u32::from_be_bytes(length);
    let bad = |what| Err(io::Error::new(io::ErrorKind::InvalidData, what));
    if length > LONGEST_FRAME {
        return bad("a frame is too long");
    }
    let frame = match kind[0] {
        0 => Frame::Request,
        1 => Frame::Piece,
        2 => Frame::Whole,
        3 => Frame::Cut,
        4 => Frame::Go,
        5 => Frame::Stop,
        _ => return bad("a frame is of no known kind"),
    };
    let mut body = Vec::new();
    if input.take(u64::from(length)).read_to_end(&mut body)? as u64 != u64::from(length) {
        return bad("the input ended within a frame");
    }
    Ok(Some((frame, body)))
}

/// The content of a dump.
#[derive(Debug)]
pub(super) struct Dump {
    told: Told,
    piece: io::Cursor<Vec<u8>>,
    is_whole: bool,
}

impl Read for Dump {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let count = self.piece.read(buffer)?;
            if count > 0 || buffer.is_empty() || self.is_whole {
                return Ok(count);
            }
            match self.told.next() {
                (Frame::Piece, piece) => self.piece = io::Cursor::new(piece),
                (Frame::Whole, _) => self.is_whole = true,
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_read_one_by_one_and_never_in_part() {
        let rows: [(&[u8], Option<usize>); 6] = [
            (b"", Some(0)),
            (b"\x01\0\0\0\x02ab\x02\0\0\0\0", Some(2)),
            (b"\x01\0\0\0\x03ab", None),
            (b"\x01\0\0", None),
            (b"\x09\0\0\0\0", None),
            (b"\x01\xff\0\0\0", None),
        ];
        for (bytes, expected) in rows {
            let mut input = bytes;
            let mut count = 0;
            let result = loop {
                match read(&mut input) {
                    Ok(Some(_)) => count += 1,
                    Ok(None) => break Some(count),
                    Err(_) => break None,
                }
            };
            assert_eq!(result, expected, "{bytes:?}");
        }
    }
}
