//! gRPC over HTTP/2: messages with their length before them, and a status after them.

use std::future::poll_fn;

use anyhow::{Context as _, Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use h2::client::SendRequest;
use h2::{RecvStream, SendStream};
use http::{HeaderMap, HeaderValue, Request, Version};
use prost::Message;

use super::messages::{Any, RichStatus};

/// Content type of every request and answer.
pub(super) const CONTENT_TYPE: &str = "application/grpc";
/// Headers after the last message.
const STATUS: &str = "grpc-status";
const STATUS_MESSAGE: &str = "grpc-message";
const STATUS_DETAILS: &str = "grpc-status-details-bin";
/// Bytes before a message: whether it is compressed, and its length.
const PREFIX: usize = 5;
/// Bytes beyond which a message is none of ours; what `BuildKit` itself refuses.
const LARGEST: usize = 16 * 1024 * 1024;

/// Codes that a call may end with.
pub(super) const OK: u32 = 0;
pub(super) const UNKNOWN: u32 = 2;
pub(super) const NOT_FOUND: u32 = 5;
pub(super) const UNIMPLEMENTED: u32 = 12;

/// How a call ended that did not succeed.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{message}")]
pub(super) struct Status {
    pub(super) code: u32,
    pub(super) message: String,
    pub(super) details: Vec<Any>,
}

impl Status {
    pub(super) fn new(code: u32, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), details: Vec::new() }
    }

    /// What headers say; `None` where they say nothing.
    fn read(headers: &HeaderMap) -> Option<Self> {
        let text = |name| headers.get(name).and_then(|it: &HeaderValue| it.to_str().ok());
        let code = text(STATUS)?.parse().unwrap_or(UNKNOWN);
        let details = text(STATUS_DETAILS)
            .and_then(|it| STANDARD_NO_PAD.decode(it.trim_end_matches('=')).ok())
            .and_then(|it| RichStatus::decode(it.as_slice()).ok());
        Some(Self {
            code,
            message: decoded(text(STATUS_MESSAGE).unwrap_or_default()),
            details: details.unwrap_or_default().details,
        })
    }

    /// The headers that say it.
    fn trailers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(STATUS, self.code.into());
        // Encoded, it is always a valid value.
        if let Ok(message) = HeaderValue::from_str(&encoded(&self.message)) {
            headers.insert(STATUS_MESSAGE, message);
        }
        headers
    }
}

/// Messages that come.
#[derive(Debug)]
pub(super) struct Incoming {
    body: RecvStream,
    pending: BytesMut,
    /// Of an answer that is nothing but a status.
    early: Option<Status>,
}

impl Incoming {
    pub(super) fn new(body: RecvStream) -> Self {
        Self { body, pending: BytesMut::new(), early: None }
    }

    /// The next message; `None` after the last of them.
    ///
    /// # Errors
    ///
    /// A [`Status`] where the other side ended the call with one; otherwise the connection broke.
    ///
    /// # Cancel safety
    ///
    /// What came of a message is kept for the next call.
    pub(super) async fn next<M: Message + Default>(&mut self) -> Result<Option<M>> {
        loop {
            if let Some(message) = self.take()? {
                return Ok(Some(M::decode(message).context("understand an answer of BuildKit")?));
            }
            let Some(data) = self.body.data().await else { return self.ended().await };
            let data = data.context("read from BuildKit")?;
            let _ = self.body.flow_control().release_capacity(data.len());
            self.pending.extend_from_slice(&data);
        }
    }

    fn take(&mut self) -> Result<Option<Bytes>> {
        let Some((mut prefix, _)) = self.pending.split_at_checked(PREFIX) else { return Ok(None) };
        let is_compressed = prefix.get_u8() != 0;
        let length = usize::try_from(prefix.get_u32())?;
        if is_compressed || length > LARGEST {
            bail!("BuildKit sent a message of {length} bytes that we cannot read");
        }
        if self.pending.len() < PREFIX + length {
            return Ok(None);
        }
        self.pending.advance(PREFIX);
        Ok(Some(self.pending.split_to(length).freeze()))
    }

    async fn ended<M>(&mut self) -> Result<Option<M>> {
        let status = match self.early.take() {
            Some(status) => Some(status),
            None => self.body.trailers().await?.as_ref().and_then(Status::read),
        };
        match status.filter(|it| it.code != OK) {
            Some(status) => Err(status.into()),
            None => Ok(None),
        }
    }
}

/// Messages that go.
#[derive(Debug)]
pub(super) struct Outgoing(pub(super) SendStream<Bytes>);

impl Outgoing {
    /// Sends a message, as fast as the other side reads.
    pub(super) async fn send(&mut self, message: &impl Message) -> Result<()> {
        let mut bytes = BytesMut::with_capacity(PREFIX + message.encoded_len());
        bytes.put_u8(0);
        bytes.put_u32(u32::try_from(message.encoded_len())?);
        message.encode(&mut bytes)?;
        let mut bytes = bytes.freeze();
        while !bytes.is_empty() {
            self.0.reserve_capacity(bytes.len());
            let room = poll_fn(|context| self.0.poll_capacity(context)).await;
            let room = room.context("BuildKit stopped listening")??;
            self.0.send_data(bytes.split_to(room.min(bytes.len())), false)?;
        }
        Ok(())
    }

    /// Ends a request.
    fn close(mut self) -> Result<()> {
        Ok(self.0.send_data(Bytes::new(), true)?)
    }

    /// Ends an answer.
    pub(super) fn finish(mut self, ended: Result<(), Status>) {
        let status = ended.err().unwrap_or_else(|| Status::new(OK, ""));
        // Whoever hung up does not want to know.
        let _ = self.0.send_trailers(status.trailers());
    }
}

/// Makes a call with one message.
///
/// # Errors
///
/// When the connection breaks.
pub(super) async fn call(
    client: &SendRequest<Bytes>,
    method: &str,
    message: &impl Message,
) -> Result<Incoming> {
    let request = Request::post(format!("http://buildkit{method}"))
        .version(Version::HTTP_2)
        .header("content-type", CONTENT_TYPE)
        .header("te", "trailers")
        .body(())?;
    let (answer, body) = client.clone().ready().await?.send_request(request, false)?;
    let mut outgoing = Outgoing(body);
    let sent = async {
        outgoing.send(message).await?;
        outgoing.close()
    };
    let sent = sent.await;
    // Who refuses a call need not hear it out: what it answers tells more than that it hung up.
    let answer = match (answer.await, sent) {
        (Ok(answer), _) => answer,
        (Err(_), Err(error)) => return Err(error),
        (Err(error), Ok(())) => return Err(error.into()),
    };
    let (head, body) = answer.into_parts();
    Ok(Incoming { early: Status::read(&head.headers), ..Incoming::new(body) })
}

/// Text as gRPC writes it into a header: what is not printable ASCII is percent-encoded.
fn encoded(text: &str) -> String {
    let encode = |byte: u8| match byte {
        b' '..=b'~' if byte != b'%' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(encode).collect()
}

/// The text that was [`encoded`].
pub(super) fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let code = after.get(..2).and_then(|it| std::str::from_utf8(it).ok());
        let code = code.and_then(|it| u8::from_str_radix(it, 16).ok()).filter(|_| byte == b'%');
        bytes.push(code.unwrap_or(byte));
        rest = &after[if code.is_some() { 2 } else { 0 }..];
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_survive_headers() {
        for (text, header) in
            [("plain text: 1", "plain text: 1"), ("100%\n", "100%25%0A"), ("ü", "%C3%BC")]
        {
            assert_eq!(encoded(text), header);
            assert_eq!(decoded(header), text);
        }
        assert_eq!(decoded("50% %zz %4"), "50% %zz %4");
    }

    #[test]
    fn a_status_is_read_from_headers() {
        let detail = Any { kind: "k".to_owned(), value: b"v".to_vec() };
        let rich = RichStatus { details: vec![detail.clone()] }.encode_to_vec();
        let mut headers = Status::new(NOT_FOUND, "no ü").trailers();
        headers.insert(STATUS_DETAILS, STANDARD_NO_PAD.encode(rich).parse().unwrap());
        let expected =
            Status { code: NOT_FOUND, message: "no ü".to_owned(), details: vec![detail] };
        assert_eq!(Status::read(&headers), Some(expected));
        assert_eq!(Status::read(&HeaderMap::new()), None);
    }
}
