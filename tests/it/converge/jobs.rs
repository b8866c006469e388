//! The same as jobs: what is pushed is deployed, and a failure is taken back.

use super::settle;
use super::world::World;
use crate::support::{Engine, Scene};

/// What it shows, `compose.yml` before and after a push, whether the deploy succeeds, and what moved.
struct Push {
    name: &'static str,
    before: &'static str,
    after: &'static str,
    succeeds: bool,
    moved: &'static str,
}

fn run(push: &Push) {
    // Gives the name, and looks; the deploys are the scene's.
    let world = World::new(Engine::shared(), &[]);
    let text = |text: &str| world.text(&format!("name: PROJECT\n{text}"));
    let scene = Scene::new(&[("compose.yml", &text(push.before))]);
    scene.deploy().ok();
    let before = world.see();
    scene.project.push(&[("compose.yml", &text(push.after))]);
    let output = scene.deploy();
    let said = format!("{}{}", output.stdout, output.stderr);
    assert_eq!(output.code, Some(i32::from(!push.succeeds)), "{}: {said}", push.name);
    let after = settle(&world, push.name, &before, push.moved, &said);
    // What is left is what was asked for, or what was there before.
    if !push.succeeds {
        scene.project.push(&[("compose.yml", &text(push.before))]);
    }
    scene.deploy().ok();
    settle(&world, &format!("{}: once more", push.name), &after, "", "");
    drop(world);
}

#[test]
fn a_push_moves_what_it_changed() {
    let rows = [
        Push {
            name: "one service of two",
            before: "services: {web: {image: APP, network_mode: none}, db: {image: APP, network_mode: none}}",
            after: "services: {web: {image: APP2, network_mode: none}, db: {image: APP, network_mode: none}}",
            succeeds: true,
            moved: "web-1 replaced",
        },
        Push {
            name: "a service that is gone",
            before: "services: {web: {image: APP, network_mode: none}, gone: {image: APP, network_mode: none}}",
            after: "services: {web: {image: APP, network_mode: none}}",
            succeeds: true,
            moved: "gone-1 removed",
        },
        Push {
            name: "a renamed service with its container's name and port",
            before: "services: {old: {image: APP, container_name: PROJECT-boss, ports: ['127.0.0.1:PORT1:80']}}",
            after: "services: {new: {image: APP2, container_name: PROJECT-boss, ports: ['127.0.0.1:PORT1:80']}}",
            succeeds: true,
            moved: "boss replaced",
        },
        Push {
            name: "a network",
            before: "services: {web: {image: APP}, db: {image: APP}}\nnetworks: {default: {}}",
            after: "services: {web: {image: APP}, db: {image: APP}}\nnetworks: {default: {labels: {a: b}}}",
            succeeds: true,
            moved: "net default anew",
        },
        Push {
            name: "a version that exits at once, beside a network and an orphan",
            before: "services: {web: {image: APP}, db: {image: APP}, gone: {image: APP, network_mode: none}}\nnetworks: {default: {}}",
            after: "services: {web: {image: 'rs-test/broken:1'}, db: {image: APP}}\nnetworks: {default: {labels: {a: b}}}",
            succeeds: false,
            moved: "net default anew, web-1 restarted",
        },
        Push {
            name: "a version that is unhealthy",
            before: "services: {web: {image: APP, network_mode: none}, db: {image: APP, network_mode: none}}",
            after: "services: {web: {image: 'rs-test/unhealthy:1', network_mode: none}, db: {image: APP2, network_mode: none}}",
            succeeds: false,
            moved: "web-1 restarted, db-1 restarted",
        },
    ];
    // One engine for all, started before they race for it.
    Engine::shared();
    for rows in rows.chunks(3) {
        std::thread::scope(|scope| {
            let threads: Vec<_> = rows.iter().map(|row| (row, scope.spawn(|| run(row)))).collect();
            for (row, thread) in threads {
                assert!(thread.join().is_ok(), "{}: see above", row.name);
            }
        });
    }
}
