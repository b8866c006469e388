//! Whatever a Compose file holds, it is read or refused.
#![no_main]

use libfuzzer_sys::fuzz_target;
use roadstead::compose::yaml::parse;

fuzz_target!(|text: &str| {
    if let Err(problems) = parse(text, "compose.yml") {
        assert!(!problems.0.is_empty());
    }
});
