//! The order of services: dependencies before dependents.

use std::collections::BTreeSet;

use crate::compose::model::Project;

/// Names of all services, dependencies before their dependents, otherwise by name.
///
/// The loader has refused cycles; if one came through, its members still all appear once.
pub fn dependencies_first(project: &Project) -> Vec<&str> {
    let mut ordered = Vec::with_capacity(project.services.len());
    let mut seen = BTreeSet::new();
    for name in project.services.keys() {
        visit(project, name, &mut seen, &mut ordered);
    }
    ordered
}

fn visit<'a>(
    project: &'a Project,
    name: &'a str,
    seen: &mut BTreeSet<&'a str>,
    ordered: &mut Vec<&'a str>,
) {
    let Some(service) = project.services.get(name) else { return };
    if !seen.insert(name) {
        return;
    }
    for dependency in service.depends_on.keys() {
        visit(project, dependency, seen, ordered);
    }
    ordered.push(name);
}

/// The services asked for and all they depend on; every service where none was named.
pub fn selected<'a>(project: &'a Project, asked: &'a BTreeSet<String>) -> BTreeSet<&'a str> {
    if asked.is_empty() {
        return project.services.keys().map(String::as_str).collect();
    }
    let mut ordered = Vec::new();
    let mut seen = BTreeSet::new();
    for name in asked {
        visit(project, name, &mut seen, &mut ordered);
    }
    ordered.into_iter().collect()
}
