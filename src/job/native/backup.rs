//! Reads `backup`, `backup_prune`, `backup_check` and `restore_drill`.

mod keep;
mod repository;

use std::path::{Component, Path, PathBuf};

use self::keep::keep;
use self::repository::repository;
use super::fields::{self, Fields, scalar_of};
use super::kinds::{target, targets};
use super::tables_of_backup::{BACKUP, BACKUP_CHECK, BACKUP_PRUNE, DUMP, QUIESCE, RESTORE_DRILL};
use super::{Reader, run};
use crate::compose::model::Hidden;
use crate::compose::yaml::Node;
use crate::job::work::{
    Backup, BackupCheck, BackupPrune, Database, Dump, Location, Quiesce, QuiesceHow, RestoreDrill,
    Selection, is_glob, is_variable,
};
use crate::job::{Packed, RunContainer};
use crate::problem::Problem;

/// In how many runs a check reads all data, where nothing is written.
const READ_IN: u32 = 7;
/// Where a drill puts what it restored.
const RESTORED: &str = "/restore";
/// Keys of `run` that would stand in our way.
const OURS: [&str; 4] = ["container", "keep", "then", "redirect"];

pub(super) fn backup(node: &Node, reader: &mut Reader<'_>) -> Option<Backup> {
    let fields = fields::open(node, &BACKUP, &mut reader.problems)?;
    let repository = repository(node, &fields, reader);
    let quiesce = fields.node("quiesce").and_then(|it| quiesce(it, reader)).unwrap_or_default();
    let items = fields.items("dumps").iter().filter(|it| !it.is_null());
    let dumps: Vec<Dump> = items.filter_map(|it| dump(it, reader)).collect();
    let keep = keep(&fields, reader);
    let problems = &mut reader.problems;
    let what = Selection {
        volumes: words("volumes", &fields, problems),
        paths: paths(&fields, problems),
        projects: words("projects", &fields, problems),
        labels: fields.boolean("labels", problems).unwrap_or(false),
    };
    if what.is_empty() && fields.items("dumps").is_empty() && fields.items("paths").is_empty() {
        let problem = node.problem("`backup` has nothing to keep");
        let hint = "write `volumes`, `paths`, `projects`, `dumps` or `labels: true`";
        problems.push(problem.with_hint(hint));
    }
    let directory = repository.as_ref().map(|it| &it.location);
    if let Some(Location::Directory(directory)) = directory
        && let Some(path) = what.paths.iter().find(|it| directory.starts_with(it))
    {
        let message =
            format!("the repository `{}` is below `{}`", directory.display(), path.display());
        let place = fields.node("paths").unwrap_or(node);
        problems.push(place.problem(message).with_hint("a backup does not keep itself"));
    }
    Some(Backup {
        repository: repository?,
        what,
        dumps,
        quiesce,
        exclude: globs(&fields, problems),
        exclude_caches: fields.boolean("exclude_caches", problems).unwrap_or(true),
        tags: tags(&fields, problems),
        host: fields.plain("host", problems).map(|it| it.trim().to_owned()),
        keep,
        dry_run: fields.boolean("dry_run", problems).unwrap_or(false),
    })
}

pub(super) fn backup_prune(node: &Node, reader: &mut Reader<'_>) -> Option<BackupPrune> {
    let fields = fields::open(node, &BACKUP_PRUNE, &mut reader.problems)?;
    let repository = repository(node, &fields, reader);
    let keep = keep(&fields, reader);
    let of = words("of", &fields, &mut reader.problems);
    let dry_run = fields.boolean("dry_run", &mut reader.problems).unwrap_or(false);
    Some(BackupPrune { repository: repository?, keep, of, dry_run })
}

pub(super) fn backup_check(node: &Node, reader: &mut Reader<'_>) -> Option<BackupCheck> {
    let fields = fields::open(node, &BACKUP_CHECK, &mut reader.problems)?;
    let repository = repository(node, &fields, reader);
    let problems = &mut reader.problems;
    let read_in = fields.text("read_in", problems).and_then(|_| {
        let number = fields.integer("read_in", (0, 366), problems)?;
        u32::try_from(number).ok()
    });
    let dry_run = fields.boolean("dry_run", problems).unwrap_or(false);
    Some(BackupCheck { repository: repository?, read_in: read_in.unwrap_or(READ_IN), dry_run })
}

pub(super) fn restore_drill(node: &Node, reader: &mut Reader<'_>) -> Option<RestoreDrill> {
    let fields = fields::open(node, &RESTORE_DRILL, &mut reader.problems)?;
    let repository = repository(node, &fields, reader);
    let check = fields.node("check").and_then(|it| check(it, reader));
    let problems = &mut reader.problems;
    if fields.node("check").is_none() {
        let example = "{ image: \"alpine:3.22\", command: \"test -s /restore/index.html\" }";
        fields.lacks("check", node, example, problems);
    }
    let of = fields.required("of", node, "backup", problems);
    let path = fields.text("path", problems).and_then(|(text, place)| {
        let text = text.trim().trim_end_matches('/').to_owned();
        let is_good = !text.is_empty() && !has_parents(Path::new(&text));
        if !is_good {
            let message = format!("`path` is `{text}`: expected a path in the snapshot");
            problems.push(place.problem(message).with_hint("write e.g. `/volumes/shop_data`"));
        }
        is_good.then_some(text)
    });
    let dry_run = fields.boolean("dry_run", problems).unwrap_or(false);
    Some(RestoreDrill {
        repository: repository?,
        of: of?.trim().to_owned(),
        path,
        check: check?,
        dry_run,
    })
}

fn check(node: &Node, reader: &mut Reader<'_>) -> Option<Packed<RunContainer>> {
    for (key, _) in node.as_mapping().unwrap_or_default() {
        if OURS.contains(&key.name.as_str()) {
            let message = format!("`{}` means nothing in `check`", key.name);
            let hint =
                "write `image` and `command`: what follows is a job that runs `after` this one";
            reader.problems.push(key.span.problem(message).with_hint(hint));
        }
    }
    let run = run::read(node, reader)?;
    let mounts = run.container.unpack().service.volumes;
    if mounts.iter().any(|it| Path::new(&it.target).starts_with(RESTORED)) {
        let problem = node.problem(format!("`check` mounts something at `{RESTORED}`"));
        let hint = "what was restored is there: mount it elsewhere";
        reader.problems.push(problem.with_hint(hint));
    }
    Some(run.container)
}

/// The items of a list, or the words of one text.
fn words(name: &str, fields: &Fields<'_>, problems: &mut Vec<Problem>) -> Vec<String> {
    let texts = fields.strings(name, problems);
    if fields.node(name).is_some_and(|it| it.as_sequence().is_some()) {
        return texts.iter().map(|it| it.trim().to_owned()).collect();
    }
    texts.iter().flat_map(|it| it.split_whitespace()).map(str::to_owned).collect()
}

fn paths(fields: &Fields<'_>, problems: &mut Vec<Problem>) -> Vec<PathBuf> {
    let mut paths = Vec::new();
    for text in words("paths", fields, problems) {
        let path: PathBuf = Path::new(&text).components().collect();
        if path.is_absolute() && !has_parents(&path) && path.parent().is_some() {
            paths.push(path);
            continue;
        }
        let message =
            format!("`paths` has `{text}`: expected an absolute path below `/`, without `..`");
        problems.extend(fields.node("paths").map(|it| it.problem(message)));
    }
    paths
}

fn has_parents(path: &Path) -> bool {
    path.components().any(|it| matches!(it, Component::ParentDir))
}

fn globs(fields: &Fields<'_>, problems: &mut Vec<Problem>) -> Vec<String> {
    let globs = words("exclude", fields, problems);
    if let Some(wrong) = globs.iter().find(|it| !is_glob(it)) {
        let problem = fields.node("exclude").map(|it| {
            let problem = it.problem(format!("`exclude` has `{wrong}`, which is no glob of ours"));
            problem.with_hint("write e.g. `*.tmp`, `cache` or `/volumes/shop_data/cache`")
        });
        problems.extend(problem);
    }
    globs
}

fn tags(fields: &Fields<'_>, problems: &mut Vec<Problem>) -> Vec<String> {
    let tags = words("tags", fields, problems);
    if let Some(wrong) = tags.iter().find(|it| it.contains(',') || it.starts_with("job:")) {
        let message = format!("`tags` has `{wrong}`: a tag has no comma, and `job:` is ours");
        problems.extend(fields.node("tags").map(|it| it.problem(message)));
    }
    tags
}

fn quiesce(node: &Node, reader: &mut Reader<'_>) -> Option<Quiesce> {
    if node.as_mapping().is_none() {
        let text = scalar_of("quiesce", node, &mut reader.problems)?;
        if text.trim().is_empty() {
            return None;
        }
        let how = QuiesceHow::parse(text.trim());
        if how.is_none() {
            let known = QuiesceHow::WORDS.join("`, `");
            let message = format!("`quiesce` is `{text}`: expected one of `{known}`, or a mapping");
            let near = crate::problem::nearest(text.trim(), QuiesceHow::WORDS.iter().copied());
            let hint = near.map_or_else(
                || "write e.g. `quiesce: pause`".to_owned(),
                |near| format!("did you mean `{near}`?"),
            );
            reader.problems.push(node.problem(message).with_hint(hint));
        }
        if how == Some(QuiesceHow::Exec) {
            lacks_a_command(node, reader);
        }
        return how.map(|how| Quiesce { how, ..Quiesce::default() });
    }
    let fields = fields::open(node, &QUIESCE, &mut reader.problems)?;
    let targets = targets(&fields, reader);
    let problems = &mut reader.problems;
    let before = fields.arguments("before", problems).unwrap_or_default();
    let after = fields.arguments("after", problems).unwrap_or_default();
    let commands = !before.is_empty() || !after.is_empty();
    let usual = if commands { QuiesceHow::Exec } else { QuiesceHow::None };
    let word = fields.word("how", QuiesceHow::WORDS, problems);
    let how = word.and_then(QuiesceHow::parse).unwrap_or(usual);
    if how == QuiesceHow::None && commands {
        let message = "`before` and `after` do nothing with `how: none`";
        problems.push(node.problem(message).with_hint("write `how: exec`"));
    }
    if how == QuiesceHow::Exec && !commands {
        lacks_a_command(node, reader);
    }
    Some(Quiesce { how, targets, before, after })
}

fn lacks_a_command(node: &Node, reader: &mut Reader<'_>) {
    let problem = node.problem("`quiesce` is `exec`, and there is no command");
    let hint = "write e.g. `quiesce: { before: [flush], after: [resume] }`";
    reader.problems.push(problem.with_hint(hint));
}

fn dump(node: &Node, reader: &mut Reader<'_>) -> Option<Dump> {
    let fields = fields::open(node, &DUMP, &mut reader.problems)?;
    let target = target(node, &fields, reader);
    let problems = &mut reader.problems;
    let word = fields.required("kind", node, "postgres", problems);
    let kind = word.and_then(|word| match Database::parse(&word) {
        Ok(kind) => Some(kind),
        Err(reason) => {
            problems.extend(fields.node("kind").map(|it| it.problem(format!("`kind`: {reason}"))));
            None
        }
    });
    let database = fields.plain("database", problems).map(|it| it.trim().to_owned());
    if let Some(reason) = kind.and_then(|kind| kind.refusal(database.as_deref())) {
        let place = fields.node("database").unwrap_or(node);
        problems.push(place.problem(format!("`database`: {reason}")));
    }
    let password = fields.plain("password", problems).map(Hidden::new);
    let password_env = fields.text("password_env", problems).and_then(|(text, place)| {
        let name = text.trim().to_owned();
        if password.is_some() {
            let problem = place.problem("a dump has `password` or `password_env`, not both");
            problems.push(problem.with_hint("leave one of them out"));
        } else if !is_variable(&name) {
            problems
                .push(place.problem(format!("`password_env` is `{name}`: that is no variable")));
        }
        is_variable(&name).then_some(name)
    });
    let name = fields.text("name", problems).and_then(|(text, place)| {
        let name = text.trim().to_owned();
        let is_good = !name.contains('/') && !matches!(name.as_str(), "." | "..");
        if !is_good {
            problems
                .push(place.problem(format!("`name` is `{name}`: expected the name of a file")));
        }
        is_good.then_some(name)
    });
    Some(Dump {
        name,
        kind: kind?,
        target: target?,
        database,
        user: fields.plain("user", problems).map(|it| it.trim().to_owned()),
        password,
        password_env,
        arguments: fields.arguments("arguments", problems).unwrap_or_default(),
    })
}
