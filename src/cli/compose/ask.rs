//! Asking the person at the terminal.

use std::io::{BufRead, IsTerminal};

use anyhow::Result;

use crate::cli::output::print;

/// What a person said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// Yes.
    Yes,
    /// No, or nothing that says yes.
    No,
    /// There is nobody to ask.
    Nobody,
}

/// Asks a question that yes or no answers.
pub(super) fn confirmed(question: &str) -> Result<Answer> {
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        return Ok(Answer::Nobody);
    }
    print(|to| {
        write!(to, "? {question} [yN] ")?;
        to.flush()
    })?;
    let mut answer = String::new();
    stdin.lock().read_line(&mut answer)?;
    let is_yes = matches!(answer.trim().to_lowercase().as_str(), "y" | "yes");
    Ok(if is_yes { Answer::Yes } else { Answer::No })
}
