//! Whatever an `env.local` holds, it is read or refused, and no message shows a value.
#![no_main]

use std::collections::BTreeMap;

use libfuzzer_sys::fuzz_target;
use roadstead::config::env_local::parse;

fuzz_target!(|text: &str| {
    let environment = BTreeMap::from([("HOME".to_owned(), "/root".to_owned())]);
    match parse(text, "env.local", &environment) {
        Ok(assigned) => assert!(assigned.values().all(|one| one.line >= 1)),
        Err(problems) => assert!(!problems.0.is_empty()),
    }
    // The first line assigns a secret; the rest may not bring it into a message.
    let secret = format!("SECRET='w7q-hunter2-z9k'\n{text}");
    if let Err(problems) = parse(&secret, "env.local", &environment) {
        assert!(!problems.to_string().contains("w7q-hunter2-z9k"));
    }
});
