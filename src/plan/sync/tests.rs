//! Tables over destinations: what is copied, what goes, what stays, and what is refused.

use super::tree::{FileItem, Wrong, joined, select};
use super::*;
use crate::job::work::{Pattern, rules_of};

fn map(options: &str) -> SyncMap {
    let (mut include, mut exclude) = (Vec::new(), Vec::new());
    let mut map = SyncMap {
        from: PathBuf::new(),
        to: "/to".into(),
        rules: Vec::new(),
        delete: true,
        atomic: false,
        owner: None,
        mode: None,
        dir_mode: None,
    };
    for word in options.split_whitespace() {
        let (name, value) = word.split_once('=').unwrap_or((word, ""));
        match name {
            "include" => include.push(Pattern::parse(value).unwrap()),
            "exclude" => exclude.push(Pattern::parse(value).unwrap()),
            "from" => map.from = value.into(),
            "keep" => map.delete = false,
            "atomic" => map.atomic = true,
            "mode" => map.mode = u32::from_str_radix(value, 8).ok(),
            "dir_mode" => map.dir_mode = u32::from_str_radix(value, 8).ok(),
            "owner" => map.owner = Some((value.parse().unwrap(), 0)),
            _ => panic!("`{word}` means nothing"),
        }
    }
    map.rules = rules_of(include, exclude);
    map
}

/// Files `a=CONTENT`, executable ones `a*=CONTENT`, links `a->TARGET`.
fn tree(text: &str) -> Tree {
    let mut tree = Tree::default();
    for word in text.split_whitespace() {
        let (path, item) = if let Some((path, target)) = word.split_once("->") {
            (path, Item::Link(target.as_bytes().to_vec()))
        } else {
            let (path, content) = word.split_once('=').unwrap();
            let is_executable = path.ends_with('*');
            let (size, checksum) = (content.len() as u64, checksum(content));
            let item = FileItem { size, checksum, is_executable, place: 0 };
            (path.trim_end_matches('*'), Item::File(item))
        };
        tree.insert(path.into(), item);
    }
    tree
}

fn checksum(content: &str) -> Checksum {
    let mut checksum = [0; 20];
    checksum[..content.len()].copy_from_slice(content.as_bytes());
    checksum
}

/// As a tree, with directories `a/`, mounts `a!`, sockets `a~` and what is not looked into `a?`.
fn observed(text: &str) -> Observed {
    let attributes = |mode| Attributes { mode, owner: (0, 0) };
    let mut observed = Observed { top: Some(attributes(0o755)), ..Observed::default() };
    for word in text.split_whitespace() {
        let (path, kind, mode) = if let Some(path) = word.strip_suffix('/') {
            (path, Kind::Directory, 0o755)
        } else if let Some(path) = word.strip_suffix('!') {
            (path, Kind::Mount, 0o755)
        } else if let Some(path) = word.strip_suffix('~') {
            (path, Kind::Other, 0o644)
        } else if let Some(path) = word.strip_suffix('?') {
            (path, Kind::Kept, 0o755)
        } else if let Some((path, target)) = word.split_once("->") {
            (path, Kind::Link(target.as_bytes().to_vec()), 0o777)
        } else {
            let (path, content) = word.split_once('=').unwrap();
            let mode = if path.ends_with('*') { 0o755 } else { 0o644 };
            let checksum = Some(checksum(content));
            let kind = Kind::File { size: content.len() as u64, checksum };
            (path.trim_end_matches('*'), kind, mode)
        };
        observed.entries.insert(path.into(), Seen { kind, attributes: attributes(mode) });
    }
    observed
}

/// `+` new, `~` changed, `-` removed, `/` made, `=` other rights, `!` cleared; or the refusal.
fn said(options: &str, source: &str, destination: &str) -> String {
    let map = map(options);
    let desired = match select(&tree(source), &map) {
        Ok(desired) => desired,
        Err(wrong) => return wrong.message().unwrap(),
    };
    let plan = match plan(&map, &desired, &observed(destination)) {
        Ok(plan) => plan,
        Err(refusals) => return refusals.join("; "),
    };
    let mut words: Vec<String> = Vec::new();
    words.extend(plan.clear.iter().map(|it| format!("!{}", it.path.display())));
    words.extend(plan.create.iter().map(|it| format!("/{}", it.display())));
    words.extend(plan.copy.iter().map(|it| {
        let mode = it.mode.filter(|mode| *mode != 0o644).map(|mode| format!(":{mode:o}"));
        let mark = if it.is_new { '+' } else { '~' };
        format!("{mark}{}{}", it.path.display(), mode.unwrap_or_default())
    }));
    words.extend(plan.remove.iter().map(|it| format!("-{}", it.path.display())));
    words.extend(plan.change.iter().map(|it| {
        let mode = it.mode.map(|mode| format!(":{mode:o}")).unwrap_or_default();
        let owner = it.owner.map(|(user, _)| format!("@{user}")).unwrap_or_default();
        format!("={}{mode}{owner}", it.path.display())
    }));
    words.join(" ")
}

#[test]
fn a_destination_becomes_as_its_source() {
    // Options, source, destination, what is done.
    for (options, source, destination, expected) in [
        ("", "a=1", "", "+a"),
        ("", "a=1", "a=1", ""),
        ("", "a=1", "a=2", "~a"),
        ("", "a=1 d/e/b=2", "", "/d /d/e +a +d/e/b"),
        ("", "a=1", "a=1 b=2", "-b"),
        ("keep", "a=1", "a=1 b=2", ""),
        // Directories go when they are empty then, the inner ones first.
        ("", "a=1", "a=1 d/ d/e/ d/e/b=2", "-d/e/b -d/e -d"),
        ("", "a=1", "a=1 d/ d/s~ d/b=2", "-d/b"),
        ("", "a=1", "a=1 d/", "-d"),
        // What is not selected is not ours.
        ("exclude=own", "a=1 own=3", "a=1 own=2", ""),
        ("exclude=own", "a=1", "a=1 own? b=2", "-b"),
        ("exclude=**/*.log", "a=1", "a=1 d/ d/x.log=1 d/y=1", "-d/y"),
        ("include=**/*.nc", "a.nc=1 b=1", "c=1 old.nc=1", "+a.nc -old.nc"),
        ("include=**/*.nc", "a.nc=1", "a.nc=1 d/ d/o.nc=1 e/", "-d/o.nc -d"),
        ("from=in", "in/a=1 out=2", "", "+a"),
        // Kinds that change.
        ("", "a=1", "a->x", "~a"),
        ("", "x=1 a->x", "x=1 a=1", "~a"),
        ("", "x=1 a->x", "x=1 a->x", ""),
        ("", "x=1 a->x", "x=1 a->y", "~a"),
        ("", "a/b=1", "a=1", "!a /a +a/b"),
        ("", "a/b=1", "a->/etc", "!a /a +a/b"),
        ("", "a=1", "a/ a/b=1 a/c/", "!a/c !a/b !a +a"),
        // Rights.
        ("", "a*=1", "", "+a:755"),
        ("", "a*=1", "a=1", "=a:755"),
        ("mode=640", "a*=1 b=2", "a*=1 b=2", "=a:750 =b:640"),
        ("mode=640", "a=1", "", "+a:640"),
        ("dir_mode=750", "d/a=1", "d/ d/a=1", "=:750 =d:750"),
        ("owner=7", "a=1", "a=1 b=2", "-b =@7 =a@7"),
    ] {
        assert_eq!(
            said(options, source, destination),
            expected,
            "{options}: {source} {destination}"
        );
    }
}

#[test]
fn what_is_not_ours_is_never_made_way_for() {
    for (options, source, destination, part) in [
        ("keep", "a/b=1", "a=1", "`/to/a`: a file that is not ours"),
        ("keep", "a=1", "a/", "`/to/a`: a directory with what is not ours"),
        ("exclude=**/*.log", "a=1", "a/ a/x.log=1", "`/to/a`: a directory with what is not ours"),
        ("", "a/b=1", "a!", "another file system is mounted there"),
        ("", "a/b=1", "a?", "not ours"),
        ("", "a=1", "a~", "not ours"),
        ("", "a=1", "a/ a/m!", "not ours"),
        ("atomic", "a=1", "m!", "cannot be exchanged as a whole"),
        ("include=**/*.nc", "b=1", "a.nc=1", "1 file would be removed"),
        ("from=in", "out=2", "", "`in` is no directory of the source"),
        ("from=in", "in=2", "", "`in` is no directory of the source"),
    ] {
        let said = said(options, source, destination);
        assert!(said.contains(part), "{options}: {source} {destination}: {said}");
    }
}

#[test]
fn links_lead_nowhere_out_of_their_tree() {
    for (options, source, part) in [
        ("", "a->/etc/passwd", "is an absolute path"),
        ("", "a->../x", "leads out of the directory"),
        ("", "d/a->../../x", "leads out of the directory"),
        ("", "d/e/f=1 l->d/e m->l/../../../x", "leads out of the directory"),
        ("", "a->b b->a", "goes round in a circle"),
        ("", "a->none/../x", "goes up from what is not there"),
        ("", "f=1 a->f/../x", "goes up from what is not there"),
        ("from=in", "in/a->../out out=1", "leads out of the directory"),
        ("exclude=l", "d/e=1 l->d a->l/../e", "goes up from what is not there"),
        ("", "d/a->./../d/b d/b=1", ""),
        ("", "a->none", ""),
        ("", "d/e/f=1 l->d/e m->l/../e/f", ""),
        ("exclude=a", "a->/etc/passwd b=1", ""),
        ("from=in", "in/a=1 out->/etc", ""),
    ] {
        let found = select(&tree(source), &map(options)).err().and_then(|it| it.message());
        assert_eq!(found.is_some(), !part.is_empty(), "{source}: {found:?}");
        assert!(found.unwrap_or_default().contains(part), "{source}");
    }
}

#[test]
fn hostile_names_are_refused_and_shown_harmlessly() {
    let long = "x".repeat(256);
    for (name, is_refused) in [
        ("a", false),
        ("...", false),
        (".gitignore", false),
        ("A", false),
        ("", true),
        (".", true),
        ("..", true),
        ("a/b", true),
        ("/etc/passwd", true),
        ("a\0b", true),
        (".git", true),
        (".GiT", true),
        (".roadstead-sync-1", true),
        (&long, true),
    ] {
        let mut wrong = Wrong::default();
        let path = joined(Path::new("d"), name.as_bytes(), &mut wrong);
        assert_eq!((path.is_none(), wrong.count > 0), (is_refused, is_refused), "{name:?}");
    }
    let mut wrong = Wrong::default();
    joined(Path::new("d"), b"a/\x1b[2J", &mut wrong);
    let message = wrong.message().unwrap();
    assert!(message.contains("d/a/\\u{1b}[2J") && !message.contains('\x1b'), "{message}");
    let mut both = tree("a=1 a/b=2");
    both.check(&mut wrong);
    assert_eq!(wrong.count, 2);
    both.items.clear();
    let deep = PathBuf::from("d/".repeat(2000));
    assert_eq!(joined(&deep, b"x", &mut wrong), None);
}
