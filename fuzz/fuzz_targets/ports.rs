//! The short form of `ports`: any text is read or refused, and what is read is bounded.
#![no_main]

use libfuzzer_sys::fuzz_target;
use roadstead::compose::shortforms::ports;

fuzz_target!(|text: &str| {
    match ports(text) {
        Ok(ports) => {
            assert!(!ports.is_empty() && ports.len() <= 65_535);
            assert!(ports.iter().all(|port| port.target > 0));
        }
        Err(message) => assert!(!message.is_empty()),
    }
});
