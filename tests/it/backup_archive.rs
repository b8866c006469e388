//! `engine: tar` through the whole of it: what is stored is an archive that `age`, `zstd` and `tar` read,
//! and all that is done with backups is done with it.

#![expect(
    clippy::disallowed_methods,
    reason = "a test drives programs, waits for them, and fails loudly"
)]

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::backup::Site;
use crate::support::process::output;
use crate::support::unique;

#[test]
fn archives_are_made_restored_proven_and_forgotten() {
    let mut site = Site::new();
    let root = site.roadstead.path("");
    let (key, archives) = (root.join("age.key"), root.join("archives"));
    output(Command::new("age-keygen").arg("-o").arg(&key)).ok();
    let public = output(Command::new("age-keygen").arg("-y").arg(&key)).ok();
    let database = site.database("echo 'CREATE TABLE a;'");
    let repository = format!(
        "  repository: {}\n  engine: tar\n  recipients: [{}]\n  identity_file: {}\n",
        archives.display(),
        public.trim(),
        key.display()
    );
    let drill = unique("drill");
    let text = format!(
        "name: {}\nbackup:\n{repository}  init: true\n  volumes: [{}]\n  quiesce: pause\n  \
         keep: {{last: 1}}\n  dumps: [{{kind: postgres, container: {database}, name: a.sql}}]\n",
        site.job, site.volume
    );
    site.roadstead.write_job("job.yml", &text);
    let text = format!(
        "name: {drill}\nrestore_drill:\n{repository}  of: {}\n  path: /volumes/{}\n  check:\n    \
         image: rs-test/app:1\n    command: [sh, -c, 'grep one /restore/one']\n",
        site.job, site.volume
    );
    site.roadstead.write_job("drill.yml", &text);

    let said = site.run().ok();
    assert!(said.contains("stored"), "{said}");
    let first = site.snapshots();
    assert_eq!(first.len(), 2, "{first:?}");
    site.in_volume(&site.volume, "echo more > /data/more");
    let said = site.run().ok();
    assert!(said.contains("2 forgotten"), "{said}");
    assert_eq!(site.snapshots().len(), 2);
    assert_eq!(site.workers(), "");

    // Without us.
    let files = || fs::read_dir(&archives).unwrap().map(|entry| entry.unwrap().path());
    let ends = |end: &'static str| -> PathBuf {
        files().find(|path| path.to_string_lossy().ends_with(end)).unwrap()
    };
    assert_eq!(files().count(), 5, "{:?}", files().collect::<Vec<_>>());
    let bash =
        |line: String| output(Command::new("bash").args(["-o", "pipefail", "-ec", &line])).ok();
    let open = |end| format!("age -d -i {} {} | zstd -q -d", key.display(), ends(end).display());
    assert_eq!(bash(open(".a.sql.zst.age")), "CREATE TABLE a;");
    let more = format!("volumes/{}/more", site.volume);
    assert_eq!(bash(format!("{} | tar -xO {more}", open(".tar.zst.age"))), "more");

    // With us.
    let restored = format!("{}-restored", site.volume);
    site.volumes.push(restored.clone());
    site.roadstead.run(&["backup", "restore", &site.job]).ok();
    assert_eq!(site.listing(&restored), site.listing(&site.volume));
    let good = site.listing(&site.volume);
    site.in_volume(&site.volume, "cd /data; rm one hard; echo bad > deep/er/two; touch new");
    site.roadstead.run(&["backup", "restore", &site.job, "--in-place"]).ok();
    assert_eq!(site.listing(&site.volume), good);
    let to = root.join("dump").display().to_string();
    let arguments = ["backup", "restore", &site.job, "--path", "/a.sql", "--to", &to];
    site.roadstead.run(&arguments).ok();
    assert_eq!(fs::read_to_string(root.join("dump/a.sql")).unwrap(), "CREATE TABLE a;\n");
    let shown = site.roadstead.run(&["backup", "show", &site.job, "latest", &site.volume]).ok();
    assert!(shown.contains("deep/er/two"), "{shown}");
    let whole = site.roadstead.run(&["backup", "verify", &site.job, "--all"]).ok();
    assert!(whole.contains("is whole"), "{whole}");
    let said = site.roadstead.run(&["run", &drill]).ok();
    assert!(said.contains("exited with 0"), "{said}");
    site.roadstead.run(&["backup", "prune", &site.job]).ok();
    site.roadstead.run(&["backup", "unlock", &site.job]).ok();

    // What is spoiled is found, and a dump that ends badly is no snapshot.
    let archive = ends(".tar.zst.age");
    let mut bytes = fs::read(&archive).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&archive, bytes).unwrap();
    let said = site.roadstead.run(&["backup", "verify", &site.job, "--all"]).fails_with(1);
    assert!(said.contains("not as it was written"), "{said}");
    site.engine.docker(&["exec", &database, "sh", "-c", "echo 'exit 3' >> /bin/pg_dumpall"]);
    let said = site.run().fails_with(1);
    assert!(said.contains("exited with 3"), "{said}");
    let dumps = site.snapshots().iter().filter(|it| it["paths"][0] == "/a.sql").count();
    assert_eq!((dumps, site.workers()), (1, String::new()));
}
