//! Lets a step of a build talk to an SSH agent of ours.

use anyhow::{Context as _, Result};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

use super::grpc::{Incoming, Outgoing};
use super::messages::Data;

/// Bytes of one piece of an answer.
const PIECE: usize = 32 * 1024;

/// Carries what is said between the agent at `socket` and a step, until one of them hangs up.
///
/// # Errors
///
/// When there is no agent, or a connection breaks.
pub(super) async fn forward(
    socket: &str,
    incoming: &mut Incoming,
    outgoing: &mut Outgoing,
) -> Result<()> {
    let agent = UnixStream::connect(socket).await;
    let mut agent = agent.with_context(|| format!("reach the SSH agent at `{socket}`"))?;
    let (mut answers, mut questions) = agent.split();
    let mut piece = vec![0; PIECE];
    loop {
        tokio::select! {
            asked = incoming.next::<Data>() => match asked? {
                Some(asked) => questions.write_all(&asked.data).await?,
                None => return Ok(()),
            },
            read = answers.read(&mut piece) => match read? {
                0 => return Ok(()),
                read => outgoing.send(&Data { data: piece[..read].to_vec() }).await?,
            },
        }
    }
}
