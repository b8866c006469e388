//! What lies beside an archive and says what it is. A snapshot is there exactly when this is.

use std::path::Path;

use openssl::sha::sha256;
use rustic_core::jiff::Timestamp;
use rustic_core::jiff::tz::TimeZone;
use rustic_core::repofile::{SnapshotFile, StringList};
use serde::{Deserialize, Serialize};

use super::super::protocol::{Failure, Label, Snapshot};
use super::super::talk::{Failed, Outcome};

/// How the name of a record ends.
pub(super) const RECORD: &str = ".json";
/// The version of records that we write; others are not read.
pub(super) const VERSION: u32 = 1;
/// Digits of the id in names.
const DIGITS: usize = 16;
/// Characters of other texts in names.
const LONGEST: usize = 80;

/// A snapshot, and the archive it is in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) version: u32,
    #[serde(flatten)]
    pub(super) snapshot: Snapshot,
    /// Name of the archive, a file beside this.
    pub(super) archive: String,
    /// Its bytes.
    pub(super) size: u64,
    /// The hash of these, in hexadecimal digits.
    pub(super) sha256: String,
    pub(super) form: Form,
    pub(super) encryption: Encryption,
}

/// What is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Form {
    /// A tar archive.
    Tar,
    /// The content of one file.
    File,
}

/// How it is encrypted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Encryption {
    /// Not at all.
    None,
    /// By a password.
    Password,
    /// For these public keys.
    Recipients(Vec<String>),
}

/// A snapshot that is being made.
pub(super) struct Planned {
    pub(super) snapshot: Snapshot,
    /// What the names of its files have in common.
    pub(super) stem: String,
}

impl Planned {
    /// A snapshot of `paths`, made now.
    ///
    /// # Errors
    ///
    /// When the system gives no random numbers.
    pub(super) fn new(label: &Label, paths: Vec<String>) -> Outcome<Self> {
        let now = Timestamp::now();
        let mut random = [0; 32];
        openssl::rand::rand_bytes(&mut random).map_err(|error| {
            Failed::new(Failure::Other, format!("the system gives no random numbers: {error}"))
        })?;
        let id = hex(&sha256(&[&random[..], label.host.as_bytes()].concat()));
        let stem = stem(now, &label.host, &id);
        let snapshot = Snapshot {
            id,
            time: now.to_string(),
            host: label.host.clone(),
            tags: label.tags.clone(),
            paths,
            ..Snapshot::default()
        };
        Ok(Self { snapshot, stem })
    }

    /// The name of its archive: of the file `file`, or of a tree.
    pub(super) fn archive(&self, file: Option<&str>, encryption: &Encryption) -> String {
        let what = file.map_or_else(|| "tar".to_owned(), plain);
        let end = if *encryption == Encryption::None { "" } else { ".age" };
        format!("{}.{what}.zst{end}", self.stem)
    }
}

impl Record {
    /// Reads one that is called `name`.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub(super) fn read(name: &str, text: &[u8]) -> Result<Self, String> {
        let record: Self = serde_json::from_slice(text).map_err(|error| error.to_string())?;
        if record.version != VERSION {
            return Err(format!("it is of version {}: expected {VERSION}", record.version));
        }
        let is_id = record.snapshot.id.len() == 64
            && record.snapshot.id.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !is_id {
            return Err(format!("its id is `{}`: expected 64 digits", record.snapshot.id));
        }
        if stem_of(name).is_none_or(|stem| stem_of(&record.archive) != Some(stem)) {
            return Err(format!("its archive is `{}`, which is another's", record.archive));
        }
        Ok(record)
    }

    /// When it was made; long ago, where that cannot be read.
    pub(super) fn time(&self) -> Timestamp {
        self.snapshot.time.parse().unwrap_or(Timestamp::MIN)
    }

    /// As the library has it, for its rules.
    pub(super) fn as_file(&self) -> Option<SnapshotFile> {
        let Snapshot { id, host, tags, paths, .. } = &self.snapshot;
        let list = |of: &[String]| {
            let mut list = StringList::default();
            for it in of {
                list.add(it.clone());
            }
            list
        };
        Some(SnapshotFile {
            id: id.parse::<rustic_core::Id>().ok()?.into(),
            time: self.time().to_zoned(TimeZone::system()),
            hostname: host.clone(),
            tags: list(tags),
            paths: list(paths),
            ..SnapshotFile::default()
        })
    }

    /// The first digits of its id.
    pub(super) fn short(&self) -> &str {
        self.snapshot.id.get(..8).unwrap_or_default()
    }
}

/// What the name of a file of ours begins with; `None` for a name of somebody else.
pub(super) fn stem_of(name: &str) -> Option<&str> {
    let (stem, _) = name.split_once('.')?;
    let (before, id) = stem.rsplit_once('-')?;
    let is_id = id.len() == DIGITS && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    let is_time = before.get(..19).is_some_and(|time| time.ends_with("Z-"))
        && before.starts_with(|first: char| first.is_ascii_digit());
    let is_one_name = Path::new(name).file_name().is_some_and(|it| it == name);
    (is_id && is_time && is_one_name).then_some(stem)
}

fn stem(time: Timestamp, host: &str, id: &str) -> String {
    let time = time.strftime("%Y-%m-%dT%H%M%SZ");
    let host = if host.is_empty() { "host".to_owned() } else { plain(host).replace('.', "-") };
    format!("{time}-{host}-{}", id.get(..DIGITS).unwrap_or_default())
}

/// A text as a part of a name that every place takes.
fn plain(text: &str) -> String {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    text.chars().map(|c| if fits(c) { c } else { '_' }).take(LONGEST).collect()
}

/// As hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    fn planned(host: &str) -> Planned {
        let time = "2026-11-22T05:45:09.5Z".parse().unwrap();
        let snapshot = Snapshot { id: ID.to_owned(), ..Snapshot::default() };
        Planned { snapshot, stem: stem(time, host, ID) }
    }

    #[test]
    fn names_say_when_where_and_what_and_are_known_again() {
        let keys = Encryption::Recipients(vec!["age1x".to_owned()]);
        for (host, file, encryption, expected) in [
            ("db1", None, &Encryption::None, "2026-11-22T054509Z-db1-0123456789abcdef.tar.zst"),
            (
                "a.example/ü",
                None,
                &Encryption::Password,
                "2026-11-22T054509Z-a-example__-0123456789abcdef.tar.zst.age",
            ),
            (
                "",
                Some("o r.sql"),
                &keys,
                "2026-11-22T054509Z-host-0123456789abcdef.o_r.sql.zst.age",
            ),
        ] {
            let planned = planned(host);
            assert_eq!(planned.archive(file, encryption), expected);
            assert_eq!(stem_of(expected), Some(planned.stem.as_str()));
            assert_eq!(stem_of(&format!("{}.json-tmp-1", planned.stem)), Some(&*planned.stem));
        }
        for name in [
            "roadstead-archives.json",
            "notes.txt",
            "config",
            "",
            "a-0123456789abcdef.json",
            "2026-11-22T054509Z-db1-0123456789abcdef",
            "2026-11-22T054509Z-db1-0123456789abcdeg.json",
            "2026-11-22T054509Z-db1-0123456789abcdef.x/../../y",
        ] {
            assert_eq!(stem_of(name), None, "{name}");
        }
    }

    #[test]
    fn a_record_is_read_as_it_was_written_and_names_only_its_own_archive() {
        let Planned { snapshot, stem } = planned("db1");
        let record = Record {
            version: VERSION,
            snapshot,
            archive: format!("{stem}.tar.zst"),
            size: 1,
            sha256: "ab".to_owned(),
            form: Form::Tar,
            encryption: Encryption::Recipients(vec!["age1x".to_owned()]),
        };
        let text = serde_json::to_vec(&record).unwrap();
        let name = format!("{stem}.json");
        assert_eq!(Record::read(&name, &text).as_ref(), Ok(&record));
        assert!(record.as_file().is_some());
        let other = name.replace("db1", "db2");
        assert!(Record::read(&other, &text).unwrap_err().contains("another's"));
        for (from, to) in
            [("\"version\":1", "\"version\":2"), (ID, "01"), ("tar.zst", "x/../../y"), ("{", "")]
        {
            let text = String::from_utf8(text.clone()).unwrap().replace(from, to);
            assert!(Record::read(&name, text.as_bytes()).is_err(), "{to}");
        }
    }
}
