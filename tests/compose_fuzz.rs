//! Random short texts, read by us and by `docker compose` 2.40.3: templates, `.env` files, ports,
//! volumes, commands, hosts, devices, variables, durations, sizes and plain YAML scalars.
//!
//! `make fuzz` runs it; it fails where the oracle is not at hand. `FUZZ_ROUNDS` says for how long,
//! `FUZZ_SEED` repeats a run, `FUZZ_KINDS` chooses. What differs becomes a case of `tests/compose`.

#![expect(clippy::unwrap_used, reason = "a test fails where something is missing")]
#![expect(
    clippy::disallowed_methods,
    reason = "the oracle is a program; rounds and seed are variables"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use roadstead::compose::canonical::config_json;
use roadstead::compose::load::load;
use roadstead::compose::{Files, Request};
use serde_json::{Value, json};

/// How many texts of a kind that we accept are in a round: one call of the oracle carries them all.
const ACCEPTED: usize = 600;
/// How many that we refuse: each is a call.
const REFUSED: usize = 60;
/// How many differences are shown.
const SHOWN: usize = 60;
/// The variables both sides see.
const VARIABLES: [(&str, &str); 5] =
    [("A", "a"), ("B", "b c"), ("E", ""), ("D", "$A"), ("HOME", "/home/someone")];

/// One kind of text.
struct Kind {
    name: &'static str,
    pieces: &'static [&'static str],
    /// At most so many pieces make a text.
    longest: usize,
    /// The service that holds the text; a `.env` file is beside it as `NAME.env`.
    service: fn(&str, &str) -> Value,
    /// What was made of it.
    result: fn(&Value) -> Value,
    /// Texts that we read on purpose where docker compose does not, or the other way round, by whether
    /// we accept them: docs/compose.md.
    wanted: fn(&str, bool) -> bool,
}

const KINDS: [Kind; 12] = [
    Kind {
        name: "interpolation",
        pieces: &[
            "$", "${", "}", "{", "$$", "A", "B", "E", "U", "D", "${A", "${U", "${E", "$A", "$U",
            ":-", "-", ":+", "+", ":?", "?", "x", " ", "1", "_", ".", ":", "/", "'", "\"", "é",
            "#", "%", "=", "${A}", "${U:-", "${E-", "${A:+", "${B}", "\\", "[", "(",
        ],
        longest: 9,
        service: |_, text| json!({ "image": "i", "labels": { "l": text } }),
        result: |service| service["labels"]["l"].clone(),
        wanted: |text, accepted| accepted && (lazily_required(text) || braces_in_words(text)),
    },
    Kind {
        name: "dotenv",
        pieces: &[
            "A", "K", "KEY", "=", "=", "= ", " =", ":", ": ", "\n", "\n", "\n", "x", "y z", " ",
            "\t", "#", " # c", "\"", "'", "\\n", "\\", "\\\"", "\\'", "$A", "${A}", "${U:-d}",
            "$$", "$", "export ", "export", "K2=", "L=\"v\"", "M='$A'", "\r\n", "1", ".", "-", "é",
            "{", "}", "`", "0", "\\101", "\\0101",
        ],
        longest: 14,
        service: |name, _| json!({ "image": "i", "env_file": format!("{name}.env") }),
        result: |service| service["environment"].clone(),
        wanted: |text, accepted| {
            let lenient = lazily_required(text) || braces_in_words(text);
            ends_in_a_name(text) || if accepted { lenient } else { nameless(text) }
        },
    },
    Kind {
        name: "ports",
        pieces: &[
            "80",
            "8080",
            "8080-8082",
            "90-92",
            "1",
            "0",
            "65535",
            "65536",
            ":",
            ":",
            ":",
            "/",
            "/tcp",
            "/udp",
            "/sctp",
            "127.0.0.1:",
            "0.0.0.0:",
            "[::1]:",
            "::1",
            "[",
            "]",
            "-",
            " ",
            "x",
            "443:443",
            "/UDP",
            "+1",
            "1.2.3.4",
            "::",
            "[fe80::1%eth0]:",
            "7-7",
            "9-8",
            "007",
        ],
        longest: 6,
        service: |_, text| json!({ "image": "i", "ports": [text] }),
        result: |service| service["ports"].clone(),
        wanted: |text, accepted| !accepted && rest_after_range(text),
    },
    Kind {
        name: "commands",
        pieces: &[
            "a", "bc", " ", "  ", "'", "\"", "\\", "\\n", ";", "&", "|", "<", ">", "2>", "(", ")",
            "$$(", "`", "$$x", "#", "\t", "\n", "-x", "=", "é", "''", "\"\"",
        ],
        longest: 9,
        service: |_, text| json!({ "image": "i", "command": text }),
        result: |service| service["command"].clone(),
        wanted: |_, _| false,
    },
    Kind {
        name: "volumes",
        pieces: &[
            "./x",
            "/abs",
            "d",
            "data",
            ":",
            ":",
            ":",
            "ro",
            "rw",
            "z",
            "Z",
            ",",
            "nocopy",
            "rslave",
            "shared",
            "~",
            "~/x",
            "..",
            ".",
            "/",
            "C:",
            "c:\\x",
            "\\",
            "\\\\",
            "/t/",
            "//",
            "cached",
            " ",
            "x",
            "é",
            "ro,z",
            "/a/../b",
            "volume-nocopy",
            "D:/y",
        ],
        longest: 7,
        service: |_, text| json!({ "image": "i", "volumes": [text] }),
        result: |service| service["volumes"].clone(),
        wanted: |text, accepted| !accepted && of_windows(text),
    },
    Kind {
        name: "hosts",
        pieces: &[
            "a",
            "h-1",
            "=",
            "=",
            ":",
            ":",
            ",",
            "1.2.3.4",
            "[",
            "]",
            "::1",
            "[::1]",
            "fe80::1%eth0",
            "host-gateway",
            " ",
            "é",
            ".",
            "/",
            "$$",
            "x=",
            "\t",
        ],
        longest: 6,
        service: |_, text| json!({ "image": "i", "extra_hosts": [text] }),
        result: |service| service["extra_hosts"].clone(),
        wanted: |_, _| false,
    },
    Kind {
        name: "devices",
        pieces: &[
            "/dev/a",
            "/dev/b",
            "r",
            "w",
            "m",
            "rwm",
            ":",
            ":",
            ":",
            "x",
            "C",
            " ",
            "",
            "é",
            ".",
            "vendor.com/class=name",
            "=",
            "/",
        ],
        longest: 6,
        service: |_, text| json!({ "image": "i", "devices": [text] }),
        result: |service| service["devices"].clone(),
        wanted: |_, _| false,
    },
    Kind {
        name: "variables",
        pieces: &[
            "A", "U", "K", "=", "=", " ", "x", "$$", "$A", "${E}", ":", "\n", "é", "\"", "#", "-",
            ".", "0", "\t",
        ],
        longest: 6,
        service: |_, text| json!({ "image": "i", "environment": [text], "labels": [text] }),
        result: |service| json!([service["environment"], service["labels"]]),
        wanted: |_, _| false,
    },
    Kind {
        name: "durations",
        pieces: &[
            "1",
            "0",
            "10",
            "90",
            ".",
            ".5",
            "s",
            "m",
            "h",
            "d",
            "w",
            "ms",
            "us",
            "µs",
            "μs",
            "ns",
            "-",
            "+",
            " ",
            "e",
            "y",
            "9223372036",
            "_",
            "00",
        ],
        longest: 6,
        service: |_, text| json!({ "image": "i", "stop_grace_period": text }),
        result: |service| service["stop_grace_period"].clone(),
        wanted: |text, is_ours| !is_ours && text.starts_with('-'),
    },
    Kind {
        name: "sizes",
        pieces: &[
            "1",
            "0",
            "10",
            "64",
            ".",
            ".5",
            "k",
            "m",
            "g",
            "t",
            "p",
            "b",
            "B",
            "i",
            "kb",
            "KiB",
            "GB",
            "-",
            "+",
            " ",
            "e",
            "x",
            "9223372036854775807",
            "_",
            "1e3",
        ],
        longest: 5,
        service: |_, text| json!({ "image": "i", "mem_limit": text, "shm_size": text }),
        result: |service| json!([service["mem_limit"], service["shm_size"]]),
        // They become less than nothing there.
        wanted: |text, is_ours| !is_ours && text.contains("9223372036854775807"),
    },
    Kind {
        name: "published",
        pieces: &[
            "80",
            "8080",
            "-",
            "8080-8082",
            "0",
            "65535",
            "65536",
            " ",
            "x",
            "+1",
            "",
            "007",
            ":",
            "127.0.0.1:",
        ],
        longest: 4,
        service: |_, text| json!({ "image": "i", "ports": [{ "target": 80, "published": text }] }),
        result: |service| service["ports"].clone(),
        wanted: |_, _| false,
    },
    Kind {
        name: "scalars",
        pieces: &[
            "0", "1", "7", "8", "9", "12", "2001", "-01", "-1-", ":", "T", "t", "Z", "+", "-", ".",
            "e", "E", "_", "0x", "0o", "0b", "x", "F", "a", "yes", "No", "true", "null", "~",
            "inf", "nan", "Inf", ".5", "10:00:00", " ", "=", "<", "/", "\\",
        ],
        longest: 6,
        service: |_, text| json!({ "image": "i", "labels": { "l": format!("{RAW}{text}{RAW}") } }),
        result: |service| service["labels"]["l"].clone(),
        wanted: |_, _| false,
    },
];

/// Around a text that stands in the YAML as it is, without quotes.
const RAW: char = '\u{1}';

/// A required variable inside a word: docker compose asks for it even where the word is not used.
fn lazily_required(text: &str) -> bool {
    text.matches("${").count() > 1 && text.contains('?')
}

/// Plain braces in a word: docker compose looks for the end of the word from the wrong side. Of a word
/// that is not used, it says what is wrong with it.
fn braces_in_words(text: &str) -> bool {
    text.replace("${", "").contains('{') || text.matches('}').count() != text.matches("${").count()
}

/// Nothing but a name after the last line feed or quote: docker compose makes a value without a name of
/// it.
fn ends_in_a_name(text: &str) -> bool {
    let last = text.rsplit(['\n', '"', '\'']).next().unwrap_or(text);
    !last.trim().is_empty() && !last.contains(['=', ':'])
}

/// A line with a value and no name.
fn nameless(text: &str) -> bool {
    let named = |line: &str| {
        let line = line.trim_start();
        !line.strip_prefix("export").unwrap_or(line).trim_start().starts_with(['=', ':'])
    };
    !text.lines().all(named)
}

/// More after a port range than a range: docker compose drops it.
fn rest_after_range(text: &str) -> bool {
    text.matches('-').count() > 1 || text.matches('/').count() > 1
}

/// A drive letter or a pipe, or two signs with a colon: the Engine refuses what docker compose makes of it.
fn of_windows(text: &str) -> bool {
    let is_drive = |part: &str| part.len() == 1 && part.chars().all(char::is_alphabetic);
    text.starts_with('\\')
        || text.chars().nth(1) == Some(':')
        || (text.len() <= 2 && text.contains(':'))
        || (text.split(':').filter(|part| is_drive(part)).count() > 0 && text.contains(':'))
}

/// Numbers that look random and come again with the same seed (xorshift).
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(end).unwrap()).unwrap()
    }

    fn text(&mut self, kind: &Kind) -> String {
        let count = 1 + self.below(kind.longest);
        (0..count).map(|_| kind.pieces[self.below(kind.pieces.len())]).collect()
    }
}

/// Files beneath the directory that the oracle works in.
struct Table(BTreeMap<PathBuf, String>);

impl Files for Table {
    fn read_bytes(&self, path: &Path) -> io::Result<Vec<u8>> {
        let text = self.0.get(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(text.clone().into_bytes())
    }
}

struct Oracle {
    program: String,
    directory: PathBuf,
}

impl Oracle {
    fn find(directory: &Path) -> Self {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/oracle.sh");
        let output = Command::new(script).output().unwrap();
        assert!(output.status.success(), "no oracle: {}", String::from_utf8_lossy(&output.stderr));
        let program = String::from_utf8(output.stdout).unwrap().trim().to_owned();
        Self { program, directory: directory.to_owned() }
    }

    /// What it makes of each text; nothing where it refuses.
    fn read(&self, kind: &Kind, texts: &[String]) -> Vec<Option<Value>> {
        if let Some(project) = self.config(kind, texts) {
            let result = |index| (kind.result)(&project["services"][&format!("s{index}")]);
            return (0..texts.len()).map(|index| Some(result(index))).collect();
        }
        if texts.len() == 1 {
            return vec![None];
        }
        let (left, right) = texts.split_at(texts.len() / 2);
        [self.read(kind, left), self.read(kind, right)].concat()
    }

    fn config(&self, kind: &Kind, texts: &[String]) -> Option<Value> {
        for (path, text) in files(kind, texts, &self.directory).0 {
            fs::write(path, text).unwrap();
        }
        let output = Command::new(&self.program)
            .args(["config", "--format", "json"])
            .current_dir(&self.directory)
            .env_clear()
            .envs(VARIABLES)
            .output()
            .unwrap();
        output.status.success().then(|| serde_json::from_slice(&output.stdout).unwrap())
    }
}

/// A project with one service for each text. JSON is YAML.
fn files(kind: &Kind, texts: &[String], directory: &Path) -> Table {
    let mut table = BTreeMap::new();
    let mut services = serde_json::Map::new();
    for (index, text) in texts.iter().enumerate() {
        let name = format!("s{index}");
        services.insert(name.clone(), (kind.service)(&name, text));
        if kind.name == "dotenv" {
            table.insert(directory.join(format!("{name}.env")), text.clone());
        }
    }
    let volumes = json!({ "d": null, "data": null, "x": null });
    let project = json!({ "services": services, "volumes": volumes }).to_string();
    let project = if kind.name == "scalars" { without_quotes(&project) } else { project };
    table.insert(directory.join("compose.yml"), project);
    Table(table)
}

/// JSON whose raw texts lose quotes and escapes.
fn without_quotes(json: &str) -> String {
    let mark = "\\u0001";
    let pieces = json.split(mark).enumerate();
    let pieces = pieces.map(|(index, piece)| match index % 2 {
        0 => piece.strip_prefix('"').unwrap_or(piece).to_owned(),
        _ => piece.replace("\\\\", "\\"),
    });
    let pieces: Vec<String> = pieces.collect();
    let last = pieces.len() - 1;
    let stripped = pieces.iter().enumerate().map(|(index, piece)| {
        let before_raw = index % 2 == 0 && index != last;
        if before_raw { piece.strip_suffix('"').unwrap_or(piece) } else { piece }
    });
    // A blank, for a colon must not stand beside the text.
    stripped.collect::<Vec<_>>().join(" ")
}

fn ours(kind: &Kind, text: &str, directory: &Path) -> Option<Value> {
    let table = files(kind, &[text.to_owned()], directory);
    let variables = VARIABLES.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let request = Request { directory: directory.to_owned(), variables, ..Request::default() };
    let project = load(&request, &table).ok()?;
    Some((kind.result)(&config_json(&project)["services"]["s0"]))
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().unwrap())
}

/// Texts that we accept and texts that we refuse.
fn texts(kind: &Kind, dice: &mut Dice, directory: &Path) -> (Vec<String>, Vec<String>) {
    let (mut accepted, mut refused) = (BTreeSet::new(), BTreeSet::new());
    // Where few texts can be read, one gives up in the end.
    for _ in 0..100 * ACCEPTED {
        if accepted.len() == ACCEPTED {
            break;
        }
        let text = dice.text(kind);
        if ours(kind, &text, directory).is_some() {
            accepted.insert(text);
        } else if refused.len() < REFUSED {
            refused.insert(text);
        }
    }
    (accepted.into_iter().collect(), refused.into_iter().collect())
}

#[test]
#[ignore = "asks docker compose thousands of times: `make fuzz` runs it"]
fn reads_random_texts_as_docker_compose_does() {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let seed = number("FUZZ_SEED").unwrap_or(now.as_secs());
    let mut dice = Dice(seed.max(1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    let home = tempfile::tempdir().unwrap();
    let directory = home.path().canonicalize().unwrap();
    let oracle = Oracle::find(&directory);
    let chosen = std::env::var("FUZZ_KINDS").unwrap_or_default();
    let is_chosen =
        |kind: &&Kind| chosen.is_empty() || chosen.split_whitespace().any(|name| name == kind.name);
    let (mut wrong, mut read) = (Vec::new(), BTreeMap::new());
    let rounds = number("FUZZ_ROUNDS").unwrap_or(3);
    for _ in 0..rounds {
        for kind in KINDS.iter().filter(is_chosen) {
            let (accepted, refused) = texts(kind, &mut dice, &directory);
            *read.entry(kind.name).or_insert(0) += accepted.len() + refused.len();
            // What we refuse is refused most times: one by one is faster than to halve and halve.
            let answers = oracle.read(kind, &accepted).into_iter();
            let answers = answers.chain(
                refused.iter().flat_map(|text| oracle.read(kind, std::slice::from_ref(text))),
            );
            for (text, theirs) in accepted.iter().chain(&refused).zip(answers) {
                let ours = ours(kind, text, &directory);
                if ours != theirs && !(kind.wanted)(text, ours.is_some()) {
                    wrong.push((kind.name, text.clone(), ours, theirs));
                }
            }
        }
    }
    wrong.sort_by_key(|(kind, text, _, _)| (*kind, text.len()));
    let mut shown = String::new();
    let word =
        |value: &Option<Value>| value.as_ref().map_or("refused".to_owned(), Value::to_string);
    for (kind, text, ours, theirs) in wrong.iter().take(SHOWN) {
        writeln!(
            shown,
            "{kind} {text:?}\n    ours {}\n    docker compose {}",
            word(ours),
            word(theirs)
        )
        .unwrap();
    }
    let total: usize = read.values().sum();
    let counts = format!("{} of {total} texts in {rounds} rounds differ, seed {seed}", wrong.len());
    let kinds: Vec<String> = read.iter().map(|(name, texts)| format!("{name} {texts}")).collect();
    writeln!(io::stdout(), "\ncompared: {counts}; {}", kinds.join(", ")).unwrap();
    assert!(wrong.is_empty(), "{shown}{counts}");
}
