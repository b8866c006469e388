//! The command line, as clap reads it.

use std::path::PathBuf;

use chrono::{DateTime, Utc};
use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;

use super::backup::Backup;
use super::compose::Compose;
use super::explain::{Explain, Tried};
use super::simulate::Simulate;
use super::transfer::{Export, Import};
use crate::job::schedule::{Dialect, parse_timezone};

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
    /// File of settings, as `env.local.example` [default: `$ROADSTEAD_ENV_FILE`, else
    /// `/etc/roadstead/env.local`, if it exists]; with `compose`: file of variables, may be given
    /// several times [default: `.env`]
    #[arg(long, global = true, value_name = "FILE")]
    pub env_file: Vec<PathBuf>,
    /// Prints JSON for scripts
    #[arg(long, global = true)]
    pub json: bool,
    /// What to do.
    #[command(subcommand)]
    pub(super) command: Command,
}

/// What to do.
// A command is put together only when it is called. Doc comments on its struct of arguments would then
// come later than those here, and take their place in its help.
#[derive(Debug, Subcommand)]
#[command(defer = true)]
pub(super) enum Command {
    /// Serves all jobs until stopped; the container's default
    #[command(
        after_help = "Examples:\n  roadstead serve\n  roadstead serve --env-file ./env.local\n\n\
                      SIGTERM ends it: running work gets until its next step boundary or \
                      AUTODEPLOY_SHUTDOWN_GRACE, a second signal ends it at once. SIGHUP reads the \
                      configuration anew."
    )]
    Serve,
    /// Validates env.local and all job files, touches nothing
    #[command(
        after_help = "Examples:\n  roadstead check\n  roadstead check --env-file ./env.local\n  \
                      docker exec roadstead /roadstead check\n\n\
                      Exit code 0 when all is right, 2 when not. A misspelled AUTODEPLOY_ variable \
                      is an error here and a warning in serve."
    )]
    Check,
    /// Shows for each job what is applied, whether it is held up, and what comes next
    #[command(after_help = "Examples:\n  roadstead status\n  \
                            roadstead status --json | jq '.[] | select(.quarantine)'")]
    Status,
    /// Shows what a deploy would change, and why; changes nothing
    #[command(after_help = "Examples:\n  roadstead plan\n  roadstead plan web --json\n\n\
                      Exit code 0 when there is nothing to do, 3 when there are changes, \
                      1 when no plan can be made.")]
    Plan {
        /// The deploy job [default: the only one, or `autodeploy`]
        job: Option<String>,
    },
    /// Deploys now and waits; also tries a revision again that failed before
    #[command(after_help = "Examples:\n  roadstead deploy\n  roadstead deploy web\n\n\
                            Exit code 0 when the project is as its sources say, 1 when not.")]
    Deploy {
        /// The deploy job [default: the only one, or `autodeploy`]
        job: Option<String>,
    },
    /// Runs a job now, waits, and exits with its exit code
    #[command(after_help = "Examples:\n  roadstead run report\n  roadstead run web --json\n  \
                            roadstead run backup --no-wait\n\n\
                            Exit code: that of the container for a `run` job; for others 0 when \
                            it is done, 1 when not. With --no-wait 0 once it is queued. A paused job \
                            runs, too: a person asked.")]
    Run(Run),
    /// Lists all jobs, with their next slot, their last run, and whether they are paused
    #[command(
        after_help = "Examples:\n  roadstead jobs\n  roadstead jobs --json | jq '.[].origin'\n  \
                            roadstead jobs --json | jq '.[] | select(.paused)'"
    )]
    Jobs,
    /// Pauses jobs: their slots are recorded as skipped; what runs goes on
    #[command(
        after_help = "Examples:\n  roadstead pause backup --reason 'disk is being changed'\n  \
                            roadstead pause web db\n  roadstead pause --all\n\n\
                            A pause outlives restarts, and holds until `roadstead resume`. --all \
                            pauses jobs that come later, too, until `resume --all`. Exit code 0 when \
                            they are paused, 2 for a job that is not there."
    )]
    Pause(Pause),
    /// Ends pauses
    #[command(after_help = "Examples:\n  roadstead resume backup\n  roadstead resume --all\n\n\
                            Of the slots that passed in the meantime the newest runs where the job's \
                            `start_deadline` allows it. --all ends the pause of \
                            all jobs and those of single ones. Exit code 0 also when nothing was \
                            paused, 1 for one job where all are paused, 2 for a job that is not \
                            there.")]
    Resume(Resume),
    /// Ends a run, or all runs of a job, also those that wait
    #[command(after_help = "Examples:\n  roadstead cancel 42\n  roadstead cancel backup\n\n\
                            A container gets its stop signal, its grace, and is killed then; a deploy \
                            stops at its next step. Exit code 0 when the end is asked for, 1 when \
                            there is nothing to end.")]
    Cancel {
        /// The number of a run, or a job
        what: String,
    },
    /// Calls a webhook: sets off the jobs that wait for it
    #[command(after_help = "Examples:\n  roadstead event data-arrived\n\n\
                            Jobs wait for it by `on: [{webhook: data-arrived}]`. Exit code 0 when \
                            some job does, 1 when none.")]
    Event {
        /// Name of the webhook
        name: String,
    },
    /// Shows the coming slots of jobs, or of a schedule that is tried out
    #[command(
        after_help = "Examples:\n  roadstead next\n  roadstead next autodeploy --count 3\n  \
                            roadstead next --schedule '30 2 * * 1-5' --timezone America/Toronto\n  \
                            roadstead next --schedule @daily --after 2026-03-01T00:00:00Z --json"
    )]
    Next(Next),
    /// Says in plain words when a job runs, and what to know about its slots
    #[command(after_help = "Examples:\n  roadstead explain autodeploy\n  \
                            roadstead explain --schedule '30 2 * * *' --timezone America/Toronto\n  \
                            roadstead explain --schedule '0 20 * * *' --dialect ofelia-0.3")]
    Explain(Explain),
    /// Shows every run that would start in a stretch of time, and starts none
    #[command(after_help = "Examples:\n  roadstead simulate\n  \
                            roadstead simulate web report --to 2026-04-01T00:00:00Z\n  \
                            roadstead simulate --from 2026-03-07T00:00:00-05:00 --to \
                            2026-03-09T00:00:00-05:00 \\\n    --down \
                            2026-03-07T20:00:00-05:00..2026-03-08T07:30:00-05:00")]
    Simulate(Simulate),
    /// Lists runs, newest first, or shows one with all that is known of it
    #[command(after_help = "Examples:\n  roadstead runs\n  roadstead runs web -n 5\n  \
                            roadstead runs 42\n  roadstead runs --state failed --state lost\n  \
                            roadstead runs --job backup --since 2d --trigger schedule\n  \
                            roadstead runs --kind http --since 2026-03-01T00:00:00Z --json\n\n\
                            States: queued, starting, running, succeeded, unchanged, skipped, missed, \
                            blocked, failed, timed_out, cancelled, lost.")]
    Runs(Runs),
    /// Prints logs of jobs, or the story of a run with all its output
    #[command(
        after_help = "Examples:\n  roadstead logs -f autodeploy\n  roadstead logs web -n 1000\n  \
                            roadstead logs web backup --since 2h\n  roadstead logs 42\n  \
                            roadstead logs -f 42\n  roadstead logs --output 42 > report.txt\n\n\
                            With --json each line is one object; lines that are text are {\"line\": …}. \
                            Of a run, `err` is in color on a terminal."
    )]
    Logs(Logs),
    /// Says whether the daemon lives and reaches the Engine; for HEALTHCHECK
    #[command(after_help = "Examples:\n  docker exec roadstead /roadstead health\n\n\
                            Exit code 0 when healthy, 1 when not.")]
    Health,
    /// Lists, restores and looks after what jobs of kind `backup` keep
    #[command(
        arg_required_else_help = true,
        after_help = "Examples:\n  roadstead backup list data\n  roadstead backup restore data\n  \
                      roadstead backup verify data --all\n  \
                      roadstead backup verified data --within 48h"
    )]
    Backup(Box<Backup>),
    /// Works on a Compose project as docker compose does, without job, git or history
    #[command(after_help = "Examples:\n  roadstead compose config\n  \
                      roadstead compose -f compose.yml -f compose.prod.yml up -d\n  \
                      roadstead compose -p hello ps\n  roadstead compose logs -f web\n  \
                      roadstead compose exec web sh\n  roadstead compose down\n\n\
                      Scripts written for docker compose run with DOCKER_COMPOSE=\"roadstead compose\".")]
    Compose(Box<Compose>),
    /// Writes the jobs of another scheduler as job files
    #[command(
        after_help = "Examples:\n  roadstead import --from ofelia /etc/ofelia/config.ini --dry-run\n  \
                      curl -s http://dkron:8080/v1/jobs | roadstead import --from dkron -\n  \
                      crontab -l | roadstead import --from crontab - --image alpine:3.22\n\n\
                      One line a job: created, updated, unchanged or refused, with the reason. Exit \
                      code 1 if any was refused."
    )]
    Import(Import),
    /// Prints jobs as job files, or as Dkron's JSON
    #[command(
        after_help = "Examples:\n  roadstead export > jobs.yml\n  roadstead export --format dkron web\n\n\
                      Variables are printed as they were written, and not their values; a job that \
                      has some goes into Dkron's JSON, which knows none, only --with-secrets. Exit \
                      code 1 if a job cannot be expressed."
    )]
    Export(Export),
    /// Works on a repository of backups as its standard input says; started by the daemon
    #[command(hide = true)]
    BackupWorker,
    /// Prints the JSON Schema of job files
    #[command(after_help = "Examples:\n  roadstead schema > jobs.schema.json")]
    Schema,
    /// Prints a completion script
    #[command(after_help = "Examples:\n  \
        roadstead completions bash > /etc/bash_completion.d/roadstead\n  \
        roadstead completions zsh > ~/.zfunc/_roadstead")]
    Completions {
        /// The shell
        shell: Shell,
    },
}

// Arguments of `next`.
#[derive(Debug, Args)]
pub(super) struct Next {
    /// The job [default: all]
    #[arg(conflicts_with = "schedule")]
    pub job: Option<String>,
    #[command(flatten)]
    pub tried: Tried,
    /// Slots after this time, RFC 3339 [default: now]
    #[arg(long, value_name = "TIME", value_parser = instant)]
    pub after: Option<DateTime<Utc>>,
    /// How many slots
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pub count: u16,
}

// Arguments of `run`.
#[derive(Debug, Args)]
pub(super) struct Run {
    /// The job
    pub job: String,
    /// Waits for its end, which is the default
    #[arg(long, conflicts_with = "no_wait")]
    pub wait: bool,
    /// Returns once it is queued; needs a `roadstead serve`
    #[arg(long)]
    pub no_wait: bool,
}

// Arguments of `pause`.
#[derive(Debug, Args)]
pub(super) struct Pause {
    /// The jobs
    #[arg(value_name = "JOB", required_unless_present = "all", conflicts_with = "all")]
    pub jobs: Vec<String>,
    /// All jobs, also those that come later
    #[arg(long)]
    pub all: bool,
    /// Why, for those who ask later
    #[arg(long, default_value = "", hide_default_value = true)]
    pub reason: String,
}

// Arguments of `resume`.
#[derive(Debug, Args)]
pub(super) struct Resume {
    /// The jobs
    #[arg(value_name = "JOB", required_unless_present = "all", conflicts_with = "all")]
    pub jobs: Vec<String>,
    /// All that are paused
    #[arg(long)]
    pub all: bool,
}

// Arguments of `runs`.
#[derive(Debug, Args)]
pub(super) struct Runs {
    /// A job, or the number of a run
    #[arg(conflicts_with = "job")]
    pub what: Option<String>,
    /// Only runs of this job
    #[arg(long)]
    pub job: Option<String>,
    /// Only runs in this state, e.g. failed
    #[arg(long = "state", visible_alias = "outcome", value_name = "STATE")]
    pub state: Vec<String>,
    /// Only runs with this trigger, e.g. schedule, manual, after
    #[arg(long)]
    pub trigger: Vec<String>,
    /// Only runs of jobs of this kind, e.g. deploy, run, http
    #[arg(long)]
    pub kind: Vec<String>,
    /// Only runs that started at or after this time, RFC 3339 or so long ago, e.g. 2h, 3d
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// Only runs that started before this time
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
    /// How many runs
    #[arg(short = 'n', long, default_value_t = 20)]
    pub limit: usize,
}

// Arguments of `logs`.
#[derive(Debug, Args)]
pub(super) struct Logs {
    /// Jobs, or numbers of runs [default: roadstead's own log]
    pub what: Vec<String>,
    /// Follows what is written; of a run, to its end
    #[arg(short, long)]
    pub follow: bool,
    /// How many lines [default: 100; of a run, or with --since, all]
    #[arg(short = 'n', long, visible_alias = "tail")]
    pub lines: Option<usize>,
    /// Only lines since a time, or since so long ago, as `2h`
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// Only what processes wrote; of a run, as they wrote it
    #[arg(long)]
    pub output: bool,
}

pub(super) fn time_zone(text: &str) -> Result<chrono_tz::Tz, String> {
    parse_timezone(text)
}

pub(super) fn dialect(text: &str) -> Result<Dialect, String> {
    let known = Dialect::ALL.iter().find(|(name, _)| *name == text);
    known.map(|(_, dialect)| *dialect).ok_or_else(|| {
        let names = Dialect::ALL.map(|(name, _)| name).join(", ");
        format!("expected one of {names}")
    })
}

pub(super) fn instant(text: &str) -> Result<DateTime<Utc>, String> {
    let time = DateTime::parse_from_rfc3339(text);
    let wanted = "expected a time with its offset, as `2026-03-01T00:00:00Z` or \
                  `2026-03-01T00:00:00-05:00`";
    time.map(|time| time.to_utc()).map_err(|_| wanted.to_owned())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;
    use clap::builder::Command as Parsed;

    use super::*;

    /// What the list of its parent says of each command, and what its own help says once it is called.
    fn expect_the_same_words(parent: &Parsed) {
        for listed in parent.get_subcommands() {
            let mut called = listed.clone();
            called.build();
            let (name, words) = (called.get_name().to_owned(), called.get_about());
            assert!(words.is_some(), "`{name}` says nothing of itself");
            assert_eq!(words.map(ToString::to_string), listed.get_about().map(ToString::to_string));
            assert_eq!(called.get_long_about().map(ToString::to_string), None, "{name}");
        }
    }

    #[test]
    fn the_help_of_a_command_begins_as_the_list_has_it() {
        let root = Arguments::command();
        expect_the_same_words(&root);
        expect_the_same_words(&Compose::augment_args(Parsed::new("compose")));
        expect_the_same_words(&Backup::augment_args(Parsed::new("backup")));
        let mut whole = root;
        whole.build();
        assert!(whole.find_subcommand("compose").is_some_and(Parsed::has_subcommands));
    }
}
