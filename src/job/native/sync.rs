//! Reads `sync:`, directories that follow a git repository or an archive.

use std::path::{Component, Path, PathBuf};

use super::deploy::{repository_name, source_of_text};
use super::fields::{self, Fields};
use super::housekeeping::{owner_of, patterns, permissions_of, protected};
use super::tables_of_sync::{ARCHIVE, MAP, SYNC};
use super::tables_of_work::SOURCE;
use super::{Reader, deploy_data, run};
use crate::compose::model::Hidden;
use crate::compose::yaml::Node;
use crate::job::RunContainer;
use crate::job::work::{
    DataSync, SyncArchive, SyncFrom, SyncMap, SyncSource, destination_refusal, rules_of,
};
use crate::problem::Problem;
use crate::source::Origin;

/// Limits on an archive where nothing is written.
const MAX_SIZE: u64 = 1 << 30;
const MAX_UNPACKED: u64 = 4 << 30;
const MAX_ENTRIES: usize = 200_000;

/// Reads the work of a `sync:` job; `job` is its name.
pub(super) fn read(node: &Node, job: &str, reader: &mut Reader<'_>) -> Option<DataSync> {
    let fields = fields::open(node, &SYNC, &mut reader.problems)?;
    let dry_run = fields.boolean("dry_run", &mut reader.problems).unwrap_or(false);
    let protected = protected(reader);
    // One clone for each source, by job, so that no two jobs move one.
    let place = reader.settings.state_dir.join("sync").join(if job.is_empty() { "+" } else { job });
    let ways = ["source", "archive", "deploy_data"];
    let written: Vec<&str> = ways.into_iter().filter(|it| fields.node(it).is_some()).collect();
    let sources = match written.as_slice() {
        ["deploy_data"] => deploy_data::read(node, &fields, (&place, &protected), reader)?,
        [_] => vec![one(node, &fields, (&place, &protected), reader)?],
        _ => {
            let message = "`sync` has exactly one of `source`, `archive` and `deploy_data`";
            let hint = "write e.g. `source: { repo: \"https://git.example/data.git\", ref: main }`";
            reader.problems.push(node.problem(message).with_hint(hint));
            return None;
        }
    };
    no_two_share_a_directory(&sources, node, &mut reader.problems);
    Some(DataSync { sources, protected, dry_run })
}

/// The one source of a job in our own form.
fn one(
    node: &Node,
    fields: &Fields<'_>,
    (place, protected): (&Path, &[PathBuf]),
    reader: &mut Reader<'_>,
) -> Option<SyncSource> {
    let from = match fields.node("source") {
        Some(source) => git(source, reader),
        None => fields.node("archive").and_then(|it| archive(it, reader)).map(SyncFrom::Archive),
    };
    let mut maps = Vec::new();
    for item in fields.items("maps") {
        maps.extend(map(item, protected, reader));
    }
    if fields.node("maps").is_none() {
        fields.lacks("maps", node, "[{ to: /data/sets }]", &mut reader.problems);
    }
    let mut hooks = Vec::new();
    for item in fields.items("hooks") {
        hooks.extend(hook(item, reader));
    }
    let problems = &mut reader.problems;
    if let Some(image) = fields.node("image") {
        let problem = image.problem("`image` goes with `deploy_data`");
        problems.push(problem.with_hint("write it in an item of `hooks`"));
    }
    let always = fields.boolean("always", problems).unwrap_or(false);
    let from = from?;
    let name = match &from {
        SyncFrom::Git { url, .. } => repository_name(url),
        SyncFrom::Archive(_) => "archive".to_owned(),
    };
    Some(SyncSource { name, from, directory: place.join("source"), maps, hooks, always })
        .filter(|it| !it.maps.is_empty())
}

fn git(node: &Node, reader: &mut Reader<'_>) -> Option<SyncFrom> {
    let problems = &mut reader.problems;
    let (text, reference) = if node.as_mapping().is_some() {
        let fields = fields::open(node, &SOURCE, problems)?;
        let reference = fields.plain("ref", problems);
        (fields.required("repo", node, "https://git.example/data.git", problems)?, reference)
    } else {
        (fields::scalar_of("source", node, problems)?, None)
    };
    let text = text.trim();
    if text.is_empty() {
        let missing = node.problem("`source` is empty");
        problems.push(missing.with_hint("name a repository, or set the variable it is made of"));
        return None;
    }
    origin(text, reference, None, node, problems)
}

/// Where a repository named so is; what is wrong is noted.
pub(super) fn origin(
    text: &str,
    reference: Option<String>,
    identity: Option<PathBuf>,
    place: &Node,
    problems: &mut Vec<Problem>,
) -> Option<SyncFrom> {
    if text.starts_with('/') {
        let (path, fragment) = text.split_once('#').unwrap_or((text, ""));
        let reference = reference.or_else(|| Some(fragment.to_owned()));
        let reference = reference.filter(|it| !it.is_empty());
        return Some(SyncFrom::Git { url: path.to_owned(), reference, identity });
    }
    match source_of_text(text, reference) {
        Ok(Origin::Managed { url, reference }) => Some(SyncFrom::Git { url, reference, identity }),
        Ok(Origin::InPlace) => None,
        Err((message, hint)) => {
            let mut problem = place.problem(message).with_hint(hint);
            // The line would show the password.
            problem.excerpt = problem.excerpt.filter(|line| !line.contains('@'));
            problems.push(problem);
            None
        }
    }
}

fn archive(node: &Node, reader: &mut Reader<'_>) -> Option<SyncArchive> {
    let problems = &mut reader.problems;
    let fields = fields::open(node, &ARCHIVE, problems)?;
    let url = fields.required("url", node, "https://data.example/set.tar.gz", problems)?;
    let url = url.trim().to_owned();
    if !url.starts_with("https://") && !url.starts_with("http://") {
        let place = fields.node("url").unwrap_or(node);
        let mut problem = place.problem("`url` is no address by http or https");
        problem.excerpt = problem.excerpt.filter(|line| !line.contains(['@', '?']));
        problems.push(problem);
        return None;
    }
    let sha256 = fields.text("sha256", problems).and_then(|(text, place)| {
        let digits = text.trim().to_ascii_lowercase();
        let is_one = digits.len() == 64 && digits.bytes().all(|it| it.is_ascii_hexdigit());
        if !is_one {
            let problem = place.problem("`sha256` is no checksum: expected 64 hexadecimal digits");
            problems.push(problem.with_hint("write what `sha256sum FILE` prints"));
        }
        is_one.then_some(digits)
    });
    Some(SyncArchive {
        url: Hidden::new(url),
        sha256,
        max_size: fields.size("max_size", problems).unwrap_or(MAX_SIZE),
        max_unpacked: fields.size("max_unpacked", problems).unwrap_or(MAX_UNPACKED),
        max_entries: fields.count("max_entries", (1, 10_000_000), problems).unwrap_or(MAX_ENTRIES),
        strip_components: fields.count("strip_components", (0, 100), problems).unwrap_or(0),
    })
}

fn map(node: &Node, protected: &[PathBuf], reader: &mut Reader<'_>) -> Option<SyncMap> {
    let problems = &mut reader.problems;
    let fields = fields::open(node, &MAP, problems)?;
    let from = fields.text("from", problems).and_then(|(text, place)| {
        let from = inside(&text);
        if from.is_none() {
            let message = format!("`from` is `{text}`: expected a directory in the source");
            problems.push(place.problem(message).with_hint("write it relative, without `..`"));
        }
        from
    });
    let to = fields.required("to", node, "/data/sets", problems)?;
    let place = fields.node("to").unwrap_or(node);
    let to = destination(&to, place, protected, problems);
    let include = patterns("include", &fields, problems);
    let exclude = patterns("exclude", &fields, problems);
    Some(SyncMap {
        from: from.unwrap_or_default(),
        to: to?,
        rules: rules_of(include, exclude),
        delete: fields.boolean("delete", problems).unwrap_or(true),
        atomic: fields.boolean("atomic", problems).unwrap_or(false),
        owner: owner_of(&fields, problems),
        mode: permissions_of("mode", &fields, problems),
        dir_mode: permissions_of("dir_mode", &fields, problems),
    })
}

/// A directory at the destination, without a slash at its end; `None` where it cannot be one.
pub(super) fn destination(
    text: &str,
    place: &Node,
    protected: &[PathBuf],
    problems: &mut Vec<Problem>,
) -> Option<PathBuf> {
    let directory: PathBuf = Path::new(text.trim()).components().collect();
    let why = destination_refusal(&directory, protected);
    problems.extend(why.iter().map(|why| place.problem(why.clone())));
    why.is_none().then_some(directory)
}

/// A directory inside a source; `None` where it leads out of it.
pub(super) fn inside(text: &str) -> Option<PathBuf> {
    let mut inside = PathBuf::new();
    for component in Path::new(text.trim()).components() {
        match component {
            Component::CurDir => {}
            Component::Normal(part) => inside.push(part),
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(inside)
}

fn hook(node: &Node, reader: &mut Reader<'_>) -> Option<RunContainer> {
    let read = run::read(node, reader)?;
    let container = read.container.unpack();
    let wrong = if !read.then.is_empty() {
        Some(("then", "write one more item of `hooks`"))
    } else if container.container.is_some() {
        Some(("container", "what a hook is told are variables of a new one: write `image`"))
    } else {
        None
    };
    if let Some((name, hint)) = wrong {
        let place = node.get(name).unwrap_or(node);
        reader.problems.push(place.problem(format!("a hook has no `{name}`")).with_hint(hint));
        return None;
    }
    Some(container)
}

/// Two maps to one directory would undo each other; one exchanged as a whole would take another's along.
fn no_two_share_a_directory(sources: &[SyncSource], node: &Node, problems: &mut Vec<Problem>) {
    let maps: Vec<&SyncMap> = sources.iter().flat_map(|source| &source.maps).collect();
    for (at, map) in maps.iter().enumerate() {
        let shown = map.to.display();
        if maps[..at].iter().any(|other| other.to == map.to) {
            let problem = node.problem(format!("`{shown}` is the destination of two maps"));
            problems.push(problem.with_hint("give each a directory of its own"));
        }
        let inner = maps.iter().find(|other| other.to != map.to && other.to.starts_with(&map.to));
        if let Some(inner) = inner.filter(|_| map.atomic) {
            let message = format!(
                "`{shown}` is exchanged as a whole (`atomic`), and `{}` lies in it",
                inner.to.display()
            );
            problems.push(node.problem(message).with_hint("put one beside the other"));
        }
    }
}
