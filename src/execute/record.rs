//! What a run was made of, written down as soon as it is known.

use anyhow::Result;
use tracing::warn;

use crate::run::{Details, RunId};
use crate::store::Store;

/// The key of a group's members in the results of its run.
const MEMBERS: &str = "members";

/// The details of one run, kept in the store as they grow.
pub(super) struct Record<'a> {
    store: &'a Store,
    run: RunId,
    details: tokio::sync::Mutex<Details>,
}

impl<'a> Record<'a> {
    /// Goes on with what is known of the run already.
    pub(super) async fn open(store: &'a Store, run: RunId) -> Self {
        let known = store.details(run).await.ok().flatten().unwrap_or_default();
        Self { store, run, details: tokio::sync::Mutex::new(known) }
    }

    /// What is known; of one job of a group where `member` names it, and `None` where that was not begun.
    pub(super) async fn known(&self, member: Option<&str>) -> Option<Details> {
        let details = self.details.lock().await;
        let Some(member) = member else { return Some(details.clone()) };
        let of_member = details.results.as_ref()?.get(MEMBERS)?.get(member)?;
        serde_json::from_value(of_member.clone()).ok()
    }

    /// Begins another try of a job of a group: what is known is of a try before.
    pub(super) async fn try_again(&self, member: &str, tries_before: u32) {
        self.change(None, |details| forget_try(details, member, tries_before)).await;
    }

    /// Changes what is known; of one job of a group where `member` names it. A store that fails costs
    /// the record, not the run.
    pub(super) async fn change(&self, member: Option<&str>, change: impl FnOnce(&mut Details)) {
        if let Err(error) = self.try_change(member, change).await {
            warn!("what the run is made of could not be recorded: {error:#}");
        }
    }

    /// As [`Self::change`], for what must be known after a crash.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub(super) async fn try_change(
        &self,
        member: Option<&str>,
        change: impl FnOnce(&mut Details),
    ) -> Result<()> {
        let mut details = self.details.lock().await;
        match member {
            None => change(&mut details),
            Some(member) => change_member(&mut details, member, change),
        }
        self.store.set_details(self.run, &details).await
    }
}

/// Forgets what is known of a try of a job of a group, and of the jobs of a group that it is.
fn forget_try(details: &mut Details, member: &str, tries_before: u32) {
    let members = details.results.as_mut().and_then(|it| it[MEMBERS].as_object_mut());
    if let Some(members) = members {
        let within = format!("{member}/");
        members.retain(|key, _| !key.starts_with(&within));
    }
    change_member(details, member, |it| *it = Details { tries_before, ..Details::default() });
}

fn change_member(details: &mut Details, member: &str, change: impl FnOnce(&mut Details)) {
    let results = details.results.get_or_insert_with(|| serde_json::json!({ MEMBERS: {} }));
    let of_member = &mut results[MEMBERS][member];
    let mut inner = serde_json::from_value(of_member.take()).unwrap_or_default();
    change(&mut inner);
    *of_member = serde_json::to_value(&inner).unwrap_or_default();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_of_a_group_are_recorded_side_by_side() {
        let mut details = Details::default();
        for (member, image) in [("a", "one"), ("b", "two"), ("a", "three")] {
            change_member(&mut details, member, |it| it.image = Some(image.to_owned()));
        }
        let expected =
            serde_json::json!({"members": {"a": {"image": "three"}, "b": {"image": "two"}}});
        assert_eq!(details.results, Some(expected));
        for member in ["b/x", "b/y/z", "b#2/x"] {
            change_member(&mut details, member, |it| it.image = Some("inner".to_owned()));
        }
        forget_try(&mut details, "b", 2);
        let expected = serde_json::json!({"members": {
            "a": {"image": "three"}, "b": {"tries_before": 2}, "b#2/x": {"image": "inner"},
        }});
        assert_eq!(details.results, Some(expected));
    }
}
