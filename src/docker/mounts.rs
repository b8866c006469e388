//! The mounts of a new container: `Binds`, `Mounts` and `Volumes` of the create call.

use bollard::models::{
    Mount as ApiMount, MountBindOptions, MountBindOptionsPropagationEnum, MountImageOptions,
    MountTmpfsOptions, MountType, MountVolumeOptions,
};

use super::ApiVersion;
use super::create::{NewContainer, non_empty_map};
use crate::compose::model::{Mount, MountKind, Project, Service};

/// First API version whose `Mounts` can create the host path of a bind.
const CREATE_MOUNTPOINT: ApiVersion = ApiVersion(1, 42);
/// First API version that tells apart how far "read only" reaches.
const RECURSIVE_READ_ONLY: ApiVersion = ApiVersion(1, 44);

/// Targets of anonymous volumes, less those taken over from the container before.
pub(super) fn anonymous_targets(new: &NewContainer<'_>) -> Vec<String> {
    let is_anonymous = |it: &&Mount| is_anonymous(it);
    let targets = new.service.volumes.iter().filter(is_anonymous).map(|it| it.target.clone());
    targets.filter(|it| !new.anonymous_volumes.contains_key(it)).collect()
}

/// `Binds` where the Engine may create the host path, `Mounts` for what only they can say: on API 1.41
/// a bind of a missing path fails as a mount.
pub(super) fn volumes(new: &NewContainer<'_>, api: ApiVersion) -> (Vec<String>, Vec<ApiMount>) {
    let NewContainer { project, service, .. } = *new;
    let mut binds = Vec::new();
    let mut mounts = Vec::new();
    for mount in &service.volumes {
        match bind_text(project, mount) {
            Some(text) => binds.push(text),
            None => mounts.extend(api_mount(project, mount, api)),
        }
    }
    for (target, name) in new.anonymous_volumes {
        if !is_taken(service, target) {
            binds.push(format!("{name}:{target}:rw"));
        }
    }
    (binds, mounts)
}

fn is_anonymous(mount: &Mount) -> bool {
    matches!(mount.kind, MountKind::Volume { .. }) && mount.source.is_none()
}

/// Whether the service now says itself what is mounted at `target`.
fn is_taken(service: &Service, target: &str) -> bool {
    let mut tmpfs = service.tmpfs.iter().map(|it| it.split(':').next().unwrap_or_default());
    let mut mounts = service.volumes.iter();
    mounts.any(|it| it.target == target && !is_anonymous(it)) || tmpfs.any(|it| it == target)
}

/// The mount as `source:target:options`, where that form can say it all.
fn bind_text(project: &Project, mount: &Mount) -> Option<String> {
    let source = mount.source.as_ref()?;
    let (source, is_simple, selinux, propagation) = match &mount.kind {
        MountKind::Bind { selinux, propagation, create_host_path, recursive } => {
            let is_simple = *create_host_path != Some(false) && recursive.is_none();
            (source, is_simple, selinux, propagation)
        }
        MountKind::Volume { nocopy, subpath, labels, selinux, propagation } => {
            let name = project.volumes.get(source).map_or(source, |volume| &volume.name);
            (name, !nocopy && subpath.is_none() && labels.is_empty(), selinux, propagation)
        }
        MountKind::Tmpfs { .. }
        | MountKind::Image { .. }
        | MountKind::NamedPipe
        | MountKind::Cluster => return None,
    };
    let access = if mount.read_only { "ro" } else { "rw" };
    let options = [Some(access), selinux.as_deref(), propagation.as_deref()];
    let options = options.into_iter().flatten().collect::<Vec<_>>().join(",");
    is_simple.then(|| format!("{source}:{}:{options}", mount.target))
}

fn api_mount(project: &Project, mount: &Mount, api: ApiVersion) -> Option<ApiMount> {
    let plain = ApiMount {
        target: Some(mount.target.clone()),
        read_only: Some(mount.read_only),
        consistency: mount.consistency.clone(),
        ..Default::default()
    };
    match &mount.kind {
        MountKind::Bind { propagation, recursive, create_host_path, .. } => Some(ApiMount {
            typ: Some(MountType::BIND),
            source: mount.source.clone(),
            bind_options: Some(MountBindOptions {
                propagation: propagation.as_deref().and_then(propagation_of),
                create_mountpoint: (api >= CREATE_MOUNTPOINT && *create_host_path != Some(false))
                    .then_some(true),
                ..recursion(recursive.as_deref(), api)
            }),
            ..plain
        }),
        MountKind::Volume { nocopy, subpath, labels, .. } => {
            // Anonymous volumes go through `Volumes`.
            let key = mount.source.as_ref()?;
            let name = project.volumes.get(key).map_or(key, |volume| &volume.name);
            Some(ApiMount {
                typ: Some(MountType::VOLUME),
                source: Some(name.clone()),
                volume_options: Some(MountVolumeOptions {
                    no_copy: Some(*nocopy),
                    subpath: subpath.clone(),
                    labels: non_empty_map(labels),
                    ..Default::default()
                }),
                ..plain
            })
        }
        MountKind::Tmpfs { size, mode } => Some(ApiMount {
            typ: Some(MountType::TMPFS),
            tmpfs_options: Some(MountTmpfsOptions {
                size_bytes: *size,
                mode: mode.map(i64::from),
                options: None,
            }),
            ..plain
        }),
        MountKind::Image { subpath } => Some(ApiMount {
            typ: Some(MountType::IMAGE),
            source: mount.source.clone(),
            image_options: subpath
                .clone()
                .map(|subpath| MountImageOptions { subpath: Some(subpath) }),
            ..plain
        }),
        MountKind::NamedPipe => {
            Some(ApiMount { typ: Some(MountType::NPIPE), source: mount.source.clone(), ..plain })
        }
        MountKind::Cluster => {
            Some(ApiMount { typ: Some(MountType::CLUSTER), source: mount.source.clone(), ..plain })
        }
    }
}

/// `bind.recursive`: `enabled` is what the Engine does unasked.
fn recursion(word: Option<&str>, api: ApiVersion) -> MountBindOptions {
    let yes = |wanted: &str, known: bool| (word == Some(wanted) && known).then_some(true);
    MountBindOptions {
        non_recursive: yes("disabled", true),
        read_only_non_recursive: yes("writable", api >= RECURSIVE_READ_ONLY),
        read_only_force_recursive: yes("readonly", api >= RECURSIVE_READ_ONLY),
        ..Default::default()
    }
}

fn propagation_of(word: &str) -> Option<MountBindOptionsPropagationEnum> {
    Some(match word {
        "private" => MountBindOptionsPropagationEnum::PRIVATE,
        "rprivate" => MountBindOptionsPropagationEnum::RPRIVATE,
        "shared" => MountBindOptionsPropagationEnum::SHARED,
        "rshared" => MountBindOptionsPropagationEnum::RSHARED,
        "slave" => MountBindOptionsPropagationEnum::SLAVE,
        "rslave" => MountBindOptionsPropagationEnum::RSLAVE,
        _ => return None,
    })
}
