//! `certificate`: a bundle of chain and key, renewed by certbot when that is due.
//!
//! All that can fail safely comes first. Who is stopped is written down before; whatever happens then,
//! also a crash of ours, it is started again. The bundle is replaced by a rename, and only by one that is
//! new and valid.

use std::ffi::OsString;
use std::fs::Permissions;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use futures_util::{StreamExt as _, pin_mut};
use secrecy::{ExposeSecret as _, SecretSlice};
use serde_json::json;
use tokio::time::Instant;
use tracing::info;

use super::beneath::Directory;
use super::container::{restart, stop_one};
use super::put_back::put_back;
use super::target::{self, Found};
use super::{Answer, Context, adopt, failed, run, stopped};
use crate::apply::seconds;
use crate::docker::{Container, Engine};
use crate::job::work::{Certificate, Target, Work};
use crate::job::{Packed, PackedRun, RunContainer};
use crate::plan::housekeeping::certificate::{Due, Verdict, due, verdict};
use crate::plan::observed::State;
use crate::run::{Details, Ending, Outcome, Reason};

/// Bytes of a file of certbot's beyond which it is none.
const LARGEST: u64 = 1024 * 1024;
/// What the results of a run say while the bundle is new and nobody was told.
const REPLACED: &str = "replaced";
const TOLD: &str = "told";

/// A bundle with its private key.
type Secret = SecretSlice<u8>;

/// What would be done.
pub struct CertificateProspect {
    /// Whether it is due, and why.
    pub due: Due,
    /// The bundle that is there.
    bundle: Option<Secret>,
}

/// Looks at the bundle; touches nothing.
///
/// # Errors
///
/// When there is one that cannot be read.
pub fn certificate_prospect(
    work: &Certificate,
    now: chrono::DateTime<chrono::Utc>,
) -> Result<CertificateProspect> {
    let path = &work.bundle;
    let bundle: Option<Secret> = match std::fs::read(path) {
        Ok(bytes) => Some(bytes.into()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error).with_context(|| format!("read `{}`", path.display())),
    };
    let due = due(work, bundle.as_ref().map(Secret::expose_secret), now);
    Ok(CertificateProspect { due, bundle })
}

pub(super) async fn certificate(context: Context<'_>, work: &Certificate) -> Answer {
    let prospect = match look(context, work).await {
        Ok(prospect) => prospect,
        Err(error) => return Ok(failed(Reason::NotStarted, format!("{error:#}"))),
    };
    let is_first = match &prospect.due {
        Due::NotBefore(_, why) => {
            let results = json!({ "due": false, REPLACED: false });
            context.made_of(|it| it.results = Some(results)).await;
            return Ok(Ending::new(Outcome::Succeeded, Reason::Done, format!("not due: {why}")));
        }
        Due::Renew(_) => false,
        Due::First(_) => true,
    };
    info!("{}", prospect.due.text());
    let to_stop = match running(context, work.stop.as_ref()).await? {
        Ok(found) => found,
        Err(ending) => return Ok(ending),
    };
    if work.dry_run {
        let names: Vec<&str> = to_stop.iter().map(|it| it.name.as_str()).collect();
        let message = format!(
            "dry run: {}; would stop {}, run certbot {}, and start what was stopped; nothing was done",
            prospect.due.text(),
            if names.is_empty() { "nothing".to_owned() } else { names.join(", ") },
            work.command(is_first).join(" ")
        );
        return Ok(Ending::new(Outcome::Succeeded, Reason::Done, message));
    }
    let certbot = certbot(work, is_first);
    if let Err(ending) = run::have_image(context, &certbot.service).await {
        return Ok(ending);
    }
    if let Err(error) = probe(&work.bundle) {
        return Ok(failed(Reason::NotStarted, format!("{error:#}; nothing was touched")));
    }
    if context.cancel.is_cancelled() {
        return Ok(stopped("stopped before anything was touched"));
    }
    let ids: Vec<String> = to_stop.iter().map(|it| it.id.clone()).collect();
    context
        .record
        .try_change(context.member, |it| it.stopped = ids)
        .await
        .context("write down what is stopped; nothing was touched")?;
    let begun = Instant::now();
    for it in &to_stop {
        let stop = stop_one(&context.world.engine, it, &context.job.policy.stop);
        if let Err(error) = context.journal.step(format!("stop container {}", it.name), stop).await
        {
            let ending = failed(Reason::NotStarted, format!("{error:#}"));
            return Ok(put_back(context, ending).await);
        }
    }
    let ended = run::run(context, &certbot).await;
    Ok(finish(context, work, (ended, prospect.bundle), begun).await)
}

/// Goes on where a crash of ours cut it off.
pub(super) async fn go_on(
    context: Context<'_>,
    work: &Certificate,
    known: &Details,
    containers: &[Container],
) -> Answer {
    let results = known.results.clone().unwrap_or_default();
    if results[REPLACED] == true {
        let message = "the bundle was replaced before roadstead died";
        let ending = Ending::new(Outcome::Succeeded, Reason::Done, message);
        let ending = put_back(context, ending).await;
        return Ok(and_tell(context, work, ending).await);
    }
    let begun = Instant::now();
    let certbot = containers.iter().find(|it| known.container.as_ref() == Some(&it.id));
    if let Some(certbot) = certbot.filter(|it| it.state != State::Created) {
        let container = Packed::of(&self::certbot(work, false));
        let as_run = Work::Run(PackedRun { container, then: Vec::new() });
        let only = std::slice::from_ref(certbot);
        let ended = adopt::in_container(context, &as_run, known, only).await;
        let bundle = look(context, work).await.ok().and_then(|it| it.bundle);
        return Ok(finish(context, work, (Ok(ended), bundle), begun).await);
    }
    if let Some(certbot) = certbot {
        run::remove(context, &certbot.id, &certbot.name).await;
    }
    let message = "roadstead died before certbot began; what was stopped is started, and the next run \
                   renews";
    Ok(put_back(context, Ending::new(Outcome::Lost, Reason::Crashed, message)).await)
}

async fn look(context: Context<'_>, work: &Certificate) -> Result<CertificateProspect> {
    let (work, now) = (work.clone(), (context.world.now)());
    tokio::task::spawn_blocking(move || certificate_prospect(&work, now)).await?
}

/// The containers of a target that run.
async fn running(
    context: Context<'_>,
    target: Option<&Target>,
) -> Result<std::result::Result<Vec<Found>, Ending>> {
    let Some(target) = target else { return Ok(Ok(Vec::new())) };
    let found = target::find(&context.world.engine, target).await?;
    Ok(found.map(|found| found.into_iter().filter(|it| it.state.lives()).collect()))
}

/// The container of certbot; it stays at its end, for what it made is read from it.
fn certbot(work: &Certificate, is_first: bool) -> RunContainer {
    let mut certbot = work.certbot.unpack();
    certbot.service.command = Some(work.command(is_first));
    certbot.keep = true;
    certbot
}

/// What comes after certbot: the bundle, the container, who was stopped, who is told.
async fn finish(
    context: Context<'_>,
    work: &Certificate,
    (ended, old): (Answer, Option<Secret>),
    begun: Instant,
) -> Ending {
    let engine = &context.world.engine;
    let container = context.record.known(context.member).await.and_then(|it| it.container);
    let ending = match ended {
        Ok(ended) if ended.outcome == Outcome::Succeeded => {
            let new = match &container {
                Some(id) => made(engine, id, work).await,
                None => Err(anyhow::anyhow!("certbot had no container")),
            };
            match new {
                Ok(new) => install(context, work, old, new).await,
                Err(error) => failed(Reason::Incomplete, format!("{error:#}; the bundle stays")),
            }
        }
        Ok(ended) => {
            let message = format!("certbot: {}; the bundle stays", ended.message);
            Ending { message, ..ended }
        }
        Err(error) => {
            let ending = super::engine_ending(&error);
            let message = format!("certbot: {}; the bundle stays", ending.message);
            Ending { message, ..ending }
        }
    };
    let mut ending = put_back(context, ending).await;
    ending.message = format!("{} ({} in all)", ending.message, seconds(begun));
    if let Some(id) = container {
        run::remove(context, &id, "of certbot").await;
    }
    let known = context.record.known(context.member).await.unwrap_or_default();
    if known.results.is_some_and(|it| it[REPLACED] == true) {
        ending = and_tell(context, work, ending).await;
    }
    ending
}

/// Tells those who read a bundle that is new, also where not all that was stopped runs again.
async fn and_tell(context: Context<'_>, work: &Certificate, ending: Ending) -> Ending {
    let told = tell(context, work).await;
    let message = format!("{}; {}", ending.message, told.message);
    if ending.outcome == Outcome::Succeeded {
        Ending { message, ..told }
    } else {
        Ending { message, ..ending }
    }
}

/// Reads what certbot made from its container, which has ended.
async fn made(engine: &Engine, container: &str, work: &Certificate) -> Result<Secret> {
    let chain = file_of(engine, container, &work.live("fullchain.pem")).await?;
    let key = file_of(engine, container, &work.live("privkey.pem")).await?;
    let mut bundle = chain.expose_secret().to_vec();
    if !bundle.is_empty() && !bundle.ends_with(b"\n") {
        bundle.push(b'\n');
    }
    bundle.extend_from_slice(key.expose_secret());
    Ok(bundle.into())
}

async fn file_of(engine: &Engine, container: &str, path: &str) -> Result<Secret> {
    let Some(stat) = engine.stat_path(container, path).await? else {
        bail!(
            "certbot left no `{path}`: is there a volume at /etc/letsencrypt, and is the first domain \
             the name that certbot knows?"
        );
    };
    // certbot has links there.
    let path = stat.link_target.unwrap_or_else(|| path.to_owned());
    let pieces = engine.download(container, &path)?;
    pin_mut!(pieces);
    let mut archive = Vec::new();
    while let Some(piece) = pieces.next().await {
        archive.extend_from_slice(&piece?);
        anyhow::ensure!((archive.len() as u64) < LARGEST, "`{path}` of certbot is too large");
    }
    let mut archive = tar::Archive::new(archive.as_slice());
    let entry = archive.entries()?.next().with_context(|| format!("read `{path}`"))?;
    let mut bytes = Vec::new();
    entry?.take(LARGEST).read_to_end(&mut bytes)?;
    Ok(bytes.into())
}

/// Puts the new bundle in the place of the old one, if it may be there.
async fn install(
    context: Context<'_>,
    work: &Certificate,
    old: Option<Secret>,
    new: Secret,
) -> Ending {
    let now = (context.world.now)();
    let old = old.as_ref().map(Secret::expose_secret);
    let until = match verdict(old, new.expose_secret(), now) {
        Verdict::Same => {
            let results = json!({ "due": true, REPLACED: false });
            context.made_of(|it| it.results = Some(results)).await;
            let message = "certbot has no newer certificate; the bundle stays";
            return Ending::new(Outcome::Succeeded, Reason::Done, message);
        }
        Verdict::Refuse(why) => {
            let message = format!("what certbot made is refused: {why}; the bundle stays");
            return failed(Reason::Incomplete, message);
        }
        Verdict::Replace(until) => until,
    };
    let path = work.bundle.clone();
    let write =
        async { tokio::task::spawn_blocking(move || replace(&path, new.expose_secret())).await? };
    let step = format!("replace {}", work.bundle.display());
    if let Err(error) = context.journal.step(step, write).await {
        let message = format!("{error:#}; the bundle stays, and the next run tries again");
        return failed(Reason::Incomplete, message);
    }
    let results = json!({ "due": true, REPLACED: true, TOLD: false, "until": until });
    context.made_of(|it| it.results = Some(results)).await;
    let message = format!("the bundle is new, and holds until {}", until.format("%Y-%m-%d"));
    Ending::new(Outcome::Succeeded, Reason::Done, message)
}

/// Where a bundle really is: a link to it stays a link.
fn place(path: &Path) -> Result<(Directory, OsString)> {
    let real = match path.canonicalize() {
        Ok(real) => real,
        Err(error) if error.kind() == io::ErrorKind::NotFound => path.to_owned(),
        Err(error) => return Err(error).with_context(|| format!("look at `{}`", path.display())),
    };
    let parent = real.parent().map(PathBuf::from).unwrap_or_default();
    let name = real.file_name().context("a bundle has a name")?.to_owned();
    let directory =
        Directory::open(&parent).with_context(|| format!("open `{}`", parent.display()))?;
    Ok((directory, name))
}

fn part_of(name: &OsString) -> OsString {
    let mut part = OsString::from(".");
    part.push(name);
    part.push(".roadstead-part");
    part
}

/// Whether a bundle could be written there.
fn probe(path: &Path) -> Result<()> {
    let (directory, name) = place(path)?;
    let part = part_of(&name);
    let _ = directory.remove(&part);
    let made = directory.create(&part).and_then(|_| directory.remove(&part));
    made.with_context(|| {
        let directory = directory.path().display();
        format!("write to `{directory}`: mount the directory of the bundle, for writing")
    })
}

/// Writes beside, makes durable, and gives it the name; mode and owner are those of before.
fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    let (directory, name) = place(path)?;
    let part = part_of(&name);
    let _ = directory.remove(&part);
    let written = (|| {
        let mut file = directory.create(&part)?;
        if let Ok(old) = directory.open_file(&name, false).and_then(|it| it.metadata()) {
            fchown(&file, Some(old.uid()), Some(old.gid()))?;
            file.set_permissions(Permissions::from_mode(old.mode() & 0o777))?;
        }
        file.write_all(bytes)?;
        file.sync_all()?;
        directory.replace(&part, &name)?;
        directory.sync()
    })();
    if written.is_err() {
        let _ = directory.remove(&part);
    }
    written.with_context(|| format!("write `{}`", path.display()))
}

/// Tells those who read the bundle, once it is another one.
async fn tell(context: Context<'_>, work: &Certificate) -> Ending {
    let engine = &context.world.engine;
    let (mut told, mut troubles) = (Vec::new(), Vec::new());
    let signal = work.signal.as_ref().map(|it| (&it.target, Some(it.signal.as_str())));
    for (target, signal) in signal.into_iter().chain(work.restart.as_ref().map(|it| (it, None))) {
        let found = match running(context, Some(target)).await {
            Ok(Ok(found)) => found,
            Ok(Err(ending)) => {
                troubles.push(ending.message);
                continue;
            }
            Err(error) => {
                troubles.push(format!("{error:#}"));
                continue;
            }
        };
        for it in found {
            let (step, what) = match signal {
                Some(signal) => (format!("send {signal} to {}", it.name), format!("got {signal}")),
                None => (format!("restart container {}", it.name), "restarted".to_owned()),
            };
            let work = async {
                match signal {
                    Some(signal) => engine.kill(&it.id, signal).await,
                    None => restart(engine, &it, &context.job.policy.stop).await,
                }
            };
            match context.journal.step(step, work).await {
                Ok(()) => told.push(format!("{} {what}", it.name)),
                Err(error) => troubles.push(format!("{error:#}")),
            }
        }
    }
    if let Some(first) = troubles.first() {
        let message = format!("the bundle is new, and not all who read it could be told: {first}");
        return failed(Reason::Incomplete, message);
    }
    let count = told.len();
    context
        .made_of(|it| {
            if let Some(results) = &mut it.results {
                results[TOLD] = json!(count);
            }
        })
        .await;
    let message = if told.is_empty() { "nobody else is told".to_owned() } else { told.join(", ") };
    Ending::new(Outcome::Succeeded, Reason::Done, message)
}
