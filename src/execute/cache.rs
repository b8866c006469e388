//! `cache_sync`: the caches of pools of QGIS servers are made equal, and looked at until that is proven.
//!
//! Speaks both dialects of qjazz, and decides nothing: what an answer means is said in `plan::cache`.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::http::head;
use super::ogc::segment;
use super::sink::OUT;
use super::{Answer, Context, failed, stopped};
use crate::compose::model::Hidden;
use crate::http::{Answer as HttpAnswer, Call, Class, Client, Failure, Url, shown_hidden};
use crate::job::work::{CacheDialect, CacheSync, Connection, Pools, Token};
use crate::plan::cache::{
    Backend, Standing, Verdict, backends_of, content_of, is_admin, items_of, labels_of, one_of,
    routes_of, verify, verify_whole,
};
use crate::run::{Ending, Outcome, Reason};
use crate::source::counted;

/// Bytes of an answer beyond which it is not read on: about 40,000 entries of a cache. As values it takes
/// several times as much.
const LARGEST_ANSWER: usize = 16 * 1024 * 1024;
/// Bytes of a server's own words that a message quotes.
const QUOTED: usize = 300;
/// Missing pairs that the log names; the record has more of them.
const NAMED: usize = 20;
/// How often a pool is synchronised before it is said to be out of sync.
const ROUNDS: usize = 2;

/// Why something is not known of a pool.
struct Fault {
    /// The word in results.
    class: &'static str,
    reason: Reason,
    message: String,
}

impl Fault {
    fn new(class: &'static str, reason: Reason, message: impl Into<String>) -> Self {
        Self { class, reason, message: message.into() }
    }

    /// Whether the other pools of the server would meet the same.
    fn is_of_server(&self) -> bool {
        matches!(self.class, "unauthorized" | "connect" | "tls" | "invalid")
    }
}

/// A pool, and what was found.
struct Looked {
    pool: String,
    found: Result<Verdict, Fault>,
}

/// What is out of sync, for `plan`.
pub struct CacheProspect {
    pools: Vec<Looked>,
    dialect: &'static str,
}

impl CacheProspect {
    /// The whole in a few words.
    pub fn summary(&self) -> String {
        let missing: usize = self.verdicts().map(|(_, verdict)| verdict.missing.len()).sum();
        format!("{}, {missing} missing", counted(self.pools.len(), "pool"))
    }

    /// Each pool, and what is missing in it.
    pub fn lines(&self) -> Vec<String> {
        let of_pool = |(pool, verdict): (&str, &Verdict)| {
            let first = format!("{pool}: {}", verdict.summary());
            let each = verdict.missing.iter().map(|it| format!("  missing: {}", it.named()));
            std::iter::once(first).chain(each).collect::<Vec<_>>()
        };
        self.verdicts().flat_map(of_pool).collect()
    }

    /// Whether a run would have something to do.
    pub fn changes(&self) -> bool {
        self.verdicts().any(|(_, verdict)| !verdict.missing.is_empty())
    }

    /// What could not be looked at.
    pub fn troubles(&self) -> Vec<String> {
        let silent = self.verdicts().flat_map(|(pool, verdict)| {
            verdict.unavailable.iter().map(move |at| format!("{pool}: no answer from {at}"))
        });
        let faults = self.pools.iter().filter_map(|it| {
            let fault = it.found.as_ref().err()?;
            Some(format!("{}: {}", it.pool, fault.message))
        });
        silent.chain(faults).collect()
    }

    /// The whole for programs.
    pub fn value(&self) -> Value {
        results(self.dialect, &self.pools)
    }

    fn verdicts(&self) -> impl Iterator<Item = (&str, &Verdict)> {
        self.pools.iter().filter_map(|it| Some((it.pool.as_str(), it.found.as_ref().ok()?)))
    }
}

/// Looks at what is out of sync; changes nothing.
///
/// # Errors
///
/// When the server cannot be asked at all.
pub async fn cache_prospect(
    work: &CacheSync,
    cancel: &CancellationToken,
) -> anyhow::Result<CacheProspect> {
    tokio::select! {
        found = look_at(work) => found.map_err(|fault| anyhow::anyhow!(fault.message)),
        () = cancel.cancelled() => Err(anyhow::anyhow!("stopped while it was looked around")),
    }
}

async fn look_at(work: &CacheSync) -> Result<CacheProspect, Fault> {
    let (server, names) = Server::open(work).await?;
    let mut pools = Vec::new();
    for pool in names {
        let found = server.look(&pool).await;
        pools.push(Looked { pool, found });
    }
    Ok(CacheProspect { pools, dialect: server.dialect() })
}

pub(super) async fn sync(context: Context<'_>, work: &CacheSync) -> Answer {
    let command = vec!["PATCH".to_owned(), shown_hidden(&work.url)];
    context.made_of(|details| details.command = command).await;
    if work.dry_run {
        return Ok(dry_run(context, work).await);
    }
    let mut looked = Vec::new();
    let mut dialect = "unknown";
    let all = async {
        let (server, pools) = Server::open(work).await?;
        dialect = server.dialect();
        info!("the server speaks `{dialect}`, pools: {}", pools.join(", "));
        if work.rescan_backends && server.is_admin {
            server.rescan().await?;
        }
        for pool in pools {
            let step = format!("synchronise the caches of pool {pool}");
            let mut found = None;
            let syncing = async {
                let sync = server.sync(&pool).await;
                let wrong = sync.as_ref().err().map(|fault| fault.message.clone());
                found = Some(sync);
                wrong.map_or(Ok(()), |message| Err(anyhow::anyhow!(message)))
            };
            // The journal's error is the fault's own message.
            let journaled = context.journal.step(step, syncing).await;
            let found = found.unwrap_or_else(|| {
                let message = journaled.err().map(|error| format!("{error:#}"));
                Err(Fault::new("internal", Reason::Internal, message.unwrap_or_default()))
            });
            let is_over = found.as_ref().is_err_and(Fault::is_of_server);
            tell(context, &pool, &found);
            looked.push(Looked { pool, found });
            if is_over {
                break;
            }
        }
        Ok::<(), Fault>(())
    };
    let done = tokio::select! {
        done = all => Some(done),
        () = context.cancel.cancelled() => None,
    };
    let results = results(dialect, &looked);
    context.made_of(|details| details.results = Some(results)).await;
    Ok(match done {
        None => stopped(format!("stopped after {}", counted(looked.len(), "pool"))),
        Some(Err(fault)) => failed(fault.reason, fault.message),
        Some(Ok(())) => ending(work, &looked),
    })
}

async fn dry_run(context: Context<'_>, work: &CacheSync) -> Ending {
    let looked = tokio::select! {
        looked = look_at(work) => looked,
        () = context.cancel.cancelled() => return stopped("stopped while it was looked around"),
    };
    let prospect = match looked {
        Ok(prospect) => prospect,
        Err(fault) => return failed(fault.reason, fault.message),
    };
    for line in prospect.lines().iter().chain(&prospect.troubles()) {
        context.sink.line(OUT, line);
    }
    let results = prospect.value();
    context.made_of(|details| details.results = Some(results)).await;
    if let Some(fault) = prospect.pools.iter().find_map(|it| it.found.as_ref().err()) {
        let message = format!("dry run: {}", prospect.troubles().join("; "));
        return failed(fault.reason, message);
    }
    let message = format!("dry run: {}; nothing was done", prospect.summary());
    Ending::new(Outcome::Succeeded, Reason::Done, message)
}

/// Says what was found of a pool.
fn tell(context: Context<'_>, pool: &str, found: &Result<Verdict, Fault>) {
    match found {
        Err(fault) => warn!("{pool}: {}", fault.message),
        Ok(verdict) => {
            context.sink.line(OUT, &format!("{pool}: {}", verdict.summary()));
            for missing in verdict.missing.iter().take(NAMED) {
                warn!("{pool}: missing: {}", missing.named());
            }
            if verdict.missing.len() > NAMED {
                warn!("{pool}: and {} more", verdict.missing.len() - NAMED);
            }
            for address in &verdict.unavailable {
                warn!("{pool}: no answer from {address}");
            }
            for uri in verdict.removed.iter().take(NAMED) {
                info!("{pool}: {uri} is no more");
            }
        }
    }
}

fn results(dialect: &str, looked: &[Looked]) -> Value {
    let of_pool = |it: &Looked| match &it.found {
        Ok(verdict) => verdict.results(&it.pool),
        Err(fault) => json!({
            "pool": it.pool, "error": {"class": fault.class, "message": fault.message},
        }),
    };
    json!({ "dialect": dialect, "pools": looked.iter().map(of_pool).collect::<Vec<_>>() })
}

/// How the run ended, from what was found of each pool.
fn ending(work: &CacheSync, looked: &[Looked]) -> Ending {
    let (mut wrong, mut degraded, mut fine) = (Vec::new(), Vec::new(), Vec::new());
    for Looked { pool, found } in looked {
        match found {
            Err(fault) => wrong.push((fault.reason, format!("{pool}: {}", fault.message))),
            Ok(verdict) => {
                let told = format!("{pool}: {}", verdict.summary());
                match verdict.standing(work.require_all_backends) {
                    Standing::InSync => fine.push(told),
                    Standing::Unknown => fine.push(format!("{told} (in sync: unknown)")),
                    Standing::Degraded => degraded.push(told),
                    Standing::OutOfSync => wrong.push((Reason::OutOfSync, told)),
                    Standing::NoBackends => wrong.push((Reason::NoBackends, told)),
                }
            }
        }
    }
    let all = counted(looked.len(), "pool");
    // What another try may mend counts before what it cannot.
    if let Some(reason) = wrong.iter().map(|(reason, _)| *reason).min_by_key(|it| it.is_final()) {
        let told: Vec<String> = wrong.into_iter().map(|(_, told)| told).collect();
        return failed(reason, format!("{} of {all} failed: {}", told.len(), told.join("; ")));
    }
    if !degraded.is_empty() {
        let told = degraded.join("; ");
        let message = format!("{} of {all} degraded: {told}", degraded.len());
        return Ending::new(Outcome::Degraded, Reason::Incomplete, message);
    }
    let message =
        if fine.is_empty() { "the server has no pools".to_owned() } else { fine.join("; ") };
    Ending::new(Outcome::Succeeded, Reason::Done, message)
}

/// One server, and how it is spoken to.
struct Server<'a> {
    client: Client,
    work: &'a CacheSync,
    base: &'a str,
    authorization: Option<Hidden>,
    /// Whether it is the admin service.
    is_admin: bool,
}

impl<'a> Server<'a> {
    /// Finds out how the server is spoken to, and which of its pools are meant.
    async fn open(work: &'a CacheSync) -> Result<(Self, Vec<String>), Fault> {
        let prepare = |error: anyhow::Error| {
            Fault::new("invalid", Reason::PrepareFailed, format!("{error:#}"))
        };
        // A redirect would make a GET of a PATCH, and say that all is well.
        let connection = Connection { ca_file: work.ca_file.clone(), ..Connection::default() };
        let client = Client::new(&connection).map_err(prepare)?;
        let token = match &work.token {
            None => None,
            Some(Token::Value(token)) => Some(token.expose().trim().to_owned()),
            Some(Token::File(path)) => Some(read_token(path).map_err(prepare)?),
        };
        let authorization = token.map(|token| Hidden::new(format!("Bearer {token}")));
        let base = work.url.expose().trim_end_matches('/');
        let mut server = Self { client, work, base, authorization, is_admin: false };
        let mut page = None;
        server.is_admin = match work.dialect {
            CacheDialect::V1 => true,
            CacheDialect::Map => false,
            CacheDialect::Auto => {
                let found = server.page().await?;
                let is_admin = is_admin(&found);
                page = Some(found);
                is_admin
            }
        };
        let pools = match &work.pools {
            Pools::Named(names) => names.clone(),
            Pools::All if server.is_admin => {
                let list = server.ask("GET", "/v1/pools/", None, None).await?;
                labels_of(&list).map_err(|why| strange("/v1/pools/", &why))?
            }
            Pools::All => {
                let page = match page {
                    Some(page) => page,
                    None => server.page().await?,
                };
                let path = Url::parse(base).map(|url| url.path().to_owned()).unwrap_or_default();
                routes_of(&page, &path)
            }
        };
        Ok((server, pools))
    }

    fn dialect(&self) -> &'static str {
        if self.is_admin { "v1" } else { "map" }
    }

    /// What the server says at its root: JSON, or nothing that we know.
    async fn page(&self) -> Result<Value, Fault> {
        let answer = self.call("GET", "/", None).await?;
        match answer.status {
            401 | 403 | 502..=504 => Err(self.refused("/", None, &answer)),
            _ => Ok(answer.json().unwrap_or(Value::Null)),
        }
    }

    /// Has the admin service look again which backends there are.
    async fn rescan(&self) -> Result<(), Fault> {
        self.ask("PATCH", "/v1/pools", None, None).await.map(drop)
    }

    /// Makes a pool equal, once more where that did not suffice.
    async fn sync(&self, pool: &str) -> Result<Verdict, Fault> {
        let mut verdict = Verdict::default();
        for round in 1..=ROUNDS {
            verdict = if self.is_admin {
                self.sync_by_admin(pool).await?
            } else {
                self.sync_by_map(pool).await?
            };
            if verdict.missing.is_empty() {
                break;
            }
            if round < ROUNDS {
                info!("{pool}: {}; once more", verdict.summary());
            }
        }
        Ok(verdict)
    }

    async fn sync_by_admin(&self, pool: &str) -> Result<Verdict, Fault> {
        let path = format!("/v1/pools/{}/cache", segment(pool));
        let mut backends = self.backends(pool).await?;
        if !self.work.pull.is_empty() {
            let uris = json!(self.work.pull);
            self.ask("PUT", &path, Some(&uris), Some(pool)).await?;
        }
        let answer = self.ask("PATCH", &path, None, Some(pool)).await?;
        let content = content_of(&answer).map_err(|why| strange(&path, &why))?;
        if content.is_empty() {
            // Either nothing is cached, or nobody answers any more.
            backends = self.backends(pool).await?;
        }
        Ok(verify(&content, &backends, &self.work.pull))
    }

    async fn sync_by_map(&self, route: &str) -> Result<Verdict, Fault> {
        let path = projects(route);
        let mut pulled = BTreeMap::new();
        for uri in &self.work.pull {
            let answer = self.ask("POST", &path, Some(&json!({"uri": uri})), Some(route)).await?;
            let (_, item) = one_of(&answer).map_err(|why| strange(&path, &why))?;
            pulled.insert(uri.clone(), item);
        }
        let answer = self.ask("POST", &path, Some(&json!({"uri": null})), Some(route)).await?;
        let mut items = items_of(&answer).map_err(|why| strange(&path, &why))?;
        for (uri, item) in pulled {
            // A server that does not disclose its projects lists them by other names.
            items.entry(uri).or_insert(item);
        }
        Ok(verify_whole(&items, &self.work.pull))
    }

    /// What a pool has now; changes nothing.
    async fn look(&self, pool: &str) -> Result<Verdict, Fault> {
        if !self.is_admin {
            let path = projects(pool);
            let answer = self.ask("GET", &path, None, Some(pool)).await?;
            let items = items_of(&answer).map_err(|why| strange(&path, &why))?;
            return Ok(verify_whole(&items, &self.work.pull));
        }
        let backends = self.backends(pool).await?;
        let path = format!("/v1/pools/{}/cache", segment(pool));
        let answer = self.ask("GET", &path, None, Some(pool)).await?;
        let content = content_of(&answer).map_err(|why| strange(&path, &why))?;
        Ok(verify(&content, &backends, &self.work.pull))
    }

    /// The backends of a pool; none that answers is a fault.
    async fn backends(&self, pool: &str) -> Result<Vec<Backend>, Fault> {
        let path = format!("/v1/pools/{}/backends", segment(pool));
        let answer = self.ask("GET", &path, None, Some(pool)).await?;
        let backends = backends_of(&answer).map_err(|why| strange(&path, &why))?;
        if backends.iter().any(|it| it.is_available) {
            return Ok(backends);
        }
        let message = match backends.len() {
            0 => "there is no backend".to_owned(),
            count => format!("none of {} answers", counted(count, "backend")),
        };
        Err(Fault::new("no_backends", Reason::NoBackends, message))
    }

    /// Asks for JSON; `pool` is what is not there where the answer is 404.
    async fn ask(
        &self,
        method: &str,
        path: &str,
        body: Option<&Value>,
        pool: Option<&str>,
    ) -> Result<Value, Fault> {
        let answer = self.call(method, path, body).await?;
        if !(200..300).contains(&answer.status) {
            return Err(self.refused(path, pool, &answer));
        }
        let at = format!("{method} {path}");
        if answer.is_cut {
            let message = format!("{at}: the answer is larger than {LARGEST_ANSWER} bytes");
            return Err(Fault::new("too_large", Reason::ExpectationFailed, message));
        }
        if answer.body.trim_ascii().is_empty() {
            let message = format!(
                "{at}: {} without a word, as where something behind the server failed",
                answer.status
            );
            return Err(Fault::new("empty", Reason::ExpectationFailed, message));
        }
        serde_json::from_slice(&answer.body).map_err(|error| {
            if error.is_eof() {
                let message = format!("{at}: the answer broke off: {error}");
                return Fault::new("body", Reason::HttpFailed, message);
            }
            strange(path, &format!("no JSON: {error}"))
        })
    }

    async fn call(
        &self,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> Result<HttpAnswer, Fault> {
        let url = format!("{}{path}", self.base);
        let mut headers = vec![("accept", "application/json")];
        if body.is_some() {
            headers.push(("content-type", "application/json"));
        }
        if let Some(authorization) = &self.authorization {
            headers.push(("authorization", authorization.expose()));
        }
        let call = Call {
            method,
            url: &url,
            headers,
            body: body.map(|body| body.to_string().into_bytes()),
            timeout: self.work.timeout,
        };
        let answer = self.client.call_within(&call, LARGEST_ANSWER).await;
        answer.map_err(|failure: Failure| {
            let reason = match failure.class {
                Class::Invalid => Reason::ConfigurationInvalid,
                _ => Reason::HttpFailed,
            };
            Fault::new(failure.class.as_str(), reason, format!("{method} {path}: {failure}"))
        })
    }

    /// An answer that is none of those hoped for.
    fn refused(&self, path: &str, pool: Option<&str>, answer: &HttpAnswer) -> Fault {
        let said = self.said(answer);
        let (class, reason, what) = match (answer.status, pool) {
            (401 | 403, _) => {
                let hint = match &self.work.token {
                    None => "it wants a token: set `token_file`",
                    Some(_) => {
                        "check the token; a server without tokens of its own refuses every one"
                    }
                };
                let what = format!("the server does not let us in ({}): {hint}", answer.status);
                ("unauthorized", Reason::Unauthorized, what)
            }
            (404, Some(pool)) => {
                let or = if self.is_admin { "" } else { ", or its `admin` is not enabled" };
                let what = format!("the server has no `{pool}`{or}");
                ("unknown_pool", Reason::UnknownPool, what)
            }
            (404, None) => {
                let what = format!("there is no `{path}`: check `url` and `dialect`");
                ("status", Reason::ExpectationFailed, what)
            }
            (502 | 503, _) => {
                let what = format!("answered {}: no backend is there", answer.status);
                ("no_backends", Reason::NoBackends, what)
            }
            (504, _) => ("timeout", Reason::HttpFailed, "its backends did not answer".to_owned()),
            (status @ 300..=399, _) => {
                let what = format!("answered {status}: write the address it leads to as `url`");
                ("redirect", Reason::ExpectationFailed, what)
            }
            (status, _) => ("status", Reason::ExpectationFailed, format!("answered {status}")),
        };
        Fault::new(class, reason, format!("{what}{said}"))
    }

    /// The server's own words, without our token.
    fn said(&self, answer: &HttpAnswer) -> String {
        let json = answer.json();
        let message = json.as_ref().and_then(|it| it.get("message")).and_then(Value::as_str);
        let text = message.map(str::to_owned).or_else(|| answer.text()).unwrap_or_default();
        let token = self.authorization.as_ref().and_then(|it| it.expose().strip_prefix("Bearer "));
        let text = match token.filter(|token| !token.is_empty()) {
            Some(token) => text.replace(token, "***"),
            None => text,
        };
        match head(text.trim(), QUOTED) {
            "" => String::new(),
            text => format!(" ({})", text.replace(['\n', '\r'], " ")),
        }
    }
}

/// An answer that no server of this kind gives.
fn strange(path: &str, why: &str) -> Fault {
    let message = format!("{path}: the answer is not that of a qjazz server: {why}");
    Fault::new("answer", Reason::ExpectationFailed, message)
}

/// Where the projects of a channel are.
fn projects(route: &str) -> String {
    let mut path = String::new();
    for part in route.split('/').filter(|part| !part.is_empty()) {
        path.extend(["/", &segment(part)]);
    }
    path + "/admin/projects"
}

fn read_token(path: &Path) -> anyhow::Result<String> {
    use anyhow::Context as _;
    let place = || format!("read the token in `{}`", path.display());
    let text = std::fs::read_to_string(path).with_context(place)?;
    let token = text.trim();
    anyhow::ensure!(!token.is_empty(), "{}: the file is empty", place());
    anyhow::ensure!(token.lines().count() == 1, "{}: it has several lines", place());
    Ok(token.to_owned())
}
