//! `certificate`: the proxy stops only when it must, and runs again whatever happened.

#![expect(clippy::unwrap_used, reason = "a fixture that fails is a test that fails")]

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use openssl::asn1::Asn1Time;
use openssl::hash::MessageDigest;
use openssl::pkey::{PKey, Private};
use openssl::rsa::Rsa;
use openssl::x509::extension::SubjectAlternativeName;
use openssl::x509::{X509Builder, X509NameBuilder};
use serde_json::Value;

use crate::support::scene::PATIENCE;
use crate::support::{Engine, Roadstead, unique, wait_for};

const NAME: &str = "a.example";

/// A private key and a certificate for it that ends in so many days, as two texts of PEM.
struct Pair {
    chain: String,
    key: String,
}

impl Pair {
    fn new(days: u32) -> Self {
        Self::of(&PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap(), days, true)
    }

    fn ended() -> Self {
        Self::of(&PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap(), 0, false)
    }

    fn of(key: &PKey<Private>, days: u32, holds: bool) -> Self {
        let name = |text: &str| {
            let mut name = X509NameBuilder::new().unwrap();
            name.append_entry_by_text("CN", text).unwrap();
            name.build()
        };
        let mut builder = X509Builder::new().unwrap();
        builder.set_version(2).unwrap();
        builder.set_subject_name(&name(NAME)).unwrap();
        builder.set_issuer_name(&name("an authority")).unwrap();
        let long_ago = Asn1Time::from_unix(1_500_000_000).unwrap();
        builder.set_not_before(&long_ago).unwrap();
        let end = Asn1Time::days_from_now(days).unwrap();
        let past = Asn1Time::from_unix(1_600_000_000).unwrap();
        builder.set_not_after(if holds { &end } else { &past }).unwrap();
        let mut alternatives = SubjectAlternativeName::new();
        let alternatives = alternatives.dns(NAME).build(&builder.x509v3_context(None, None));
        builder.append_extension(alternatives.unwrap()).unwrap();
        builder.set_pubkey(key).unwrap();
        builder.sign(key, MessageDigest::sha256()).unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Self {
            chain: text(builder.build().to_pem().unwrap()),
            key: text(key.private_key_to_pem_pkcs8().unwrap()),
        }
    }

    fn bundle(&self) -> String {
        format!("{}{}", self.chain, self.key)
    }
}

/// A proxy, another one that reads the bundle, and a job that renews.
struct Site {
    engine: &'static Engine,
    roadstead: Roadstead,
    job: String,
    proxy: String,
    reader: String,
}

impl Site {
    /// certbot is a script here, in the directory that it keeps its certificates in.
    fn new() -> Self {
        let engine = Engine::shared();
        engine.build_image(
            "rs-test/certbot:1",
            "FROM rs-test/app:1\nENTRYPOINT [\"sh\", \"/etc/letsencrypt/certbot.sh\"]\n",
            &[],
        );
        let roadstead = Roadstead::new(&engine.host(), "");
        let site = Self {
            engine,
            roadstead,
            job: unique("cert"),
            proxy: unique("proxy"),
            reader: unique("reader"),
        };
        for name in [&site.proxy, &site.reader] {
            engine.docker(&["run", "--detach", "--name", name, "rs-test/app:1"]);
        }
        for directory in ["letsencrypt/live/a.example", "letsencrypt/archive", "certificates"] {
            fs::create_dir_all(site.roadstead.path(directory)).unwrap();
        }
        // As certbot has them.
        for file in ["fullchain", "privkey"] {
            let link = site.roadstead.path(&format!("letsencrypt/live/{NAME}/{file}.pem"));
            std::os::unix::fs::symlink(format!("../../archive/{file}1.pem"), link).unwrap();
        }
        site.write_job("");
        site
    }

    fn write_job(&self, rest: &str) {
        let root = self.roadstead.path("");
        let text = format!(
            "name: {}\ncertificate:\n  bundle: {root}certificates/bundle.pem\n  domains: {NAME}\n  \
             email: me@{NAME}\n  stop: {{container: {}}}\n  restart: {{container: {}}}\n  certbot:\n    \
             image: rs-test/certbot:1\n    volumes: ['{root}letsencrypt:/etc/letsencrypt']\n{rest}",
            self.job,
            self.proxy,
            self.reader,
            root = root.display()
        );
        self.roadstead.write_job("job.yml", &text);
    }

    /// What certbot does next time: says how it was called, then this.
    fn certbot(&self, then: &str) {
        let script = format!("echo \"called with $*\"\ncd /etc/letsencrypt\n{then}\n");
        fs::write(self.roadstead.path("letsencrypt/certbot.sh"), script).unwrap();
    }

    /// Has certbot make this next time.
    fn makes(&self, chain: &str, key: &str) {
        for (name, text) in [("chain.new", chain), ("key.new", key)] {
            fs::write(self.roadstead.path(&format!("letsencrypt/{name}")), text).unwrap();
        }
        self.certbot("cp chain.new archive/fullchain1.pem && cp key.new archive/privkey1.pem");
    }

    fn set_bundle(&self, text: &str) {
        fs::write(self.bundle_path(), text).unwrap();
    }

    fn bundle_path(&self) -> std::path::PathBuf {
        self.roadstead.path("certificates/bundle.pem")
    }

    fn bundle(&self) -> String {
        fs::read_to_string(self.bundle_path()).unwrap_or_default()
    }

    fn started(&self, container: &str) -> String {
        self.engine.inspect(container, "{{.State.StartedAt}} {{.State.Status}}").unwrap()
    }

    fn results(&self) -> Value {
        let runs = self.roadstead.run(&["runs", "--json"]).ok();
        let runs: Vec<Value> = serde_json::from_str(&runs).unwrap();
        let id = runs[0]["id"].to_string();
        let run = self.roadstead.run(&["runs", &id, "--json"]).ok();
        let run: Value = serde_json::from_str(&run).unwrap();
        run["details"]["results"].clone()
    }

    fn certbots(&self) -> String {
        let filter = format!("label=dev.roadstead.job={}", self.job);
        self.engine.docker(&["ps", "--all", "--quiet", "--filter", &filter])
    }

    /// Starts a daemon, has it run the job, and kills it while certbot runs and the proxy is down.
    fn kill_in_the_window(&self) {
        let calls = || self.roadstead.log(&self.job).matches("called with").count();
        let before = calls();
        let daemon = self.roadstead.serve();
        wait_for("the daemon", PATIENCE, || {
            self.roadstead.run(&["run", &self.job, "--no-wait"]).code == Some(0)
        });
        wait_for("certbot", PATIENCE, || calls() > before);
        assert!(self.started(&self.proxy).ends_with("exited"));
        daemon.kill();
    }

    fn is_up(&self) -> bool {
        self.started(&self.proxy).ends_with("running")
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let certbots = self.certbots();
        let all = certbots.lines().chain([self.proxy.as_str(), self.reader.as_str()]);
        all.for_each(|name| drop(self.engine.try_docker(&["rm", "--force", name])));
    }
}

#[test]
fn nothing_is_touched_before_it_is_due() {
    let site = Site::new();
    let pair = Pair::new(60);
    site.set_bundle(&pair.bundle());
    site.certbot("exit 1");
    let before = (site.started(&site.proxy), site.started(&site.reader));
    assert!(site.roadstead.run(&["plan", &site.job]).ok().contains("is renewed from"));
    let said = site.roadstead.run(&["run", &site.job]).ok();
    assert!(said.contains("not due"), "{said}");
    assert_eq!((site.started(&site.proxy), site.started(&site.reader)), before);
    assert_eq!(site.results()["due"], false);

    // Due, but only said.
    site.write_job("  renew_before: 90d\n  dry_run: true\n");
    let said = site.roadstead.run(&["run", &site.job]).ok();
    assert!(said.contains("dry run") && said.contains("certbot renew"), "{said}");
    let plan = site.roadstead.run(&["plan", &site.job]).fails_with(3);
    assert!(plan.contains("certbot renew"), "{plan}");
    assert_eq!((site.started(&site.proxy), site.started(&site.reader)), before);
}

#[test]
fn a_bundle_is_replaced_only_by_one_that_is_new_and_valid() {
    let site = Site::new();
    let (old, new, other) = (Pair::new(5), Pair::new(90), Pair::new(80));
    let ended = Pair::ended();
    site.set_bundle(&old.bundle());
    let mode = fs::Permissions::from_mode(0o640);
    fs::set_permissions(site.bundle_path(), mode).unwrap();
    // What certbot makes, and what the run ends with.
    let rows: [(&str, &str, &str, i32, &str); 6] = [
        ("same", &old.chain, &old.key, 0, "has no newer certificate"),
        ("ended", &ended.chain, &ended.key, 1, "is refused: it ended at 2020"),
        ("another's key", &new.chain, &other.key, 1, "belongs to another certificate"),
        ("empty", "", "", 1, "is refused: it is empty"),
        ("no key", &new.chain, "", 1, "no private key"),
        ("noise", "hello", "hello", 1, "is refused"),
    ];
    for (name, chain, key, code, says) in rows {
        let (proxy, reader) = (site.started(&site.proxy), site.started(&site.reader));
        site.makes(chain, key);
        let said = site.roadstead.run(&["run", &site.job]);
        assert_eq!(said.code, Some(code), "{name}: {}", said.stdout);
        let log = site.roadstead.log(&site.job);
        assert!(log.contains(says), "{name}: `{says}` in\n{log}");
        assert_eq!(site.bundle(), old.bundle(), "{name}");
        assert!(site.is_up(), "{name}");
        assert_ne!(site.started(&site.proxy), proxy, "{name}: it was due");
        assert_eq!(site.started(&site.reader), reader, "{name}: nobody is told");
        assert!(!log.contains("PRIVATE KEY"), "{log}");
    }
    // certbot itself fails, after it made something good.
    site.makes(&new.chain, &new.key);
    let script = fs::read_to_string(site.roadstead.path("letsencrypt/certbot.sh")).unwrap();
    fs::write(site.roadstead.path("letsencrypt/certbot.sh"), format!("{script}\nexit 7\n"))
        .unwrap();
    let said = site.roadstead.run(&["run", &site.job]).fails_with(7);
    assert!(said.contains("exited with 7") && said.contains("the bundle stays"), "{said}");
    assert_eq!(site.bundle(), old.bundle());
    assert!(site.is_up());
    // Nothing is stopped where the bundle could not be written anyway.
    let directory = site.roadstead.path("certificates");
    let proxy = site.started(&site.proxy);
    fs::rename(&directory, site.roadstead.path("elsewhere")).unwrap();
    site.roadstead.run(&["run", &site.job]).fails_with(1);
    assert_eq!(site.started(&site.proxy), proxy);
    fs::rename(site.roadstead.path("elsewhere"), &directory).unwrap();

    site.makes(&new.chain, &new.key);
    let reader = site.started(&site.reader);
    let said = site.roadstead.run(&["run", &site.job]).ok();
    assert!(said.contains("the bundle is new"), "{said}");
    assert_eq!(site.bundle(), new.bundle());
    assert_eq!(fs::metadata(site.bundle_path()).unwrap().mode() & 0o777, 0o640);
    assert!(site.is_up());
    assert_ne!(site.started(&site.reader), reader, "who reads it is told");
    let results = site.results();
    assert_eq!((&results["replaced"], &results["told"]), (&true.into(), &1.into()), "{results}");
    let log = site.roadstead.log(&site.job);
    assert!(
        log.contains("called with renew --no-random-sleep-on-renew --cert-name a.example"),
        "{log}"
    );
    assert_eq!(site.certbots(), "");
    let left: Vec<_> =
        fs::read_dir(&directory).unwrap().map(|it| it.unwrap().file_name()).collect();
    assert_eq!(left, ["bundle.pem"]);
    site.roadstead.run(&["plan", &site.job]).ok();
}

#[test]
fn a_first_certificate_is_asked_for_where_there_is_none() {
    let site = Site::new();
    let pair = Pair::new(90);
    site.makes(&pair.chain, &pair.key);
    site.roadstead.run(&["run", &site.job]).ok();
    assert_eq!(site.bundle(), pair.bundle());
    assert_eq!(fs::metadata(site.bundle_path()).unwrap().mode() & 0o777, 0o600);
    let log = site.roadstead.log(&site.job);
    let called = "called with certonly --standalone --keep-until-expiring --expand --agree-tos -d \
                  a.example --email me@a.example --cert-name a.example --non-interactive";
    assert!(log.contains(called), "{log}");
    assert!(site.is_up());
    // A proxy that is not there is a reason to touch nothing; one that was stopped stays so.
    site.set_bundle("");
    site.engine.docker(&["stop", &site.proxy]);
    site.roadstead.run(&["run", &site.job]).ok();
    assert!(!site.is_up());
    site.set_bundle("");
    site.engine.docker(&["rm", &site.proxy]);
    let said = site.roadstead.run(&["run", &site.job]).fails_with(1);
    assert!(said.contains("no_such_container"), "{said}");
    assert_eq!(site.bundle(), "");
}

#[test]
fn a_run_that_takes_too_long_starts_the_proxy() {
    let site = Site::new();
    site.set_bundle(&Pair::new(5).bundle());
    site.certbot("sleep 1000");
    site.write_job("timeout: 3s\n");
    let said = site.roadstead.run(&["run", &site.job]).fails_with(1);
    assert!(said.contains("timed_out"), "{said}");
    assert!(site.is_up());
    assert_eq!(site.certbots(), "");
}

#[test]
fn killed_in_the_window_the_next_roadstead_goes_on() {
    let site = Site::new();
    let new = Pair::new(90);
    site.set_bundle(&Pair::new(5).bundle());
    site.makes(&new.chain, &new.key);
    let script = site.roadstead.path("letsencrypt/certbot.sh");
    let text = fs::read_to_string(&script).unwrap().replace("cp chain", "sleep 4; cp chain");
    fs::write(&script, text).unwrap();
    site.kill_in_the_window();
    let daemon = site.roadstead.serve();
    wait_for("the proxy", PATIENCE, || site.is_up());
    wait_for("the end of the run", PATIENCE, || {
        site.roadstead.log(&site.job).contains("succeeded (done)")
    });
    assert_eq!(site.bundle(), new.bundle());
    assert_eq!(site.results()["told"], 1);
    assert_eq!(site.certbots(), "");
    assert_eq!(daemon.stop(PATIENCE), Some(0));
}

#[test]
fn killed_in_the_window_the_proxy_runs_again_though_its_job_is_gone() {
    let site = Site::new();
    site.set_bundle(&Pair::new(5).bundle());
    site.certbot("sleep 1000");
    site.kill_in_the_window();
    fs::remove_file(site.roadstead.path("jobs/job.yml")).unwrap();
    let daemon = site.roadstead.serve();
    wait_for("the proxy", PATIENCE, || site.is_up());
    assert_eq!(daemon.stop(PATIENCE), Some(0));
    // And where no daemon serves any more: the next command puts it right.
    site.write_job("");
    site.kill_in_the_window();
    site.roadstead
        .write_job("other.yml", "name: other\nrun: {image: 'rs-test/app:1', command: ['true']}\n");
    site.roadstead.run(&["run", "other"]).ok();
    assert!(site.is_up());
}

#[test]
fn birdhouses_variables_are_understood() {
    let site = Site::new();
    let pair = Pair::new(90);
    site.makes(&pair.chain, &pair.key);
    fs::remove_file(site.roadstead.path("jobs/job.yml")).unwrap();
    site.roadstead.write_env_local(&format!(
        "RENEW_LETSENCRYPT_SSL_SCHEDULE='22 5 * * 0'\nBIRDHOUSE_SSL_CERTIFICATE={}\n\
         BIRDHOUSE_FQDN={NAME}\nBIRDHOUSE_SUPPORT_EMAIL=me@{NAME}\nCERTBOT_IMAGE=rs-test/certbot:1\n\
         RENEW_LETSENCRYPT_SSL_EXTRA_OPTS=--test-cert\nAUTODEPLOY_CERTIFICATE_CONTAINER={}",
        site.bundle_path().display(),
        site.proxy
    ));
    let plan = site.roadstead.run(&["plan", "renew-certificate"]).fails_with(3);
    assert!(plan.contains(&format!("-d {NAME}")) && plan.contains("--test-cert"), "{plan}");
    assert!(plan.contains(&format!("--email me@{NAME}")), "{plan}");
}
