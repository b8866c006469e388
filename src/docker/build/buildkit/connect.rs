//! Connections to an Engine that become HTTP/2.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::docker::raw::{self, Duplex};

/// Longest wait for the Engine to agree.
const DEADLINE: Duration = Duration::from_secs(30);
/// Bytes beyond which an answer is none.
const LARGEST_ANSWER: usize = 16 * 1024;

/// A connection on which HTTP/2 is spoken from now on.
pub(in crate::docker::build) type Connection = Box<dyn Duplex>;

/// Asks the Engine for a path where HTTP/2 is spoken; `None` where it has no such path.
///
/// # Errors
///
/// When it cannot be reached, or does not want to.
pub(super) async fn upgrade(
    host: &str,
    path: &str,
    headers: &[(&str, &str)],
) -> Result<Option<Connection>> {
    let asked = tokio::time::timeout(DEADLINE, ask(host, path, headers)).await;
    asked
        .map_err(anyhow::Error::from)
        .flatten()
        .with_context(|| format!("ask the Engine for `{path}`"))
}

async fn ask(host: &str, path: &str, headers: &[(&str, &str)]) -> Result<Option<Connection>> {
    let mut connection = raw::connect(host).await?;
    let lines: Vec<_> =
        headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let lines = lines.concat();
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: docker\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\
         Content-Length: 0\r\n{lines}\r\n"
    );
    connection.write_all(request.as_bytes()).await?;
    // Byte by byte: what follows the answer is for HTTP/2.
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(connection.read_u8().await?);
        if answer.len() > LARGEST_ANSWER {
            bail!("its answer is none of HTTP");
        }
    }
    let answer = String::from_utf8_lossy(&answer).into_owned();
    match status(&answer) {
        Some("101") => Ok(Some(connection)),
        Some("404" | "405" | "501") => Ok(None),
        _ => bail!("it answered `{}`", answer.lines().next().unwrap_or_default()),
    }
}

fn status(answer: &str) -> Option<&str> {
    answer.split_whitespace().nth(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_is_the_second_word() {
        for (answer, expected) in [
            ("HTTP/1.1 101 UPGRADED\r\n\r\n", Some("101")),
            ("HTTP/1.1 404 Not Found\r\n\r\n", Some("404")),
            ("\r\n\r\n", None),
        ] {
            assert_eq!(status(answer), expected);
        }
    }
}
