//! Restoring in place: who is stopped for it runs again, whoever dies meanwhile.

#![expect(clippy::unwrap_used, reason = "a fixture that fails is a test that fails")]

use std::fs;
use std::process::Stdio;

use serde_json::Value;

use crate::backup::Site;
use crate::support::scene::PATIENCE;
use crate::support::{unique, wait_for};

/// A site with a snapshot, a volume that is not as in it, and its listing as it is there.
fn spoiled() -> (Site, String) {
    let site = Site::new();
    site.write_job(&site.of_volume(), "");
    site.run().ok();
    let good = site.listing(&site.volume);
    site.in_volume(&site.volume, "cd /data; rm one hard; echo bad > deep/er/two");
    (site, good)
}

/// Two containers with the volume, of which the second takes its time to stop: the first is down by then.
fn slow(site: &mut Site) -> (String, String) {
    let first = site.container("a", &[]);
    let second = unique("b");
    let mount = format!("{}:/data", site.volume);
    let command = "trap '' TERM; while :; do sleep 1; done";
    let arguments = ["run", "--detach", "--name", &second, "--volume", &mount];
    let rest = ["--stop-timeout", "15", "rs-test/app:1", "sh", "-c", command];
    site.engine.docker(&[&arguments[..], &rest].concat());
    site.containers.push(second.clone());
    (first, second)
}

/// The runs of a job that restored, newest first.
fn restores(site: &Site) -> Vec<Value> {
    let runs = site.roadstead.run(&["runs", &site.job, "--json"]).ok();
    let runs: Vec<Value> = serde_json::from_str(&runs).unwrap();
    runs.into_iter().filter(|it| it["trigger"] == "restore").collect()
}

fn arguments(site: &Site) -> [&str; 5] {
    ["backup", "restore", &site.job, "--in-place", "--stop"]
}

#[test]
fn killed_while_it_restores_the_next_roadstead_starts_what_it_had_stopped() {
    for again in ["serve", "restore", "run"] {
        let (mut site, good) = spoiled();
        let (first, second) = slow(&mut site);
        let before = site.started(&second);
        let mut command = site.roadstead.command(&arguments(&site));
        let mut command = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        wait_for("the window", PATIENCE, || {
            let stopped = site.last_run()["details"]["stopped"].as_array().map_or(0, Vec::len);
            site.state(&first) == "exited" && stopped == 2
        });
        command.kill().unwrap();
        command.wait().unwrap();
        assert_eq!(restores(&site)[0]["outcome"], "running", "{again}");
        let daemon = match again {
            "serve" => Some(site.roadstead.serve()),
            "restore" => {
                let restored = format!("{}-restored", site.volume);
                site.volumes.push(restored);
                site.roadstead.run(&["backup", "restore", &site.job]).ok();
                None
            }
            _ => {
                site.run().ok();
                None
            }
        };
        wait_for("both containers", PATIENCE, || {
            let now = site.started(&second);
            site.state(&first) == "running" && now != before && now.ends_with("running")
        });
        wait_for("the end of the run", PATIENCE, || restores(&site)[0]["outcome"] == "lost");
        if let Some(daemon) = daemon {
            assert_eq!(daemon.stop(PATIENCE), Some(0));
        }
        // And it can be done again.
        if again == "restore" {
            site.engine.docker(&["rm", "--force", &second]);
            site.roadstead.run(&arguments(&site)).ok();
            assert_eq!(site.listing(&site.volume), good);
            assert_eq!(site.state(&first), "running");
        }
        // What a killed worker left goes with the next run of the job.
        assert!(!site.workers().contains("running"), "{}", site.workers());
        site.run().ok();
        assert_eq!(site.workers(), "");
    }
}

#[test]
fn a_daemon_restores_in_place_as_a_run_that_is_no_backup() {
    let (mut site, good) = spoiled();
    let (first, second) = slow(&mut site);
    // What follows a backup does not follow this.
    let marker = unique("after");
    site.roadstead.write_job(
        "after.yml",
        &format!(
            "name: {marker}\nafter: {}\nrun: {{image: rs-test/app:1, command: [\"true\"]}}\n",
            site.job
        ),
    );
    let daemon = site.roadstead.serve();
    wait_for("the daemon", PATIENCE, || site.roadstead.run(&["health"]).code == Some(0));
    let mut command = site.roadstead.command(&arguments(&site));
    let mut command = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    wait_for("the window", PATIENCE, || site.state(&first) == "exited");
    // Killed with it, and started anew.
    daemon.kill();
    assert_ne!(command.wait().unwrap().code(), Some(0));
    let daemon = site.roadstead.serve();
    wait_for("both containers", PATIENCE, || {
        site.state(&first) == "running" && site.state(&second) == "running"
    });
    wait_for("the end of the run", PATIENCE, || restores(&site)[0]["outcome"] == "lost");

    site.engine.docker(&["rm", "--force", &second]);
    let before = site.started(&first);
    let said = site.roadstead.run(&arguments(&site)).ok();
    assert!(said.contains("restored as in snapshot") && said.contains(&site.volume), "{said}");
    assert_eq!(site.listing(&site.volume), good);
    let after = site.started(&first);
    assert!(after != before && after.ends_with("running"), "{after}");
    let run = restores(&site)[0].clone();
    assert_eq!(run["outcome"], "succeeded");
    let run = site.roadstead.run(&["runs", &run["id"].to_string(), "--json"]).ok();
    let run: Value = serde_json::from_str(&run).unwrap();
    let to = &run["details"]["results"]["restored"][0]["to"];
    assert_eq!(*to, format!("volume {}", site.volume), "{run}");
    assert!(run["details"].get("stopped").is_none(), "{run}");

    // It refuses as it does alone.
    let refused = site.roadstead.run(&arguments(&site)[..4]).fails_with(1);
    assert!(refused.contains("--stop") && refused.contains("nothing was touched"), "{refused}");
    assert_eq!(site.started(&first), after);
    let none = site.roadstead.run(&["backup", "restore", &site.job, "ffffffff", "--in-place"]);
    assert!(none.fails_with(1).contains("there is no snapshot `ffffffff`"));
    assert!(site.roadstead.run(&["runs", &marker, "--json"]).ok().trim() == "[]");
    assert_eq!(daemon.stop(PATIENCE), Some(0));
    fs::metadata(site.roadstead.path("repository/config")).unwrap();
}

#[test]
fn a_person_cancels_a_restore_and_containers_run_again() {
    let (mut site, _) = spoiled();
    let (first, second) = slow(&mut site);
    let daemon = site.roadstead.serve();
    wait_for("the daemon", PATIENCE, || site.roadstead.run(&["health"]).code == Some(0));
    let mut command = site.roadstead.command(&arguments(&site));
    let mut command = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    wait_for("the window", PATIENCE, || site.state(&first) == "exited");
    let id = restores(&site)[0]["id"].to_string();
    site.roadstead.run(&["cancel", &id]).ok();
    assert_eq!(command.wait().unwrap().code(), Some(1));
    assert_eq!(restores(&site)[0]["outcome"], "cancelled");
    assert_eq!((site.state(&first), site.state(&second)), ("running".into(), "running".into()));
    assert_eq!(daemon.stop(PATIENCE), Some(0));
    assert_eq!(site.workers(), "");
}
