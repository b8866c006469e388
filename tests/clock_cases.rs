//! The corner cases of cron, numbered as in the list the clock was built from, one row each; and the clock
//! against a walk over every minute, against croner, and against a plain enumeration of slots.
//!
//! Cases that are about runs, or about the world around the clock, have their row in `ELSEWHERE`.

#![expect(clippy::unwrap_used, reason = "a test fails where something is missing")]

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::{DateTime, Datelike, NaiveDateTime, Offset, TimeDelta, TimeZone, Timelike, Utc};
use chrono_tz::Tz;
use croner::parser::CronParser;
use proptest::prelude::{ProptestConfig, Strategy, any, prop};
use proptest::strategy::Just;
use proptest::{prop_assert_eq, prop_oneof, proptest};
use roadstead::clock::{self, Agenda, Due, Owed, Skipped, Timetable, count};
use roadstead::job::schedule::{Dialect, Schedule, parse_timezone};
use roadstead::job::{CatchUp, Overlap, Policy, Window};
use roadstead::run::Reason;

use Dialect::{Default as Ours, Dkron, Ofelia, Ofelia03, Quartz, Supercronic};

fn at(text: &str) -> DateTime<Utc> {
    DateTime::parse_from_rfc3339(text).expect(text).to_utc()
}

fn schedule(text: &str) -> Schedule {
    Schedule::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn zone(name: &str) -> Tz {
    parse_timezone(name).unwrap()
}

/// What a text is read as: in our own dialect, or a part of the error.
type Read = Result<&'static str, &'static str>;

/// Number of the case, dialect, text, what it is read as. The job is called `web`.
const PARSING: &[(u8, Dialect, &str, Read)] = &[
    (1, Ours, "7 5 * * *", Ok("7 5 * * *")),
    (1, Ours, "30 7 5 * * *", Ok("30 7 5 * * *")),
    (1, Ours, "30 7 5 * * * 2027", Ok("30 7 5 * * * 2027")),
    (1, Ours, "* * * *", Err("has 4 fields")),
    (1, Ours, "* * * * * * * *", Err("has 8 fields")),
    (1, Ofelia03, "0 20 * * *", Ok("20 * * * *")),
    (1, Ofelia03, "0 0 1 * * *", Ok("0 1 * * *")),
    (1, Ofelia03, "30 20 * * *", Ok("30 20 * * * *")),
    (1, Ofelia03, "0 0 0 1 * * *", Err("Ofelia 0.3 takes five")),
    (1, Ofelia, "0 20 * * *", Ok("0 20 * * *")),
    (1, Ofelia, "0 0 1 * * *", Ok("0 1 * * *")),
    (1, Supercronic, "0 20 * * *", Ok("0 20 * * *")),
    (1, Supercronic, "0 20 * * * 2027", Ok("0 0 20 * * * 2027")),
    (1, Supercronic, "*/2 * * * * * *", Ok("*/2 * * * * *")),
    (1, Dkron, "0 20 * * *", Err("Dkron takes six")),
    (1, Dkron, "0 0 20 * * *", Ok("0 20 * * *")),
    (1, Quartz, "0 0 12 ? * 1", Ok("0 12 ? * 0")),
    (1, Quartz, "0 0 12 ? * MON-FRI", Ok("0 12 ? * 1,2,3,4,5")),
    (1, Quartz, "0 0 12 ? * 6#3", Ok("0 12 ? * 5#3")),
    (1, Quartz, "0 0 12 * * MON", Err("Quartz wants `?`")),
    (1, Quartz, "0 0 12 ? * 0", Err("day of week")),
    (1, Quartz, "0 12 * * ?", Err("Quartz takes six")),
    (2, Ours, "0 0 * jan Mon", Ok("0 0 * jan Mon")),
    (2, Ours, "0 0 * * MON-FRI/2", Ok("0 0 * * MON-FRI/2")),
    (2, Ours, "0 0 * * SAT-SUN", Ok("0 0 * * SAT-SUN")),
    (2, Ours, "0 0 * * 5-7", Ok("0 0 * * 5-7")),
    (2, Ours, "0 0 * * 0-7", Ok("0 0 * * 0-7")),
    (2, Ours, "0 0 * * Montag", Err("day of week")),
    (3, Ours, "1, 2 * * * *", Err("second")),
    (3, Ours, "1,,2 * * * *", Err("empty")),
    (3, Ours, "1, * * * *", Err("empty")),
    (4, Ours, "*/70 * * * *", Err("minute")),
    (4, Ours, "60 * * * *", Err("minute")),
    (4, Ours, "0 24 * * *", Err("hour")),
    (4, Ours, "0 0 0 * *", Err("day of month")),
    (4, Ours, "0 0 32 * *", Err("day of month")),
    (4, Ours, "0 0 * 13 *", Err("month")),
    (4, Ours, "*/0 * * * *", Err("minute")),
    (4, Ours, "/30 * * * *", Err("minute")),
    (4, Ours, "-5 * * * *", Err("minute")),
    (4, Ours, "+5 * * * *", Err("minute")),
    (4, Ours, "99999999999 * * * *", Err("minute")),
    (5, Ours, "5/15 * * * *", Ok("5/15 * * * *")),
    (6, Ours, "51-4 * * * *", Err("write two, `51-59` and `0-4`")),
    (6, Ours, "0 23-3/2 * * *", Err("hour")),
    (6, Ours, "0 0 * * FRI-MON", Err("day of week")),
    (6, Ours, "0 0 * NOV-FEB *", Err("month")),
    (7, Ours, "10-5 * * * *", Err("minute")),
    (8, Ours, "@daily", Ok("@daily")),
    (8, Ours, "@midnight", Ok("@midnight")),
    (8, Ours, "@annually", Ok("@annually")),
    (8, Ours, "@Daily", Err("did you mean `@daily`")),
    (8, Ours, "@daily 0 0 * * *", Err("alone")),
    (8, Ours, "@every 90s", Ok("@every 1m30s")),
    (8, Ours, "@every 1h30m", Ok("@every 1h30m")),
    (8, Ours, "@every 1d", Ok("@every 1d")),
    (8, Ours, "@every 0s", Err("at least")),
    (8, Ours, "@every 500ms", Err("at least")),
    (8, Ofelia, "@triggered", Ok("@manual")),
    (8, Ofelia, "@none", Ok("@manual")),
    (8, Dkron, "@manually", Ok("@manual")),
    (8, Dkron, "@minutely", Ok("@minutely")),
    (8, Dkron, "@at 2027-03-01T05:00:00-05:00", Ok("@at 2027-03-01T10:00:00Z")),
    (8, Ours, "@at tomorrow", Err("`@at 2027-03-01T05:00:00-05:00`")),
    (8, Ours, "@at", Err("@at")),
    (9, Ours, "H * * * *", Ok("16 * * * *")),
    (9, Ours, "H(0-29) 3 * * *", Ok("16 3 * * *")),
    (9, Ours, "H/15 * * * *", Ok("1-59/15 * * * *")),
    (9, Ours, "H(10-40)/10 * * * *", Ok("16-40/10 * * * *")),
    (9, Ours, "~ * * * *", Ok("16 * * * *")),
    (9, Ours, "0~30 3 * * *", Ok("8 3 * * *")),
    (9, Ours, "~30 3 * * *", Ok("8 3 * * *")),
    (9, Ours, "H(30-10) * * * *", Err("minute")),
    (9, Ours, "H(0-70) * * * *", Err("minute")),
    (9, Ours, "H(5) * * * *", Err("takes a range")),
    (9, Ours, "30~0 * * * *", Err("the other way round")),
    (9, Ours, "~/5 * * * *", Err("`H/15`")),
    // `web` is 119 + 101 + 98 = 318.
    (9, Dkron, "0 ~ * * * *", Ok("18 * * * *")),
    (9, Dkron, "~ ~ ~ ~ ~ ~", Ok("18 18 6 11 7 3")),
    (9, Dkron, "0 0 ~ * * *", Ok("0 6 * * *")),
    (9, Dkron, "0 ~/20 * * * *", Ok("18/20 * * * *")),
    (11, Ours, "0 5 * * *%x", Err("day of week")),
    (12, Ours, "0 0 30 2 *", Ok("0 0 30 2 *")),
    (12, Ours, "0 0 31 4,6,9,11 *", Ok("0 0 31 4,6,9,11 *")),
    // Robfig's star with a step restricts; ours does not, so it is written out.
    (15, Ours, "0 0 */2 * MON", Ok("0 0 */2 * MON")),
    (15, Ofelia, "0 0 */2 * MON", Ok("0 0 1-31/2 * MON")),
    (15, Ofelia03, "0 0 0 */2 * MON", Ok("0 0 */2 * MON")),
    (15, Dkron, "0 0 0 */2 * */1", Ok("0 0 1-31/2 * */1")),
    (18, Ours, "0 0 1-15W * *", Err("day of month")),
    (18, Ours, "0 0 L-31 * *", Err("`L-3`")),
    (18, Ours, "0 0 * * MON#6", Err("1 to 5")),
    (18, Ours, "0 0 * * L", Err("day of week")),
    (20, Ours, "0 0 0 * * * 1969", Err("year")),
];

/// Number of the case, and the test that shows it: its file and its name.
const ELSEWHERE: &[(u8, &str, &str)] = &[
    // A `%` and a line break of a crontab.
    (11, "src/job/crontab.rs", "reads_lines_as_cron_does"),
    // New rules of a zone come with a new release, for the database is compiled in; a zone that is
    // written anew counts from the next look on.
    (31, "tests/clock_cases.rs", "case_31_and_34_only_the_zone_that_is_written_counts"),
    // The clock of the host: only instants come in.
    (34, "tests/clock_cases.rs", "case_31_and_34_only_the_zone_that_is_written_counts"),
    (
        41,
        "tests/it/accounting.rs",
        "a_slot_skipped_for_a_run_has_its_own_after_it_within_its_deadline",
    ),
    (42, "tests/it/job_kinds.rs", "overlap_is_read_from_live_containers_and_follows_the_policy"),
    (42, "src/queue/tests.rs", "overlap_replace_ends_what_runs_and_starts_after_it"),
    (43, "tests/it/accounting.rs", "a_slot_that_cannot_start_in_time_is_missed"),
    (
        44,
        "tests/it/accounting_crash.rs",
        "a_restart_after_kill_9_at_any_call_of_a_run_gives_the_slot_one_run",
    ),
    (45, "tests/it/accounting.rs", "one_run_follows_from_another_unless_it_is_paused"),
    (45, "src/job/links.rs", "finds_circles_and_only_the_jobs_in_them"),
    (46, "tests/it/accounting.rs", "tries_belong_to_one_run_and_a_timeout_covers_them_all"),
    (
        47,
        "tests/it/job_kinds.rs",
        "a_run_over_its_time_is_ended_by_its_signal_and_killed_after_its_grace",
    ),
    (47, "tests/it/job_kinds.rs", "an_exec_over_its_time_is_ended_with_all_that_it_started"),
    (48, "tests/it/job_kinds.rs", "an_engine_that_goes_away_in_the_middle_of_a_run_is_waited_for"),
    (
        48,
        "tests/it/job_kinds_adopt.rs",
        "a_run_whose_time_is_over_is_ended_and_one_whose_container_is_gone_is_lost",
    ),
    (49, "tests/it/output.rs", "output_of_a_run_is_readable_and_keeps_its_secrets"),
    (49, "tests/it/output.rs", "a_flood_of_any_shape_passes_through_a_small_daemon"),
    (
        50,
        "tests/it/accounting_crash.rs",
        "ten_thousand_jobs_on_one_slot_each_have_one_run_though_we_die_in_the_middle",
    ),
];

#[test]
fn each_of_the_fifty_cases_has_its_row() {
    let mut shown: BTreeSet<u8> = PARSING.iter().map(|(case, ..)| *case).collect();
    shown.extend(SLOTS.iter().map(|(case, ..)| *case));
    for (case, file, test) in ELSEWHERE {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
        let text = std::fs::read_to_string(path).unwrap();
        assert!(text.contains(&format!("fn {test}(")), "case {case}: no test `{test}` in `{file}`");
        shown.insert(*case);
    }
    // Of zones, of time that jumps, and of the edges of policies: tests of their own in this file.
    shown.extend([10, 32, 35, 36, 37, 38, 39, 40, 41, 43, 50]);
    let missing: Vec<u8> = (1..=50).filter(|case| !shown.contains(case)).collect();
    assert!(missing.is_empty(), "no row shows the cases {missing:?}");
}

#[test]
fn parsing_cases() {
    for (case, dialect, text, expected) in PARSING {
        let read = Schedule::parse_in(text, *dialect, "web");
        match (&read, expected) {
            (Ok(reading), Ok(expected)) => {
                let written = reading.schedule.to_string();
                assert_eq!(written, *expected, "case {case}: {text}");
                assert_eq!(
                    Schedule::parse(&written).as_ref(),
                    Ok(&reading.schedule),
                    "case {case}"
                );
            }
            (Err(error), Err(expected)) => {
                assert!(error.contains(expected), "case {case}: {text}: {error}");
                assert!(error.contains('`'), "case {case}: {text} shows no valid form: {error}");
            }
            _ => panic!("case {case}: {text} in {dialect:?}: {read:?}"),
        }
    }
}

/// Number of the case, text, zone, after when, slots as the wall clock shows them.
type Slots = (u8, &'static str, &'static str, &'static str, &'static [&'static str]);

const NEW_YORK: &str = "America/New_York";

const SLOTS: &[Slots] = &[
    (1, "0 0 12 * * * 2027-2028", "UTC", "2026-01-01T00:00:00Z", &["2027-01-01 12:00:00+0000"]),
    (
        2,
        "0 0 * * MON-FRI/2",
        "UTC",
        "2026-06-01T00:00:00Z",
        &["2026-06-03 00:00:00+0000", "2026-06-05 00:00:00+0000", "2026-06-08 00:00:00+0000"],
    ),
    (
        2,
        "0 0 * * SAT-SUN",
        "UTC",
        "2026-06-05T00:00:00Z",
        &["2026-06-06 00:00:00+0000", "2026-06-07 00:00:00+0000", "2026-06-13 00:00:00+0000"],
    ),
    (
        2,
        "0 0 * * 7",
        "UTC",
        "2026-06-05T00:00:00Z",
        &["2026-06-07 00:00:00+0000", "2026-06-14 00:00:00+0000"],
    ),
    (
        5,
        "5/15 * * * *",
        "UTC",
        "2026-06-05T00:00:00Z",
        &[
            "2026-06-05 00:05:00+0000",
            "2026-06-05 00:20:00+0000",
            "2026-06-05 00:35:00+0000",
            "2026-06-05 00:50:00+0000",
            "2026-06-05 01:05:00+0000",
        ],
    ),
    (12, "0 0 30 2 *", "UTC", "2026-06-05T00:00:00Z", &[]),
    (12, "0 0 31 4,6,9,11 *", NEW_YORK, "2026-06-05T00:00:00Z", &[]),
    (13, "0 12 1 * MON", "UTC", "2026-06-01T12:00:00Z", &["2026-06-08 12:00:00+0000"]),
    (13, "0 12 13 * FRI", "UTC", "2026-03-13T12:00:00Z", &["2026-03-20 12:00:00+0000"]),
    (14, "0 12 * * MON", "UTC", "2026-06-01T12:00:00Z", &["2026-06-08 12:00:00+0000"]),
    (14, "0 12 1 * *", "UTC", "2026-06-01T12:00:00Z", &["2026-07-01 12:00:00+0000"]),
    (14, "0 12 ? * MON", "UTC", "2026-06-01T12:00:00Z", &["2026-06-08 12:00:00+0000"]),
    // A leading star is no restriction, also with a step: both must match.
    (
        15,
        "0 0 */2 * MON",
        "UTC",
        "2026-06-01T00:00:00Z",
        &["2026-06-15 00:00:00+0000", "2026-06-29 00:00:00+0000"],
    ),
    (
        15,
        "0 0 1-31/2 * MON",
        "UTC",
        "2026-06-01T00:00:00Z",
        &[
            "2026-06-03 00:00:00+0000",
            "2026-06-05 00:00:00+0000",
            "2026-06-07 00:00:00+0000",
            "2026-06-08 00:00:00+0000",
        ],
    ),
    (16, "0 0 1-31 * MON", "UTC", "2026-06-01T00:00:00Z", &["2026-06-02 00:00:00+0000"]),
    (
        17,
        "0 0 13 * +FRI",
        "UTC",
        "2026-01-01T00:00:00Z",
        &["2026-02-13 00:00:00+0000", "2026-03-13 00:00:00+0000", "2026-11-13 00:00:00+0000"],
    ),
    (
        18,
        "0 0 L * *",
        "UTC",
        "2026-02-01T00:00:00Z",
        &["2026-02-28 00:00:00+0000", "2026-03-31 00:00:00+0000"],
    ),
    (
        18,
        "0 0 L-3 * *",
        "UTC",
        "2026-02-01T00:00:00Z",
        &["2026-02-25 00:00:00+0000", "2026-03-28 00:00:00+0000"],
    ),
    (18, "0 0 LW * *", "UTC", "2026-05-01T00:00:00Z", &["2026-05-29 00:00:00+0000"]),
    (18, "0 0 15W * *", "UTC", "2026-08-01T00:00:00Z", &["2026-08-14 00:00:00+0000"]),
    // The first is a Saturday: Monday the third, never the month before.
    (18, "0 0 1W * *", "UTC", "2026-07-31T00:00:00Z", &["2026-08-03 00:00:00+0000"]),
    // Months of thirty days have none.
    (
        18,
        "0 0 31W * *",
        "UTC",
        "2026-03-31T00:00:00Z",
        &["2026-05-29 00:00:00+0000", "2026-07-31 00:00:00+0000"],
    ),
    (18, "0 0 * * 5L", "UTC", "2026-05-01T00:00:00Z", &["2026-05-29 00:00:00+0000"]),
    (18, "0 0 * * FRI#L", "UTC", "2026-05-01T00:00:00Z", &["2026-05-29 00:00:00+0000"]),
    (18, "0 0 * * TUE#3", "UTC", "2026-05-01T00:00:00Z", &["2026-05-19 00:00:00+0000"]),
    (
        18,
        "0 0 * * MON#5",
        "UTC",
        "2026-04-01T00:00:00Z",
        &["2026-06-29 00:00:00+0000", "2026-08-31 00:00:00+0000"],
    ),
    (19, "0 0 29 2 *", "UTC", "2096-02-29T00:00:00Z", &["2104-02-29 00:00:00+0000"]),
    // Three Februaries with a leap Monday lie 40 years apart around 2100.
    (19, "0 0 29 2 +MON", "UTC", "2072-03-01T00:00:00Z", &["2112-02-29 00:00:00+0000"]),
    (20, "59 59 23 31 12 *", "UTC", "2026-12-31T23:59:59Z", &["2027-12-31 23:59:59+0000"]),
    (20, "7 5 * * *", "UTC", "2026-01-31T05:07:00Z", &["2026-02-01 05:07:00+0000"]),
    (20, "*/20 * * * * *", "UTC", "2026-12-31T23:59:40Z", &["2027-01-01 00:00:00+0000"]),
    (20, "@weekly", "UTC", "2026-06-01T00:00:00Z", &["2026-06-07 00:00:00+0000"]),
    (20, "@manual", "UTC", "2026-06-01T00:00:00Z", &[]),
    (20, "@startup", "UTC", "2026-06-01T00:00:00Z", &[]),
    (21, "0 1 * * *", NEW_YORK, "2026-03-08T06:00:00Z", &["2026-03-09 01:00:00-0400"]),
    (
        21,
        "30 1,2,3 * * *",
        NEW_YORK,
        "2026-03-08T06:00:00Z",
        &["2026-03-08 01:30:00-0500", "2026-03-08 03:00:00-0400", "2026-03-08 03:30:00-0400"],
    ),
    (20, "* * * * * *", "UTC", "2026-12-31T23:59:59Z", &["2027-01-01 00:00:00+0000"]),
    (20, "0 0 0 31 12 * 2098-2099", "UTC", "2098-12-31T00:00:00Z", &["2099-12-31 00:00:00+0000"]),
    (20, "0 0 0 31 12 * 2098-2099", "UTC", "2099-12-31T00:00:00Z", &[]),
    (
        21,
        "30 2 * * *",
        NEW_YORK,
        "2026-03-07T12:00:00Z",
        &["2026-03-08 03:00:00-0400", "2026-03-09 02:30:00-0400"],
    ),
    (
        21,
        "0,30 2 * * *",
        NEW_YORK,
        "2026-03-07T12:00:00Z",
        &["2026-03-08 03:00:00-0400", "2026-03-09 02:00:00-0400"],
    ),
    (22, "*/10 * * * *", NEW_YORK, "2026-03-08T06:50:00Z", &["2026-03-08 03:00:00-0400"]),
    (
        22,
        "0 */2 * * *",
        NEW_YORK,
        "2026-03-08T04:30:00Z",
        &["2026-03-08 00:00:00-0500", "2026-03-08 04:00:00-0400"],
    ),
    (
        23,
        "30 1 * * *",
        NEW_YORK,
        "2026-11-01T05:00:00Z",
        &["2026-11-01 01:30:00-0400", "2026-11-02 01:30:00-0500"],
    ),
    (
        24,
        "*/30 * * * *",
        NEW_YORK,
        "2026-11-01T04:45:00Z",
        &[
            "2026-11-01 01:00:00-0400",
            "2026-11-01 01:30:00-0400",
            "2026-11-01 01:00:00-0500",
            "2026-11-01 01:30:00-0500",
            "2026-11-01 02:00:00-0500",
        ],
    ),
    (
        25,
        "0,30 1 * * *",
        NEW_YORK,
        "2026-11-01T05:00:00Z",
        &["2026-11-01 01:30:00-0400", "2026-11-02 01:00:00-0500"],
    ),
    (
        26,
        "0 0-3 * * *",
        NEW_YORK,
        "2026-11-01T03:30:00Z",
        &[
            "2026-11-01 00:00:00-0400",
            "2026-11-01 01:00:00-0400",
            "2026-11-01 01:00:00-0500",
            "2026-11-01 02:00:00-0500",
        ],
    ),
    (
        26,
        "0 * * * *",
        NEW_YORK,
        "2026-11-01T04:30:00Z",
        &["2026-11-01 01:00:00-0400", "2026-11-01 01:00:00-0500"],
    ),
    (
        27,
        "45 1 * * *",
        "Australia/Lord_Howe",
        "2026-04-04T10:00:00Z",
        &["2026-04-05 01:45:00+1100", "2026-04-06 01:45:00+1030"],
    ),
    (
        27,
        "15 2 * * *",
        "Australia/Lord_Howe",
        "2026-10-03T10:00:00Z",
        &["2026-10-04 02:30:00+1100", "2026-10-05 02:15:00+1100"],
    ),
    (
        28,
        "0 0 * * *",
        "America/Santiago",
        "2026-09-05T12:00:00Z",
        &["2026-09-06 01:00:00-0300", "2026-09-07 00:00:00-0300"],
    ),
    (
        28,
        "0 0 * * *",
        "Asia/Amman",
        "2017-03-30T12:00:00Z",
        &["2017-03-31 01:00:00+0300", "2017-04-01 00:00:00+0300"],
    ),
    (
        28,
        "0 0 * * *",
        "Africa/Cairo",
        "2025-04-24T12:00:00Z",
        &["2025-04-25 01:00:00+0300", "2025-04-26 00:00:00+0300"],
    ),
    (
        28,
        "0 0 * * *",
        "America/Sao_Paulo",
        "2018-11-03T12:00:00Z",
        &["2018-11-04 01:00:00-0200", "2018-11-05 00:00:00-0200"],
    ),
    (
        29,
        "0 12 * * *",
        "Pacific/Apia",
        "2011-12-29T22:00:00Z",
        &["2011-12-31 00:00:00+1400", "2011-12-31 12:00:00+1400"],
    ),
    (
        29,
        "0 * * * *",
        "Pacific/Apia",
        "2011-12-30T09:00:00Z",
        &["2011-12-31 00:00:00+1400", "2011-12-31 01:00:00+1400"],
    ),
    (
        30,
        "30 2 * * *",
        "Africa/Casablanca",
        "2026-02-14T12:00:00Z",
        &["2026-02-15 02:30:00+0100", "2026-02-16 02:30:00+0000"],
    ),
    (
        30,
        "30 2 * * *",
        "Africa/Casablanca",
        "2026-03-21T12:00:00Z",
        &["2026-03-22 03:00:00+0100", "2026-03-23 02:30:00+0100"],
    ),
    (
        30,
        "30 1 * * *",
        "Europe/Dublin",
        "2026-10-24T12:00:00Z",
        &["2026-10-25 01:30:00+0100", "2026-10-26 01:30:00+0000"],
    ),
    // Five hours behind, whatever the sign says.
    (32, "0 5 * * *", "Etc/GMT+5", "2026-01-01T00:00:00Z", &["2026-01-01 05:00:00-0500"]),
    (32, "0 5 * * *", "US/Eastern", "2026-07-01T00:00:00Z", &["2026-07-01 05:00:00-0400"]),
    (33, "0 0 1 1 *", "UTC", "2016-12-31T23:59:60Z", &["2017-01-01 00:00:00+0000"]),
    (
        33,
        "59 59 23 * * *",
        "UTC",
        "2016-12-31T23:59:58Z",
        &["2016-12-31 23:59:59+0000", "2017-01-01 23:59:59+0000"],
    ),
    // Counted from the epoch: not from a start, an edit or a restart of ours, and without drift.
    (
        35,
        "@every 7m",
        "UTC",
        "2026-05-01T00:00:00Z",
        &["2026-05-01 00:02:00+0000", "2026-05-01 00:09:00+0000"],
    ),
    (35, "@every 7m", NEW_YORK, "2026-05-01T00:05:00Z", &["2026-04-30 20:09:00-0400"]),
    (
        36,
        "@every 90s",
        "UTC",
        "1970-01-01T00:00:00Z",
        &["1970-01-01 00:01:30+0000", "1970-01-01 00:03:00+0000"],
    ),
    (
        36,
        "@every 2h",
        NEW_YORK,
        "2026-03-08T05:00:00Z",
        &["2026-03-08 01:00:00-0500", "2026-03-08 04:00:00-0400", "2026-03-08 06:00:00-0400"],
    ),
    (39, "7 5 * * *", "UTC", "2026-05-01T05:07:00Z", &["2026-05-02 05:07:00+0000"]),
    (39, "7 5 * * *", "UTC", "2026-05-01T05:06:59.999Z", &["2026-05-01 05:07:00+0000"]),
    (40, "@at 2026-05-01T05:07:00Z", "UTC", "2026-05-01T05:06:59Z", &["2026-05-01 05:07:00+0000"]),
    (40, "@at 2026-05-01T05:07:00Z", "UTC", "2026-05-01T05:07:00Z", &[]),
];

#[test]
fn slot_cases() {
    for (case, text, zone_name, after, expected) in SLOTS {
        let timezone = zone(zone_name);
        let count = expected.len().max(1);
        let slots: Vec<String> = clock::upcoming(&schedule(text), timezone, at(after), count)
            .into_iter()
            .map(|slot| slot.with_timezone(&timezone).format("%Y-%m-%d %H:%M:%S%z").to_string())
            .collect();
        assert_eq!(slots, *expected, "case {case}: {text} in {zone_name} after {after}");
    }
}

/// Number of the case, dialect, text, what the warning says (all of it), or nothing.
const WARNINGS: &[(u8, Dialect, &str, &[&str])] = &[
    (
        1,
        Ofelia,
        "0 20 * * *",
        &["Ofelia 0.4", "at 20:00 every day", "Ofelia 0.3", "at minute 20 of every hour"],
    ),
    (1, Ofelia03, "0 20 * * *", &["Ofelia 0.3 reads it: at minute 20 of every hour", "Ofelia 0.4"]),
    (1, Ofelia, "0 0 20 * * *", &[]),
    (1, Ofelia, "@daily", &[]),
    (1, Supercronic, "0 20 * * * 2027", &[]),
    (
        1,
        Supercronic,
        "0 20 1 * * *",
        &["Supercronic", "at 20:00 on day 1 of the month", "at 01:20 every day"],
    ),
    (1, Quartz, "0 0 12 ? * 2", &["on Monday", "on Tuesday"]),
    (1, Ours, "0 20 * * *", &[]),
    (12, Ours, "0 0 30 2 *", &["never comes true"]),
    (12, Ours, "0 0 0 29 2 * 2027", &["never comes true"]),
    (
        15,
        Dkron,
        "0 0 0 */2 * MON",
        &["every second day from day 1 of the month and on Monday", "if it is also"],
    ),
];

#[test]
fn warning_cases() {
    for (case, dialect, text, expected) in WARNINGS {
        let warning = Schedule::parse_in(text, *dialect, "web").unwrap().warning;
        assert_eq!(warning.is_some(), !expected.is_empty(), "case {case}: {text}: {warning:?}");
        let warning = warning.unwrap_or_default();
        for part in *expected {
            assert!(warning.contains(part), "case {case}: {text} lacks `{part}`: {warning}");
        }
    }
}

#[test]
fn zone_cases() {
    // (case, text, field `timezone`, zone or part of the error)
    let rows: &[(u8, &str, Option<&str>, Read)] = &[
        (10, "CRON_TZ=America/Toronto 0 5 * * *", None, Ok("America/Toronto")),
        (10, "TZ=America/Toronto @daily", None, Ok("America/Toronto")),
        (10, "0 5 * * *", Some("Asia/Tokyo"), Ok("Asia/Tokyo")),
        (10, "0 5 * * *", None, Ok("UTC")),
        (10, "TZ=Mars/Olympus 0 5 * * *", None, Err("`Mars/Olympus` is no time zone")),
        (10, "TZ=America/Toronto 0 5 * * *", Some("Asia/Tokyo"), Err("write one of them")),
        (10, "TZ=America/Toronto", None, Err("is empty")),
        (32, "TZ=Etc/GMT+5 0 5 * * *", None, Ok("Etc/GMT+5")),
        (32, "TZ=US/Eastern 0 5 * * *", None, Ok("US/Eastern")),
        (32, "TZ=america/toronto 0 5 * * *", None, Err("did you mean `America/Toronto`")),
    ];
    for (case, text, field, expected) in rows {
        let read = Schedule::parse_in(text, Ours, "web");
        let zone = read.and_then(|reading| reading.zone(field.map(zone), Tz::UTC));
        match (&zone, expected) {
            (Ok(zone), Ok(expected)) => assert_eq!(zone.name(), *expected, "case {case}: {text}"),
            (Err(error), Err(expected)) => {
                assert!(error.contains(expected), "case {case}: {text}: {error}");
            }
            _ => panic!("case {case}: {text}: {zone:?}"),
        }
    }
    let error = Schedule::parse("TZ=America/Toronto 0 5 * * *").unwrap_err();
    assert!(error.contains("timezone: America/Toronto"), "{error}");
}

#[test]
fn case_9_every_job_has_its_own_minute_and_keeps_it() {
    let minute =
        |name: &str| Schedule::parse_in("H * * * *", Ours, name).unwrap().schedule.to_string();
    let minutes: BTreeSet<String> = (0..600).map(|job| minute(&format!("job-{job}"))).collect();
    assert_eq!(minutes.len(), 60, "600 jobs use every minute of the hour");
    assert_eq!(minute("web"), minute("web"));
    let error = Schedule::parse("H * * * *").unwrap_err();
    assert!(error.contains("name"), "{error}");
}

fn timetable(text: &str, window: &Window) -> Timetable {
    Timetable::new("web", schedule(text), Tz::UTC, window)
}

#[test]
fn case_12_and_19_searches_end() {
    // What never comes is known at once, and what comes seldom is found; no timing: a search that does
    // not end fails the run.
    for text in ["0 0 30 2 *", "0 0 31 2,4,6,9,11 *", "0 0 0 29 2 * 2027,2029", "0 0 29 2 +MON"] {
        for year in [1971, 2026, 2096, 4000] {
            let after = Utc.with_ymd_and_hms(year, 3, 1, 0, 0, 0).unwrap();
            let slots = clock::upcoming(&schedule(text), Tz::UTC, after, 50);
            assert!(text.contains('+') == (slots.len() == 50), "{text} after {year}");
            assert_eq!(count(&schedule(text), Tz::UTC, after, after), 0);
        }
    }
}

#[test]
fn case_37_to_39_no_slot_runs_twice_and_none_is_lost() {
    let day = |time: &str| at(&format!("2026-05-{time}Z"));
    let mut agenda = Agenda::default();
    agenda.insert(timetable("*/5 * * * *", &Window::default()), day("01T00:00:00"));
    // (case, now, policy, what runs, how many are missed)
    let rows: &[(u8, &str, CatchUp, &[&str], usize)] = &[
        (39, "01T00:04:59.999", CatchUp::Latest, &[], 0),
        (39, "01T00:05:00", CatchUp::Latest, &["01T00:05:00"], 0),
        (39, "01T00:05:00", CatchUp::Latest, &[], 0),
        // Nobody was late by more than a minute: `none` runs it too.
        (38, "01T00:10:20", CatchUp::None, &["01T00:10:00"], 0),
        (37, "01T00:20:10", CatchUp::Latest, &["01T00:20:00"], 1),
        (37, "30T23:20:10", CatchUp::Latest, &["30T23:20:00"], 8_627),
        // An hour back: nothing until the clock has caught up.
        (37, "30T22:20:10", CatchUp::Latest, &[], 0),
        (37, "30T23:20:00", CatchUp::Latest, &[], 0),
        (37, "30T23:25:00", CatchUp::Latest, &["30T23:25:00"], 0),
        (38, "31T07:27:00", CatchUp::None, &[], 96),
        (38, "31T15:27:00", CatchUp::All(3), &["31T15:15:00", "31T15:20:00", "31T15:25:00"], 93),
        (38, "31T23:27:00", CatchUp::Latest, &["31T23:25:00"], 95),
    ];
    for (case, now, policy, run, missed) in rows {
        let due = agenda.due(day(now));
        let owed = due.first().map(|due| due.catch_up(*policy, day(now), None)).unwrap_or_default();
        let run: Vec<_> = run.iter().map(|slot| day(slot)).collect();
        assert_eq!((&owed.run, owed.missed_count()), (&run, *missed), "case {case} at {now}");
    }
}

/// 31: a zone that is written anew moves the next slot at once. 34: a clock that stands in any zone hands
/// in the same instants, and gets the same slots.
#[test]
fn case_31_and_34_only_the_zone_that_is_written_counts() {
    let slots = |name: &str, after: &str| {
        let schedule = schedule("30 2 * * *");
        Timetable::new("web", schedule, zone(name), &Window::default()).next_after(at(after))
    };
    assert_eq!(slots("UTC", "2026-06-01T00:00:00Z"), Some(at("2026-06-01T02:30:00Z")));
    assert_eq!(slots("Asia/Tokyo", "2026-06-01T00:00:00Z"), Some(at("2026-06-01T17:30:00Z")));
    for same in
        ["2026-06-01T09:00:00+09:00", "2026-05-31T20:00:00-04:00", "2026-06-01T05:45:00+05:45"]
    {
        assert_eq!(slots("Asia/Tokyo", same), Some(at("2026-06-01T17:30:00Z")), "{same}");
    }
}

#[test]
fn case_40_windows_edits_and_a_time_that_is_past() {
    let window = |starts: Option<&str>, ends: Option<&str>| Window {
        starts: starts.map(at),
        ends: ends.map(at),
        ..Window::default()
    };
    // (starts, ends, after, slots): the start is inclusive, the end is not.
    let (nine, ten) = (Some("2026-05-01T09:00:00Z"), Some("2026-05-01T10:00:00Z"));
    let rows = [
        (nine, ten, "2026-05-01T00:00:00Z", vec!["2026-05-01T09:00:00Z", "2026-05-01T09:30:00Z"]),
        (nine, ten, "2026-05-01T09:00:00Z", vec!["2026-05-01T09:30:00Z"]),
        (nine, ten, "2026-05-01T09:30:00Z", vec![]),
        (None, ten, "2026-05-01T09:10:00Z", vec!["2026-05-01T09:30:00Z"]),
        (
            Some("2026-05-01T08:59:59.5Z"),
            Some("2026-05-01T09:00:00.5Z"),
            "2026-01-01T00:00:00Z",
            vec!["2026-05-01T09:00:00Z"],
        ),
        (ten, nine, "2026-05-01T00:00:00Z", vec![]),
    ];
    for (starts, ends, after, expected) in rows {
        let timetable = timetable("*/30 * * * *", &window(starts, ends));
        let expected: Vec<_> = expected.into_iter().map(at).collect();
        assert_eq!(timetable.upcoming(at(after), 5), expected, "{starts:?} {ends:?} {after}");
        let until = at("2026-06-01T00:00:00Z");
        assert_eq!(
            timetable.count(at(after), until),
            if ends.is_some() { expected.len() as u64 } else { 99 }
        );
    }
    // An edit owes nothing of what it now names in the past; an unchanged job keeps what it is owed.
    let mut agenda = Agenda::default();
    let (start, now) = (at("2026-05-01T00:00:00Z"), at("2026-05-01T12:10:00Z"));
    assert!(agenda.update(timetable("@hourly", &Window::default()), start));
    assert!(!agenda.update(timetable("@hourly", &Window::default()), now));
    assert_eq!(agenda.next_of("web"), Some(at("2026-05-01T01:00:00Z")));
    assert!(agenda.update(timetable("*/30 * * * *", &Window::default()), now));
    assert_eq!(agenda.due(now), []);
    assert_eq!(agenda.next_of("web"), Some(at("2026-05-01T12:30:00Z")));
    // Disabled and enabled again.
    agenda.remove("web");
    assert_eq!((agenda.next_due(), agenda.len()), (None, 0));
    assert!(agenda.update(timetable("@at 2026-05-01T12:00:00Z", &Window::default()), now));
    assert_eq!((agenda.next_due(), agenda.len()), (None, 1));
}

#[test]
fn case_41_and_43_deadlines_down_to_a_second() {
    let timetable = timetable("*/5 * * * *", &Window::default());
    let last = at("2026-05-01T00:00:00Z");
    // (now, policy, deadline in seconds, minutes that run, missed)
    let rows: &[(&str, CatchUp, u64, &[u32], usize)] = &[
        ("2026-05-01T00:05:01Z", CatchUp::Latest, 1, &[5], 0),
        ("2026-05-01T00:05:01.001Z", CatchUp::Latest, 1, &[], 1),
        ("2026-05-01T00:05:01.001Z", CatchUp::None, 1, &[], 1),
        ("2026-05-01T00:16:00Z", CatchUp::All(9), 400, &[10, 15], 1),
        ("2026-05-01T00:16:00Z", CatchUp::All(1), 400, &[15], 2),
        ("2026-05-01T00:16:00Z", CatchUp::All(0), 400, &[15], 2),
        ("2026-05-01T00:16:01Z", CatchUp::All(0), 400, &[], 3),
        ("2026-05-01T00:16:00Z", CatchUp::Latest, 400, &[15], 2),
        ("2026-05-01T00:19:59Z", CatchUp::Latest, 200, &[], 3),
    ];
    for (now, policy, deadline, run, missed) in rows {
        let owed = timetable.catch_up(*policy, last, at(now), Some(Duration::from_secs(*deadline)));
        let minutes: Vec<u32> = owed.run.iter().map(Timelike::minute).collect();
        assert_eq!((minutes.as_slice(), owed.missed_count()), (*run, *missed), "{now} {policy:?}");
    }
    // Ten years of seconds are counted, not walked.
    let timetable = self::timetable("* * * * * *", &Window::default());
    let owed = timetable.catch_up(CatchUp::All(3), last, at("2036-05-01T00:00:00Z"), None);
    assert_eq!((owed.run.len(), owed.missed.len()), (3, 100));
    assert_eq!(owed.missed_count(), 3653 * 86_400 - 3);
}

/// Overlap, catch-up, deadline in minutes, skipped slots newest first, those that run oldest first.
type AfterAll = (Overlap, CatchUp, Option<u64>, &'static [i64], &'static [i64]);

#[test]
fn case_41_a_skipped_slot_runs_after_all_within_its_deadline() {
    let now = at("2026-05-01T00:30:00Z");
    let minute = |minute: i64| at("2026-05-01T00:00:00Z") + TimeDelta::minutes(minute);
    let skipped = |minutes: &[i64]| -> Vec<Skipped> {
        let one = |it: &i64| {
            // Those of a pause are written below zero.
            let reason = if *it < 0 { Reason::Paused } else { Reason::Overlap };
            Skipped { run: it.abs(), slot: minute(it.abs()), reason }
        };
        minutes.iter().map(one).collect()
    };
    let (latest, skip) = (CatchUp::Latest, Overlap::Skip);
    let rows: &[AfterAll] = &[
        (skip, latest, Some(10), &[25, 20, 15], &[25]),
        (skip, latest, Some(5), &[25, 20], &[25]),
        (skip, latest, Some(4), &[25, 20], &[]),
        (skip, latest, None, &[25, 20], &[]),
        (skip, CatchUp::None, Some(60), &[25, 20], &[]),
        (skip, CatchUp::All(0), Some(60), &[25, 20], &[]),
        (skip, CatchUp::All(2), Some(60), &[25, 20, 15], &[20, 25]),
        (skip, CatchUp::All(9), Some(12), &[25, 20, 15], &[20, 25]),
        (skip, latest, Some(10), &[], &[]),
        // Where one waits, or takes the place of the other, nothing is owed.
        (Overlap::Queue, latest, Some(60), &[25], &[]),
        (Overlap::Replace, CatchUp::All(2), Some(60), &[25], &[]),
        // Of a pause the newest, whatever the overlap and however many are caught up with.
        (Overlap::Queue, latest, Some(60), &[-25, -20], &[25]),
        (Overlap::Queue, CatchUp::All(9), Some(60), &[25, -20, -15], &[20]),
        (skip, CatchUp::All(9), Some(60), &[25, -20, -15, 10], &[10, 20, 25]),
        (skip, CatchUp::None, Some(60), &[-25], &[]),
        (skip, latest, None, &[-25], &[]),
        (skip, latest, Some(4), &[-25], &[]),
    ];
    for (overlap, catch_up, deadline, left_out, expected) in rows {
        let policy = Policy {
            overlap: *overlap,
            catch_up: *catch_up,
            start_deadline: deadline.map(|it| Duration::from_secs(it * 60)),
            ..Policy::default()
        };
        let run = clock::after_all(&policy, now, &skipped(left_out));
        let run: Vec<i64> = run.iter().map(|it| it.run).collect();
        assert_eq!(run, *expected, "{overlap:?} {catch_up:?} {deadline:?} {left_out:?}");
    }
}

#[test]
fn case_50_ten_thousand_jobs_on_one_slot() {
    let mut agenda = Agenda::default();
    let start = at("2026-05-01T00:00:00Z");
    for job in 0..10_000 {
        let name = format!("job-{job}");
        agenda.insert(
            Timetable::new(&name, schedule("0 * * * *"), Tz::UTC, &Window::default()),
            start,
        );
    }
    for hour in 1..=3 {
        let now = start + TimeDelta::hours(hour);
        assert!(agenda.due(now - TimeDelta::milliseconds(1)).is_empty());
        let due = agenda.due(now);
        let names: BTreeSet<&str> = due.iter().map(Due::job).collect();
        assert_eq!((due.len(), names.len()), (10_000, 10_000));
        assert!(due.iter().all(|due| due.first == now && due.latest == now));
        assert!(agenda.due(now).is_empty());
    }
}

#[test]
fn jitter_and_spread_delay_runs_and_never_change() {
    let window = |jitter, spread| Window {
        jitter: Duration::from_secs(jitter),
        spread: Duration::from_secs(spread),
        ..Window::default()
    };
    let start = at("2026-05-01T00:00:00Z");
    let delays = |name: &str, window: &Window| -> Vec<TimeDelta> {
        let timetable = Timetable::new(name, schedule("@hourly"), Tz::UTC, window);
        let slots = timetable.upcoming(start, 50).into_iter();
        slots.map(|slot| timetable.start_time(slot) - slot).collect()
    };
    let (jitter, spread) = (window(600, 0), window(0, 600));
    assert!(delays("a", &Window::default()).iter().all(TimeDelta::is_zero));
    let drawn = delays("a", &jitter);
    assert_eq!(drawn, delays("a", &jitter));
    assert!(drawn.iter().collect::<BTreeSet<_>>().len() > 45, "drawn anew for each slot");
    let same = delays("a", &spread);
    assert_eq!(same.iter().collect::<BTreeSet<_>>().len(), 1, "the same for each slot");
    assert_ne!(same, delays("b", &spread), "and another for each job");
    for delay in drawn.iter().chain(&same) {
        assert!((TimeDelta::zero()..TimeDelta::minutes(10)).contains(delay));
    }
    // The agenda wakes when the run is to start, and hands out the slot.
    let mut agenda = Agenda::default();
    let timetable = Timetable::new("a", schedule("@hourly"), Tz::UTC, &jitter);
    let slot = start + TimeDelta::hours(1);
    let starts = timetable.start_time(slot);
    agenda.insert(timetable, start);
    assert_eq!((agenda.next_due(), agenda.next_of("a")), (Some(starts), Some(slot)));
    assert_eq!(agenda.due(starts - TimeDelta::milliseconds(1)), []);
    assert_eq!(agenda.due(starts).first().map(|due| due.latest), Some(slot));
}

// ---- against oracles ----

/// Forty zones: every kind of offset change since 2005.
const ZONES: [&str; 40] = [
    "UTC",
    "America/New_York",
    "America/Toronto",
    "America/Los_Angeles",
    "America/Denver",
    "America/St_Johns",
    "America/Halifax",
    "America/Havana",
    "America/Santiago",
    "America/Asuncion",
    "America/Sao_Paulo",
    "America/Caracas",
    "America/Godthab",
    "America/Port-au-Prince",
    "America/Mexico_City",
    "Europe/London",
    "Europe/Dublin",
    "Europe/Berlin",
    "Europe/Istanbul",
    "Europe/Moscow",
    "Europe/Samara",
    "Europe/Chisinau",
    "Africa/Cairo",
    "Africa/Casablanca",
    "Africa/Windhoek",
    "Africa/Juba",
    "Asia/Tehran",
    "Asia/Amman",
    "Asia/Beirut",
    "Asia/Gaza",
    "Asia/Jerusalem",
    "Asia/Kathmandu",
    "Asia/Pyongyang",
    "Asia/Dhaka",
    "Australia/Sydney",
    "Australia/Lord_Howe",
    "Pacific/Auckland",
    "Pacific/Chatham",
    "Pacific/Apia",
    "Antarctica/Troll",
];

fn offset(timezone: Tz, instant: DateTime<Utc>) -> i32 {
    timezone.offset_from_utc_datetime(&instant.naive_utc()).fix().local_minus_utc()
}

/// The hours of 2005 to 2024 before which a zone changed its offset.
fn changes(timezone: Tz) -> Vec<DateTime<Utc>> {
    let start = at("2005-01-01T00:00:00Z");
    let days = (0..20 * 365).map(|day| start + TimeDelta::days(day));
    days.filter(|day| offset(timezone, *day) != offset(timezone, *day + TimeDelta::days(1)))
        .map(|day| {
            let hours = (1..=24).map(|hour| day + TimeDelta::hours(hour));
            hours.into_iter().find(|hour| offset(timezone, *hour) != offset(timezone, day)).unwrap()
        })
        .collect()
}

/// A field written twice: for the parser, and as a set for the oracle.
#[derive(Clone, Debug)]
struct Part {
    text: String,
    set: BTreeSet<u32>,
}

fn part(lowest: u32, highest: u32) -> impl Strategy<Value = Part> {
    let value = lowest..=highest;
    let star = Just(Part { text: "*".to_owned(), set: (lowest..=highest).collect() });
    let step = (1..=highest.min(20)).prop_map(move |step| Part {
        text: format!("*/{step}"),
        set: (lowest..=highest).step_by(step as usize).collect(),
    });
    let one = value.clone().prop_map(|value| Part { text: value.to_string(), set: [value].into() });
    let list = prop::collection::btree_set(value.clone(), 2..4).prop_map(|set| {
        let list: Vec<String> = set.iter().map(ToString::to_string).collect();
        Part { text: list.join(","), set }
    });
    let range = (value.clone(), value, 1..5_u32).prop_map(|(one, other, step)| {
        let (first, end) = (one.min(other), one.max(other));
        let text = match step {
            1 => format!("{first}-{end}"),
            _ => format!("{first}-{end}/{step}"),
        };
        Part { text, set: (first..=end).step_by(step as usize).collect() }
    });
    prop_oneof![2 => star, 2 => step, 4 => one, 2 => list, 1 => range]
}

/// An expression of five fields, and what it says as sets.
#[derive(Clone, Debug)]
struct Five {
    minute: Part,
    hour: Part,
    day: Part,
    month: Part,
    weekday: Part,
}

fn five() -> impl Strategy<Value = Five> {
    let star = |lowest: u32, highest: u32| {
        Just(Part { text: "*".to_owned(), set: (lowest..=highest).collect() })
    };
    let day = prop_oneof![3 => star(1, 31), 2 => part(1, 31)];
    let month = prop_oneof![6 => star(1, 12), 1 => part(1, 12)];
    let weekday = prop_oneof![3 => star(0, 6), 2 => part(0, 6)];
    // Night is when clocks change.
    let hour = prop_oneof![1 => part(0, 23), 2 => part(0, 3)];
    (part(0, 59), hour, day, month, weekday).prop_map(|(minute, hour, day, month, weekday)| {
        // A star of a part of the hours is none of all.
        let hour = if hour.text.starts_with('*') {
            let set = hour.set.iter().max().copied().unwrap_or_default();
            let step = hour.text.strip_prefix("*/").and_then(|it| it.parse().ok()).unwrap_or(1);
            Part { set: (0..=23.max(set)).step_by(step).collect(), ..hour }
        } else {
            hour
        };
        Five { minute, hour, day, month, weekday }
    })
}

impl Five {
    fn text(&self) -> String {
        let Self { minute, hour, day, month, weekday } = self;
        [minute, hour, day, month, weekday].map(|part| part.text.as_str()).join(" ")
    }

    fn follows_wall_clock(&self) -> bool {
        [&self.minute, &self.hour].iter().any(|part| part.text.contains(['*', '-', '/']))
    }

    fn matches(&self, wall: NaiveDateTime) -> bool {
        let day = self.day.set.contains(&wall.day());
        let weekday = self.weekday.set.contains(&wall.weekday().num_days_from_sunday());
        let is_star = |part: &Part| part.text.starts_with('*');
        let days = if is_star(&self.day) || is_star(&self.weekday) {
            day && weekday
        } else {
            day || weekday
        };
        days && self.month.set.contains(&wall.month())
            && self.hour.set.contains(&wall.hour())
            && self.minute.set.contains(&wall.minute())
    }

    /// Walks every minute until `until` and says at which instants after `after` a job runs.
    fn walk(&self, timezone: Tz, after: DateTime<Utc>, until: DateTime<Utc>) -> Vec<DateTime<Utc>> {
        let mut slots = Vec::new();
        // What the wall clock has shown before matters where it goes back.
        let mut instant = after - TimeDelta::hours(4);
        let mut furthest: Option<NaiveDateTime> = None;
        while instant <= until {
            let wall =
                instant.naive_utc() + TimeDelta::seconds(i64::from(offset(timezone, instant)));
            let runs = if self.follows_wall_clock() {
                self.matches(wall)
            } else {
                // All that was jumped over belongs to this instant; what was shown before is over.
                let mut shown = furthest.map_or(wall, |furthest| furthest + TimeDelta::minutes(1));
                let mut any = false;
                while shown <= wall {
                    any |= self.matches(shown);
                    shown += TimeDelta::minutes(1);
                }
                any
            };
            if runs && instant > after {
                slots.push(instant);
            }
            furthest = furthest.max(Some(wall));
            instant += TimeDelta::minutes(1);
        }
        slots
    }
}

/// Compares the clock with the walk in one window.
fn check(five: &Five, timezone: Tz, after: DateTime<Utc>, until: DateTime<Utc>) {
    let expected = five.walk(timezone, after, until);
    let text = five.text();
    let schedule = schedule(&text);
    let context = || format!("{text} in {timezone} after {after}");
    let later = |slot: &DateTime<Utc>| clock::next_after(&schedule, timezone, *slot);
    let slots: Vec<_> =
        std::iter::successors(later(&after), later).take_while(|slot| *slot <= until).collect();
    assert_eq!(slots, expected, "{}", context());
    assert_eq!(count(&schedule, timezone, after, until), slots.len() as u64, "{}", context());
    assert_eq!(
        clock::missed(&schedule, timezone, after, until),
        slots.last().copied(),
        "{}",
        context()
    );
    // The same from any instant within, also from one in a repeated hour.
    let mut instant = after;
    while instant < until {
        let position = slots.partition_point(|slot| *slot <= instant);
        let next = later(&instant).filter(|slot| *slot <= until);
        assert_eq!(next, slots.get(position).copied(), "{} from {instant}", context());
        let passed = count(&schedule, timezone, after, instant);
        assert_eq!(passed, position as u64, "{} until {instant}", context());
        let rest = count(&schedule, timezone, instant, until);
        assert_eq!(rest, (slots.len() - position) as u64, "{} from {instant}", context());
        instant += TimeDelta::minutes(397);
    }
}

#[test]
fn agrees_with_a_walk_at_every_offset_change_of_forty_zones_in_twenty_years() {
    let set = |values: &[u32]| values.iter().copied().collect::<BTreeSet<u32>>();
    let all = |text: &str, lowest: u32, highest: u32| Part {
        text: text.to_owned(),
        set: (lowest..=highest).collect(),
    };
    let part = |text: &str, values: &[u32]| Part { text: text.to_owned(), set: set(values) };
    let (day, month, weekday) = (all("*", 1, 31), all("*", 1, 12), all("*", 0, 6));
    let five = |minute: Part, hour: Part| Five {
        minute,
        hour,
        day: day.clone(),
        month: month.clone(),
        weekday: weekday.clone(),
    };
    let rows = [
        five(part("0,15,30,45", &[0, 15, 30, 45]), part("0,1,2,3", &[0, 1, 2, 3])),
        five(part("*/20", &[0, 20, 40]), all("*", 0, 23)),
    ];
    let mut checked = 0;
    for name in ZONES {
        for change in changes(zone(name)) {
            for row in &rows {
                check(row, zone(name), change - TimeDelta::hours(3), change + TimeDelta::hours(5));
            }
            checked += 1;
        }
    }
    assert!(checked > 900, "there were {checked} changes");
}

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config(300))]

    #[test]
    fn agrees_with_a_walk_over_every_minute(
        five in five(),
        zone_number in 0..ZONES.len(),
        near_a_change in any::<bool>(),
        place in any::<prop::sample::Index>(),
        minutes in 0..3_000_i64,
    ) {
        let timezone = zone(ZONES[zone_number]);
        let changes = changes(timezone);
        let start = if near_a_change && !changes.is_empty() {
            *place.get(&changes) - TimeDelta::minutes(minutes)
        } else {
            at("2005-01-01T00:00:00Z") + TimeDelta::minutes(i64::try_from(place.index(10_500_000)).unwrap())
        };
        check(&five, timezone, start, start + TimeDelta::days(3));
    }

    #[test]
    fn catches_up_as_an_enumeration_of_all_slots_says(
        five in five(),
        every in prop::option::of(60..5_000_u64),
        zone_number in 0..ZONES.len(),
        (start, down) in (0..10_000_000_i64, 0..600_000_i64),
        (jitter, spread) in (prop_oneof![Just(0_u64), 1..7_000_u64], prop_oneof![Just(0_u64), 1..7_000_u64]),
        (starts, ends) in (prop::option::of(0..600_000_i64), prop::option::of(0..600_000_i64)),
        policy in prop_oneof![
            Just(CatchUp::None), Just(CatchUp::Latest), (0..200_usize).prop_map(CatchUp::All)
        ],
        deadline in prop::option::of(1..100_000_u64),
    ) {
        let last = at("2005-01-01T00:00:00Z") + TimeDelta::minutes(start);
        let now = last + TimeDelta::seconds(down);
        let text = every.map_or_else(|| five.text(), |every| format!("@every {every}s"));
        let window = Window {
            starts: starts.map(|after| last + TimeDelta::seconds(after)),
            ends: ends.map(|after| last + TimeDelta::seconds(after)),
            jitter: Duration::from_secs(jitter),
            spread: Duration::from_secs(spread),
        };
        let timetable = Timetable::new("web", schedule(&text), zone(ZONES[zone_number]), &window);
        let deadline = deadline.map(Duration::from_secs);
        let owed = timetable.catch_up(policy, last, now, deadline);
        prop_assert_eq!(owed, enumerate(&timetable, policy, last, now, deadline));
        // The agenda hands out the same slots.
        let mut agenda = Agenda::default();
        agenda.insert(timetable.clone(), last);
        let due = agenda.due(now);
        let from_agenda = due.first().map(|due| due.catch_up(policy, now, deadline));
        prop_assert_eq!(from_agenda.unwrap_or_default(), timetable.catch_up(policy, last, now, deadline));
        let next = agenda.next_of("web");
        let latest = due.first().map_or(last, |due| due.latest);
        prop_assert_eq!(next, timetable.next_after(latest));
    }

    #[test]
    fn agrees_with_croner_about_days(
        day in prop_oneof![
            Just("*".to_owned()), Just("L".to_owned()), Just("LW".to_owned()),
            (1..=31_u32).prop_map(|day| format!("{day}W")), part(1, 31).prop_map(|part| part.text),
        ],
        month in prop_oneof![Just("*".to_owned()), part(1, 12).prop_map(|part| part.text)],
        weekday in prop_oneof![
            Just("*".to_owned()), (0..=6_u32, 1..=5_u32).prop_map(|(day, nth)| format!("{day}#{nth}")),
            (0..=6_u32).prop_map(|day| format!("{day}L")), part(0, 6).prop_map(|part| part.text),
        ],
        start in 0..20 * 365_i64,
    ) {
        let text = format!("0 0 {day} {month} {weekday}");
        // Their rule for a star with a step is another.
        let both = day.starts_with('*') || weekday.starts_with('*');
        let theirs = CronParser::builder().dom_and_dow(both).build().parse(&text).unwrap();
        let start = at("2005-01-01T00:00:00Z") + TimeDelta::days(start);
        let mut expected = Vec::new();
        let mut after = start;
        while expected.len() < 40 && let Ok(next) = theirs.find_next_occurrence(&after, false) {
            expected.push(next);
            after = next;
        }
        let ours = clock::upcoming(&schedule(&text), Tz::UTC, start, 40);
        // Years beyond theirs are none of their business.
        let known = expected.len();
        prop_assert_eq!(&ours[..known.min(ours.len())], &expected[..], "{}", text);
    }

    #[test]
    fn agrees_with_croner_about_seconds(
        second in part(0, 59),
        minute in part(0, 59),
        hour in part(0, 23),
        start in 0..86_400_i64,
    ) {
        let text = format!("{} {} {} * * *", second.text, minute.text, hour.text);
        let theirs = CronParser::new().parse(&text).unwrap();
        let mut after = at("2026-01-01T00:00:00Z") + TimeDelta::seconds(start);
        for slot in clock::upcoming(&schedule(&text), Tz::UTC, after, 20) {
            let next = theirs.find_next_occurrence(&after, false).unwrap();
            prop_assert_eq!(slot, next, "{}", text);
            after = next;
        }
    }

    #[test]
    fn what_is_read_in_any_dialect_is_written_in_ours(
        five in five(), second in part(0, 59), dialect in 0..Dialect::ALL.len(), form in 0..3_u8,
    ) {
        let (_, dialect) = Dialect::ALL[dialect];
        let text = match form {
            0 => five.text(),
            1 => format!("{} {}", second.text, five.text()),
            _ => format!("{} {} 2027-2029", second.text, five.text()),
        };
        if let Ok(reading) = Schedule::parse_in(&text, dialect, "web") {
            let written = reading.schedule.to_string();
            let again = schedule(&written);
            let start = at("2026-12-01T00:00:00Z");
            prop_assert_eq!(
                clock::upcoming(&again, Tz::UTC, start, 20),
                clock::upcoming(&reading.schedule, Tz::UTC, start, 20),
                "{} in {} is {}", text, dialect, written
            );
        }
    }

    #[test]
    fn refuses_or_reads_whatever_is_written(
        text in "[0-9*/,~HLW#?+@A-Za-z:=() -]{0,24}", dialect in 0..Dialect::ALL.len(),
    ) {
        let (_, dialect) = Dialect::ALL[dialect];
        if let Ok(reading) = Schedule::parse_in(&text, dialect, "web") {
            let written = reading.schedule.to_string();
            prop_assert_eq!(Schedule::parse(&written), Ok(reading.schedule), "{}", text);
        }
    }
}

/// What happens to an agenda.
#[derive(Clone, Debug)]
enum Step {
    /// Time goes on by seconds, or back.
    Time(i64),
    Insert(u8, u8),
    Update(u8, u8),
    Remove(u8),
}

proptest! {
    #![proptest_config(config(80))]

    /// Beside a plain list that looks through all its jobs.
    #[test]
    fn an_agenda_hands_out_every_slot_once(
        steps in prop::collection::vec(
            prop_oneof![
                6 => (0..20_000_i64).prop_map(Step::Time),
                1 => (-10_000..0_i64).prop_map(Step::Time),
                2 => (0..6_u8, 0..5_u8).prop_map(|(job, schedule)| Step::Insert(job, schedule)),
                2 => (0..6_u8, 0..5_u8).prop_map(|(job, schedule)| Step::Update(job, schedule)),
                1 => (0..6_u8).prop_map(Step::Remove),
            ],
            1..120,
        ),
    ) {
        const TEXTS: [&str; 5] = ["*/5 * * * *", "0 * * * *", "@every 97s", "@manual", "30 3 * * *"];
        let timetable = |job: u8, text: u8| {
            let window = Window { jitter: Duration::from_secs(u64::from(job) * 100), ..Window::default() };
            Timetable::new(&format!("job-{job}"), schedule(TEXTS[text as usize]), Tz::UTC, &window)
        };
        let mut now = at("2026-05-01T00:00:00Z");
        let mut furthest = now;
        let mut agenda = Agenda::default();
        let mut list: Vec<(Timetable, DateTime<Utc>)> = Vec::new();
        let known = |list: &[(Timetable, DateTime<Utc>)], timetable: &Timetable| {
            list.iter().position(|(known, _)| known.key() == timetable.key())
        };
        for step in steps {
            match step {
                Step::Time(seconds) => {
                    // Longer steps back than three hours are another case.
                    now = (now + TimeDelta::seconds(seconds)).max(furthest - TimeDelta::hours(3));
                    furthest = furthest.max(now);
                    let mut expected = Vec::new();
                    for (timetable, done) in &mut list {
                        let mut passed = Vec::new();
                        while let Some(slot) = timetable.next_after(passed.last().copied().unwrap_or(*done))
                            && timetable.start_time(slot) <= now
                        {
                            passed.push(slot);
                        }
                        if let (Some(first), Some(latest)) = (passed.first(), passed.last()) {
                            expected.push((timetable.key().to_string(), *done, *first, *latest));
                            *done = *latest;
                        }
                    }
                    expected.sort_by(|one, other| (one.3, &one.0).cmp(&(other.3, &other.0)));
                    let due = agenda.due(now).into_iter();
                    let due: Vec<_> =
                        due.map(|due| (due.job().to_owned(), due.done, due.first, due.latest)).collect();
                    prop_assert_eq!(due, expected);
                }
                Step::Insert(job, text) | Step::Update(job, text) => {
                    let timetable = timetable(job, text);
                    let place = known(&list, &timetable);
                    let same = place.is_some_and(|place| list[place].0 == timetable);
                    let is_update = matches!(step, Step::Update(..));
                    if is_update {
                        prop_assert_eq!(agenda.update(timetable.clone(), now), !same);
                    } else {
                        agenda.insert(timetable.clone(), now);
                    }
                    if !(same && is_update) {
                        place.map(|place| list.remove(place));
                        list.push((timetable, now));
                    }
                }
                Step::Remove(job) => {
                    agenda.remove(&format!("job-{job}"));
                    list.retain(|(timetable, _)| **timetable.key() != *format!("job-{job}"));
                }
            }
            prop_assert_eq!(agenda.len(), list.len());
            let next = list.iter().filter_map(|(timetable, done)| {
                Some(timetable.start_time(timetable.next_after(*done)?))
            });
            prop_assert_eq!(agenda.next_due(), next.min());
        }
    }
}

/// The same decision, made by walking over every slot.
fn enumerate(
    timetable: &Timetable,
    policy: CatchUp,
    last: DateTime<Utc>,
    now: DateTime<Utc>,
    deadline: Option<Duration>,
) -> Owed {
    let mut passed = Vec::new();
    let mut slot = timetable.next_after(last);
    while let Some(next) = slot.filter(|next| timetable.start_time(*next) <= now) {
        passed.push(next);
        slot = timetable.next_after(next);
    }
    let (most, limit) = match policy {
        CatchUp::None | CatchUp::All(0) => (1, Some(clock::ON_TIME)),
        CatchUp::Latest => (1, None),
        CatchUp::All(most) => (most, None),
    };
    let newest = passed.len().saturating_sub(most);
    let mut owed = Owed::default();
    for (position, slot) in passed.into_iter().enumerate() {
        let late = (now - timetable.start_time(slot)).to_std().unwrap();
        let in_time = [limit, deadline].iter().flatten().all(|limit| late <= *limit);
        if position >= newest && in_time { owed.run.push(slot) } else { owed.missed.push(slot) }
    }
    owed.missed_before = owed.missed.len().saturating_sub(100);
    owed.missed.drain(..owed.missed_before);
    owed
}
