//! Reads which snapshots stay: a mapping, or one text with rules of ours or of restic.

use std::time::Duration;

use super::super::Reader;
use super::super::fields::{self, Fields};
use super::super::tables_of_backup::KEEP;
use crate::compose::yaml::Node;
use crate::job::duration;
use crate::job::work::Keep;
use crate::problem::{self, Problem};

/// Rules that count.
const COUNTS: [&str; 6] = ["last", "hourly", "daily", "weekly", "monthly", "yearly"];
const MOST: i64 = 100_000;
const DAY: u64 = 24 * 60 * 60;

/// `None` where nothing is written; what keeps nothing is refused.
pub(super) fn keep(fields: &Fields<'_>, reader: &mut Reader<'_>) -> Option<Keep> {
    let node = fields.node("keep")?;
    let before = reader.problems.len();
    let keep = if node.as_mapping().is_some() {
        of_mapping(node, &mut reader.problems)?
    } else {
        let (text, node) = fields.text("keep", &mut reader.problems)?;
        of_text(&text, node, &mut reader.problems)
    };
    let is_fine = reader.problems[before..].iter().all(Problem::is_warning);
    if is_fine && !keep.has_rule() {
        let problem = node.problem("`keep` has no rule: every snapshot would go");
        let hint =
            "write e.g. `keep: { daily: 7, weekly: 5, monthly: 12 }`, or leave it out to keep all";
        reader.problems.push(problem.with_hint(hint));
    }
    Some(keep)
}

fn of_mapping(node: &Node, problems: &mut Vec<Problem>) -> Option<Keep> {
    let fields = fields::open(node, &KEEP, problems)?;
    let mut keep = Keep::default();
    for name in COUNTS {
        if fields.text(name, problems).is_some() {
            let number = fields.integer(name, (0, MOST), problems).unwrap_or_default();
            set(&mut keep, name, u32::try_from(number).unwrap_or_default());
        }
    }
    keep.within = fields.duration("within", problems);
    keep.tags = super::words("tags", &fields, problems);
    Some(keep)
}

/// `daily=7 weekly=5`, or restic's `--keep-daily 7 --keep-weekly=5`.
fn of_text(text: &str, node: &Node, problems: &mut Vec<Problem>) -> Keep {
    let mut keep = Keep::default();
    let mut words = text.split_whitespace();
    while let Some(word) = words.next() {
        if word == "--prune" {
            let message =
                "`--prune` has no effect here: data that nothing needs goes with a job of its own";
            let hint = "set `AUTODEPLOY_BACKUP_PRUNE_SCHEDULE`, or write a `backup_prune` job";
            problems.push(node.problem(message).with_hint(hint).as_warning());
            continue;
        }
        let (name, value) = match word.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (word, words.next()),
        };
        let of_restic = name.strip_prefix("--keep-");
        let rule = of_restic.unwrap_or(name);
        let value = value.unwrap_or_default();
        let number = value.parse::<i64>().ok().filter(|it| (0..=MOST).contains(it));
        match (rule, number) {
            ("within", _) => {
                keep.within = span(value, of_restic.is_some());
                if keep.within.is_none() {
                    let message = format!("`{name}` is `{value}`: expected a time");
                    problems.push(node.problem(message));
                }
            }
            ("tag" | "tags", _) if !value.is_empty() => keep.tags.push(value.to_owned()),
            (rule, Some(number)) if COUNTS.contains(&rule) => {
                set(&mut keep, rule, u32::try_from(number).unwrap_or_default());
            }
            (rule, None) if COUNTS.contains(&rule) => {
                let message =
                    format!("`{name}` is `{value}`: expected a whole number, 0 to {MOST}");
                problems.push(node.problem(message));
            }
            _ => {
                let known = COUNTS.into_iter().chain(["within", "tag"]);
                let hint = match problem::nearest(rule, known) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("known are `{}`, `within` and `tag`", COUNTS.join("`, `")),
                };
                let problem =
                    node.problem(format!("`keep` has `{name}`, which is no rule of ours"));
                problems.push(problem.with_hint(hint));
            }
        }
    }
    keep
}

fn set(keep: &mut Keep, rule: &str, number: u32) {
    let place = match rule {
        "last" => &mut keep.last,
        "hourly" => &mut keep.hourly,
        "daily" => &mut keep.daily,
        "weekly" => &mut keep.weekly,
        "monthly" => &mut keep.monthly,
        _ => &mut keep.yearly,
    };
    *place = number;
}

/// A time; restic's has years and months, `1y5m7d2h`, of 365 and 30 days here.
fn span(text: &str, of_restic: bool) -> Option<Duration> {
    if !of_restic {
        return duration::parse(text).ok().filter(|it| !it.is_zero());
    }
    let mut seconds: u64 = 0;
    let mut number = String::new();
    for c in text.chars() {
        if c.is_ascii_digit() {
            number.push(c);
            continue;
        }
        let unit = match c {
            'y' => 365 * DAY,
            'm' => 30 * DAY,
            'd' => DAY,
            'h' => DAY / 24,
            _ => return None,
        };
        let count: u64 = std::mem::take(&mut number).parse().ok()?;
        seconds = seconds.checked_add(count.checked_mul(unit)?)?;
    }
    (number.is_empty() && seconds > 0).then(|| Duration::from_secs(seconds))
}
