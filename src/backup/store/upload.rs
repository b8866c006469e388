//! One object of a bucket, written as a stream of unknown length: in parts that are put together at the
//! end, or at once where it is small. Nothing of it is there before that end.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use reqwest::header::{CONTENT_LENGTH, ETAG};
use rusty_s3::S3Action;
use rusty_s3::actions::CreateMultipartUpload;

use super::Fault;
use super::http::{body, send};
use super::s3::{S3, SIGNED_FOR};
use crate::backup::talk::locked;

const MIB: usize = 1 << 20;

/// Bytes of part `number`, from 0. 10,000 parts, which a server takes at most, hold 5 TB, and small
/// archives take little memory.
fn part_size(number: usize) -> usize {
    (16 + number / 10) * MIB
}

/// An upload that was begun, for who has to break it off.
#[derive(Default)]
pub(super) struct Begun(Mutex<Option<String>>);

/// An object that is being written.
pub(in crate::backup) struct Upload {
    s3: Arc<S3>,
    key: String,
    begun: Arc<Begun>,
    part: Vec<u8>,
    tags: Vec<String>,
}

impl Upload {
    pub(super) fn new(s3: &Arc<S3>, key: String) -> Self {
        let (s3, begun) = (Arc::clone(s3), Arc::new(Begun::default()));
        Self { s3, key, begun, part: Vec::new(), tags: Vec::new() }
    }

    pub(super) fn begun(&self) -> Arc<Begun> {
        Arc::clone(&self.begun)
    }

    /// Takes some of `bytes`, and says how many.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<usize, Fault> {
        if self.part.len() >= part_size(self.tags.len()) {
            self.send_part()?;
        }
        let room = part_size(self.tags.len()) - self.part.len();
        let count = room.min(bytes.len());
        self.part.extend_from_slice(&bytes[..count]);
        Ok(count)
    }

    fn send_part(&mut self) -> Result<(), Fault> {
        let id = self.id()?;
        let number = u16::try_from(self.tags.len() + 1).map_err(|_| too_large())?;
        let content = Bytes::from(std::mem::take(&mut self.part));
        let Self { s3, key, .. } = self;
        let sent = send(|| {
            let part = s3.bucket.upload_part(s3.credentials(), key, number, &id);
            s3.client.put(part.sign(SIGNED_FOR)).body(content.clone())
        })?;
        let tag = sent.and_then(|sent| Some(sent.headers().get(ETAG)?.to_str().ok()?.to_owned()));
        self.tags.push(tag.ok_or_else(|| Fault::Other(format!("it lost part {number}")))?);
        Ok(())
    }

    /// The name of the upload; begins it.
    fn id(&self) -> Result<String, Fault> {
        let mut begun = locked(&self.begun.0);
        if let Some(id) = &*begun {
            return Ok(id.clone());
        }
        let Self { s3, key, .. } = self;
        let answer = send(|| {
            let create = s3.bucket.create_multipart_upload(s3.credentials(), key);
            s3.client.post(create.sign(SIGNED_FOR))
        })?;
        let answer = answer.ok_or_else(no_bucket)?;
        let created = CreateMultipartUpload::parse_response(body(answer, None)?)
            .map_err(|error| Fault::Other(format!("its answer cannot be read: {error}")))?;
        Ok(begun.insert(created.upload_id().to_owned()).clone())
    }

    /// Puts it in place.
    pub(super) fn finish(mut self) -> Result<(), Fault> {
        if self.tags.is_empty() {
            let content = Bytes::from(std::mem::take(&mut self.part));
            return self.s3.put_at(&self.key, &content);
        }
        if !self.part.is_empty() {
            self.send_part()?;
        }
        let id = self.id()?;
        let Self { s3, key, tags, .. } = &self;
        let completed = send(|| {
            let tags = || tags.iter().map(String::as_str);
            let complete = s3.bucket.complete_multipart_upload(s3.credentials(), key, &id, tags());
            s3.client.post(complete.sign(SIGNED_FOR)).body(complete.body())
        })?;
        match completed {
            Some(answer) => {
                let text = body(answer, None)?;
                let text = String::from_utf8_lossy(&text);
                if text.contains("<Error>") {
                    let first: String = text.chars().take(200).collect();
                    return Err(Fault::Unreachable(format!("it cannot put it together: {first}")));
                }
            }
            // It was done the first time, and the answer was lost.
            None if self.s3.size_at(&self.key)?.is_some() => {}
            None => return Err(Fault::Other("it lost the upload".to_owned())),
        }
        *locked(&self.begun.0) = None;
        Ok(())
    }
}

impl S3 {
    /// Breaks an upload off, so that its parts take no room.
    pub(super) fn abort(&self, key: &str, begun: &Begun) {
        let Some(id) = locked(&begun.0).take() else { return };
        // What cannot be told stays there, and the server's own rules remove it.
        let _ = send(|| {
            let abort = self.bucket.abort_multipart_upload(self.credentials(), key, &id);
            self.client.delete(abort.sign(SIGNED_FOR))
        });
    }

    /// Writes a small object.
    pub(super) fn put_at(&self, key: &str, content: &Bytes) -> Result<(), Fault> {
        let sent = send(|| {
            let put = self.bucket.put_object(self.credentials(), key);
            self.client.put(put.sign(SIGNED_FOR)).body(content.clone())
        })?;
        sent.map(|_| ()).ok_or_else(no_bucket)
    }

    /// Bytes of an object.
    pub(super) fn size_at(&self, key: &str) -> Result<Option<u64>, Fault> {
        let answer = send(|| {
            let head = self.bucket.head_object(self.credentials(), key);
            self.client.head(head.sign(SIGNED_FOR))
        })?;
        Ok(answer.map(|answer| {
            let length = answer.headers().get(CONTENT_LENGTH);
            let length = length.and_then(|length| length.to_str().ok()?.parse().ok());
            length.unwrap_or_default()
        }))
    }
}

pub(super) fn no_bucket() -> Fault {
    Fault::Other("there is no such bucket".to_owned())
}

fn too_large() -> Fault {
    Fault::Other("the archive is larger than a bucket takes: back up less in one job".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_thousand_parts_hold_five_terabytes_and_none_is_too_large_for_a_server() {
        let all: u64 = (0..10_000).map(|number| part_size(number) as u64).sum();
        assert!(all >= 5_000_000_000_000, "{all}");
        assert_eq!(part_size(0), 16 * MIB);
        assert!(part_size(9_999) < 5 << 30);
    }
}
