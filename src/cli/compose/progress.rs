//! Telling what is being done, in docker compose's forms.

use std::io::{IsTerminal, Write};

use serde_json::json;

use super::arguments::{Ansi, ProgressForm};
use crate::apply::{Deed, Onlooker, Thing, Turn, Verb};
use crate::docker::is_in_use;

/// Takes away what is on the terminal's line.
const CLEAR: &str = "\r\x1b[2K";

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

/// Where steps are told: on stderr, or on stdout where `COMPOSE_STATUS_STDOUT` says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Channel {
    Stdout,
    Stderr,
}

impl Channel {
    fn is_terminal(self) -> bool {
        match self {
            Self::Stdout => std::io::stdout().is_terminal(),
            Self::Stderr => std::io::stderr().is_terminal(),
        }
    }

    fn writer(self) -> Box<dyn Write> {
        match self {
            Self::Stdout => Box::new(std::io::stdout()),
            Self::Stderr => Box::new(std::io::stderr()),
        }
    }
}

/// Tells steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Progress {
    form: Form,
    channel: Channel,
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
    /// What suits the arguments and the channel.
    pub(super) fn new(
        channel: Channel,
        (asked, ansi): (ProgressForm, Ansi),
        dry_run: bool,
    ) -> Self {
        let terminal = channel.is_terminal();
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
        Self { form, channel, dry_run }
    }

    /// The same, but silent.
    pub(super) fn quiet(self) -> Self {
        Self { form: Form::Quiet, ..self }
    }

    /// Whether each line is an object.
    pub(super) fn is_json(self) -> bool {
        self.form == Form::Json
    }

    /// Tells the deeds of a plan, where the log does not: it has more to say, but not to a program.
    pub(super) fn onlooker(self) -> Option<Box<Onlooker>> {
        self.is_json()
            .then(|| -> Box<Onlooker> { Box::new(move |deed, turn| self.deed(deed, turn)) })
    }

    /// Tells how it stands with a deed.
    pub(super) fn deed(self, deed: &Deed<'_>, turn: Turn<'_>) {
        let kind = match deed.thing {
            Thing::Container => "Container",
            Thing::Network => "Network",
            Thing::Volume => "Volume",
            Thing::Image => "Image",
        };
        let (standing, status) = status(deed, turn);
        self.tell(&format!("{kind} {}", deed.name), standing, "", &status);
    }

    /// Tells why a command ends.
    pub(super) fn failure(message: &str) {
        let _ = writeln!(std::io::stderr(), "{}", json!({ "error": true, "message": message }));
    }

    /// Tells how it stands with a container.
    pub(super) fn container(self, name: &str, standing: Standing, what: &str) {
        self.tell(&format!("Container {name}"), standing, "", what);
    }

    /// Tells how it stands with something else: `text` is what is done, `status` how far it is.
    pub(super) fn tell(self, id: &str, standing: Standing, text: &str, status: &str) {
        if let Some(line) = self.line(id, standing, text, status) {
            let clear = if matches!(self.form, Form::Terminal { .. }) { CLEAR } else { "" };
            // Nobody to tell is no reason to stop.
            let _ = writeln!(self.channel.writer(), "{clear}{line}");
        }
    }

    /// Tells, on a terminal only, how far something is; the next line takes its place.
    pub(super) fn passing(self, id: &str, text: &str, status: &str) {
        if let Form::Terminal { .. } = self.form {
            let _ = write!(self.channel.writer(), "{CLEAR} {id} {text} {status}");
        }
    }

    fn line(self, id: &str, standing: Standing, text: &str, status: &str) -> Option<String> {
        let dry_run = if self.dry_run { " DRY-RUN MODE - " } else { "" };
        match self.form {
            Form::Quiet => None,
            Form::Plain => Some(format!("{dry_run} {id} {text} {status}")),
            Form::Json => {
                let mut line = serde_json::Map::new();
                if self.dry_run {
                    line.insert("dry-run".to_owned(), json!(true));
                }
                for (name, value) in [("id", id), ("text", text), ("status", status)] {
                    if !value.is_empty() {
                        line.insert(name.to_owned(), json!(value));
                    }
                }
                Some(json!(line).to_string())
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

/// A deed in docker compose's words.
fn status(deed: &Deed<'_>, turn: Turn<'_>) -> (Standing, String) {
    let (doing, done) = match deed.verb {
        Verb::Create => ("Creating", "Created"),
        Verb::Replace => ("Recreate", "Recreated"),
        Verb::Start => ("Starting", "Started"),
        Verb::Stop => ("Stopping", "Stopped"),
        Verb::Remove => ("Removing", "Removed"),
        Verb::Verify => ("Waiting", "Healthy"),
        Verb::Await => ("Waiting", "Exited"),
    };
    match turn {
        Turn::Begins => (Standing::Working, doing.to_owned()),
        Turn::Ends => (Standing::Done, done.to_owned()),
        Turn::Fails(error) if deed.verb == Verb::Remove && is_in_use(error) => {
            (Standing::Failed, "Resource is still in use".to_owned())
        }
        Turn::Fails(error) => (Standing::Failed, format!("{error:#}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deeds_are_told_in_the_words_of_docker_compose() {
        let error = anyhow::anyhow!("no such thing");
        for (verb, turn, expected) in [
            (Verb::Create, Turn::Begins, "Creating"),
            (Verb::Replace, Turn::Begins, "Recreate"),
            (Verb::Replace, Turn::Ends, "Recreated"),
            (Verb::Verify, Turn::Ends, "Healthy"),
            (Verb::Await, Turn::Ends, "Exited"),
            (Verb::Remove, Turn::Fails(&error), "no such thing"),
        ] {
            assert_eq!(status(&Deed::container(verb, "p-web-1"), turn).1, expected);
        }
    }

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
                Some(r#"{"dry-run":true,"id":"Container p-web-1","status":"Stopped"}"#),
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
            let progress = Progress { form, channel: Channel::Stderr, dry_run };
            let line = progress.line("Container p-web-1", standing, "", "Stopped");
            assert_eq!(line.as_deref(), expected, "{form:?}");
        }
    }
}
