//! One dump: what a command in a container writes becomes a snapshot, if it ends well.

use anyhow::Result;
use tracing::warn;

use super::session::{Desk, End, Seen, Session};
use super::{Made, ending_of, quiesce};
use crate::backup::protocol::{Event, Failure, Frame, Label, Operation};
use crate::docker::{Stream, is_unreachable};
use crate::execute::exec;
use crate::execute::kill::{self, Marked};
use crate::execute::put_back::{Command, keep_last, words};
use crate::execute::sink::ERR;
use crate::execute::{Context, engine_ending, failed, stopped};
use crate::job::work::Repository;
use crate::plan::backup::{Dumped, dump_command};
use crate::run::{Ending, Reason};

/// Why there is no snapshot of a dump.
pub(super) struct NoDump {
    pub(super) ending: Ending,
    /// Whether what comes after it can do no better.
    pub(super) is_last: bool,
}

/// How a dump's command ended, seen from its output.
enum Pumped {
    /// By itself, with this exit code; and what it said last.
    Ended(i64, String),
    /// Nobody knows.
    Unknown(anyhow::Error),
}

/// Makes the snapshot of a dump.
pub(super) async fn dump(
    context: Context<'_>,
    desk: &Desk<'_>,
    repository: &Repository,
    (dumped, label): (&Dumped, &Label),
    made: &mut Made,
) -> Result<(), NoDump> {
    let operation = Operation::Dump { name: dumped.file.clone(), label: label.clone() };
    let begun = Session::begin(desk, repository, &Seen::default(), operation).await;
    let mut session = match begun {
        Ok(session) => session,
        Err(error) => return Err(NoDump { ending: not_begun(&error), is_last: true }),
    };
    let ended = with(context, &mut session, repository, dumped, made).await;
    session.close().await;
    ended
}

pub(super) fn not_begun(error: &anyhow::Error) -> Ending {
    if is_unreachable(error) {
        return engine_ending(error);
    }
    failed(Reason::NotStarted, format!("{error:#}; nothing was touched"))
}

async fn with(
    context: Context<'_>,
    session: &mut Session<'_>,
    repository: &Repository,
    dumped: &Dumped,
    made: &mut Made,
) -> Result<(), NoDump> {
    let engine = &context.world.engine;
    let what = format!("dump `{}`", dumped.file);
    let of_repository = |end: &End| NoDump {
        ending: ending_of(end, repository, &context.job.name, &what),
        is_last: true,
    };
    let is_ready = |event: &Event| matches!(event, Event::Ready);
    if let Some(end) = session.until(context.cancel, is_ready, &mut |event| made.hear(event)).await
    {
        return Err(of_repository(&end));
    }
    let (command, environment) = dump_command(&dumped.dump);
    let token = quiesce::token(context, &dumped.container);
    let mut variables: Vec<String> =
        environment.iter().map(|(name, it)| format!("{name}={}", it.expose())).collect();
    variables.push(format!("{}={token}", kill::VARIABLE));
    let mut command = match Command::start(engine, &dumped.id, &command, variables).await {
        Ok(command) => command,
        Err(error) => {
            let _ = session.input.tell(Frame::Cut, &[]).await;
            let message = format!("{what} in container `{}`: {error:#}", dumped.container);
            return Err(NoDump { ending: failed(Reason::NotStarted, message), is_last: false });
        }
    };
    let exec = command.exec.clone();
    let (mut pumped, mut end) = (None, None);
    {
        let pump = pump(context, &mut command, session);
        tokio::select! {
            ended = pump => match ended {
                Ok(ended) => pumped = Some(ended),
                Err(ended) => end = Some(ended),
            },
            () = context.cancel.cancelled() => {}
        }
    }
    let Some(pumped) = pumped else {
        let marked = Marked { container: &dumped.id, token: &token, user: "", privileged: false };
        let how = kill::end_exec(engine, &exec, &marked, &context.job.policy.stop).await;
        if let Err(error) = &how {
            warn!("the command of {what} may still run: {error:#}");
        }
        if let Some(end) = end {
            return Err(of_repository(&end));
        }
        session.hang_up().await;
        let ending = stopped(format!("stopped in {what}; nothing of it is kept"));
        return Err(NoDump { ending, is_last: true });
    };
    let is_whole = matches!(pumped, Pumped::Ended(0, _));
    let frame = if is_whole { Frame::Whole } else { Frame::Cut };
    let _ = session.input.tell(frame, &[]).await;
    let end = session.hear_out(context.cancel, &mut |event| made.hear(event)).await;
    match (pumped, end) {
        (Pumped::Ended(0, _), End::Done(summary)) => {
            made.snapshot(&dumped.file, *summary);
            Ok(())
        }
        (Pumped::Ended(0, _), end) => Err(of_repository(&end)),
        (Pumped::Ended(code, last_words), _) => {
            let message = format!(
                "{what}: the command in container `{}` exited with {code}: {last_words}; nothing of \
                 it is kept",
                dumped.container
            );
            let ending = failed(Reason::ExitedNonZero, message);
            Err(NoDump { ending, is_last: false })
        }
        (Pumped::Unknown(error), _) => {
            let message = format!("{what}: {error:#}; nothing of it is kept");
            let is_last = is_unreachable(&error);
            Err(NoDump { ending: failed(Reason::Incomplete, message), is_last })
        }
    }
}

/// Passes on what a command writes. Ends early where the worker does: with how.
async fn pump(
    context: Context<'_>,
    command: &mut Command,
    session: &mut Session<'_>,
) -> Result<Pumped, End> {
    let Session { input, ear, .. } = session;
    let pass_on = async {
        let mut said = Vec::new();
        loop {
            match command.next().await {
                Ok(Some(chunk)) if chunk.stream == Stream::Err => {
                    keep_last(&mut said, &chunk.bytes);
                    context.sink.write(ERR, &chunk.bytes);
                }
                Ok(Some(chunk)) => {
                    if input.tell(Frame::Piece, &chunk.bytes).await.is_err() {
                        // It says itself why it reads no more.
                        std::future::pending::<()>().await;
                    }
                }
                Ok(None) => break,
                Err(error) => return Pumped::Unknown(error),
            }
        }
        match exec::exit_code(&context.world.engine, &command.exec).await {
            Ok(code) => Pumped::Ended(code, words(&said)),
            Err(error) => Pumped::Unknown(error),
        }
    };
    let listen = async {
        loop {
            match ear.next().await {
                Ok(Some(Event::Failed { class, message })) => return End::Failed(class, message),
                Ok(Some(Event::Done(_))) => {
                    let message = "it was done before the dump was whole".to_owned();
                    return End::Failed(Failure::Other, message);
                }
                Ok(Some(_)) => {}
                Ok(None) => return End::Broken(anyhow::anyhow!("the worker ended in the middle")),
                Err(error) => return End::Broken(error),
            }
        }
    };
    tokio::select! {
        pumped = pass_on => Ok(pumped),
        end = listen => Err(end),
    }
}
