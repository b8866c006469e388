//! What restic says, as events and failures. Newer versions say more of it as JSON, and end with codes of
//! their own; older ones are known by their words.

use std::io;

use serde_json::Value;

use crate::backup::protocol::Failure;

/// What one line says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// How far it is.
    Status { done: u64, all: u64 },
    /// Something could not be read or written.
    Trouble { path: String, what: String, vanished: bool },
    /// What a backup did.
    Summary(Totals),
    /// Why it ends.
    Over(String),
}

/// What a backup did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Totals {
    /// The beginning of its id, or all of it.
    pub(super) snapshot: String,
    pub(super) files_changed: u64,
    pub(super) files: u64,
    pub(super) bytes: u64,
    pub(super) added: u64,
}

/// What a line says, if it says something.
pub(super) fn hear(line: &str) -> Option<Said> {
    if let Some(rest) = line.strip_prefix("ignoring error for ") {
        let (path, what) = rest.split_once(": ").unwrap_or((rest, "could not be restored"));
        let (path, what) = (path.to_owned(), what.to_owned());
        return Some(Said::Trouble { path, what, vanished: false });
    }
    let value: Value = serde_json::from_str(line).ok().filter(Value::is_object)?;
    let number = |name: &str| value[name].as_u64();
    let or_zero = |name: &str| number(name).unwrap_or_default();
    Some(match value["message_type"].as_str()? {
        "status" => Said::Status {
            done: number("bytes_done").or(number("bytes_restored")).unwrap_or_default(),
            all: or_zero("total_bytes"),
        },
        // What is counted before the work is looked at again by the work.
        "error" if value["during"] == "scan" => return None,
        "error" => trouble(&value),
        "summary" => Said::Summary(Totals {
            snapshot: value["snapshot_id"].as_str().unwrap_or_default().to_owned(),
            files_changed: or_zero("files_new") + or_zero("files_changed"),
            files: or_zero("total_files_processed"),
            bytes: or_zero("total_bytes_processed"),
            added: number("data_added_packed").unwrap_or_else(|| or_zero("data_added")),
        }),
        "exit_error" => Said::Over(value["message"].as_str()?.to_owned()),
        _ => return None,
    })
}

/// An error of Go: since 0.17 with its message, before that as its fields.
fn trouble(value: &Value) -> Said {
    let error = &value["error"];
    let number = error["Err"].as_i64().and_then(|it| i32::try_from(it).ok());
    let what = match (error["message"].as_str().or(error.as_str()), number) {
        (Some(text), _) => text.to_owned(),
        (None, Some(number)) => io::Error::from_raw_os_error(number).to_string(),
        (None, None) => "could not be read".to_owned(),
    };
    let is_gone = |it: i32| io::Error::from_raw_os_error(it).kind() == io::ErrorKind::NotFound;
    let vanished = number.is_some_and(is_gone) || what.contains("no such file or directory");
    let path = value["item"].as_str().or(error["Path"].as_str()).unwrap_or_default().to_owned();
    Said::Trouble { path, what, vanished }
}

/// In what a line says that two snapshots differ.
pub(super) fn difference(line: &str) -> Option<(String, &'static str)> {
    let value: Value = serde_json::from_str(line).ok()?;
    if value["message_type"] != "change" {
        return None;
    }
    let how = match value["modifier"].as_str()? {
        "+" => "added",
        "-" => "removed",
        "U" => "metadata",
        _ => "changed",
    };
    Some((value["path"].as_str()?.trim_end_matches('/').to_owned(), how))
}

/// Words of failures, in small letters, where the first that is found counts.
const WORDS: [(&str, Failure); 37] = [
    ("wrong password or no key found", Failure::WrongPassword),
    ("already locked", Failure::Locked),
    ("no space left on device", Failure::Full),
    ("disk quota exceeded", Failure::Full),
    ("507 insufficient storage", Failure::Full),
    ("connection refused", Failure::Unreachable),
    ("connection reset", Failure::Unreachable),
    ("no such host", Failure::Unreachable),
    ("no route to host", Failure::Unreachable),
    ("network is unreachable", Failure::Unreachable),
    ("i/o timeout", Failure::Unreachable),
    ("deadline exceeded", Failure::Unreachable),
    ("handshake timeout", Failure::Unreachable),
    ("dial tcp", Failure::Unreachable),
    ("x509:", Failure::Unreachable),
    ("tls:", Failure::Unreachable),
    ("401 unauthorized", Failure::Unreachable),
    ("403 forbidden", Failure::Unreachable),
    ("access denied", Failure::Unreachable),
    ("access key id you provided does not exist", Failure::Unreachable),
    ("signature we calculated does not match", Failure::Unreachable),
    ("host key verification failed", Failure::Unreachable),
    ("permission denied (", Failure::Unreachable),
    ("could not resolve hostname", Failure::Unreachable),
    ("unable to start the sftp session", Failure::Unreachable),
    ("read-only file system", Failure::Unreachable),
    ("repository contains errors", Failure::Damaged),
    ("ciphertext verification failed", Failure::Damaged),
    ("hash mismatch", Failure::Damaged),
    ("hash does not match", Failure::Damaged),
    ("invalid data returned", Failure::Damaged),
    ("not found in repository", Failure::Damaged),
    ("not found in index", Failure::Damaged),
    ("unable to load tree", Failure::Damaged),
    ("loadtree", Failure::Damaged),
    ("loadblob", Failure::Damaged),
    ("blobs from pack", Failure::Damaged),
];

/// Of which class a failure is: since 0.17 by its code, before that by what it says.
pub(super) fn class(code: Option<i32>, text: &str) -> Failure {
    match code {
        Some(10) => return Failure::NoRepository,
        Some(11) => return Failure::Locked,
        Some(12) => return Failure::WrongPassword,
        Some(130) => return Failure::Stopped,
        _ => {}
    }
    let text = text.to_lowercase();
    let found = WORDS.iter().find(|(words, _)| text.contains(words));
    let is_missing = text.contains("not exist") || text.contains("no such file");
    match found {
        Some((_, class)) => *class,
        None if text.contains("unable to open config file") && is_missing => Failure::NoRepository,
        None if text.contains("unable to open") => Failure::Unreachable,
        None => Failure::Other,
    }
}

/// A size as people read it, e.g. `1.500 KiB`.
pub(super) fn bytes_of(text: &str) -> Option<u64> {
    let (number, unit) = text.trim().split_once(' ')?;
    let number: f64 = number.parse().ok()?;
    let power = ["B", "KiB", "MiB", "GiB", "TiB"].iter().position(|it| *it == unit.trim())?;
    let bytes = number * 1024_f64.powi(i32::try_from(power).ok()?);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "restic itself rounds, and no repository is negative"
    )]
    Some(bytes as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_versions_say_of_a_backup_is_understood() {
        let trouble = |path: &str, what: &str, vanished| Said::Trouble {
            path: path.to_owned(),
            what: what.to_owned(),
            vanished,
        };
        let totals = |snapshot: &str, added| {
            let snapshot = snapshot.to_owned();
            Said::Summary(Totals { snapshot, files_changed: 3, files: 4, bytes: 6, added })
        };
        for (line, expected) in [
            // 0.14
            (
                r#"{"message_type":"status","percent_done":0,"total_files":1}"#,
                Some(Said::Status { done: 0, all: 0 }),
            ),
            (
                r#"{"message_type":"error","error":{"Op":"open","Path":"/a/b","Err":13},"during":"archival","item":"/a/b"}"#,
                Some(trouble("/a/b", "Permission denied (os error 13)", false)),
            ),
            (
                r#"{"message_type":"error","error":{"Op":"lstat","Path":"b","Err":2},"during":"archival","item":"/a/b"}"#,
                Some(trouble("/a/b", "No such file or directory (os error 2)", true)),
            ),
            (
                r#"{"message_type":"error","error":{},"during":"archival","item":"/a"}"#,
                Some(trouble("/a", "could not be read", false)),
            ),
            (
                r#"{"message_type":"error","error":{"Op":"lstat","Path":"b","Err":2},"during":"scan","item":"/a/b"}"#,
                None,
            ),
            (
                r#"{"message_type":"summary","files_new":2,"files_changed":1,"data_added":9,"total_files_processed":4,"total_bytes_processed":6,"snapshot_id":"1e21e588"}"#,
                Some(totals("1e21e588", 9)),
            ),
            ("ignoring error for /a/b: write: x: y", Some(trouble("/a/b", "write: x: y", false))),
            // 0.18
            (
                r#"{"message_type":"status","percent_done":0.5,"total_files":9,"files_done":4,"total_bytes":80,"bytes_done":40}"#,
                Some(Said::Status { done: 40, all: 80 }),
            ),
            (
                r#"{"message_type":"status","percent_done":0.5,"total_bytes":80,"bytes_restored":30}"#,
                Some(Said::Status { done: 30, all: 80 }),
            ),
            (
                r#"{"message_type":"error","error":{"message":"open /a: permission denied"},"during":"archival","item":"/a"}"#,
                Some(trouble("/a", "open /a: permission denied", false)),
            ),
            (
                r#"{"message_type":"error","error":{"message":"lstat /a: no such file or directory"},"during":"archival","item":"/a"}"#,
                Some(trouble("/a", "lstat /a: no such file or directory", true)),
            ),
            (
                r#"{"message_type":"summary","files_new":2,"files_changed":1,"data_added":9,"data_added_packed":7,"total_files_processed":4,"total_bytes_processed":6,"snapshot_id":"f8"}"#,
                Some(totals("f8", 7)),
            ),
            (
                r#"{"message_type":"exit_error","code":3,"message":"Warning: a"}"#,
                Some(Said::Over("Warning: a".to_owned())),
            ),
            ("Warning: at least one source file could not be read", None),
            ("[]", None),
            ("", None),
        ] {
            assert_eq!(hear(line), expected, "{line}");
        }
    }

    #[test]
    fn differences_are_read() {
        let line = |modifier: &str| {
            format!(r#"{{"message_type":"change","path":"/a/b/","modifier":"{modifier}"}}"#)
        };
        for (modifier, how) in [
            ("+", "added"),
            ("-", "removed"),
            ("M", "changed"),
            ("T", "changed"),
            ("U", "metadata"),
        ] {
            assert_eq!(difference(&line(modifier)), Some(("/a/b".to_owned(), how)));
        }
        assert_eq!(difference(r#"{"message_type":"statistics"}"#), None);
    }

    #[test]
    fn failures_have_a_class_in_all_versions() {
        let locked =
            "unable to create lock in backend: repository is already locked by PID 1 on vm";
        let none = "Fatal: unable to open config file: stat /r/config: no such file or directory\n\
                    Is there a repository at the following location?\n/r";
        for (code, text, expected) in [
            (1, none, Failure::NoRepository),
            (
                1,
                "Fatal: unable to open config file: <config/> does not exist",
                Failure::NoRepository,
            ),
            (
                1,
                "Fatal: unable to open config file: Stat: The specified key does not exist.",
                Failure::NoRepository,
            ),
            (
                10,
                "Fatal: repository does not exist: unable to open config file",
                Failure::NoRepository,
            ),
            (
                1,
                "Fatal: unable to open config file: client.Head: Head \"http://h:1/config\": dial tcp \
                 127.0.0.1:1: connect: connection refused\nIs there a repository",
                Failure::Unreachable,
            ),
            (
                1,
                "Fatal: unable to open repository at sftp:a@h:/b: unable to start the sftp session, \
                 error: EOF",
                Failure::Unreachable,
            ),
            (
                1,
                "Fatal: unable to open config file: unexpected HTTP response (403): 403 Forbidden",
                Failure::Unreachable,
            ),
            (1, "Fatal: wrong password or no key found", Failure::WrongPassword),
            (12, "Fatal: wrong password", Failure::WrongPassword),
            (1, locked, Failure::Locked),
            (11, "", Failure::Locked),
            (1, "Fatal: write /r/tmp: no space left on device", Failure::Full),
            (1, "Fatal: repository contains errors", Failure::Damaged),
            (130, "", Failure::Stopped),
            (1, "Fatal: who knows", Failure::Other),
        ] {
            assert_eq!(class(Some(code), text), expected, "{code} {text}");
        }
    }

    #[test]
    fn sizes_are_read() {
        for (text, expected) in
            [(" 0 B", Some(0)), ("1.500 KiB", Some(1536)), ("2 GiB", Some(2 << 30)), ("x", None)]
        {
            assert_eq!(bytes_of(text), expected, "{text}");
        }
    }
}
