//! Reads `deploy:`, a Compose project kept equal to its sources.

use std::path::{Component, Path, PathBuf};

use super::Reader;
use super::fields::{self, Fields, scalar_of};
use super::tables_of_work::{DEPLOY, HEALTH, SOURCE};
use crate::compose::yaml::Node;
use crate::job::Deploy;
use crate::settings::HealthGate;
use crate::source::{Origin, Source};

/// Starts of the URLs that git reads.
const SCHEMES: [&str; 5] = ["https://", "http://", "ssh://", "git://", "file://"];

/// Reads the work of a `deploy:` job.
pub(super) fn read(node: &Node, job: &str, reader: &mut Reader<'_>) -> Option<Deploy> {
    let fields = fields::open(node, &DEPLOY, &mut reader.problems)?;
    let sources = read_sources(node, &fields, job, reader);
    let directory = read_directory(&fields, &sources, reader);
    let health = read_health(&fields, reader);
    let problems = &mut reader.problems;
    let paths = |texts: Vec<String>| texts.into_iter().map(PathBuf::from).collect();
    let project_name = fields.text("project", problems);
    if let Some((name, place)) = &project_name
        && !is_project_name(name)
    {
        let message = format!("`{name}` is no project name");
        let hint = "lower-case letters, digits, `-` and `_`, starting with a letter or digit";
        problems.push(place.problem(message).with_hint(hint));
    }
    Some(Deploy {
        files: paths(fields.strings("files", problems)),
        profiles: fields.strings("profiles", problems),
        env_files: paths(fields.strings("env_file", problems)),
        project_name: project_name.map(|(name, _)| name),
        remove_orphans: fields.boolean("remove_orphans", problems).unwrap_or(true),
        directory: directory?,
        sources,
        health,
    })
}

fn is_project_name(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_lowercase() || first.is_ascii_digit())
        && name.chars().all(|letter| {
            letter.is_ascii_lowercase() || letter.is_ascii_digit() || "-_".contains(letter)
        })
}

fn read_health(fields: &Fields<'_>, reader: &mut Reader<'_>) -> HealthGate {
    let default = reader.settings.health;
    let Some(node) = fields.node("health") else { return default };
    let Some(health) = fields::open(node, &HEALTH, &mut reader.problems) else {
        return default;
    };
    let problems = &mut reader.problems;
    HealthGate {
        within: health.duration("within", problems).unwrap_or(default.within),
        stable_for: health.duration("stable_for", problems).unwrap_or(default.stable_for),
    }
}

/// Sources in order, each checkout once, each with a name of its own.
fn read_sources(
    node: &Node,
    fields: &Fields<'_>,
    job: &str,
    reader: &mut Reader<'_>,
) -> Vec<Source> {
    let mut origins: Vec<(Origin, PathBuf)> = Vec::new();
    let written = written_sources(fields, reader);
    let nothing_written = written.is_empty();
    for (text, reference, place) in written {
        match read_origin(&text, reference, reader) {
            Ok(origin) if origins.contains(&origin) => {}
            Ok(origin) => origins.push(origin),
            Err((message, hint)) => {
                let mut problem = place.problem(message).with_hint(hint);
                // The line would show the password.
                problem.excerpt = problem.excerpt.filter(|line| !line.contains('@'));
                reader.problems.push(problem);
            }
        }
    }
    let wanted = fields.node("source").or_else(|| fields.node("sources"));
    if nothing_written && wanted.and_then(Node::as_mapping).is_none() {
        let missing = wanted.unwrap_or(node).problem("`deploy` needs a `source`");
        let hint = "write e.g. `source: { repo: /srv/stack }` or set the variable it is made of";
        reader.problems.push(missing.with_hint(hint));
    }
    let mut sources: Vec<Source> = Vec::new();
    for (origin, directory) in origins {
        let taken: Vec<&str> = sources.iter().map(|source| source.name.as_str()).collect();
        let base = match &origin {
            Origin::InPlace => directory.to_string_lossy().into_owned(),
            Origin::Managed { url, .. } => url.clone(),
        };
        let name = unique_name(&repository_name(&base), &taken);
        let directory = match &origin {
            Origin::InPlace => directory,
            // By job, so that no two jobs move one clone; `+` is in no name of a job.
            Origin::Managed { .. } if sources.is_empty() => reader.clones().join(job),
            Origin::Managed { .. } => reader.clones().join(format!("{job}+{name}")),
        };
        sources.push(Source { name, directory, origin });
    }
    sources
}

/// Repository, ref and place of each source as it is written.
fn written_sources<'a>(
    fields: &Fields<'a>,
    reader: &mut Reader<'_>,
) -> Vec<(String, Option<String>, &'a Node)> {
    let (single, several) = (fields.node("source"), fields.node("sources"));
    if let (Some(_), Some(place)) = (single, several) {
        let both = place.problem("a deploy has `source` or `sources`, not both");
        reader.problems.push(both.with_hint("move the one into the list"));
    }
    let mut items = Vec::from_iter(single);
    if let Some(several) = several {
        items.extend(several.as_sequence().unwrap_or(std::slice::from_ref(several)));
    }
    let mut written = Vec::new();
    for item in items {
        let problems = &mut reader.problems;
        if item.as_mapping().is_some() {
            let Some(source) = fields::open(item, &SOURCE, problems) else { continue };
            let reference = source.plain("ref", problems);
            if let Some(repository) = source.plain("repo", problems) {
                written.push((repository, reference, item));
            } else {
                let missing = item.problem("`source` needs a `repo`");
                problems.push(missing.with_hint("a URL, or the directory of a checkout"));
            }
            continue;
        }
        let Some(text) = scalar_of("sources", item, problems) else { continue };
        for word in text.split_whitespace() {
            written.push((word.to_owned(), None, item));
        }
    }
    written
}

/// What is wrong, and what to write.
pub(super) type Refusal = (String, &'static str);

/// Where a source comes from; the path is the checkout's, empty for a clone of ours.
fn read_origin(
    text: &str,
    reference: Option<String>,
    reader: &Reader<'_>,
) -> Result<(Origin, PathBuf), Refusal> {
    if text.starts_with('/') {
        if reference.is_some() {
            return Err((
                format!("`ref` does not go with the checkout `{text}`"),
                "a checkout follows the branch it is on; name a URL to follow another",
            ));
        }
        let directory = normalised(Path::new(text));
        let checkout = (reader.toplevel)(&directory).unwrap_or(directory);
        return Ok((Origin::InPlace, checkout));
    }
    Ok((source_of_text(text, reference)?, PathBuf::new()))
}

/// The repository that a URL names, with the ref that it is followed by or that is given.
pub(super) fn source_of_text(text: &str, reference: Option<String>) -> Result<Origin, Refusal> {
    let (url, fragment) = match text.split_once('#') {
        Some((url, fragment)) => (url, Some(fragment.to_owned())),
        None => (text, None),
    };
    let reference = reference.or(fragment).filter(|reference| !reference.is_empty());
    let known = SCHEMES.iter().any(|scheme| url.starts_with(scheme));
    if !known && !is_scp_like(url) {
        return Err((
            format!("`{}` is neither a URL nor an absolute directory", without_secret(url)),
            "write e.g. `https://git.example/stack.git`, `git@git.example:stack.git` or `/srv/stack`",
        ));
    }
    if has_secret(url) {
        return Err((
            "the URL of a source holds a password or token".to_owned(),
            "put the token into a file of `AUTODEPLOY_GIT_TOKEN_DIR`",
        ));
    }
    if reference.as_ref().is_some_and(|reference| reference.starts_with("semver:")) {
        return Err((
            "`semver:` in a `ref` is not supported yet".to_owned(),
            "name a branch or a tag",
        ));
    }
    Ok(Origin::Managed { url: url.to_owned(), reference })
}

/// `user@host:path`, as ssh has it.
fn is_scp_like(url: &str) -> bool {
    let host = url.split_once(':').map(|(host, _)| host);
    !url.contains("://")
        && host.is_some_and(|host| {
            host.len() > 1 && !host.starts_with('-') && !host.contains(['/', '\\'])
        })
}

fn has_secret(url: &str) -> bool {
    let Some((scheme, rest)) = url.split_once("://") else { return false };
    let authority = rest.split('/').next().unwrap_or_default();
    let user = authority.rsplit_once('@').map(|(user, _)| user);
    user.is_some_and(|user| user.contains(':') || scheme.starts_with("http"))
}

fn without_secret(url: &str) -> &str {
    url.rsplit_once('@').map_or(url, |(_, host)| host)
}

/// The directory of the Compose project; `None` where it could not be read.
fn read_directory(
    fields: &Fields<'_>,
    sources: &[Source],
    reader: &mut Reader<'_>,
) -> Option<PathBuf> {
    let written = fields.text("path", &mut reader.problems);
    let first = sources.first()?;
    let Some((text, place)) = written else { return Some(first.directory.clone()) };
    let directory = normalised(&first.directory.join(text.trim()));
    let toplevel = (reader.toplevel)(&directory);
    let below = sources.iter().any(|source| {
        directory.starts_with(&source.directory) || toplevel.as_ref() == Some(&source.directory)
    });
    if !below {
        let message = format!("`path` leads outside the sources: `{}`", directory.display());
        let hint = "write a path relative to the first source, or add the checkout it lies in";
        reader.problems.push(place.problem(message).with_hint(hint));
        return None;
    }
    Some(directory)
}

/// The path without `.`, `..` and a slash at the end, as text: links are not followed.
fn normalised(path: &Path) -> PathBuf {
    let mut clean = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                clean.pop();
            }
            Component::RootDir | Component::Prefix(_) | Component::Normal(_) => {
                clean.push(component);
            }
        }
    }
    clean
}

/// The last component of a URL or directory, made fit for a name of a job or a source.
pub(crate) fn repository_name(repository: &str) -> String {
    let trimmed = repository.trim_end_matches('/');
    let last = trimmed.rsplit(['/', ':']).next().unwrap_or_default();
    let last = last.strip_suffix(".git").unwrap_or(last);
    let allowed = |letter: char| letter.is_ascii_alphanumeric() || "._-".contains(letter);
    let name: String =
        last.chars().map(|letter| if allowed(letter) { letter } else { '-' }).collect();
    let name = name.trim_start_matches(['.', '_', '-']);
    if name.is_empty() { "source".to_owned() } else { name.to_owned() }
}

/// `name`, or `name-2` and so on where that is taken.
pub(crate) fn unique_name(name: &str, taken: &[&str]) -> String {
    let numbered = (2..).map(|number| format!("{name}-{number}"));
    let mut candidates = std::iter::once(name.to_owned()).chain(numbered);
    let free = candidates.find(|candidate| !taken.contains(&candidate.as_str()));
    free.expect("there are more numbers than names")
}
