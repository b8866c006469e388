//! The table of figures: what was measured, beside whom, and what was wanted.

use std::fmt;
use std::time::Duration;

/// One figure.
#[derive(Debug)]
pub(super) struct Row {
    what: String,
    ours: String,
    theirs: String,
    bare: String,
    aims: Vec<(String, bool)>,
    times: Option<(Duration, Option<Duration>, Option<Duration>)>,
}

impl Row {
    /// A figure that only we have.
    pub(super) fn new(what: &str, ours: String) -> Self {
        Self {
            what: what.to_owned(),
            ours,
            theirs: String::new(),
            bare: String::new(),
            aims: Vec::new(),
            times: None,
        }
    }

    /// Median times: ours, docker compose's, the bare calls'.
    pub(super) fn times(
        what: &str,
        ours: Duration,
        theirs: Option<Duration>,
        bare: Option<Duration>,
    ) -> Self {
        let mut row = Self::new(what, milliseconds(ours));
        row.theirs = theirs.map(milliseconds).unwrap_or_default();
        row.bare = bare.map(milliseconds).unwrap_or_default();
        row.times = Some((ours, theirs, bare));
        row
    }

    /// Sets the figure of the bare calls beside ours.
    pub(super) fn bare(mut self, bare: String) -> Self {
        self.bare = bare;
        self
    }

    /// Says what was wanted and whether it was reached.
    pub(super) fn aim(mut self, wanted: &str, reached: bool) -> Self {
        self.aims.push((wanted.to_owned(), reached));
        self
    }

    /// Wants at most `limit` times the bare calls.
    pub(super) fn at_most_bare(self, limit: f64) -> Self {
        let Some((ours, _, Some(bare))) = self.times else { return self };
        let ratio = ours.as_secs_f64() / bare.as_secs_f64();
        self.aim(&format!("{ratio:.2} x bare (<= {limit})"), ratio <= limit)
    }

    /// Wants docker compose to take at least `factor` times as long.
    pub(super) fn faster_than_oracle(self, factor: f64) -> Self {
        let Some((ours, Some(theirs), _)) = self.times else { return self };
        let ratio = theirs.as_secs_f64() / ours.as_secs_f64();
        self.aim(&format!("{ratio:.1} x faster (>= {factor})"), ratio >= factor)
    }
}

/// All figures of a run.
#[derive(Debug, Default)]
pub(super) struct Table {
    rows: Vec<Row>,
}

impl Table {
    /// Adds a figure.
    pub(super) fn add(&mut self, row: Row) {
        self.rows.push(row);
    }

    /// Number of aims that were not reached.
    pub(super) fn misses(&self) -> usize {
        self.rows.iter().flat_map(|row| &row.aims).filter(|(_, reached)| !reached).count()
    }
}

impl fmt::Display for Table {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = ["", "roadstead", "compose 2.40", "bare calls", "aim"];
        let [what, ours, theirs, bare, aim] = head;
        writeln!(formatter, "{what:<34} {ours:>10} {theirs:>13} {bare:>11}   {aim}")?;
        for row in &self.rows {
            let aims: Vec<_> = row
                .aims
                .iter()
                .map(|(text, reached)| format!("{text}{}", if *reached { "" } else { " MISSED" }))
                .collect();
            writeln!(
                formatter,
                "{:<34} {:>10} {:>13} {:>11}   {}",
                row.what,
                row.ours,
                row.theirs,
                row.bare,
                aims.join(", ")
            )?;
        }
        Ok(())
    }
}

fn milliseconds(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1000.0)
}
