//! Whatever a value refers to, it is replaced or refused.
#![no_main]

use std::collections::BTreeSet;

use libfuzzer_sys::fuzz_target;
use roadstead::compose::interpolate::substitute;

fuzz_target!(|text: &str| {
    let lookup = |name: &str| match name {
        "A" => Some("value".to_owned()),
        "B" => Some(String::new()),
        _ => None,
    };
    let mut unset = BTreeSet::new();
    if let Ok(replaced) = substitute(text, &lookup, &mut unset)
        && !text.contains('$')
    {
        assert_eq!(replaced, text);
    }
});
