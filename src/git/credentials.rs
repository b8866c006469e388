//! Deploy keys and tokens: which file belongs to which repository.
//!
//! Contents stay in a type that cannot print; messages name files.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use secrecy::SecretString;

use crate::settings::GitSettings;

/// The key used for every repository that has none of its own.
const SHARED_KEY: &str = "id_rsa_git_ssh_read_only";

/// Bytes beyond which a file is no key or token.
const LARGEST: u64 = 64 * 1024;

/// The user for https where the token file names none; forges accept any.
const TOKEN_USER: &str = "oauth2";

/// A secret and the file it came from.
pub(super) struct Secret {
    pub(super) file: PathBuf,
    pub(super) user: String,
    pub(super) text: SecretString,
    /// Everyone on the host can read the file.
    pub(super) exposed: bool,
}

/// The private key for a repository: its own, else the shared one.
///
/// # Errors
///
/// Says which files were tried.
pub(super) fn deploy_key(settings: &GitSettings, repository: &str) -> Result<Secret, String> {
    let own = settings.deploy_key_dir.join(format!("{repository}_deploy_key"));
    let shared = settings.deploy_key_dir.join(SHARED_KEY);
    match first_secret([&own, &shared])? {
        Some((file, text, exposed)) => {
            Ok(Secret { file, user: String::new(), text: text.into(), exposed })
        }
        None => Err(format!(
            "there is no deploy key: put one at `{}` or `{}`",
            own.display(),
            shared.display(),
        )),
    }
}

/// The private key in a file that somebody named.
///
/// # Errors
///
/// Where it cannot be read.
pub(super) fn identity(file: &Path) -> Result<Secret, String> {
    let (text, exposed) =
        read(file).map_err(|error| format!("read the key `{}`: {error}", file.display()))?;
    Ok(Secret { file: file.to_owned(), user: String::new(), text: text.into(), exposed })
}

/// The user and token for a repository: its own, else that of its host.
///
/// # Errors
///
/// Says which files were tried.
pub(super) fn token(
    settings: &GitSettings,
    repository: &str,
    host: &str,
) -> Result<Secret, String> {
    let own = settings.token_dir.join(format!("{repository}_token"));
    let of_host = settings.token_dir.join(format!("{host}_token"));
    let Some((file, text, exposed)) = first_secret([&own, &of_host])? else {
        return Err(format!(
            "there is no token: put `token` or `user:token` into `{}` or `{}`",
            own.display(),
            of_host.display(),
        ));
    };
    let text = text.trim();
    let (user, token) = text.split_once(':').unwrap_or((TOKEN_USER, text));
    Ok(Secret { file, user: user.to_owned(), text: token.to_owned().into(), exposed })
}

fn first_secret(files: [&PathBuf; 2]) -> Result<Option<(PathBuf, String, bool)>, String> {
    for file in files {
        match read(file) {
            Ok((text, exposed)) => return Ok(Some((file.clone(), text, exposed))),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(format!("read `{}`: {error}", file.display())),
        }
    }
    Ok(None)
}

fn read(file: &Path) -> std::io::Result<(String, bool)> {
    let about = fs::metadata(file)?;
    if !about.is_file() || about.len() > LARGEST {
        return Err(std::io::Error::other("this is no key or token file"));
    }
    Ok((fs::read_to_string(file)?, about.permissions().mode() & 0o004 != 0))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use secrecy::ExposeSecret;

    use super::*;

    fn settings(dir: &Path) -> GitSettings {
        GitSettings {
            deploy_key_dir: dir.to_owned(),
            known_hosts: dir.join("known_hosts"),
            token_dir: dir.to_owned(),
            timeout: Duration::from_secs(1),
        }
    }

    #[test]
    fn a_repository_key_wins_over_the_shared_one() {
        let dir = tempfile::tempdir().unwrap();
        let settings = settings(dir.path());
        let missing = deploy_key(&settings, "app").err().unwrap();
        assert!(missing.contains("app_deploy_key") && missing.contains(SHARED_KEY), "{missing}");
        fs::write(dir.path().join(SHARED_KEY), "shared").unwrap();
        assert_eq!(deploy_key(&settings, "app").ok().unwrap().text.expose_secret(), "shared");
        fs::write(dir.path().join("app_deploy_key"), "own").unwrap();
        assert_eq!(deploy_key(&settings, "app").ok().unwrap().text.expose_secret(), "own");
    }

    #[test]
    fn reads_tokens_with_and_without_a_user() {
        let rows = [
            ("app_token", " secret\n", TOKEN_USER, "secret"),
            ("app_token", "me:se:cret\n", "me", "se:cret"),
            ("git.example_token", "host", TOKEN_USER, "host"),
        ];
        for (name, text, user, expected) in rows {
            let dir = tempfile::tempdir().unwrap();
            let file = dir.path().join(name);
            fs::write(&file, text).unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
            let secret = token(&settings(dir.path()), "app", "git.example").ok().unwrap();
            assert_eq!((secret.user.as_str(), secret.text.expose_secret()), (user, expected));
            assert!(!secret.exposed);
            fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
            assert!(token(&settings(dir.path()), "app", "git.example").ok().unwrap().exposed);
        }
    }
}
