//! Building images with the classic builder: what reaches the Engine, what comes out, and what a
//! failure says.

#![expect(clippy::unwrap_used, reason = "a test fails loudly")]

use std::collections::BTreeMap;
use std::path::Path;

use roadstead::compose::model::{Build, Project};
use roadstead::docker::{BuildSurroundings, Engine as Client, ImageBuild, Progress};

use crate::support::{Engine, Scene, unique, write_files};

const DOCKERFILE: &str = "\
FROM rs-test/app:1 AS one
ARG WORD=none
COPY . /ctx
RUN echo \"$WORD\" >/word && ls -A /ctx >/list && cat /etc/hosts >/hosts
FROM one AS two
RUN exit 7
";

/// Builds, and returns what was said besides the id or the error.
async fn build(name: &str, how: &Build) -> (Result<String, String>, String) {
    let client = Client::new(Some(&Engine::shared().host())).unwrap();
    let mut said = String::new();
    let mut note = |progress: Progress| {
        if let Progress::Output(text) = progress {
            said.push_str(&text);
        }
    };
    let switched_off = [("DOCKER_BUILDKIT".to_owned(), "0".to_owned())].into();
    let wanted = ImageBuild {
        service: "web",
        build: how,
        surroundings: &BuildSurroundings::of(&Project::default(), &switched_off),
        image: name,
        platform: None,
        arguments: &BTreeMap::new(),
        credentials: &BTreeMap::new(),
        memory: None,
    };
    let ended = client.build(&wanted, &mut note).await;
    (ended.map_err(|error| format!("{error:#}")), said)
}

fn run(image: &str, file: &str) -> String {
    Engine::shared().docker(&["run", "--rm", image, "cat", file])
}

fn context(directory: &Path) -> Build {
    write_files(
        directory,
        &[
            ("Dockerfile", DOCKERFILE),
            (".dockerignore", "*.log\n!keep.log\nDockerfile\n"),
            ("a.log", ""),
            ("keep.log", ""),
            ("sub/b", ""),
        ],
    );
    Build {
        context: directory.display().to_string(),
        target: Some("one".to_owned()),
        network: Some("none".to_owned()),
        ..Build::default()
    }
}

#[tokio::test]
async fn every_option_of_a_build_has_its_effect() {
    let directory = tempfile::tempdir().unwrap();
    let (name, tag) = (unique("rs-test/built"), unique("rs-test/tagged"));
    let wanted = Build {
        args: [("WORD".to_owned(), Some("a b".to_owned())), ("NONE".to_owned(), None)].into(),
        labels: [("made.by".to_owned(), "a test".to_owned())].into(),
        extra_hosts: [("far".to_owned(), vec!["10.9.8.7".to_owned()])].into(),
        tags: vec![format!("{tag}:9")],
        ..context(directory.path())
    };
    let (built, said) = build(&name, &wanted).await;
    let id = built.unwrap();
    assert!(said.contains("Step 1/"), "{said}");
    let engine = Engine::shared();
    assert_eq!(engine.inspect(&name, "{{.Id}}").as_ref(), Some(&id));
    assert_eq!(engine.inspect(&format!("{tag}:9"), "{{.Id}}"), Some(id));
    let labels = engine.inspect(&name, "{{json .Config.Labels}}").unwrap();
    for label in [r#""made.by":"a test""#, r#""com.docker.compose.image.builder":"classic""#] {
        assert!(labels.contains(label), "{labels}");
    }
    assert_eq!(run(&name, "/word"), "a b");
    assert!(run(&name, "/hosts").contains("10.9.8.7\tfar"));
    // The Dockerfile is sent though it is ignored, and the classic builder takes it out again.
    assert_eq!(run(&name, "/list"), ".dockerignore\nkeep.log\nsub");
    engine.docker(&["rmi", &name, &format!("{tag}:9")]);
}

#[tokio::test]
async fn a_dockerfile_may_stand_in_the_project_or_beside_the_context() {
    let directory = tempfile::tempdir().unwrap();
    let context = context(&directory.path().join("ctx"));
    write_files(
        directory.path(),
        &[("other", "FROM rs-test/app:1\nCOPY . /ctx\nRUN ls -A /ctx >/list\n")],
    );
    let inline = "FROM rs-test/app:2\nCOPY . /ctx\nRUN ls -A /ctx >/list\n";
    for build_of in [
        Build { dockerfile: Some("../other".to_owned()), target: None, ..context.clone() },
        Build { dockerfile_inline: Some(inline.to_owned()), target: None, ..context.clone() },
    ] {
        let name = unique("rs-test/elsewhere");
        build(&name, &build_of).await.0.unwrap();
        // Nothing of ours is in the image.
        assert_eq!(run(&name, "/list"), ".dockerignore\nkeep.log\nsub", "{build_of:?}");
        Engine::shared().docker(&["rmi", &name]);
    }
}

#[tokio::test]
async fn a_failure_names_the_step() {
    let directory = tempfile::tempdir().unwrap();
    let context = context(directory.path());
    for (wanted, expected) in [
        (Build { target: None, ..context.clone() }, vec!["RUN exit 7", "non-zero code: 7"]),
        (Build { target: Some("three".to_owned()), ..context.clone() }, vec!["three"]),
        (
            Build {
                dockerfile_inline: Some("FROM rs-test/none:1".to_owned()),
                target: None,
                ..context.clone()
            },
            vec!["FROM rs-test/none:1"],
        ),
        (
            Build { context: "/no/such".to_owned(), ..context },
            vec!["image `rs-test/failed` of service `web`", "`/no/such`"],
        ),
    ] {
        let error = build("rs-test/failed", &wanted).await.0.unwrap_err();
        for part in expected {
            assert!(error.contains(part), "{part}: {error}");
        }
    }
}

const PROJECT: &str = "\
services:
  web:
    build: {context: app, args: {WORD: file}, network: none}
    command: [sleep, '1000']
  child:
    image: ${CHILD}
    build: {dockerfile_inline: \"FROM ${COMPOSE_PROJECT_NAME}-web\\nLABEL child=1\\n\"}
    depends_on: [web]
    command: [sleep, '1000']
";

#[test]
fn the_command_builds_what_a_project_says() {
    let child = unique("rs-test/child");
    let scene = Scene::new(&[
        ("compose.yml", &PROJECT.replace("${CHILD}", &child)),
        ("app/Dockerfile", "FROM rs-test/app:1\nARG WORD=none\nRUN echo \"$WORD\" >/word\n"),
    ]);
    let web = format!("{}-web", scene.project.name());
    // A failure on the way names the service, and the exit code says so.
    let unknown = scene.compose(&["build", "wbe"]);
    assert_eq!(unknown.code, Some(2));
    assert!(unknown.stderr.contains("did you mean `web`?"), "{}", unknown.stderr);
    // `up` builds what is missing, in the order in which one needs the other, and no more than once.
    scene.compose(&["up", "-d"]).ok();
    assert_eq!(run(&web, "/word"), "file");
    assert_eq!(scene.engine.inspect(&child, "{{.Config.Labels.child}}").as_deref(), Some("1"));
    let again = scene.compose(&["up", "-d"]);
    assert!(!again.stderr.contains("Building"), "{}", again.stderr);
    // The command line wins over the file, and its output can be kept.
    let built = scene.compose(&["build", "--build-arg", "WORD=line", "web"]);
    assert!(built.stdout.contains("\n#1 DONE"), "{}", built.stdout);
    assert!(built.stderr.contains("web  Built"), "{}", built.stderr);
    assert_eq!(run(&web, "/word"), "line");
    let quiet = scene.compose(&["build", "--quiet", "--no-cache", "--with-dependencies", "child"]);
    assert_eq!((quiet.code, quiet.stdout.as_str()), (Some(0), ""), "{}", quiet.stderr);
    assert_eq!(run(&web, "/word"), "file");
    scene.compose(&["down"]).ok();
    scene.engine.docker(&["rmi", "--force", &web, &child]);
}
