//! `import`, `export` and `schema`: jobs of other schedulers into our files, and back.

use std::io::{self, Read as _, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use super::output::{Output, print};
use super::setup::job_texts;
use super::{FAILED, Usage, labels};
use crate::compose::{Files, interpolate};
use crate::config;
use crate::git::{self, View};
use crate::job::foreign::Imported;
use crate::job::native::Context;
use crate::job::native::write::{Written, yaml_of};
use crate::job::ofelia::without_taken;
use crate::job::platform::{self, Texts};
use crate::job::{Job, birdhouse, crontab, dkron, native, ofelia};
use crate::problem::{Problem, Problems};
use crate::settings::Settings;

// Arguments of `import`.
#[derive(Debug, Args)]
pub(super) struct Import {
    /// Form of the file
    #[arg(long, value_enum)]
    from: Form,
    /// The file, `-` for standard input
    file: PathBuf,
    /// Says what would be done, and writes nothing
    #[arg(long)]
    dry_run: bool,
    /// Directory the job files go to, one a job [default: `AUTODEPLOY_JOBS_DIR`]
    #[arg(long, value_name = "DIR")]
    into: Option<PathBuf>,
    /// What happens to a job whose name another one of the directory has
    #[arg(long, value_enum, default_value = "fail")]
    on_conflict: OnConflict,
    /// crontab: image whose containers run the commands, instead of Roadstead itself
    #[arg(long, value_name = "IMAGE")]
    image: Option<String>,
    /// crontab: each line names a user, as in /etc/crontab
    #[arg(long)]
    system: bool,
}

/// Form of a file of jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Form {
    /// Ofelia 0.4 or later, INI
    Ofelia,
    /// Ofelia up to 0.3, whose schedules have seconds first
    #[value(name = "ofelia-0.3")]
    Ofelia03,
    /// Dkron's JSON: array, object a line, or what its backup script makes
    Dkron,
    /// Lines of cron
    Crontab,
    /// List of jobs of birdhouse's scheduler
    Birdhouse,
    /// Our own job files
    Native,
}

/// What happens to a job that is there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum OnConflict {
    /// The one that is there stays
    Skip,
    /// The new one takes its place
    Replace,
    /// The new one is refused
    Fail,
}

// Arguments of `export`.
#[derive(Debug, Args)]
pub(super) struct Export {
    /// Form to print
    #[arg(long, value_enum, default_value = "native")]
    format: ExportForm,
    /// dkron: prints the values of variables, secrets too, which Dkron cannot read from env.local
    #[arg(long)]
    with_secrets: bool,
    /// The jobs [default: all]
    jobs: Vec<String>,
}

/// Form that jobs are printed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ExportForm {
    /// Our own job files
    Native,
    /// Dkron's JSON
    Dkron,
}

/// What became of one job.
struct Line {
    job: String,
    what: &'static str,
    why: Option<String>,
}

/// Writes jobs of another scheduler as job files; prints a line a job.
pub(super) fn import(env_file: Option<&Path>, output: Output, import: &Import) -> Result<u8> {
    let settings = config::read(env_file)?.settings;
    let text = read_text(&import.file)?;
    let disk = View::open(&[]).context("read the disk")?;
    let mut imported = read(import, &text, &settings, &disk);
    let into = import.into.clone().unwrap_or_else(|| settings.jobs_dir.clone());
    let there = present(&into, &settings, &disk)?;
    let mut lines = Vec::new();
    for written in &imported.jobs {
        lines.push(write(written, &into, &there, import)?);
    }
    let problems = Problems(std::mem::take(&mut imported.problems)).in_order();
    let (refused, warnings) = problems.split();
    lines.extend(refused.0.iter().map(|problem| Line {
        job: place(problem),
        what: "refused",
        why: Some(reason(problem)),
    }));
    if output.json {
        let lines: Vec<Value> = lines
            .iter()
            .map(|line| json!({"job": line.job, "result": line.what, "reason": line.why}))
            .collect();
        let warnings: Vec<String> = warnings.0.iter().map(Problem::plain).collect();
        print(|to| writeln!(to, "{:#}", json!({"jobs": lines, "warnings": warnings})))?;
    } else {
        let mut stderr = io::stderr();
        for warning in &warnings.0 {
            let _ = writeln!(stderr, "warning: {}", warning.plain());
        }
        print(|to| {
            for Line { job, what, why } in &lines {
                match why {
                    Some(why) => writeln!(to, "{what}: {job}: {why}")?,
                    None => writeln!(to, "{what}: {job}")?,
                }
            }
            Ok(())
        })?;
    }
    Ok(if lines.iter().any(|line| line.what == "refused") { FAILED } else { 0 })
}

fn place(problem: &Problem) -> String {
    match problem.line {
        Some(line) => format!("{}:{line}", problem.file),
        None => problem.file.clone(),
    }
}

fn reason(problem: &Problem) -> String {
    let hint = problem.hint.as_ref().map(|hint| format!(" ({hint})")).unwrap_or_default();
    format!("{}{hint}", problem.message.replace('\n', " "))
}

fn read_text(file: &Path) -> Result<String> {
    if file == Path::new("-") {
        let mut text = String::new();
        io::stdin().read_to_string(&mut text).context("read standard input")?;
        return Ok(text);
    }
    match std::fs::read_to_string(file) {
        Ok(text) => Ok(text),
        Err(error) => Err(Usage(format!("read `{}`: {error}", file.display())).into()),
    }
}

fn read(import: &Import, text: &str, settings: &Settings, files: &dyn Files) -> Imported {
    let variables = &settings.variables;
    let context = Context { settings, variables, toplevel: &git::toplevel, files };
    let name = if import.file == Path::new("-") {
        "standard input".to_owned()
    } else {
        import.file.display().to_string()
    };
    match import.from {
        Form::Ofelia => ofelia::read_ini(text, &name, ofelia::Dialect::Auto, &context, &[]),
        Form::Ofelia03 => ofelia::read_ini(text, &name, ofelia::Dialect::V1, &context, &[]),
        Form::Dkron => dkron::read(text, &name, &context),
        Form::Crontab => {
            let options =
                crontab::Options { image: import.image.clone(), has_users: import.system };
            crontab::read(text, &name, &options, &context)
        }
        Form::Birdhouse => birdhouse::read(text, &name, &context, &[]),
        Form::Native => {
            let (jobs, problems) = native::read_written(text, &name, &context);
            Imported { jobs, problems: problems.0 }
        }
    }
}

/// The jobs of a directory, each with the file it stands in.
fn present(
    directory: &Path,
    settings: &Settings,
    files: &dyn Files,
) -> Result<Vec<(PathBuf, Vec<Written>)>> {
    let (found, problems) = config::job_files::read_job_files(directory);
    problems.into_result()?;
    let variables = &settings.variables;
    let context = Context { settings, variables, toplevel: &git::toplevel, files };
    let read = found.into_iter().map(|file| {
        let name = file.path.display().to_string();
        (file.path, native::read_written(&file.text, &name, &context).0)
    });
    Ok(read.collect())
}

/// Writes one job, if that is what is wanted, and says what became of it.
fn write(
    written: &Written,
    into: &Path,
    there: &[(PathBuf, Vec<Written>)],
    import: &Import,
) -> Result<Line> {
    let name = &written.job.name;
    let line = |what, why| Ok(Line { job: name.clone(), what, why });
    let text = written.yaml();
    let path = into.join(format!("{name}.yml"));
    let has = |jobs: &[Written]| jobs.iter().any(|job| job.job.name == *name);
    let holder = there.iter().find(|(_, jobs)| has(jobs));
    let (file, what) = match holder {
        Some((file, jobs)) => {
            let same = jobs.iter().any(|job| job.job.name == *name && job.yaml() == text);
            if same {
                return line("unchanged", None);
            }
            match import.on_conflict {
                OnConflict::Skip => {
                    let why = format!("another one is in `{}`, and stays", file.display());
                    return line("unchanged", Some(why));
                }
                OnConflict::Fail => {
                    let why = format!(
                        "another one is in `{}`: `--on-conflict replace` puts this one in its place",
                        file.display()
                    );
                    return line("refused", Some(why));
                }
                OnConflict::Replace if jobs.len() > 1 => {
                    let why = format!(
                        "another one is in `{}`, among others: change it there",
                        file.display()
                    );
                    return line("refused", Some(why));
                }
                OnConflict::Replace => (file.clone(), "updated"),
            }
        }
        // A file of that name whose jobs cannot be read, or which holds others.
        None if path.exists() && import.on_conflict != OnConflict::Replace => {
            let why = format!("`{}` is there, with other jobs or broken ones", path.display());
            return line("refused", Some(why));
        }
        None if there.iter().any(|(file, jobs)| *file == path && !jobs.is_empty()) => {
            return line("refused", Some(format!("`{}` holds other jobs", path.display())));
        }
        None => (path, "created"),
    };
    if !import.dry_run {
        std::fs::create_dir_all(into).with_context(|| format!("make `{}`", into.display()))?;
        put(&file, &text).with_context(|| format!("write `{}`", file.display()))?;
    }
    line(what, None)
}

/// Writes a file in one step; what was imported may hold secrets, so only its owner may read it.
fn put(path: &Path, text: &str) -> io::Result<()> {
    // No name of a job begins with a dot, and hidden files are no job files.
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let beside = path.with_file_name(format!(".{name}.new"));
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&beside, path)
}

/// Prints jobs; what a form cannot hold is told on standard error.
pub(super) async fn export(env_file: Option<&Path>, export: &Export) -> Result<u8> {
    let settings = config::read(env_file)?.settings;
    let disk = View::open(&[]).context("read the disk")?;
    let (texts, unread): (Texts, Problems) = job_texts(&settings);
    let variables = &settings.variables;
    let context =
        Context { settings: &settings, variables, toplevel: &git::toplevel, files: &disk };
    let (mut jobs, problems) = platform::load_written(texts, &context);
    let there: Vec<Job> = jobs.iter().map(|it| it.job.clone()).collect();
    jobs.extend(without_taken(labels::written(&settings).await, &there));
    let mut stderr = io::stderr();
    let (errors, _) = problems.split();
    for problem in unread.0.iter().chain(&errors.0) {
        let _ = writeln!(stderr, "warning: left out: {}", problem.plain());
    }
    if let Some(name) = export.jobs.iter().find(|name| !jobs.iter().any(|it| it.job.name == **name))
    {
        let known = jobs.iter().map(|it| it.job.name.as_str());
        let near = crate::problem::nearest(name, known);
        let hint = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
        return Err(Usage(format!("there is no job `{name}`{hint}")).into());
    }
    if !export.jobs.is_empty() {
        jobs.retain(|it| export.jobs.contains(&it.job.name));
    }
    jobs.sort_by(|left, right| left.job.name.cmp(&right.job.name));
    if export.format == ExportForm::Native {
        print(|to| to.write_all(yaml_of(&jobs).as_bytes()))?;
        return Ok(0);
    }
    let mut objects = Vec::new();
    let mut refused = 0;
    for job in &jobs {
        let object = if !export.with_secrets && has_variables(&job.json()) {
            Err("it holds variables, whose values may be secrets: --with-secrets prints them"
                .to_owned())
        } else {
            dkron::export(job)
        };
        match object {
            Ok(object) => objects.push(object),
            Err(why) => {
                refused += 1;
                let _ = writeln!(stderr, "refused: {}: {why}", job.job.name);
            }
        }
    }
    print(|to| to.write_all(dkron::exported(&objects).as_bytes()))?;
    Ok(if refused == 0 { 0 } else { FAILED })
}

/// Whether a text anywhere in it takes something from a variable.
fn has_variables(value: &Value) -> bool {
    match value {
        Value::String(text) => !interpolate::uses(text).is_empty(),
        Value::Array(items) => items.iter().any(has_variables),
        Value::Object(entries) => entries.values().any(has_variables),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// Prints the JSON Schema of job files.
pub(super) fn schema() -> Result<u8> {
    print(|to| to.write_all(native::schema::text().as_bytes()))?;
    Ok(0)
}
