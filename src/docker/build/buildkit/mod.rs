//! Building with `BuildKit`, the way docker's own client does: a session on which we answer, and a
//! connection on which we ask for the build and hear how it goes.
//!
//! Nothing of the library that speaks to the rest of the Engine serves here: it would bring a gRPC
//! framework for five small messages, hold a context in memory, and tell no progress.

mod agent;
mod connect;
mod failure;
mod grpc;
mod messages;
mod named;
mod offers;
mod request;
mod session;
mod sync;
mod trace;

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::pin::pin;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use bytes::Bytes;
use h2::client::SendRequest;
use sha2::{Digest as _, Sha256};

pub(super) use self::connect::Connection;
use self::messages::{Nothing, SolveRequest, StatusRequest, StatusResponse};
use self::offers::{Offers, Sought};
use self::trace::Trace;
use super::{ImageBuild, SILENCE};
use crate::docker::{ApiVersion, Engine, Progress};

/// Names under which the Engine asks for the directory of a build and for its Dockerfile.
const CONTEXT: &str = "context";
const DOCKERFILE_DIRECTORY: &str = "dockerfile";
/// Where the Engine lets us ask, and where it asks us.
const CONTROL_PATH: &str = "/grpc";
const SESSION_PATH: &str = "/session";
/// What is asked.
const SOLVE: &str = "/moby.buildkit.v1.Control/Solve";
const STATUS: &str = "/moby.buildkit.v1.Control/Status";
/// The first API version whose `BuildKit` knows limits: that of Engine 23.0.
const LIMITS: ApiVersion = ApiVersion(1, 42);
/// Longest wait for the last lines of a build that has ended.
const LAST_LINES: Duration = Duration::from_secs(5);

/// Connects to the `BuildKit` of an Engine; `None` where it has none.
///
/// # Errors
///
/// When the Engine cannot be reached.
pub(super) async fn connect(host: &str) -> Result<Option<Connection>> {
    connect::upgrade(host, CONTROL_PATH, &[]).await
}

impl Engine {
    /// Builds with `BuildKit`, and returns the image's id.
    pub(super) async fn build_with_buildkit(
        &self,
        control: Connection,
        wanted: &ImageBuild<'_>,
        sink: &mut (dyn FnMut(Progress) + Send),
    ) -> Result<String> {
        let sought = Sought::of(wanted)?;
        let opened = tokio::task::spawn_blocking(move || sought.open()).await;
        let offers = opened.context("read the context")??;
        let (session, reference) = (unique(), unique());
        let request = request::request(wanted, &offers, &session, &reference)?;
        for key in self.ignored(wanted).await? {
            let line = format!("warning: this Engine's BuildKit ignores `build.{key}`\n");
            sink(Progress::Output(line));
        }
        let answering = self.open_session(wanted, &session).await?;
        solve(control, answering, wanted, (&offers, &request), sink).await?;
        let inspected = self.docker()?.inspect_image(wanted.image).await;
        inspected.context("look at the image")?.id.context("the Engine named no image")
    }

    /// The keys that an older `BuildKit` takes without a word.
    async fn ignored(&self, wanted: &ImageBuild<'_>) -> Result<Vec<&'static str>> {
        let build = wanted.build;
        let keys = [("shm_size", build.shm_size.is_some()), ("ulimits", !build.ulimits.is_empty())];
        let keys = keys.into_iter().filter(|(_, is_used)| *is_used).map(|(key, _)| key);
        let is_old = self.api_version().await? < LIMITS;
        Ok(keys.filter(|_| is_old).collect())
    }

    async fn open_session(&self, wanted: &ImageBuild<'_>, id: &str) -> Result<Connection> {
        // What was sent for the same directory before is compared with, and need not be sent again.
        let place = format!("{}\n{}", wanted.build.context, wanted.service);
        let shared = BASE64.encode(Sha256::digest(place));
        let mut headers = vec![
            ("X-Docker-Expose-Session-Uuid", id),
            ("X-Docker-Expose-Session-Name", "roadstead"),
            ("X-Docker-Expose-Session-Sharedkey", shared.as_str()),
        ];
        let methods = session::METHODS.map(|it| ("X-Docker-Expose-Session-Grpc-Method", it));
        headers.extend(methods);
        let opened = connect::upgrade(self.host(), SESSION_PATH, &headers).await?;
        opened
            .with_context(|| format!("the Engine offers `{CONTROL_PATH}` and no `{SESSION_PATH}`"))
    }
}

async fn solve(
    control: Connection,
    answering: Connection,
    wanted: &ImageBuild<'_>,
    (offers, request): (&Offers, &SolveRequest),
    sink: &mut (dyn FnMut(Progress) + Send),
) -> Result<()> {
    let opened = h2::client::handshake(control).await;
    let (client, connection) = opened.context("speak with BuildKit")?;
    let mut trace = Trace::default();
    let solved = {
        let mut following = pin!(follow(&client, &request.reference, &mut trace, sink));
        let asking = async {
            let mut answer = grpc::call(&client, SOLVE, request).await?;
            while answer.next::<Nothing>().await?.is_some() {}
            Ok(())
        };
        let mut asking = pin!(asking);
        let building = async {
            tokio::select! {
                solved = &mut asking => {
                    let _ = tokio::time::timeout(LAST_LINES, &mut following).await;
                    solved
                }
                followed = &mut following => match followed {
                    Ok(()) => asking.await,
                    Err(error) => Err(error),
                },
            }
        };
        tokio::select! {
            solved = building => solved,
            ended = connection => Err(match ended {
                Ok(()) => anyhow::anyhow!("BuildKit hung up"),
                Err(error) => anyhow::Error::new(error).context("the connection to BuildKit broke"),
            }),
            ended = session::serve(answering, offers, wanted.credentials) => Err(match ended {
                Ok(()) => anyhow::anyhow!("BuildKit ended the session"),
                Err(error) => error,
            }),
        }
    };
    solved.map_err(|error| {
        failure::explained(error, trace.failed.as_deref(), offers.dockerfile_text())
    })
}

/// Tells how a build goes, until it ends.
async fn follow(
    client: &SendRequest<Bytes>,
    reference: &str,
    trace: &mut Trace,
    sink: &mut (dyn FnMut(Progress) + Send),
) -> Result<()> {
    let asked = StatusRequest { reference: reference.to_owned() };
    let Ok(mut answer) = grpc::call(client, STATUS, &asked).await else { return Ok(()) };
    loop {
        match tokio::time::timeout(SILENCE, answer.next::<StatusResponse>()).await {
            Ok(Ok(Some(said))) => {
                let lines = trace.take(&said);
                if !lines.is_empty() {
                    sink(Progress::Output(lines));
                }
            }
            // How the build ended is told by the call that asked for it.
            Ok(Ok(None) | Err(_)) => return Ok(()),
            Err(_) => bail!("BuildKit said nothing for {} minutes", SILENCE.as_secs() / 60),
        }
    }
}

/// A name that nobody has. The standard library's hashers begin with random keys.
fn unique() -> String {
    let part = || RandomState::new().build_hasher().finish();
    format!("{:016x}{:016x}", part(), part())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_not_used_twice() {
        let (one, two) = (unique(), unique());
        assert_ne!(one, two);
        assert_eq!(one.len(), 32);
    }
}
