//! `refresh`: requests that keep the cache of a web server warm. A sick one does not stop the others.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::http::{Pace, Wrong, call_step, ending_of, tries};
use super::sink::OUT;
use super::{Answer, Context, failed, stopped};
use crate::apply::seconds;
use crate::http::{Client, shown_hidden};
use crate::job::work::{Refresh, Step};
use crate::run::{Details, Ending, Outcome, Reason};
use crate::source::counted;

/// Failures that the record names; all are counted.
const NAMED: usize = 100;
/// Failures that the ending names; the log has a line of each.
const TOLD: usize = 5;
/// The class of an answer that is not as expected.
const UNEXPECTED: &str = "unexpected";

/// How one request ended.
struct Ended {
    name: String,
    /// Status and time of the answer, or what went wrong.
    result: Result<(u16, Duration), Wrong>,
}

pub(super) async fn refresh(context: Context<'_>, work: &Refresh) -> Answer {
    let begun = Instant::now();
    let command: Vec<String> = work.requests.iter().take(1).map(name_of).collect();
    context.made_of(|details| details.command = command).await;
    if work.dry_run {
        for line in refresh_lines(work) {
            context.sink.line(OUT, &line);
        }
        let count = counted(work.requests.len(), "request");
        let message = format!("dry run: {count}; nothing was asked for");
        return Ok(Ending::new(Outcome::Succeeded, Reason::Done, message));
    }
    let client = match Client::new(&work.connection) {
        Ok(client) => client,
        Err(error) => return Ok(failed(Reason::PrepareFailed, format!("{error:#}"))),
    };
    let mut ended: Vec<Ended> = Vec::new();
    let calls = async {
        if let Some(login) = &work.login {
            call_step(context, &client, (login, "log in"), false).await?;
        }
        let step = format!("refresh by {}", counted(work.requests.len(), "request"));
        let asking = async {
            ask_all(context, &client, work, &mut ended).await;
            Ok(())
        };
        context.journal.step(step, asking).await.map_err(ending_of)
    };
    let done = tokio::select! {
        done = calls => done,
        () = context.cancel.cancelled() => Err(stopped(String::new())),
    };
    let results = results(work.requests.len(), &ended);
    context.made_of(|details: &mut Details| details.results = Some(results)).await;
    Ok(match done {
        Ok(()) => summary(&ended, &seconds(begun)),
        Err(ending) if ending.outcome == Outcome::Cancelled => {
            let all = counted(work.requests.len(), "request");
            stopped(format!("stopped after {} of {all}", ended.len()))
        }
        Err(ending) => ending,
    })
}

/// What a run would ask for, one line each.
pub fn refresh_lines(work: &Refresh) -> Vec<String> {
    let login = work.login.iter().map(|step| format!("log in: {}", name_of(step)));
    login.chain(work.requests.iter().map(name_of)).collect()
}

fn name_of(step: &Step) -> String {
    let address = format!("{} {}", step.method, shown_hidden(&step.url));
    match &step.name {
        Some(name) => format!("{name} ({address})"),
        None => address,
    }
}

/// Makes all requests; what ended is there also where this is given up half-way.
async fn ask_all(context: Context<'_>, client: &Client, work: &Refresh, ended: &mut Vec<Ended>) {
    let pace = work.per_second.map(Pace::per_second);
    let mut calls: Vec<BoxFuture<'_, Ended>> = Vec::new();
    for step in &work.requests {
        let pace = pace.as_ref();
        calls.push(Box::pin(async move {
            let name = name_of(step);
            let answer = tries(client, step, (&name, pace)).await;
            let result = answer.map(|answer| (answer.status, answer.took));
            Ended { name, result }
        }));
    }
    let mut running = stream::iter(calls).buffer_unordered(work.parallel.max(1));
    while let Some(one) = running.next().await {
        match &one.result {
            Ok((status, took)) => {
                let line = format!("{} -> {status} in {} s", one.name, took.as_secs_f64());
                context.sink.line(OUT, &line);
            }
            // It names the request.
            Err(wrong) => context.sink.line(OUT, &wrong.message),
        }
        ended.push(one);
    }
}

fn class_of(wrong: &Wrong) -> &'static str {
    wrong.class.map_or(UNEXPECTED, crate::http::Class::as_str)
}

fn slowest(ended: &[Ended]) -> Option<(&str, Duration)> {
    let took = ended.iter().filter_map(|it| Some((it.name.as_str(), it.result.as_ref().ok()?.1)));
    took.max_by_key(|(_, took)| *took)
}

fn results(requests: usize, ended: &[Ended]) -> Value {
    let mut classes: BTreeMap<&str, usize> = BTreeMap::new();
    let mut failures = Vec::new();
    for one in ended {
        let Err(wrong) = &one.result else { continue };
        *classes.entry(class_of(wrong)).or_default() += 1;
        if failures.len() < NAMED {
            failures.push(json!({
                "request": one.name, "class": class_of(wrong), "message": wrong.message,
            }));
        }
    }
    let failed: usize = classes.values().sum();
    let slowest =
        slowest(ended).map(|(name, took)| json!({"request": name, "seconds": took.as_secs_f64()}));
    json!({
        "requests": requests, "ok": ended.len() - failed, "failed": failed, "classes": classes,
        "failures": failures, "slowest": slowest,
    })
}

fn summary(ended: &[Ended], took: &str) -> Ending {
    let failures: Vec<&Wrong> = ended.iter().filter_map(|it| it.result.as_ref().err()).collect();
    let all = counted(ended.len(), "request");
    let Some(first) = failures.first() else {
        let slowest = slowest(ended).map_or_else(String::new, |(name, took)| {
            format!(", the slowest took {:.1} s ({name})", took.as_secs_f64())
        });
        let message = format!("{all} answered as expected in {took}{slowest}");
        return Ending::new(Outcome::Succeeded, Reason::Done, message);
    };
    let told: Vec<&str> = failures.iter().take(TOLD).map(|it| it.message.as_str()).collect();
    let more = match failures.len().saturating_sub(TOLD) {
        0 => String::new(),
        more => format!("; and {more} more"),
    };
    let count = failures.len();
    failed(first.reason, format!("{count} of {all} failed: {}{more}", told.join("; ")))
}
