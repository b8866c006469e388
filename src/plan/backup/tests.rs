//! What is read, who is kept still and what is dumped, as tables.

mod dumps;

use super::*;
use crate::compose::model::Hidden;
use crate::job::work::{Database, Location, Password, Quiesce, Repository, Selection, Tool};

fn texts(list: &[&str]) -> Vec<String> {
    list.iter().map(|it| (*it).to_owned()).collect()
}

fn backup(what: Selection) -> Backup {
    Backup {
        repository: Repository {
            tool: Tool::default(),
            location: Location::Directory("/backup".into()),
            password: Password::Value(Hidden::new("x".to_owned())),
            init: false,
            credentials: Vec::new(),
            ca_file: None,
        },
        what,
        dumps: Vec::new(),
        quiesce: Quiesce::default(),
        exclude: Vec::new(),
        exclude_caches: true,
        tags: Vec::new(),
        host: None,
        keep: None,
        dry_run: false,
    }
}

fn by_labels() -> Backup {
    backup(Selection { labels: true, ..Selection::default() })
}

/// A container that runs, writes to all its mounts and has these labels.
fn container(name: &str, mounts: &[&str], labels: &[(&str, &str)]) -> Container {
    Container {
        id: format!("id-of-{name}"),
        name: name.to_owned(),
        state: State::Running,
        labels: labels.iter().map(|(a, b)| (a.to_string(), b.to_string())).collect(),
        volumes: mounts.iter().filter(|it| !it.starts_with('/')).map(ToString::to_string).collect(),
        writes: mounts.iter().map(ToString::to_string).collect(),
        ..Container::default()
    }
}

/// One of a Compose project, with what it depends on.
fn of_service(place: &str, needs: &str, mounts: &[&str]) -> Container {
    let (project, service) = place.split_once('/').unwrap();
    let labels = [
        (PROJECT, project),
        ("com.docker.compose.service", service),
        ("com.docker.compose.depends_on", needs),
    ];
    container(&format!("{project}-{service}-1"), mounts, &labels)
}

fn with(mut container: Container, labels: &[(&str, &str)]) -> Container {
    container.labels.extend(labels.iter().map(|(a, b)| (a.to_string(), b.to_string())));
    container
}

/// What is read where there are these containers, and the volumes that they have.
fn read(backup: &Backup, containers: &[Container]) -> Reading {
    let names: BTreeSet<&String> = containers.iter().flat_map(|it| &it.volumes).collect();
    let volumes: Vec<Resource> =
        names.into_iter().map(|it| Resource { name: it.clone(), ..Resource::default() }).collect();
    let host = HostPaths::new(vec![("/srv".into(), "/home/ops".into())]);
    reading(backup, &World { containers, volumes: &volumes, host: &host })
}

/// A volume as `/volumes/NAME`, a path as it is.
fn place(what: &What) -> PathBuf {
    match what {
        What::Volume(name) => Path::new(VOLUMES).join(name),
        What::Path(path) => path.clone(),
    }
}

/// Sources as `where<writer,writer`.
fn sources(reading: &Reading) -> Vec<String> {
    let text = |it: &Source| format!("{}<{}", place(&it.what).display(), it.writers.join(","));
    reading.sources.iter().map(text).collect()
}

fn stills(reading: &Reading) -> Vec<String> {
    let text = |it: &Still| format!("{} {}", it.how.as_str(), it.name);
    reading.still.iter().map(text).collect()
}

#[test]
fn a_selection_becomes_a_list_without_doubles() {
    let anonymous = "ab".repeat(32);
    let mut web = of_service("shop/web", "", &["shop_data", "cache", &anonymous]);
    web.anonymous_volumes.insert("/x".to_owned(), anonymous);
    let mut reader = of_service("shop/reader", "", &["shop_data"]);
    reader.writes.clear();
    let mut ended = container("ended", &["old"], &[]);
    ended.state = State::Exited;
    let mut ourselves = container("us", &["old", "/home/ops/in"], &[]);
    ourselves.is_ourselves = true;
    let editor = container("editor", &["/home/ops/in/deep", "/unrelated"], &[]);
    let containers = [web, reader, ended, ourselves, editor];
    let rows: [(Selection, &[&str], &[&str]); 6] = [
        (
            Selection { volumes: texts(&["old", "cache", "old"]), ..Selection::default() },
            &["/volumes/cache<shop-web-1", "/volumes/old<"],
            &[],
        ),
        (
            Selection { projects: texts(&["shop"]), ..Selection::default() },
            &["/volumes/cache<shop-web-1", "/volumes/shop_data<shop-web-1"],
            &[],
        ),
        (
            Selection { projects: texts(&["shp"]), ..Selection::default() },
            &[],
            &["there is no project `shp` on the Engine; did you mean `shop`?"],
        ),
        (
            Selection { volumes: texts(&["cach", "zzz"]), ..Selection::default() },
            &[],
            &["there is no volume `cach`; did you mean `cache`?", "there is no volume `zzz`"],
        ),
        (
            Selection {
                paths: vec!["/srv/in".into(), "/etc".into(), "/srv/in/deep".into()],
                ..Selection::default()
            },
            &["/etc<", "/srv/in<editor"],
            &[],
        ),
        (
            Selection {
                paths: vec!["/srv/in/deep/file".into()],
                volumes: texts(&["old"]),
                ..Selection::default()
            },
            &["/volumes/old<", "/srv/in/deep/file<editor"],
            &[],
        ),
    ];
    for (what, expected, problems) in rows {
        let reading = read(&backup(what.clone()), &containers);
        assert_eq!(sources(&reading), expected, "{what:?}");
        assert_eq!(reading.problems, problems, "{what:?}");
        assert_eq!(reading.is_empty(), expected.is_empty());
    }
}

#[test]
fn volumes_of_a_project_are_kept_where_it_has_no_containers() {
    let labels = BTreeMap::from([(PROJECT.to_owned(), "shop".to_owned())]);
    let volume = |name: &str| Resource {
        name: name.to_owned(),
        labels: labels.clone(),
        ..Resource::default()
    };
    let volumes = [volume("shop_db"), volume(&"ab".repeat(32))];
    let host = HostPaths::default();
    let world = World { containers: &[], volumes: &volumes, host: &host };
    let what = Selection { projects: texts(&["shop"]), ..Selection::default() };
    let reading = reading(&backup(what), &world);
    assert_eq!(sources(&reading), ["/volumes/shop_db<"]);
    assert_eq!(reading.problems, texts(&[]));
}

#[test]
fn labels_say_which_volumes_and_what_not() {
    let named = |value: &str| {
        with(
            of_service("shop/db", "", &["shop_data", "other"]),
            &[("roadstead.backup.volumes", value)],
        )
    };
    let rows: [(&str, &[&str], &str); 6] = [
        ("all", &["/volumes/other", "/volumes/shop_data"], ""),
        ("true", &["/volumes/other", "/volumes/shop_data"], ""),
        ("data", &["/volumes/shop_data"], ""),
        ("data, other", &["/volumes/other", "/volumes/shop_data"], ""),
        ("othr", &[], "container `shop-db-1` has no volume `othr` to keep; did you mean `other`?"),
        ("x", &[], "container `shop-db-1` has no volume `x` to keep: it has `other`, `shop_data`"),
    ];
    for (value, expected, problem) in rows {
        let reading = read(&by_labels(), &[named(value)]);
        let found: Vec<_> = reading.sources.iter().map(|it| place(&it.what)).collect();
        assert_eq!(found, expected.iter().map(PathBuf::from).collect::<Vec<_>>(), "{value}");
        assert_eq!(reading.problems.join("\n"), problem, "{value}");
        // Labels count only where a job says so.
        let other = read(&backup(Selection::default()), &[named(value)]);
        assert_eq!((other.sources, other.problems), (Vec::new(), Vec::new()));
    }
    let mut oneoff = named("all");
    oneoff.labels.insert("com.docker.compose.oneoff".to_owned(), "True".to_owned());
    assert!(read(&by_labels(), &[oneoff]).is_empty());

    let excluding = with(named("data"), &[("roadstead.backup.exclude", "*.tmp /cache")]);
    let mut job = by_labels();
    job.exclude = texts(&["*.bak"]);
    let reading = read(&job, &[excluding]);
    let expected = ["*.bak", "/volumes/shop_data/**/*.tmp", "/volumes/shop_data/cache"];
    assert_eq!(reading.exclude, expected);
    let alone = container("a", &[], &[("roadstead.backup.exclude", "*.tmp")]);
    let reading = read(&by_labels(), &[alone]);
    assert!(reading.problems[0].contains("goes with `roadstead.backup.volumes`"));
}

#[test]
fn labels_that_mean_nothing_are_named() {
    let rows: [(&[(&str, &str)], &str); 14] = [
        (&[("roadstead.backup.volume", "all")], "did you mean `roadstead.backup.volumes`?"),
        (&[("roadstead.backup.qiesce", "stop")], "did you mean `roadstead.backup.quiesce`?"),
        (&[("roadstead.backup.zzz", "")], "unknown label `roadstead.backup.zzz`: known are"),
        (&[("roadstead.backup", "true")], "unknown label `roadstead.backup`: known are"),
        (&[("roadstead.backup.quiesce", "puase")], "did you mean `pause`?"),
        (&[("roadstead.backup.quiesce", "exec")], "there is no command"),
        (
            &[("roadstead.backup.quiesce", "none"), ("roadstead.backup.before", "a")],
            "do nothing with `quiesce: none`",
        ),
        (&[("roadstead.backup.exclude", "!a")], "that is no glob of ours"),
        (&[("roadstead.backup.before", "'a")], "the quotes in `roadstead.backup.before`"),
        (&[("roadstead.backup.database", "postgre")], "did you mean `postgres`?"),
        (&[("roadstead.backup.database.name", "x")], "goes with `roadstead.backup.database`"),
        (&[("roadstead.backup.database", "sqlite")], "needs the absolute path"),
        (
            &[("roadstead.backup.database", "redis"), ("roadstead.backup.database.name", "1")],
            "dumped as a whole",
        ),
        (
            &[
                ("roadstead.backup.database", "mysql"),
                ("roadstead.backup.database.password_env", "A B"),
            ],
            "that is no variable",
        ),
    ];
    for (labels, expected) in rows {
        let reading = read(&by_labels(), &[container("web", &[], labels)]);
        assert_eq!(reading.problems.len(), 1, "{labels:?}: {:?}", reading.problems);
        let problem = &reading.problems[0];
        assert!(problem.starts_with("container `web`: "), "{problem}");
        assert!(problem.contains(expected), "{problem}");
    }
    let offen = [("docker-volume-backup.copy-post", "x"), ("docker-volume-backup.exec-label", "a")];
    let reading = read(&by_labels(), &[container("web", &[], &offen)]);
    assert_eq!(reading.problems, texts(&[]));
    assert_eq!(reading.notes.len(), 1);
    assert!(reading.notes[0].contains("`docker-volume-backup.copy-post` has no effect"));
}

#[test]
fn labels_say_how_a_container_is_kept_still() {
    // Labels, how, before, after.
    type Row<'a> = (&'a [(&'a str, &'a str)], QuiesceHow, Vec<String>, Vec<String>);
    let shell = |text: &str| texts(&["/bin/sh", "-c", text]);
    let rows: [Row<'_>; 7] = [
        (&[("roadstead.backup.quiesce", "stop")], QuiesceHow::Stop, vec![], vec![]),
        (
            &[
                ("roadstead.backup.before", "fsfreeze -f '/a b'"),
                ("roadstead.backup.after", "thaw"),
            ],
            QuiesceHow::Exec,
            texts(&["fsfreeze", "-f", "/a b"]),
            texts(&["thaw"]),
        ),
        (
            &[("roadstead.backup.before", "flush"), ("roadstead.backup.quiesce", "pause")],
            QuiesceHow::Pause,
            texts(&["flush"]),
            vec![],
        ),
        (&[("docker-volume-backup.stop-during-backup", "true")], QuiesceHow::Stop, vec![], vec![]),
        (
            &[("docker-volume-backup.archive-pre", "a > /b")],
            QuiesceHow::Exec,
            shell("a > /b"),
            vec![],
        ),
        (
            &[
                ("docker-volume-backup.archive-post", "rm /b"),
                ("docker-volume-backup.stop-during-backup", "group-1"),
            ],
            QuiesceHow::Stop,
            vec![],
            shell("rm /b"),
        ),
        (
            &[
                ("roadstead.backup.quiesce", "pause"),
                ("docker-volume-backup.stop-during-backup", "true"),
            ],
            QuiesceHow::Pause,
            vec![],
            vec![],
        ),
    ];
    let of_group = Backup { tags: texts(&["nightly", "group-1"]), ..by_labels() };
    for (labels, how, before, after) in rows {
        let reading = read(&of_group, &[container("web", &[], labels)]);
        let expected =
            Still { id: "id-of-web".to_owned(), name: "web".to_owned(), how, before, after };
        assert_eq!(reading.still, [expected], "{labels:?}");
        assert_eq!(reading.problems, texts(&[]), "{labels:?}");
    }
    let off = [("docker-volume-backup.stop-during-backup", "false")];
    assert_eq!(read(&by_labels(), &[container("web", &[], &off)]).still, []);
    // Of a group that this backup is not configured for.
    let other = [("docker-volume-backup.stop-during-backup", "group-1")];
    let reading = read(&by_labels(), &[container("web", &[], &other)]);
    assert_eq!((reading.still, reading.problems), (vec![], vec![]));
    assert!(reading.notes[0].contains("is `group-1`"), "{:?}", reading.notes);
}

#[test]
fn who_is_kept_still_is_who_writes_or_who_is_named() {
    let mut paused = container("paused", &["data"], &[]);
    paused.state = State::Paused;
    let mut restarting = container("restarting", &["data"], &[]);
    restarting.state = State::Restarting;
    let mut ourselves = container("us", &["data"], &[]);
    ourselves.is_ourselves = true;
    let never = with(container("never", &["data"], &[]), &[("roadstead.backup.quiesce", "none")]);
    let all =
        [container("web", &["data"], &[]), container("else", &["x"], &[]), paused, restarting];
    let containers = [&all[..], &[ourselves, never]].concat();
    let name = |it: &str| Target::Name(it.to_owned());
    let rows: [(QuiesceHow, Vec<Target>, bool, &[&str]); 7] = [
        (QuiesceHow::None, vec![], false, &[]),
        (QuiesceHow::Stop, vec![], false, &["stop never", "stop restarting", "stop web"]),
        (QuiesceHow::Stop, vec![], true, &["stop restarting", "stop web"]),
        (QuiesceHow::Pause, vec![], true, &["pause web"]),
        (QuiesceHow::Exec, vec![], true, &["exec web"]),
        (QuiesceHow::Pause, vec![name("else")], true, &["pause else"]),
        (QuiesceHow::Pause, vec![name("id-of-else"), name("us")], true, &["pause else"]),
    ];
    for (how, targets, labels, expected) in rows {
        let what = Selection { volumes: texts(&["data"]), labels, ..Selection::default() };
        let mut job = backup(what);
        job.quiesce = Quiesce { how, targets, ..Quiesce::default() };
        let reading = read(&job, &containers);
        assert_eq!(stills(&reading), expected, "{:?}", job.quiesce);
        assert_eq!(reading.problems, texts(&[]));
        assert_eq!(reading.notes.len(), usize::from(job.quiesce.targets.contains(&name("us"))));
    }
    let mut job = backup(Selection::default());
    job.quiesce =
        Quiesce { how: QuiesceHow::Stop, targets: vec![name("gone")], ..Quiesce::default() };
    let problems = read(&job, &containers).problems;
    assert_eq!(problems, ["there is no container `gone` to keep still"]);
}

#[test]
fn whoever_writes_among_the_still_is_named() {
    let other = |mut container: Container, state: State| {
        container.state = state;
        container
    };
    let before = [container("web", &["data"], &[]), container("log", &["notes"], &[])];
    let all = |how: QuiesceHow, targets: &[&str]| {
        let what = Selection { volumes: texts(&["data", "notes"]), ..Selection::default() };
        let targets = targets.iter().map(|it| Target::Name((*it).to_owned())).collect();
        let quiesce = Quiesce { how, targets, ..Quiesce::default() };
        Backup { quiesce, ..backup(what) }
    };
    let web = || before[0].clone();
    for (name, how, targets, after, expected) in [
        ("all are still", QuiesceHow::Stop, &[][..], vec![other(web(), State::Exited)], &[][..]),
        ("frozen", QuiesceHow::Pause, &[], vec![other(web(), State::Paused)], &[]),
        ("started again", QuiesceHow::Stop, &[], vec![web()], &["web"]),
        ("tries to", QuiesceHow::Stop, &[], vec![other(web(), State::Restarting)], &["web"]),
        ("another one", QuiesceHow::Pause, &[], vec![container("new", &["data"], &[])], &["new"]),
        ("it only reads", QuiesceHow::Stop, &[], vec![container("new", &[], &[])], &[]),
        ("nobody was asked to be still", QuiesceHow::None, &[], vec![web()], &[]),
        ("it only had a command", QuiesceHow::Exec, &[], vec![web()], &[]),
        ("it wrote all the time", QuiesceHow::Stop, &["web"], vec![before[1].clone()], &[]),
    ] {
        let backup = all(how, targets);
        let reading = read(&backup, &before);
        let host = HostPaths::default();
        let there = World { containers: &after, volumes: &[], host: &host };
        let found: Vec<String> = disturbers(&reading, &there).into_iter().collect();
        assert_eq!(found, expected, "{name}");
    }
}

#[test]
fn dependents_are_stopped_first() {
    // Services with what they need, and the order.
    type Row<'a> = (&'a [(&'a str, &'a str)], &'a [&'a str]);
    let rows: [Row<'_>; 5] = [
        (&[("p/db", ""), ("p/web", "db:service_healthy:true")], &["p-web-1", "p-db-1"]),
        // By way of one that is not kept still.
        (
            &[
                ("p/a", ""),
                ("p/not", "a:service_started:false"),
                ("p/z", "not:service_started:false"),
            ],
            &["p-z-1", "p-a-1"],
        ),
        (
            &[("p/a", "b:x:true,c:x:true"), ("p/b", "c:x:true"), ("p/c", "")],
            &["p-a-1", "p-b-1", "p-c-1"],
        ),
        // A circle, and what is not there.
        (&[("p/a", "b:x:true"), ("p/b", "a:x:true,gone:x:true")], &["p-a-1", "p-b-1"]),
        (&[("p/db", ""), ("q/web", "db:x:true")], &["q-web-1", "p-db-1"]),
    ];
    for (services, expected) in rows {
        let containers: Vec<Container> = services
            .iter()
            .map(|(place, needs)| {
                let mounts: &[&str] = if place.ends_with("not") { &[] } else { &["data"] };
                of_service(place, needs, mounts)
            })
            .collect();
        let mut job = backup(Selection { volumes: texts(&["data"]), ..Selection::default() });
        job.quiesce.how = QuiesceHow::Stop;
        let reading = read(&job, &containers);
        let names: Vec<&str> = reading.still.iter().map(|it| it.name.as_str()).collect();
        assert_eq!(names, expected, "{services:?}");
    }
}

fn dump(kind: Database, database: Option<&str>) -> Dump {
    Dump {
        name: None,
        kind,
        target: Target::Name("db".to_owned()),
        database: database.map(str::to_owned),
        user: None,
        password: None,
        password_env: None,
        arguments: Vec::new(),
    }
}

#[test]
fn dumps_are_those_of_the_job_and_of_labels() {
    let labels = [
        ("roadstead.backup.database", "postgres"),
        ("roadstead.backup.database.name", "orders, users"),
        ("roadstead.backup.database.user", "ada"),
        ("roadstead.backup.database.password_env", "DB_PASSWORD"),
    ];
    let mut off = container("off", &[], &[("roadstead.backup.database", "redis")]);
    off.state = State::Exited;
    let containers = [container("db", &[], &labels), off];
    let mut job = by_labels();
    let mut missing = dump(Database::Mysql, None);
    missing.target = Target::Service { project: "p".to_owned(), service: "s".to_owned() };
    let mut first = dump(Database::Postgres, None);
    first.name = Some("x.sql".to_owned());
    let mut second = first.clone();
    second.database = Some("z".to_owned());
    let mut third = second.clone();
    third.arguments = texts(&["--schema-only"]);
    // The job says how `orders` is dumped; the label does not do it again. What the job itself says
    // of a database in another way is another dump.
    let orders = dump(Database::Postgres, Some("orders"));
    job.dumps = vec![orders, missing, first, second.clone(), third, second];
    let reading = read(&job, &containers);
    let files: Vec<&str> = reading.dumps.iter().map(|it| it.file.as_str()).collect();
    let names =
        ["db.orders.postgres.dump", "x.sql", "2-x.sql", "3-x.sql", "db.users.postgres.dump"];
    assert_eq!(files, names);
    let of_label = &reading.dumps[4].dump;
    assert_eq!(of_label.user.as_deref(), Some("ada"));
    assert_eq!(of_label.password_env.as_deref(), Some("DB_PASSWORD"));
    let problems = [
        "there is no container of service `p/s` to dump mysql of",
        "`off` is exited: its redis cannot be dumped",
    ];
    assert_eq!(reading.problems, problems);
}
