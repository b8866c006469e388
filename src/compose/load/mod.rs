//! From a [`Request`] to a [`Project`]: finds and reads the files, then interpolates, merges,
//! decodes, normalises and checks.
//!
//! All reading goes through [`Files`]. The untyped tree carries everything up to the end, so that
//! each problem has its place; every problem of every file is reported together, as far as a later
//! step can go on after it.

pub mod alone;
mod casts;
mod discovery;
mod environment;
mod extends;
mod include;
mod name;
mod normalise;
mod paths;
mod project;
mod remote;
mod select;
mod widen;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use self::discovery::why;
use self::extends::Sheet;
pub use self::name::normalise_name;
pub(in crate::compose) use self::normalise::IMPLIED;
use self::paths::Base;
use super::decode::Decoder;
use super::merge::{self, Notes, Replaced, unique};
use super::model::Project;
use super::yaml::{self, Node, Span};
use super::{Files, Request, interpolate};
use crate::problem::{Problem, Problems};

/// A project with what it was made from.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The project.
    pub project: Project,
    /// The merged tree it was read from.
    pub tree: Node,
    /// The variables that were there for interpolation.
    pub environment: BTreeMap<String, String>,
}

/// A project as a tree: merged, in long forms, but not read.
#[derive(Clone, Debug)]
pub struct Model {
    /// The tree.
    pub tree: Node,
    /// What a person should know though it stops nothing.
    pub warnings: Vec<String>,
}

/// Loads a project.
pub fn load(request: &Request, files: &dyn Files) -> Result<Project, Problems> {
    load_whole(request, files).map(|loaded| loaded.project)
}

/// Loads a project, and keeps what it was made from.
pub fn load_whole(request: &Request, files: &dyn Files) -> Result<Loaded, Problems> {
    load_telling(request, files, |_| ())
}

/// Loads a project as [`load_whole`] does, and tells its name as soon as that is known: for those
/// who have something to ask of it meanwhile.
pub fn load_telling(
    request: &Request,
    files: &dyn Files,
    tell_name: impl FnOnce(&str),
) -> Result<Loaded, Problems> {
    let mut loader = Loader::new(request, files);
    let (name, paths) = loader.prepare()?;
    tell_name(&name);
    let files = paths.iter().map(|(path, _)| path.clone()).collect();
    let Some(mut tree) = loader.tree(&name, paths, false) else { return Err(loader.refused()) };
    let mut project = loader.project(name, &mut tree)?;
    project.files = files;
    project.env_files = std::mem::take(&mut loader.env_files);
    project.warnings.splice(0..0, loader.all_warnings());
    Ok(Loaded { project, tree, environment: loader.environment })
}

/// The name that `COMPOSE_PROJECT_NAME` gives a project, in the environment or in environment files,
/// for those whose Compose files cannot be read.
pub fn name_in_environment(request: &Request, files: &dyn Files) -> Option<String> {
    let mut loader = Loader::new(request, files);
    // What it says before it fails is all that can be known.
    let _ = loader.look_around();
    let name = loader.environment.get("COMPOSE_PROJECT_NAME")?;
    Some(normalise_name(name)).filter(|name| !name.is_empty())
}

/// Merges a project without reading it: what stays unknown without variables may stay so.
pub fn load_model(request: &Request, files: &dyn Files) -> Result<Model, Problems> {
    let mut loader = Loader::new(request, files);
    let (name, paths) = loader.prepare()?;
    let tree = loader.tree(&name, paths, true);
    match tree {
        Some(tree) if loader.problems.is_empty() => {
            Ok(Model { tree, warnings: loader.all_warnings().collect() })
        }
        _ => Err(loader.refused()),
    }
}

/// A file and its documents.
type Parsed = (PathBuf, Vec<Node>);

/// The surroundings of a document: those of the project, or of one it includes.
struct Scope {
    /// Where relative paths begin.
    directory: PathBuf,
    /// Variables for interpolation.
    environment: BTreeMap<String, String>,
    /// What `~` stands for.
    home: Option<String>,
}

impl Scope {
    fn home(&self) -> Option<&str> {
        self.home.as_deref()
    }
}

/// Where a document stands.
#[derive(Clone, Copy)]
struct Origin<'a> {
    path: &'a Path,
    scope: &'a Scope,
    /// The files that include it, from the outside in.
    chain: &'a [PathBuf],
}

struct Loader<'a> {
    request: &'a Request,
    files: &'a dyn Files,
    /// The project directory.
    directory: PathBuf,
    /// Variables of the request over those of the environment files.
    environment: BTreeMap<String, String>,
    /// The environment files that were named, as far as they were read.
    env_files: Vec<PathBuf>,
    /// Variables that were used without a value.
    unset: BTreeSet<String>,
    warnings: Vec<String>,
    problems: Vec<Problem>,
    /// Values of secrets and configs of included projects, which have variables of their own.
    file_values: BTreeMap<(&'static str, String), String>,
    /// How many of the problems are with single values, which leave the project whole.
    wrong_values: usize,
    /// Files that services extend, by scope directory and path; `None` where one cannot be read.
    sheets: HashMap<(OsString, OsString), Option<Rc<Sheet>>>,
    /// Files that services extend, by path; their documents once they were parsed twice.
    extended_files: HashMap<PathBuf, Option<Vec<Node>>>,
    /// How many projects were included, by this loader and those beside it.
    included: Arc<AtomicUsize>,
}

/// What a loader found besides what it was asked for.
struct Findings {
    unset: BTreeSet<String>,
    warnings: Vec<String>,
    problems: Vec<Problem>,
    file_values: BTreeMap<(&'static str, String), String>,
    wrong_values: usize,
}

impl<'a> Loader<'a> {
    fn new(request: &'a Request, files: &'a dyn Files) -> Self {
        Self {
            request,
            files,
            directory: discovery::cleaned(&request.directory),
            environment: BTreeMap::new(),
            env_files: Vec::new(),
            unset: BTreeSet::new(),
            warnings: Vec::new(),
            problems: Vec::new(),
            file_values: BTreeMap::new(),
            wrong_values: 0,
            sheets: HashMap::new(),
            extended_files: HashMap::new(),
            included: Arc::default(),
        }
    }

    fn findings(self) -> Findings {
        let Self { unset, warnings, problems, file_values, wrong_values, .. } = self;
        Findings { unset, warnings, problems, file_values, wrong_values }
    }

    /// Takes over what a loader found that worked beside this one, on what comes after.
    fn take_over(&mut self, found: Findings) {
        self.unset.extend(found.unset);
        self.warnings.extend(found.warnings);
        self.problems.extend(found.problems);
        for (place, value) in found.file_values {
            self.file_values.entry(place).or_insert(value);
        }
        self.wrong_values += found.wrong_values;
    }

    /// Reads the variables, and finds the files.
    fn look_around(&mut self) -> Result<Vec<PathBuf>, Problems> {
        self.read_environment()?;
        let before = self.directory.clone();
        let paths = self.find_files()?;
        if self.directory != before {
            self.read_default()?;
        }
        Ok(paths)
    }

    /// Variables, files and the name of the project.
    fn prepare(&mut self) -> Result<(String, Vec<Parsed>), Problems> {
        let paths = self.look_around()?;
        let mut parsed = Vec::with_capacity(paths.len());
        for path in paths {
            let documents = self.parse(&path, None);
            parsed.push((path, documents));
        }
        let name = self.name(&parsed);
        let name = match name {
            Ok(name) => name,
            Err(found) => {
                self.problems.extend(found.0);
                return Err(self.refused());
            }
        };
        self.environment.insert("COMPOSE_PROJECT_NAME".to_owned(), name.clone());
        Ok((name, parsed))
    }

    /// The merged tree of the project; `long` has every form widened.
    fn tree(&mut self, name: &str, parsed: Vec<Parsed>, long: bool) -> Option<Node> {
        // What is not interpolated takes nothing from the environment.
        let environment = if long { BTreeMap::new() } else { self.environment.clone() };
        let home = self.environment.get("HOME").cloned();
        let scope = Scope { directory: self.directory.clone(), environment, home };
        let first = parsed.first().map(|(path, _)| self.shown(path)).unwrap_or_default();
        let mut merged = None;
        for (path, documents) in parsed {
            for document in documents {
                let origin = Origin { path: &path, scope: &scope, chain: &[] };
                merged = Some(self.lay(merged, document, origin));
            }
        }
        let Some(mut tree) = merged else {
            if self.problems.is_empty() {
                let message = "file is empty: expected a mapping with `services`";
                self.problems.push(Problem::in_file(first, message));
            }
            return None;
        };
        if long {
            widen::widen_all(&mut tree);
        } else {
            widen::widen(&mut tree);
        }
        self.deduplicate(&mut tree);
        if !self.request.skip.path_resolution {
            let directory = self.directory.to_string_lossy();
            paths::resolve(&mut tree, Base { directory: &directory, home: scope.home() });
        }
        normalise::inherit_all(&mut tree, &scope.environment);
        if !self.request.skip.normalisation {
            normalise::normalise(&mut tree, name, &scope.environment);
        }
        Some(tree)
    }

    /// The merged documents of files, in long forms; paths as written.
    fn documents(
        &mut self,
        files: &[(PathBuf, Option<Span>)],
        scope: &Scope,
        chain: &[PathBuf],
    ) -> Option<Node> {
        let mut merged = None;
        for (path, place) in files {
            for document in self.parse(path, place.as_ref()) {
                merged = Some(self.lay(merged, document, Origin { path, scope, chain }));
            }
        }
        let mut tree = merged?;
        widen::widen(&mut tree);
        self.deduplicate(&mut tree);
        Some(tree)
    }

    /// Lays a document over those before it.
    fn lay(&mut self, mut before: Option<Node>, mut document: Node, origin: Origin<'_>) -> Node {
        let Origin { path, scope, chain } = origin;
        self.interpolate(&mut document, scope);
        self.drop_version(&mut document);
        self.check_name(&document);
        let resets = merge::take_resets(&mut document);
        self.check_services(&mut document);
        let mut notes = Notes::default();
        if document.get("include").is_some() {
            let mut chain = chain.to_vec();
            chain.push(path.to_owned());
            self.include(&mut document, scope, &resets, &chain);
        }
        if let Some(before) = &mut before {
            resets.apply(before, &mut notes);
        }
        self.extend(&mut document, path, scope, &resets);
        let merged = merge::merge(before, document, &mut notes);
        self.problems.append(&mut notes.problems);
        self.check_replaced(notes.replaced);
        merged
    }

    /// Refuses a document with empty `services`, which those of another document would hide.
    fn check_services(&mut self, document: &mut Node) {
        let yaml::Value::Mapping(entries) = &mut document.value else { return };
        let services = entries.iter_mut().find(|(key, _)| key.name == "services");
        if let Some((key, services)) = services.filter(|(_, services)| services.is_null()) {
            let message = "`services` is null: expected a mapping";
            self.problems.push(key.span.problem(message.to_owned()));
            services.value = yaml::Value::Mapping(Vec::new());
        }
    }

    fn deduplicate(&mut self, tree: &mut Node) {
        let mut notes = Notes::default();
        unique::deduplicate(tree, &mut notes);
        self.check_replaced(notes.replaced);
    }

    /// Reads what a document replaced: docker compose checks what each document adds before it reads
    /// the next one.
    fn check_replaced(&mut self, replaced: Vec<Replaced>) {
        // What holds variables may be of any kind.
        if self.request.skip.interpolation || replaced.is_empty() {
            return;
        }
        let mut decoder = Decoder::of_kinds();
        for value in replaced {
            let mut document = value.into_document();
            widen::widen(&mut document);
            project::read(&mut decoder, &document, &mut Project::default(), &BTreeSet::new());
        }
        // What did not merge was told already.
        let known: BTreeSet<_> = self.problems.iter().map(place).collect();
        decoder.problems.retain(|problem| !known.contains(&place(problem)));
        self.problems.append(&mut decoder.problems);
    }

    /// The documents of a file; `place` is where another file names it.
    fn parse(&mut self, path: &Path, place: Option<&Span>) -> Vec<Node> {
        let shown = self.shown(path);
        let text = match self.read(path) {
            Ok(text) => text,
            Err(error) => {
                self.problems.push(match place {
                    Some(place) => place.problem(format!("read `{shown}`: {}", why(&error))),
                    None => Problem::in_file(shown, format!("read Compose file: {}", why(&error))),
                });
                return Vec::new();
            }
        };
        let documents = match yaml::parse(&text, &shown) {
            Ok(documents) => documents,
            Err(found) => {
                self.problems.extend(found.0);
                return Vec::new();
            }
        };
        let is_mapping = |document: &Node| document.as_mapping().is_some();
        for document in documents.iter().filter(|document| !is_mapping(document)) {
            let what = if document.is_null() {
                "document is empty".to_owned()
            } else {
                format!("file is {}", document.value.kind())
            };
            let message = format!("{what}: expected a mapping with `services`");
            self.problems.push(document.problem(message));
        }
        documents.into_iter().filter(is_mapping).collect()
    }

    fn interpolate(&mut self, document: &mut Node, scope: &Scope) {
        if self.request.skip.interpolation {
            return;
        }
        let before = self.problems.len();
        let lookup = |name: &str| scope.environment.get(name).cloned();
        interpolate::interpolate(document, &lookup, &mut self.unset, &mut self.problems);
        casts::cast(document, &mut self.problems);
        self.wrong_values += self.problems.len() - before;
    }

    fn drop_version(&mut self, document: &mut Node) {
        let Some(version) = document.remove("version") else { return };
        if version.as_str().is_none() {
            let kind = version.value.kind();
            let problem = version.problem(format!("`version` is {kind}: expected a string"));
            self.problems.push(problem.with_hint("remove it: it is obsolete"));
        }
        self.warnings.push(format!(
            "{}:{}: `version` is obsolete and ignored: remove it",
            version.span.source.file,
            version.span.line()
        ));
    }

    /// Refuses a name that is none, also where another one is asked for.
    fn check_name(&mut self, document: &Node) {
        if let Some(name) = document.get("name")
            && name.as_str().is_none()
        {
            let kind = name.value.kind();
            self.problems.push(name.problem(format!("`name` is {kind}: expected a string")));
        }
    }

    fn all_warnings(&mut self) -> impl Iterator<Item = String> + use<> {
        let unset = std::mem::take(&mut self.unset).into_iter();
        let unset =
            unset.map(|name| format!("variable `{name}` is not set: it becomes an empty string"));
        unset.chain(std::mem::take(&mut self.warnings))
    }

    /// All problems so far, in order.
    fn refused(&mut self) -> Problems {
        in_order(std::mem::take(&mut self.problems))
    }
}

/// Where a problem is.
fn place(problem: &Problem) -> (String, Option<usize>, Option<usize>) {
    (problem.file.clone(), problem.line, problem.column)
}

/// Problems in the order of files and lines, each once.
fn in_order(mut problems: Vec<Problem>) -> Problems {
    problems.sort_by(|left, right| {
        (&left.file, left.line, left.column).cmp(&(&right.file, right.line, right.column))
    });
    problems.dedup();
    Problems(problems)
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    /// Files beneath `/p`.
    struct Table(Vec<(&'static str, String)>);

    impl Files for Table {
        fn read_bytes(&self, path: &Path) -> io::Result<Vec<u8>> {
            let mut files = self.0.iter();
            let found = files.find(|(name, _)| path == Path::new("/p").join(name));
            found
                .map(|(_, text)| text.clone().into_bytes())
                .ok_or_else(|| io::ErrorKind::NotFound.into())
        }
    }

    #[test]
    fn refuses_few_words_that_mean_far_too_much() {
        let service =
            |rest: &str| vec![("compose.yml", format!("services: {{a: {{image: i, {rest}}}}}"))];
        let mut nested: Vec<(&str, String)> = ["compose.yml", "b", "c", "d", "e", "f"]
            .windows(2)
            .map(|pair| (pair[0], format!("include: [{}]", format!("{}, ", pair[1]).repeat(9))))
            .collect();
        nested.push(("f", "services: {}".to_owned()));
        for (files, expected) in [
            (nested, ": more than 1000 files are included: expected far less"),
            (
                service("ports: [1-65535, 1-65535/udp]"),
                "`services.a.ports[1]` makes more than 100000 ports of the project",
            ),
        ] {
            let request = Request { directory: PathBuf::from("/p"), ..Request::default() };
            let problems = load(&request, &Table(files)).unwrap_err();
            let told = problems.plain();
            assert!(told.contains(expected) && problems.0.len() == 1, "{told}");
        }
    }

    #[test]
    fn reads_long_projects_in_little_time() {
        let many = |text: &str| -> String {
            (0..8000).map(|index| text.replace('#', &index.to_string())).collect()
        };
        let long = "n".repeat(1 << 20);
        for text in [
            format!("services: {{a: {{image: i, depends_on: [{}]}}}}", many("b#, ")),
            format!("services: {{a: {{image: i, volumes: [{}]}}}}", many("'v#:/t', ")),
            format!("services: {{a: {{image: i, networks: [{}]}}}}", many("n#, ")),
            format!("services: {{a: {{image: i, links: [{}]}}}}", many("l#:m, ").repeat(3)),
            format!("services: {{a: {{image: i, {}}}}}", many("imag#: 1, ")),
            format!("services: {{s: {{image: i}}, {}}}", many("s#: {extends: s}, ")),
            format!("services: {{{}}}", many("s#: {image: i, container_name: c}, ")),
            format!("services: {{{long}: {{image: i}}, a: {{image: i, depends_on: [{long}x]}}}}"),
        ] {
            let request = Request { directory: PathBuf::from("/p"), ..Request::default() };
            let shown: String = text.chars().take(80).collect();
            let begin = std::time::Instant::now();
            drop(load(&request, &Table(vec![("compose.yml", text)])));
            assert!(begin.elapsed().as_secs() < 60, "{shown}: {:?}", begin.elapsed());
        }
    }

    #[test]
    fn exposes_a_range_without_making_ports_of_it() {
        let ranges = "1-65535, 1-65534, ".repeat(1000);
        let text = format!("services: {{a: {{image: i, expose: [{ranges}]}}}}");
        let request = Request { directory: PathBuf::from("/p"), ..Request::default() };
        let project = load(&request, &Table(vec![("compose.yml", text)])).unwrap();
        assert_eq!(project.services["a"].expose.len(), 2);
    }
}
