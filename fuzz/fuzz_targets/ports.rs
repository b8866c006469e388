//! The short form of `ports`: any text is read or refused, and what is read is bounded.
#![no_main]

use libfuzzer_sys::fuzz_target;
use roadstead::compose::shortforms::{port_ranges, ports};

fuzz_target!(|text: &str| {
    let ranges = match port_ranges(text) {
        Ok(ranges) => ranges,
        Err(message) => return assert!(!message.is_empty()),
    };
    assert!((1..=65_535).contains(&ranges.count()));
    // Most long ranges are left as they are, for the sake of speed.
    if ranges.count() < 100 || text.len() % 16 == 0 {
        let expanded = ports(text).expect("the ranges could be read");
        assert_eq!(expanded.len(), ranges.count());
        assert!(expanded.iter().all(|port| port.target > 0));
    }
});
