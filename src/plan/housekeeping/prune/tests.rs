//! What goes and what stays, as tables.

use super::*;
use crate::plan::observed::State;

fn at(days: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_700_000_000 - days * 24 * 3600, 0).unwrap()
}

/// An image `id name name`, so many days old.
fn image(text: &str, days: i64) -> Image {
    let mut words = text.split_whitespace().map(str::to_owned);
    let identity = Identity { id: words.next().unwrap(), ..Identity::default() };
    let (digests, tags) = words.partition(|it| it.contains('@'));
    Image { identity, tags, digests, since: at(days), size: 1024 }
}

fn container(name: &str, image: &str, state: State, pairs: &[(&str, &str)]) -> Container {
    Container {
        id: format!("c-{name}"),
        name: name.to_owned(),
        image_id: image.to_owned(),
        state,
        labels: pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect(),
        ..Container::default()
    }
}

fn aged(name: &str, project: &str, days: i64) -> Aged {
    Aged {
        id: format!("n-{name}"),
        name: name.to_owned(),
        labels: [(labels::PROJECT.to_owned(), project.to_owned())].into(),
        made: Some(at(days)),
    }
}

fn set(texts: &[&str]) -> BTreeSet<String> {
    texts.iter().map(|it| (*it).to_owned()).collect()
}

fn shown(plan: &PrunePlan) -> String {
    let going: Vec<&str> = plan.going.iter().map(|it| it.name.as_str()).collect();
    going.join(" ")
}

/// Images of our runs: three of `web`, one that runs, one that a rollback needs, one that a job names.
fn images() -> (Stock, Needed) {
    let stock = Stock {
        images: vec![
            image("runs web:5 web@sha256:d5", 40),
            image("before web:4", 50),
            image("web3 web:3", 60),
            image("web2 web:2 web@sha256:d2", 70),
            image("web1 web:1", 80),
            image("fresh web:6", 1),
            image("named job:1", 90),
            image("lost", 90),
            image("shared web:0 mine/web:0", 95),
            image("foreign other:1", 99),
            image("strange", 99),
        ],
        containers: vec![(container("w", "runs", State::Running, &[]), None)],
        ..Stock::default()
    };
    let needed = Needed {
        used: set(&["runs", "before", "web3", "web2", "web1", "fresh", "named", "lost", "shared"]),
        references: set(&["web:1", "job:1"]),
        images: [("before".to_owned(), "rollback".to_owned())].into(),
        names: [("job:1".to_owned(), "job".to_owned())].into(),
        ..Needed::default()
    };
    (stock, needed)
}

fn of_images(images: PruneImages) -> Prune {
    Prune { images: Some(images), ..Prune::default() }
}

#[test]
fn images_go_by_age_and_number_and_what_is_needed_stays() {
    let (stock, needed) = images();
    let rules = |keep| PruneImages { keep, ..PruneImages::default() };
    for (name, rules, expected) in [
        // The newest of `web` are fresh, runs, before, web3, …
        ("one of each", rules(1), "web:3 web:2 web:1 lost"),
        ("four", rules(4), "web:2 web:1 lost"),
        ("many", rules(10), "lost"),
        ("named ones", PruneImages { dangling: false, ..rules(4) }, "web:2 web:1"),
        (
            "old ones",
            PruneImages { older_than: Duration::from_hours(24 * 75), ..rules(1) },
            "web:1 lost",
        ),
        (
            "all",
            PruneImages { all: true, ..rules(4) },
            // `mine/web` and `other` have one image each, which stays.
            "web:2 web:1 lost strange",
        ),
    ] {
        assert_eq!(shown(&plan(&of_images(rules), &stock, &needed, at(0))), expected, "{name}");
    }
}

#[test]
fn every_reason_is_told() {
    let (stock, needed) = images();
    let rules = PruneImages { keep: 1, ..PruneImages::default() };
    let found = plan(&of_images(rules), &stock, &needed, at(0));
    let why: BTreeMap<&str, &str> =
        found.staying.iter().map(|it| (it.name.as_str(), it.why.as_str())).collect();
    for (name, expected) in [
        ("web:5", "container w uses it"),
        ("web:4", "rollback"),
        ("job:1", "job"),
        ("web:6", "one of the newest 1 of its repository"),
        ("web:0", "somebody else calls it mine/web:0"),
    ] {
        assert_eq!(why[name], expected, "{name}");
    }
    assert_eq!(found.foreign, 2);
    let web2 = found.going.iter().find(|it| it.name == "web:2").unwrap();
    assert_eq!(web2.names, ["web:2", "web@sha256:d2"]);
    assert_eq!(found.summary(), "4 images (4.0 KiB) to remove, 5 of ours stay, 2 are not ours");
}

#[test]
fn ended_containers_of_jobs_go_and_neither_services_nor_those_of_others() {
    // Name, state, labels, days since its end, whether it goes.
    type Row<'a> = (&'a str, State, &'a [(&'a str, &'a str)], i64, bool);
    let of_job = (labels::JOB, "load");
    let of_project = (labels::PROJECT, "shop");
    let rows: [Row<'_>; 9] = [
        ("old", State::Exited, &[of_job], 9, true),
        ("new", State::Exited, &[of_job], 1, false),
        ("runs", State::Running, &[of_job], 9, false),
        ("never-started", State::Created, &[of_job], 9, true),
        ("oneoff", State::Exited, &[of_project, (labels::ONEOFF, "True")], 9, true),
        ("init", State::Exited, &[of_project, (labels::ONEOFF, "False")], 9, false),
        ("theirs", State::Exited, &[(labels::PROJECT, "x"), (labels::ONEOFF, "True")], 9, false),
        ("plain", State::Exited, &[], 9, false),
        ("of-another", State::Exited, &[(labels::JOB, "other")], 9, false),
    ];
    let stock = Stock {
        containers: rows
            .iter()
            .map(|(name, state, pairs, days, _)| {
                (container(name, "i", *state, pairs), Some(at(*days)))
            })
            .collect(),
        images: vec![image("i app:1", 9)],
        ..Stock::default()
    };
    let needed = Needed {
        jobs: set(&["load"]),
        projects: set(&["shop"]),
        used: set(&["i"]),
        ..Needed::default()
    };
    let work = Prune { containers: Some(Duration::from_hours(7 * 24)), ..Prune::default() };
    let found = plan(&work, &stock, &needed, at(0));
    let expected: Vec<&str> = rows.iter().filter(|row| row.4).map(|row| row.0).collect();
    assert_eq!(shown(&found), expected.join(" "));
    assert_eq!(found.foreign, 3);
}

#[test]
fn an_image_goes_with_the_last_container_that_used_it() {
    let stock = Stock {
        images: vec![image("i", 9)],
        containers: vec![(
            container("old", "i", State::Exited, &[(labels::JOB, "load")]),
            Some(at(9)),
        )],
        ..Stock::default()
    };
    let needed = Needed { jobs: set(&["load"]), used: set(&["i"]), ..Needed::default() };
    let week = Duration::from_hours(7 * 24);
    for (containers, expected) in [(Some(week), "old i"), (None, "")] {
        let work = Prune { containers, ..of_images(PruneImages::default()) };
        assert_eq!(shown(&plan(&work, &stock, &needed, at(0))), expected);
    }
}

#[test]
fn networks_and_volumes_of_ours_go_when_nothing_uses_or_declares_them() {
    let names = ["used", "declared", "young", "old", "unread"];
    let resource = |name: &&str| {
        let project = if *name == "unread" { "broken" } else { "shop" };
        aged(name, project, if *name == "young" { 1 } else { 99 })
    };
    let mut all: Vec<Aged> = names.iter().map(resource).collect();
    all.push(aged("theirs", "x", 99));
    let mut user = container("w", "i", State::Exited, &[]);
    user.networks = [("used".to_owned(), "n-used".to_owned())].into();
    user.volumes = set(&["used"]);
    let stock = Stock {
        networks: all.clone(),
        volumes: all,
        containers: vec![(user, None)],
        ..Stock::default()
    };
    let needed = Needed {
        projects: set(&["shop", "broken"]),
        unreadable: [("broken".to_owned(), "a mistake".to_owned())].into(),
        networks: set(&["declared"]),
        volumes: set(&["declared"]),
        ..Needed::default()
    };
    let week = Duration::from_hours(7 * 24);
    let volumes = |labels: &[&str]| {
        let labels = labels.iter().map(|it| (*it).to_owned()).collect();
        Prune { volumes: Some(PruneVolumes { older_than: week, labels }), ..Prune::default() }
    };
    let label = format!("{}=shop", labels::PROJECT);
    for (work, expected) in [
        (Prune { networks: Some(week), ..Prune::default() }, "old"),
        (volumes(&[]), "old"),
        (volumes(&[&label]), "old"),
        (volumes(&["scratch"]), ""),
        (Prune::default(), ""),
    ] {
        let found = plan(&work, &stock, &needed, at(0));
        assert_eq!(shown(&found), expected, "{work:?}");
    }
}

#[test]
fn too_many_are_a_reason_to_remove_none() {
    let (stock, needed) = images();
    for (most, is_refused) in [(3, true), (4, false)] {
        let rules = PruneImages { keep: 1, ..PruneImages::default() };
        let work = Prune { max_removals: Some(most), ..of_images(rules) };
        let found = plan(&work, &stock, &needed, at(0));
        assert_eq!(found.refused.is_some(), is_refused, "{most}");
    }
}
