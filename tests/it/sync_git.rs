//! `sync` from git: what a repository holds, and nothing that it should not, is brought to a directory.

#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a fixture that fails is a test that fails; the pauses are those before a kill"
)]

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::git_world::HttpServer;
use crate::support::project::git;
use crate::support::{Engine, Roadstead, TempProject, unique, write_files};

/// An installation with one job `data` that syncs into its directory `to`; `map` are lines of the map,
/// `sync` those after the maps.
fn installed(repository: &str, reference: &str, map: &str, sync: &str) -> Roadstead {
    let roadstead = Roadstead::new(&Engine::shared().host(), "");
    rewrite(&roadstead, repository, reference, map, sync);
    roadstead
}

fn rewrite(roadstead: &Roadstead, repository: &str, reference: &str, map: &str, sync: &str) {
    let to = roadstead.path("to").display().to_string();
    roadstead.write_job(
        "job.yml",
        &format!(
            "name: data\nsync:\n  source: {{ repo: '{repository}', ref: '{reference}' }}\n  maps:\n  - to: {to}\n{map}{sync}"
        ),
    );
}

fn remote(project: &TempProject) -> String {
    format!("file://{}", project.remote().display())
}

/// All that is below a directory with its content, links not followed.
pub(crate) fn tree(directory: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut open = vec![directory.to_owned()];
    while let Some(next) = open.pop() {
        for entry in fs::read_dir(next).into_iter().flatten() {
            let path = entry.unwrap().path();
            let relative = path.strip_prefix(directory).unwrap().display().to_string();
            if path.is_symlink() {
                found.push(format!("{relative}->{}", fs::read_link(&path).unwrap().display()));
            } else if path.is_dir() {
                open.push(path);
                found.push(format!("{relative}/"));
            } else {
                found.push(format!("{relative}={}", fs::read_to_string(&path).unwrap()));
            }
        }
    }
    found.sort();
    found
}

pub(crate) fn results(roadstead: &Roadstead) -> Value {
    let runs: Vec<Value> = serde_json::from_str(&roadstead.run(&["runs", "--json"]).ok()).unwrap();
    let id = runs[0]["id"].to_string();
    let run: Value = serde_json::from_str(&roadstead.run(&["runs", &id, "--json"]).ok()).unwrap();
    run["details"]["results"].clone()
}

#[test]
fn only_what_differs_is_written_and_what_is_gone_goes() {
    let project = TempProject::new(&[("in/a.txt", "1"), ("in/d/e/b.txt", "2"), ("out.txt", "x")]);
    let roadstead =
        installed(&remote(&project), "main", "    from: in\n    exclude: [own, '*.log']\n", "");
    let to = roadstead.path("to");
    let plan = roadstead.run(&["plan", "data"]).fails_with(3);
    assert!(plan.contains("to/d/e/b.txt (new, 1 B)"), "{plan}");
    assert!(!to.exists());
    roadstead.run(&["run", "data"]).ok();
    assert_eq!(tree(&to), ["a.txt=1", "d/", "d/e/", "d/e/b.txt=2"]);
    let said = roadstead.run(&["run", "data"]).ok();
    assert!(said.contains("unchanged (converged)"), "{said}");
    roadstead.run(&["plan", "data"]).ok();
    let inode = |name: &str| fs::metadata(to.join(name)).unwrap().ino();
    let before = inode("a.txt");
    // Others put something there, and change what is the job's.
    write_files(&to, &[("own/x", "mine"), ("d/y.log", "mine"), ("d/extra", "goes")]);
    write_files(&to, &[("d/e/b.txt", "3")]);
    write_files(&project.author(), &[("in/new", "4")]);
    fs::set_permissions(project.author().join("in/new"), fs::Permissions::from_mode(0o755))
        .unwrap();
    git(&project.author(), &["rm", "-q", "in/a.txt"]);
    symlink("d/e", project.author().join("in/link")).unwrap();
    project.push(&[("in/again", "1")]);
    roadstead.run(&["run", "data"]).ok();
    let expected = [
        "again=1",
        "d/",
        "d/e/",
        "d/e/b.txt=2",
        "d/y.log=mine",
        "link->d/e",
        "new=4",
        "own/",
        "own/x=mine",
    ];
    assert_eq!(tree(&to), expected);
    assert_eq!(fs::metadata(to.join("new")).unwrap().mode() & 0o777, 0o755);
    let results = results(&roadstead);
    assert_eq!((&results["copied"], &results["removed"]), (&4.into(), &2.into()), "{results}");
    assert_eq!((&results["unchanged"], &results["kept"]), (&0.into(), &2.into()), "{results}");
    let kept = inode("again");
    project.push(&[("in/d/e/b.txt", "5")]);
    roadstead.run(&["run", "data"]).ok();
    assert_eq!((inode("again"), before > 0), (kept, true), "what is unchanged is not written");
    assert!(roadstead.log("data").contains("copy "), "{}", roadstead.log("data"));
}

#[test]
fn rights_and_owners_are_set_as_said_and_a_dry_run_does_nothing() {
    let project = TempProject::new(&[("d/a", "1")]);
    let map = "    mode: '0640'\n    dir_mode: '0750'\n    owner: '7:8'\n";
    let roadstead = installed(&remote(&project), "main", map, "  dry_run: true\n");
    let said = roadstead.run(&["run", "data"]).ok();
    assert!(said.contains("dry run") && !roadstead.path("to").exists(), "{said}");
    assert!(roadstead.log("data").contains("copy "));
    rewrite(&roadstead, &remote(&project), "main", map, "");
    roadstead.run(&["run", "data"]).ok();
    let rights = |name: &str| {
        let about = fs::metadata(roadstead.path("to").join(name)).unwrap();
        (about.mode() & 0o7777, about.uid(), about.gid())
    };
    assert_eq!((rights("d/a"), rights("d")), ((0o640, 7, 8), (0o750, 7, 8)));
    fs::set_permissions(roadstead.path("to/d/a"), fs::Permissions::from_mode(0o600)).unwrap();
    roadstead.run(&["run", "data"]).ok();
    assert_eq!(rights("d/a"), (0o640, 7, 8));
}

#[test]
fn a_source_that_is_down_or_lacks_its_ref_leaves_the_destination_untouched() {
    let project = TempProject::new(&[("a", "1")]);
    let roadstead = installed(&remote(&project), "main", "", "");
    let to = roadstead.path("to");
    roadstead.run(&["run", "data"]).ok();
    write_files(&to, &[("extra", "stays while nobody knows")]);
    let before = tree(&to);
    let away = project.remote().with_extension("away");
    fs::rename(project.remote(), &away).unwrap();
    let said = roadstead.run(&["run", "data"]).fails_with(1);
    assert!(said.contains("remote_unreachable") && said.contains("nothing was changed"), "{said}");
    assert_eq!(tree(&to), before);
    fs::rename(&away, project.remote()).unwrap();
    for (reference, from, reason) in [
        ("none", "", "upstream_gone"),
        ("0123456789012345678901234567890123456789", "", "upstream_gone"),
        ("main", "    from: nowhere\n", "is no directory of the source"),
    ] {
        rewrite(&roadstead, &remote(&project), reference, from, "");
        let said = roadstead.run(&["run", "data"]).fails_with(1);
        assert!(said.contains(reason), "{reference}: {said}");
        assert_eq!(tree(&to), before);
        roadstead.run(&["plan", "data"]).fails_with(1);
    }
    rewrite(&roadstead, &remote(&project), "main", "", "");
    roadstead.run(&["run", "data"]).ok();
    assert_eq!(tree(&to), ["a=1"]);
}

#[test]
fn branches_tags_and_commits_are_followed_also_through_rewritten_history() {
    let project = TempProject::new(&[("a", "1")]);
    let author = project.author();
    let first = git(&author, &["rev-parse", "HEAD"]).trim().to_owned();
    git(&author, &["tag", "v1"]);
    git(&author, &["push", "-q", "origin", "v1"]);
    project.push(&[("a", "2")]);
    let roadstead = installed(&remote(&project), "main", "", "");
    let to = roadstead.path("to");
    let synced = |repository: &str, reference: &str| {
        rewrite(&roadstead, repository, reference, "", "");
        roadstead.run(&["run", "data"]).ok();
        tree(&to).join(" ")
    };
    let directory = project.remote().display().to_string();
    assert_eq!(synced(&remote(&project), "main"), "a=2");
    assert_eq!(synced(&remote(&project), "v1"), "a=1");
    assert_eq!(synced(&directory, ""), "a=2");
    assert_eq!(synced(&remote(&project), &first), "a=1");
    assert_eq!(synced(&directory, "main"), "a=2");
    assert_eq!(synced(&remote(&project), &first[..9]), "a=1");
    git(&author, &["reset", "-q", "--hard", &first]);
    write_files(&author, &[("b", "3")]);
    git(&author, &["add", "--all"]);
    git(&author, &["commit", "-q", "-m", "again"]);
    git(&author, &["push", "-q", "--force", "origin", "HEAD:main"]);
    assert_eq!(synced(&remote(&project), "main"), "a=1 b=3");
}

#[test]
fn a_shallow_repository_is_a_source_by_file_and_told_over_http() {
    let project = TempProject::new(&[("a", "1")]);
    project.push(&[("a", "2")]);
    let directory = tempfile::tempdir().unwrap();
    let shallow = directory.path().join("shallow.git");
    let depth = ["clone", "-q", "--bare", "--depth", "1", &remote(&project)];
    git(directory.path(), &[&depth[..], &[shallow.to_str().unwrap()]].concat());
    assert!(shallow.join("shallow").exists());
    let roadstead = installed(&format!("file://{}", shallow.display()), "main", "", "");
    roadstead.run(&["run", "data"]).ok();
    assert_eq!(tree(&roadstead.path("to")), ["a=2"]);
    let server = HttpServer::start(directory.path(), "me", "secret");
    let roadstead = installed(&server.url("shallow.git"), "main", "", "");
    let token = roadstead.path("keys/shallow_token");
    fs::write(&token, "me:secret").unwrap();
    fs::set_permissions(&token, fs::Permissions::from_mode(0o600)).unwrap();
    let said = roadstead.run(&["run", "data"]).fails_with(1);
    assert!(said.contains("git fetch --unshallow") && !roadstead.path("to").exists(), "{said}");
    git(&shallow, &["fetch", "-q", "--unshallow", "origin"]);
    roadstead.run(&["run", "data"]).ok();
    assert_eq!(tree(&roadstead.path("to")), ["a=2"]);
}

/// Writes a git object by hand.
fn object(repository: &Path, kind: &str, content: &[u8]) -> String {
    let mut child = Command::new("git")
        .args(["hash-object", "-w", "--literally", "-t", kind, "--stdin"])
        .current_dir(repository)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(content).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// A tree by hand: of each entry its mode, its name and the id that it leads to.
fn tree_object(repository: &Path, entries: &[(&str, &str, &str)]) -> String {
    let mut bytes = Vec::new();
    for (mode, name, id) in entries {
        bytes.extend(format!("{mode} {name}\0").into_bytes());
        let digit = |at: usize| u8::from_str_radix(&id[at..at + 2], 16).unwrap();
        bytes.extend((0..id.len()).step_by(2).map(digit));
    }
    object(repository, "tree", &bytes)
}

type Entries<'a> = &'a [(&'a str, &'a str, &'a str)];

#[test]
fn hostile_trees_are_refused_before_anything_is_written() {
    let project = TempProject::new(&[("a", "1")]);
    let remote_directory = project.remote();
    let blob = |text: &str| object(&remote_directory, "blob", text.as_bytes());
    let (file, out, up) = (blob("evil"), blob("/etc"), blob("../../x"));
    let dot_dot = tree_object(&remote_directory, &[("100644", "..", &file)]);
    let passwd = tree_object(&remote_directory, &[("100644", "passwd", &file)]);
    let hooks = tree_object(&remote_directory, &[("100755", "post-checkout", &file)]);
    let outside = tempfile::tempdir().unwrap();
    let roadstead = installed(&remote(&project), "main", "", "");
    let to = roadstead.path("to");
    roadstead.run(&["run", "data"]).ok();
    let rows: [(Entries<'_>, &str); 11] = [
        (&[("100644", "..", &file)], "is no name"),
        (&[("40000", "d", &dot_dot)], "is no name"),
        (&[("40000", "..", &passwd)], "is no name"),
        (&[("100644", "../../escaped", &file)], "`/`"),
        (&[("100644", "/tmp/escaped", &file)], "`/`"),
        (&[("40000", ".git", &hooks)], "git's own name"),
        (&[("40000", ".GIT", &hooks)], "git's own name"),
        (&[("120000", "link", &out)], "is an absolute path"),
        (&[("120000", "link", &up)], "leads out of the directory"),
        (&[("120000", "l", &out), ("40000", "l", &passwd)], "is there twice"),
        (&[("100644", "x", &file), ("40000", "x", &passwd)], "a directory at once"),
    ];
    for (entries, part) in rows {
        let root = tree_object(&remote_directory, entries);
        let who = "a <a@example.org> 1700000000 +0000";
        let text = format!("tree {root}\nauthor {who}\ncommitter {who}\n\nx\n");
        let commit = object(&remote_directory, "commit", text.as_bytes());
        git(&remote_directory, &["update-ref", "refs/heads/main", &commit]);
        let said = roadstead.run(&["run", "data"]).fails_with(1);
        let is_refused =
            said.contains(part) || part == "is there twice" && said.contains("at once");
        assert!(is_refused && said.contains("nothing was changed"), "{entries:?}: {said}");
        assert_eq!(tree(&to), ["a=1"], "{entries:?}");
    }
    assert!(!roadstead.path("escaped").exists() && !Path::new("/tmp/escaped").exists());
    // A link at the destination is replaced, and never followed.
    let good = tree_object(&remote_directory, &[("40000", "d", &passwd)]);
    let who = "a <a@example.org> 1700000000 +0000";
    let text = format!("tree {good}\nauthor {who}\ncommitter {who}\n\nx\n");
    let commit = object(&remote_directory, "commit", text.as_bytes());
    git(&remote_directory, &["update-ref", "refs/heads/main", &commit]);
    symlink(outside.path(), to.join("d")).unwrap();
    roadstead.run(&["run", "data"]).ok();
    assert_eq!(tree(&to), ["d/", "d/passwd=evil"]);
    assert_eq!(tree(outside.path()).len(), 0);
}

#[test]
fn a_destination_that_is_needed_otherwise_is_refused_by_whatever_name() {
    let project = TempProject::new(&[("a", "1")]);
    let roadstead = installed(&remote(&project), "main", "", "");
    symlink(roadstead.path("state"), roadstead.path("to")).unwrap();
    let said = roadstead.run(&["run", "data"]).fails_with(1);
    assert!(said.contains("Roadstead needs"), "{said}");
    assert!(!roadstead.path("state/a").exists());
    fs::remove_file(roadstead.path("to")).unwrap();
    git(&roadstead.path(""), &["init", "-q", "to"]);
    let said = roadstead.run(&["run", "data"]).fails_with(1);
    assert!(said.contains("is a checkout of git"), "{said}");
    fs::remove_dir_all(roadstead.path("to")).unwrap();
    fs::write(roadstead.path("to"), "a file").unwrap();
    roadstead.run(&["run", "data"]).fails_with(1);
    assert_eq!(fs::read_to_string(roadstead.path("to")).unwrap(), "a file");
}

#[test]
fn a_directory_is_exchanged_as_a_whole_and_keeps_what_is_not_the_jobs() {
    let project = TempProject::new(&[("a", "1"), ("d/b", "2"), ("d/c", "3")]);
    let map = "    atomic: true\n    exclude: own\n";
    let roadstead = installed(&remote(&project), "main", map, "");
    let to = roadstead.path("to");
    roadstead.run(&["run", "data"]).ok();
    assert_eq!(tree(&to), ["a=1", "d/", "d/b=2", "d/c=3"]);
    write_files(&to, &[("own/deep/x", "mine"), ("extra", "goes")]);
    let inode = |name: &str| fs::metadata(to.join(name)).unwrap().ino();
    let (whole, unchanged) = (inode(""), inode("d/b"));
    project.push(&[("a", "4"), ("e/f", "5")]);
    roadstead.run(&["run", "data"]).ok();
    let expected =
        ["a=4", "d/", "d/b=2", "d/c=3", "e/", "e/f=5", "own/", "own/deep/", "own/deep/x=mine"];
    assert_eq!(tree(&to), expected);
    assert_ne!(inode(""), whole);
    assert_eq!(inode("d/b"), unchanged, "what is unchanged is not written");
    let names: Vec<_> = fs::read_dir(roadstead.path("")).unwrap().map(|it| it.unwrap()).collect();
    assert!(names.iter().all(|it| !it.file_name().to_string_lossy().contains(".roadstead-")));
    let said = roadstead.run(&["run", "data"]).ok();
    assert!(said.contains("unchanged (converged)"), "{said}");
}

#[test]
fn killed_at_any_moment_each_file_is_whole_and_an_atomic_directory_is_of_one_revision() {
    let version = |letter: &str| letter.repeat(20_000);
    let files = |letter: &str| -> Vec<(String, String)> {
        (0..300).map(|number| (format!("d{}/f{number}", number % 7), version(letter))).collect()
    };
    let push = |project: &TempProject, letter: &str| {
        let files = files(letter);
        let files: Vec<(&str, &str)> =
            files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
        write_files(&project.author(), &files);
        git(&project.author(), &["add", "--all"]);
        git(&project.author(), &["commit", "-q", "-m", letter]);
        git(&project.author(), &["push", "-q", "origin", "HEAD:main"]);
    };
    for map in ["", "    atomic: true\n"] {
        let project = TempProject::new(&[("d0/first", "x")]);
        let roadstead = installed(&remote(&project), "main", map, "");
        let to = roadstead.path("to");
        push(&project, "a");
        roadstead.run(&["run", "data"]).ok();
        let mut last = "a";
        for (number, letter) in ["b", "c", "d", "e"].into_iter().enumerate() {
            push(&project, letter);
            let mut child = roadstead.command(&["run", "data"]);
            let mut child = child.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            // As soon as something is written aside, and then ever later.
            let is_begun = || {
                let aside = |it: PathBuf| it.to_string_lossy().contains(".roadstead-");
                let names = |at: &Path| -> Vec<PathBuf> {
                    fs::read_dir(at).unwrap().map(|it| it.unwrap().path()).collect()
                };
                let all: Vec<PathBuf> = [names(&to), names(&roadstead.path(""))].concat();
                all.into_iter().any(aside)
            };
            while !is_begun() && child.try_wait().unwrap().is_none() {
                std::thread::sleep(Duration::from_millis(1));
            }
            std::thread::sleep(Duration::from_millis(number as u64 * 40));
            let _ = child.kill();
            child.wait().unwrap();
            let mut seen = std::collections::BTreeSet::new();
            for (name, _) in files("") {
                let text = fs::read_to_string(to.join(&name)).unwrap();
                let of = text[..1].to_owned();
                assert_eq!(text, version(&of), "{name} is not whole");
                seen.insert(of);
            }
            let expected = [last, letter];
            assert!(seen.iter().all(|it| expected.contains(&it.as_str())), "{seen:?}");
            assert!(map.is_empty() || seen.len() == 1, "{seen:?}");
            // The next run goes on, and clears away what was left.
            roadstead.run(&["run", "data"]).ok();
            assert_eq!(fs::read_to_string(to.join("d1/f1")).unwrap(), version(letter));
            assert!(!is_begun());
            last = letter;
        }
    }
}

#[test]
fn hooks_are_told_what_changed_and_told_again_where_they_failed() {
    let project = TempProject::new(&[("a", "1"), ("b", "1")]);
    let names = "SYNC_REVISION SYNC_PREVIOUS_REVISION SYNC_CHANGED_COUNT SYNC_CHANGED_FILES \
                 GIT_PREVIOUS_COMMIT_HASH GIT_NEW_COMMIT_HASH GIT_CHANGED_FILES";
    // Without quotes: each value in one line.
    let tell: Vec<String> =
        names.split_whitespace().map(|name| format!("echo {name}=$${name}")).collect();
    let tell = tell.join("; ");
    let job = |roadstead: &Roadstead, always: &str| {
        let flag = roadstead.path("flag").display().to_string();
        let hook = format!(
            "  hooks:\n  - image: rs-test/app:1\n    command: [sh, -c, '{tell}; test ! -e /flag/fail']\n    volumes: ['{flag}:/flag']\n{always}"
        );
        rewrite(roadstead, &remote(&project), "main", "", &hook);
    };
    let roadstead = Roadstead::new(&Engine::shared().host(), "");
    fs::create_dir(roadstead.path("flag")).unwrap();
    job(&roadstead, "");
    let log = || roadstead.log("data").lines().last().map(str::to_owned).unwrap_or_default();
    let to = roadstead.path("to").display().to_string();
    roadstead.run(&["run", "data"]).ok();
    let first = git(&project.author(), &["rev-parse", "HEAD"]).trim().to_owned();
    let text = roadstead.log("data");
    assert!(text.contains(&format!("SYNC_REVISION={first}")), "{text}");
    assert!(text.contains("SYNC_CHANGED_COUNT=2"), "{text}");
    let hooks = |text: &str| text.matches("SYNC_REVISION=").count();
    roadstead.run(&["run", "data"]).ok();
    assert_eq!(hooks(&roadstead.log("data")), 1, "nothing changed: {}", log());
    fs::write(roadstead.path("flag/fail"), "").unwrap();
    let second = project.push(&[("a", "2")]);
    let said = roadstead.run(&["run", "data"]).fails_with(1);
    assert!(said.contains("hook 1 of 1 failed"), "{said}");
    let third = project.push(&[("b", "3")]);
    fs::remove_file(roadstead.path("flag/fail")).unwrap();
    roadstead.run(&["run", "data"]).ok();
    let text = roadstead.log("data");
    let told = text.rsplit_once(&format!("SYNC_REVISION={third}")).map(|_| &text).unwrap();
    for part in [
        format!("SYNC_PREVIOUS_REVISION={first}"),
        format!("GIT_PREVIOUS_COMMIT_HASH={first}"),
        format!("GIT_NEW_COMMIT_HASH={third}"),
        "GIT_CHANGED_FILES=M a M b".to_owned(),
        format!("SYNC_CHANGED_FILES={to}/a {to}/b"),
    ] {
        assert!(told.contains(&part), "`{part}` is missing in\n{told}");
    }
    assert_ne!(second.trim(), third.trim());
    assert_eq!(results(&roadstead)["hooks"], 1);
    job(&roadstead, "  always: true\n");
    let before = hooks(&roadstead.log("data"));
    roadstead.run(&["run", "data"]).ok();
    assert_eq!(hooks(&roadstead.log("data")), before + 1);
}

#[test]
fn a_deploy_data_file_of_birdhouse_does_what_it_did_there() {
    let one = TempProject::new(&[("data/a.nc", "1"), ("data/deep/b.nc", "2"), ("data/c.txt", "3")]);
    let two = TempProject::new(&[("x", "1")]);
    let image = "AUTODEPLOY_DEPLOY_DATA_IMAGE=rs-test/app:1";
    let roadstead = Roadstead::new(&Engine::shared().host(), image);
    let (first, second) = (roadstead.path("raven"), roadstead.path("other"));
    let file = roadstead.path("deploy-data.yml");
    let text = format!(
        "config:\n  checkout_cache: /tmp/unused\ndeploy:\n- repo_url: {}\n  branch: origin/main\n  checkout_name: raven\n  \
         dir_maps:\n  - source_dir: data\n    dest_dir: {}\n    rsync_extra_opts: --include=*/ --include=*.nc --exclude=*\n  \
         post_actions:\n  - action: echo \"$GIT_NEW_COMMIT_HASH\" > {}/at\n- repo_url: {}\n  branch: main\n  \
         checkout_name: other\n  dir_maps:\n  - source_dir: .\n    dest_dir: {}\n",
        remote(&one),
        first.display(),
        first.display(),
        remote(&two),
        second.display()
    );
    fs::write(&file, &text).unwrap();
    let name = unique("dd");
    roadstead.write_job(
        "job.yml",
        &format!("name: {name}\nsync: {{ deploy_data: {} }}\n", file.display()),
    );
    roadstead.run(&["run", &name]).ok();
    let head = git(&one.author(), &["rev-parse", "HEAD"]).trim().to_owned();
    assert_eq!(tree(&first), ["a.nc=1", &format!("at={head}\n"), "deep/", "deep/b.nc=2"]);
    assert_eq!(tree(&second), ["x=1"]);
    git(&one.author(), &["rm", "-q", "data/deep/b.nc"]);
    one.push(&[("data/a.nc", "4")]);
    roadstead.run(&["run", &name]).ok();
    assert!(tree(&first).contains(&"a.nc=4".to_owned()) && !first.join("deep").exists());
    fs::write(&file, text.replace("--exclude=*", "--delete-excluded")).unwrap();
    let said = roadstead.run(&["check"]).fails_with(2);
    assert!(said.contains("deploy-data.yml:10") && said.contains("--delete-excluded"), "{said}");
}

#[test]
fn the_ready_job_brings_notebooks() {
    let project = TempProject::new(&[("n/a.ipynb", "{}"), ("n/b.txt", "x")]);
    let roadstead = Roadstead::new(&Engine::shared().host(), "");
    let users = roadstead.path("users");
    fs::create_dir(&users).unwrap();
    let variables = format!("JUPYTERHUB_USER_DATA_DIR={}", users.display());
    roadstead.write_env_local(&variables);
    assert!(!roadstead.run(&["jobs"]).ok().contains("notebookdeploy"));
    roadstead.write_env_local(&format!(
        "{variables}\nAUTODEPLOY_NOTEBOOK_REPO={}\nBIRDHOUSE_AUTODEPLOY_NOTEBOOK_FREQUENCY='3 4 * * *'",
        remote(&project)
    ));
    assert!(roadstead.run(&["jobs"]).ok().contains("3 4 * * *"));
    roadstead.run(&["run", "notebookdeploy"]).ok();
    assert_eq!(
        tree(&users),
        ["tutorial-notebooks/", "tutorial-notebooks/n/", "tutorial-notebooks/n/a.ipynb={}"]
    );
    fs::rename(project.remote(), project.remote().with_extension("away")).unwrap();
    roadstead.run(&["run", "notebookdeploy"]).fails_with(1);
    assert_eq!(tree(&users).len(), 3);
}
