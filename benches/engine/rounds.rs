//! Rounds: everyone who is compared has a turn in each, so that a noisy minute is noisy for all.

use std::time::{Duration, Instant};

/// Rounds where `BENCH_ROUNDS` does not say.
const ROUNDS: usize = 15;

/// One who is compared: does it once, in the round with this number, and tells how long it took.
pub(super) type Turn<'a> = &'a mut dyn FnMut(usize) -> Duration;

/// Rounds of something quick.
pub(super) fn many() -> usize {
    let rounds = std::env::var("BENCH_ROUNDS").map_or(ROUNDS, |text| {
        text.parse().unwrap_or_else(|_| panic!("BENCH_ROUNDS is `{text}`: expected a number"))
    });
    rounds.max(1)
}

/// Rounds of something that takes seconds.
pub(super) fn few() -> usize {
    many().div_ceil(3)
}

/// Returns the median time of each. Who begins a round changes from one to the next.
pub(super) fn medians<const N: usize>(rounds: usize, turns: &mut [Turn<'_>; N]) -> [Duration; N] {
    let mut times = [(); N].map(|()| Vec::with_capacity(rounds));
    for round in 0..rounds {
        for turn in 0..N {
            let who = (round + turn) % N;
            times[who].push(turns[who](round));
        }
    }
    times.map(median)
}

/// How long this took.
pub(super) fn timed(call: impl FnOnce()) -> Duration {
    let start = Instant::now();
    call();
    start.elapsed()
}

/// The middle one; of an even number, the mean of the middle two.
fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    let middle = times.len() / 2;
    if times.len() % 2 == 1 { times[middle] } else { (times[middle - 1] + times[middle]) / 2 }
}
