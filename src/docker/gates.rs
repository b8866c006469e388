//! What the Engine can do at its API version, in one place: version gates, and what to say without.

use super::ApiVersion;
use crate::compose::model::{
    FileObject, FileSource, MountKind, Network, Project, Service, ServiceNetwork,
};

/// `Mounts` can create the host path of a bind.
pub(super) const CREATE_MOUNTPOINT: ApiVersion = ApiVersion(1, 42);
/// Annotations of containers.
const ANNOTATIONS: ApiVersion = ApiVersion(1, 43);
/// Several networks in one create call; names of networks are unique.
pub(super) const SEVERAL_ENDPOINTS: ApiVersion = ApiVersion(1, 44);
/// A hardware address for each network, instead of one for the container.
pub(super) const ENDPOINT_MAC: ApiVersion = ApiVersion(1, 44);
/// `healthcheck.start_interval`.
const START_INTERVAL: ApiVersion = ApiVersion(1, 44);
/// How far "read only" of a bind reaches.
const RECURSIVE_READ_ONLY: ApiVersion = ApiVersion(1, 44);
/// A directory of a volume as a mount.
const VOLUME_SUBPATH: ApiVersion = ApiVersion(1, 45);
/// An image as a mount.
const IMAGE_MOUNT: ApiVersion = ApiVersion(1, 48);
/// `gw_priority` of a network.
const GATEWAY_PRIORITY: ApiVersion = ApiVersion(1, 48);
/// Networks without IPv4.
const ENABLE_IPV4: ApiVersion = ApiVersion(1, 48);
/// Names of network interfaces.
const INTERFACE_NAME: ApiVersion = ApiVersion(1, 49);

/// The release of the Engine that brought an API version, as people know it.
fn release(api: ApiVersion) -> &'static str {
    match api.1 {
        ..=42 => "23.0",
        43 => "24.0",
        44 => "25.0",
        45 => "26.0",
        46 => "27.0",
        47 => "27.2",
        48 => "28.0",
        _ => "28.1",
    }
}

/// What of a service the Engine cannot do: each a sentence with what to do. Empty when all is well.
///
/// Told before anything is touched; what the Engine only leaves out is in [`ignored`].
pub fn unsupported(project: &Project, service: &Service, api: ApiVersion) -> Vec<String> {
    let mut found = Vec::new();
    let mut needs = |key: &str, is_used: bool, since: ApiVersion| {
        if is_used && api < since {
            found.push(format!(
                "service `{}`: `{key}` needs Docker Engine {} or newer (API {since}), and this one \
                 speaks {api}: take it out, or update the Engine",
                service.name,
                release(since)
            ));
        }
    };
    let start_interval = service.healthcheck.as_ref().and_then(|it| it.start_interval);
    needs("healthcheck.start_interval", start_interval.is_some(), START_INTERVAL);
    let mut kinds = service.volumes.iter().map(|it| &it.kind);
    let is_image = |it: &MountKind| matches!(it, MountKind::Image { .. });
    needs("volumes: type: image", kinds.clone().any(is_image), IMAGE_MOUNT);
    let has_subpath = |it: &MountKind| matches!(it, MountKind::Volume { subpath: Some(_), .. });
    needs("volumes: volume.subpath", kinds.clone().any(has_subpath), VOLUME_SUBPATH);
    // An older Engine would let the container write what was meant to be read only.
    let recurses = |it: &MountKind| matches!(it, MountKind::Bind { recursive: Some(word), .. } if word == "writable" || word == "readonly");
    needs("volumes: bind.recursive", kinds.any(recurses), RECURSIVE_READ_ONLY);
    let networks = || service.networks.values().flatten();
    let is_named = |it: &ServiceNetwork| it.interface_name.is_some();
    needs("networks: interface_name", networks().any(is_named), INTERFACE_NAME);
    let others = super::create::networks_by_priority(service).into_iter().skip(1);
    let is_addressed = |it: (&String, &Option<ServiceNetwork>)| {
        it.1.as_ref().is_some_and(|it| it.mac_address.is_some())
    };
    needs(
        "networks: mac_address beyond the first network",
        { others }.any(is_addressed),
        ENDPOINT_MAC,
    );
    found.extend(mac_addresses(service));
    found.extend(files(project, service));
    found
}

/// The address of the service and that of its first network are one.
fn mac_addresses(service: &Service) -> Option<String> {
    let (key, primary) = super::create::networks_by_priority(service).into_iter().next()?;
    let own = primary.as_ref()?.mac_address.as_ref()?;
    let common = service.mac_address.as_ref().filter(|it| *it != own)?;
    Some(format!(
        "service `{}`: `mac_address` is `{common}`, and `{own}` on its first network `{key}`: they are \
         the same interface, give one of them",
        service.name
    ))
}

/// Secrets and configs that no container on one host can have.
fn files(project: &Project, service: &Service) -> Vec<String> {
    let secrets = service.secrets.iter().map(|it| ("secret", it, project.secrets.get(&it.source)));
    let configs = service.configs.iter().map(|it| ("config", it, project.configs.get(&it.source)));
    let mut found = Vec::new();
    for (kind, reference, object) in secrets.chain(configs) {
        let place = format!("service `{}`: {kind} `{}`", service.name, reference.source);
        let Some(object) = object else { continue };
        found.extend(file_problem(service, object).map(|problem| format!("{place} {problem}")));
        for (key, id) in [("uid", &reference.uid), ("gid", &reference.gid)] {
            if let Some(id) = id.as_ref().filter(|it| it.parse::<u32>().is_err()) {
                found.push(format!("{place}: `{key}` is `{id}`: expected a number"));
            }
        }
    }
    found
}

fn file_problem(service: &Service, object: &FileObject) -> Option<String> {
    if object.external {
        return Some("is `external`, which only Swarm has: give it a `file` instead".to_owned());
    }
    if object.driver.is_some() || object.template_driver.is_some() {
        return Some("has a `driver`, which only Swarm has: give it a `file` instead".to_owned());
    }
    let is_written = match &object.source {
        FileSource::Elsewhere | FileSource::File(_) => false,
        FileSource::Environment { variable, value: None } => {
            return Some(format!(
                "comes from variable `{variable}`, which is not set: set it, or give a `file`"
            ));
        }
        FileSource::Environment { value: Some(_), .. } | FileSource::Content(_) => true,
    };
    (is_written && service.read_only).then(|| {
        "is written into the container, whose root is `read_only`: give it a `file`, or take \
         `read_only` out"
            .to_owned()
    })
}

/// What the Engine leaves out of a service without a word: each a sentence for a warning.
pub fn ignored(service: &Service, api: ApiVersion) -> Vec<String> {
    let networks = || service.networks.values().flatten();
    let has_priority = networks().any(|it| it.gw_priority.is_some_and(|it| it != 0));
    let mut found = Vec::new();
    for (key, is_used, since) in [
        ("annotations", !service.annotations.is_empty(), ANNOTATIONS),
        ("networks: gw_priority", has_priority, GATEWAY_PRIORITY),
    ] {
        if is_used && api < since {
            found.push(format!(
                "service `{}`: `{key}` has no effect before Docker Engine {} (API {since})",
                service.name,
                release(since)
            ));
        }
    }
    let is_windows = [
        ("cpu_count", service.cpu_count.is_some()),
        ("cpu_percent", service.cpu_percent.is_some()),
        ("credential_spec", service.credential_spec.is_some()),
    ];
    for (key, _) in is_windows.into_iter().filter(|(_, is_used)| *is_used) {
        found.push(format!("service `{}`: `{key}` has an effect on Windows only", service.name));
    }
    found
}

/// What the Engine leaves out of a network.
pub fn ignored_of_network(network: &Network, api: ApiVersion) -> Option<String> {
    (network.enable_ipv4 == Some(false) && api < ENABLE_IPV4).then(|| {
        format!(
            "network `{}`: `enable_ipv4: false` has no effect before Docker Engine {}",
            network.name,
            release(ENABLE_IPV4)
        )
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::compose::model::{FileReference, Healthcheck, Hidden, Mount};

    const OLD: ApiVersion = ApiVersion(1, 41);
    const NEW: ApiVersion = ApiVersion(1, 51);

    fn with(change: impl FnOnce(&mut Service)) -> Service {
        let mut service = Service { name: "web".to_owned(), ..Service::default() };
        change(&mut service);
        service
    }

    fn network(change: impl FnOnce(&mut ServiceNetwork)) -> ServiceNetwork {
        let mut network = ServiceNetwork::default();
        change(&mut network);
        network
    }

    fn mount(kind: MountKind) -> Mount {
        Mount {
            kind,
            source: Some("s".to_owned()),
            target: "/t".to_owned(),
            read_only: false,
            consistency: None,
            options_given: true,
            other_blocks: Vec::new(),
        }
    }

    #[test]
    fn what_an_old_engine_cannot_do_is_told_with_the_release_that_can() {
        let bind = |word: &str| MountKind::Bind {
            selinux: None,
            propagation: None,
            create_host_path: None,
            recursive: Some(word.to_owned()),
        };
        let subpath =
            MountKind::Volume { nocopy: false, subpath: Some("a".to_owned()), labels: [].into() };
        let mac =
            |key: &str| (key.to_owned(), Some(network(|it| it.mac_address = Some("02:1".into()))));
        let rows = vec![
            (with(|_| {}), None),
            (
                with(|it| {
                    it.healthcheck = Some(Box::new(Healthcheck {
                        start_interval: Some(Duration::from_secs(1)),
                        ..Healthcheck::default()
                    }));
                }),
                Some("`healthcheck.start_interval` needs Docker Engine 25.0"),
            ),
            (
                with(|it| it.volumes = vec![mount(MountKind::Image { subpath: None })]),
                Some("needs Docker Engine 28.0"),
            ),
            (with(|it| it.volumes = vec![mount(subpath)]), Some("needs Docker Engine 26.0")),
            (
                with(|it| it.volumes = vec![mount(bind("readonly"))]),
                Some("`volumes: bind.recursive`"),
            ),
            (with(|it| it.volumes = vec![mount(bind("disabled"))]), None),
            (
                with(|it| {
                    let named = network(|it| it.interface_name = Some("eth7".into()));
                    it.networks = [("a".to_owned(), Some(named))].into();
                }),
                Some("needs Docker Engine 28.1 or newer (API 1.49), and this one speaks 1.41"),
            ),
            (
                with(|it| it.networks = [("a".to_owned(), None), mac("b")].into()),
                Some("beyond the first network"),
            ),
            (with(|it| it.networks = [mac("a")].into()), None),
        ];
        for (service, expected) in rows {
            let found = unsupported(&Project::default(), &service, OLD);
            match expected {
                Some(part) => assert!(found.join("\n").contains(part), "{part}: {found:?}"),
                None => assert!(found.is_empty(), "{found:?}"),
            }
            assert_eq!(unsupported(&Project::default(), &service, NEW), [""; 0]);
        }
    }

    #[test]
    fn two_addresses_of_one_interface_are_refused_on_every_engine() {
        let service = with(|it| {
            it.mac_address = Some("02:2".to_owned());
            let own = network(|it| it.mac_address = Some("02:1".into()));
            it.networks = [("a".to_owned(), Some(own))].into();
        });
        for api in [OLD, NEW] {
            assert_eq!(unsupported(&Project::default(), &service, api).len(), 1);
        }
    }

    #[test]
    fn secrets_and_configs_that_cannot_be_had_are_told() {
        let object = |change: fn(&mut FileObject)| {
            let mut object = FileObject::default();
            change(&mut object);
            object
        };
        let reference = |uid: &str| FileReference {
            source: "s".to_owned(),
            uid: Some(uid.to_owned()),
            ..FileReference::default()
        };
        let file = object(|it| it.source = FileSource::File("/f".into()));
        let content = object(|it| it.source = FileSource::Content("c".into()));
        let unset = object(|it| {
            it.source = FileSource::Environment { variable: "V".into(), value: None };
        });
        let set = object(|it| {
            let value = Some(Hidden::new("v".into()));
            it.source = FileSource::Environment { variable: "V".into(), value };
        });
        for (object, read_only, uid, expected) in [
            (&file, true, "1", None),
            (&file, false, "me", Some("`uid` is `me`")),
            (&content, false, "1", None),
            (&content, true, "1", Some("`read_only`")),
            (&unset, false, "1", Some("variable `V`, which is not set")),
            (&set, false, "1", None),
            (&set, true, "1", Some("`read_only`")),
            (&object(|it| it.external = true), false, "1", Some("`external`")),
            (&object(|it| it.driver = Some("d".into())), false, "1", Some("`driver`")),
        ] {
            let service = with(|it| {
                it.read_only = read_only;
                it.secrets = vec![reference(uid)];
            });
            let secrets = [("s".to_owned(), object.clone())].into();
            let project = Project { secrets, ..Project::default() };
            let found = unsupported(&project, &service, NEW).join("\n");
            match expected {
                Some(part) => assert!(found.contains(part), "{part}: {found}"),
                None => assert_eq!(found, "", "{object:?}"),
            }
        }
    }

    #[test]
    fn what_has_no_effect_is_told() {
        let annotated = with(|it| it.annotations = [("a".to_owned(), "b".to_owned())].into());
        let windows = with(|it| it.cpu_count = Some(1));
        for (service, api, expected) in
            [(&annotated, OLD, 1), (&annotated, NEW, 0), (&windows, OLD, 1), (&windows, NEW, 1)]
        {
            assert_eq!(ignored(service, api).len(), expected, "{service:?}");
        }
        let network = Network { enable_ipv4: Some(false), ..Network::default() };
        assert!(ignored_of_network(&network, OLD).is_some());
        assert!(ignored_of_network(&network, NEW).is_none());
    }
}
