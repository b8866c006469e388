//! What scripts written for docker compose count on, beside docker compose 2.40 where both can be asked.

#![expect(clippy::disallowed_methods, reason = "a test drives programs and fails loudly")]

use std::process::Command;

use crate::support::process::{Output, output};
use crate::support::stack::Stack;
use crate::support::{Engine, on_both_engines, write_files};

on_both_engines!(
    a_server_that_was_stopped_comes_up_again,
    what_was_not_named_outlives_a_down,
    a_first_up_that_fails_leaves_what_it_started,
    a_down_of_some_services_takes_what_they_had_alone,
    scripts_that_clean_up_and_start_again_go_on,
    progress_is_told_to_programs,
);

/// What each of these lines says and ends with, on stacks of their own.
fn side_by_side(engine: &'static Engine, text: &str, scripts: &[&str]) {
    let said = [true, false].map(|is_ours| {
        let stack = Stack::on(engine, text);
        let one = |it: &&str| {
            let said = script(&stack, is_ours, it);
            (it.to_string(), said.code, said.stdout.replace(&stack.name, "P"))
        };
        scripts.iter().map(one).collect::<Vec<_>>()
    });
    let [ours, theirs] = said;
    for (ours, theirs) in ours.iter().zip(&theirs) {
        assert_eq!(ours, theirs);
    }
}

/// What is left of a project: services, networks, volumes.
const LEFT: &str = "; P=$(basename $PWD); L=label=com.docker.compose.project=$P; \
                    DC -p $P ps -a --format '{{.Service}}' | sort | uniq -c; \
                    docker network ls --filter $L --format '{{.Name}}' | sort; \
                    docker volume ls --filter $L --format '{{.Name}}' | sort";

fn a_down_of_some_services_takes_what_they_had_alone(engine: &'static Engine) {
    let text = "services:\n  \
        web: {image: 'rs-test/app:1', networks: [front, back], volumes: ['data:/d'], depends_on: [db]}\n  \
        db: {image: 'rs-test/app:1', networks: [back], volumes: ['dbdata:/d']}\n  \
        cron: {image: 'rs-test/app:1', networks: [other], volumes: ['other:/d']}\n\
        networks: {front: {}, back: {}, other: {}}\nvolumes: {data: {}, dbdata: {}, other: {}}\n";
    let downs = [
        "DC --dry-run down -v",
        "DC down web",
        "DC down db",
        "DC down -v web",
        "DC down -v db web",
        "DC down --remove-orphans web",
        "DC -p $(basename $PWD) down -v web",
        "DC -p $(basename $PWD) down db",
        "DC -p $(basename $PWD) down",
        "DC -p $(basename $PWD) down nosuch web",
        "DC -p $(basename $PWD) down nosuch",
        "DC down nosuch",
        "DC -f part.yml down",
        "DC -f part.yml down --remove-orphans db",
        "DC down -v --remove-orphans",
    ];
    let part = "services: {db: {image: 'rs-test/app:1'}}";
    let before = format!(
        "echo \"{part}\" > part.yml; DC up -d; DC run -d db sleep 100000 > run; \
         DC run -d cron sleep 100000 >> run;"
    );
    let after = "; code=$?; docker rm -f $(cat run) > gone; exit $code";
    let scripts = downs.map(|it| format!("{before} {it} {LEFT} {after}"));
    side_by_side(engine, text, &scripts.each_ref().map(String::as_str));
    // A network of what is only stopped stays here: it could not start again.
    let stack = Stack::on(engine, text);
    stack.ours(&["up", "-d"]).ok();
    stack.ours(&["stop", "db"]).ok();
    stack.ours(&["down", "web"]).ok();
    stack.ours(&["start", "db"]).ok();
}

fn scripts_that_clean_up_and_start_again_go_on(engine: &'static Engine) {
    let text = "services:\n  \
        web: {image: 'rs-test/app:1', stop_signal: KILL, volumes: [/a, /b], \
              depends_on: {gone: {condition: service_started, required: false}}}\n  \
        db: {image: 'rs-test/app:1', stop_signal: KILL}\n  \
        gone: {image: 'rs-test/app:1', profiles: [never]}\n";
    let lines = [
        // Not all services have containers.
        "DC up -d web; DC stop; DC start; echo $?; DC start db; echo $?; DC ps --services",
        "DC down; DC start",
        "DC up -d; DC ps -a --format '{{.Label \"com.docker.compose.depends_on\"}}'; DC down",
        // A pipe answers.
        "DC up -d; DC stop; echo n | DC rm -v > said; DC ps -aq | wc -l; \
         yes | DC rm > said; echo $?; DC ps -aq | wc -l; DC rm < /dev/null; DC down",
        "DC up -d; DC kill; DC kill; DC down -v",
        // What goes by itself meanwhile is no reason to stop half-way.
        "DC up -d; for i in 1 2 3; do DC run --rm -d --no-deps web > run; done; \
         DC down -v --remove-orphans",
        // The files cannot be read any more, but the name is known.
        "P=$(basename $PWD); cp compose.yml kept; echo COMPOSE_PROJECT_NAME=$P > .env; DC up -d; \
         echo 'services: {web: {image: \"${MISSING:?}\"}}' > compose.yml; \
         DC ps --services | sort; DC exec -T web echo in; DC stop; DC down; cp kept compose.yml; rm .env",
        "P=$(basename $PWD); DC up -d; cd /; DC -p ${P^^} ps -q | wc -l; \
         COMPOSE_PROJECT_NAME=${P^^} DC ps -q | wc -l; DC -p ${P^^} down",
        // Whoever looks at what failed finds it as it was, and can start it.
        "echo 'services: {web: {depends_on: {mig: {condition: service_completed_successfully}}}, \
         mig: {image: \"rs-test/app:1\", command: \"false\"}}' > more.yml; \
         DC -f compose.yml -f more.yml up -d web; echo $?; docker network ls -q --filter name=$(basename $PWD) | wc -l; \
         DC -f compose.yml -f more.yml start mig; echo $?; DC -f compose.yml -f more.yml down",
        "echo 'services: {}' > none.yml; DC -f none.yml up -d",
        // A container of the project by its name, which must be there first.
        "P=$(basename $PWD); echo \"services: {c: {image: rs-test/app:1, pid: 'container:$P-web-1', \
         ipc: 'container:$P-s-1', volumes_from: ['container:$P-web-1:ro'], depends_on: [web, s]}, \
         a: {image: rs-test/app:1, pid: 'container:$P-c-1', depends_on: [c]}, \
         s: {image: rs-test/app:1, ipc: shareable}}\" > more.yml; \
         DC -f compose.yml -f more.yml up -d; echo $?; DC ps -a --orphans --format '{{.Service}} {{.State}}' | sort; \
         DC down --remove-orphans -t 0",
        // What a service needs is in no active profile, and runs.
        "echo 'services: {dbg: {image: \"rs-test/app:1\", stop_signal: KILL, profiles: [a], depends_on: [dep]}, \
         dep: {image: \"rs-test/app:1\", stop_signal: KILL, profiles: [b]}}' > prof.yml; \
         DC -f prof.yml --profile a --profile b up -d; DC -f prof.yml restart dbg; echo $?; \
         DC -f prof.yml restart db; echo $?; DC -f prof.yml stats --no-stream dbg | wc -l; \
         DC -f prof.yml events --until 2020-01-01 dbg 2>&1 | grep -c profile; ID=$(DC -f prof.yml --profile '*' ps -q dbg); \
         (sleep 1; docker kill $ID > killed) & DC -f prof.yml wait dbg | grep -c 'code 137'; wait; \
         DC -f prof.yml stop dbg 2> said; [ $? -gt 0 ] && echo refused; DC -f prof.yml --profile '*' down",
        // It would take ten seconds.
        "echo \"services: {a: {image: rs-test/app:1, stop_signal: TERM, scale: 3}}\" > a.yml; DC -f a.yml up -d; \
         S=$(date +%s); DC -f a.yml up -d -t 0 --scale a=1; [ $(($(date +%s) - S)) -lt 9 ] && echo soon; \
         DC -f a.yml down -t 0",
        // Other tools look there for how a project was brought up.
        "L='{{index .Config.Labels \"com.docker.compose.project.environment_file\"}}'; echo A=1 > a.env; \
         DC up -d db; docker inspect --format \"$L\" $(DC ps -q); DC down; \
         DC --env-file a.env --env-file ../$(basename $PWD)/a.env up -d db; \
         docker inspect --format \"$L\" $(DC ps -q) | tr , '\\n' | xargs -n 1 basename; DC down",
    ];
    let scripts = lines.map(|it| format!("{it}; code=$? {LEFT}; exit $code"));
    side_by_side(engine, text, &scripts.each_ref().map(String::as_str));
}

fn progress_is_told_to_programs(engine: &'static Engine) {
    let text = "services:\n  web: {image: 'rs-test/app:1', command: \"sleep 10000$UNSET\"}\n  \
                db: {image: 'rs-test/app:1', depends_on: [web]}\n";
    // Neither the order of what goes on at once nor the words of a warning are the point.
    let filter = "2>&1 | grep -v forwarding | sed 's/\"msg\":.*/msg/' | sort";
    let scripts = [
        "up -d",
        "up -d",
        "up -d --force-recreate --wait web",
        "stop db",
        "start db",
        "down db",
        "down --dry-run 2>&1 | grep Container",
        "down",
        "up -d nosuch | sed 's/,.*//'",
    ]
    .map(|it| format!("DC --progress json {it} {filter}"));
    side_by_side(engine, text, &scripts.each_ref().map(String::as_str));
}

/// What `script` says, with the tool under `DC`.
fn script(stack: &Stack, is_ours: bool, script: &str) -> Output {
    let tool = if is_ours {
        format!("{} compose", crate::support::roadstead::program().display())
    } else {
        crate::support::oracle().display().to_string()
    };
    let mut command = Command::new("bash");
    command.args(["-c", &script.replace("DC", &tool)]);
    output(&mut stack.prepared(command, &stack.path()))
}

/// `SERVICE STATE` of each container.
fn states(stack: &Stack) -> Vec<String> {
    let listed = script(stack, true, "DC ps -a --format '{{.Service}} {{.State}}'").ok();
    let mut states: Vec<_> = listed.lines().map(str::to_owned).collect();
    states.sort();
    states
}

fn a_server_that_was_stopped_comes_up_again(engine: &'static Engine) {
    let command = "[sh, -c, 'trap \"exit 0\" TERM; while :; do sleep 0.1; done']";
    let text = format!(
        "services:\n  polite: {{image: 'rs-test/app:1', stop_signal: SIGTERM, command: {command}}}\n  \
         once: {{image: 'rs-test/app:1', command: 'true'}}\n"
    );
    let stack = Stack::on(engine, &text);
    stack.ours(&["up", "-d"]).ok();
    stack.ours(&["stop"]).ok();
    assert_eq!(states(&stack), ["once exited", "polite exited"]);
    assert_eq!(stack.inspect("polite-1", "{{.State.ExitCode}}"), "0");
    let ran = stack.inspect("once-1", "{{.State.StartedAt}}");
    stack.ours(&["up", "-d"]).ok();
    assert_eq!(states(&stack), ["once exited", "polite running"]);
    assert_eq!(stack.inspect("once-1", "{{.State.StartedAt}}"), ran, "it has done its work");
    // Who names it, or looks on, wants to see it work.
    stack.ours(&["up", "-d", "once"]).ok();
    let again = stack.inspect("once-1", "{{.State.StartedAt}}");
    assert_ne!(again, ran);
    stack.ours(&["up", "--exit-code-from", "once", "--abort-on-container-exit"]).ok();
    assert_ne!(stack.inspect("once-1", "{{.State.StartedAt}}"), again);
}

fn what_was_not_named_outlives_a_down(engine: &'static Engine) {
    let text = "services:\n  web: {image: 'rs-test/app:1'}\n  \
                debug: {image: 'rs-test/app:1', profiles: [debug]}\n";
    let stack = Stack::on(engine, text);
    stack.ours(&["--profile", "debug", "up", "-d"]).ok();
    stack.ours(&["run", "-d", "web", "sleep", "1000"]).ok();
    stack.ours(&["down"]).ok();
    assert_eq!(states(&stack), ["debug running", "web running"], "the second one is of `run`");
    stack.ours(&["down", "--remove-orphans"]).ok();
    assert_eq!(states(&stack), ["debug running"]);
    // The same project from another directory.
    let elsewhere = stack.path().join("release/2");
    write_files(&elsewhere, &[("compose.yml", text)]);
    let down = ["-p", &stack.name, "--profile", "debug", "down"];
    output(&mut stack.program(&elsewhere, &down)).ok();
    assert_eq!(states(&stack), [""; 0]);
}

fn a_first_up_that_fails_leaves_what_it_started(engine: &'static Engine) {
    let text = "services:\n  sick: {image: 'rs-test/app:1', command: \"sh -c 'echo look at me; sleep \
                1000'\", healthcheck: {test: 'false', interval: 1s, retries: 1}}\n";
    let stack = Stack::on(engine, text);
    let said = stack.ours(&["up", "-d", "--wait"]).fails_with(1);
    assert!(said.contains("what was started stays"), "{said}");
    assert_eq!(states(&stack), ["sick running"]);
    assert!(stack.ours(&["logs", "sick"]).ok().contains("look at me"));
    // What ends, or starts again and again, came up all the same.
    let text = "services:\n  ends: {image: 'rs-test/app:1', command: 'false'}\n  \
                again: {image: 'rs-test/app:1', restart: always, command: 'false'}\n";
    let stack = Stack::on(engine, text);
    stack.ours(&["up", "-d"]).ok();
    assert_eq!(states(&stack).len(), 2);
}

#[test]
fn words_are_read_as_docker_compose_reads_them() {
    let text =
        "services:\n  web: {image: 'rs-test/app:1', command: sleep 100000, env_file: web.env}\n";
    let scripts = [
        "DC up --detach=true --build=false --menu=0",
        "DC -p other -p $(basename $PWD) ps -q -q | wc -l",
        "DC exec -it web echo hello </dev/null",
        "echo in | DC exec -it -T=true web cat",
        "DC logs --since '' --tail -1 web | wc -l",
        "DC exec --index=0 web true",
        "COMPOSE_PROGRESS=quiet COMPOSE_ANSI=never DC restart -t 0 2>&1",
        "COMPOSE_STATUS_STDOUT=t DC stop -t 0 2>/dev/null",
        "COMPOSE_STATUS_STDOUT=1 DC up -d 2>/dev/null | grep -q web && echo told",
        "COMPOSE_STATUS_STDOUT=True DC --progress json restart -t 0 2>/dev/null",
        "COMPOSE_STATUS_STDOUT=yes DC restart -t 0 2>/dev/null",
        "COMPOSE_STATUS_STDOUT=1 DC --progress quiet restart -t 0 2>/dev/null",
        "DC ls --filter \"name=^$(basename $PWD)$\" -q",
        "rm web.env; DC ps --services; DC stop -t -1 web; DC start web; DC config --services",
        "DC -f <(echo 'services: {x: {image: y}}') config --services",
        "DC -f compose.yml -f /dev/null config --services",
        "touch web.env; DOCKER_HOST= DC config -q",
        "DC -H $DOCKER_HOST ps -q | wc -l",
        "docker context create eng --docker host=$DOCKER_HOST >&2; unset DOCKER_HOST; \
         DOCKER_CONTEXT=eng DC ps -q | wc -l; DC --context eng ps -q | wc -l",
        "DC down --volumes=true --remove-orphans=false -t -1",
    ];
    let said = [true, false].map(|is_ours| {
        let stack = Stack::new(text);
        write_files(&stack.path(), &[("web.env", "A=b\n")]);
        scripts.map(|it| {
            let said = script(&stack, is_ours, it);
            (it, said.code, said.stdout.replace(&stack.name, "P"))
        })
    });
    let [ours, theirs] = said;
    for (ours, theirs) in ours.iter().zip(&theirs) {
        assert_eq!(ours, theirs);
        assert_eq!(ours.1, Some(0), "{ours:?}");
    }
}

#[test]
fn values_and_lists_are_those_of_docker_compose() {
    let text = "services:\n  web: {image: 'rs-test/app:1', ports: ['127.0.0.1::80', '53/udp']}\n  \
                once: {image: 'rs-test/app:1', command: 'false', container_name: a-once-$PWD_NAME}\n";
    let format =
        |template: &str| format!("DC ps -a --format '{template}' | sed 's/:3[0-9]*/:PORT/g'");
    let mut scripts = vec![
        "DC up -d; DC run -d web sleep 100000 > run; sleep 1".to_owned(),
        "DC > help; wc -l < help | grep -qv '^[0-9]$'".to_owned(),
        "DC -f missing.yml > help".to_owned(),
        "DC ps -a --services --filter status=running --filter status=exited".to_owned(),
        "DC ps --services --status running --status exited".to_owned(),
        "DC ps -q --status running --filter status=exited | wc -l".to_owned(),
        "DC ps --services --status paused".to_owned(),
        "DC ps --filter= -q | wc -l".to_owned(),
        "DC ps --orphans=false -q | wc -l".to_owned(),
        "DC exec -T -e -x web echo fine; DC exec -Te -x web echo fine".to_owned(),
        "DC logs --since -1h web; DC logs --tail -1 web".to_owned(),
        "DC exec -T -u --all web id".to_owned(),
        "DC run --rm -T -e -x --entrypoint 'echo -n' web --rm -x".to_owned(),
    ];
    scripts.extend(
        [
            "{{$x := .Service}}{{$x}} {{slice .State 1 3}}",
            "{{range $i, $p := .Publishers}}{{if $i}}, {{end}}{{$i}}={{$p.TargetPort}}{{end}}",
            "{{range .Publishers}}{{if eq .TargetPort 53}}{{continue}}{{end}}{{.URL}}{{else}}none{{end}}",
            "{{with .Health}}{{.}}{{else with .State}}{{.}}{{end}}",
            "{{define \"t\"}}<{{.}}>{{end}}{{template \"t\" .Service}}",
            "{{printf \"%-8s|%03d|%q\" .Service .ExitCode .State}}",
            "table {{lower .Service}}\\t{{json .State}}\\t{{truncate .Image 4}}",
            "{{.Label \"com.docker.compose.service\"}} {{json .ExitCode}} {{.Publishers | len}}",
            "{{html \"<a>\"}} {{js \"<a>\"}} {{urlquery \"a b\"}} {{print 1 2 \"a\"}}",
        ]
        .map(format),
    );
    let scripts: Vec<&str> = scripts.iter().map(String::as_str).collect();
    side_by_side(
        Engine::shared(),
        &text.replace("$PWD_NAME", &crate::support::unique("name")),
        &scripts,
    );
}

#[test]
fn two_containers_of_one_name_can_be_looked_at() {
    let text = "services:\n  a: {image: 'rs-test/app:1', container_name: same-name-twice}\n  \
                b: {image: 'rs-test/app:1', container_name: same-name-twice}\n";
    for (verb, fails) in [
        ("ps", false),
        ("logs", false),
        ("stop", false),
        ("images", false),
        ("build", false),
        ("top", false),
        ("config --services", false),
        ("config --no-consistency", false),
        ("config a", false),
        ("rm -f", false),
        ("restart", false),
        ("down", false),
        ("config", true),
        ("up -d", true),
        ("create", true),
        ("exec a true", true),
    ] {
        let code = [true, false].map(|is_ours| {
            let stack = Stack::new(text);
            script(&stack, is_ours, &format!("DC {verb}")).code != Some(0)
        });
        assert_eq!(code, [fails; 2], "{verb}");
    }
}
