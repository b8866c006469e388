//! `compose version`.

use anyhow::Result;
use clap::Args;
use serde_json::json;

use crate::cli::output::print;

/// The docker compose whose arguments and answers these are; scripts look for a version they know.
const SPOKEN: &str = "2.40.3";

// Arguments of `version`.
#[derive(Debug, Default, Args)]
pub(super) struct Version {
    /// Prints the number only
    #[arg(long)]
    short: bool,
    /// Form of the output
    #[arg(short, long, default_value = "pretty", value_name = "FORM")]
    format: String,
}

/// Prints which docker compose this is like, and what it is.
pub(super) fn version(arguments: &Version) -> Result<u8> {
    let ours = env!("CARGO_PKG_VERSION");
    print(|to| match arguments {
        Version { short: true, .. } => writeln!(to, "{SPOKEN}"),
        Version { format, .. } if format == "json" => {
            writeln!(to, "{}", json!({ "version": SPOKEN, "roadstead": ours }))
        }
        Version { .. } => {
            writeln!(to, "Docker Compose version v{SPOKEN}, as spoken by Roadstead {ours}")
        }
    })?;
    Ok(0)
}
