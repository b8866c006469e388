//! `next`, `explain` and `simulate` as a person types them: no engine, no daemon, no history.

use serde_json::{Value, json};

use crate::support::Roadstead;

const JOBS: &str = r#"
- name: report
  schedule: "30 2 * * *"
  timezone: America/Toronto
  run: { image: "alpine:3.22" }
- name: poll
  schedule: "*/30 * * * *"
  timezone: America/Toronto
  run: { image: "alpine:3.22" }
"#;

/// The night of 2026-03-08 in Toronto, when 02:00 to 03:00 does not exist.
const NIGHT: [&str; 4] = ["--from", "2026-03-08T06:00:00Z", "--to", "2026-03-08T08:20:00Z"];

fn with_jobs() -> Roadstead {
    let roadstead = Roadstead::new("unix:///nonexistent/docker.sock", "");
    roadstead.write_job("some.yml", JOBS);
    roadstead
}

#[test]
fn explain_says_when_what_and_what_else() {
    let roadstead = with_jobs();
    // (arguments, what is printed besides)
    let rows: &[(&[&str], &[&str])] = &[
        (
            &["report", "--after", "2026-03-01T00:00:00Z"],
            &[
                "report runs at 02:30 every day in America/Toronto\n",
                "catch-up: of slots that pass while nobody is there the latest runs\n",
                "clock: on 2026-03-08 02:30 does not exist (clocks go forward): runs at 03:00\n",
                "\nSLOT\n2026-03-01T02:30:00-05:00\n",
                "\n2026-03-05T02:30:00-05:00",
            ],
        ),
        (
            &["--schedule", "0 20 * * *", "--dialect", "ofelia-0.3"],
            &[
                "runs at minute 20 of every hour in UTC\n",
                "schedule: 20 * * * *\n",
                "Ofelia 0.4 would run it at 20:00 every day\n",
            ],
        ),
        (&["--schedule", "0 20 * * *"], &["Ofelia 0.3 would run it at minute 20 of every hour\n"]),
        (&["--schedule", "TZ=Asia/Tokyo @daily"], &["runs at 00:00 every day in Asia/Tokyo\n"]),
        (&["--schedule", "0 0 30 2 *"], &["runs never\n", "never comes true"]),
        (&["--schedule", "@at 2026-01-01T00:00:00Z"], &["runs once", "is past"]),
    ];
    for (arguments, expected) in rows {
        let printed = roadstead.run(&[&["explain"], *arguments].concat()).ok();
        for part in *expected {
            assert!(printed.contains(part), "{arguments:?} lacks {part:?}:\n{printed}");
        }
    }
    let text =
        roadstead.run(&["explain", "poll", "--json", "--after", "2026-03-01T00:00:00Z"]).ok();
    let value: Value = serde_json::from_str(&text).unwrap();
    let first =
        json!({ "slot": "2026-02-28T19:30:00-05:00", "starts": "2026-02-28T19:30:00-05:00" });
    assert_eq!(value["slots"][0], first);
    assert_eq!(value["shifts"][0]["effect"], "skipped");
    assert_eq!(value["shifts"][1]["effect"], "twice");
}

#[test]
fn simulate_lists_runs_clashes_changes_of_the_clock_and_what_is_caught_up() {
    let roadstead = with_jobs();
    let printed = roadstead.run(&[&["simulate"], &NIGHT[..]].concat()).ok();
    assert_eq!(
        printed,
        "TIME\tJOB\tWHAT\tNOTE\n\
         2026-03-08T01:00:00-05:00\tpoll\trun\t-\n\
         2026-03-08T01:30:00-05:00\tpoll\trun\t-\n\
         2026-03-08T03:00:00-04:00\tpoll\trun\twith report\n\
         2026-03-08T03:00:00-04:00\treport\trun\twith poll\n\
         2026-03-08T03:00:00-04:00\treport\tclock change\ton 2026-03-08 02:30 does not exist (clocks \
         go forward): runs at 03:00\n\
         2026-03-08T03:00:00-04:00\tpoll\tclock change\ton 2026-03-08 02:00 and 1 more do not exist \
         (clocks go forward): no run\n\
         2026-03-08T03:30:00-04:00\tpoll\trun\t-\n\
         2026-03-08T04:00:00-04:00\tpoll\trun\t-"
    );
    let down = ["--down", "2026-03-08T06:10:00Z..2026-03-08T08:10:00Z", "poll", "--json"];
    let text = roadstead.run(&[&["simulate"], &NIGHT[..], &down].concat()).ok();
    let value: Value = serde_json::from_str(&text).unwrap();
    let caught_up = json!({
        "job": "poll",
        "run": ["2026-03-08T04:00:00-04:00"],
        "missed": [
            "2026-03-08T01:30:00-05:00", "2026-03-08T03:00:00-04:00", "2026-03-08T03:30:00-04:00"
        ],
        "missed_before": 0,
    });
    assert_eq!(value["caught_up"], json!([caught_up]));
    let starts: Vec<_> = value["runs"].as_array().unwrap().iter().map(|it| &it["at"]).collect();
    assert_eq!(starts, ["2026-03-08T01:00:00-05:00", "2026-03-08T04:10:00-04:00"]);
}

#[test]
fn check_warns_of_a_job_that_never_runs() {
    let roadstead = Roadstead::new("unix:///nonexistent/docker.sock", "");
    // (schedule, what is said of it)
    let rows = [
        ("0 0 31 2 *", "never comes true"),
        ("@at 2026-01-01T00:00:00Z", "is past"),
        ("0 0 0 1 1 * 2020", "its years are over"),
        ("@manual", ""),
        ("@daily", ""),
    ];
    for (schedule, expected) in rows {
        let job = format!("name: odd\nschedule: \"{schedule}\"\nrun: {{ image: x }}\n");
        roadstead.write_job("odd.yml", &job);
        let printed = roadstead.run(&["check"]).ok();
        let warnings = printed.matches("warning: ").count();
        assert_eq!(warnings, usize::from(!expected.is_empty()), "{schedule}: {printed}");
        assert!(printed.contains(expected), "{schedule}: {printed}");
    }
}

#[test]
fn wrong_input_says_what_to_write() {
    let roadstead = with_jobs();
    let rows: &[(&[&str], &str)] = &[
        (&["explain"], "<JOB|--schedule <EXPR>>"),
        (&["explain", "rapport"], "there is no job `rapport`; did you mean `report`?"),
        (&["explain", "report", "--schedule", "@daily"], "cannot be used with"),
        (&["explain", "--schedule", "0 5 * *"], "`0 5 * *` has 4 fields"),
        (
            &["explain", "--schedule", "0 5 * * *", "--dialect", "vixie"],
            "expected one of default, ",
        ),
        (&["next", "--schedule", "0 5 * * *", "--dialect", "dkron"], "Dkron takes six"),
        (&["next", "--schedule", "TZ=UTC @daily", "--timezone", "UTC"], "write one of them"),
        (&["simulate", "rapport"], "did you mean `report`?"),
        (&["simulate", "--to", "2001-01-01T00:00:00Z"], "`--to` must be later than `--from`"),
        (&["simulate", "--down", "today"], "expected two times"),
        (
            &["simulate", "--down", "2001-01-01T00:00:00Z..2001-01-02T00:00:00Z"],
            "`--down` must lie between",
        ),
    ];
    for (arguments, expected) in rows {
        let message = roadstead.run(arguments).fails_with(2);
        assert!(message.contains(expected), "{arguments:?}: {message}");
    }
}
