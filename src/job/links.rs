//! How jobs set each other off: circles are found when they are read, not when they run.

use std::collections::{BTreeMap, BTreeSet};

use super::{Job, On, Work};
use crate::problem::{Problem, Problems, nearest};

/// Most jobs of a circle that a message names.
const LONGEST_WAY: usize = 8;

/// The names of the jobs that set each other off in a circle, with what is to be said about them; warns of
/// jobs that wait for one that is not there.
pub(super) fn check(jobs: &[&Job]) -> (BTreeSet<String>, Problems) {
    // Most often none of many does.
    if jobs.iter().all(|job| named_by(job).is_empty()) {
        return Default::default();
    }
    let mut problems = Vec::new();
    let known: BTreeSet<&str> = jobs.iter().map(|job| job.name.as_str()).collect();
    for job in jobs {
        let named = named_by(job);
        for name in named.into_iter().filter(|name| !known.contains(*name)) {
            let problem =
                job.problem(format!("there is no job `{name}`, which `{}` names", job.name));
            let near = nearest(name, known.iter().copied());
            let hint = near.map(|near| format!("did you mean `{near}`?"));
            problems.push(Problem { hint, ..problem }.as_warning());
        }
    }
    let circles = circles(&edges(jobs));
    let stuck: BTreeSet<String> = circles.iter().flatten().cloned().collect();
    for job in jobs.iter().filter(|job| stuck.contains(&job.name)) {
        let Some(circle) = circles.iter().find(|circle| circle.contains(&job.name)) else {
            continue;
        };
        let begin = circle.iter().position(|name| *name == job.name).unwrap_or_default();
        let mut way: Vec<&str> = circle[begin..].iter().map(String::as_str).collect();
        way.extend(circle[..=begin].iter().map(String::as_str));
        if way.len() > LONGEST_WAY {
            way.splice(LONGEST_WAY - 1..way.len() - 1, ["…"]);
        }
        let message = format!("jobs set each other off in a circle: `{}`", way.join("` → `"));
        let problem = job.problem(message);
        problems.push(problem.with_hint("take one of them out of `after` or `group`"));
    }
    (stuck, Problems(problems))
}

/// The jobs that a job names.
fn named_by(job: &Job) -> Vec<&str> {
    let after = job.on.iter().filter_map(|on| match on {
        On::Ended { job, .. } => Some(job.as_str()),
        On::Deployed { .. } | On::Container { .. } | On::Webhook(_) | On::FileChanged(_) => None,
    });
    let mut names: Vec<&str> = after.collect();
    if let Work::Group(group) = &job.work {
        names.extend(group.jobs.iter().map(String::as_str));
    }
    if let Work::RestoreDrill(drill) = &job.work {
        names.push(&drill.of);
    }
    names
}

/// Which jobs each one sets off.
fn edges<'a>(jobs: &[&'a Job]) -> BTreeMap<&'a str, BTreeSet<&'a str>> {
    let mut edges: BTreeMap<&str, BTreeSet<&str>> =
        jobs.iter().map(|job| (job.name.as_str(), BTreeSet::new())).collect();
    for job in jobs {
        for on in &job.on {
            if let On::Ended { job: before, .. } = on
                && let Some(after) = edges.get_mut(before.as_str())
            {
                after.insert(&job.name);
            }
        }
        if let Work::Group(group) = &job.work {
            let members =
                group.jobs.iter().map(String::as_str).filter(|name| edges.contains_key(name));
            let members: Vec<&str> = members.collect();
            edges.entry(&job.name).or_default().extend(members);
        }
    }
    edges
}

/// The circles, one for each set of jobs that all reach each other, in the order they set each other off.
fn circles(edges: &BTreeMap<&str, BTreeSet<&str>>) -> Vec<Vec<String>> {
    let mut found: Vec<Vec<String>> = Vec::new();
    // What is neither set off nor sets off anything is in no circle; without a stack, for chains are long.
    let mut left = edges.clone();
    loop {
        let is_set_off: BTreeSet<&str> = left.values().flatten().copied().collect();
        let before = left.len();
        left.retain(|name, after| is_set_off.contains(name) && !after.is_empty());
        let names: BTreeSet<&str> = left.keys().copied().collect();
        for after in left.values_mut() {
            after.retain(|name| names.contains(name));
        }
        if left.len() == before {
            break;
        }
    }
    let names: Vec<&str> = left.keys().copied().collect();
    for name in names {
        if found.iter().any(|circle| circle.iter().any(|it| it == name)) {
            continue;
        }
        if let Some(way) = way_back(&left, name) {
            found.push(way);
        }
    }
    found
}

/// The shortest way from a job back to itself.
fn way_back(edges: &BTreeMap<&str, BTreeSet<&str>>, name: &str) -> Option<Vec<String>> {
    let mut came_from: BTreeMap<&str, &str> = BTreeMap::new();
    let mut waiting: std::collections::VecDeque<&str> = [name].into();
    while let Some(here) = waiting.pop_front() {
        for next in edges.get(here)? {
            if *next == name {
                let mut way = vec![here.to_owned()];
                let mut here = here;
                while here != name {
                    here = came_from.get(here)?;
                    way.push(here.to_owned());
                }
                way.reverse();
                return Some(way);
            }
            if !came_from.contains_key(next) {
                came_from.insert(next, here);
                waiting.push_back(next);
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::native::parse;
    use crate::job::native::tests::settings;

    #[test]
    fn finds_circles_and_only_the_jobs_in_them() {
        let run = "run: {image: a}";
        let job = |name: &str, rest: &str| format!("- {{name: {name}, {rest}}}\n");
        let rows: Vec<(Vec<String>, Vec<&str>, Vec<&str>)> = vec![
            (vec![job("a", run), job("b", &format!("after: a, {run}"))], vec!["a", "b"], vec![]),
            (
                vec![
                    job("a", &format!("after: b, {run}")),
                    job("b", &format!("after: a, {run}")),
                    job("c", &format!("after: b, {run}")),
                ],
                vec!["c"],
                vec![
                    "there is no job",
                    "f.yml:1: jobs set each other off in a circle: `a` → `b` → `a`",
                    "f.yml:2: jobs set each other off in a circle: `b` → `a` → `b`",
                ],
            ),
            (vec![job("a", &format!("after: a, {run}"))], vec![], vec!["`a` → `a`"]),
            (vec![job("a", "group: [a]")], vec![], vec!["`a` → `a`"]),
            (
                vec![
                    job("a", "group: [b], after: c"),
                    job("b", run),
                    job("c", &format!("after: b, {run}")),
                ],
                vec![],
                vec!["`a` → `b` → `c` → `a`", "`b` → `c` → `a` → `b`", "`c` → `a` → `b` → `c`"],
            ),
            // A diamond is no circle.
            (
                vec![
                    job("a", run),
                    job("b", &format!("after: a, {run}")),
                    job("c", &format!("after: a, {run}")),
                    job("d", &format!("after: [b, c], {run}")),
                ],
                vec!["a", "b", "c", "d"],
                vec![],
            ),
            (
                vec![job("abc", run), job("b", "group: [abd]")],
                vec!["abc", "b"],
                vec!["did you mean `abc`?"],
            ),
            (
                vec![job(
                    "drill",
                    "restore_drill: {repository: /b, password_file: /p, of: data, check: {image: a}}",
                )],
                vec!["drill"],
                vec!["there is no job `data`, which `drill` names"],
            ),
        ];
        for (texts, left, expected) in rows {
            let text = texts.concat();
            let mut jobs = parse(&text, "f.yml", &settings()).expect("each is valid");
            let (stuck, problems) = check(&jobs.iter().collect::<Vec<_>>());
            jobs.retain(|job| !stuck.contains(&job.name));
            let names: Vec<&str> = jobs.iter().map(|job| job.name.as_str()).collect();
            assert_eq!(names, left, "{text}");
            let told = problems.plain();
            for expected in expected.iter().filter(|it| **it != "there is no job") {
                assert!(told.contains(expected), "{text}: {told}");
            }
            assert_eq!(problems.0.is_empty(), expected.is_empty(), "{text}: {told}");
        }
    }

    #[test]
    fn follows_a_long_chain_in_little_time() {
        let link = |at: usize| {
            format!("- {{name: j{at}, after: j{}, run: {{image: a}}}}\n", (at + 1) % 2000)
        };
        let text: String = (0..2000).map(link).collect();
        let jobs = parse(&text, "f.yml", &settings()).expect("each is valid");
        let (stuck, problems) = check(&jobs.iter().collect::<Vec<_>>());
        assert_eq!((stuck.len(), problems.0.len()), (2000, 2000));
    }
}
