//! `clean`: old files go, and nothing else.

#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a fixture that fails is a test that fails; times and pauses are those of the writer"
)]

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde_json::Value;

use crate::support::{Engine, Roadstead};

const DAY: u64 = 24 * 3600;

/// An installation with one job `tidy` that cleans its directory `files`.
fn installed(clean: &str) -> Roadstead {
    let roadstead = Roadstead::new(&Engine::shared().host(), "");
    fs::create_dir(roadstead.path("files")).unwrap();
    let files = roadstead.path("files");
    let text = format!("name: tidy\nclean:\n  directory: {}\n{clean}", files.display());
    roadstead.write_job("job.yml", &text);
    roadstead
}

/// Gives a file or a directory a time of so many days ago.
fn aged(path: &Path, days: u64) {
    let time = SystemTime::now() - Duration::from_secs(days * DAY);
    let times = fs::FileTimes::new().set_modified(time).set_accessed(time);
    File::open(path).unwrap().set_times(times).unwrap();
}

fn file(roadstead: &Roadstead, name: &str, days: u64) -> PathBuf {
    let path = roadstead.path("files").join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, "12345").unwrap();
    aged(&path, days);
    path
}

/// All that is below a directory, links not followed.
fn tree(directory: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut open = vec![directory.to_owned()];
    while let Some(next) = open.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let entry = entry.unwrap();
            let relative = entry.path().strip_prefix(directory).unwrap().display().to_string();
            if entry.file_type().unwrap().is_dir() {
                open.push(entry.path());
                found.push(format!("{relative}/"));
            } else {
                found.push(relative);
            }
        }
    }
    found.sort();
    found
}

fn results(roadstead: &Roadstead) -> Value {
    let runs: Vec<Value> = serde_json::from_str(&roadstead.run(&["runs", "--json"]).ok()).unwrap();
    let id = runs[0]["id"].to_string();
    let run: Value = serde_json::from_str(&roadstead.run(&["runs", &id, "--json"]).ok()).unwrap();
    run["details"]["results"].clone()
}

#[test]
fn old_files_go_and_neither_links_nor_checkouts_nor_what_they_lead_to() {
    let roadstead = installed(
        "  older_than: 10d\n  exclude: ['*.keep', 'public/**']\n  empty_directories: true\n",
    );
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("precious"), "x").unwrap();
    aged(&outside.path().join("precious"), 99);
    let old = ["a/b/old.nc", "a/old.keep", "public/old.nc", "checkout/old.nc", "gone/deep/old.nc"];
    for name in old {
        file(&roadstead, name, 30);
    }
    file(&roadstead, "new.nc", 1);
    fs::create_dir(roadstead.path("files/checkout/.git")).unwrap();
    symlink(outside.path(), roadstead.path("files/link")).unwrap();
    for directory in ["gone/deep", "gone", "a/b", "a"] {
        aged(&roadstead.path("files").join(directory), 30);
    }
    let expected_before = tree(&roadstead.path("files"));
    let plan = roadstead.run(&["plan", "tidy"]).fails_with(3);
    assert!(plan.contains("remove gone/deep/old.nc") && plan.contains("is a checkout"), "{plan}");
    assert_eq!(tree(&roadstead.path("files")), expected_before);
    roadstead.run(&["run", "tidy"]).ok();
    assert_eq!(
        tree(&roadstead.path("files")),
        [
            "a/",
            "a/old.keep",
            "checkout/",
            "checkout/.git/",
            "checkout/old.nc",
            "link",
            "new.nc",
            "public/",
            "public/old.nc"
        ]
    );
    assert!(outside.path().join("precious").exists());
    let results = results(&roadstead);
    assert_eq!((&results["removed"], &results["bytes"]), (&2.into(), &10.into()), "{results}");
    assert_eq!(results["directories"], 3);
    let log = roadstead.log("tidy");
    assert!(log.contains("removed gone/deep/old.nc"), "{log}");
    roadstead.run(&["plan", "tidy"]).ok();
}

#[test]
fn the_newest_stay_and_too_many_at_once_are_a_matter_for_a_person() {
    let roadstead = installed("  older_than: 1d\n  keep: 2\n  max_files: 2\n");
    for (name, days) in [("1", 9), ("2", 8), ("3", 7), ("4", 6), ("5", 5)] {
        file(&roadstead, name, days);
    }
    let said = roadstead.run(&["run", "tidy"]).fails_with(1);
    assert!(said.contains("needs_person") && said.contains("max_files: 2"), "{said}");
    assert_eq!(tree(&roadstead.path("files")).len(), 5);
    fs::remove_file(roadstead.path("files/1")).unwrap();
    roadstead.run(&["run", "tidy"]).ok();
    assert_eq!(tree(&roadstead.path("files")), ["4", "5"]);
    assert_eq!(results(&roadstead)["kept"], 2);
}

#[test]
fn a_dry_run_says_all_and_removes_nothing() {
    let roadstead = installed("  older_than: 1d\n  dry_run: true\n");
    file(&roadstead, "old", 9);
    let said = roadstead.run(&["run", "tidy"]).ok();
    assert!(said.contains("dry run"), "{said}");
    assert!(roadstead.log("tidy").contains("remove old"));
    assert_eq!(tree(&roadstead.path("files")), ["old"]);
}

#[test]
fn a_directory_that_is_ours_is_refused_by_whatever_name() {
    let roadstead = installed("  older_than: 1d\n");
    let job = |directory: &str| {
        format!("name: tidy\nclean: {{ directory: {directory}, older_than: 1d }}\n")
    };
    for directory in ["/", "/usr", &roadstead.path("state").display().to_string()] {
        roadstead.write_job("job.yml", &job(directory));
        roadstead.run(&["check"]).fails_with(2);
    }
    // A link that leads there is known when it is opened.
    let link = roadstead.path("link");
    symlink(roadstead.path("state"), &link).unwrap();
    aged(&roadstead.path("env.local"), 1);
    roadstead.write_job("job.yml", &job(&link.display().to_string()));
    let said = roadstead.run(&["run", "tidy"]).fails_with(1);
    assert!(said.contains("not_started") && said.contains("Roadstead needs"), "{said}");
    roadstead.write_job("job.yml", &job(&roadstead.path("nowhere").display().to_string()));
    let said = roadstead.run(&["run", "tidy"]).fails_with(1);
    assert!(said.contains("not_started") && said.contains("nowhere"), "{said}");
}

#[test]
fn the_ready_job_cleans_what_its_variables_name() {
    let roadstead = Roadstead::new(&Engine::shared().host(), "");
    assert!(!roadstead.run(&["jobs"]).ok().contains("clean-old-files"));
    file(&roadstead, "old", 9);
    file(&roadstead, "young", 1);
    roadstead.write_env_local(&format!(
        "AUTODEPLOY_CLEAN_DIRECTORY={}\nAUTODEPLOY_CLEAN_OLDER_THAN=1w",
        roadstead.path("files").display()
    ));
    roadstead.run(&["run", "clean-old-files"]).ok();
    assert_eq!(tree(&roadstead.path("files")), ["young"]);
}
