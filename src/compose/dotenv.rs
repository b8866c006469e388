//! Environment files: `.env`, `--env-file` and `env_file`, as `docker compose` reads them.
//!
//! Messages name file and line but never show the text, which may hold a secret.

use std::collections::{BTreeMap, BTreeSet};

use super::interpolate::{self, Budget, Failure, Lookup};
use crate::problem::{Problem, Problems};

/// Reads `KEY=value` lines with quotes, escapes and variables.
///
/// A variable in a value is looked up with `lookup`, then among the keys read so far, then in
/// `earlier` files. A line that holds only a key takes its value from `lookup` and is dropped
/// without one.
pub fn parse(
    text: &str,
    file: &str,
    lookup: Lookup<'_>,
    earlier: &BTreeMap<String, String>,
    unset: &mut BTreeSet<String>,
) -> Result<BTreeMap<String, String>, Problems> {
    // Line ends of Windows stay within quotes, and are blanks before a line feed elsewhere.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut values = BTreeMap::new();
    let mut budget = Budget::default();
    let (mut rest, mut line) = (text, 1);
    let mut counted = rest;
    while let Some(statement) = next_statement(rest) {
        line += counted[..counted.len() - statement.len()].matches('\n').count();
        counted = statement;
        let fail = |message: String| Problems::from(Problem::in_file(file, message).at_line(line));
        let (key, after) = key(statement).map_err(&fail)?;
        let Some(after) = after else {
            values.extend(lookup(&key).map(|value| (key, value)));
            rest = after_line(statement);
            continue;
        };
        let all = |name: &str| {
            lookup(name).or_else(|| values.get(name).or_else(|| earlier.get(name)).cloned())
        };
        let mut expand = |raw: &str| expanded(raw, &all, unset, &mut budget);
        let (value, after) = value(after, &mut expand)
            .map_err(|message| fail(format!("variable `{key}` {message}")))?;
        values.insert(key, value);
        rest = after;
    }
    Ok(values)
}

/// Reads `KEY=value` lines as `docker run --env-file` does: nothing is quoted, escaped or expanded.
pub fn parse_raw(
    text: &str,
    file: &str,
    lookup: Lookup<'_>,
) -> Result<BTreeMap<String, String>, Problems> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    let mut values = BTreeMap::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim_start();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (key, value) = match line.split_once('=') {
            Some((key, value)) => (key, Some(value)),
            None => (line, None),
        };
        let fail =
            |message: &str| Problems::from(Problem::in_file(file, message).at_line(index + 1));
        if key.is_empty() {
            return Err(fail("no variable name before `=`"));
        }
        if key.contains(char::is_whitespace) {
            return Err(fail("variable name contains white space"));
        }
        let value = value.map(str::to_owned).or_else(|| lookup(key.trim()));
        values.extend(value.map(|value| (key.to_owned(), value)));
    }
    Ok(values)
}

/// The text from the next statement on; `None` at the end.
fn next_statement(mut text: &str) -> Option<&str> {
    loop {
        text = text.trim_start();
        if text.is_empty() {
            return None;
        }
        if !text.starts_with('#') {
            return Some(text);
        }
        text = after_line(text);
    }
}

fn after_line(text: &str) -> &str {
    text.find('\n').map_or("", |end| &text[end..])
}

/// The key of a statement and what follows its `=` or `:`; nothing follows an inherited key.
fn key(statement: &str) -> Result<(String, Option<&str>), String> {
    let exported = statement.strip_prefix("export").filter(|rest| rest.starts_with(is_blank));
    let is_exported = exported.is_some();
    let named = exported.map_or(statement, |rest| rest.trim_start_matches(is_blank));
    let end = named.find(['=', ':', '\n']).unwrap_or(named.len());
    let inherited = named[end..].chars().next().is_none_or(|c| c == '\n');
    let key = named[..end].trim_end();
    let allowed = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | '-' | '[' | ']');
    if let Some(strange) = key.chars().find(|c| !allowed(*c)) {
        return Err(match strange {
            ' ' | '\t' => "variable name contains white space".to_owned(),
            _ => format!("unexpected character `{strange}` in a variable name"),
        });
    }
    if key.is_empty() && !(inherited && is_exported) {
        return Err("no variable name before `=`".to_owned());
    }
    let after = (!inherited).then(|| named[end + 1..].trim_start_matches(is_blank));
    Ok((key.to_owned(), after))
}

fn expanded(
    raw: &str,
    lookup: Lookup<'_>,
    unset: &mut BTreeSet<String>,
    budget: &mut Budget,
) -> Result<String, String> {
    let replaced = interpolate::substitute_within(raw, lookup, unset, budget);
    replaced.map_err(|failure| match failure {
        Failure::Invalid(_) => "has an invalid `$` expression; a literal `$` is `$$`".to_owned(),
        other @ (Failure::Required { .. } | Failure::TooLong) => format!(": {}", other.message()),
    })
}

/// The value at the start of a text, and what follows it; quotes decide whether it is expanded.
fn value<'t>(
    text: &'t str,
    expand: &mut dyn FnMut(&str) -> Result<String, String>,
) -> Result<(String, &'t str), String> {
    match text.chars().next() {
        Some('\'') => {
            let end = closing_quote(text, '\'').ok_or_else(unterminated)?;
            Ok((text[1..end].replace("\\'", "'"), &text[end + 1..]))
        }
        Some('"') => {
            let end = closing_quote(text, '"').ok_or_else(unterminated)?;
            Ok((expand(&unescape(&text[1..end]))?, &text[end + 1..]))
        }
        Some(_) | None => {
            let end = text.find('\n').unwrap_or(text.len());
            let raw = without_comment(&text[..end]).trim_end();
            Ok((expand(raw)?, &text[end..]))
        }
    }
}

fn unterminated() -> String {
    "has a quote that is never closed".to_owned()
}

fn is_blank(c: char) -> bool {
    c != '\n' && c.is_whitespace()
}

/// Where the quote opened at the start of `text` closes; a backslash hides a quote.
fn closing_quote(text: &str, quote: char) -> Option<usize> {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == quote => return Some(at),
            _ => {}
        }
    }
    None
}

fn without_comment(line: &str) -> &str {
    line.find(" #").map_or(line, |at| &line[..at])
}

/// Go's escapes, plus `\0ddd` in octal; a `$` stays hidden from expansion. As in compose-go, what only
/// looks like `\0ddd` loses the `0`.
fn unescape(text: &str) -> String {
    let mut output = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        output.push_str(&rest[..at]);
        let mut after = rest[at + 1..].chars();
        let replacement = match after.next() {
            Some('a') => "\u{7}",
            Some('b') => "\u{8}",
            Some('f') => "\u{c}",
            Some('n') => "\n",
            Some('r') => "\r",
            Some('t') => "\t",
            Some('v') => "\u{b}",
            Some('$') => "$$",
            Some('"') => "\"",
            Some('\\') => "\\",
            Some('0') => {
                let after = after.as_str();
                let length = after.chars().take(3).take_while(char::is_ascii_digit).count();
                let (digits, after) = after.split_at(length);
                match u8::from_str_radix(digits, 8) {
                    Ok(code) if length == 3 => output.push(char::from(code)),
                    _ => {
                        output.push('\\');
                        output.push_str(digits);
                    }
                }
                rest = after;
                continue;
            }
            Some(_) | None => {
                output.push('\\');
                rest = &rest[at + 1..];
                continue;
            }
        };
        output.push_str(replacement);
        rest = after.as_str();
    }
    output.push_str(rest);
    output
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lookup(name: &str) -> Option<String> {
        (name == "OUT").then(|| "outer".to_owned())
    }

    fn check(text: &str, expected: &str) {
        let shown = match parse(text, "f.env", &lookup, &BTreeMap::new(), &mut BTreeSet::new()) {
            Ok(values) => {
                let pairs = values.iter().map(|(key, value)| format!("{key}={value}"));
                pairs.collect::<Vec<_>>().join("|")
            }
            Err(problem) => problem.to_string(),
        };
        assert_eq!(shown, expected, "{text:?}");
    }

    #[test]
    fn reads_the_forms_of_docker_compose() {
        for (text, expected) in [
            ("\u{feff}W=1\r\nX=2\r\n", "W=1|X=2"),
            ("A=v\nB = v\nC: v\nexport D=v\n\texport\tE=v", "A=v|B=v|C=v|D=v|E=v"),
            ("OUT\nNONE\n", "OUT=outer"),
            ("1NUM=1\nA.B=2\nA-B=3\nÉ=4", "1NUM=1|A-B=3|A.B=2|É=4"),
            ("A=abc   # c\nB=abc#def\nC= #x\n#D=1", "A=abc|B=abc#def|C=#x"),
            ("A=a\\nb\nB=${A}-x ${OUT}", "A=a\\nb|B=a\\nb-x outer"),
            ("A='$x \\' \n y'\nB=1", "A=$x ' \n y|B=1"),
            ("A=\"a\\nb\\tc\\$OUT\\\"\\\\\\0101\\x $OUT\"", "A=a\nb\tc$OUT\"\\A\\x outer"),
            ("A=\"x\ny\"\nB=2", "A=x\ny|B=2"),
            ("A=1\nA=2", "A=2"),
            ("K=\"v\" trailing\nB=1", "B=1|K=v"),
            ("A=`date`\nB=$$x\nC=", "A=`date`|B=$x|C="),
            ("exported=1", "exported=1"),
            ("A=1\nB=\"x\n\n", "f.env:2: variable `B` has a quote that is never closed"),
            ("A=1\n\nA B=1", "f.env:3: variable name contains white space"),
            ("=1", "f.env:1: no variable name before `=`"),
            ("A!=1", "f.env:1: unexpected character `!` in a variable name"),
            ("A=${", "f.env:1: variable `A` has an invalid `$` expression; a literal `$` is `$$`"),
        ] {
            check(text, expected);
        }
    }

    #[test]
    fn reads_long_files_and_refuses_those_that_double() {
        let lines: Vec<_> = (0..100_000).map(|index| format!("A{index}=v\n")).collect();
        let long = lines.concat();
        let read =
            |text: &str| parse(text, "f.env", &lookup, &BTreeMap::new(), &mut BTreeSet::new());
        assert_eq!(read(&long).unwrap().len(), 100_000);
        let wrong = format!("{long}=1");
        assert_eq!(read(&wrong).unwrap_err().0[0].line, Some(100_001));
        let doubled: Vec<_> =
            (1..60).map(|index| format!("A{index}=$A{0}$A{0}\n", index - 1)).collect();
        let problems = read(&format!("A0=x\n{}", doubled.concat())).unwrap_err().to_string();
        assert!(problems.contains("longer than 16 MiB together"), "{problems}");
    }

    #[test]
    fn reads_raw_files_as_docker_run_does() {
        let values = parse_raw("# c\nA=\"x\" # y\nB= $A \nOUT\nNONE\n", "f", &lookup).unwrap();
        let pairs: Vec<_> = values.iter().map(|(key, value)| format!("{key}={value}")).collect();
        assert_eq!(pairs, ["A=\"x\" # y", "B= $A ", "OUT=outer"]);
        for text in ["export A=1", "A B=1", "=1"] {
            parse_raw(text, "f", &lookup).expect_err(text);
        }
    }

    proptest::proptest! {
        #[test]
        fn never_panics(text in "[A=:#'\"\\\\$\\{\\} \\n\\t0-9é\\-]{0,100}") {
            let _ = parse(&text, "f", &lookup, &BTreeMap::new(), &mut BTreeSet::new());
            let _ = parse_raw(&text, "f", &lookup);
        }
    }
}
