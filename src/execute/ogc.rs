//! `ogc_process`: a process of an OGC API Processes server (OGC 18-062r2), followed to its end.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use tokio::time::Instant;
use tracing::{debug, info, warn};

use super::http::{exposed, head, one_try, whole_seconds};
use super::sink::REMOTE;
use super::{Answer, Context, failed, stopped};
use crate::apply::seconds;
use crate::http::{Answer as HttpAnswer, Call, Client, Failure, Url, shown};
use crate::job::work::{Connection, OgcMode, OgcProcess, OnTimeout, Step};
use crate::run::{Details, Ending, Outcome, Reason, Remote};

/// Redirects that are followed.
const REDIRECTS: usize = 10;
/// Longest time of one call that answers at once.
const CALL_TIMEOUT: Duration = Duration::from_mins(1);
/// Looks at the status that may fail in a row before the server is given up.
const FAILURES_IN_A_ROW: usize = 20;
/// Bytes of a result that are kept.
const LARGEST_RESULT: usize = 64 * 1024;
/// Bytes of an error that a message quotes.
const QUOTED: usize = 1000;

/// The header that asks for JSON.
const ACCEPT: (&str, &str) = ("accept", "application/json");

/// One server, and how it is spoken to.
struct Server<'a> {
    client: Client,
    work: &'a OgcProcess,
    base: Url,
}

/// Where a remote job stands, whatever profile its server speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Status {
    Queued,
    Running,
    Succeeded,
    Failed,
    Dismissed,
}

/// How the execution went on.
enum Begun {
    /// The answer held the results.
    Done(HttpAnswer),
    /// A job to look at.
    Job(Url),
}

pub(super) async fn process(context: Context<'_>, work: &OgcProcess) -> Answer {
    let command = vec!["POST".to_owned(), shown(&execution_address(work))];
    context.made_of(|details| details.command = command).await;
    Ok(to_its_end(context, work, None).await)
}

/// Goes on with a job that was asked for before a restart of ours.
pub(super) async fn go_on(context: Context<'_>, work: &OgcProcess, remote: Remote) -> Answer {
    Ok(to_its_end(context, work, Some(remote)).await)
}

/// Follows what is there, or asks for a new one, until it ends or is to be stopped.
async fn to_its_end(context: Context<'_>, work: &OgcProcess, remote: Option<Remote>) -> Ending {
    let begun = Instant::now();
    let server = match Server::new(work) {
        Ok(server) => server,
        Err(error) => return failed(Reason::PrepareFailed, format!("{error:#}")),
    };
    // A path with its query keeps the server, and who we are there, as the job has them.
    let mut location = match remote.as_ref().map(|it| server.base.join(&it.status)) {
        None => None,
        Some(Ok(at)) => Some(at),
        Some(Err(error)) => {
            let message = format!("the address of the remote job cannot be read: {error}");
            return failed(Reason::Internal, message);
        }
    };
    let log = RemoteLog::after(remote.map_or(0, |remote| remote.log_lines));
    let ended = tokio::select! {
        ended = carry_out(context, &server, (&mut location, log), begun) => Some(ended),
        () = context.cancel.cancelled() => None,
    };
    if let Some(ending) = ended {
        return ending;
    }
    let is_over = context.timed_out.load(std::sync::atomic::Ordering::Relaxed);
    stopped(match location {
        None => "stopped before the server named a job".to_owned(),
        Some(at) if is_over && work.on_timeout == OnTimeout::Leave => {
            format!("the remote job {} goes on, as `on_timeout: leave` says", shown(at.as_str()))
        }
        Some(at) => server.dismiss(&at).await,
    })
}

fn execution_address(work: &OgcProcess) -> String {
    let base = work.url.expose().trim_end_matches('/');
    let process = segment(&work.process);
    match &work.provider {
        Some(provider) => {
            format!("{base}/providers/{}/processes/{process}/execution", segment(provider))
        }
        None => format!("{base}/processes/{process}/execution"),
    }
}

/// A piece of a path: what means something there is encoded.
pub(super) fn segment(text: &str) -> String {
    use std::fmt::Write as _;
    text.bytes().fold(String::new(), |mut encoded, byte| {
        if byte.is_ascii_alphanumeric() || b"-_.~:@".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
        encoded
    })
}

/// From the login to the end. Keeps the job's address where it is found, so that it can be dismissed, and
/// looked at after a restart.
async fn carry_out(
    context: Context<'_>,
    server: &Server<'_>,
    (location, log): (&mut Option<Url>, RemoteLog),
    begun: Instant,
) -> Ending {
    let work = server.work;
    if let Some(login) = &work.login {
        let logged_in = context.journal.step("log in", server.log_in(login)).await;
        if let Err(error) = logged_in {
            return failed(Reason::HttpFailed, format!("{error:#}"));
        }
    }
    let at = if let Some(at) = location {
        info!("looks on at the remote job {}", shown(at.as_str()));
        at.clone()
    } else {
        let what = format!("execute process {}", work.process);
        let at = match context.journal.step(&what, server.execute(context.job.timeout)).await {
            Ok(Begun::Done(answer)) => return succeeded(context, &answer, begun).await,
            Ok(Begun::Job(at)) => at,
            Err(error) => return failed(Reason::RemoteFailed, format!("{what}: {error:#}")),
        };
        let query = at.query().map_or_else(String::new, |query| format!("?{query}"));
        let remote = Remote { status: format!("{}{query}", at.path()), log_lines: 0 };
        context.made_of(|details| details.remote = Some(remote)).await;
        context.sink.line(REMOTE, &format!("job {}", shown(at.as_str())));
        location.insert(at).clone()
    };
    let (status, document) = match poll(context, server, &at, log).await {
        Ok(ended) => ended,
        Err(message) => return failed(Reason::HttpFailed, message),
    };
    match status {
        Status::Succeeded => match server.get(&under(&at, "results")).await {
            Ok(answer) if (200..300).contains(&answer.status) => {
                succeeded(context, &answer, begun).await
            }
            Ok(answer) => {
                let message = format!(
                    "the job succeeded, and its results cannot be had: {}",
                    problem(&answer)
                );
                failed(Reason::RemoteFailed, message)
            }
            Err(failure) => {
                let message =
                    format!("the job succeeded, and its results cannot be had: {failure}");
                failed(Reason::HttpFailed, message)
            }
        },
        Status::Dismissed => {
            let message = "the remote job was dismissed there";
            Ending::new(Outcome::Cancelled, Reason::Dismissed, message)
        }
        Status::Failed | Status::Queued | Status::Running => {
            let why = server.why_it_failed(&at, &document).await;
            failed(Reason::RemoteFailed, format!("the remote job failed: {why}"))
        }
    }
}

/// Keeps the results with the run.
async fn succeeded(context: Context<'_>, answer: &HttpAnswer, begun: Instant) -> Ending {
    let results = bounded(answer);
    context.made_of(|details| details.results = Some(results)).await;
    let message = format!("succeeded after {}, its results are kept", seconds(begun));
    Ending::new(Outcome::Succeeded, Reason::Done, message)
}

/// Results as they are kept: all of them, or their beginning.
fn bounded(answer: &HttpAnswer) -> Value {
    let text = String::from_utf8_lossy(&answer.body);
    if answer.body.len() <= LARGEST_RESULT && !answer.is_cut {
        return answer.json().unwrap_or_else(|| Value::String(text.into_owned()));
    }
    let what = if answer.is_cut { "at least " } else { "" };
    json!({
        "cut": format!("the beginning of {what}{} bytes", answer.body.len()),
        "beginning": head(&text, LARGEST_RESULT),
    })
}

/// Looks at a job until it ends; tells progress, message and log as they grow.
async fn poll(
    context: Context<'_>,
    server: &Server<'_>,
    at: &Url,
    mut log: RemoteLog,
) -> Result<(Status, Value), String> {
    let (shortest, longest) = server.work.poll;
    let mut usual = shortest;
    let mut told = String::new();
    let mut failures = 0;
    loop {
        let (asked, document) = match server.look(at, (context.world.now)()).await {
            Ok(looked) => {
                failures = 0;
                looked
            }
            Err(Look::Gone(message)) => return Err(message),
            Err(Look::Unwell(message)) => {
                failures += 1;
                if failures >= FAILURES_IN_A_ROW {
                    return Err(format!(
                        "{failures} looks at the status failed in a row: {message}"
                    ));
                }
                warn!("look at {}: {message}", shown(at.as_str()));
                tokio::time::sleep(usual.max(shortest).min(longest)).await;
                usual = (usual * 2).min(longest);
                continue;
            }
        };
        let line = told_as(&document);
        if line != told {
            context.sink.line(REMOTE, &line);
            told = line;
            // Where something moves, more may.
            usual = shortest;
        }
        log.tell_news(context, server, at).await;
        let word = document["status"].as_str().unwrap_or_default();
        match status(word) {
            Some(Status::Queued | Status::Running) => {}
            Some(ended) => return Ok((ended, document)),
            None => debug!("`{word}` is no status that we know: taken for running"),
        }
        let asked = asked.or_else(|| next_poll(&document, (context.world.now)()));
        let pause = asked.unwrap_or(usual).clamp(shortest, longest.max(shortest));
        tokio::time::sleep(pause).await;
        usual = (usual + usual / 2).min(longest);
    }
}

/// The words of all profiles in one table.
fn status(word: &str) -> Option<Status> {
    Some(match word.to_ascii_lowercase().as_str() {
        "created" | "accepted" | "queued" | "pending" => Status::Queued,
        "running" | "started" | "paused" => Status::Running,
        "successful" | "succeeded" | "finished" | "success" => Status::Succeeded,
        "failed" | "error" | "exception" | "failure" => Status::Failed,
        "dismissed" | "cancelled" | "canceled" | "revoked" => Status::Dismissed,
        _ => return None,
    })
}

/// Status, progress and message in one line.
fn told_as(document: &Value) -> String {
    let word = document["status"].as_str().unwrap_or("(no status)");
    let progress = ["progress", "percentCompleted"].iter().find_map(|key| document[*key].as_f64());
    let progress = progress.map_or_else(String::new, |progress| format!(", {progress} %"));
    let message = document["message"].as_str().unwrap_or_default().trim();
    let message = if message.is_empty() { String::new() } else { format!(": {message}") };
    format!("{word}{progress}{}", head(&message, QUOTED))
}

/// The pause until the time at which the server wants to be asked again.
fn next_poll(document: &Value, now: DateTime<Utc>) -> Option<Duration> {
    let at = DateTime::parse_from_rfc3339(document["nextPoll"].as_str()?).ok()?;
    (at.with_timezone(&Utc) - now).to_std().ok()
}

/// The pause that a `Retry-After` asks for: seconds, or a date.
fn retry_after(answer: &HttpAnswer, now: DateTime<Utc>) -> Option<Duration> {
    let text = answer.header("retry-after")?;
    whole_seconds(text).or_else(|| {
        let at = DateTime::parse_from_rfc2822(text).ok()?;
        (at.with_timezone(&Utc) - now).to_std().ok()
    })
}

/// How much of a job's log at the server was told.
struct RemoteLog {
    told: usize,
    is_missing: bool,
}

impl RemoteLog {
    /// One of which so many lines were told before.
    fn after(told: usize) -> Self {
        Self { told, is_missing: false }
    }

    /// Tells lines that are new; a server without logs is asked once.
    async fn tell_news(&mut self, context: Context<'_>, server: &Server<'_>, at: &Url) {
        if self.is_missing {
            return;
        }
        let Ok(answer) = server.get(&under(at, "logs")).await else { return };
        if !(200..300).contains(&answer.status) {
            // Some have none before the job runs.
            self.is_missing = self.told == 0 && matches!(answer.status, 400 | 404 | 405 | 501);
            return;
        }
        let lines = log_lines(&answer);
        for line in lines.iter().skip(self.told) {
            context.sink.line(REMOTE, line);
        }
        if lines.len() > self.told {
            self.told = lines.len();
            let in_ours = |details: &mut Details| {
                details.remote.get_or_insert_default().log_lines = lines.len();
            };
            context.made_of(in_ours).await;
        }
    }
}

/// A list of texts, as Weaver has it, or text.
fn log_lines(answer: &HttpAnswer) -> Vec<String> {
    match answer.json() {
        Some(Value::Array(items)) => items
            .into_iter()
            .map(|item| match item {
                Value::String(text) => text,
                other => other.to_string(),
            })
            .collect(),
        Some(_) => Vec::new(),
        None => answer.text().unwrap_or_default().lines().map(str::to_owned).collect(),
    }
}

/// Why there is no look at a status.
enum Look {
    /// The server does not know the job.
    Gone(String),
    /// It may know next time.
    Unwell(String),
}

impl<'a> Server<'a> {
    fn new(work: &'a OgcProcess) -> anyhow::Result<Self> {
        use anyhow::Context as _;
        let connection = Connection {
            ca_file: work.ca_file.clone(),
            redirects: REDIRECTS,
            ..Connection::default()
        };
        let base = Url::parse(work.url.expose()).context("the address of the server")?;
        Ok(Self { client: Client::new(&connection)?, work, base })
    }

    async fn log_in(&self, step: &Step) -> anyhow::Result<()> {
        match one_try(&self.client, step).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err((_, why))) => Err(anyhow::anyhow!("log in: {why}")),
            Err(failure) => Err(anyhow::anyhow!("log in: {failure}")),
        }
    }

    async fn call(
        &self,
        (method, url): (&str, &str),
        more: &[(&str, &str)],
        body: Option<&Value>,
        timeout: Duration,
    ) -> Result<HttpAnswer, Failure> {
        let headers = exposed(&self.work.headers).into_iter().chain(more.iter().copied());
        let call = Call {
            method,
            url,
            headers: headers.collect(),
            body: body.map(|body| body.to_string().into_bytes()),
            timeout,
        };
        self.client.call(&call).await
    }

    /// A call without a body, of an address that the server gave.
    async fn ask(&self, method: &str, url: &Url) -> Result<HttpAnswer, Failure> {
        self.call((method, url.as_str()), &[ACCEPT], None, CALL_TIMEOUT).await
    }

    async fn get(&self, url: &Url) -> Result<HttpAnswer, Failure> {
        self.ask("GET", url).await
    }

    /// Asks for the execution.
    async fn execute(&self, timeout: Duration) -> anyhow::Result<Begun> {
        let work = self.work;
        let mut body = json!({ "inputs": work.inputs });
        if let Some(outputs) = &work.outputs {
            body["outputs"] = outputs.clone();
        }
        if work.inputs.is_null() {
            body["inputs"] = json!({});
        }
        let mut headers = vec![ACCEPT, ("content-type", "application/json")];
        if work.mode == OgcMode::Async {
            headers.push(("prefer", "respond-async"));
        }
        // A server that answers with the results takes as long as they do.
        let timeout = if work.mode == OgcMode::Async { CALL_TIMEOUT } else { timeout };
        let address = execution_address(work);
        let answer = self.call(("POST", &address), &headers, Some(&body), timeout).await;
        let answer = answer.map_err(|failure| anyhow::anyhow!("{failure}"))?;
        if !(200..300).contains(&answer.status) {
            anyhow::bail!("{}", problem(&answer));
        }
        match self.job_of(&answer) {
            Some(at) => Ok(Begun::Job(at)),
            None if answer.status == 201 || answer.status == 202 => {
                anyhow::bail!("the server made a job, and does not say where it is")
            }
            None => Ok(Begun::Done(answer)),
        }
    }

    /// Where the job is that an answer speaks of.
    fn job_of(&self, answer: &HttpAnswer) -> Option<Url> {
        let document = answer.json().unwrap_or_default();
        let id = document["jobID"].as_str().or_else(|| document["id"].as_str());
        let is_job = answer.status == 201 || answer.status == 202 || document["jobID"].is_string();
        if !is_job {
            return None;
        }
        let named = answer.header("location").or_else(|| document["location"].as_str());
        match named.and_then(|text| answer.url.join(text).ok()) {
            Some(at) if same_origin(&at, &self.base) => Some(at),
            // Cookies and tokens of ours go to the server that they are for: one that takes itself for
            // another, behind a proxy, is asked by the name that we know.
            Some(at) => {
                let last = at.path_segments()?.rfind(|part| !part.is_empty())?.to_owned();
                let at_base = self.at_base(&last)?;
                info!(
                    "the server calls the job {}, we ask at {}",
                    shown(at.as_str()),
                    shown(at_base.as_str())
                );
                Some(at_base)
            }
            None => self.at_base(&segment(id?)),
        }
    }

    fn at_base(&self, id: &str) -> Option<Url> {
        let base = self.work.url.expose().trim_end_matches('/');
        Url::parse(&format!("{base}/jobs/{id}")).ok()
    }

    /// The status document, and the pause that the server asks for.
    async fn look(&self, at: &Url, now: DateTime<Utc>) -> Result<(Option<Duration>, Value), Look> {
        let answer = self.get(at).await.map_err(|failure| Look::Unwell(failure.to_string()))?;
        match answer.status {
            200..300 => {}
            404 | 410 | 401 | 403 => return Err(Look::Gone(problem(&answer))),
            _ => return Err(Look::Unwell(problem(&answer))),
        }
        let Some(document) = answer.json() else {
            return Err(Look::Unwell("the status is no JSON".to_owned()));
        };
        Ok((retry_after(&answer, now), document))
    }

    /// The message of the status, and what the server says beside it.
    async fn why_it_failed(&self, at: &Url, document: &Value) -> String {
        let message = document["message"].as_str().unwrap_or_default().trim().to_owned();
        for place in ["exceptions", "results"] {
            let Ok(answer) = self.get(&under(at, place)).await else { continue };
            let said = match (place, answer.json()) {
                ("exceptions", Some(Value::Array(items))) if !items.is_empty() => {
                    Value::Array(items).to_string()
                }
                (_, Some(found)) if found["detail"].is_string() || found["title"].is_string() => {
                    problem(&answer)
                }
                (_, Some(found)) if found["description"].is_string() => {
                    found["description"].as_str().unwrap_or_default().to_owned()
                }
                _ => continue,
            };
            let said = head(&said, QUOTED);
            return if message.is_empty() || said.contains(&message) {
                said.to_owned()
            } else {
                format!("{message}: {said}")
            };
        }
        if message.is_empty() { "its server does not say why".to_owned() } else { message }
    }

    /// Dismisses a job and says how that went.
    async fn dismiss(&self, at: &Url) -> String {
        let name = shown(at.as_str());
        match self.ask("DELETE", at).await {
            Ok(answer) if (200..300).contains(&answer.status) => {
                format!("the remote job {name} was dismissed")
            }
            // Dismissed before, or ended.
            Ok(answer) if answer.status == 410 => {
                format!("the remote job {name} was dismissed before")
            }
            Ok(answer) => {
                let said = problem(&answer);
                format!("the remote job {name} may go on: its server did not dismiss it: {said}")
            }
            Err(failure) => format!("the remote job {name} may go on: {failure}"),
        }
    }
}

fn same_origin(one: &Url, other: &Url) -> bool {
    one.scheme() == other.scheme()
        && one.host_str() == other.host_str()
        && one.port_or_known_default() == other.port_or_known_default()
}

/// An address below another.
fn under(at: &Url, name: &str) -> Url {
    let mut url = at.clone();
    let path = format!("{}/{name}", at.path().trim_end_matches('/'));
    url.set_path(&path);
    url.set_query(None);
    url
}

/// What a server says is wrong: problem JSON (RFC 9457) where it speaks it.
fn problem(answer: &HttpAnswer) -> String {
    let said = match answer.json() {
        Some(found) => {
            let text = |key: &str| found[key].as_str().map(str::to_owned);
            let cause = match &found["cause"] {
                Value::Null => None,
                Value::String(cause) => Some(cause.clone()),
                other => Some(other.to_string()),
            };
            let parts = [text("title"), text("detail").or(text("description")), cause];
            parts.into_iter().flatten().collect::<Vec<_>>().join(": ")
        }
        None => answer.text().unwrap_or_default().trim().to_owned(),
    };
    if said.is_empty() {
        return format!("answered {}", answer.status);
    }
    format!("answered {}: {}", answer.status, head(&said, QUOTED))
}

#[cfg(test)]
mod tests;
