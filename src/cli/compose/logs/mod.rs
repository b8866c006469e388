//! `compose logs`.

mod follow;
pub(super) mod lines;

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use anyhow::{Context, Result, bail};
use chrono::{DateTime, Utc};
use clap::Args;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;

use self::lines::{Line, Printer};
use super::Session;
use super::moment::{Moment, moment};
use crate::cli::setup::now;
use crate::docker::LogRange;
use crate::plan::observed::Container;

// Arguments of `logs`.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "flags")]
pub(super) struct Logs {
    /// Goes on with what is written, until all containers have ended
    #[arg(short, long)]
    follow: bool,
    /// Number of the container, where the service has several
    #[arg(long, value_name = "N", default_value_t = 0)]
    index: u32,
    /// Without colors
    #[arg(long)]
    no_color: bool,
    /// Without the names of containers
    #[arg(long)]
    no_log_prefix: bool,
    /// From this time on: a time, or how long ago, e.g. 42m
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<Moment>,
    /// Up to this time: a time, or how long ago
    #[arg(long, value_name = "TIME", value_parser = moment)]
    until: Option<Moment>,
    /// How many of the last lines of each container
    #[arg(short = 'n', long, value_name = "N", default_value = "all")]
    tail: String,
    /// With the time of each line
    #[arg(short, long)]
    timestamps: bool,
    /// Only these services
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
}

/// Lines of one container, each with its time.
type Lines = BoxStream<'static, Result<Line>>;

/// Prints what the project's containers wrote, in the order of time.
pub(super) async fn logs(session: &Session, arguments: &Logs) -> Result<u8> {
    if arguments.index > 0 && arguments.services.len() != 1 {
        bail!("--index requires one service to be selected");
    }
    let mut target = session.target(&arguments.services)?;
    if arguments.services.is_empty() {
        target.leave_out_detached();
    }
    let mut containers = session.containers(&target, &arguments.services, false).await?;
    if arguments.index > 0 {
        containers.retain(|it| it.number() == arguments.index);
        if containers.is_empty() {
            bail!("service \"{}\" has no container #{}", arguments.services[0], arguments.index);
        }
    }
    let color = session.output.color && !arguments.no_color;
    let mut printer = Printer::new(!arguments.no_log_prefix, arguments.timestamps, color);
    for container in &containers {
        printer.introduce(container);
    }
    let range = arguments.range(now());
    if arguments.follow {
        follow::follow(session, &target, arguments, containers, (range, printer)).await?;
    } else {
        print_all(session, &containers, &range, &mut printer).await?;
    }
    Ok(0)
}

impl Logs {
    fn range(&self, now: DateTime<Utc>) -> LogRange {
        let seconds = |moment: Option<Moment>| {
            let at = moment.map(|it| it.from(now).timestamp());
            at.map_or(0, |it| i32::try_from(it).unwrap_or(i32::MAX))
        };
        LogRange {
            follow: self.follow,
            since: seconds(self.since),
            until: seconds(self.until),
            // As docker compose, which reads what is no number as all.
            tail: self.tail.parse::<u64>().map_or_else(|_| "all".to_owned(), |it| it.to_string()),
            timestamps: true,
        }
    }
}

/// Opens the log of a container.
fn open(session: &Session, container: &Container, range: &LogRange) -> Result<Lines> {
    let lines = session.engine.log_lines(&container.id, range)?;
    Ok(lines.map(|line| Ok(Line::new(&line?.text))).boxed())
}

/// Merges the logs by time: each has its lines in order, so the earliest of their heads is next.
async fn print_all(
    session: &Session,
    containers: &[Container],
    range: &LogRange,
    printer: &mut Printer,
) -> Result<()> {
    let mut logs = Vec::new();
    for container in containers {
        logs.push(open(session, container, range)?);
    }
    let mut heads = BinaryHeap::new();
    for (index, log) in logs.iter_mut().enumerate() {
        if let Some(line) = next(log, &containers[index]).await? {
            heads.push(Reverse((line, index)));
        }
    }
    while let Some(Reverse((line, index))) = heads.pop() {
        if !printer.print(&containers[index].id, &line)? {
            return Ok(());
        }
        if let Some(line) = next(&mut logs[index], &containers[index]).await? {
            heads.push(Reverse((line, index)));
        }
    }
    Ok(())
}

async fn next(log: &mut Lines, container: &Container) -> Result<Option<Line>> {
    let line = log.next().await.transpose();
    line.with_context(|| format!("container {}", container.name))
}
