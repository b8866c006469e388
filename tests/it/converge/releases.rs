//! What depends on the Engine's release: one outcome where both can do it, another where one cannot.

use super::{Do, ROW, Row, check_on, check_on_both};
use crate::support::Engine;

/// First API version with all that the newer rows ask for, and first without what the older ones miss.
const NEWER: (u32, u32) = (1, 49);

/// Those of the two engines that are new enough, or those that are not.
fn engines(newer: bool) -> Vec<&'static Engine> {
    let mut engines = vec![Engine::shared(), Engine::newer()];
    engines.retain(|it| (it.api() >= NEWER) == newer);
    engines
}

#[test]
fn what_each_release_does_in_its_own_way_comes_out_the_same() {
    check_on_both(&[
        Row {
            name: "the hardware address of a service",
            before: "services: {web: {image: APP, mac_address: '02:42:0a:00:00:01'}, db: {image: APP}}",
            after: "services: {web: {image: APP, mac_address: '02:42:0a:00:00:02'}, db: {image: APP}}",
            moved: "web-1 replaced",
            ask: &[("in web-1 cat /sys/class/net/eth0/address", "02:42:0a:00:00:02")],
            ..ROW
        },
        Row {
            name: "the hardware address on the first network",
            before: "services: {web: {image: APP, networks: {a: {mac_address: '02:42:0a:00:00:01'}}}}\nnetworks: {a: {}}",
            after: "services: {web: {image: APP, networks: {a: {mac_address: '02:42:0a:00:00:02'}}}}\nnetworks: {a: {}}",
            moved: "web-1 replaced",
            ask: &[("in web-1 cat /sys/class/net/eth0/address", "02:42:0a:00:00:02")],
            ..ROW
        },
        Row {
            name: "addresses and aliases on several networks, kept by a replacement",
            before: "services: {web: {image: APP, networks: {a: {ipv4_address: NET1.9, aliases: [x]}, b: {ipv4_address: NET2.9, aliases: [y]}}}, db: {image: APP, networks: [b]}}\nnetworks: {a: {ipam: {config: [{subnet: NET1.0/24}]}}, b: {ipam: {config: [{subnet: NET2.0/24}]}}}",
            after: "services: {web: {image: APP2, networks: {a: {ipv4_address: NET1.9, aliases: [x]}, b: {ipv4_address: NET2.9, aliases: [y]}}}, db: {image: APP, networks: [b]}}\nnetworks: {a: {ipam: {config: [{subnet: NET1.0/24}]}}, b: {ipam: {config: [{subnet: NET2.0/24}]}}}",
            moved: "web-1 replaced",
            ask: &[
                ("aliases a of web-1", "NET1.9 web web-1 x"),
                ("aliases b of web-1", "NET2.9 web web-1 y"),
                ("in db-1 wget -q -O - http://y/", "two"),
            ],
            ..ROW
        },
        Row {
            name: "links across several networks",
            before: "services: {web: {image: APP, links: ['db:sql'], networks: [a, b]}, db: {image: APP, networks: [a, b]}}\nnetworks: {a: {}, b: {}}",
            after: "services: {web: {image: APP, links: ['db:sql'], networks: [a, b]}, db: {image: APP2, networks: [a, b]}}\nnetworks: {a: {}, b: {}}",
            moved: "db-1 replaced, web-1 restarted",
            ask: &[("in web-1 wget -q -O - http://sql/", "two")],
            ..ROW
        },
        Row {
            name: "a directory of the host that is made for its mount",
            before: "services: {web: {image: APP}, db: {image: APP}}",
            after: "services: {web: {image: APP, volumes: [{type: bind, source: ./made/here, target: /x}]}, db: {image: APP}}",
            moved: "web-1 replaced",
            ask: &[("in web-1 touch /x/a && ls /x", "a")],
            ..ROW
        },
        Row {
            name: "secrets and configs that have no file",
            before: "services: {web: {image: APP, secrets: [{source: s, mode: 0o440, uid: '7'}], configs: [c]}}\nsecrets: {s: {environment: HOME}}\nconfigs: {c: {content: one}}",
            after: "services: {web: {image: APP, secrets: [{source: s, mode: 0o400, uid: '7'}], configs: [c]}}\nsecrets: {s: {environment: HOME}}\nconfigs: {c: {content: two}}",
            moved: "web-1 replaced",
            ask: &[
                ("in web-1 stat -c '%a %u' /run/secrets/s", "400 7"),
                ("in web-1 cat /c", "two"),
            ],
            ..ROW
        },
        Row {
            name: "a fixed port",
            before: "services: {web: {image: APP, ports: ['127.0.0.1:PORT1:80']}}",
            after: "services: {web: {image: APP2, ports: ['127.0.0.1:PORT1:80']}}",
            moved: "web-1 replaced",
            ask: &[("docker port PROJECT-web-1", "80/tcp -> 127.0.0.1:PORT1")],
            ..ROW
        },
        Row {
            name: "limits of resources",
            before: "services: {web: {image: APP, network_mode: none, mem_limit: 64m, pids_limit: 50}}",
            after: "services: {web: {image: APP, network_mode: none, deploy: {resources: {limits: {memory: 32m, pids: 60}}}}}",
            moved: "web-1 replaced",
            ask: &[(
                "inspect web-1 {{.HostConfig.Memory}} {{.HostConfig.PidsLimit}}",
                "33554432 60",
            )],
            ..ROW
        },
    ]);
}

#[test]
fn what_newer_engines_can_is_done() {
    check_on(
        &engines(true),
        &[
            Row {
                name: "an interval of its own at the start",
                before: "services: {web: {image: APP, network_mode: none, healthcheck: {test: [CMD, 'true'], interval: 1h, start_period: 1m, start_interval: 1h}}}",
                after: "services: {web: {image: APP, network_mode: none, healthcheck: {test: [CMD, 'true'], interval: 1h, start_period: 1m, start_interval: 200ms}}}",
                up: "--wait",
                moved: "web-1 replaced",
                ask: &[("inspect web-1 {{.State.Health.Status}}", "healthy")],
                ..ROW
            },
            Row {
                name: "a directory of a volume",
                first: &[
                    Do::Docker("volume create PROJECT-store"),
                    Do::Docker(
                        "run --rm -v PROJECT-store:/s APP sh -c 'mkdir /s/a /s/b; touch /s/b/x'",
                    ),
                ],
                before: "services: {web: {image: APP, network_mode: none, volumes: [{type: volume, source: s, target: /s, volume: {subpath: a}}]}}\nvolumes: {s: {external: true, name: PROJECT-store}}",
                after: "services: {web: {image: APP, network_mode: none, volumes: [{type: volume, source: s, target: /s, volume: {subpath: b}}]}}\nvolumes: {s: {external: true, name: PROJECT-store}}",
                moved: "web-1 replaced",
                ask: &[("in web-1 ls /s", "x")],
                ..ROW
            },
            Row {
                name: "an image as a mount",
                before: "services: {web: {image: APP, network_mode: none, volumes: [{type: image, source: APP, target: /i}]}}",
                after: "services: {web: {image: APP, network_mode: none, volumes: [{type: image, source: APP2, target: /i}]}}",
                moved: "web-1 replaced",
                ask: &[("in web-1 cat /i/www/index.html", "two")],
                ..ROW
            },
            Row {
                name: "hardware addresses on several networks",
                before: "services: {web: {image: APP, networks: {a: {mac_address: '02:42:0a:00:00:01'}, b: {mac_address: '02:42:0a:00:00:02'}}}}\nnetworks: {a: {}, b: {}}",
                after: "services: {web: {image: APP, networks: {a: {mac_address: '02:42:0a:00:00:01'}, b: {mac_address: '02:42:0a:00:00:03'}}}}\nnetworks: {a: {}, b: {}}",
                moved: "web-1 replaced",
                ask: &[("in web-1 cat /sys/class/net/eth?/address | grep -c 0a:00:00:0[13]", "2")],
                ..ROW
            },
            Row {
                name: "another network for the default route, under another name",
                before: "services: {web: {image: APP, networks: {a: {gw_priority: 2}, b: {}}}}\nnetworks: {a: {ipam: {config: [{subnet: NET1.0/24}]}}, b: {ipam: {config: [{subnet: NET2.0/24}]}}}",
                after: "services: {web: {image: APP, networks: {a: {}, b: {gw_priority: 2, interface_name: out7}}}}\nnetworks: {a: {ipam: {config: [{subnet: NET1.0/24}]}}, b: {ipam: {config: [{subnet: NET2.0/24}]}}}",
                moved: "web-1 replaced",
                ask: &[("in web-1 ip route | grep -c 'default via NET2.1 dev out7'", "1")],
                ..ROW
            },
            Row {
                name: "a network without IPv4",
                before: "services: {web: {image: APP, networks: [a]}}\nnetworks: {a: {enable_ipv6: true}}",
                after: "services: {web: {image: APP, networks: [a]}}\nnetworks: {a: {enable_ipv4: false, enable_ipv6: true}}",
                moved: "net a anew",
                ask: &[("in web-1 ip -4 address show eth0", "")],
                ..ROW
            },
        ],
    );
}

#[test]
fn what_older_engines_cannot_is_said_before_anything_is_touched() {
    check_on(
        &engines(false),
        &[
            Row {
                name: "an interval of its own at the start",
                before: "services: {web: {image: APP}}",
                after: "services: {web: {image: APP2, healthcheck: {test: 'true', start_interval: 1s}}}",
                fails: "`healthcheck.start_interval` needs Docker Engine 25.0 or newer",
                ..ROW
            },
            Row {
                name: "a directory of a volume, beside a network that is new",
                before: "services: {web: {image: APP, network_mode: none}}",
                after: "services: {web: {image: APP, volumes: [{type: volume, source: s, target: /s, volume: {subpath: a}}]}}\nvolumes: {s: {}}",
                fails: "`volumes: volume.subpath` needs Docker Engine 26.0 or newer",
                ..ROW
            },
            Row {
                name: "an image as a mount",
                before: "services: {web: {image: APP}}",
                after: "services: {web: {image: APP, volumes: [{type: image, source: APP2, target: /i}]}}",
                fails: "`volumes: type: image` needs Docker Engine 28.0 or newer",
                ..ROW
            },
            Row {
                name: "hardware addresses on several networks",
                before: "services: {web: {image: APP}}",
                after: "services: {web: {image: APP, networks: {a: {}, b: {mac_address: '02:42:0a:00:00:02'}}}}\nnetworks: {a: {}, b: {}}",
                fails: "`networks: mac_address beyond the first network` needs Docker Engine 25.0",
                ..ROW
            },
            Row {
                name: "names of interfaces",
                before: "services: {web: {image: APP}}",
                after: "services: {web: {image: APP, networks: {default: {interface_name: out7}}}}",
                fails: "`networks: interface_name` needs Docker Engine 28.1 or newer",
                ..ROW
            },
        ],
    );
}
