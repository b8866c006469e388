//! Whatever the files of a project hold, it is loaded or refused; what is loaded can be printed, hashed
//! and read back.
#![no_main]

use libfuzzer_sys::fuzz_target;
use roadstead::compose::canonical::{Dialect, config_json, config_yaml};
use roadstead::compose::hash::{network_hash, service_hash, volume_hash};
use roadstead::compose::load::{load_model, load_whole};
use roadstead::compose::model::Project;
use roadstead::compose::{render, yaml};
use roadstead_fuzz::Case;

fuzz_target!(|text: &str| {
    if let Err(problems) = yaml::parse(text, "compose.yml") {
        assert!(!problems.to_string().is_empty());
    }
    let case = Case::read(text);
    match load_whole(&case.request, &case) {
        Ok(loaded) => {
            print(&loaded.project);
            render::json(&loaded.tree);
            render::variables(&loaded.tree);
        }
        Err(problems) => assert!(!problems.to_string().is_empty() && !problems.plain().is_empty()),
    }
    if let Ok(model) = load_model(&case.request, &case) {
        read_back(&render::yaml(&model.tree));
    }
});

fn print(project: &Project) {
    config_json(project);
    read_back(&config_yaml(project));
    for service in project.services.values() {
        for dialect in [Dialect::V2_40, Dialect::V5] {
            assert_eq!(service_hash(service, dialect).len(), 64);
        }
    }
    project.networks.values().for_each(|network| assert_eq!(network_hash(network).len(), 64));
    project.volumes.values().for_each(|volume| assert_eq!(volume_hash(volume).len(), 64));
}

/// A short range of ports is printed as more than a file may hold.
fn read_back(text: &str) {
    if let Err(problems) = yaml::parse(text, "config") {
        let problems = problems.to_string();
        assert!(problems.contains("file has more than"), "{problems}\n{text}");
    }
}
