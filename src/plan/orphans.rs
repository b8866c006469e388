//! Orphans: containers of the project that belong to none of its services.

use super::observed::{Container, Observed, State};
use super::{Desired, Plan, Removal, labels};
use crate::compose::model::Project;

pub(super) fn plan_orphans(desired: &Desired<'_>, observed: &Observed, plan: &mut Plan) {
    let project = desired.project;
    let directory = project.working_dir.display().to_string();
    for container in &observed.containers {
        if !has_no_service(project, container) {
            continue;
        }
        let service = container.service();
        if is_elsewhere(project, container) {
            let elsewhere = container.label(labels::WORKING_DIR);
            plan.notes.push(format!(
                "container `{}` belongs to project `{}` in `{elsewhere}`, not in `{directory}`; left alone",
                container.name, project.name
            ));
        } else if desired.options.remove_orphans {
            let why = format!("service {service} is gone");
            let (id, name) = (container.id.clone(), container.name.clone());
            plan.removals.push(Removal { id, name, why });
        } else {
            plan.notes.push(format!(
                "container `{}` belongs to no service any more (orphan)",
                container.name
            ));
        }
    }
}

/// Whether a container belongs to the project and to none of its services.
pub(super) fn is_orphan(project: &Project, container: &Container) -> bool {
    has_no_service(project, container) && !is_elsewhere(project, container)
}

fn has_no_service(project: &Project, container: &Container) -> bool {
    let service = container.service();
    let known = project.services.contains_key(service)
        || project.disabled_services.iter().any(|it| it == service);
    // docker compose does not see containers without a hash, e.g. helpers of its own hooks.
    let is_ours = !container.label(labels::CONFIG_HASH).is_empty() && !container.is_oneoff();
    !known && is_ours && !container.is_ourselves && container.state != State::Removing
}

/// Two projects in directories of the same name share a project name; the other one's containers are
/// not ours to remove.
fn is_elsewhere(project: &Project, container: &Container) -> bool {
    let directory = container.label(labels::WORKING_DIR);
    !directory.is_empty() && directory != project.working_dir.display().to_string()
}
