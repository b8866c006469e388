//! Problems in what a person wrote: each with its place, what was expected, and what to do.
//!
//! Readers collect all problems of a file or an environment and return them together.

use std::fmt;

/// How bad a problem is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// A person should know, though it stops nothing.
    Warning,
    /// What it is about is not used.
    #[default]
    Error,
}

/// One problem in a file, a variable or a command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// File, as the person knows it; `environment` for the process environment.
    pub file: String,
    /// Line, from 1.
    pub line: Option<usize>,
    /// Column, from 1.
    pub column: Option<usize>,
    /// How many characters from the column on it is about; at least 1.
    pub length: usize,
    /// What is wrong and what was expected, with the variable or key in backticks.
    pub message: String,
    /// What to do, where that is known.
    pub hint: Option<String>,
    /// The source line it is about; never set where it may hold a secret.
    pub excerpt: Option<String>,
    /// How bad it is.
    pub severity: Severity,
}

impl Problem {
    /// A problem with a whole file.
    pub fn in_file(file: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            file: file.into(),
            line: None,
            column: None,
            length: 1,
            message: message.into(),
            hint: None,
            excerpt: None,
            severity: Severity::Error,
        }
    }

    /// Makes a warning of it.
    #[must_use]
    pub fn as_warning(mut self) -> Self {
        self.severity = Severity::Warning;
        self
    }

    /// Whether what it is about is used all the same.
    pub fn is_warning(&self) -> bool {
        self.severity == Severity::Warning
    }

    /// Sets the line.
    #[must_use]
    pub fn at_line(mut self, line: usize) -> Self {
        self.line = Some(line);
        self
    }

    /// Sets what to do.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl Problem {
    /// `file:line:column: message (hint)` in one line, for logs and JSON.
    pub fn plain(&self) -> String {
        let mut text = format!("{}: {}", self.place(), self.message.replace('\n', " "));
        if let Some(hint) = &self.hint {
            text.extend([" (", hint, ")"]);
        }
        text
    }

    /// `file:line:column`, as far as it is known.
    fn place(&self) -> String {
        match (self.line, self.column) {
            (Some(line), Some(column)) => format!("{}:{line}:{column}", self.file),
            (Some(line), None) => format!("{}:{line}", self.file),
            (None, _) => self.file.clone(),
        }
    }

    /// What stands beneath the source line: carets under the text it is about.
    fn underline(&self, excerpt: &str, column: usize) -> String {
        let before = excerpt.chars().take(column.saturating_sub(1));
        // A tab stays a tab, so that the carets stand where the text stands.
        let mut line: String = before.map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
        let rest = excerpt.chars().count().saturating_sub(column.saturating_sub(1));
        line.extend(std::iter::repeat_n('^', self.length.clamp(1, rest.max(1))));
        line
    }
}

/// `file:line:column: message`, then the source line with carets under the text, then the hint.
impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.place(), self.message)?;
        if let (Some(line), Some(excerpt)) = (self.line, &self.excerpt) {
            let gutter = line.to_string();
            let blank = " ".repeat(gutter.len());
            write!(formatter, "\n  {blank} |\n  {gutter} | {excerpt}")?;
            if let Some(column) = self.column {
                write!(formatter, "\n  {blank} | {}", self.underline(excerpt, column))?;
            }
        }
        if let Some(hint) = &self.hint {
            write!(formatter, "\n  hint: {hint}")?;
        }
        Ok(())
    }
}

/// All problems found by one reader; an error where there is at least one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

impl Problems {
    /// Brings the problems of each file into the order of its lines; files stay in theirs.
    #[must_use]
    pub fn in_order(mut self) -> Self {
        let mut files: Vec<String> = Vec::new();
        for problem in &self.0 {
            if !files.contains(&problem.file) {
                files.push(problem.file.clone());
            }
        }
        self.0
            .sort_by_key(|it| (files.iter().position(|file| *file == it.file), it.line, it.column));
        self
    }

    /// One line for each problem.
    pub fn plain(&self) -> String {
        let lines: Vec<String> = self.0.iter().map(Problem::plain).collect();
        lines.join("\n")
    }

    /// Those that stop something, then those that do not.
    pub fn split(self) -> (Self, Self) {
        let (warnings, errors) = self.0.into_iter().partition(Problem::is_warning);
        (Self(errors), Self(warnings))
    }

    /// `Ok` when there are none.
    pub fn into_result(self) -> Result<(), Self> {
        if self.0.is_empty() { Ok(()) } else { Err(self) }
    }
}

impl From<Problem> for Problems {
    fn from(problem: Problem) -> Self {
        Self(vec![problem])
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            if index > 0 {
                formatter.write_str("\n")?;
            }
            write!(formatter, "{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// Longest word that is compared with known ones; what a comparison takes grows with both lengths.
const LONGEST_WORD: usize = 100;
/// Most known names of about its length that a word is compared with.
const MOST_NAMES: usize = 1000;

/// The known name most like `word`, when it is near enough to be what was meant.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if word.len() > LONGEST_WORD {
        return None;
    }
    let (length, most) = (word.chars().count(), (word.len() / 3).max(1));
    let near = known.into_iter().filter(|name| name.len() <= 4 * (length + most));
    let near = near.filter(|name| name.chars().count().abs_diff(length) <= most);
    let scored = near.take(MOST_NAMES).map(|name| (strsim::damerau_levenshtein(word, name), name));
    let (distance, name) = scored.min_by_key(|(distance, _)| *distance)?;
    (distance <= most).then_some(name)
}
