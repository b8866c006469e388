//! How a service is built and developed.

use super::mounts::reference_json;
use super::object::Object;
use super::service::{extra_hosts, ulimits};
use crate::compose::model::{Build, Develop, Hook, SshKey, Watch};

pub(super) fn build_json(build: &Build) -> Object {
    let mut object = Object::new();
    object.text("context", Some(&build.context));
    object.text("dockerfile", build.dockerfile.as_ref());
    object.text("dockerfile_inline", build.dockerfile_inline.as_ref());
    object.list("entitlements", &build.entitlements);
    object.map("args", build.args.iter().map(|(name, value)| (name, value.as_ref())));
    object.text("provenance", build.provenance.as_ref());
    object.text("sbom", build.sbom.as_ref());
    object.values("ssh", build.ssh.iter().map(ssh_text));
    object.map("labels", &build.labels);
    object.list("cache_from", &build.cache_from);
    object.list("cache_to", &build.cache_to);
    object.flag("no_cache", build.no_cache);
    object.map("additional_contexts", &build.additional_contexts);
    object.flag("pull", build.pull);
    object.some("extra_hosts", extra_hosts(&build.extra_hosts));
    object.text("isolation", build.isolation.as_ref());
    object.text("network", build.network.as_ref());
    object.text("target", build.target.as_ref());
    object.values("secrets", build.secrets.iter().map(reference_json));
    object.bytes("shm_size", build.shm_size);
    object.list("tags", &build.tags);
    object.map("ulimits", ulimits(&build.ulimits));
    object.list("platforms", &build.platforms);
    object.flag("privileged", build.privileged);
    object
}

/// A key as it reads back; docker compose prints text here that is no JSON.
fn ssh_text(key: &SshKey) -> String {
    match &key.path {
        Some(path) => format!("{}={path}", key.id),
        None => key.id.clone(),
    }
}

pub(super) fn develop_json(develop: &Develop) -> Object {
    let mut object = Object::new();
    object.values("watch", develop.watch.iter().map(watch_json));
    object
}

fn watch_json(watch: &Watch) -> Object {
    let mut object = Object::new();
    object.put("path", &watch.path);
    object.put("action", &watch.action);
    object.text("target", watch.target.as_ref());
    object.put("exec", hook_json(&watch.exec));
    object.list("include", &watch.include);
    object.list("ignore", &watch.ignore);
    object.flag("initial_sync", watch.initial_sync);
    object
}

pub(super) fn hook_json(hook: &Hook) -> Object {
    let mut object = Object::new();
    object.put("command", hook.command.as_deref());
    object.text("image", hook.image.as_ref());
    object.text("user", hook.user.as_ref());
    object.flag("privileged", hook.privileged);
    object.text("working_dir", hook.working_dir.as_ref());
    object.map("environment", hook.environment.iter().map(|(k, v)| (k, v.as_ref())));
    object.flag("per_replica", hook.per_replica);
    object
}
