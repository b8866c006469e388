//! `logs --follow`: containers come, restart and end while we read.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};
use futures_util::StreamExt;
use futures_util::stream::{BoxStream, SelectAll, once};
use tracing::debug;

use super::lines::{Line, Printer};
use super::{Logs, open};
use crate::cli::compose::Session;
use crate::cli::compose::target::{Target, is_running};
use crate::cli::setup::now;
use crate::docker::{LogRange, What, is_not_found};
use crate::plan::labels;
use crate::plan::observed::{Container, State};

/// What comes of the log of a container: a line, or its end.
type Heard = (String, Option<Result<Line>>);

struct Following<'a> {
    session: &'a Session,
    range: LogRange,
    printer: Printer,
    open: SelectAll<BoxStream<'static, Heard>>,
    opened: BTreeSet<String>,
    /// Those whose end is news: they ran when they were opened.
    ran: BTreeSet<String>,
    /// By container the time of the last line, so that a log opened anew does not begin anew.
    last: BTreeMap<String, String>,
}

/// Prints the logs of containers until all have ended, or nobody reads any more.
pub(super) async fn follow(
    session: &Session,
    target: &Target,
    arguments: &Logs,
    containers: Vec<Container>,
    (range, printer): (LogRange, Printer),
) -> Result<()> {
    let label = format!("{}={}", labels::PROJECT, target.name);
    let mut events = Box::pin(session.engine.events(&label, now())?);
    let mut following = Following {
        session,
        range,
        printer,
        open: SelectAll::new(),
        opened: BTreeSet::new(),
        ran: containers.iter().filter(|it| is_running(it)).map(|it| it.id.clone()).collect(),
        last: BTreeMap::new(),
    };
    for container in &containers {
        following.begin(container)?;
    }
    if !containers.iter().any(is_running) {
        return following.read_out().await;
    }
    loop {
        tokio::select! {
            Some((id, heard)) = following.open.next() => {
                let goes_on = match heard {
                    Some(line) => following.line(&id, &line?)?,
                    None => following.end(&id).await? && following.anything_runs(target, arguments).await?,
                };
                if !goes_on {
                    return Ok(());
                }
            }
            event = events.next() => {
                let event = event.context("the Engine closed its events")??;
                if event.what == What::Started && !following.opened.contains(&event.id) {
                    following.begin_new(target, arguments, &event.id).await?;
                }
            }
        }
    }
}

impl Following<'_> {
    fn begin(&mut self, container: &Container) -> Result<()> {
        let id = container.id.clone();
        self.opened.insert(id.clone());
        let log = open(self.session, container, &self.range)?;
        let lines = log.map(Some).chain(once(std::future::ready(None)));
        self.open.push(lines.map(move |heard| (id.clone(), heard)).boxed());
        Ok(())
    }

    /// Opens the log of a container that has just started, if it is meant.
    async fn begin_new(&mut self, target: &Target, arguments: &Logs, id: &str) -> Result<()> {
        let found = self.session.containers(target, &[], false).await?;
        let mut meant = found.iter().filter(|it| target.wants(&arguments.services, it));
        let Some(container) = meant.find(|it| it.id == id) else { return Ok(()) };
        if arguments.index > 0 && container.number() != arguments.index {
            return Ok(());
        }
        self.printer.introduce(container);
        self.ran.insert(id.to_owned());
        // The last lines were counted at the beginning; from now on all count.
        "all".clone_into(&mut self.range.tail);
        self.begin(container)
    }

    fn line(&mut self, id: &str, line: &Line) -> Result<bool> {
        if self.last.get(id).is_some_and(|last| line.time <= *last) {
            return Ok(true);
        }
        self.last.insert(id.to_owned(), line.time.clone());
        Ok(self.printer.print(id, line)?)
    }

    /// The log of a container has ended: the container has, or it was restarted in the same moment.
    async fn end(&mut self, id: &str) -> Result<bool> {
        self.opened.remove(id);
        match self.session.engine.state(id).await {
            Ok(state) if state.state == State::Running => {
                "all".clone_into(&mut self.range.tail);
                let container = Container { id: id.to_owned(), ..Container::default() };
                self.begin(&container)?;
                Ok(true)
            }
            Ok(state) if state.state.lives() => Ok(true),
            Ok(state) if self.ran.remove(id) => Ok(self.printer.ended(id, state.exit_code)?),
            Ok(_) => Ok(true),
            Err(error) if is_not_found(&error) => {
                debug!("{error:#}");
                Ok(true)
            }
            Err(error) => Err(error),
        }
    }

    async fn anything_runs(&self, target: &Target, arguments: &Logs) -> Result<bool> {
        if !self.opened.is_empty() {
            return Ok(true);
        }
        let found = self.session.containers(target, &[], false).await?;
        Ok(found.iter().any(|it| target.wants(&arguments.services, it) && is_running(it)))
    }

    /// Nothing runs: what is there is all there will be.
    async fn read_out(&mut self) -> Result<()> {
        while let Some((id, heard)) = self.open.next().await {
            if let Some(line) = heard
                && !self.line(&id, &line?)?
            {
                return Ok(());
            }
        }
        Ok(())
    }
}
