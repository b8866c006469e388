//! What the grammar takes, what it refuses, and that `sh` reads the same.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;

use super::parse;

fn environment() -> BTreeMap<String, String> {
    let pairs = [("HOME", "/home/ada"), ("FROM_ENV", "from env"), ("BLANK", "")];
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn values(text: &str) -> Vec<(String, String)> {
    let assigned = parse(text, "env.local", &environment()).unwrap_or_else(|problems| {
        panic!("{text:?}\n{problems}");
    });
    assigned.into_iter().map(|(name, assigned)| (name, assigned.value)).collect()
}

/// Files that a shell reads as we do: the value of `A`, and the file itself for the shell.
const SAME_IN_A_SHELL: &[(&str, &str)] = &[
    ("A=b", "b"),
    ("export A=b", "b"),
    ("export A='b c'", "b c"),
    ("export \"A=b c\"", "b c"),
    ("A=", ""),
    ("A= # nothing", ""),
    ("A=b#c # d", "b#c"),
    ("A=b;", "b"),
    ("A=b ; # c", "b"),
    ("  \t A=b  ", "b"),
    ("A=a B=b C=$A$B; \nA=$C", "ab"),
    ("export B=1 A=b C", "b"),
    ("A=b\nexport A", "b"),
    ("A=a'b'\"c\"d", "abcd"),
    ("A=\"\"\"x\"\"\"", "x"),
    ("A='$B `c` \\ \"'", "$B `c` \\ \""),
    ("A=\"it's\"", "it's"),
    ("A='it'\\''s'", "it's"),
    ("A='\nfirst\n  second\n'", "\nfirst\n  second\n"),
    ("A=\"a\\\nb\"", "ab"),
    ("A=a\\\nb", "ab"),
    ("A\\\n=$\\\nFROM\\\n_ENV", "from env"),
    ("A=$\\\n{BLANK:\\\n-b}", "b"),
    ("A='a\\\nb'", "a\\\nb"),
    ("A=\\$B\\ c\\\\", "$B c\\"),
    ("A=\"\\$ \\` \\\" \\\\ \\n \\' \\}\"", "$ ` \" \\ \\n \\' \\}"),
    ("A=a\\", "a\\"),
    ("A=\"$FROM_ENV!\"", "from env!"),
    ("A=$FROM_ENV", "from env"),
    ("A=${FROM_ENV}s", "from envs"),
    ("A=x$NONE.y", "x.y"),
    ("A=$ B=1", "$"),
    ("A=\"$\" B=\"$ %\"", "$"),
    ("A=5$% B=$/", "5$%"),
    ("A=${NONE:-b}", "b"),
    ("A=${BLANK:-b}", "b"),
    ("A=${BLANK-b}", ""),
    ("A=${NONE-b}", "b"),
    ("A=${FROM_ENV:-b}", "from env"),
    ("A=${NONE:-two words}", "two words"),
    ("A=${NONE:-#b;&|<>()}", "#b;&|<>()"),
    ("A=${NONE:-'}'}", "}"),
    ("A=${NONE:-\"}\"}", "}"),
    ("A=${NONE:-\\}}", "}"),
    ("A=\"${NONE:-\\}}\"", "}"),
    ("A=\"${NONE:-'b'}\"", "'b'"),
    ("A=\"${NONE:-\"b c\"}\"", "b c"),
    ("A=${NONE:-\"$FROM_ENV\"}", "from env"),
    ("A=${NONE:-${NO:-${FROM_ENV}}}", "from env"),
    ("A=\"x ${NONE:-\"${NO-\"y\"} z\"}\"", "x y z"),
    ("A=${NONE:-a\nb}", "a\nb"),
    ("A=${NONE:-a\\\nb}", "ab"),
    ("A=${NONE:-~/x}", "/home/ada/x"),
    ("A=\"${NONE:-~/x}\"", "~/x"),
    ("A=${FROM_ENV:+b}", "b"),
    ("A=${BLANK:+b}", ""),
    ("A=${BLANK+b}", "b"),
    ("A=${NONE+b}", ""),
    ("A=${NONE:=b}$NONE", "bb"),
    (": \"${A:=b}\" ${A:=c}", "b"),
    ("export B=1 A=x${B:-2}", "x2"),
    ("B=1 A=x${B:-2}", "x1"),
    (": ${A=b}", "b"),
    ("A=${FROM_ENV:?is needed}", "from env"),
    ("A=${FROM_ENV:-${NONE:?not evaluated}}", "from env"),
    ("A=~", "/home/ada"),
    ("A=~/x:~:y:~/z", "/home/ada/x:/home/ada:y:/home/ada/z"),
    ("A=\"~/x\"", "~/x"),
    ("A=\\~/x", "~/x"),
    ("A=a~/x", "a~/x"),
    ("A=*.txt?[a]", "*.txt?[a]"),
    ("A={\"x\":1}", "{x:1}"),
    ("A=b=c", "b=c"),
    ("A=!b", "!b"),
    ("# if then\n\n#\nA=b\n# `c", "b"),
    ("A=b\nA=\"$A c\"", "b c"),
    ("export A=\\\nb", "b"),
    ("A=é✓", "é✓"),
];

#[test]
fn reads_what_a_shell_reads() {
    for (text, expected) in SAME_IN_A_SHELL {
        let values = values(text);
        let last = values.iter().find(|(name, _)| name == "A").map(|(_, value)| value.as_str());
        assert_eq!(last, Some(*expected), "{text:?}");
    }
}

/// All variables of each file above, and of a larger file, as `/bin/sh` sees them.
#[test]
fn a_shell_agrees() {
    const LARGE: &str = include_str!("sample.env");
    for text in SAME_IN_A_SHELL.iter().map(|(text, _)| *text).chain([LARGE]) {
        let expected = from_shell(text);
        for (name, value) in values(text) {
            assert_eq!(expected.get(&name), Some(&value), "{name} of {text:?}");
        }
    }
}

fn from_shell(text: &str) -> BTreeMap<String, String> {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("env.local");
    fs::write(&file, text).unwrap();
    #[expect(clippy::disallowed_methods, reason = "the shell is what the parser is compared with")]
    let mut shell = std::process::Command::new("/bin/sh");
    // The path of `env` is spelled out, because the environment holds no PATH.
    shell.env_clear().current_dir(&directory).envs(environment()).args([
        "-c",
        "set -a; . \"$1\"; exec /usr/bin/env -0",
        "sh",
    ]);
    let output = shell.arg(&file).output().unwrap();
    assert!(output.status.success(), "{text:?}: {}", String::from_utf8_lossy(&output.stderr));
    let variables = output.stdout.split(|byte| *byte == 0).filter_map(|variable| {
        let text = OsStr::from_bytes(variable).to_str().unwrap();
        text.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()))
    });
    variables.collect()
}

#[test]
fn reads_files_from_other_systems() {
    for (text, expected) in [
        ("\u{feff}A=1\r\nB='x\r\ny'\r\n", [("A", "1"), ("B", "x\ny")]),
        ("A=1\\\r\n2\r\nB=3", [("A", "12"), ("B", "3")]),
    ] {
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(values(text), expected, "{text:?}");
    }
}

#[test]
fn references_see_the_environment_first() {
    assert_eq!(values("FROM_ENV=file\nA=$FROM_ENV")[1].1, "from env");
}

#[test]
fn keeps_the_line_of_the_last_assignment() {
    let assigned = parse("A=1\nB='\n'\n\nA=2 C=3\n", "env.local", &environment()).unwrap();
    let lines: Vec<_> = assigned.iter().map(|(name, one)| (name.as_str(), one.line)).collect();
    assert_eq!(lines, [("A", 5), ("B", 2), ("C", 5)]);
}

fn problems(text: &str) -> Vec<String> {
    let problems = parse(text, "env.local", &environment()).expect_err(text).0;
    let place = |one: &crate::problem::Problem| (one.line.unwrap(), one.column.unwrap_or(0));
    problems
        .iter()
        .map(|one| format!("{}:{} {}", place(one).0, place(one).1, one.message))
        .collect()
}

/// Every row: the file, then for each problem its place and the words that name it.
#[test]
fn names_what_needs_a_shell() {
    let rows: &[(&str, &[&str])] = &[
        ("A=$(date)", &["1:3 command substitution `$(…)` in the value of `A`"]),
        ("A=\"x $(a \"b)\" 'c)')\" B=1", &["1:6 command substitution"]),
        ("A=`date`", &["1:3 command substitution with backquotes"]),
        ("A=$((1 + (2)))", &["1:3 arithmetic"]),
        ("A=${NONE:-$(date)}", &["1:11 command substitution"]),
        ("A=${FROM_ENV:-$(date)}", &["1:15 command substitution"]),
        ("A=${#B}", &["1:3 this form of `${…}`"]),
        ("A=${B%%x}", &["1:3 this form of `${B…}`"]),
        ("A=${B:1:2}", &["1:3 this form of `${B…}`"]),
        ("A=${!B}", &["1:3 this form of `${…}`"]),
        ("A=${}", &["1:3 this form of `${…}`"]),
        ("A=$1", &["1:3 the shell's own parameter `$1`"]),
        ("A=\"pa$$word\"", &["1:6 the shell's own parameter `$$`"]),
        ("A=$'b'", &["1:3 a quote after `$`"]),
        ("A=${B:-~:b}", &["1:8 `~` beside `:`"]),
        ("A=${B:=b:~/x}", &["1:10 `~` beside `:`"]),
        ("A=~bob/x", &["1:3 the home directory of another user"]),
        ("if true; then\n A=$(b)\nfi\nB=`c`", &["1:1 `if`", "4:3 command substitution"]),
        (
            "if a\nthen if b; then c; fi\nelse case x in a) ;; (b) ;; esac\nfi\n. f",
            &["1:1 `if`", "5:1 sourcing"],
        ),
        ("for i in a b; do A=$i; done; B=1", &["1:1 `for`"]),
        ("while a; do\nb\ndone\nunset C", &["1:1 `while`", "4:1 `unset`"]),
        ("case $A in\nif) B=1;;\nesac\nC=`x`", &["1:1 `case`", "4:3 command"]),
        ("f() {\n A=1\n}\nB=`x`", &["1:1 a function", "4:3 command"]),
        ("f () { A=1; }", &["1:1 a function"]),
        ("f()\n{\n A=1\n}\n. b", &["1:1 a function", "5:1 sourcing"]),
        ("function f { A=1\n}", &["1:1 a function"]),
        ("{ A=1\n}\n. b", &["1:1 a `{ … }` group", "3:1 sourcing"]),
        ("( A=1\n)\n. b", &["1:1 a subshell", "3:1 sourcing"]),
        (". ./other.env", &["1:1 sourcing another file with `.`"]),
        ("source other.env", &["1:1 sourcing another file with `source`"]),
        ("A=1; B=2", &["1:4 `;` between commands"]),
        ("A=1 && B=2", &["1:5 a list of commands"]),
        ("[ -f x ] && . x", &["1:1 the command `[`"]),
        ("[ -f x ] && {\n. x\n}\nunset A", &["1:1 the command `[`", "4:1 `unset`"]),
        ("A=1 | b", &["1:5 a pipe"]),
        ("A=http://h/?a&b=c", &["1:14 a command in the background"]),
        ("A=1 > file", &["1:5 a redirection"]),
        ("cat <<EOF\nA=$(b)\nEOF\nB=`c`", &["1:1 the command `cat`", "4:3 command"]),
        ("A=1 <<-'E F'\n\tB=`c`\n\tE F\n. d", &["1:5 a here-document", "4:1 sourcing"]),
        ("A=(a\nb)\n. c", &["1:3 an array", "3:1 sourcing"]),
        ("A+=b", &["1:1 appending with `+=`"]),
        ("readonly A=1", &["1:1 `readonly`"]),
        ("export -p", &["1:8 an option of `export`"]),
        ("export A=1 2x", &["1:12 expected `NAME` or `NAME=value`"]),
        ("export A = 1", &["1:10 expected `NAME`", "1:12 expected `NAME`"]),
        ("A = 1", &["1:1 spaces around the `=` of `A`"]),
        ("A: 1", &["1:1 a command is"]),
        ("A=hunter two three", &["1:10 unexpected word after the value of `A`"]),
        (
            "A=$(a)\nB=`b`\n. c\nD='",
            &["1:3", "2:3", "3:1 sourcing", "4:3 the `'` opened here in the value of `D`"],
        ),
        ("A=\"b\nC=d\n", &["1:3 the `\"` opened here in the value of `A` is never closed"]),
        ("A=\"${B:-\n", &["1:4 the `${` opened here"]),
        ("A=${B", &["1:3 the `${` opened here"]),
        (
            "A=${NONE:?set it}\nB=${BLANK:?}\nC=${NONE?$FROM_ENV}",
            &[
                "1:3 `NONE` is not set: set it",
                "2:3 `BLANK` is not set: it must have a value",
                "3:3 `NONE` is not set: $FROM_ENV",
            ],
        ),
    ];
    for (text, expected) in rows {
        let found = problems(text);
        assert_eq!(found.len(), expected.len(), "{text:?}: {found:#?}");
        for (found, expected) in found.iter().zip(*expected) {
            assert!(found.starts_with(expected), "{text:?}: {found} is not {expected}");
        }
    }
}

#[test]
fn shows_no_value() {
    for text in [
        "PASSWORD=hunter2 hunter3",
        "hunter2",
        "export PASSWORD=a hunter2!",
        "PASSWORD=$(echo hunter2)",
        "PASSWORD='hunter2",
        "PASSWORD=hunter2|hunter3",
        "PASSWORD=hunter2\nA=${B:?needs $PASSWORD}",
    ] {
        let problems = parse(text, "env.local", &environment()).expect_err(text);
        assert!(!problems.to_string().contains("hunter"), "{text:?}: {problems}");
    }
    let assigned = parse("A=hunter2", "env.local", &environment()).unwrap();
    assert!(!format!("{assigned:?}").contains("hunter"));
}

#[test]
fn survives_a_hostile_file() {
    let nested = format!("A={}", "${B:-".repeat(100_000));
    assert_eq!(problems(&nested).len(), 1);
    let quoted = format!("A={}", "\"$(".repeat(100_000));
    assert!(!problems(&quoted).is_empty());
    let mut doubling = String::from("A0=xxxxxxxx\n");
    for index in 1..60 {
        let _ = writeln!(doubling, "A{index}=$A{0}$A{0}", index - 1);
    }
    assert!(problems(&doubling)[0].contains("longer than 1 MiB"));
    let mut many = format!("A='{}'\n", "x".repeat(1 << 20));
    for index in 0..100 {
        let _ = writeln!(many, "B{index}=$A");
    }
    let told = problems(&many);
    assert_eq!(told.len(), 1);
    assert!(told[0].starts_with("18:0 ") && told[0].contains("16 MiB together"), "{told:?}");
}

/// Pieces that files are made of, quotes and braces out of balance included.
const PIECES: &[&str] = &[
    "A=",
    "B=",
    "export ",
    "$A",
    "$FROM_ENV",
    "${A:-",
    "${B-",
    "${FROM_ENV:+",
    "${BLANK+",
    "${A:=",
    "${B:?",
    "}",
    "\"",
    "'",
    "\\",
    "\\\n",
    "\n",
    " ",
    "#",
    "~",
    "/",
    ":",
    "x",
    "y z",
    "$",
    ";",
    "é",
    ": ",
    "{",
    "=",
];

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig {
        failure_persistence: None,
        ..Default::default()
    })]

    #[test]
    fn a_shell_agrees_with_whatever_is_accepted(
        pieces in proptest::collection::vec(proptest::sample::select(PIECES), 1..14),
    ) {
        let text = format!("A={}", pieces.concat());
        if let Ok(assigned) = parse(&text, "env.local", &environment()) {
            let expected = from_shell(&text);
            for (name, one) in assigned {
                proptest::prop_assert_eq!(expected.get(&name), Some(&one.value), "{} of {:?}", name, text);
            }
        }
    }
}
