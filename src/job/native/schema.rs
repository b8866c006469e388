//! The JSON Schema of job files, made of the table of keys.

use serde_json::{Map, Value, json};

use super::table::{Field, Form, JOB, Table};
use super::tables_of_work::NOT_ALONE;
use crate::compose::load::alone::SERVICE_KEYS;
use crate::compose::yaml;
use crate::job::Work;

/// Any text that variables are put into.
const VARIABLE: &str = r"\$";
const DURATION: &str = r"^\s*([0-9]+(w|d|h|ms|m|s))+\s*$";

/// The schema of a job file: a job, or a list of them; draft 2020-12.
pub fn schema() -> Value {
    let mut definitions = Map::new();
    definitions.insert("variable".to_owned(), json!({"type": "string", "pattern": VARIABLE}));
    definitions.insert(
        "duration".to_owned(),
        text_or_variable(&json!({"type": "string", "pattern": DURATION})),
    );
    definitions.insert("text".to_owned(), json!({"type": ["string", "number", "boolean", "null"]}));
    let mut job = object(&JOB, &mut definitions);
    job["required"] = json!(["name"]);
    job["oneOf"] = Work::KINDS.iter().map(|kind| json!({"required": [kind]})).collect();
    definitions.insert("job".to_owned(), job);
    let mut work = Map::new();
    for kind in Work::KINDS.iter().filter(|kind| !matches!(**kind, "deploy" | "group")) {
        let field = JOB.fields.iter().find(|field| field.name == *kind);
        work.insert(
            (*kind).to_owned(),
            field.map_or(json!({}), |it| form(it.form, &mut definitions)),
        );
    }
    let work = json!({
        "type": "object", "properties": work, "additionalProperties": false,
        "minProperties": 1, "maxProperties": 1,
    });
    definitions.insert("work".to_owned(), work);
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Jobs of Roadstead",
        "description": "A document of a job file: one job, or a list of jobs.",
        "oneOf": [
            {"$ref": "#/$defs/job"},
            {"type": "array", "items": {"oneOf": [{"$ref": "#/$defs/job"}, {"type": "null"}]}},
            {"type": "null"},
        ],
        "$defs": definitions,
    })
}

/// The schema as text, as it is shipped.
pub fn text() -> String {
    format!("{:#}\n", schema())
}

pub(super) fn object(table: &Table, definitions: &mut Map<String, Value>) -> Value {
    let mut properties = Map::new();
    for field in table.fields {
        properties.insert(field.name.to_owned(), described(field, definitions));
    }
    if table.is_service {
        for name in SERVICE_KEYS.iter().filter(|name| !properties_have(table, name)) {
            if !NOT_ALONE.iter().any(|(key, _)| key == name) {
                let said = format!("As `{name}` of a service in a Compose file.");
                properties.insert((*name).to_owned(), json!({"description": said}));
            }
        }
    }
    let required: Vec<&str> = table
        .fields
        .iter()
        .filter(|field| {
            field.default == "required" && field.name != "source" && !is_image(table, field)
        })
        .map(|field| field.name)
        .collect();
    let mut object = json!({
        "type": "object", "properties": properties, "additionalProperties": false,
    });
    if table.is_service {
        object["patternProperties"] = json!({"^x-": {}});
    }
    if !required.is_empty() {
        object["required"] = json!(required);
    }
    object
}

/// An existing container needs no image.
fn is_image(table: &Table, field: &Field) -> bool {
    table.is_service && field.name == "image"
}

fn properties_have(table: &Table, name: &str) -> bool {
    table.names().any(|own| own == name)
}

fn described(field: &Field, definitions: &mut Map<String, Value>) -> Value {
    let mut value = form(field.form, definitions);
    let default = match field.default {
        "required" | "–" => String::new(),
        default => format!(" Default: {default}."),
    };
    value["description"] = json!(format!("{}{default}", field.meaning));
    if let Some(example) = example(field) {
        value["examples"] = json!([example]);
    }
    value
}

/// The example of a key, as a value.
pub(super) fn example(field: &Field) -> Option<Value> {
    let text = format!("k: {}", field.example);
    let documents = yaml::parse(&text, field.name).ok()?;
    documents.first()?.get("k").map(super::write::json)
}

/// A value, or a text that variables make one of; null counts as absent.
fn text_or_variable(value: &Value) -> Value {
    json!({"anyOf": [value, {"$ref": "#/$defs/variable"}, {"type": "null"}]})
}

fn any_text() -> Value {
    json!({"$ref": "#/$defs/text"})
}

fn form(of: Form, definitions: &mut Map<String, Value>) -> Value {
    match of {
        Form::Text => any_text(),
        Form::Boolean => {
            let words = "^(true|false|yes|no|on|off|y|n|1|0)$";
            text_or_variable(&json!({"anyOf": [
                {"type": "boolean"},
                {"type": "string", "pattern": words},
                {"type": "integer", "minimum": 0, "maximum": 1},
            ]}))
        }
        Form::Integer(least, most) => text_or_variable(&json!({"anyOf": [
            {"type": "integer", "minimum": least, "maximum": most},
            {"type": "string", "pattern": "^\\s*-?[0-9]+\\s*$"},
        ]})),
        Form::Duration => json!({"$ref": "#/$defs/duration"}),
        Form::Size => text_or_variable(&json!({"anyOf": [
            {"type": "integer", "minimum": 1},
            {"type": "string", "pattern": "^[0-9.]+ ?[bBkKmMgGtTpP]?[iI]?[bB]?$"},
        ]})),
        Form::Time => {
            let pattern = "^[0-9]{4}-[0-9]{2}-[0-9]{2}([T ][0-9]{2}:[0-9]{2}.*)?$";
            text_or_variable(&json!({"type": "string", "pattern": pattern}))
        }
        Form::Word(words) => text_or_variable(&json!({"enum": words})),
        Form::Pattern(pattern) => text_or_variable(&json!({"type": "string", "pattern": pattern})),
        Form::Texts | Form::Arguments => json!({"anyOf": [
            any_text(), {"type": "array", "items": any_text()},
        ]}),
        Form::Mapping => json!({"type": ["object", "null"], "additionalProperties": any_text()}),
        Form::Variables => json!({"anyOf": [
            {"type": ["object", "null"], "additionalProperties": any_text()},
            {"type": "array", "items": any_text()},
        ]}),
        Form::Object(table) => {
            let name: String =
                table.of.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
            if !definitions.contains_key(&name) {
                definitions.insert(name.clone(), Value::Null);
                let made = object(table, definitions);
                definitions.insert(name.clone(), made);
            }
            json!({"$ref": format!("#/$defs/{name}")})
        }
        Form::Either(forms) => {
            let forms: Vec<Value> = forms.iter().map(|it| form(*it, definitions)).collect();
            json!({"anyOf": forms})
        }
        Form::OneOrMore(one) => {
            let one = form(*one, definitions);
            json!({"anyOf": [one.clone(), {"type": "array", "items": one}, {"type": "null"}]})
        }
        Form::List(one) => {
            let one = form(*one, definitions);
            json!({"anyOf": [{"type": "array", "items": one}, {"type": "null"}]})
        }
        Form::AnyMapping => json!({"type": ["object", "null"]}),
        Form::Body => json!({}),
        Form::Work => json!({"$ref": "#/$defs/work"}),
    }
}
