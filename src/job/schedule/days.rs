//! On which days a cron expression runs: sets of bits, and the rules of `L`, `W` and `#`.

use std::sync::Arc;

use chrono::{Datelike, NaiveDate, Weekday};

/// The calendar repeats itself, weekdays included, after so many years.
const YEARS_OF_THE_CALENDAR: i32 = 400;

/// Days, as sets of bits. Bit 0 of a day of the month or a month is not used; Sunday is 0.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Days {
    pub(super) months: u16,
    /// `1`, `1-5`, `*`.
    pub(super) dates: u32,
    /// `L` is bit 0, `L-3` bit 3.
    pub(super) before_last: u32,
    /// `15W`: the working day nearest to the 15th, within its month.
    pub(super) nearest: u32,
    /// `LW`.
    pub(super) last_working_day: bool,
    /// `MON`, `1-5`, `*`.
    pub(super) weekdays: u8,
    /// `MON#1` to `MON#5`.
    pub(super) nth: [u8; 5],
    /// `5L`, `FRI#L`.
    pub(super) last_weekdays: u8,
    /// A day must match day of month and day of week; else one of them does.
    pub(super) both: bool,
    /// `None` is every year.
    pub(super) years: Option<Arc<[u16]>>,
}

impl Days {
    /// The first of these days that is `from` or later. `None` means that there is none, ever.
    pub(super) fn next(&self, from: NaiveDate) -> Option<NaiveDate> {
        let mut day = from;
        loop {
            if day.year() > from.year() + YEARS_OF_THE_CALENDAR {
                // With a list of years it can be far away, but not between two of them.
                return None;
            }
            if let Some(years) = &self.years
                && !years.iter().any(|year| i32::from(*year) == day.year())
            {
                let later = years.iter().map(|year| i32::from(*year));
                let year = later.filter(|year| *year > day.year()).min()?;
                if year > from.year() + YEARS_OF_THE_CALENDAR {
                    return self.next(NaiveDate::from_ymd_opt(year, 1, 1)?);
                }
                day = NaiveDate::from_ymd_opt(year, 1, 1)?;
            }
            if self.months >> day.month() & 1 == 0 {
                day = first_of_next_month(day)?;
                continue;
            }
            if self.matches_in_month(day) {
                return Some(day);
            }
            day = day.succ_opt()?;
        }
    }

    /// Whether `day` is one of them.
    pub(super) fn contains(&self, day: NaiveDate) -> bool {
        let year = |years: &Arc<[u16]>| years.iter().any(|year| i32::from(*year) == day.year());
        self.months >> day.month() & 1 == 1
            && self.years.as_ref().is_none_or(year)
            && self.matches_in_month(day)
    }

    fn matches_in_month(&self, day: NaiveDate) -> bool {
        if self.both {
            self.matches_day_of_month(day) && self.matches_weekday(day)
        } else {
            self.matches_day_of_month(day) || self.matches_weekday(day)
        }
    }

    fn matches_day_of_month(&self, day: NaiveDate) -> bool {
        let (number, last) = (day.day(), days_in_month(day));
        let is_last_working = || {
            let to_monday_to_friday = match day.with_day(last).map(|last| last.weekday()) {
                Some(Weekday::Sat) => 1,
                Some(Weekday::Sun) => 2,
                _ => 0,
            };
            number == last - to_monday_to_friday
        };
        self.dates >> number & 1 == 1
            || self.before_last >> (last - number) & 1 == 1
            || self.last_working_day && is_last_working()
            || self.nearest != 0 && self.is_nearest_working_day(day, last)
    }

    fn is_nearest_working_day(&self, day: NaiveDate, last: u32) -> bool {
        let number = day.day();
        // A weekend moves a day by at most two, and never out of its month.
        (number.saturating_sub(2).max(1)..=(number + 2).min(last))
            .filter(|wanted| self.nearest >> wanted & 1 == 1)
            .any(|wanted| {
                let moved = match day.with_day(wanted).map(|wanted| wanted.weekday()) {
                    Some(Weekday::Sat) if wanted > 1 => wanted - 1,
                    Some(Weekday::Sat) => wanted + 2,
                    Some(Weekday::Sun) if wanted < last => wanted + 1,
                    Some(Weekday::Sun) => wanted - 2,
                    _ => wanted,
                };
                moved == number
            })
    }

    fn matches_weekday(&self, day: NaiveDate) -> bool {
        let weekday = day.weekday().num_days_from_sunday();
        let nth = (day.day() as usize - 1) / 7;
        let is_last = day.day() + 7 > days_in_month(day);
        let sets = self.weekdays | self.nth[nth] | if is_last { self.last_weekdays } else { 0 };
        sets >> weekday & 1 == 1
    }
}

fn first_of_next_month(day: NaiveDate) -> Option<NaiveDate> {
    match day.month() {
        12 => NaiveDate::from_ymd_opt(day.year() + 1, 1, 1),
        month => NaiveDate::from_ymd_opt(day.year(), month + 1, 1),
    }
}

fn days_in_month(day: NaiveDate) -> u32 {
    u32::from(day.num_days_in_month())
}
