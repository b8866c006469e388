//! Integration tests: real git repositories, a real Docker Engine, the real binary.
//!
//! One binary, so that one private engine serves all tests. Each area has its module; `support` is
//! the rig they stand on and `rig` proves that it works.

mod accounting;
mod accounting_crash;
mod accounting_transitions;
mod adoption;
mod backup;
mod backup_archive;
mod backup_databases;
mod backup_more;
mod backup_mysql;
mod backup_postgres;
mod backup_remote;
mod backup_restic;
mod backup_restic_remote;
mod backup_restore;
mod backup_worker;
mod backup_worker_archive;
mod backup_worker_remote;
mod backup_worker_restic;
mod backup_worker_upkeep;
mod bad_days;
mod bad_input;
mod build;
mod buildkit;
mod cache_refresh;
mod cache_sync;
mod cli;
mod cli_compose;
mod clock_commands;
mod compose_attached;
mod compose_flags;
mod compose_images;
mod compose_keep;
mod compose_scripts;
mod compose_up;
mod compose_verbs;
mod converge;
mod crash;
mod create_bodies;
mod deploy;
mod deploy_builds;
#[path = "../git_world/mod.rs"]
#[expect(
    dead_code,
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "the servers of the tests of git; more than is used here"
)]
mod git_world;
mod housekeeping_bad_days;
mod housekeeping_certificate;
mod housekeeping_clean;
mod housekeeping_prune;
mod housekeeping_rotate;
mod image;
mod interop;
mod job_kinds;
mod job_kinds_adopt;
mod job_kinds_calls;
mod job_kinds_cut_off;
mod jobs;
mod ofelia_labels;
mod output;
mod registry;
mod rig;
mod rollback;
mod support;
mod sync_archive;
mod sync_git;
mod transfer;
mod unchanged;
mod web;
