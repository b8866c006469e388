//! Reads `prune`.

use std::time::Duration;

use super::Reader;
use super::fields::{self, Fields};
use super::table::Table;
use super::tables_of_housekeeping::{AGED, IMAGES, PRUNE, VOLUMES};
use crate::compose::yaml::Node;
use crate::job::work::{AGE, AGE_OF_VOLUMES, KEEP, Prune, PruneImages, PruneVolumes};
use crate::problem::Problem;

pub(super) fn prune(node: &Node, reader: &mut Reader<'_>) -> Option<Prune> {
    let fields = fields::open(node, &PRUNE, &mut reader.problems)?;
    let problems = &mut reader.problems;
    let aged = |section: &Section<'_>, problems: &mut Vec<Problem>, age: Duration| {
        section.keys().and_then(|it| it.duration("older_than", problems)).unwrap_or(age)
    };
    let images = Section::open("images", (&fields, &IMAGES), true, problems).map(|section| {
        let older_than = aged(&section, problems, AGE);
        let Some(fields) = section.keys() else { return PruneImages::default() };
        let keep = fields.count("keep", (1, 1000), problems).unwrap_or(KEEP);
        let dangling = fields.boolean("dangling", problems).unwrap_or(true);
        let all = fields.boolean("all", problems).unwrap_or(false);
        PruneImages { older_than, keep, dangling, all }
    });
    let mut of_age = |name: &str| {
        let section = Section::open(name, (&fields, &AGED), true, problems)?;
        Some(aged(&section, problems, AGE))
    };
    let (containers, networks) = (of_age("containers"), of_age("networks"));
    let volumes = Section::open("volumes", (&fields, &VOLUMES), false, problems).map(|section| {
        let older_than = aged(&section, problems, AGE_OF_VOLUMES);
        let labels = section.keys().map(|it| it.strings("labels", problems)).unwrap_or_default();
        let labels = labels.iter().flat_map(|it| it.split_whitespace()).map(str::to_owned);
        PruneVolumes { older_than, labels: labels.collect() }
    });
    Some(Prune {
        images,
        containers,
        networks,
        volumes,
        max_removals: fields.count("max_removals", (1, 1_000_000), problems),
        dry_run: fields.boolean("dry_run", problems).unwrap_or(false),
    })
}

/// What is said of one kind of thing: `true`, or a mapping.
enum Section<'a> {
    Plain,
    Keys(Fields<'a>),
}

impl<'a> Section<'a> {
    /// `None` where it is off.
    fn open(
        name: &str,
        (fields, table): (&Fields<'a>, &Table),
        default: bool,
        problems: &mut Vec<Problem>,
    ) -> Option<Self> {
        let is_on = || default.then_some(Self::Plain);
        let Some(node) = fields.node(name) else { return is_on() };
        if node.as_mapping().is_some() {
            return fields::open(node, table, problems).map(Self::Keys);
        }
        if fields.text(name, problems).is_none() {
            return is_on();
        }
        fields.boolean(name, problems).unwrap_or(false).then_some(Self::Plain)
    }

    fn keys(&self) -> Option<&Fields<'a>> {
        match self {
            Self::Plain => None,
            Self::Keys(fields) => Some(fields),
        }
    }
}
