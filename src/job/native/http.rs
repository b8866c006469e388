//! Reads `http` and `ogc_process`.

use std::path::PathBuf;
use std::time::Duration;

use super::Reader;
use super::fields::{self, Fields, scalar_of};
use super::tables_of_http::{EXPECT, HTTP, OGC_PROCESS, POLL, STEP, WAIT_FOR};
use crate::compose::emit;
use crate::compose::model::Hidden;
use crate::compose::yaml::Node;
use crate::job::work::{Connection, Expect, Http, OgcMode, OgcProcess, OnTimeout, Step, WaitFor};
use crate::problem::Problem;

/// Longest time of one try where nothing is said.
pub(super) const STEP_TIMEOUT: Duration = Duration::from_secs(30);
/// Redirects followed where nothing is said.
const REDIRECTS: usize = 10;

/// Reads `http`.
pub(super) fn http(node: &Node, reader: &mut Reader<'_>) -> Option<Http> {
    let fields = fields::open(node, &HTTP, &mut reader.problems)?;
    let problems = &mut reader.problems;
    let mut steps = Vec::new();
    match (fields.node("url"), fields.node("steps")) {
        (Some(_), None) => steps.extend(step(node, &fields, problems)),
        (None, Some(list)) => {
            for (index, item) in fields::items_of(list).iter().enumerate() {
                if let Some(fields) = fields::open(item, &STEP, problems) {
                    steps.extend(step(item, &fields, problems));
                }
                if index == 0 {
                    for key in ["method", "headers", "body", "timeout", "expect", "retries"] {
                        if let Some(stray) = fields.node(key) {
                            let message = format!("`{key}` beside `steps` belongs to no call");
                            problems.push(stray.problem(message).with_hint("move it into a step"));
                        }
                    }
                }
            }
        }
        (Some(_), Some(second)) => {
            let both = second.problem("`http` has a `url` or `steps`, not both");
            problems.push(both.with_hint("make a step of the single call"));
        }
        (None, None) => fields.lacks("url", node, "https://api.example/refresh", problems),
    }
    let parallel = fields.integer("parallel", (1, 1000), problems).unwrap_or(1);
    let http = Http {
        wait_for: wait_for(&fields, problems),
        login: login(&fields, problems),
        parallel: usize::try_from(parallel).unwrap_or(1),
        connection: connection(&fields, problems),
        steps,
    };
    Some(http).filter(|http| !http.steps.is_empty())
}

/// How servers are reached.
pub(super) fn connection(fields: &Fields<'_>, problems: &mut Vec<Problem>) -> Connection {
    let path =
        |name: &str, problems: &mut Vec<Problem>| fields.plain(name, problems).map(PathBuf::from);
    Connection {
        ca_file: path("ca_file", problems),
        client_certificate: path("client_certificate", problems),
        insecure: fields.boolean("insecure", problems).unwrap_or(false),
        redirects: fields.count("redirects", (0, 100), problems).unwrap_or(REDIRECTS),
    }
}

pub(super) fn login(fields: &Fields<'_>, problems: &mut Vec<Problem>) -> Option<Step> {
    let node = fields.node("login")?;
    let fields = fields::open(node, &STEP, problems)?;
    step(node, &fields, problems)
}

pub(super) fn step(node: &Node, fields: &Fields<'_>, problems: &mut Vec<Problem>) -> Option<Step> {
    let url = url(node, fields, problems);
    let body = fields.node("body").and_then(|body| {
        // A mapping or a list is a body of JSON.
        let structured = body.as_mapping().is_some() || body.as_sequence().is_some();
        if structured {
            Some(emit::json(body).to_string())
        } else {
            scalar_of("body", body, problems)
        }
    });
    let usual = if body.is_some() { "POST" } else { "GET" };
    let method = fields.plain("method", problems).map(|method| method.to_uppercase());
    if let (Some(text), Some(place)) = (&method, fields.node("method"))
        && !text.chars().all(|letter| letter.is_ascii_alphabetic())
    {
        problems.push(place.problem(format!("`{text}` is no method of HTTP")));
    }
    let retries = fields.integer("retries", (0, 100), problems).unwrap_or(0);
    // `name` is the job's own where the call stands beside other keys of `http`.
    let name = node.get("steps").is_none().then(|| fields.plain("name", problems)).flatten();
    Some(Step {
        name,
        method: method.unwrap_or_else(|| usual.to_owned()),
        url: url?,
        headers: fields.hidden_mapping("headers", problems),
        body: body.map(Hidden::new),
        timeout: fields.duration("timeout", problems).unwrap_or(STEP_TIMEOUT),
        expect: expect(fields, problems),
        retries: u32::try_from(retries).unwrap_or(0),
        backoff: fields.duration("backoff", problems).unwrap_or(Duration::from_secs(1)),
    })
}

/// An address; what is wrong with it is said without showing it.
fn url(node: &Node, fields: &Fields<'_>, problems: &mut Vec<Problem>) -> Option<Hidden> {
    let url = fields.required("url", node, "https://api.example/refresh", problems)?;
    let place = fields.node("url").unwrap_or(node);
    checked_url(&url, place, problems)
}

pub(super) fn checked_url(url: &str, place: &Node, problems: &mut Vec<Problem>) -> Option<Hidden> {
    let url = url.trim();
    let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
    if rest.is_none_or(|rest| rest.is_empty() || rest.starts_with('/')) {
        let mut problem = place.problem("`url` is no address of HTTP");
        problem.excerpt = None;
        problems.push(problem.with_hint("it begins with `http://` or `https://` and a host"));
        return None;
    }
    Some(Hidden::new(url.to_owned()))
}

pub(super) fn expect(fields: &Fields<'_>, problems: &mut Vec<Problem>) -> Expect {
    let Some(node) = fields.node("expect") else { return Expect::default() };
    let Some(fields) = fields::open(node, &EXPECT, problems) else { return Expect::default() };
    let body = fields.text("body", problems).and_then(|(text, place)| {
        let wrong = regex_lite::Regex::new(&text).err();
        let problem = wrong.map(|why| {
            place.problem(format!("`body` is `{text}`, which is no regular expression: {why}"))
        });
        let is_valid = problem.is_none();
        problems.extend(problem);
        is_valid.then_some(text)
    });
    let mut expect = Expect { body, ..Expect::default() };
    for item in fields.items("status") {
        let Some(text) = scalar_of("status", item, problems) else { continue };
        for part in text.split(',') {
            if let Some(range) = status(part.trim()) {
                expect.status.push(range);
            } else {
                let problem = item.problem(format!("`{part}` is no status of HTTP"));
                problems.push(problem.with_hint("write e.g. `200`, `200-299` or `2xx`"));
            }
        }
    }
    if let Some(json) = fields.node("json") {
        for (key, value) in json.as_mapping().unwrap_or_default() {
            if !key.name.is_empty() && !key.name.starts_with('/') {
                let problem = key.span.problem(format!("`{}` is no JSON pointer", key.name));
                problems.push(problem.with_hint("it begins with `/`, as in `/status`"));
            }
            expect.json.insert(key.name.clone(), emit::json(value));
        }
        if json.as_mapping().is_none() {
            problems.push(json.problem("`json` must be a mapping of JSON pointers to values"));
        }
    }
    expect
}

/// `200`, `200-299` or `2xx`.
fn status(text: &str) -> Option<(u16, u16)> {
    let one = |text: &str| text.parse::<u16>().ok().filter(|code| (100..=599).contains(code));
    if let Some(class) = text.strip_suffix("xx") {
        let class = class.parse::<u16>().ok().filter(|class| (1..=5).contains(class))?;
        return Some((class * 100, class * 100 + 99));
    }
    match text.split_once('-') {
        Some((from, to)) => {
            Some((one(from.trim())?, one(to.trim())?)).filter(|(from, to)| from <= to)
        }
        None => one(text).map(|code| (code, code)),
    }
}

fn wait_for(fields: &Fields<'_>, problems: &mut Vec<Problem>) -> Vec<WaitFor> {
    let mut waits = Vec::new();
    for item in fields.items("wait_for") {
        let mut wait = WaitFor {
            url: Hidden::new(String::new()),
            expect: Expect::default(),
            timeout: Duration::from_mins(1),
            every: Duration::from_secs(2),
        };
        let found = if item.as_mapping().is_some() {
            let Some(fields) = fields::open(item, &WAIT_FOR, problems) else { continue };
            wait.expect = expect(&fields, problems);
            wait.timeout = fields.duration("timeout", problems).unwrap_or(wait.timeout);
            wait.every = fields.duration("every", problems).unwrap_or(wait.every);
            url(item, &fields, problems)
        } else {
            let text = scalar_of("wait_for", item, problems);
            text.and_then(|text| checked_url(&text, item, problems))
        };
        waits.extend(found.map(|url| WaitFor { url, ..wait }));
    }
    waits
}

/// Reads `ogc_process`.
pub(super) fn ogc_process(node: &Node, reader: &mut Reader<'_>) -> Option<OgcProcess> {
    let fields = fields::open(node, &OGC_PROCESS, &mut reader.problems)?;
    let problems = &mut reader.problems;
    let url = url(node, &fields, problems);
    let process = fields.required("process", node, "buffer", problems);
    let inputs = fields.node("inputs").map(emit::json);
    let mode = match fields.word("mode", &["async", "sync", "auto"], problems) {
        Some("sync") => OgcMode::Sync,
        Some("auto") => OgcMode::Auto,
        _ => OgcMode::Async,
    };
    let mut poll = (Duration::from_secs(1), Duration::from_secs(30));
    if let Some(node) = fields.node("poll")
        && let Some(fields) = fields::open(node, &POLL, problems)
    {
        poll.0 = fields.duration("min", problems).unwrap_or(poll.0);
        poll.1 = fields.duration("max", problems).unwrap_or(poll.1.max(poll.0));
        if poll.0 > poll.1 {
            problems.push(node.problem("`min` is longer than `max`"));
        }
    }
    let on_timeout = match fields.word("on_timeout", &["dismiss", "leave"], problems) {
        Some("leave") => OnTimeout::Leave,
        _ => OnTimeout::Dismiss,
    };
    Some(OgcProcess {
        url: url?,
        process: process?,
        provider: fields.plain("provider", problems),
        inputs: inputs.unwrap_or_else(|| serde_json::json!({})),
        outputs: fields.node("outputs").map(emit::json),
        mode,
        login: login(&fields, problems),
        headers: fields.hidden_mapping("headers", problems),
        poll,
        on_timeout,
        ca_file: fields.plain("ca_file", problems).map(PathBuf::from),
    })
}
