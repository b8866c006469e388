//! Secrets and configs of a container: files of the host are mounted, anything else is written into it.
//!
//! A file whose owner or mode was written is a copy, too: a mount cannot have any but its own.

use std::time::SystemTime;

use anyhow::{Context, Result};
use futures_util::stream;
use sha2::{Digest as _, Sha256};

use super::{Engine, Ownership};
use crate::compose::model::{FileObject, FileReference, FileSource, Project, Service};

/// Where secrets are that name no place.
const SECRETS: &str = "/run/secrets/";
/// Where configs are that name no place.
const CONFIGS: &str = "/";
/// Who may do what with a file of which nothing was said.
const DEFAULT_MODE: u32 = 0o444;

/// What kind of file it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Secret,
    Config,
}

/// A file to write into a container before each start. Cannot print its content.
#[derive(Clone, PartialEq, Eq)]
pub struct Upload {
    /// Absolute path in the container.
    pub target: String,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Permissions.
    pub mode: u32,
    content: Vec<u8>,
}

impl std::fmt::Debug for Upload {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { target, uid, gid, mode, content } = self;
        write!(formatter, "Upload({target} {uid}:{gid} {mode:o}, {} bytes)", content.len())
    }
}

/// What a service has of secrets, then of configs.
pub(super) fn references(service: &Service) -> impl Iterator<Item = (Kind, &FileReference)> {
    let secrets = service.secrets.iter().map(|it| (Kind::Secret, it));
    secrets.chain(service.configs.iter().map(|it| (Kind::Config, it)))
}

/// Where it is in the container.
pub(super) fn target(kind: Kind, reference: &FileReference) -> String {
    let directory = match kind {
        Kind::Secret => SECRETS,
        Kind::Config => CONFIGS,
    };
    match reference.target.as_deref().filter(|it| !it.is_empty()) {
        Some(target) if target.starts_with('/') => target.to_owned(),
        Some(target) => format!("{directory}{target}"),
        None => format!("{directory}{}", reference.source),
    }
}

fn object<'a>(
    project: &'a Project,
    kind: Kind,
    reference: &FileReference,
) -> Option<&'a FileObject> {
    match kind {
        Kind::Secret => project.secrets.get(&reference.source),
        Kind::Config => project.configs.get(&reference.source),
    }
}

/// The path of the host to mount; `None` for what is written instead. A root that is read-only cannot
/// be written to, so that a mount has to do.
pub(super) fn mounted<'a>(
    project: &'a Project,
    service: &Service,
    kind: Kind,
    reference: &FileReference,
) -> Option<&'a str> {
    let has_owner = reference.uid.is_some() || reference.gid.is_some() || reference.mode.is_some();
    match &object(project, kind, reference)?.source {
        FileSource::File(path) if service.read_only || !has_owner => Some(path),
        FileSource::File(_)
        | FileSource::Elsewhere
        | FileSource::Environment { .. }
        | FileSource::Content(_) => None,
    }
}

/// The files to write into a container of a service before each start. `read` reads a file of the
/// project by its path.
///
/// # Errors
///
/// When a file cannot be read, a variable is not set, or an owner is no number.
pub fn uploads(
    project: &Project,
    service: &Service,
    read: &dyn Fn(&str) -> std::io::Result<Vec<u8>>,
) -> Result<Vec<Upload>> {
    let mut uploads = Vec::new();
    for (kind, reference) in references(service) {
        if mounted(project, service, kind, reference).is_some() {
            continue;
        }
        let place = || format!("service `{}`: file `{}`", service.name, reference.source);
        let object = object(project, kind, reference).context("it is not declared");
        let content = match &object.with_context(place)?.source {
            FileSource::File(path) => {
                read(path).with_context(|| format!("read `{path}`")).with_context(place)?
            }
            FileSource::Content(text) => text.clone().into_bytes(),
            FileSource::Environment { variable, value } => {
                let value = value.as_ref().map(|it| it.expose().as_bytes().to_vec());
                value
                    .with_context(|| format!("variable `{variable}` is not set"))
                    .with_context(place)?
            }
            FileSource::Elsewhere => continue,
        };
        let id = |id: &Option<String>| -> Result<u32> {
            let text = id.as_deref().unwrap_or("0");
            text.parse().with_context(|| format!("owner `{text}` is no number")).with_context(place)
        };
        uploads.push(Upload {
            target: target(kind, reference),
            uid: id(&reference.uid)?,
            gid: id(&reference.gid)?,
            mode: reference.mode.unwrap_or(DEFAULT_MODE),
            content,
        });
    }
    Ok(uploads)
}

/// A digest of files with their places, owners and permissions: SHA-256, in hexadecimal digits.
pub fn digest(uploads: &[Upload]) -> String {
    let mut digest = Sha256::new();
    for Upload { target, uid, gid, mode, content } in uploads {
        digest.update(format!("{target}\0{uid}:{gid} {mode:o} {}\0", content.len()));
        digest.update(content);
    }
    format!("{:x}", digest.finalize())
}

impl Engine {
    /// Writes secrets and configs into a container; to be called before each start.
    ///
    /// # Errors
    ///
    /// When the container's root cannot be written to.
    pub async fn upload_secrets(&self, id: &str, uploads: &[Upload]) -> Result<()> {
        if uploads.is_empty() {
            return Ok(());
        }
        let archive = archive(uploads).context("pack secrets and configs")?;
        let stream = stream::iter([Ok(archive)]);
        let written = self.upload_archive(id, "/", Ownership::Archive, stream).await;
        written.context("write secrets and configs")
    }
}

#[expect(clippy::disallowed_methods, reason = "the date of files, by which nothing is decided")]
fn archive(uploads: &[Upload]) -> std::io::Result<Vec<u8>> {
    let written = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let mut archive = tar::Builder::new(Vec::new());
    for upload in uploads {
        let mut header = tar::Header::new_gnu();
        header.set_size(upload.content.len() as u64);
        header.set_uid(u64::from(upload.uid));
        header.set_gid(u64::from(upload.gid));
        header.set_mode(upload.mode);
        header.set_mtime(written.as_secs());
        let path = upload.target.trim_start_matches('/');
        archive.append_data(&mut header, path, upload.content.as_slice())?;
    }
    archive.into_inner()
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;
    use crate::compose::model::Hidden;

    fn project() -> Project {
        let object = |name: &str, source: FileSource| {
            (name.to_owned(), FileObject { source, ..FileObject::default() })
        };
        let variable = "V".to_owned();
        let value = Some(Hidden::new("v".to_owned()));
        Project {
            secrets: [
                object("file", FileSource::File("/h/f".to_owned())),
                object("variable", FileSource::Environment { variable, value }),
            ]
            .into(),
            configs: [object("text", FileSource::Content("t".to_owned()))].into(),
            ..Project::default()
        }
    }

    fn reference(source: &str, target: Option<&str>, uid: Option<&str>) -> FileReference {
        FileReference {
            source: source.to_owned(),
            target: target.map(str::to_owned),
            uid: uid.map(str::to_owned),
            ..FileReference::default()
        }
    }

    #[test]
    fn files_are_mounted_and_the_rest_is_written() {
        let owned = FileReference { mode: Some(0o400), ..reference("file", None, Some("7")) };
        for (kind, reference, read_only, mount, expected) in [
            (Kind::Secret, reference("file", None, None), false, Some("/h/f"), "/run/secrets/file"),
            (
                Kind::Secret,
                reference("file", Some("x"), None),
                true,
                Some("/h/f"),
                "/run/secrets/x",
            ),
            (Kind::Secret, owned.clone(), true, Some("/h/f"), "/run/secrets/file"),
            (Kind::Secret, owned, false, None, "/run/secrets/file 7:0 400, 2 bytes"),
            (
                Kind::Secret,
                reference("variable", Some("/a/b"), None),
                false,
                None,
                "/a/b 0:0 444, 1 bytes",
            ),
            (Kind::Config, reference("text", None, None), false, None, "/text 0:0 444, 1 bytes"),
            (
                Kind::Config,
                reference("text", Some("e/t"), None),
                false,
                None,
                "/e/t 0:0 444, 1 bytes",
            ),
        ] {
            let mut service = Service { read_only, ..Service::default() };
            match kind {
                Kind::Secret => service.secrets.push(reference.clone()),
                Kind::Config => service.configs.push(reference.clone()),
            }
            let project = project();
            assert_eq!(mounted(&project, &service, kind, &reference), mount, "{reference:?}");
            let found = uploads(&project, &service, &|_| Ok(b"hi".to_vec())).unwrap();
            match mount {
                Some(_) => {
                    assert!(found.is_empty(), "{found:?}");
                    assert_eq!(target(kind, &reference), expected);
                }
                None => assert_eq!(format!("{found:?}"), format!("[Upload({expected})]")),
            }
        }
    }

    #[test]
    fn what_is_written_has_its_owner_and_mode() {
        let upload = Upload {
            target: format!("/run/{}/s", "long".repeat(40)),
            uid: 5,
            gid: 6,
            mode: 0o440,
            content: b"x".to_vec(),
        };
        let bytes = archive(std::slice::from_ref(&upload)).unwrap();
        let mut archive = tar::Archive::new(bytes.as_slice());
        let mut entries = archive.entries().unwrap();
        let mut entry = entries.next().unwrap().unwrap();
        assert_eq!(entry.path().unwrap().to_str(), Some(&upload.target[1..]));
        let header = entry.header();
        assert_eq!((header.uid().unwrap(), header.gid().unwrap()), (5, 6));
        assert_eq!(header.mode().unwrap(), 0o440);
        let mut text = String::new();
        entry.read_to_string(&mut text).unwrap();
        assert_eq!(text, "x");
        assert!(entries.next().is_none());
    }
}
