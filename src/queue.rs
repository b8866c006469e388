//! The queue: which runs may start, which wait, and which give way to another.
//!
//! A state machine without clock or I/O. It knows runs by their number, and holds to seven limits: the
//! overlap rule of each job, locks shared between jobs, runs at once, runs of one kind at once, runs from
//! one source at once, starts a second on the Engine, and how long a run may wait.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ops::Bound;
use std::path::Path;

use chrono::{DateTime, TimeDelta, Utc};

use crate::job::Overlap;
use crate::run::{RunId, Trigger};

/// What locks on directories begin with: such a lock holds all that lies in the directory, too.
const DIRECTORY: &str = "directory:";

/// A run that wants to start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Its number.
    pub run: RunId,
    /// Name of its job.
    pub job: String,
    /// Kind of the job's work.
    pub kind: &'static str,
    /// What it must have to itself while it runs, e.g. `project:web`; besides the job itself.
    pub locks: BTreeSet<String>,
    /// The sources that its work comes from: the URLs of repositories, or the directories of checkouts.
    pub sources: BTreeSet<String>,
    /// What said "look now".
    pub trigger: Trigger,
    /// What becomes of it while the job runs.
    pub overlap: Overlap,
    /// Neither gives way nor takes another's place: it was promised a run of its own, as one of several
    /// slots to catch up with, or one that waited when we died.
    pub is_promised: bool,
    /// Higher ones start first.
    pub priority: i32,
    /// The last instant at which it may start.
    pub start_by: Option<DateTime<Utc>>,
    /// Whether it works on the Docker Engine: such runs wait for it, and start at a limited rate.
    pub uses_engine: bool,
}

/// What becomes of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Admission {
    /// Why it does not get in; `None` when it waits for [`Queue::start`].
    pub refused: Option<Refusal>,
    /// A run that waited and gives way to it.
    pub superseded: Option<RunId>,
    /// Runs that are to be ended, so that it can start.
    pub replaced: Vec<RunId>,
}

/// Why a request does not get in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// This run of the job goes on, or waits and stands for both.
    Overlap(RunId),
    /// The queue is closed.
    Closed,
}

/// How much may go on at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Runs at once, at least one.
    pub runs: usize,
    /// Runs at once of a kind of work; a kind that is not named has no limit of its own.
    pub of_kind: BTreeMap<String, usize>,
    /// Runs at once that come from the same source; `None` is no limit.
    pub of_source: Option<usize>,
    /// Starts a second of runs that work on the Engine; 0 is no limit.
    pub starts_per_second: u32,
}

/// Place in the line: higher priority first, then who came first.
type Place = (Reverse<i32>, u64);

/// What runs and what waits.
#[derive(Debug)]
pub struct Queue {
    limits: Limits,
    is_open: bool,
    engine_answers: bool,
    starts: Bucket,
    came: u64,
    running: BTreeMap<RunId, Request>,
    running_of: BTreeMap<String, BTreeSet<RunId>>,
    running_of_kind: BTreeMap<&'static str, usize>,
    locked: BTreeMap<String, usize>,
    running_from: BTreeMap<String, usize>,
    waiting: BTreeMap<Place, Request>,
    waiting_of: BTreeMap<String, BTreeSet<Place>>,
    places: BTreeMap<RunId, Place>,
    deadlines: BTreeSet<(DateTime<Utc>, RunId)>,
}

impl Queue {
    /// An open queue. Runs that work on the Engine wait until [`Queue::engine_answers`].
    pub fn new(limits: Limits) -> Self {
        let starts = Bucket::new(limits.starts_per_second);
        Self {
            limits,
            is_open: true,
            engine_answers: false,
            starts,
            came: 0,
            running: BTreeMap::new(),
            running_of: BTreeMap::new(),
            running_of_kind: BTreeMap::new(),
            locked: BTreeMap::new(),
            running_from: BTreeMap::new(),
            waiting: BTreeMap::new(),
            waiting_of: BTreeMap::new(),
            places: BTreeMap::new(),
            deadlines: BTreeSet::new(),
        }
    }

    /// Takes other limits over; what runs goes on.
    pub fn set_limits(&mut self, limits: Limits) {
        if limits.starts_per_second != self.limits.starts_per_second {
            self.starts = Bucket::new(limits.starts_per_second);
        }
        self.limits = limits;
    }

    /// Whether runs that work on the Engine may start.
    pub fn engine_answers(&mut self, answers: bool) {
        self.engine_answers = answers;
    }

    /// Decides on a request by the overlap rule of its job.
    pub fn request(&mut self, request: Request) -> Admission {
        if !self.is_open {
            return Admission { refused: Some(Refusal::Closed), ..Admission::default() };
        }
        if request.is_promised || request.overlap == Overlap::Allow {
            self.wait(request, None);
            return Admission::default();
        }
        let running: Vec<RunId> = self.running_of(&request.job).collect();
        let before = self.waiting_of(&request.job).last().map(|(place, it)| (place, it.clone()));
        if request.overlap == Overlap::Skip {
            let other = running.first().copied().or(before.as_ref().map(|(_, it)| it.run));
            if let Some(other) = other {
                let refused = Some(Refusal::Overlap(other));
                return Admission { refused, ..Admission::default() };
            }
        }
        // One waits, and looks at what is there when it starts: it stands for all that came before.
        let before = before.filter(|(_, waiting)| !waiting.is_promised);
        if let Some((_, waiting)) = &before
            && strength(waiting.trigger) > strength(request.trigger)
        {
            let refused = Some(Refusal::Overlap(waiting.run));
            return Admission { refused, ..Admission::default() };
        }
        let replaced = if request.overlap == Overlap::Replace { running } else { Vec::new() };
        let superseded = before.as_ref().map(|(_, waiting)| waiting.run);
        if let Some(superseded) = superseded {
            self.withdraw(superseded);
        }
        self.wait(request, before.map(|(place, _)| place));
        Admission { refused: None, superseded, replaced }
    }

    /// Counts a run as running that started before us.
    pub fn adopt(&mut self, request: Request) {
        self.run(request);
    }

    /// Takes those out of the line whose turn has come, in order; they count as running until
    /// [`Queue::finished`].
    pub fn start(&mut self, now: DateTime<Utc>) -> Vec<Request> {
        let mut started = Vec::new();
        if !self.is_open {
            return started;
        }
        self.starts.refill(now);
        let mut chosen = Vec::new();
        let mut of_kind = self.running_of_kind.clone();
        // Locks are taken by those who wait too: a later request may not overtake an earlier one
        // that needs the same lock, or a busy lock would starve a job that needs two. So is the turn
        // of a job that has several in the line.
        let mut taken: BTreeSet<&str> = BTreeSet::new();
        let mut jobs: HashSet<&str> = HashSet::new();
        let mut from = self.running_from.clone();
        // Who waits for a source has a turn in each of its sources, for the same reason.
        let mut held: HashSet<&str> = HashSet::new();
        for (place, request) in &self.waiting {
            if self.running.len() + chosen.len() >= self.limits.runs.max(1) {
                break;
            }
            let is_alone = request.overlap != Overlap::Allow || request.is_promised;
            let job_is_free = !is_alone
                || !jobs.contains(request.job.as_str())
                    && !self.running_of.contains_key(&request.job);
            let locks_are_free = request
                .locks
                .iter()
                .all(|lock| is_free(lock, &self.locked) && is_free_of(lock, &taken));
            let kind = of_kind.entry(request.kind).or_default();
            let kind_has_room =
                self.limits.of_kind.get(request.kind).is_none_or(|most| *kind < *most);
            let sources_have_room = self.limits.of_source.is_none_or(|most| {
                let is_full = |source: &String| from.get(source).is_some_and(|it| *it >= most);
                !request.sources.iter().any(|it| held.contains(it.as_str()) || is_full(it))
            });
            let engine_takes = !request.uses_engine || self.engine_answers && self.starts.has_one();
            if !sources_have_room {
                held.extend(request.sources.iter().map(String::as_str));
            }
            let has_room = kind_has_room && sources_have_room;
            if job_is_free && locks_are_free && has_room && engine_takes {
                *kind += 1;
                for source in &request.sources {
                    *from.entry(source.clone()).or_default() += 1;
                }
                if request.uses_engine {
                    self.starts.take();
                }
                chosen.push(*place);
            }
            taken.extend(request.locks.iter().map(String::as_str));
            jobs.insert(&request.job);
        }
        for place in chosen {
            if let Some(request) = self.leave(place) {
                self.run(request.clone());
                started.push(request);
            }
        }
        started
    }

    /// Ends a run; [`Queue::start`] says what starts in its place.
    pub fn finished(&mut self, run: RunId) {
        let Some(request) = self.running.remove(&run) else { return };
        if let Some(runs) = self.running_of.get_mut(&request.job) {
            runs.remove(&run);
            if runs.is_empty() {
                self.running_of.remove(&request.job);
            }
        }
        if let Some(count) = self.running_of_kind.get_mut(request.kind) {
            *count = count.saturating_sub(1);
        }
        one_less(&mut self.locked, &request.locks);
        one_less(&mut self.running_from, &request.sources);
    }

    /// Takes a waiting run out, because it is no longer wanted.
    pub fn withdraw(&mut self, run: RunId) -> Option<Request> {
        let place = *self.places.get(&run)?;
        self.leave(place)
    }

    /// Takes those out that can no longer start in time.
    pub fn overdue(&mut self, now: DateTime<Utc>) -> Vec<Request> {
        let late: Vec<RunId> = self
            .deadlines
            .iter()
            .take_while(|(start_by, _)| *start_by < now)
            .map(|(_, run)| *run)
            .collect();
        late.into_iter().filter_map(|run| self.withdraw(run)).collect()
    }

    /// When [`Queue::overdue`] or [`Queue::start`] has something to say though nothing ended.
    pub fn next_look(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let deadline =
            self.deadlines.first().map(|(start_by, _)| *start_by + TimeDelta::milliseconds(1));
        let is_full = self.running.len() >= self.limits.runs.max(1);
        let engine_waits = self.engine_answers
            && !is_full
            && self.starts.is_limited()
            && !self.starts.has_one()
            && self.waiting.values().any(|it| it.uses_engine);
        let token = engine_waits.then(|| now + self.starts.until_next());
        deadline.into_iter().chain(token).min()
    }

    /// Closes for good: nothing starts any more. Returns what waited, in order.
    pub fn close(&mut self) -> Vec<Request> {
        self.is_open = false;
        self.waiting_of.clear();
        self.places.clear();
        self.deadlines.clear();
        std::mem::take(&mut self.waiting).into_values().collect()
    }

    /// What runs, by number.
    pub fn running(&self) -> impl Iterator<Item = &Request> {
        self.running.values()
    }

    /// What waits, in order.
    pub fn waiting(&self) -> impl Iterator<Item = &Request> {
        self.waiting.values()
    }

    /// The runs of a job that go on.
    pub fn running_of(&self, job: &str) -> impl Iterator<Item = RunId> {
        self.running_of.get(job).into_iter().flatten().copied()
    }

    /// The runs of a job that wait, in order.
    pub fn waiting_of(&self, job: &str) -> impl DoubleEndedIterator<Item = (Place, &Request)> {
        let places = self.waiting_of.get(job).into_iter().flatten();
        places.filter_map(|place| Some((*place, self.waiting.get(place)?)))
    }

    /// True while the run goes on.
    pub fn is_running(&self, run: RunId) -> bool {
        self.running.contains_key(&run)
    }

    fn wait(&mut self, request: Request, place: Option<Place>) {
        let place = place.map_or_else(
            || {
                self.came += 1;
                (Reverse(request.priority), self.came)
            },
            |(_, came)| (Reverse(request.priority), came),
        );
        self.waiting_of.entry(request.job.clone()).or_default().insert(place);
        self.places.insert(request.run, place);
        self.deadlines.extend(request.start_by.map(|start_by| (start_by, request.run)));
        self.waiting.insert(place, request);
    }

    fn leave(&mut self, place: Place) -> Option<Request> {
        let request = self.waiting.remove(&place)?;
        self.places.remove(&request.run);
        if let Some(start_by) = request.start_by {
            self.deadlines.remove(&(start_by, request.run));
        }
        if let Some(places) = self.waiting_of.get_mut(&request.job) {
            places.remove(&place);
            if places.is_empty() {
                self.waiting_of.remove(&request.job);
            }
        }
        Some(request)
    }

    fn run(&mut self, request: Request) {
        self.running_of.entry(request.job.clone()).or_default().insert(request.run);
        *self.running_of_kind.entry(request.kind).or_default() += 1;
        for lock in &request.locks {
            *self.locked.entry(lock.clone()).or_default() += 1;
        }
        for source in &request.sources {
            *self.running_from.entry(source.clone()).or_default() += 1;
        }
        self.running.insert(request.run, request);
    }
}

/// Whether nobody holds a lock.
fn is_free(lock: &str, held: &BTreeMap<String, usize>) -> bool {
    let within = held.range::<str, _>((Bound::Excluded(lock), Bound::Unbounded)).map(|(it, _)| it);
    !above(lock).any(|it| held.contains_key(it)) && !begins_below(lock, within.map(String::as_str))
}

/// The same of locks that others wait for.
fn is_free_of(lock: &str, held: &BTreeSet<&str>) -> bool {
    let within = held.range::<str, _>((Bound::Excluded(lock), Bound::Unbounded)).copied();
    !above(lock).any(|it| held.contains(it)) && !begins_below(lock, within)
}

/// A lock itself, and for a directory those of all directories that it lies in.
fn above(lock: &str) -> impl Iterator<Item = &str> {
    let path = lock.strip_prefix(DIRECTORY).map(Path::new);
    let outer = path.into_iter().flat_map(|path| path.ancestors().skip(1));
    // The text of a directory above is the start of its own.
    let outer = outer.map(|it| &lock[..DIRECTORY.len() + it.as_os_str().len()]);
    std::iter::once(lock).chain(outer)
}

/// Whether one of these locks, which follow this one in their order, is that of a directory in it.
fn begins_below<'a>(lock: &str, following: impl Iterator<Item = &'a str>) -> bool {
    if !lock.starts_with(DIRECTORY) {
        return false;
    }
    // Names such as `a-b` come between `a` and `a/b`.
    let mut near = following.take_while(|it| it.starts_with(lock));
    near.any(|it| lock.ends_with('/') || it[lock.len()..].starts_with('/'))
}

/// Counts one less of each name; what nobody holds any more is forgotten.
fn one_less(counts: &mut BTreeMap<String, usize>, names: &BTreeSet<String>) {
    for name in names {
        if let Some(count) = counts.get_mut(name) {
            *count -= 1;
            if *count == 0 {
                counts.remove(name);
            }
        }
    }
}

/// A person's wish beats the others: it lifts a quarantine, and must not give way to a slot.
fn strength(trigger: Trigger) -> u8 {
    match trigger {
        Trigger::Startup => 0,
        Trigger::Schedule | Trigger::CatchUp => 1,
        Trigger::After
        | Trigger::Deploy
        | Trigger::Container
        | Trigger::Webhook
        | Trigger::File => 2,
        Trigger::Retry => 3,
        Trigger::Manual | Trigger::Restore => 4,
    }
}

/// Starts that may happen now: full it holds those of one second.
#[derive(Debug)]
struct Bucket {
    /// Starts a second; 0 is no limit.
    rate: u32,
    /// Thousandths of starts.
    level: i64,
    filled: Option<DateTime<Utc>>,
}

impl Bucket {
    fn new(rate: u32) -> Self {
        Self { rate, level: i64::from(rate) * 1000, filled: None }
    }

    fn refill(&mut self, now: DateTime<Utc>) {
        let before = self.filled.replace(now).unwrap_or(now);
        // A clock that was set back fills nothing; one set forward fills it once.
        let passed = (now - before).num_milliseconds().clamp(0, 1000);
        let full = i64::from(self.rate) * 1000;
        self.level = (self.level + passed * i64::from(self.rate)).min(full);
    }

    fn is_limited(&self) -> bool {
        self.rate > 0
    }

    fn has_one(&self) -> bool {
        !self.is_limited() || self.level >= 1000
    }

    fn take(&mut self) {
        if self.is_limited() {
            self.level -= 1000;
        }
    }

    fn until_next(&self) -> TimeDelta {
        let missing = (1000 - self.level).max(0);
        TimeDelta::milliseconds(missing / i64::from(self.rate.max(1)) + 1)
    }
}

#[cfg(test)]
mod tests;
