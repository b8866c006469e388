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

/// Asks the person at the terminal a question that yes or no answers.
pub(super) fn confirmed(question: &str) -> Result<Answer> {
    if std::io::stdin().is_terminal() { answered(question) } else { Ok(Answer::Nobody) }
}

/// Asks a question that yes or no answers; a script may answer by a pipe.
pub(super) fn answered(question: &str) -> Result<Answer> {
    let stdin = std::io::stdin();
    let is_terminal = stdin.is_terminal();
    print(|to| {
        if is_terminal {
            write!(to, "? {question} [yN] ")?;
        } else {
            writeln!(to, "{question}")?;
        }
        to.flush()
    })?;
    let mut answer = String::new();
    if stdin.lock().read_line(&mut answer)? == 0 && !is_terminal {
        return Ok(Answer::Nobody);
    }
    let is_yes = matches!(answer.trim().to_lowercase().as_str(), "y" | "yes");
    Ok(if is_yes { Answer::Yes } else { Answer::No })
}
