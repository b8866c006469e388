//! Restart policies of containers that are there.

use anyhow::{Context, Result};
use bollard::models::{
    ContainerStateStatusEnum, ContainerUpdateBody, RestartPolicy, RestartPolicyNameEnum,
};

use super::containers::short;
use super::{Engine, is_not_found};

impl Engine {
    /// The restart policy by which the Engine starts a stopped container when it starts itself, as a
    /// Compose file writes it; `None` where the container rests, is going away or gone.
    ///
    /// Only `unless-stopped` heeds that somebody stopped it. To `on-failure` the end by a signal is a
    /// failure (moby, `restartmanager/restartmanager.go`).
    ///
    /// # Errors
    ///
    /// When the Engine does not answer.
    pub async fn reviving_policy(&self, id: &str) -> Result<Option<String>> {
        let inspected = self.docker()?.inspect_container(id, None).await;
        let container =
            match inspected.with_context(|| format!("inspect container `{}`", short(id))) {
                Ok(container) => container,
                Err(error) if is_not_found(&error) => return Ok(None),
                Err(error) => return Err(error),
            };
        let status = container.state.and_then(|state| state.status);
        if matches!(
            status,
            Some(ContainerStateStatusEnum::DEAD | ContainerStateStatusEnum::REMOVING)
        ) {
            return Ok(None);
        }
        Ok(container.host_config.and_then(|host| host.restart_policy).as_ref().and_then(reviving))
    }

    /// Gives a container another restart policy, written as in a Compose file.
    ///
    /// # Errors
    ///
    /// When there is no such container, or it is going away.
    pub async fn set_restart_policy(&self, id: &str, policy: &str) -> Result<()> {
        let body = ContainerUpdateBody {
            restart_policy: Some(parse(policy)),
            ..ContainerUpdateBody::default()
        };
        let updated = Box::pin(self.docker()?.update_container(id, body)).await;
        updated.with_context(|| format!("set the restart policy of container `{}`", short(id)))
    }
}

fn reviving(policy: &RestartPolicy) -> Option<String> {
    match policy.name? {
        RestartPolicyNameEnum::ALWAYS => Some("always".to_owned()),
        RestartPolicyNameEnum::ON_FAILURE => {
            let count = policy.maximum_retry_count.filter(|count| *count > 0);
            Some(count.map_or("on-failure".to_owned(), |count| format!("on-failure:{count}")))
        }
        RestartPolicyNameEnum::UNLESS_STOPPED
        | RestartPolicyNameEnum::NO
        | RestartPolicyNameEnum::EMPTY => None,
    }
}

/// Reads `restart` of a service: a word, and where it is `on-failure` maybe a count.
pub(super) fn parse(text: &str) -> RestartPolicy {
    let (word, count) = text.split_once(':').unwrap_or((text, ""));
    let name = match word {
        "always" => RestartPolicyNameEnum::ALWAYS,
        "unless-stopped" => RestartPolicyNameEnum::UNLESS_STOPPED,
        "on-failure" => RestartPolicyNameEnum::ON_FAILURE,
        _ => RestartPolicyNameEnum::NO,
    };
    RestartPolicy { name: Some(name), maximum_retry_count: count.parse().ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_that_start_a_stopped_container_are_kept_as_they_are() {
        for (text, revives) in [
            ("no", false),
            ("unless-stopped", false),
            ("always", true),
            ("on-failure", true),
            ("on-failure:3", true),
        ] {
            let kept = reviving(&parse(text));
            assert_eq!(kept.as_deref(), revives.then_some(text), "{text}");
        }
        assert_eq!(reviving(&RestartPolicy::default()), None);
    }
}
