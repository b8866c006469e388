//! The order in which go-yaml prints the keys of a map: numbers by value, letters after the rest.

use std::cmp::Ordering;

use serde_json::{Map, Value};

/// Keys whose values are maps to docker compose, not structures with an order of their own.
const MAPS: &[&str] = &[
    "additional_contexts",
    "annotations",
    "args",
    "aux_addresses",
    "configs",
    "depends_on",
    "driver_opts",
    "environment",
    "labels",
    "models",
    "networks",
    "options",
    "secrets",
    "services",
    "storage_opt",
    "sysctls",
    "ulimits",
    "volumes",
];

/// Brings the keys of every map into order; structures stay as they are.
pub fn sort_maps(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(sort_maps),
        Value::Object(entries) => {
            for (key, value) in entries.iter_mut() {
                if key.starts_with("x-") {
                    sort_all(value);
                    continue;
                }
                if MAPS.contains(&key.as_str())
                    && let Value::Object(map) = value
                {
                    sort(map);
                }
                sort_maps(value);
            }
        }
        _ => {}
    }
}

/// Brings the keys of every mapping into order.
pub fn sort_all(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(sort_all),
        Value::Object(entries) => {
            sort(entries);
            entries.values_mut().for_each(sort_all);
        }
        _ => {}
    }
}

fn sort(entries: &mut Map<String, Value>) {
    if entries.len() < 2 {
        return;
    }
    let mut sorted: Vec<(String, Value)> = std::mem::take(entries).into_iter().collect();
    sorted.sort_by(|left, right| natural(&left.0, &right.0));
    entries.extend(sorted);
}

/// Compares two keys as go-yaml does.
pub fn natural(left: &str, right: &str) -> Ordering {
    let (one, other): (Vec<char>, Vec<char>) = (left.chars().collect(), right.chars().collect());
    let mut after_digit = false;
    for at in 0..one.len().min(other.len()) {
        let (a, b) = (one[at], other[at]);
        if a == b {
            after_digit = a.is_numeric();
            continue;
        }
        return match (a.is_alphabetic(), b.is_alphabetic()) {
            (true, true) => a.cmp(&b),
            (true, false) if after_digit => Ordering::Less,
            (false, true) if after_digit => Ordering::Greater,
            (true, false) => Ordering::Greater,
            (false, true) => Ordering::Less,
            (false, false) => numbers(&one, &other, at).then(a.cmp(&b)),
        };
    }
    one.len().cmp(&other.len())
}

/// Compares the numbers that differ first at a place, then how many digits they have.
fn numbers(one: &[char], other: &[char], at: usize) -> Ordering {
    // A zero after other digits is a digit of one number, not the start of another.
    let within = (one[at] == '0' || other[at] == '0')
        && one[..at].iter().rev().take_while(|c| c.is_numeric()).any(|c| *c != '0');
    let number = |text: &[char]| {
        let digits = text.iter().take_while(|c| c.is_ascii_digit());
        let (mut value, mut length) = (i64::from(within), 0_usize);
        for digit in digits.filter_map(|c| c.to_digit(10)) {
            value = value.wrapping_mul(10).wrapping_add(i64::from(digit));
            length += 1;
        }
        (value, length)
    };
    number(&one[at..]).cmp(&number(&other[at..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sorts_as_go_yaml_does() {
        for expected in [
            vec!["A_B", "A2", "A10", "AB"],
            vec!["a b: c", "a.b", "a1", "a1b", "a2"],
            vec!["A", "B", "a", "b"],
            vec!["v1.2", "v1.10", "v01", "v2"],
            vec!["", "_", "1", "a", "é"],
        ] {
            let mut sorted = expected.clone();
            sorted.reverse();
            sorted.sort_by(|left, right| natural(left, right));
            assert_eq!(sorted, expected);
        }
    }
}
