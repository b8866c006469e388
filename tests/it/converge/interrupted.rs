//! Roadstead dies in the middle of a run, by kill -9; one more `up` converges.

use std::process::Stdio;
use std::thread;

use super::world::{World, items};
use super::{Do, settle};
use crate::support::scene::PATIENCE;
use crate::support::{Engine, Hold};

/// Call at which it dies, and which side of it is cut off.
type Death = (&'static str, &'static str, Hold);

/// A world before, the change in whose middle it dies, what has moved once all is said and done, and
/// questions about that.
struct Case {
    name: &'static str,
    before: &'static str,
    after: &'static str,
    up: &'static str,
    deaths: &'static [Death],
    /// One of these.
    moved: &'static [&'static str],
    ask: &'static [(&'static str, &'static str)],
}

fn die_and_converge(case: &Case, (method, path, hold): Death) {
    let name = format!("{}, at {method} {path} ({hold:?})", case.name);
    let world = World::new(Engine::shared(), &[]);
    world.write("compose.yml", case.before);
    world.up("").ok();
    let before = world.see();
    world.write("compose.yml", case.after);
    let catch = world.proxy.catch(method, path, hold);
    let mut command = world.command(&format!("up -d {}", case.up));
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    catch.wait(PATIENCE);
    child.kill().unwrap();
    child.wait().unwrap();
    drop(catch);
    let output = world.up(case.up);
    let said = format!("{}{}", output.stdout, output.stderr);
    assert_eq!(output.code, Some(0), "{name}: {said}");
    let after = world.see();
    let moved = World::moved(&before, &after);
    assert!(case.moved.iter().any(|it| items(it) == moved), "{name}: {moved:#?}\n{said}");
    for (question, answer) in case.ask {
        assert_eq!(world.ask(&after, question), *answer, "{name}: {question}\n{said}");
    }
    world.proxy.take();
    world.up(case.up).ok();
    assert_eq!(world.proxy.writes(), [], "{name}");
    assert_eq!(World::moved(&after, &world.see()), items(""), "{name}");
}

/// Checks each death, a few at once.
fn check(case: &Case) {
    Engine::shared();
    for deaths in case.deaths.chunks(4) {
        thread::scope(|scope| {
            let threads: Vec<_> =
                deaths.iter().map(|death| scope.spawn(|| die_and_converge(case, *death))).collect();
            let failed = threads.into_iter().filter_map(|it| it.join().err()).count();
            assert_eq!(failed, 0, "see above");
        });
    }
}

#[test]
fn a_network_change_that_is_cut_short_is_finished() {
    check(&Case {
        name: "network change",
        before: "services: {web: {image: APP}, db: {image: APP, networks: {default: {aliases: [sql]}}}}\nnetworks: {default: {}}",
        after: "services: {web: {image: APP}, db: {image: APP, networks: {default: {aliases: [sql]}}}}\nnetworks: {default: {labels: {a: b}}}",
        up: "",
        deaths: &[
            ("POST", "/disconnect", Hold::Request),
            ("POST", "/disconnect", Hold::Answer),
            ("DELETE", "/networks/", Hold::Request),
            ("DELETE", "/networks/", Hold::Answer),
            ("POST", "/networks/create", Hold::Request),
            ("POST", "/networks/create", Hold::Answer),
            ("POST", "/connect", Hold::Request),
            ("POST", "/connect", Hold::Answer),
        ],
        // What was cut off is made again: of its attachment nobody knows any more.
        moved: &[
            "net default anew",
            "net default anew, db-1 replaced",
            "net default anew, web-1 replaced",
            "net default anew, db-1 replaced, web-1 replaced",
        ],
        ask: &[
            ("in web-1 ping -c 1 -W 2 sql > /dev/null && echo yes", "yes"),
            ("in db-1 wget -q -O - http://web/", "one"),
        ],
    });
}

#[test]
fn an_orphan_that_is_being_replaced_is_finished() {
    check(&Case {
        name: "renamed service",
        before: "services: {old: {image: APP, container_name: PROJECT-boss, ports: ['127.0.0.1:PORT1:80']}}",
        after: "services: {new: {image: APP2, container_name: PROJECT-boss, ports: ['127.0.0.1:PORT1:80']}}",
        up: "--remove-orphans",
        deaths: &[
            ("POST", "/containers/create", Hold::Request),
            ("POST", "/containers/create", Hold::Answer),
            ("POST", "/stop", Hold::Answer),
            ("POST", "/start", Hold::Request),
            ("POST", "/start", Hold::Answer),
            ("DELETE", "/containers/", Hold::Request),
            ("DELETE", "/containers/", Hold::Answer),
            ("POST", "/rename", Hold::Answer),
        ],
        moved: &["boss replaced"],
        ask: &[("in boss wget -q -O - http://127.0.0.1/", "two")],
    });
}

#[test]
fn a_swap_of_ports_that_is_cut_short_is_finished() {
    check(&Case {
        name: "swapped ports",
        before: "services: {a: {image: APP, ports: ['127.0.0.1:PORT1:80']}, b: {image: APP, ports: ['127.0.0.1:PORT2:80']}}",
        after: "services: {a: {image: APP, ports: ['127.0.0.1:PORT2:80']}, b: {image: APP, ports: ['127.0.0.1:PORT1:80']}}",
        up: "",
        deaths: &[
            ("POST", "/stop", Hold::Answer),
            ("POST", "/start", Hold::Request),
            ("POST", "/start", Hold::Answer),
            ("DELETE", "/containers/", Hold::Answer),
        ],
        moved: &["a-1 replaced, b-1 replaced"],
        ask: &[],
    });
}

#[test]
fn leftovers_of_a_first_up_are_used() {
    let world = World::new(Engine::shared(), &[]);
    world.make(&Do::Write(
        "compose.yml",
        "services: {web: {image: APP}, db: {image: APP, depends_on: [web]}}",
    ));
    let catch = world.proxy.catch("POST", "/start", Hold::Request);
    let mut child = world.command("up -d").stderr(Stdio::null()).spawn().unwrap();
    catch.wait(PATIENCE);
    child.kill().unwrap();
    child.wait().unwrap();
    drop(catch);
    let before = world.see();
    world.up("").ok();
    settle(&world, "cut short at the first start", &before, "web-1 started, db-1 started", "");
}

#[test]
fn a_network_is_removed_once_nobody_who_is_there_holds_it() {
    let guest = "run -d --name PROJECT-guest --network PROJECT_default APP";
    for leaves in [true, false] {
        let world = World::new(Engine::shared(), &[]);
        world.write("compose.yml", "services: {web: {image: APP}}");
        let bare = world.see();
        world.up("").ok();
        world.make(&Do::Docker(guest));
        // The Engine refuses, and we do not know yet.
        let catch = world.proxy.catch("DELETE", "/networks/", Hold::Answer);
        let mut command = world.command("down --timeout 1");
        let child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        catch.wait(PATIENCE);
        if leaves {
            world.make(&Do::Docker("rm --force PROJECT-guest"));
        }
        catch.release();
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{said}");
        let stays = if leaves { "" } else { "guest created, net default created" };
        assert_eq!(World::moved(&bare, &world.see()), items(stays), "{said}");
        assert_eq!(said.contains("it stays"), !leaves, "{said}");
    }
}
