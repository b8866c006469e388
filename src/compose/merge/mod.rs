//! One document over another: which keys merge, append or replace.
//!
//! The rules are those of compose-go. What ends up twice in a list is removed once, after all
//! documents were merged, by [`unique`].

mod lists;
mod replaced;
mod tags;
pub mod unique;

use std::collections::{HashMap, HashSet};
use std::fmt;

pub use self::replaced::Replaced;
pub use self::tags::{Resets, take_resets};
use super::yaml::{Key, Node, Span, Value};
use crate::problem::Problem;

/// Mappings up to this size are searched; a larger one gets an index.
const FEW: usize = 8;

/// What merging tells besides the result.
#[derive(Debug, Default)]
pub struct Notes {
    /// What does not merge.
    pub problems: Vec<Problem>,
    /// Values that stand in no result, since a later document says something else.
    pub replaced: Vec<Replaced>,
}

impl Notes {
    /// Keeps a value that becomes a list of strings, unless it is one and can be nothing else.
    fn converted(&mut self, path: &Path<'_>, node: &Node) {
        let items = node.as_sequence().unwrap_or_default();
        if items.is_empty() || items.iter().any(|item| item.as_str().is_none()) {
            self.replaced(path, node.clone());
        }
    }

    fn replaced(&mut self, path: &Path<'_>, node: Node) {
        let (mut keys, mut span, mut next) = (Vec::new(), None, Some(path));
        while let Some(path) = next.filter(|path| path.parent.is_some()) {
            span = span.or(path.span);
            keys.push(path.name.to_owned());
            next = path.parent;
        }
        keys.reverse();
        let key_span = span.unwrap_or(&node.span).clone();
        self.replaced.push(Replaced { keys, key_span, node });
    }
}

/// Lays a document over what was read before it; `None` before the first.
pub fn merge(base: Option<Node>, over: Node, notes: &mut Notes) -> Node {
    match base {
        Some(base) => node(base, over, Path::root(), notes),
        None => over,
    }
}

/// Lays one service over the service it extends.
pub fn service(base: Node, over: Node, name: &str, notes: &mut Notes) -> Node {
    resource("services", name, base, over, notes)
}

/// Lays one resource of a top-level section over another of its name.
pub fn resource(section: &str, name: &str, base: Node, over: Node, notes: &mut Notes) -> Node {
    let root = Path::root();
    let section = root.at(section, None);
    node(base, over, section.at(name, None), notes)
}

/// A build in its long form.
pub fn build(node: Node) -> Node {
    lists::build(node)
}

/// Dependencies in their long form.
pub fn dependencies(node: Node) -> Node {
    lists::names(node, started)
}

/// A request for GPUs in its long form.
pub fn gpus(node: Node) -> Node {
    lists::gpus(node)
}

/// Networks of a service in their long form.
pub fn network_names(node: Node) -> Node {
    lists::names(node, |_| Value::Null)
}

/// Where a key stands, as far as it decides how values merge.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Root,
    Services,
    Service,
    Build,
    Deploy,
    Health,
    Ulimits,
    Networks,
    Network,
    Ipam,
    Volumes,
    Volume,
    Other,
}

/// How a value merges.
#[derive(Clone, Copy)]
enum Rule {
    /// Mappings deeply, lists appended, scalars replaced; null leaves what was there.
    Generic,
    /// The later one as a whole, null too.
    Replace,
    /// Both sides as lists, mappings as `KEY=VALUE`; appended.
    List,
    /// As [`Rule::List`], without what is there already.
    Hosts,
    /// Lists of names become mappings from name to this.
    Names(fn(&Node) -> Value),
    /// A string is the context of a build.
    Build,
    /// What was `all` is a list of one request for all; only lists merge with it.
    Gpus,
    /// Options merge only when the drivers agree.
    Logging,
    /// Pools of one subnet merge; those of other subnets than the later file has are gone.
    Pools,
}

/// The way to a value: names of keys, from the inside out.
#[derive(Clone, Copy)]
struct Path<'a> {
    name: &'a str,
    place: Place,
    rule: Rule,
    /// Where the key stands, if that is known.
    span: Option<&'a Span>,
    parent: Option<&'a Self>,
}

impl<'a> Path<'a> {
    fn root() -> Self {
        Self { name: "", place: Place::Root, rule: Rule::Generic, span: None, parent: None }
    }

    fn at(&'a self, name: &'a str, span: Option<&'a Span>) -> Self {
        let (place, rule) = inside(self.place, name);
        Self { name, place, rule, span, parent: Some(self) }
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(parent) = self.parent.filter(|parent| parent.parent.is_some()) {
            write!(formatter, "{parent}.")?;
        }
        formatter.write_str(self.name)
    }
}

/// What a key means where it stands.
fn inside(place: Place, key: &str) -> (Place, Rule) {
    let (next, rule) = match (place, key) {
        (Place::Root, "services") => (Place::Services, Rule::Generic),
        (Place::Root, "networks") => (Place::Networks, Rule::Generic),
        (Place::Root, "volumes") => (Place::Volumes, Rule::Generic),
        (Place::Services, _) => (Place::Service, Rule::Generic),
        (Place::Service, "build") => (Place::Build, Rule::Build),
        (Place::Service, "deploy") => (Place::Deploy, Rule::Generic),
        (Place::Service, "healthcheck") => (Place::Health, Rule::Generic),
        (Place::Service, "ulimits") => (Place::Ulimits, Rule::Generic),
        (Place::Service, "command" | "entrypoint")
        | (Place::Health, "test")
        | (Place::Ulimits, _) => (Place::Other, Rule::Replace),
        (
            Place::Service,
            "annotations" | "dns" | "dns_opt" | "dns_search" | "env_file" | "environment"
            | "label_file" | "labels" | "sysctls" | "tmpfs",
        )
        | (Place::Build, "additional_contexts" | "args" | "labels")
        | (Place::Deploy | Place::Network | Place::Volume, "labels") => (Place::Other, Rule::List),
        (Place::Service | Place::Build, "extra_hosts") => (Place::Other, Rule::Hosts),
        (Place::Service, "depends_on") => (Place::Other, Rule::Names(started)),
        (Place::Service, "networks" | "models") => (Place::Other, Rule::Names(|_| Value::Null)),
        (Place::Service, "gpus") => (Place::Other, Rule::Gpus),
        (Place::Service, "logging") => (Place::Other, Rule::Logging),
        (Place::Networks, _) => (Place::Network, Rule::Generic),
        (Place::Network, "ipam") => (Place::Ipam, Rule::Generic),
        (Place::Ipam, "config") => (Place::Other, Rule::Pools),
        (Place::Volumes, _) => (Place::Volume, Rule::Generic),
        _ => (Place::Other, Rule::Generic),
    };
    (next, rule)
}

/// What a short `depends_on` means.
fn started(name: &Node) -> Value {
    let condition = name.with_value(Value::String("service_started".to_owned()));
    let required = name.with_value(Value::Bool(true));
    Value::Mapping(vec![
        (Key::implied("condition", &name.span), condition),
        (Key::implied("required", &name.span), required),
    ])
}

fn node(base: Node, over: Node, path: Path<'_>, notes: &mut Notes) -> Node {
    match path.rule {
        Rule::Generic => generic(base, over, path, notes),
        Rule::Replace => {
            notes.replaced(&path, base);
            over
        }
        Rule::List => {
            notes.converted(&path, &base);
            let span = base.span.clone();
            let mut items = lists::items(base, &path, &mut notes.problems);
            items.extend(lists::items(over, &path, &mut notes.problems));
            Node { value: Value::Sequence(items), span, tag: None }
        }
        Rule::Hosts => {
            notes.converted(&path, &base);
            let span = base.span.clone();
            let mut items = lists::items(base, &path, &mut notes.problems);
            let added = lists::items(over, &path, &mut notes.problems);
            let known: HashSet<&str> = items.iter().filter_map(Node::as_str).collect();
            let is_new = |one: &Node| one.as_str().is_none_or(|text| !known.contains(text));
            let new: Vec<Node> = added.into_iter().filter(is_new).collect();
            items.extend(new);
            Node { value: Value::Sequence(items), span, tag: None }
        }
        Rule::Names(value) => {
            generic(lists::names(base, value), lists::names(over, value), path, notes)
        }
        Rule::Build => generic(lists::build(base), lists::build(over), path, notes),
        Rule::Gpus => {
            notes.converted(&path, &base);
            generic(lists::gpus(base), over, path, notes)
        }
        Rule::Logging => {
            let (old, new) = (base.get("driver"), over.get("driver"));
            let agree = old.is_none() || new.is_none() || old == new;
            if agree {
                return generic(base, over, path, notes);
            }
            notes.replaced(&path, base);
            over
        }
        Rule::Pools => pools(base, over, path, notes),
    }
}

fn generic(base: Node, over: Node, path: Path<'_>, notes: &mut Notes) -> Node {
    let Node { value: base_value, span: base_span, tag } = base;
    match (base_value, over.value) {
        (value, Value::Null) => Node { value, span: base_span, tag },
        (Value::Mapping(entries), Value::Mapping(others)) => {
            let value = Value::Mapping(mappings(entries, others, path, notes));
            Node { value, span: base_span, tag }
        }
        (Value::Sequence(mut items), Value::Sequence(others)) => {
            items.extend(others);
            Node { value: Value::Sequence(items), span: base_span, tag }
        }
        (old @ (Value::Mapping(_) | Value::Sequence(_)), new) => {
            let file = &base_span.source.file;
            notes.problems.push(over.span.problem(format!(
                "`{path}` is {} here, but {} in {file}:{}: expected the same kind",
                new.kind(),
                old.kind(),
                base_span.line()
            )));
            Node { value: old, span: base_span, tag }
        }
        (old, value) => {
            notes.replaced(&path, Node { value: old, span: base_span, tag: None });
            Node { value, span: over.span, tag }
        }
    }
}

fn mappings(
    mut entries: Vec<(Key, Node)>,
    others: Vec<(Key, Node)>,
    path: Path<'_>,
    notes: &mut Notes,
) -> Vec<(Key, Node)> {
    let index = (others.len() > FEW && entries.len() > FEW).then(|| index(&entries));
    for (key, other) in others {
        let slot = match &index {
            Some(index) => index.get(&key.name).copied(),
            None => entries.iter().position(|(known, _)| *known == key),
        };
        let Some((known, slot)) = slot.and_then(|slot| entries.get_mut(slot)) else {
            entries.push((key, other));
            continue;
        };
        let old = std::mem::replace(slot, other.with_value(Value::Null));
        *slot = node(old, other, path.at(&key.name, Some(&known.span)), notes);
        *known = key;
    }
    entries
}

/// Where each key stands.
fn index(entries: &[(Key, Node)]) -> HashMap<String, usize> {
    entries.iter().enumerate().map(|(slot, (key, _))| (key.name.clone(), slot)).collect()
}

fn pools(base: Node, over: Node, path: Path<'_>, notes: &mut Notes) -> Node {
    let Node { value, span, tag } = base;
    match (value, over.value) {
        (Value::Sequence(mut items), Value::Sequence(others)) => {
            let old = Value::Sequence(items.clone());
            notes.replaced(&path, Node { value: old, span: span.clone(), tag: None });
            // What this merge replaces is in the old list, which is whole.
            let mut inside = Notes::default();
            let mut pool = |other: Node| {
                let subnet = other.get("subnet");
                let same = |item: &Node| item.get("subnet") == subnet;
                match items.iter().position(same) {
                    Some(slot) => generic(items.swap_remove(slot), other, path, &mut inside),
                    None => other,
                }
            };
            let pools = others.into_iter().map(&mut pool).collect();
            notes.problems.append(&mut inside.problems);
            Node { value: Value::Sequence(pools), span, tag }
        }
        (value, other) => {
            let over = Node { value: other, span: over.span, tag: over.tag };
            generic(Node { value, span, tag }, over, path, notes)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compose::yaml;

    fn text(node: &Node) -> String {
        match &node.value {
            Value::Null => "null".to_owned(),
            Value::Sequence(items) => {
                format!("[{}]", items.iter().map(text).collect::<Vec<_>>().join(","))
            }
            Value::Mapping(entries) => {
                let entries =
                    entries.iter().map(|(key, node)| format!("{}:{}", key.name, text(node)));
                format!("{{{}}}", entries.collect::<Vec<_>>().join(","))
            }
            value => value.scalar_text().unwrap_or_default().into_owned(),
        }
    }

    /// Merges two services and shows what becomes of them.
    fn check(base: &str, over: &str, expected: &str) {
        let mut notes = Notes::default();
        let mut merged = None;
        for service in [base, over] {
            let document = format!("services: {{a: {service}}}");
            let mut document = yaml::parse(&document, "f").unwrap().remove(0);
            let resets = take_resets(&mut document);
            if let Some(merged) = &mut merged {
                resets.apply(merged, &mut notes);
            }
            merged = Some(merge(merged, document, &mut notes));
        }
        let mut merged = merged.unwrap();
        unique::deduplicate(&mut merged, &mut notes);
        let shown = match notes.problems.first() {
            Some(problem) => problem.message.clone(),
            None => text(merged.get("services").and_then(|all| all.get("a")).unwrap()),
        };
        assert_eq!(shown, expected, "{base} + {over}");
    }

    #[test]
    fn merges_each_key_by_its_rule() {
        for (base, over, expected) in [
            ("{user: a}", "{user: null}", "{user:a}"),
            ("{command: a}", "{command: null}", "{command:null}"),
            ("{command: [a, b]}", "{command: [c]}", "{command:[c]}"),
            (
                "{healthcheck: {test: [a], retries: 1}}",
                "{healthcheck: {test: b}}",
                "{healthcheck:{test:b,retries:1}}",
            ),
            (
                "{ulimits: {n: {soft: 1, hard: 2}}}",
                "{ulimits: {n: {soft: 3}}}",
                "{ulimits:{n:{soft:3}}}",
            ),
            ("{environment: {B: 1, A: 2}}", "{environment: [B=3, C]}", "{environment:[A=2,B=3,C]}"),
            ("{labels: [a=1]}", "{labels: {a: null}}", "{labels:[a]}"),
            ("{dns: a}", "{dns: [b, a]}", "{dns:[a,b]}"),
            ("{tmpfs: '/t:size=1'}", "{tmpfs: ['/t:size=2']}", "{tmpfs:[/t:size=2]}"),
            ("{cap_add: [A, B]}", "{cap_add: [B, C]}", "{cap_add:[A,B,C]}"),
            (
                "{extra_hosts: {h: [1, 2]}}",
                "{extra_hosts: ['h=2', 'h=3']}",
                "{extra_hosts:[h=1,h=2,h=3]}",
            ),
            (
                "{depends_on: [b]}",
                "{depends_on: {b: {condition: c}}}",
                "{depends_on:{b:{condition:c,required:true}}}",
            ),
            ("{networks: [n]}", "{networks: {n: {priority: 1}}}", "{networks:{n:{priority:1}}}"),
            ("{build: x}", "{build: {target: t}}", "{build:{context:x,target:t}}"),
            (
                "{logging: {driver: a, options: {o: 1}}}",
                "{logging: {options: {p: 2}}}",
                "{logging:{driver:a,options:{o:1,p:2}}}",
            ),
            (
                "{logging: {driver: a, options: {o: 1}}}",
                "{logging: {driver: b}}",
                "{logging:{driver:b}}",
            ),
            ("{security_opt: [a]}", "{security_opt: [a]}", "{security_opt:[a,a]}"),
            (
                "{group_add: [a]}",
                "{group_add: b}",
                "`services.a.group_add` is a string here, but a list in f:1: expected the same kind",
            ),
            (
                "{labels: {a: 1}}",
                "{labels: {b: {c: d}}}",
                "`services.a.labels.b` is a mapping: expected a string, a number or a boolean",
            ),
            ("{image: a, user: b}", "{user: !reset null}", "{image:a}"),
            ("{dns: [a]}", "{dns: !override [b]}", "{dns:[b]}"),
            ("{ports: [a]}", "!override {image: b}", "{image:b}"),
            ("{x-a: {l: [1]}}", "{x-a: {l: [2]}}", "{x-a:{l:[1,2]}}"),
        ] {
            check(base, over, expected);
        }
    }
}
