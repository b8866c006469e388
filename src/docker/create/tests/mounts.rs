//! What each form of a mount becomes: a line of `Binds`, an entry of `Mounts` or one of `Volumes`.

use super::*;

fn bind(create_host_path: Option<bool>, recursive: Option<&str>) -> MountKind {
    let recursive = recursive.map(str::to_owned);
    MountKind::Bind { selinux: None, propagation: None, create_host_path, recursive }
}

fn volume() -> MountKind {
    MountKind::Volume {
        selinux: None,
        propagation: None,
        nocopy: false,
        subpath: None,
        labels: BTreeMap::new(),
    }
}

fn mount(kind: MountKind, source: Option<&str>, read_only: bool) -> Mount {
    Mount {
        kind,
        source: source.map(str::to_owned),
        target: "/t".to_owned(),
        read_only,
        consistency: None,
        options_given: true,
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
    let with_options = MountKind::Volume {
        selinux: text("Z"),
        propagation: None,
        nocopy: false,
        subpath: None,
        labels: BTreeMap::new(),
    };
    for (mount, expected) in [
        (mount(bind(Some(true), None), Some("/h"), false), "/h:/t:rw"),
        (mount(bind(None, None), Some("/h"), true), "/h:/t:ro"),
        (mount(shared, Some("/h"), true), "/h:/t:ro,z,rslave"),
        (mount(volume(), Some("data"), false), "p_data:/t:rw"),
        (mount(volume(), Some("data"), true), "p_data:/t:ro"),
        (mount(with_options, Some("data"), false), "p_data:/t:rw,Z"),
    ] {
        let body = body(&Service { volumes: vec![mount.clone()], ..service() }, OLD);
        assert_eq!(body["HostConfig"]["Binds"], json!([expected]), "{mount:?}");
        assert_eq!(body["HostConfig"].get("Mounts"), None, "{mount:?}");
    }
}

#[test]
fn mounts_that_text_cannot_say_are_mounts() {
    let nocopy = MountKind::Volume {
        selinux: None,
        propagation: None,
        nocopy: true,
        subpath: text("s"),
        labels: pairs(&[("k", "v")]),
    };
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
    for (what, volumes, tmpfs, taken, targets, binds) in [
        ("made", anonymous(), none(), vec![], json!({"/t": {}}), Value::Null),
        ("taken over", anonymous(), none(), vec![("/t", "old")], Value::Null, json!(["old:/t:rw"])),
        ("of the image", vec![], none(), vec![("/i", "old")], Value::Null, json!(["old:/i:rw"])),
        (
            "named now",
            vec![mount(volume(), Some("data"), false)],
            none(),
            vec![("/t", "old")],
            Value::Null,
            json!(["p_data:/t:rw"]),
        ),
        (
            "memory now",
            vec![mount(MountKind::Tmpfs { size: None, mode: None }, None, false)],
            none(),
            vec![("/t", "old")],
            Value::Null,
            Value::Null,
        ),
        (
            "tmpfs now",
            vec![],
            texts(&["/t:size=1m"]),
            vec![("/t", "old")],
            Value::Null,
            Value::Null,
        ),
    ] {
        let service = Service { tmpfs, volumes, ..service() };
        let body = serde_json::to_value(make(&service, OLD, &taken).body).unwrap();
        assert_eq!(body.get("Volumes").unwrap_or(&Value::Null), &targets, "{what}");
        let found = body["HostConfig"].get("Binds").unwrap_or(&Value::Null);
        assert_eq!(found, &binds, "{what}");
    }
}
