//! Reads those options of rsync that birdhouse's deploy-data file is known to use.

use crate::job::work::{Pattern, RuleOf, SyncRule};

/// What the options of one map say.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Options {
    pub(super) rules: Vec<SyncRule>,
    pub(super) owner: Option<(u32, u32)>,
    pub(super) mode: Option<u32>,
    pub(super) dir_mode: Option<u32>,
}

/// Reads options; the error names the first that is not understood.
pub(super) fn options(text: &str) -> Result<Options, String> {
    let words = shell_words::split(text).map_err(|_| "the quotes do not close".to_owned())?;
    let mut options = Options::default();
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        let (name, value) = match word.split_once('=') {
            Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
            None => (word, None),
        };
        let mut value = || {
            let value = value.clone().or_else(|| words.next());
            value.ok_or_else(|| format!("`{name}` lacks its value"))
        };
        match name.as_str() {
            "--include" => options.rules.push(rule(&value()?, true)?),
            "--exclude" => options.rules.push(rule(&value()?, false)?),
            "--chown" => options.owner = Some(owner(&value()?)?),
            "--chmod" => chmod(&value()?, &mut options)?,
            // What we do anyway.
            "--delete" | "--delete-after" | "--delete-before" | "--delete-during"
            | "--recursive" | "-r" | "--links" | "-l" | "--checksum" | "-c" | "--verbose"
            | "-v" | "--itemize-changes" | "-i" | "--prune-empty-dirs" | "-m" => {}
            _ => {
                return Err(format!(
                    "`{name}` of rsync is not understood: expected `--include`, `--exclude`, \
                     `--delete`, `--chmod` or `--chown`"
                ));
            }
        }
    }
    Ok(options)
}

/// A filter rule. A `/` at its start means the top, one within any place that ends so, one at its end a
/// directory ([rsync(1)](https://download.samba.org/pub/rsync/rsync.1#PATTERN_MATCHING_RULES)).
fn rule(text: &str, selects: bool) -> Result<SyncRule, String> {
    let refused = || format!("the pattern `{text}` is not understood");
    let (body, of) = match text.strip_suffix('/') {
        Some(body) => (body, RuleOf::Directories),
        None => (text, RuleOf::Any),
    };
    if body.split('/').any(|it| it.contains("**") && it != "**") {
        return Err(refused());
    }
    let pattern = match body.strip_prefix('/') {
        Some(body) => Pattern::parse(body),
        None => Pattern::parse(&format!("**/{body}")),
    };
    Ok(SyncRule { pattern: pattern.map_err(|_| refused())?, of, selects })
}

fn owner(text: &str) -> Result<(u32, u32), String> {
    let parts = text.split_once(':');
    let owner = parts.and_then(|(user, group)| Some((user.parse().ok()?, group.parse().ok()?)));
    owner.ok_or_else(|| format!("`--chown={text}`: expected the numbers of a user and a group"))
}

/// Permissions as `D755,F644` or `Du=rwx,go=rX`.
fn chmod(text: &str, options: &mut Options) -> Result<(), String> {
    for part in text.split(',') {
        let (of_directories, of_files, change) = match part.as_bytes().first() {
            Some(b'D') => (true, false, &part[1..]),
            Some(b'F') => (false, true, &part[1..]),
            _ => (true, true, part),
        };
        let changed = |before: u32, is_directory: bool| {
            let mode = changed(change, before, is_directory);
            mode.ok_or_else(|| format!("`--chmod={text}`: `{part}` is not understood"))
        };
        if of_directories {
            options.dir_mode = Some(changed(options.dir_mode.unwrap_or(0o755), true)?);
        }
        if of_files {
            options.mode = Some(changed(options.mode.unwrap_or(0o644), false)?);
        }
    }
    Ok(())
}

fn changed(change: &str, before: u32, is_directory: bool) -> Option<u32> {
    if change.bytes().all(|it| it.is_ascii_digit()) {
        return u32::from_str_radix(change, 8).ok().filter(|mode| *mode <= 0o777);
    }
    let at = change.find(['=', '+', '-'])?;
    let (who, how, what) = (&change[..at], change.as_bytes()[at], &change[at + 1..]);
    let mut shifts = Vec::new();
    for class in who.chars() {
        match class {
            'u' => shifts.push(6),
            'g' => shifts.push(3),
            'o' => shifts.push(0),
            'a' => shifts.extend([6, 3, 0]),
            _ => return None,
        }
    }
    if shifts.is_empty() {
        shifts.extend([6, 3, 0]);
    }
    let mut bits = 0;
    for letter in what.chars() {
        bits |= match letter {
            'r' => 4,
            'w' => 2,
            'x' => 1,
            // Of files only those that are executable at their source, as they are anyway.
            'X' => u32::from(is_directory),
            _ => return None,
        };
    }
    Some(shifts.into_iter().fold(before, |mode, shift| match how {
        b'+' => mode | bits << shift,
        b'-' => mode & !(bits << shift),
        _ => mode & !(7 << shift) | bits << shift,
    }))
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::*;
    use crate::job::work::SyncMap;

    #[test]
    fn filters_select_what_they_select_for_rsync() {
        for (text, path, expected) in [
            ("", "a/b", true),
            ("--include=*/ --include=*.nc --exclude=*", "a/b.nc", true),
            ("--include=*/ --include=*.nc --exclude=*", "b.nc", true),
            ("--include=*/ --include=*.nc --exclude=*", "a/b.txt", false),
            ("--include=*.nc --exclude=*", "a/b.nc", false),
            ("--exclude '*.bak' --delete", "a/b.bak", false),
            ("--exclude=/top", "top/x", false),
            ("--exclude=/top", "a/top", true),
            ("--exclude=a/b", "x/a/b/c", false),
            ("--include=keep.bak --exclude=*.bak", "a/keep.bak", true),
            ("--exclude=tmp/", "tmp", true),
            ("--exclude=tmp/", "tmp/x", false),
        ] {
            let map = SyncMap {
                from: "".into(),
                to: "/data".into(),
                rules: options(text).unwrap().rules,
                delete: true,
                atomic: false,
                owner: None,
                mode: None,
                dir_mode: None,
            };
            let parts: Vec<&OsStr> = path.split('/').map(OsStr::new).collect();
            assert_eq!(map.selects(&parts, false), expected, "{text}: {path}");
        }
    }

    #[test]
    fn permissions_and_owners_are_read_and_the_rest_is_refused_by_name() {
        for (text, expected) in [
            ("--chmod=D755,F644", Ok((Some(0o755), Some(0o644), None))),
            ("--chmod=Du=rwx,go=rx", Ok((Some(0o755), Some(0o655), None))),
            ("--chmod=u=rwX,go=rX", Ok((Some(0o755), Some(0o644), None))),
            ("--chmod=Fo-r", Ok((None, Some(0o640), None))),
            ("--chmod=Dg+w", Ok((Some(0o775), None, None))),
            ("--chown 1000:100", Ok((None, None, Some((1000, 100))))),
            ("--chown=ada:users", Err("numbers")),
            ("--chmod=u=s", Err("is not understood")),
            ("--delete-excluded", Err("`--delete-excluded`")),
            ("-e ssh", Err("`-e`")),
            ("--include", Err("lacks its value")),
            ("--include='", Err("quotes")),
            ("--exclude=a**b", Err("a**b")),
        ] {
            let found = options(text);
            match (found, expected) {
                (Ok(it), Ok(expected)) => {
                    assert_eq!((it.dir_mode, it.mode, it.owner), expected, "{text}");
                }
                (Err(message), Err(part)) => assert!(message.contains(part), "{text}: {message}"),
                (found, _) => panic!("{text}: {found:?}"),
            }
        }
    }
}
