//! Words of a command line as Go's flags allow them, turned into those that clap reads: boolean flags
//! with a value (`--detach=false`), empty values that mean none, and values that begin with a hyphen.

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

impl Reader<'_> {
    fn flag(&mut self, word: &OsString, text: &str, rest: &mut std::slice::Iter<'_, OsString>) {
        let (name, value) =
            text.split_once('=').map_or((text, None), |(name, value)| (name, Some(value)));
        let Some(arg) = self.find(name).cloned() else {
            self.kept.push(word.clone());
            return;
        };
        let is_switch = matches!(arg.get_action(), ArgAction::SetTrue);
        let takes_next = !is_switch
            && value.is_none()
            && !arg.is_require_equals_set()
            && matches!(arg.get_action(), ArgAction::Set | ArgAction::Append)
            // Letters before it in one word would be flags of their own.
            && (name.starts_with("--") || name.len() == 2);
        match value.and_then(boolean) {
            Some(yes) if is_switch => {
                self.kept.retain(|it| it != name);
                if yes {
                    self.kept.push(name.into());
                }
                return;
            }
            // clap knows two words only.
            Some(yes) if arg.is_require_equals_set() => {
                self.kept.push(format!("{name}={yes}").into());
                return;
            }
            _ => {}
        }
        let next = if takes_next { rest.next() } else { None };
        let is_empty = value == Some("") || next.is_some_and(|it| it.is_empty());
        let long = arg.get_long().unwrap_or_default();
        if is_empty && OPTIONAL.contains(&long) {
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

    /// The argument that a flag without its value names, here or further up.
    fn find(&self, name: &str) -> Option<&Arg> {
        let commands = self.verb.iter().chain([self.compose, self.root]);
        let is_it = |arg: &&Arg| match name.strip_prefix("--") {
            Some(long) => {
                let aliases = arg.get_all_aliases().unwrap_or_default();
                arg.get_long() == Some(long) || aliases.contains(&long)
            }
            // Of several letters in one word the last one may have a value.
            None => arg.get_short() == name.chars().last(),
        };
        commands.flat_map(Command::get_arguments).find(is_it)
    }
}

/// A boolean as Go's `strconv.ParseBool` reads it.
fn boolean(text: &str) -> Option<bool> {
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
            ("logs -fn -1 web", "logs -fn -1 web"),
            ("exec -T=true web cat --x=true", "exec -T web cat --x=true"),
            ("exec -e --x=true web sh", "exec -e=--x=true web sh"),
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
