//! Tables over the queue: who starts, who waits, who gives way.

use super::*;

fn second(second: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(second, 0).expect("in range")
}

fn limits(runs: usize) -> Limits {
    Limits { runs, of_kind: BTreeMap::new(), of_source: None, starts_per_second: 0 }
}

/// `job`, `job+lock+lock`, with ` ^3` for a priority, ` <9` for a last second to start and
/// ` /web` for a source.
fn request(run: RunId, text: &str, overlap: Overlap) -> Request {
    let mut words = text.split(' ');
    let mut names = words.next().unwrap_or_default().split('+');
    let job = names.next().unwrap_or_default().to_owned();
    let mut request = Request {
        run,
        job,
        kind: "http",
        locks: names.map(str::to_owned).collect(),
        sources: BTreeSet::new(),
        trigger: Trigger::Schedule,
        overlap,
        is_promised: false,
        priority: 0,
        start_by: None,
        uses_engine: false,
    };
    for word in words {
        let (mark, number) = word.split_at(1);
        if mark == "/" {
            request.sources.insert(number.to_owned());
            continue;
        }
        let number: i64 = number.parse().unwrap_or_default();
        match mark {
            "^" => request.priority = i32::try_from(number).expect("small"),
            "<" => request.start_by = Some(second(number)),
            "!" => request.is_promised = true,
            "@" => request.uses_engine = true,
            "m" => request.trigger = Trigger::Manual,
            _ => panic!("`{word}` means nothing"),
        }
    }
    request
}

enum Do {
    /// Asks; the admission as text: empty for one that waits.
    Ask(RunId, &'static str, &'static str),
    /// Starts what may; the runs that do.
    Start(&'static [RunId]),
    /// Ends a run.
    End(RunId),
    /// The runs that are overdue at a second.
    Late(i64, &'static [RunId]),
    /// Starts what may at a second.
    StartAt(i64, &'static [RunId]),
}
use Do::{Ask, End, Late, Start, StartAt};

fn told(admission: &Admission) -> String {
    let refused = match admission.refused {
        Some(Refusal::Overlap(other)) => Some(format!("for {other}")),
        Some(Refusal::Closed) => Some("closed".to_owned()),
        None => None,
    };
    let superseded = admission.superseded.map(|run| format!("instead of {run}"));
    let replaced = admission.replaced.iter().map(|run| format!("ends {run}"));
    refused.into_iter().chain(superseded).chain(replaced).collect::<Vec<_>>().join(", ")
}

fn check(limits: Limits, overlap: Overlap, rows: &[Do]) {
    let mut queue = Queue::new(limits);
    queue.engine_answers(true);
    let runs = |requests: Vec<Request>| -> Vec<RunId> {
        requests.into_iter().map(|request| request.run).collect()
    };
    for (number, row) in rows.iter().enumerate() {
        match row {
            Ask(run, text, expected) => {
                let admission = queue.request(request(*run, text, overlap));
                assert_eq!(told(&admission), *expected, "row {number}: ask {run} {text}");
            }
            Start(expected) => {
                assert_eq!(runs(queue.start(second(0))), *expected, "row {number}: start");
            }
            StartAt(at, expected) => {
                assert_eq!(runs(queue.start(second(*at))), *expected, "row {number}: at {at}");
            }
            End(run) => queue.finished(*run),
            Late(at, expected) => {
                assert_eq!(runs(queue.overdue(second(*at))), *expected, "row {number}: late");
            }
        }
    }
}

#[test]
fn overlap_queue_keeps_one_waiting_the_newest() {
    check(
        limits(4),
        Overlap::Queue,
        &[
            Ask(1, "a", ""),
            Start(&[1]),
            Ask(2, "a", ""),
            Ask(3, "a", "instead of 2"),
            Ask(4, "b", ""),
            Start(&[4]),
            End(1),
            Start(&[3]),
            End(3),
            Start(&[]),
            Ask(5, "a", ""),
            Start(&[5]),
        ],
    );
}

#[test]
fn overlap_skip_refuses_while_one_runs_or_waits() {
    check(
        limits(1),
        Overlap::Skip,
        &[
            Ask(1, "a", ""),
            Ask(2, "a", "for 1"),
            Start(&[1]),
            Ask(3, "a", "for 1"),
            Ask(4, "b", ""),
            Ask(5, "b", "for 4"),
            End(1),
            Start(&[4]),
            Ask(6, "a", ""),
        ],
    );
}

#[test]
fn overlap_replace_ends_what_runs_and_starts_after_it() {
    check(
        limits(4),
        Overlap::Replace,
        &[
            Ask(1, "a", ""),
            Start(&[1]),
            Ask(2, "a", "ends 1"),
            Start(&[]),
            Ask(3, "a", "instead of 2, ends 1"),
            End(1),
            Start(&[3]),
        ],
    );
}

#[test]
fn overlap_allow_runs_beside_up_to_the_limit() {
    check(
        limits(2),
        Overlap::Allow,
        &[
            Ask(1, "a", ""),
            Ask(2, "a", ""),
            Ask(3, "a", ""),
            Start(&[1, 2]),
            End(2),
            Start(&[3]),
            // A lock holds all the same.
            End(1),
            End(3),
            Ask(4, "b+web", ""),
            Ask(5, "b+web", ""),
            Start(&[4]),
            End(4),
            Start(&[5]),
        ],
    );
}

#[test]
fn slots_that_were_promised_a_run_each_run_in_order_one_at_a_time() {
    for overlap in [Overlap::Queue, Overlap::Skip, Overlap::Replace, Overlap::Allow] {
        check(
            limits(4),
            overlap,
            &[
                Ask(1, "a !", ""),
                Ask(2, "a !", ""),
                Ask(3, "a !", ""),
                Start(&[1]),
                End(1),
                Start(&[2]),
                End(2),
                Start(&[3]),
            ],
        );
    }
    // A newer slot does not take the place of one that was promised.
    check(
        limits(1),
        Overlap::Queue,
        &[
            Ask(1, "a !", ""),
            Ask(2, "a", ""),
            Ask(3, "a", "instead of 2"),
            Start(&[1]),
            End(1),
            Start(&[3]),
        ],
    );
}

#[test]
fn a_persons_wish_does_not_give_way_to_a_slot() {
    check(
        limits(1),
        Overlap::Queue,
        &[
            Ask(1, "a", ""),
            Start(&[1]),
            Ask(2, "a", ""),
            Ask(3, "a m", "instead of 2"),
            Ask(4, "a", "for 3"),
            Ask(5, "a m", "instead of 3"),
            End(1),
            Start(&[5]),
        ],
    );
}

#[test]
fn the_limit_and_the_order_hold() {
    check(
        limits(2),
        Overlap::Queue,
        &[
            Ask(1, "a", ""),
            Ask(2, "b", ""),
            Ask(3, "c", ""),
            Ask(4, "d", ""),
            Start(&[1, 2]),
            End(2),
            Start(&[3]),
            End(1),
            Start(&[4]),
            End(99),
            Start(&[]),
        ],
    );
    check(limits(0), Overlap::Queue, &[Ask(1, "a", ""), Ask(2, "b", ""), Start(&[1])]);
}

#[test]
fn higher_priority_starts_first() {
    check(
        limits(1),
        Overlap::Queue,
        &[
            Ask(1, "a", ""),
            Start(&[1]),
            Ask(2, "b", ""),
            Ask(3, "c ^5", ""),
            Ask(4, "d ^-1", ""),
            Ask(5, "e ^5", ""),
            End(1),
            Start(&[3]),
            End(3),
            Start(&[5]),
            End(5),
            Start(&[2]),
            End(2),
            Start(&[4]),
        ],
    );
}

#[test]
fn jobs_that_share_a_lock_never_run_together_and_none_starves() {
    check(
        limits(4),
        Overlap::Queue,
        &[
            Ask(1, "a+web", ""),
            Ask(2, "b+web+db", ""),
            // It could start, but would then hold up the one that came before.
            Ask(3, "c+db", ""),
            Ask(4, "d+mail", ""),
            Start(&[1, 4]),
            End(4),
            Start(&[]),
            End(1),
            Start(&[2]),
            End(2),
            Start(&[3]),
        ],
    );
}

#[test]
fn kinds_have_limits_of_their_own() {
    let of_kind = BTreeMap::from([("run".to_owned(), 1)]);
    let mut queue = Queue::new(Limits { of_kind, ..limits(4) });
    let of_kind = |run, job: &str, kind| Request { kind, ..request(run, job, Overlap::Queue) };
    queue.request(of_kind(1, "a", "run"));
    queue.request(of_kind(2, "b", "run"));
    queue.request(of_kind(3, "c", "http"));
    let mut started = || queue.start(second(0)).iter().map(|it| it.run).collect::<Vec<_>>();
    assert_eq!(started(), [1, 3]);
    assert_eq!(started(), [0; 0]);
    queue.finished(1);
    assert_eq!(queue.start(second(0)).len(), 1);
    assert!(queue.is_running(2));
}

#[test]
fn runs_from_one_source_have_a_limit_together() {
    check(
        Limits { of_source: Some(2), ..limits(9) },
        Overlap::Queue,
        &[
            Ask(1, "a /web", ""),
            Ask(2, "b /web", ""),
            Ask(3, "c /web", ""),
            Ask(4, "d /web /data", ""),
            Ask(5, "e /data", ""),
            Ask(6, "f", ""),
            // The fifth may not overtake the fourth at the source that both need.
            Start(&[1, 2, 6]),
            End(6),
            Start(&[]),
            End(1),
            Start(&[3]),
            End(2),
            Start(&[4, 5]),
            Ask(7, "g /data", ""),
            Start(&[]),
            End(5),
            Start(&[7]),
        ],
    );
    // None by itself.
    let rows =
        [Ask(1, "a /web", ""), Ask(2, "b /web", ""), Ask(3, "c /web", ""), Start(&[1, 2, 3])];
    check(limits(9), Overlap::Queue, &rows);
}

#[test]
fn a_slot_that_waits_too_long_is_overdue() {
    check(
        limits(1),
        Overlap::Queue,
        &[
            Ask(1, "a", ""),
            Start(&[1]),
            Ask(2, "b <5", ""),
            Ask(3, "c <7", ""),
            Late(5, &[]),
            Late(6, &[2]),
            End(1),
            StartAt(6, &[3]),
            Late(60, &[]),
        ],
    );
    let mut queue = Queue::new(limits(1));
    queue.request(request(1, "a <5", Overlap::Queue));
    assert_eq!(queue.next_look(second(0)), Some(second(5) + TimeDelta::milliseconds(1)));
}

#[test]
fn starts_on_the_engine_keep_their_rate_and_wait_for_it() {
    let mut queue = Queue::new(Limits { starts_per_second: 2, ..limits(10) });
    for run in 1..=5 {
        queue.request(request(run, &format!("job{run} @"), Overlap::Queue));
    }
    queue.request(request(6, "other", Overlap::Queue));
    let start = |queue: &mut Queue, milliseconds: i64| -> Vec<RunId> {
        let at = second(100) + TimeDelta::milliseconds(milliseconds);
        queue.start(at).iter().map(|it| it.run).collect()
    };
    // Nothing of it before the Engine answers; what does not need it goes on.
    assert_eq!(start(&mut queue, 0), [6]);
    queue.engine_answers(true);
    assert_eq!(start(&mut queue, 0), [1, 2]);
    let at = second(100);
    assert_eq!(queue.next_look(at), Some(at + TimeDelta::milliseconds(501)));
    assert_eq!(start(&mut queue, 400), [0; 0]);
    assert_eq!(start(&mut queue, 501), [3]);
    // A clock set back fills nothing, one set far forward at most what a second holds.
    assert_eq!(start(&mut queue, -100_000), [0; 0]);
    queue.request(request(7, "more @", Overlap::Queue));
    queue.request(request(8, "still @", Overlap::Queue));
    assert_eq!(start(&mut queue, 900_000), [4, 5]);
    queue.engine_answers(false);
    assert_eq!(start(&mut queue, 990_000), [0; 0]);
    assert_eq!(queue.next_look(at), None);
}

#[test]
fn what_is_taken_over_counts_and_what_is_withdrawn_is_gone() {
    let mut queue = Queue::new(limits(1));
    queue.adopt(request(1, "a+web", Overlap::Queue));
    queue.request(request(2, "a", Overlap::Queue));
    queue.request(request(3, "b+web", Overlap::Queue));
    assert_eq!(queue.start(second(0)), []);
    assert_eq!(queue.withdraw(2).map(|it| it.job).as_deref(), Some("a"));
    assert_eq!(queue.withdraw(2), None);
    assert_eq!(queue.running_of("a").collect::<Vec<_>>(), [1]);
    queue.finished(1);
    assert_eq!(queue.start(second(0)).len(), 1);
    assert_eq!((queue.running().count(), queue.waiting().count()), (1, 0));
}

#[test]
fn nothing_starts_once_closed() {
    let mut queue = Queue::new(limits(1));
    queue.request(request(1, "a", Overlap::Queue));
    assert_eq!(queue.close().iter().map(|it| it.run).collect::<Vec<_>>(), [1]);
    let admission = queue.request(request(2, "b", Overlap::Queue));
    assert_eq!(admission.refused, Some(Refusal::Closed));
    assert_eq!(queue.start(second(0)), []);
}

#[test]
fn ten_thousand_waiting_runs_all_start_once() {
    let mut queue = Queue::new(limits(8));
    for run in 0..10_000 {
        queue.request(request(run, &format!("job{run}"), Overlap::Queue));
    }
    let mut seen = BTreeSet::new();
    let mut running: Vec<RunId> = Vec::new();
    loop {
        running.extend(queue.start(second(0)).iter().map(|it| it.run));
        assert!(running.len() <= 8);
        let Some(run) = running.pop() else { break };
        assert!(seen.insert(run), "{run} started twice");
        queue.finished(run);
    }
    assert_eq!(seen.len(), 10_000);
}

#[test]
fn a_lock_on_a_directory_holds_what_lies_in_it() {
    for (held, wanted, is_free) in [
        ("directory:/a", "directory:/a", false),
        ("directory:/a", "directory:/a/b/c", false),
        ("directory:/a/b/c", "directory:/a", false),
        ("directory:/a-b", "directory:/a", true),
        ("directory:/a", "directory:/a-b", true),
        ("directory:/a/b", "directory:/a/c", true),
        ("directory:/", "directory:/a", false),
        ("directory:/a", "directory:/", false),
        ("name:/a", "directory:/a", true),
        ("name:a", "name:a/b", true),
    ] {
        let counted: BTreeMap<String, usize> = [("0".to_owned(), 1), (held.to_owned(), 1)].into();
        assert_eq!(super::is_free(wanted, &counted), is_free, "{held} {wanted}");
        let taken: BTreeSet<&str> = ["0", held, "zzz"].into();
        assert_eq!(is_free_of(wanted, &taken), is_free, "{held} {wanted}");
    }
    // Names between a directory and what lies in it.
    let taken: BTreeSet<&str> = ["directory:/a-b", "directory:/a/b"].into();
    assert!(!is_free_of("directory:/a", &taken));
}
