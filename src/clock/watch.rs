//! Notices that the wall clock jumped: it was set, or the machine slept.

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};

/// A difference up to this is no jump: a loaded machine is late, and time servers nudge the clock.
const TOLERANCE: Duration = Duration::from_secs(2);

/// What the wall clock did since the last look, besides going on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Jump {
    /// Nothing.
    None,
    /// It went forward by so much more than time passed: it was set, or the machine slept. What lies
    /// between are missed slots.
    Forward(Duration),
    /// It went back by so much. Slots it shows again have had their run.
    Back(Duration),
}

/// Compares the wall clock with one that is never set. Feed it whenever the loop wakes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Watch {
    last: Option<(DateTime<Utc>, Instant)>,
}

impl Watch {
    /// Says what the wall clock did since the last look; the first look finds nothing.
    pub fn look(&mut self, wall: DateTime<Utc>, monotonic: Instant) -> Jump {
        let Some((last_wall, last_monotonic)) = self.last.replace((wall, monotonic)) else {
            return Jump::None;
        };
        let passed = monotonic.saturating_duration_since(last_monotonic);
        let jump = match (wall - last_wall).to_std() {
            Ok(shown) if shown >= passed => Jump::Forward(shown.saturating_sub(passed)),
            Ok(shown) => Jump::Back(passed.saturating_sub(shown)),
            Err(_) => Jump::Back((last_wall - wall).to_std().unwrap_or_default() + passed),
        };
        match jump {
            Jump::Forward(by) | Jump::Back(by) if by > TOLERANCE => jump,
            Jump::Forward(_) | Jump::Back(_) | Jump::None => Jump::None,
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    #[test]
    fn tells_jumps_from_time_that_passes() {
        let seconds = Duration::from_secs;
        // (what the wall clock shows, what the other one shows, what happened)
        let rows = [
            (0_i64, 0_u64, Jump::None),
            (30, 30, Jump::None),
            // The loop was late, and so were both clocks.
            (75, 75, Jump::None),
            (78, 77, Jump::None),
            // Set forward, and the sleep of a machine: one clock stands still.
            (3_708, 107, Jump::Forward(seconds(3_600))),
            (3_738, 137, Jump::None),
            (32_538, 137, Jump::Forward(seconds(28_800))),
            // Set back.
            (28_968, 167, Jump::Back(seconds(3_600))),
            (28_968, 170, Jump::Back(seconds(3))),
            (28_999, 200, Jump::None),
        ];
        let (start, begun) = (DateTime::<Utc>::UNIX_EPOCH, Instant::now());
        let mut watch = Watch::default();
        for (wall, monotonic, expected) in rows {
            let jump = watch.look(start + TimeDelta::seconds(wall), begun + seconds(monotonic));
            assert_eq!(jump, expected, "at {wall} and {monotonic}");
        }
    }
}
