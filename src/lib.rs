//! Roadstead keeps a Docker host's Compose projects equal to what its git checkouts say, and runs jobs
//! on a clock.
//!
//! A module uses its own layer and those above it in this table, never a lower one; adapters do not
//! know each other. `tests/layers.rs` keeps this true.
//!
//! | layer | modules, in reading order | what they are |
//! |---|---|---|
//! | 0 values | [`problem`] [`settings`] [`source`] [`run`] [`image`] [`compose`] [`job`] | no I/O, no clock, no async |
//! | 1 decisions | [`clock`] [`queue`] [`plan`] | pure functions over values |
//! | 2 adapters | [`git`] [`docker`] [`registry`] [`store`] [`logs`] [`notify`] [`control`] [`http`] [`backup`] [`memory`] | one outside system each, no policy |
//! | 3 orchestration | [`apply`] [`reconcile`] [`execute`] [`daemon`] | the flow of a run |
//! | 4 faces | [`config`] [`web`] [`cli`] | thin |

pub mod apply;
pub mod backup;
pub mod cli;
pub mod clock;
pub mod compose;
pub mod config;
pub mod control;
pub mod daemon;
pub mod docker;
pub mod execute;
pub mod git;
pub mod http;
pub mod image;
pub mod job;
pub mod logs;
pub mod memory;
pub mod notify;
pub mod plan;
pub mod problem;
pub mod queue;
pub mod reconcile;
pub mod registry;
pub mod run;
pub mod settings;
pub mod source;
pub mod store;
pub mod web;
