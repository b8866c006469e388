//! Whatever a `.env` file holds, it is read or refused, in both formats.
#![no_main]

use std::collections::{BTreeMap, BTreeSet};

use libfuzzer_sys::fuzz_target;
use roadstead::compose::dotenv::{parse, parse_raw};

fuzz_target!(|text: &str| {
    let lookup = |name: &str| (name == "A").then(|| "value".to_owned());
    let mut unset = BTreeSet::new();
    if let Err(problems) = parse(text, ".env", &lookup, &BTreeMap::new(), &mut unset) {
        assert!(!problems.0.is_empty());
    }
    if let Err(problems) = parse_raw(text, ".env", &lookup) {
        assert!(!problems.0.is_empty());
    }
});
