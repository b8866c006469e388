//! Whether all backends of a pool have the same in their caches: a server's answers as values, and the
//! verdict over them.
//!
//! Asks nobody: the same verdict stands in a plan, in a dry run and at the end of a run. Shapes and words are
//! those of qjazz (`https://github.com/3liz/qjazz`): its admin service until 0.6, its map server from 0.7 on.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::{Value, json};

use crate::source::counted;

/// Missing pairs that a result keeps; all are counted.
const KEPT: usize = 1000;

/// The title by which the admin service is known.
const ADMIN_TITLE: &str = "Py-Qgis services admin";

/// How a project stands in the cache of one backend, in the order of qjazz's numbers for it.
const STATUSES: [&str; 6] = ["UNCHANGED", "NEEDUPDATE", "REMOVED", "NOTFOUND", "NEW", "UPDATED"];

/// A word that is none of [`STATUSES`].
const OTHER: &str = "OTHER";

/// A project in the cache of one backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Whether it can be served at once.
    pub in_cache: bool,
    /// How it stands, e.g. `UNCHANGED`; `OTHER` where the server has a word that we do not know.
    pub status: &'static str,
}

impl Item {
    /// Whether the backend has the project as it is now.
    fn is_good(&self) -> bool {
        self.in_cache && !self.is_gone() && self.status != "NEEDUPDATE"
    }

    /// Whether there is no such project any more.
    fn is_gone(&self) -> bool {
        matches!(self.status, "REMOVED" | "NOTFOUND")
    }
}

/// By project, what each backend that answered has of it.
pub type Content = BTreeMap<String, BTreeMap<String, Item>>;

/// One backend of a pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backend {
    /// Its address.
    pub address: String,
    /// Whether it answers.
    pub is_available: bool,
}

/// A project that a backend lacks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Missing {
    /// The project.
    pub uri: String,
    /// The backend; `None` where the server does not say which.
    pub address: Option<String>,
    /// How it stands there; `None` is that nothing of it is there.
    pub status: Option<&'static str>,
}

/// What is to be said about one pool.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// How many projects.
    pub uris: usize,
    /// How many backends; `None` where the server does not say.
    pub backends: Option<usize>,
    /// Which projects are missing on backends that answer.
    pub missing: Vec<Missing>,
    /// Backends that do not answer.
    pub unavailable: Vec<String>,
    /// Projects that are no more.
    pub removed: Vec<String>,
    /// How many entries of all backends stand how.
    pub changed: BTreeMap<&'static str, usize>,
}

/// How a pool stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Every backend has everything.
    InSync,
    /// Nothing speaks against it, and it cannot be proven.
    Unknown,
    /// All backends that answer are equal; others do not answer, and need not.
    Degraded,
    /// Something is missing, or a backend does not answer that is to.
    OutOfSync,
    /// There is no backend, or none answers.
    NoBackends,
}

impl Verdict {
    /// How the pool stands, where each backend is to answer or not.
    pub fn standing(&self, require_all_backends: bool) -> Standing {
        let silent = self.unavailable.len();
        match self.backends {
            Some(all) if all == silent => Standing::NoBackends,
            _ if !self.missing.is_empty() => Standing::OutOfSync,
            None => Standing::Unknown,
            Some(_) if silent == 0 => Standing::InSync,
            Some(_) if require_all_backends => Standing::OutOfSync,
            Some(_) => Standing::Degraded,
        }
    }

    /// What a run keeps of it.
    pub fn results(&self, pool: &str) -> Value {
        let in_sync = match (self.backends, self.missing.is_empty() && self.unavailable.is_empty())
        {
            (None, true) => json!("unknown"),
            (Some(_), true) => json!(true),
            (_, false) => json!(false),
        };
        json!({
            "pool": pool, "uris": self.uris, "backends": self.backends, "in_sync": in_sync,
            "missing": self.missing.iter().take(KEPT).collect::<Vec<_>>(),
            "missing_count": self.missing.len(), "unavailable": self.unavailable,
            "removed": self.removed.iter().take(KEPT).collect::<Vec<_>>(), "changed": self.changed,
        })
    }

    /// The verdict in a few words.
    pub fn summary(&self) -> String {
        let projects = counted(self.uris, "project");
        let mut text = match self.backends {
            Some(backends) => format!("{projects} on {}", counted(backends, "backend")),
            None => format!("{projects}, on backends that the server does not tell"),
        };
        if let Some(first) = self.missing.first() {
            let more = match self.missing.len() - 1 {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            text = format!("{text}; missing: {}{more}", first.named());
        }
        if !self.unavailable.is_empty() {
            text = format!("{text}; no answer from {}", self.unavailable.join(", "));
        }
        if !self.removed.is_empty() {
            text = format!("{text}; {} that is no more", counted(self.removed.len(), "project"));
        }
        text
    }
}

impl Missing {
    /// Project and backend in a few words.
    pub fn named(&self) -> String {
        let at = self.address.as_ref().map_or_else(String::new, |at| format!(" on {at}"));
        let status = self.status.map_or_else(String::new, |it| format!(" ({it})"));
        format!("{}{at}{status}", self.uri)
    }
}

/// Compares what the backends of a pool have; `wanted` are projects that all are to have in any case.
///
/// A project that no backend has any more, because its source is gone, is no lack of any of them.
pub fn verify(content: &Content, backends: &[Backend], wanted: &[String]) -> Verdict {
    let has_answered: BTreeSet<&str> =
        content.values().flat_map(|items| items.keys().map(String::as_str)).collect();
    let answers = |it: &&Backend| it.is_available || has_answered.contains(it.address.as_str());
    let (present, silent): (Vec<&Backend>, Vec<&Backend>) =
        backends.iter().partition(|it| answers(it));
    let mut verdict = Verdict {
        backends: Some(backends.len()),
        unavailable: silent.into_iter().map(|it| it.address.clone()).collect(),
        ..Verdict::default()
    };
    let all: BTreeSet<&String> = content.keys().chain(wanted).collect();
    for uri in all {
        let nothing = BTreeMap::new();
        let items = content.get(uri).unwrap_or(&nothing);
        for item in items.values() {
            *verdict.changed.entry(item.status).or_default() += 1;
        }
        let is_gone = !items.is_empty() && items.values().all(Item::is_gone);
        if is_gone && !wanted.contains(uri) {
            verdict.removed.push(uri.clone());
            continue;
        }
        verdict.uris += 1;
        for backend in &present {
            let item = items.get(&backend.address);
            if !item.is_some_and(Item::is_good) {
                verdict.missing.push(Missing {
                    uri: uri.clone(),
                    address: Some(backend.address.clone()),
                    status: item.map(|item| item.status),
                });
            }
        }
    }
    verdict
}

/// Looks at what a server has that does not say which of its backends has it.
pub fn verify_whole(items: &BTreeMap<String, Item>, wanted: &[String]) -> Verdict {
    let mut verdict = Verdict::default();
    let all: BTreeSet<&String> = items.keys().chain(wanted).collect();
    for uri in all {
        let item = items.get(uri);
        if let Some(item) = item {
            *verdict.changed.entry(item.status).or_default() += 1;
            if item.is_gone() && !wanted.contains(uri) {
                verdict.removed.push(uri.clone());
                continue;
            }
        }
        verdict.uris += 1;
        if !item.is_some_and(Item::is_good) {
            let status = item.map(|item| item.status);
            verdict.missing.push(Missing { uri: uri.clone(), address: None, status });
        }
    }
    verdict
}

/// Whether an answer at `/` is that of the admin service.
pub fn is_admin(answer: &Value) -> bool {
    answer.pointer("/info/title").and_then(Value::as_str) == Some(ADMIN_TITLE)
}

/// The labels of a list of pools of the admin service.
///
/// # Errors
///
/// What was expected, where the answer has another shape; as with all below.
pub fn labels_of(answer: &Value) -> Result<Vec<String>, String> {
    let pools = answer.as_array().ok_or("expected a list of pools")?;
    let label = |pool: &Value| pool.get("label").and_then(Value::as_str).map(str::to_owned);
    pools.iter().map(|pool| label(pool).ok_or_else(|| "a pool has no `label`".to_owned())).collect()
}

/// The routes of the channels of a map server, below a path that all addresses have; a server that lists
/// none has one at its root.
pub fn routes_of(answer: &Value, base_path: &str) -> Vec<String> {
    let Some(endpoints) = answer.get("endpoints").and_then(Value::as_array) else {
        return vec!["/".to_owned()];
    };
    let hrefs = endpoints.iter().filter_map(|endpoint| {
        let links = endpoint.get("links")?.as_array()?;
        let mut hrefs = links.iter().filter_map(|link| link.get("href").and_then(Value::as_str));
        hrefs.find_map(|href| href.trim_end_matches('/').strip_suffix("/catalog"))
    });
    let routes = hrefs.map(|href| {
        let path = match href.split_once("://") {
            Some((_, rest)) => rest.find('/').map_or("", |at| &rest[at..]),
            None => href,
        };
        let route = path.strip_prefix(base_path.trim_end_matches('/')).unwrap_or(path);
        if route.is_empty() { "/".to_owned() } else { route.to_owned() }
    });
    routes.collect()
}

/// The backends of a pool of the admin service.
pub fn backends_of(answer: &Value) -> Result<Vec<Backend>, String> {
    let list = answer.get("backends").and_then(Value::as_array).ok_or("expected `backends`")?;
    let backend = |it: &Value| {
        let address = it.get("address")?.as_str()?.to_owned();
        let is_available = it.get("status").and_then(Value::as_str) == Some("ok");
        Some(Backend { address, is_available })
    };
    list.iter()
        .map(|it| backend(it).ok_or_else(|| "a backend has no `address`".to_owned()))
        .collect()
}

/// What the admin service says that its backends have.
pub fn content_of(answer: &Value) -> Result<Content, String> {
    let projects = answer.as_object().ok_or("expected projects by their uri")?;
    let mut content = Content::new();
    for (uri, project) in projects {
        let pool = project.get("pool").and_then(Value::as_object);
        let pool = pool.ok_or_else(|| format!("`{uri}` has no `pool`"))?;
        let items = pool.iter().map(|(address, it)| Ok((address.clone(), item_of(it, uri)?)));
        content.insert(uri.clone(), items.collect::<Result<_, String>>()?);
    }
    Ok(content)
}

/// What the map server says that its backends have.
pub fn items_of(answer: &Value) -> Result<BTreeMap<String, Item>, String> {
    let list = answer.get("items").and_then(Value::as_array).ok_or("expected `items`")?;
    list.iter().map(one_of).collect()
}

/// One project of the map server.
pub fn one_of(answer: &Value) -> Result<(String, Item), String> {
    let uri = answer.get("uri").and_then(Value::as_str).ok_or("a project has no `uri`")?;
    Ok((uri.to_owned(), item_of(answer, uri)?))
}

/// The admin service has words, the map server numbers.
fn item_of(value: &Value, uri: &str) -> Result<Item, String> {
    let in_cache = value.get("inCache").and_then(Value::as_bool);
    let in_cache = in_cache.ok_or_else(|| format!("`{uri}` does not say `inCache`"))?;
    let by_number = |number: usize| STATUSES.get(number).copied();
    let by_word = |word: &str| STATUSES.into_iter().find(|it| it.eq_ignore_ascii_case(word));
    let status = match value.get("status") {
        // A number as text is how protobuf writes the large ones.
        Some(Value::String(text)) => by_word(text).or_else(|| by_number(text.parse().ok()?)),
        Some(Value::Number(number)) => {
            number.as_u64().and_then(|it| by_number(usize::try_from(it).ok()?))
        }
        _ => return Err(format!("`{uri}` has no `status`")),
    };
    Ok(Item { in_cache, status: status.unwrap_or(OTHER) })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `uri address=STATUS address=STATUS!`, where `!` is not in the cache.
    fn content(rows: &[&str]) -> Content {
        let row = |row: &&str| {
            let mut words = row.split(' ');
            let uri = words.next().unwrap().to_owned();
            let items = words.map(|word| {
                let (address, status) = word.split_once('=').unwrap();
                let in_cache = !status.ends_with('!');
                let status = status.trim_end_matches('!');
                let status = STATUSES.into_iter().find(|it| *it == status).unwrap();
                (address.to_owned(), Item { in_cache, status })
            });
            (uri, items.collect())
        };
        rows.iter().map(row).collect()
    }

    /// `a`, or `!a` for one that does not answer.
    fn backends(names: &[&str]) -> Vec<Backend> {
        let backend = |name: &&str| Backend {
            address: name.trim_start_matches('!').to_owned(),
            is_available: !name.starts_with('!'),
        };
        names.iter().map(backend).collect()
    }

    #[test]
    fn every_project_is_to_be_on_every_backend() {
        use Standing::{Degraded, InSync, NoBackends, OutOfSync};
        // What is cached, backends, wanted; missing, removed; standing where all must answer, where not.
        type Row<'a> = (
            &'a [&'a str],
            &'a [&'a str],
            &'a [&'a str],
            &'a [&'a str],
            &'a [&'a str],
            Standing,
            Standing,
        );
        let rows: &[Row<'_>] = &[
            (&[], &["a", "b"], &[], &[], &[], InSync, InSync),
            (&[], &[], &[], &[], &[], NoBackends, NoBackends),
            (&[], &["!a", "!b"], &[], &[], &[], NoBackends, NoBackends),
            (&[], &["a", "!b"], &[], &[], &[], OutOfSync, Degraded),
            (&["x a=NEW b=UNCHANGED"], &["a", "b"], &[], &[], &[], InSync, InSync),
            (&["x a=NEW"], &["a", "b"], &[], &["x on b"], &[], OutOfSync, OutOfSync),
            (&["x a=NEW"], &["a", "!b"], &[], &[], &[], OutOfSync, Degraded),
            (&["x"], &["a", "b"], &[], &["x on a", "x on b"], &[], OutOfSync, OutOfSync),
            // It did not answer when it was asked, and has answered since.
            (&["x a=NEW b=NEW"], &["a", "!b"], &[], &[], &[], InSync, InSync),
            (
                &["x a=NEW b=NEEDUPDATE"],
                &["a", "b"],
                &[],
                &["x on b (NEEDUPDATE)"],
                &[],
                OutOfSync,
                OutOfSync,
            ),
            (&["x a=NEW b=NEW!"], &["a", "b"], &[], &["x on b (NEW)"], &[], OutOfSync, OutOfSync),
            (&["x a=REMOVED! b=REMOVED"], &["a", "b"], &[], &[], &["x"], InSync, InSync),
            (
                &["x a=REMOVED b=UNCHANGED"],
                &["a", "b"],
                &[],
                &["x on a (REMOVED)"],
                &[],
                OutOfSync,
                OutOfSync,
            ),
            (&["x a=NOTFOUND!"], &["a"], &["x"], &["x on a (NOTFOUND)"], &[], OutOfSync, OutOfSync),
            (&[], &["a"], &["x"], &["x on a"], &[], OutOfSync, OutOfSync),
            // One that is no backend any more says nothing.
            (&["x a=NEW z=NEEDUPDATE"], &["a"], &[], &[], &[], InSync, InSync),
        ];
        for (cached, addresses, wanted, missing, removed, strict, lenient) in rows {
            let wanted: Vec<String> = wanted.iter().map(ToString::to_string).collect();
            let verdict = verify(&content(cached), &backends(addresses), &wanted);
            let found: Vec<String> = verdict.missing.iter().map(Missing::named).collect();
            assert_eq!(found, *missing, "{cached:?}");
            assert_eq!(verdict.removed, *removed, "{cached:?}");
            let standing = [true, false].map(|all| verdict.standing(all));
            assert_eq!(standing, [*strict, *lenient], "{cached:?} {addresses:?}");
        }
    }

    #[test]
    fn answers_of_both_servers_are_read() {
        let v1 = json!({"/a": {"pool": {"tcp://1": {"inCache": true, "status": "NEW"}, "tcp://2":
            {"inCache": false, "status": "0"}}, "links": []}});
        let read = content_of(&v1).unwrap();
        assert_eq!(read["/a"]["tcp://1"], Item { in_cache: true, status: "NEW" });
        assert_eq!(read["/a"]["tcp://2"].status, "UNCHANGED");
        let map = json!({"items": [{"uri": "/a", "inCache": true, "status": 0},
            {"uri": "/b", "inCache": true, "status": 1}, {"uri": "/c", "inCache": false, "status": 2}]});
        let verdict = verify_whole(&items_of(&map).unwrap(), &["/d".to_owned()]);
        let missing: Vec<String> = verdict.missing.iter().map(Missing::named).collect();
        assert_eq!(missing, ["/b (NEEDUPDATE)", "/d"]);
        assert_eq!((verdict.uris, verdict.removed.as_slice()), (3, &["/c".to_owned()][..]));
        let good = json!({"items": [{"uri": "/a", "inCache": true, "status": 5}]});
        let verdict = verify_whole(&items_of(&good).unwrap(), &[]);
        assert_eq!(verdict.standing(true), Standing::Unknown);
        assert_eq!(verdict.results("/x")["in_sync"], "unknown");
        let list = json!({"backends": [{"address": "a", "status": "ok", "numWorkers": 1},
            {"address": "b", "status": "unavailable"}]});
        assert_eq!(backends_of(&list).unwrap(), backends(&["a", "!b"]));
        assert_eq!(labels_of(&json!([{"label": "a"}, {"label": "b"}])).unwrap(), ["a", "b"]);
        assert!(is_admin(&json!({"openapi": "3", "info": {"title": "Py-Qgis services admin"}})));
        assert!(!is_admin(&json!({"info": {"title": "something else"}})));
    }

    #[test]
    fn answers_of_another_shape_are_named() {
        for (found, expected) in [
            (content_of(&json!([])).err(), "by their uri"),
            (content_of(&json!({"/a": {}})).err(), "`/a` has no `pool`"),
            (content_of(&json!({"/a": {"pool": {"b": {"status": "NEW"}}}})).err(), "`inCache`"),
            (content_of(&json!({"/a": {"pool": {"b": {"inCache": true}}}})).err(), "`status`"),
            (items_of(&json!({})).err(), "`items`"),
            (items_of(&json!({"items": [{}]})).err(), "`uri`"),
            (backends_of(&json!({})).err(), "`backends`"),
            (backends_of(&json!({"backends": [{}]})).err(), "`address`"),
            (labels_of(&json!({})).err(), "a list"),
            (labels_of(&json!([{}])).err(), "`label`"),
        ] {
            let found = found.unwrap_or_default();
            assert!(found.contains(expected), "{found}: {expected}");
        }
    }

    #[test]
    fn routes_are_below_the_address_of_the_server() {
        let page = |hrefs: &[&str]| {
            let endpoint = |href: &&str| json!({"name": "x", "links": [{"href": href}]});
            json!({"endpoints": hrefs.iter().map(endpoint).collect::<Vec<_>>()})
        };
        for (answer, base, expected) in [
            (
                page(&["http://h:1/maps/catalog", "http://h:1/b/c/catalog"]),
                "/",
                &["/maps", "/b/c"][..],
            ),
            (page(&["https://h/qgis/maps/catalog/"]), "/qgis/", &["/maps"]),
            (page(&["/maps/catalog"]), "", &["/maps"]),
            (page(&["http://h/catalog"]), "", &["/"]),
            (page(&[]), "", &[]),
            (json!({"links": []}), "", &["/"]),
        ] {
            assert_eq!(routes_of(&answer, base), expected, "{answer}");
        }
    }
}
