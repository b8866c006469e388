//! Telling on stderr what is being done, in docker compose's forms.

use std::io::{IsTerminal, Write};

use serde_json::json;

use super::arguments::{Ansi, ProgressForm};

/// How steps are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// One line when a step is done.
    Terminal { color: bool },
    /// One line when a step begins, one when it ends.
    Plain,
    /// As plain, each line an object.
    Json,
    /// Nothing.
    Quiet,
}

/// Tells steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Progress {
    form: Form,
    dry_run: bool,
}

/// How a step stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It has begun.
    Working,
    /// It is done.
    Done,
    /// It could not be done.
    Failed,
}

impl Progress {
    /// What suits the arguments and stderr.
    pub(super) fn new(asked: ProgressForm, ansi: Ansi, dry_run: bool) -> Self {
        let terminal = std::io::stderr().is_terminal();
        let color = match ansi {
            Ansi::Never => false,
            Ansi::Always => true,
            Ansi::Auto => terminal,
        };
        let form = match asked {
            ProgressForm::Tty => Form::Terminal { color },
            ProgressForm::Auto if terminal && ansi != Ansi::Never => Form::Terminal { color },
            ProgressForm::Auto | ProgressForm::Plain => Form::Plain,
            ProgressForm::Json => Form::Json,
            ProgressForm::Quiet => Form::Quiet,
        };
        Self { form, dry_run }
    }

    /// The same, but silent.
    pub(super) fn quiet(self) -> Self {
        Self { form: Form::Quiet, ..self }
    }

    /// Tells how it stands with a container.
    pub(super) fn container(self, name: &str, standing: Standing, what: &str) {
        self.tell(&format!("Container {name}"), standing, "", what);
    }

    /// Tells how it stands with something else: `text` is what is done, `status` how far it is.
    pub(super) fn tell(self, id: &str, standing: Standing, text: &str, status: &str) {
        if let Some(line) = self.line(id, standing, text, status) {
            // Nobody to tell is no reason to stop.
            let _ = writeln!(std::io::stderr(), "{line}");
        }
    }

    fn line(self, id: &str, standing: Standing, text: &str, status: &str) -> Option<String> {
        let dry_run = if self.dry_run { " DRY-RUN MODE - " } else { "" };
        match self.form {
            Form::Quiet => None,
            Form::Plain => Some(format!("{dry_run} {id} {text} {status}")),
            Form::Json => {
                let mut line = json!({ "id": id });
                for (name, value) in [("text", text), ("status", status)] {
                    if !value.is_empty() {
                        line[name] = json!(value);
                    }
                }
                if self.dry_run {
                    line["dry-run"] = json!(true);
                }
                Some(line.to_string())
            }
            Form::Terminal { color } => {
                let (mark, tint) = match standing {
                    Standing::Working => return None,
                    Standing::Done => ('✔', "\x1b[32m"),
                    Standing::Failed => ('✘', "\x1b[31m"),
                };
                let (tint, plain) = if color { (tint, "\x1b[0m") } else { ("", "") };
                Some(format!("{dry_run} {tint}{mark}{plain} {id} {text} {tint}{status}{plain}"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_told_in_the_form_asked_for() {
        let terminal = Form::Terminal { color: false };
        for (form, dry_run, standing, expected) in [
            (Form::Plain, false, Standing::Done, Some(" Container p-web-1  Stopped")),
            (
                Form::Plain,
                true,
                Standing::Done,
                Some(" DRY-RUN MODE -  Container p-web-1  Stopped"),
            ),
            (
                Form::Json,
                false,
                Standing::Done,
                Some(r#"{"id":"Container p-web-1","status":"Stopped"}"#),
            ),
            (
                Form::Json,
                true,
                Standing::Done,
                Some(r#"{"id":"Container p-web-1","status":"Stopped","dry-run":true}"#),
            ),
            (Form::Quiet, false, Standing::Failed, None),
            (terminal, false, Standing::Working, None),
            (terminal, false, Standing::Done, Some(" ✔ Container p-web-1  Stopped")),
            (
                Form::Terminal { color: true },
                false,
                Standing::Failed,
                Some(" \x1b[31m✘\x1b[0m Container p-web-1  \x1b[31mStopped\x1b[0m"),
            ),
        ] {
            let progress = Progress { form, dry_run };
            let line = progress.line("Container p-web-1", standing, "", "Stopped");
            assert_eq!(line.as_deref(), expected, "{form:?}");
        }
    }
}
