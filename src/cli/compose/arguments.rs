//! Arguments of `compose` and its commands, those of docker compose.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// Arguments of `compose`.
#[derive(Debug, Args)]
pub(in crate::cli) struct Compose {
    /// Compose file, `-` for standard input; may be given several times
    #[arg(short, long, value_name = "FILE")]
    pub(super) file: Vec<PathBuf>,
    /// Project name
    #[arg(short, long, value_name = "NAME")]
    pub(super) project_name: Option<String>,
    /// Directory of the project [default: that of the first file, else the current one]
    #[arg(long, value_name = "DIR")]
    pub(super) project_directory: Option<PathBuf>,
    /// Active profile; may be given several times
    #[arg(long, value_name = "NAME")]
    pub(super) profile: Vec<String>,
    /// Includes networks, volumes, secrets and configs that no service uses
    #[arg(long)]
    pub(super) all_resources: bool,
    /// What to do.
    #[command(subcommand)]
    pub(super) command: Command,
}

/// What `compose` does.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Prints the project as it is understood: merged, interpolated, normalised
    #[command(after_help = "Examples:\n  roadstead compose config\n  \
                            roadstead compose config --format json | jq .services\n  \
                            roadstead compose config --variables\n  \
                            roadstead compose -f compose.yml config --quiet && echo fine")]
    Config(Config),
    /// Creates and starts what is missing or changed, keeping old containers until new ones run
    #[command(after_help = "Examples:\n  roadstead compose up -d\n  \
                            roadstead compose up --dry-run\n  \
                            roadstead compose --profile debug up --wait web\n\n\
                            Exit code 0 when all of it runs, 1 when not: then what ran before runs again.")]
    Up(Up),
    /// Lists the project's containers
    #[command(after_help = "Examples:\n  roadstead compose ps\n  \
                            roadstead compose -p hello ps --all --json")]
    Ps(Ps),
    /// Stops and removes the project's containers and networks
    #[command(after_help = "Examples:\n  roadstead compose down\n  \
                            roadstead compose -p hello down\n  \
                            roadstead compose down --volumes    the data, too")]
    Down(Down),
}

/// Arguments of `config`.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "flags")]
pub(super) struct Config {
    /// Form of the output [default: yaml, and a table for --variables]
    #[arg(long, value_parser = ["yaml", "json"])]
    pub(super) format: Option<String>,
    /// Prints nothing, only checks
    #[arg(short, long)]
    pub(super) quiet: bool,
    /// Writes to a file instead of the terminal
    #[arg(short, long, value_name = "FILE")]
    pub(super) output: Option<PathBuf>,
    /// Prints the names of services
    #[arg(long, group = "what")]
    pub(super) services: bool,
    /// Prints the names of volumes
    #[arg(long, group = "what")]
    pub(super) volumes: bool,
    /// Prints the names of networks
    #[arg(long, group = "what")]
    pub(super) networks: bool,
    /// Prints the names of models
    #[arg(long, group = "what")]
    pub(super) models: bool,
    /// Prints the images
    #[arg(long, group = "what")]
    pub(super) images: bool,
    /// Prints the profiles
    #[arg(long, group = "what")]
    pub(super) profiles: bool,
    /// Prints the hashes of services; `*` for all
    #[arg(long, value_name = "SERVICES", group = "what")]
    pub(super) hash: Option<String>,
    /// Prints the variables that are there for interpolation
    #[arg(long, group = "what")]
    pub(super) environment: bool,
    /// Prints the variables that the files use, and their defaults
    #[arg(long, group = "what")]
    pub(super) variables: bool,
    /// Leaves variables as written
    #[arg(long)]
    pub(super) no_interpolate: bool,
    /// Leaves out what is implied: the default network, names, dependencies
    #[arg(long)]
    pub(super) no_normalize: bool,
    /// Leaves paths as written
    #[arg(long)]
    pub(super) no_path_resolution: bool,
    /// Does not check whether what is referred to exists
    #[arg(long)]
    pub(super) no_consistency: bool,
    /// Does not read environment files of services
    #[arg(long)]
    pub(super) no_env_resolution: bool,
    /// Pins images to digests; needs a registry, see `compose pull`
    #[arg(long)]
    pub(super) resolve_image_digests: bool,
    /// Prints a file that pins images to digests; needs a registry, see `compose pull`
    #[arg(long)]
    pub(super) lock_image_digests: bool,
    /// Only these services and what they depend on
    #[arg(value_name = "SERVICE")]
    pub(super) names: Vec<String>,
}

/// Arguments of `up`.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "flags")]
pub(super) struct Up {
    /// Returns once containers run; the only mode so far
    #[arg(short, long)]
    pub(super) detach: bool,
    /// Waits until containers are healthy
    #[arg(long)]
    pub(super) wait: bool,
    /// Longest time to wait, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 120)]
    pub(super) wait_timeout: u64,
    /// Replaces containers that are not changed, too
    #[arg(long)]
    pub(super) force_recreate: bool,
    /// Removes containers of services that are gone
    #[arg(long)]
    pub(super) remove_orphans: bool,
    /// Shows what would be done
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Only these services and what they depend on
    pub(super) services: Vec<String>,
}

/// Arguments of `ps`.
#[derive(Debug, Args)]
pub(super) struct Ps {
    /// Stopped ones, too
    #[arg(short, long)]
    pub(super) all: bool,
    /// Prints ids only
    #[arg(short, long)]
    pub(super) quiet: bool,
    /// Form of the output
    #[arg(long, default_value = "table", value_parser = ["table", "json"])]
    pub(super) format: String,
}

/// Arguments of `down`.
#[derive(Debug, Args)]
pub(super) struct Down {
    /// Removes named volumes, too: their data is gone
    #[arg(short, long)]
    pub(super) volumes: bool,
    /// Removes containers of services that are gone, too
    #[arg(long)]
    pub(super) remove_orphans: bool,
}
