//! Whatever a `.env` file holds, it is read or refused, in both formats, and no message shows a value.
#![no_main]

use std::collections::{BTreeMap, BTreeSet};

use libfuzzer_sys::fuzz_target;
use roadstead::compose::dotenv::{parse, parse_raw};

fuzz_target!(|text: &str| {
    let lookup = |name: &str| (name == "A").then(|| "value".to_owned());
    let read = |text: &str| {
        let mut unset = BTreeSet::new();
        parse(text, ".env", &lookup, &BTreeMap::new(), &mut unset)
    };
    match read(text) {
        Ok(values) => assert!(values.keys().all(|key| !key.is_empty())),
        Err(problems) => assert!(problems.0.iter().all(|problem| problem.line >= Some(1))),
    }
    match parse_raw(text, ".env", &lookup) {
        Ok(values) => assert!(values.keys().all(|key| !key.is_empty())),
        Err(problems) => assert!(problems.0.iter().all(|problem| problem.line >= Some(1))),
    }
});
