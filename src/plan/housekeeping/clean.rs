//! Which files are old enough to go, and which directories are empty then.

use std::collections::{BTreeSet, HashMap};
use std::ffi::OsStr;
use std::path::{Component, Path, PathBuf};

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::{Entry, Kind, bytes_text};
use crate::job::work::{AgeBy, Clean, Pattern};
use crate::source::counted;

/// Lines of a plan that are shown; a directory may have millions of files.
const SHOWN: usize = 1000;

/// Something below the directory that is cleaned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Its path below the directory.
    pub path: PathBuf,
    /// What it is.
    pub entry: Entry,
    /// A directory that was not looked into: another file system, a checkout, or not readable.
    pub is_closed: bool,
}

/// What goes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CleanPlan {
    /// The directory that all paths are below.
    pub directory: PathBuf,
    /// Files that go.
    pub files: Vec<PathBuf>,
    /// Directories that go once the files have gone, in this order.
    pub directories: Vec<PathBuf>,
    /// What the files hold.
    pub bytes: u64,
    /// Plain files that were looked at.
    pub looked_at: usize,
    /// Old files that stay because they are among the newest.
    pub kept: usize,
    /// Why nothing goes, though something would.
    pub refused: Option<String>,
}

impl CleanPlan {
    /// Whether nothing is to be done.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty() && self.directories.is_empty()
    }

    /// One sentence.
    pub fn summary(&self) -> String {
        let looked_at = counted(self.looked_at, "file");
        let (files, bytes) = (self.files.len(), bytes_text(self.bytes));
        let directories = match self.directories.len() {
            0 => String::new(),
            1 => " and 1 directory".to_owned(),
            count => format!(" and {count} directories"),
        };
        let refused = self.refused.as_ref().map(|why| format!("; {why}")).unwrap_or_default();
        format!("{files} of {looked_at} ({bytes}){directories} to remove{refused}")
    }

    /// One line a file.
    pub fn lines(&self) -> Vec<String> {
        let paths = self.files.iter().chain(&self.directories);
        let mut lines: Vec<String> =
            paths.take(SHOWN).map(|it| format!("remove {}", it.display())).collect();
        let more = (self.files.len() + self.directories.len()).saturating_sub(SHOWN);
        if more > 0 {
            lines.push(format!("and {more} more"));
        }
        lines
    }
}

/// The time that says how old something is.
pub fn time_of(entry: &Entry, by: AgeBy) -> DateTime<Utc> {
    match by {
        AgeBy::Modified => entry.modified,
        AgeBy::Accessed => entry.accessed,
        AgeBy::Changed => entry.changed,
    }
}

/// Everything that is older than this goes.
pub fn limit(options: &Clean, now: DateTime<Utc>) -> DateTime<Utc> {
    let age = chrono::Duration::from_std(options.older_than).ok();
    age.and_then(|age| now.checked_sub_signed(age)).unwrap_or(DateTime::<Utc>::MIN_UTC)
}

/// Decides what goes of all that is below the directory.
pub fn plan(options: &Clean, items: &[Item], now: DateTime<Utc>) -> CleanPlan {
    let limit = limit(options, now);
    let files = || items.iter().filter(|it| it.entry.kind == Kind::File);
    let mut asked: Vec<&Item> = files().filter(|it| is_asked_for(options, &it.path)).collect();
    asked.sort_by_key(|it| (std::cmp::Reverse(time_of(&it.entry, options.by)), &it.path));
    let is_old = |item: &&&Item| time_of(&item.entry, options.by) < limit;
    let kept = asked.iter().take(options.keep).filter(is_old).count();
    let going: Vec<&Item> = asked.iter().skip(options.keep).filter(is_old).copied().collect();
    let mut plan = CleanPlan {
        directory: options.directory.clone(),
        bytes: going.iter().map(|it| it.entry.size).sum(),
        files: going.iter().map(|it| it.path.clone()).collect(),
        looked_at: files().count(),
        kept,
        ..CleanPlan::default()
    };
    plan.files.sort();
    if let Some(most) = options.max_files.filter(|most| plan.files.len() > *most) {
        plan.refused =
            Some(format!("that is more than `max_files: {most}`, so nothing is removed"));
    }
    if options.empty_directories {
        plan.directories = empty_then(options, items, &plan.files, limit);
    }
    plan
}

fn is_asked_for(options: &Clean, path: &Path) -> bool {
    let parts = parts_of(path);
    let included =
        options.include.is_empty() || options.include.iter().any(|pattern| pattern.matches(&parts));
    included && !is_excluded(&options.exclude, &parts)
}

/// Whether a path or a directory above it is excluded.
fn is_excluded(exclude: &[Pattern], parts: &[&OsStr]) -> bool {
    (1..=parts.len()).any(|end| exclude.iter().any(|pattern| pattern.matches(&parts[..end])))
}

fn parts_of(path: &Path) -> Vec<&OsStr> {
    let part = |it| if let Component::Normal(part) = it { Some(part) } else { None };
    path.components().filter_map(part).collect()
}

/// Directories without anything once the files have gone, the inner ones first. One that was changed of
/// late stays: somebody is about to fill it.
fn empty_then(
    options: &Clean,
    items: &[Item],
    files: &[PathBuf],
    limit: DateTime<Utc>,
) -> Vec<PathBuf> {
    let going: BTreeSet<&Path> = files.iter().map(PathBuf::as_path).collect();
    let mut stays: HashMap<&Path, usize> = HashMap::new();
    let mut directories: Vec<&Item> = Vec::new();
    for item in items {
        if item.entry.kind == Kind::Directory {
            directories.push(item);
        } else if !going.contains(item.path.as_path())
            && let Some(parent) = item.path.parent()
        {
            *stays.entry(parent).or_default() += 1;
        }
    }
    let depth = |item: &Item| item.path.components().count();
    directories.sort_by(|a, b| depth(b).cmp(&depth(a)).then_with(|| a.path.cmp(&b.path)));
    let mut empty = Vec::new();
    for item in directories {
        let is_empty = stays.get(item.path.as_path()).is_none_or(|count| *count == 0);
        let is_old = item.entry.modified < limit;
        let is_ours = is_excluded(&options.exclude, &parts_of(&item.path));
        if is_empty && is_old && !item.is_closed && !is_ours {
            empty.push(item.path.clone());
        } else if let Some(parent) = item.path.parent() {
            *stays.entry(parent).or_default() += 1;
        }
    }
    empty
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(days: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_700_000_000 + days * 24 * 3600, 0).unwrap()
    }

    fn options() -> Clean {
        Clean {
            directory: "/data".into(),
            older_than: Duration::from_hours(10 * 24),
            by: AgeBy::Modified,
            include: Vec::new(),
            exclude: Vec::new(),
            keep: 0,
            empty_directories: true,
            max_files: None,
            other_filesystems: false,
            protected: Vec::new(),
            dry_run: false,
        }
    }

    /// `path` or `path/` of a directory, and how many days ago it was written, read and changed.
    fn item((path, days): &(&str, [i64; 3])) -> Item {
        let kind = match path.strip_suffix('/') {
            Some(_) => Kind::Directory,
            None if path.ends_with('@') => Kind::Link,
            None => Kind::File,
        };
        let path = PathBuf::from(path.trim_end_matches('/'));
        let [modified, accessed, changed] = days.map(|days| at(-days));
        let name = path.file_name().unwrap().to_owned();
        let entry = Entry { name, kind, size: 10, modified, accessed, changed, names: 1 };
        Item { is_closed: path.ends_with("closed"), path, entry }
    }

    const TREE: &[(&str, [i64; 3])] = &[
        ("new.nc", [1, 1, 1]),
        ("old.nc", [30, 1, 20]),
        ("old.txt", [20, 20, 20]),
        ("a/", [30, 30, 30]),
        ("a/b/", [30, 30, 30]),
        ("a/b/deep.nc", [40, 40, 40]),
        ("busy/", [1, 1, 1]),
        ("busy/x", [30, 30, 30]),
        ("links/", [30, 30, 30]),
        ("links/to@", [30, 30, 30]),
        ("closed/", [30, 30, 30]),
        ("empty/", [30, 30, 30]),
    ];

    #[test]
    fn old_files_go_and_directories_that_are_empty_then() {
        let pattern = |text: &str| vec![Pattern::parse(text).unwrap()];
        let rows: [(&str, Clean, &str); 9] = [
            ("all", options(), "a/b/deep.nc busy/x old.nc old.txt | a/b a empty"),
            (
                "read of late",
                Clean { by: AgeBy::Accessed, ..options() },
                "a/b/deep.nc busy/x old.txt | a/b a empty",
            ),
            (
                "changed",
                Clean {
                    by: AgeBy::Changed,
                    older_than: Duration::from_hours(25 * 24),
                    ..options()
                },
                "a/b/deep.nc busy/x | a/b a empty",
            ),
            (
                "include",
                Clean { include: pattern("**/*.nc"), ..options() },
                "a/b/deep.nc old.nc | a/b a empty",
            ),
            (
                "exclude",
                Clean { exclude: pattern("*.nc"), ..options() },
                "a/b/deep.nc busy/x old.txt | a/b a empty",
            ),
            (
                "exclude a directory",
                Clean { exclude: pattern("**/b"), ..options() },
                "busy/x old.nc old.txt | empty",
            ),
            // `new.nc` is one of the newest, too.
            ("keep", Clean { keep: 2, ..options() }, "a/b/deep.nc busy/x old.nc | a/b a empty"),
            (
                "directories stay",
                Clean { empty_directories: false, ..options() },
                "a/b/deep.nc busy/x old.nc old.txt | ",
            ),
            ("older", Clean { older_than: Duration::from_hours(365 * 24), ..options() }, " | "),
        ];
        for (name, options, expected) in rows {
            let items: Vec<Item> = TREE.iter().map(item).collect();
            let found = plan(&options, &items, at(0));
            let joined = |paths: &[PathBuf]| {
                let texts: Vec<String> = paths.iter().map(|it| it.display().to_string()).collect();
                texts.join(" ")
            };
            let shown = format!("{} | {}", joined(&found.files), joined(&found.directories));
            assert_eq!(shown, expected, "{name}");
            assert_eq!(found.looked_at, 5);
        }
    }

    #[test]
    fn too_many_are_a_reason_to_remove_none() {
        let items: Vec<Item> = TREE.iter().map(item).collect();
        for (most, is_refused) in [(3, true), (4, false)] {
            let options = Clean { max_files: Some(most), ..options() };
            let found = plan(&options, &items, at(0));
            assert_eq!(found.refused.is_some(), is_refused, "{most}");
        }
    }
}
