//! `compose cp`.

mod pack;
mod pipe;
mod place;
mod unpack;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;
use futures_util::StreamExt;
use futures_util::future::try_join_all;
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;

use self::place::{Source, Spot, place};
use super::progress::Standing;
use super::target::{Target, did_you_mean};
use super::{Session, own_stdout};
use crate::docker::Ownership;
use crate::plan::observed::Container;

/// How many pieces of an archive wait between the disk and the Engine.
const PIECES_WAITING: usize = 8;
/// How far links are followed before they count as a circle.
const MOST_LINKS: usize = 40;

// Arguments of `cp`.
#[derive(Debug, Args)]
#[command(override_usage = "roadstead compose cp [OPTIONS] SERVICE:PATH DESTINATION|-\n       \
                            roadstead compose cp [OPTIONS] SOURCE|- SERVICE:PATH")]
pub(super) struct Cp {
    /// Containers of `run`, too
    #[arg(long)]
    all: bool,
    /// Keeps owners
    #[arg(short, long)]
    archive: bool,
    /// Follows the source where it is a symbolic link
    #[arg(short = 'L', long)]
    follow_link: bool,
    /// Number of the container, where the service has several
    #[arg(long, value_name = "N", default_value_t = 0)]
    index: u32,
    /// What to copy
    source: String,
    /// Where to
    destination: String,
}

/// A copy to or from one container.
struct Copy<'a> {
    session: &'a Session,
    arguments: &'a Cp,
    container: &'a Container,
}

/// Copies a file or a directory.
pub(super) async fn cp(session: &Session, arguments: &Cp) -> Result<u8> {
    let target = session.target(&[])?;
    let copy = |container| Copy { session, arguments, container };
    match (split(&arguments.source), split(&arguments.destination)) {
        ((Some(service), path), (None, to)) => {
            let containers = containers(session, &target, arguments, service).await?;
            let first = containers.first().context("there is at least one")?;
            copy(first).told(copy(first).fetch(path, to)).await?;
        }
        ((None, from), (Some(service), path)) => {
            let containers = containers(session, &target, arguments, service).await?;
            if from == "-" && containers.len() > 1 {
                bail!("stdin can be read once: choose one container with --index");
            }
            let copies = containers
                .iter()
                .map(|it| async move { copy(it).told(copy(it).store(from, path)).await });
            try_join_all(copies).await?;
        }
        ((Some(_), _), (Some(_), _)) => bail!("copying between services is not supported"),
        ((None, _), (None, _)) => bail!(
            "unknown copy direction: write one side as `SERVICE:PATH`, as in `cp web:/etc/hosts .`"
        ),
    }
    Ok(0)
}

/// `SERVICE:PATH`; a path that begins like one has no service.
fn split(text: &str) -> (Option<&str>, &str) {
    match text.split_once(':') {
        Some((service, path)) if !service.starts_with(['/', '.']) && !service.is_empty() => {
            (Some(service), path)
        }
        _ => (None, text),
    }
}

async fn containers(
    session: &Session,
    target: &Target,
    arguments: &Cp,
    service: &str,
) -> Result<Vec<Container>> {
    let listed = session.listed(target, arguments.all).await?;
    let all: Vec<Container> = listed.into_iter().map(|it| it.container).collect();
    let mut found: Vec<Container> =
        all.iter().filter(|it| it.service() == service).cloned().collect();
    if arguments.index > 0 {
        found.retain(|it| it.number() == arguments.index);
    }
    found.sort_by_key(Container::number);
    if found.is_empty() {
        let number =
            if arguments.index > 0 { format!(" #{}", arguments.index) } else { String::new() };
        let near = did_you_mean(service, all.iter().map(Container::service));
        bail!("no container{number} found for service \"{service}\"{near}");
    }
    Ok(found)
}

impl Copy<'_> {
    /// Does the work and tells of it.
    async fn told(&self, work: impl Future<Output = Result<()>>) -> Result<()> {
        let name = &self.container.name;
        let shown = |text: &str| match split(text) {
            (Some(_), path) => format!("{name}:{path}"),
            (None, path) => path.to_owned(),
        };
        let Cp { source, destination, .. } = self.arguments;
        let what = format!("copy {} to {}", shown(source), shown(destination));
        let progress = self.session.progress;
        progress.tell(name, Standing::Working, &what, "Copying");
        if !self.session.dry_run
            && let Err(error) = work.await
        {
            progress.tell(name, Standing::Failed, &what, "Error");
            return Err(error);
        }
        progress.tell(name, Standing::Done, &what, "Copied");
        Ok(())
    }

    async fn fetch(&self, path: &str, to: &str) -> Result<()> {
        let engine = &self.session.engine;
        let id = &self.container.id;
        let (wanted, stat) = self.resolve(path, self.arguments.follow_link).await?;
        let stat = stat.with_context(|| {
            format!("there is no `{path}` in container `{}`", self.container.name)
        })?;
        let mut pieces = Box::pin(engine.download(id, &wanted)?);
        if to == "-" {
            let mut out = tokio::fs::File::from_std(own_stdout()?);
            while let Some(piece) = pieces.next().await {
                out.write_all(&piece?).await.context("write the archive to stdout")?;
            }
            return out.flush().await.context("write the archive to stdout");
        }
        let source = Source::new(path, stat.is_directory);
        let spot = place(&source, &host_spot(to)?)?;
        let (sender, receiver) = mpsc::channel(PIECES_WAITING);
        let unpacking = tokio::task::spawn_blocking(move || {
            unpack::unpack(pipe::Reading::new(receiver), &spot)
        });
        while let Some(piece) = pieces.next().await {
            // Whoever unpacks says better what is wrong.
            if sender.send(piece?).await.is_err() {
                break;
            }
        }
        drop(sender);
        unpacking.await.context("unpack")?
    }

    async fn store(&self, from: &str, path: &str) -> Result<()> {
        let (wanted, stat) = self.resolve(path, true).await?;
        let exists = stat.is_some();
        let is_directory = stat.is_some_and(|it| it.is_directory);
        let name = &self.container.name;
        let destination = place::Destination::new(&wanted, exists, is_directory);
        let (sender, receiver) = mpsc::channel(PIECES_WAITING);
        let directory = if from == "-" {
            if !is_directory {
                bail!("destination \"{name}:{path}\" must be a directory");
            }
            tokio::task::spawn_blocking(move || pack::copy_stdin(pipe::Writing::new(sender)));
            wanted
        } else {
            let source = pack::look(Path::new(from), self.arguments.follow_link)?;
            let Spot { directory, name } =
                place(&Source::new(from, source.is_directory), &destination)?;
            tokio::task::spawn_blocking(move || {
                pack::pack(&source, name.as_deref(), pipe::Writing::new(sender));
            });
            directory.display().to_string()
        };
        let ownership =
            if self.arguments.archive { Ownership::Container } else { Ownership::Archive };
        let id = &self.container.id;
        let archive = pipe::stream(receiver);
        self.session.engine.upload_archive(id, &directory, ownership, archive).await
    }

    /// The path after links, and what stands there.
    async fn resolve(
        &self,
        path: &str,
        follow: bool,
    ) -> Result<(String, Option<crate::docker::PathStat>)> {
        let mut path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        for _ in 0..MOST_LINKS {
            let stat = self.session.engine.stat_path(&self.container.id, &path).await?;
            let link = stat.as_ref().and_then(|it| it.link_target.clone());
            let Some(link) = link.filter(|_| follow) else { return Ok((path, stat)) };
            let parent = Path::new(&path).parent().unwrap_or(Path::new("/"));
            path = parent.join(link).display().to_string();
        }
        bail!("`{path}` in container `{}` is a circle of links", self.container.name)
    }
}

/// What stands at a path of ours.
fn host_spot(path: &str) -> Result<place::Destination> {
    let metadata = std::fs::metadata(path);
    let (exists, is_directory) = metadata.as_ref().map_or((false, false), |it| (true, it.is_dir()));
    let absolute = std::path::absolute(path).with_context(|| format!("find `{path}`"))?;
    let mut absolute: PathBuf = absolute;
    if path.ends_with('/') {
        absolute.push("");
    }
    Ok(place::Destination::new(&absolute.display().to_string(), exists, is_directory))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_side_has_a_service_or_is_a_path() {
        for (text, expected) in [
            ("web:/etc", (Some("web"), "/etc")),
            ("web:", (Some("web"), "")),
            ("/a:b", (None, "/a:b")),
            ("./a:b", (None, "./a:b")),
            ("a", (None, "a")),
            ("-", (None, "-")),
            (":a", (None, ":a")),
        ] {
            assert_eq!(split(text), expected, "{text}");
        }
    }
}
