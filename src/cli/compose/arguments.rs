//! Arguments of `compose` and its commands, those of docker compose.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::{
    attach, build, commit, cp, events, exec, export, images, lifecycle, logs, ls, port, ps, pull,
    push, rm, run, scale, stats, top, version, volumes, wait,
};

// Arguments of `compose`.
#[derive(Debug, Args)]
#[command(args_override_self = true)]
#[expect(clippy::struct_excessive_bools, reason = "flags")]
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
    /// When to print colors and control characters
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    pub(super) ansi: Ansi,
    /// How to tell what is being done
    #[arg(long, value_name = "FORM", default_value = "auto")]
    pub(super) progress: ProgressForm,
    /// How many calls at once; -1 is no limit
    #[arg(long, value_name = "N", default_value_t = -1, allow_hyphen_values = true)]
    pub(super) parallel: i32,
    /// Shows what would be done
    #[arg(long, global = true)]
    pub(super) dry_run: bool,
    /// Names of containers and images with underscores, as docker-compose 1 made them
    #[arg(long)]
    pub(super) compatibility: bool,
    /// As `--project-directory`, for old scripts
    #[arg(long, hide = true, value_name = "DIR", conflicts_with = "project_directory")]
    pub(super) workdir: Option<PathBuf>,
    /// Address of the Engine, over `DOCKER_HOST`
    #[arg(short = 'H', long, hide = true, value_name = "ADDRESS")]
    pub(super) host: Option<String>,
    /// Context of Docker's client, over the current one
    #[arg(short = 'c', long, hide = true, value_name = "NAME")]
    pub(super) context: Option<String>,
    /// Accepted for old scripts
    #[arg(short = 'D', long, hide = true)]
    pub(super) debug: bool,
    /// Accepted for old scripts
    #[arg(short = 'l', long, hide = true, value_name = "LEVEL")]
    pub(super) log_level: Option<String>,
    /// As `--ansi never`, for old scripts
    #[arg(long, hide = true)]
    pub(super) no_ansi: bool,
    /// Prints the version
    #[arg(short = 'v', long)]
    pub(super) version: bool,
    /// Accepted for old scripts
    #[arg(long, hide = true)]
    pub(super) verbose: bool,
    /// What to do.
    #[command(subcommand)]
    pub(super) command: Option<Command>,
}

/// `--ansi`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Ansi {
    /// Never.
    Never,
    /// Always.
    Always,
    /// On a terminal.
    Auto,
}

/// `--progress`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum ProgressForm {
    /// What suits where it is printed.
    Auto,
    /// For people.
    Tty,
    /// One line a step.
    Plain,
    /// One JSON object a step.
    Json,
    /// Nothing.
    Quiet,
}

// What `compose` does.
#[derive(Debug, Subcommand)]
#[command(defer = true)]
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
    /// Creates what is missing or changed and starts nothing
    #[command(after_help = "Examples:\n  roadstead compose create\n  \
                            roadstead compose create --scale web=3 web")]
    Create(Create),
    /// Lists the project's containers
    #[command(after_help = "Examples:\n  roadstead compose ps\n  \
                            roadstead compose -p hello ps --all --format json\n  \
                            roadstead compose ps --format '{{.Name}} {{.Status}}' --status running")]
    Ps(ps::Ps),
    /// Lists projects
    #[command(after_help = "Examples:\n  roadstead compose ls\n  \
                            roadstead compose ls --all --format json")]
    Ls(ls::Ls),
    /// Stops services, dependents first; their containers stay
    #[command(after_help = "Examples:\n  roadstead compose stop\n  \
                            roadstead compose -p hello stop -t 30 web")]
    Stop(lifecycle::Stop),
    /// Starts the containers of services, what they depend on first
    #[command(after_help = "Examples:\n  roadstead compose start\n  \
                            roadstead compose start --wait web")]
    Start(lifecycle::Start),
    /// Restarts the containers of services
    #[command(after_help = "Examples:\n  roadstead compose restart\n  \
                            roadstead compose restart -t 5 --no-deps web")]
    Restart(lifecycle::Restart),
    /// Freezes the processes of services
    #[command(after_help = "Examples:\n  roadstead compose pause web")]
    Pause(lifecycle::Services),
    /// Lets frozen processes run again
    #[command(after_help = "Examples:\n  roadstead compose unpause web")]
    Unpause(lifecycle::Services),
    /// Sends a signal to the containers of services
    #[command(after_help = "Examples:\n  roadstead compose kill\n  \
                            roadstead compose kill -s HUP web")]
    Kill(lifecycle::Kill),
    /// Removes stopped containers
    #[command(after_help = "Examples:\n  roadstead compose rm -f\n  \
                            roadstead compose rm -fsv web    stops it first; its anonymous volumes go, too")]
    Rm(rm::Rm),
    /// Prints what containers wrote
    #[command(after_help = "Examples:\n  roadstead compose logs -f\n  \
                            roadstead compose logs --tail 20 --since 10m web db")]
    Logs(logs::Logs),
    /// Runs a command in a running container
    #[command(after_help = "Examples:\n  roadstead compose exec web sh\n  \
                            roadstead compose exec -T db pg_dump app > app.sql\n\n\
                            Exit code: that of the command.")]
    Exec(Box<exec::Exec>),
    /// Runs a command in a new container of a service
    #[command(after_help = "Examples:\n  roadstead compose run --rm web ./manage.py migrate\n  \
                            roadstead compose run --rm --no-deps -e DEBUG=1 web sh\n\n\
                            Exit code: that of the command.")]
    Run(Box<run::Run>),
    /// Copies files between a container and here; `-` is a tar archive on stdin or stdout
    #[command(after_help = "Examples:\n  roadstead compose cp web:/etc/nginx ./nginx\n  \
                            roadstead compose cp page.html web:/www/\n  \
                            roadstead compose cp web:/www - | tar -t")]
    Cp(cp::Cp),
    /// Lists the processes in containers
    #[command(after_help = "Examples:\n  roadstead compose top\n  roadstead compose top web")]
    Top(top::Top),
    /// Prints where a port of a service is published
    #[command(after_help = "Examples:\n  roadstead compose port web 80\n  \
                            roadstead compose port --protocol udp --index 2 dns 53")]
    Port(port::Port),
    /// Lists the images of containers
    #[command(after_help = "Examples:\n  roadstead compose images\n  \
                            roadstead compose images --format json web")]
    Images(images::Images),
    /// Builds the images of services
    #[command(after_help = "Examples:\n  roadstead compose build\n  \
                            roadstead compose build --pull --no-cache web\n  \
                            roadstead compose build --build-arg VERSION=2 --with-dependencies web")]
    Build(build::Build),
    /// Pulls the images of services
    #[command(after_help = "Examples:\n  roadstead compose pull\n  \
                            roadstead compose pull --policy missing --include-deps web")]
    Pull(pull::Pull),
    /// Pushes the images that services build, under all their names
    #[command(after_help = "Examples:\n  roadstead compose push\n  \
                            roadstead compose push --include-deps web")]
    Push(push::Push),
    /// Lists the project's volumes
    #[command(after_help = "Examples:\n  roadstead compose volumes\n  \
                            roadstead compose volumes --format json db")]
    Volumes(volumes::Volumes),
    /// Writes the file system of a container as a tar archive
    #[command(after_help = "Examples:\n  roadstead compose export -o web.tar web\n  \
                            roadstead compose export web | tar -t")]
    Export(export::Export),
    /// Makes an image of what a container has become
    #[command(
        after_help = "Examples:\n  roadstead compose commit -m 'patched by hand' web web:patched"
    )]
    Commit(commit::Commit),
    /// Sets how many containers services have
    #[command(after_help = "Examples:\n  roadstead compose scale web=3 worker=0")]
    Scale(scale::Scale),
    /// Waits until containers of services end
    #[command(after_help = "Examples:\n  roadstead compose wait migrate\n\n\
                            Exit code: that of the container that ended last.")]
    Wait(wait::Wait),
    /// Prints what happens to the project's containers
    #[command(after_help = "Examples:\n  roadstead compose events\n  \
                            roadstead compose events --json web")]
    Events(events::Events),
    /// Connects to the main process of a container
    #[command(after_help = "Examples:\n  roadstead compose attach web\n\n\
                            Ctrl-P Ctrl-Q leaves it, where it has a terminal.")]
    Attach(attach::Attach),
    /// Shows what containers use
    #[command(after_help = "Examples:\n  roadstead compose stats\n  \
                            roadstead compose stats --no-stream --format json")]
    Stats(stats::Stats),
    /// Prints the version
    #[command(after_help = "Examples:\n  roadstead compose version --short")]
    Version(version::Version),
    /// Stops and removes the project's containers and networks
    #[command(after_help = "Examples:\n  roadstead compose down\n  \
                            roadstead compose -p hello down\n  \
                            roadstead compose down --volumes    the data, too\n  \
                            roadstead compose down --rmi local  built images, too")]
    Down(Down),
}

// Arguments of `config`.
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
    #[arg(long)]
    pub(super) services: bool,
    /// Prints the names of volumes
    #[arg(long)]
    pub(super) volumes: bool,
    /// Prints the names of networks
    #[arg(long)]
    pub(super) networks: bool,
    /// Prints the names of models
    #[arg(long)]
    pub(super) models: bool,
    /// Prints the images
    #[arg(long)]
    pub(super) images: bool,
    /// Prints the profiles
    #[arg(long)]
    pub(super) profiles: bool,
    /// Prints the hashes of services; `*` for all
    #[arg(long, value_name = "SERVICES")]
    pub(super) hash: Option<String>,
    /// Prints the variables that are there for interpolation
    #[arg(long)]
    pub(super) environment: bool,
    /// Prints the variables that the files use, and their defaults
    #[arg(long)]
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
    /// Pins images to the digests that their registries have
    #[arg(long)]
    pub(super) resolve_image_digests: bool,
    /// Prints only the images, pinned: a file to lay over the project's own
    #[arg(long)]
    pub(super) lock_image_digests: bool,
    /// Only these services and what they depend on
    #[arg(value_name = "SERVICE")]
    pub(super) names: Vec<String>,
}

impl Config {
    /// Whether images are printed with digests.
    pub(super) fn pins(&self) -> bool {
        self.resolve_image_digests || self.lock_image_digests
    }

    /// What is printed: of several the first that `docker compose` looks for.
    pub(super) fn what(&self) -> What<'_> {
        let flags = [
            (self.services, What::Services),
            (self.volumes, What::Volumes),
            (self.networks, What::Networks),
            (self.models, What::Models),
        ];
        let later = [
            (self.profiles, What::Profiles),
            (self.images, What::Images),
            (self.variables, What::Variables),
            (self.quiet, What::Nothing),
            (self.environment, What::Environment),
        ];
        let hash = self.hash.as_deref().filter(|wanted| !wanted.is_empty());
        let hash = hash.map(|wanted| (true, What::Hashes(wanted)));
        let mut all = flags.into_iter().chain(hash).chain(later);
        all.find(|(is_asked, _)| *is_asked).map_or(What::Project, |(_, what)| what)
    }
}

/// What `config` prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What<'a> {
    /// Names of services.
    Services,
    /// Names of volumes.
    Volumes,
    /// Names of networks.
    Networks,
    /// Names of models.
    Models,
    /// Hashes of these services.
    Hashes(&'a str),
    /// Profiles.
    Profiles,
    /// Images.
    Images,
    /// Variables that the files use.
    Variables,
    /// Nothing: the project is only checked.
    Nothing,
    /// Variables that are there.
    Environment,
    /// The project.
    Project,
}

// Arguments of `up`.
#[derive(Debug, Args)]
pub(super) struct Up {
    /// Returns once containers run
    #[arg(short, long)]
    pub(super) detach: bool,
    #[command(flatten)]
    pub(super) changes: Changes,
    /// Creates containers and starts none
    #[arg(long, conflicts_with = "wait")]
    pub(super) no_start: bool,
    /// Returns once containers are healthy; implies `--detach`
    #[arg(long)]
    pub(super) wait: bool,
    /// Longest time to wait, in seconds [default: no limit]
    #[arg(long, value_name = "SECONDS")]
    pub(super) wait_timeout: Option<i64>,
    #[command(flatten)]
    pub(super) looking_on: LookingOn,
}

// How `up` without `--detach` looks on.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "flags")]
pub(super) struct LookingOn {
    /// Stops all containers once one ended; its exit code is ours
    #[arg(long, conflicts_with_all = ["detach", "wait", "abort_on_container_failure"])]
    pub(super) abort_on_container_exit: bool,
    /// Stops all containers once one failed; its exit code is ours
    #[arg(long, conflicts_with = "detach")]
    pub(super) abort_on_container_failure: bool,
    /// Ends with the exit code of this service's container; implies `--abort-on-container-exit`
    #[arg(long, value_name = "SERVICE", conflicts_with_all = ["detach", "wait"])]
    pub(super) exit_code_from: Option<String>,
    /// Prints the output of these services only
    #[arg(long, value_name = "SERVICE",
          conflicts_with_all = ["detach", "wait", "attach_dependencies"])]
    pub(super) attach: Vec<String>,
    /// Does not print the output of these services
    #[arg(long, value_name = "SERVICE")]
    pub(super) no_attach: Vec<String>,
    /// Prints the output of what the named services depend on, too
    #[arg(long, conflicts_with_all = ["detach", "wait"])]
    pub(super) attach_dependencies: bool,
    /// Without colors
    #[arg(long)]
    pub(super) no_color: bool,
    /// Without the names of containers
    #[arg(long)]
    pub(super) no_log_prefix: bool,
    /// With the time of each line
    #[arg(long)]
    pub(super) timestamps: bool,
    /// Accepted for old scripts: there is no menu of keys
    #[arg(
        long, hide = true, num_args = 0..=1, require_equals = true, value_name = "BOOL",
        default_value_t = false, default_missing_value = "true", action = clap::ArgAction::Set
    )]
    pub(super) menu: bool,
    /// Refused: files are followed by jobs, see `roadstead serve`
    #[arg(short, long, hide = true)]
    pub(super) watch: bool,
}

// What `up` and `create` may change, and how.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "flags")]
pub(super) struct Changes {
    /// Builds images first
    #[arg(long, conflicts_with = "no_build")]
    pub(super) build: bool,
    /// Builds no image, even if it is missing
    #[arg(long)]
    pub(super) no_build: bool,
    /// When to pull images: always, missing, never, build, or as the files say
    #[arg(long, value_name = "WHEN", default_value = "policy",
          value_parser = ["always", "missing", "never", "build", "policy"])]
    pub(super) pull: String,
    /// Says nothing about what is built
    #[arg(long)]
    pub(super) quiet_build: bool,
    /// Says nothing about what is pulled
    #[arg(long)]
    pub(super) quiet_pull: bool,
    /// Replaces containers that are not changed, too
    #[arg(long, conflicts_with = "no_recreate")]
    pub(super) force_recreate: bool,
    /// Replaces no container, changed or not
    #[arg(long)]
    pub(super) no_recreate: bool,
    /// Leaves alone what the services depend on
    #[arg(long)]
    pub(super) no_deps: bool,
    /// Replaces what the services depend on, too
    #[arg(long, conflicts_with_all = ["no_deps", "no_recreate"])]
    pub(super) always_recreate_deps: bool,
    /// Gives replaced containers new anonymous volumes; the old data stays behind
    #[arg(short = 'V', long, conflicts_with = "no_recreate")]
    pub(super) renew_anon_volumes: bool,
    /// Removes containers of services that are gone
    #[arg(long)]
    pub(super) remove_orphans: bool,
    /// How many containers a service has; may be given several times
    #[arg(long, value_name = "SERVICE=NUMBER", value_parser = scale)]
    pub(super) scale: Vec<(String, u32)>,
    /// Longest wait for a container to stop, in seconds
    #[arg(short, long, value_name = "SECONDS")]
    pub(super) timeout: Option<i64>,
    /// Says yes to every question, e.g. to make a volume anew
    #[arg(short = 'y', long)]
    pub(super) yes: bool,
    /// Only these services and what they depend on
    pub(super) services: Vec<String>,
}

fn scale(text: &str) -> Result<(String, u32), String> {
    let parsed = text.split_once('=').and_then(|(name, count)| {
        Some((name.to_owned(), count.parse().ok()?)).filter(|_| !name.is_empty())
    });
    parsed.ok_or_else(|| "expected SERVICE=NUMBER, e.g. `web=3`".to_owned())
}

// Arguments of `create`.
#[derive(Debug, Args)]
pub(super) struct Create {
    #[command(flatten)]
    pub(super) changes: Changes,
}

// Arguments of `down`.
#[derive(Debug, Args)]
pub(super) struct Down {
    /// Removes named and anonymous volumes, too: their data is gone
    #[arg(short, long, alias = "volume")]
    pub(super) volumes: bool,
    /// Removes containers of services that are gone, too
    #[arg(long)]
    pub(super) remove_orphans: bool,
    /// Removes images, too: `all`, or `local` for those that were built and have no name of their own
    #[arg(long, value_name = "WHICH", value_parser = ["local", "all"])]
    pub(super) rmi: Option<String>,
    /// Longest wait for a container to stop, in seconds
    #[arg(short, long, value_name = "SECONDS")]
    pub(super) timeout: Option<i64>,
    /// Only these services; networks and volumes stay
    pub(super) services: Vec<String>,
}
