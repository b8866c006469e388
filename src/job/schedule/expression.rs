//! A cron expression as sets of seconds, minutes, hours and days: small, and quick to ask.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use chrono::{NaiveDate, NaiveDateTime, NaiveTime, Timelike};

use super::Dialect;
use super::fields::{self, Fields};

/// A cron expression. A copy shares its memory.
#[derive(Clone)]
pub struct Expression(Arc<Inner>);

struct Inner {
    text: Box<str>,
    fields: Fields,
    never: bool,
}

impl Expression {
    pub(super) fn read(text: &str, dialect: Dialect, name: Option<&str>) -> Result<Self, String> {
        let (fields, text) = fields::read(text, dialect, name)?;
        // The calendar repeats itself after 400 years: who finds nothing in so many never will. The
        // search is made once, here; `31 2` costs a fraction of a millisecond.
        let first = NaiveDate::from_ymd_opt(1970, 1, 1).expect("the Unix epoch is a date");
        let never = fields.days.next(first).is_none();
        Ok(Self(Arc::new(Inner { text: text.into_boxed_str(), fields, never })))
    }

    /// The same expression under another name, as `@daily`.
    pub(super) fn named(self, text: &str) -> Self {
        let Inner { fields, never, .. } = &*self.0;
        Self(Arc::new(Inner { text: text.into(), fields: fields.clone(), never: *never }))
    }

    /// As a person would write it, in our own dialect.
    pub fn text(&self) -> &str {
        &self.0.text
    }

    pub(super) fn fields(&self) -> &Fields {
        &self.0.fields
    }

    /// True for a date that does not exist, as February 30.
    pub fn never_comes(&self) -> bool {
        self.0.never
    }

    /// True for schedules with `*`, a range or a step in seconds, minutes or hours: these follow the wall
    /// clock through a change of its offset (both times in a repeated hour, not at all in a skipped one).
    /// The others name times of day, and run once on each day they name.
    pub fn follows_wall_clock(&self) -> bool {
        self.0.fields.follows_wall_clock
    }

    /// The first matching time on a wall clock that never jumps, strictly after `wall`.
    pub fn next_wall_time(&self, wall: NaiveDateTime) -> Option<NaiveDateTime> {
        if self.0.never {
            return None;
        }
        let Fields { days, .. } = &self.0.fields;
        if days.contains(wall.date())
            && let Some(time) = self.next_time_of_day(wall.time())
        {
            return Some(wall.date().and_time(time));
        }
        Some(days.next(wall.date().succ_opt()?)?.and_time(self.first_time_of_day()))
    }

    /// How many matching times lie after `after` and not after `until`, on a wall clock that never jumps.
    /// Costs a step for each matching day, however many times the day has.
    pub fn count_wall_times(&self, after: NaiveDateTime, until: NaiveDateTime) -> u64 {
        let mut count = 0;
        let mut wall = after;
        while let Some(next) = self.next_wall_time(wall).filter(|next| *next <= until) {
            let end_of_day = next.date().and_time(LAST_SECOND).min(until);
            // `next` itself is one of those up to it.
            count += self.times_until(end_of_day.time()) + 1 - self.times_until(next.time());
            wall = next.date().and_time(LAST_SECOND);
        }
        count
    }

    fn first_time_of_day(&self) -> NaiveTime {
        let Fields { seconds, minutes, hours, .. } = self.0.fields;
        time(hours.trailing_zeros(), minutes.trailing_zeros(), seconds.trailing_zeros())
    }

    fn next_time_of_day(&self, after: NaiveTime) -> Option<NaiveTime> {
        let Fields { seconds, minutes, hours, .. } = self.0.fields;
        let hours = u64::from(hours);
        let (hour, minute, second) = (after.hour(), after.minute(), after.second());
        let first_second = seconds.trailing_zeros();
        if hours >> hour & 1 == 1 {
            if minutes >> minute & 1 == 1
                && let Some(second) = next_bit(seconds, second + 1)
            {
                return Some(time(hour, minute, second));
            }
            if let Some(minute) = next_bit(minutes, minute + 1) {
                return Some(time(hour, minute, first_second));
            }
        }
        let hour = next_bit(hours, hour + 1)?;
        Some(time(hour, minutes.trailing_zeros(), first_second))
    }

    /// How many times a day has from midnight until `last`, which counts.
    fn times_until(&self, last: NaiveTime) -> u64 {
        let Fields { seconds, minutes, hours, .. } = self.0.fields;
        let (hour, minute, second) = (last.hour(), last.minute(), last.second());
        let below = |bits: u64, end: u32| u64::from((bits & ((1 << end) - 1)).count_ones());
        let a_minute = u64::from(seconds.count_ones());
        let an_hour = u64::from(minutes.count_ones()) * a_minute;
        let mut count = below(u64::from(hours), hour) * an_hour;
        if hours >> hour & 1 == 1 {
            count += below(minutes, minute) * a_minute;
            if minutes >> minute & 1 == 1 {
                count += below(seconds, second + 1);
            }
        }
        count
    }
}

const LAST_SECOND: NaiveTime = match NaiveTime::from_hms_opt(23, 59, 59) {
    Some(time) => time,
    None => NaiveTime::MIN,
};

fn time(hour: u32, minute: u32, second: u32) -> NaiveTime {
    NaiveTime::from_hms_opt(hour, minute, second).expect("each field is in its range")
}

fn next_bit(bits: u64, from: u32) -> Option<u32> {
    let rest = bits.checked_shr(from)?;
    (rest != 0).then(|| from + rest.trailing_zeros())
}

/// Equal when written alike: the text says all.
impl PartialEq for Expression {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0.text == other.0.text
    }
}

impl Eq for Expression {}

impl Hash for Expression {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.text.hash(state);
    }
}

impl fmt::Debug for Expression {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Expression").field(&self.0.text).finish()
    }
}
