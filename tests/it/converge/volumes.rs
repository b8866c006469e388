//! Volumes: data stays where it is.

use super::{Do, ROW, Row, check};

#[test]
fn data_outlives_its_container() {
    check(&[
        Row {
            name: "an anonymous volume goes to the replacement",
            before: "services: {web: {image: APP, network_mode: none, volumes: [/data]}}",
            meanwhile: &[Do::Exec("web-1", "echo kept > /data/x")],
            after: "services: {web: {image: APP2, network_mode: none, volumes: [/data]}}",
            moved: "web-1 replaced",
            ask: &[("in web-1 cat /data/x", "kept")],
            ..ROW
        },
        Row {
            name: "an anonymous volume of the image goes to the replacement",
            first: &[Do::Build("OWN:a", "VOLUME /data")],
            before: "services: {web: {image: 'OWN:a', network_mode: none}}",
            meanwhile: &[Do::Exec("web-1", "echo kept > /data/x")],
            after: "services: {web: {image: 'OWN:a', network_mode: none, labels: {a: b}}}",
            moved: "web-1 replaced",
            ask: &[("in web-1 cat /data/x", "kept")],
            ..ROW
        },
        Row {
            name: "each replica keeps its own",
            before: "services: {web: {image: APP, network_mode: none, scale: 2, volumes: [/data]}}",
            meanwhile: &[
                Do::Exec("web-1", "echo one > /data/x"),
                Do::Exec("web-2", "echo two > /data/x"),
            ],
            after: "services: {web: {image: APP2, network_mode: none, scale: 2, volumes: [/data]}}",
            moved: "web-1 replaced, web-2 replaced",
            ask: &[("in web-1 cat /data/x", "one"), ("in web-2 cat /data/x", "two")],
            ..ROW
        },
        Row {
            name: "an anonymous volume is kept through a change back and forth",
            before: "services: {web: {image: APP, network_mode: none, volumes: [/data]}}",
            meanwhile: &[
                Do::Exec("web-1", "echo kept > /data/x"),
                Do::Compose("up -d --force-recreate"),
            ],
            up: "--force-recreate",
            moved: "web-1 replaced",
            ask: &[("in web-1 cat /data/x", "kept")],
            ..ROW
        },
        Row {
            name: "-V gives new anonymous volumes",
            before: "services: {web: {image: APP, network_mode: none, volumes: [/data, 'named:/named']}}\nvolumes: {named: {}}",
            meanwhile: &[Do::Exec("web-1", "touch /data/x /named/x")],
            after: "services: {web: {image: APP2, network_mode: none, volumes: [/data, 'named:/named']}}\nvolumes: {named: {}}",
            up: "-V",
            moved: "web-1 replaced",
            ask: &[("in web-1 ls /data", ""), ("in web-1 ls /named", "x")],
            ..ROW
        },
        Row {
            name: "an anonymous volume that is no longer asked for",
            before: "services: {web: {image: APP, network_mode: none, volumes: [/data]}}",
            after: "services: {web: {image: APP, network_mode: none}}",
            moved: "web-1 replaced",
            ask: &[("mount /data of web-1", "")],
            ..ROW
        },
        Row {
            name: "an anonymous volume becomes a named one",
            before: "services: {web: {image: APP, network_mode: none, volumes: [/data]}}",
            after: "services: {web: {image: APP, network_mode: none, volumes: ['data:/data']}}\nvolumes: {data: {}}",
            moved: "web-1 replaced, vol data created",
            ask: &[("mount /data of web-1", "data")],
            ..ROW
        },
        Row {
            name: "a named volume stays across a change",
            before: "services: {web: {image: APP, network_mode: none, volumes: ['data:/data']}}\nvolumes: {data: {}}",
            meanwhile: &[Do::Exec("web-1", "echo kept > /data/x")],
            after: "services: {web: {image: APP2, network_mode: none, volumes: ['data:/data']}}\nvolumes: {data: {}}",
            moved: "web-1 replaced",
            ask: &[("in web-1 cat /data/x", "kept"), ("mount /data of web-1", "data")],
            ..ROW
        },
    ]);
}

#[test]
fn named_volumes_come_and_stay() {
    check(&[
        Row {
            name: "one is added",
            before: "services: {web: {image: APP, network_mode: none}, db: {image: APP, network_mode: none}}",
            after: "services: {web: {image: APP, network_mode: none, volumes: ['data:/data']}, db: {image: APP, network_mode: none}}\nvolumes: {data: {}}",
            moved: "web-1 replaced, vol data created",
            ..ROW
        },
        Row {
            name: "one is no longer used: its data stays",
            before: "services: {web: {image: APP, network_mode: none, volumes: ['data:/data']}}\nvolumes: {data: {}}",
            after: "services: {web: {image: APP, network_mode: none}}",
            moved: "web-1 replaced",
            ..ROW
        },
        Row {
            name: "its labels change: it is left as it is, and so are its users",
            before: "services: {web: {image: APP, network_mode: none, volumes: ['data:/data']}}\nvolumes: {data: {}}",
            after: "services: {web: {image: APP, network_mode: none, volumes: ['data:/data']}}\nvolumes: {data: {labels: {a: b}}}",
            ask: &[("docker volume inspect --format {{.Labels.a}} PROJECT_data", "<no value>")],
            ..ROW
        },
        Row {
            name: "its labels change, and a person says yes: it is made new, with its users only",
            before: "services: {web: {image: APP, network_mode: none, volumes: ['data:/data']}, db: {image: APP, network_mode: none}}\nvolumes: {data: {}}",
            meanwhile: &[Do::Exec("web-1", "echo lost > /data/x; sleep 1.1")],
            after: "services: {web: {image: APP, network_mode: none, volumes: ['data:/data']}, db: {image: APP, network_mode: none}}\nvolumes: {data: {labels: {a: b}}}",
            up: "-y",
            moved: "web-1 replaced, vol data anew",
            ask: &[
                ("docker volume inspect --format {{.Labels.a}} PROJECT_data", "b"),
                ("in web-1 ls /data", ""),
            ],
            ..ROW
        },
        Row {
            name: "its labels change, and a person says yes to a service that does not use it",
            before: "services: {web: {image: APP, network_mode: none, volumes: ['data:/data']}, db: {image: APP, network_mode: none}}\nvolumes: {data: {}}",
            after: "services: {web: {image: APP, network_mode: none, volumes: ['data:/data']}, db: {image: APP, network_mode: none}}\nvolumes: {data: {labels: {a: b}}}",
            up: "-y db",
            ..ROW
        },
        Row {
            name: "it gets another name: the old one's data stays beside",
            before: "services: {web: {image: APP, network_mode: none, volumes: ['data:/data']}}\nvolumes: {data: {}}",
            after: "services: {web: {image: APP, network_mode: none, volumes: ['data:/data']}}\nvolumes: {data: {name: PROJECT_other}}",
            moved: "web-1 replaced, vol other created",
            ask: &[("mount /data of web-1", "other")],
            ..ROW
        },
        Row {
            name: "it is gone, and so is what used it",
            before: "services: {web: {image: APP, network_mode: none, volumes: ['data:/data']}, db: {image: APP, network_mode: none}}\nvolumes: {data: {}}",
            meanwhile: &[Do::Docker("rm -f PROJECT-web-1"), Do::Docker("volume rm PROJECT_data")],
            moved: "web-1 created, vol data created",
            ..ROW
        },
        Row {
            name: "it was made by hand before: used as it is",
            before: "services: {web: {image: APP, network_mode: none}}",
            meanwhile: &[Do::Docker("volume create PROJECT_data")],
            after: "services: {web: {image: APP, network_mode: none, volumes: ['data:/data']}}\nvolumes: {data: {}}",
            moved: "web-1 replaced",
            ask: &[("mount /data of web-1", "data")],
            ..ROW
        },
        Row {
            name: "an external one that is there",
            before: "services: {web: {image: APP, network_mode: none}}",
            meanwhile: &[Do::Docker("volume create PROJECT-ext")],
            after: "services: {web: {image: APP, network_mode: none, volumes: ['ext:/data']}}\nvolumes: {ext: {external: true, name: PROJECT-ext}}",
            moved: "web-1 replaced",
            ask: &[("mount /data of web-1", "ext")],
            ..ROW
        },
        Row {
            name: "an external one that is missing",
            before: "services: {web: {image: APP, network_mode: none}}",
            after: "services: {web: {image: APP, network_mode: none, volumes: ['ext:/data']}}\nvolumes: {ext: {external: true, name: PROJECT-ext}}",
            fails: "docker volume create PROJECT-ext",
            ..ROW
        },
        Row {
            name: "a bind mount moves to another directory",
            files: &[("one/x", "1"), ("two/x", "2")],
            before: "services: {web: {image: APP, network_mode: none, volumes: ['./one:/x:ro']}}",
            after: "services: {web: {image: APP, network_mode: none, volumes: ['./two:/x:ro']}}",
            moved: "web-1 replaced",
            ask: &[("in web-1 cat /x/x", "2")],
            ..ROW
        },
    ]);
}
