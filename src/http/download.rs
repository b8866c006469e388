//! A body that is written to a file while it comes, within a limit.

use std::path::Path;
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use tokio::fs::File;
use tokio::io::AsyncWriteExt as _;
use tokio::time::timeout;

use super::{Class, Client, Failure, Url, failure};

/// Longest silence of a server.
const SILENCE: Duration = Duration::from_mins(1);

/// What is to be got.
#[derive(Clone, Debug)]
pub struct Download<'a> {
    /// Address.
    pub url: &'a str,
    /// File that is written anew.
    pub to: &'a Path,
    /// The most bytes.
    pub most: u64,
}

/// What came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Downloaded {
    /// Status; with another one than 200 nothing was written.
    pub status: u16,
    /// Bytes.
    pub bytes: u64,
    /// What they hash to, in hexadecimal digits.
    pub sha256: String,
}

impl Client {
    /// Gets a body into a file, however long that takes, as long as the server goes on.
    ///
    /// # Errors
    ///
    /// When there is no answer, it breaks off or is larger than wanted, or the file cannot be written.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it leaves a part of the file.
    pub async fn download(&self, download: &Download<'_>) -> Result<Downloaded, Failure> {
        let Download { url, to, most } = *download;
        let silent = |_| Failure {
            class: Class::Timeout,
            message: format!("the server was silent for {} s", SILENCE.as_secs()),
        };
        let too_large = || Failure {
            class: Class::Invalid,
            message: format!("it is larger than {most} bytes: raise `max_size` if that is right"),
        };
        let local = |error: std::io::Error| Failure {
            class: Class::Invalid,
            message: format!("write `{}`: {error}", to.display()),
        };
        let url = Url::parse(url).map_err(|error| Failure {
            class: Class::Invalid,
            message: format!("the address: {error}"),
        })?;
        let sent = timeout(SILENCE, self.client.get(url).send()).await.map_err(silent)?;
        let mut response = sent.map_err(|error| failure(error, SILENCE))?;
        let status = response.status().as_u16();
        if status != 200 {
            return Ok(Downloaded { status, bytes: 0, sha256: String::new() });
        }
        if response.content_length().is_some_and(|bytes| bytes > most) {
            return Err(too_large());
        }
        let mut file = File::create(to).await.map_err(local)?;
        let (mut bytes, mut hash) = (0, Sha256::new());
        loop {
            let chunk = timeout(SILENCE, response.chunk()).await.map_err(silent)?;
            let Some(chunk) = chunk.map_err(|error| failure(error, SILENCE))? else { break };
            bytes += chunk.len() as u64;
            if bytes > most {
                return Err(too_large());
            }
            hash.update(&chunk);
            file.write_all(&chunk).await.map_err(local)?;
        }
        file.flush().await.map_err(local)?;
        Ok(Downloaded { status, bytes, sha256: format!("{:x}", hash.finalize()) })
    }
}
