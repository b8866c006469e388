//! The jobs of one Roadstead: those made of `env.local`, and those of the job files.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::json;

use super::foreign::{Imported, literal};
use super::native::write::{Written, tree};
use super::native::{self, Context, NoFiles, Toplevel};
use super::ready::ready;
use super::schedule::Schedule;
use super::{
    Deploy, Job, Keep, Notify, Place, Policy, Shared, Terms, Window, Work, birdhouse, links, ofelia,
};
use crate::compose::yaml::{Node, Source as Text, Span};
use crate::problem::{Problem, Problems};
use crate::settings::{ManagedRepository, Settings};
use crate::source::{Origin, Source};

/// The shipped job file, and its name for messages.
const AUTODEPLOY: (&str, &str) = ("jobs/autodeploy.yml", include_str!("../../jobs/autodeploy.yml"));

/// What [`Job::origin`] says of jobs made of `AUTODEPLOY_REPOS`.
const REPOSITORIES: &str = "AUTODEPLOY_REPOS";

/// The jobs made of `env.local`: `autodeploy` where there is a checkout or `COMPOSE_DIR`, and one for each
/// entry of `AUTODEPLOY_REPOS`.
pub fn shipped(settings: &Settings, toplevel: Toplevel<'_>) -> Result<Vec<Job>, Problems> {
    Ok(shipped_written(settings, toplevel)?.into_iter().map(|it| it.job).collect())
}

/// The same, each with its text.
fn shipped_written(settings: &Settings, toplevel: Toplevel<'_>) -> Result<Vec<Written>, Problems> {
    let schedule = Schedule::parse(&settings.platform_frequency).map_err(|reason| {
        Problem::in_file("environment", format!("`AUTODEPLOY_PLATFORM_FREQUENCY`: {reason}"))
    })?;
    let mut jobs = Vec::new();
    if settings.compose_dir.is_some() || !settings.checkouts.is_empty() {
        jobs = autodeploy(settings, toplevel)?;
    }
    let terms = Arc::new(Terms {
        timezone: settings.timezone,
        window: Window::default(),
        on: Vec::new(),
        policy: Policy::default(),
        keep: Keep::default(),
        notify: Notify::default(),
        timeout: native::DEPLOY_TIMEOUT,
    });
    for repository in &settings.repositories {
        let taken: Vec<&str> = jobs.iter().map(|it| it.job.name.as_str()).collect();
        let name = native::unique_name(&native::repository_name(&repository.url), &taken);
        let directory = settings.state_dir.join("sources").join(&name);
        let source = Source {
            name: native::repository_name(&repository.url),
            directory: directory.clone(),
            origin: Origin::Managed {
                url: repository.url.clone(),
                reference: repository.reference.clone(),
            },
        };
        let description = format!("Follows {} and deploys it.", repository.url);
        let tree = text_of(&name, &description, repository, settings);
        let job = Job {
            name,
            description: Some(description.into_boxed_str()),
            origin: Place::of(REPOSITORIES),
            schedule: schedule.clone(),
            terms: Arc::clone(&terms),
            work: Work::Deploy(Box::new(Deploy {
                sources: vec![source],
                directory,
                files: Vec::new(),
                profiles: Vec::new(),
                env_files: Vec::new(),
                project_name: None,
                remove_orphans: true,
                health: settings.health,
            })),
        };
        jobs.push(Written { job, tree });
    }
    Ok(jobs)
}

/// What one would write for the job of a repository.
fn text_of(
    name: &str,
    description: &str,
    repository: &ManagedRepository,
    settings: &Settings,
) -> Node {
    let mut source = json!({"repo": literal(&repository.url)});
    if let Some(reference) = &repository.reference {
        source["ref"] = literal(reference).into();
    }
    let job = json!({
        "name": name,
        "description": literal(description),
        "schedule": literal(&settings.platform_frequency),
        "deploy": {"source": source},
    });
    tree(&job, &Span::of_line(&Text::of(REPOSITORIES, ""), 1))
}

/// Reads the shipped file with the settings as its variables: aliases and defaults are resolved there.
fn autodeploy(settings: &Settings, toplevel: Toplevel<'_>) -> Result<Vec<Written>, Problems> {
    let path = |path: &PathBuf| path.to_string_lossy().into_owned();
    let checkouts: Vec<String> = settings.checkouts.iter().map(path).collect();
    let mut variables = settings.variables.clone();
    let resolved = [
        ("AUTODEPLOY_PLATFORM_FREQUENCY", settings.platform_frequency.clone()),
        ("AUTODEPLOY_EXTRA_REPOS", checkouts.join(" ")),
        ("COMPOSE_DIR", settings.compose_dir.as_ref().map(path).unwrap_or_default()),
    ];
    variables.extend(resolved.map(|(name, value)| (name.to_owned(), value)));
    let (file, text) = AUTODEPLOY;
    let context = Context { settings, variables: &variables, toplevel, files: &NoFiles };
    let (written, problems) = native::read_written(text, file, &context);
    let (errors, _) = problems.split();
    errors.into_result()?;
    Ok(written)
}

/// Texts that jobs are read from, each with its name for messages.
#[derive(Clone, Debug, Default)]
pub struct Texts {
    /// Job files in our own form.
    pub native: Vec<(String, String)>,
    /// Files in the form of birdhouse's scheduler.
    pub birdhouse: Vec<(String, String)>,
    /// INI files of Ofelia.
    pub ofelia: Vec<(String, String)>,
}

/// Reads a text of the name given in another program's form; the last are names of jobs read before.
type ForeignReader<'a> = dyn Fn(&str, &str, &[String]) -> Imported + 'a;

/// All jobs: the shipped ones and those of all texts, with what was wrong. What is equal in them they share.
///
/// A job with a problem is left out, and a file that is no YAML loses its own jobs only. A file may
/// redefine a shipped job by its name; of two files' jobs with one name the first stays. Jobs of birdhouse
/// and Ofelia whose name is taken get a number. Jobs that set each other off in a circle are left out.
pub fn load_all(texts: Texts, context: &Context<'_>) -> (Vec<Job>, Problems) {
    // Of 100,000 jobs the texts are many times as large as the jobs: each goes before the next is read.
    let mut shared = Shared::default();
    load(texts, context, |mut written| {
        shared.share(&mut written.job);
        written.job
    })
}

/// The same, each job with what was written of it.
pub fn load_written(texts: Texts, context: &Context<'_>) -> (Vec<Written>, Problems) {
    load(texts, context, |written| written)
}

/// Loads all jobs, and of each what is `kept` of it.
fn load<K: Borrow<Job>>(
    texts: Texts,
    context: &Context<'_>,
    mut kept: impl FnMut(Written) -> K,
) -> (Vec<K>, Problems) {
    let mut problems = Problems::default();
    let shipped = shipped_written(context.settings, context.toplevel).unwrap_or_else(|found| {
        problems.0.extend(found.0);
        Vec::new()
    });
    let (ready, wrong) = ready(context);
    problems.0.extend(wrong.0);
    let mut jobs: Vec<K> = shipped.into_iter().chain(ready).map(&mut kept).collect();
    let shipped_jobs = jobs.len();
    let mut redefined = vec![false; shipped_jobs];
    let mut places: HashMap<String, usize> =
        jobs.iter().enumerate().map(|(at, it)| (it.borrow().name.clone(), at)).collect();
    for (file, text) in texts.native {
        let (found, wrong) = native::read_written(&text, &file, context);
        problems.0.extend(wrong.0);
        for found in found.into_iter().map(&mut kept) {
            let job = found.borrow();
            match places.get(&job.name).copied() {
                None => {
                    places.insert(job.name.clone(), jobs.len());
                    jobs.push(found);
                }
                Some(position) if position < shipped_jobs && !redefined[position] => {
                    redefined[position] = true;
                    jobs[position] = found;
                }
                Some(position) => {
                    let first = jobs[position].borrow().origin.to_string();
                    problems.0.push(native::duplicate(job.problem(""), &job.name, &first));
                }
            }
        }
    }
    let of_birdhouse: &ForeignReader<'_> =
        &|text, file, taken| birdhouse::read(text, file, context, taken);
    let dialect = context.settings.schedulers.ofelia_dialect;
    let of_ofelia: &ForeignReader<'_> =
        &|text, file, taken| ofelia::read_ini(text, file, dialect, context, taken);
    let birdhouse = texts.birdhouse.into_iter().map(|it| (it, of_birdhouse));
    let ofelia = texts.ofelia.into_iter().map(|it| (it, of_ofelia));
    for ((file, text), read) in birdhouse.chain(ofelia) {
        let taken: Vec<String> = jobs.iter().map(|it| it.borrow().name.clone()).collect();
        let found = read(&text, &file, &taken);
        problems.0.extend(found.problems);
        jobs.extend(found.jobs.into_iter().map(&mut kept));
    }
    drop(places);
    let all: Vec<&Job> = jobs.iter().map(Borrow::borrow).collect();
    let (stuck, wrong) = links::check(&all);
    problems.0.extend(wrong.0);
    jobs.retain(|it| !stuck.contains(&it.borrow().name));
    jobs.shrink_to_fit();
    (jobs, problems)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;

    use super::*;
    use crate::job::native::tests::settings;
    use crate::settings::ManagedRepository;

    /// `/srv/stack` and `/srv/conf` are checkouts.
    fn toplevel(path: &Path) -> Option<PathBuf> {
        let checkouts = ["/srv/stack", "/srv/conf"].map(Path::new);
        checkouts.into_iter().find(|checkout| path.starts_with(checkout)).map(Path::to_owned)
    }

    /// `name: sources -> directory`.
    fn shown(job: &Job) -> String {
        let Work::Deploy(deploy) = &job.work else { return format!("{}: run", job.name) };
        let sources: Vec<String> =
            deploy.sources.iter().map(|source| source.directory.display().to_string()).collect();
        format!("{}: {} -> {}", job.name, sources.join(" "), deploy.directory.display())
    }

    fn with(checkouts: &[&str], compose_dir: Option<&str>) -> Settings {
        Settings {
            checkouts: checkouts.iter().map(PathBuf::from).collect(),
            compose_dir: compose_dir.map(PathBuf::from),
            ..settings()
        }
    }

    #[test]
    fn makes_the_platform_job_of_checkouts_and_compose_dir() {
        let rows: [(&[&str], Option<&str>, &[&str]); 6] = [
            (&[], None, &[]),
            (&["/srv/stack"], None, &["autodeploy: /srv/stack -> /srv/stack"]),
            (
                &["/srv/conf", "/srv/stack"],
                Some("/srv/stack/birdhouse"),
                &["autodeploy: /srv/stack /srv/conf -> /srv/stack/birdhouse"],
            ),
            (&["/srv/conf", "/srv/conf/sub"], None, &["autodeploy: /srv/conf -> /srv/conf"]),
            (&[], Some("/srv/stack/a"), &["autodeploy: /srv/stack -> /srv/stack/a"]),
            (&["/srv/conf"], Some("/opt/x"), &["autodeploy: /opt/x /srv/conf -> /opt/x"]),
        ];
        for (checkouts, compose_dir, expected) in rows {
            let settings = with(checkouts, compose_dir);
            let jobs = shipped(&settings, &toplevel).expect("valid");
            assert_eq!(jobs.iter().map(shown).collect::<Vec<_>>(), expected, "{checkouts:?}");
            for job in jobs {
                assert_eq!(job.schedule.to_string(), "7 5 * * *");
            }
        }
    }

    #[test]
    fn a_project_reached_through_a_link_is_below_its_checkout() {
        let through_link =
            |path: &Path| path.starts_with("/home/me/stack").then(|| PathBuf::from("/srv/stack"));
        let jobs = shipped(&with(&[], Some("/home/me/stack/a")), &through_link).expect("valid");
        assert_eq!(shown(&jobs[0]), "autodeploy: /srv/stack -> /home/me/stack/a");
    }

    #[test]
    fn makes_a_job_of_each_repository() {
        let repository = |url: &str, reference: Option<&str>| ManagedRepository {
            url: url.to_owned(),
            reference: reference.map(str::to_owned),
        };
        let settings = Settings {
            repositories: vec![
                repository("https://git.example/a/infra.git", Some("prod")),
                repository("git@git.example:b/infra.git", None),
                repository("https://git.example/autodeploy/", None),
            ],
            ..with(&["/srv/stack"], None)
        };
        let jobs = shipped(&settings, &toplevel).expect("valid");
        assert_eq!(
            jobs.iter().map(shown).collect::<Vec<_>>(),
            [
                "autodeploy: /srv/stack -> /srv/stack",
                "infra: /state/sources/infra -> /state/sources/infra",
                "infra-2: /state/sources/infra-2 -> /state/sources/infra-2",
                "autodeploy-2: /state/sources/autodeploy-2 -> /state/sources/autodeploy-2",
            ]
        );
    }

    #[test]
    fn names_the_variable_of_a_bad_schedule() {
        let settings = Settings { platform_frequency: "daily".to_owned(), ..with(&["/a"], None) };
        let problems = shipped(&settings, &toplevel).expect_err("no schedule").to_string();
        assert!(
            problems.starts_with("environment: `AUTODEPLOY_PLATFORM_FREQUENCY`:"),
            "{problems}"
        );
    }

    #[test]
    fn a_bad_file_loses_only_its_own_jobs() {
        let files = [
            ("a.yml", "{ name: a, run: { image: a } }"),
            ("b.yml", "- { name: b, run: { image: b } }\n- { name: c, runs: {} }"),
            ("c.yml", "{ name: autodeploy, run: { image: c } }"),
            ("d.yml", "\n{ name: a, run: { image: d } }"),
            ("e.yml", "{ name: autodeploy, run: { image: e } }"),
            ("f.yml", "{ name: f"),
        ];
        let files = files.map(|(file, text)| (file.to_owned(), text.to_owned()));
        let settings = with(&["/srv/stack"], None);
        let variables = BTreeMap::new();
        let context = Context {
            settings: &settings,
            variables: &variables,
            toplevel: &toplevel,
            files: &NoFiles,
        };
        let texts = Texts { native: files.to_vec(), ..Texts::default() };
        let (jobs, problems) = load_all(texts, &context);
        assert_eq!(
            jobs.iter().map(shown).collect::<Vec<_>>(),
            ["autodeploy: run", "a: run", "b: run"]
        );
        let problems: Vec<String> = problems
            .0
            .iter()
            .map(|problem| {
                format!("{}:{} {}", problem.file, problem.line.unwrap_or(0), problem.message)
            })
            .collect();
        assert_eq!(
            problems[..4],
            [
                "b.yml:2 a job has exactly one of `deploy`, `run`, `exec`, `compose_run`, `container`, \
                 `command`, `http`, `ogc_process`, `group`, `rotate`, `clean`, `cache_sync`, `refresh`, \
                 `prune`, `certificate`, `sync`, `backup`, `backup_prune`, `backup_check`, `restore_drill`",
                "b.yml:2 unknown key `runs`",
                "d.yml:2 there is a job `a` already, in `a.yml:1`",
                "e.yml:1 there is a job `autodeploy` already, in `c.yml:1`",
            ]
        );
        assert!(problems.len() == 5 && problems[4].starts_with("f.yml:"), "{problems:?}");
    }
}
