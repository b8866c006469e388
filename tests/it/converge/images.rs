//! Images: what a tag names now decides, not what it named.

use super::{Do, ROW, Row, check};

#[test]
fn a_container_follows_its_image() {
    check(&[
        Row {
            name: "another image",
            before: "services: {web: {image: APP, network_mode: none}, db: {image: APP, network_mode: none}}",
            after: "services: {web: {image: APP2, network_mode: none}, db: {image: APP, network_mode: none}}",
            moved: "web-1 replaced",
            ask: &[("in web-1 cat /www/index.html", "two")],
            ..ROW
        },
        Row {
            name: "its tag was built again",
            first: &[Do::Build("OWN:a", "LABEL v=1")],
            before: "services: {web: {image: 'OWN:a', network_mode: none}, db: {image: APP, network_mode: none}}",
            meanwhile: &[Do::Build("OWN:a", "LABEL v=2")],
            moved: "web-1 replaced",
            ask: &[("inspect web-1 {{.Config.Labels.v}}", "2")],
            ..ROW
        },
        Row {
            name: "its tag was built again to the same image",
            first: &[Do::Build("OWN:a", "LABEL v=PROJECT")],
            before: "services: {web: {image: 'OWN:a', network_mode: none}}",
            meanwhile: &[Do::Build("OWN:a", "LABEL v=PROJECT")],
            ..ROW
        },
        Row {
            name: "its tag was moved",
            first: &[Do::Docker("tag APP OWN:a")],
            before: "services: {web: {image: 'OWN:a', network_mode: none}}",
            meanwhile: &[Do::Docker("tag APP2 OWN:a")],
            moved: "web-1 replaced",
            ask: &[("in web-1 cat /www/index.html", "two")],
            ..ROW
        },
        Row {
            name: "another tag of the same image",
            first: &[Do::Docker("tag APP OWN:a"), Do::Docker("tag APP OWN:b")],
            before: "services: {web: {image: 'OWN:a', network_mode: none}}",
            after: "services: {web: {image: 'OWN:b', network_mode: none}}",
            moved: "web-1 replaced",
            ..ROW
        },
        Row {
            name: "one image of several services was built again",
            first: &[Do::Build("OWN:a", "LABEL v=1")],
            before: "services: {a: {image: 'OWN:a', network_mode: none}, b: {image: 'OWN:a', network_mode: none}, c: {image: APP, network_mode: none}}",
            meanwhile: &[Do::Build("OWN:a", "LABEL v=2")],
            moved: "a-1 replaced, b-1 replaced",
            ..ROW
        },
        Row {
            name: "an image without a tag",
            first: &[Do::Docker("tag APP OWN")],
            before: "services: {web: {image: OWN, network_mode: none}}",
            meanwhile: &[Do::Docker("tag APP2 OWN:latest")],
            moved: "web-1 replaced",
            ..ROW
        },
        Row {
            name: "its tag is gone, and it may not be pulled",
            first: &[Do::Docker("tag APP OWN:a")],
            before: "services: {web: {image: 'OWN:a', network_mode: none, pull_policy: never}}",
            meanwhile: &[Do::Docker("rmi OWN:a")],
            ..ROW
        },
        Row {
            name: "an image that nobody has and no registry gives",
            before: "services: {web: {image: APP, network_mode: none}}",
            after: "services: {web: {image: '127.0.0.1:1/none:1', network_mode: none}}",
            fails: "127.0.0.1:1/none:1",
            ..ROW
        },
        Row {
            name: "an image that nobody has and that may not be pulled",
            before: "services: {web: {image: APP, network_mode: none}}",
            after: "services: {web: {image: 'OWN:none', network_mode: none, pull_policy: never}}",
            fails: "OWN:none",
            ..ROW
        },
    ]);
}
