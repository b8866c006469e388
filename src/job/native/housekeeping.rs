//! Reads the kinds of work that keep a host tidy.

use std::path::{Component, Path, PathBuf};

use super::Reader;
use super::fields::{self, Fields};
use super::kinds::target;
use super::table::Table;
use super::tables_of_housekeeping::{CLEAN, COMPRESSIONS, CREATE, METHODS, ROTATE, SIGNAL, TIMES};
use crate::compose::yaml::Node;
use crate::job::work::{
    AgeBy, Clean, Compression, Create, FilesBelow, Pattern, Rotate, RotateMethod, SignalTo,
    clean_refusal,
};
use crate::problem::Problem;

/// Reads `rotate`.
pub(super) fn rotate(node: &Node, reader: &mut Reader<'_>) -> Option<Rotate> {
    let fields = fields::open(node, &ROTATE, &mut reader.problems)?;
    let signal = fields.node("signal");
    let signal = signal.and_then(|it| signal_to(it, (&SIGNAL, "SIGUSR1"), reader));
    let problems = &mut reader.problems;
    let files = files_below("files", &fields, problems);
    if files.is_empty() && fields.node("files").is_none() {
        fields.lacks("files", node, "/var/log/web/*.log", problems);
    }
    let method = match fields.word("method", METHODS, problems) {
        Some("copytruncate") => RotateMethod::CopyTruncate,
        // Nobody tells such a writer to leave the renamed file.
        None if signal.is_none() && fields.node("create").is_none() => RotateMethod::CopyTruncate,
        Some(_) | None => RotateMethod::Rename,
    };
    if method == RotateMethod::CopyTruncate {
        for (name, is_there) in
            [("create", fields.node("create").is_some()), ("signal", signal.is_some())]
        {
            if let Some(place) = fields.node(name).filter(|_| is_there) {
                let problem =
                    place.problem(format!("`{name}` does not go with `method: copytruncate`"));
                problems.push(problem.with_hint(
                    "the writer keeps its file: leave it out, or write `method: rename`",
                ));
            }
        }
    }
    let before = problems.len();
    let (size, every) = (fields.size("size", problems), fields.duration("every", problems));
    if size.is_none() && every.is_none() && problems.len() == before {
        let problem = node.problem("`rotate` says nothing of when");
        problems.push(problem.with_hint("write `size: 20m`, `every: 1w`, or both"));
    }
    Some(Rotate {
        files,
        exclude: files_below("exclude", &fields, problems),
        size,
        every,
        min_size: fields.size("min_size", problems).unwrap_or(1),
        keep: fields
            .integer("keep", (1, 10_000), problems)
            .and_then(|keep| usize::try_from(keep).ok())
            .unwrap_or(6),
        max_age: fields.duration("max_age", problems),
        compress: match fields.word("compress", COMPRESSIONS, problems) {
            Some("none") => None,
            Some("zstd") => Some(Compression::Zstd),
            _ => Some(Compression::Gzip),
        },
        create: (method == RotateMethod::Rename).then(|| create(&fields, problems)).flatten(),
        method,
        signal,
        dry_run: fields.boolean("dry_run", problems).unwrap_or(false),
    })
    .filter(|it| !it.files.is_empty())
}

fn files_below(name: &str, fields: &Fields<'_>, problems: &mut Vec<Problem>) -> Vec<FilesBelow> {
    each_word(name, fields, problems, FilesBelow::parse)
}

/// What the words of a field are; a variable holds several, separated by blanks.
pub(super) fn each_word<T>(
    name: &str,
    fields: &Fields<'_>,
    problems: &mut Vec<Problem>,
    parse: impl Fn(&str) -> Result<T, String>,
) -> Vec<T> {
    let mut read = Vec::new();
    for text in fields.strings(name, problems) {
        for word in text.split_whitespace() {
            match parse(word) {
                Ok(value) => read.push(value),
                Err(expected) => {
                    problems.extend(fields.node(name).map(|place| place.problem(expected)));
                }
            }
        }
    }
    read
}

fn create(fields: &Fields<'_>, problems: &mut Vec<Problem>) -> Option<Create> {
    let Some(node) = fields.node("create") else { return Some(Create::default()) };
    if node.as_mapping().is_none() {
        let wanted = fields.boolean("create", problems).unwrap_or(true);
        return wanted.then(Create::default);
    }
    let fields = fields::open(node, &CREATE, problems)?;
    let mode = permissions_of("mode", &fields, problems);
    Some(Create { mode, owner: owner_of(&fields, problems) })
}

/// Permissions in octal digits.
pub(super) fn permissions_of(
    name: &str,
    fields: &Fields<'_>,
    problems: &mut Vec<Problem>,
) -> Option<u32> {
    let (text, place) = fields.text(name, problems)?;
    let mode = u32::from_str_radix(text.trim(), 8).ok().filter(|mode| *mode <= 0o777);
    if mode.is_none() {
        let problem = place.problem(format!("`{name}` is `{text}`: expected permissions"));
        problems.push(problem.with_hint("write three octal digits in quotes, e.g. `\"0640\"`"));
    }
    mode
}

/// The numbers of a user and a group.
pub(super) fn owner_of(fields: &Fields<'_>, problems: &mut Vec<Problem>) -> Option<(u32, u32)> {
    let (text, place) = fields.text("owner", problems)?;
    let parts = text.trim().split_once(':');
    let owner = parts.and_then(|(user, group)| Some((user.parse().ok()?, group.parse().ok()?)));
    if owner.is_none() {
        let problem = place.problem(format!("`owner` is `{text}`: expected user and group"));
        problems.push(problem.with_hint("write their numbers in quotes, e.g. `\"101:4\"`"));
    }
    owner
}

/// Reads whom a signal is for, and which one it is unless they say another.
pub(super) fn signal_to(
    node: &Node,
    (table, default): (&Table, &str),
    reader: &mut Reader<'_>,
) -> Option<SignalTo> {
    let fields = fields::open(node, table, &mut reader.problems)?;
    let names = ["container", "project", "service", "labels"];
    let is_empty = |name: &&str| fields.plain(name, &mut Vec::new()).is_none();
    // A variable that is not set says that there is nobody to tell.
    if fields.node("container").is_some() && names.iter().all(is_empty) {
        return None;
    }
    let target = target(node, &fields, reader);
    let signal = fields.plain("signal", &mut reader.problems);
    Some(SignalTo { target: target?, signal: signal.unwrap_or_else(|| default.to_owned()) })
}

/// Reads `clean`.
pub(super) fn clean(node: &Node, reader: &mut Reader<'_>) -> Option<Clean> {
    let fields = fields::open(node, &CLEAN, &mut reader.problems)?;
    let protected = protected(reader);
    let problems = &mut reader.problems;
    let directory = fields.required("directory", node, "/data/wps_outputs", problems);
    let directory = directory.and_then(|text| directory_of(&text, &fields, &protected, problems));
    let older_than = fields.duration("older_than", problems);
    if older_than.is_none() && fields.text("older_than", &mut Vec::new()).is_none() {
        fields.lacks("older_than", node, "30d", problems);
    }
    let keep = fields.count("keep", (0, 1_000_000), problems).unwrap_or(0);
    let max_files = fields.count("max_files", (1, 1_000_000_000), problems);
    let by = match fields.word("by", TIMES, problems) {
        Some("atime") => AgeBy::Accessed,
        Some("ctime") => AgeBy::Changed,
        _ => AgeBy::Modified,
    };
    Some(Clean {
        directory: directory?,
        older_than: older_than?,
        by,
        include: patterns("include", &fields, problems),
        exclude: patterns("exclude", &fields, problems),
        keep,
        empty_directories: fields.boolean("empty_directories", problems).unwrap_or(false),
        max_files,
        other_filesystems: fields.boolean("other_filesystems", problems).unwrap_or(false),
        protected,
        dry_run: fields.boolean("dry_run", problems).unwrap_or(false),
    })
}

/// Directories that Roadstead needs.
pub(super) fn protected(reader: &Reader<'_>) -> Vec<PathBuf> {
    let settings = reader.settings;
    let mut protected = vec![
        settings.state_dir.clone(),
        settings.log.dir.clone(),
        settings.jobs_dir.clone(),
        settings.git.deploy_key_dir.clone(),
    ];
    protected.extend(settings.checkouts.iter().chain(&settings.compose_dir).cloned());
    protected
}

fn directory_of(
    text: &str,
    fields: &Fields<'_>,
    protected: &[PathBuf],
    problems: &mut Vec<Problem>,
) -> Option<PathBuf> {
    // Without a slash at its end, and without `.`.
    let directory: PathBuf = Path::new(text.trim()).components().collect();
    let strange = |it: Component<'_>| matches!(it, Component::ParentDir);
    let why = if !directory.is_absolute() || directory.components().any(strange) {
        Some(format!("`directory` is `{text}`: expected an absolute path without `..`"))
    } else {
        clean_refusal(&directory, protected)
    };
    if let (Some(why), Some(place)) = (&why, fields.node("directory")) {
        problems.push(place.problem(why.clone()));
    }
    why.is_none().then_some(directory)
}

pub(super) fn patterns(
    name: &str,
    fields: &Fields<'_>,
    problems: &mut Vec<Problem>,
) -> Vec<Pattern> {
    let anywhere = |word: &str| {
        if word.contains('/') { word.to_owned() } else { format!("**/{word}") }
    };
    each_word(name, fields, problems, |word| Pattern::parse(&anywhere(word)))
}
