//! Words of a command line as Go's flags allow them, turned into those that clap reads: boolean flags
//! with a value (`--detach=false`), empty values that mean none, and values that begin with a hyphen:
//! the word after an option that needs a value is that value, whatever it looks like.

use std::ffi::OsString;

use clap::{Arg, ArgAction, Args as _, Command};

use super::Compose;

/// Options that are as good as not given when their value is empty.
const OPTIONAL: [&str; 11] = [
    "since",
    "until",
    "rmi",
    "format",
    "output",
    "hash",
    "policy",
    "progress",
    "ansi",
    "project-directory",
    "pull",
];
/// After these verbs and their service, words are another program's.
const PASS_ON: [&str; 2] = ["exec", "run"];

/// Rewrites what stands after `compose`; `root` is the whole command line's command.
pub(in crate::cli) fn rewrite(words: Vec<OsString>, root: &Command) -> Vec<OsString> {
    let Some(start) = words.iter().skip(1).position(|word| word == "compose") else { return words };
    let (before, after) = words.split_at(start + 2);
    let compose = Compose::augment_args(Command::new("compose"));
    let mut reader = Reader { root, compose: &compose, verb: None, kept: before.to_vec() };
    let mut rest = after.iter();
    while let Some(word) = rest.next() {
        let Some(text) = word.to_str() else {
            reader.kept.push(word.clone());
            continue;
        };
        if text == "--" {
            reader.kept.push(word.clone());
            break;
        }
        if !text.starts_with('-') || text == "-" {
            reader.kept.push(word.clone());
            match &reader.verb {
                None => reader.verb = compose.find_subcommand(text).cloned().map(whole),
                Some(verb) if PASS_ON.contains(&verb.get_name()) => break,
                Some(_) => {}
            }
            continue;
        }
        reader.flag(word, text, &mut rest);
    }
    reader.kept.extend(rest.cloned());
    reader.kept
}

/// A command with its arguments, which are put together only when it is asked for.
fn whole(mut command: Command) -> Command {
    command.build();
    command
}

struct Reader<'a> {
    root: &'a Command,
    compose: &'a Command,
    verb: Option<Command>,
    kept: Vec<OsString>,
}

/// What the words of a flag are for.
enum Flag<'a> {
    /// It is true or false, and true where nothing is said.
    Switch(&'a Arg),
    /// It has a value: after `=`, or else in the next word, whatever that begins with.
    Valued(&'a Arg),
    /// It has its value already, or nobody knows it.
    Complete,
}

impl Reader<'_> {
    fn flag(&mut self, word: &OsString, text: &str, rest: &mut std::slice::Iter<'_, OsString>) {
        let (name, value) =
            text.split_once('=').map_or((text, None), |(name, value)| (name, Some(value)));
        match self.read(name) {
            Flag::Complete => self.kept.push(word.clone()),
            Flag::Switch(arg) => {
                // clap knows two words only.
                let two_words = arg.is_require_equals_set();
                match value.and_then(boolean) {
                    Some(yes) if two_words => self.kept.push(format!("{name}={yes}").into()),
                    Some(yes) => {
                        self.kept.retain(|it| it != name);
                        self.kept.extend(yes.then(|| name.into()));
                    }
                    None => self.kept.push(word.clone()),
                }
            }
            Flag::Valued(arg) => {
                let optional = OPTIONAL.contains(&arg.get_long().unwrap_or_default());
                let next = if value.is_none() { rest.next() } else { None };
                let is_empty = value == Some("") || next.is_some_and(|it| it.is_empty());
                if is_empty && optional {
                    return;
                }
                match next {
                    // clap takes it for a flag of its own.
                    Some(value) if value.as_encoded_bytes().starts_with(b"-") => {
                        let mut joined = word.clone();
                        joined.push("=");
                        joined.push(value);
                        self.kept.push(joined);
                    }
                    _ => {
                        self.kept.push(word.clone());
                        self.kept.extend(next.cloned());
                    }
                }
            }
        }
    }

    /// Reads a flag without its value; several letters in one word are flags until one has a value.
    fn read(&self, name: &str) -> Flag<'_> {
        let kind = |arg| if takes_value(arg) { Flag::Valued(arg) } else { Flag::Switch(arg) };
        if let Some(long) = name.strip_prefix("--") {
            let is_it = |arg: &&Arg| {
                let aliases = arg.get_all_aliases().unwrap_or_default();
                arg.get_long() == Some(long) || aliases.contains(&long)
            };
            return self.all().find(is_it).map_or(Flag::Complete, kind);
        }
        let mut letters = name.chars().skip(1).peekable();
        while let Some(letter) = letters.next() {
            let found = self.all().find(|arg| arg.get_short() == Some(letter));
            match (found, letters.peek()) {
                (Some(arg), None) => return kind(arg),
                (Some(arg), Some(_)) if !takes_value(arg) => {}
                _ => break,
            }
        }
        Flag::Complete
    }

    /// The arguments that are known here, and further up.
    fn all(&self) -> impl Iterator<Item = &Arg> {
        let commands = self.verb.iter().chain([self.compose, self.root]);
        commands.flat_map(Command::get_arguments)
    }
}

fn takes_value(arg: &Arg) -> bool {
    let is_set = matches!(arg.get_action(), ArgAction::Set | ArgAction::Append);
    is_set && !arg.is_require_equals_set()
}

/// A boolean as Go's `strconv.ParseBool` reads it.
pub(super) fn boolean(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;
    use crate::cli::Arguments;

    #[test]
    fn words_are_rewritten_as_gos_flags_read_them() {
        let root = Arguments::command();
        for (line, expected) in [
            ("up --detach=true", "up --detach"),
            ("up --detach --detach=false", "up"),
            ("up -d=1 --build=F", "up -d"),
            ("--dry-run=true up", "--dry-run up"),
            ("-p a ps --all=t", "-p a ps --all"),
            ("-p --all=t ps -q", "-p=--all=t ps -q"),
            ("down -t -1 -v", "down -t=-1 -v"),
            ("up --wait-timeout -1", "up --wait-timeout=-1"),
            ("cp - web:/", "cp - web:/"),
            ("logs -fn -1 web", "logs -fn=-1 web"),
            ("exec -T=true web cat --x=true", "exec -T web cat --x=true"),
            ("exec -e --x=true web sh", "exec -e=--x=true web sh"),
            ("exec -e -x web sh", "exec -e=-x web sh"),
            ("exec -Te -x -u --all web sh -e -x", "exec -Te=-x -u=--all web sh -e -x"),
            ("exec -eAT=true web sh", "exec -eAT=true web sh"),
            ("run --env -d --name -n web", "run --env=-d --name=-n web"),
            ("run -e -- web", "run -e=-- web"),
            ("run -i -e A web", "run -i -e A web"),
            ("logs --since -1h -n -1 web", "logs --since=-1h -n=-1 web"),
            ("down -vt -1", "down -vt=-1"),
            ("run --rm=false web --rm=true", "run web --rm=true"),
            ("ps --orphans=F", "ps --orphans=false"),
            ("up --menu=1", "up --menu=true"),
            ("logs --since= --until= web", "logs web"),
            ("logs --since EMPTY web", "logs web"),
            ("logs --tail= web", "logs --tail= web"),
            ("run --entrypoint EMPTY web", "run --entrypoint EMPTY web"),
            ("down -- --volumes=true", "down -- --volumes=true"),
            ("up --scale a=1", "up --scale a=1"),
            ("config --nix=true", "config --nix=true"),
        ] {
            let words = |text: &str| -> Vec<OsString> {
                let words = text.split(' ').map(|it| if it == "EMPTY" { "" } else { it });
                ["roadstead", "compose"].into_iter().chain(words).map(OsString::from).collect()
            };
            assert_eq!(rewrite(words(line), &root), words(expected), "{line}");
        }
        let others: Vec<OsString> = vec!["roadstead".into(), "status".into(), "--json=true".into()];
        assert_eq!(rewrite(others.clone(), &root), others);
    }
}
