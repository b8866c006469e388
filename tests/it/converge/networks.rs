//! Networks: a definition changes under what is attached to it, and nobody loses a name or an address.

use super::{Do, ROW, Row, check, check_on_both};

/// Two services on the default network, which is defined by what is between.
macro_rules! on_default {
    ($definition:literal) => {
        concat!(
            "services: {web: {image: APP}, db: {image: APP, networks: {default: {aliases: [sql]}}}}\n",
            "networks: {default: ",
            $definition,
            "}"
        )
    };
}

const NAMES_RESOLVE: [(&str, &str); 4] = [
    ("in web-1 ping -c 1 -W 2 sql > /dev/null && echo yes", "yes"),
    ("in db-1 wget -q -O - http://web/", "one"),
    ("aliases default of web-1", "web web-1"),
    ("aliases default of db-1", "db db-1 sql"),
];

#[test]
fn a_network_made_anew_keeps_what_is_attached() {
    check_on_both(&[
        Row {
            name: "a label",
            before: on_default!("{}"),
            after: on_default!("{labels: {a: b}}"),
            moved: "net default anew",
            ask: &NAMES_RESOLVE,
            ..ROW
        },
        Row {
            name: "internal",
            before: on_default!("{}"),
            after: on_default!("{internal: true}"),
            moved: "net default anew",
            ask: &NAMES_RESOLVE,
            ..ROW
        },
        Row {
            name: "a driver option",
            before: on_default!("{}"),
            after: on_default!("{driver_opts: {com.docker.network.driver.mtu: '1400'}}"),
            moved: "net default anew",
            ask: &[
                NAMES_RESOLVE[0],
                NAMES_RESOLVE[1],
                ("in web-1 cat /sys/class/net/eth*/mtu", "1400"),
            ],
            ..ROW
        },
        Row {
            name: "attachable",
            before: on_default!("{}"),
            after: on_default!("{attachable: true}"),
            moved: "net default anew",
            ask: &NAMES_RESOLVE,
            ..ROW
        },
        Row {
            name: "from the engine's addresses to a subnet",
            before: on_default!("{}"),
            after: on_default!("{ipam: {config: [{subnet: NET1.0/24}]}}"),
            moved: "net default anew",
            ask: &[NAMES_RESOLVE[0], ("in web-1 ip route | grep -c NET1.0/24", "1")],
            ..ROW
        },
        Row {
            name: "from one subnet to another",
            before: on_default!("{ipam: {config: [{subnet: NET1.0/24}]}}"),
            after: on_default!("{ipam: {config: [{subnet: NET2.0/24}]}}"),
            moved: "net default anew",
            ask: &[
                NAMES_RESOLVE[0],
                NAMES_RESOLVE[1],
                ("in web-1 ip route | grep -c NET2.0/24", "1"),
            ],
            ..ROW
        },
        Row {
            name: "static addresses stay where the subnet does",
            before: "services: {web: {image: APP, networks: {a: {ipv4_address: NET1.77}}}, db: {image: APP, networks: [a]}}\nnetworks: {a: {ipam: {config: [{subnet: NET1.0/24}]}}}",
            after: "services: {web: {image: APP, networks: {a: {ipv4_address: NET1.77}}}, db: {image: APP, networks: [a]}}\nnetworks: {a: {labels: {x: y}, ipam: {config: [{subnet: NET1.0/24}]}}}",
            moved: "net a anew",
            ask: &[
                ("aliases a of web-1", "NET1.77 web web-1"),
                ("in web-1 ip address | grep -c 'inet NET1.77/'", "1"),
                ("in db-1 wget -q -O - http://NET1.77/", "one"),
            ],
            ..ROW
        },
        Row {
            name: "static addresses move with their subnet",
            before: "services: {web: {image: APP, networks: {a: {ipv4_address: NET1.77}}}, db: {image: APP, networks: [a]}}\nnetworks: {a: {ipam: {config: [{subnet: NET1.0/24}]}}}",
            after: "services: {web: {image: APP, networks: {a: {ipv4_address: NET2.77}}}, db: {image: APP, networks: [a]}}\nnetworks: {a: {ipam: {config: [{subnet: NET2.0/24}]}}}",
            moved: "net a anew, web-1 replaced",
            ask: &[
                ("aliases a of web-1", "NET2.77 web web-1"),
                ("in db-1 wget -q -O - http://web/", "one"),
            ],
            ..ROW
        },
        Row {
            name: "one of two networks of a container",
            before: "services: {web: {image: APP, networks: [a, b]}, db: {image: APP, networks: [b]}}\nnetworks: {a: {}, b: {}}",
            after: "services: {web: {image: APP, networks: [a, b]}, db: {image: APP, networks: [b]}}\nnetworks: {a: {}, b: {labels: {x: y}}}",
            moved: "net b anew",
            ask: &[("in db-1 wget -q -O - http://web/", "one"), ("networks of web-1", "a b")],
            ..ROW
        },
        Row {
            name: "both of two networks",
            before: "services: {web: {image: APP, networks: {a: {aliases: [x]}, b: {aliases: [y]}}}}\nnetworks: {a: {}, b: {}}",
            after: "services: {web: {image: APP, networks: {a: {aliases: [x]}, b: {aliases: [y]}}}}\nnetworks: {a: {labels: {x: y}}, b: {labels: {x: y}}}",
            moved: "net a anew, net b anew",
            ask: &[("aliases a of web-1", "web web-1 x"), ("aliases b of web-1", "web web-1 y")],
            ..ROW
        },
        Row {
            name: "a stopped container that nobody wants moves along, too",
            before: "services: {web: {image: APP}, job: {image: APP, command: 'true'}}\nnetworks: {default: {}}",
            meanwhile: &[Do::Await("job-1", "exited")],
            after: "services: {web: {image: APP}, job: {image: APP, command: 'true'}}\nnetworks: {default: {labels: {a: b}}}",
            moved: "net default anew",
            ask: &[("aliases default of job-1", "job job-1")],
            ..ROW
        },
        Row {
            name: "a container of nobody's moves along",
            before: on_default!("{}"),
            meanwhile: &[Do::Docker(
                "run -d --name PROJECT-guest --network PROJECT_default --network-alias visitor APP",
            )],
            after: on_default!("{labels: {a: b}}"),
            moved: "net default anew",
            ask: &[
                ("in web-1 wget -q -O - http://visitor/", "one"),
                ("in guest wget -q -O - http://web/", "one"),
            ],
            ..ROW
        },
        Row {
            name: "a container that is replaced in the same run",
            before: "services: {web: {image: APP}, db: {image: APP}}\nnetworks: {default: {}}",
            after: "services: {web: {image: APP2}, db: {image: APP}}\nnetworks: {default: {labels: {a: b}}}",
            moved: "net default anew, web-1 replaced",
            ask: &[("in db-1 wget -q -O - http://web/", "two")],
            ..ROW
        },
        Row {
            name: "a container that is added in the same run",
            before: "services: {db: {image: APP}}\nnetworks: {default: {}}",
            after: "services: {web: {image: APP}, db: {image: APP}}\nnetworks: {default: {labels: {a: b}}}",
            moved: "net default anew, web-1 created",
            ask: &[("in db-1 wget -q -O - http://web/", "one")],
            ..ROW
        },
        Row {
            name: "with an address of its own from the new subnet",
            before: "services: {db: {image: APP}}\nnetworks: {default: {}}",
            after: "services: {db: {image: APP}, web: {image: APP, networks: {default: {ipv4_address: NET1.9}}}}\nnetworks: {default: {ipam: {config: [{subnet: NET1.0/24}]}}}",
            moved: "net default anew, web-1 created",
            ask: &[("in db-1 wget -q -O - http://NET1.9/", "one")],
            ..ROW
        },
        Row {
            name: "a container with a published port",
            before: "services: {web: {image: APP, ports: ['127.0.0.1:PORT1:80']}}\nnetworks: {default: {}}",
            after: "services: {web: {image: APP, ports: ['127.0.0.1:PORT1:80']}}\nnetworks: {default: {labels: {a: b}}}",
            moved: "net default anew",
            ask: &[("docker port PROJECT-web-1", "80/tcp -> 127.0.0.1:PORT1")],
            ..ROW
        },
        Row {
            name: "a paused container",
            before: "services: {web: {image: APP}, db: {image: APP}}\nnetworks: {default: {}}",
            meanwhile: &[Do::Docker("pause PROJECT-db-1")],
            after: "services: {web: {image: APP}, db: {image: APP}}\nnetworks: {default: {labels: {a: b}}}",
            moved: "net default anew, db-1 started",
            ask: &[("in web-1 wget -q -O - http://db/", "one")],
            ..ROW
        },
        Row {
            name: "a container with links",
            before: "services: {web: {image: APP, links: ['db:sql']}, db: {image: APP}}\nnetworks: {default: {}}",
            after: "services: {web: {image: APP, links: ['db:sql']}, db: {image: APP}}\nnetworks: {default: {labels: {a: b}}}",
            moved: "net default anew",
            ask: &[("in web-1 wget -q -O - http://sql/", "one")],
            ..ROW
        },
    ]);
}

#[test]
fn networks_come_and_go() {
    check(&[
        Row {
            name: "one is added to a service",
            before: "services: {web: {image: APP}, db: {image: APP}}",
            after: "services: {web: {image: APP, networks: [default, a]}, db: {image: APP}}\nnetworks: {a: {}}",
            moved: "web-1 replaced, net a created",
            ask: &[("networks of web-1", "a default")],
            ..ROW
        },
        Row {
            name: "one is taken from a service",
            before: "services: {web: {image: APP, networks: [default, a]}, db: {image: APP, networks: [default, a]}}\nnetworks: {a: {}}",
            after: "services: {web: {image: APP}, db: {image: APP, networks: [default, a]}}\nnetworks: {a: {}}",
            moved: "web-1 replaced",
            ask: &[("networks of web-1", "default")],
            ..ROW
        },
        Row {
            name: "it gets another name",
            before: "services: {web: {image: APP, networks: [a]}}\nnetworks: {a: {}}",
            after: "services: {web: {image: APP, networks: [a]}}\nnetworks: {a: {name: PROJECT_b}}",
            moved: "web-1 replaced, net b created",
            ask: &[("networks of web-1", "b")],
            ..ROW
        },
        Row {
            name: "an alias is added",
            before: "services: {web: {image: APP, networks: {a: {}}}, db: {image: APP, networks: [a]}}\nnetworks: {a: {}}",
            after: "services: {web: {image: APP, networks: {a: {aliases: [www]}}}, db: {image: APP, networks: [a]}}\nnetworks: {a: {}}",
            moved: "web-1 replaced",
            ask: &[("in db-1 wget -q -O - http://www/", "one")],
            ..ROW
        },
        Row {
            name: "an address is asked for",
            before: "services: {web: {image: APP, networks: {a: {}}}}\nnetworks: {a: {ipam: {config: [{subnet: NET1.0/24}]}}}",
            after: "services: {web: {image: APP, networks: {a: {ipv4_address: NET1.50}}}}\nnetworks: {a: {ipam: {config: [{subnet: NET1.0/24}]}}}",
            moved: "web-1 replaced",
            ask: &[("in web-1 ip address | grep -c 'inet NET1.50/'", "1")],
            ..ROW
        },
        Row {
            name: "an address that stays while the rest changes",
            before: "services: {web: {image: APP, networks: {a: {ipv4_address: NET1.50}}}}\nnetworks: {a: {ipam: {config: [{subnet: NET1.0/24}]}}}",
            after: "services: {web: {image: APP2, networks: {a: {ipv4_address: NET1.50}}}}\nnetworks: {a: {ipam: {config: [{subnet: NET1.0/24}]}}}",
            moved: "web-1 replaced",
            ask: &[("in web-1 ip address | grep -c 'inet NET1.50/'", "1")],
            ..ROW
        },
        Row {
            name: "somebody detached a container",
            before: "services: {web: {image: APP, networks: [a, b]}, db: {image: APP, networks: [a]}}\nnetworks: {a: {}, b: {}}",
            meanwhile: &[Do::Docker("network disconnect PROJECT_a PROJECT-web-1")],
            moved: "web-1 replaced",
            ask: &[("networks of web-1", "a b")],
            ..ROW
        },
        Row {
            name: "somebody attached a container to another network",
            before: "services: {web: {image: APP}, db: {image: APP, networks: [a]}}\nnetworks: {a: {}}",
            meanwhile: &[Do::Docker("network connect PROJECT_a PROJECT-web-1")],
            ..ROW
        },
        Row {
            name: "somebody removed the network and made it by hand",
            before: "services: {web: {image: APP}}",
            meanwhile: &[
                Do::Docker("rm -f PROJECT-web-1"),
                Do::Docker("network rm PROJECT_default"),
                Do::Docker("network create PROJECT_default"),
            ],
            moved: "web-1 created",
            ..ROW
        },
        Row {
            name: "an external network that is there",
            before: "services: {web: {image: APP}}",
            meanwhile: &[Do::Docker("network create PROJECT-ext")],
            after: "services: {web: {image: APP, networks: [default, ext]}}\nnetworks: {ext: {external: true, name: PROJECT-ext}}",
            moved: "web-1 replaced",
            ask: &[("aliases ext of web-1", "web web-1")],
            ..ROW
        },
        Row {
            name: "an external network that is missing",
            before: "services: {web: {image: APP}}",
            after: "services: {web: {image: APP, networks: [default, ext]}}\nnetworks: {ext: {external: true, name: PROJECT-ext}}",
            fails: "docker network create PROJECT-ext",
            ..ROW
        },
        Row {
            name: "an external network was made again: its users follow",
            first: &[Do::Docker("network create PROJECT-ext")],
            before: "services: {web: {image: APP, networks: [ext]}, db: {image: APP, network_mode: none}}\nnetworks: {ext: {external: true, name: PROJECT-ext}}",
            meanwhile: &[
                Do::Docker("network disconnect -f PROJECT-ext PROJECT-web-1"),
                Do::Docker("network rm PROJECT-ext"),
                Do::Docker("network create PROJECT-ext"),
            ],
            moved: "web-1 replaced",
            ask: &[("networks of web-1", "ext")],
            ..ROW
        },
        Row {
            name: "two projects on one network",
            before: "services: {web: {image: APP, networks: [shared]}}\nnetworks: {shared: {name: PROJECT-shared}}",
            files: &[(
                "other/compose.yml",
                "name: PROJECT-other\nservices: {guest: {image: APP, networks: [shared]}}\nnetworks: {shared: {external: true, name: PROJECT-shared}}",
            )],
            meanwhile: &[Do::Compose("-f other/compose.yml up -d")],
            after: "services: {web: {image: APP, networks: [shared]}}\nnetworks: {shared: {name: PROJECT-shared, labels: {a: b}}}",
            moved: "net shared anew",
            ask: &[
                ("in web-1 wget -q -O - http://guest/", "one"),
                ("in other-guest-1 wget -q -O - http://web/", "one"),
            ],
            ..ROW
        },
        Row {
            name: "from a network of the project to none",
            before: "services: {web: {image: APP}, db: {image: APP}}",
            after: "services: {web: {image: APP, network_mode: none}, db: {image: APP}}",
            moved: "web-1 replaced",
            ask: &[("networks of web-1", "none")],
            ..ROW
        },
    ]);
}
