//! Programs that keep credentials: `docker-credential-NAME get`, with a deadline.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use secrecy::SecretString;
use serde::Deserialize;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use crate::image::Credentials;

/// Longest wait for a helper: some of them ask a cloud, none may ask a person.
const DEADLINE: Duration = Duration::from_secs(10);
/// What a helper says, on standard output, where it has nothing; part of the protocol.
const NOT_FOUND: &str = "credentials not found";
/// The user name that says the secret is an identity token.
const TOKEN_USER: &str = "<token>";

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    username: String,
    secret: SecretString,
}

/// Asks a helper for the credentials of a registry.
///
/// # Errors
///
/// When it is missing, fails, or does not answer in time.
pub(super) async fn get(name: &str, registry: &str) -> Result<Option<Credentials>> {
    let is_plain = |it: char| it.is_ascii_alphanumeric() || matches!(it, '-' | '_' | '.');
    if !name.chars().all(is_plain) {
        bail!("credential helper `{name}`: expected a name without a path, e.g. `pass`");
    }
    let program = format!("docker-credential-{name}");
    let asked = tokio::time::timeout(DEADLINE, ask(&program, registry)).await;
    let Ok(asked) = asked else {
        bail!(
            "`{program}` did not answer for `{registry}` in {} s: does it wait for a person?",
            DEADLINE.as_secs()
        );
    };
    asked.with_context(|| format!("ask `{program}` for the credentials of `{registry}`"))
}

async fn ask(program: &str, registry: &str) -> Result<Option<Credentials>> {
    let mut child = Command::new(program)
        .arg("get")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        // The deadline drops us, and the child with us.
        .kill_on_drop(true)
        .spawn()
        .context("start it: is it installed, and in our PATH?")?;
    if let Some(mut input) = child.stdin.take() {
        // One that does not read its input answers all the same, or fails, which we see.
        let _ = input.write_all(registry.as_bytes()).await;
    }
    let output = child.wait_with_output().await.context("read its answer")?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stdout);
        if said.trim().starts_with(NOT_FOUND) {
            return Ok(None);
        }
        // What it says on failure is a message; the secret is said on success only.
        bail!("it failed: {}", said.trim());
    }
    let Ok(answer) = serde_json::from_slice::<Answer>(&output.stdout) else {
        bail!("it answered something else than a user and a secret");
    };
    Ok(Some(match answer.username.as_str() {
        TOKEN_USER => Credentials::IdentityToken(answer.secret),
        _ => Credentials::Password { username: answer.username, password: answer.secret },
    }))
}
