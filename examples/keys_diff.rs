#![allow(missing_docs, clippy::all, clippy::pedantic, clippy::restriction)]
use roadstead::compose::{
    Files, Request, canonical,
    hash::{self, Dialect},
    load::load,
};
use serde_json::json;
struct Disk;
impl Files for Disk {
    fn read(&self, p: &std::path::Path) -> std::io::Result<String> {
        std::fs::read_to_string(p)
    }
}
fn main() {
    for dir in std::env::args().skip(1) {
        let dir = std::path::PathBuf::from(dir);
        let request = Request {
            directory: dir.clone(),
            variables: [
                ("HOME".to_owned(), "/root".to_owned()),
                ("SECRET_ENV".to_owned(), "sv".to_owned()),
            ]
            .into(),
            ..Default::default()
        };
        let out = match load(&request, &Disk) {
            Ok(p) => {
                json!({"dir": dir, "config": canonical::config_json(&p), "yaml": canonical::config_yaml(&p), "warnings": p.warnings,
                "v2": p.services.values().map(|s| format!("{} {}", s.name, hash::service_hash(s, Dialect::V2_40))).collect::<Vec<_>>()})
            }
            Err(e) => json!({"dir": dir, "error": e.to_string()}),
        };
        println!("{out}");
    }
}
