//! The short form of `volumes`: any text is read or refused, and what is read is bounded.

#![no_main]

use libfuzzer_sys::fuzz_target;
use roadstead::compose::shortforms::mount;

fuzz_target!(|text: &str| {
    let _ = mount(text);
});
