//! What a deploy costs, beside `docker compose` 2.40 and beside the bare calls of the Engine.
//!
//! Run it by `make bench`, which gives `ROADSTEAD_BIN` (the binary that ships) and `ORACLE`
//! (docker-compose). Times are medians over `BENCH_ROUNDS` rounds, in each of which everyone who is
//! compared has a turn; a figure that misses its aim is marked and fails the run. `BENCH_PART`
//! names the one part that is wanted: config, unchanged, changed, cold, idle, output or many.

#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a bench drives programs, prints a table, and stops at the first surprise"
)]

mod bare;
mod changed;
mod cold;
mod files;
mod idle;
mod many;
mod output;
mod peers;
mod process;
mod rounds;
mod table;
mod unchanged;
mod wire;

#[path = "../../tests/it/support/mod.rs"]
mod support;

use std::process::ExitCode;

use peers::Peers;
use support::Engine;
use table::{Row, Table};

/// Largest binary that we want to ship, in MiB.
const BINARY_MIB: f64 = 30.0;

fn main() -> ExitCode {
    let only = std::env::var("BENCH_PART").unwrap_or_default();
    let engine = Engine::own();
    let peers = Peers::new(&engine);
    let mut table = Table::default();
    table.add(binary_size());
    let is_wanted = |part: &str| part.starts_with(&only);
    if is_wanted("config") {
        files::measure(&peers, &mut table);
    }
    if is_wanted("unchanged") {
        unchanged::measure(&peers, &mut table);
    }
    if is_wanted("changed") {
        changed::measure(&peers, &mut table);
    }
    if is_wanted("cold") {
        cold::measure(&peers, &mut table);
    }
    if is_wanted("idle") {
        idle::measure(&engine, &mut table);
    }
    if is_wanted("output") {
        output::measure(&engine, &mut table);
    }
    if is_wanted("many") {
        many::measure(&engine, &mut table);
    }
    println!("\n{table}");
    if table.misses() == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn binary_size() -> Row {
    let bytes = std::fs::metadata(support::roadstead::program()).unwrap().len();
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52 bytes")]
    let mib = bytes as f64 / f64::from(1 << 20);
    Row::new("binary", format!("{mib:.1} MiB")).aim("<= 30 MiB", mib <= BINARY_MIB)
}
