//! Environment and file together: who wins, and all problems at once.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Environment, Loaded, load, read_env_file};
use crate::problem::Problems;
use crate::settings::{LogFormat, ManagedRepository};

type Pairs<'a> = &'a [(&'a str, &'a str)];

fn environment(pairs: &[(&str, &str)]) -> Environment {
    Environment(pairs.iter().map(|(name, value)| (name.into(), value.into())).collect())
}

fn read(text: &str, pairs: &[(&str, &str)]) -> Result<Loaded, Problems> {
    load(Some((Path::new("env.local"), text)), &environment(pairs))
}

fn lines(problems: &Problems) -> Vec<String> {
    problems.to_string().lines().map(str::to_owned).collect()
}

#[test]
fn nothing_set_is_the_defaults() {
    let loaded = load(None, &environment(&[("HOME", "/home/ada")])).unwrap();
    let settings = loaded.settings;
    assert_eq!(settings.checkouts, [] as [PathBuf; 0]);
    assert_eq!(settings.compose_dir, None);
    assert_eq!(settings.platform_frequency, "7 5 * * *");
    assert_eq!(settings.timezone, chrono_tz::UTC);
    assert_eq!(settings.git.deploy_key_dir, Path::new("/home/ada/.ssh"));
    assert_eq!(settings.git.known_hosts, Path::new("/home/ada/.ssh/known_hosts"));
    assert_eq!(settings.git.token_dir, Path::new("/home/ada/.ssh"));
    assert_eq!(settings.git.timeout, Duration::from_mins(1));
    assert_eq!(settings.log.max_size_bytes, 10 << 20);
    assert_eq!((settings.log.keep, settings.log.compress), (6, true));
    assert_eq!(settings.log.format, LogFormat::Text);
    assert_eq!(settings.docker_host, None);
    assert_eq!(settings.health.within, Duration::from_mins(2));
    assert_eq!(settings.variables["AUTODEPLOY_KNOWN_HOSTS"], "/home/ada/.ssh/known_hosts");
    assert_eq!((loaded.warnings.0, loaded.unknown.0), (vec![], vec![]));
    let homeless = load(None, &environment(&[])).unwrap().settings;
    assert_eq!(homeless.git.deploy_key_dir, Path::new("/root/.ssh"));
}

#[test]
fn reads_every_layer() {
    let text = "export AUTODEPLOY_EXTRA_REPOS='/srv/a\n/srv/b'\n\
                AUTODEPLOY_REPOS=\"https://h/r#main\"\n\
                AUTODEPLOY_LOG_FORMAT=text MINE=$AUTODEPLOY_LOG_FORMAT\n";
    let pairs = [("AUTODEPLOY_LOG_FORMAT", "json"), ("AUTODEPLOY_TIMEZONE", "\"Asia/Tokyo\"")];
    let settings = read(text, &pairs).unwrap().settings;
    assert_eq!(settings.checkouts, ["/srv/a", "/srv/b"].map(PathBuf::from));
    assert_eq!(settings.compose_dir, Some("/srv/a".into()));
    assert_eq!(settings.variables["COMPOSE_DIR"], "/srv/a");
    assert_eq!(
        settings.repositories,
        [ManagedRepository { url: "https://h/r".into(), reference: Some("main".into()) }]
    );
    assert_eq!(settings.log.format, LogFormat::Json);
    assert_eq!(settings.variables["MINE"], "json");
    assert_eq!(settings.timezone, chrono_tz::Asia::Tokyo);
}

/// Rows: the file, the environment, what the log directory is, and the first line of the warning.
#[test]
fn the_newest_name_of_the_nearest_place_wins() {
    let both = "BIRDHOUSE_LOG_DIR=/b\nPAVICS_LOG_DIR=/p";
    let rows: &[(&str, Pairs<'_>, &str, &str)] = &[
        ("PAVICS_LOG_DIR=/p", &[], "/p", ""),
        ("BIRDHOUSE_LOG_DIR=/b", &[], "/b", ""),
        (
            both,
            &[],
            "/b",
            "env.local:2: `PAVICS_LOG_DIR` is ignored: `BIRDHOUSE_LOG_DIR` of line 1 says otherwise",
        ),
        ("BIRDHOUSE_LOG_DIR=/a\nAUTODEPLOY_LOG_DIR=/a", &[], "/a", ""),
        ("AUTODEPLOY_LOG_DIR=/a", &[("AUTODEPLOY_LOG_DIR", "/e")], "/e", ""),
        (
            "AUTODEPLOY_LOG_DIR=/a",
            &[("PAVICS_LOG_DIR", "/e")],
            "/e",
            "env.local:1: `AUTODEPLOY_LOG_DIR` is ignored: `PAVICS_LOG_DIR` of the environment says \
             otherwise",
        ),
        ("AUTODEPLOY_LOG_DIR=/a", &[("AUTODEPLOY_LOG_DIR", "")], "/a", ""),
        ("AUTODEPLOY_LOG_DIR= BIRDHOUSE_LOG_DIR=/b", &[], "/b", ""),
    ];
    for (text, pairs, expected, warning) in rows {
        let loaded = read(text, pairs).unwrap();
        assert_eq!(loaded.settings.log.dir, Path::new(expected), "{text} {pairs:?}");
        assert_eq!(loaded.settings.variables["AUTODEPLOY_LOG_DIR"], *expected);
        let warnings = lines(&loaded.warnings);
        assert_eq!(warnings.first().map_or("", String::as_str), *warning, "{text} {pairs:?}");
    }
}

#[test]
fn warns_of_what_is_not_supported_yet() {
    let text = "\nBIRDHOUSE_AUTODEPLOY_EXTRA_SCHEDULER_JOBS='- a'\n\
                AUTODEPLOY_TOKENS_FILE=\nAUTODEPLOY_SILENT=true\nROADSTEAD_ENV_FILE=/x\n";
    let loaded = read(text, &[("AUTODEPLOY_NOTEBOOK_FREQUENCY", "@hourly")]).unwrap();
    assert_eq!(
        lines(&loaded.warnings),
        ["env.local:5: `ROADSTEAD_ENV_FILE` has no effect in the file: set it in the environment",]
    );
    assert_eq!(loaded.unknown.0, []);
}

#[test]
fn names_unknown_variables_apart() {
    let loaded = read("\nAUTODEPLOY_LOG_DRI=/x", &[("AUTODEPLOY_XYZZY_PLUGH", "1")]).unwrap();
    assert_eq!(
        lines(&loaded.unknown),
        [
            "environment: unknown variable `AUTODEPLOY_XYZZY_PLUGH`",
            "  hint: remove it; `env.local.example` lists every variable",
            "env.local:2: unknown variable `AUTODEPLOY_LOG_DRI`",
            "  hint: did you mean `AUTODEPLOY_LOG_DIR`?",
        ]
    );
    assert_eq!(loaded.warnings.0, []);
}

#[test]
fn tells_all_problems_at_once() {
    let text = "AUTODEPLOY_EXTRA_REPOS=srv\nCOMPOSE_DIR=x\nAUTODEPLOY_REPOS=https://u:hunter2@h/a\n\
                AUTODEPLOY_LOG_MAX_SIZE=big AUTODEPLOY_LOG_KEEP=0\n\
                BIRDHOUSE_LOG_DIR=logs\nAUTODEPLOY_LOG_DRI=/x";
    let pairs = [("AUTODEPLOY_GIT_TIMEOUT", "90"), ("DOCKER_HOST", "ssh://h")];
    let problems = read(text, &pairs).unwrap_err();
    let found: Vec<_> =
        problems.0.iter().map(|one| format!("{} {}", one.file, one.message)).collect();
    let path = "expected an absolute path";
    let expected = [
        "env.local `AUTODEPLOY_EXTRA_REPOS` is not valid: expected absolute paths".to_owned(),
        format!("env.local `COMPOSE_DIR` is not valid: {path}"),
        "env.local `AUTODEPLOY_REPOS` is not valid: expected a git URL without user".into(),
        "environment `DOCKER_HOST` is not valid: expected `unix:///path`".into(),
        "environment `AUTODEPLOY_GIT_TIMEOUT` is not valid: expected a duration".into(),
        format!(
            "env.local `BIRDHOUSE_LOG_DIR` (read as `AUTODEPLOY_LOG_DIR`) is not valid: {path}"
        ),
        "env.local `AUTODEPLOY_LOG_MAX_SIZE` is not valid: expected a size".into(),
        "env.local `AUTODEPLOY_LOG_KEEP` is not valid: expected a whole number".into(),
        "env.local unknown variable `AUTODEPLOY_LOG_DRI`".into(),
    ];
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    for (found, expected) in found.iter().zip(&expected) {
        assert!(found.starts_with(expected), "{found}\n{expected}");
    }
    assert!(!problems.to_string().contains("hunter2"));
}

#[test]
fn a_file_that_needs_a_shell_does_not_hide_the_environment() {
    let problems = read("A=$(b)", &[("AUTODEPLOY_LOG_KEEP", "many")]).unwrap_err();
    assert_eq!(problems.0.len(), 2, "{problems}");
}

#[test]
fn stability_cannot_outlast_the_deadline() {
    assert!(read("AUTODEPLOY_HEALTH_WITHIN=5s", &[]).is_err());
    assert!(read("AUTODEPLOY_HEALTH_WITHIN=10s", &[]).is_ok());
}

#[test]
fn only_a_loopback_address_is_open_without_tokens() {
    const TOKENS: &str = "AUTODEPLOY_TOKENS_FILE=/etc/roadstead/tokens";
    for (text, expected) in [
        ("AUTODEPLOY_LISTEN=127.0.0.1:80", None),
        ("AUTODEPLOY_LISTEN=[::1]:80", None),
        (&format!("AUTODEPLOY_LISTEN=0.0.0.0:80\n{TOKENS}"), None),
        ("AUTODEPLOY_LISTEN=0.0.0.0:80", Some("expected an address of this machine alone")),
        ("AUTODEPLOY_LISTEN=[::]:80", Some("name a file of tokens")),
        ("AUTODEPLOY_LISTEN=:80", Some("expected an IP address and a port")),
    ] {
        let told = read(text, &[]).err().map(|problems| problems.to_string());
        let as_expected = match (&told, expected) {
            (Some(told), Some(expected)) => told.contains(expected),
            (told, expected) => told.is_none() && expected.is_none(),
        };
        assert!(as_expected, "{text}: {told:?}");
    }
}

#[test]
fn bytes_that_are_not_text_concern_us_only_in_our_variables() {
    let bytes = || OsString::from_vec(vec![0xff]);
    let with =
        |name: &str| Environment(BTreeMap::from([(name.into(), bytes()), (bytes(), bytes())]));
    assert!(load(None, &with("OTHER")).is_ok());
    for name in ["AUTODEPLOY_LOG_DIR", "PAVICS_LOG_DIR", "AUTODEPLOY_TYPO"] {
        let problems = load(None, &with(name)).unwrap_err();
        assert!(problems.to_string().contains(name), "{problems}");
    }
}

#[test]
fn finds_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    for name in ["flag", "ours", "birdhouse"] {
        fs::write(at(name), name).unwrap();
    }
    let (flag, ours, birdhouse) = (at("flag"), at("ours"), at("birdhouse"));
    let rows: &[(Option<&str>, Pairs<'_>, &str)] = &[
        (Some(&flag), &[("ROADSTEAD_ENV_FILE", &ours)], "flag"),
        (None, &[("ROADSTEAD_ENV_FILE", &ours), ("BIRDHOUSE_LOCAL_ENV", &birdhouse)], "ours"),
        (None, &[("ROADSTEAD_ENV_FILE", ""), ("BIRDHOUSE_LOCAL_ENV", &birdhouse)], "birdhouse"),
    ];
    for (flag, pairs, expected) in rows {
        let found = read_env_file(flag.map(Path::new), &environment(pairs)).unwrap();
        assert_eq!(found.map(|(_, text)| text).as_deref(), Some(*expected));
    }
}

#[test]
fn says_why_a_file_cannot_be_read() {
    let directory = tempfile::tempdir().unwrap();
    let missing = directory.path().join("missing");
    let binary = directory.path().join("binary");
    fs::write(&binary, b"A=1\nB=\xff").unwrap();
    for (path, expected) in [
        (missing.as_path(), "No such file"),
        (directory.path(), "expected a file, found a directory"),
        (binary.as_path(), "binary:2: expected UTF-8 text"),
    ] {
        let problem = read_env_file(Some(path), &environment(&[])).unwrap_err().to_string();
        assert!(problem.contains(expected), "{problem}");
    }
}
