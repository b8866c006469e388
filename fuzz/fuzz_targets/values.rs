//! The other short texts of a service: whatever they hold, they are read or refused.
#![no_main]

use libfuzzer_sys::fuzz_target;
use roadstead::compose::shortforms::{device, extra_host};
use roadstead::compose::{scalar, units, words};

fuzz_target!(|text: &str| {
    if let Ok(duration) = units::duration(text) {
        // What is printed is the same duration.
        assert_eq!(units::duration(&units::duration_text(duration)), Ok(duration));
    }
    assert!(units::bytes(text).is_ok_and(|bytes| bytes >= 0) || units::bytes(text).is_err());
    let _ = scalar::resolve(text).scalar_text();
    let _ = scalar::boolean(text);
    let _ = scalar::integer(text);
    if let Ok((host, addresses)) = extra_host(text) {
        assert!(!host.is_empty() && !addresses.is_empty());
    }
    let _ = device(text);
    if let Some(words) = words::split(text) {
        assert!(words.iter().map(String::len).sum::<usize>() <= text.len());
    }
});
