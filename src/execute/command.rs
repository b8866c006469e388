//! `command`: a program in our own container, without a shell, in a process group of its own.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::Child;
use tokio::time::Instant;
use tracing::{info, warn};

use super::sink::{ERR, OUT, Tee};
use super::stop::{GRACE, TERM};
use super::{Answer, Context, exited, failed, stopped};
use crate::apply::seconds;
use crate::job::work::Command;
use crate::run::{Details, Ending, Reason};

/// What a program gets of our own environment.
const PASSED_ON: [&str; 4] = ["PATH", "HOME", "LANG", "TZ"];
/// Where programs are looked for when nobody says.
const USUAL_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Bytes read at once.
const PIECE: usize = 16 * 1024;
/// How long those whom an ended program left behind may hold its output open.
const LEFT_BEHIND: Duration = Duration::from_secs(5);
/// Pause between two looks at a process group that is to end.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

pub(super) async fn command(context: Context<'_>, command: &Command) -> Answer {
    if !context.execution.allow_commands {
        let message = "jobs may not run programs in our own container: set \
                       AUTODEPLOY_ALLOW_COMMANDS=true in env.local, or make it a `run` job with an image";
        return Ok(failed(Reason::CommandsDisabled, message));
    }
    let Some(program) = command.argv.first() else {
        return Ok(failed(Reason::NotStarted, "there is no program to run"));
    };
    let mut tee = match Tee::open(&command.redirect) {
        Ok(tee) => tee,
        Err(error) => return Ok(failed(Reason::PrepareFailed, format!("{error:#}"))),
    };
    let made_of = |details: &mut Details| {
        details.command.clone_from(&command.argv);
        details.environment = command.environment.keys().cloned().collect();
    };
    context.made_of(made_of).await;
    let begun = Instant::now();
    let work = async { Ok(carry_out(context, command, &mut tee, begun).await) };
    context.step(format!("run {program}"), work).await
}

async fn carry_out(
    context: Context<'_>,
    command: &Command,
    tee: &mut Tee,
    begun: Instant,
) -> Ending {
    let mut child = match spawn(context, command) {
        Ok(child) => child,
        Err(error) => {
            let program = command.argv.first().map_or("", String::as_str);
            let hint = match error.kind() {
                io::ErrorKind::NotFound => {
                    ": is it installed in our container, and is its directory there?"
                }
                io::ErrorKind::PermissionDenied => ": is it executable?",
                _ => "",
            };
            return failed(Reason::NotStarted, format!("start `{program}`: {error}{hint}"));
        }
    };
    let group = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
    let ended = {
        let mut talk = Box::pin(talk(context, &mut child, command.stdin.as_deref(), tee, group));
        tokio::select! {
            status = &mut talk => status,
            () = context.cancel.cancelled() => {
                let mut end = std::pin::pin!(end_group(context, group));
                let how = tokio::select! {
                    how = &mut end => {
                        // It is dead; its last words are read.
                        let _ = tokio::time::timeout(LEFT_BEHIND * 2, &mut talk).await;
                        how
                    }
                    _ = &mut talk => end.await,
                };
                return stopped(how);
            }
        }
    };
    match ended {
        Ok(status) => ending_of(status, begun),
        Err(error) => failed(Reason::Internal, format!("wait for the program: {error}")),
    }
}

fn ending_of(status: ExitStatus, begun: Instant) -> Ending {
    let took = seconds(begun);
    match (status.code(), status.signal()) {
        (Some(code), _) => exited(i64::from(code), "", &took),
        (None, Some(signal)) => {
            // As a shell counts it.
            let ending = exited(128 + i64::from(signal), "", &took);
            Ending { message: format!("ended by signal {signal} after {took}"), ..ending }
        }
        (None, None) => failed(Reason::Internal, format!("ended with {status}")),
    }
}

fn spawn(context: Context<'_>, command: &Command) -> io::Result<Child> {
    let (program, arguments) =
        command.argv.split_first().ok_or_else(|| io::Error::other("no program"))?;
    let variables = environment(&context.world.variables, command);
    // The program is looked for where it itself would look, and not where we do.
    let path = variables.get("PATH").map_or(USUAL_PATH, String::as_str);
    let directory = command.working_dir.clone().unwrap_or_else(|| "/".into());
    let program = find(program, path, &directory)?;
    tokio::process::Command::new(program)
        .args(arguments)
        .env_clear()
        .envs(&variables)
        .current_dir(directory)
        .stdin(if command.stdin.is_some() { Stdio::piped() } else { Stdio::null() })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
}

fn find(program: &str, path: &str, directory: &std::path::Path) -> io::Result<std::path::PathBuf> {
    if program.contains('/') {
        return Ok(directory.join(program));
    }
    let places = path.split(':').map(|place| directory.join(place).join(program));
    let found = places.into_iter().find(|place| place.is_file());
    found.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("not in PATH ({path})")))
}

/// A few of our variables, and the job's own.
fn environment(ours: &BTreeMap<String, String>, command: &Command) -> BTreeMap<String, String> {
    let mut variables: BTreeMap<String, String> = PASSED_ON
        .iter()
        .filter_map(|name| Some(((*name).to_owned(), ours.get(*name)?.clone())))
        .collect();
    variables.entry("PATH".to_owned()).or_insert_with(|| USUAL_PATH.to_owned());
    variables.extend(command.environment.iter().map(|(name, value)| (name.clone(), value.clone())));
    variables
}

/// Feeds the program, passes its output on and waits for its end.
async fn talk(
    context: Context<'_>,
    child: &mut Child,
    stdin: Option<&[u8]>,
    tee: &mut Tee,
    group: Option<Pid>,
) -> io::Result<ExitStatus> {
    let input = child.stdin.take();
    let (mut out, mut err) = (child.stdout.take(), child.stderr.take());
    let feed = async {
        if let (Some(mut input), Some(bytes)) = (input, stdin) {
            // One that does not read its input may end well all the same.
            let _ = input.write_all(bytes).await;
        }
    };
    let mut listen = std::pin::pin!(async {
        let (mut out_piece, mut err_piece) = (vec![0; PIECE], vec![0; PIECE]);
        while out.is_some() || err.is_some() {
            let (stream, length) = tokio::select! {
                length = read(&mut out, &mut out_piece) => (OUT, length),
                length = read(&mut err, &mut err_piece) => (ERR, length),
            };
            let piece = if stream == OUT { &out_piece } else { &err_piece };
            tee.write(stream, &piece[..length]);
            context.sink.write(stream, &piece[..length]);
        }
    });
    let mut wait = std::pin::pin!(async { tokio::join!(child.wait(), feed).0 });
    let status = tokio::select! {
        status = &mut wait => status,
        () = &mut listen => return wait.await,
    };
    if tokio::time::timeout(LEFT_BEHIND, &mut listen).await.is_err() {
        warn!("what the program left behind holds its output open and is killed");
        let _ = group.map(|group| kill_process_group(group, Signal::KILL));
        let _ = tokio::time::timeout(LEFT_BEHIND, &mut listen).await;
    }
    status
}

/// Reads a piece; never ends on a stream that is closed.
async fn read(stream: &mut Option<impl AsyncRead + Unpin>, piece: &mut [u8]) -> usize {
    let Some(open) = stream else { return std::future::pending().await };
    match open.read(piece).await {
        Ok(length) if length > 0 => length,
        _ => {
            *stream = None;
            0
        }
    }
}

/// Ends a process group and says how.
async fn end_group(context: Context<'_>, group: Option<Pid>) -> String {
    let Some(group) = group else { return "it had ended".to_owned() };
    let stop = &context.job.policy.stop;
    let name = stop.signal.as_deref().unwrap_or(TERM);
    let grace = stop.grace.unwrap_or(GRACE);
    let asked = signal(name).unwrap_or_else(|| {
        warn!("`{name}` is no signal that we know: sending {TERM}");
        Signal::TERM
    });
    if kill_process_group(group, asked) == Err(Errno::SRCH) {
        return "it had ended".to_owned();
    }
    info!("sent {name} to the program and what it started");
    let deadline = Instant::now() + grace;
    while Instant::now() < deadline {
        // A zombie counts until it is waited for, which the one who talks to it does.
        if test_kill_process_group(group) == Err(Errno::SRCH) {
            return format!("ended by {name}");
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    let _ = kill_process_group(group, Signal::KILL);
    format!("killed, as {name} did not end it within {} s", grace.as_secs_f64())
}

fn signal(name: &str) -> Option<Signal> {
    Some(match name.strip_prefix("SIG").unwrap_or(name) {
        "HUP" | "1" => Signal::HUP,
        "INT" | "2" => Signal::INT,
        "QUIT" | "3" => Signal::QUIT,
        "ABRT" | "6" => Signal::ABORT,
        "KILL" | "9" => Signal::KILL,
        "USR1" | "10" => Signal::USR1,
        "USR2" | "12" => Signal::USR2,
        "ALRM" | "14" => Signal::ALARM,
        "TERM" | "15" => Signal::TERM,
        "WINCH" | "28" => Signal::WINCH,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn little_of_our_environment_is_passed_on() {
        let ours = [("PATH", "/p"), ("HOME", "/h"), ("TOKEN", "secret")];
        let ours = ours.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let given = [("A", "1"), ("HOME", "/other")];
        let environment = super::environment(
            &ours,
            &Command {
                environment: given.map(|(a, b)| (a.to_owned(), b.to_owned())).into_iter().collect(),
                ..Command::default()
            },
        );
        let found: Vec<_> = environment.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
        assert_eq!(found, [("A", "1"), ("HOME", "/other"), ("PATH", "/p")]);
    }

    #[test]
    fn signals_have_names_and_numbers() {
        for (name, expected) in [
            ("SIGTERM", Some(Signal::TERM)),
            ("USR1", Some(Signal::USR1)),
            ("9", Some(Signal::KILL)),
            ("SIGNONSENSE", None),
        ] {
            assert_eq!(signal(name), expected, "{name}");
        }
    }
}
