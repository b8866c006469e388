//! Sources on real repositories and real servers: file, http through `git http-backend`, ssh through sshd.
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test's set-up stops at the first surprise, and runs git, lighttpd and sshd"
)]

mod git_world;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::{Duration, Instant};

use roadstead::compose::Files;
use roadstead::git::{Git, LARGEST_FILE_BYTES, Look, View, toplevel};
use roadstead::run::Reason;
use roadstead::source::{CheckoutState, Commit, Origin, Source, Verdict};

use git_world::{HttpServer, Repositories, SshServer, git, git_output, silent_server};

#[track_caller]
fn check(look: &Look, verdict: Verdict, message: &str) {
    assert_eq!(look.state.verdict(), verdict, "{look:?}");
    assert!(look.message.contains(message), "{}\n  lacks: {message}", look.message);
}

#[track_caller]
fn stuck(look: &Look, reason: Reason, message: &str) {
    check(look, Verdict::Stuck(reason), message);
}

fn managed(directory: &Path, url: &str, reference: Option<&str>) -> Source {
    Source {
        name: "app".to_owned(),
        directory: directory.to_owned(),
        origin: Origin::Managed {
            url: url.to_owned(),
            reference: reference.map(ToOwned::to_owned),
        },
    }
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap()
}

#[tokio::test]
async fn an_unchanged_checkout_is_level_and_not_written_to() {
    let world = Repositories::new();
    let before = world.git_directory_listing();
    let look = world.look().await;
    check(&look, Verdict::Current, "is level with `main`");
    assert_eq!((look.head.clone(), look.reference.as_str()), (look.target, "main"));
    assert_eq!(look.head, Some(world.head()));
    assert_eq!(world.git_directory_listing(), before);
}

#[tokio::test]
async fn a_push_is_fetched_and_fast_forwarded_to() {
    let world = Repositories::new();
    let old = world.head();
    world.push("a.txt", "two");
    world.push("dir/b.txt", "new");
    let look = world.look().await;
    check(&look, Verdict::Advance, "2 commits behind `main`");
    let new = look.target.unwrap();
    assert_eq!((world.head(), look.head), (old.clone(), Some(old.clone())));
    assert_eq!(git_output(&world.checkout, &["rev-parse", "origin/main"]), new.0);

    let adapter = world.adapter();
    let changes = adapter.changes(&world.source(), Some(&old), &new).await.unwrap();
    assert_eq!((changes.commits, changes.file_count), (Some(2), 2));
    assert_eq!((changes.subject.as_str(), changes.author.as_str()), ("change dir/b.txt", "Ann"));

    for _ in 0..2 {
        adapter.fast_forward(&world.source(), &new).await.unwrap();
        assert_eq!(world.head(), new);
        assert_eq!(git_output(&world.checkout, &["status", "--porcelain"]), "");
        assert_eq!(git_output(&world.checkout, &["branch", "--show-current"]), "main");
    }
    check(&world.look().await, Verdict::Current, "level");

    adapter.restore(&world.source(), &new, &old).await.unwrap();
    assert_eq!(
        (world.head(), read(&world.checkout.join("a.txt"))),
        (old.clone(), "one".to_owned())
    );
    assert!(!world.checkout.join("dir").exists());
    assert_eq!(git_output(&world.checkout, &["status", "--porcelain"]), "");
}

#[tokio::test]
async fn a_roll_back_leaves_what_a_person_touched() {
    let world = Repositories::new();
    let old = world.head();
    let new = world.push("a.txt", "two");
    world.look().await;
    let adapter = world.adapter();
    adapter.fast_forward(&world.source(), &new).await.unwrap();
    fs::write(world.checkout.join("a.txt"), "mine").unwrap();
    let error = adapter.restore(&world.source(), &new, &old).await.unwrap_err();
    assert!(format!("{error:#}").contains("the work tree was edited (`a.txt`)"), "{error:#}");
    git(&world.checkout, &["commit", "-qam", "mine"]);
    let error = adapter.restore(&world.source(), &new, &old).await.unwrap_err();
    assert!(format!("{error:#}").contains("someone moved it"), "{error:#}");
}

#[tokio::test]
async fn commits_and_edits_of_a_person_decide_what_may_happen() {
    let world = Repositories::new();
    fs::write(world.checkout.join("new.txt"), "mine").unwrap();
    check(&world.look().await, Verdict::Current, "uncommitted changes (1 file, first `new.txt`)");
    let new = world.push("a.txt", "two");
    let sentence = "commit or stash the changes in `";
    stuck(&world.look().await, Reason::Dirty, sentence);
    fs::remove_file(world.checkout.join("new.txt")).unwrap();
    git(&world.checkout, &["commit", "-q", "--allow-empty", "-m", "mine"]);
    stuck(&world.look().await, Reason::Diverged, "(1 ahead, 1 behind)");
    let error = world.adapter().fast_forward(&world.source(), &new).await.unwrap_err();
    assert!(format!("{error:#}").contains("no fast-forward"), "{error:#}");
    git(&world.checkout, &["rebase", "-q", "origin/main"]);
    check(&world.look().await, Verdict::Current, "1 commit ahead");
}

#[tokio::test]
async fn what_the_checkout_follows_decides_before_the_remote() {
    let world = Repositories::new();
    git(&world.checkout, &["switch", "-qc", "other"]);
    stuck(&world.look().await, Reason::NoUpstream, "branch `other`");
    git(&world.checkout, &["switch", "-q", "--detach"]);
    let look = world.look().await;
    check(&look, Verdict::Current, "is pinned");
    assert_eq!(look.head, Some(world.head()));

    let directory = world.path("nowhere");
    let source = Source { directory, ..world.source() };
    stuck(&world.adapter().look(&source).await, Reason::DirectoryMissing, "is missing");
    let directory = world.path("plain");
    fs::create_dir(&directory).unwrap();
    let source = Source { directory, ..world.source() };
    stuck(&world.adapter().look(&source).await, Reason::NotARepository, "there is no `.git`");
}

#[tokio::test]
async fn a_deleted_branch_an_empty_remote_and_no_remote_differ() {
    let world = Repositories::new();
    git(&world.work, &["push", "-q", "origin", "main:other"]);
    git(&world.remote, &["update-ref", "-d", "refs/heads/main"]);
    stuck(&world.look().await, Reason::UpstreamGone, "is gone from the remote");
    git(&world.remote, &["update-ref", "-d", "refs/heads/other"]);
    stuck(&world.look().await, Reason::RemoteUnreachable, "has no refs");
    fs::rename(&world.remote, world.path("away")).unwrap();
    stuck(&world.look().await, Reason::RemoteUnreachable, "cannot be read");
}

#[tokio::test]
async fn a_rewritten_remote_is_diverged_for_people_and_followed_by_our_clones() {
    let world = Repositories::new();
    world.push("a.txt", "two");
    let clone = managed(&world.path("state/app"), &world.url(), Some("main"));
    let adapter = world.adapter();
    check(&adapter.look(&clone).await, Verdict::Current, "level with `main`");
    git(&world.checkout, &["pull", "-q"]);
    git(&world.work, &["reset", "-q", "--hard", "HEAD~1"]);
    fs::write(world.work.join("a.txt"), "three").unwrap();
    git(&world.work, &["commit", "-qam", "rewritten"]);
    git(&world.work, &["push", "-qf", "origin", "main"]);
    stuck(&world.look().await, Reason::Diverged, "have diverged");
    let look = adapter.look(&clone).await;
    check(&look, Verdict::Advance, "1 commit behind");
    adapter.fast_forward(&clone, &look.target.unwrap()).await.unwrap();
    assert_eq!(read(&clone.directory.join("a.txt")), "three");
    check(&adapter.look(&clone).await, Verdict::Current, "level");
}

#[tokio::test]
async fn managed_sources_follow_branches_tags_and_the_default_branch() {
    let world = Repositories::new();
    git(&world.work, &["tag", "-a", "v1", "-m", "one"]);
    git(&world.work, &["push", "-q", "origin", "v1"]);
    let first = world.head();
    world.push("a.txt", "two");
    for (name, reference, text) in
        [("branch", Some("main"), "two"), ("tag", Some("v1"), "one"), ("default", None, "two")]
    {
        let source = managed(&world.path(&format!("state/{name}")), &world.url(), reference);
        let look = world.adapter().look(&source).await;
        check(&look, Verdict::Current, "level");
        assert_eq!(look.reference, reference.unwrap_or("main"));
        assert_eq!(read(&source.directory.join("a.txt")), text);
    }
    git(&world.work, &["tag", "-fa", "v1", "-m", "moved"]);
    git(&world.work, &["push", "-qf", "origin", "v1"]);
    let source = managed(&world.path("state/tag"), &world.url(), Some("v1"));
    let look = world.adapter().look(&source).await;
    check(&look, Verdict::Advance, "1 commit behind `v1`");
    assert_eq!(look.head, Some(first));
    world.adapter().fast_forward(&source, &look.target.unwrap()).await.unwrap();
    assert_eq!(read(&source.directory.join("a.txt")), "two");

    let source = managed(&world.path("state/none"), &world.url(), Some("nope"));
    stuck(&world.adapter().look(&source).await, Reason::UpstreamGone, "`nope`");
    assert!(!source.directory.exists() && !world.path("state/.none.partial").exists());
}

#[tokio::test]
async fn a_clone_that_was_cut_short_is_made_again() {
    let world = Repositories::new();
    let partial = world.path("state/.app.partial/.git");
    fs::create_dir_all(&partial).unwrap();
    fs::write(partial.join("HEAD"), "half").unwrap();
    let source = managed(&world.path("state/app"), &world.url(), None);
    check(&world.adapter().look(&source).await, Verdict::Current, "level");
    assert!(!world.path("state/.app.partial").exists());
}

#[tokio::test]
async fn a_killed_update_is_repaired_and_edits_made_since_are_kept() {
    let world = Repositories::new();
    world.push("b.txt", "one");
    world.push("c.txt", "one");
    git(&world.checkout, &["pull", "-q"]);
    let old = world.head();
    world.push("a.txt", "a new text");
    world.push("b.txt", "b new text");
    world.push("c.txt", "c new text");
    let new = world.push("deep/d.txt", "d");
    world.look().await;
    let note = world.checkout.join(".git/roadstead-update");
    let interrupt = || {
        fs::write(&note, format!("{} {}\n", old.0, new.0)).unwrap();
        fs::write(world.checkout.join(".git/index.lock"), "").unwrap();
        // Written in full, cut off, and not reached yet; then a file that was not there before.
        fs::write(world.checkout.join("a.txt"), "a new text").unwrap();
        fs::write(world.checkout.join("b.txt"), "b ne").unwrap();
        fs::create_dir_all(world.checkout.join("deep")).unwrap();
        fs::write(world.checkout.join("deep/d.txt"), "d").unwrap();
    };
    interrupt();
    check(&world.look().await, Verdict::Advance, "4 commits behind");
    assert!(!note.exists() && !world.checkout.join("deep").exists());
    assert_eq!(git_output(&world.checkout, &["status", "--porcelain"]), "");

    interrupt();
    world.adapter().fast_forward(&world.source(), &new).await.unwrap();
    assert_eq!(world.head(), new);
    assert_eq!(git_output(&world.checkout, &["status", "--porcelain"]), "");

    // Killed between the work tree and the branch.
    git(&world.checkout, &["reset", "-q", "--soft", &old.0]);
    fs::write(&note, format!("{} {}\n", old.0, new.0)).unwrap();
    check(&world.look().await, Verdict::Advance, "4 commits behind");
    assert_eq!(git_output(&world.checkout, &["status", "--porcelain"]), "");

    interrupt();
    fs::write(world.checkout.join("c.txt"), "mine").unwrap();
    stuck(&world.look().await, Reason::Dirty, "(1 file, first `c.txt`)");
    assert_eq!(read(&world.checkout.join("c.txt")), "mine");
    assert_eq!(read(&world.checkout.join("a.txt")), "one");
}

#[tokio::test]
async fn an_ignored_file_is_never_overwritten() {
    let world = Repositories::new();
    fs::write(world.checkout.join(".git/info/exclude"), "env.local\n").unwrap();
    fs::write(world.checkout.join("env.local"), "mine").unwrap();
    let new = world.push("env.local", "theirs");
    check(&world.look().await, Verdict::Advance, "behind");
    let error = world.adapter().fast_forward(&world.source(), &new).await.unwrap_err();
    assert!(format!("{error:#}").contains("would be overwritten"), "{error:#}");
    assert_eq!(read(&world.checkout.join("env.local")), "mine");
    check(&world.look().await, Verdict::Advance, "behind");
}

#[tokio::test]
async fn a_checkout_of_another_user_stays_that_users() {
    let world = Repositories::new();
    let owner = "12345:12345";
    let new = world.push("deep/d.txt", "d");
    for directory in [&world.checkout, &world.remote] {
        git_world::run("chown", &["-R", owner, directory.to_str().unwrap()]);
    }
    check(&world.look().await, Verdict::Advance, "1 commit behind");
    world.adapter().fast_forward(&world.source(), &new).await.unwrap();
    let foreign = ["-not", "-user", "12345"];
    let arguments = [&[world.checkout.to_str().unwrap()][..], &foreign].concat();
    assert_eq!(git_world::output("find", &arguments), "");
}

#[tokio::test]
async fn http_needs_the_right_token() {
    let world = Repositories::new();
    let server = HttpServer::start(&world.directory(), "robot", "s3cret");
    let url = server.url("remote.git");
    git(&world.checkout, &["remote", "set-url", "origin", &url]);
    let token = world.keys().join("checkout_token");
    stuck(&world.look().await, Reason::AuthenticationFailed, "checkout_token` or `");
    fs::write(&token, "robot:wr0ng").unwrap();
    let look = world.look().await;
    stuck(&look, Reason::AuthenticationFailed, "rejected `");
    assert!(!look.message.contains("wr0ng"), "{}", look.message);
    fs::write(&token, "robot:s3cret\n").unwrap();
    git_world::run("chmod", &["644", token.to_str().unwrap()]);
    check(&world.look().await, Verdict::Current, "everyone can read `");
    git_world::run("chmod", &["600", token.to_str().unwrap()]);
    world.push("a.txt", "two");
    let look = world.look().await;
    check(&look, Verdict::Advance, "1 commit behind `main`");
    assert!(!look.message.contains("everyone"), "{}", look.message);
    fs::remove_file(&token).unwrap();
    let host = world.keys().join("127.0.0.1_token");
    fs::write(&host, "robot:s3cret").unwrap();
    let source = managed(&world.path("state/app"), &url, None);
    check(&world.adapter().look(&source).await, Verdict::Current, "level");
    let config = read(&source.directory.join(".git/config"));
    assert!(!config.contains("s3cret"), "{config}");
    let source = managed(&world.path("state/404"), &server.url("nope.git"), None);
    stuck(&world.adapter().look(&source).await, Reason::RemoteUnreachable, "404");
}

#[tokio::test]
async fn ssh_needs_a_known_host_and_a_deploy_key() {
    let world = Repositories::new();
    let server = SshServer::start(&world.directory());
    let url = server.url(&world.remote);
    git(&world.checkout, &["remote", "set-url", "origin", &url]);
    let known_hosts = world.keys().join("known_hosts");
    stuck(&world.look().await, Reason::HostKeyRejected, "is unknown");
    fs::write(&known_hosts, server.known_host_with(&server.key("other"))).unwrap();
    stuck(&world.look().await, Reason::HostKeyRejected, "has CHANGED from line 1");
    fs::write(&known_hosts, server.known_host()).unwrap();
    git_world::run("ssh-keygen", &["-q", "-H", "-f", known_hosts.to_str().unwrap()]);
    assert!(read(&known_hosts).starts_with("|1|"));
    let look = world.look().await;
    stuck(&look, Reason::AuthenticationFailed, "checkout_deploy_key");
    assert!(look.message.contains("id_rsa_git_ssh_read_only"), "{}", look.message);
    fs::copy(server.key("other"), world.keys().join("checkout_deploy_key")).unwrap();
    stuck(&world.look().await, Reason::AuthenticationFailed, "rejected `");
    fs::write(world.keys().join("checkout_deploy_key"), "no key at all").unwrap();
    stuck(&world.look().await, Reason::AuthenticationFailed, "checkout_deploy_key`: add it there");
    fs::copy(server.key("client"), world.keys().join("checkout_deploy_key")).unwrap();
    let url_of_nothing = server.url(&world.path("nope.git"));
    git(&world.checkout, &["remote", "set-url", "origin", &url_of_nothing]);
    stuck(&world.look().await, Reason::RemoteUnreachable, "nope.git");
    git(&world.checkout, &["remote", "set-url", "origin", &url]);
    check(&world.look().await, Verdict::Current, "level");
    world.push("a.txt", "two");
    check(&world.look().await, Verdict::Advance, "1 commit behind");
    fs::rename(
        world.keys().join("checkout_deploy_key"),
        world.keys().join("id_rsa_git_ssh_read_only"),
    )
    .unwrap();
    let source = managed(&world.path("state/app"), &url, Some("main"));
    check(&world.adapter().look(&source).await, Verdict::Current, "level");
}

#[tokio::test]
async fn a_server_that_never_answers_delays_only_its_own_caller() {
    let world = Repositories::new();
    let (address, _listener) = silent_server();
    let adapter = Git::new(&world.settings(Duration::from_secs(2)));
    let urls = ["http", "git", "ssh"].map(|protocol| format!("{protocol}://{address}/app.git"));
    let place = |name: &str| world.path(&format!("state/{name}"));
    let silent = [
        managed(&place("http"), &urls[0], None),
        managed(&place("git"), &urls[1], None),
        managed(&place("ssh"), &urls[2], None),
    ];
    let source = world.source();
    let started = Instant::now();
    let quick = async {
        let look = adapter.look(&source).await;
        (look, started.elapsed())
    };
    let (http, git, ssh, (look, took)) = tokio::join!(
        adapter.look(&silent[0]),
        adapter.look(&silent[1]),
        adapter.look(&silent[2]),
        quick
    );
    check(&look, Verdict::Current, "level");
    assert!(took < Duration::from_millis(1500), "{took:?}");
    for look in [http, git, ssh] {
        stuck(&look, Reason::RemoteUnreachable, "cannot be read");
        assert!(look.took < Duration::from_secs(6), "{look:?}");
    }
}

#[tokio::test]
async fn hostile_urls_are_refused() {
    let world = Repositories::new();
    let marker = world.path("ran");
    let run = format!("ext::sh -c touch% {}", marker.display());
    for url in ["-oProxyCommand=x", "ssh://-oProxyCommand=x/a", "https://h/a\nb", &run] {
        let source = managed(&world.path("state/app"), url, None);
        let look = world.adapter().look(&source).await;
        assert!(matches!(look.state, CheckoutState::Unreachable { .. }), "{look:?}");
    }
    let source = managed(&world.path("state/app"), "http://u:pa55@127.0.0.1:1/a", None);
    let look = world.adapter().look(&source).await;
    stuck(&look, Reason::RemoteUnreachable, "http://***@127.0.0.1:1/a");
    assert!(!look.message.contains("pa55"), "{}", look.message);
    assert!(!marker.exists());
}

#[tokio::test]
async fn thirty_unchanged_checkouts_are_looked_at_together() {
    let world = Repositories::new();
    let adapter = world.adapter();
    let mut sources = Vec::new();
    for index in 0..30 {
        let directory = world.path(&format!("many/{index}"));
        git(&world.directory(), &["clone", "-q", &world.url(), directory.to_str().unwrap()]);
        sources.push(Source { directory, ..world.source() });
    }
    let started = Instant::now();
    let looks = futures_util::future::join_all(sources.iter().map(|one| adapter.look(one))).await;
    // The figure of the benches is a second; a loaded machine may take longer.
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    for look in looks {
        check(&look, Verdict::Current, "level");
    }
}

#[tokio::test]
async fn hooks_and_filters_of_a_checkout_are_not_run() {
    let world = Repositories::new();
    let marker = world.path("ran");
    let hook = format!("#!/bin/sh\ntouch {}\n", marker.display());
    for name in ["post-checkout", "post-merge", "reference-transaction"] {
        let file = world.checkout.join(".git/hooks").join(name);
        fs::write(&file, &hook).unwrap();
        git_world::run("chmod", &["755", file.to_str().unwrap()]);
    }
    let command = format!("sh -c 'touch {}; cat'", marker.display());
    git(&world.checkout, &["config", "filter.evil.smudge", &command]);
    git(&world.checkout, &["config", "core.fsmonitor", &command]);
    world.push(".gitattributes", "* filter=evil\n");
    let new = world.push("a.txt", "two");
    let _ = fs::remove_file(&marker);
    check(&world.look().await, Verdict::Advance, "behind");
    world.adapter().fast_forward(&world.source(), &new).await.unwrap();
    assert!(!marker.exists());
}

#[test]
fn a_view_shows_files_as_they_are_at_a_commit() {
    let world = Repositories::new();
    let old = world.head();
    let inside = |name: &str| world.checkout.join(name);
    fs::write(world.work.join("with space ä;$(x).txt"), "odd").unwrap();
    fs::create_dir_all(world.work.join("sub/deep")).unwrap();
    fs::write(world.work.join("sub/deep/file"), "deep").unwrap();
    fs::write(world.work.join("binary"), [0xff, 0x00]).unwrap();
    fs::write(world.work.join("big"), vec![b'x'; usize::try_from(LARGEST_FILE_BYTES).unwrap() + 1])
        .unwrap();
    let links = [
        ("link", "sub/deep/file"),
        ("dirlink", "sub/deep"),
        ("sub/up", "../a.txt"),
        ("absolute", "/etc/passwd"),
        ("out", "../../../../../../../etc/passwd"),
        ("chain", "link"),
        ("loop", "loop"),
    ];
    for (name, target) in links {
        symlink(target, world.work.join(name)).unwrap();
    }
    let new = world.push("a.txt", "two");
    git(&world.checkout, &["fetch", "-q"]);
    fs::write(inside("untracked.env"), "here").unwrap();
    symlink("/etc/passwd", inside("untracked-link")).unwrap();
    let outside = world.path("outside");
    fs::write(&outside, "outside").unwrap();

    let view = View::open(&[(world.source(), new)]).unwrap();
    let found = [
        ("a.txt", "two"),
        ("sub/../a.txt", "two"),
        ("with space ä;$(x).txt", "odd"),
        ("link", "deep"),
        ("chain", "deep"),
        ("dirlink/file", "deep"),
        ("sub/up", "two"),
        ("untracked.env", "here"),
        ("../outside", "outside"),
    ];
    for (name, text) in found {
        assert_eq!(view.read(&inside(name)).unwrap(), text, "{name}");
    }
    let refused = [
        ("absolute", "leads out of the repository"),
        ("out", "leads out of the repository"),
        ("untracked-link", "leads out of the repository"),
        ("loop", "too many symlinks"),
        ("binary", "not UTF-8"),
        ("big", "larger than 16 MiB"),
        ("sub", "is no file"),
        (".git/config", "git's own"),
    ];
    for (name, message) in refused {
        let error = view.read(&inside(name)).unwrap_err();
        assert!(error.to_string().contains(message), "{name}: {error}");
    }
    let missing = view.read(&inside("nope")).unwrap_err();
    assert_eq!(missing.kind(), std::io::ErrorKind::NotFound);
    let before = View::open(&[(world.source(), old)]).unwrap();
    assert_eq!(before.read(&inside("a.txt")).unwrap(), "one");
}

#[test]
fn a_view_lacks_what_its_commit_deleted() {
    let world = Repositories::new();
    git(&world.work, &["mv", "a.txt", "moved.txt"]);
    let new = world.push("b.txt", "b");
    git(&world.checkout, &["fetch", "-q"]);
    let view = View::open(&[(world.source(), new)]).unwrap();
    let error = view.read(&world.checkout.join("a.txt")).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
    assert_eq!(view.read(&world.checkout.join("moved.txt")).unwrap(), "one");
}

#[test]
fn the_top_of_a_checkout_is_found_from_below() {
    let world = Repositories::new();
    let below = world.checkout.join("x/y");
    fs::create_dir_all(&below).unwrap();
    assert_eq!(toplevel(&below), Some(world.checkout.clone()));
    assert_eq!(toplevel(&world.path("plain")), None);
}

#[tokio::test]
async fn a_directory_inside_a_checkout_stands_for_the_whole_checkout() {
    let world = Repositories::new();
    let new = world.push("stack/compose.yml", "services: {}");
    git(&world.checkout, &["pull", "-q"]);
    fs::write(world.checkout.join("a.txt"), "mine").unwrap();
    let directory = world.checkout.join("stack");
    let source = Source { directory: directory.clone(), ..world.source() };
    check(&world.adapter().look(&source).await, Verdict::Current, "first `a.txt`");
    let view = View::open(&[(source, new)]).unwrap();
    assert_eq!(view.read(&directory.join("compose.yml")).unwrap(), "services: {}");
    assert_eq!(view.read(&directory.join("../a.txt")).unwrap(), "one");
}

#[tokio::test]
async fn a_symlink_out_of_the_tree_endangers_nothing_behind_it() {
    let world = Repositories::new();
    let outside = world.path("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("x"), "same").unwrap();
    fs::write(outside.join("y"), "mine").unwrap();
    symlink(&outside, world.work.join("d")).unwrap();
    let linked = world.push("b.txt", "b");
    git(&world.checkout, &["pull", "-q"]);
    fs::remove_file(world.work.join("d")).unwrap();
    world.push("d/y", "theirs");
    let plain = world.push("d/x", "same");
    git_world::run("chown", &["-R", "12345:12345", world.checkout.to_str().unwrap()]);
    let untouched = || {
        assert_eq!(
            (read(&outside.join("x")), read(&outside.join("y"))),
            ("same".into(), "mine".into())
        );
        let foreign = [outside.to_str().unwrap(), "-user", "12345"];
        assert_eq!(git_world::output("find", &foreign), "");
    };
    // Killed before the link was replaced, then moved, then moved back.
    let note = world.checkout.join(".git/roadstead-update");
    world.look().await;
    fs::write(&note, format!("{} {}\n", linked.0, plain.0)).unwrap();
    check(&world.look().await, Verdict::Advance, "2 commits behind");
    untouched();
    let adapter = world.adapter();
    adapter.fast_forward(&world.source(), &plain).await.unwrap();
    assert_eq!(read(&world.checkout.join("d/y")), "theirs");
    untouched();
    adapter.restore(&world.source(), &plain, &linked).await.unwrap();
    assert!(world.checkout.join("d").is_symlink());
    untouched();
}

#[tokio::test]
async fn a_note_is_dropped_when_a_person_has_moved_on() {
    let world = Repositories::new();
    let old = world.head();
    let new = world.push("a.txt", "two");
    git(&world.checkout, &["pull", "-q"]);
    git(&world.checkout, &["commit", "-q", "--allow-empty", "-m", "mine"]);
    fs::write(world.checkout.join("a.txt"), "one").unwrap();
    let note = world.checkout.join(".git/roadstead-update");
    fs::write(&note, format!("{} {}\n", old.0, new.0)).unwrap();
    check(&world.look().await, Verdict::Current, "first `a.txt`");
    assert!(!note.exists());
    fs::write(&note, "cut off").unwrap();
    check(&world.look().await, Verdict::Current, "first `a.txt`");
    assert!(!note.exists());
}

#[tokio::test]
async fn a_branch_without_commits_is_filled() {
    let world = Repositories::new();
    let directory = world.path("unborn");
    git(&world.directory(), &["init", "-q", "-b", "main", directory.to_str().unwrap()]);
    git(&directory, &["remote", "add", "origin", &world.url()]);
    git(&directory, &["config", "branch.main.remote", "origin"]);
    git(&directory, &["config", "branch.main.merge", "refs/heads/main"]);
    let source = Source { directory, ..world.source() };
    let look = world.adapter().look(&source).await;
    check(&look, Verdict::Advance, "is behind `main`");
    assert_eq!(look.head, None);
    world.adapter().fast_forward(&source, &look.target.unwrap()).await.unwrap();
    check(&world.adapter().look(&source).await, Verdict::Current, "level");
    assert_eq!(read(&source.directory.join("a.txt")), "one");
}

#[tokio::test]
async fn an_unknown_commit_is_not_moved_to() {
    let world = Repositories::new();
    let unknown = Commit("1".repeat(40));
    let error = world.adapter().fast_forward(&world.source(), &unknown).await.unwrap_err();
    assert!(format!("{error:#}").contains("was not fetched"), "{error:#}");
}
