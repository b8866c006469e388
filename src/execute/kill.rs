//! Ending a command in a container before its time, with all that it started.
//!
//! Docker has no call for that, and the process id that it tells is one of the host, which means
//! nothing in a container of ours. So each command carries a variable of its own, which whatever it
//! starts inherits; a second command in the same container, a few lines of shell, finds those who have
//! it, their children and the members of their sessions, and signals them. Nothing is wrapped around
//! the command itself. A container without a shell cannot be helped that way: then the ending says so.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Result, bail};
use futures_util::StreamExt;
use tokio::time::Instant;

use super::stop::{GRACE, KILL, TERM};
use crate::docker::{Engine, ExecCommand};
use crate::job::Stop;

/// The variable that a command is found by.
pub(super) const VARIABLE: &str = "ROADSTEAD_EXEC";
/// Pause between two looks at what is to end.
const LOOK_AGAIN: Duration = Duration::from_millis(200);
/// How long those who were killed may take to end.
const KILLED_WITHIN: Duration = Duration::from_secs(10);
/// How long the shell may take.
const SHELL_DEADLINE: Duration = Duration::from_secs(30);
/// Bytes of what the shell says that are read.
const LONGEST_REPORT: usize = 64 * 1024;

/// Finds, signals and reports: `$1` is the mark, `$2` the signal (`0` only looks), `$3` sessions that
/// were found before. Only what a shell has built in. Prints `pid session` of each, and `DENIED pid`
/// where a signal was refused.
const SCRIPT: &str = r#"
mark=$1 signal=$2 sessions=" $3 " found=" "
of() { read -r line < "/proc/$1/stat" || return 1; set -- ${line##*) }; state=$1 parent=$2 session=$4; }
add() { found="$found$1 "; case $session in 0|1) ;; *) sessions="$sessions$session " ;; esac; }
for dir in /proc/[0-9]*; do
  pid=${dir#/proc/}
  [ "$pid" = "$$" ] && continue
  has=
  while IFS= read -r line || [ -n "$line" ]; do
    case $line in *"$mark"*) has=1 ;; esac
    [ -n "$has" ] && break
    line=
  done < "$dir/environ"
  if [ -n "$has" ] && of "$pid" && [ "$state" != Z ]; then add "$pid"; fi
done 2>/dev/null
more=1
while [ -n "$more" ]; do
  more=
  for dir in /proc/[0-9]*; do
    pid=${dir#/proc/}
    [ "$pid" = "$$" ] && continue
    [ "$pid" = 1 ] && continue
    case $found in *" $pid "*) continue ;; esac
    of "$pid" || continue
    [ "$state" = Z ] && continue
    case "$found|$sessions" in *" $parent "*"|"*|*"|"*" $session "*) add "$pid"; more=1 ;; esac
  done
done 2>/dev/null
for pid in $found; do
  of "$pid" 2>/dev/null || continue
  echo "$pid $session"
  [ "$signal" = 0 ] || kill -s "$signal" "$pid" 2>/dev/null || { of "$pid" 2>/dev/null && echo "DENIED $pid"; }
done
exit 0
"#;

/// A command by which it is found in its container.
#[derive(Clone, Copy, Debug)]
pub(super) struct Marked<'a> {
    /// Id of the container.
    pub(super) container: &'a str,
    /// Value of [`VARIABLE`].
    pub(super) token: &'a str,
    /// The user it runs as; only the same one may read its variables.
    pub(super) user: &'a str,
    /// Whether it has all privileges; with fewer, its variables cannot be read.
    pub(super) privileged: bool,
}

/// What a look found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Report {
    pids: BTreeSet<String>,
    sessions: BTreeSet<String>,
    denied: BTreeSet<String>,
}

/// Ends a command with all that it started, and says how.
///
/// # Errors
///
/// When that is not possible, or the Engine does not answer; the command may still run then.
pub(super) async fn end_exec(
    engine: &Engine,
    exec: &str,
    marked: &Marked<'_>,
    stop: &Stop,
) -> Result<String> {
    let signal = stop.signal.as_deref().unwrap_or(TERM);
    let grace = stop.grace.unwrap_or(GRACE);
    let mut sessions = BTreeSet::new();
    let mut asked_nicely = false;
    for (signal, patience) in [(signal, grace), (KILL, KILLED_WITHIN)] {
        let deadline = Instant::now() + patience;
        let mut report = look(engine, marked, signal, &mut sessions).await?;
        if !report.denied.is_empty() {
            // What became another user is root's to end.
            as_root(engine, marked, signal, &report.denied).await?;
        }
        loop {
            if report.pids.is_empty() {
                let code = engine.exec_exit_code(exec).await?;
                let code = code.map_or_else(String::new, |code| format!(", exited with {code}"));
                return Ok(match (asked_nicely, code.is_empty()) {
                    (_, true) => continue_or_give_up(engine, exec).await?,
                    (false, _) => format!("the command ended by {signal}{code}"),
                    (true, _) => {
                        let seconds = grace.as_secs_f64();
                        format!(
                            "the command was killed, as it did not end within {seconds} s{code}"
                        )
                    }
                });
            }
            if Instant::now() >= deadline {
                break;
            }
            tokio::time::sleep(LOOK_AGAIN).await;
            report = look(engine, marked, "0", &mut sessions).await?;
        }
        asked_nicely = true;
    }
    bail!("the command does not end, not even by {KILL}: it may still run")
}

/// Nobody is left whom the mark would name, and yet the Engine thinks that it runs.
async fn continue_or_give_up(engine: &Engine, exec: &str) -> Result<String> {
    let deadline = Instant::now() + KILLED_WITHIN;
    while Instant::now() < deadline {
        if let Some(code) = engine.exec_exit_code(exec).await? {
            return Ok(format!("the command was ended, exited with {code}"));
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    bail!(
        "the command cannot be found in its container (does it hide its environment?): it may still run"
    )
}

/// Looks for the processes of a command, and signals them unless the signal is `0`.
async fn look(
    engine: &Engine,
    marked: &Marked<'_>,
    signal: &str,
    sessions: &mut BTreeSet<String>,
) -> Result<Report> {
    let known = sessions.iter().map(String::as_str).collect::<Vec<_>>().join(" ");
    let mark = format!("{VARIABLE}={}", marked.token);
    let arguments = [mark.as_str(), signal.trim_start_matches("SIG"), &known];
    let text = shell(engine, marked, marked.user, (SCRIPT, &arguments)).await?;
    let report = read(&text);
    sessions.extend(report.sessions.iter().cloned());
    Ok(report)
}

async fn as_root(
    engine: &Engine,
    marked: &Marked<'_>,
    signal: &str,
    pids: &BTreeSet<String>,
) -> Result<()> {
    let pids: Vec<&str> = pids.iter().map(String::as_str).collect();
    let script = "signal=$1; shift; kill -s \"$signal\" \"$@\" 2>/dev/null; exit 0";
    let mut arguments = vec![signal.trim_start_matches("SIG")];
    arguments.extend(pids);
    shell(engine, marked, "0", (script, &arguments)).await.map(drop)
}

/// Runs a script in the command's container and returns what it prints.
async fn shell(
    engine: &Engine,
    marked: &Marked<'_>,
    user: &str,
    (script, arguments): (&str, &[&str]),
) -> Result<String> {
    let words = [&["sh", "-c", script, "sh"], arguments].concat();
    let command = ExecCommand {
        command: words.into_iter().map(str::to_owned).collect(),
        user: user.to_owned(),
        working_dir: "/".to_owned(),
        privileged: marked.privileged,
        attached: true,
        ..ExecCommand::default()
    };
    let work = async {
        let exec = engine.create_exec(marked.container, &command).await?;
        let mut attached = engine.start_exec(&exec, false).await?;
        let mut text = Vec::new();
        while let Some(chunk) = attached.output.next().await {
            let room = LONGEST_REPORT.saturating_sub(text.len());
            let bytes = chunk?.bytes;
            text.extend_from_slice(&bytes[..bytes.len().min(room)]);
        }
        while engine.exec_exit_code(&exec).await?.is_none() {
            tokio::time::sleep(LOOK_AGAIN / 10).await;
        }
        let code = engine.exec_exit_code(&exec).await?.unwrap_or_default();
        let text = String::from_utf8_lossy(&text).into_owned();
        anyhow::ensure!(code == 0, "{}", text.trim());
        anyhow::Ok(text)
    };
    let said = tokio::time::timeout(SHELL_DEADLINE, work).await;
    let why = match said {
        Ok(Ok(text)) => return Ok(text),
        Ok(Err(error)) if crate::docker::is_unreachable(&error) => return Err(error),
        // Without its container there is no command, either.
        Ok(Err(_)) if !is_running(engine, marked.container).await? => return Ok(String::new()),
        Ok(Err(error)) => format!("{error:#}"),
        Err(_) => format!("no answer in {} s", SHELL_DEADLINE.as_secs()),
    };
    bail!(
        "the command may still run: Docker cannot end one, and the container has no shell to do it with \
         ({why}); restart the container to be sure"
    )
}

async fn is_running(engine: &Engine, container: &str) -> Result<bool> {
    let about = engine.about(container).await?;
    Ok(about.is_some_and(|it| it.state == crate::plan::observed::State::Running))
}

fn read(text: &str) -> Report {
    let mut report = Report::default();
    for line in text.lines() {
        match line.split_whitespace().collect::<Vec<_>>()[..] {
            ["DENIED", pid] => {
                report.denied.insert(pid.to_owned());
            }
            [pid, session] => {
                report.pids.insert(pid.to_owned());
                // Those of the container's own process and of the world outside are not ours.
                if !matches!(session, "0" | "1") {
                    report.sessions.insert(session.to_owned());
                }
            }
            _ => {}
        }
    }
    report
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_of_the_shell_are_read() {
        let set = |items: &[&str]| items.iter().map(|it| (*it).to_owned()).collect();
        for (text, pids, sessions, denied) in [
            ("", &[][..], &[][..], &[][..]),
            ("7 7\n9 7\n", &["7", "9"], &["7"], &[]),
            ("7 7\nDENIED 7\n", &["7"], &["7"], &["7"]),
            ("7 1\n8 0\n", &["7", "8"], &[], &[]),
            ("sh: not found\n", &[], &[], &[]),
        ] {
            let expected = Report { pids: set(pids), sessions: set(sessions), denied: set(denied) };
            assert_eq!(read(text), expected, "{text:?}");
        }
    }
}
