//! Lists and mappings of scalars in the forms that Compose files have for them.

use std::collections::{BTreeMap, HashSet};

use indexmap::IndexMap;

use super::{At, Decoder};
use crate::compose::yaml::{Key, Value};

impl Decoder {
    /// A list of strings.
    pub fn strings(&mut self, at: At<'_>) -> Vec<String> {
        let items = self.sequence(at);
        let mut strings = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            strings.extend(self.string(at.item(index, item)));
        }
        strings
    }

    /// A list of strings; of two that are the same up to a `=`, the later wins in the earlier's place.
    pub fn keyed_strings(&mut self, at: At<'_>) -> Vec<String> {
        keyed(self.strings(at))
    }

    /// One string or a list of strings as [`Self::keyed_strings`] reads it.
    pub fn string_or_keyed(&mut self, at: At<'_>) -> Vec<String> {
        keyed(self.string_or_strings(at))
    }

    /// A list of strings, each once, in order of first appearance.
    pub fn unique_strings(&mut self, at: At<'_>) -> Vec<String> {
        let mut strings = self.strings(at);
        deduplicate(&mut strings);
        strings
    }

    /// A list of strings of which none may repeat, as in compose's schema.
    pub fn distinct_strings(&mut self, at: At<'_>) -> Vec<String> {
        let strings = self.strings(at);
        self.distinct(at, strings)
    }

    /// Refuses a list in which a text repeats, and drops the repetitions.
    pub fn distinct(&mut self, at: At<'_>, mut strings: Vec<String>) -> Vec<String> {
        let mut sorted: Vec<&String> = strings.iter().collect();
        sorted.sort();
        let mut pairs = sorted.iter().zip(sorted.iter().skip(1));
        if let Some((twice, _)) = pairs.find(|(one, other)| one == other) {
            self.refuse(at, format!("lists `{twice}` twice"));
        }
        deduplicate(&mut strings);
        strings
    }

    /// One string or a list of strings.
    pub fn string_or_strings(&mut self, at: At<'_>) -> Vec<String> {
        match &at.node.value {
            Value::String(text) => vec![text.clone()],
            Value::Sequence(_) => self.unique_strings(at),
            _ => {
                self.wrong(at, "a string or a list of strings");
                Vec::new()
            }
        }
    }

    /// A mapping, or a list of `KEY=VALUE`; `None` where a key has no value.
    pub fn key_values(&mut self, at: At<'_>) -> BTreeMap<String, Option<String>> {
        let mut values = BTreeMap::new();
        match &at.node.value {
            Value::Mapping(entries) => {
                for (key, node) in entries {
                    self.refuse_empty_key(key);
                    values.insert(key.name.clone(), self.scalar(at.key(key, node)));
                }
            }
            Value::Sequence(items) => {
                for (index, item) in items.iter().enumerate() {
                    let Some(text) = self.string(at.item(index, item)) else { continue };
                    match text.split_once('=') {
                        Some((key, value)) => values.insert(key.to_owned(), Some(value.to_owned())),
                        None => values.insert(text, None),
                    };
                }
            }
            _ => self.wrong(at, "a mapping or a list of `KEY=VALUE`"),
        }
        values
    }

    /// As [`Self::key_values`], no value being an empty one.
    pub fn labels(&mut self, at: At<'_>) -> BTreeMap<String, String> {
        let values = self.key_values(at);
        values.into_iter().map(|(key, value)| (key, value.unwrap_or_default())).collect()
    }

    /// As [`Self::labels`], no line of a list twice.
    pub fn distinct_labels(&mut self, at: At<'_>) -> BTreeMap<String, String> {
        self.refuse_repeated(at);
        self.labels(at)
    }

    /// As [`Self::key_values`] for variables: no name ends with a space.
    pub fn variables(&mut self, at: At<'_>) -> BTreeMap<String, Option<String>> {
        let is_list = at.node.as_sequence().is_some();
        let values = self.key_values(at);
        for name in values.keys().filter(|name| is_list && name.ends_with(char::is_whitespace)) {
            self.refuse(at, format!("names the variable `{name}` with a trailing space"));
        }
        values
    }

    /// A mapping of strings and numbers, as text.
    pub fn options(&mut self, at: At<'_>) -> BTreeMap<String, String> {
        let mut options = BTreeMap::new();
        for (key, node) in self.mapping(at) {
            let value = self.string_or_number(at.key(key, node)).unwrap_or_default();
            options.insert(key.name.clone(), value);
        }
        options
    }

    /// As [`Self::options`], null being an empty string.
    pub fn nullable_options(&mut self, at: At<'_>) -> BTreeMap<String, String> {
        let mut options = BTreeMap::new();
        for (key, node) in self.mapping(at) {
            let field = at.key(key, node);
            let value = if node.is_null() { None } else { self.string_or_number(field) };
            options.insert(key.name.clone(), value.unwrap_or_default());
        }
        options
    }

    /// As [`Self::plain_options`], without null.
    pub fn whole_options(&mut self, at: At<'_>) -> BTreeMap<String, String> {
        for (key, node) in at.node.as_mapping().unwrap_or_default() {
            if node.is_null() {
                self.wrong(at.key(key, node), "a string or a whole number");
            }
        }
        self.plain_options(at)
    }

    /// A mapping of strings and whole numbers, as text; null is an empty string.
    pub fn plain_options(&mut self, at: At<'_>) -> BTreeMap<String, String> {
        let mut options = BTreeMap::new();
        for (key, node) in self.mapping(at) {
            let value = match &node.value {
                Value::Null => None,
                Value::String(_) | Value::Int(_) => {
                    node.value.scalar_text().map(std::borrow::Cow::into_owned)
                }
                _ => {
                    self.wrong(at.key(key, node), "a string or a whole number");
                    None
                }
            };
            options.insert(key.name.clone(), value.unwrap_or_default());
        }
        options
    }

    /// As [`Self::variables`], no line of a list twice.
    pub fn distinct_variables(&mut self, at: At<'_>) -> BTreeMap<String, Option<String>> {
        self.refuse_repeated(at);
        self.variables(at)
    }

    /// A mapping of strings.
    pub fn texts(&mut self, at: At<'_>) -> BTreeMap<String, String> {
        let mut texts = BTreeMap::new();
        for (key, node) in self.mapping(at) {
            texts.extend(self.string(at.key(key, node)).map(|text| (key.name.clone(), text)));
        }
        texts
    }

    fn refuse_empty_key(&mut self, key: &Key) {
        if key.name.is_empty() {
            self.problems.push(key.span.problem("a name is empty"));
        }
    }

    /// Refuses each string of a list that stands in it before.
    pub fn refuse_repeated(&mut self, at: At<'_>) {
        let items = at.node.as_sequence().unwrap_or_default();
        let mut seen = HashSet::new();
        for (index, item) in items.iter().enumerate() {
            if item.as_str().is_some_and(|text| !seen.insert(text)) {
                self.refuse(at.item(index, item), "is listed twice");
            }
        }
    }

    /// Any scalar as Go prints it; `None` for null.
    fn scalar(&mut self, at: At<'_>) -> Option<String> {
        match &at.node.value {
            Value::Null => None,
            Value::Timestamp(_) | Value::Sequence(_) | Value::Mapping(_) => {
                self.wrong(at, "a string, a number or a boolean");
                None
            }
            _ => self.plain_text(at),
        }
    }

    /// A command: a list, or one string split as a shell splits words; `None` for null.
    pub fn command(&mut self, at: At<'_>) -> Option<Vec<String>> {
        match &at.node.value {
            Value::Null => None,
            Value::Sequence(_) => Some(self.strings(at)),
            Value::String(text) => {
                let words = shell_words::split(text).ok();
                if words.is_none() {
                    self.refuse(at, "has a quote that is never closed");
                }
                words
            }
            _ => {
                self.wrong(at, "a string or a list of strings");
                None
            }
        }
    }
}

fn keyed(strings: Vec<String>) -> Vec<String> {
    let mut unique = IndexMap::new();
    for text in strings {
        let key = text.split('=').next().unwrap_or_default().to_owned();
        unique.insert(key, text);
    }
    unique.into_values().collect()
}

fn deduplicate(strings: &mut Vec<String>) {
    let mut seen = HashSet::new();
    strings.retain(|text| seen.insert(text.clone()));
}
