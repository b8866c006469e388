//! The short form of `volumes`: any text is read or refused, and what is read is bounded.
#![no_main]

use libfuzzer_sys::fuzz_target;
use roadstead::compose::shortforms::mount;

fuzz_target!(|text: &str| {
    match mount(text) {
        Ok(mount) => {
            assert!(!mount.target.is_empty());
            assert!(text.contains(mount.source.as_deref().unwrap_or_default()));
        }
        Err(message) => assert!(!message.is_empty()),
    }
});
