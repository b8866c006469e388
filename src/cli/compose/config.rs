//! `compose config`: the project as it is understood.

use anyhow::Result;

use super::arguments::Config;
use super::{Session, load_project};
use crate::cli::output::print;
use crate::compose::canonical;

/// Prints the project, or one kind of names in it.
pub(super) fn config(session: &Session, arguments: &Config) -> Result<u8> {
    let Config { quiet, services, volumes, images, ref format } = *arguments;
    let project = load_project(&session.request)?;
    let json = session.output.json || format == "json";
    print(|to| {
        if quiet {
            return Ok(());
        }
        let names: Option<Vec<String>> = if services {
            Some(project.services.keys().cloned().collect())
        } else if volumes {
            Some(project.volumes.keys().cloned().collect())
        } else if images {
            Some(project.services.values().map(|service| service.image.clone()).collect())
        } else {
            None
        };
        match names {
            Some(names) => names.iter().try_for_each(|name| writeln!(to, "{name}")),
            None if json => writeln!(to, "{:#}", canonical::config_json(&project)),
            None => write!(to, "{}", canonical::config_yaml(&project)),
        }
    })?;
    Ok(0)
}
