//! From the text of one value to its type; each error says what was expected.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use chrono_tz::{TZ_VARIANTS, Tz};

use crate::compose::hash::Dialect;
use crate::job::{Work, ofelia};
use crate::problem::nearest;
use crate::settings::{LogFormat, ManagedRepository};

/// Why a value is refused. Neither text holds the value: it may be a secret in the wrong place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    /// What was expected, continuing "expected".
    pub(super) expected: String,
    pub(super) hint: Option<String>,
}

fn refuse<T>(expected: &str) -> Result<T, Refusal> {
    Err(Refusal { expected: expected.into(), hint: None })
}

fn refuse_with<T>(expected: &str, hint: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal { expected: expected.into(), hint: Some(hint.into()) })
}

/// Longest duration: nothing we wait for takes longer, and adding it to a clock cannot overflow.
const LONGEST: Duration = Duration::from_hours(366 * 24);

/// Reads `500ms`, `30s`, `2m`, `1h30m`, `1d`.
pub(super) fn duration(text: &str) -> Result<Duration, Refusal> {
    const EXPECTED: &str = "a duration such as `30s`, `2m` or `1h30m`";
    let mut total = Duration::ZERO;
    let mut rest = text;
    while !rest.is_empty() {
        let (number, after) = rest.split_at(leading_digits(rest));
        let letters = after.find(|character: char| !character.is_ascii_alphabetic());
        let (unit, after) = after.split_at(letters.unwrap_or(after.len()));
        let Ok(number) = number.parse::<u32>() else { return refuse(EXPECTED) };
        let unit = match unit {
            "ms" => Duration::from_millis(1),
            "s" => Duration::from_secs(1),
            "m" => Duration::from_mins(1),
            "h" => Duration::from_hours(1),
            "d" => Duration::from_hours(24),
            "" => return refuse_with(EXPECTED, format!("say the unit, e.g. `{number}s`")),
            _ => return refuse_with(EXPECTED, "units are ms, s, m, h and d"),
        };
        total = total.saturating_add(unit.saturating_mul(number));
        rest = after;
    }
    if total > LONGEST { refuse("a duration of at most a year") } else { Ok(total) }
}

/// Reads a duration that is not zero.
pub(super) fn positive_duration(text: &str) -> Result<Duration, Refusal> {
    let duration = duration(text)?;
    if duration.is_zero() { refuse("a duration longer than zero") } else { Ok(duration) }
}

/// Reads a size of at least 1 KiB: `10MiB`, `10M`, `10485760`. Like Docker, `M`, `MB` and `MiB` all
/// mean 1024 times 1024.
pub(super) fn size(text: &str) -> Result<usize, Refusal> {
    const EXPECTED: &str = "a size such as `10MiB`, `500K` or a number of bytes";
    let (number, unit) = text.split_at(leading_digits(text));
    let Ok(number) = number.parse::<usize>() else { return refuse(EXPECTED) };
    let shift = match unit.trim_start().to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        _ => return refuse_with(EXPECTED, "units are K, M and G"),
    };
    match number.checked_mul(1 << shift) {
        Some(bytes) if bytes >= 1024 => Ok(bytes),
        Some(_) => refuse("a size of at least 1 KiB"),
        None => refuse(EXPECTED),
    }
}

fn leading_digits(text: &str) -> usize {
    text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len())
}

/// Reads a number of files.
pub(super) fn count(text: &str) -> Result<usize, Refusal> {
    match text.parse() {
        Ok(count @ 1..=1000) => Ok(count),
        _ => refuse("a whole number from 1 to 1000"),
    }
}

/// Reads starts a second; 0 is no limit.
pub(super) fn rate(text: &str) -> Result<u32, Refusal> {
    match text.parse() {
        Ok(rate @ 0..=10_000) => Ok(rate),
        _ => refuse("a whole number from 0 to 10000; 0 is no limit"),
    }
}

/// Reads `deploy=4 run=8`: kinds of work and their numbers.
pub(super) fn counts_of_kinds(text: &str) -> Result<BTreeMap<String, usize>, Refusal> {
    const EXPECTED: &str = "kinds of work with their numbers, such as `deploy=4 run=8`";
    let mut counts = BTreeMap::new();
    for word in text.split([' ', ',', '\n', '\t']).filter(|word| !word.is_empty()) {
        let Some((kind, number)) = word.split_once('=') else { return refuse(EXPECTED) };
        if !Work::KINDS.contains(&kind) {
            return match nearest(kind, Work::KINDS.iter().copied()) {
                Some(near) => refuse_with(EXPECTED, format!("did you mean `{near}`?")),
                None => refuse_with(EXPECTED, format!("kinds are {}", Work::KINDS.join(", "))),
            };
        }
        counts.insert(kind.to_owned(), count(number)?);
    }
    Ok(counts)
}

/// Reads `true`, `yes`, `on`, `1` and their contraries, in any case.
pub(super) fn boolean(text: &str) -> Result<bool, Refusal> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "1" => Ok(true),
        "false" | "no" | "off" | "0" => Ok(false),
        _ => refuse("`true` or `false`"),
    }
}

/// Reads an IANA time zone.
pub(super) fn timezone(text: &str) -> Result<Tz, Refusal> {
    text.parse().or_else(|_| {
        let expected = "an IANA time zone such as `America/Toronto`";
        match nearest(text, TZ_VARIANTS.iter().map(|zone| zone.name())) {
            Some(zone) => refuse_with(expected, format!("did you mean `{zone}`?")),
            None => refuse(expected),
        }
    })
}

/// Reads `text` or `json`.
pub(super) fn log_format(text: &str) -> Result<LogFormat, Refusal> {
    match text.to_ascii_lowercase().as_str() {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        _ => refuse("`text` or `json`"),
    }
}

/// Reads which Ofelia schedules were written for.
pub(super) fn ofelia_dialect(text: &str) -> Result<ofelia::Dialect, Refusal> {
    match text.to_ascii_lowercase().as_str() {
        "auto" => Ok(ofelia::Dialect::Auto),
        "v1" => Ok(ofelia::Dialect::V1),
        "v3" => Ok(ofelia::Dialect::V3),
        _ => refuse("`auto`, `v1` (0.3, seconds first) or `v3` (0.4 and its forks)"),
    }
}

/// Reads `run local:ops`: types of jobs that labels may hold, of all containers or of those of a project.
pub(super) fn ofelia_grants(text: &str) -> Result<Vec<ofelia::Grant>, Refusal> {
    const EXPECTED: &str = "types of jobs, `run`, `local` or `compose`, each alone or with a Compose \
                            project or a container, such as `run local:ops`";
    let words = text.split([' ', ',', '\n', '\t']).filter(|word| !word.is_empty());
    words
        .map(|word| match ofelia::Grant::parse(word) {
            Ok(grant) => Ok(grant),
            Err(ofelia::GrantError { near: Some(near) }) => {
                refuse_with(EXPECTED, format!("did you mean `{near}`?"))
            }
            Err(_) => refuse(EXPECTED),
        })
        .collect()
}

/// Reads `5` or `2.40`; other releases of the same kind mean the same.
pub(super) fn compose_hash(text: &str) -> Result<Dialect, Refusal> {
    match text.split('.').next() {
        Some("2") => Ok(Dialect::V2_40),
        Some("5") => Ok(Dialect::V5),
        _ => refuse("`5` or `2.40`"),
    }
}

/// Reads a level, as `tracing` names them.
pub(super) fn log_level(text: &str) -> Result<String, Refusal> {
    let level = text.to_ascii_lowercase();
    match level.as_str() {
        "error" | "warn" | "info" | "debug" | "trace" => Ok(level),
        "warning" => Ok("warn".into()),
        _ => refuse("`error`, `warn`, `info`, `debug` or `trace`"),
    }
}

/// Reads an absolute path; `~` is the home directory.
pub(super) fn path(text: &str, home: Option<&str>) -> Result<PathBuf, Refusal> {
    let path = PathBuf::from(text);
    if let Ok(below_home) = path.strip_prefix("~") {
        let Some(home) = home.filter(|home| home.starts_with('/')) else {
            return refuse_with("an absolute path", "`HOME` is not set, so `~` means nothing");
        };
        return Ok(PathBuf::from(home).join(below_home));
    }
    if path.is_absolute() { Ok(path) } else { refuse("an absolute path") }
}

/// Reads absolute paths, separated by white space.
pub(super) fn paths(text: &str, home: Option<&str>) -> Result<Vec<PathBuf>, Refusal> {
    let mut paths: Vec<PathBuf> = Vec::new();
    for word in text.split_whitespace() {
        let path = path(word, home).map_err(|refusal| Refusal {
            expected: format!(
                "absolute paths, separated by spaces; one is not ({})",
                refusal.expected
            ),
            ..refusal
        })?;
        if paths.contains(&path) {
            return refuse_with("each path once", "remove the repeated path");
        }
        paths.push(path);
    }
    Ok(paths)
}

/// Reads the address of an Engine.
pub(super) fn docker_host(text: &str) -> Result<String, Refusal> {
    const EXPECTED: &str = "`unix:///path` or `tcp://host:port`";
    let is_address = match text.split_once("://") {
        Some(("unix", path)) => path.starts_with('/'),
        Some(("tcp", address)) => !address.is_empty() && !address.contains(['@', ' ']),
        Some(("ssh" | "npipe" | "fd", _)) => {
            return refuse_with(
                EXPECTED,
                "give the Engine a socket or a TCP address on this network",
            );
        }
        _ => false,
    };
    if is_address { Ok(text.to_owned()) } else { refuse(EXPECTED) }
}

/// Reads an address to listen on, `ADDRESS:PORT`.
pub(super) fn socket_address(text: &str) -> Result<SocketAddr, Refusal> {
    text.parse().or_else(|_| {
        refuse_with(
            "an IP address and a port",
            "write `127.0.0.1:8080` for this machine alone, or `0.0.0.0:8080` for all",
        )
    })
}

/// Reads repositories written `URL#ref`, separated by white space.
pub(super) fn repositories(text: &str) -> Result<Vec<ManagedRepository>, Refusal> {
    let mut repositories = Vec::new();
    for (index, word) in text.split_whitespace().enumerate() {
        let repository = repository(word).map_err(|refusal| Refusal {
            expected: format!("{} as entry {}", refusal.expected, index + 1),
            ..refusal
        })?;
        if repositories.contains(&repository) {
            return refuse_with("each repository once", "remove the repeated entry");
        }
        repositories.push(repository);
    }
    Ok(repositories)
}

fn repository(text: &str) -> Result<ManagedRepository, Refusal> {
    let (url, reference) = match text.split_once('#') {
        Some((url, reference)) => (url, Some(reference)),
        None => (text, None),
    };
    check_url(url)?;
    if let Some(reference) = reference.filter(|reference| !is_reference(reference)) {
        let hint =
            if reference.is_empty() { "remove the `#` to follow the default branch" } else { "" };
        let hint = Some(hint.to_owned()).filter(|hint| !hint.is_empty());
        return Err(Refusal { expected: "the name of a branch or tag after `#`".into(), hint });
    }
    Ok(ManagedRepository { url: url.to_owned(), reference: reference.map(str::to_owned) })
}

/// Shapes of git remotes: <https://git-scm.com/docs/git-clone#_git_urls>.
fn check_url(url: &str) -> Result<(), Refusal> {
    const EXPECTED: &str = "a git URL (https, http, ssh, git, file, `user@host:path` or a path)";
    let Some((scheme, rest)) = url.split_once("://") else {
        let scp_like = url.split_once(':').is_some_and(|(host, path)| {
            let name = host.rsplit('@').next().unwrap_or_default();
            // Two colons name a remote helper (`ext::command`), which would run a program.
            let is_path = !path.is_empty() && !path.starts_with(':');
            !host.contains('/') && !host.starts_with('-') && !name.is_empty() && is_path
        });
        return if url.starts_with('/') || scp_like { Ok(()) } else { refuse(EXPECTED) };
    };
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let user = authority.rsplit_once('@').map(|(user, _)| user);
    // A token is often written as the user of an https URL; over ssh the user is no secret.
    if user.is_some_and(|user| scheme != "ssh" || user.contains(':')) {
        return refuse_with(
            "a git URL without user or password",
            "put `user:token` into `<repository>_token` or `<host>_token` of \
             AUTODEPLOY_GIT_TOKEN_DIR",
        );
    }
    match (scheme, authority.len()) {
        ("https" | "http" | "ssh" | "git", 1..) | ("file", 0) if !path.is_empty() => Ok(()),
        _ => refuse(EXPECTED),
    }
}

/// The rules of `git check-ref-format` that text from a person can break.
fn is_reference(text: &str) -> bool {
    let forbidden = |character: char| character.is_control() || " ~^:?*[\\".contains(character);
    let is_component = |component: &str| {
        !component.is_empty()
            && !component.starts_with('.')
            && component.strip_suffix(".lock").is_none()
    };
    !text.contains(forbidden)
        && !text.contains("..")
        && !text.contains("@{")
        && !text.starts_with('-')
        && !text.ends_with('.')
        && text.split('/').all(is_component)
}

#[cfg(test)]
mod tests {
    use std::fmt::Debug;
    use std::time::Duration;

    use super::{
        Refusal, boolean, count, docker_host, duration, log_level, path, paths, positive_duration,
        repositories, size, timezone,
    };

    fn check<T: Debug + PartialEq>(
        read: impl Fn(&str) -> Result<T, Refusal>,
        rows: &[(&str, Option<T>)],
    ) {
        for (text, expected) in rows {
            assert_eq!(read(text).ok(), *expected, "{text:?}");
        }
    }

    #[test]
    fn reads_durations() {
        check(
            duration,
            &[
                ("30s", Some(Duration::from_secs(30))),
                ("1h30m", Some(Duration::from_mins(90))),
                ("1d", Some(Duration::from_hours(24))),
                ("250ms", Some(Duration::from_millis(250))),
                ("0s", Some(Duration::ZERO)),
                ("90", None),
                ("s", None),
                ("1.5h", None),
                ("-1s", None),
                ("1w", None),
                ("400d", None),
                ("99999999999s", None),
            ],
        );
        assert_eq!(duration("90").unwrap_err().hint.as_deref(), Some("say the unit, e.g. `90s`"));
        assert!(positive_duration("0s").is_err());
    }

    #[test]
    fn reads_sizes() {
        check(
            size,
            &[
                ("10MiB", Some(10 << 20)),
                ("10M", Some(10 << 20)),
                ("10mb", Some(10 << 20)),
                ("10485760", Some(10 << 20)),
                ("1 G", Some(1 << 30)),
                ("500k", Some(500 << 10)),
                ("1023", None),
                ("10X", None),
                ("M", None),
                ("99999999999G", None),
                ("1.5M", None),
            ],
        );
    }

    #[test]
    fn reads_small_values() {
        check(count, &[("6", Some(6)), ("0", None), ("1001", None), ("six", None)]);
        check(
            boolean,
            &[("TRUE", Some(true)), ("no", Some(false)), ("0", Some(false)), ("y", None)],
        );
        check(log_level, &[("WARNING", Some("warn".into())), ("loud", None)]);
        check(timezone, &[("America/Toronto", Some(chrono_tz::America::Toronto)), ("EDT", None)]);
        let hint = timezone("America/Torronto").unwrap_err().hint;
        assert_eq!(hint.as_deref(), Some("did you mean `America/Toronto`?"));
        check(
            docker_host,
            &[
                ("unix:///var/run/docker.sock", Some("unix:///var/run/docker.sock".into())),
                ("tcp://10.0.0.1:2375", Some("tcp://10.0.0.1:2375".into())),
                ("unix://docker.sock", None),
                ("ssh://host", None),
                ("/var/run/docker.sock", None),
            ],
        );
    }

    #[test]
    fn reads_paths() {
        let at_home = |text: &str| path(text, Some("/home/ada"));
        check(
            at_home,
            &[
                ("/srv/a", Some("/srv/a".into())),
                ("~/.ssh", Some("/home/ada/.ssh".into())),
                ("~", Some("/home/ada".into())),
                ("srv", None),
                ("~bob/x", None),
            ],
        );
        assert!(path("~/.ssh", None).is_err());
        let list = |text: &str| paths(text, None);
        check(
            list,
            &[
                ("/a\n  /b ", Some(vec!["/a".into(), "/b".into()])),
                ("/a b", None),
                ("/a /a/", None),
            ],
        );
    }

    #[test]
    fn reads_repositories() {
        let read = |text: &str| {
            let pairs = repositories(text)?.into_iter().map(|one| (one.url, one.reference));
            Ok(pairs.map(|(url, reference)| format!("{url} {reference:?}")).collect::<Vec<_>>())
        };
        let one = |url: &str| Some(vec![format!("{url} None")]);
        for url in [
            "https://git.example/a.git",
            "http://localhost:3000/a",
            "ssh://git@host:22/a.git",
            "git://host/a",
            "file:///srv/a.git",
            "git@host:a/b.git",
            "host:a.git",
            "/srv/a.git",
        ] {
            check(read, &[(url, one(url))]);
        }
        check(
            read,
            &[
                (
                    "https://h/a#main\n/b#v1.2/x",
                    Some(vec!["https://h/a Some(\"main\")".into(), "/b Some(\"v1.2/x\")".into()]),
                ),
                ("https://h/a#", None),
                ("https://h/a#a..b", None),
                ("https://h/a#-x", None),
                ("https://h/a#refs/heads/", None),
                ("https://user:token@h/a", None),
                ("https://token@h/a", None),
                ("ssh://git:password@h/a", None),
                ("https://host", None),
                ("ftp://h/a", None),
                ("ext::sh -c x", None),
                ("-oProxyCommand=x:y", None),
                ("relative/path", None),
                ("/a /a", None),
            ],
        );
    }
}
