//! How far a pull is, from what the Engine says of its layers.

use std::collections::BTreeMap;

use super::Progress;

/// The layers of one pull.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layers(BTreeMap<String, Layer>);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Layer {
    is_done: bool,
    current: i64,
    total: i64,
}

impl Layers {
    /// Takes in what was said.
    pub fn see(&mut self, said: &Progress) {
        let Progress::Layer { id, status, current, total } = said else { return };
        // The first line is of the tag, the last ones of no layer.
        if id.is_empty() || status.starts_with("Pulling from") {
            return;
        }
        let layer = self.0.entry(id.clone()).or_default();
        match status.as_str() {
            "Pull complete" | "Already exists" => {
                layer.is_done = true;
                layer.current = layer.total;
            }
            "Download complete" => layer.current = layer.total,
            // Extracting counts the same bytes once more.
            "Downloading" => {
                layer.current = current.unwrap_or_default();
                layer.total = total.unwrap_or(layer.total).max(layer.current);
            }
            _ => {}
        }
    }

    /// How many are there.
    pub fn done(&self) -> usize {
        self.0.values().filter(|it| it.is_done).count()
    }

    /// How many there are in all, as far as is known.
    pub fn all(&self) -> usize {
        self.0.len()
    }

    /// Bytes that were downloaded, and that are to be.
    pub fn bytes(&self) -> (i64, i64) {
        let add = |(current, total), layer: &Layer| (current + layer.current, total + layer.total);
        self.0.values().fold((0, 0), add)
    }
}
