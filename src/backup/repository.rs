//! Opens a repository: finds or makes it, tells what is wrong with it, and locks it.

use std::sync::Arc;

use rustic_core::repofile::{SnapshotFile, SnapshotId};
use rustic_core::{
    ConfigOptions, Credentials, ErrorKind, KeyOptions, OpenStatus, Repository, RepositoryBackends,
    RepositoryOptions, RusticError,
};

use super::locks::{self, Locker};
use super::protocol::{Access, Failure, Holder, Summary};
use super::seal::Seal;
use super::store::{Backend, Kind};
use super::talk::{Bars, Failed, Outcome, Talk};

/// A repository that is worked on, and who listens.
pub(super) struct Site {
    pub(super) backend: Arc<Backend>,
    pub(super) talk: Arc<Talk>,
    access: Access,
    what: &'static str,
    holder: Holder,
}

/// An open repository.
pub(super) struct Opened {
    pub(super) repository: Repository<OpenStatus>,
    /// It was made just now.
    pub(super) made: bool,
}

/// How a repository is locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hold {
    /// Not at all.
    Nothing,
    /// Others may read and add.
    Shared,
    /// Nobody else may do anything.
    Exclusive,
}

impl Site {
    pub(super) fn new(
        access: Access,
        what: &'static str,
        holder: Option<Holder>,
        talk: &Arc<Talk>,
    ) -> Outcome<Self> {
        let (backend, talk) = (Backend::new(&access, talk)?, Arc::clone(talk));
        Ok(Self { backend, talk, access, what, holder: holder.unwrap_or_default() })
    }

    /// Opens and locks it.
    ///
    /// # Errors
    ///
    /// When it is not there, not ours, locked or cannot be reached.
    pub(super) fn open(&self, hold: Hold) -> Outcome<Opened> {
        let backend = &self.backend;
        let config = backend.store.config();
        let is_there = config.map_err(|fault| backend.failed(fault, "config"))?.is_some();
        if !is_there && !self.access.init {
            return Err(Failed::new(
                Failure::NoRepository,
                format!(
                    "there is no repository in {}: correct where it is, or set `init: true` to make \
                     one",
                    backend.name
                ),
            ));
        }
        if !is_there {
            self.make_way()?;
        }
        let credentials = Credentials::password(&self.access.password);
        let repository = self.unopened()?;
        let (repository, made) = if is_there {
            (repository.open(&credentials).map_err(|error| self.failed(&error))?, false)
        } else {
            self.init(repository, &credentials)?
        };
        // Who only reads can do so where no lock can be written; who writes fails then.
        let hold = if backend.store.is_read_only() { Hold::Nothing } else { hold };
        if hold != Hold::Nothing {
            let seal = Seal::new(&repository.key());
            let locker = Locker { backend: Arc::clone(backend), seal, holder: self.holder.clone() };
            locks::take(locker, hold == Hold::Exclusive, &self.talk)?;
        }
        Ok(Opened { repository, made })
    }

    /// Makes it, unless another does at the same time: whose config is there has made it, and only the
    /// key of that stays; any other would be tried in vain. Whether it was us, too.
    fn init(
        &self,
        repository: Repository<()>,
        credentials: &Credentials,
    ) -> Outcome<(Repository<OpenStatus>, bool)> {
        let backend = &self.backend;
        let made = repository.init(credentials, &KeyOptions::default(), &ConfigOptions::default());
        let config = match (backend.store.read(Kind::Config, "", None), &made) {
            (Ok(config), _) => config,
            (Err(_), Err(error)) => return Err(self.failed(error)),
            (Err(fault), Ok(_)) => return Err(backend.failed(fault, "config")),
        };
        let begun = backend.begun();
        let is_ours = begun.config.as_ref() == Some(&config);
        let keys = backend.store.list(Kind::Keys);
        for (key, _) in keys.map_err(|fault| backend.failed(fault, "keys"))? {
            if is_ours != (begun.key.as_ref() == Some(&key)) {
                let removed = backend.store.remove(Kind::Keys, &key);
                removed.map_err(|fault| backend.failed(fault, "keys"))?;
            }
        }
        match made {
            Ok(repository) if is_ours => Ok((repository, true)),
            _ => {
                let opened = self.unopened()?.open(credentials);
                Ok((opened.map_err(|error| self.failed(&error))?, is_ours))
            }
        }
    }

    /// Before a repository is made: never over data.
    fn make_way(&self) -> Outcome<()> {
        let backend = &self.backend;
        let list = |kind: Kind| {
            let listed = backend.store.list(kind);
            listed.map_err(|fault| backend.failed(fault, kind.directory()))
        };
        for kind in [Kind::Snapshots, Kind::Index, Kind::Data] {
            if !list(kind)?.is_empty() {
                return Err(Failed::new(
                    Failure::Damaged,
                    format!(
                        "{} has files of a repository and no `config`: bring that back; no new one is \
                         made over them",
                        backend.name
                    ),
                ));
            }
        }
        Ok(())
    }

    /// The word of what is done, in reports of progress.
    pub(super) fn word(&self) -> &'static str {
        self.what
    }

    fn unopened(&self) -> Outcome<Repository<()>> {
        let backends = RepositoryBackends::new(Arc::clone(&self.backend) as _, None);
        let bars = Bars { talk: Arc::clone(&self.talk), what: self.what };
        let mut options = RepositoryOptions::default();
        options.no_cache = true;
        let repository = Repository::new_with_progress(&options, &backends, bars);
        repository.map_err(|error| self.failed(&error))
    }

    /// Removes locks.
    ///
    /// # Errors
    ///
    /// When they cannot be read or removed.
    pub(super) fn unlock(&self, all: bool) -> Outcome<Summary> {
        let repository = self.open(Hold::Nothing)?.repository;
        let locker = Locker {
            backend: Arc::clone(&self.backend),
            seal: Seal::new(&repository.key()),
            holder: self.holder.clone(),
        };
        let unlocked = locks::unlock(&locker, all)?;
        Ok(Summary { unlocked, ..Summary::default() })
    }

    /// What an error of the library means to a person.
    pub(super) fn failed(&self, error: &RusticError) -> Failed {
        let name = &self.backend.name;
        if error.is_incorrect_password() {
            return Failed::new(
                Failure::WrongPassword,
                format!("the password does not open {name}: correct it; nothing was changed"),
            );
        }
        self.backend.cause(|| {
            let text = error.display_log();
            let text = text.trim_start_matches("Error: ");
            let is_damage = text.contains("kind: related to")
                && [ErrorKind::Cryptography, ErrorKind::Verification, ErrorKind::Internal]
                    .iter()
                    .any(|kind| text.contains(&format!("kind: related to {kind}")));
            if is_damage {
                Failed::new(
                    Failure::Damaged,
                    format!("{name} seems to be damaged: {text}; run a check of it"),
                )
            } else {
                Failed::new(Failure::Other, format!("{name}: {text}"))
            }
        })
    }
}

/// The snapshot called `name`: by its id, the beginning of one, or `latest` of those with all `tags`.
///
/// # Errors
///
/// When there is none or more than one.
pub(super) fn find(
    site: &Site,
    repository: &Repository<OpenStatus>,
    (name, tags): (&str, &[String]),
) -> Outcome<SnapshotFile> {
    let missing = |what: String| {
        let place = &site.backend.name;
        Failed::new(Failure::NotFound, format!("{what} in {place}: list the snapshots"))
    };
    if name == "latest" {
        return all(site, repository, tags)?.pop().ok_or_else(|| {
            let with = if tags.is_empty() { String::new() } else { format!(" with {tags:?}") };
            missing(format!("there is no snapshot{with}"))
        });
    }
    let ids = repository.list::<SnapshotId>().map_err(|error| site.failed(&error))?;
    let mut ids = ids.filter(|id| !name.is_empty() && id.to_hex().as_str().starts_with(name));
    match (ids.next(), ids.next()) {
        (Some(id), None) => {
            let mut snapshot: SnapshotFile =
                repository.get_file(&id).map_err(|error| site.failed(&error))?;
            snapshot.id = id;
            Ok(snapshot)
        }
        (Some(_), Some(_)) => Err(missing(format!("`{name}` begins more than one snapshot"))),
        (None, _) => Err(missing(format!("there is no snapshot `{name}`"))),
    }
}

/// All snapshots with all of `tags`, oldest first.
///
/// # Errors
///
/// When one cannot be read.
pub(super) fn all(
    site: &Site,
    repository: &Repository<OpenStatus>,
    tags: &[String],
) -> Outcome<Vec<SnapshotFile>> {
    let has_all = |snapshot: &SnapshotFile| tags.iter().all(|tag| snapshot.tags.contains(tag));
    let found = repository.get_matching_snapshots(has_all);
    let mut found = found.map_err(|error| site.failed(&error))?;
    found.sort_by_key(|snapshot| snapshot.time.timestamp());
    Ok(found)
}
