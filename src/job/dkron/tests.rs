//! Files of Dkron in every form its scripts make, and back.

use super::*;
use crate::job::native::NoFiles;
use crate::job::native::tests::settings;
use crate::job::native::write::{Written, yaml_of};
use crate::job::work::Work;
use crate::job::{CatchUp, On, Overlap, When};
use crate::problem::Problem;

const CHILD: &str = r#"{"name":"child","schedule":"","parent_job":"refresh","executor":"shell","executor_config":{"command":"echo $HOME | tr a b","shell":"true","env":"A=1,B=2","cwd":"/srv","timeout":"10s"},"concurrency":"forbid","disabled":true}"#;
const REFRESH: &str = r#"{"id":"refresh","name":"refresh","displayname":"Refresh the cache","timezone":"America/Toronto","schedule":"0 */15 * * * *","owner":"ops","owner_email":"ops@example.org","disabled":false,"tags":{"dc":"eu:2"},"metadata":{"team":"data"},"retries":2,"parent_job":"","dependent_jobs":["child"],"processors":{"log":{"forward":"true"}},"concurrency":"allow","executor":"http","executor_config":{"method":"POST","url":"https://api.example/refresh?a=$1","headers":"[\"Accept: application/json\",\"X: y: z\"]","body":"{\"all\": true}","timeout":"20","expectCode":"200,206","expectBody":"o+k","tlsNoVerifyPeer":"true"},"ephemeral":false,"starts_at":null,"expires_at":"2030-01-01T00:00:00Z","success_count":5,"error_count":1,"last_success":"2026-01-01T00:00:00Z","last_error":null,"status":"success","next":"2026-01-01T00:15:00Z"}"#;
const KAFKA: &str = r#"{"name":"events","schedule":"@every 1h","executor":"kafka","executor_config":{"topic":"t","brokers":"b:9092"}}"#;

fn imported(text: &str) -> Imported {
    let settings = settings();
    let variables = &settings.variables;
    let context = Context { settings: &settings, variables, toplevel: &|_| None, files: &NoFiles };
    read(text, "backup.json", &context)
}

fn native(text: &str) -> Vec<Written> {
    let settings = settings();
    let variables = &settings.variables;
    let context = Context { settings: &settings, variables, toplevel: &|_| None, files: &NoFiles };
    let (jobs, problems) = crate::job::native::read_written(text, "jobs.yml", &context);
    assert!(problems.0.iter().all(Problem::is_warning), "{problems}");
    jobs
}

fn dkron(jobs: &[Written]) -> String {
    let objects: Vec<Value> = jobs.iter().map(|job| export(job).expect("Dkron has it")).collect();
    exported(&objects)
}

#[test]
fn every_form_of_a_file_is_read_alike() {
    let all = [CHILD, REFRESH, KAFKA];
    let base64: Vec<String> = all.iter().map(|job| BASE64.encode(job)).collect();
    let expected = yaml_of(&imported(&format!("[{}]", all.join(","))).jobs);
    assert_eq!(expected.matches("name: ").count(), 3, "{expected}");
    for text in [
        all.join("\n"),
        all.join(""),
        format!("\u{feff}{}\r\n\r\n", all.join("\r\n")),
        format!("{}\n\n", base64.join("\n")),
        format!("[\n{}\n]\n", all.join(",\n")),
    ] {
        let imported = imported(&text);
        assert!(imported.problems.iter().all(Problem::is_warning), "{:#?}", imported.problems);
        assert_eq!(yaml_of(&imported.jobs), expected, "{text}");
    }
}

#[test]
fn export_import_export_is_the_same() {
    let first = imported(&[CHILD, REFRESH, KAFKA].join("")).jobs;
    let exported = dkron(&first);
    let second = imported(&exported).jobs;
    assert_eq!(dkron(&second), exported);
    // By way of our own form, too.
    let yaml = yaml_of(&first);
    let third = native(&yaml);
    assert_eq!(yaml_of(&third), yaml);
    assert_eq!(dkron(&third), exported);
    // What has no meaning here was not lost.
    let objects: Vec<Value> = serde_json::from_str(&exported).expect("an array");
    let of = |name: &str| objects.iter().find(|it| it["name"] == name).expect("there").clone();
    assert_eq!(of("refresh")["metadata"], json!({"team": "data"}));
    assert_eq!(of("refresh")["owner_email"], "ops@example.org");
    assert_eq!(of("events")["executor_config"]["brokers"], "b:9092");
    assert_eq!(of("refresh")["executor_config"]["url"], "https://api.example/refresh?a=$1");
    assert_eq!(of("refresh")["schedule"], "0 */15 * * * *");
}

#[test]
fn a_call_that_names_the_ttl_of_a_cache_keeps_it_warm() {
    let warm = REFRESH.replace(
        "\"ephemeral\":false",
        r#""ephemeral":false,"cache_refresh":{"soft_ttl":"12h","hard_ttl":"1d"}"#,
    );
    let first = imported(&warm).jobs;
    let Work::Refresh(refresh) = &first[0].job.work else { panic!("a refresh") };
    assert_eq!(refresh.requests[0].expect.status, [(200, 200), (206, 206)]);
    assert_eq!(
        (refresh.soft_ttl, refresh.connection.insecure),
        (Some(std::time::Duration::from_hours(12)), true)
    );
    let exported = dkron(&first);
    assert!(
        exported.contains(r#""cache_refresh":{"hard_ttl":"1d","soft_ttl":"12h"}"#),
        "{exported}"
    );
    assert_eq!(dkron(&imported(&exported).jobs), exported);
    let stray = KAFKA.replace("\"schedule\"", r#""cache_refresh":{},"schedule""#);
    let told = imported(&stray).problems;
    assert!(told.iter().any(|it| it.message.contains("`cache_refresh` has no effect")), "{told:?}");
}

#[test]
fn jobs_of_ours_go_to_dkron_and_back() {
    let jobs = native(
        "- {name: a, schedule: '*/5 * * * *', http: {url: 'https://a.example', body: x}}\n\
         - {name: b, schedule: '@every 36h', command: [echo, a b]}\n\
         - {name: c, after: a, command: {argv: [sh, -c, 'a | b'], stdin: x}, enabled: true}\n",
    );
    let exported = dkron(&jobs);
    assert!(
        exported.contains("\"0 */5 * * * *\"") && exported.contains("@every 36h"),
        "{exported}"
    );
    assert_eq!(dkron(&imported(&exported).jobs), exported);
    for (text, expected) in [
        ("{name: a, run: {image: a}}", "no work of the kind `run`"),
        ("{name: A, command: [a]}", "lower-case"),
        ("{name: a, schedule: '@startup', command: [a]}", "when it starts"),
        ("{name: a, http: {steps: [{url: 'https://a'}, {url: 'https://b'}]}}", "one call"),
        ("{name: a, on: 'webhook:b', command: [a]}", "no event"),
    ] {
        let why = export(&native(text)[0]).expect_err(text);
        assert!(why.contains(expected), "{text}: {why}");
    }
}

#[test]
fn reads_each_field() {
    let imported = imported(&[CHILD, REFRESH, KAFKA].join("\n"));
    let names: Vec<&str> = imported.jobs.iter().map(|it| it.job.name.as_str()).collect();
    assert_eq!(names, ["refresh", "events", "child"], "parents first");
    let refresh = &imported.jobs[0].job;
    assert_eq!(refresh.timezone.name(), "America/Toronto");
    assert_eq!((refresh.policy.overlap, refresh.policy.retry.max), (Overlap::Allow, 2));
    assert_eq!(refresh.policy.catch_up, CatchUp::None);
    let Work::Http(http) = &refresh.work else { panic!("http") };
    let step = &http.steps[0];
    assert_eq!(step.expect.status, [(200, 200), (206, 206)]);
    assert_eq!(step.headers["X"].expose(), "y: z");
    assert!(http.connection.insecure);
    let child = &imported.jobs[2].job;
    assert_eq!(child.policy.overlap, Overlap::Skip);
    assert_eq!(child.on, [], "disabled");
    let Work::Command(command) = &child.work else { panic!("a command") };
    assert_eq!(command.argv, ["/bin/sh", "-c", "echo $HOME | tr a b"]);
    assert_eq!(command.environment["B"], "2");
    let told: Vec<String> = imported.problems.iter().map(Problem::plain).collect();
    let told = told.join("\n");
    for expected in [
        "several nodes",
        "processors",
        "disabled: there is no executor `kafka`",
        "AUTODEPLOY_ALLOW_COMMANDS",
        "within the text of `expectCode`",
    ] {
        assert!(told.contains(expected), "{expected}: {told}");
    }
    let chained = super::tests::imported(
        &CHILD.replace("true}", "false}").replace(",\"disabled\":false", ""),
    );
    assert_eq!(
        chained.jobs[0].job.on,
        [On::Ended { job: "refresh".to_owned(), when: When::Success }]
    );
}

#[test]
fn says_what_is_no_job() {
    for (text, expected) in [
        ("{\"name\": \"a\"", "backup.json:1:1: this is no JSON"),
        ("[1]", "`1` is no job"),
        ("{}", "has no `name`"),
        ("what is this", "neither JSON nor base64"),
        (
            "{\"name\":\"a\",\"schedule\":\"0 5 * * *\",\"executor\":\"shell\",\"executor_config\":{\"command\":\"a\"}}",
            "fields",
        ),
    ] {
        let imported = imported(text);
        assert!(imported.jobs.is_empty(), "{text}");
        let told: Vec<String> = imported.problems.iter().map(Problem::plain).collect();
        assert!(told.iter().any(|it| it.contains(expected)), "{text}: {told:?}");
    }
}

/// A job with these fields, of one executor or the other.
fn with(executor: &str, fields: &str) -> String {
    let config = match executor {
        "http" => "\"method\":\"GET\",\"url\":\"https://a.example\",\"expectCode\":\"200\"",
        _ => "\"command\":\"true\"",
    };
    let (config, fields) = match fields.strip_prefix("config ") {
        Some(more) => (format!("{config},{more}"), ""),
        None => (config.to_owned(), fields),
    };
    let comma = if fields.is_empty() { "" } else { "," };
    format!(
        "{{\"name\":\"a\",\"schedule\":\"@every 1h\",\"executor\":\"{executor}\",\
         \"executor_config\":{{{config}}}{comma}{fields}}}"
    )
}

/// Executor, what is written, what is in our form of it, what is told.
#[test]
fn each_field_is_done_or_told() {
    let rows = [
        ("http", "\"id\":\"other\"", "name: a\n", ""),
        ("http", "\"displayname\":\"Costs $5\"", "description: Costs $$5\n", ""),
        ("http", "\"timezone\":\"Asia/Tokyo\"", "timezone: Asia/Tokyo\n", ""),
        ("http", "\"disabled\":true", "enabled: false\n", ""),
        ("http", "\"disabled\":false", "overlap: allow\n", ""),
        ("http", "\"concurrency\":\"forbid\"", "overlap: skip\n", ""),
        ("http", "\"concurrency\":\"\"", "overlap: allow\n", ""),
        ("http", "\"concurrency\":\"maybe\"", "overlap: allow\n", "read as `allow`"),
        ("http", "\"retries\":3", "max: 3\n", ""),
        ("http", "\"retries\":200", "max: 100\n", "100 times at most"),
        ("http", "\"owner\":\"ops\"", "dkron.owner: ops\n", ""),
        ("http", "\"owner_email\":\"a@b\"", "dkron.owner_email: a@b\n", "nobody is mailed"),
        ("http", "\"tags\":{\"dc\":\"eu\"}", "dkron.tags:", ""),
        ("http", "\"tags\":{\"dc\":\"eu:3\"}", "dkron.tags:", "asks for several nodes"),
        ("http", "\"metadata\":{\"k\":\"v\"}", "dkron.metadata:", ""),
        (
            "http",
            "\"processors\":{\"syslog\":{\"forward\":\"true\"}}",
            "dkron.processors:",
            "have no effect",
        ),
        ("http", "\"processors\":{}", "overlap: allow\n", ""),
        ("http", "\"ephemeral\":true", "dkron.ephemeral: 'true'\n", "here it stays"),
        ("http", "\"starts_at\":\"2030-01-02T03:04\"", "starts_at: 2030-01-02T03:04\n", ""),
        (
            "http",
            "\"expires_at\":\"2030-01-02T03:04:05Z\"",
            "expires_at: '2030-01-02T03:04:05Z'\n",
            "",
        ),
        ("http", "\"starts_at\":null,\"expires_at\":null", "overlap: allow\n", ""),
        ("http", "\"parent_job\":\"b\",\"dependent_jobs\":[\"c\"]", "job: b\n", ""),
        (
            "http",
            "\"success_count\":5,\"last_success\":\"x\",\"next\":\"x\",\"status\":\"failed\"",
            "overlap: allow\n",
            "",
        ),
        ("http", "\"concurency\":\"forbid\"", "overlap: allow\n", "did you mean `concurrency`?"),
        ("http", "config \"timeout\":\"5\"", "timeout: 5s\n", ""),
        ("http", "config \"headers\":\"[\\\"A: b\\\"]\"", "A: b\n", ""),
        ("http", "config \"headers\":\"A: b\"", "url:", "is no list in JSON"),
        ("http", "config \"body\":\"x$y\"", "body: x$$y\n", ""),
        ("http", "config \"expectBody\":\"^ok\"", "body: ^ok\n", ""),
        ("http", "config \"debug\":\"true\"", "url:", "`debug` of `executor_config` has no effect"),
        ("http", "config \"tlsNoVerifyPeer\":\"true\"", "insecure: true\n", ""),
        ("http", "config \"tlsRootCAsFile\":\"/ca\"", "ca_file: /ca\n", ""),
        (
            "http",
            "config \"tlsCertificateFile\":\"/c\",\"tlsCertificateKeyFile\":\"/k\"",
            "client_certificate: /c\n",
            "put `/k` behind",
        ),
        ("shell", "", "- 'true'\n", "AUTODEPLOY_ALLOW_COMMANDS"),
        ("shell", "config \"shell\":\"true\"", "- /bin/sh\n", "AUTODEPLOY_ALLOW_COMMANDS"),
        ("shell", "config \"env\":\"A=1,B=2\"", "- B=2\n", "AUTODEPLOY_ALLOW_COMMANDS"),
        ("shell", "config \"cwd\":\"/srv\"", "working_dir: /srv\n", "AUTODEPLOY_ALLOW_COMMANDS"),
        ("shell", "config \"timeout\":\"90s\"", "timeout: 90s\n", "AUTODEPLOY_ALLOW_COMMANDS"),
        ("shell", "config \"timeout\":\"soon\"", "timeout: 24h\n", "is no duration"),
        (
            "shell",
            "config \"payload\":\"eA==\"",
            "stdin_base64: eA==\n",
            "AUTODEPLOY_ALLOW_COMMANDS",
        ),
        ("shell", "config \"mem_limit\":\"16MB\"", "argv:", "`mem_limit` has no effect"),
        ("kafka", "", "enabled: false\n", "there is no executor `kafka`"),
        ("nats", "", "dkron.executor: nats\n", "there is no executor `nats`"),
        ("rabbitmq", "", "dkron.executor_config:", "there is no executor `rabbitmq`"),
    ];
    for (executor, fields, expected, told) in rows {
        let text = with(executor, fields);
        let imported = imported(&text);
        let [job] = imported.jobs.as_slice() else { panic!("{text}: {:#?}", imported.problems) };
        // Quotes of YAML are of one kind here.
        let yaml = job.yaml().replace('"', "'");
        assert!(yaml.contains(expected), "{text}: {yaml}");
        let all: Vec<String> = imported.problems.iter().map(Problem::plain).collect();
        if told.is_empty() {
            // What each `http` job is told about its `expectCode`.
            assert!(all.iter().all(|it| it.contains("`expectCode`")), "{text}: {all:?}");
        } else {
            assert!(all.iter().any(|it| it.contains(told)), "{text}: {all:?}");
        }
    }
}
