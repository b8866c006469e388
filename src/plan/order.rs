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

/// Names of all services in the order in which their images are built: besides what they depend on,
/// before them comes what they build on.
pub fn images_first(project: &Project) -> Vec<&str> {
    let mut ordered = Vec::with_capacity(project.services.len());
    let mut seen = BTreeSet::new();
    for name in dependencies_first(project) {
        visit_image(project, name, &mut seen, &mut ordered);
    }
    ordered
}

fn visit_image<'a>(
    project: &'a Project,
    name: &'a str,
    seen: &mut BTreeSet<&'a str>,
    ordered: &mut Vec<&'a str>,
) {
    if !project.services.contains_key(name) || !seen.insert(name) {
        return;
    }
    for base in built_upon(project, name) {
        visit_image(project, base, seen, ordered);
    }
    ordered.push(name);
}

/// The services whose images the image of a service is built on: its additional contexts.
pub fn built_upon<'a>(project: &'a Project, name: &str) -> impl Iterator<Item = &'a str> {
    let build = project.services.get(name).and_then(|it| it.build.as_ref());
    let contexts = build.into_iter().flat_map(|it| it.additional_contexts.values());
    contexts.filter_map(|it| it.strip_prefix("service:"))
}

/// The services asked for, with all they depend on or without; every service where none was named.
pub fn selected<'a>(
    project: &'a Project,
    asked: &'a BTreeSet<String>,
    with_dependencies: bool,
) -> BTreeSet<&'a str> {
    if asked.is_empty() {
        return project.services.keys().map(String::as_str).collect();
    }
    if !with_dependencies {
        return asked.iter().map(String::as_str).collect();
    }
    let mut ordered = Vec::new();
    let mut seen = BTreeSet::new();
    for name in asked {
        visit(project, name, &mut seen, &mut ordered);
    }
    ordered.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compose::model::{Build, Condition, Dependency, Service};

    /// Services with what they depend on, and their order.
    type Row<'a> = (&'a [(&'a str, &'a [&'a str])], &'a [&'a str]);

    fn project(services: &[(&str, &[&str])]) -> Project {
        let dependency =
            Dependency { condition: Condition::Started, restart: false, required: true };
        let service = |(name, needs): &(&str, &[&str])| {
            let needs = needs.iter().map(|it| ((*it).to_owned(), dependency.clone()));
            let name = (*name).to_owned();
            let service =
                Service { name: name.clone(), depends_on: needs.collect(), ..Service::default() };
            (name, service)
        };
        Project { services: services.iter().map(service).collect(), ..Project::default() }
    }

    #[test]
    fn dependencies_come_first() {
        let rows: &[Row<'_>] = &[
            (&[], &[]),
            (&[("b", &[]), ("a", &[])], &["a", "b"]),
            (&[("a", &["b"]), ("b", &["c"]), ("c", &[])], &["c", "b", "a"]),
            (
                &[("a", &["c", "b"]), ("b", &["d"]), ("c", &["d"]), ("d", &[])],
                &["d", "b", "c", "a"],
            ),
            (&[("a", &["disabled"])], &["a"]),
            // Refused by the loader; still each one appears, once.
            (&[("a", &["b"]), ("b", &["a"])], &["b", "a"]),
            (&[("a", &["a"])], &["a"]),
        ];
        for (services, expected) in rows {
            assert_eq!(dependencies_first(&project(services)), *expected, "{services:?}");
        }
    }

    #[test]
    fn selected_services_bring_what_they_depend_on() {
        let project = project(&[("a", &["b"]), ("b", &["c"]), ("c", &[]), ("d", &["c"])]);
        let rows: &[(&[&str], &[&str])] = &[
            (&[], &["a", "b", "c", "d"]),
            (&["c"], &["c"]),
            (&["b"], &["b", "c"]),
            (&["a", "d"], &["a", "b", "c", "d"]),
            (&["unknown"], &[]),
        ];
        for (asked, expected) in rows {
            let asked = asked.iter().map(|it| (*it).to_owned()).collect();
            let selected: Vec<_> = selected(&project, &asked, true).into_iter().collect();
            assert_eq!(selected, *expected, "{asked:?}");
        }
        let asked = ["a".to_owned()].into();
        assert_eq!(super::selected(&project, &asked, false), ["a"].into());
    }

    #[test]
    fn images_come_before_those_built_on_them() {
        let mut project = project(&[("a", &["b"]), ("b", &[]), ("c", &[])]);
        let contexts = [("x".to_owned(), "service:c".to_owned())];
        let build = Build { additional_contexts: contexts.into(), ..Build::default() };
        project.services.get_mut("b").unwrap().build = Some(build.into());
        assert_eq!(images_first(&project), ["c", "b", "a"]);
        assert_eq!(built_upon(&project, "b").collect::<Vec<_>>(), ["c"]);
        assert_eq!(built_upon(&project, "a").count(), 0);
    }
}
