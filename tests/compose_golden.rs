//! Compose files against what `docker compose` 2.40.3 makes of them.
//!
//! `compose/valid/*` holds inputs beside `expected.json` (its `config --format json`, without `x-*`
//! keys) and `hashes` (its `config --hash '*'`). `compose/invalid/*.yml` are refused with the text of
//! the `.txt` beside them; build with `UPDATE_GOLDEN=1` to write those texts anew.

#![expect(clippy::unwrap_used, reason = "a test fails where something is missing")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use roadstead::compose::canonical::{config_json, config_yaml};
use roadstead::compose::hash::{Dialect, service_hash};
use roadstead::compose::load::load;
use roadstead::compose::model::Project;
use roadstead::compose::{Conflicts, Files, Request};
use serde_json::Value;

/// Where the expected texts say the projects lie.
const BASE: &str = "/srv/roadstead-golden";

/// The files of `tests/compose`, as if they lay beneath [`BASE`].
struct Beneath(PathBuf);

impl Files for Beneath {
    fn read(&self, path: &Path) -> io::Result<String> {
        let inside = path.strip_prefix(BASE).map_err(|_| io::ErrorKind::NotFound)?;
        fs::read_to_string(self.0.join(inside))
    }
}

/// Files by name, beneath `/p`.
struct Table(BTreeMap<PathBuf, String>);

impl Files for Table {
    fn read(&self, path: &Path) -> io::Result<String> {
        self.0.get(path).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

fn inputs(kind: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/compose").join(kind)
}

fn entries(directory: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> =
        fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

fn request(case: &Path) -> Request {
    let name = case.file_name().unwrap();
    let mut request = Request { directory: Path::new(BASE).join(name), ..Request::default() };
    let Ok(text) = fs::read_to_string(case.join("request.json")) else { return request };
    let wanted: Value = serde_json::from_str(&text).unwrap();
    let strings = |key: &str| -> Vec<String> {
        let items = wanted[key].as_array().into_iter().flatten();
        items.map(|item| item.as_str().unwrap().to_owned()).collect()
    };
    request.files = strings("files").into_iter().map(PathBuf::from).collect();
    request.env_files = strings("env_files").into_iter().map(PathBuf::from).collect();
    request.profiles = strings("profiles");
    request.services = strings("services");
    if wanted["conflicts"] == "refuse" {
        request.conflicts = Conflicts::Refuse;
    }
    request.project_name = wanted["project_name"].as_str().map(str::to_owned);
    for (key, value) in wanted["variables"].as_object().into_iter().flatten() {
        request.variables.insert(key.clone(), value.as_str().unwrap().to_owned());
    }
    request
}

fn loaded(case: &Path) -> Project {
    let files = Beneath(inputs("valid"));
    load(&request(case), &files).unwrap_or_else(|problems| panic!("{}: {problems}", case.display()))
}

#[test]
fn prints_what_docker_compose_prints() {
    let cases = entries(&inputs("valid"));
    assert!(cases.len() >= 40, "{} cases", cases.len());
    let mut wrong = Vec::new();
    for case in cases {
        let expected = fs::read_to_string(case.join("expected.json")).unwrap();
        let mut value = config_json(&loaded(&case));
        value.as_object_mut().unwrap().retain(|key, _| !key.starts_with("x-"));
        let printed = format!("{}\n", serde_json::to_string_pretty(&value).unwrap());
        if printed != expected {
            let mut lines = printed.lines().zip(expected.lines());
            let differing = lines.find(|(ours, theirs)| ours != theirs);
            let (ours, theirs) = differing.unwrap_or_default();
            wrong.push(format!("{}: got {ours}, expected {theirs}", case.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn prints_the_yaml_that_docker_compose_prints() {
    for case in entries(&inputs("valid")) {
        let Ok(expected) = fs::read_to_string(case.join("expected.yaml")) else { continue };
        assert_eq!(config_yaml(&loaded(&case)), expected, "{}", case.display());
    }
}

fn check_hashes(file: &str, dialect: Dialect) {
    let mut wrong = Vec::new();
    for case in entries(&inputs("valid")) {
        let Ok(expected) = fs::read_to_string(case.join(file)) else { continue };
        let project = loaded(&case);
        let mut printed = String::new();
        for service in project.services.values() {
            let hash = service_hash(service, dialect);
            writeln!(printed, "{} {hash}", service.name).unwrap();
        }
        if printed != expected {
            wrong.push(format!("{}:\n{printed}---\n{expected}", case.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn hashes_as_docker_compose_2_does() {
    check_hashes("hashes", Dialect::V2_40);
}

#[test]
fn hashes_as_docker_compose_5_does() {
    check_hashes("hashes_5", Dialect::V5);
}

#[test]
fn reads_its_own_yaml_back() {
    for case in entries(&inputs("valid")) {
        let project = loaded(&case);
        let mut wanted = project.services.values().flat_map(|service| service.depends_on.keys());
        if wanted.any(|name| !project.services.contains_key(name)) {
            // What is off but not required is named, here as by docker compose, but not printed.
            continue;
        }
        let text = config_yaml(&project);
        let file = PathBuf::from("/p/compose.yaml");
        let request = Request {
            directory: PathBuf::from("/p"),
            profiles: vec!["*".to_owned()],
            ..Request::default()
        };
        let again = load(&request, &Table(BTreeMap::from([(file, text.clone())])))
            .unwrap_or_else(|problems| panic!("{}: {problems}\n{text}", case.display()));
        let (left, right) = (config_json(&project), config_json(&again));
        assert_eq!(left, right, "{}\n{text}", case.display());
    }
}

#[test]
fn refuses_with_file_line_and_reason() {
    let cases = entries(&inputs("invalid"));
    let cases: Vec<_> = cases.iter().filter(|path| path.extension().unwrap() == "yml").collect();
    assert!(cases.len() >= 40, "{} cases", cases.len());
    let update = option_env!("UPDATE_GOLDEN").is_some();
    let mut wrong = Vec::new();
    for case in cases {
        let name = case.file_name().unwrap();
        let request = Request {
            directory: PathBuf::from(BASE),
            files: vec![PathBuf::from(name)],
            project_name: Some("p".to_owned()),
            ..Request::default()
        };
        let printed = match load(&request, &Beneath(inputs("invalid"))) {
            Ok(_) => "accepted\n".to_owned(),
            Err(problems) => format!("{problems}\n"),
        };
        let beside = case.with_extension("txt");
        if update {
            fs::write(&beside, &printed).unwrap();
        }
        let expected = fs::read_to_string(&beside).unwrap_or_default();
        if printed != expected {
            wrong.push(format!("{}:\n{printed}---\n{expected}", case.display()));
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
