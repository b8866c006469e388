//! One worker in a container of its own: made, told what to do, listened to, removed.
//!
//! What it is told goes through its standard input and stands nowhere else. Whoever talks to it holds
//! that open: where we die, it ends.

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use futures_util::StreamExt as _;
use secrecy::{ExposeSecret as _, SecretSlice};
use tokio::io::{AsyncWrite, AsyncWriteExt as _};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::holder;
use crate::apply;
use crate::backup::protocol::{self, Access, Event, Failure, Frame, Operation, Request, Summary};
use crate::compose::model::{Logging, Mount, MountKind, Service};
use crate::docker::{Attached, Chunk, Engine, NewContainer, OneOff, Stream, Surroundings};
use crate::execute::put_back::{keep_last, words};
use crate::job::RunContainer;
use crate::job::work::{Location, Password, Repository, Tool};
use crate::plan::observed::familiar;
use crate::reconcile::World;
use crate::registry::ClientConfig;

/// What marks a container of a worker.
pub(super) const WORKER: &str = "dev.roadstead.backup-worker";
/// The image of a worker where we run in none ourselves.
const EMPTY_IMAGE: &str = "roadstead-worker:empty";
/// Where the program is in it.
const PROGRAM: &str = "/roadstead";
/// Where it finds certificate authorities.
const CERTIFICATES: &str = "/etc/ssl/certs";
/// Where a worker sees a repository that is a directory.
const REPOSITORY: &str = "/repository";
/// Where a worker sees volumes, each below its name.
pub(super) const VOLUMES: &str = "/volumes";
/// Where a worker sees directories and files of the host, each at its path.
pub(super) const PATHS: &str = "/paths";
/// Where a worker writes what it restores.
pub(super) const TARGET: &str = "/target";
/// Where restic's container has keys for `sftp:`, and its home.
const SSH: &str = "/root/.ssh";
const HOME: &str = "/root";
/// Letters of a host name.
const LONGEST_HOST_NAME: usize = 60;
/// What it needs to read all, and to give back owners, modes and devices.
const CAPABILITIES: [&str; 6] = ["CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "MKNOD", "SETFCAP"];
/// How long a worker may take to stop.
const STOPS_WITHIN: Duration = Duration::from_secs(30);
/// Bytes of one line beyond which it is none of a worker's.
const LONGEST_LINE: usize = 4 * 1024 * 1024;

/// Who asks for a worker, and what it sees of the host.
pub struct Desk<'a> {
    /// The outside systems.
    pub world: &'a World,
    /// Name of its container.
    pub name: String,
    /// Labels of its container.
    pub labels: BTreeMap<String, String>,
    /// Whether the Engine removes it at its end, where nobody may be there to do it.
    pub auto_remove: bool,
    /// Asks to stop.
    pub cancel: &'a CancellationToken,
    /// Takes what it says besides events.
    pub said: &'a (dyn Fn(&[u8]) + Send + Sync),
}

/// What a worker sees besides its repository.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Volumes, for reading.
    pub volumes: Vec<String>,
    /// Directories and files as we see them, for reading.
    pub paths: Vec<PathBuf>,
    /// Where it may write.
    pub target: Option<Target>,
}

/// Where something is restored to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A volume.
    Volume(String),
    /// A directory, as we see it.
    Directory(PathBuf),
}

/// How a worker ended.
#[derive(Debug)]
pub enum End {
    /// It is done.
    Done(Box<Summary>),
    /// It is not.
    Failed(Failure, String),
    /// The connection to it broke, or it ended without a word.
    Broken(anyhow::Error),
}

/// A worker at work.
pub(super) struct Session<'a> {
    engine: &'a Engine,
    pub(super) id: String,
    name: String,
    auto_remove: bool,
    pub(super) input: Input,
    pub(super) ear: Ear<'a>,
}

/// What a worker reads.
pub(super) struct Input(Pin<Box<dyn AsyncWrite + Send>>);

/// What a worker says.
pub(super) struct Ear<'a> {
    attached: Attached,
    line: Vec<u8>,
    events: VecDeque<Event>,
    last_words: Vec<u8>,
    said: &'a (dyn Fn(&[u8]) + Send + Sync),
}

/// Reads what opens a repository, as a worker of it is told; the keys that only a restore needs where it
/// `opens` what is stored.
///
/// # Errors
///
/// When a file cannot be read.
pub(super) fn access(repository: &Repository, opens: bool) -> Result<Access> {
    let password = match &repository.password {
        Password::Value(password) => password.expose().to_owned(),
        Password::File(path) => {
            let text = std::fs::read_to_string(path).with_context(|| {
                format!("read the password of the repository from `{}`", path.display())
            })?;
            let first = text.lines().next().unwrap_or_default().to_owned();
            ensure!(
                !first.is_empty(),
                "`{}` is to hold the password of the repository, and its first line is empty",
                path.display()
            );
            first
        }
        Password::None => String::new(),
    };
    let tool = match &repository.tool {
        Tool::Rustic => protocol::Tool::Rustic,
        Tool::Restic { .. } => protocol::Tool::Restic,
        Tool::Tar { recipients, identity_file } => {
            let identities = identity_file.as_ref().filter(|_| opens).map(|path| {
                std::fs::read_to_string(path)
                    .with_context(|| format!("read the secret keys of `{}`", path.display()))
            });
            let recipients = recipients.clone();
            protocol::Tool::Tar { recipients, identities: identities.transpose()? }
        }
    };
    let certificates = repository.ca_file.as_ref().map(|path| {
        std::fs::read_to_string(path)
            .with_context(|| format!("read the certificate authorities of `{}`", path.display()))
    });
    let credentials = repository.credentials.iter();
    Ok(Access {
        tool,
        location: match &repository.location {
            Location::Directory(_) => Location::Directory(PathBuf::from(REPOSITORY)),
            elsewhere => elsewhere.clone(),
        },
        password,
        init: repository.init,
        credentials: credentials.map(|(name, it)| (name.clone(), it.expose().to_owned())).collect(),
        certificates: certificates.transpose()?,
    })
}

/// Where a worker sees a volume.
pub(super) fn volume_at(name: &str) -> PathBuf {
    Path::new(VOLUMES).join(name)
}

/// Where a worker sees a directory or file of ours.
pub(super) fn seen_at(path: &Path) -> PathBuf {
    Path::new(PATHS).join(path.strip_prefix("/").unwrap_or(path))
}

impl<'a> Session<'a> {
    /// Makes a worker and tells it what to do.
    ///
    /// # Errors
    ///
    /// When it cannot be made or started; then nothing of it is left.
    pub(super) async fn begin(
        desk: &Desk<'a>,
        repository: &Repository,
        seen: &Seen,
        operation: Operation,
    ) -> Result<Self> {
        let holder = holder::of(desk).await?;
        let access = access(repository, operation.opens_snapshots())?;
        let request = Request { repository: access, operation, holder };
        let request: SecretSlice<u8> =
            serde_json::to_vec(&request).context("write a request")?.into();
        let (engine, name) = (&desk.world.engine, desk.name.clone());
        let (id, has_program) = create(desk, repository, seen).await?;
        let begun = async {
            if !has_program {
                let program =
                    tokio::fs::read(own_program()?).await.context("read our own program")?;
                engine.upload_program(&id, PROGRAM, program).await?;
            }
            // Before the start: nothing that it says is missed.
            let attached = engine.attach(&id, true, None).await?;
            engine.start(&id).await.context(
                "a worker of backups could not be started (roadstead must be linked statically)",
            )?;
            anyhow::Ok(attached)
        };
        let mut attached = match begun.await {
            Ok(attached) => attached,
            Err(error) => {
                // The first error is the one that matters.
                let _ = engine.discard(&id, true).await;
                return Err(error);
            }
        };
        let input = std::mem::replace(&mut attached.input, Box::pin(tokio::io::sink()));
        let ear = Ear {
            attached,
            line: Vec::new(),
            events: VecDeque::new(),
            last_words: Vec::new(),
            said: desk.said,
        };
        let mut session =
            Self { engine, id, name, auto_remove: desk.auto_remove, input: Input(input), ear };
        // One that died at once says why.
        let _ = session.input.tell(Frame::Request, request.expose_secret()).await;
        Ok(session)
    }

    /// Listens to an event that is waited for, or to the end; asks it to stop where we are asked to.
    pub(super) async fn until(
        &mut self,
        cancel: &CancellationToken,
        wanted: fn(&Event) -> bool,
        heard: &mut (dyn FnMut(&Event) + Send),
    ) -> Option<End> {
        let mut deadline: Option<Instant> = None;
        loop {
            let event = match deadline {
                None => tokio::select! {
                    event = self.ear.next() => event,
                    () = cancel.cancelled() => {
                        let _ = self.input.tell(Frame::Stop, &[]).await;
                        deadline = Some(Instant::now() + STOPS_WITHIN);
                        continue;
                    }
                },
                Some(at) => {
                    let Ok(event) = tokio::time::timeout_at(at, self.ear.next()).await else {
                        let message = "the worker did not stop in time, and was killed";
                        return Some(End::Failed(Failure::Stopped, message.to_owned()));
                    };
                    event
                }
            };
            match event {
                Ok(Some(event)) => {
                    heard(&event);
                    match event {
                        Event::Done(summary) => return Some(End::Done(Box::new(summary))),
                        Event::Failed { class, message } => {
                            return Some(End::Failed(class, message));
                        }
                        event if wanted(&event) && deadline.is_none() => return None,
                        _ => {}
                    }
                }
                Ok(None) => {
                    let last_words = words(&self.ear.last_words);
                    let how = without_a_word(self.engine, &self.id);
                    return Some(End::Broken(how.await.context(last_words)));
                }
                Err(error) => return Some(End::Broken(error)),
            }
        }
    }

    /// Listens to the end.
    pub(super) async fn hear_out(
        &mut self,
        cancel: &CancellationToken,
        heard: &mut (dyn FnMut(&Event) + Send),
    ) -> End {
        let end = self.until(cancel, |_| false, heard).await;
        end.unwrap_or_else(|| End::Broken(anyhow::anyhow!("the worker did not end")))
    }

    /// Ends its input in the middle, and waits until it has ended.
    pub(super) async fn hang_up(&mut self) {
        let _ = self.input.0.shutdown().await;
        let ended = async { while let Ok(Some(_)) = self.ear.next().await {} };
        if timeout(STOPS_WITHIN, ended).await.is_err() {
            warn!("the worker {} did not stop in time, and is killed", self.name);
        }
    }

    /// Removes its container, whatever it does.
    pub(super) async fn close(self) {
        drop(self.input);
        let removed = self.engine.discard(&self.id, true).await;
        // The Engine may be at it already.
        if let (Err(error), false) = (removed, self.auto_remove) {
            warn!("{error:#}; the next run of the job removes it");
        }
    }
}

/// Why a worker ended without saying how.
async fn without_a_word(engine: &Engine, id: &str) -> anyhow::Error {
    let how = match timeout(STOPS_WITHIN, engine.wait(id)).await {
        Ok(_) => engine.about(id).await.ok().flatten(),
        Err(_) => None,
    };
    let how = how.map_or_else(String::new, |about| {
        let memory = if about.out_of_memory { ", killed for want of memory" } else { "" };
        format!(" (exited with {}{memory})", about.exit_code)
    });
    anyhow::anyhow!("the worker ended without a result{how}")
}

impl Input {
    /// Sends one frame.
    ///
    /// # Errors
    ///
    /// When nobody reads any more.
    pub(super) async fn tell(&mut self, frame: Frame, bytes: &[u8]) -> Result<()> {
        let length = u32::try_from(bytes.len()).context("a frame of more than 4 GiB")?;
        let mut head = [frame as u8, 0, 0, 0, 0];
        head[1..].copy_from_slice(&length.to_be_bytes());
        self.0.write_all(&head).await?;
        self.0.write_all(bytes).await?;
        self.0.flush().await.context("tell the worker")
    }
}

impl Ear<'_> {
    /// The next event; `None` at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Event>> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Ok(Some(event));
            }
            let Some(chunk) = self.attached.output.next().await else { return Ok(None) };
            let Chunk { stream, bytes } = chunk.context("listen to the worker")?;
            if stream == Stream::Err {
                keep_last(&mut self.last_words, &bytes);
                (self.said)(&bytes);
                continue;
            }
            self.line.extend_from_slice(&bytes);
            self.events.extend(events(&mut self.line)?);
        }
    }
}

/// Takes whole lines away, each of which is an event.
fn events(text: &mut Vec<u8>) -> Result<Vec<Event>> {
    let mut found = Vec::new();
    let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    for line in text[..whole].split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        match serde_json::from_slice(line) {
            Ok(event) => found.push(event),
            Err(error) => {
                let line = String::from_utf8_lossy(line);
                bail!("the worker said something else than an event ({error}): {line}")
            }
        }
    }
    text.drain(..whole);
    ensure!(text.len() < LONGEST_LINE, "the worker says one line without end");
    Ok(found)
}

fn own_program() -> Result<PathBuf> {
    std::env::current_exe().context("find our own program")
}

/// Has the image of another engine be there.
async fn have_image(desk: &Desk<'_>, image: &str) -> Result<()> {
    let engine = &desk.world.engine;
    if engine.images().await?.contains_key(&familiar(image)) {
        return Ok(());
    }
    let client = ClientConfig::load(&desk.world.variables)?;
    tokio::select! {
        pulled = apply::pull(engine, &client, image, None) => pulled,
        () = desk.cancel.cancelled() => bail!("stopped while pulling image `{image}`"),
    }
}

/// Of a worker's container alone: restic takes a lock of its own host for left behind where it does not see
/// the process.
fn host_name(container: &str) -> String {
    let name: Vec<char> =
        container.chars().filter(|it| it.is_ascii_alphanumeric() || *it == '-').collect();
    let name: String = name[name.len().saturating_sub(LONGEST_HOST_NAME)..].iter().collect();
    name.trim_matches('-').to_owned()
}

/// Makes the container of a worker, and says whether our program is in it.
async fn create(desk: &Desk<'_>, repository: &Repository, seen: &Seen) -> Result<(String, bool)> {
    let (world, engine) = (desk.world, &desk.world.engine);
    let mut mounts = mounts(repository, seen);
    let own = engine.ourselves().await?;
    let foreign = match &repository.tool {
        Tool::Restic { image, .. } => Some(image),
        Tool::Rustic | Tool::Tar { .. } => None,
    };
    if own.is_none() {
        let program = own_program()?.display().to_string();
        mounts.push(bind(program, PROGRAM.to_owned(), true, Some(false)));
        // Another image has its own.
        if foreign.is_none() && Path::new(CERTIFICATES).is_dir() {
            mounts.push(bind(CERTIFICATES.to_owned(), CERTIFICATES.to_owned(), true, Some(false)));
        }
    }
    let image = match (foreign, &own) {
        (Some(image), _) => {
            Box::pin(have_image(desk, image)).await?;
            image.clone()
        }
        (None, Some(own)) => own.image_id.clone(),
        (None, None) => {
            engine.have_empty_image(EMPTY_IMAGE).await?;
            EMPTY_IMAGE.to_owned()
        }
    };
    have_repository(repository, own.is_none())?;
    let texts = |texts: &[&str]| texts.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>();
    let service = Service {
        image,
        entrypoint: Some(texts(&[PROGRAM])),
        command: Some(texts(&["backup-worker"])),
        user: Some("0:0".to_owned()),
        // A repository may be at loopback.
        network_mode: Some("host".to_owned()),
        // Nothing that it says is to stand in the Engine's log, too.
        logging: Some(Logging { driver: Some("none".to_owned()), ..Logging::default() }),
        cap_drop: texts(&["ALL"]),
        cap_add: texts(&CAPABILITIES),
        // Files of other containers may have labels of their own.
        security_opt: texts(&["no-new-privileges:true", "label:disable"]),
        volumes: mounts,
        hostname: foreign.map(|_| host_name(&desk.name)),
        environment: foreign
            .map(|_| ("HOME".to_owned(), Some(HOME.to_owned())))
            .into_iter()
            .collect(),
        ..Service::default()
    };
    let key = "backup-worker";
    let project = RunContainer { service, ..RunContainer::default() }.project(key);
    let project = world.host_paths().await?.translate(project);
    let service = project.services.get(key).context("a worker has its own container")?;
    let client = ClientConfig::load(&world.variables)?;
    let surroundings =
        Surroundings { proxies: client.proxy_variables(engine.host()), ..Surroundings::default() };
    let mut labels = desk.labels.clone();
    labels.insert(WORKER.to_owned(), crate::plan::labels::YES.to_owned());
    let new = NewContainer {
        project: &project,
        service,
        name: &desk.name,
        final_name: &desk.name,
        labels: &labels,
        anonymous_volumes: &BTreeMap::new(),
        surroundings: &surroundings,
    };
    let one_off = OneOff { stdin: true, auto_remove: desk.auto_remove, aliases: false };
    let id = engine.create_one_off(&new, one_off).await?;
    Ok((id, foreign.is_none() || own.is_none()))
}

/// Makes the directory of a repository that is to be made; says where one is missing that is not.
fn have_repository(repository: &Repository, on_host: bool) -> Result<()> {
    let Location::Directory(path) = &repository.location else { return Ok(()) };
    // In a container of ours only the host knows whether it is there.
    if !on_host || path.is_dir() {
        return Ok(());
    }
    if repository.init {
        return std::fs::create_dir_all(path)
            .with_context(|| format!("make the directory `{}` of the repository", path.display()));
    }
    bail!(
        "there is no repository at `{}`: correct `repository`, or have it made by `init: true`",
        path.display()
    )
}

fn mounts(repository: &Repository, seen: &Seen) -> Vec<Mount> {
    let mut mounts = Vec::new();
    if let Location::Directory(path) = &repository.location {
        let make = repository.init.then_some(true).or(Some(false));
        mounts.push(bind(path.display().to_string(), REPOSITORY.to_owned(), false, make));
    }
    if let Tool::Restic { ssh_dir: Some(path), .. } = &repository.tool {
        mounts.push(bind(path.display().to_string(), SSH.to_owned(), true, Some(false)));
    }
    for name in &seen.volumes {
        mounts.push(volume(name, format!("{VOLUMES}/{name}"), true));
    }
    for path in &seen.paths {
        let at = seen_at(path).display().to_string();
        let at = at.trim_end_matches('/').to_owned();
        mounts.push(bind(path.display().to_string(), at, true, Some(false)));
    }
    match &seen.target {
        Some(Target::Volume(name)) => mounts.push(volume(name, TARGET.to_owned(), false)),
        Some(Target::Directory(path)) => {
            mounts.push(bind(path.display().to_string(), TARGET.to_owned(), false, Some(true)));
        }
        None => {}
    }
    mounts
}

fn bind(source: String, target: String, read_only: bool, make: Option<bool>) -> Mount {
    let kind = MountKind::Bind {
        selinux: None,
        propagation: None,
        create_host_path: make,
        recursive: None,
    };
    let source = Some(source);
    Mount {
        kind,
        source,
        target,
        read_only,
        consistency: None,
        options_given: true,
        other_blocks: Vec::new(),
    }
}

/// What is in the image at the same path does not come into it: there is nothing.
fn volume(name: &str, target: String, read_only: bool) -> Mount {
    let kind = MountKind::Volume { nocopy: true, subpath: None, labels: BTreeMap::new() };
    let source = Some(name.to_owned());
    Mount {
        kind,
        source,
        target,
        read_only,
        consistency: None,
        options_given: true,
        other_blocks: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compose::model::Hidden;

    fn repository(location: Location, init: bool) -> Repository {
        Repository {
            tool: Tool::default(),
            location,
            password: Password::Value(Hidden::new("pw".to_owned())),
            init,
            credentials: vec![("AWS_ACCESS_KEY_ID".to_owned(), Hidden::new("id".to_owned()))],
            ca_file: None,
        }
    }

    #[test]
    fn events_come_in_whole_lines() {
        let mut text = b"{\"event\":\"ready\"}\n{\"event\":\"re".to_vec();
        assert_eq!(events(&mut text).unwrap(), [Event::Ready]);
        assert!(events(&mut text).unwrap().is_empty());
        text.extend(b"ad\"}\n\n");
        assert_eq!(events(&mut text).unwrap(), [Event::Read]);
        assert!(text.is_empty());
        let error = events(&mut b"panicked at\n".to_vec()).unwrap_err().to_string();
        assert!(error.contains("panicked at"), "{error}");
    }

    #[test]
    fn a_host_name_is_short_and_of_one_container() {
        for (container, expected) in [
            ("roadstead-a.b-7-backup-files", "roadstead-ab-7-backup-files".to_owned()),
            (&*format!("roadstead-{}-7-backup-files", "x".repeat(80)), {
                format!("{}-7-backup-files", "x".repeat(45))
            }),
        ] {
            assert_eq!(host_name(container), expected);
        }
    }

    #[test]
    fn restic_sees_its_keys_and_cannot_change_them() {
        let tool = Tool::Restic {
            image: "restic/restic".to_owned(),
            ssh_dir: Some("/etc/roadstead/ssh".into()),
        };
        let location = Location::Other("sftp:a@h:/b".to_owned());
        let repository = Repository { tool, ..repository(location.clone(), false) };
        let found = mounts(&repository, &Seen::default());
        assert_eq!(
            found,
            [bind("/etc/roadstead/ssh".into(), "/root/.ssh".into(), true, Some(false))]
        );
        let told = access(&repository, true).unwrap();
        assert_eq!((told.tool, told.location), (protocol::Tool::Restic, location));
    }

    #[test]
    fn secret_keys_are_read_only_where_a_snapshot_is_opened() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("age.key");
        let tool = Tool::Tar { recipients: vec![], identity_file: Some(file.clone()) };
        let location = Location::Directory("/srv/archives".into());
        let repository = Repository { tool, ..repository(location, false) };
        let identities = |opens| match access(&repository, opens).map(|it| it.tool) {
            Ok(protocol::Tool::Tar { identities, .. }) => Ok(identities),
            other => Err(other.err().unwrap().to_string()),
        };
        assert_eq!(identities(false), Ok(None));
        assert!(identities(true).unwrap_err().contains("age.key"));
        std::fs::write(file, "AGE-SECRET-KEY-1").unwrap();
        assert_eq!(identities(false), Ok(None));
        assert_eq!(identities(true), Ok(Some("AGE-SECRET-KEY-1".to_owned())));
    }

    #[test]
    fn what_is_read_is_mounted_for_reading_only() {
        let repository = repository(Location::Directory("/srv/backup".into()), false);
        let seen = Seen {
            volumes: vec!["data".to_owned()],
            paths: vec!["/etc/app".into(), "/".into()],
            target: None,
        };
        let found = mounts(&repository, &seen);
        let found: Vec<(&str, &str, bool)> = found
            .iter()
            .map(|it| (it.source.as_deref().unwrap(), it.target.as_str(), it.read_only))
            .collect();
        let expected = [
            ("/srv/backup", "/repository", false),
            ("data", "/volumes/data", true),
            ("/etc/app", "/paths/etc/app", true),
            ("/", "/paths", true),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn a_worker_is_told_where_it_sees_the_repository() {
        let here =
            access(&repository(Location::Directory("/srv/backup".into()), true), false).unwrap();
        assert_eq!(here.location, Location::Directory("/repository".into()));
        assert_eq!((here.password.as_str(), here.init), ("pw", true));
        let location = Location::Rest("http://h/".to_owned());
        let there = access(&repository(location.clone(), false), false).unwrap();
        assert_eq!(there.location, location);
        let file = tempfile::NamedTempFile::new().unwrap();
        let path = file.path().to_owned();
        let in_file =
            Repository { password: Password::File(path.clone()), ..repository(location, false) };
        let error = access(&in_file, false).err().unwrap().to_string();
        assert!(error.contains("first line is empty"), "{error}");
        std::fs::write(&path, "secret\nmore\n").unwrap();
        assert_eq!(access(&in_file, false).unwrap().password, "secret");
    }
}
