//! The image that ships: what is in it and what is not.

use crate::support::Engine;

#[test]
fn image_has_the_program_and_nothing_to_break_in_with() {
    let engine = Engine::shared();
    let image = engine.roadstead_image();
    let rows = [
        ("{{json .Config.Entrypoint}}", r#"["/roadstead"]"#),
        ("{{json .Config.Cmd}}", r#"["serve"]"#),
        ("{{json .Config.Healthcheck.Test}}", r#"["CMD","/roadstead","health"]"#),
        ("{{.Config.StopSignal}}", "SIGTERM"),
    ];
    for (format, expected) in rows {
        assert_eq!(engine.inspect(image, format).as_deref(), Some(expected), "{format}");
    }
    let container = crate::support::unique("image");
    engine.docker(&["create", "--name", &container, image]);
    let files = engine.docker(&["export", &container]);
    engine.docker(&["rm", "--volumes", &container]);
    for path in ["roadstead", "etc/ssl/certs/ca-certificates.crt", "NOTICE", "LICENSE-MIT"] {
        assert!(files.contains(&format!("{path}\0")), "`{path}` is missing");
    }
    for path in ["bin/sh", "usr/bin/docker", "usr/bin/git"] {
        assert!(!files.contains(&format!("{path}\0")), "`{path}` is there");
    }
}

#[test]
fn program_in_the_image_runs_without_anything_around_it() {
    let engine = Engine::shared();
    let image = engine.roadstead_image();
    engine.docker(&["run", "--rm", "--network", "none", image, "--version"]);
}
