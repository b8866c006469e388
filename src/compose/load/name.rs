//! The name of a project: asked for, written, or that of its directory.

use super::{Loader, Parsed};
use crate::compose::interpolate;
use crate::problem::{Problem, Problems};

/// A name made of what a project name may hold; maybe empty.
pub fn normalise_name(name: &str) -> String {
    let lower = name.to_lowercase();
    let kept: String = lower.chars().filter(|c| is_name_character(*c)).collect();
    kept.trim_start_matches(['_', '-']).to_owned()
}

fn is_name_character(c: char) -> bool {
    c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '-')
}

impl Loader<'_> {
    /// `-p`, `COMPOSE_PROJECT_NAME`, the last `name`, the name of the directory.
    pub(super) fn name(&mut self, parsed: &[Parsed]) -> Result<String, Problems> {
        let chosen = self.request.project_name.clone().map(|name| (name, "project name"));
        let variable = self.environment.get("COMPOSE_PROJECT_NAME").cloned();
        let variable = variable.map(|name| (name, "`COMPOSE_PROJECT_NAME`"));
        let chosen = chosen.filter(|(name, _)| !name.is_empty()).or(variable);
        if let Some((name, what)) = chosen.filter(|(name, _)| !name.is_empty()) {
            let starts = name.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
            if starts && name.chars().all(is_name_character) {
                return Ok(name);
            }
            let message = format!(
                "{what} is `{name}`: expected lower-case letters, digits, `_` and `-`, first a \
                 letter or digit"
            );
            return Err(Problem::in_file("environment", message).into());
        }
        if let Some(written) = self.written_name(parsed)? {
            return Ok(written);
        }
        let base = self.directory.file_name().map(|name| normalise_name(&name.to_string_lossy()));
        base.filter(|name| !name.is_empty()).ok_or_else(|| {
            let message = "the project has no name, and none can be made of the directory's";
            let problem = Problem::in_file(self.directory.display().to_string(), message);
            problem.with_hint("write `name:` in the Compose file").into()
        })
    }

    /// The last name that a file says.
    fn written_name(&mut self, parsed: &[Parsed]) -> Result<Option<String>, Problems> {
        let mut problems = Vec::new();
        let mut written = None;
        let documents = parsed.iter().flat_map(|(_, documents)| documents);
        for node in documents.filter_map(|document| document.get("name")) {
            let mut node = node.clone();
            if node.as_str() == Some("") {
                continue;
            }
            let environment = &self.environment;
            let lookup = |name: &str| environment.get(name).cloned();
            if !self.request.skip.interpolation {
                interpolate::interpolate(&mut node, &lookup, &mut self.unset, &mut problems);
            }
            if node.as_str().is_none() {
                let kind = node.value.kind();
                problems.push(node.problem(format!("`name` is {kind}: expected a string")));
                continue;
            }
            let name = node.as_str().map(normalise_name);
            match name.filter(|name| !name.is_empty()) {
                Some(name) => written = Some(name),
                None => problems.push(node.problem("`name` holds no letter or digit")),
            }
        }
        Problems(problems).into_result()?;
        Ok(written)
    }
}
