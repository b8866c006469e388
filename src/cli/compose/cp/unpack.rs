//! A tar archive from a container into files of ours.
//!
//! The container made the archive, so nothing in it is believed: no name leads out of the directory,
//! no link that came with it is followed.

use std::fs;
use std::io::{ErrorKind, Read};
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use tar::{Archive, Entry};

use super::place::Spot;

/// Unpacks an archive whose entries all begin with one name, which gives way to that of the spot.
pub(super) fn unpack(archive: impl Read, spot: &Spot) -> Result<()> {
    let root = fs::canonicalize(&spot.directory)
        .with_context(|| format!("find directory `{}`", spot.directory.display()))?;
    let mut archive = Archive::new(archive);
    // Modes of directories come last: one that may not be written to still gets its files.
    let mut directories = Vec::new();
    for entry in archive.entries().context("read the archive")? {
        let mut entry = entry.context("read the archive")?;
        let name = entry.path().context("read a name of the archive")?.into_owned();
        let Some(target) = target(&root, spot, &name)? else { continue };
        ensure_inside(&root, &target)?;
        let what = || format!("write `{}`", target.display());
        if entry.header().entry_type().is_dir() {
            make_directory(&target).with_context(what)?;
            directories.push((target, entry.header().mode().unwrap_or(0o755)));
        } else if entry.header().entry_type().is_hard_link() {
            link(&entry, &root, spot, &target).with_context(what)?;
        } else {
            make_room(&target).with_context(what)?;
            entry.set_preserve_mtime(true);
            entry.unpack(&target).with_context(what)?;
        }
    }
    for (directory, mode) in directories.iter().rev() {
        use std::os::unix::fs::PermissionsExt;
        let permissions = fs::Permissions::from_mode(mode & 0o7777);
        fs::set_permissions(directory, permissions)
            .with_context(|| format!("set the mode of `{}`", directory.display()))?;
    }
    Ok(())
}

/// Where an entry goes; `None` for the directory itself whose content alone is wanted.
fn target(root: &Path, spot: &Spot, name: &Path) -> Result<Option<PathBuf>> {
    let mut parts = Vec::new();
    for part in name.components() {
        match part {
            Component::Normal(part) => parts.push(part),
            Component::CurDir | Component::RootDir => {}
            Component::ParentDir | Component::Prefix(_) => {
                bail!("the archive holds `{}`, which leads out of it", name.display());
            }
        }
    }
    // `./a` has no first name to give way.
    let is_content = name.starts_with(".");
    let rest: PathBuf =
        if is_content { parts.iter().collect() } else { parts.iter().skip(1).collect() };
    let base = spot.name.as_ref().map_or_else(|| root.to_owned(), |name| root.join(name));
    if rest.as_os_str().is_empty() {
        return Ok(spot.name.is_some().then_some(base));
    }
    Ok(Some(base.join(rest)))
}

/// The parent is there already: archives name directories before what is in them.
fn ensure_inside(root: &Path, target: &Path) -> Result<()> {
    let parent = target.parent().unwrap_or(root);
    let real = fs::canonicalize(parent).with_context(|| format!("find `{}`", parent.display()))?;
    ensure!(
        real.starts_with(root),
        "`{}` lies beyond a link out of `{}`",
        target.display(),
        root.display()
    );
    Ok(())
}

fn make_directory(target: &Path) -> std::io::Result<()> {
    match fs::create_dir(target) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists && target.is_dir() => Ok(()),
        other => other,
    }
}

/// Takes away a file that is in the way; a directory stays, and the copy fails.
fn make_room(target: &Path) -> std::io::Result<()> {
    match fs::symlink_metadata(target) {
        Ok(metadata) if metadata.is_dir() => {
            Err(std::io::Error::other("cannot overwrite a directory with a file"))
        }
        Ok(_) => fs::remove_file(target),
        Err(_) => Ok(()),
    }
}

fn link(entry: &Entry<'_, impl Read>, root: &Path, spot: &Spot, target: &Path) -> Result<()> {
    let name = entry.link_name()?.context("a link to nothing")?.into_owned();
    let original = self::target(root, spot, &name)?.context("a link to the directory")?;
    ensure_inside(root, &original)?;
    make_room(target)?;
    fs::hard_link(&original, target)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive(entries: &[(&str, tar::EntryType, &str)]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (name, kind, content) in entries {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(*kind);
            header.set_mode(if kind.is_dir() { 0o755 } else { 0o640 });
            // Names that the crate refuses to write, too.
            header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
            let is_file = kind.is_file();
            header.set_size(if is_file { content.len() as u64 } else { 0 });
            if !is_file && !content.is_empty() {
                header.set_link_name_literal(content).unwrap();
            }
            header.set_cksum();
            builder.append(&header, if is_file { content.as_bytes() } else { b"" }).unwrap();
        }
        builder.into_inner().unwrap()
    }

    #[test]
    fn archives_are_unpacked_under_the_name_of_the_spot() {
        use tar::EntryType as T;
        let entries = [
            ("www/", T::Directory, ""),
            ("www/a", T::Regular, "one"),
            ("www/b", T::Link, "www/a"),
            ("www/c", T::Symlink, "a"),
        ];
        for (name, file) in [(Some("new"), "new/a"), (None, "a")] {
            let root = tempfile::tempdir().unwrap();
            let spot = Spot { directory: root.path().to_owned(), name: name.map(str::to_owned) };
            unpack(&archive(&entries)[..], &spot).unwrap();
            let at = root.path().join(file);
            assert_eq!(fs::read_to_string(&at).unwrap(), "one");
            assert_eq!(fs::read_to_string(at.with_file_name("b")).unwrap(), "one");
            assert_eq!(fs::read_link(at.with_file_name("c")).unwrap(), Path::new("a"));
            // A second time over the first.
            unpack(&archive(&entries)[..], &spot).unwrap();
        }
    }

    #[test]
    fn nothing_leads_out_of_the_directory() {
        use tar::EntryType as T;
        let outside = tempfile::tempdir().unwrap();
        let victim = outside.path().join("victim");
        let outside_path = outside.path().display().to_string();
        fs::write(&victim, "untouched").unwrap();
        for entries in [
            vec![("d/", T::Directory, ""), ("d/../../victim", T::Regular, "x")],
            vec![
                ("d/", T::Directory, ""),
                ("d/out", T::Symlink, outside_path.as_str()),
                ("d/out/victim", T::Regular, "x"),
            ],
            vec![("d/", T::Directory, ""), ("d/hard", T::Link, "d/../../victim")],
        ] {
            let root = tempfile::tempdir_in(outside.path()).unwrap();
            let spot = Spot { directory: root.path().to_owned(), name: Some("n".to_owned()) };
            assert!(unpack(&archive(&entries)[..], &spot).is_err(), "{entries:?}");
            assert_eq!(fs::read_to_string(&victim).unwrap(), "untouched");
        }
    }
}
