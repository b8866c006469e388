//! Host paths: where a path of ours lies on the Docker host.
//!
//! The Engine resolves bind sources on the host. When we run in a container, our own mounts tell
//! which of our paths the host knows, and under which name.

use std::path::{Path, PathBuf};

use crate::compose::model::{FileSource, MountKind, Project};

/// Our own mounts; empty when we run on the host itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostPaths {
    /// Pairs of (path in our container, path on the host).
    mounts: Vec<(PathBuf, PathBuf)>,
}

impl HostPaths {
    /// Takes pairs of (path in our container, path on the host).
    pub fn new(mounts: Vec<(PathBuf, PathBuf)>) -> Self {
        Self { mounts }
    }

    /// The host's path for one of ours: the longest mount that holds it wins. A path under no mount
    /// is taken to be a host path already.
    pub fn on_host(&self, path: &Path) -> PathBuf {
        let holding = self.mounts.iter().filter(|(ours, _)| path.starts_with(ours));
        let longest = holding.max_by_key(|(ours, _)| ours.components().count());
        match longest.and_then(|(ours, host)| Some((host, path.strip_prefix(ours).ok()?))) {
            Some((host, rest)) if rest.as_os_str().is_empty() => host.clone(),
            Some((host, rest)) => host.join(rest),
            None => path.to_owned(),
        }
    }

    /// The project as the host sees it: bind sources, project directory and files.
    #[must_use]
    pub fn translate(&self, mut project: Project) -> Project {
        if self.mounts.is_empty() {
            return project;
        }
        project.working_dir = self.on_host(&project.working_dir);
        for file in project.files.iter_mut().chain(&mut project.env_files) {
            *file = self.on_host(file);
        }
        let mounts = project.services.values_mut().flat_map(|service| &mut service.volumes);
        for mount in mounts {
            if let (MountKind::Bind { .. }, Some(source)) = (&mount.kind, &mut mount.source) {
                *source = self.on_host(Path::new(source)).display().to_string();
            }
        }
        for object in project.secrets.values_mut().chain(project.configs.values_mut()) {
            if let FileSource::File(path) = &mut object.source {
                *path = self.on_host(Path::new(path)).display().to_string();
            }
        }
        for volume in project.volumes.values_mut() {
            let is_bind =
                volume.driver_opts.get("o").is_some_and(|o| o.split(',').any(|o| o == "bind"));
            if let (true, Some(device)) = (is_bind, volume.driver_opts.get_mut("device")) {
                *device = self.on_host(Path::new(device)).display().to_string();
            }
        }
        project
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::compose::model::{FileObject, Mount, Service, Volume};

    #[test]
    fn the_longest_mount_wins() {
        let pairs = [
            ("/srv/stack", "/home/ops/stack"),
            ("/srv/stack/data", "/mnt/big/data"),
            ("/var/lib/roadstead", "/var/lib/docker/volumes/roadstead/_data"),
        ];
        let paths = HostPaths::new(pairs.map(|(a, b)| (a.into(), b.into())).to_vec());
        for (ours, expected) in [
            ("/srv/stack", "/home/ops/stack"),
            ("/srv/stack/www/a", "/home/ops/stack/www/a"),
            ("/srv/stack/data/x", "/mnt/big/data/x"),
            ("/srv/stackless", "/srv/stackless"),
            ("/var/lib/roadstead/sources/a", "/var/lib/docker/volumes/roadstead/_data/sources/a"),
            ("/etc/hosts", "/etc/hosts"),
        ] {
            assert_eq!(paths.on_host(Path::new(ours)), Path::new(expected), "{ours}");
        }
    }

    #[test]
    fn a_project_is_translated_wherever_it_names_a_path_of_ours() {
        let mount = |kind, source: &str| Mount {
            kind,
            source: Some(source.to_owned()),
            target: "/t".to_owned(),
            read_only: false,
            consistency: None,
            options_given: false,
            other_blocks: Vec::new(),
        };
        let bind = || MountKind::Bind {
            selinux: None,
            propagation: None,
            create_host_path: None,
            recursive: None,
        };
        let named = MountKind::Volume { nocopy: false, subpath: None, labels: BTreeMap::new() };
        let options = |o: &str, device: &str| {
            [("o".to_owned(), o.to_owned()), ("device".to_owned(), device.to_owned())].into()
        };
        let volume = |driver_opts| Volume { driver_opts, ..Volume::default() };
        let project = |root: &str, device: &str| Project {
            working_dir: format!("{root}/app").into(),
            files: vec![format!("{root}/app/compose.yml").into(), "/etc/other.yml".into()],
            services: [(
                "web".to_owned(),
                Service {
                    volumes: vec![
                        mount(bind(), &format!("{root}/www")),
                        mount(bind(), "/etc/hosts"),
                        // The key of a volume is no path, whatever it looks like.
                        mount(named.clone(), "/srv/stack"),
                    ],
                    ..Service::default()
                },
            )]
            .into(),
            secrets: [(
                "key".to_owned(),
                FileObject {
                    source: FileSource::File(format!("{root}/key")),
                    ..FileObject::default()
                },
            )]
            .into(),
            volumes: [
                ("bound".to_owned(), volume(options("rw,bind", device))),
                ("nfs".to_owned(), volume(options("addr=10.0.0.1", "/srv/stack/nfs"))),
            ]
            .into(),
            ..Project::default()
        };
        let ours = project("/srv/stack", "/srv/stack/data");
        let on_host = project("/home/ops/stack", "/home/ops/stack/data");
        let paths = HostPaths::new(vec![("/srv/stack".into(), "/home/ops/stack".into())]);
        assert_eq!(paths.translate(ours.clone()), on_host);
        assert_eq!(HostPaths::default().translate(ours.clone()), ours);
    }
}
