//! Building images with `BuildKit`, on both engines: what only it can do, what is said, what is kept.

#![expect(clippy::unwrap_used, reason = "a test fails loudly")]

use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::net::UnixListener;

use crate::support::process::output;
use crate::support::{Engine, Output, Scene, on_both_engines, unique, write_files};

on_both_engines!(
    secrets_are_there_while_a_step_runs_and_never_in_the_image,
    what_a_step_keeps_in_a_cache_is_there_for_the_next_build,
    a_second_identical_build_runs_nothing,
    a_failing_step_shows_its_output_its_line_and_its_exit_code,
    contexts_are_what_their_dockerignore_leaves,
    files_of_every_kind_arrive_as_they_are,
    switched_off_it_leaves_the_classic_builder_which_says_what_it_cannot_do,
    an_agent_is_there_for_a_step,
    what_is_missing_is_told_before_anything_is_built,
);

/// The beginning of every Dockerfile here; the image exists on every engine.
const FROM: &str = "FROM rs-test/app:1\n";

/// A project whose images are removed in the end.
struct Builds<'e> {
    scene: Scene<'e>,
}

impl<'e> Builds<'e> {
    fn new(engine: &'e Engine, files: &[(&str, &str)]) -> Self {
        Self { scene: Scene::on(engine, files) }
    }

    fn build(&self, arguments: &[&str]) -> Output {
        let mut all = vec!["build"];
        all.extend(arguments);
        self.scene.compose(&all)
    }

    /// Builds a service where `DOCKER_BUILDKIT` has this value.
    fn build_where(&self, switch: &str, service: &str) -> Output {
        let mut command = self.scene.roadstead.command(&["compose", "build", service]);
        command.current_dir(self.scene.project.checkout()).env("DOCKER_BUILDKIT", switch);
        output(&mut command)
    }

    /// Changes files of the checkout; builds read those.
    fn write(&self, files: &[(&str, &str)]) {
        write_files(&self.scene.project.checkout(), files);
    }

    fn image(&self, service: &str) -> String {
        format!("{}-{service}", self.scene.project.name())
    }

    /// What a command in the image of a service says.
    fn run(&self, service: &str, command: &[&str]) -> String {
        let image = self.image(service);
        let mut all = vec!["run", "--rm", "--network", "none", image.as_str()];
        all.extend(command);
        self.scene.engine.docker(&all)
    }
}

impl Drop for Builds<'_> {
    fn drop(&mut self) {
        let reference = format!("reference={}-*", self.scene.project.name());
        let list = ["images", "--quiet", "--filter", &reference];
        let found = self.scene.engine.try_docker(&list).stdout;
        for image in found.lines() {
            self.scene.engine.try_docker(&["rmi", "--force", image]);
        }
    }
}

fn secrets_are_there_while_a_step_runs_and_never_in_the_image(engine: &Engine) {
    let compose = "
services:
  web:
    build: {context: app, network: none, secrets: [token, {source: word, target: other}]}
secrets: {token: {file: ./token}, word: {environment: WORD}}
";
    let steps = "\
RUN --mount=type=secret,id=token --mount=type=secret,id=other \
  cat /run/secrets/token /run/secrets/other | tr a-z A-Z >/seen
RUN ls -A /run/secrets >/left 2>/dev/null || true
";
    let files = [
        ("compose.yml", compose),
        (".env", "WORD=from the environment\n"),
        ("token", "from a file,"),
        ("app/Dockerfile", &format!("{FROM}{steps}")),
    ];
    let builds = Builds::new(engine, &files);
    builds.build(&[]).ok();
    assert_eq!(builds.run("web", &["cat", "/seen"]), "FROM A FILE,FROM THE ENVIRONMENT");
    assert_eq!(builds.run("web", &["cat", "/left"]), "");
}

/// A project of one service, with this Dockerfile after the common first line.
fn one(engine: &'static Engine, steps: &str) -> Builds<'static> {
    let compose = "services: {web: {build: {context: app, network: none}}}";
    let dockerfile = format!("{FROM}{steps}");
    Builds::new(engine, &[("compose.yml", compose), ("app/Dockerfile", &dockerfile)])
}

fn what_a_step_keeps_in_a_cache_is_there_for_the_next_build(engine: &'static Engine) {
    let step = "RUN --mount=type=cache,id=ID,target=/c echo \"$N\" >>/c/all; cp /c/all /all\n";
    let builds = one(engine, &format!("ARG N\n{step}").replace("ID", &unique("cache")));
    for (argument, expected) in [("N=one", "one"), ("N=two", "one\ntwo")] {
        builds.build(&["--build-arg", argument]).ok();
        assert_eq!(builds.run("web", &["cat", "/all"]), expected);
    }
}

fn a_second_identical_build_runs_nothing(engine: &'static Engine) {
    let word = unique("word");
    let builds = one(engine, &format!("RUN echo {word} | tee /word\nCOPY file /file\n"));
    builds.write(&[("app/file", "one\n")]);
    // What the step writes is shown when it runs.
    let runs = |built: &Output| built.stdout.lines().any(|it| it.ends_with(&format!(" {word}")));
    let id = || engine.inspect(&builds.image("web"), "{{.Id}}");
    let first = builds.build(&[]);
    assert!(runs(&first), "{}\n{}", first.stdout, first.stderr);
    let built = id();
    let second = builds.build(&[]);
    let cached = second.stdout.lines().filter(|it| it.ends_with(" CACHED")).count();
    assert!(cached >= 2 && !runs(&second), "{}", second.stdout);
    assert_eq!(id(), built);
    // A file that changed is sent again, and only what needs it is done again.
    builds.write(&[("app/file", "two\n")]);
    let third = builds.build(&[]);
    assert!(!runs(&third), "{}", third.stdout);
    assert_eq!(builds.run("web", &["cat", "/file", "/word"]), format!("two\n{word}"));
    let anew = builds.build(&["--no-cache"]);
    assert!(runs(&anew), "{}", anew.stdout);
    assert_ne!(id(), built);
}

fn a_failing_step_shows_its_output_its_line_and_its_exit_code(engine: &'static Engine) {
    let builds = one(engine, "\n# why\nRUN echo 'said before'; \\\n  exit 7\n");
    let failed = builds.build(&[]);
    assert_eq!(failed.code, Some(1));
    assert!(failed.stdout.contains(" said before\n"), "{}", failed.stdout);
    let place = format!("build image `{}` of service `web`", builds.image("web"));
    for part in [place.as_str(), "Dockerfile:4: ", "RUN echo 'said before';", "exit code: 7"] {
        assert!(failed.stderr.contains(part), "{part}: {}", failed.stderr);
    }
    for (step, parts) in [
        ("RUNN x\n", ["line 2", "unknown instruction: RUNN"]),
        ("COPY none /\n", ["COPY none /", "not found"]),
    ] {
        builds.write(&[("app/Dockerfile", &format!("{FROM}{step}"))]);
        let failed = builds.build(&[]);
        for part in parts {
            assert!(failed.stderr.contains(part), "{part}: {}", failed.stderr);
        }
    }
}

fn contexts_are_what_their_dockerignore_leaves(engine: &Engine) {
    let compose = "
services:
  web: {build: {context: app, network: none}}
  own: {build: {context: app, dockerfile: own.df, network: none}}
  beside: {build: {context: app, dockerfile: ../beside, network: none}}
  inline:
    build:
      context: app
      network: none
      dockerfile_inline: |
        FROM rs-test/app:1
        COPY . /ctx
        RUN cd /ctx && find . | sort >/list
";
    let dockerfile = &format!("{FROM}COPY . /ctx\nRUN cd /ctx && find . | sort >/list\n");
    let files = [
        ("compose.yml", compose),
        ("beside", dockerfile),
        ("app/Dockerfile", dockerfile),
        ("app/.dockerignore", "*\n!out/in\n!keep.*\nkeep.log\n"),
        ("app/own.df", dockerfile),
        ("app/own.df.dockerignore", "out\n*.df\n.d*\nD*\n*e\n"),
        ("app/keep.log", ""),
        ("app/keep.txt", ""),
        ("app/out/in/y", ""),
        ("app/out/x", ""),
    ];
    let builds = Builds::new(engine, &files);
    builds.build(&[]).ok();
    let usual = ".\n./keep.txt\n./out\n./out/in\n./out/in/y";
    for (service, expected) in
        [("web", usual), ("beside", usual), ("inline", usual), ("own", ".\n./keep.log\n./keep.txt")]
    {
        assert_eq!(builds.run(service, &["cat", "/list"]), expected, "{service}");
    }
}

fn files_of_every_kind_arrive_as_they_are(engine: &'static Engine) {
    let builds = one(engine, "COPY . /ctx\nCOPY sub/run big /two/\n");
    builds.write(&[
        ("app/sub/run", "#!/bin/sh\necho ran\n"),
        ("app/ünïcode", "u"),
        ("app/empty", ""),
    ]);
    let context = builds.scene.project.checkout().join("app");
    let big: Vec<u8> = (0..3_000_000_u32).flat_map(u32::to_le_bytes).collect();
    std::fs::write(context.join("big"), &big).unwrap();
    let mode = std::fs::Permissions::from_mode(0o4755);
    std::fs::set_permissions(context.join("sub/run"), mode).unwrap();
    symlink("sub/run", context.join("link")).unwrap();
    symlink("nowhere", context.join("dangling")).unwrap();
    let _socket = UnixListener::bind(context.join("socket")).unwrap();
    builds.build(&[]).ok();
    let script = "cd /ctx && ls -A | wc -l && ./link && stat -c '%a %u:%g' sub/run /two/run && \
                  readlink dangling && cat ünïcode && cmp big /two/big && wc -c <big";
    // Everything but the socket: nobody builds from it.
    let expected = "7\nran\n4755 0:0\n4755 0:0\nnowhere\nu12000000";
    assert_eq!(builds.run("web", &["sh", "-c", script]), expected);
}

fn switched_off_it_leaves_the_classic_builder_which_says_what_it_cannot_do(engine: &Engine) {
    let compose = "
services:
  plain: {build: {context: app, network: none}}
  web: {build: {context: app, secrets: [s], additional_contexts: {a: ./app}}}
secrets: {s: {file: ./s}}
";
    let files =
        [("compose.yml", compose), ("s", ""), ("app/Dockerfile", &format!("{FROM}RUN true\n"))];
    let builds = Builds::new(engine, &files);
    let built = builds.build_where("0", "plain");
    assert!(built.stdout.contains("Step 1/"), "{}\n{}", built.stdout, built.stderr);
    let refused = builds.build_where("0", "web");
    assert_eq!((refused.code, refused.stdout.as_str()), (Some(2), ""));
    for key in ["secrets", "additional_contexts"] {
        let expected = format!("`web`: `build.{key}` needs BuildKit, which `DOCKER_BUILDKIT`");
        assert!(refused.stderr.contains(&expected), "{}", refused.stderr);
    }
    let refused = builds.build_where("maybe", "plain");
    assert!(refused.stderr.contains("expected 0 or 1"), "{}", refused.stderr);
}

/// That it answers is tested where it is written: nothing in the image talks to a socket.
fn an_agent_is_there_for_a_step(engine: &Engine) {
    let compose =
        "services: {web: {build: {context: app, network: none, ssh: [\"mine=${AGENT}\"]}}}";
    let steps = "\
RUN --mount=type=ssh,id=mine test -S \"$SSH_AUTH_SOCK\"
RUN test -z \"$SSH_AUTH_SOCK\"
";
    let dockerfile = format!("{FROM}{steps}");
    let files = [("compose.yml", compose), ("app/Dockerfile", dockerfile.as_str())];
    let builds = Builds::new(engine, &files);
    let socket = builds.scene.project.checkout().join("agent");
    builds.write(&[(".env", &format!("AGENT={}\n", socket.display()))]);
    let _listener = UnixListener::bind(&socket).unwrap();
    builds.build(&[]).ok();
}

fn what_is_missing_is_told_before_anything_is_built(engine: &Engine) {
    let builds = Builds::new(engine, &[("app/Dockerfile", FROM), ("app/key", "")]);
    for (build, expected) in [
        ("{context: app, secrets: [none]}", "/none.txt`"),
        ("{context: app, secrets: [unset]}", "`UNSET_WORD` is not set"),
        ("{context: app, ssh: [default]}", "`SSH_AUTH_SOCK` is not set"),
        ("{context: app, ssh: [a=./app/key]}", "`ssh-add`"),
        ("{context: app, additional_contexts: {a: ./nowhere}}", "additional context `a`"),
        ("{context: nowhere}", "there is no directory"),
        ("{context: app, dockerfile: nowhere}", "name another with `dockerfile`"),
        ("{context: app, platforms: [linux/amd64, linux/arm64]}", "names 2 platforms"),
        ("{context: app, privileged: true}", "security.insecure is not allowed"),
        ("{context: app, cache_to: [\"type=none\"]}", "unknown cache exporter"),
        ("{context: app, network: other}", "invalid netmode other"),
    ] {
        let secrets = "secrets: {none: {file: ./none.txt}, unset: {environment: UNSET_WORD}}";
        let compose = format!("services: {{web: {{build: {build}}}}}\n{secrets}\n");
        builds.write(&[("compose.yml", &compose)]);
        let failed = builds.build(&[]);
        assert!(matches!(failed.code, Some(1 | 2)), "{build}: {:?} {}", failed.code, failed.stdout);
        assert!(failed.stderr.contains(expected), "{build}: {}", failed.stderr);
    }
}

const CONTEXTS: &str = "\
services:
  base: {build: {context: base, network: none}}
  web:
    build:
      context: app
      network: none
      additional_contexts:
        files: ./files
        under: service:base
        image: docker-image://rs-test/app:2
";

const FROM_CONTEXTS: &str = "\
FROM under
COPY --from=files . /files
COPY --from=image /www/index.html /index
RUN ls -A /files >/list
";

/// The reader of Dockerfiles in Engine 20.10 has no named contexts, and says so.
#[test]
fn named_contexts_are_directories_images_and_other_services() {
    let files = [
        ("compose.yml", CONTEXTS),
        ("base/Dockerfile", "FROM rs-test/app:1\nRUN echo base >/base\n"),
        ("app/Dockerfile", FROM_CONTEXTS),
        ("files/.dockerignore", "b\n"),
        ("files/a", ""),
        ("files/b", ""),
    ];
    let builds = Builds::new(Engine::newer(), &files);
    // What it is built on is built with it, and before it.
    builds.build(&["web"]).ok();
    let found = builds.run("web", &["cat", "/base", "/index", "/list"]);
    assert_eq!(found, "base\ntwo\n.dockerignore\na");

    let builds = Builds::new(Engine::shared(), &files);
    let refused = builds.build(&["web"]);
    assert_eq!(refused.code, Some(1));
    assert!(refused.stderr.contains("needs Engine 23.0"), "{}", refused.stderr);
}

#[test]
fn limits_are_kept_or_their_loss_is_told() {
    let compose = "
services:
  web:
    build:
      context: app
      network: none
      shm_size: 1m
      ulimits: {nofile: 1000}
      extra_hosts: [\"far:10.9.8.7\"]
      labels: {made.by: a test}
";
    let steps = "\
RUN df -k /dev/shm | tail -1 >/shm; ulimit -n >/files; grep far /etc/hosts >/hosts
";
    let dockerfile = format!("{FROM}{steps}");
    let files = [("compose.yml", compose), ("app/Dockerfile", dockerfile.as_str())];
    for (engine, is_new) in [(Engine::shared(), false), (Engine::newer(), true)] {
        let builds = Builds::new(engine, &files);
        let built = builds.build(&[]);
        let warning = "ignores `build.ulimits`";
        assert_eq!(built.stdout.contains(warning), !is_new, "{}\n{}", built.stdout, built.stderr);
        if is_new {
            let found = builds.run("web", &["sh", "-c", "awk '{print $2}' /shm; cat /files"]);
            assert_eq!(found, "1024\n1000");
        }
        assert_eq!(builds.run("web", &["cat", "/hosts"]), "10.9.8.7\tfar");
        let labels = engine.inspect(&builds.image("web"), "{{json .Config.Labels}}").unwrap();
        let image = builds.image("web");
        let project = image.strip_suffix("-web").unwrap();
        let ours = format!(r#""com.docker.compose.project":"{project}""#);
        for label in [r#""made.by":"a test""#, r#""com.docker.compose.service":"web""#, &ours] {
            assert!(labels.contains(label), "{label}: {labels}");
        }
    }
}
