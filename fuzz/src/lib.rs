//! What the fuzz targets share: a disk in memory, written as the cases of `tests/compose` are.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use roadstead::compose::{Conflicts, Files, Request};

/// Where the project lies.
const HOME: &str = "/srv/fuzz";

/// A project: files, variables and the options of a command line.
pub struct Case {
    files: BTreeMap<PathBuf, String>,
    /// What is to be loaded.
    pub request: Request,
}

impl Files for Case {
    fn read_bytes(&self, path: &Path) -> io::Result<Vec<u8>> {
        if self.files.keys().any(|file| file != path && file.starts_with(path)) {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        self.files
            .get(path)
            .map(|text| text.clone().into_bytes())
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl Case {
    /// Reads a case: a `$` line, `compose.yml`, then `-- FILE --` and more files.
    ///
    /// Any text is one; of a command line what makes no sense is left out.
    pub fn read(text: &str) -> Self {
        let variables = [("A", "a"), ("E", ""), ("D", "$A"), ("HOME", "/home/someone")];
        let request = Request {
            directory: PathBuf::from(HOME),
            follow_files: true,
            conflicts: Conflicts::Refuse,
            variables: variables.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
            ..Request::default()
        };
        let mut case = Self { files: BTreeMap::new(), request };
        let (line, rest) = text.split_once('\n').unwrap_or((text, ""));
        let text = match line.strip_prefix("$ ") {
            Some(words) => {
                case.ask(words);
                rest
            }
            None => text,
        };
        let (mut name, mut from, mut at) = ("compose.yml", 0, 0);
        for line in text.split_inclusive('\n') {
            let marker = line.trim_end().strip_prefix("-- ").and_then(|it| it.strip_suffix(" --"));
            if let Some(next) = marker {
                case.put(name, &text[from..at]);
                name = next.strip_suffix(" escaped").unwrap_or(next);
                from = at + line.len();
            }
            at += line.len();
        }
        case.put(name, &text[from..]);
        case
    }

    fn put(&mut self, name: &str, text: &str) {
        if !text.is_empty() || name != "compose.yml" {
            self.files.insert(Path::new(HOME).join(name), text.to_owned());
        }
    }

    fn ask(&mut self, line: &str) {
        let here = Path::new(HOME);
        let request = &mut self.request;
        let mut words = line.split_ascii_whitespace();
        while let Some(word) = words.next() {
            let mut value = || words.next().unwrap_or_default();
            match word {
                "-f" => request.files.push(here.join(value())),
                "--env-file" => request.env_files.push(here.join(value())),
                "--profile" => request.profiles.push(value().to_owned()),
                "-p" => request.project_name = Some(value().to_owned()),
                "--project-directory" => request.directory = here.join(value()),
                "--no-interpolate" => request.skip.interpolation = true,
                "--no-normalize" => request.skip.normalisation = true,
                "--merge" => request.conflicts = Conflicts::Merge,
                "--all-resources" => request.all_resources = true,
                "--" => {}
                other => match other.split_once('=') {
                    Some((name, value)) => {
                        request.variables.insert(name.to_owned(), value.to_owned());
                    }
                    None => request.services.push(other.to_owned()),
                },
            }
        }
    }
}

/// `head`, then `body` again and again up to `longest` bytes, then `tail`; the three stand on lines of
/// their own in `text`, between lines `%%`.
pub fn repeated(text: &str, longest: usize) -> String {
    let mut parts = text.splitn(3, "%%");
    let (head, body, tail) = (parts.next(), parts.next(), parts.next());
    let (head, body) = (head.unwrap_or_default(), body.unwrap_or_default());
    let times = if body.is_empty() { 0 } else { longest / body.len() };
    // A number in it counts, so that names differ.
    let body = (0..times).map(|index| body.replace('#', &index.to_string()));
    head.to_owned() + &body.collect::<String>() + tail.unwrap_or_default()
}
