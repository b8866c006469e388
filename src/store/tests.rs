//! The store on real files: slots, crashes, two processes, damage and refused directories.

mod images;
mod skipped;

use std::process::Command;

use tempfile::TempDir;

use super::*;
use crate::run::Ending;
use crate::source::{Commit, SourceRevision};

fn at(second: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_795_237_200 + second, 0).unwrap()
}

fn new_run(job: &str, slot: Option<i64>) -> NewRun {
    NewRun {
        job: job.to_owned(),
        kind: "run",
        trigger: Trigger::Schedule,
        slot: slot.map(at),
        started: at(0),
    }
}

fn revision(commit: &str) -> Revision {
    Revision(vec![SourceRevision {
        source: "stack".to_owned(),
        reference: "main".to_owned(),
        commit: Commit(commit.to_owned()),
    }])
}

async fn open(directory: &TempDir) -> Store {
    Store::open(directory.path()).await.unwrap()
}

async fn ended(store: &Store, run: NewRun, outcome: Outcome) -> RunId {
    let id = store.start_run(run).await.unwrap().unwrap();
    let ending = Ending::new(outcome, Reason::Internal, "as told");
    store.finish_run(id, at(9), &ending).await.unwrap();
    id
}

#[tokio::test]
async fn a_run_is_read_back_as_it_was_written() {
    let directory = TempDir::new().unwrap();
    let store = open(&directory).await;
    let id = store.start_run(new_run("web", Some(60))).await.unwrap().unwrap();
    store.set_revision(id, &revision("1a2b3c4d")).await.unwrap();
    store.begin_step(id, 0, "pull `web`", at(1)).await.unwrap();
    store.end_step(id, 0, at(2), None).await.unwrap();
    store.begin_step(id, 1, "start `web`", at(2)).await.unwrap();
    store.end_step(id, 1, at(3), Some("no such image")).await.unwrap();
    let ending = Ending {
        outcome: Outcome::Failed,
        reason: Reason::ExitedNonZero,
        message: "it ended with 7".to_owned(),
        exit_code: Some(7),
    };
    store.finish_run(id, at(5), &ending).await.unwrap();

    let run = store.run(id).await.unwrap().unwrap();
    let wanted = Run {
        id,
        job: "web".to_owned(),
        trigger: Trigger::Schedule,
        slot: Some(at(60)),
        started: at(0),
        ended: Some(at(5)),
        revision: Some(revision("1a2b3c4d")),
        outcome: Outcome::Failed,
        reason: Some(Reason::ExitedNonZero),
        message: "it ended with 7".to_owned(),
        exit_code: Some(7),
    };
    assert_eq!(run, wanted);
    assert_eq!(store.last_run("web").await.unwrap(), Some(wanted));
    let steps = store.steps(id).await.unwrap();
    let told: Vec<_> = steps.iter().map(|step| (step.index, step.error.as_deref())).collect();
    assert_eq!(told, [(0, None), (1, Some("no such image"))]);
}

#[tokio::test]
async fn every_trigger_and_reason_is_read_back() {
    let directory = TempDir::new().unwrap();
    let store = open(&directory).await;
    for trigger in Trigger::ALL {
        let run = NewRun { trigger, ..new_run("web", None) };
        let id = store.start_run(run).await.unwrap().unwrap();
        assert_eq!(store.run(id).await.unwrap().unwrap().trigger, trigger);
    }
    for reason in [Reason::Converged, Reason::NotARepository, Reason::ExitedZero, Reason::TimedOut]
    {
        let id = store.start_run(new_run("web", None)).await.unwrap().unwrap();
        let ending = Ending::new(Outcome::Succeeded, reason, "");
        store.finish_run(id, at(1), &ending).await.unwrap();
        assert_eq!(store.run(id).await.unwrap().unwrap().reason, Some(reason));
    }
}

#[tokio::test]
async fn a_slot_of_a_job_is_run_once() {
    // (job, slot, is it started)
    let rows = [
        ("web", Some(0), true),
        ("web", Some(0), false),
        ("api", Some(0), true),
        ("web", Some(60), true),
        ("web", None, true),
        ("web", None, true),
    ];
    let directory = TempDir::new().unwrap();
    let store = open(&directory).await;
    for (job, slot, started) in rows {
        let id = store.start_run(new_run(job, slot)).await.unwrap();
        assert_eq!(id.is_some(), started, "{job} at {slot:?}");
    }
    assert_eq!(store.last_slot("web").await.unwrap(), Some(at(60)));
    assert_eq!(store.last_slot("none").await.unwrap(), None);
}

#[tokio::test]
async fn two_processes_cannot_both_run_a_slot() {
    let directory = TempDir::new().unwrap();
    let stores = [open(&directory).await, open(&directory).await];
    let mut started = 0;
    for slot in 0..50 {
        let runs = stores.iter().map(|store| store.start_run(new_run("web", Some(slot))));
        let ids = futures_util::future::join_all(runs).await;
        started += ids.into_iter().filter_map(|id| id.unwrap()).count();
    }
    assert_eq!(started, 50);
}

#[tokio::test]
async fn a_run_cut_off_by_a_crash_is_open_after_reopening() {
    let directory = TempDir::new().unwrap();
    let store = open(&directory).await;
    ended(&store, new_run("web", Some(0)), Outcome::Succeeded).await;
    let cut_off = store.start_run(new_run("web", Some(60))).await.unwrap().unwrap();
    store.begin_step(cut_off, 0, "stop `web`", at(61)).await.unwrap();
    drop(store);

    let store = open(&directory).await;
    let open_runs = store.open_runs().await.unwrap();
    assert_eq!(open_runs.iter().map(|run| run.id).collect::<Vec<_>>(), [cut_off]);
    assert_eq!(open_runs[0].outcome, Outcome::Running);
    assert_eq!(store.steps(cut_off).await.unwrap().first().unwrap().ended, None);
    let lost = Ending::new(Outcome::Lost, Reason::Crashed, "");
    store.finish_run(cut_off, at(90), &lost).await.unwrap();
    assert_eq!(store.open_runs().await.unwrap(), []);
}

fn entered(job: &str, slot: Option<i64>) -> Change {
    Change::Entered { run: new_run(job, slot), ending: None }
}

#[tokio::test]
async fn each_change_of_state_is_kept_with_its_time() {
    let directory = TempDir::new().unwrap();
    let store = open(&directory).await;
    let end = || Ending::new(Outcome::Succeeded, Reason::ExitedZero, "");
    // (second, change, whether it is allowed)
    let rows = [
        (0, entered("web", Some(0)), true),
        (1, entered("web", Some(0)), false),
        (2, Change::Requeued(1), false),
        (3, Change::Starting(1), true),
        (4, Change::Starting(1), false),
        (5, Change::Requeued(1), true),
        (6, Change::Starting(1), true),
        (7, Change::Running(1), true),
        (8, Change::Ended(1, end()), true),
        (9, Change::Ended(1, end()), false),
        (9, Change::Running(1), false),
        (9, Change::Requeued(1), false),
        (9, Change::Ended(99, end()), false),
    ];
    for (second, change, allowed) in rows {
        let told = format!("{change:?}");
        let changed = store.record(at(second), vec![change]).await.unwrap();
        assert_eq!(changed, [allowed.then_some(1)], "{told}");
    }
    let found = store.transitions(1).await.unwrap();
    let found: Vec<_> = found.iter().map(|it| (it.state.as_str(), it.at)).collect();
    let wanted = [
        ("queued", at(0)),
        ("starting", at(3)),
        ("queued", at(5)),
        ("starting", at(6)),
        ("running", at(7)),
        ("succeeded", at(8)),
    ];
    assert_eq!(found, wanted);
    let run = store.run(1).await.unwrap().unwrap();
    assert_eq!((run.started, run.ended), (at(6), Some(at(8))));
}

#[tokio::test]
async fn a_slot_that_never_began_is_entered_with_its_end() {
    let directory = TempDir::new().unwrap();
    let store = open(&directory).await;
    let missed = Ending::new(Outcome::Missed, Reason::NotServing, "nobody was there");
    let skipped = Ending::new(Outcome::Skipped, Reason::Paused, "the job is paused");
    let rows = [(0, missed), (60, skipped)];
    let changes = rows.iter().map(|(slot, ending)| {
        let run = new_run("web", Some(*slot));
        Change::Entered { run, ending: Some(ending.clone()) }
    });
    let ids = store.record(at(90), changes.collect()).await.unwrap();
    for (id, (slot, ending)) in ids.into_iter().zip(rows) {
        let run = store.run(id.unwrap()).await.unwrap().unwrap();
        assert_eq!(run.slot, Some(at(slot)));
        assert_eq!((run.outcome, run.reason), (ending.outcome, Some(ending.reason)));
        assert_eq!((run.message, run.ended), (ending.message, Some(at(90))));
    }
    assert_eq!(store.open_runs().await.unwrap(), []);
    assert_eq!(store.last_slots().await.unwrap(), [("web".to_owned(), at(60))].into());
}

#[tokio::test]
async fn what_many_write_at_once_is_all_there() {
    let directory = TempDir::new().unwrap();
    let store = open(&directory).await;
    let writes = (0..500).map(|slot| store.record(at(0), vec![entered("web", Some(slot))]));
    let ids = futures_util::future::join_all(writes).await;
    let ids: std::collections::BTreeSet<_> =
        ids.into_iter().filter_map(|ids| ids.unwrap().pop().flatten()).collect();
    assert_eq!(ids.len(), 500);
    // One that fails takes back its own part only.
    let broken = store.write(|connection| {
        connection.execute("UPDATE runs SET job = 'gone'", [])?;
        connection.execute("UPDATE nothing SET job = 'gone'", [])
    });
    let (broken, fine) = tokio::join!(broken, store.record(at(0), vec![entered("api", None)]));
    assert!(broken.unwrap_err().to_string().contains(FILE));
    assert!(fine.unwrap()[0].is_some());
    let web = RunFilter { job: Some("web".to_owned()), limit: 1_000, ..RunFilter::default() };
    assert_eq!(store.runs(&web).await.unwrap().len(), 500);
}

#[tokio::test]
async fn pauses_outlive_the_store_that_made_them() {
    let directory = TempDir::new().unwrap();
    let store = open(&directory).await;
    let pause = |second, reason: &str| Pause { since: at(second), reason: reason.to_owned() };
    let names = |names: &[&str]| names.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>();
    store.pause(&names(&["web", "api"]), &pause(1, "disk is being changed")).await.unwrap();
    // The first reason stays.
    store.pause(&names(&["web"]), &pause(2, "again")).await.unwrap();
    store.resume(&names(&["api", "none"]), false).await.unwrap();
    drop(store);
    let store = open(&directory).await;
    let own = pause(1, "disk is being changed");
    let of_jobs = std::collections::BTreeMap::from([("web".to_owned(), own.clone())]);
    let wanted = Pauses { of_all: None, of_jobs: of_jobs.clone() };
    assert_eq!(store.pauses().await.unwrap(), wanted);
    // All of them are paused besides: also those that nobody knows yet.
    store.pause(&[], &pause(3, "a move")).await.unwrap();
    store.pause(&[], &pause(4, "again")).await.unwrap();
    drop(store);
    let store = open(&directory).await;
    let found = store.pauses().await.unwrap();
    assert_eq!(found, Pauses { of_all: Some(pause(3, "a move")), of_jobs });
    assert_eq!((found.of("web"), found.of("new")), (Some(&own), Some(&pause(3, "a move"))));
    store.resume(&names(&["web"]), true).await.unwrap();
    assert_eq!(store.pauses().await.unwrap(), Pauses::default());
}

#[tokio::test]
async fn an_end_is_untold_until_somebody_was_told() {
    let directory = TempDir::new().unwrap();
    let store = open(&directory).await;
    store.record(at(0), vec![entered("web", None), entered("db", None)]).await.unwrap();
    let ending = Ending::new(Outcome::Failed, Reason::ExitedNonZero, "exited with 3");
    let ended = |run| Change::Ended(run, ending.clone());
    let changes = vec![ended(1), Change::Untold(1), ended(2), Change::Untold(2), Change::Untold(2)];
    store.record(at(1), changes).await.unwrap();
    store.told(1).await.unwrap();
    drop(store);
    let store = open(&directory).await;
    let untold = store.untold().await.unwrap();
    assert_eq!(untold.iter().map(|run| run.id).collect::<Vec<_>>(), [2]);
    assert_eq!(untold[0].ending(), Some(ending));
    store.told(2).await.unwrap();
    assert!(store.untold().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_try_knows_nothing_of_the_one_before() {
    let directory = TempDir::new().unwrap();
    let store = open(&directory).await;
    store.record(at(0), vec![entered("web", None), Change::Starting(1)]).await.unwrap();
    let details = Details { container: Some("c0ffee".to_owned()), ..Details::default() };
    store.set_details(1, &details).await.unwrap();
    store.begin_try(1, 0, "try 2 of 3", at(1)).await.unwrap();
    assert_eq!(store.details(1).await.unwrap(), None);
    assert_eq!(store.steps(1).await.unwrap()[0].name, "try 2 of 3");
    assert_eq!(store.run(1).await.unwrap().unwrap().outcome, Outcome::Running);
}

#[tokio::test]
async fn a_run_whose_container_is_there_is_running() {
    let directory = TempDir::new().unwrap();
    let store = open(&directory).await;
    store.record(at(0), vec![entered("web", None), Change::Starting(1)]).await.unwrap();
    let details = Details { image: Some("app:1".to_owned()), ..Details::default() };
    store.set_details(1, &details).await.unwrap();
    assert_eq!(store.run(1).await.unwrap().unwrap().outcome, Outcome::Starting);
    let details = Details { container: Some("c0ffee".to_owned()), ..details };
    store.set_details(1, &details).await.unwrap();
    store.set_details(1, &details).await.unwrap();
    assert_eq!(store.run(1).await.unwrap().unwrap().outcome, Outcome::Running);
    assert_eq!(store.details(1).await.unwrap(), Some(details));
    assert_eq!(store.transitions(1).await.unwrap().len(), 3);
}

#[tokio::test]
async fn steps_of_a_later_try_come_after_those_before() {
    let directory = TempDir::new().unwrap();
    let store = open(&directory).await;
    let id = store.start_run(new_run("web", None)).await.unwrap().unwrap();
    store.begin_step(id, 0, "one", at(1)).await.unwrap();
    let later = store.with_steps_from(1);
    later.begin_step(id, 0, "two", at(2)).await.unwrap();
    later.end_step(id, 0, at(3), None).await.unwrap();
    let steps = store.steps(id).await.unwrap();
    let names: Vec<_> = steps.iter().map(|step| (step.index, step.name.as_str())).collect();
    assert_eq!(names, [(0, "one"), (1, "two")]);
}

#[tokio::test]
async fn jobs_keep_as_many_runs_as_they_say_and_as_long() {
    use crate::job::Keep;
    use std::time::Duration;

    let directory = TempDir::new().unwrap();
    let store = open(&directory).await;
    for job in ["few", "young", "other"] {
        for slot in 0..5 {
            let run = NewRun { started: at(slot), ..new_run(job, Some(slot)) };
            let id = store.start_run(run).await.unwrap().unwrap();
            let ending = Ending::new(Outcome::Succeeded, Reason::ExitedZero, "");
            store.finish_run(id, at(slot), &ending).await.unwrap();
        }
    }
    let few = Keep { runs: 2, ..Keep::default() };
    let young = Keep { age: Some(Duration::from_secs(3)), ..Keep::default() };
    let keeps = vec![("few".to_owned(), few), ("young".to_owned(), young)];
    store.prune_jobs(at(6), keeps).await.unwrap();
    for (job, left) in [("few", 2), ("young", 2), ("other", 5)] {
        let of_job = RunFilter { job: Some(job.to_owned()), limit: 9, ..RunFilter::default() };
        assert_eq!(store.runs(&of_job).await.unwrap().len(), left, "{job}");
    }
}

#[tokio::test]
async fn the_first_ending_of_a_run_counts() {
    let directory = TempDir::new().unwrap();
    let store = open(&directory).await;
    let id = ended(&store, new_run("web", None), Outcome::Failed).await;
    let later = Ending::new(Outcome::Succeeded, Reason::Applied, "");
    let error = store.finish_run(id, at(20), &later).await.unwrap_err();
    assert_eq!(error.to_string(), "there is no run 1 in the store, still running, to change");
    assert_eq!(store.run(id).await.unwrap().unwrap().outcome, Outcome::Failed);
}

#[tokio::test]
async fn runs_are_filtered_and_listed_newest_first() {
    /// Job, outcomes, limit, and the runs wanted.
    type Row<'a> = (Option<&'a str>, &'a [Outcome], usize, &'a [RunId]);
    let directory = TempDir::new().unwrap();
    let store = open(&directory).await;
    ended(&store, new_run("web", None), Outcome::Succeeded).await;
    ended(&store, new_run("api", None), Outcome::Failed).await;
    ended(&store, new_run("web", None), Outcome::Failed).await;
    ended(&store, new_run("web", None), Outcome::Unchanged).await;
    let rows: [Row<'_>; 5] = [
        (None, &[], 10, &[4, 3, 2, 1]),
        (None, &[], 2, &[4, 3]),
        (Some("web"), &[], 10, &[4, 3, 1]),
        (None, &[Outcome::Failed], 10, &[3, 2]),
        (Some("web"), &[Outcome::Failed, Outcome::Succeeded], 10, &[3, 1]),
    ];
    for (job, outcomes, limit, wanted) in rows {
        let (job, outcomes) = (job.map(str::to_owned), outcomes.to_vec());
        let filter = RunFilter { job, outcomes, limit, ..RunFilter::default() };
        let runs = store.runs(&filter).await.unwrap();
        let ids: Vec<_> = runs.iter().map(|run| run.id).collect();
        assert_eq!(ids, wanted, "{filter:?}");
    }
}

#[tokio::test]
async fn applied_and_quarantined_revisions_are_kept_for_each_job() {
    let directory = TempDir::new().unwrap();
    let store = open(&directory).await;
    let applied =
        Applied { project: "stack".to_owned(), revision: revision("1"), run: 1, at: at(1) };
    store.set_applied("web", &applied).await.unwrap();
    let newer = Applied { revision: revision("2"), ..applied };
    store.set_applied("web", &newer).await.unwrap();
    assert_eq!(store.applied("web").await.unwrap(), Some(newer));
    assert_eq!(store.applied("api").await.unwrap(), None);

    let quarantine = Quarantine {
        revision: revision("3"),
        run: 2,
        reason: Reason::RolledBack,
        message: "`web` did not become healthy".to_owned(),
        since: at(2),
    };
    store.quarantine("web", &quarantine).await.unwrap();
    assert_eq!(store.quarantined("web").await.unwrap(), Some(quarantine));
    store.lift_quarantine("web").await.unwrap();
    store.lift_quarantine("web").await.unwrap();
    assert_eq!(store.quarantined("web").await.unwrap(), None);
}

#[tokio::test]
async fn pruning_keeps_what_decisions_rest_on() {
    let directory = TempDir::new().unwrap();
    let store = open(&directory).await;
    let open_run = store.start_run(new_run("web", None)).await.unwrap().unwrap();
    let slot = ended(&store, new_run("web", Some(60)), Outcome::Unchanged).await;
    let applied = ended(&store, new_run("web", None), Outcome::Succeeded).await;
    let old = ended(&store, new_run("web", Some(0)), Outcome::Failed).await;
    store.begin_step(old, 0, "stop `web`", at(1)).await.unwrap();
    let newest = [
        ended(&store, new_run("web", None), Outcome::Unchanged).await,
        ended(&store, new_run("web", None), Outcome::Unchanged).await,
    ];
    let other = ended(&store, new_run("api", None), Outcome::Unchanged).await;
    let at_one =
        Applied { project: "stack".to_owned(), revision: revision("1"), run: applied, at: at(1) };
    store.set_applied("web", &at_one).await.unwrap();
    store.prune_runs(2).await.unwrap();
    let all = RunFilter { limit: 100, ..RunFilter::default() };
    let mut left: Vec<_> = store.runs(&all).await.unwrap().iter().map(|run| run.id).collect();
    left.reverse();
    assert_eq!(left, [open_run, slot, applied, newest[0], newest[1], other]);
    assert_eq!(store.steps(old).await.unwrap(), []);
}

#[tokio::test]
async fn ten_thousand_runs_are_no_burden() {
    let directory = TempDir::new().unwrap();
    let store = open(&directory).await;
    store
        .with(|connection| {
            let transaction = connection.transaction()?;
            for slot in 0..10_000 {
                transaction.execute(
                    "INSERT INTO runs (job, trigger, slot, started, outcome) \
                     VALUES (?1, 'schedule', ?2, ?2, 'unchanged')",
                    params![format!("job-{}", slot % 10), slot],
                )?;
            }
            transaction.commit()
        })
        .await
        .unwrap();
    let filter = RunFilter { job: Some("job-3".to_owned()), limit: 50, ..RunFilter::default() };
    assert_eq!(store.runs(&filter).await.unwrap().len(), 50);
    store.prune_runs(100).await.unwrap();
    let all = RunFilter { limit: usize::MAX, ..RunFilter::default() };
    assert_eq!(store.runs(&all).await.unwrap().len(), 1_000);
}

#[tokio::test]
async fn a_reader_sees_what_the_daemon_writes() {
    let directory = TempDir::new().unwrap();
    assert!(Store::open_read_only(directory.path()).await.unwrap().is_none());
    let missing = directory.path().join("nowhere");
    assert!(Store::open_read_only(&missing).await.unwrap().is_none());

    let store = open(&directory).await;
    let reader = Store::open_read_only(directory.path()).await.unwrap().unwrap();
    let id = ended(&store, new_run("web", None), Outcome::Succeeded).await;
    assert!(reader.run(id).await.unwrap().is_some());
    let refused = reader.start_run(new_run("web", None)).await.unwrap_err();
    assert!(refused.to_string().contains("AUTODEPLOY_STATE_DIR"), "{refused:#}");

    drop((store, reader));
    let late = Store::open_read_only(directory.path()).await.unwrap().unwrap();
    assert!(late.run(id).await.unwrap().is_some());
}

#[tokio::test]
async fn the_file_is_not_for_everyone() {
    use std::os::unix::fs::PermissionsExt;

    let directory = TempDir::new().unwrap();
    let state = directory.path().join("deep/state");
    let store = Store::open(&state).await.unwrap();
    ended(&store, new_run("web", None), Outcome::Succeeded).await;
    for entry in std::fs::read_dir(&state).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode & 0o037, 0, "{} has {mode:o}", entry.path().display());
    }
}

#[tokio::test]
async fn a_damaged_file_is_named_with_what_to_do() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join(FILE);
    std::fs::write(&path, "this is no database, but long enough to be asked about it ".repeat(99))
        .unwrap();
    let error = Store::open(directory.path()).await.unwrap_err();
    let wanted = format!("use `{}`; the file is damaged: restore it from a backup", path.display());
    assert!(error.to_string().starts_with(&wanted), "{error:#}");
    let error = Store::open_read_only(directory.path()).await.unwrap_err();
    assert!(error.to_string().starts_with(&wanted), "{error:#}");
}

#[tokio::test]
async fn damage_within_the_file_is_named_when_it_is_met() {
    let directory = TempDir::new().unwrap();
    let store = open(&directory).await;
    ended(&store, new_run("web", Some(0)), Outcome::Succeeded).await;
    drop(store);
    let path = directory.path().join(FILE);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[4_096..].fill(0xa5);
    std::fs::write(&path, bytes).unwrap();
    let store = open(&directory).await;
    let error = store.start_run(new_run("web", Some(60))).await.unwrap_err();
    assert!(error.to_string().contains("; the file is damaged: restore it"), "{error:#}");
}

#[tokio::test]
async fn a_file_of_a_newer_version_is_refused() {
    let directory = TempDir::new().unwrap();
    let store = open(&directory).await;
    store.with(|connection| connection.pragma_update(None, "user_version", 99)).await.unwrap();
    drop(store);
    let error = Store::open(directory.path()).await.unwrap_err();
    assert!(error.to_string().contains("has format 99, this Roadstead knows up to 6"), "{error}");
    let error = Store::open_read_only(directory.path()).await.unwrap_err();
    assert!(error.to_string().contains("has format 99"), "{error}");
}

#[tokio::test]
async fn a_directory_we_may_not_write_is_named_with_what_to_do() {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("file");
    std::fs::write(&file, "").unwrap();
    let below_a_file = file.join("state");
    let error = Store::open(&below_a_file).await.unwrap_err();
    let wanted = format!("create `{}`; set `AUTODEPLOY_STATE_DIR` to", below_a_file.display());
    assert!(error.to_string().starts_with(&wanted), "{error:#}");
}

#[tokio::test]
async fn a_read_only_mount_is_read_but_not_opened_for_writing() {
    let directory = TempDir::new().unwrap();
    let store = open(&directory).await;
    let id = ended(&store, new_run("web", None), Outcome::Succeeded).await;
    drop(store);
    let mount = ReadOnly::new(directory.path());
    let error = Store::open(mount.0).await.unwrap_err();
    assert!(error.to_string().contains("; set `AUTODEPLOY_STATE_DIR` to"), "{error:#}");
    let reader = Store::open_read_only(mount.0).await.unwrap().unwrap();
    assert!(reader.run(id).await.unwrap().is_some());
}

/// A directory mounted over itself, read only, until dropped.
struct ReadOnly<'a>(&'a Path);

impl<'a> ReadOnly<'a> {
    fn new(directory: &'a Path) -> Self {
        let path = directory.to_str().unwrap();
        run("mount", &["--bind", path, path]);
        let mount = Self(directory);
        run("mount", &["-o", "remount,bind,ro", path]);
        mount
    }
}

impl Drop for ReadOnly<'_> {
    fn drop(&mut self) {
        run("umount", &["--lazy", self.0.to_str().unwrap()]);
    }
}

#[expect(clippy::disallowed_methods, reason = "the tests mount file systems")]
fn run(program: &str, arguments: &[&str]) {
    let status = Command::new(program).args(arguments).status().unwrap();
    assert!(status.success(), "`{program} {arguments:?}` must work: run the tests as root");
}
