//! Looks whether a repository is whole.

use rustic_core::{CheckOptions, ReadSubsetOption};

use super::protocol::{Failure, Summary};
use super::repository::{Hold, Site};
use super::talk::{Failed, Outcome};

/// How many findings are said.
const SAID: usize = 3;

/// Looks, and reads part `number` of `of` of the data.
///
/// # Errors
///
/// When something is missing or is not as it was written.
pub(super) fn check(site: &Site, number: u32, of: u32) -> Outcome<Summary> {
    let opened = site.open(Hold::Shared)?;
    let mut options = CheckOptions::default();
    options.read_data = of > 0;
    options.read_data_subset = match of {
        0 | 1 => ReadSubsetOption::All,
        _ => ReadSubsetOption::IdSubSet((number % of, of)),
    };
    let results = opened.repository.check(options).map_err(|error| site.failed(&error))?;
    if results.is_ok().is_err() {
        let errors = results.0.iter().filter(|(level, _)| format!("{level:?}") == "Error");
        let mut said: Vec<String> = errors.map(|(_, error)| error.to_string()).collect();
        let count = said.len();
        said.truncate(SAID);
        return Err(site.backend.cause(|| {
            Failed::new(
                Failure::Damaged,
                format!(
                    "{} is damaged, {count} findings: {}; keep it as it is, and see `restic check` and \
                     `restic repair`",
                    site.backend.name,
                    said.join("; ")
                ),
            )
        }));
    }
    Ok(Summary { bytes: site.talk.done(), made: opened.made, ..Summary::default() })
}
