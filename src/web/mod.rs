//! The HTTP face: webhooks that say "look now", and a health check for what cannot run a command.
//!
//! Thin: it checks who calls and passes the call on over the control socket, as a command would. What
//! a forge sends as body is read for its signature and thrown away: a trigger only says "look now".

mod access;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue, WWW_AUTHENTICATE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tracing::{info, warn};

use self::access::{Check, Tokens};
use crate::control::{self, Call, Reply};
use crate::settings::Settings;

/// Connections at once; more wait to be accepted.
const MOST_CONNECTIONS: usize = 64;
/// Longest time for a whole request, from its first byte.
const REQUEST_DEADLINE: Duration = Duration::from_secs(30);
/// Longest time for the head of a request.
const HEAD_DEADLINE: Duration = Duration::from_secs(10);
/// Largest body: GitHub sends 25 MB at most.
const LARGEST_BODY: usize = 32 << 20;
/// Pause when no connection can be accepted, e.g. for want of file descriptors.
const PAUSE: Duration = Duration::from_secs(1);

/// An open address that answers once [`Web::serve`] runs.
#[derive(Debug)]
pub struct Web {
    listener: TcpListener,
    room: Arc<Room>,
}

/// What every request needs.
#[derive(Debug)]
struct Room {
    state_dir: PathBuf,
    tokens_file: Option<PathBuf>,
}

/// An answer in the making.
type Answer = Response<Full<Bytes>>;

impl Web {
    /// Opens the address of `AUTODEPLOY_LISTEN`; `None` where none is set.
    ///
    /// # Errors
    ///
    /// When the address is taken or not ours, or the file of tokens cannot be read.
    pub async fn open(settings: &Settings) -> Result<Option<Self>> {
        let Some(address) = settings.listen else { return Ok(None) };
        if let Some(path) = &settings.tokens_file {
            Tokens::read(path).await?;
        }
        let listener = TcpListener::bind(address).await.with_context(|| {
            format!("listen on `{address}`: give `AUTODEPLOY_LISTEN` a free address of this host")
        })?;
        let (state_dir, tokens_file) = (settings.state_dir.clone(), settings.tokens_file.clone());
        Ok(Some(Self { listener, room: Arc::new(Room { state_dir, tokens_file }) }))
    }

    /// Answers until it is dropped.
    pub async fn serve(self) {
        if let Ok(address) = self.listener.local_addr() {
            info!("webhooks are taken at http://{address}/webhooks/NAME");
        }
        let mut connections = JoinSet::new();
        loop {
            while connections.len() >= MOST_CONNECTIONS {
                connections.join_next().await;
            }
            tokio::select! {
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, peer)) => {
                        connections.spawn(converse(stream, peer, Arc::clone(&self.room)));
                    }
                    Err(error) => {
                        warn!("no connection can be taken: {error}");
                        tokio::time::sleep(PAUSE).await;
                    }
                },
                Some(_) = connections.join_next() => {}
            }
        }
    }
}

async fn converse(stream: TcpStream, peer: SocketAddr, room: Arc<Room>) {
    let service = service_fn(|request| {
        let room = Arc::clone(&room);
        async move {
            let answered = tokio::time::timeout(REQUEST_DEADLINE, room.answer(request, peer));
            let late = |_| refusal(StatusCode::REQUEST_TIMEOUT, "the request took too long");
            Ok::<_, Infallible>(answered.await.unwrap_or_else(late))
        }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_DEADLINE)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        tracing::debug!("connection of {peer}: {error}");
    }
}

impl Room {
    async fn answer(&self, request: Request<Incoming>, peer: SocketAddr) -> Answer {
        let path = request.uri().path().to_owned();
        let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
        match (request.method(), parts.as_slice()) {
            (&Method::GET | &Method::HEAD, ["healthz"]) => self.health().await,
            (&Method::POST, ["webhooks", name]) => self.webhook(name, request, peer).await,
            (_, ["webhooks", _]) => allow(&Method::POST),
            (_, ["healthz"]) => allow(&Method::GET),
            _ => {
                refusal(StatusCode::NOT_FOUND, "there are `POST /webhooks/NAME` and `GET /healthz`")
            }
        }
    }

    async fn health(&self) -> Answer {
        match self.ask(&control::Request::Health).await {
            Ok(Reply::Health { healthy, message }) => {
                let status = if healthy { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
                answer(status, &json!({ "healthy": healthy, "message": message }))
            }
            Ok(_) => refusal(StatusCode::INTERNAL_SERVER_ERROR, "the daemon answered beside it"),
            Err(error) => refusal(StatusCode::SERVICE_UNAVAILABLE, &format!("{error:#}")),
        }
    }

    async fn webhook(&self, name: &str, request: Request<Incoming>, peer: SocketAddr) -> Answer {
        let tokens = match &self.tokens_file {
            None => None,
            Some(path) => match Tokens::read(path).await {
                Ok(tokens) => Some(tokens),
                Err(error) => {
                    warn!("{error:#}");
                    let message = "the tokens cannot be read; see the log";
                    return refusal(StatusCode::SERVICE_UNAVAILABLE, message);
                }
            },
        };
        let (head, mut body) = request.into_parts();
        let mut check = tokens.as_ref().map(|tokens| Check::new(tokens, &head.headers));
        let mut size = 0;
        while let Some(frame) = body.frame().await {
            let Ok(frame) = frame else {
                return refusal(StatusCode::BAD_REQUEST, "the body was cut off");
            };
            let Some(data) = frame.data_ref() else { continue };
            size += data.len();
            if size > LARGEST_BODY {
                let message = format!("the body is larger than {} MiB", LARGEST_BODY >> 20);
                return refusal(StatusCode::PAYLOAD_TOO_LARGE, &message);
            }
            if let Some(check) = &mut check {
                check.update(data);
            }
        }
        if check.is_some_and(|check| !check.passes()) {
            warn!("webhook `{name}` was called from {peer} without a valid token");
            return unauthorized();
        }
        match self.ask(&control::Request::Event { name: name.to_owned() }).await {
            Ok(Reply::Done { message }) => {
                info!("webhook `{name}` was called from {peer}: {message}");
                answer(StatusCode::ACCEPTED, &json!({ "webhook": name, "message": message }))
            }
            Ok(Reply::Refused { message }) => refusal(StatusCode::NOT_FOUND, &message),
            Ok(_) => refusal(StatusCode::INTERNAL_SERVER_ERROR, "the daemon answered beside it"),
            Err(error) => refusal(StatusCode::SERVICE_UNAVAILABLE, &format!("{error:#}")),
        }
    }

    async fn ask(&self, request: &control::Request) -> Result<Reply> {
        let call = Call::place(&self.state_dir, request).await?;
        call.context("roadstead is starting or stopping; try again")?.next().await
    }
}

fn answer(status: StatusCode, value: &Value) -> Answer {
    let mut answer = Response::new(Full::from(format!("{value}\n")));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}

fn refusal(status: StatusCode, message: &str) -> Answer {
    answer(status, &json!({ "error": message }))
}

fn allow(method: &Method) -> Answer {
    let mut answer = refusal(StatusCode::METHOD_NOT_ALLOWED, &format!("use {method}"));
    if let Ok(value) = HeaderValue::from_str(method.as_str()) {
        answer.headers_mut().insert(ALLOW, value);
    }
    answer
}

fn unauthorized() -> Answer {
    let message = "send `Authorization: Bearer TOKEN`, `X-Gitlab-Token: TOKEN`, or a signature with \
                   a token of `AUTODEPLOY_TOKENS_FILE` as its secret";
    let mut answer = refusal(StatusCode::UNAUTHORIZED, message);
    answer.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    answer
}
