//! Published ports and static addresses that go from one container to another in one run.

use super::{ROW, Row, check};

#[test]
fn what_only_one_can_have_goes_from_one_to_another() {
    check(&[
        Row {
            name: "two services swap their ports",
            before: "services: {a: {image: APP, ports: ['127.0.0.1:PORT1:80']}, b: {image: APP, ports: ['127.0.0.1:PORT2:80']}}",
            after: "services: {a: {image: APP, ports: ['127.0.0.1:PORT2:80']}, b: {image: APP, ports: ['127.0.0.1:PORT1:80']}}",
            moved: "a-1 replaced, b-1 replaced",
            ask: &[
                ("docker port PROJECT-a-1", "80/tcp -> 127.0.0.1:PORT2"),
                ("docker port PROJECT-b-1", "80/tcp -> 127.0.0.1:PORT1"),
            ],
            ..ROW
        },
        Row {
            name: "a proxy comes in front of a service, which then waits for it",
            before: "services: {web: {image: APP, ports: ['127.0.0.1:PORT1:80']}}",
            after: "services: {proxy: {image: APP2, ports: ['127.0.0.1:PORT1:80']}, web: {image: APP, depends_on: [proxy]}}",
            moved: "proxy-1 created, web-1 replaced",
            ask: &[("docker port PROJECT-proxy-1", "80/tcp -> 127.0.0.1:PORT1")],
            ..ROW
        },
        Row {
            name: "a proxy comes in front of a service, for which it waits",
            before: "services: {web: {image: APP, ports: ['127.0.0.1:PORT1:80']}}",
            after: "services: {proxy: {image: APP2, ports: ['PORT1:80'], depends_on: [web]}, web: {image: APP}}",
            moved: "proxy-1 created, web-1 replaced",
            ..ROW
        },
        Row {
            name: "a proxy that does not start: the service has its port back",
            before: "services: {web: {image: APP, ports: ['127.0.0.1:PORT1:80']}}",
            after: "services: {proxy: {image: APP2, command: [/nowhere], ports: ['127.0.0.1:PORT1:80']}, web: {image: APP, depends_on: [proxy]}}",
            fails: "/nowhere",
            moved: "web-1 restarted",
            ask: &[("docker port PROJECT-web-1", "80/tcp -> 127.0.0.1:PORT1")],
            ..ROW
        },
        Row {
            name: "a port of a replica that goes",
            before: "services: {web: {image: APP, ports: ['127.0.0.1:PORT1:80']}, new: {image: APP, scale: 0}}",
            after: "services: {web: {image: APP, ports: ['127.0.0.1:PORT1:80'], scale: 0}, new: {image: APP, ports: ['127.0.0.1:PORT1:80']}}",
            moved: "new-1 created, web-1 removed",
            ..ROW
        },
        Row {
            name: "two services swap their addresses",
            before: "services: {a: {image: APP, networks: {n: {ipv4_address: NET1.20}}}, b: {image: APP, networks: {n: {ipv4_address: NET1.30}}}}\nnetworks: {n: {ipam: {config: [{subnet: NET1.0/24}]}}}",
            after: "services: {a: {image: APP, networks: {n: {ipv4_address: NET1.30}}}, b: {image: APP, networks: {n: {ipv4_address: NET1.20}}}}\nnetworks: {n: {ipam: {config: [{subnet: NET1.0/24}]}}}",
            moved: "a-1 replaced, b-1 replaced",
            ask: &[
                ("in a-1 ip address | grep -c 'inet NET1.30/'", "1"),
                ("in b-1 ip address | grep -c 'inet NET1.20/'", "1"),
            ],
            ..ROW
        },
    ]);
}
