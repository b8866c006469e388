//! How many containers a service has, and which of them stay.

use super::{Do, ROW, Row, check};

macro_rules! scaled {
    ($number:literal) => {
        concat!("services: {web: {image: APP, network_mode: none, scale: ", $number, "}}")
    };
    ($number:literal, $image:literal) => {
        concat!("services: {web: {image: ", $image, ", network_mode: none, scale: ", $number, "}}")
    };
}

#[test]
fn replicas_come_and_go_by_number() {
    check(&[
        Row {
            name: "more",
            before: scaled!(1),
            after: scaled!(3),
            moved: "web-2 created, web-3 created",
            ..ROW
        },
        Row {
            name: "fewer: the highest numbers go",
            before: scaled!(3),
            after: scaled!(1),
            moved: "web-2 removed, web-3 removed",
            ..ROW
        },
        Row {
            name: "none",
            before: scaled!(2),
            after: scaled!(0),
            moved: "web-1 removed, web-2 removed",
            ..ROW
        },
        Row {
            name: "from none",
            before: scaled!(0),
            after: scaled!(1),
            moved: "web-1 created",
            ..ROW
        },
        Row {
            name: "one in the middle is gone: the next number follows the highest",
            before: scaled!(3),
            meanwhile: &[Do::Docker("rm -f PROJECT-web-2")],
            moved: "web-4 created",
            ..ROW
        },
        Row {
            name: "fewer with a gap",
            before: scaled!(3),
            meanwhile: &[Do::Docker("rm -f PROJECT-web-1")],
            after: scaled!(1),
            moved: "web-3 removed",
            ..ROW
        },
        Row {
            name: "fewer and changed: one is replaced, the rest goes",
            before: scaled!(2),
            after: scaled!(1, "APP2"),
            moved: "web-1 replaced, web-2 removed",
            ..ROW
        },
        Row {
            name: "more and changed",
            before: scaled!(1),
            after: scaled!(2, "APP2"),
            moved: "web-1 replaced, web-2 created",
            ..ROW
        },
        Row {
            name: "replicas of deploy",
            before: "services: {web: {image: APP, network_mode: none, deploy: {replicas: 2}}}",
            after: "services: {web: {image: APP, network_mode: none, deploy: {replicas: 1}}}",
            moved: "web-2 removed",
            ..ROW
        },
        Row {
            name: "a stopped one among them starts",
            before: scaled!(2),
            meanwhile: &[Do::Docker("stop PROJECT-web-2")],
            moved: "web-2 started",
            ..ROW
        },
        Row {
            name: "two share a name on their network",
            before: "services: {web: {image: APP}}",
            after: "services: {web: {image: APP, scale: 2}}",
            moved: "web-2 created",
            ask: &[
                ("aliases default of web-2", "web web-2"),
                ("in web-1 nslookup web 2>/dev/null | grep -c '^Address.*10[.]'", "2"),
            ],
            ..ROW
        },
    ]);
}

#[test]
fn flags_scale_too() {
    check(&[
        Row {
            name: "--scale adds",
            before: scaled!(1),
            up: "--scale web=2",
            moved: "web-2 created",
            ..ROW
        },
        Row {
            name: "--scale takes away",
            before: scaled!(3),
            up: "--scale web=1",
            moved: "web-2 removed, web-3 removed",
            ..ROW
        },
        Row {
            name: "--no-recreate only adds",
            before: scaled!(1),
            after: scaled!(2, "APP2"),
            up: "--no-recreate",
            moved: "web-2 created",
            ask: &[
                ("inspect web-1 {{.Config.Image}}", "APP"),
                ("inspect web-2 {{.Config.Image}}", "APP2"),
            ],
            ..ROW
        },
    ]);
}

#[test]
fn a_container_name_of_its_own_comes_and_goes() {
    check(&[
        Row {
            name: "it gets one",
            before: "services: {web: {image: APP, network_mode: none}}",
            after: "services: {web: {image: APP, network_mode: none, container_name: PROJECT-boss}}",
            moved: "boss created, web-1 removed",
            ..ROW
        },
        Row {
            name: "it loses it",
            before: "services: {web: {image: APP, network_mode: none, container_name: PROJECT-boss}}",
            after: "services: {web: {image: APP, network_mode: none}}",
            moved: "web-1 created, boss removed",
            ..ROW
        },
        Row {
            name: "it keeps it while the rest changes",
            before: "services: {web: {image: APP, network_mode: none, container_name: PROJECT-boss}}",
            after: "services: {web: {image: APP2, network_mode: none, container_name: PROJECT-boss}}",
            moved: "boss replaced",
            ..ROW
        },
        Row {
            name: "somebody else has it: nothing is touched",
            before: "services: {web: {image: APP, network_mode: none}}",
            meanwhile: &[Do::Docker("run -d --name PROJECT-boss --network none APP")],
            after: "services: {web: {image: APP, network_mode: none, container_name: PROJECT-boss}}",
            fails: "is taken by container",
            ..ROW
        },
        Row {
            name: "it moves from one service to another",
            before: "services: {a: {image: APP, network_mode: none, container_name: PROJECT-boss}, b: {image: APP, network_mode: none}}",
            after: "services: {a: {image: APP, network_mode: none}, b: {image: APP, network_mode: none, container_name: PROJECT-boss}}",
            moved: "boss replaced, a-1 created, b-1 removed",
            ..ROW
        },
        Row {
            name: "it moves to a service that is added",
            before: "services: {a: {image: APP, network_mode: none, container_name: PROJECT-boss}}",
            after: "services: {a: {image: APP, network_mode: none}, c: {image: APP2, network_mode: none, container_name: PROJECT-boss}}",
            moved: "boss replaced, a-1 created",
            ask: &[("inspect boss {{.Config.Image}}", "APP2")],
            ..ROW
        },
        Row {
            name: "two services swap theirs",
            before: "services: {a: {image: APP, network_mode: none, container_name: PROJECT-one}, b: {image: APP, network_mode: none, container_name: PROJECT-two}}",
            after: "services: {a: {image: APP, network_mode: none, container_name: PROJECT-two}, b: {image: APP, network_mode: none, container_name: PROJECT-one}}",
            moved: "one replaced, two replaced",
            ..ROW
        },
    ]);
}
