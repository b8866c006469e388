//! Repositories of restic's format, read and written by a process of its own.
//!
//! The daemon never opens a repository: it starts `roadstead backup-worker` in a container that has the
//! volumes mounted, tells it on its standard input what to do, and reads from its standard output how
//! that goes. So the memory of an index and the threads of `rustic_core` end with the work, and a worker
//! whose daemon dies loses its input and ends, too.
//!
//! What the library does not do, or not well, is done here: it writes no locks (`locks`); it only warns of
//! what it cannot read, leaves that out and goes on, does not know the size of a stream before its end,
//! and is slow with small files, so snapshots are written without it (`tree`, `dump`, `write`). Where a job
//! asks for it, the program restic does the work as a child of the worker (`restic`), or each snapshot is
//! one archive (`archive`).

mod archive;
mod check;
mod diff;
mod dump;
mod files;
mod forget;
mod frames;
mod locks;
pub mod protocol;
mod prune;
mod repository;
mod restic;
mod restore;
mod seal;
mod snapshots;
mod source;
mod store;
mod talk;
mod tree;
mod write;

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use self::frames::Told;
use self::protocol::{Failure, Operation, Request, Summary, Tool};
use self::repository::Site;
use self::talk::{Failed, Outcome, Talk};

/// Does what one request on standard input says, and ends the process.
pub fn worker() -> ! {
    let talk = Arc::new(Talk::default());
    // What a thread of the library dies of is caught below and said as an event.
    std::panic::set_hook(Box::new(|_| {}));
    talk::warn_by(&talk);
    frames::end_by_signal(&talk);
    // A statement of its own: the thread that follows the input needs it, too.
    let request = frames::request(&mut std::io::stdin().lock());
    let outcome = request.and_then(|request| carry_out(request, &talk));
    talk.end(outcome)
}

fn carry_out(request: Request, talk: &Arc<Talk>) -> Outcome<Summary> {
    let Request { repository, operation, holder } = request;
    let told = Told::follow(talk, matches!(operation, Operation::Dump { .. }));
    match &repository.tool {
        Tool::Rustic => {}
        Tool::Restic => return restic::carry_out(&repository, operation, (talk, told)),
        Tool::Tar { .. } => return archive::carry_out(&repository, operation, (talk, told)),
    }
    let site = Site::new(repository, operation.word(), holder, talk)?;
    let done = catch_unwind(AssertUnwindSafe(|| dispatch(operation, &site, told)));
    done.unwrap_or_else(|panic| {
        Err(site.backend.cause(|| {
            let what = text_of(&*panic);
            let class = if what.contains("StorageFull") { Failure::Full } else { Failure::Other };
            Failed::new(class, format!("the work broke off: {what}"))
        }))
    })
    .map(|summary| Summary { troubles: talk.troubles(), ..summary })
}

fn dispatch(operation: Operation, site: &Site, told: Told) -> Outcome<Summary> {
    match operation {
        Operation::Backup { paths, exclude, exclude_caches, label, dry_run } => {
            let what = tree::What { paths, exclude, exclude_caches, label, dry_run };
            tree::backup(site, &what, &told)
        }
        Operation::Dump { name, label } => dump::dump(site, &name, &label, told),
        Operation::Snapshots { tags } => snapshots::list(site, &tags),
        Operation::Files { snapshot, tags, path } => {
            files::files(site, (&snapshot, &tags), path.as_deref())
        }
        Operation::Diff { from, to } => diff::diff(site, &from, &to),
        Operation::Restore { snapshot, tags, path, to, delete, dry_run } => {
            let what = restore::What { path, to, delete, dry_run };
            restore::restore(site, (&snapshot, &tags), &what)
        }
        Operation::Forget { tags, keep, dry_run } => forget::forget(site, &tags, &keep, dry_run),
        Operation::Prune { dry_run } => prune::prune(site, dry_run),
        Operation::Check { number, of } => check::check(site, number, of),
        Operation::Unlock { all } => site.unlock(all),
    }
}

impl Operation {
    /// Whether it reads what a snapshot holds, so that it needs the keys for that.
    pub fn opens_snapshots(&self) -> bool {
        matches!(self, Self::Files { .. } | Self::Diff { .. } | Self::Restore { .. })
    }

    /// Its word in reports of progress.
    fn word(&self) -> &'static str {
        match self {
            Self::Backup { .. } => "backup",
            Self::Dump { .. } => "dump",
            Self::Snapshots { .. } => "snapshots",
            Self::Files { .. } => "files",
            Self::Diff { .. } => "diff",
            Self::Restore { .. } => "restore",
            Self::Forget { .. } => "forget",
            Self::Prune { .. } => "prune",
            Self::Check { .. } => "check",
            Self::Unlock { .. } => "unlock",
        }
    }
}

fn text_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("for no known reason")
        .to_owned()
}

/// Waits in this thread.
#[expect(clippy::disallowed_methods, reason = "a worker is a process without a runtime")]
fn pause(time: Duration) {
    std::thread::sleep(time);
}
