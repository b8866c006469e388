//! `clean`: old files of a directory.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Pattern;

/// Removes old files below a directory, and directories that are empty then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clean {
    /// Below which directory; it stays itself.
    pub directory: PathBuf,
    /// Files that are older.
    pub older_than: Duration,
    /// Which of its times says how old a file is.
    pub by: AgeBy,
    /// Of all files only these; empty is all.
    pub include: Vec<Pattern>,
    /// None of these, nor anything below a directory of these.
    pub exclude: Vec<Pattern>,
    /// So many of the newest files stay, however old they are.
    pub keep: usize,
    /// Directories that are empty and old go, too.
    pub empty_directories: bool,
    /// Where more files than this are to go, none does.
    pub max_files: Option<usize>,
    /// Goes into file systems that are mounted below the directory, too.
    pub other_filesystems: bool,
    /// Directories of ours: none of them is the directory, lies in it, or holds it.
    pub protected: Vec<PathBuf>,
    /// Says what it would do, and does nothing.
    pub dry_run: bool,
}

/// Which of its times says how old a file is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AgeBy {
    /// When it was written.
    #[default]
    Modified,
    /// When it was read.
    Accessed,
    /// When content, name or rights were changed.
    Changed,
}

/// Directories of the system that nobody cleans as a whole.
const OF_THE_SYSTEM: [&str; 21] = [
    "/", "/bin", "/boot", "/dev", "/etc", "/home", "/lib", "/lib64", "/media", "/mnt", "/opt",
    "/proc", "/root", "/run", "/sbin", "/srv", "/sys", "/usr", "/var", "/var/lib", "/var/run",
];

/// Why a directory is not cleaned, whatever is in it; `protected` are directories of ours.
pub fn refusal(directory: &Path, protected: &[PathBuf]) -> Option<String> {
    let shown = directory.display();
    if OF_THE_SYSTEM.iter().any(|it| directory == Path::new(it)) {
        return Some(format!("`{shown}` is a directory of the system: name one below it"));
    }
    if ["/proc", "/sys", "/dev"].iter().any(|it| directory.starts_with(it)) {
        return Some(format!("`{shown}` holds no files, but the kernel's own"));
    }
    let ours =
        protected.iter().find(|it| it.starts_with(directory) || directory.starts_with(it))?;
    Some(format!(
        "`{shown}` is, holds or lies in `{}`, which Roadstead needs (state, logs, job files or a \
         checkout): name another one",
        ours.display()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_ours_or_the_systems_is_refused() {
        let ours = [PathBuf::from("/var/lib/roadstead"), PathBuf::from("/srv/stack")];
        for (directory, is_refused) in [
            ("/", true),
            ("/etc", true),
            ("/var", true),
            ("/proc/1", true),
            ("/var/lib/roadstead", true),
            ("/var/lib/roadstead/sources", true),
            ("/srv/stack/data", true),
            ("/srv", true),
            ("/srv/stack2", false),
            ("/var/lib/other", false),
            ("/data", false),
        ] {
            assert_eq!(refusal(Path::new(directory), &ours).is_some(), is_refused, "{directory}");
        }
    }
}
