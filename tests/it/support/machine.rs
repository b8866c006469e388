//! Images of programs of the machine itself, with their libraries, and busybox around them.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::process::output;
use super::{Engine, unique};

/// Applets of busybox that each image has.
const APPLETS: [&str; 14] = [
    "awk", "cat", "chown", "dd", "echo", "head", "kill", "killall", "mkdir", "pidof", "rm", "sh",
    "sleep", "su",
];

/// The files of an image that is being put together.
pub(crate) struct Image {
    root: TempDir,
}

impl Image {
    pub(crate) fn new() -> Self {
        let image = Self { root: tempfile::tempdir().unwrap() };
        for directory in ["bin", "tmp", "run", "var"] {
            fs::create_dir_all(image.root.path().join(directory)).unwrap();
        }
        std::os::unix::fs::symlink("/run", image.root.path().join("var/run")).unwrap();
        output(Command::new("chmod").arg("1777").arg(image.root.path().join("tmp"))).ok();
        let busybox = image.root.path().join("bin/busybox");
        fs::copy("/bin/busybox", busybox).unwrap();
        for name in APPLETS {
            std::os::unix::fs::symlink("busybox", image.root.path().join("bin").join(name))
                .unwrap();
        }
        image
    }

    /// A file or directory of the machine, at its own place.
    pub(crate) fn put(&self, from: &Path) {
        self.put_as(from, from);
    }

    /// A file or directory of the machine, somewhere else.
    pub(crate) fn put_as(&self, from: &Path, to: &Path) {
        let to = self.root.path().join(to.strip_prefix("/").unwrap());
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        // Links are followed: it is their name that is looked for.
        output(Command::new("cp").args(["-rL"]).arg(from).arg(&to)).ok();
    }

    /// Parts of a tree of another system, at their own places in it.
    pub(crate) fn put_tree(&self, root: &Path, parts: &[&str]) {
        let copy = ["-a", "--parents", "--target-directory"];
        output(Command::new("cp").args(copy).arg(self.root.path()).args(parts).current_dir(root))
            .ok();
    }

    /// Programs and plugins of the machine, with the libraries that they need.
    pub(crate) fn programs(&self, all: &[PathBuf]) {
        let mut files: BTreeSet<PathBuf> = all.iter().cloned().collect();
        for program in all {
            assert!(program.exists(), "the test needs {} (scripts/setup.sh)", program.display());
            let said = output(Command::new("ldd").arg(program)).ok();
            let words = said.split_whitespace().filter(|it| it.starts_with('/'));
            files.extend(words.map(PathBuf::from));
        }
        for file in &files {
            self.put(file);
        }
    }

    pub(crate) fn write(&self, path: &str, text: &str) {
        fs::create_dir_all(self.root.path().join(path).parent().unwrap()).unwrap();
        fs::write(self.root.path().join(path), text).unwrap();
    }

    /// Has the Engine take it; returns its name.
    pub(crate) fn import(self, engine: &Engine, name: &str, path: &str) -> String {
        let archive = self.root.path().with_extension("tar");
        let tar = ["--create", "--numeric-owner", "--owner=0", "--group=0", "--file"];
        output(
            Command::new("tar").args(tar).arg(&archive).arg("-C").arg(self.root.path()).arg("."),
        )
        .ok();
        let name = format!("rs-test/{}", unique(name));
        let file = archive.display().to_string();
        let path = format!("ENV PATH={path}");
        engine.docker(&["import", "--change", &path, &file, &name]);
        fs::remove_file(archive).unwrap();
        name
    }
}
