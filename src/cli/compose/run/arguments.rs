//! The arguments of `run`.

use clap::Args;

// Arguments of `run`.
#[derive(Debug, Args)]
#[command(override_usage = "roadstead compose run [OPTIONS] SERVICE [COMMAND] [ARGS]...")]
#[expect(clippy::struct_excessive_bools, reason = "flags")]
pub(in crate::cli::compose) struct Run {
    /// Builds the image first
    #[arg(long)]
    pub(super) build: bool,
    /// Says nothing about what is built
    #[arg(long)]
    pub(super) quiet_build: bool,
    /// Adds a capability
    #[arg(long, value_name = "CAPABILITY")]
    pub(super) cap_add: Vec<String>,
    /// Drops a capability
    #[arg(long, value_name = "CAPABILITY")]
    pub(super) cap_drop: Vec<String>,
    /// Prints the container's id and leaves it alone
    #[arg(short, long)]
    pub(super) detach: bool,
    /// Another entrypoint
    #[arg(long, value_name = "COMMAND")]
    pub(super) entrypoint: Option<String>,
    /// Sets a variable; NAME alone takes ours
    #[arg(short, long, value_name = "NAME=VALUE")]
    pub(super) env: Vec<String>,
    /// Sets the variables of a file
    #[arg(long, value_name = "FILE")]
    pub(super) env_from_file: Vec<std::path::PathBuf>,
    /// Keeps stdin open
    #[arg(
        short, long, num_args = 0..=1, require_equals = true, value_name = "BOOL",
        default_value_t = true, default_missing_value = "true", action = clap::ArgAction::Set
    )]
    pub(super) interactive: bool,
    /// Sets a label
    #[arg(short, long, alias = "labels", value_name = "NAME=VALUE", value_parser = pair)]
    pub(super) label: Vec<(String, String)>,
    /// Name of the container
    #[arg(long)]
    pub(super) name: Option<String>,
    /// Gives the command no terminal [default: one, where this is one]
    #[arg(short = 'T', long = "no-TTY", visible_alias = "no-tty")]
    pub(super) no_tty: bool,
    /// Gives the command a terminal
    #[arg(short, long, hide = true)]
    pub(super) tty: bool,
    /// Leaves what the service depends on alone
    #[arg(long)]
    pub(super) no_deps: bool,
    /// Publishes a port, as `ports` of a Compose file
    #[arg(short, long, value_name = "PORT", conflicts_with = "service_ports")]
    pub(super) publish: Vec<String>,
    /// Pulls the image first [default: as the service says]
    #[arg(long, value_name = "POLICY", value_parser = ["always", "missing", "never", "policy"])]
    pub(super) pull: Option<String>,
    /// Tells nothing of its own
    #[arg(short, long)]
    pub(super) quiet: bool,
    /// Tells nothing of pulling
    #[arg(long)]
    pub(super) quiet_pull: bool,
    /// Removes containers of services that the files do not have
    #[arg(long)]
    pub(super) remove_orphans: bool,
    /// Removes the container when it has ended
    #[arg(long)]
    pub(super) rm: bool,
    /// Publishes the service's ports
    #[arg(short = 'P', long)]
    pub(super) service_ports: bool,
    /// Known to others on its networks by the service's names
    #[arg(long)]
    pub(super) use_aliases: bool,
    /// As this user
    #[arg(short, long, value_name = "USER")]
    pub(super) user: Option<String>,
    /// Mounts a volume, as `volumes` of a Compose file
    #[arg(short, long, alias = "volumes", value_name = "VOLUME")]
    pub(super) volume: Vec<String>,
    /// In this directory
    #[arg(short, long, value_name = "DIR")]
    pub(super) workdir: Option<String>,
    /// The service, and the command with its arguments
    #[arg(required = true, trailing_var_arg = true, value_name = "SERVICE COMMAND")]
    pub(super) words: Vec<String>,
}

fn pair(text: &str) -> Result<(String, String), String> {
    let pair = text.split_once('=').filter(|it| !it.0.is_empty());
    let pair = pair.ok_or_else(|| format!("`{text}`: expected NAME=VALUE"))?;
    Ok((pair.0.to_owned(), pair.1.to_owned()))
}
