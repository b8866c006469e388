//! The mounts of a new container: `Binds`, `Mounts` and `Volumes` of the create call.

use bollard::models::{
    Mount as ApiMount, MountBindOptions, MountBindOptionsPropagationEnum, MountImageOptions,
    MountTmpfsOptions, MountType, MountVolumeOptions,
};

use super::ApiVersion;
use super::create::{NewContainer, non_empty_map};
use super::files;
use super::gates::CREATE_MOUNTPOINT;
use crate::compose::model::{Mount, MountKind, Project, Service};

/// `Binds` where the Engine may create the host path, `Mounts` for what only they can say: on API 1.41
/// a bind of a missing path fails as a mount.
pub(super) fn volumes(new: &NewContainer<'_>, api: ApiVersion) -> (Vec<String>, Vec<ApiMount>) {
    let NewContainer { project, service, .. } = *new;
    let mut binds = Vec::new();
    let mut mounts = Vec::new();
    for mount in &service.volumes {
        match bind_text(project, mount, api) {
            Some(text) => binds.push(text),
            None => mounts.push(api_mount(new, mount, api)),
        }
    }
    for (target, name) in new.anonymous_volumes {
        let is_listed = service.volumes.iter().any(|it| &it.target == target);
        if !is_listed && !is_taken(service, target) {
            mounts.push(taken_over(name, target));
        }
    }
    for (kind, reference) in files::references(service) {
        let target = files::target(kind, reference);
        let is_free = mounts.iter().all(|it| it.target.as_deref() != Some(&target))
            && service.volumes.iter().all(|it| it.target != target);
        if is_free && let Some(path) = files::mounted(project, service, kind, reference) {
            mounts.push(file(path, target));
        }
    }
    (binds, mounts)
}

/// A volume that a container before had without a name.
fn taken_over(name: &str, target: &str) -> ApiMount {
    ApiMount {
        typ: Some(MountType::VOLUME),
        source: Some(name.to_owned()),
        target: Some(target.to_owned()),
        ..Default::default()
    }
}

/// The file of a secret or config; unlike a volume's, its path must exist.
fn file(path: &str, target: String) -> ApiMount {
    ApiMount {
        typ: Some(MountType::BIND),
        source: Some(path.to_owned()),
        target: Some(target),
        read_only: Some(true),
        ..Default::default()
    }
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
fn bind_text(project: &Project, mount: &Mount, api: ApiVersion) -> Option<String> {
    let source = mount.source.as_ref()?;
    let (selinux, propagation) = mount.sharing();
    let (source, is_simple) = match &mount.kind {
        MountKind::Bind { create_host_path, recursive, .. } => {
            // Only this form can say `selinux`, and on an old Engine make the path.
            let needs_text = selinux.is_some() || api < CREATE_MOUNTPOINT;
            let is_simple = *create_host_path != Some(false)
                && recursive.is_none()
                && (propagation.is_none() || needs_text);
            (source, is_simple)
        }
        MountKind::Volume { nocopy, subpath, labels } => {
            let name = project.volumes.get(source).map_or(source, |volume| &volume.name);
            (name, !nocopy && subpath.is_none() && labels.is_empty())
        }
        MountKind::Tmpfs { .. }
        | MountKind::Image { .. }
        | MountKind::NamedPipe
        | MountKind::Cluster => return None,
    };
    let access = if mount.read_only { "ro" } else { "rw" };
    let options = [Some(access), selinux, propagation];
    let options = options.into_iter().flatten().collect::<Vec<_>>().join(",");
    is_simple.then(|| format!("{source}:{}:{options}", mount.target))
}

fn api_mount(new: &NewContainer<'_>, mount: &Mount, api: ApiVersion) -> ApiMount {
    let project = new.project;
    let plain = ApiMount {
        target: Some(mount.target.clone()),
        read_only: Some(mount.read_only),
        consistency: mount.consistency.clone(),
        ..Default::default()
    };
    match &mount.kind {
        MountKind::Bind { propagation, recursive, create_host_path, .. } => ApiMount {
            typ: Some(MountType::BIND),
            source: mount.source.clone(),
            bind_options: Some(MountBindOptions {
                propagation: propagation.as_deref().and_then(propagation_of),
                create_mountpoint: (api >= CREATE_MOUNTPOINT && *create_host_path != Some(false))
                    .then_some(true),
                ..recursion(recursive.as_deref())
            }),
            ..plain
        },
        MountKind::Volume { nocopy, subpath, labels } => {
            let name = match &mount.source {
                Some(key) => Some(project.volumes.get(key).map_or(key, |volume| &volume.name)),
                // Without a source a new one is made, unless the container before had one.
                None => new.anonymous_volumes.get(&mount.target),
            };
            let has_options = *nocopy || subpath.is_some() || !labels.is_empty();
            ApiMount {
                typ: Some(MountType::VOLUME),
                source: name.cloned(),
                volume_options: has_options.then(|| MountVolumeOptions {
                    no_copy: Some(*nocopy),
                    subpath: subpath.clone(),
                    labels: non_empty_map(labels),
                    ..Default::default()
                }),
                ..plain
            }
        }
        MountKind::Tmpfs { size, mode } => ApiMount {
            typ: Some(MountType::TMPFS),
            tmpfs_options: Some(MountTmpfsOptions {
                size_bytes: *size,
                mode: mode.map(i64::from),
                options: None,
            }),
            ..plain
        },
        MountKind::Image { subpath } => ApiMount {
            typ: Some(MountType::IMAGE),
            source: mount.source.clone(),
            image_options: subpath
                .clone()
                .map(|subpath| MountImageOptions { subpath: Some(subpath) }),
            ..plain
        },
        MountKind::NamedPipe => {
            ApiMount { typ: Some(MountType::NPIPE), source: mount.source.clone(), ..plain }
        }
        MountKind::Cluster => {
            ApiMount { typ: Some(MountType::CLUSTER), source: mount.source.clone(), ..plain }
        }
    }
}

/// `bind.recursive`: `enabled` is what the Engine does unasked.
fn recursion(word: Option<&str>) -> MountBindOptions {
    let yes = |wanted: &str| (word == Some(wanted)).then_some(true);
    MountBindOptions {
        non_recursive: yes("disabled"),
        read_only_non_recursive: yes("writable"),
        read_only_force_recursive: yes("readonly"),
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
