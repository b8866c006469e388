//! `http`: calls, with a login before and expectations after.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::{StreamExt, stream};
use indexmap::IndexMap;
use regex_lite::Regex;
use tokio::time::Instant;
use tracing::{debug, info, warn};

use super::sink::OUT;
use super::{Answer, Context, failed, stopped};
use crate::apply::seconds;
use crate::compose::model::Hidden;
use crate::http::{Answer as HttpAnswer, Call, Class, Client, Failure, shown_hidden};
use crate::job::work::{Expect, Http, Step, WaitFor};
use crate::run::{Details, Ending, Outcome, Reason};

/// Bytes of an answer that the log gets.
const LOGGED: usize = 4096;
/// The longest pause between two tries of a call, whatever a server says.
const LONGEST_PAUSE: Duration = Duration::from_mins(10);
/// The longest one try of a `wait_for` takes.
const LONGEST_LOOK: Duration = Duration::from_secs(10);
/// Bytes of an answer that a message quotes.
const QUOTED: usize = 200;

pub(super) async fn http(context: Context<'_>, work: &Http) -> Answer {
    let begun = Instant::now();
    let first = work.login.iter().chain(&work.steps).next();
    let command = first.map(|step| vec![step.method.clone(), shown_hidden(&step.url)]);
    let made_of = |details: &mut Details| details.command = command.unwrap_or_default();
    context.made_of(made_of).await;
    let client = match Client::new(&work.connection) {
        Ok(client) => client,
        Err(error) => return Ok(failed(Reason::PrepareFailed, format!("{error:#}"))),
    };
    let calls = async {
        for wait in &work.wait_for {
            let what = format!("wait for {}", shown_hidden(&wait.url));
            context.journal.step(what, wait_until(&client, wait)).await.map_err(ending_of)?;
        }
        if let Some(login) = &work.login {
            call_step(context, &client, (login, "log in"), false).await?;
        }
        all_steps(context, &client, work).await
    };
    let done = tokio::select! {
        done = calls => done,
        () = context.cancel.cancelled() => return Ok(stopped("stopped between or in its calls")),
    };
    Ok(match done {
        Ok(calls) => {
            let calls = if calls == 1 { "1 call".to_owned() } else { format!("{calls} calls") };
            let message = format!("{calls} as expected in {}", seconds(begun));
            Ending::new(Outcome::Succeeded, Reason::Done, message)
        }
        Err(ending) => ending,
    })
}

/// All steps, in order or several at once, up to the first failure.
async fn all_steps(context: Context<'_>, client: &Client, work: &Http) -> Result<usize, Ending> {
    let mut calls: Vec<BoxFuture<'_, _>> = Vec::new();
    for step in &work.steps {
        calls.push(Box::pin(call_step(context, client, (step, ""), true)));
    }
    let mut running = stream::iter(calls).buffer_unordered(work.parallel.max(1));
    let mut count = 0;
    while let Some(done) = running.next().await {
        done?;
        count += 1;
    }
    Ok(count)
}

/// Makes one call until its answer is as expected, or its tries are over.
pub(super) async fn call_step(
    context: Context<'_>,
    client: &Client,
    (step, role): (&Step, &str),
    tells_body: bool,
) -> Result<HttpAnswer, Ending> {
    let address = format!("{} {}", step.method, shown_hidden(&step.url));
    let name = match (&step.name, role) {
        (Some(name), _) => format!("{name} ({address})"),
        (None, "") => address.clone(),
        (None, role) => format!("{role}: {address}"),
    };
    let work = async {
        let answer = tries(client, step, (&name, None)).await?;
        let line = format!(
            "{name} -> {} in {} s, {}{} bytes",
            answer.status,
            answer.took.as_secs_f64(),
            answer.body.len(),
            if answer.is_cut { " and more" } else { "" }
        );
        context.sink.line(OUT, &line);
        // What a login answers may open doors.
        if tells_body && let Some(text) = answer.text().filter(|text| !text.trim().is_empty()) {
            context.sink.line(OUT, head(&text, LOGGED));
        }
        anyhow::Ok(answer)
    };
    context.journal.step(&name, work).await.map_err(ending_of)
}

/// What went wrong with a call, as an error on its way through the journal.
#[derive(Debug)]
pub(super) struct Wrong {
    pub(super) reason: Reason,
    /// The class of what kept the answer away; `None` where there was one that is not as expected.
    pub(super) class: Option<Class>,
    pub(super) message: String,
}

impl std::fmt::Display for Wrong {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl std::error::Error for Wrong {}

pub(super) fn ending_of(error: anyhow::Error) -> Ending {
    match error.downcast::<Wrong>() {
        Ok(wrong) => failed(wrong.reason, wrong.message),
        Err(error) => failed(Reason::Internal, format!("{error:#}")),
    }
}

/// When calls may begin, where they are to be no closer than so.
#[derive(Debug)]
pub(super) struct Pace {
    apart: Duration,
    next: Mutex<Instant>,
}

impl Pace {
    pub(super) fn per_second(count: u32) -> Self {
        Self { apart: Duration::from_secs(1) / count.max(1), next: Mutex::new(Instant::now()) }
    }

    /// Waits for the turn of one more call.
    async fn turn(&self) {
        let mine = {
            let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
            let mine = (*next).max(Instant::now());
            *next = mine + self.apart;
            mine
        };
        tokio::time::sleep_until(mine).await;
    }
}

/// All tries of a call; the last one's failure says how it is called.
pub(super) async fn tries(
    client: &Client,
    step: &Step,
    (name, pace): (&str, Option<&Pace>),
) -> Result<HttpAnswer, Wrong> {
    let mut pause = step.backoff;
    for number in 0..=step.retries {
        if let Some(pace) = pace {
            pace.turn().await;
        }
        let wrong = match one_try(client, step).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err((answer, why))) => {
                let wrong = Wrong { reason: Reason::ExpectationFailed, class: None, message: why };
                (wrong, answer.header("retry-after").and_then(whole_seconds))
            }
            Err(failure) => {
                let (class, message) = (Some(failure.class), failure.to_string());
                if failure.class == Class::Invalid {
                    let (reason, message) =
                        (Reason::ConfigurationInvalid, format!("{name}: {message}"));
                    return Err(Wrong { reason, class, message });
                }
                (Wrong { reason: Reason::HttpFailed, class, message }, None)
            }
        };
        let (wrong, asked) = wrong;
        if number == step.retries {
            let after = match step.retries {
                0 => String::new(),
                retries => format!(" (try {} of {0})", retries + 1),
            };
            let message = format!("{name}: {}{after}", wrong.message);
            return Err(Wrong { message, ..wrong });
        }
        let wait = pause.max(asked.unwrap_or_default()).min(LONGEST_PAUSE);
        info!("{name}: {}; trying again in {} s", wrong.message, wait.as_secs_f64());
        tokio::time::sleep(wait).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
    Err(Wrong {
        reason: Reason::Internal,
        class: None,
        message: format!("{name}: it was not tried"),
    })
}

/// An answer that is as expected, or one that is not, and why.
pub(super) type Judged = Result<HttpAnswer, (HttpAnswer, String)>;

pub(super) async fn one_try(client: &Client, step: &Step) -> Result<Judged, Failure> {
    let call = Call {
        method: &step.method,
        url: step.url.expose(),
        headers: exposed(&step.headers),
        body: step.body.as_ref().map(|body| body.expose().as_bytes().to_vec()),
        timeout: step.timeout,
    };
    let answer = client.call(&call).await?;
    Ok(match judge(&step.expect, &answer) {
        Ok(()) => Ok(answer),
        Err(why) => Err((answer, why)),
    })
}

/// Headers as they are sent.
pub(super) fn exposed(headers: &IndexMap<String, Hidden>) -> Vec<(&str, &str)> {
    headers.iter().map(|(name, value)| (name.as_str(), value.expose())).collect()
}

/// Seconds of a `Retry-After`.
pub(super) fn whole_seconds(text: &str) -> Option<Duration> {
    text.trim().parse().ok().map(Duration::from_secs)
}

/// Waits until an address answers as expected.
async fn wait_until(client: &Client, wait: &WaitFor) -> anyhow::Result<()> {
    let deadline = Instant::now() + wait.timeout;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let call = Call {
            method: "GET",
            url: wait.url.expose(),
            headers: Vec::new(),
            body: None,
            timeout: left.min(LONGEST_LOOK).max(Duration::from_millis(1)),
        };
        let why = match client.call(&call).await {
            Ok(answer) => match judge(&wait.expect, &answer) {
                Ok(()) => return Ok(()),
                Err(why) => why,
            },
            Err(failure) if failure.class == Class::Invalid => {
                let message = format!("{}: {failure}", shown_hidden(&wait.url));
                let (reason, class) = (Reason::ConfigurationInvalid, Some(failure.class));
                return Err(Wrong { reason, class, message }.into());
            }
            Err(failure) => failure.to_string(),
        };
        if Instant::now() + wait.every >= deadline {
            let message = format!(
                "{} was not there within {} s: {why}",
                shown_hidden(&wait.url),
                wait.timeout.as_secs_f64()
            );
            warn!("{message}");
            return Err(Wrong { reason: Reason::HttpFailed, class: None, message }.into());
        }
        debug!("{}: {why}", shown_hidden(&wait.url));
        tokio::time::sleep(wait.every).await;
    }
}

/// Whether an answer is as expected, and why not.
fn judge(expect: &Expect, answer: &HttpAnswer) -> Result<(), String> {
    let usual = [(200, 299)];
    let accepted = if expect.status.is_empty() { &usual[..] } else { &expect.status };
    let status = answer.status;
    if !accepted.iter().any(|(from, to)| (*from..=*to).contains(&status)) {
        let list: Vec<String> = accepted
            .iter()
            .map(|(from, to)| if from == to { from.to_string() } else { format!("{from}-{to}") })
            .collect();
        let said = answer.text().unwrap_or_default();
        let said = head(said.trim(), QUOTED);
        let said = if said.is_empty() { String::new() } else { format!(": {said}") };
        return Err(format!("answered {status}, expected {}{said}", list.join(", ")));
    }
    if let Some(pattern) = &expect.body {
        let regex = Regex::new(pattern)
            .map_err(|error| format!("`{pattern}` is no regular expression: {error}"))?;
        let text = String::from_utf8_lossy(&answer.body);
        if !regex.is_match(&text) {
            let seen = if answer.is_cut { " (only its beginning was read)" } else { "" };
            return Err(format!(
                "`{pattern}` is not in the body{seen}: {}",
                head(text.trim(), QUOTED)
            ));
        }
    }
    if expect.json.is_empty() {
        return Ok(());
    }
    let body = answer.json().ok_or_else(|| {
        let text = String::from_utf8_lossy(&answer.body);
        format!("the body is no JSON: {}", head(text.trim(), QUOTED))
    })?;
    for (pointer, wanted) in &expect.json {
        match body.pointer(pointer) {
            Some(found) if same(found, wanted) => {}
            Some(found) => {
                let found = found.to_string();
                let found = head(&found, QUOTED);
                return Err(format!("`{pointer}` is {found}, expected {wanted}"));
            }
            None => return Err(format!("`{pointer}` is not in the body, expected {wanted}")),
        }
    }
    Ok(())
}

/// Numbers are equal by value: 1 is 1.0.
fn same(found: &serde_json::Value, wanted: &serde_json::Value) -> bool {
    match (found.as_f64(), wanted.as_f64()) {
        (Some(found), Some(wanted)) => found.total_cmp(&wanted).is_eq(),
        _ => found == wanted,
    }
}

/// The first bytes of a text, cut between characters.
pub(super) fn head(text: &str, bytes: usize) -> &str {
    let end = (0..=bytes.min(text.len())).rev().find(|at| text.is_char_boundary(*at));
    &text[..end.unwrap_or_default()]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn answers_are_judged_by_status_body_and_values() {
        let answer = |status, body: &str| HttpAnswer {
            status,
            headers: IndexMap::new(),
            body: body.as_bytes().to_vec(),
            is_cut: false,
            url: crate::http::Url::parse("http://h/").unwrap(),
            took: Duration::ZERO,
        };
        let status =
            |status: &[(u16, u16)]| Expect { status: status.to_vec(), ..Expect::default() };
        let body = |pattern: &str| Expect { body: Some(pattern.to_owned()), ..Expect::default() };
        let value = |pointer: &str, value| Expect {
            json: [(pointer.to_owned(), value)].into_iter().collect(),
            ..Expect::default()
        };
        for (expect, status, text, why) in [
            (Expect::default(), 200, "", None),
            (Expect::default(), 299, "", None),
            (Expect::default(), 301, "", Some("answered 301, expected 200-299")),
            (Expect::default(), 500, "oh no", Some("answered 500, expected 200-299: oh no")),
            (status(&[(201, 201), (409, 409)]), 409, "", None),
            (status(&[(201, 201), (409, 409)]), 200, "", Some("answered 200, expected 201, 409")),
            (body("^o.$"), 200, "ok", None),
            (body("^ok$"), 200, "not ok", Some("`^ok$` is not in the body: not ok")),
            (body("("), 200, "", Some("`(` is no regular expression")),
            (value("/a/0", json!("x")), 200, r#"{"a": ["x"]}"#, None),
            (value("/n", json!(1)), 200, r#"{"n": 1.0}"#, None),
            (
                value("/a", json!(true)),
                200,
                r#"{"a": false}"#,
                Some("`/a` is false, expected true"),
            ),
            (value("/b", json!(1)), 200, "{}", Some("`/b` is not in the body, expected 1")),
            (value("/b", json!(1)), 200, "<p>", Some("the body is no JSON: <p>")),
        ] {
            let found = judge(&expect, &answer(status, text)).err();
            match (&found, why) {
                (Some(found), Some(why)) => assert!(found.starts_with(why), "{found}"),
                _ => assert_eq!(found.as_deref(), why, "{expect:?} {status} {text}"),
            }
        }
    }

    #[test]
    fn texts_are_cut_between_characters() {
        for (text, bytes, expected) in
            [("abc", 2, "ab"), ("abc", 9, "abc"), ("aé", 2, "a"), ("", 3, "")]
        {
            assert_eq!(head(text, bytes), expected);
        }
    }
}
