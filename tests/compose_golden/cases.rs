//! The cases of `tests/compose`, as `compose/README.md` describes them.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use roadstead::compose::{Conflicts, Files, Request};

/// Where `scripts/golden.py` lays out each case: paths enter the hashes.
const BASE: &str = "/srv/roadstead-golden";
/// The home directory there.
const HOME: &str = "/home/someone";

/// What one text of `tests/compose` holds.
pub(crate) struct Topic {
    pub(crate) name: String,
    pub(crate) cases: Vec<Case>,
    /// What docker compose makes of each case.
    pub(crate) oracle: BTreeMap<String, String>,
    /// What we make of each case that is refused, or that differs on purpose.
    pub(crate) ours: BTreeMap<String, String>,
}

/// Files, variables and arguments.
pub(crate) struct Case {
    pub(crate) name: String,
    variables: BTreeMap<String, String>,
    arguments: Vec<String>,
    services: Vec<String>,
    files: BTreeMap<PathBuf, String>,
}

impl Files for Case {
    fn read_bytes(&self, path: &Path) -> io::Result<Vec<u8>> {
        if self.files.keys().any(|file| file != path && file.starts_with(path)) {
            return Err(io::Error::from(io::ErrorKind::IsADirectory));
        }
        let text = self.files.get(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(text.clone().into_bytes())
    }
}

impl Case {
    fn directory(&self) -> PathBuf {
        Path::new(BASE).join(&self.name)
    }

    /// The request that the command line of the case makes.
    pub(crate) fn request(&self) -> Request {
        let here = self.directory();
        let mut request = Request {
            directory: here.clone(),
            upwards: true,
            conflicts: Conflicts::Refuse,
            variables: self.variables.clone(),
            services: self.services.clone(),
            ..Request::default()
        };
        request.variables.entry("HOME".to_owned()).or_insert_with(|| HOME.to_owned());
        let mut words = self.arguments.iter();
        let mut directory = None;
        while let (Some(option), Some(value)) = (words.next(), words.next()) {
            match option.as_str() {
                "-f" => request.files.push(here.join(value)),
                "--env-file" => request.env_files.push(here.join(value)),
                "--profile" => request.profiles.push(value.clone()),
                "-p" => request.project_name = Some(value.clone()),
                "--project-directory" => directory = Some(here.join(value)),
                other => panic!("{}: unknown option {other}", self.name),
            }
        }
        let first = request.files.first().and_then(|file| file.parent()).map(Path::to_path_buf);
        request.follow_files = directory.is_none();
        request.directory = directory.or(first).unwrap_or(here);
        request
    }
}

fn compose_texts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/compose")
}

/// The text beside a topic, such as `ports.oracle.txt`.
pub(crate) fn beside(topic: &str, kind: &str) -> PathBuf {
    compose_texts().join(format!("{topic}.{kind}.txt"))
}

/// Every topic, in order.
pub(crate) fn topics() -> Vec<Topic> {
    let entries = fs::read_dir(compose_texts()).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names
        .filter_map(|name| name.strip_suffix(".txt").map(str::to_owned))
        .filter(|name| !name.contains('.'))
        .collect();
    names.sort();
    names.into_iter().map(topic).collect()
}

fn topic(name: String) -> Topic {
    let text = fs::read_to_string(compose_texts().join(format!("{name}.txt"))).unwrap();
    let cases = sections(&text, "==").into_iter().map(|(name, text)| case(name, &text)).collect();
    let answers = |kind: &str| {
        let text = fs::read_to_string(beside(&name, kind)).unwrap_or_default();
        sections(&text, "==").into_iter().collect()
    };
    Topic { cases, oracle: answers("oracle"), ours: answers("ours"), name }
}

/// The texts after lines `== NAME ==`; what stands before the first is a remark.
fn sections(text: &str, mark: &str) -> Vec<(String, String)> {
    let mut sections: Vec<(String, String)> = Vec::new();
    for line in text.split_inclusive('\n') {
        let name = line.trim_end().strip_prefix(mark).and_then(|line| line.strip_suffix(mark));
        match (name, sections.last_mut()) {
            (Some(name), _) => sections.push((name.trim().to_owned(), String::new())),
            (None, Some((_, text))) => text.push_str(line),
            (None, None) => {}
        }
    }
    sections
}

fn case(name: String, text: &str) -> Case {
    let directory = Path::new(BASE).join(&name);
    let mut case = Case {
        name,
        variables: BTreeMap::new(),
        arguments: Vec::new(),
        services: Vec::new(),
        files: BTreeMap::new(),
    };
    let mut rest = text;
    while let Some((line, after)) = rest.split_once('\n') {
        if let Some(words) = line.strip_prefix("$ ") {
            case.ask(words);
        } else if !line.is_empty() && !line.starts_with("# ") {
            break;
        }
        rest = after;
    }
    let text = format!("-- compose.yml --\n{rest}");
    for (position, (marker, text)) in sections(&text, "--").into_iter().enumerate() {
        let text = text.trim_end_matches('\n');
        if position == 0 && text.is_empty() {
            continue;
        }
        let text = if text.is_empty() { String::new() } else { format!("{text}\n") };
        let (file, text) = match marker.strip_suffix(" escaped") {
            Some(file) => (file, decoded(&text)),
            None => (marker.as_str(), text),
        };
        case.files.insert(directory.join(file), text);
    }
    case
}

impl Case {
    /// Takes the words of a `$` line: variables, then options, then `--` and services.
    fn ask(&mut self, line: &str) {
        for word in words(line) {
            let variable = word.split_once('=').filter(|(name, _)| {
                self.arguments.is_empty()
                    && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
            });
            match variable {
                Some((name, value)) => {
                    self.variables.insert(name.to_owned(), value.to_owned());
                }
                None => self.arguments.push(word),
            }
        }
        if let Some(dashes) = self.arguments.iter().position(|word| word == "--") {
            self.services = self.arguments.split_off(dashes).split_off(1);
        }
    }
}

/// The words of a shell line; quotes keep spaces.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let (mut word, mut quote, mut open) = (String::new(), None, false);
    for c in line.chars() {
        match (quote, c) {
            (Some(end), c) if c == end => quote = None,
            (None, '\'' | '"') => (quote, open) = (Some(c), true),
            (None, ' ') => {
                if open {
                    words.push(std::mem::take(&mut word));
                }
                open = false;
            }
            (_, c) => {
                word.push(c);
                open = true;
            }
        }
    }
    if open {
        words.push(word);
    }
    words
}

/// Text with `\r`, `\t`, `\n`, `\\` and `\uXXXX` decoded; `\c` at the end drops the line feed.
fn decoded(text: &str) -> String {
    let text = text.strip_suffix("\\c\n").unwrap_or(text);
    let (mut decoded, mut rest) = (String::new(), text);
    while let Some((before, after)) = rest.split_once('\\') {
        decoded.push_str(before);
        let (taken, c) = match after.as_bytes() {
            [b'r', ..] => (1, '\r'),
            [b't', ..] => (1, '\t'),
            [b'n', ..] => (1, '\n'),
            [b'u', ..] => {
                let code = u32::from_str_radix(&after[1..5], 16).unwrap();
                (5, char::from_u32(code).unwrap())
            }
            _ => (1, '\\'),
        };
        decoded.push(c);
        rest = &after[taken..];
    }
    decoded + rest
}
