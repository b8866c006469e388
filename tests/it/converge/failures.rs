//! A change that fails leaves everything as it was: containers, networks, volumes.

use super::{Do, ROW, Row, check};

#[test]
fn a_change_that_fails_is_taken_back() {
    check(&[
        Row {
            name: "a new container that does not start",
            before: "services: {web: {image: APP, network_mode: none}, db: {image: APP, network_mode: none}}",
            after: "services: {web: {image: APP, network_mode: none, command: [/nowhere]}, db: {image: APP, network_mode: none}}",
            fails: "/nowhere",
            moved: "web-1 restarted",
            ..ROW
        },
        Row {
            name: "the second of two that changed",
            before: "services: {a: {image: APP, network_mode: none}, b: {image: APP, network_mode: none, depends_on: [a]}, c: {image: APP, network_mode: none}}",
            after: "services: {a: {image: APP2, network_mode: none}, b: {image: APP, network_mode: none, command: [/nowhere], depends_on: [a]}, c: {image: APP, network_mode: none}}",
            fails: "/nowhere",
            moved: "a-1 restarted, b-1 restarted",
            ..ROW
        },
        Row {
            name: "a service that is added",
            before: "services: {web: {image: APP, network_mode: none}}",
            after: "services: {web: {image: APP, network_mode: none}, new: {image: APP, network_mode: none, command: [/nowhere]}}",
            fails: "/nowhere",
            ..ROW
        },
        Row {
            name: "an unhealthy one that is waited for",
            before: "services: {web: {image: APP, network_mode: none}}",
            after: "services: {web: {image: 'rs-test/unhealthy:1', network_mode: none}}",
            up: "--wait",
            fails: "is unhealthy",
            moved: "web-1 restarted",
            ..ROW
        },
        Row {
            name: "with a new network: it goes again",
            before: "services: {web: {image: APP, network_mode: none}}",
            after: "services: {web: {image: APP, networks: [n], command: [/nowhere]}}\nnetworks: {n: {}}",
            fails: "/nowhere",
            moved: "web-1 restarted",
            ..ROW
        },
        Row {
            name: "with a new volume: it stays, for it may hold data by now",
            before: "services: {web: {image: APP, network_mode: none}}",
            after: "services: {web: {image: APP, network_mode: none, volumes: ['vol:/v'], command: [/nowhere]}}\nvolumes: {vol: {}}",
            fails: "/nowhere",
            moved: "web-1 restarted, vol vol created",
            ..ROW
        },
        Row {
            name: "with an anonymous volume: it stays with the old one",
            before: "services: {web: {image: APP, network_mode: none, volumes: [/data]}}",
            meanwhile: &[Do::Exec("web-1", "echo kept > /data/x")],
            after: "services: {web: {image: APP, network_mode: none, volumes: [/data], command: [/nowhere]}}",
            fails: "/nowhere",
            moved: "web-1 restarted",
            ask: &[("in web-1 cat /data/x", "kept")],
            ..ROW
        },
        Row {
            name: "a port that somebody else has",
            before: "services: {web: {image: APP}, db: {image: APP}}",
            meanwhile: &[Do::Docker("run -d --name PROJECT-other -p 127.0.0.1:PORT1:80 APP")],
            after: "services: {web: {image: APP, ports: ['127.0.0.1:PORT1:80']}, db: {image: APP}}",
            fails: "PORT1",
            moved: "web-1 restarted",
            ..ROW
        },
        Row {
            name: "a mount of something that is not there",
            before: "services: {web: {image: APP, network_mode: none}, db: {image: APP, network_mode: none}}",
            after: "services: {web: {image: APP, network_mode: none, volumes: [{type: bind, source: ./nothing, target: /x, bind: {create_host_path: false}}]}, db: {image: APP2, network_mode: none}}",
            fails: "nothing",
            ..ROW
        },
        Row {
            name: "a stopped one stays stopped",
            before: "services: {job: {image: APP, network_mode: none, command: ['true']}}",
            meanwhile: &[Do::Await("job-1", "exited")],
            after: "services: {job: {image: APP, network_mode: none, command: [/nowhere]}}",
            fails: "/nowhere",
            ..ROW
        },
        Row {
            name: "what restarts with it restarts again",
            before: "services: {db: {image: APP, network_mode: none}, web: {image: APP, network_mode: none, depends_on: {db: {condition: service_started, restart: true}}}, last: {image: APP, network_mode: none, depends_on: [web]}}",
            after: "services: {db: {image: APP2, network_mode: none}, web: {image: APP, network_mode: none, depends_on: {db: {condition: service_started, restart: true}}}, last: {image: APP, network_mode: none, command: [/nowhere], depends_on: [web]}}",
            fails: "/nowhere",
            moved: "db-1 restarted, web-1 restarted, last-1 restarted",
            ..ROW
        },
        Row {
            name: "what lives with it lives on",
            before: "services: {a: {image: APP}, b: {image: APP, command: sleep 100000, network_mode: 'service:a'}}",
            after: "services: {a: {image: APP2}, b: {image: APP, command: [/nowhere], network_mode: 'service:a'}}",
            fails: "/nowhere",
            moved: "a-1 restarted, b-1 restarted",
            ask: &[("in b-1 wget -q -O - http://127.0.0.1/", "one")],
            ..ROW
        },
    ]);
}

#[test]
fn a_network_change_that_fails_is_taken_back() {
    check(&[
        Row {
            name: "the new subnet overlaps another network",
            first: &[Do::Docker("network create --subnet NET2.0/24 PROJECT-other")],
            before: "services: {web: {image: APP, networks: {n: {ipv4_address: NET1.20, aliases: [www]}}}, db: {image: APP, networks: [n]}}\nnetworks: {n: {ipam: {config: [{subnet: NET1.0/24}]}}}",
            after: "services: {web: {image: APP, networks: {n: {ipv4_address: NET2.20, aliases: [www]}}}, db: {image: APP, networks: [n]}}\nnetworks: {n: {ipam: {config: [{subnet: NET2.0/24}]}}}",
            fails: "Pool overlaps",
            moved: "net n anew",
            ask: &[
                ("aliases n of web-1", "NET1.20 web web-1 www"),
                ("in db-1 wget -q -O - http://www/", "one"),
            ],
            ..ROW
        },
        Row {
            name: "the new driver does not exist",
            before: "services: {web: {image: APP}, db: {image: APP}}\nnetworks: {default: {}}",
            after: "services: {web: {image: APP}, db: {image: APP}}\nnetworks: {default: {driver: nonesuch}}",
            fails: "nonesuch",
            moved: "net default anew",
            ask: &[("in db-1 wget -q -O - http://web/", "one")],
            ..ROW
        },
        Row {
            name: "the network is changed, a container does not start",
            before: "services: {web: {image: APP}, db: {image: APP}}\nnetworks: {default: {labels: {v: '1'}}}",
            after: "services: {web: {image: APP, command: [/nowhere]}, db: {image: APP}}\nnetworks: {default: {labels: {v: '2'}}}",
            fails: "/nowhere",
            moved: "net default anew, web-1 restarted",
            ask: &[
                ("in db-1 wget -q -O - http://web/", "one"),
                ("docker network inspect --format {{.Labels.v}} PROJECT_default", "1"),
            ],
            ..ROW
        },
        Row {
            name: "the subnet is changed, a container does not start: addresses are as before",
            before: "services: {web: {image: APP, networks: {n: {ipv4_address: NET1.20}}}, db: {image: APP, networks: [n]}}\nnetworks: {n: {ipam: {config: [{subnet: NET1.0/24}]}}}",
            after: "services: {web: {image: APP, command: [/nowhere], networks: {n: {ipv4_address: NET2.20}}}, db: {image: APP, networks: [n]}}\nnetworks: {n: {ipam: {config: [{subnet: NET2.0/24}]}}}",
            fails: "/nowhere",
            moved: "net n anew, web-1 restarted",
            ask: &[
                ("aliases n of web-1", "NET1.20 web web-1"),
                ("in db-1 wget -q -O - http://NET1.20/", "one"),
            ],
            ..ROW
        },
        Row {
            name: "the second of two networks is refused",
            before: "services: {web: {image: APP, networks: [a, b]}, db: {image: APP, networks: [a, b]}}\nnetworks: {a: {}, b: {}}",
            after: "services: {web: {image: APP, networks: [a, b]}, db: {image: APP, networks: [a, b]}}\nnetworks: {a: {labels: {x: y}}, b: {driver: nonesuch}}",
            fails: "nonesuch",
            moved: "net a anew, net b anew",
            ask: &[("in db-1 wget -q -O - http://web/", "one"), ("networks of web-1", "a b")],
            ..ROW
        },
        Row {
            name: "a guest comes back, too",
            before: "services: {web: {image: APP}}\nnetworks: {default: {}}",
            meanwhile: &[Do::Docker(
                "run -d --name PROJECT-guest --network PROJECT_default --network-alias visitor APP",
            )],
            after: "services: {web: {image: APP, command: [/nowhere]}}\nnetworks: {default: {labels: {x: y}}}",
            fails: "/nowhere",
            moved: "net default anew, web-1 restarted",
            ask: &[("in web-1 wget -q -O - http://visitor/", "one")],
            ..ROW
        },
    ]);
}
