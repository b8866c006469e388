//! Backs up directories and files, and streams as one file.

use std::io::{self, Cursor, Read};
use std::net::Shutdown;

use super::program::Input;
use super::said::{Said, Totals, hear};
use super::{Called, Site, told_of};
use crate::backup::dump::is_file_name;
use crate::backup::frames::Told;
use crate::backup::protocol::{Event, Failure, Label, Snapshot, Summary};
use crate::backup::source::roots;
use crate::backup::talk::{Failed, Outcome};
use crate::backup::tree::What;

/// How much of a dump is read before restic is called.
const FIRST_READ: usize = 64 * 1024;

/// Makes a snapshot of directories and files.
///
/// # Errors
///
/// When nothing was saved; there is no snapshot then.
pub(super) fn backup(site: &Site<'_>, what: &What, told: &Told) -> Outcome<Summary> {
    roots(&what.paths)?;
    let made = site.open(!what.dry_run)?;
    let mut arguments = labelled(&what.label);
    arguments.extend(what.exclude.iter().map(|glob| format!("--exclude={glob}")));
    arguments.extend(what.exclude_caches.then(|| "--exclude-caches".to_owned()));
    arguments.extend(what.dry_run.then(|| "--dry-run".to_owned()));
    arguments.push("--".to_owned());
    arguments.extend(what.paths.iter().map(|path| path.display().to_string()));

    site.talk.say(&Event::Ready);
    told.wait_for_go();
    let (called, totals) = save(site, &arguments, None)?;
    if called.good_in_part()? && site.talk.troubles() == 0 {
        site.talk.trouble("", "something could not be read, and restic does not say what", false);
    }
    site.talk.all_read();
    Ok(Summary {
        snapshot: (!what.dry_run).then(|| snapshot(site, &totals)),
        files_changed: totals.files_changed,
        files: totals.files,
        bytes: totals.bytes,
        stored: totals.added,
        made,
        ..Summary::default()
    })
}

/// Makes a snapshot of a file called `name`.
///
/// # Errors
///
/// When nothing was saved; there is no snapshot then.
pub(super) fn dump(site: &Site<'_>, name: &str, label: &Label, told: Told) -> Outcome<Summary> {
    is_file_name(name)?;
    let made = site.open(true)?;
    let mut arguments = labelled(label);
    arguments.extend(["--stdin".to_owned(), format!("--stdin-filename={name}")]);
    let failed = |what: String| Failed::new(Failure::Other, what);
    let no_input = |error: io::Error| failed(format!("restic can be given no input: {error}"));

    site.talk.say(&Event::Ready);
    let mut content = told.into_dump();
    let mut first = vec![0; FIRST_READ];
    let count = content.read(&mut first).map_err(no_input)?;
    first.truncate(count);
    if first.is_empty() {
        return Err(failed(format!("the dump `{name}` is empty, and restic stores none that is")));
    }
    let (mut ours, theirs) = Input::new().map_err(no_input)?;
    // It ends with the process: where the dump is cut, that never reads to the end.
    std::thread::spawn(move || {
        let mut content = Cursor::new(first).chain(content);
        // Where restic is gone it says why; nothing is read any more then.
        if io::copy(&mut content, &mut ours).is_ok() {
            let _ = ours.shutdown(Shutdown::Write);
        }
        loop {
            std::thread::park();
        }
    });
    let (called, totals) = save(site, &arguments, Some(theirs))?;
    if called.good_in_part()? {
        // Of a file that is not in it.
        site.program.call(&["forget", &totals.snapshot])?.good()?;
        return Err(failed(format!("the dump `{name}` could not be read by restic")));
    }
    site.talk.all_read();
    Ok(Summary {
        snapshot: Some(snapshot(site, &totals)),
        files_changed: 1,
        files: 1,
        bytes: totals.bytes,
        stored: totals.added,
        made,
        ..Summary::default()
    })
}

fn labelled(label: &Label) -> Vec<String> {
    let mut arguments = vec!["backup".to_owned(), "--json".to_owned()];
    if !label.host.is_empty() {
        arguments.push(format!("--host={}", label.host));
    }
    arguments.extend(label.tags.iter().map(|tag| format!("--tag={tag}")));
    arguments
}

/// Calls restic, and says what it says.
fn save(site: &Site<'_>, arguments: &[String], input: Option<Input>) -> Outcome<(Called, Totals)> {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let mut totals = Totals::default();
    let mut heard = |line: &str| match hear(line) {
        Some(Said::Trouble { path, what, vanished }) => {
            // Of some errors 0.14 says nothing but where.
            let vanished = vanished || is_gone(&path);
            site.talk.trouble(path, what, vanished);
        }
        Some(Said::Summary(said)) => totals = said,
        Some(said) => site.program.status(site.what, &said),
        None => {}
    };
    let called = site.program.follow(&arguments, input, &mut heard)?;
    Ok((called, totals))
}

fn is_gone(path: &str) -> bool {
    let found = std::fs::symlink_metadata(path);
    !path.is_empty() && found.is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
}

/// The snapshot that was made, as far as it is known.
fn snapshot(site: &Site<'_>, totals: &Totals) -> Snapshot {
    let found = site.find((&totals.snapshot, &[])).map(|it| told_of(&it));
    let mut found =
        found.unwrap_or_else(|_| Snapshot { id: totals.snapshot.clone(), ..Snapshot::default() });
    found.files.get_or_insert(totals.files);
    found.bytes.get_or_insert(totals.bytes);
    found.added.get_or_insert(totals.added);
    found
}
