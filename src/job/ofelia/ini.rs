//! Ofelia's INI file: git's configuration grammar (gcfg), not that of Windows.

use std::sync::Arc;

use super::parameters::TYPES;
use super::{Common, Raw};
use crate::compose::yaml::{Source, Span};
use crate::problem::{Problem, nearest};

/// Sections besides those of jobs.
const OTHERS: [&str; 2] = ["global", "webhook"];

/// The jobs of a file, and what holds for all of them.
#[derive(Debug, Default)]
pub(super) struct File {
    pub(super) jobs: Vec<Raw>,
    pub(super) common: Common,
}

/// Reads a file; what is wrong anywhere refuses it as a whole, as Ofelia does.
pub(super) fn parse(text: &str, file: &str) -> Result<File, Vec<Problem>> {
    let source = Source::of(file, text);
    let mut reader = Reader { file: File::default(), section: Section::None, problems: Vec::new() };
    let mut lines = text.trim_start_matches('\u{feff}').lines().enumerate();
    while let Some((index, line)) = lines.next() {
        let span = Span::of_line(&source, index + 1);
        let mut line = line.to_owned();
        while continues(&line) {
            line.pop();
            match lines.next() {
                Some((_, next)) => line.push_str(next),
                None => break,
            }
        }
        reader.line(line.trim(), &span);
    }
    if reader.problems.is_empty() { Ok(reader.file) } else { Err(reader.problems) }
}

/// Whether a line ends in an odd number of backslashes.
fn continues(line: &str) -> bool {
    (line.len() - line.trim_end_matches('\\').len()) % 2 == 1
}

enum Section {
    None,
    Job(usize),
    Global,
    Webhook(String),
    Unknown,
}

struct Reader {
    file: File,
    section: Section,
    problems: Vec<Problem>,
}

impl Reader {
    fn line(&mut self, line: &str, span: &Span) {
        if line.is_empty() || line.starts_with([';', '#']) {
            return;
        }
        if line.starts_with('[') {
            return self.begin(line, span);
        }
        let (name, value) = match line.split_once('=') {
            Some((name, value)) => (name.trim(), unquoted(value)),
            // A name alone is true.
            None => {
                (line.split([';', '#']).next().unwrap_or_default().trim(), Ok("true".to_owned()))
            }
        };
        let name = name.to_ascii_lowercase();
        let legal = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if name.is_empty() || !name.chars().all(legal) {
            return self.problems.push(span.problem(format!("`{name}` is no key")));
        }
        let value = match value {
            Ok(value) => value,
            Err(why) => return self.problems.push(span.problem(format!("`{name}`: {why}"))),
        };
        match self.section {
            Section::Job(at) => {
                let job = &mut self.file.jobs[at];
                if let Err(problem) = job.set(&name, value, span) {
                    self.problems.push(*problem);
                }
            }
            Section::Global => drop(self.file.common.global.insert(name, value)),
            Section::Webhook(ref section) => {
                let webhook = self.file.common.webhooks.entry(section.clone()).or_default();
                webhook.insert(name, value);
            }
            Section::Unknown => {}
            Section::None => {
                let problem = span.problem(format!("`{name}` stands in no section"));
                self.problems.push(problem.with_hint("begin with e.g. `[job-exec \"name\"]`"));
            }
        }
    }

    fn begin(&mut self, line: &str, span: &Span) {
        self.section = Section::Unknown;
        let inner =
            line.strip_prefix('[').and_then(|it| it.rsplit_once(']')).map(|(inner, _)| inner);
        let Some(inner) = inner else {
            return self.problems.push(span.problem("a section is not closed with `]`"));
        };
        let (kind, name) =
            inner.trim().split_once(char::is_whitespace).unwrap_or((inner.trim(), ""));
        let kind = kind.to_ascii_lowercase();
        let name = unquoted(name).unwrap_or_default();
        let is_job = TYPES.contains(&kind.as_str());
        if (is_job || kind == "webhook") && name.is_empty() {
            let problem = span.problem(format!("`[{kind}]` has no name"));
            return self.problems.push(problem.with_hint(format!("write `[{kind} \"name\"]`")));
        }
        if is_job {
            // The same section twice is one.
            let known = self.file.jobs.iter().position(|job| job.kind == kind && job.name == name);
            let at = known.unwrap_or_else(|| {
                self.file.jobs.push(Raw::new(&kind, &name, span));
                self.file.jobs.len() - 1
            });
            self.section = Section::Job(at);
        } else if kind == "global" {
            self.section = Section::Global;
        } else if kind == "webhook" {
            self.file.common.webhooks.entry(name.clone()).or_default();
            self.section = Section::Webhook(name);
        } else {
            let problem = span.problem(format!("unknown section `{kind}`"));
            let known = TYPES.iter().copied().chain(OTHERS);
            self.problems.push(match nearest(&kind, known) {
                Some(near) => problem.with_hint(format!("did you mean `{near}`?")),
                None => problem,
            });
        }
    }
}

/// A value: quotes and escapes resolved, a comment behind it left out.
fn unquoted(text: &str) -> Result<String, String> {
    let mut value = String::new();
    // What stands behind the last character that counts is only blanks.
    let mut kept = 0;
    let mut is_quoted = false;
    let mut chars = text.trim().chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => is_quoted = !is_quoted,
            '\\' => {
                let escaped = match chars.next() {
                    Some('n') => '\n',
                    Some('t') => '\t',
                    Some(c @ ('"' | '\\')) => c,
                    Some(other) => return Err(format!("`\\{other}` is no escape")),
                    None => return Err("a backslash at the end".to_owned()),
                };
                value.push(escaped);
                kept = value.len();
            }
            ';' | '#' if !is_quoted => break,
            c => {
                value.push(c);
                if is_quoted || !c.is_whitespace() {
                    kept = value.len();
                }
            }
        }
    }
    if is_quoted {
        return Err("a quote that is never closed".to_owned());
    }
    value.truncate(kept);
    Ok(value)
}

/// A place that is no text, e.g. a container.
pub(super) fn place(name: &str) -> Span {
    let source: Arc<Source> = Source::of(name, "");
    Span::of_line(&source, 1)
}
