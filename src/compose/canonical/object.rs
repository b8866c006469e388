//! A JSON object under construction, by the rules of Go's `omitempty`.
//!
//! Written as text at once, without a tree in between: each hash and each `config` is made of such objects.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::Value;

use crate::compose::render::{go_string, separated, write_go_json};
use crate::compose::scalar;
use crate::compose::units::duration_text;

/// What can stand in an object, as Go's `encoding/json` prints it in one line.
pub(super) trait Json {
    fn write(self, to: &mut String);
}

/// Room of an object, in bytes: most are smaller, and services grow from here.
const ROOM: usize = 128;

/// An object under construction: what is unset is left out.
pub(in crate::compose) struct Object(
    /// All but the last brace.
    String,
);

impl Object {
    pub(super) fn new() -> Self {
        let mut text = String::with_capacity(ROOM);
        text.push('{');
        Self(text)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.len() == 1
    }

    /// The text of the complete object.
    pub(in crate::compose) fn into_text(mut self) -> String {
        self.0.push('}');
        self.0
    }

    pub(super) fn put(&mut self, key: &str, value: impl Json) {
        if !self.is_empty() {
            self.0.push(',');
        }
        go_string(key, &mut self.0);
        self.0.push(':');
        value.write(&mut self.0);
    }

    pub(super) fn some(&mut self, key: &str, value: Option<impl Json>) {
        if let Some(value) = value {
            self.put(key, value);
        }
    }

    pub(super) fn text(&mut self, key: &str, value: Option<&String>) {
        self.some(key, value.filter(|text| !text.is_empty()));
    }

    pub(super) fn list(&mut self, key: &str, items: &[String]) {
        self.values(key, items);
    }

    pub(super) fn flag(&mut self, key: &str, value: bool) {
        self.some(key, value.then_some(true));
    }

    pub(super) fn bytes(&mut self, key: &str, value: Option<i64>) {
        self.some(key, value.filter(|bytes| *bytes != 0).map(|bytes| bytes.to_string()));
    }

    pub(super) fn map<'a, V: Json>(
        &mut self,
        key: &str,
        entries: impl IntoIterator<Item = (&'a String, V)>,
    ) {
        let mut entries = entries.into_iter().peekable();
        if entries.peek().is_some() {
            self.put(key, Entries(entries));
        }
    }

    /// A number that is left out where it is zero.
    pub(super) fn number(&mut self, key: &str, value: Option<i64>) {
        self.some(key, value.filter(|value| *value != 0));
    }

    pub(super) fn float(&mut self, key: &str, value: Option<f32>) {
        self.some(key, value.filter(|value| *value != 0.0));
    }

    pub(super) fn duration(&mut self, key: &str, value: Option<Duration>) {
        self.some(key, value.map(duration_text));
    }

    pub(super) fn values(&mut self, key: &str, items: impl IntoIterator<Item = impl Json>) {
        let mut items = items.into_iter().peekable();
        if items.peek().is_some() {
            self.put(key, Items(items));
        }
    }
}

impl Json for Object {
    fn write(self, to: &mut String) {
        to.push_str(&self.0);
        to.push('}');
    }
}

/// An object of these entries, written where it stands.
pub(super) struct Entries<I>(pub(super) I);

impl<'a, V: Json, I: Iterator<Item = (&'a String, V)>> Json for Entries<I> {
    fn write(self, to: &mut String) {
        to.push('{');
        separated(self.0, to, |(name, value), to| {
            go_string(name, to);
            to.push(':');
            value.write(to);
        });
        to.push('}');
    }
}

/// A list.
pub(super) struct Items<I>(pub(super) I);

impl<V: Json, I: Iterator<Item = V>> Json for Items<I> {
    fn write(self, to: &mut String) {
        to.push('[');
        separated(self.0, to, Json::write);
        to.push(']');
    }
}

impl Json for &[String] {
    fn write(self, to: &mut String) {
        Items(self.iter()).write(to);
    }
}

impl Json for &str {
    fn write(self, to: &mut String) {
        go_string(self, to);
    }
}

impl Json for &String {
    fn write(self, to: &mut String) {
        go_string(self, to);
    }
}

impl Json for String {
    fn write(self, to: &mut String) {
        go_string(&self, to);
    }
}

impl Json for &Value {
    fn write(self, to: &mut String) {
        write_go_json(self, to);
    }
}

impl<V: Json> Json for Option<V> {
    fn write(self, to: &mut String) {
        match self {
            Some(value) => value.write(to),
            None => to.push_str("null"),
        }
    }
}

/// With the digits of single precision that Go prints.
impl Json for f32 {
    fn write(self, to: &mut String) {
        let text = self.is_finite().then(|| scalar::float32_json(self));
        to.push_str(text.as_deref().unwrap_or("null"));
    }
}

macro_rules! as_displayed {
    ($($kind:ty),*) => {$(
        impl Json for $kind {
            fn write(self, to: &mut String) {
                write!(to, "{self}").expect("a String takes any text");
            }
        }
    )*};
}

as_displayed!(bool, i64, u16, u32, u64);
