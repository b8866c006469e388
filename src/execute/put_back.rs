//! What a run did to others for a while, and owes them whatever becomes of it: containers that it stopped
//! or paused, commands that undo what one before did, a volume of its own.
//!
//! It is written down before it is done, so that a crash in between forgets nothing; putting back what
//! was not touched does no harm.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use futures_util::StreamExt as _;
use tokio::time::Instant;
use tracing::{error, info, warn};

use super::stop::end_container;
use super::{Context, exec, failed};
use crate::docker::{Attached, Chunk, Engine, ExecCommand, is_not_found, is_unreachable};
use crate::job::Stop;
use crate::plan::observed::State;
use crate::run::{Details, Ending, Owed, Reason};

/// How long the Engine may be away before we give up to put things back; less than a run has for that once
/// its time is over.
const KEEP_TRYING: Duration = Duration::from_mins(4);
const TRY_AGAIN_AFTER: Duration = Duration::from_secs(2);
/// How often what the Engine refuses is tried again.
const REFUSALS: usize = 5;
/// Bytes of what a command said last that are told.
const LAST_WORDS: usize = 2048;

/// How a command in a container ended.
pub(super) struct Ran {
    /// Its exit code.
    pub(super) code: i64,
    /// The end of what it wrote.
    pub(super) last_words: String,
}

/// Puts back what a run of a Roadstead that died owes, where nobody goes on with the run. One that cannot
/// be put back does not keep the others from it.
///
/// # Errors
///
/// When one of them cannot be put back.
pub async fn bring_back(engine: &Engine, details: &Details) -> Result<()> {
    let mut open = vec![details.clone()];
    let mut first_error = None;
    while let Some(details) = open.pop() {
        let members = details.results.as_ref().and_then(|it| it["members"].as_object().cloned());
        let members = members.unwrap_or_default().into_iter();
        open.extend(members.filter_map(|(_, it)| serde_json::from_value(it).ok()));
        if !details.owes() {
            continue;
        }
        // It has the ports of who was stopped, or reads what they are to write.
        if let Some(container) = &details.container {
            let stop = Stop { signal: None, grace: None };
            if let Err(error) = end_container(engine, container, &stop).await {
                first_error.get_or_insert(error);
            }
        }
        // The last that was stopped may be about to be: the Engine goes on with that without us.
        if let Some(last) = details.stopped.first() {
            let stop = Stop { signal: None, grace: None };
            if let Err(error) = end_container(engine, last, &stop).await {
                first_error.get_or_insert(error);
            }
        }
        for debt in debts(&details) {
            match settle(engine, &debt, details.container.as_deref()).await {
                Ok(()) => warn!("{}: left by an interrupted run, done now", debt.name()),
                Err(error) => {
                    warn!("{}: left by an interrupted run, and failed: {error:#}", debt.name());
                    first_error.get_or_insert(error);
                }
            }
        }
    }
    first_error.map_or(Ok(()), Err)
}

/// Puts back what the run owes; the ending says so where that cannot be done.
pub(super) async fn put_back(context: Context<'_>, ending: Ending) -> Ending {
    let down = all(context).await;
    if down.is_empty() {
        return ending;
    }
    let message = format!("{}; {}", ending.message, down.join("; "));
    failed(Reason::RollbackIncomplete, message)
}

/// Puts back what the run owes, and says what could not be.
pub(super) async fn all(context: Context<'_>) -> Vec<String> {
    let known = context.record.known(context.member).await.unwrap_or_default();
    let mut down = Vec::new();
    for debt in debts(&known) {
        let work = patiently(&context.world.engine, &debt, known.container.as_deref());
        match context.journal.step(debt.name(), work).await {
            Ok(()) => info!("{}: done", debt.name()),
            Err(error) => {
                error!("{error:#}");
                down.push(debt.complaint(&error));
            }
        }
    }
    if down.is_empty() && known.owes() {
        let nothing = |it: &mut Details| {
            it.stopped.clear();
            it.paused.clear();
            it.owed.clear();
            it.scratch = None;
        };
        context.made_of(nothing).await;
    }
    down
}

/// One thing that is owed.
enum Debt<'a> {
    Start(&'a str),
    Unpause(&'a str),
    Command(&'a Owed),
    Volume(&'a str),
}

fn debts(details: &Details) -> Vec<Debt<'_>> {
    let stopped = details.stopped.iter().map(|it| Debt::Start(it));
    let paused = details.paused.iter().map(|it| Debt::Unpause(it));
    let owed = details.owed.iter().map(Debt::Command);
    let scratch = details.scratch.iter().map(|it| Debt::Volume(it));
    stopped.chain(paused).chain(owed).chain(scratch).collect()
}

impl Debt<'_> {
    /// As a step.
    fn name(&self) -> String {
        match self {
            Self::Start(id) => format!("start container {}", short(id)),
            Self::Unpause(id) => format!("unpause container {}", short(id)),
            Self::Command(owed) => {
                let program = owed.command.first().map_or("", String::as_str);
                format!("run {program} in container {}", short(&owed.container))
            }
            Self::Volume(name) => format!("remove volume {name}"),
        }
    }

    fn complaint(&self, error: &anyhow::Error) -> String {
        match self {
            Self::Start(id) => {
                format!("container `{}` is down: {error:#}: start it by hand", short(id))
            }
            Self::Unpause(id) => {
                format!("container `{}` is paused: {error:#}: unpause it by hand", short(id))
            }
            Self::Command(owed) => format!(
                "`{}` in container `{}` failed: {error:#}: run it by hand",
                owed.command.join(" "),
                short(&owed.container)
            ),
            Self::Volume(name) => {
                format!("volume `{name}` is left: {error:#}: remove it by hand")
            }
        }
    }
}

fn short(id: &str) -> &str {
    id.get(..12).unwrap_or(id)
}

/// Waits for an Engine that is away, and tries again where it is refused.
async fn patiently(engine: &Engine, debt: &Debt<'_>, container: Option<&str>) -> Result<()> {
    let begun = Instant::now();
    let mut refusals = 0;
    loop {
        let Err(error) = settle(engine, debt, container).await else { return Ok(()) };
        // A command that ran is not run again.
        let is_over = matches!(debt, Debt::Command(_)) && !is_unreachable(&error);
        refusals += usize::from(!is_unreachable(&error));
        if is_over || refusals >= REFUSALS || begun.elapsed() >= KEEP_TRYING {
            return Err(error);
        }
        tokio::time::sleep(TRY_AGAIN_AFTER).await;
    }
}

async fn settle(engine: &Engine, debt: &Debt<'_>, container: Option<&str>) -> Result<()> {
    let settled = match debt {
        Debt::Start(id) => engine.start(id).await,
        Debt::Unpause(id) => unpause(engine, id).await,
        Debt::Command(owed) => undo(engine, owed).await,
        Debt::Volume(name) => {
            if let Some(container) = container {
                engine.discard(container, true).await?;
            }
            engine.remove_volume(name).await
        }
    };
    match settled {
        Err(error) if is_not_found(&error) => {
            // A deploy made another one in its place.
            warn!("{error:#}; it was removed meanwhile");
            Ok(())
        }
        settled => settled,
    }
}

/// Lets a container go on; one that is not paused any more is left as it is.
pub(super) async fn unpause(engine: &Engine, id: &str) -> Result<()> {
    match engine.about(id).await? {
        Some(about) if about.state == State::Paused => engine.unpause(id).await,
        _ => Ok(()),
    }
}

async fn undo(engine: &Engine, owed: &Owed) -> Result<()> {
    match engine.about(&owed.container).await? {
        Some(about) if about.state == State::Running => {}
        Some(about) => {
            warn!("container {} ended meanwhile: nothing is to be undone in it", about.name);
            return Ok(());
        }
        None => return Ok(()),
    }
    let mut command = Command::start(engine, &owed.container, &owed.command, Vec::new()).await?;
    match tokio::time::timeout(KEEP_TRYING, command.finish(engine)).await {
        Ok(Ok(ran)) if ran.code == 0 => Ok(()),
        Ok(Ok(ran)) => bail!("it exited with {}: {}", ran.code, ran.last_words),
        Ok(Err(error)) => Err(error),
        Err(_) => bail!("it did not end within {} s", KEEP_TRYING.as_secs()),
    }
}

/// A command in a running container.
pub(super) struct Command {
    /// Id of the exec.
    pub(super) exec: String,
    attached: Attached,
}

impl Command {
    /// Starts one.
    ///
    /// # Errors
    ///
    /// When it cannot be started, or the Engine does not answer.
    pub(super) async fn start(
        engine: &Engine,
        container: &str,
        command: &[String],
        environment: Vec<String>,
    ) -> Result<Self> {
        let command = ExecCommand {
            command: command.to_vec(),
            environment,
            attached: true,
            ..ExecCommand::default()
        };
        let exec = engine.create_exec(container, &command).await?;
        let attached = engine.start_exec(&exec, false).await?;
        Ok(Self { exec, attached })
    }

    /// The next piece of what it writes; `None` at the end.
    ///
    /// # Errors
    ///
    /// When the connection breaks.
    pub(super) async fn next(&mut self) -> Result<Option<Chunk>> {
        let next = self.attached.output.next().await;
        next.transpose().context("read the output of the command")
    }

    /// Waits for its end.
    ///
    /// # Errors
    ///
    /// When the Engine does not answer.
    pub(super) async fn finish(&mut self, engine: &Engine) -> Result<Ran> {
        let mut said = Vec::new();
        while let Some(chunk) = self.next().await? {
            keep_last(&mut said, &chunk.bytes);
        }
        let code = exec::exit_code(engine, &self.exec).await?;
        Ok(Ran { code, last_words: words(&said) })
    }
}

/// Appends, and keeps the end of it.
pub(super) fn keep_last(said: &mut Vec<u8>, bytes: &[u8]) {
    said.extend_from_slice(bytes);
    let over = said.len().saturating_sub(LAST_WORDS);
    said.drain(..over);
}

/// As text on one line.
pub(super) fn words(said: &[u8]) -> String {
    let text = String::from_utf8_lossy(said);
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|it| !it.is_empty()).collect();
    if lines.is_empty() { "it said nothing".to_owned() } else { lines.join(" / ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_is_owed_is_put_back_containers_first() {
        let owed = Owed { container: "c".to_owned(), command: vec!["thaw".to_owned()] };
        let details = Details {
            stopped: vec!["a".to_owned(), "b".to_owned()],
            paused: vec!["p".to_owned()],
            owed: vec![owed],
            scratch: Some("v".to_owned()),
            ..Details::default()
        };
        assert!(details.owes() && !Details::default().owes());
        let names: Vec<String> = debts(&details).iter().map(Debt::name).collect();
        let expected = [
            "start container a",
            "start container b",
            "unpause container p",
            "run thaw in container c",
            "remove volume v",
        ];
        assert_eq!(names, expected);
    }

    #[test]
    fn last_words_are_the_end_on_one_line() {
        let mut said = Vec::new();
        keep_last(&mut said, &[b'x'; LAST_WORDS]);
        keep_last(&mut said, b"\nno such role\n\n");
        assert_eq!(said.len(), LAST_WORDS);
        assert!(words(&said).ends_with("x / no such role"), "{}", words(&said));
        assert_eq!(words(b" \n"), "it said nothing");
    }
}
