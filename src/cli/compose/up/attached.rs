//! `up` without `--detach`: prints what containers write until they have ended or a person is tired
//! of it.
//!
//! Logs are read through the Engine's log of each container and not from its streams: whatever comes
//! between the start and us is not lost, and a container that is restarted goes on in its place.

mod cast;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::time::Duration;

use anyhow::{Context, Result};
use chrono::{DateTime, Utc};
use futures_util::future::LocalBoxFuture;
use futures_util::stream::{BoxStream, SelectAll, once};
use futures_util::{FutureExt, StreamExt};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use self::cast::{Cast, Happened, What, happened, starts};
use super::{INTERRUPTED, Manner, Ready, apply_until, report, timeout};
use crate::apply::Failure;
use crate::cli::compose::Session;
use crate::cli::compose::arguments::{LookingOn, Up};
use crate::cli::compose::lifecycle::{Stop, stop_services};
use crate::cli::compose::logs::lines::{Line, Printer};
use crate::cli::compose::target::{Target, is_running};
use crate::cli::output::print;
use crate::cli::setup::now;
use crate::docker::{EngineEvent, LogRange, Stream, is_not_found};
use crate::plan::observed::Container;

/// Longest wait for the last lines of containers that have ended.
const LAST_LINES: Duration = Duration::from_secs(2);

/// What comes of the log of a container: a line, or its end.
type Heard = (String, Option<Result<(Stream, Line)>>);

/// Where we stand.
struct Onlooker<'a> {
    session: &'a Session,
    cast: Cast,
    printer: Printer,
    /// When we began, in the Engine's form: earlier lines are not ours to print.
    begun: String,
    range: LogRange,
    open: SelectAll<BoxStream<'static, Heard>>,
    /// Those whose log is being read.
    reading: BTreeSet<String>,
    /// Exit codes of those that ended while their log is being read.
    ends: BTreeMap<String, i64>,
    /// By container the time of the last line, so that a log opened anew does not begin anew.
    last: BTreeMap<String, String>,
    /// Those that the plan touches and that it has not started yet: their end is the plan's doing.
    touched: BTreeSet<String>,
    /// Those that are to end before we do.
    live: BTreeSet<String>,
    ended: BTreeSet<String>,
    /// The exit code that `--abort-on-...` and `--exit-code-from` ask for.
    code: i64,
    has_answer: bool,
    stop: Option<Why>,
}

/// Why everything stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    /// A container ended, and the flags say that this is the end of all.
    Ended,
    /// A signal.
    Interrupted,
    /// One more: nobody wants to wait.
    Killed,
}

/// Carries out a plan and prints what the containers write.
pub(super) async fn run(session: &Session, up: &Up, ready: &Ready, manner: Manner) -> Result<u8> {
    let cast = Cast::new(&up.looking_on, &up.changes.services, ready)?;
    let mut signals = [signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?];
    let begun = now();
    let since = Some(format!("{}.{:09}", begun.timestamp(), begun.timestamp_subsec_nanos()));
    let project = &ready.found.project.name;
    let mut events = Box::pin(session.engine.project_events(project, since, None)?);
    let mut onlooker = Onlooker::new(session, &up.looking_on, cast, begun);
    onlooker.begin_all(ready)?;

    let cancel = CancellationToken::new();
    let work = apply_until(&session.engine, manner, (&ready.found, &ready.plan), &cancel);
    let mut applying: Option<LocalBoxFuture<'_, Result<(), Failure>>> = Some(work.boxed_local());
    let mut stopping: Option<LocalBoxFuture<'_, Result<()>>> = None;
    let mut patience: Option<LocalBoxFuture<'_, ()>> = None;
    // Those that are to stop may be more than those that we look on: both are waited for.
    while applying.is_some()
        || !onlooker.live.is_empty()
        || onlooker.is_to_stop_all() && patience.is_none()
    {
        if applying.is_none() && stopping.is_none() && patience.is_none() && onlooker.stop.is_some()
        {
            stopping = Some(stop_all(session, up, ready).boxed_local());
        }
        tokio::select! {
            Some((id, heard)) = onlooker.open.next() => {
                if !onlooker.hear(&id, heard).await? {
                    return Ok(0);
                }
            }
            event = events.next() => {
                onlooker.see(&event.context("the Engine closed its events")??).await?;
            }
            applied = end_of(&mut applying) => {
                applying = None;
                if let Err(failure) = applied {
                    onlooker.read_out().await?;
                    let code = report(session.progress, &failure)?;
                    return Ok(if failure.cancelled { INTERRUPTED } else { code });
                }
                onlooker.expect_all(ready).await?;
            }
            stopped = end_of(&mut stopping) => {
                stopping = None;
                stopped?;
                // The Engine has yet to tell of their ends.
                patience = Some(tokio::time::sleep(LAST_LINES).boxed_local());
            }
            () = end_of(&mut patience) => break,
            () = any(&mut signals) => {
                cancel.cancel();
                onlooker.interrupted().await?;
            }
        }
    }
    onlooker.read_out().await?;
    Ok(match onlooker.stop {
        Some(Why::Interrupted | Why::Killed) => INTERRUPTED,
        Some(Why::Ended) | None => u8::try_from(onlooker.code).unwrap_or(u8::MAX),
    })
}

/// The end of some work; never, where there is none.
async fn end_of<T>(work: &mut Option<LocalBoxFuture<'_, T>>) -> T {
    match work {
        Some(work) => work.await,
        None => std::future::pending().await,
    }
}

async fn any([interrupt, terminate]: &mut [Signal; 2]) {
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}

/// Stops what was brought up: the services that were named, or all.
async fn stop_all(session: &Session, up: &Up, ready: &Ready) -> Result<()> {
    let project = ready.found.project.clone();
    let target = Target { name: project.name.clone(), project: Some(project) };
    let stop = Stop { timeout: timeout(&up.changes), services: up.changes.services.clone() };
    stop_services(session, &target, &stop).await
}

impl<'a> Onlooker<'a> {
    fn new(session: &'a Session, looking_on: &LookingOn, cast: Cast, begun: DateTime<Utc>) -> Self {
        let color = session.output.color && !looking_on.no_color;
        let range = LogRange {
            follow: true,
            since: i32::try_from(begun.timestamp()).unwrap_or(i32::MAX),
            until: 0,
            tail: "all".to_owned(),
            timestamps: true,
        };
        Self {
            session,
            cast,
            printer: Printer::new(!looking_on.no_log_prefix, looking_on.timestamps, color),
            begun: begun.format("%Y-%m-%dT%H:%M:%S%.9fZ").to_string(),
            range,
            open: SelectAll::new(),
            reading: BTreeSet::new(),
            ends: BTreeMap::new(),
            last: BTreeMap::new(),
            touched: BTreeSet::new(),
            live: BTreeSet::new(),
            ended: BTreeSet::new(),
            code: 0,
            has_answer: false,
            stop: None,
        }
    }

    /// Begins with those that run and stay.
    fn begin_all(&mut self, ready: &Ready) -> Result<()> {
        let names = self.cast.names(ready);
        for name in &names {
            self.printer.leave_room_for(name);
        }
        if !names.is_empty() {
            print(|to| writeln!(to, "Attaching to {}", names.join(", ")))?;
        }
        for it in ready.found.observed.containers.iter().filter(|it| !it.is_oneoff()) {
            let is_touched = ready.plan.changes.iter().any(|change| change.touches(&it.id))
                || ready.plan.removals.iter().any(|removal| removal.id == it.id);
            if is_touched {
                self.touched.insert(it.id.clone());
            } else if is_running(it) {
                self.join(&it.id, it.service(), it.number(), &it.name)?;
            }
        }
        Ok(())
    }

    /// A container runs that takes part.
    fn join(&mut self, id: &str, service: &str, number: u32, name: &str) -> Result<()> {
        self.ended.remove(id);
        self.touched.remove(id);
        self.printer.introduce_as(id, self.cast.name(service, number, name));
        if self.cast.waits_for(service) {
            self.live.insert(id.to_owned());
        }
        if self.cast.shows(service) && !self.reading.contains(id) {
            self.read(id)?;
        }
        Ok(())
    }

    fn read(&mut self, id: &str) -> Result<()> {
        let log = self.session.engine.log_lines(id, &self.range)?;
        let lines = log.map(|line| Some(line.map(|it| (it.stream, Line::new(&it.text)))));
        let id = id.to_owned();
        self.reading.insert(id.clone());
        let heard = lines.chain(once(std::future::ready(None)));
        self.open.push(heard.map(move |heard| (id.clone(), heard)).boxed());
        Ok(())
    }

    /// After the plan: all that runs is waited for, and all that was started and may be over.
    async fn expect_all(&mut self, ready: &Ready) -> Result<()> {
        let is_started = |it: &Container| {
            let mut changes = ready.plan.changes.iter().filter(|change| starts(change));
            changes.any(|change| change.service == it.service() && change.number == it.number())
        };
        for it in self.session.engine.containers_of(&ready.found.project.name).await? {
            let is_expected = !it.is_oneoff() && (is_running(&it) || is_started(&it));
            let takes_part = self.cast.waits_for(it.service()) && !self.ended.contains(&it.id);
            if is_expected && takes_part {
                self.live.insert(it.id);
            }
        }
        Ok(())
    }

    /// A line, or the end of a log; false when nobody reads us any more.
    async fn hear(&mut self, id: &str, heard: Option<Result<(Stream, Line)>>) -> Result<bool> {
        match heard {
            Some(Ok((stream, line))) => {
                let last = self.last.get(id).unwrap_or(&self.begun);
                if line.time <= *last {
                    return Ok(true);
                }
                self.last.insert(id.to_owned(), line.time.clone());
                Ok(self.printer.print_on(stream, id, &line)?)
            }
            Some(Err(error)) => {
                warn!("{error:#}; what it writes is not shown");
                Ok(true)
            }
            None => self.end_of_log(id).await,
        }
    }

    async fn end_of_log(&mut self, id: &str) -> Result<bool> {
        self.reading.remove(id);
        if let Some(code) = self.ends.remove(id) {
            return Ok(self.printer.ended(id, code)?);
        }
        // It was restarted in the same moment; a driver that cannot be read ends without a line.
        if self.last.contains_key(id) && self.goes_on(id).await? {
            self.read(id)?;
        }
        Ok(true)
    }

    async fn goes_on(&self, id: &str) -> Result<bool> {
        match self.session.engine.state(id).await {
            Ok(state) => Ok(state.state.lives()),
            Err(error) if is_not_found(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn see(&mut self, event: &EngineEvent) -> Result<()> {
        let Some(it) = happened(event) else { return Ok(()) };
        match it.what {
            What::Started => self.join(it.id, it.service, it.number, it.name),
            What::Died(code) if !self.touched.contains(it.id) => self.died(&it, code).await,
            What::Died(_) => Ok(()),
            What::Gone => {
                self.live.remove(it.id);
                self.ended.insert(it.id.to_owned());
                Ok(())
            }
        }
    }

    async fn died(&mut self, it: &Happened<'_>, code: i64) -> Result<()> {
        let is_told = self.cast.waits_for(it.service);
        if self.stop.is_none() && self.goes_on(it.id).await? {
            if is_told {
                self.printer.restarts(it.id, code)?;
            }
        } else {
            self.live.remove(it.id);
            self.ended.insert(it.id.to_owned());
            if self.reading.contains(it.id) {
                self.ends.insert(it.id.to_owned(), code);
            } else if is_told {
                self.printer.ended(it.id, code)?;
            }
        }
        if self.stop.is_none() && self.cast.ends_with(it.service, code) {
            writeln!(std::io::stderr(), "Aborting on container exit...")?;
            (self.code, self.stop) = (code, Some(Why::Ended));
        }
        if !self.has_answer && self.cast.answers(it.service) {
            (self.code, self.has_answer) = (code, true);
        }
        Ok(())
    }

    fn is_to_stop_all(&self) -> bool {
        matches!(self.stop, Some(Why::Ended | Why::Interrupted))
    }

    /// A first signal stops everything, a second one kills it.
    async fn interrupted(&mut self) -> Result<()> {
        if !matches!(self.stop, Some(Why::Interrupted | Why::Killed)) {
            self.stop = Some(Why::Interrupted);
            print(|to| writeln!(to, "Gracefully Stopping... press Ctrl+C again to force"))?;
            return Ok(());
        }
        self.stop = Some(Why::Killed);
        for id in &self.live {
            if let Err(error) = self.session.engine.kill(id, "SIGKILL").await {
                // It may just have ended.
                debug!("{error:#}");
            }
        }
        Ok(())
    }

    /// Prints the last lines of those that have ended, which may still be on their way.
    async fn read_out(&mut self) -> Result<()> {
        let work = async {
            while self.reading.iter().any(|id| self.ended.contains(id)) {
                let Some((id, heard)) = self.open.next().await else { break };
                if !self.hear(&id, heard).await? {
                    break;
                }
            }
            Ok(())
        };
        tokio::time::timeout(LAST_LINES, work).await.unwrap_or(Ok(()))
    }
}
