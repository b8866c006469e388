//! Files of ours into a tar archive.

use std::fs::Metadata;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::pipe::Writing;

/// Large enough that a piece is worth sending.
const PIECE_BYTES: usize = 64 * 1024;

/// What is to be packed.
pub(super) struct Packed {
    path: PathBuf,
    /// Whether it is a directory.
    pub(super) is_directory: bool,
}

/// Looks at a path before anything is sent.
pub(super) fn look(path: &Path, follow: bool) -> Result<Packed> {
    let what = || format!("read `{}`", path.display());
    let path =
        if follow { std::fs::canonicalize(path).with_context(what)? } else { path.to_owned() };
    let metadata: Metadata = std::fs::symlink_metadata(&path).with_context(what)?;
    if path.as_os_str().as_encoded_bytes().ends_with(b"/") && !metadata.is_dir() {
        bail!("`{}` is not a directory", path.display());
    }
    Ok(Packed { is_directory: metadata.is_dir(), path })
}

/// Packs a file or a directory under `name`; without one the content of the directory.
pub(super) fn pack(source: &Packed, name: Option<&str>, to: Writing) {
    let mut builder = tar::Builder::new(BufWriter::with_capacity(PIECE_BYTES, to));
    builder.follow_symlinks(false);
    let name = Path::new(name.unwrap_or("."));
    let packed = if source.is_directory {
        builder.append_dir_all(name, &source.path)
    } else {
        builder.append_path_with_name(&source.path, name)
    };
    finish(builder, packed);
}

fn finish(builder: tar::Builder<BufWriter<Writing>>, packed: io::Result<()>) {
    // An archive that breaks off must not look like one that is whole.
    let writer = match packed {
        Ok(()) => builder.into_inner(),
        Err(error) => {
            let left = builder.into_inner().map(BufWriter::into_parts);
            if let Ok((to, _)) = left {
                to.fail(error);
            }
            return;
        }
    };
    if let Ok(mut writer) = writer {
        // Nobody reads any more: then it has failed already.
        let _ = writer.flush();
    }
}

/// Passes on the archive that comes on stdin.
pub(super) fn copy_stdin(to: Writing) {
    let mut to = BufWriter::with_capacity(PIECE_BYTES, to);
    let copied = io::copy(&mut io::stdin().lock(), &mut to).and_then(|_| to.flush());
    if let Err(error) = copied {
        to.into_parts().0.fail(error);
    }
}
