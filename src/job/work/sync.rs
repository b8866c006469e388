//! `sync`: directories that follow a git repository or an archive.

use std::ffi::OsStr;
use std::path::{Component, Path, PathBuf};

use super::{Pattern, RunContainer, clean_refusal};
use crate::compose::model::Hidden;

/// Keeps directories equal to parts of git repositories or archives.
#[derive(Clone, Debug, PartialEq)]
pub struct DataSync {
    /// Where data comes from, and where it goes; more than one only from birdhouse's deploy-data file.
    pub sources: Vec<SyncSource>,
    /// Directories of ours: no destination is one of them, lies in it, or holds it.
    pub protected: Vec<PathBuf>,
    /// Says what it would do, and does nothing.
    pub dry_run: bool,
}

/// One source of data with its destinations.
#[derive(Clone, Debug, PartialEq)]
pub struct SyncSource {
    /// Its name in messages and in the store, unique in a job.
    pub name: String,
    /// Where its data comes from.
    pub from: SyncFrom,
    /// Where we keep what we got of it, below the state directory.
    pub directory: PathBuf,
    /// What goes where.
    pub maps: Vec<SyncMap>,
    /// Containers that run after its directories changed, in order, up to the first failure.
    pub hooks: Vec<RunContainer>,
    /// The hooks run whether something changed or not.
    pub always: bool,
}

impl DataSync {
    /// The variables of all hooks, which may hold secrets.
    pub fn hook_variables(&self) -> Vec<(String, String)> {
        let hooks = self.sources.iter().flat_map(|source| &source.hooks);
        hooks
            .flat_map(|hook| &hook.service.environment)
            .filter_map(|(name, value)| Some((name.clone(), value.clone()?)))
            .collect()
    }

    /// The repositories that it follows.
    pub fn repositories(&self) -> Vec<String> {
        let url = |source: &SyncSource| match &source.from {
            SyncFrom::Git { url, .. } => Some(url.clone()),
            SyncFrom::Archive(_) => None,
        };
        self.sources.iter().filter_map(url).collect()
    }

    /// The images of all hooks.
    pub fn images(&self) -> Vec<String> {
        let hooks = self.sources.iter().flat_map(|source| &source.hooks);
        hooks.map(|hook| hook.service.image.clone()).collect()
    }

    /// Whether it starts containers.
    pub fn has_hooks(&self) -> bool {
        self.sources.iter().any(|source| !source.hooks.is_empty())
    }
}

/// Where data comes from.
#[derive(Clone, Debug, PartialEq)]
pub enum SyncFrom {
    /// A git repository.
    Git {
        /// URL without credentials, or the directory of a repository.
        url: String,
        /// Branch, tag or commit; `None` is the remote's default branch.
        reference: Option<String>,
        /// A private key instead of the deploy key that the repository's name leads to.
        identity: Option<PathBuf>,
    },
    /// An archive at a web server.
    Archive(SyncArchive),
}

/// A tar archive, packed with gzip or zstd or not at all.
#[derive(Clone, Debug, PartialEq)]
pub struct SyncArchive {
    /// Its address, which may hold secrets.
    pub url: Hidden,
    /// What its bytes must hash to, in lower-case hexadecimal digits.
    pub sha256: Option<String>,
    /// The most bytes of the packed archive.
    pub max_size: u64,
    /// The most bytes once it is unpacked.
    pub max_unpacked: u64,
    /// The most entries.
    pub max_entries: usize,
    /// So many leading parts of each name are dropped; entries with no more than these are left out.
    pub strip_components: usize,
}

/// One directory that follows one of the source.
#[derive(Clone, Debug, PartialEq)]
pub struct SyncMap {
    /// Directory in the source; empty is all of it.
    pub from: PathBuf,
    /// Directory at the destination, as our own container sees it.
    pub to: PathBuf,
    /// Which files: the first rule that says something of a path decides; what none speaks of is selected.
    pub rules: Vec<SyncRule>,
    /// Removes what is selected by the rules and gone from the source.
    pub delete: bool,
    /// Exchanges the directory as a whole.
    pub atomic: bool,
    /// User and group of what it holds.
    pub owner: Option<(u32, u32)>,
    /// Permissions of files; those executable in the source may be executed by whoever may read them.
    pub mode: Option<u32>,
    /// Permissions of directories.
    pub dir_mode: Option<u32>,
}

/// Says of some paths whether they are selected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyncRule {
    /// Which paths below the directory.
    pub pattern: Pattern,
    /// What kind of paths.
    pub of: RuleOf,
    /// Selected, else not.
    pub selects: bool,
}

/// What kind of paths a rule speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuleOf {
    /// Files and directories.
    Any,
    /// Directories only.
    Directories,
    /// All but directories.
    Files,
}

impl SyncMap {
    /// Whether a path below the directory, given by its parts, is selected: so must be each directory
    /// above it.
    pub fn selects(&self, path: &[&OsStr], is_directory: bool) -> bool {
        (1..=path.len()).all(|length| {
            let is_directory = is_directory || length < path.len();
            let speaks = |rule: &&SyncRule| {
                let fits = match rule.of {
                    RuleOf::Any => true,
                    RuleOf::Directories => is_directory,
                    RuleOf::Files => !is_directory,
                };
                fits && rule.pattern.matches(&path[..length])
            };
            self.rules.iter().find(speaks).is_none_or(|rule| rule.selects)
        })
    }
}

/// The rules of `include` and `exclude`: none of those excluded, and of the others all, or those included.
/// A directory stands for all that is below it.
pub fn rules_of(include: Vec<Pattern>, exclude: Vec<Pattern>) -> Vec<SyncRule> {
    let rule = |pattern: Pattern, of: RuleOf, selects: bool| SyncRule { pattern, of, selects };
    let all = || Pattern::parse("**").expect("this is a pattern");
    let mut rules: Vec<SyncRule> =
        exclude.into_iter().map(|pattern| rule(pattern, RuleOf::Any, false)).collect();
    let is_limited = !include.is_empty();
    for pattern in include {
        rules.extend(pattern.below().map(|below| rule(below, RuleOf::Files, true)));
        rules.push(rule(pattern, RuleOf::Files, true));
    }
    if is_limited {
        rules.push(rule(all(), RuleOf::Files, false));
    }
    rules
}

/// Why a directory is no destination, whatever is in it; `protected` are directories of ours.
pub fn destination_refusal(directory: &Path, protected: &[PathBuf]) -> Option<String> {
    let strange = |it: Component<'_>| matches!(it, Component::ParentDir);
    if !directory.is_absolute() || directory.components().any(strange) {
        let shown = directory.display();
        return Some(format!("`{shown}` is no absolute path without `..`"));
    }
    clean_refusal(directory, protected)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(include: &[&str], exclude: &[&str]) -> SyncMap {
        let read = |texts: &[&str]| texts.iter().map(|it| Pattern::parse(it).unwrap()).collect();
        SyncMap {
            from: PathBuf::new(),
            to: "/data".into(),
            rules: rules_of(read(include), read(exclude)),
            delete: true,
            atomic: false,
            owner: None,
            mode: None,
            dir_mode: None,
        }
    }

    #[test]
    fn files_are_selected_by_what_is_included_and_excluded() {
        // Included, excluded, path, selected.
        type Row<'a> = (&'a [&'a str], &'a [&'a str], &'a str, bool);
        let rows: [Row<'_>; 10] = [
            (&[], &[], "a/b.txt", true),
            (&["**/*.nc"], &[], "a/b.nc", true),
            (&["**/*.nc"], &[], "a/b.txt", false),
            (&["docs"], &[], "docs/deep/b.txt", true),
            (&["docs"], &[], "other/b.txt", false),
            (&[], &["**/*.bak"], "a/b.bak", false),
            (&[], &["tmp"], "tmp/deep/b.nc", false),
            (&["**/*.nc"], &["tmp/**"], "tmp/b.nc", false),
            (&["**/*.nc"], &["tmp/**"], "b.nc", true),
            (&["*.nc"], &[], "a/b.nc", false),
        ];
        for (include, exclude, path, expected) in rows {
            let parts: Vec<&OsStr> = path.split('/').map(OsStr::new).collect();
            let found = map(include, exclude).selects(&parts, false);
            assert_eq!(found, expected, "{include:?} {exclude:?} {path}");
        }
    }

    #[test]
    fn a_destination_is_a_directory_that_nobody_needs_otherwise() {
        let ours = [PathBuf::from("/var/lib/roadstead")];
        for (directory, is_refused) in [
            ("/data/notebooks", false),
            ("data", true),
            ("/data/../etc", true),
            ("/", true),
            ("/etc", true),
            ("/var/lib/roadstead/x", true),
        ] {
            let found = destination_refusal(Path::new(directory), &ours);
            assert_eq!(found.is_some(), is_refused, "{directory}");
        }
    }
}
