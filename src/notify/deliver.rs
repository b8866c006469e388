//! From the outbox to the receivers: in order for each, and again where one was away.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use anyhow::{Context, Result};
use chrono::{DateTime, TimeDelta, Utc};
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use reqwest::Url;
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::Notifier;
use super::message::{Kind, LONGEST_PING_BYTES, Message};
use super::outbox::Head;
use super::send::{Answer, LazyClient, send};

/// Receivers that are told at once; one that hangs holds up none of the others.
const AT_ONCE: usize = 16;

/// The most pings of one check in a minute: more are answered with 429.
/// <https://healthchecks.io/docs/http_api/>
const PINGS_A_MINUTE: usize = 5;

/// Base and cap of the pause before the next try, doubled with each, then drawn from zero to that.
const PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_mins(10));

/// What could not be told for so long is of no use any more.
const GIVE_UP_AFTER: TimeDelta = TimeDelta::hours(24);

/// The longest sleep; also for what a clock that was set put off too far.
const LONGEST_SLEEP: Duration = Duration::from_mins(1);

/// What is known of the receivers; a restart may forget it.
#[derive(Debug, Default)]
struct Receivers {
    /// When each check was last pinged.
    pinged: BTreeMap<String, VecDeque<DateTime<Utc>>>,
    /// How much text each check takes, where it said so.
    limits: BTreeMap<String, usize>,
    /// Those that refused a message, which is said once.
    refused: BTreeSet<String>,
    /// Those that are being told.
    busy: BTreeSet<String>,
    /// Those that did not answer, which is said once until they do.
    away: BTreeSet<String>,
}

impl Notifier {
    /// Delivers what is in the outbox, and what comes into it, until `cancel`. What is not delivered by
    /// then stays for the next start.
    pub async fn deliver(&self, cancel: &CancellationToken) {
        let client = LazyClient::default();
        let mut receivers = Receivers::default();
        let mut sending: FuturesUnordered<BoxFuture<'_, (Message, Answer)>> =
            FuturesUnordered::new();
        loop {
            let sleep = match self.start(&client, &mut receivers, &mut sending).await {
                Ok(sleep) => sleep,
                Err(error) => {
                    warn!("{error:#}; trying again in {} s", LONGEST_SLEEP.as_secs());
                    LONGEST_SLEEP
                }
            };
            tokio::select! {
                () = cancel.cancelled() => return,
                Some((message, answer)) = sending.next() => {
                    receivers.busy.remove(&message.target);
                    if let Err(error) = self.settle(&message, answer, &mut receivers).await {
                        warn!("{error:#}; it may be told twice");
                        // Else a full disk would have it told again and again.
                        tokio::time::sleep(PAUSE.0).await;
                    }
                }
                () = self.wake.notified() => {}
                () = tokio::time::sleep(sleep) => {}
            }
        }
    }

    /// Delivers what can be delivered at once, for at most `limit`: for a command that ends.
    pub async fn flush(&self, limit: Duration) {
        let cancel = CancellationToken::new();
        let empty = async {
            loop {
                let heads = self.outbox.heads().await.unwrap_or_default();
                let now = (self.now)();
                if heads.iter().all(|head| head.due > now) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        // What is left stays in the outbox.
        let _ = tokio::time::timeout(limit, async {
            tokio::select! {
                () = self.deliver(&cancel) => {}
                () = empty => {}
            }
        })
        .await;
    }

    /// Starts to send what is due; returns how long there is nothing more to do.
    async fn start<'a>(
        &'a self,
        client: &'a LazyClient,
        receivers: &mut Receivers,
        sending: &mut FuturesUnordered<BoxFuture<'a, (Message, Answer)>>,
    ) -> Result<Duration> {
        let now = (self.now)();
        let mut sleep = LONGEST_SLEEP;
        for head in self.outbox.heads().await? {
            if sending.len() >= AT_ONCE {
                break;
            }
            if receivers.busy.contains(&head.target) {
                continue;
            }
            let wait = receivers.wait(&head, now);
            if wait > Duration::ZERO {
                sleep = sleep.min(wait);
                continue;
            }
            let Some(message) = self.outbox.message(head.id).await? else { continue };
            let limit = receivers.limits.get(&head.target).copied();
            receivers.busy.insert(head.target.clone());
            if head.kind == Kind::Ping {
                receivers.pinged.entry(head.target).or_default().push_back(now);
            }
            sending.push(Box::pin(async move {
                let answer = send(client, &message, limit.unwrap_or(LONGEST_PING_BYTES)).await;
                (message, answer)
            }));
        }
        Ok(sleep)
    }

    /// Records what came of a message.
    async fn settle(
        &self,
        message: &Message,
        answer: Answer,
        receivers: &mut Receivers,
    ) -> Result<()> {
        let (kind, job, host) = (message.kind.as_str(), &message.job, host_of(&message.url));
        let now = (self.now)();
        match answer {
            Answer::Taken { limit_bytes } => {
                if let Some(limit) = limit_bytes {
                    receivers.limits.insert(message.target.clone(), limit);
                }
                receivers.refused.remove(&message.target);
                if receivers.away.remove(&message.target) {
                    info!(job, "{host} takes the {kind} of `{job}` again");
                }
            }
            Answer::Refused(why) => {
                if receivers.refused.insert(message.target.clone()) {
                    warn!(job, "{host} does not take the {kind} of `{job}`: {why}");
                }
            }
            Answer::Later { why, .. } if now - message.created > GIVE_UP_AFTER => {
                let hours = GIVE_UP_AFTER.num_hours();
                warn!(job, "gave up the {kind} of `{job}` to {host} after {hours} h: {why}");
            }
            Answer::Later { why, after } => {
                if receivers.away.insert(message.target.clone()) {
                    warn!(job, "{host} did not take the {kind} of `{job}`: {why}; trying on");
                }
                let pause = after.map_or_else(|| pause(message, now), |it| it.min(PAUSE.1));
                let due = now + TimeDelta::from_std(pause).context("a pause of minutes")?;
                return self.outbox.put_off(message.id, due).await;
            }
        }
        self.outbox.remove(message.id).await
    }
}

impl Receivers {
    /// How long a message has to wait.
    fn wait(&mut self, head: &Head, now: DateTime<Utc>) -> Duration {
        let until = |time: DateTime<Utc>| (time - now).to_std().unwrap_or_default();
        // A clock that was set back puts nothing off for long.
        let due = Some(until(head.due)).filter(|wait| *wait <= PAUSE.1).unwrap_or_default();
        if head.kind != Kind::Ping {
            return due;
        }
        let minute = TimeDelta::minutes(1);
        let Some(pinged) = self.pinged.get_mut(&head.target) else { return due };
        pinged.retain(|at| now - *at < minute && *at <= now);
        match pinged.front() {
            Some(first) if pinged.len() >= PINGS_A_MINUTE => due.max(until(*first + minute)),
            _ => due,
        }
    }
}

/// The pause before the next try: exponential, with full jitter. The draw is a hash.
fn pause(message: &Message, now: DateTime<Utc>) -> Duration {
    let (first, longest) = PAUSE;
    let longest = first.saturating_mul(1 << message.tries.min(20)).min(longest);
    let text = format!("{}\0{}\0{}", message.id, message.tries, now.timestamp_micros());
    let drawn = Sha256::digest(text)[..4].iter().fold(0, |sum, byte| sum << 8 | u32::from(*byte));
    longest.mul_f64(f64::from(drawn) / f64::from(u32::MAX)).max(first / 4)
}

/// The receiver in words: the rest of an address may be secret.
fn host_of(url: &str) -> String {
    let host = Url::parse(url).ok().and_then(|url| url.host_str().map(str::to_owned));
    host.map_or_else(|| "its receiver".to_owned(), |host| format!("`{host}`"))
}
