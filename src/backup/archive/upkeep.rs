//! Forgets snapshots, removes what was left behind, and looks whether archives are whole.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{ErrorKind, Read};

use openssl::sha::Sha256;
use rustic_core::jiff::{SignedDuration, Timestamp};

use super::super::forget::{decide, has_rule};
use super::super::protocol::{Failure, Summary};
use super::super::talk::{Failed, Outcome};
use super::record::{RECORD, Record, hex, stem_of};
use super::{Place, is_record};
use crate::job::work::Keep;

/// What nobody has written to for so long was left behind.
const LEFT: SignedDuration = SignedDuration::from_hours(24);
/// How many findings are said.
const SAID: usize = 3;
/// What is read at once.
const BUFFER: usize = 256 << 10;

/// Forgets snapshots that no rule wants: the record first, so that none is there without its archive.
///
/// # Errors
///
/// Without a rule, and when snapshots cannot be read or removed.
pub(super) fn forget(
    place: &Place,
    tags: &[String],
    keep: &Keep,
    dry_run: bool,
) -> Outcome<Summary> {
    has_rule(keep)?;
    let all = place.all(tags)?;
    let files = all.iter().filter_map(Record::as_file).collect();
    let (kept, gone) = decide(files, keep).map_err(|error| {
        Failed::new(Failure::Other, format!("the rules of what to keep: {}", error.display_log()))
    })?;
    let forgotten: Vec<String> = gone.iter().map(|id| id.to_hex().as_str().to_owned()).collect();
    for record in all.iter().filter(|it| !dry_run && forgotten.contains(&it.snapshot.id)) {
        let stem = stem_of(&record.archive).unwrap_or_default();
        for name in [format!("{stem}{RECORD}"), record.archive.clone()] {
            place.shelf.remove(&name).map_err(|fault| fault.told(&place.name, &name))?;
        }
    }
    Ok(Summary { kept, forgotten, ..Summary::default() })
}

/// Removes files of ours that belong to no snapshot and that nobody can be writing any more.
///
/// # Errors
///
/// When something cannot be listed or removed.
pub(super) fn prune(place: &Place, dry_run: bool) -> Outcome<Summary> {
    let files = place.shelf.list().map_err(|fault| fault.told(&place.name, "its list"))?;
    let records = files.iter().filter(|file| is_record(&file.name));
    let known: BTreeSet<&str> = records.filter_map(|file| stem_of(&file.name)).collect();
    let now = Timestamp::now();
    let mut stored = 0;
    for file in &files {
        let is_ours = stem_of(&file.name).is_some_and(|stem| !known.contains(stem));
        let is_old = file.modified.is_some_and(|time| now.duration_since(time) > LEFT);
        if !is_ours || !is_old {
            continue;
        }
        stored += file.size;
        if !dry_run {
            place.shelf.remove(&file.name).map_err(|fault| fault.told(&place.name, &file.name))?;
        }
    }
    Ok(Summary { stored, ..Summary::default() })
}

/// Looks whether each snapshot has its archive, and reads part `number` of `of` of them. No key is needed:
/// what is compared is what was stored.
///
/// # Errors
///
/// When something is missing or is not as it was written.
pub(super) fn check(place: &Place, number: u32, of: u32) -> Outcome<Summary> {
    let all = place.all(&[])?;
    let files = place.shelf.list().map_err(|fault| fault.told(&place.name, "its list"))?;
    let sizes: BTreeMap<&str, u64> =
        files.iter().map(|file| (file.name.as_str(), file.size)).collect();
    let mut findings = Vec::new();
    for record in &all {
        let finding = match sizes.get(record.archive.as_str()) {
            None => Some("is missing".to_owned()),
            Some(size) if *size != record.size => {
                Some(format!("has {size} B: expected {}", record.size))
            }
            Some(_) if is_in_part(&record.snapshot.id, number, of) => read(place, record)?,
            Some(_) => None,
        };
        findings.extend(finding.map(|what| format!("`{}` {what}", record.archive)));
    }
    let count = findings.len();
    if count > 0 {
        findings.truncate(SAID);
        let (name, said) = (&place.name, findings.join("; "));
        return Err(Failed::new(
            Failure::Damaged,
            format!(
                "{name} is damaged, {count} findings: {said}; bring these back from a copy, or \
                 remove them and the `{RECORD}` beside them"
            ),
        ));
    }
    Ok(Summary { bytes: place.talk.done(), ..Summary::default() })
}

/// Whether a snapshot is in part `number` of `of`.
fn is_in_part(id: &str, number: u32, of: u32) -> bool {
    let part = id.get(..8).and_then(|digits| u32::from_str_radix(digits, 16).ok());
    of > 0 && part.is_some_and(|part| part % of == number % of)
}

/// Reads an archive: what is wrong with it.
fn read(place: &Place, record: &Record) -> Outcome<Option<String>> {
    let name = &record.archive;
    let told = |fault: super::Fault| fault.told(&place.name, name);
    let mut stored = place.shelf.open(name, record.size).map_err(told)?;
    let (mut hash, mut buffer) = (Sha256::new(), vec![0; BUFFER]);
    loop {
        match stored.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => {
                hash.update(&buffer[..count]);
                place.talk.progress("check", count as u64);
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => match super::fault_in(&error) {
                Some(fault) => return Err(told(fault)),
                None => return Ok(Some(format!("cannot be read ({error})"))),
            },
        }
    }
    let is_same = hex(&hash.finish()) == record.sha256;
    Ok((!is_same).then(|| "is not as it was written".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::is_in_part;

    #[test]
    fn each_archive_is_in_one_part() {
        let id = "00000009ff";
        for of in 1..20 {
            assert_eq!((0..of).filter(|part| is_in_part(id, *part, of)).count(), 1, "{of}");
        }
        assert!(is_in_part(id, 2, 7) && is_in_part(id, 9, 7));
        assert!(!is_in_part(id, 0, 0), "0 reads none");
    }
}
