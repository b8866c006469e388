//! The kinds around backup, as people write them.

use super::super::Context;
use super::corpus::written;
use super::*;
use crate::job::work::{Database, Password, QuiesceHow, Tool};
use crate::problem::{Problem, Problems};

/// One job of each of these kinds, in its short and its long form.
pub(super) const KINDS: &str = r#"
- name: ba1
  backup: { repository: /backup/host, password_file: /run/keys/x, labels: true }
- name: ba2
  backup:
    repository: "rest:https://me:${TOKEN}@backup.example:8000/host"
    password: "${TOKEN}"
    credentials: { RESTIC_REST_USERNAME: me, RESTIC_REST_PASSWORD: "${TOKEN}" }
    ca_file: /etc/ca.pem
    init: true
    volumes: a b
    paths: [/data/documents/, "/data/with space"]
    projects: [shop]
    dumps:
      - { kind: postgres, project: shop, service: db, user: ada, password: "${TOKEN}", name: all.sql }
      - { kind: sqlite, container: web, database: /data/app.db, arguments: -bail }
      - { kind: mysql, labels: [role=db], password_env: DB_PASSWORD }
    quiesce: { how: stop, targets: [web, { project: shop, service: worker }], before: [flush] }
    exclude: ["*.tmp", /volumes/a/cache]
    exclude_caches: false
    tags: nightly weekly
    host: db1
    keep: { last: 3, hourly: 24, daily: 7, weekly: 5, monthly: 12, yearly: 2, within: 2w, tags: release }
    dry_run: true
- { name: bp1, backup_prune: { repository: "s3:https://s3.example/bucket/a/b", password_file: /p } }
- { name: bp2, backup_prune: { repository: /backup, password_file: /p, keep: "--keep-daily 7 --keep-within=1m2d", of: [ba1, gone], dry_run: true } }
- { name: bc1, backup_check: { repository: /backup, password_file: /p } }
- { name: bc2, backup_check: { repository: /backup, password_file: /p, read_in: 0, dry_run: true } }
- name: rd1
  restore_drill:
    repository: /backup
    password_file: /p
    of: ba1
    path: /volumes/a/
    check: { image: "postgres:17", command: [pg_restore, --list, /restore/x], network_mode: none }
    dry_run: true
"#;

#[test]
fn reads_every_key_of_backups() {
    let jobs = written(KINDS);
    let work = |name: &str| {
        let job = jobs.iter().find(|job| job.job.name == name);
        job.unwrap_or_else(|| panic!("{name}")).job.work.clone()
    };
    let Work::Backup(backup) = work("ba1") else { panic!("a backup") };
    assert!(backup.what.labels && backup.exclude_caches && !backup.repository.init);
    assert_eq!((backup.keep.clone(), backup.quiesce.how), (None, QuiesceHow::None));
    let Work::Backup(backup) = work("ba2") else { panic!("a backup") };
    assert!(!format!("{backup:?}").contains("secret"));
    assert_eq!(backup.repository.location.name(), "rest:https://backup.example:8000/host/");
    assert_eq!(backup.what.volumes, ["a", "b"]);
    let paths = ["/data/documents", "/data/with space"].map(PathBuf::from);
    assert_eq!(backup.what.paths, paths);
    let kinds: Vec<_> = backup.dumps.iter().map(|it| it.kind).collect();
    assert_eq!(kinds, [Database::Postgres, Database::Sqlite, Database::Mysql]);
    assert_eq!(backup.dumps[2].password_env.as_deref(), Some("DB_PASSWORD"));
    assert_eq!((backup.quiesce.how, backup.quiesce.targets.len()), (QuiesceHow::Stop, 2));
    assert_eq!(
        (backup.tags.len(), backup.exclude.len(), backup.host.as_deref()),
        (2, 2, Some("db1"))
    );
    let keep = backup.keep.clone().expect("rules");
    assert_eq!((keep.last, keep.hourly, keep.daily, keep.weekly), (3, 24, 7, 5));
    assert_eq!((keep.monthly, keep.yearly, keep.tags.len()), (12, 2, 1));
    assert_eq!(keep.within, Some(Duration::from_hours(14 * 24)));
    let Work::BackupPrune(prune) = work("bp2") else { panic!("a prune") };
    let keep = prune.keep.clone().expect("rules");
    assert_eq!((keep.daily, keep.within), (7, Some(Duration::from_hours(32 * 24))));
    assert_eq!(prune.of, ["ba1", "gone"], "one that is gone may have snapshots");
    let (Work::BackupCheck(usual), Work::BackupCheck(none)) = (work("bc1"), work("bc2")) else {
        panic!("checks")
    };
    assert_eq!((usual.read_in, none.read_in), (7, 0));
    let Work::RestoreDrill(drill) = work("rd1") else { panic!("a drill") };
    assert_eq!((drill.of.as_str(), drill.path.as_deref()), ("ba1", Some("/volumes/a")));
    assert_eq!(work("rd1").images(), ["postgres:17"]);
}

/// Files of restic's variables, by name.
struct RestFiles;

impl crate::compose::Files for RestFiles {
    fn read_bytes(&self, path: &Path) -> std::io::Result<Vec<u8>> {
        let text = match path.to_str().unwrap_or_default() {
            "/restic.env" => {
                "# of restic\nRESTIC_REPOSITORY=s3:https://s3.example/bucket\n\
                 export RESTIC_PASSWORD='pa$$ w#rd'\nAWS_ACCESS_KEY_ID=id\n\
                 AWS_SECRET_ACCESS_KEY=\"key\"\nRESTIC_CACERT=/ca.pem\n"
            }
            "/files.env" => "RESTIC_REPOSITORY_FILE=/where\nRESTIC_PASSWORD_FILE=/run/password\n",
            "/where" => "/backup/there\nnot this\n",
            "/command.env" => "RESTIC_REPOSITORY=/b\nRESTIC_PASSWORD_COMMAND=pass show x\n",
            "/more.env" => "RESTIC_PASSWORD=x\nRESTIC_CACHE_DIR=/c\nB2_ACCOUNT_ID=1\n",
            "/broken.env" => "RESTIC_PASSWORD=secret\nA B=secret\n",
            _ => return Err(std::io::ErrorKind::NotFound.into()),
        };
        Ok(text.as_bytes().to_vec())
    }
}

/// The jobs of a text that names these files, and what is wrong.
fn with_files(text: &str) -> (Vec<Job>, Problems) {
    let settings = settings();
    let variables = &settings.variables;
    let context =
        Context { settings: &settings, variables, toplevel: &|_| None, files: &RestFiles };
    super::super::read_file(text, "web.yml", &context)
}

#[test]
fn a_repository_is_opened_by_a_file_of_restics_variables() {
    // Keys, name of the repository, password, number of credentials, warnings.
    type Row<'a> = (&'a str, &'a str, Result<&'a str, &'a str>, usize, usize);
    let check = |keys: &str| format!("{{name: a, backup_check: {{{keys}}}}}");
    let rows: [Row<'_>; 5] = [
        ("env_file: /restic.env", "s3:https://s3.example/bucket", Ok("pa$$ w#rd"), 2, 0),
        ("env_file: /files.env", "/backup/there", Err("/run/password"), 0, 0),
        (
            "env_file: /restic.env, repository: /own, password_file: /mine, \
             credentials: {AWS_ACCESS_KEY_ID: other}",
            "/own",
            Err("/mine"),
            2,
            0,
        ),
        ("env_file: /restic.env, password: own", "s3:https://s3.example/bucket", Ok("own"), 2, 0),
        ("env_file: /more.env, repository: /own", "/own", Ok("x"), 0, 2),
    ];
    for (keys, name, password, credentials, warnings) in rows {
        let (jobs, problems) = with_files(&check(keys));
        assert!(problems.0.iter().all(Problem::is_warning), "{problems}");
        assert_eq!(problems.0.len(), warnings, "{problems}");
        let repository = jobs[0].work.repository().expect("a repository");
        assert_eq!(repository.location.name(), name);
        assert_eq!(repository.credentials.len(), credentials, "{keys}");
        let found = match &repository.password {
            Password::Value(value) => Ok(value.expose()),
            Password::File(path) => Err(path.to_str().unwrap()),
            Password::None => panic!("no password"),
        };
        assert_eq!(found, password, "{keys}");
        assert!(!format!("{repository:?}").contains("pa$$"));
    }
    for (keys, expected) in [
        ("env_file: /none.env", "read `/none.env`"),
        ("env_file: none.env", "must be absolute"),
        ("env_file: /command.env", "we run no command"),
        ("env_file: /broken.env", "/broken.env:2"),
        ("env_file: /more.env", "needs a `repository`"),
    ] {
        let (jobs, problems) = with_files(&check(keys));
        assert!(jobs.is_empty(), "{keys}");
        let text = problems.to_string();
        assert!(text.contains(expected) && !text.contains("=secret"), "{keys}: {text}");
    }
}

#[test]
fn a_repository_has_a_tool() {
    let age = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p";
    let check = |keys: &str| format!("{{name: a, backup_check: {{{keys}}}}}");
    for (keys, expected) in [
        ("repository: /b, password: p", Tool::Rustic),
        (
            "repository: /b, password: p, engine: restic, image: i, ssh_dir: /s",
            Tool::Restic { image: "i".to_owned(), ssh_dir: Some("/s".into()) },
        ),
        (
            "repository: 'sftp:me@h:/b', password: p",
            Tool::Restic { image: "restic/restic:0.18.0".to_owned(), ssh_dir: None },
        ),
        ("repository: /b, engine: tar", Tool::Tar { recipients: vec![], identity_file: None }),
        (
            &format!("repository: /b, engine: tar, recipients: {age}, identity_file: /i"),
            Tool::Tar { recipients: vec![age.to_owned()], identity_file: Some("/i".into()) },
        ),
    ] {
        let (jobs, problems) = with_files(&check(keys));
        assert!(problems.0.is_empty(), "{problems}");
        assert_eq!(jobs[0].work.repository().unwrap().tool, expected);
    }
    for (keys, expected) in [
        ("repository: 'b2:bucket:x', password: p, engine: rustic", "write `engine: restic`"),
        ("repository: 'sftp:me@h:/b', password: p, engine: rustic", "only restic opens"),
        ("repository: /b, password: p, engine: rustik", "did you mean `rustic`?"),
        ("repository: 'rest:http://h/b', engine: tar", "keeps no archives"),
        ("repository: /b, password: p, recipients: age1x", "write `engine: tar`"),
        ("repository: /b, engine: tar, recipients: x", "a public key of age"),
        ("repository: /b, engine: tar, recipients: age1x, password: p", "not both"),
    ] {
        let (_, problems) = with_files(&check(keys));
        assert!(problems.to_string().contains(expected), "{keys}: {problems}");
    }
    // What follows from a word that is mistyped is not said on top.
    let (_, problems) = with_files(&check("repository: /b, engine: tarr, recipients: age1x"));
    assert_eq!(problems.0.len(), 1, "{problems}");
}

#[test]
fn what_could_not_be_kept_is_refused() {
    let rows = [
        ("backup: {repository: /b}", "needs a `password_file`"),
        ("backup: {password_file: /p}", "needs a `repository`"),
        ("backup: {repository: /b, password_file: /p}", "nothing to keep"),
        ("backup: {repository: /b, password_file: /p, labels: ''}", "nothing to keep"),
        ("backup: {repository: /b, password: a, password_file: /p, labels: true}", "not both"),
        ("backup: {repository: /b, password_file: p, labels: true}", "must be absolute"),
        ("backup: {repository: b, password_file: /p, labels: true}", "`b` is no repository"),
        (
            "backup: {repository: 'ftp:secret@h:/x', password_file: /p, labels: true}",
            "a form that we do not know",
        ),
        (
            "backup: {repository: /b, password_file: /p, labels: true, credentials: {AWS_KEY: 1}}",
            "`AWS_KEY`, which we do not know",
        ),
        ("backup: {repository: /b, password_file: /p, paths: data}", "absolute path below `/`"),
        ("backup: {repository: /b, password_file: /p, paths: /}", "absolute path below `/`"),
        ("backup: {repository: /b, password_file: /p, paths: /a/../b}", "without `..`"),
        ("backup: {repository: /b/c, password_file: /p, paths: /b}", "does not keep itself"),
        ("backup: {repository: /b, password_file: /p, labels: true, tags: 'job:x'}", "is ours"),
        (
            "backup: {repository: /b, password_file: /p, labels: true, exclude: '!a'}",
            "no glob of ours",
        ),
        ("backup: {repository: /b, password_file: /p, labels: true, keep: {}}", "has no rule"),
        (
            "backup: {repository: /b, password_file: /p, labels: true, keep: {daily: 0}}",
            "has no rule",
        ),
        ("backup: {repository: /b, password_file: /p, labels: true, keep: daly=7}", "`daily`"),
        ("backup: {repository: /b, password_file: /p, labels: true, keep: daily}", "whole number"),
        (
            "backup: {repository: /b, password_file: /p, labels: true, keep: --keep-within 2w}",
            "expected a time",
        ),
        (
            "backup: {repository: /b, password_file: /p, labels: true, keep: --group-by host}",
            "no rule of ours",
        ),
        ("backup: {repository: /b, password_file: /p, labels: true, quiesce: puase}", "`pause`?"),
        ("backup: {repository: /b, password_file: /p, labels: true, quiesce: exec}", "no command"),
        (
            "backup: {repository: /b, password_file: /p, labels: true, quiesce: {how: none, after: a}}",
            "do nothing",
        ),
        (
            "backup: {repository: /b, password_file: /p, dumps: {kind: mysq, container: c}}",
            "expected one of `postgres`, `mysql`",
        ),
        (
            "backup: {repository: /b, password_file: /p, dumps: {kind: mysql}}",
            "which container is meant",
        ),
        (
            "backup: {repository: /b, password_file: /p, dumps: {kind: sqlite, container: c}}",
            "absolute path of the file",
        ),
        (
            "backup: {repository: /b, password_file: /p, dumps: {kind: redis, container: c, name: a/b}}",
            "name of a file",
        ),
        (
            "restore_drill: {repository: /b, password_file: /p, of: x, check: {image: a, keep: true}}",
            "means nothing in `check`",
        ),
        (
            "restore_drill: {repository: /b, password_file: /p, of: x, check: {image: a, volumes: ['vol:/restore/x']}}",
            "mounts something at `/restore`",
        ),
        (
            "restore_drill: {repository: /b, password_file: /p, of: x, path: ../a, check: {image: a}}",
            "expected a path in the snapshot",
        ),
    ];
    for (text, expected) in rows {
        let text = format!("name: a\n{text}");
        let problems = parse(&text, "web.yml", &settings()).expect_err(&text).to_string();
        assert!(problems.contains(expected) && !problems.contains("secret@"), "{text}: {problems}");
    }
    // What is taken, with a word of warning.
    let keys = "repository: /b, password_file: /p, labels: true, keep: '--keep-last 3 --prune'";
    let (jobs, problems) = with_files(&format!("{{name: a, backup: {{{keys}}}}}"));
    let Work::Backup(backup) = &jobs[0].work else { panic!("a backup") };
    assert_eq!(backup.keep.as_ref().map(|it| it.last), Some(3));
    assert!(problems.to_string().contains("a `backup_prune` job"), "{problems}");
}
