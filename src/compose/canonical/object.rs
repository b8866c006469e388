//! A JSON object under construction, by the rules of Go's `omitempty`.

use std::time::Duration;

use serde_json::{Map, Number, Value};

use crate::compose::scalar;
use crate::compose::units::duration_text;

/// An object under construction: what is unset is left out.
pub(super) struct Object(pub(super) Map<String, Value>);

impl Object {
    pub(super) fn new() -> Self {
        Self(Map::new())
    }

    pub(super) fn put(&mut self, key: &str, value: impl Into<Value>) {
        self.0.insert(key.to_owned(), value.into());
    }

    pub(super) fn some(&mut self, key: &str, value: Option<impl Into<Value>>) {
        if let Some(value) = value {
            self.put(key, value);
        }
    }

    pub(super) fn text(&mut self, key: &str, value: Option<&String>) {
        self.some(key, value.filter(|text| !text.is_empty()).cloned());
    }

    pub(super) fn list(&mut self, key: &str, items: &[String]) {
        if !items.is_empty() {
            self.put(key, items.to_vec());
        }
    }

    pub(super) fn flag(&mut self, key: &str, value: bool) {
        if value {
            self.put(key, true);
        }
    }

    pub(super) fn bytes(&mut self, key: &str, value: Option<i64>) {
        self.some(key, value.filter(|bytes| *bytes != 0).map(|bytes| bytes.to_string()));
    }

    pub(super) fn map<'a, V: Into<Value>>(
        &mut self,
        key: &str,
        entries: impl IntoIterator<Item = (&'a String, V)>,
    ) {
        let entries: Map<_, _> =
            entries.into_iter().map(|(name, value)| (name.clone(), value.into())).collect();
        if !entries.is_empty() {
            self.put(key, entries);
        }
    }

    /// A number that is left out where it is zero.
    pub(super) fn number(&mut self, key: &str, value: Option<i64>) {
        self.some(key, value.filter(|value| *value != 0));
    }

    pub(super) fn float(&mut self, key: &str, value: Option<f32>) {
        self.some(key, value.filter(|value| *value != 0.0).map(float));
    }

    pub(super) fn duration(&mut self, key: &str, value: Option<Duration>) {
        self.some(key, value.map(duration_text));
    }

    pub(super) fn texts<'a>(
        &mut self,
        key: &str,
        entries: impl IntoIterator<Item = (&'a String, &'a String)>,
    ) {
        self.map(key, entries.into_iter().map(|(name, text)| (name, text.clone())));
    }

    pub(super) fn values(&mut self, key: &str, items: impl IntoIterator<Item = Value>) {
        let items: Vec<Value> = items.into_iter().collect();
        if !items.is_empty() {
            self.put(key, items);
        }
    }

    pub(super) fn object(&mut self, key: &str, object: Option<Self>) {
        self.some(key, object.map(|object| object.0));
    }
}

impl From<Object> for Value {
    fn from(object: Object) -> Self {
        Self::Object(object.0)
    }
}

/// A single-precision number with the digits Go prints.
fn float(value: f32) -> Value {
    let text = scalar::float32_json(value);
    match text.parse::<i64>() {
        Ok(whole) => whole.into(),
        Err(_) => text.parse().ok().and_then(Number::from_f64).map_or(Value::Null, Value::Number),
    }
}
