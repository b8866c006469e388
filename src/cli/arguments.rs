//! The command line, as clap reads it.

use std::path::PathBuf;

use chrono::{DateTime, Utc};
use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;

/// Keeps a Docker host's Compose projects equal to what its git checkouts say, and runs jobs on a clock.
#[derive(Debug, Parser)]
#[command(
    name = "roadstead",
    version,
    after_help = "Examples:\n  \
        roadstead check                 is everything I wrote right?\n  \
        roadstead plan                  what would the next deploy change, and why?\n  \
        roadstead deploy                deploy now, and wait\n  \
        roadstead logs -f autodeploy    follow the log\n\n\
        Exit codes: 0 done or nothing to do, 1 a run failed, 2 bad usage or configuration, \
        3 plan: there are changes."
)]
pub struct Arguments {
    /// File of settings [default: `/etc/roadstead/env.local`, if it exists]
    #[arg(long, global = true, value_name = "FILE")]
    pub env_file: Option<PathBuf>,
    /// Prints JSON for scripts
    #[arg(long, global = true)]
    pub json: bool,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serves all jobs until stopped; the container's default
    Serve,
    /// Validates env.local and all job files, touches nothing
    #[command(after_help = "Exit code 0 when all is right, 2 when not. A misspelled AUTODEPLOY_ \
                            variable is an error here and a warning in serve.")]
    Check,
    /// Shows for each job what is applied, whether it is held up, and what comes next
    Status,
    /// Shows what a deploy would change, and why; changes nothing
    #[command(after_help = "Exit code 0 when there is nothing to do, 3 when there are changes, \
                            1 when no plan can be made.")]
    Plan {
        /// The deploy job [default: the only one, or `autodeploy`]
        job: Option<String>,
    },
    /// Deploys now and waits; also tries a revision again that failed before
    Deploy {
        /// The deploy job [default: the only one, or `autodeploy`]
        job: Option<String>,
    },
    /// Runs a job now, waits, and exits with its exit code
    Run {
        /// The job
        job: String,
    },
    /// Lists all jobs
    Jobs,
    /// Shows the coming slots of jobs, or of a schedule that is tried out
    #[command(
        after_help = "Examples:\n  roadstead next\n  roadstead next autodeploy --count 3\n  \
                            roadstead next --schedule '30 2 * * 1-5' --timezone America/Toronto"
    )]
    Next(Next),
    /// Lists runs, newest first, or shows one with its steps
    Runs(Runs),
    /// Prints a job's log, or the lines of one run
    #[command(after_help = "Examples:\n  roadstead logs -f autodeploy\n  roadstead logs 42")]
    Logs(Logs),
    /// Says whether the daemon lives and reaches the Engine; for HEALTHCHECK
    Health,
    /// Works on a Compose project as docker compose does, without job, git or history
    #[command(subcommand_required = true, arg_required_else_help = true)]
    Compose(Compose),
    /// Prints a completion script
    Completions {
        /// The shell
        shell: Shell,
    },
}

/// Arguments of `next`.
#[derive(Debug, Args)]
pub struct Next {
    /// The job [default: all]
    #[arg(conflicts_with = "schedule")]
    pub job: Option<String>,
    /// A schedule to try out
    #[arg(long, value_name = "EXPR")]
    pub schedule: Option<String>,
    /// Time zone of the schedule [default: `AUTODEPLOY_TIMEZONE`, else UTC]
    #[arg(long, value_name = "ZONE")]
    pub timezone: Option<chrono_tz::Tz>,
    /// Slots after this time, RFC 3339 [default: now]
    #[arg(long, value_name = "TIME")]
    pub after: Option<DateTime<Utc>>,
    /// How many slots
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pub count: u16,
}

/// Arguments of `runs`.
#[derive(Debug, Args)]
pub struct Runs {
    /// A job, or the number of a run
    pub what: Option<String>,
    /// Only runs that ended so, e.g. failed
    #[arg(long)]
    pub outcome: Vec<String>,
    /// How many runs
    #[arg(short = 'n', long, default_value_t = 20)]
    pub limit: usize,
}

/// Arguments of `logs`.
#[derive(Debug, Args)]
pub struct Logs {
    /// A job, or the number of a run [default: roadstead's own log]
    pub what: Option<String>,
    /// Follows what is written
    #[arg(short, long)]
    pub follow: bool,
    /// How many lines
    #[arg(short = 'n', long, default_value_t = 100)]
    pub lines: usize,
}

/// Arguments of `compose`.
#[derive(Debug, Args)]
pub struct Compose {
    /// Compose file; may be given several times
    #[arg(short, long, value_name = "FILE")]
    pub file: Vec<PathBuf>,
    /// Project name
    #[arg(short, long, value_name = "NAME")]
    pub project_name: Option<String>,
    /// Directory of the project [default: that of the first file, else the current one]
    #[arg(long, value_name = "DIR")]
    pub project_directory: Option<PathBuf>,
    /// Active profile; may be given several times
    #[arg(long, value_name = "NAME")]
    pub profile: Vec<String>,
    /// What to do.
    #[command(subcommand)]
    pub command: ComposeCommand,
}

/// What `compose` does.
#[derive(Debug, Subcommand)]
pub enum ComposeCommand {
    /// Prints the project as it is understood: merged, interpolated, normalised
    Config {
        /// Form of the output
        #[arg(long, default_value = "yaml", value_parser = ["yaml", "json"])]
        format: String,
        /// Prints nothing, only checks
        #[arg(short, long)]
        quiet: bool,
        /// Prints the names of services
        #[arg(long)]
        services: bool,
        /// Prints the names of volumes
        #[arg(long)]
        volumes: bool,
        /// Prints the images
        #[arg(long)]
        images: bool,
    },
    /// Creates and starts what is missing or changed, keeping old containers until new ones run
    Up {
        /// Returns once containers run; the only mode so far
        #[arg(short, long)]
        detach: bool,
        /// Waits until containers are healthy
        #[arg(long)]
        wait: bool,
        /// Longest time to wait, in seconds
        #[arg(long, value_name = "SECONDS", default_value_t = 120)]
        wait_timeout: u64,
        /// Replaces containers that are not changed, too
        #[arg(long)]
        force_recreate: bool,
        /// Removes containers of services that are gone
        #[arg(long)]
        remove_orphans: bool,
        /// Shows what would be done
        #[arg(long)]
        dry_run: bool,
        /// Only these services and what they depend on
        services: Vec<String>,
    },
    /// Lists the project's containers
    Ps {
        /// Stopped ones, too
        #[arg(short, long)]
        all: bool,
        /// Prints ids only
        #[arg(short, long)]
        quiet: bool,
        /// Form of the output
        #[arg(long, default_value = "table", value_parser = ["table", "json"])]
        format: String,
    },
    /// Stops and removes the project's containers and networks
    Down {
        /// Removes named volumes, too: their data is gone
        #[arg(short, long)]
        volumes: bool,
        /// As docker compose; everything with the project's label goes anyway
        #[arg(long)]
        remove_orphans: bool,
    },
}
