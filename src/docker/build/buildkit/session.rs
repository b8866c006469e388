//! What `BuildKit` may ask for while it builds: files, secrets, keys, credentials.
//!
//! The connection is ours, the questions are the Engine's: it is the client of these services.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use h2::RecvStream;
use h2::server::SendResponse;
use http::{HeaderMap, Request, Response};
use secrecy::ExposeSecret as _;

use super::connect::Connection;
use super::grpc::{self, Incoming, Outgoing, Status};
use super::messages::{CredentialsRequest, CredentialsResponse, Data, Health, Named, Nothing};
use super::offers::Offers;
use super::{agent, sync};
use crate::image::Credentials;

/// Everything that is answered here. The Engine wants to know before it asks.
pub(super) const METHODS: [&str; 6] = [HEALTH, SECRET, CREDENTIALS, FILES, AGENT, TALK];
const HEALTH: &str = "/grpc.health.v1.Health/Check";
const SECRET: &str = "/moby.buildkit.secrets.v1.Secrets/GetSecret";
const CREDENTIALS: &str = "/moby.filesync.v1.Auth/Credentials";
const FILES: &str = "/moby.filesync.v1.FileSync/DiffCopy";
const AGENT: &str = "/moby.sshforward.v1.SSH/CheckAgent";
const TALK: &str = "/moby.sshforward.v1.SSH/ForwardAgent";

/// `SERVING` of the health service.
const HEALTHY: i32 = 1;
/// Docker Hub, as `BuildKit` calls it and as clients write it down.
const HUB: (&str, &str) = ("registry-1.docker.io", "https://index.docker.io/v1/");
/// Header of a talk with an agent: which.
const AGENT_ID: &str = "buildkit.ssh.id";

/// Answers until the connection ends.
///
/// # Errors
///
/// When it breaks.
pub(super) async fn serve(
    connection: Connection,
    offers: &Offers,
    credentials: &BTreeMap<String, Credentials>,
) -> Result<()> {
    let mut connection = h2::server::handshake(connection).await.context("open the session")?;
    let mut calls = FuturesUnordered::new();
    loop {
        tokio::select! {
            asked = connection.accept() => match asked {
                Some(asked) => {
                    let (request, respond) = asked.context("keep the session")?;
                    calls.push(answer(offers, credentials, request, respond));
                }
                None => return Ok(()),
            },
            Some(()) = calls.next(), if !calls.is_empty() => {}
        }
    }
}

async fn answer(
    offers: &Offers,
    credentials: &BTreeMap<String, Credentials>,
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
) {
    let (head, body) = request.into_parts();
    let response = Response::builder().header("content-type", grpc::CONTENT_TYPE).body(());
    let Ok(response) = response else { return };
    // Whoever hung up needs no answer.
    let Ok(outgoing) = respond.send_response(response, false) else { return };
    let mut call = Call {
        offers,
        credentials,
        headers: head.headers,
        incoming: Incoming::new(body),
        outgoing: Outgoing(outgoing),
    };
    let ended = call.answer(head.uri.path()).await.map_err(|error| {
        let status = error.downcast_ref::<Status>().cloned();
        status.unwrap_or_else(|| Status::new(grpc::UNKNOWN, format!("{error:#}")))
    });
    call.outgoing.finish(ended);
}

/// One question.
struct Call<'a> {
    offers: &'a Offers,
    credentials: &'a BTreeMap<String, Credentials>,
    headers: HeaderMap,
    incoming: Incoming,
    outgoing: Outgoing,
}

impl Call<'_> {
    async fn answer(&mut self, method: &str) -> Result<()> {
        match method {
            HEALTH => self.outgoing.send(&Health { status: HEALTHY }).await,
            SECRET => {
                let id = self.incoming.next::<Named>().await?.unwrap_or_default().id;
                let secret = self.offers.secrets.get(&id).ok_or_else(|| {
                    Status::new(grpc::NOT_FOUND, format!("the build has no secret `{id}`"))
                })?;
                let data = secret.expose_secret().to_vec();
                self.outgoing.send(&Data { data }).await
            }
            CREDENTIALS => {
                let asked = self.incoming.next::<CredentialsRequest>().await?.unwrap_or_default();
                self.outgoing.send(&credentials(self.credentials, &asked.host)).await
            }
            FILES => {
                let name = header(&self.headers, "dir-name").unwrap_or_default();
                let source = self.offers.directories.get(name).ok_or_else(|| {
                    Status::new(grpc::NOT_FOUND, format!("the build has no directory `{name}`"))
                })?;
                let transfer = sync::Transfer {
                    source: Arc::clone(source),
                    wanted: sync::Wanted::read(&self.headers),
                };
                transfer.run(&mut self.incoming, &mut self.outgoing).await
            }
            AGENT => {
                let id = self.incoming.next::<Named>().await?.unwrap_or_default().id;
                self.agent(&id)?;
                self.outgoing.send(&Nothing {}).await
            }
            TALK => {
                let id = header(&self.headers, AGENT_ID).unwrap_or_default();
                let socket = self.agent(id)?;
                agent::forward(&socket, &mut self.incoming, &mut self.outgoing).await
            }
            other => Err(Status::new(grpc::UNIMPLEMENTED, format!("no method `{other}`")).into()),
        }
    }

    fn agent(&self, id: &str) -> Result<String, Status> {
        let id = if id.is_empty() { "default" } else { id };
        let socket = self.offers.agents.get(id);
        socket.cloned().ok_or_else(|| {
            Status::new(grpc::NOT_FOUND, format!("the build has no `ssh` of the name `{id}`"))
        })
    }
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// Nothing where nothing is known: the registry may be open.
fn credentials(known: &BTreeMap<String, Credentials>, host: &str) -> CredentialsResponse {
    let wanted = if host == HUB.0 { HUB.1 } else { host };
    let bare = |name: &str| {
        let name = name.split_once("://").map_or(name, |(_, rest)| rest);
        name.split('/').next().unwrap_or_default().to_owned()
    };
    let similar = || known.iter().find(|(name, _)| bare(name) == bare(wanted)).map(|it| it.1);
    match known.get(wanted).or_else(similar) {
        Some(Credentials::Password { username, password }) => CredentialsResponse {
            username: username.clone(),
            secret: password.expose_secret().to_owned(),
        },
        Some(Credentials::IdentityToken(token)) => CredentialsResponse {
            username: String::new(),
            secret: token.expose_secret().to_owned(),
        },
        None => CredentialsResponse::default(),
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::UnixListener;

    use super::*;

    #[test]
    fn credentials_are_found_by_host() {
        let password =
            |it: &str| Credentials::Password { username: "u".to_owned(), password: it.into() };
        let known = [
            (HUB.1.to_owned(), password("hub")),
            ("https://a:5/v2/".to_owned(), password("a")),
            ("b".to_owned(), Credentials::IdentityToken("b".into())),
        ]
        .into();
        for (host, expected) in
            [(HUB.0, ("u", "hub")), ("a:5", ("u", "a")), ("b", ("", "b")), ("c", ("", ""))]
        {
            let found = credentials(&known, host);
            assert_eq!((found.username.as_str(), found.secret.as_str()), expected, "{host}");
        }
    }

    /// An agent that sends back what it gets, in capitals.
    async fn answer_one(agent: UnixListener) {
        let (mut connection, _) = agent.accept().await.unwrap();
        let mut question = [0; 8];
        connection.read_exact(&mut question).await.unwrap();
        connection.write_all(&question.to_ascii_uppercase()).await.unwrap();
        // The other side hangs up first.
        let _ = connection.read(&mut question).await;
    }

    #[tokio::test]
    async fn steps_talk_to_an_agent_and_get_secrets() {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("agent");
        let agent = UnixListener::bind(&socket).unwrap();
        let offers = Offers {
            agents: [("mine".to_owned(), socket.display().to_string())].into(),
            secrets: [("s".to_owned(), b"hidden".to_vec().into())].into(),
            ..Offers::default()
        };
        let (ours, theirs) = tokio::io::duplex(1 << 16);
        let (client, connection) = h2::client::handshake(theirs).await.unwrap();
        let asking = async {
            let named = |id: &str| Named { id: id.to_owned() };
            let mut secret = grpc::call(&client, SECRET, &named("s")).await.unwrap();
            assert_eq!(secret.next::<Data>().await.unwrap().unwrap().data, b"hidden");
            for (method, id) in [(SECRET, "none"), (AGENT, "none"), ("/other", "")] {
                let mut refused = grpc::call(&client, method, &named(id)).await.unwrap();
                let error = refused.next::<Data>().await.unwrap_err();
                assert!(error.downcast_ref::<Status>().is_some(), "{method}: {error:#}");
            }
            let request = Request::post(format!("http://session{TALK}"));
            let request = request.header(AGENT_ID, "mine").body(()).unwrap();
            let mut client = client.clone().ready().await.unwrap();
            let (answer, body) = client.send_request(request, false).unwrap();
            let mut outgoing = Outgoing(body);
            outgoing.send(&Data { data: b"question".to_vec() }).await.unwrap();
            let mut incoming = Incoming::new(answer.await.unwrap().into_body());
            assert_eq!(incoming.next::<Data>().await.unwrap().unwrap().data, b"QUESTION");
            outgoing.0.send_data(Bytes::new(), true).unwrap();
            assert!(incoming.next::<Data>().await.unwrap().is_none());
        };
        let known = BTreeMap::new();
        tokio::select! {
            ((), ()) = async { tokio::join!(asking, answer_one(agent)) } => {}
            ended = connection => panic!("{ended:?}"),
            ended = serve(Box::new(ours), &offers, &known) => panic!("{ended:?}"),
        }
    }
}
