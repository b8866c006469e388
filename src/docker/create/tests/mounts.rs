//! What each form of a mount becomes: a line of `Binds`, an entry of `Mounts` or one of `Volumes`.

use super::*;
use crate::compose::model::{FileObject, FileReference, FileSource};

fn bind(create_host_path: Option<bool>, recursive: Option<&str>) -> MountKind {
    let recursive = recursive.map(str::to_owned);
    MountKind::Bind { selinux: None, propagation: None, create_host_path, recursive }
}

fn rslave() -> MountKind {
    MountKind::Bind {
        selinux: None,
        propagation: text("rslave"),
        create_host_path: Some(true),
        recursive: None,
    }
}

fn volume() -> MountKind {
    MountKind::Volume { nocopy: false, subpath: None, labels: BTreeMap::new() }
}

fn mount(kind: MountKind, source: Option<&str>, read_only: bool) -> Mount {
    Mount {
        kind,
        source: source.map(str::to_owned),
        target: "/t".to_owned(),
        read_only,
        consistency: None,
        options_given: true,
        other_blocks: Vec::new(),
    }
}

#[test]
fn mounts_that_text_can_say_are_binds() {
    let shared = MountKind::Bind {
        selinux: text("z"),
        propagation: text("rslave"),
        create_host_path: Some(true),
        recursive: None,
    };
    let of_a_bind = MountKind::Bind {
        selinux: text("Z"),
        propagation: None,
        create_host_path: None,
        recursive: None,
    };
    let relabelled = Mount {
        other_blocks: vec![of_a_bind, MountKind::Tmpfs { size: Some(1), mode: None }],
        ..mount(volume(), Some("data"), false)
    };
    for (mount, expected) in [
        (mount(bind(Some(true), None), Some("/h"), false), "/h:/t:rw"),
        (mount(bind(None, None), Some("/h"), true), "/h:/t:ro"),
        (mount(shared, Some("/h"), true), "/h:/t:ro,z,rslave"),
        (mount(rslave(), Some("/h"), true), "/h:/t:ro,rslave"),
        (mount(volume(), Some("data"), false), "p_data:/t:rw"),
        (mount(volume(), Some("data"), true), "p_data:/t:ro"),
        (relabelled, "p_data:/t:rw,Z"),
    ] {
        let body = body(&Service { volumes: vec![mount.clone()], ..service() }, OLD);
        assert_eq!(body["HostConfig"]["Binds"], json!([expected]), "{mount:?}");
        assert_eq!(body["HostConfig"].get("Mounts"), None, "{mount:?}");
    }
}

#[test]
fn mounts_that_text_cannot_say_are_mounts() {
    let nocopy =
        MountKind::Volume { nocopy: true, subpath: text("s"), labels: pairs(&[("k", "v")]) };
    let propagated = MountKind::Bind {
        selinux: None,
        propagation: text("rshared"),
        create_host_path: Some(false),
        recursive: None,
    };
    let tmpfs = MountKind::Tmpfs { size: Some(1024), mode: Some(0o700) };
    for (what, mount, api, expected) in [
        (
            "bind of a path that must exist",
            mount(bind(Some(false), None), Some("/h"), true),
            NEW,
            json!({"Type": "bind", "Source": "/h", "ReadOnly": true, "BindOptions": {}}),
        ),
        (
            "propagation",
            mount(propagated, Some("/h"), false),
            OLD,
            json!({
                "Type": "bind", "Source": "/h", "ReadOnly": false,
                "BindOptions": {"Propagation": "rshared"}
            }),
        ),
        (
            "propagation, new enough to make the path",
            mount(rslave(), Some("/h"), false),
            NEW,
            json!({
                "Type": "bind", "Source": "/h", "ReadOnly": false,
                "BindOptions": {"Propagation": "rslave", "CreateMountpoint": true}
            }),
        ),
        (
            "not recursive, old",
            mount(bind(Some(true), Some("disabled")), Some("/h"), false),
            OLD,
            json!({
                "Type": "bind", "Source": "/h", "ReadOnly": false,
                "BindOptions": {"NonRecursive": true}
            }),
        ),
        (
            "not recursive, new enough to make the path",
            mount(bind(None, Some("disabled")), Some("/h"), false),
            ApiVersion(1, 42),
            json!({
                "Type": "bind", "Source": "/h", "ReadOnly": false,
                "BindOptions": {"NonRecursive": true, "CreateMountpoint": true}
            }),
        ),
        (
            "read only at the top",
            mount(bind(Some(false), Some("writable")), Some("/h"), true),
            NEW,
            json!({
                "Type": "bind", "Source": "/h", "ReadOnly": true,
                "BindOptions": {"ReadOnlyNonRecursive": true}
            }),
        ),
        (
            "read only all the way",
            mount(bind(Some(false), Some("readonly")), Some("/h"), true),
            NEW,
            json!({
                "Type": "bind", "Source": "/h", "ReadOnly": true,
                "BindOptions": {"ReadOnlyForceRecursive": true}
            }),
        ),
        (
            "volume with options",
            mount(nocopy, Some("data"), false),
            OLD,
            json!({
                "Type": "volume", "Source": "p_data", "ReadOnly": false,
                "VolumeOptions": {"NoCopy": true, "Subpath": "s", "Labels": {"k": "v"}}
            }),
        ),
        (
            "memory",
            mount(tmpfs, None, false),
            OLD,
            json!({
                "Type": "tmpfs", "ReadOnly": false,
                "TmpfsOptions": {"SizeBytes": 1024, "Mode": 0o700}
            }),
        ),
    ] {
        let body = body(&Service { volumes: vec![mount], ..service() }, api);
        let mut expected = expected;
        expected["Target"] = json!("/t");
        assert_eq!(body["HostConfig"]["Mounts"], json!([expected]), "{what}");
        assert_eq!(body["HostConfig"].get("Binds"), None, "{what}");
    }
}

#[test]
fn anonymous_volumes_are_made_or_taken_over() {
    let anonymous = || vec![mount(volume(), None, false)];
    let none = Vec::new;
    let made = |target: &str| json!({"Type": "volume", "Target": target, "ReadOnly": false});
    let named = |target: &str| json!({"Type": "volume", "Target": target, "Source": "old"});
    let mut kept = named("/t");
    kept["ReadOnly"] = json!(false);
    for (what, volumes, tmpfs, taken, expected) in [
        ("made", anonymous(), none(), vec![], vec![made("/t")]),
        ("taken over", anonymous(), none(), vec![("/t", "old")], vec![kept]),
        ("of the image", vec![], none(), vec![("/i", "old")], vec![named("/i")]),
        (
            "named now",
            vec![mount(volume(), Some("data"), false)],
            none(),
            vec![("/t", "old")],
            vec![],
        ),
        (
            "memory now",
            vec![mount(MountKind::Tmpfs { size: None, mode: None }, None, false)],
            none(),
            vec![("/t", "old")],
            vec![json!({
                "Type": "tmpfs", "Target": "/t", "ReadOnly": false, "TmpfsOptions": {}
            })],
        ),
        ("tmpfs now", vec![], texts(&["/t:size=1m"]), vec![("/t", "old")], vec![]),
    ] {
        let service = Service { tmpfs, volumes, ..service() };
        let body = serde_json::to_value(make(&service, OLD, &taken).body).unwrap();
        let found = body["HostConfig"].get("Mounts").cloned().unwrap_or(json!([]));
        assert_eq!(found, json!(expected), "{what}");
    }
}

#[test]
fn files_of_secrets_and_configs_are_mounted_where_nothing_else_is() {
    let reference =
        |source: &str| FileReference { source: source.to_owned(), ..FileReference::default() };
    let mut service = Service {
        secrets: vec![reference("s"), FileReference { mode: Some(1), ..reference("s") }],
        configs: vec![reference("c"), FileReference { target: text("/t"), ..reference("c") }],
        volumes: vec![mount(bind(None, None), Some("/h"), false)],
        ..service()
    };
    let object = |path: &str| FileObject {
        source: FileSource::File(path.to_owned()),
        ..FileObject::default()
    };
    let mut project = project(&service);
    project.secrets = [("s".to_owned(), object("/h/s"))].into();
    project.configs = [("c".to_owned(), object("/h/c"))].into();
    service.name = "web".to_owned();
    let none = BTreeMap::new();
    let new = NewContainer {
        project: &project,
        service: &service,
        name: "n",
        final_name: "n",
        labels: &none,
        anonymous_volumes: &none,
        surroundings: &Surroundings::default(),
    };
    let body = serde_json::to_value(blueprint(&new, OLD).unwrap().body).unwrap();
    let file = |source: &str, target: &str| {
        json!({
            "Type": "bind", "Source": source, "Target": target, "ReadOnly": true
        })
    };
    // What has a mode of its own is written, and what a volume covers is not there.
    let expected = json!([file("/h/s", "/run/secrets/s"), file("/h/c", "/c")]);
    assert_eq!(body["HostConfig"]["Mounts"], expected);
}
