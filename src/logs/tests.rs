//! Logs on real files: rotation, and what operators and full disks do to them.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use tempfile::TempDir;

use super::*;

pub(super) fn settings(dir: &Path) -> LogSettings {
    LogSettings {
        dir: dir.to_path_buf(),
        max_size_bytes: 10_000,
        keep: 3,
        compress: true,
        format: LogFormat::Text,
        level: "info".to_owned(),
    }
}

/// Logs what `work` says, with files looked at before every line.
pub(super) fn logged(settings: &LogSettings, work: impl FnOnce(&AtomicU64)) -> u64 {
    let impatient = Limits {
        look_every: Duration::ZERO,
        rotate_again_after: Duration::ZERO,
        ..limits(settings)
    };
    let (subscriber, guard) = prepare(settings, impatient, chrono_tz::UTC, false);
    let errors = Arc::clone(&guard.errors);
    tracing::subscriber::with_default(subscriber, || work(&errors));
    drop(guard);
    errors.load(Ordering::Relaxed)
}

pub(super) fn text(dir: &Path, job: &str) -> String {
    fs::read_to_string(log_path(dir, job)).unwrap_or_default()
}

/// The messages of a job's log, without time and level.
pub(super) fn messages(dir: &Path, job: &str) -> Vec<String> {
    let after_level = |line: &str| line.get(32..).unwrap_or(line).to_owned();
    text(dir, job).lines().map(after_level).collect()
}

/// Waits until the worker has written `wanted` to the file, so that tests can act in between.
fn wait_for(dir: &Path, job: &str, wanted: &str) {
    wait_until(|| text(dir, job).contains(wanted));
}

pub(super) fn wait_until(mut done: impl FnMut() -> bool) {
    for _ in 0..1_000 {
        if done() {
            return;
        }
        wait_a_moment(10);
    }
    panic!("the worker does not do what is waited for");
}

#[expect(clippy::disallowed_methods, reason = "the worker is a thread")]
fn wait_a_moment(milliseconds: u64) {
    std::thread::sleep(Duration::from_millis(milliseconds));
}

#[test]
fn each_job_has_its_own_file() {
    let dir = TempDir::new().unwrap();
    logged(&settings(dir.path()), |_| {
        tracing::info!("listening");
        tracing::info!(job = "web", run = 1, "pulled");
        tracing::info_span!("run", job = "api", run = 2).in_scope(|| {
            tracing::info!(image = "nginx", "pulled");
            tracing::info_span!("source", source = "stack").in_scope(|| tracing::warn!("behind"));
        });
        tracing::info!(target: RUN, job = "web", run = 1, trigger = "schedule", "started");
        tracing::info!(job = "../evil", "kept in its place");
        tracing::debug!("not asked for");
        tracing::info!(target: "bollard::uri", "not asked for");
    });
    assert_eq!(messages(dir.path(), "web"), ["run 1: pulled", "run 1: started trigger=schedule"]);
    assert_eq!(
        messages(dir.path(), "api"),
        ["run 2: pulled image=nginx", "run 2: behind source=stack"]
    );
    let main = messages(dir.path(), MAIN);
    let wanted = ["listening", "web run 1: started trigger=schedule", "../evil: kept in its place"];
    assert_eq!(main, wanted);
    assert!(text(dir.path(), "api").contains("+00:00 WARN  run 2: behind"));
}

#[test]
fn markers_have_the_form_of_birdhouse() {
    let dir = TempDir::new().unwrap();
    let settings = LogSettings { level: "error".to_owned(), ..settings(dir.path()) };
    let start = DateTime::from_timestamp(1_795_237_620, 0).unwrap();
    logged(&settings, |_| {
        marker_start("autodeploy", start);
        marker_end("autodeploy", start, start + chrono::TimeDelta::seconds(5));
    });
    let wanted = "==========\n\
                  autodeploy START_TIME=2026-11-21T05:07:00+00:00\n\
                  autodeploy finished START_TIME=2026-11-21T05:07:00+00:00\n\
                  autodeploy finished   END_TIME=2026-11-21T05:07:05+00:00\n";
    assert_eq!(text(dir.path(), "autodeploy"), wanted);
}

#[test]
fn json_lines_are_objects_also_for_raw_lines() {
    let dir = TempDir::new().unwrap();
    let settings = LogSettings { format: LogFormat::Json, ..settings(dir.path()) };
    logged(&settings, |_| {
        let mut output = Output::open(&settings, "web", 7);
        output.write("err", b"oh no\n");
        output.finish();
        marker_start("web", DateTime::from_timestamp(1_795_237_620, 0).unwrap());
    });
    let objects: Vec<serde_json::Value> =
        text(dir.path(), "web").lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let said: Vec<_> = objects.iter().map(|object| object["message"].as_str().unwrap()).collect();
    assert_eq!(said, ["oh no", "==========", "autodeploy START_TIME=2026-11-21T05:07:00+00:00"]);
    assert_eq!(objects[0]["stream"], "err");
    assert_eq!(run_lines(dir.path(), "web", 7).unwrap().len(), 1);
}

#[test]
fn files_are_rotated_by_size_kept_and_compressed() {
    for compress in [true, false] {
        let dir = TempDir::new().unwrap();
        let settings = LogSettings { compress, ..settings(dir.path()) };
        let errors = logged(&settings, |_| {
            for number in 0..2_000 {
                tracing::info!(job = "web", run = number / 100, "line {number:05}");
            }
        });
        assert_eq!(errors, 0);
        let rotated = read::rotated(&log_path(dir.path(), "web")).unwrap();
        assert_eq!(rotated.len(), 3);
        for path in rotated.iter().chain([&log_path(dir.path(), "web")]) {
            let is_gz = path.extension().unwrap() == "gz";
            assert_eq!(is_gz, compress && !path.ends_with("web.log"), "{}", path.display());
            let metadata = path.metadata().unwrap();
            assert!(metadata.len() <= 10_000, "{}", path.display());
            assert_eq!(metadata.permissions().mode() & 0o777, 0o640, "{}", path.display());
        }
        let last = tail(dir.path(), "web", 500).unwrap();
        assert_eq!(last.len(), 500);
        for (line, number) in last.iter().zip(1_500..) {
            assert!(line.ends_with(&format!("line {number:05}")), "{line} is not {number}");
        }
        assert_eq!(run_lines(dir.path(), "web", 18).unwrap().len(), 100);
    }
}

#[test]
fn deleted_and_renamed_files_lose_nothing_more() {
    let dir = TempDir::new().unwrap();
    let active = log_path(dir.path(), "web");
    let errors = logged(&settings(dir.path()), |_| {
        tracing::info!(job = "web", "one");
        wait_for(dir.path(), "web", "one");
        fs::remove_file(&active).unwrap();
        tracing::info!(job = "web", "two");
        wait_for(dir.path(), "web", "two");
        fs::rename(&active, dir.path().join("web.log.1")).unwrap();
        tracing::info!(job = "web", "three");
        wait_for(dir.path(), "web", "three");
        for number in 0..600 {
            tracing::info!(job = "web", "filling {number}");
        }
        wait_for(dir.path(), "web", "filling 599");
        for path in read::rotated(&active).unwrap() {
            fs::remove_file(path).unwrap();
        }
        for number in 600..1_200 {
            tracing::info!(job = "web", "filling {number}");
        }
        wait_for(dir.path(), "web", "filling 1199");
        fs::remove_dir_all(dir.path()).unwrap();
        tracing::info!(job = "web", "four");
    });
    assert_eq!(errors, 0);
    assert_eq!(messages(dir.path(), "web"), ["four"]);
}

#[test]
fn a_full_disk_loses_lines_and_says_so_later() {
    let dir = TempDir::new().unwrap();
    let disk = Mount::small(dir.path());
    let settings = LogSettings { max_size_bytes: 10_000_000, ..settings(disk.0) };
    let filler = disk.0.join("filler");
    fs::write(&filler, vec![0; 40_000]).unwrap();
    let errors = logged(&settings, |errors| {
        for number in 0..2_000 {
            tracing::info!(job = "web", "line {number:05}");
        }
        wait_until(|| {
            let written = text(disk.0, "web").matches('\n').count() as u64;
            written + errors.load(Ordering::Relaxed) == 2_000
        });
        fs::remove_file(&filler).unwrap();
        tracing::info!(job = "web", "again");
        tracing::info!(job = "web", "and again");
        wait_for(disk.0, "web", "and again");
    });
    assert!(errors > 0);
    let said = messages(disk.0, "web");
    let lost = said.iter().find_map(|line| line.strip_prefix("lost ")).unwrap();
    let (lost, why) = lost.split_once(' ').unwrap();
    assert_eq!(why, "lines: disk full");
    let whole = said.iter().filter(|line| line.starts_with("line ") && line.len() == 10).count();
    assert_eq!(whole + lost.parse::<usize>().unwrap(), 2_000);
    assert_eq!(said[said.len() - 2..], ["again", "and again"]);
}

#[test]
fn a_directory_that_cannot_be_written_is_tried_again() {
    let dir = TempDir::new().unwrap();
    let logs = dir.path().join("logs");
    fs::write(&logs, "a file where the directory should be").unwrap();
    let errors = logged(&settings(&logs), |errors| {
        tracing::info!(job = "web", "lost");
        tracing::info!(job = "api", "lost");
        tracing::info!(job = "web", "lost as well");
        wait_until(|| errors.load(Ordering::Relaxed) == 4);
        fs::remove_file(&logs).unwrap();
        tracing::info!(job = "web", "found");
    });
    assert_eq!(errors, 4);
    let said = messages(&logs, "web");
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(said[0].starts_with("lost 2 lines: "), "{said:?}");
    assert_eq!(said[1], "found");
}

#[test]
fn a_file_that_cannot_be_renamed_grows_on() {
    let dir = TempDir::new().unwrap();
    let active = log_path(dir.path(), "web");
    fs::write(&active, "").unwrap();
    let _mount = Mount::over_itself(&active);
    let errors = logged(&settings(dir.path()), |_| {
        for number in 0..400 {
            tracing::info!(job = "web", "line {number:05}");
        }
    });
    assert!(errors > 0);
    assert_eq!(text(dir.path(), "web").lines().count(), 400);
}

#[test]
fn more_files_than_descriptors_kept_open() {
    let dir = TempDir::new().unwrap();
    logged(&settings(dir.path()), |_| {
        for number in 0..200 {
            tracing::info!(job = format!("job-{}", number % 100), "line {number}");
        }
    });
    for job in 0..100 {
        assert_eq!(text(dir.path(), &format!("job-{job}")).lines().count(), 2);
    }
}

#[test]
fn a_torn_line_is_ended_before_the_next() {
    let dir = TempDir::new().unwrap();
    fs::write(log_path(dir.path(), "web"), "half a li").unwrap();
    logged(&settings(dir.path()), |_| tracing::info!(job = "web", "whole"));
    let text = text(dir.path(), "web");
    assert!(text.starts_with("half a li\n2"), "{text}");
}

#[tokio::test]
async fn following_survives_rotation() {
    let dir = TempDir::new().unwrap();
    let settings = LogSettings { keep: 50, ..settings(dir.path()) };
    logged(&settings, |_| tracing::info!(job = "web", "before"));
    let path = dir.path().to_path_buf();
    let mut seen = Vec::new();
    let following = follow(&path, "web", Since::Last(10), |line| {
        seen.push(line);
        if seen.len() < 2_001 {
            std::ops::ControlFlow::Continue(())
        } else {
            std::ops::ControlFlow::Break(())
        }
    });
    let writing = tokio::task::spawn_blocking(move || {
        for part in 0..4 {
            wait_a_moment(300);
            logged(&settings, |_| {
                for number in 0..500 {
                    tracing::info!(job = "web", "line {:05}", part * 500 + number);
                }
            });
        }
    });
    tokio::time::timeout(Duration::from_secs(30), following).await.unwrap().unwrap();
    writing.await.unwrap();
    assert!(seen[0].ends_with("before"));
    for (line, number) in seen[1..].iter().zip(0..) {
        assert!(line.ends_with(&format!("line {number:05}")), "{line} is not {number}");
    }
}

#[test]
fn a_log_that_is_not_there_is_said() {
    let dir = TempDir::new().unwrap();
    let error = tail(dir.path(), "web", 10).unwrap_err();
    let wanted = format!("there is no log `{}` yet", log_path(dir.path(), "web").display());
    assert_eq!(error.to_string(), wanted);
}

#[test]
fn a_sweep_leaves_what_is_kept_and_what_goes_on() {
    let dir = TempDir::new().unwrap();
    let settings = settings(dir.path());
    logged(&settings, |_| {
        for run in 1..=6 {
            for job in ["web", "api"] {
                let mut output = Output::open(&settings, job, run);
                output.write("out", &[b'x'; 9_000]);
                output.finish();
            }
        }
    });
    fs::write(dir.path().join("runs/web/readme"), "").unwrap();
    let keep = crate::job::Keep { runs: 2, ..crate::job::Keep::default() };
    let keeps = std::collections::BTreeMap::from([("web".to_owned(), keep)]);
    let going_on = std::collections::BTreeSet::from([1]);
    let swept = sweep(&settings, &keeps, &going_on, now()).unwrap();
    // Of `api`, which is gone, as much stays as a log may take: 4 files of 10,000 bytes.
    assert_eq!((swept.files, swept.size_bytes), (3 + 1, 4 * 9_030));
    let left = |job| {
        let runs = 1..=6;
        runs.filter(|run| run_log_path(dir.path(), job, *run).exists()).collect::<Vec<_>>()
    };
    assert_eq!((left("web"), left("api")), (vec![1, 5, 6], vec![1, 3, 4, 5, 6]));
    let later = now() + chrono::TimeDelta::days(1);
    assert_eq!(sweep(&settings, &keeps, &going_on, later).unwrap(), Swept::default());
}

/// Something mounted for a test, until dropped.
pub(super) struct Mount<'a>(pub(super) &'a Path);

impl<'a> Mount<'a> {
    pub(super) fn small(path: &'a Path) -> Self {
        run("mount", &["-t", "tmpfs", "-o", "size=64k", "tmpfs", path.to_str().unwrap()]);
        Self(path)
    }

    fn over_itself(path: &'a Path) -> Self {
        run("mount", &["--bind", path.to_str().unwrap(), path.to_str().unwrap()]);
        Self(path)
    }
}

impl Drop for Mount<'_> {
    fn drop(&mut self) {
        run("umount", &["--lazy", self.0.to_str().unwrap()]);
    }
}

#[expect(clippy::disallowed_methods, reason = "the tests mount file systems")]
fn run(program: &str, arguments: &[&str]) {
    let status = Command::new(program).args(arguments).status().unwrap();
    assert!(status.success(), "`{program} {arguments:?}` must work: run the tests as root");
}
