//! What another container means in the body of a new one.

use super::*;

fn surroundings() -> Surroundings {
    let peer =
        |id: &str, number| Peer { id: id.to_owned(), name: format!("p-db-{number}"), number };
    Surroundings {
        peers: [("db".to_owned(), vec![peer("one", 1), peer("two", 2)])].into(),
        proxies: [("HTTP_PROXY".to_owned(), "p".to_owned()), ("A".to_owned(), "p".to_owned())]
            .into(),
        ..Surroundings::default()
    }
}

#[test]
fn another_service_means_its_first_container() {
    let rows: [(fn(&mut Service), &str, Option<Value>); 9] = [
        (
            |it| it.network_mode = text("service:db"),
            "/HostConfig/NetworkMode",
            Some(json!("container:one")),
        ),
        (|it| it.ipc = text("service:db"), "/HostConfig/IpcMode", Some(json!("container:one"))),
        (|it| it.pid = text("service:db"), "/HostConfig/PidMode", Some(json!("container:one"))),
        (|it| it.pid = text("container:x"), "/HostConfig/PidMode", Some(json!("container:x"))),
        (|it| it.pid = text("service:none"), "", None),
        (
            |it| it.volumes_from = texts(&["db:ro", "container:x:rw"]),
            "/HostConfig/VolumesFrom",
            Some(json!(["one:ro", "x:rw"])),
        ),
        (|it| it.volumes_from = texts(&["none"]), "", None),
        (
            |it| {
                it.links = texts(&["db:d"]);
                it.external_links = texts(&["o", "x:y"]);
            },
            "/HostConfig/Links",
            Some(json!([
                "p-db-1:d",
                "p-db-1:db-1",
                "p-db-1:p-db-1",
                "p-db-2:d",
                "p-db-2:db-2",
                "p-db-2:p-db-2",
                "o:o",
                "x:y",
            ])),
        ),
        (
            |it| it.environment = [("A".to_owned(), None), ("B".to_owned(), text("b"))].into(),
            "/Env",
            Some(json!(["A", "B=b", "HTTP_PROXY=p"])),
        ),
    ];
    for (change, pointer, expected) in rows {
        let mut service = service();
        change(&mut service);
        let made = make_beside(&service, OLD, &[], &surroundings());
        match expected {
            Some(expected) => {
                let body = serde_json::to_value(made.unwrap().body).unwrap();
                assert_eq!(body.pointer(pointer), Some(&expected), "{body:#}");
            }
            None => assert!(made.err().unwrap().to_string().contains("start `none` first")),
        }
    }
}

#[test]
fn a_container_stands_in_every_network_with_links_and_options() {
    let named = ServiceNetwork {
        interface_name: text("eth7"),
        gw_priority: Some(9),
        ..ServiceNetwork::default()
    };
    let service = Service {
        networks: [("back".to_owned(), Some(named)), ("front".to_owned(), None)].into(),
        links: texts(&["db"]),
        mac_address: text("02:00:00:00:00:07"),
        ..service()
    };
    let found = endpoints(&project(&service), &service, "p-web-1", &surroundings());
    let keys: Vec<_> = found.iter().map(|it| it.key.as_str()).collect();
    assert_eq!(keys, ["back", "front"]);
    let links = json!([
        "p-db-1:db",
        "p-db-1:db-1",
        "p-db-1:p-db-1",
        "p-db-2:db",
        "p-db-2:db-2",
        "p-db-2:p-db-2",
    ]);
    let plain = json!({"Aliases": ["p-web-1", "web"], "Links": links});
    let mut primary = plain.clone();
    primary["MacAddress"] = json!("02:00:00:00:00:07");
    primary["GwPriority"] = json!(9);
    primary["DriverOpts"] = json!({"com.docker.network.endpoint.ifname": "eth7"});
    for (attachment, expected) in found.iter().zip([primary, plain]) {
        assert_eq!(serde_json::to_value(&attachment.endpoint).unwrap(), expected);
    }
}
