//! Times and durations as people read them.

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};

use crate::cli::output::Page;

/// A duration in its two largest units: `120 ms`, `3.2 s`, `2 m 5 s`, `4 h 1 m`, `3 d 2 h`.
pub fn duration(time: TimeDelta) -> String {
    let milliseconds = time.num_milliseconds().max(0);
    let seconds = milliseconds / 1_000;
    let two = |large: i64, large_unit: &str, small: i64, small_unit: &str| {
        if small == 0 {
            format!("{large} {large_unit}")
        } else {
            format!("{large} {large_unit} {small} {small_unit}")
        }
    };
    match seconds {
        0 => format!("{milliseconds} ms"),
        1..10 => format!("{seconds}.{} s", milliseconds % 1_000 / 100),
        10..60 => format!("{seconds} s"),
        60..3_600 => two(seconds / 60, "m", seconds % 60, "s"),
        3_600..86_400 => two(seconds / 3_600, "h", seconds % 3_600 / 60, "m"),
        _ => two(seconds / 86_400, "d", seconds % 86_400 / 3_600, "h"),
    }
}

/// A time for a list: told from now on a terminal while that is short, else in full.
pub fn moment(page: &Page, time: DateTime<Utc>) -> String {
    if !page.output.terminal {
        return instant(page, time);
    }
    let from_now = time - page.now;
    if from_now.abs() >= TimeDelta::days(2) {
        return time.with_timezone(&page.timezone).format("%Y-%m-%d %H:%M").to_string();
    }
    relative(from_now)
}

/// A time in full, with its offset; for scripts and for lists of slots.
pub fn instant(page: &Page, time: DateTime<Utc>) -> String {
    time.with_timezone(&page.timezone).to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// A time in full, and how far that is from now.
pub fn both(page: &Page, time: DateTime<Utc>) -> String {
    let absolute = time.with_timezone(&page.timezone).format("%Y-%m-%d %H:%M:%S %Z");
    format!("{absolute} ({})", relative(time - page.now))
}

fn relative(from_now: TimeDelta) -> String {
    let distance = TimeDelta::seconds(from_now.num_seconds().abs());
    if distance < TimeDelta::seconds(1) {
        "now".to_owned()
    } else if from_now < TimeDelta::zero() {
        format!("{} ago", coarse(distance))
    } else {
        format!("in {}", coarse(distance))
    }
}

/// Seconds do not matter any more after minutes.
fn coarse(distance: TimeDelta) -> String {
    let minutes = distance.num_minutes();
    match minutes {
        0 => format!("{} s", distance.num_seconds()),
        1..60 => format!("{minutes} m"),
        _ => duration(distance),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::output::Output;

    #[test]
    fn durations_read_in_their_largest_units() {
        let rows = [
            (-5, "0 ms"),
            (0, "0 ms"),
            (120, "120 ms"),
            (3_249, "3.2 s"),
            (59_999, "59 s"),
            (125_000, "2 m 5 s"),
            (120_000, "2 m"),
            (14_460_000, "4 h 1 m"),
            (266_400_000, "3 d 2 h"),
        ];
        for (milliseconds, wanted) in rows {
            assert_eq!(duration(TimeDelta::milliseconds(milliseconds)), wanted);
        }
    }

    #[test]
    fn times_are_told_from_now_while_that_is_short() {
        let now = DateTime::from_timestamp(1_795_237_620, 0).unwrap();
        let output = Output { terminal: true, ..Output::default() };
        let page = Page { output, now, timezone: chrono_tz::America::Toronto };
        let rows = [
            (0, "now"),
            (-5, "5 s ago"),
            (-125, "2 m ago"),
            (3_700, "in 1 h 1 m"),
            (100_000, "in 1 d 3 h"),
            (-200_000, "2026-11-18 16:33"),
        ];
        for (seconds, wanted) in rows {
            assert_eq!(moment(&page, now + TimeDelta::seconds(seconds)), wanted);
        }
        let piped = Page { output: Output::default(), ..page };
        assert_eq!(moment(&piped, now), "2026-11-21T00:07:00-05:00");
        assert_eq!(both(&page, now), "2026-11-21 00:07:00 EST (now)");
    }
}
