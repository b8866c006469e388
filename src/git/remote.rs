//! One conversation with one remote: list its refs, fetch one of them, and say what went wrong.

use std::cell::{Cell, RefCell};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use git2::{
    AutotagOption, CertificateCheckStatus, Cred, CredentialType, Direction, ErrorCode,
    FetchOptions, ProxyOptions, Remote, RemoteCallbacks, RemoteConnection,
};
use secrecy::ExposeSecret;

use super::address::{Address, Protocol, redact};
use super::known_hosts::{self, KnownHosts, Trust};
use super::process::process;
use super::{credentials, credentials::Secret};
use crate::settings::GitSettings;
use crate::source::RemoteFault;

/// A ref as a remote advertises it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RemoteRef {
    pub(super) name: String,
    pub(super) id: git2::Oid,
    /// The ref that `HEAD` stands for.
    pub(super) points_at: Option<String>,
}

/// What a conversation needs and what it learns.
pub(super) struct Session<'a> {
    settings: &'a GitSettings,
    repository: &'a str,
    address: Address,
    /// The URL without anything secret.
    shown: String,
    cancelled: &'a AtomicBool,
    /// A private key in place of the deploy key.
    identity: Option<PathBuf>,
    offered: Cell<bool>,
    secret_file: RefCell<Option<String>>,
    exposed: RefCell<Option<String>>,
    fault: RefCell<Option<RemoteFault>>,
}

impl<'a> Session<'a> {
    /// A conversation about a repository, which its deploy key and token are named after.
    pub(super) fn new(
        settings: &'a GitSettings,
        repository: &'a str,
        url: &str,
        cancelled: &'a AtomicBool,
    ) -> Result<Self, RemoteFault> {
        let address = Address::parse(url).map_err(RemoteFault::Unreachable)?;
        match address.protocol {
            Protocol::Ssh => prefer_known_keys(settings, &address)?,
            Protocol::Local => trust_local(url)?,
            Protocol::Https | Protocol::Http | Protocol::Git => {}
        }
        Ok(Self {
            settings,
            repository,
            address,
            shown: redact(url),
            cancelled,
            identity: None,
            offered: Cell::new(false),
            secret_file: RefCell::new(None),
            exposed: RefCell::new(None),
            fault: RefCell::new(None),
        })
    }

    /// Logs in with this private key in place of the deploy key.
    pub(super) fn with_identity(mut self, identity: Option<PathBuf>) -> Self {
        self.identity = identity;
        self
    }

    /// Connects and logs in.
    pub(super) fn connect<'remote, 'session, 'repo>(
        &'session self,
        remote: &'remote mut Remote<'repo>,
    ) -> Result<RemoteConnection<'repo, 'remote, 'session>, RemoteFault> {
        let connected =
            remote.connect_auth(Direction::Fetch, Some(self.callbacks()), Some(proxy()));
        connected.map_err(|error| self.fault(&error))
    }

    /// All refs. None at all is a fault: it never means that a branch was deleted.
    pub(super) fn list(
        &self,
        connection: &RemoteConnection<'_, '_, '_>,
    ) -> Result<Vec<RemoteRef>, RemoteFault> {
        let heads = connection.list().map_err(|error| self.fault(&error))?;
        if heads.is_empty() {
            let message = "has no refs: push a first commit, or look what happened to it";
            return Err(RemoteFault::Unreachable(format!("`{}` {message}", self.shown)));
        }
        let read = |head: &git2::RemoteHead<'_>| RemoteRef {
            name: head.name().to_owned(),
            id: head.oid(),
            points_at: head.symref_target().map(ToOwned::to_owned),
        };
        Ok(heads.iter().map(read).collect())
    }

    /// Fetches what one refspec names, and no tags besides.
    pub(super) fn fetch(&self, remote: &mut Remote<'_>, refspec: &str) -> Result<(), RemoteFault> {
        let mut options = FetchOptions::new();
        options.remote_callbacks(self.callbacks()).proxy_options(proxy());
        options.download_tags(AutotagOption::None).update_fetchhead(false);
        self.offered.set(false);
        let fetched = remote.fetch(&[refspec], Some(&mut options), Some("roadstead: fetch"));
        fetched.map_err(|error| self.fault(&error))
    }

    /// A warning about the file that the key or token came from.
    pub(super) fn warning(&self) -> Option<String> {
        let file = self.exposed.borrow();
        file.as_ref().map(|file| format!("everyone can read `{file}`: run `chmod 600 {file}`"))
    }

    fn callbacks(&self) -> RemoteCallbacks<'_> {
        let mut callbacks = RemoteCallbacks::new();
        callbacks.credentials(move |_, user, allowed| self.log_in(user, allowed));
        callbacks.certificate_check(move |certificate, host| self.check_host(certificate, host));
        callbacks.transfer_progress(move |_| self.goes_on());
        callbacks.sideband_progress(move |_| self.goes_on());
        callbacks
    }

    fn goes_on(&self) -> bool {
        !self.cancelled.load(Ordering::Relaxed)
    }

    /// Offers each key or token once: libgit2 asks for ever as long as it is given the same one.
    fn log_in(&self, user: Option<&str>, allowed: CredentialType) -> Result<Cred, git2::Error> {
        if !self.goes_on() {
            return Err(git2::Error::from_str("cancelled"));
        }
        let user = user.unwrap_or("git");
        if allowed.contains(CredentialType::USERNAME) {
            return Cred::username(user);
        }
        if self.offered.replace(true) {
            return self.refuse(self.rejection());
        }
        if allowed.contains(CredentialType::SSH_KEY) {
            let key = match &self.identity {
                Some(file) => credentials::identity(file),
                None => credentials::deploy_key(self.settings, self.repository),
            };
            return match key {
                Ok(secret) => {
                    self.remember(&secret, false);
                    Cred::ssh_key_from_memory(user, None, secret.text.expose_secret(), None)
                }
                Err(message) => self.refuse(message),
            };
        }
        if allowed.contains(CredentialType::USER_PASS_PLAINTEXT) && self.speaks_http() {
            return match credentials::token(self.settings, self.repository, &self.address.host) {
                Ok(secret) => {
                    self.remember(&secret, true);
                    Cred::userpass_plaintext(&secret.user, secret.text.expose_secret())
                }
                Err(message) => self.refuse(message),
            };
        }
        self.refuse(format!("`{}` accepts no deploy key: allow public keys there", self.shown))
    }

    fn speaks_http(&self) -> bool {
        matches!(self.address.protocol, Protocol::Https | Protocol::Http)
    }

    fn remember(&self, secret: &Secret, check_exposed: bool) {
        let file = secret.file.display().to_string();
        if secret.exposed && check_exposed {
            self.exposed.replace(Some(file.clone()));
        }
        self.secret_file.replace(Some(file));
    }

    fn rejection(&self) -> String {
        let file = self.secret_file.borrow();
        let file = file.as_deref().unwrap_or("the key or token");
        let todo = "add it there with read access, or replace it";
        format!("`{}` rejected `{file}`: {todo}", self.shown)
    }

    fn refuse<T>(&self, message: String) -> Result<T, git2::Error> {
        self.fault.replace(Some(RemoteFault::AuthenticationFailed(message)));
        Err(git2::Error::new(ErrorCode::Auth, git2::ErrorClass::Callback, "authentication failed"))
    }

    fn check_host(
        &self,
        certificate: &git2::cert::Cert<'_>,
        host: &str,
    ) -> Result<CertificateCheckStatus, git2::Error> {
        let Some(offered) = certificate.as_hostkey() else {
            return Ok(CertificateCheckStatus::CertificatePassthrough);
        };
        let checked = match offered.hostkey() {
            Some(key) => self.check_host_key(host, key),
            None => Err(format!("ssh host `{host}` shows no key")),
        };
        checked.map(|()| CertificateCheckStatus::CertificateOk).map_err(|message| {
            self.fault.replace(Some(RemoteFault::HostKeyRejected(message)));
            git2::Error::new(ErrorCode::Certificate, git2::ErrorClass::Ssh, "host key rejected")
        })
    }

    fn check_host_key(&self, host: &str, key: &[u8]) -> Result<(), String> {
        let port = self.address.port.unwrap_or(known_hosts::DEFAULT_PORT);
        let file = self.settings.known_hosts.display();
        let name = known_hosts::name_of(host, port);
        let key_type = known_hosts::key_type(key).unwrap_or("unreadable");
        let scan = format!("ssh-keyscan -p {port} {host}");
        match read_known_hosts(self.settings)?.check(host, port, key) {
            Trust::Known => Ok(()),
            Trust::Unknown => Err(format!(
                "host key ({key_type}) of `{name}` is unknown: compare it with what its owner \
                 publishes, then run `{scan} >> {file}`",
            )),
            Trust::Changed(line) => Err(format!(
                "host key ({key_type}) of `{name}` has CHANGED from line {line} of `{file}`: someone \
                 may be in between. Ask its owner; only then remove that line and run `{scan} >> {file}`",
            )),
            Trust::Revoked(line) => Err(format!(
                "host key ({key_type}) of `{name}` is revoked in line {line} of `{file}`: do not use it",
            )),
        }
    }

    fn fault(&self, error: &git2::Error) -> RemoteFault {
        if let Some(fault) = self.fault.take() {
            return fault;
        }
        if !self.goes_on() {
            return RemoteFault::Unreachable(format!("`{}`: cancelled", self.shown));
        }
        let said = redact(error.message());
        let mut message = format!("`{}`: {said}", self.shown);
        // What a shallow repository tells of itself is what libgit2 does not understand.
        if said == "invalid packet line" {
            message.push_str(": is it a shallow clone? Run `git fetch --unshallow` there");
        }
        match error.code() {
            // A key that cannot even be read is no code of its own, only libgit2's text.
            _ if said.starts_with("failed to authenticate SSH session") => {
                RemoteFault::AuthenticationFailed(format!("{} ({said})", self.rejection()))
            }
            _ if self.speaks_http() && said.ends_with("status code: 403") => {
                RemoteFault::AuthenticationFailed(format!("{} ({said})", self.rejection()))
            }
            ErrorCode::Auth => RemoteFault::AuthenticationFailed(message),
            _ => RemoteFault::Unreachable(message),
        }
    }
}

fn proxy<'a>() -> ProxyOptions<'a> {
    let mut options = ProxyOptions::new();
    options.auto();
    options
}

fn read_known_hosts(settings: &GitSettings) -> Result<KnownHosts, String> {
    let file = &settings.known_hosts;
    match fs::read_to_string(file) {
        Ok(text) => Ok(KnownHosts::parse(&text)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(KnownHosts::parse("")),
        Err(error) => Err(format!("read `{}`: {error}", file.display())),
    }
}

/// Reads a repository on this machine whoever owns it: nothing in it is run.
fn trust_local(url: &str) -> Result<(), RemoteFault> {
    let path = Path::new(url.strip_prefix("file://").unwrap_or(url));
    let work_tree = path.parent().filter(|_| path.ends_with(".git"));
    for one in [Some(path), work_tree].into_iter().flatten().filter(|one| one.exists()) {
        process().trust(one).map_err(|error| {
            RemoteFault::Unreachable(format!("trust `{}`: {error}", one.display()))
        })?;
    }
    Ok(())
}

fn prefer_known_keys(settings: &GitSettings, address: &Address) -> Result<(), RemoteFault> {
    let port = address.port.unwrap_or(known_hosts::DEFAULT_PORT);
    let lines = read_known_hosts(settings)
        .map_err(RemoteFault::HostKeyRejected)?
        .lines_of(&address.host, port);
    let name = known_hosts::name_of(&address.host, port);
    process().prefer_host_keys(&name, lines).map_err(|error| {
        RemoteFault::HostKeyRejected(format!("write the known keys of `{name}`: {error}"))
    })
}
