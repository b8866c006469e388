//! What a build may read of ours: its directories, its Dockerfile, its secrets, its agents.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use secrecy::{SecretBox, SecretSlice};

use super::named::{Place, local_name, place};
use super::sync::Source;
use super::{CONTEXT, DOCKERFILE_DIRECTORY};
use crate::compose::model::{Build, FileReference, FileSource, SshKey};
use crate::docker::build::context::{DOCKERFILE, Directory, found};
use crate::docker::build::{AGENT, BuildSurroundings, ImageBuild, is_address};

/// Bytes beyond which `BuildKit` takes no secret.
const LARGEST_SECRET: usize = 500 * 1024;

/// What may be read, by the names under which it is asked for. Cannot print a secret.
#[derive(Debug, Default)]
pub(super) struct Offers {
    pub(super) directories: BTreeMap<String, Arc<Source>>,
    pub(super) secrets: BTreeMap<String, SecretSlice<u8>>,
    /// Sockets.
    pub(super) agents: BTreeMap<String, String>,
    /// The name of the Dockerfile in its directory, where that is one of ours.
    pub(super) dockerfile: Option<String>,
}

impl Offers {
    /// The Dockerfile's name and text, where it is one of ours.
    pub(super) fn dockerfile_text(&self) -> Option<(&str, &str)> {
        match &**self.directories.get(DOCKERFILE_DIRECTORY)? {
            Source::File { name, content } => Some((name, std::str::from_utf8(content).ok()?)),
            Source::Directory(_) => None,
        }
    }
}

/// What has to be looked at, apart from the rest: looking blocks.
#[derive(Debug)]
pub(super) struct Sought {
    build: Build,
    /// Secrets with their ids.
    secrets: Vec<(String, FileSource)>,
    agent: Option<String>,
}

impl Sought {
    /// # Errors
    ///
    /// When a secret is not declared.
    pub(super) fn of(wanted: &ImageBuild<'_>) -> Result<Self> {
        Ok(Self {
            build: wanted.build.clone(),
            secrets: secrets(wanted.build, wanted.surroundings)?,
            agent: wanted.surroundings.agent.clone(),
        })
    }

    /// Opens the directories, and reads the small things.
    ///
    /// # Errors
    ///
    /// When one of them is not there, or is not what it should be.
    pub(super) fn open(self) -> Result<Offers> {
        let mut offers = Offers::default();
        self.open_context(&mut offers)?;
        for (name, value) in &self.build.additional_contexts {
            if let Place::Directory(path) = place(value) {
                let directory = Directory::open(path, None)
                    .with_context(|| format!("additional context `{name}`"))?;
                let source = Arc::new(Source::Directory(directory));
                offers.directories.insert(local_name(name), source);
            }
        }
        for (id, source) in &self.secrets {
            let content = content(source).with_context(|| format!("secret `{id}`"))?;
            offers.secrets.insert(id.clone(), SecretBox::from(content));
        }
        for key in &self.build.ssh {
            let socket = self.socket(key).with_context(|| format!("`ssh` key `{}`", key.id))?;
            let id = if key.id.is_empty() { "default" } else { &key.id };
            offers.agents.insert(id.to_owned(), socket);
        }
        Ok(offers)
    }

    fn open_context(&self, offers: &mut Offers) -> Result<()> {
        let build = &self.build;
        let mut ours =
            build.dockerfile_inline.as_ref().map(|text| (DOCKERFILE, text.clone().into_bytes()));
        let mut ignore_file = None;
        let name = build.dockerfile.as_deref().unwrap_or(DOCKERFILE);
        let path = Path::new(&build.context).join(name);
        if !is_address(&build.context) {
            if ours.is_none() {
                // The directory is looked at first: without it, the Dockerfile is missing, too.
                Directory::open(&build.context, None)?;
                let real = found(&path)?;
                let name = path.file_name().and_then(|it| it.to_str()).unwrap_or(DOCKERFILE);
                let content =
                    fs::read(real).with_context(|| format!("read `{}`", path.display()))?;
                ours = Some((name, content));
                let beside = path.with_file_name(format!("{name}.dockerignore"));
                ignore_file = Some(beside).filter(|it| it.is_file());
            }
            let directory = Directory::open(&build.context, ignore_file.as_deref())?;
            offers.directories.insert(CONTEXT.to_owned(), Arc::new(Source::Directory(directory)));
        }
        if let Some((name, content)) = ours {
            let source = Source::File { name: name.to_owned(), content };
            offers.directories.insert(DOCKERFILE_DIRECTORY.to_owned(), Arc::new(source));
            offers.dockerfile = Some(name.to_owned());
        }
        Ok(())
    }

    fn socket(&self, key: &SshKey) -> Result<String> {
        let Some(path) = key.path.as_ref().filter(|it| !it.is_empty()) else {
            return self.agent.clone().with_context(|| {
                format!("`{AGENT}` is not set: start an SSH agent, or name its socket")
            });
        };
        let metadata = fs::metadata(path).with_context(|| format!("look at `{path}`"))?;
        if !metadata.file_type().is_socket() {
            bail!(
                "`{path}` is no socket: keys stay with an SSH agent; add it to one with `ssh-add`, and \
                 name the agent's socket"
            );
        }
        Ok(path.clone())
    }
}

fn secrets(build: &Build, surroundings: &BuildSurroundings) -> Result<Vec<(String, FileSource)>> {
    let secret = |it: &FileReference| {
        let object = surroundings.secrets.get(&it.source);
        let object = object.with_context(|| format!("secret `{}` is not declared", it.source))?;
        let id = it.target.as_ref().filter(|target| !target.is_empty()).unwrap_or(&it.source);
        Ok((id.clone(), object.source.clone()))
    };
    build.secrets.iter().map(secret).collect()
}

fn content(source: &FileSource) -> Result<Vec<u8>> {
    let content = match source {
        FileSource::File(path) => fs::read(path).with_context(|| format!("read `{path}`"))?,
        FileSource::Environment { variable, value } => {
            let value = value.as_ref().with_context(|| format!("`{variable}` is not set"))?;
            value.expose().as_bytes().to_vec()
        }
        FileSource::Content(text) => text.clone().into_bytes(),
        FileSource::Elsewhere => {
            bail!("a build can only read secrets with `file` or `environment`")
        }
    };
    if content.len() > LARGEST_SECRET {
        bail!("it has {} bytes, and BuildKit takes {LARGEST_SECRET} at most", content.len());
    }
    Ok(content)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compose::model::Hidden;

    #[test]
    fn secrets_are_read_before_anything_is_sent() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name).display().to_string();
        fs::write(path("s"), "from a file").unwrap();
        fs::write(path("large"), vec![0; LARGEST_SECRET + 1]).unwrap();
        let variable = |value: Option<&str>| FileSource::Environment {
            variable: "V".to_owned(),
            value: value.map(|it| Hidden::new(it.to_owned())),
        };
        for (source, expected) in [
            (FileSource::File(path("s")), Ok("from a file")),
            (variable(Some("v")), Ok("v")),
            (variable(None), Err("`V` is not set")),
            (FileSource::File(path("none")), Err("read `")),
            (FileSource::File(path("large")), Err("at most")),
            (FileSource::Elsewhere, Err("`file` or `environment`")),
        ] {
            let found = content(&source).map_err(|error| format!("{error:#}"));
            match (found, expected) {
                (Ok(found), Ok(expected)) => assert_eq!(found, expected.as_bytes()),
                (Err(found), Err(expected)) => assert!(found.contains(expected), "{found}"),
                (found, expected) => panic!("{found:?} {expected:?}"),
            }
        }
    }

    #[test]
    fn agents_are_sockets() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name).display().to_string();
        let _listener = std::os::unix::net::UnixListener::bind(path("agent")).unwrap();
        fs::write(path("key"), "k").unwrap();
        let key = |path: Option<String>| SshKey { id: "default".to_owned(), path };
        for (key, agent, expected) in [
            (key(None), Some("/a"), "/a"),
            (key(None), None, "`SSH_AUTH_SOCK` is not set"),
            (key(Some(path("agent"))), None, "/agent"),
            (key(Some(path("key"))), Some("/a"), "is no socket"),
            (key(Some(path("none"))), Some("/a"), "look at"),
        ] {
            let sought = Sought {
                build: Build::default(),
                secrets: Vec::new(),
                agent: agent.map(str::to_owned),
            };
            let found = sought.socket(&key).unwrap_or_else(|error| format!("{error:#}"));
            assert!(found.contains(expected), "{found}");
        }
    }
}
