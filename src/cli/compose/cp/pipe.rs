//! Between threads that read and write archives and the Engine: pieces in a channel.

use std::io::{self, Read, Write};

use futures_util::{Stream, stream};
use tokio::sync::mpsc::{Receiver, Sender};

/// A piece of an archive, or why there are no more.
pub(super) type Piece = io::Result<Vec<u8>>;

/// Writes into a channel, from a thread that may block.
pub(super) struct Writing {
    sender: Sender<Piece>,
}

impl Writing {
    /// Writes into `sender`.
    pub(super) fn new(sender: Sender<Piece>) -> Self {
        Self { sender }
    }

    /// Breaks off: whoever reads fails with this.
    pub(super) fn fail(self, error: io::Error) {
        // Nobody reads any more: then it has failed already.
        let _ = self.sender.blocking_send(Err(error));
    }
}

impl Write for Writing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let sent = self.sender.blocking_send(Ok(bytes.to_vec()));
        sent.map(|()| bytes.len()).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Reads from a channel, on a thread that may block.
pub(super) struct Reading {
    receiver: Receiver<Vec<u8>>,
    piece: Vec<u8>,
    at: usize,
}

impl Reading {
    /// Reads from `receiver`.
    pub(super) fn new(receiver: Receiver<Vec<u8>>) -> Self {
        Self { receiver, piece: Vec::new(), at: 0 }
    }
}

impl Read for Reading {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.at == self.piece.len() {
            match self.receiver.blocking_recv() {
                Some(piece) => (self.piece, self.at) = (piece, 0),
                None => return Ok(0),
            }
        }
        let rest = &self.piece[self.at..];
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        self.at += count;
        Ok(count)
    }
}

/// The pieces of a channel as a stream.
pub(super) fn stream(receiver: Receiver<Piece>) -> impl Stream<Item = Piece> + Send + 'static {
    stream::unfold(receiver, |mut receiver| async move {
        receiver.recv().await.map(|piece| (piece, receiver))
    })
}
