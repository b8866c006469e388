//! Slots that were skipped and are to run after all.

use super::*;

#[tokio::test]
async fn a_skipped_slot_is_found_until_it_or_a_newer_one_has_its_run() {
    let directory = TempDir::new().unwrap();
    let store = open(&directory).await;
    let skipped = |slot: i64, reason| {
        let ending = Some(Ending::new(Outcome::Skipped, reason, "as told"));
        Change::Entered { run: new_run("web", Some(slot)), ending }
    };
    let found = async |oldest: i64| {
        let found = store.skipped(vec![("web".to_owned(), at(oldest))]).await.unwrap();
        let slots = found[0].1.iter().map(|it| (it.slot.timestamp() - at(0).timestamp(), it.run));
        slots.collect::<Vec<_>>()
    };
    let run = store.start_run(new_run("web", Some(10))).await.unwrap().unwrap();
    let changes = vec![
        skipped(5, Reason::Overlap),
        skipped(20, Reason::Overlap),
        skipped(30, Reason::Paused),
        skipped(40, Reason::Quarantined),
    ];
    let entered = store.record(at(41), changes).await.unwrap();
    let (twenty, thirty) = (entered[1].unwrap(), entered[2].unwrap());
    assert_eq!(found(0).await, [(30, thirty), (20, twenty)]);
    assert_eq!(found(20).await, [(30, thirty), (20, twenty)]);
    assert_eq!(found(21).await, [(30, thirty)]);

    // With the end of the run that was in the way, once.
    let ending = Ending::new(Outcome::Succeeded, Reason::Done, "");
    let changes = || vec![Change::Ended(run, ending.clone()), Change::Revived(twenty)];
    assert_eq!(store.record(at(50), changes()).await.unwrap(), [Some(run), Some(twenty)]);
    assert_eq!(store.record(at(51), changes()).await.unwrap(), [None, None]);
    let revived = store.run(twenty).await.unwrap().unwrap();
    assert_eq!((revived.outcome, revived.trigger), (Outcome::Queued, Trigger::CatchUp));
    assert_eq!((revived.ended, revived.reason, revived.message), (None, None, String::new()));
    let states = store.transitions(twenty).await.unwrap();
    let states: Vec<_> = states.into_iter().map(|it| (it.state, it.at)).collect();
    assert_eq!(states, [(Outcome::Skipped, at(41)), (Outcome::Queued, at(50))]);
    assert_eq!(found(0).await, [(30, thirty)]);

    // One that began and gave way by itself is not found again, and what is older than a run neither.
    let changes = vec![Change::Revived(thirty), Change::Starting(thirty)];
    store.record(at(52), changes).await.unwrap();
    assert_eq!(found(0).await, []);
    let ending = Ending::new(Outcome::Skipped, Reason::Overlap, "");
    store.record(at(53), vec![Change::Ended(thirty, ending)]).await.unwrap();
    assert_eq!(found(0).await, []);
}
