//! `security_opt` of a new container: profiles are read by us, the Engine takes their text.

use std::collections::BTreeMap;

use anyhow::{Context, Result};

use crate::compose::model::Service;

/// Lifts the Engine's cover from parts of `/proc` and `/sys`; no option of the Engine, but two fields.
const UNCOVERED: &str = "systempaths=unconfined";
/// Profiles that are names, not files.
const NAMED_PROFILES: [&str; 2] = ["unconfined", "builtin"];

/// What `security_opt` becomes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct SecurityOptions {
    pub(super) options: Vec<String>,
    /// Nothing of `/proc` and `/sys` is covered.
    pub(super) uncovered: bool,
}

/// The files of seccomp profiles that a service names, as written: relative to the project directory.
pub fn profiles(service: &Service) -> Vec<&str> {
    service.security_opt.iter().filter_map(|option| profile(option)).collect()
}

fn profile(option: &str) -> Option<&str> {
    let (name, value) = option.split_once('=').or_else(|| option.split_once(':'))?;
    (name == "seccomp" && !NAMED_PROFILES.contains(&value)).then_some(value)
}

/// Puts the texts of profiles in the place of their paths.
///
/// # Errors
///
/// When a profile was not read, or is no JSON.
pub(super) fn security_options(
    service: &Service,
    profiles: &BTreeMap<String, String>,
) -> Result<SecurityOptions> {
    let mut options = Vec::new();
    for option in &service.security_opt {
        if option == UNCOVERED {
            continue;
        }
        let Some(path) = profile(option) else {
            options.push(option.clone());
            continue;
        };
        let place = || format!("service `{}`: seccomp profile `{path}`", service.name);
        let text = profiles.get(path).context("it was not read").with_context(place)?;
        let json: serde_json::Value =
            serde_json::from_str(text).context("it is not JSON").with_context(place)?;
        options.push(format!("seccomp={json}"));
    }
    let uncovered = service.security_opt.iter().any(|it| it == UNCOVERED);
    Ok(SecurityOptions { options, uncovered })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profiles_are_sent_as_text_and_names_as_they_are() {
        let profiles_read =
            BTreeMap::from([("p.json".to_owned(), "{ \"a\": 1,\n \"b\": [] }".to_owned())]);
        for (option, files, expected, uncovered) in [
            ("no-new-privileges:true", vec![], Some(vec!["no-new-privileges:true"]), false),
            ("label:disable", vec![], Some(vec!["label:disable"]), false),
            ("seccomp=unconfined", vec![], Some(vec!["seccomp=unconfined"]), false),
            ("seccomp:builtin", vec![], Some(vec!["seccomp:builtin"]), false),
            ("seccomp=p.json", vec!["p.json"], Some(vec!["seccomp={\"a\":1,\"b\":[]}"]), false),
            ("seccomp:p.json", vec!["p.json"], Some(vec!["seccomp={\"a\":1,\"b\":[]}"]), false),
            ("seccomp=other.json", vec!["other.json"], None, false),
            ("systempaths=unconfined", vec![], Some(vec![]), true),
        ] {
            let service = Service { security_opt: vec![option.to_owned()], ..Service::default() };
            assert_eq!(profiles(&service), files, "{option}");
            let found = security_options(&service, &profiles_read).ok();
            let expected = expected.map(|it| SecurityOptions {
                options: it.into_iter().map(str::to_owned).collect(),
                uncovered,
            });
            assert_eq!(found, expected, "{option}");
        }
    }
}
