//! Where a job is written.

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;

/// A file, or what stands for one, and the line there: `jobs/web.yml:3`, `AUTODEPLOY_REPOS`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Shared by the jobs of a file.
    pub(super) file: Arc<str>,
    line: Option<NonZeroU32>,
}

impl Place {
    /// The place with this name.
    pub fn of(file: &str) -> Self {
        Self { file: file.into(), line: None }
    }

    /// A line of it, from 1.
    #[must_use]
    pub fn at_line(self, line: usize) -> Self {
        let line = u32::try_from(line).ok().and_then(NonZeroU32::new);
        Self { line, ..self }
    }

    /// Name of the file, or of what stands for one.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The line there, from 1.
    pub fn line(&self) -> Option<usize> {
        self.line.map(|line| line.get() as usize)
    }
}

/// For messages, e.g. `jobs/web.yml:3`.
impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.file)?;
        match self.line {
            Some(line) => write!(formatter, ":{line}"),
            None => Ok(()),
        }
    }
}
