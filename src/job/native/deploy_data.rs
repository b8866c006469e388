//! Reads birdhouse's deploy-data file: repositories, what of them goes where, and what is done after it.

use std::io;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::fields::{self, Fields, items_of, scalar_of};
use super::sync::{destination, inside, origin};
use super::table::{Form, Table, key};
use super::write::tree;
use super::{Reader, repository_name, rsync, run, unique_name};
use crate::compose::yaml::{self, Node};
use crate::job::RunContainer;
use crate::job::work::{SyncMap, SyncSource};
use crate::problem::Problem;

/// The keys of the file, by `birdhouse/deployment/deploy-data` of birdhouse-deploy.
const FILE: Table = Table {
    of: "the file",
    fields: &[
        key("config", Form::Object(&CONFIG), "–", "", "Settings."),
        key("deploy", Form::List(&Form::Object(&DEPLOY)), "required", "", "Repositories."),
    ],
    is_service: false,
    later: &[],
};
const CONFIG: Table = Table {
    of: "`config`",
    fields: &[
        key(
            "checkout_cache",
            Form::Text,
            "–",
            "",
            "Not needed: clones are in the state directory.",
        ),
        key("git_ssh_identity_file", Form::Text, "–", "", "Private key."),
    ],
    is_service: false,
    later: &[],
};
const DEPLOY: Table = Table {
    of: "an item of `deploy`",
    fields: &[
        key("repo_url", Form::Text, "required", "", "URL."),
        key("branch", Form::Text, "origin/master", "", "Branch, tag or commit."),
        key("checkout_name", Form::Text, "required", "", "Name."),
        key("dir_maps", Form::List(&Form::Object(&DIR_MAP)), "–", "", "What goes where."),
        key("post_actions", Form::List(&Form::Object(&ACTION)), "–", "", "Done after it."),
    ],
    is_service: false,
    later: &[],
};
const DIR_MAP: Table = Table {
    of: "an item of `dir_maps`",
    fields: &[
        key("source_dir", Form::Text, "required", "", "Directory in the repository."),
        key("dest_dir", Form::Text, "required", "", "Directory at the destination."),
        key("rsync_extra_opts", Form::Text, "–", "", "Options of rsync."),
    ],
    is_service: false,
    later: &[],
};
const ACTION: Table = Table {
    of: "an item of `post_actions`",
    fields: &[key("action", Form::Text, "required", "", "Shell.")],
    is_service: false,
    later: &[],
};

/// What post-actions run in: what birdhouse's own job runs them in.
const IMAGE: &str = "docker:28.5.1-cli";

/// Reads the sources of the file that `fields` name.
pub(super) fn read(
    node: &Node,
    fields: &Fields<'_>,
    (place, protected): (&Path, &[PathBuf]),
    reader: &mut Reader<'_>,
) -> Option<Vec<SyncSource>> {
    for name in ["maps", "hooks"] {
        if let Some(both) = fields.node(name) {
            let problem = both.problem(format!("`{name}` does not go with `deploy_data`"));
            reader.problems.push(problem.with_hint("the file says it; make two jobs of it"));
        }
    }
    let always = fields.boolean("always", &mut reader.problems).unwrap_or(false);
    let image = fields.plain("image", &mut reader.problems);
    let image = image.or_else(|| reader.variables.get("AUTODEPLOY_DEPLOY_DATA_IMAGE").cloned());
    let image = image.filter(|it| !it.trim().is_empty()).unwrap_or_else(|| IMAGE.to_owned());
    let path =
        fields.required("deploy_data", node, "/etc/deploy-data.yml", &mut reader.problems)?;
    let at = fields.node("deploy_data").unwrap_or(node);
    let document = document(path.trim(), at, reader)?;
    let file = fields::open(&document, &FILE, &mut reader.problems)?;
    let identity = file.node("config").and_then(|config| {
        let config = fields::open(config, &CONFIG, &mut reader.problems)?;
        let identity = config.plain("git_ssh_identity_file", &mut reader.problems)?;
        Some(PathBuf::from(identity.trim()))
    });
    let items = file.node("deploy").map(items_of).unwrap_or_default();
    if items.is_empty() {
        file.lacks("deploy", &document, "[{ repo_url: … }]", &mut reader.problems);
    }
    let mut sources: Vec<SyncSource> = Vec::new();
    for item in items {
        let Some(mut source) = source(item, identity.clone(), (&image, protected), reader) else {
            continue;
        };
        let taken: Vec<&str> = sources.iter().map(|it| it.name.as_str()).collect();
        source.name = unique_name(&source.name, &taken);
        source.directory = place.join(&source.name);
        source.always = always;
        sources.push(source);
    }
    Some(sources).filter(|it| !it.is_empty())
}

/// The one document of the file; as with birdhouse, no variables are put in.
fn document(path: &str, at: &Node, reader: &mut Reader<'_>) -> Option<Node> {
    let text = match reader.files.read(Path::new(path)) {
        Ok(text) => text,
        Err(error) => {
            let why = match error.kind() {
                io::ErrorKind::NotFound => format!("there is no file `{path}`"),
                _ => format!("read `{path}`: {error}"),
            };
            let hint = "mount it into our own container, and write its path there";
            reader.problems.push(at.problem(why).with_hint(hint));
            return None;
        }
    };
    match yaml::parse(&text, path) {
        Ok(mut documents) if documents.len() == 1 => documents.pop(),
        Ok(_) => {
            reader.problems.push(Problem::in_file(path, "expected one YAML document"));
            None
        }
        Err(problems) => {
            reader.problems.extend(problems.0);
            None
        }
    }
}

fn source(
    node: &Node,
    identity: Option<PathBuf>,
    (image, protected): (&str, &[PathBuf]),
    reader: &mut Reader<'_>,
) -> Option<SyncSource> {
    let problems = &mut reader.problems;
    let fields = fields::open(node, &DEPLOY, problems)?;
    let url = fields.required("repo_url", node, "https://git.example/data.git", problems);
    let name = fields.required("checkout_name", node, "data", problems);
    let branch = fields.plain("branch", problems);
    let branch = branch.as_deref().map_or("origin/master", str::trim);
    // birdhouse checks out what its clone calls it.
    let reference = branch.strip_prefix("origin/").unwrap_or(branch).to_owned();
    let mut maps = Vec::new();
    for item in fields.items("dir_maps") {
        maps.extend(map(item, protected, problems));
    }
    let mut hooks = Vec::new();
    for item in fields.items("post_actions") {
        let destinations: Vec<&Path> = maps.iter().map(|it| it.to.as_path()).collect();
        hooks.extend(action(item, image, &destinations, reader));
    }
    let place = fields.node("repo_url").unwrap_or(node);
    let from = origin(url?.trim(), Some(reference), identity, place, &mut reader.problems)?;
    // The last part only, and nothing that is no name.
    let name = repository_name(&name?);
    Some(SyncSource { name, from, directory: PathBuf::new(), maps, hooks, always: false })
}

fn map(node: &Node, protected: &[PathBuf], problems: &mut Vec<Problem>) -> Option<SyncMap> {
    let fields = fields::open(node, &DIR_MAP, problems)?;
    let from = fields.required("source_dir", node, "data", problems);
    let to = fields.required("dest_dir", node, "/data/sets", problems);
    let options = fields.text("rsync_extra_opts", problems).map(|(text, place)| {
        rsync::options(&text).map_err(|message| problems.push(place.problem(message)))
    });
    let place = fields.node("source_dir").unwrap_or(node);
    let inner = inside(from.as_ref()?);
    if inner.is_none() {
        let message = format!("`source_dir` is `{}`, which is not in the repository", from?);
        problems.push(place.problem(message).with_hint("write it relative, without `..`"));
    }
    let to = destination(&to?, fields.node("dest_dir").unwrap_or(node), protected, problems);
    let options = options.transpose().ok()?.unwrap_or_default();
    Some(SyncMap {
        from: inner?,
        to: to?,
        rules: options.rules,
        delete: true,
        atomic: false,
        owner: options.owner,
        mode: options.mode,
        dir_mode: options.dir_mode,
    })
}

/// A post-action: shell by contract, and so in a container, which has the destinations at their paths.
fn action(
    node: &Node,
    image: &str,
    destinations: &[&Path],
    reader: &mut Reader<'_>,
) -> Option<RunContainer> {
    let text = if node.as_mapping().is_some() {
        let fields = fields::open(node, &ACTION, &mut reader.problems)?;
        fields.required("action", node, "touch /data/sets/.done", &mut reader.problems)?
    } else {
        scalar_of("action", node, &mut reader.problems)?
    };
    let volumes = destinations.iter().map(|it| {
        json!({ "type": "bind", "source": it.display().to_string(),
                "target": it.display().to_string() })
    });
    let container = json!({
        "image": image, "entrypoint": ["sh", "-c"], "command": [text],
        "volumes": volumes.collect::<Vec<_>>(),
    });
    Some(run::read(&tree(&container, &node.span), reader)?.container.unpack())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::compose::Files;
    use crate::job::Work;
    use crate::job::native::{Context, read_file, tests::settings};
    use crate::job::work::{DataSync, SyncFrom};
    use crate::problem::Problems;

    struct One(&'static str);

    impl Files for One {
        fn read_bytes(&self, path: &Path) -> io::Result<Vec<u8>> {
            match path.to_str() {
                Some("/data.yml") => Ok(self.0.as_bytes().to_vec()),
                _ => Err(io::ErrorKind::NotFound.into()),
            }
        }
    }

    fn read_data(text: &'static str) -> (Option<DataSync>, Problems) {
        let settings = settings();
        let (variables, files) = (BTreeMap::new(), One(text));
        let context = Context {
            settings: &settings,
            variables: &variables,
            toplevel: &|_| None,
            files: &files,
        };
        let (mut jobs, problems) =
            read_file("{name: data, sync: {deploy_data: /data.yml}}", "job.yml", &context);
        let work = jobs.pop().map(|job| job.work);
        let Some(Work::Sync(sync)) = work else { return (None, problems) };
        (Some(*sync), problems)
    }

    /// As in birdhouse's own documentation.
    const EXAMPLE: &str = r"
config:
  checkout_cache: /data/deploy_data_cache
  git_ssh_identity_file: /home/me/.ssh/key
deploy:
- repo_url: https://github.com/Ouranosinc/raven-testdata
  branch: origin/main
  checkout_name: raven-testdata
  dir_maps:
  - source_dir: .
    dest_dir: /data/datasets/testdata/raven
    rsync_extra_opts: --include=*/ --include=*.nc --exclude=*
  post_actions:
  - action: echo $GIT_NEW_COMMIT_HASH > /data/datasets/testdata/raven/at
- repo_url: git@github.com:me/other.git
  checkout_name: raven-testdata
  dir_maps:
  - source_dir: a/b
    dest_dir: /data/other
    rsync_extra_opts: --chown=7:8
";

    #[test]
    fn a_file_of_birdhouse_is_read_as_it_is() {
        let (sync, problems) = read_data(EXAMPLE);
        let sync = sync.unwrap_or_else(|| panic!("{problems}"));
        let [first, second] = sync.sources.as_slice() else { panic!("{sync:?}") };
        let SyncFrom::Git { url, reference, identity } = &first.from else { panic!("{first:?}") };
        assert_eq!(url, "https://github.com/Ouranosinc/raven-testdata");
        assert_eq!(reference.as_deref(), Some("main"));
        assert_eq!(identity.as_deref(), Some(Path::new("/home/me/.ssh/key")));
        assert_eq!(first.maps[0].to, Path::new("/data/datasets/testdata/raven"));
        assert_eq!((first.maps[0].from.as_os_str().len(), first.maps[0].rules.len()), (0, 3));
        let hook = &first.hooks[0].service;
        assert_eq!(hook.image, IMAGE);
        assert_eq!(hook.entrypoint.as_deref(), Some(&["sh".to_owned(), "-c".to_owned()][..]));
        let command = "echo $GIT_NEW_COMMIT_HASH > /data/datasets/testdata/raven/at";
        assert_eq!(hook.command.as_deref(), Some(&[command.to_owned()][..]));
        assert_eq!(hook.volumes.len(), 1);
        let SyncFrom::Git { reference, .. } = &second.from else { panic!("{second:?}") };
        assert_eq!(reference.as_deref(), Some("master"));
        assert_eq!(
            (first.name.as_str(), second.name.as_str()),
            ("raven-testdata", "raven-testdata-2")
        );
        assert_ne!(first.directory, second.directory);
        assert_eq!(second.maps[0].owner, Some((7, 8)));
    }

    #[test]
    fn what_is_wrong_is_said_with_file_and_line() {
        for (text, place, part) in [
            ("deploy:\n- checkout_name: a\n", "/data.yml:2", "`repo_url`"),
            ("deploy:\n- repo_url: /srv/a\n", "/data.yml:2", "`checkout_name`"),
            ("deploi: []\n", "/data.yml:1", "unknown key `deploi`"),
            (
                "deploy:\n- repo_url: /srv/a\n  checkout_name: a\n  dir_maps:\n  - source_dir: /etc\n    dest_dir: /data/x\n",
                "/data.yml:5",
                "not in the repository",
            ),
            (
                "deploy:\n- repo_url: /srv/a\n  checkout_name: a\n  dir_maps:\n  - source_dir: b\n    dest_dir: /etc\n",
                "/data.yml:6",
                "directory of the system",
            ),
            (
                "deploy:\n- repo_url: /srv/a\n  checkout_name: a\n  dir_maps:\n  - source_dir: b\n    dest_dir: /data/x\n    rsync_extra_opts: --delete-excluded\n",
                "/data.yml:7",
                "`--delete-excluded` of rsync is not understood",
            ),
            ("a: [", "/data.yml:1", ""),
        ] {
            let (sync, problems) = read_data(text);
            let plain: Vec<String> = problems.0.iter().map(Problem::plain).collect();
            assert!(!plain.is_empty(), "{text}: {sync:?}");
            let found = plain.iter().any(|it| it.starts_with(place) && it.contains(part));
            assert!(found, "{text}: {plain:?}");
        }
    }
}
