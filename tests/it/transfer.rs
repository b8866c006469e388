//! `import`, `export` and `schema` as a person types them.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use crate::support::Roadstead;

/// No engine: these commands must do without.
const NOWHERE: &str = "unix:///nonexistent/docker.sock";

const INI: &str = "[job-run \"report\"]\nschedule = 0 20 * * *\nimage = alpine:3.22\ncommand = date -u\n\
    [job-exec \"clean\"]\nschedule = @every 1h\ncontainer = web\ncommand = sh -c 'rm -rf /tmp/$X'\n\
    [job-service-run \"swarm\"]\nschedule = @daily\nimage = alpine\n";

#[test]
fn import_says_of_each_job_what_became_of_it() {
    let roadstead = Roadstead::new(NOWHERE, "");
    let scratch = tempfile::tempdir().unwrap();
    let (file, into) = (scratch.path().join("config.ini"), scratch.path().join("jobs"));
    fs::write(&file, INI).unwrap();
    let (file, into) = (file.to_str().unwrap(), into.to_str().unwrap());
    let import = |more: &[&str]| {
        let mut arguments = vec!["import", "--from", "ofelia", file, "--into", into];
        arguments.extend(more);
        roadstead.run(&arguments)
    };
    let dry = import(&["--dry-run"]);
    assert!(dry.stdout.contains("created: report\n"), "{}", dry.stdout);
    assert!(fs::metadata(into).is_err(), "a dry run writes nothing");
    let first = import(&[]);
    // What Swarm did is refused, with the reason, and everything else is done.
    assert_eq!(first.code, Some(1), "{}", first.stdout);
    assert!(first.stdout.contains("created: clean\n"), "{}", first.stdout);
    assert!(
        first.stdout.contains("refused: ") && first.stdout.contains("Swarm"),
        "{}",
        first.stdout
    );
    assert!(first.stderr.contains("0 20 * * *"), "both readings are told: {}", first.stderr);
    let report = format!("{into}/report.yml");
    assert_eq!(fs::metadata(&report).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(import(&[]).stdout.contains("unchanged: report\n"));
    let changed = fs::read_to_string(&report).unwrap().replace("alpine:3.22", "alpine:3.20");
    fs::write(&report, changed).unwrap();
    assert!(import(&[]).stdout.contains("refused: report: another one is in"));
    assert!(import(&["--on-conflict", "skip"]).stdout.contains("unchanged: report: another one"));
    assert!(import(&["--on-conflict", "replace"]).stdout.contains("updated: report\n"));
    assert!(fs::read_to_string(&report).unwrap().contains("alpine:3.22"));
    let none = roadstead.run(&["import", "--from", "dkron", "/nonexistent"]);
    assert!(none.fails_with(2).contains("read `/nonexistent`"));
}

#[test]
fn export_import_export_is_the_same_to_the_byte() {
    let roadstead = Roadstead::new(NOWHERE, "URL=https://api.example/secret\n");
    roadstead.write_job(
        "some.yml",
        "- { name: a, schedule: '*/5 * * * *', http: { url: \"${URL}\" } }\n\
         - name: b\n  run: { image: alpine, command: \"echo $$HOME\", volumes: [\"a1:/b:ro\"] }\n\
         - { name: c, after: b, group: [a] }\n\
         - { name: d, schedule: '@every 90s', command: [echo, hi] }\n",
    );
    let first = roadstead.run(&["export"]).ok();
    assert!(first.contains("${URL}") && !first.contains("secret"), "{first}");
    let other = Roadstead::new(NOWHERE, "URL=https://api.example/secret\n");
    let scratch = tempfile::tempdir().unwrap();
    let file = scratch.path().join("jobs.yml");
    fs::write(&file, format!("{first}\n")).unwrap();
    let into = other.path("jobs");
    let arguments =
        ["import", "--from", "native", file.to_str().unwrap(), "--into", into.to_str().unwrap()];
    assert_eq!(other.run(&arguments).ok().matches("created: ").count(), 4);
    assert_eq!(other.run(&["export"]).ok(), first);
    assert!(other.run(&arguments).ok().lines().all(|line| line.starts_with("unchanged: ")));
    // Dkron has no containers and no groups, and knows no variables.
    let dkron = other.run(&["export", "--format", "dkron"]);
    assert_eq!(dkron.code, Some(1));
    for expected in ["refused: a: it holds variables", "refused: b: ", "refused: c: "] {
        assert!(dkron.stderr.contains(expected), "{}", dkron.stderr);
    }
    let with = other.run(&["export", "--format", "dkron", "--with-secrets", "a", "d"]).ok();
    assert!(with.contains("https://api.example/secret"), "{with}");
    let file = scratch.path().join("dkron.json");
    fs::write(&file, &with).unwrap();
    let third = Roadstead::new(NOWHERE, "");
    let into = third.path("jobs");
    let arguments =
        ["import", "--from", "dkron", file.to_str().unwrap(), "--into", into.to_str().unwrap()];
    third.run(&arguments).ok();
    assert_eq!(third.run(&["export", "--format", "dkron"]).ok(), with);
    assert!(other.run(&["export", "nothing"]).fails_with(2).contains("no job `nothing`"));
}

#[test]
fn birdhouse_lists_are_jobs_like_all_others() {
    let roadstead = Roadstead::new(
        NOWHERE,
        "export AUTODEPLOY_EXTRA_SCHEDULER_JOBS=\"\n- name: hello\n  schedule: '@hourly'\n  command: echo hi\n  \
         image: bash:5.1.4\n  dockerargs: >-\n    --volume /a:/a:ro\n- name: odd\n  schedule: '@daily'\n  \
         command: a\n  image: b\n  dockerargs: --frobnicate\n\"\n",
    );
    let listed = roadstead.run(&["jobs", "--json"]).ok();
    assert!(listed.contains("\"hello\"") && !listed.contains("\"odd\""), "{listed}");
    let checked = roadstead.run(&["check"]);
    assert_eq!(checked.code, Some(2));
    assert!(checked.stdout.contains("`--frobnicate` is no flag"), "{}", checked.stdout);
}

#[test]
fn an_ini_file_of_ofelia_is_read_as_it_stands() {
    let scratch = tempfile::tempdir().unwrap();
    let file = scratch.path().join("config.ini");
    fs::write(&file, INI).unwrap();
    let setting = format!("AUTODEPLOY_OFELIA_CONFIG={}\n", file.display());
    let roadstead = Roadstead::new(NOWHERE, &setting);
    roadstead.write_job("a.yml", "{ name: clean, run: { image: alpine } }");
    let listed = roadstead.run(&["jobs", "--json"]).ok();
    for expected in ["\"report\"", "\"clean\"", "\"clean-2\"", "config.ini:1\""] {
        assert!(listed.contains(expected), "{expected}: {listed}");
    }
    let checked = roadstead.run(&["check"]);
    assert_eq!(checked.code, Some(2), "{}", checked.stdout);
    assert!(checked.stdout.contains("there is no Swarm here"), "{}", checked.stdout);
    // What was read is what an export gives, and what an import of that reads.
    let exported = roadstead.run(&["export", "report"]).ok();
    assert!(exported.contains("pull_fallback: true"), "{exported}");
    fs::remove_file(&file).unwrap();
    let gone = roadstead.run(&["check"]);
    assert!(gone.stdout.contains("set `AUTODEPLOY_OFELIA_CONFIG`"), "{}", gone.stdout);
}

#[test]
fn the_schema_is_the_shipped_one() {
    let shipped = include_str!("../../schema/jobs.schema.json");
    assert_eq!(Roadstead::new(NOWHERE, "").run(&["schema"]).ok(), shipped.trim_end());
}
