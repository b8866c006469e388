//! `compose up` and `create`.

mod attached;
mod volumes;

use std::collections::BTreeSet;
use std::io::Write;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::arguments::{Changes, Create, Up};
use super::build::{self, build_missing};
use super::progress::{Progress, Standing};
use super::{Session, default_platform, dialect, flag, load_project_telling, registries};
use crate::apply::{self, Failure, Journal, Left, Materials, Proof, Waiting};
use crate::cli::output::print;
use crate::cli::setup::now;
use crate::cli::{FAILED, Usage};
use crate::compose::Request;
use crate::compose::model::{Project, PullPolicy};
use crate::docker::Engine;
use crate::plan::observed::{Container, Observed, State};
use crate::plan::{self, Desired, Finished, Hashes, Options, Plan, Preparation, Recreate, order};
use crate::registry::ClientConfig;

/// Exit code of what somebody interrupted, as shells and docker compose have it.
pub(super) const INTERRUPTED: u8 = 130;
/// Longest wait where nobody sets a limit, as good as none.
pub(super) const NO_LIMIT: Duration = Duration::from_hours(365 * 24);

/// The project as the host sees it, and what the Engine has of it.
#[derive(Clone)]
pub(super) struct Found {
    pub(super) project: Project,
    pub(super) hashes: Hashes,
    pub(super) materials: Materials,
    pub(super) observed: Observed,
}

/// How changes are carried out.
#[derive(Clone, Copy, Debug)]
pub(super) struct Manner {
    pub(super) wait: Waiting,
    pub(super) start: bool,
    pub(super) stop_timeout: Option<i32>,
    /// Who is told of it.
    pub(super) progress: Progress,
}

impl Manner {
    /// Starts what was made, without waiting for its health.
    pub(super) fn starting(progress: Progress) -> Self {
        let wait = waiting(NO_LIMIT, false);
        Self { wait, start: true, stop_timeout: None, progress }
    }
}

/// Who waits for health is told that a container without a health check runs only once it has stayed up
/// for so long: the pause after which docker compose looks for the first time.
const STEADY: Duration = Duration::from_millis(500);

fn waiting(within: Duration, healthy: bool) -> Waiting {
    let stable_for = if healthy { STEADY } else { Duration::ZERO };
    let proof = if healthy { Proof::Well } else { Proof::WellInPlace };
    Waiting { within, stable_for, healthy, proof }
}

/// Seconds to wait; none and 0 are no limit.
fn within(seconds: Option<i64>) -> Duration {
    let seconds = seconds.and_then(|it| u64::try_from(it).ok()).filter(|it| *it > 0);
    seconds.map_or(NO_LIMIT, |it| Duration::from_secs(it).min(NO_LIMIT))
}

/// Makes the Engine have what the project says.
pub(super) async fn up(session: &Session, arguments: &Up) -> Result<u8> {
    if arguments.looking_on.watch {
        bail!(Usage(
            "`up --watch` is not there: let a job follow the repository (`roadstead serve`), or run \
             `up -d --build` after a change"
                .to_owned()
        ));
    }
    let wait = waiting(within(arguments.wait_timeout), arguments.wait);
    let start = !arguments.no_start;
    if arguments.detach || arguments.wait || arguments.no_start || session.dry_run {
        return converge(session, &arguments.changes, (wait, start)).await;
    }
    let ready = prepare(session, &arguments.changes, start, Finished::Awaited).await?;
    let wait = Waiting { proof: Proof::Started, ..wait };
    let (stop_timeout, progress) = (timeout(&arguments.changes), session.progress);
    let manner = Manner { wait, start, stop_timeout, progress };
    // Boxed: it keeps much across its waits.
    Box::pin(attached::run(session, arguments, &ready, manner)).await
}

/// Makes the Engine have what the project says, and starts nothing.
pub(super) async fn create(session: &Session, arguments: &Create) -> Result<u8> {
    converge(session, &arguments.changes, (waiting(NO_LIMIT, false), false)).await
}

/// A plan whose images are there.
struct Ready {
    found: Found,
    plan: Plan,
}

async fn converge(
    session: &Session,
    changes: &Changes,
    (wait, start): (Waiting, bool),
) -> Result<u8> {
    let Session { engine, output, .. } = session;
    let Ready { found, plan } = prepare(session, changes, start, Finished::LooksDone).await?;
    if session.dry_run {
        print(|to| {
            if output.json {
                return writeln!(to, "{:#}", json!(plan));
            }
            writeln!(to, "{}: {}", plan.project, plan.summary())?;
            plan.lines().iter().try_for_each(|line| writeln!(to, "  {line}"))
        })?;
        return Ok(0);
    }
    let (stop_timeout, progress) = (timeout(changes), session.progress);
    let manner = Manner { wait, start, stop_timeout, progress };
    if start {
        tell_untouched(progress, &found, &plan, &changes.services);
    }
    if plan.is_empty() {
        tracing::info!("{}: nothing to do, {}", plan.project, plan.summary());
    } else if let Err(failure) = apply(engine, manner, &found, &plan).await? {
        return report(progress, &failure);
    }
    if output.json {
        print(|to| writeln!(to, "{:#}", json!(plan)))?;
    }
    Ok(0)
}

fn timeout(changes: &Changes) -> Option<i32> {
    changes.timeout.map(super::stop_timeout)
}

/// Looks, builds and pulls; in a dry run it only looks. Nothing that runs is touched, but for
/// containers whose volume is made new.
async fn prepare(
    session: &Session,
    changes: &Changes,
    start: bool,
    finished: Finished,
) -> Result<Ready> {
    let Session { engine, .. } = session;
    // What is named is on, whatever its profiles, and all else is out of the question.
    let request = &Request { services: changes.services.clone(), ..session.request.clone() };
    let mut found = look(engine, request).await?;
    if found.project.services.is_empty() {
        bail!("no service selected: write some, or activate a profile that has some");
    }
    scale(&mut found.project, &changes.scale)?;
    override_pull(&mut found.project, changes);
    let mut options = options(request, changes, &found.project);
    options.finished = finished;
    if options.remove_orphans && flag(request, "COMPOSE_IGNORE_ORPHANS") {
        bail!(Usage("cannot combine COMPOSE_IGNORE_ORPHANS and --remove-orphans".to_owned()));
    }
    options.due = due(session, &found).await?;
    let make = |found: &Found| {
        let plan = found.plan(&options)?;
        anyhow::Ok(if start { plan } else { plan.without_starts() })
    };
    let mut plan = make(&found)?;
    if !session.dry_run {
        let built = !changes.no_build
            && build_missing(
                session,
                &found,
                (&options.services, &options.due),
                changes.quiet_build,
            )
            .await?;
        if built {
            found.observed.images = engine.images().await?;
            plan = make(&found)?;
        }
        if plan.pulls().next().is_some() {
            pull(session, &found, &plan, changes.quiet_pull).await?;
            found.observed.images = engine.images().await?;
            plan = make(&found)?.without_pulls();
        }
    }
    if volumes::make_way(session, &mut found, changes.yes).await? {
        plan = make(&found)?.without_pulls();
    }
    if flag(request, "COMPOSE_IGNORE_ORPHANS") {
        plan.notes.retain(|note| !note.ends_with("(orphan)"));
    }
    for note in &plan.notes {
        tracing::warn!("{note}");
    }
    Ok(Ready { found, plan })
}

/// Images that are to be pulled although they are there.
pub(super) async fn due(session: &Session, found: &Found) -> Result<BTreeSet<String>> {
    let Found { project, observed, .. } = found;
    let engine = &session.engine;
    let default = default_platform(&session.request);
    let mut due = apply::due_by_age(engine, project, observed, now().timestamp()).await?;
    due.extend(apply::due_by_platform(engine, project, default.as_deref(), observed).await?);
    Ok(due)
}

fn options(request: &Request, changes: &Changes, project: &Project) -> Options {
    let named: BTreeSet<String> = changes.services.iter().cloned().collect();
    // Those that are only depended on are replaced by force where that is asked for, and only they.
    let is_by_force = |service: &String| {
        if named.is_empty() || named.contains(service) {
            changes.force_recreate
        } else {
            changes.always_recreate_deps
        }
    };
    let by_force: BTreeSet<String> =
        project.services.keys().filter(|it| is_by_force(it)).cloned().collect();
    let recreate = match (changes.no_recreate, by_force.is_empty()) {
        (true, _) => Recreate::Never,
        (false, false) => Recreate::Always,
        (false, true) => Recreate::Diverged,
    };
    Options {
        remove_orphans: changes.remove_orphans || flag(request, "COMPOSE_REMOVE_ORPHANS"),
        recreate,
        by_force,
        services: named,
        no_deps: changes.no_deps,
        renew_anonymous_volumes: changes.renew_anon_volumes,
        ..Options::default()
    }
}

fn scale(project: &mut Project, wanted: &[(String, u32)]) -> Result<()> {
    for (name, replicas) in wanted {
        if project.disabled_services.contains(name) {
            bail!(Usage(format!(
                "service `{name}` takes no part: name it, or activate one of its profiles"
            )));
        }
        known_services(project, std::slice::from_ref(name))?;
        let service = project.services.get_mut(name).context("known above")?;
        if service.container_name.is_some() && *replicas > 1 {
            bail!(Usage(format!(
                "service `{name}` has a `container_name`: {replicas} containers cannot share it"
            )));
        }
        service.scale = Some(*replicas);
    }
    Ok(())
}

/// `--pull` and `--build` win over what the files say.
fn override_pull(project: &mut Project, changes: &Changes) {
    let policy = match changes.pull.as_str() {
        _ if changes.build => Some(PullPolicy::Build),
        "always" => Some(PullPolicy::Always),
        "missing" => Some(PullPolicy::Missing),
        "never" => Some(PullPolicy::Never),
        "build" => Some(PullPolicy::Build),
        _ => None,
    };
    let Some(policy) = policy else { return };
    for service in project.services.values_mut() {
        if policy != PullPolicy::Build || service.build.is_some() {
            service.pull_policy = policy.clone();
        }
    }
}

impl Found {
    pub(super) fn plan(&self, options: &Options) -> Result<Plan> {
        let desired = Desired { project: &self.project, hashes: &self.hashes, options };
        Ok(plan::plan(&desired, &self.observed)?)
    }
}

/// Loads the project while the Engine answers. What is wrong with the files is told before what is
/// wrong with the Engine.
pub(super) async fn look(engine: &Engine, request: &Request) -> Result<Found> {
    let (tell, told) = oneshot::channel();
    let given = request.project_name.clone().filter(|name| !name.is_empty());
    let mut observing = JoinSet::new();
    observing.spawn(observe(engine.clone(), given, told));
    let host_paths = engine.host_paths().await;
    let loading = {
        let (request, host) = (request.clone(), engine.host().to_owned());
        tokio::task::spawn_blocking(move || {
            // Nobody listens where the name was given.
            let tell = |name: &str| drop(tell.send(name.to_owned()));
            let project = load_project_telling(&request, tell)?;
            let client = ClientConfig::load(&request.variables)?;
            let read = |path: &str| std::fs::read(path);
            let materials =
                Materials::gather(&project, (&request.variables, client), &host, &read)?;
            let project = host_paths?.translate(project);
            let hashes = Hashes::of(&project, dialect(&request.variables)?);
            let hashes = Hashes { contents: materials.contents(), ..hashes };
            anyhow::Ok((project, materials, hashes))
        })
    };
    let (project, materials, hashes) = loading.await.context("load the project")??;
    let mut observed = observing.join_next().await.context("observe")???;
    engine.mark_stopped(&project.name, &mut observed.containers, now()).await?;
    Ok(Found { project, hashes, materials, observed })
}

/// Observes a project once its name is known: given, or told. To list its containers takes the Engine
/// longest, and goes first; whatever we ask before keeps it, and us, from that.
async fn observe(
    engine: Engine,
    given: Option<String>,
    told: oneshot::Receiver<String>,
) -> Result<Observed> {
    let name = match given {
        Some(name) => name,
        None => told.await.context("the project has no name")?,
    };
    engine.observe(&name).await
}

/// Refuses a name that no service has, with the nearest one.
pub(super) fn known_services(project: &Project, wanted: &[String]) -> Result<()> {
    let Some(unknown) = wanted.iter().find(|name| !project.services.contains_key(*name)) else {
        return Ok(());
    };
    let known = project.services.keys().map(String::as_str);
    let hint = crate::problem::nearest(unknown, known)
        .map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
    bail!(Usage(format!("there is no service `{unknown}`{hint}")))
}

/// Pulls what the plan asks for, with the credentials of Docker's own client.
pub(super) async fn pull(session: &Session, found: &Found, plan: &Plan, quiet: bool) -> Result<()> {
    let progress = if quiet { session.progress.quiet() } else { session.progress };
    for step in plan.pulls() {
        let Preparation::PullImage { image } = step else { continue };
        let mut services = found.project.services.values().filter(|it| it.image == *image);
        let service = services.next().map_or(image.as_str(), |it| it.name.as_str());
        let platform = apply::platform_of(&found.project, image).map(str::to_owned);
        let platform = platform.or_else(|| default_platform(&session.request));
        let client = &found.materials.client;
        let wanted = registries::Wanted { service, image, platform };
        let pulled = registries::pull(session, client, wanted, progress).await;
        let Err(error) = pulled else { continue };
        let mut services = found.project.services.values().filter(|it| it.image == *image);
        let Some(service) = services.find(|it| it.build.is_some()) else { return Err(error) };
        tracing::warn!("{error:#}: it is built instead");
        build::build_one(session, found, service).await?;
    }
    Ok(())
}

/// Carries out the plan; a signal stops it at the next step boundary and puts back what was touched.
pub(super) async fn apply(
    engine: &Engine,
    manner: Manner,
    found: &Found,
    plan: &Plan,
) -> Result<Result<(), Failure>> {
    let cancel = CancellationToken::new();
    let mut work = std::pin::pin!(apply_until(engine, manner, (found, plan), &cancel));
    tokio::select! {
        applied = &mut work => Ok(applied),
        asked = interrupted() => {
            asked?;
            cancel.cancel();
            Ok(work.await)
        }
    }
}

/// Waits until somebody wants an end, by Ctrl-C or SIGTERM. From the first call on, either ends nothing
/// by itself any more.
pub(super) async fn interrupted() -> Result<()> {
    let mut interrupt = signal(SignalKind::interrupt()).context("listen for signals")?;
    let mut terminate = signal(SignalKind::terminate()).context("listen for signals")?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    Ok(())
}

/// Carries out the plan; `cancel` stops it at the next step boundary.
async fn apply_until(
    engine: &Engine,
    manner: Manner,
    (found, plan): (&Found, &Plan),
    cancel: &CancellationToken,
) -> Result<(), Failure> {
    let journal = Journal::none(now).with_onlooker(manner.progress.onlooker());
    let context = apply::Context {
        engine,
        project: &found.project,
        hashes: &found.hashes,
        materials: &found.materials,
        observed: &found.observed,
        revision: "",
        journal: &journal,
        wait: manner.wait,
        start: manner.start,
        stop_timeout: manner.stop_timeout,
        cancel,
        undo: None,
        // What failed when it came up for the first time is there to be looked at.
        keep_new: found.observed.containers.iter().all(Container::is_oneoff),
    };
    apply::apply(&context, plan).await
}

/// Tells a program of those that run already, as docker compose does.
fn tell_untouched(progress: Progress, found: &Found, plan: &Plan, asked: &[String]) {
    if !progress.is_json() {
        return;
    }
    let asked = asked.iter().cloned().collect();
    let chosen = order::selected(&found.project, &asked, true);
    for it in found.observed.containers.iter().filter(|it| it.state == State::Running) {
        let is_touched = plan.changes.iter().any(|change| change.touches(&it.id))
            || plan.removals.iter().any(|removal| removal.id == it.id);
        if !is_touched && !it.is_oneoff() && chosen.contains(it.service()) {
            progress.container(&it.name, Standing::Done, "Running");
        }
    }
}

pub(super) fn report(progress: Progress, failure: &Failure) -> Result<u8> {
    let after = match failure.left {
        Left::Standing => "what was started stays, see `compose ps -a` and `compose logs`",
        Left::Untouched => "nothing that ran was touched",
        Left::RolledBack => "rolled back, what ran before runs again",
        Left::Incomplete => "not everything could be put back, see above",
    };
    let message = format!("{:#}; {after}", failure.error);
    if progress.is_json() {
        Progress::failure(&message);
    } else {
        writeln!(std::io::stderr(), "roadstead: {message}")?;
    }
    Ok(if failure.cancelled { INTERRUPTED } else { FAILED })
}
