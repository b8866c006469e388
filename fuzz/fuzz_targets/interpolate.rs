//! Whatever a value refers to, it is replaced or refused.
#![no_main]

use std::collections::BTreeSet;

use libfuzzer_sys::fuzz_target;
use roadstead::compose::interpolate::{substitute, uses};

fuzz_target!(|text: &str| {
    let lookup = |name: &str| match name {
        "A" => Some("value".to_owned()),
        "B" => Some(String::new()),
        "D" => Some("$A".to_owned()),
        _ => None,
    };
    let mut unset = BTreeSet::new();
    let used: BTreeSet<String> = uses(text).into_iter().map(|used| used.name).collect();
    match substitute(text, &lookup, &mut unset) {
        Ok(replaced) => {
            assert!(text.contains('$') || replaced == text);
            // What has no value is a variable that the text names.
            assert!(unset.is_subset(&used), "{unset:?} {used:?}");
        }
        Err(failure) => assert!(!failure.message().is_empty() && !failure.hint().is_empty()),
    }
    // A text whose dollars are doubled is the text itself.
    let doubled = text.replace('$', "$$");
    assert_eq!(substitute(&doubled, &lookup, &mut unset).as_deref(), Ok(text));
});
