//! `compose logs`.

mod follow;
mod lines;

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use anyhow::{Context, Result, bail};
use chrono::{DateTime, NaiveDate, NaiveDateTime, Utc};
use clap::Args;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;

use self::lines::{Line, Printer};
use super::Session;
use crate::cli::setup::now;
use crate::compose::units;
use crate::docker::LogRange;
use crate::plan::observed::Container;

/// Arguments of `logs`.
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
    #[arg(long, value_name = "TIME", value_parser = time)]
    since: Option<Moment>,
    /// Up to this time: a time, or how long ago
    #[arg(long, value_name = "TIME", value_parser = time)]
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

/// A point in time, as it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moment {
    At(DateTime<Utc>),
    Ago(chrono::TimeDelta),
}

/// Lines of one container, each with its time.
type Lines = BoxStream<'static, Result<Line>>;

/// Prints what the project's containers wrote, in the order of time.
pub(super) async fn logs(session: &Session, arguments: &Logs) -> Result<u8> {
    if arguments.index > 0 && arguments.services.len() != 1 {
        bail!("--index requires one service to be selected");
    }
    let target = session.target(&arguments.services)?;
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
        let seconds = |moment: &Option<Moment>| {
            let at = match moment {
                None => return 0,
                Some(Moment::At(time)) => *time,
                Some(Moment::Ago(time)) => now - *time,
            };
            i32::try_from(at.timestamp()).unwrap_or(i32::MAX)
        };
        LogRange {
            follow: self.follow,
            since: seconds(&self.since),
            until: seconds(&self.until),
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

/// Reads a time as docker does: RFC 3339, a part of it, seconds since 1970, or how long ago.
fn time(text: &str) -> Result<Moment, String> {
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Ok(Moment::At(time.to_utc()));
    }
    for form in ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%dT%H:%M"] {
        if let Ok(time) = NaiveDateTime::parse_from_str(text.trim_end_matches('Z'), form) {
            return Ok(Moment::At(time.and_utc()));
        }
    }
    if let Some(time) =
        NaiveDate::parse_from_str(text, "%Y-%m-%d").ok().and_then(|it| it.and_hms_opt(0, 0, 0))
    {
        return Ok(Moment::At(time.and_utc()));
    }
    let whole = text.split_once('.').map_or(text, |it| it.0);
    if let Some(time) = whole.parse().ok().and_then(|it| DateTime::from_timestamp(it, 0)) {
        return Ok(Moment::At(time));
    }
    let ago = units::duration(text).ok().and_then(|it| chrono::TimeDelta::from_std(it).ok());
    ago.map(Moment::Ago).ok_or_else(|| {
        "expected a time such as `2026-03-01T12:00:00Z`, or how long ago, such as `42m`".to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_docker_reads_them() {
        let at = |seconds| DateTime::from_timestamp(seconds, 0).map(Moment::At);
        for (text, expected) in [
            ("2026-03-01T12:00:00Z", at(1_772_366_400)),
            ("2026-03-01T12:00:00+01:00", at(1_772_362_800)),
            ("2026-03-01T12:00:00", at(1_772_366_400)),
            ("2026-03-01T12:00", at(1_772_366_400)),
            ("2026-03-01", at(1_772_323_200)),
            ("1772366400", at(1_772_366_400)),
            ("1772366400.5", at(1_772_366_400)),
            ("42m", Some(Moment::Ago(chrono::TimeDelta::minutes(42)))),
            ("1h30m", Some(Moment::Ago(chrono::TimeDelta::minutes(90)))),
            ("yesterday", None),
            ("", None),
        ] {
            assert_eq!(time(text).ok(), expected, "{text}");
        }
    }
}
