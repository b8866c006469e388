//! Reads the text of the job files; what they mean is decided in `job`.

use std::io;
use std::path::{Path, PathBuf};

use crate::problem::{Problem, Problems};

/// The text of one job file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobFile {
    /// Path, for messages.
    pub path: PathBuf,
    /// Its text.
    pub text: String,
}

/// Reads the `*.yml` and `*.yaml` files of `directory`, sorted by name. A missing directory holds none;
/// hidden files, which editors and Kubernetes-style mounts leave behind, are not job files. A file that
/// cannot be read is a problem, and loses only its own jobs.
pub fn read_job_files(directory: &Path) -> (Vec<JobFile>, Problems) {
    let refused = |path: &Path, error: &io::Error| {
        Problem::in_file(path.display().to_string(), format!("read job files: {error}"))
            .with_hint("let the user we run as read it, or set `AUTODEPLOY_JOBS_DIR`")
    };
    let paths = match list(directory) {
        Ok(paths) => paths,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Default::default(),
        Err(error) => return (Vec::new(), refused(directory, &error).into()),
    };
    let mut files = Vec::new();
    let mut problems = Problems::default();
    for path in paths {
        match std::fs::read_to_string(&path) {
            Ok(text) => files.push(JobFile { path, text }),
            // An editor may have renamed it since it was listed.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) if error.kind() == io::ErrorKind::IsADirectory => {}
            Err(error) => problems.0.push(refused(&path, &error)),
        }
    }
    (files, problems)
}

fn list(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        let is_yaml =
            path.extension().is_some_and(|extension| extension == "yml" || extension == "yaml");
        let name = path.file_name().unwrap_or_default();
        if is_yaml && !name.as_encoded_bytes().starts_with(b".") {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{Problems, read_job_files};

    #[test]
    fn reads_yaml_files_in_order() {
        let directory = tempfile::tempdir().unwrap();
        for name in ["b.yml", "a.yaml", "notes.txt", ".c.yml", "e.yml.bak"] {
            fs::write(directory.path().join(name), name).unwrap();
        }
        fs::create_dir(directory.path().join("d.yml")).unwrap();
        let (files, problems) = read_job_files(directory.path());
        assert_eq!(problems.0, []);
        let texts: Vec<_> = files.iter().map(|file| file.text.as_str()).collect();
        assert_eq!(texts, ["a.yaml", "b.yml"]);
    }

    #[test]
    fn a_missing_directory_holds_none() {
        let directory = tempfile::tempdir().unwrap();
        let (files, problems) = read_job_files(&directory.path().join("none"));
        assert_eq!((files, problems.0), (Vec::new(), Vec::new()));
    }

    #[test]
    fn names_every_file_that_cannot_be_read() {
        let directory = tempfile::tempdir().unwrap();
        for name in ["a.yml", "b.yml"] {
            fs::write(directory.path().join(name), [0xff]).unwrap();
        }
        fs::write(directory.path().join("c.yml"), "good").unwrap();
        let (files, Problems(problems)) = read_job_files(directory.path());
        assert_eq!(problems.len(), 2);
        assert_eq!(files.len(), 1);
        assert!(problems[1].file.ends_with("b.yml"), "{}", problems[1]);
        let file = directory.path().join("a.yml");
        assert_eq!(read_job_files(&file).1.0.len(), 1);
    }
}
