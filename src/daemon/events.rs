//! What besides the clock sets jobs off: other runs, deploys, containers, webhooks.
//!
//! An event only says "look now". Many at once become as many runs as the job's overlap rule allows.

use std::collections::BTreeSet;

use futures_util::StreamExt;
use tokio::sync::mpsc;
use tracing::warn;

use super::runs::Wish;
use super::{Daemon, ENGINE_RETRY, Event};
use crate::docker::{NamedEvent, What};
use crate::job::{ContainerEvent, Job, On, When, Work};
use crate::run::{Ending, Outcome, Trigger};

/// News that wait for the loop; more wait at the Engine.
const NEWS_WAITING: usize = 1024;

impl Daemon {
    /// Runs that follow from the end of one.
    pub(super) fn followers(&self, job: &str, ending: &Ending) -> Vec<Wish> {
        let outcome = ending.outcome;
        let mut wishes = self.wishes_of_listeners(Trigger::After, |on| {
            matches!(on, On::Ended { job: other, when } if other == job && fits(*when, outcome))
        });
        if let Some(Work::Deploy(deploy)) = self.job(job).map(|job| &job.work)
            && outcome != Outcome::Unchanged
        {
            // What a deploy may be called by those who wait for it.
            let names = [job.to_owned(), deploy.expected_project()];
            wishes.extend(self.wishes_of_listeners(Trigger::Deploy, |on| {
                matches!(on, On::Deployed { project, when }
                    if names.contains(project) && fits(*when, outcome))
            }));
        }
        wishes
    }

    /// One wish of each job that waits for what `is_meant` knows.
    pub(super) fn wishes_of_listeners(
        &self,
        trigger: Trigger,
        is_meant: impl Fn(&On) -> bool,
    ) -> Vec<Wish> {
        let listeners = self.jobs.listeners(&self.configuration);
        let meant = listeners.filter(|job| job.on.iter().any(&is_meant));
        meant.map(|job| Wish::new(&job.name, trigger, None)).collect()
    }

    /// Sets off what waits for what happened to a container.
    pub(super) async fn heed_container(&mut self, news: &NamedEvent) {
        let wishes = self.wishes_of_listeners(Trigger::Container, |on| {
            matches!(on, On::Container { event, container }
                if is_event(*event, news.what) && is_container(container, news))
        });
        self.enter(wishes).await;
    }

    /// Sets off what waits for a webhook; the names of those jobs.
    pub(super) async fn heed_webhook(&mut self, name: &str) -> BTreeSet<String> {
        let is_meant = |on: &On| matches!(on, On::Webhook(own) if own == name);
        let wishes = self.wishes_of_listeners(Trigger::Webhook, is_meant);
        let names = wishes.iter().map(|wish| wish.job.clone()).collect();
        self.enter(wishes).await;
        names
    }

    /// Names of the webhooks that jobs wait for.
    pub(super) fn webhooks(&self) -> BTreeSet<&str> {
        let all = self.jobs.listeners(&self.configuration).flat_map(|job| &job.on);
        all.filter_map(|on| match on {
            On::Webhook(name) => Some(name.as_str()),
            _ => None,
        })
        .collect()
    }

    /// Listens to the Engine while some job waits for its containers, or labels are followed.
    pub(super) fn listen_to_containers(&mut self) {
        let waits = |job: &Job| job.on.iter().any(|on| matches!(on, On::Container { .. }));
        let follows_labels = self.configuration.settings.schedulers.ofelia_labels;
        let is_waited_for = || self.jobs.listeners(&self.configuration).any(waits);
        if self.container_news.is_some() || !follows_labels && !is_waited_for() {
            return;
        }
        let (sender, receiver) = mpsc::channel(NEWS_WAITING);
        self.container_news = Some(receiver);
        let (engine, now) = (self.world.engine.clone(), self.world.now);
        self.tasks.spawn(async move {
            let (mut pause, longest) = ENGINE_RETRY;
            // The Engine tells again what happened since: nothing falls between two connections.
            let mut since = now();
            let mut last_nanoseconds = 0;
            loop {
                match engine.all_events(since) {
                    Err(error) => warn!("{error:#}; listening again in {} s", pause.as_secs()),
                    Ok(stream) => {
                        let mut stream = std::pin::pin!(stream);
                        while let Some(Ok(news)) = stream.next().await {
                            pause = ENGINE_RETRY.0;
                            if news.nanoseconds <= last_nanoseconds {
                                continue;
                            }
                            last_nanoseconds = news.nanoseconds;
                            since = chrono::DateTime::from_timestamp_nanos(last_nanoseconds);
                            if sender.send(news).await.is_err() {
                                return Event::Mumbled;
                            }
                        }
                    }
                }
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(longest);
            }
        });
    }
}

fn fits(when: When, outcome: Outcome) -> bool {
    let well = matches!(outcome, Outcome::Succeeded | Outcome::Degraded | Outcome::Unchanged);
    let ill = matches!(outcome, Outcome::Failed | Outcome::TimedOut | Outcome::Lost);
    match when {
        When::Success => well,
        When::Failure => ill,
        When::Finish => well || ill || matches!(outcome, Outcome::Cancelled | Outcome::Blocked),
    }
}

fn is_event(wanted: ContainerEvent, what: What) -> bool {
    match wanted {
        ContainerEvent::Started => what == What::Started,
        ContainerEvent::Died => matches!(what, What::Died(_)),
        ContainerEvent::Unhealthy => what == What::Unhealthy,
    }
}

fn is_container(wanted: &str, news: &NamedEvent) -> bool {
    let is_service = wanted.split_once('/').is_some_and(|(project, service)| {
        news.project.as_deref() == Some(project) && news.service.as_deref() == Some(service)
    });
    is_service || wanted.strip_prefix('/').unwrap_or(wanted) == news.name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_fit_what_is_waited_for() {
        use Outcome::{
            Blocked, Cancelled, Degraded, Failed, Lost, Missed, Skipped, Succeeded, TimedOut,
            Unchanged,
        };
        // (outcome, success, failure, finish)
        for (outcome, success, failure, finish) in [
            (Succeeded, true, false, true),
            (Degraded, true, false, true),
            (Unchanged, true, false, true),
            (Failed, false, true, true),
            (TimedOut, false, true, true),
            (Lost, false, true, true),
            (Cancelled, false, false, true),
            (Blocked, false, false, true),
            (Skipped, false, false, false),
            (Missed, false, false, false),
        ] {
            let found = [When::Success, When::Failure, When::Finish].map(|it| fits(it, outcome));
            assert_eq!(found, [success, failure, finish], "{outcome}");
        }
    }

    #[test]
    fn containers_are_known_by_name_or_by_service() {
        let news = NamedEvent {
            name: "shop-web-1".to_owned(),
            project: Some("shop".to_owned()),
            service: Some("web".to_owned()),
            what: What::Started,
            nanoseconds: 0,
        };
        for (wanted, expected) in [
            ("shop-web-1", true),
            ("/shop-web-1", true),
            ("shop/web", true),
            ("shop/db", false),
            ("web", false),
            ("", false),
        ] {
            assert_eq!(is_container(wanted, &news), expected, "{wanted}");
        }
    }
}
