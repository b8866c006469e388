//! The house rules that a compiler does not know: layers, file heads, sizes, no paths of a machine.

#![expect(clippy::unwrap_used, reason = "a file that cannot be read fails the test")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The layer table of `src/lib.rs` and ARCHITECTURE.md: a new module is added in all three places.
const LAYERS: [(u8, &[&str]); 5] = [
    (0, &["problem", "settings", "source", "run", "image", "compose", "job"]),
    (1, &["clock", "queue", "plan"]),
    (
        2,
        &[
            "git", "docker", "registry", "store", "logs", "notify", "control", "http", "backup",
            "memory",
        ],
    ),
    (3, &["observe", "apply", "reconcile", "execute", "daemon"]),
    (4, &["config", "web", "cli"]),
];

/// Adapters: of their own layer they know only themselves.
const ADAPTERS: u8 = 2;

/// Above this many lines without tests a file holds more than one idea.
const LONGEST_FILE_LINES: usize = 600;

#[test]
fn modules_use_only_their_own_layer_and_those_below_it_in_number() {
    let mut problems = Vec::new();
    for path in rust_files("src") {
        let Some(module) = module_of(&path) else { continue };
        let Some(layer) = layer_of(&module) else {
            problems.push(format!(
                "{}: module `{module}` has no layer: add it to LAYERS in tests/layers.rs, to the \
                 table in src/lib.rs and to ARCHITECTURE.md",
                path.display()
            ));
            continue;
        };
        for used in modules_used(&without_comments(&fs::read_to_string(&path).unwrap())) {
            let Some(used_layer) = layer_of(&used) else { continue };
            let stranger = used != module;
            if used_layer > layer {
                problems.push(format!(
                    "{}: `{module}` (layer {layer}) uses `{used}` (layer {used_layer})",
                    path.display()
                ));
            } else if stranger && layer == ADAPTERS && used_layer == ADAPTERS {
                problems.push(format!(
                    "{}: adapter `{module}` knows adapter `{used}`; what they share is a value",
                    path.display()
                ));
            }
        }
    }
    assert!(problems.is_empty(), "\n{}", problems.join("\n"));
}

#[test]
fn every_source_file_says_first_what_it_is_for() {
    let silent: Vec<_> = rust_files("src")
        .into_iter()
        .filter(|path| !fs::read_to_string(path).unwrap().starts_with("//! "))
        .collect();
    assert!(silent.is_empty(), "these do not begin with a `//!` sentence: {silent:?}");
}

#[test]
fn no_file_holds_more_than_one_idea() {
    let long: Vec<_> = rust_files("src")
        .into_iter()
        .map(|path| (lines_without_tests(&fs::read_to_string(&path).unwrap()), path))
        .filter(|(lines, _)| *lines > LONGEST_FILE_LINES)
        .collect();
    assert!(long.is_empty(), "longer than {LONGEST_FILE_LINES} lines without tests: {long:?}");
}

#[test]
fn no_text_names_a_path_of_somebodys_machine() {
    // Put together here, so that this file is not a finding itself.
    let forbidden = [["/wo", "rk/"].concat(), ["/tmp/", "wt"].concat()];
    let mut findings = Vec::new();
    for path in files(&root()) {
        let Ok(text) = fs::read_to_string(&path) else { continue };
        for (number, line) in text.lines().enumerate() {
            if forbidden.iter().any(|name| names_path(line, name)) {
                findings.push(format!("{}:{}: {}", path.display(), number + 1, line.trim()));
            }
        }
    }
    assert!(findings.is_empty(), "\n{}", findings.join("\n"));
}

#[test]
fn every_dependency_says_what_it_is_for() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let reasons = fs::read_to_string(root().join("docs/dependencies.md")).unwrap();
    let (mut dependencies, mut unexplained) = (false, Vec::new());
    for line in manifest.lines() {
        if line.starts_with('[') {
            dependencies = line.ends_with("dependencies]");
        } else if let (true, Some((name, _))) = (dependencies, line.split_once(" ="))
            && !reasons.contains(&format!("| `{name}` |"))
        {
            unexplained.push(name.to_owned());
        }
    }
    assert!(unexplained.is_empty(), "add a line to docs/dependencies.md for {unexplained:?}");
}

#[test]
fn reads_uses_in_every_form() {
    let rows: [(&str, &[&str]); 6] = [
        ("use crate::compose::model::Project;", &["compose"]),
        ("use crate::{git, store::{self, Run}, docker::Client as D};", &["docker", "git", "store"]),
        ("use crate::{\n    plan::Plan,\n    run,\n};", &["plan", "run"]),
        ("fn f() -> crate::queue::Slot { crate::clock::next() }", &["clock", "queue"]),
        ("pub(crate) fn g() {}", &[]),
        ("// use crate::daemon;\nlet mycrate = 1;", &[]),
    ];
    for (text, expected) in rows {
        let used = modules_used(&without_comments(text));
        assert_eq!(used.iter().map(String::as_str).collect::<Vec<_>>(), expected, "{text}");
    }
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// A path stands at the start of a word: in the middle of a longer one it is somebody else's.
fn names_path(line: &str, name: &str) -> bool {
    line.match_indices(name).any(|(at, _)| {
        !line[..at].ends_with(|c: char| c.is_alphanumeric() || matches!(c, '.' | '_' | '-' | '}'))
    })
}

fn layer_of(module: &str) -> Option<u8> {
    LAYERS.iter().find(|(_, modules)| modules.contains(&module)).map(|(layer, _)| *layer)
}

/// The top-level module of a file below `src`; `main.rs` and `lib.rs` are free.
fn module_of(path: &Path) -> Option<String> {
    let relative = path.strip_prefix(root().join("src")).unwrap();
    let first = relative.components().next()?.as_os_str().to_str()?;
    let module = first.strip_suffix(".rs").unwrap_or(first);
    (!matches!(module, "main" | "lib" | "bin")).then(|| module.to_owned())
}

/// The names that follow `crate::`, singly or in braces.
fn modules_used(text: &str) -> BTreeSet<String> {
    let mut used = BTreeSet::new();
    for (at, _) in text.match_indices("crate::") {
        let before = text[..at].chars().next_back();
        if before.is_some_and(|c| c.is_alphanumeric() || c == '_') {
            continue;
        }
        let rest = &text[at + "crate::".len()..];
        if let Some(group) = rest.strip_prefix('{') {
            used.extend(first_names_of_group(group));
        } else {
            used.extend(leading_name(rest));
        }
    }
    used
}

/// `a::b, c::{d, e}, f}` begins with the names a, c, f.
fn first_names_of_group(group: &str) -> Vec<String> {
    let mut names = Vec::new();
    let (mut depth, mut expects_name) = (1, true);
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 1 => expects_name = true,
            c if c.is_alphanumeric() && expects_name => {
                names.extend(leading_name(&group[at..]));
                expects_name = false;
            }
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    names
}

fn leading_name(text: &str) -> Option<String> {
    let name: String = text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    (!name.is_empty()).then_some(name)
}

fn without_comments(text: &str) -> String {
    let lines = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    lines.collect::<Vec<_>>().join("\n")
}

/// Inline tests stand at the end of a file, by house rule.
fn lines_without_tests(text: &str) -> usize {
    text.lines().take_while(|line| line.trim() != "#[cfg(test)]").count()
}

fn rust_files(directory: &str) -> Vec<PathBuf> {
    let mut found = files(&root().join(directory));
    found.retain(|path| path.extension().is_some_and(|extension| extension == "rs"));
    found
}

/// Every file below `directory` that belongs to the repository.
fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if matches!(name, ".git" | "target" | "corpus" | "artifacts") {
            continue;
        }
        if path.is_symlink() {
            continue;
        }
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}
