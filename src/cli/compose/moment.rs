//! Points in time, as docker's `--since` and `--until` take them.

use chrono::{DateTime, NaiveDate, NaiveDateTime, TimeDelta, Utc};

use crate::compose::units;

/// A point in time, as it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moment {
    /// The time itself.
    At(DateTime<Utc>),
    /// How long ago.
    Ago(TimeDelta),
}

impl Moment {
    /// The time, as seen from now.
    pub(super) fn from(self, now: DateTime<Utc>) -> DateTime<Utc> {
        match self {
            Self::At(time) => time,
            Self::Ago(time) => now - time,
        }
    }
}

/// Reads a time as docker does: RFC 3339, a part of it, seconds since 1970, or how long ago.
pub(super) fn moment(text: &str) -> Result<Moment, String> {
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
    let (sign, length) = text.strip_prefix('-').map_or((1, text), |length| (-1, length));
    let ago = units::duration(length).ok().and_then(|it| TimeDelta::from_std(it).ok());
    ago.map(|it| Moment::Ago(it * sign)).ok_or_else(|| {
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
            ("42m", Some(Moment::Ago(TimeDelta::minutes(42)))),
            ("1h30m", Some(Moment::Ago(TimeDelta::minutes(90)))),
            // A time to come.
            ("-1h", Some(Moment::Ago(-TimeDelta::hours(1)))),
            ("--1h", None),
            ("yesterday", None),
            ("", None),
        ] {
            assert_eq!(moment(text).ok(), expected, "{text}");
        }
    }
}
