//! Arguments of `backup` and its commands.

use std::path::PathBuf;

use clap::{ArgGroup, Args, Subcommand};

// Arguments of `backup`.
#[derive(Debug, Args)]
pub(in crate::cli) struct Backup {
    /// What to do.
    #[command(subcommand)]
    pub(super) command: Command,
}

// What to do with backups. `JOB` is any job of kind `backup`, `backup_prune`, `backup_check` or
// `restore_drill`.
#[derive(Debug, Subcommand)]
#[command(defer = true)]
pub(super) enum Command {
    /// Runs a job now and waits, as `roadstead run`
    #[command(after_help = "Examples:\n  roadstead backup run data\n\n\
                            Exit code 0 when it is done, 1 when not.")]
    Run(Job),
    /// Shows what a job would do, as `roadstead plan`
    #[command(after_help = "Examples:\n  roadstead backup plan data\n  \
                            roadstead backup plan data --json\n\n\
                            Exit code 3 when there is something to do, 0 when not.")]
    Plan(Job),
    /// Lists the snapshots of a job, oldest first
    #[command(
        after_help = "Examples:\n  roadstead backup list data\n  roadstead backup list data --all\n  \
                      roadstead backup list data --json | jq -r '.[-1].id'"
    )]
    List(List),
    /// Lists what a snapshot holds
    #[command(after_help = "Examples:\n  roadstead backup show data latest\n  \
                            roadstead backup show data 1a2b3c4d /volumes/data/www")]
    Show(Show),
    /// Shows in what two snapshots differ
    #[command(after_help = "Examples:\n  roadstead backup diff data 1a2b3c4d latest\n\n\
                            Exit code 0, also when they differ.")]
    Diff(Diff),
    /// Restores volumes, by default each into a new one, `NAME-restored`
    #[command(after_help = "Examples:\n  roadstead backup restore data\n  \
                      roadstead backup restore data 1a2b3c4d --path db --volume db-of-monday\n  \
                      roadstead backup restore data --path db --in-place --stop\n  \
                      roadstead backup restore data --path db.postgres.sql --to /srv/restored\n\n\
                      A path is written as `backup show` prints it; a volume's name and a path of the \
                      host do, too. Without a snapshot the newest one is taken that has the path. \
                      --in-place makes a volume equal to the snapshot: what is not in it goes. It \
                      refuses while a container that lives has the volume; --stop stops those, and \
                      starts them again in the end.")]
    Restore(Restore),
    /// Looks whether a repository is whole
    #[command(after_help = "Examples:\n  roadstead backup verify data\n  \
                            roadstead backup verify data --all\n\n\
                            Exit code 0 when it is whole, 1 when not. --all reads all data, which \
                            takes as long as to restore all of it.")]
    Verify(All),
    /// Says whether a restore drill has proven a backup of a job lately
    #[command(after_help = "Examples:\n  roadstead backup verified data --within 48h\n\n\
                            Exit code 0 when one did, 1 when none did.")]
    Verified(Verified),
    /// Forgets the snapshots of a job that its `keep` does not want, and removes their data
    #[command(after_help = "Examples:\n  roadstead backup prune data --dry-run\n  \
                            roadstead backup prune data")]
    Prune(Prune),
    /// Removes locks that nobody holds any more
    #[command(after_help = "Examples:\n  roadstead backup unlock data\n  \
                            roadstead backup unlock data --all\n\n\
                            --all removes those that may be held, too: only where nobody is at work \
                            in the repository.")]
    Unlock(All),
}

// A job.
#[derive(Debug, Args)]
pub(super) struct Job {
    /// The job
    pub(super) job: String,
}

// Arguments of `list`.
#[derive(Debug, Args)]
pub(super) struct List {
    /// The job
    pub(super) job: String,
    /// Those of all jobs, and of others, in its repository
    #[arg(long)]
    pub(super) all: bool,
}

// Arguments of `show`.
#[derive(Debug, Args)]
pub(super) struct Show {
    /// The job
    pub(super) job: String,
    /// The snapshot: its id or the beginning of it, or `latest`
    pub(super) snapshot: String,
    /// Only below this path
    pub(super) path: Option<String>,
}

// Arguments of `diff`.
#[derive(Debug, Args)]
pub(super) struct Diff {
    /// The job
    pub(super) job: String,
    /// The older snapshot: its id or the beginning of it
    pub(super) from: String,
    /// The newer snapshot, or `latest`
    pub(super) to: String,
}

// Arguments of `restore`.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("target").args(["volume", "in_place", "to"]))]
pub(super) struct Restore {
    /// The job
    pub(super) job: String,
    /// The snapshot: its id or the beginning of it [default: the newest that has the path]
    pub(super) snapshot: Option<String>,
    /// What of it: a path, or a volume's name [default: all volumes]
    #[arg(long)]
    pub(super) path: Option<String>,
    /// Into a new volume of this name
    #[arg(long, value_name = "NEW")]
    pub(super) volume: Option<String>,
    /// Into the volume that it was made of
    #[arg(long)]
    pub(super) in_place: bool,
    /// Stops the containers that have the volume, and starts them again
    #[arg(long, requires = "in_place")]
    pub(super) stop: bool,
    /// Into this directory, which is made where it is missing; what is there stays
    #[arg(long, value_name = "DIR")]
    pub(super) to: Option<PathBuf>,
}

// Arguments of `verify` and `unlock`.
#[derive(Debug, Args)]
pub(super) struct All {
    /// The job
    pub(super) job: String,
    /// All of it
    #[arg(long)]
    pub(super) all: bool,
}

// Arguments of `verified`.
#[derive(Debug, Args)]
pub(super) struct Verified {
    /// The job
    pub(super) job: String,
    /// How long ago the drill may be, e.g. `24h`, `7d`
    #[arg(long, value_name = "TIME", default_value = "24h")]
    pub(super) within: String,
}

// Arguments of `prune`.
#[derive(Debug, Args)]
pub(super) struct Prune {
    /// The job
    pub(super) job: String,
    /// Says what would go, and removes nothing
    #[arg(long)]
    pub(super) dry_run: bool,
}
