//! One service that stands alone: no project around it, its networks and volumes are the host's.

use std::collections::BTreeMap;
use std::path::Path;

use super::{Loader, casts, in_order, normalise, paths, widen};
use crate::compose::decode::keys;
use crate::compose::merge::{Notes, unique};
use crate::compose::model::Service;
use crate::compose::yaml::{Key, Node, Value};
use crate::compose::{Files, Request, Skip};
use crate::problem::{Problem, Problems};

/// Keys of a service, as Compose files know them.
pub const SERVICE_KEYS: &[&str] = keys::SERVICE;

/// Where a service stands that no project is around.
#[derive(Clone, Copy)]
pub struct Place<'a> {
    /// The key it stands at, for messages.
    pub key: &'a str,
    /// Where its relative paths begin, absolute.
    pub directory: &'a Path,
    /// What its bare variables take their values from.
    pub environment: &'a BTreeMap<String, String>,
    /// Where its `env_file`s and `label_file`s are read from.
    pub files: &'a dyn Files,
}

/// Reads a service, interpolated already, as it would be read in a project; with what a person should
/// know though it stops nothing. Messages name the key of the place instead of `services.NAME`.
pub fn load_alone(service: &Node, place: Place<'_>) -> Result<(Service, Vec<String>), Problems> {
    let request = Request {
        directory: place.directory.to_owned(),
        skip: Skip { consistency: true, ..Skip::default() },
        ..Request::default()
    };
    let mut loader = Loader::new(&request, place.files);
    loader.environment.clone_from(place.environment);
    let mapping = |key: &str, node: Node| {
        service.with_value(Value::Mapping(vec![(Key::implied(key, &service.span), node)]))
    };
    let mut tree = mapping("services", mapping(place.key, service.clone()));
    casts::cast(&mut tree, &mut loader.problems);
    widen::widen(&mut tree);
    unique::deduplicate(&mut tree, &mut Notes::default());
    let home = place.environment.get("HOME").map(String::as_str);
    let directory = place.directory.to_string_lossy();
    paths::resolve(&mut tree, paths::Base { directory: &directory, home });
    normalise::inherit_all(&mut tree, place.environment);
    let at = |text: String| text.replace(&format!("services.{}", place.key), place.key);
    let read = loader.project(place.key.to_owned(), &mut tree);
    let warnings: Vec<String> = loader.all_warnings().map(at).collect();
    match read {
        Ok(mut project) => {
            let mut warnings = warnings;
            warnings.extend(std::mem::take(&mut project.warnings).into_iter().map(at));
            let service = project.services.remove(place.key).unwrap_or_default();
            Ok((service, warnings))
        }
        Err(found) => {
            let renamed = found.0.into_iter().map(|it| Problem { message: at(it.message), ..it });
            Err(in_order(renamed.collect()))
        }
    }
}
