//! Compose files against what `docker compose` 2.40.3 makes of them.
//!
//! `tests/compose/TOPIC.txt` holds cases, `TOPIC.oracle.txt` what `docker compose` makes of them, and
//! `TOPIC.ours.txt` our words for what is refused; `compose/README.md` says more. Every case runs
//! before the test fails. `UPDATE_GOLDEN=1 cargo test --test compose_golden` writes our words anew.

#![expect(clippy::unwrap_used, reason = "a test fails where something is missing")]

mod answer;
mod cases;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use roadstead::compose::canonical::{config_json, config_yaml};
use roadstead::compose::load::load;
use roadstead::compose::{Files, Request};
use roadstead::job::Packed;

use answer::{answer, differences};
use cases::{Case, Topic, beside, topics};

/// The topic of what differs on purpose, and the page that gives the reasons.
const WANTED: &str = "differences";
const PAGE: &str = include_str!("../../docs/compose.md");
/// How many differences of one case are shown.
const SHOWN: usize = 4;

/// Files by name, beneath `/p`.
struct Table(BTreeMap<PathBuf, String>);

impl Files for Table {
    fn read_bytes(&self, path: &Path) -> io::Result<Vec<u8>> {
        let text = self.0.get(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(text.clone().into_bytes())
    }
}

/// What we make of a case: its parts, or the text of our refusal.
fn ours(case: &Case) -> Result<String, String> {
    match load(&case.request(), case) {
        Ok(project) => Ok(answer(&project)),
        Err(problems) => Err(format!("{problems}\n")),
    }
}

/// How our answer to a case differs from the oracle's.
fn unequal(case: &Case, oracle: &str) -> Vec<String> {
    match ours(case) {
        Ok(text) => differences(&text, oracle),
        Err(_) if oracle.starts_with("refused") => Vec::new(),
        Err(problems) => vec![format!("we refuse it: {}", problems.trim_end())],
    }
}

fn expected<'a>(topic: &'a Topic, case: &Case) -> &'a str {
    topic.oracle.get(&case.name).unwrap_or_else(|| {
        panic!("{}: no expectation: run scripts/golden.py {}", case.name, topic.name)
    })
}

#[test]
fn makes_of_each_case_what_docker_compose_makes() {
    let (mut accepted, mut refused, mut wrong) = (0, 0, Vec::new());
    for topic in topics().iter().filter(|topic| topic.name != WANTED) {
        for case in &topic.cases {
            let oracle = expected(topic, case);
            *if oracle.starts_with("refused") { &mut refused } else { &mut accepted } += 1;
            let found = unequal(case, oracle);
            if !found.is_empty() {
                let more = found.len().saturating_sub(SHOWN);
                let mut shown = found[..found.len() - more].join("\n    ");
                if more > 0 {
                    write!(shown, "\n    and {more} more").unwrap();
                }
                wrong.push(format!("{}/{}\n    {shown}", topic.name, case.name));
            }
        }
    }
    let unequal = wrong.len();
    let counts = format!("{accepted} accepted, {refused} refused, {unequal} of them unequal");
    assert!(wrong.is_empty(), "{}\n{counts}", wrong.join("\n"));
    assert!(accepted >= 350 && refused >= 300, "{counts}");
}

#[test]
#[expect(clippy::disallowed_methods, reason = "asked for by a variable, as by every golden test")]
fn refuses_with_words_to_act_on() {
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    let mut wrong = Vec::new();
    for topic in topics() {
        let mut text = String::new();
        for case in &topic.cases {
            let printed = match ours(case) {
                Ok(answer) if topic.name == WANTED => answer,
                Ok(_) => continue,
                Err(problems) => problems,
            };
            write!(text, "== {} ==\n{printed}", case.name).unwrap();
            if !update && topic.ours.get(&case.name) != Some(&printed) {
                let before = topic.ours.get(&case.name).map_or("nothing\n", String::as_str);
                wrong.push(format!("{}/{}:\n{printed}--- was\n{before}", topic.name, case.name));
            }
        }
        if update && !text.is_empty() {
            fs::write(beside(&topic.name, "ours"), text).unwrap();
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn differs_only_where_the_page_gives_a_reason() {
    let topics = topics();
    let wanted = topics.iter().find(|topic| topic.name == WANTED).unwrap();
    let mut wrong = Vec::new();
    for case in &wanted.cases {
        if unequal(case, expected(wanted, case)).is_empty() {
            wrong.push(format!("{} does not differ: move it to another topic", case.name));
        }
        if !PAGE.contains(&format!("`{}`", case.name)) {
            wrong.push(format!("docs/compose.md gives no reason for `{}`", case.name));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_service_is_the_same_after_it_was_packed() {
    let (mut services, mut longest) = (0, 0);
    for case in topics().iter().flat_map(|topic| &topic.cases) {
        let Ok(project) = load(&case.request(), case) else { continue };
        for service in project.services.values() {
            let packed = Packed::of(service);
            assert_eq!(packed.unpack(), *service, "{}", case.name);
            (services, longest) = (services + 1, longest.max(packed.size()));
        }
    }
    assert!(services >= 400 && longest > 500, "{services} services, {longest} bytes the largest");
}

#[test]
fn reads_its_own_yaml_back() {
    let mut wrong = Vec::new();
    // docker compose prints more than it reads, e.g. sizes of -1 in other topics, and so do we.
    let whole =
        |topic: &&Topic| ["extends", "many_files", "stacks", "tags"].contains(&&*topic.name);
    for case in topics().iter().filter(whole).flat_map(|topic| &topic.cases) {
        let Ok(project) = load(&case.request(), case) else { continue };
        let text = config_yaml(&project);
        let file = PathBuf::from("/p/compose.yaml");
        let request = Request {
            directory: PathBuf::from("/p"),
            profiles: vec!["*".to_owned()],
            variables: case.request().variables,
            ..Request::default()
        };
        let again = load(&request, &Table(BTreeMap::from([(file, text.clone())])));
        match again {
            Ok(again) if config_json(&again) == config_json(&project) => {}
            Ok(again) => wrong.push(format!(
                "{}: {}\n{}",
                case.name,
                config_json(&project),
                config_json(&again)
            )),
            Err(problems) => wrong.push(format!("{}: {problems}\n{text}", case.name)),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A hundred and forty files over fifty services, as a big platform has them.
fn big_stack() -> (Request, Table) {
    let mut table = BTreeMap::new();
    let mut files = Vec::new();
    for file in 0..140 {
        let mut text = "services:\n".to_owned();
        for service in (0..50).filter(|service| file == 0 || service % 10 == file % 10) {
            let _ = write!(
                text,
                "  s{service}:\n    image: \"registry.example/s{service}:${{TAG:-1.{file}}}\"\n    \
                 environment:\n      V{file}: \"${{VALUE}} $$x\"\n    volumes:\n      - \
                 ./d{file}:/d{file}:ro\n    labels: {{l{file}: x}}\n    restart: always\n"
            );
        }
        let path = PathBuf::from(format!("/p/f{file}.yml"));
        files.push(path.clone());
        table.insert(path, text);
    }
    let variables = BTreeMap::from([("VALUE".to_owned(), "v".to_owned())]);
    let request =
        Request { directory: PathBuf::from("/p"), files, variables, ..Request::default() };
    (request, Table(table))
}

#[test]
fn loads_a_big_stack_at_once() {
    let (request, files) = big_stack();
    let start = std::time::Instant::now();
    let project = load(&request, &files).unwrap();
    assert_eq!(project.services.len(), 50);
    // A hundredfold margin for an unoptimised build on a busy machine.
    assert!(start.elapsed().as_secs() < 5, "{:?}", start.elapsed());
}

#[test]
fn survives_hostile_files() {
    let deep = "[".repeat(50_000);
    let mut long_chain = String::new();
    for n in 0..2000 {
        writeln!(long_chain, "  s{n}: {{image: i, depends_on: [s{}]}}", n + 1).unwrap();
    }
    let mut bomb = String::new();
    for n in 1..30 {
        writeln!(bomb, "x-{n}: &a{n} [*a{0}, *a{0}, *a{0}]", n - 1).unwrap();
    }
    for text in [
        deep,
        format!("services:\n{long_chain}  s2000: {{image: i}}\n"),
        format!("services:\n{long_chain}  s2000: {{image: i, depends_on: [s0]}}\n"),
        format!("x-0: &a0 [x]\n{bomb}services: {{}}\n"),
        format!("services: {{a: {{image: \"{}\"}}}}\n", "${A:-".repeat(5000)),
        "services: {a: {image: i, ports: ['1-65535:1-65535', '1-65535']}}\n".to_owned(),
        "services: &s {a: *s}\n".to_owned(),
        "\u{0}".to_owned(),
        "services: {a: {image: i, volumes: ['::', ':', '']}}\n".to_owned(),
    ] {
        let file = PathBuf::from("/p/compose.yaml");
        let request = Request { directory: PathBuf::from("/p"), ..Request::default() };
        let start = std::time::Instant::now();
        let _ = load(&request, &Table(BTreeMap::from([(file, text.clone())])));
        assert!(start.elapsed().as_secs() < 20, "{:?}: {:.60}", start.elapsed(), text);
    }
}

/// Words that Compose files are made of, in any order.
fn scrap() -> impl proptest::strategy::Strategy<Value = String> {
    use proptest::strategy::Strategy as _;
    let words = proptest::sample::select(vec![
        "services",
        "web",
        "image",
        "ports",
        "volumes",
        "networks",
        "deploy",
        "healthcheck",
        "test",
        "environment",
        "depends_on",
        ": ",
        ":\n  ",
        ":\n    ",
        "\n",
        "\n  ",
        "\n    - ",
        "{",
        "}",
        "[",
        "]",
        ", ",
        "a=b",
        "80:80",
        "./x:/y",
        "${A:-b}",
        "$",
        "&a ",
        "*a",
        "<<: ",
        "!reset ",
        "1",
        "null",
        "'",
        "\"",
        "|",
        ">",
        "# c",
        "---\n",
        "extra_hosts",
        "ulimits",
        "command",
        "env_file",
        "tmpfs",
    ]);
    proptest::collection::vec(words, 0..60).prop_map(|words| words.concat())
}

proptest::proptest! {
    #[test]
    fn never_panics(base in scrap(), over in scrap()) {
        let directory = PathBuf::from("/p");
        let files = [("/p/compose.yaml", base), ("/p/compose.override.yml", over)];
        let table = files.map(|(path, text)| (PathBuf::from(path), format!("services:\n  web:\n    {text}")));
        let _ = load(&Request { directory, ..Request::default() }, &Table(table.into()));
    }
}
