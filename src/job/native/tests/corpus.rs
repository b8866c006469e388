//! Jobs of every kind, as people write them: they are read, they agree with the schema, and their written
//! form reads back as the same job.

use serde_json::Value;

use super::super::write::{json, yaml_of};
use super::super::{Context, NoFiles, read_written, schema};
use super::documents::check;
use super::*;
use crate::job::work::{
    Action, AgeBy, CacheDialect, Create, Pools, RotateMethod, Scope, SyncFrom, Target,
};
use crate::job::{CatchUp, ContainerEvent, On, Overlap, Packed, Place, RunContainer, When};

/// A job with every key of a job.
const EVERYTHING: &str = r#"
name: all
description: Everything at once.
enabled: "${ON}"
schedule: "*/5 * * * *"
dialect: default
timezone: America/Toronto
starts_at: 2026-03-01
expires_at: "2026-12-31T12:00:00Z"
jitter: 30s
spread: 10m
after:
  - other
  - { job: third, on: finish }
on:
  - deploy:web
  - deploy_failed:web
  - container_died:db
  - webhook:refresh
  - file:/srv/in
overlap: replace
catch_up: all(10)
start_deadline: 5m
timeout: 10m
stop_signal: SIGINT
stop_grace: 1m
retry: { max: 3, backoff: 5s, cap: 1m }
locks: [database, disk]
priority: 10
keep: { runs: 100, age: 30d, size: 500m, run_size: 50m }
notify:
  ping: { url: "https://hc.example/${TOKEN}", start: false, log: false, create: true }
  webhook:
    - https://chat.example/a
    - { url: "https://chat.example/b", headers: { Authorization: "Bearer ${TOKEN}" } }
labels: { team: data }
run:
  image: alpine:3.22
  pull_policy: always
  entrypoint: [/bin/sh, -c]
  command: "echo $$HOME"
  environment: { A: 1, TOKEN: , MODE: "${TOKEN}" }
  volumes:
    - data:/data
    - { type: bind, source: /srv/in, target: /in, read_only: true }
  networks: { front: { aliases: [me] }, back: }
  mem_limit: 512m
  cpus: 0.5
  cap_add: [NET_ADMIN]
  ulimits: { nofile: 1024 }
  tmpfs: /tmp
  extra_hosts: ["a:10.0.0.1"]
  user: 1000
  working_dir: /srv
  init: true
  volumes_from: [database:ro]
  keep: true
  redirect: { stdout: /var/log/a.log, stderr: { file: /var/log/b.log, append: false } }
  then:
    - exec: { container: proxy, command: [nginx, -s, reload] }
"#;

/// One job of every other kind, in its short and its long form.
const KINDS_OF_WORK: &str = r#"
- { name: e1, exec: { container: web, command: "sh -c 'a b'" } }
- name: e2
  exec:
    project: shop
    service: web
    scope: all
    command: [a]
    environment: [A=1, TOKEN]
    user: root
    working_dir: /srv
    privileged: true
    tty: true
- { name: e3, exec: { labels: ["role=web"], command: a } }
- { name: cr1, compose_run: { project: web, service: migrate } }
- name: cr2
  compose_run: { project: /srv/web, service: s, command: a b, entrypoint: [], environment: { A: b }, user: "1", working_dir: /, volumes: ["/a:/b"] }
- { name: ct1, container: { action: restart, targets: proxy } }
- { name: ct2, container: { action: signal, signal: SIGUSR1, targets: [a, { project: p, service: s }, { labels: x=y }] } }
- { name: co1, command: [/bin/busybox, date] }
- { name: co2, command: { argv: date -u, environment: { A: b }, working_dir: /srv, stdin: "x", redirect: { stdout: /l } } }
- { name: co3, command: { argv: [cat], stdin_base64: AAEC } }
- { name: h1, http: { url: "https://api.example/a" } }
- name: h2
  http:
    wait_for: ["https://api.example/health", { url: "https://api.example/b", timeout: 5m, every: 1s, expect: { status: 2xx } }]
    login: { url: "https://api.example/login", body: { user: me, password: "${TOKEN}" } }
    steps:
      - { name: one, url: "https://api.example/1", method: put, headers: { A: b }, body: x, timeout: 5s, retries: 2, backoff: 100ms }
      - { url: "https://api.example/2", expect: { status: [200, 300-399, "404"], body: "o+k", json: { /status: done, /n: 1 } } }
    parallel: 2
    ca_file: /etc/ca.pem
    client_certificate: /etc/me.pem
    insecure: true
    redirects: 0
- { name: o1, ogc_process: { url: "https://ogc.example", process: buffer } }
- name: o2
  ogc_process:
    url: https://ogc.example
    process: buffer
    provider: finch
    inputs: { distance: 5, list: [a, b] }
    outputs: { out: { transmissionMode: value } }
    mode: sync
    login: { url: "https://ogc.example/login" }
    headers: { A: b }
    poll: { min: 5s, max: 1m }
    on_timeout: leave
- { name: g1, group: [e1, e2] }
- { name: g2, group: { jobs: [e1], parallel: 4, keep_going: true }, after: g1 }
- { name: d1, deploy: { sources: [/srv/stack], health: { within: 1m, stable_for: 1s } } }
- { name: r1, run: { container: importer } }
- { name: ro1, rotate: { files: /var/log/web/*.log, size: 20m } }
- { name: sy1, sync: { source: "https://git.example/data.git#v2", maps: { to: /data/x } } }
- name: sy2
  sync:
    archive:
      url: "https://data.example/set.tar.gz?key=${TOKEN}"
      sha256: E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855
      max_size: 50m
      max_unpacked: 200m
      max_entries: 5000
      strip_components: 1
    maps:
      - { from: ./in, to: /data/x/, include: "*.nc", exclude: [drafts], delete: false, atomic: true, owner: "7:8", mode: "0640", dir_mode: "0750" }
      - to: /data/y
    hooks: [{ image: alpine:3.22, command: /refresh, environment: { TOKEN: } }]
    always: true
    dry_run: true
- { name: cl1, clean: { directory: /data/x, older_than: 30d } }
- name: cl2
  clean:
    directory: /data/x/
    older_than: 30d
    by: ctime
    include: ["*.nc", "**/tmp/*"]
    exclude: "*.keep"
    keep: 10
    empty_directories: true
    max_files: 1000
    other_filesystems: true
    dry_run: true
- name: ro2
  rotate:
    files: [/var/log/a.log, "/srv/*/logs/**"]
    exclude: /var/log/a.log
    size: 20m
    every: 1w
    min_size: 1k
    keep: 50
    max_age: 90d
    compress: zstd
    method: rename
    create: { mode: "0640", owner: "101:4" }
    signal: { project: shop, service: web, signal: SIGHUP }
    dry_run: true
- { name: cs1, cache_sync: { url: "http://qjazz:9871" } }
- name: cs2
  cache_sync:
    url: https://qjazz.example/admin/
    pools: [maps, features]
    dialect: v1
    token: "${TOKEN}"
    rescan_backends: false
    require_all_backends: false
    pull: /maps/a.qgs /maps/b.qgs
    timeout: 10m
    ca_file: /etc/ca.pem
    dry_run: true
- { name: cs3, cache_sync: { url: "http://qjazz:80", dialect: map, pools: all, token_file: /run/t } }
- { name: re1, refresh: { requests: "http://a.example/1 http://a.example/2" } }
- name: re2
  refresh:
    login: { url: "https://a.example/login", body: { password: "${TOKEN}" } }
    requests:
      - https://a.example/1
      - { name: two, url: "https://a.example/2", headers: { A: own }, timeout: 5s, expect: { status: 204 }, retries: 0 }
    headers: { A: all, B: all }
    timeout: 1m
    expect: { status: [200, 304] }
    retries: 3
    backoff: 100ms
    parallel: 16
    per_second: 5
    soft_ttl: 12h
    hard_ttl: 1d
    ca_file: /etc/ca.pem
    client_certificate: /etc/me.pem
    insecure: true
    redirects: 0
    dry_run: true
- { name: pr1, prune: { images: true } }
- name: pr2
  prune:
    images: { older_than: 1d, keep: 5, dangling: false, all: true }
    containers: { older_than: 1h }
    networks: false
    volumes: { older_than: 90d, labels: [scratch=true] }
    max_removals: 10
    dry_run: true
- { name: ce1, certificate: { bundle: /b.pem, domains: a.example, certbot: { image: certbot/certbot } } }
- name: ce2
  certificate:
    bundle: /data/b.pem
    domains: [a.example, "*.a.example"]
    email: me@a.example
    renew_before: 20d
    certbot: { image: certbot/certbot, network_mode: host, volumes: ["/etc/letsencrypt:/etc/letsencrypt"] }
    arguments: --test-cert
    stop: { project: shop, service: proxy }
    signal: { container: proxy }
    restart: { labels: [tls] }
    dry_run: true
- { name: r2, retry: 3, run: { image: a, networks: front } }
"#;

pub(super) fn written(text: &str) -> Vec<super::super::write::Written> {
    let settings = settings();
    let variables = &settings.variables;
    let context = Context { settings: &settings, variables, toplevel: &|_| None, files: &NoFiles };
    let (jobs, problems) = read_written(text, "web.yml", &context);
    assert!(problems.0.is_empty(), "{problems}");
    jobs
}

/// The job without what depends on where it was read.
fn placeless(job: &Job) -> Job {
    Job { origin: Place::default(), ..job.clone() }
}

#[test]
fn every_kind_agrees_with_the_schema_and_reads_back() {
    for text in [EVERYTHING, KINDS_OF_WORK, super::backups::KINDS] {
        let jobs = written(text);
        let root = schema::schema();
        for job in &jobs {
            check(&root, &root, &job.json(), &job.job.name).unwrap();
        }
        let exported = yaml_of(&jobs);
        assert!(!exported.contains("secret"), "{exported}");
        let again = written(&exported);
        assert_eq!(yaml_of(&again), exported);
        for (job, again) in jobs.iter().zip(&again) {
            assert_eq!(placeless(&job.job), placeless(&again.job));
        }
    }
}

#[test]
fn every_example_file_is_read_and_agrees_with_the_schema() {
    let root = schema::schema();
    let directory = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut kinds = std::collections::BTreeSet::new();
    for directory in [directory.join("examples/jobs"), directory.join("jobs")] {
        for entry in std::fs::read_dir(directory).expect("there are examples") {
            let path = entry.expect("readable").path();
            let text = std::fs::read_to_string(&path).expect("text");
            for document in yaml::parse(&text, &path.display().to_string()).expect("YAML") {
                check(&root, &root, &json(&document), &path.display().to_string()).unwrap();
            }
            // Its variables are those of an `env.local` of one's own.
            let mut settings = settings();
            settings.variables.insert("COMPOSE_DIR".to_owned(), "/srv/stack".to_owned());
            for used in text.split("${").skip(1) {
                let name = used.split(['}', ':', '-', '?']).next().unwrap_or_default();
                let value = format!("https://{}.example", name.to_lowercase().replace('_', "-"));
                settings.variables.entry(name.to_owned()).or_insert(value);
            }
            settings.variables.retain(|name, _| !name.contains("AUTODEPLOY_"));
            for (name, value) in [
                ("AUTODEPLOY_LOGROTATE_FILES", "/logs/*.log"),
                ("AUTODEPLOY_PROXY_LOGROTATE_FILES", "/logs/proxy/*.log"),
                ("AUTODEPLOY_CLEAN_DIRECTORY", "/data/old"),
                ("AUTODEPLOY_CACHE_SYNC_URL", "http://qjazz:9871"),
                ("AUTODEPLOY_CACHE_REFRESH_URLS", "http://a.example/ http://b.example/"),
                ("AUTODEPLOY_CERTIFICATE_BUNDLE", "/data/b.pem"),
                ("AUTODEPLOY_CERTIFICATE_DOMAINS", "a.example"),
                ("AUTODEPLOY_NOTEBOOK_REPO", "https://git.example/notebooks.git"),
                ("JUPYTERHUB_USER_DATA_DIR", "/data/users"),
                ("AUTODEPLOY_BACKUP_REPOSITORY", "/backup"),
                ("AUTODEPLOY_BACKUP_PASSWORD_FILE", "/run/secrets/backup"),
            ] {
                settings.variables.insert(name.to_owned(), value.to_owned());
            }
            let jobs = parse(&text, &path.display().to_string(), &settings);
            let jobs = jobs.unwrap_or_else(|problems| panic!("{problems}"));
            kinds.extend(jobs.iter().map(|job| job.work.kind()));
        }
    }
    let all: std::collections::BTreeSet<&str> = Work::KINDS.iter().copied().collect();
    assert_eq!(kinds, all, "an example of every kind");
}

#[test]
fn the_schema_refuses_what_the_reader_refuses() {
    let root = schema::schema();
    for text in [
        "{name: a}",
        "{name: a b, run: {image: a}}",
        "{name: a, run: {image: a}, exec: {container: a, command: a}}",
        "{name: a, run: {image: a, imag: b}}",
        "{name: a, run: {image: a}, timeout: soon}",
        "{name: a, run: {image: a}, overlap: perhaps}",
        "{name: a, run: {image: a, build: .}}",
        "{name: a, run: {image: a}, priority: 5000}",
        "{name: a, run: {image: a}, on: 'perhaps:b'}",
        "{name: a, exec: {container: a}}",
        "{name: a, group: {parallel: 1}}",
        "{name: a, clean: {directory: /data}}",
        "{name: a, sync: {archive: {url: \"http://a/b\", sha256: abc}, maps: [{to: /data/x}]}}",
        "{name: a, clean: {older_than: 1d}}",
        "{name: a, clean: {directory: /data, older_than: 1d, by: birth}}",
        "{name: a, prune: {images: {keep: 0}}}",
        "{name: a, prune: {volumes: {older_than: soon}}}",
        "{name: a, certificate: {bundle: /b.pem, domains: a}}",
        "{name: a, certificate: {domains: a, certbot: {image: c}}}",
        "{name: a, certificate: {bundle: /b.pem, certbot: {image: c}}}",
        "{name: a, rotate: {size: 1m}}",
        "{name: a, rotate: {files: /a, size: 1m, keep: 0}}",
        "{name: a, rotate: {files: /a, size: 1m, method: move}}",
        "{name: a, rotate: {files: /a, size: 1m, create: {owner: root}}}",
        "{name: a, http: {url: 'https://a', expect: {status: 99}}}",
        "{name: a, backup: {repository: /b, password_file: /p, labels: true, dumps: [{container: c}]}}",
        "{name: a, backup: {repository: /b, password_file: /p, labels: true, quiesce: freeze}}",
        "{name: a, backup: {repository: /b, password_file: /p, labels: true, keep: {daily: many}}}",
        "{name: a, backup: {repository: /b, password_file: /p, volume: c}}",
        "{name: a, backup_check: {repository: /b, password_file: /p, read_in: 400}}",
        "{name: a, restore_drill: {repository: /b, password_file: /p, of: b}}",
        "{name: a, restore_drill: {repository: /b, password_file: /p, check: {image: c}}}",
    ] {
        parse(text, "web.yml", &settings()).expect_err(text);
        let document = yaml::parse(text, "web.yml").expect(text).remove(0);
        check(&root, &root, &json(&document), text).expect_err(text);
    }
}

#[test]
fn a_sync_that_could_not_be_carried_out_is_refused() {
    for text in [
        "{name: a, sync: {source: /srv/data}}",
        "{name: a, sync: {maps: [{to: /data/x}]}}",
        "{name: a, sync: {source: /srv/data, archive: {url: \"http://a/b\"}, maps: [{to: /data/x}]}}",
        "{name: a, sync: {source: /srv/data, maps: [{to: /data/x}, {to: /data/x}]}}",
        "{name: a, sync: {source: /srv/data, maps: [{to: /data/x, atomic: true}, {to: /data/x/y}]}}",
        "{name: a, sync: {source: /srv/data, maps: [{from: ../x, to: /data/x}]}}",
        "{name: a, sync: {source: /srv/data, maps: [{to: data}]}}",
        "{name: a, sync: {source: /srv/data, maps: [{to: /state/x}]}}",
        "{name: a, sync: {source: \"https://me:secret@git.example/a\", maps: [{to: /data/x}]}}",
        "{name: a, sync: {source: /srv/data, maps: [{to: /data/x}], hooks: [{command: a}]}}",
        "{name: a, sync: {archive: {url: \"ftp://a/b\"}, maps: [{to: /data/x}]}}",
        "{name: a, sync: {deploy_data: /nowhere.yml}}",
    ] {
        let problems = parse(text, "web.yml", &settings()).expect_err(text);
        assert!(!problems.to_string().contains("secret"), "{problems}");
    }
}

#[test]
fn every_container_is_the_same_after_it_was_packed() {
    let jobs = [written(EVERYTHING), written(KINDS_OF_WORK)].concat();
    let runs = jobs.iter().filter_map(|it| match &it.job.work {
        Work::Run(run) => Some(run.container.unpack()),
        _ => None,
    });
    let runs: Vec<RunContainer> = runs.collect();
    assert_eq!(runs.len(), 3);
    for run in &runs {
        let packed = Packed::of(run);
        assert_eq!(packed.unpack(), *run);
        assert_eq!(format!("{packed:?}"), format!("{run:?}"));
    }
    let little = RunContainer { container: Some("importer".to_owned()), ..RunContainer::default() };
    assert!(Packed::of(&little).size() < 40, "what says little is small");
    assert_ne!(Packed::of(&little), Packed::of(&runs[1]), "equal values only are equal packed");
}

#[test]
fn reads_every_limit() {
    let job = written(EVERYTHING).remove(0).job;
    assert_eq!(job.policy.overlap, Overlap::Replace);
    assert_eq!(job.policy.catch_up, CatchUp::All(10));
    assert_eq!(job.policy.retry.max, 3);
    assert_eq!(job.policy.stop.signal.as_deref(), Some("SIGINT"));
    assert_eq!(job.policy.locks.len(), 2);
    assert_eq!(job.keep.bytes, Some(500 << 20));
    let starts = job.window.starts.map(|time| time.to_rfc3339());
    assert_eq!(starts.as_deref(), Some("2026-03-01T05:00:00+00:00"), "midnight in Toronto");
    assert_eq!(job.on.len(), 7);
    assert_eq!(job.on[0], On::Ended { job: "other".to_owned(), when: When::Success });
    let died = On::Container { event: ContainerEvent::Died, container: "db".to_owned() };
    assert!(job.on.contains(&died));
    let ping = job.notify.ping.clone().expect("told");
    assert_eq!(ping.url.expose(), "https://hc.example/secret");
    assert_eq!(job.work.then().len(), 1);
    let Work::Run(run) = &job.work else { panic!("a run") };
    let run = run.container.unpack();
    assert_eq!(run.service.mem_limit, Some(512 << 20));
    assert_eq!(run.service.volumes.len(), 2);
    assert_eq!(run.volumes_from, ["database:ro"]);
    assert_eq!(run.service.environment["TOKEN"].as_deref(), Some("secret"));
    let skip = read("{name: a, run: {image: a}}").remove(0).policy.overlap;
    let queue = read("{name: a, deploy: {source: /a}}").remove(0).policy.overlap;
    assert_eq!((skip, queue), (Overlap::Skip, Overlap::Queue));
}

#[test]
fn reads_every_kind() {
    let jobs = written(KINDS_OF_WORK);
    let work = |name: &str| {
        let job = jobs.iter().find(|job| job.job.name == name);
        job.unwrap_or_else(|| panic!("{name}")).job.work.clone()
    };
    let Work::Exec(exec) = work("e1") else { panic!("an exec") };
    assert_eq!((exec.command.len(), exec.scope), (3, Scope::First));
    let Work::Exec(exec) = work("e2") else { panic!("an exec") };
    assert_eq!(exec.environment["TOKEN"], "secret");
    assert!(exec.tty && exec.privileged && exec.scope == Scope::All);
    let Work::Container(action) = work("ct2") else { panic!("an action") };
    assert_eq!(action.action, Action::Signal("SIGUSR1".to_owned()));
    assert_eq!(action.targets[2], Target::Labels(vec!["x=y".to_owned()]));
    let Work::Command(command) = work("co3") else { panic!("a command") };
    assert_eq!(command.stdin, Some(vec![0, 1, 2]));
    let Work::Http(http) = work("h2") else { panic!("http") };
    assert_eq!(http.steps[1].expect.status, [(200, 200), (300, 399), (404, 404)]);
    assert_eq!((http.steps[0].method.as_str(), http.steps[1].method.as_str()), ("PUT", "GET"));
    let login = http.login.expect("a login");
    assert_eq!(login.method, "POST");
    assert!(login.body.expect("a body").expose().contains("secret"));
    let Work::OgcProcess(process) = work("o2") else { panic!("a process") };
    assert_eq!(process.inputs, serde_json::json!({"distance": 5, "list": ["a", "b"]}));
    let Work::Sync(sync) = work("sy1") else { panic!("a sync") };
    let SyncFrom::Git { url, reference, .. } = &sync.sources[0].from else {
        panic!("a repository")
    };
    assert_eq!((url.as_str(), reference.as_deref()), ("https://git.example/data.git", Some("v2")));
    assert_eq!(sync.sources[0].directory, PathBuf::from("/state/sync/sy1/source"));
    let Work::Sync(sync) = work("sy2") else { panic!("a sync") };
    let source = &sync.sources[0];
    let SyncFrom::Archive(archive) = &source.from else { panic!("an archive") };
    assert_eq!((archive.max_entries, archive.strip_components), (5000, 1));
    assert!(archive.sha256.as_ref().is_some_and(|it| it.starts_with("e3b0c442")));
    assert!(!format!("{archive:?}").contains("secret"));
    let map = &source.maps[0];
    assert_eq!((map.from.as_path(), map.to.as_path()), (Path::new("in"), Path::new("/data/x")));
    assert_eq!((map.owner, map.mode, map.dir_mode), (Some((7, 8)), Some(0o640), Some(0o750)));
    assert!(map.atomic && !map.delete && source.always && sync.dry_run);
    assert_eq!(sync.hook_variables(), [("TOKEN".to_owned(), "secret".to_owned())]);
    let Work::Clean(clean) = work("cl2") else { panic!("a clean-up") };
    assert_eq!((clean.by, clean.keep, clean.max_files), (AgeBy::Changed, 10, Some(1000)));
    let shown: Vec<String> = clean.include.iter().map(ToString::to_string).collect();
    assert_eq!(shown, ["**/*.nc", "**/tmp/*"]);
    assert!(clean.protected.contains(&PathBuf::from("/state")));
    let Work::Rotate(rotate) = work("ro1") else { panic!("a rotation") };
    assert_eq!(
        (rotate.method, rotate.keep, rotate.size),
        (RotateMethod::CopyTruncate, 6, Some(20 << 20))
    );
    let Work::Rotate(rotate) = work("ro2") else { panic!("a rotation") };
    let create = Create { mode: Some(0o640), owner: Some((101, 4)) };
    assert_eq!((rotate.method, rotate.create), (RotateMethod::Rename, Some(create)));
    assert_eq!(rotate.signal.as_ref().map(|it| it.signal.as_str()), Some("SIGHUP"));
    let Work::CacheSync(sync) = work("cs1") else { panic!("a sync") };
    assert!(sync.rescan_backends && sync.require_all_backends && sync.token.is_none());
    assert_eq!((sync.pools.clone(), sync.dialect), (Pools::All, CacheDialect::Auto));
    let Work::CacheSync(sync) = work("cs2") else { panic!("a sync") };
    assert_eq!(sync.pools, Pools::Named(vec!["maps".to_owned(), "features".to_owned()]));
    assert_eq!((sync.pull.len(), sync.server().as_str()), (2, "qjazz.example/admin"));
    assert!(!format!("{sync:?}").contains("secret"));
    let Work::Refresh(refresh) = work("re1") else { panic!("a refresh") };
    assert_eq!((refresh.requests.len(), refresh.parallel, refresh.per_second), (2, 4, None));
    let Work::Refresh(refresh) = work("re2") else { panic!("a refresh") };
    let [one, two] = refresh.requests.as_slice() else { panic!("two requests") };
    assert_eq!((one.retries, one.expect.status.len(), one.headers["A"].expose()), (3, 2, "all"));
    assert_eq!((two.retries, two.expect.status.len(), two.headers["A"].expose()), (0, 1, "own"));
    assert_eq!((two.backoff.as_millis(), two.headers["B"].expose()), (100, "all"));
    let Work::Run(run) = work("r2") else { panic!("a run") };
    assert_eq!(run.container.unpack().service.networks.len(), 1);
    let Value::Object(_) = jobs[0].json() else { panic!("a mapping") };
}
