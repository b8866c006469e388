//! What an archive goes through on its way: compressed, then encrypted, and counted as it is stored.

use std::io::{self, BufReader, Read, Write};

use age::secrecy::SecretString;
use age::stream::StreamWriter;
use age::{DecryptError, Decryptor, Encryptor, Identity, IdentityFile, scrypt, x25519};
use openssl::sha::Sha256;

use super::super::protocol::{Access, Failure, Tool};
use super::super::store::Writing;
use super::super::talk::{Failed, Outcome};
use super::record::{Encryption, hex};

/// How hard it is packed: zstd's own middle.
const LEVEL: i32 = 3;
/// How much work a password is, as a power of two: 32 MiB for a moment, as restic has it.
const WORK: u8 = 15;
/// The most that is done to open something.
const MOST_WORK: u8 = 20;
/// What is read at once.
const BUFFER: usize = 256 << 10;

/// How a place encrypts, by what `access` says.
pub(super) fn encryption(access: &Access) -> Encryption {
    match &access.tool {
        Tool::Tar { recipients, .. } if !recipients.is_empty() => {
            Encryption::Recipients(recipients.clone())
        }
        _ if access.password.is_empty() => Encryption::None,
        _ => Encryption::Password,
    }
}

/// An archive that is being written.
pub(super) struct Sink {
    encoder: zstd::Encoder<'static, Sealed>,
}

/// What was written.
pub(super) struct Written {
    pub(super) writing: Writing,
    pub(super) size: u64,
    pub(super) sha256: String,
}

impl Sink {
    /// Begins an archive.
    ///
    /// # Errors
    ///
    /// For a public key that is none, and when nothing can be written.
    pub(super) fn new(writing: Writing, access: &Access) -> io::Result<Self> {
        let counted = Counted { writing, hash: Sha256::new(), size: 0 };
        let sealed = match encryptor(access)? {
            None => Sealed::Plain(counted),
            Some(encryptor) => Sealed::Age(Box::new(encryptor.wrap_output(counted)?)),
        };
        let mut encoder = zstd::Encoder::new(sealed, LEVEL)?;
        encoder.include_checksum(true)?;
        Ok(Self { encoder })
    }

    /// Writes what is left of it; it is not in place yet.
    ///
    /// # Errors
    ///
    /// When that cannot be written.
    pub(super) fn finish(self) -> io::Result<Written> {
        let counted = match self.encoder.finish()? {
            Sealed::Plain(counted) => counted,
            Sealed::Age(writer) => writer.finish()?,
        };
        let Counted { writing, hash, size } = counted;
        Ok(Written { writing, size, sha256: hex(&hash.finish()) })
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.encoder.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn encryptor(access: &Access) -> io::Result<Option<Encryptor>> {
    let keys: Vec<Box<dyn age::Recipient>> = match encryption(access) {
        Encryption::None => return Ok(None),
        Encryption::Password => {
            let mut password = scrypt::Recipient::new(SecretString::from(access.password.clone()));
            password.set_work_factor(WORK);
            vec![Box::new(password)]
        }
        Encryption::Recipients(keys) => {
            keys.iter().map(|key| recipient(key)).collect::<Result<_, _>>()?
        }
    };
    let keys = keys.iter().map(|key| &**key as &dyn age::Recipient);
    Encryptor::with_recipients(keys).map(Some).map_err(|error| io::Error::other(error.to_string()))
}

fn recipient(key: &str) -> io::Result<Box<dyn age::Recipient>> {
    let key: x25519::Recipient = key.parse().map_err(|error: &str| {
        io::Error::other(format!(
            "`recipients` has `{key}`, which is no public key ({error}): expected what `age-keygen` \
             prints, `age1…`"
        ))
    })?;
    Ok(Box::new(key))
}

enum Sealed {
    Plain(Counted),
    Age(Box<StreamWriter<Counted>>),
}

impl Write for Sealed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(counted) => counted.write(bytes),
            Self::Age(writer) => writer.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Counted {
    writing: Writing,
    hash: Sha256,
    size: u64,
}

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.writing.write(bytes)?;
        self.hash.update(&bytes[..count]);
        self.size += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// An archive as it was before it was encrypted and compressed.
pub(super) type Content = Box<dyn Read>;

/// Reads an archive that is encrypted as `encryption` says.
///
/// # Errors
///
/// When it is not opened by what `access` has.
pub(super) fn open(
    stored: Box<dyn Read>,
    encryption: &Encryption,
    (access, name): (&Access, &str),
) -> Outcome<Content> {
    let stored = BufReader::with_capacity(BUFFER, stored);
    let keys: Vec<Box<dyn Identity>> = match encryption {
        Encryption::None => return unpacked(Box::new(stored), name),
        Encryption::Password => {
            if access.password.is_empty() {
                return Err(Failed::new(
                    Failure::WrongPassword,
                    format!("{name} is encrypted by a password, and none is given: set it"),
                ));
            }
            let mut password = scrypt::Identity::new(SecretString::from(access.password.clone()));
            password.set_max_work_factor(MOST_WORK);
            vec![Box::new(password)]
        }
        Encryption::Recipients(_) => identities(access, name)?,
    };
    let keys = keys.iter().map(|key| &**key as &dyn Identity);
    let opened = Decryptor::new_buffered(stored).and_then(|decryptor| decryptor.decrypt(keys));
    let opened = opened.map_err(|error| closed(error, encryption, name))?;
    unpacked(Box::new(opened), name)
}

fn unpacked(stored: Box<dyn Read>, name: &str) -> Outcome<Content> {
    let decoder = zstd::Decoder::new(stored).map_err(|error| {
        Failed::new(Failure::Damaged, format!("{name} cannot be unpacked: {error}"))
    })?;
    Ok(Box::new(decoder))
}

fn identities(access: &Access, name: &str) -> Outcome<Vec<Box<dyn Identity>>> {
    let Tool::Tar { identities: Some(text), .. } = &access.tool else {
        return Err(Failed::new(
            Failure::WrongPassword,
            format!(
                "{name} is encrypted for public keys, and only their secret keys open it: name the \
                 file that has one in `identity_file`"
            ),
        ));
    };
    // The error is not shown: it may quote a key.
    let file = IdentityFile::from_buffer(text.as_bytes());
    let keys = file.ok().and_then(|file| file.into_identities().ok());
    let keys = keys.filter(|keys| !keys.is_empty()).ok_or_else(|| {
        let what = "`identity_file` has no secret keys: expected what `age-keygen` writes, a line \
                    that begins with `AGE-SECRET-KEY-1`";
        Failed::new(Failure::WrongPassword, what)
    })?;
    Ok(keys.into_iter().map(|key| key as Box<dyn Identity>).collect())
}

fn closed(error: DecryptError, encryption: &Encryption, name: &str) -> Failed {
    let wrong = |what: &str| Failed::new(Failure::WrongPassword, format!("{what} {name}"));
    match (error, encryption) {
        (DecryptError::Io(error), _) => super::reading_failed(&error, name, name),
        (
            DecryptError::KeyDecryptionFailed
            | DecryptError::DecryptionFailed
            | DecryptError::NoMatchingKeys,
            Encryption::Password,
        ) => {
            let what =
                format!("the password does not open {name}: correct it, or give the one of then");
            Failed::new(Failure::WrongPassword, what)
        }
        (DecryptError::NoMatchingKeys, _) => wrong("none of the keys in `identity_file` opens"),
        (DecryptError::KeyDecryptionFailed | DecryptError::DecryptionFailed, _) => {
            wrong("the keys in `identity_file` do not open")
        }
        (error, _) => Failed::new(
            Failure::Damaged,
            format!("{name} is damaged: {error}; check the repository"),
        ),
    }
}
