//! Long texts, made by repeating a part of a short one: what is read takes time and memory in
//! proportion. The first character says which reader gets it.
#![no_main]

use std::collections::{BTreeMap, BTreeSet};

use libfuzzer_sys::fuzz_target;
use roadstead::compose::canonical::{config_json, config_yaml};
use roadstead::compose::{dotenv, interpolate, load, words};
use roadstead::config::env_local;
use roadstead_fuzz::{Case, repeated};

/// Long enough for what is quadratic to take seconds.
const LONGEST: usize = 128 << 10;

fuzz_target!(|text: &str| {
    let Some(reader) = text.chars().next() else { return };
    let text = repeated(&text[reader.len_utf8()..], LONGEST);
    let lookup = |name: &str| (name == "A").then(|| "value".to_owned());
    let mut unset = BTreeSet::new();
    match reader {
        'e' => drop(env_local::parse(&text, "env.local", &BTreeMap::new())),
        'd' => {
            drop(dotenv::parse(&text, ".env", &lookup, &BTreeMap::new(), &mut unset));
            drop(dotenv::parse_raw(&text, ".env", &lookup));
        }
        'i' => {
            drop(interpolate::substitute(&text, &lookup, &mut unset));
            drop(interpolate::uses(&text));
        }
        'w' => drop(words::split(&text)),
        _ => {
            let case = Case::read(&text);
            match load::load(&case.request, &case) {
                Ok(project) => {
                    config_json(&project);
                    config_yaml(&project);
                }
                Err(problems) => drop(problems.to_string()),
            }
        }
    }
});
