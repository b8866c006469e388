//! The outbox and real receivers.

#[path = "../../tests/it/support/receiver.rs"]
mod receiver;

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use chrono::SecondsFormat;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use self::receiver::Receiver;
use super::*;
use crate::compose::model::Hidden;
use crate::job::schedule::Schedule;
use crate::job::{
    Keep, Notify as Whom, PackedRun, Ping, Place, Policy, Terms, Webhook, WebhookFormat, Window,
    Work,
};
use crate::run::{Outcome, Reason};

#[expect(clippy::disallowed_methods, reason = "the real time, as the daemon has it")]
fn now() -> DateTime<Utc> {
    Utc::now()
}

/// When all runs here start: what is older than a day is given up.
static START: LazyLock<DateTime<Utc>> = LazyLock::new(now);

fn job(name: &str, ping: Option<&str>, webhook: Option<&str>) -> Job {
    let hidden = |url: &str| Hidden::new(url.to_owned());
    let ping = ping.map(|url| Ping { url: hidden(url), start: true, log: true, create: false });
    let header = ("X-Key".to_owned(), hidden("k"));
    let webhook = webhook.map(|url| Webhook {
        url: hidden(url),
        headers: vec![header],
        format: WebhookFormat::Json,
    });
    Job {
        name: name.to_owned(),
        description: None,
        origin: Place::of("test"),
        schedule: Schedule::Manual,
        terms: Arc::new(Terms {
            timezone: chrono_tz::UTC,
            window: Window::default(),
            on: Vec::new(),
            policy: Policy::default(),
            keep: Keep::default(),
            notify: Whom { ping, webhooks: webhook.into_iter().collect() },
            timeout: Duration::from_secs(1),
        }),
        work: Work::Run(PackedRun::default()),
    }
}

/// Runs a job, as far as who is told of it can see.
async fn run(notifier: &Notifier, job: &Job, number: RunId, outcome: Outcome) {
    let at = *START;
    notifier.started(job, number, at).await;
    let exit_code = (outcome == Outcome::Failed).then_some(7);
    let message = format!("it {outcome}");
    let ending = Ending { exit_code, ..Ending::new(outcome, Reason::Internal, message) };
    let (tail, ended) = (format!("output of {number}\n"), now());
    notifier
        .ended(&Ended { job, run: number, started: at, ended, ending: &ending, tail: &tail })
        .await;
}

/// Delivers until `done` holds.
async fn deliver(notifier: &Notifier, done: impl Fn() -> bool) {
    deliver_until(notifier, async || done()).await;
}

/// Delivers until nothing is left: what a receiver has is forgotten a moment later.
async fn deliver_all(notifier: &Notifier) {
    deliver_until(notifier, async || notifier.outbox.heads().await.unwrap().is_empty()).await;
}

async fn deliver_until(notifier: &Notifier, done: impl AsyncFn() -> bool) {
    let cancel = CancellationToken::new();
    let until = async {
        while !done().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let delivered = async {
        tokio::select! {
            () = notifier.deliver(&cancel) => {}
            () = until => {}
        }
    };
    tokio::time::timeout(Duration::from_mins(1), delivered).await.expect("all are told in time");
}

#[tokio::test]
async fn a_check_is_told_of_start_and_end_with_one_id() {
    let (dir, check) = (TempDir::new().unwrap(), Receiver::start());
    let notifier = Notifier::open(dir.path(), now).await;
    let job = job("web", Some(&check.url("/abc")), None);
    run(&notifier, &job, 1, Outcome::Succeeded).await;
    run(&notifier, &job, 2, Outcome::Failed).await;
    run(&notifier, &self::job("quiet", None, None), 3, Outcome::Failed).await;
    deliver(&notifier, || check.told().len() == 4).await;
    let told = check.told();
    assert_eq!(check.paths(), ["/abc/start", "/abc", "/abc/start", "/abc/7"]);
    assert!(told.iter().all(|told| told.line.starts_with("POST ")));
    let rids: Vec<_> = told.iter().map(|told| told.query("rid").unwrap()).collect();
    assert!(rids[0] == rids[1] && rids[2] == rids[3] && rids[0] != rids[2], "{rids:?}");
    assert_eq!(
        [&told[0].body, &told[1].body, &told[3].body],
        ["", "output of 1\n", "output of 2\n"]
    );
}

#[tokio::test]
async fn a_receiver_that_is_away_is_told_in_order_after_a_restart() {
    let (dir, check) = (TempDir::new().unwrap(), Receiver::start());
    check.go_away();
    let url = check.url("/abc");
    let job = job("web", Some(&url), Some(&url));
    let notifier = Notifier::open(dir.path(), now).await;
    run(&notifier, &job, 1, Outcome::Failed).await;
    notifier.flush(Duration::from_secs(5)).await;
    drop(notifier);
    check.answer("200 OK");
    let notifier = Notifier::open(dir.path(), now).await;
    deliver_all(&notifier).await;
    assert_eq!(check.paths(), ["/abc/start", "/abc/7", "/abc"]);
    assert!(check.told()[2].body.contains(r#""state":"failing""#));
}

#[tokio::test]
async fn a_webhook_is_told_of_changes_only() {
    use Outcome::{Cancelled, Failed, Lost, Skipped, Succeeded};
    let (dir, hook) = (TempDir::new().unwrap(), Receiver::start());
    let job = job("web", None, Some(&hook.url("/hook")));
    let ends = [Succeeded, Failed, Failed, Skipped, Lost, Succeeded, Cancelled, Succeeded, Lost];
    for (outcome, number) in ends.into_iter().zip(1..) {
        // Each by a daemon of its own: what is known survives.
        let notifier = Notifier::open(dir.path(), now).await;
        run(&notifier, &job, number, outcome).await;
    }
    let notifier = Notifier::open(dir.path(), now).await;
    deliver(&notifier, || hook.told().len() == 3).await;
    let told = hook.told();
    assert!(told[0].headers.contains(&"content-type: application/json".to_owned()), "{told:?}");
    assert!(told[0].headers.contains(&"x-key: k".to_owned()), "{told:?}");
    let bodies: Vec<serde_json::Value> =
        told.iter().map(|told| serde_json::from_str(&told.body).unwrap()).collect();
    let said: Vec<_> = bodies
        .iter()
        .map(|body| {
            format!("{} {} {} {}", body["run"], body["state"], body["outcome"], body["previous"])
        })
        .collect();
    let wanted = [
        r#"2 "failing" "failed" "succeeded""#,
        r#"6 "recovered" "succeeded" "failed""#,
        r#"9 "failing" "lost" "succeeded""#,
    ];
    assert_eq!(said, wanted);
    let first = &bodies[0];
    assert_eq!(first["job"], "web");
    assert_eq!((&first["exit_code"], &first["reason"]), (&7.into(), &"internal".into()));
    assert_eq!(
        (&first["message"], &first["log_tail"]),
        (&"it failed".into(), &"output of 2\n".into())
    );
    assert_eq!(first["started"], START.to_rfc3339_opts(SecondsFormat::Millis, true));
    assert!(first["host"].as_str().is_some_and(|host| !host.is_empty()));
}

#[tokio::test]
async fn a_receiver_that_hangs_holds_up_no_other() {
    let (dir, hung, well) = (TempDir::new().unwrap(), Receiver::start(), Receiver::start());
    hung.hang();
    let notifier = Notifier::open(dir.path(), now).await;
    run(&notifier, &job("one", Some(&hung.url("/a")), None), 1, Outcome::Succeeded).await;
    run(&notifier, &job("two", Some(&well.url("/b")), None), 2, Outcome::Succeeded).await;
    deliver(&notifier, || well.told().len() == 2 && hung.told().len() == 1).await;
}

#[tokio::test]
async fn a_check_that_refuses_is_not_asked_again() {
    let (dir, check) = (TempDir::new().unwrap(), Receiver::start());
    check.answer("404 Not Found");
    let notifier = Notifier::open(dir.path(), now).await;
    run(&notifier, &job("web", Some(&check.url("/abc")), None), 1, Outcome::Succeeded).await;
    notifier.flush(Duration::from_secs(20)).await;
    assert_eq!(check.paths(), ["/abc/start", "/abc"]);
    assert_eq!(notifier.outbox.heads().await.unwrap(), []);
}

#[tokio::test]
async fn a_body_is_no_longer_than_the_check_says() {
    let (dir, check) = (TempDir::new().unwrap(), Receiver::start());
    check.answer("200 OK\r\nPing-Body-Limit: 5");
    let notifier = Notifier::open(dir.path(), now).await;
    run(&notifier, &job("web", Some(&check.url("/abc")), None), 1, Outcome::Succeeded).await;
    deliver(&notifier, || check.told().len() == 2).await;
    assert_eq!(check.told()[1].body, "of 1\n");
}

#[tokio::test]
async fn a_check_is_pinged_five_times_a_minute_and_keeps_its_newest() {
    let (dir, check) = (TempDir::new().unwrap(), Receiver::start());
    let notifier = Notifier::open(dir.path(), now).await;
    let job = job("web", Some(&check.url("/abc")), None);
    run(&notifier, &job, 1, Outcome::Failed).await;
    for number in 2..=100 {
        run(&notifier, &job, number, Outcome::Succeeded).await;
    }
    // More would come at once, were they sent.
    notifier.flush(Duration::from_secs(3)).await;
    assert_eq!(check.told().len(), 5);
    assert_eq!(check.paths()[0], "/abc/7", "a failure is not dropped for a success");
    let left = notifier.outbox.count().await.unwrap();
    assert_eq!(left, BTreeMap::from([(check.url("/abc"), 7)]));
}
