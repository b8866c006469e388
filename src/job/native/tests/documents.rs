//! The JSON Schema and the tables of `docs/jobs.md` say what the table of keys says.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::Value;

use super::super::schema;
use super::super::table::{AFTER_ONE, Field, JOB, KEEP, NOTIFY, PING, RETRY, Table, WEBHOOK};
use super::super::tables_of_backup::{
    BACKUP, BACKUP_CHECK, BACKUP_PRUNE, DUMP, KEEP as KEEP_SNAPSHOTS, QUIESCE, RESTORE_DRILL,
};
use super::super::tables_of_cache::{CACHE_SYNC, REFRESH};
use super::super::tables_of_housekeeping::{
    AGED, CERTIFICATE, CLEAN, CREATE, IMAGES, PRUNE, ROTATE, SIGNAL, TOLD, VOLUMES,
};
use super::super::tables_of_http::{EXPECT, HTTP, OGC_PROCESS, POLL, STEP, WAIT_FOR};
use super::super::tables_of_sync::{ARCHIVE, MAP, SYNC};
use super::super::tables_of_work::{
    COMMAND, COMPOSE_RUN, CONTAINER, DEPLOY, EXEC, FILE, GROUP, HEALTH, REDIRECT, RUN,
};

/// The tables of the page, by the name of their place.
const TABLES: &[(&str, &Table)] = &[
    ("job", &JOB),
    ("after", &AFTER_ONE),
    ("retry", &RETRY),
    ("keep", &KEEP),
    ("notify", &NOTIFY),
    ("ping", &PING),
    ("webhook", &WEBHOOK),
    ("deploy", &DEPLOY),
    ("health", &HEALTH),
    ("run", &RUN),
    ("redirect", &REDIRECT),
    ("file", &FILE),
    ("exec", &EXEC),
    ("compose_run", &COMPOSE_RUN),
    ("container", &CONTAINER),
    ("command", &COMMAND),
    ("http", &HTTP),
    ("step", &STEP),
    ("expect", &EXPECT),
    ("wait_for", &WAIT_FOR),
    ("ogc_process", &OGC_PROCESS),
    ("poll", &POLL),
    ("group", &GROUP),
];

/// The tables of the pages of single kinds.
const OF_PAGES: &[(&str, &[(&str, &Table)])] = &[
    (
        "docs/jobs/backup.md",
        &[("backup", &BACKUP), ("dump", &DUMP), ("quiesce", &QUIESCE), ("keep", &KEEP_SNAPSHOTS)],
    ),
    ("docs/jobs/backup_check.md", &[("backup_check", &BACKUP_CHECK)]),
    ("docs/jobs/backup_prune.md", &[("backup_prune", &BACKUP_PRUNE)]),
    ("docs/jobs/restore_drill.md", &[("restore_drill", &RESTORE_DRILL)]),
    ("docs/jobs/cache_sync.md", &[("cache_sync", &CACHE_SYNC)]),
    ("docs/jobs/certificate.md", &[("certificate", &CERTIFICATE), ("signal", &TOLD)]),
    ("docs/jobs/clean.md", &[("clean", &CLEAN)]),
    (
        "docs/jobs/prune.md",
        &[("prune", &PRUNE), ("images", &IMAGES), ("aged", &AGED), ("volumes", &VOLUMES)],
    ),
    ("docs/jobs/refresh.md", &[("refresh", &REFRESH)]),
    ("docs/jobs/sync.md", &[("sync", &SYNC), ("map", &MAP), ("archive", &ARCHIVE)]),
    ("docs/jobs/rotate.md", &[("rotate", &ROTATE), ("create", &CREATE), ("signal", &SIGNAL)]),
];

/// Writes what is expected where `UPDATE_DOCS` is set, else compares.
fn hold(path: &str, expected: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    if found == expected {
        return;
    }
    #[expect(clippy::disallowed_methods, reason = "a switch of this test, not a setting")]
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, expected).unwrap();
        return;
    }
    assert_eq!(
        found,
        expected,
        "{} differs from the table: run with UPDATE_DOCS=1",
        path.display()
    );
}

fn row(field: &Field) -> String {
    let code = |text: &str| match text {
        "required" | "–" => text.to_owned(),
        text if text.contains('`') || text.contains(' ') && !text.starts_with(['*', '{']) => {
            text.to_owned()
        }
        text => format!("`{text}`"),
    };
    let example = field.example.replace('|', "\\|");
    format!("| `{}` | {} | `{example}` | {} |\n", field.name, code(field.default), field.meaning)
}

#[test]
fn the_page_shows_every_key() {
    for (path, tables) in [("docs/jobs.md", TABLES)].iter().chain(OF_PAGES) {
        hold(path, &page_of(path, tables));
    }
}

/// A page with these tables in their places.
fn page_of(path: &str, tables: &[(&str, &Table)]) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    let mut page = std::fs::read_to_string(path).unwrap();
    for (name, table) in tables {
        let mut text = "\n| key | default | example | meaning |\n|---|---|---|---|\n".to_owned();
        for field in table.fields {
            text += &row(field);
        }
        let start = format!("<!-- keys of {name} -->\n");
        let (before, rest) = page.split_once(&start).unwrap_or_else(|| panic!("no {start}"));
        let (_, after) = rest.split_once("\n<!-- end -->\n").expect("the end marker");
        page = format!("{before}{start}{text}\n<!-- end -->\n{after}");
    }
    page
}

#[test]
fn the_schema_says_what_the_table_says() {
    hold("schema/jobs.schema.json", &schema::text());
}

/// Whether a value is as a schema says; as much of draft 2020-12 as ours uses.
pub(super) fn check(root: &Value, schema: &Value, value: &Value, at: &str) -> Result<(), String> {
    let Some(rules) = schema.as_object() else { return Ok(()) };
    for (rule, of) in rules {
        let wrong = || Err(format!("{at}: {value} is against {rule} {of}"));
        let texts = || of.as_array().into_iter().flatten().filter_map(Value::as_str);
        let alternatives = || {
            let each = of.as_array().into_iter().flatten();
            each.filter(|schema| check(root, schema, value, at).is_ok()).count()
        };
        match rule.as_str() {
            "$ref" => {
                let pointer = of.as_str().unwrap().strip_prefix('#').unwrap();
                check(root, root.pointer(pointer).expect("defined"), value, at)?;
            }
            "type" => {
                let is = |name: &str| match name {
                    "object" => value.is_object(),
                    "array" => value.is_array(),
                    "string" => value.is_string(),
                    "integer" => value.is_i64() || value.is_u64(),
                    "number" => value.is_number(),
                    "boolean" => value.is_boolean(),
                    "null" => value.is_null(),
                    other => panic!("type {other}"),
                };
                if !of.as_str().map_or_else(|| texts().any(is), is) {
                    return wrong();
                }
            }
            "enum" if !of.as_array().unwrap().contains(value) => return wrong(),
            "anyOf" if alternatives() == 0 => return wrong(),
            "oneOf" if alternatives() != 1 => return wrong(),
            "pattern" => {
                let regex = regex_lite::Regex::new(of.as_str().unwrap()).expect("valid");
                if value.as_str().is_some_and(|text| !regex.is_match(text)) {
                    return wrong();
                }
            }
            "minimum" if value.as_i64() < of.as_i64() => return wrong(),
            "maximum" if value.as_i64() > of.as_i64() => return wrong(),
            "required" if value.is_object() && texts().any(|key| value.get(key).is_none()) => {
                return wrong();
            }
            "minProperties" if value.as_object().is_some_and(serde_json::Map::is_empty) => {
                return wrong();
            }
            "maxProperties" if value.as_object().is_some_and(|it| it.len() > 1) => return wrong(),
            "items" => {
                for (index, item) in value.as_array().into_iter().flatten().enumerate() {
                    check(root, of, item, &format!("{at}/{index}"))?;
                }
            }
            "properties" => {
                for (key, item) in value.as_object().into_iter().flatten() {
                    let at = format!("{at}/{key}");
                    match of.get(key) {
                        Some(schema) => check(root, schema, item, &at)?,
                        None if key.starts_with("x-")
                            && rules.contains_key("patternProperties") => {}
                        None => match &rules["additionalProperties"] {
                            Value::Bool(false) => return Err(format!("{at}: unknown key")),
                            schema => check(root, schema, item, &at)?,
                        },
                    }
                }
            }
            "additionalProperties" if !rules.contains_key("properties") => {
                for (key, item) in value.as_object().into_iter().flatten() {
                    check(root, of, item, &format!("{at}/{key}"))?;
                }
            }
            _ => {}
        }
    }
    Ok(())
}

#[test]
fn every_example_is_as_its_schema_says() {
    let root = schema::schema();
    for (name, table) in TABLES {
        let mut definitions = serde_json::Map::new();
        let schema = schema::object(table, &mut definitions);
        for field in table.fields {
            let example = schema::example(field).unwrap_or_else(|| panic!("{name}.{}", field.name));
            let at = format!("{name}.{}", field.name);
            check(&root, &schema["properties"][field.name], &example, &at).unwrap();
        }
    }
}

#[test]
fn the_page_has_no_table_twice() {
    let mut seen = String::new();
    for (name, _) in TABLES {
        assert!(!seen.contains(&format!(" {name} ")), "{name}");
        let _ = write!(seen, " {name} ");
    }
}
