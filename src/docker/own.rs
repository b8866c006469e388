//! Our own container, if we run in one: its mounts tell which of our paths the host knows.

use std::path::PathBuf;

use anyhow::{Context, Result};
use rustix::fs::{AtFlags, StatxAttributes, StatxFlags};
use rustix::io::Errno;

use super::{Engine, is_not_found};
use crate::plan::host_paths::HostPaths;

/// Files that the Engine mounts into every container.
const MOUNTED: [&str; 3] = ["/etc/hostname", "/etc/hosts", "/etc/resolv.conf"];
/// Lists the mounts of our own mount namespace.
const MOUNT_INFO: &str = "/proc/self/mountinfo";

impl Engine {
    /// Id of the container we run in, if we run in one.
    pub(super) fn own_container(&self) -> Option<&str> {
        self.own_container.get_or_init(own_container_id).as_deref()
    }

    /// The name of the Engine's host.
    ///
    /// # Errors
    ///
    /// When the Engine does not answer.
    pub async fn host_name(&self) -> Result<String> {
        let info = self.docker()?.info().await.context("ask the Engine who it is")?;
        Ok(info.name.unwrap_or_else(|| "localhost".to_owned()))
    }

    /// What tells the Engine from others, where it is on our host.
    ///
    /// # Errors
    ///
    /// When it does not answer.
    pub async fn local_id(&self) -> Result<Option<String>> {
        if !self.host().starts_with("unix:") {
            return Ok(None);
        }
        let info = self.docker()?.info().await.context("ask the Engine who it is")?;
        Ok(info.id.filter(|it| !it.is_empty()))
    }

    /// Reads our own mounts from the Engine; no translation where we run on the host, or where this
    /// Engine does not know our container.
    ///
    /// # Errors
    ///
    /// When the Engine does not answer.
    pub async fn host_paths(&self) -> Result<HostPaths> {
        let Some(id) = self.own_container() else {
            return Ok(HostPaths::default());
        };
        let inspected = self.docker()?.inspect_container(id, None).await;
        let container = match inspected.context("inspect our own container") {
            Ok(container) => container,
            // With a remote DOCKER_HOST our paths mean nothing there.
            Err(error) if is_not_found(&error) => return Ok(HostPaths::default()),
            Err(error) => return Err(error),
        };
        let pairs = container.mounts.unwrap_or_default().into_iter().filter_map(|mount| {
            Some((PathBuf::from(mount.destination?), PathBuf::from(mount.source?)))
        });
        Ok(HostPaths::new(pairs.collect()))
    }
}

/// The Engine bind-mounts `/etc/hostname` from `…/containers/<id>/hostname`; cgroup paths tell less
/// since cgroup namespaces.
fn own_container_id() -> Option<String> {
    // A host's mounts can be many, and the kernel takes milliseconds to write all of them out.
    if !MOUNTED.iter().any(|path| may_be_mounted(path)) {
        return None;
    }
    let text = std::fs::read_to_string(MOUNT_INFO).ok()?;
    text.lines().find_map(container_id_in)
}

/// False where the kernel (5.8 and newer) says that a file lies in the file system around it.
fn may_be_mounted(path: &str) -> bool {
    match rustix::fs::statx(rustix::fs::CWD, path, AtFlags::empty(), StatxFlags::empty()) {
        Ok(about) => {
            let mount_root = StatxAttributes::MOUNT_ROOT;
            !about.stx_attributes_mask.contains(mount_root)
                || about.stx_attributes.contains(mount_root)
        }
        Err(error) => error != Errno::NOENT,
    }
}

fn container_id_in(line: &str) -> Option<String> {
    // Fields are separated by blanks: id, parent, device, root, mount point, … (proc(5)).
    let mut fields = line.split(' ').skip(3);
    let (root, mount_point) = (fields.next()?, fields.next()?);
    if !MOUNTED.contains(&mount_point) {
        return None;
    }
    let (_, rest) = root.split_once("/containers/")?;
    let id = rest.split('/').next()?;
    (id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit())).then(|| id.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_mount_points_are_worth_a_look_at_the_mounts() {
        for (path, expected) in [("/proc", true), ("/proc/self/status", false), ("/none", false)] {
            assert_eq!(may_be_mounted(path), expected, "{path}");
        }
    }

    #[test]
    fn our_id_is_read_from_the_hostname_mount() {
        let id = "ab".repeat(32);
        let ours = format!(
            "713 700 254:0 /lib/docker/containers/{id}/hostname /etc/hostname rw - ext4 /dev/vda rw"
        );
        for (line, expected) in [
            (ours.as_str(), Some(id.clone())),
            ("22 1 254:0 / / rw,relatime - ext4 /dev/vda rw", None),
            ("713 700 254:0 /containers/short/hostname /etc/hostname rw - ext4 /dev/vda rw", None),
            ("", None),
        ] {
            assert_eq!(container_id_in(line), expected, "{line}");
        }
    }
}
