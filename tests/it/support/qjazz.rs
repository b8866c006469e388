//! A server as qjazz has them, in both dialects, with faults on demand: its admin service until 0.6, and its
//! map server from 0.7 on.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use serde_json::{Value, json};

/// What goes wrong with an answer.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    /// This status, with a body as of qjazz.
    Status(u16),
    /// No answer until the client gives up.
    Slow,
    /// The connection ends in the middle of what was promised.
    Cut,
    /// The JSON ends in the middle, and the connection as if all were well.
    CutSilently,
    /// 200 without a word.
    Empty,
    /// More than anybody reads.
    Huge,
    /// 200 with something else.
    Page,
    /// Moved elsewhere.
    Redirect,
}

/// A backend of a pool.
#[derive(Clone, Debug, Default)]
pub(crate) struct Backend {
    pub(crate) is_down: bool,
    /// Pulls that it takes without doing anything.
    pub(crate) lags: usize,
    /// By project, how it stands.
    pub(crate) cache: BTreeMap<String, &'static str>,
}

/// All that the server has.
#[derive(Debug, Default)]
pub(crate) struct State {
    /// Whether it is the map server.
    pub(crate) is_map: bool,
    /// Tokens that it takes; with none it refuses every one, as qjazz does.
    pub(crate) tokens: BTreeSet<String>,
    /// Whether who has no token is refused, too. That of qjazz is not.
    pub(crate) wants_token: bool,
    /// By label or route, and address.
    pub(crate) pools: BTreeMap<String, BTreeMap<String, Backend>>,
    /// Backends that it finds when it looks again.
    pub(crate) found_later: BTreeMap<String, BTreeMap<String, Backend>>,
    /// Projects whose files are gone.
    pub(crate) gone: BTreeSet<String>,
    /// What goes wrong, by the beginning of `METHOD PATH`; so many times.
    pub(crate) faults: Vec<(&'static str, Fault, usize)>,
    /// `METHOD PATH` of all requests.
    pub(crate) asked: Vec<String>,
    /// Their `Authorization`.
    pub(crate) authorizations: Vec<Option<String>>,
}

/// A running server. Dropped, its port is closed.
pub(crate) struct Qjazz {
    port: u16,
    state: Arc<Mutex<State>>,
    stopped: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Qjazz {
    /// Starts one with this.
    pub(crate) fn start(state: State) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(Mutex::new(state));
        let stopped: Arc<AtomicBool> = Arc::default();
        let serve = {
            let (state, stopped) = (Arc::clone(&state), Arc::clone(&stopped));
            move || {
                let mut held = Vec::new();
                for stream in listener.incoming() {
                    if stopped.load(Ordering::SeqCst) {
                        return;
                    }
                    held.extend(stream.ok().and_then(|stream| take(stream, &state)));
                }
            }
        };
        let thread = Some(std::thread::spawn(serve));
        Self { port, state, stopped, thread }
    }

    /// Its address.
    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// What it was asked so far.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.state.lock().unwrap().asked.clone()
    }

    /// With which tokens.
    pub(crate) fn authorizations(&self) -> Vec<Option<String>> {
        self.state.lock().unwrap().authorizations.clone()
    }

    /// Changes what it has.
    pub(crate) fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock().unwrap());
    }
}

impl Drop for Qjazz {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(("127.0.0.1", self.port));
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// Pools by rows of `pool address project=STATUS …`; `!address` is down, `address*2` lags twice.
pub(crate) fn pools(rows: &[&str]) -> BTreeMap<String, BTreeMap<String, Backend>> {
    let mut pools: BTreeMap<String, BTreeMap<String, Backend>> = BTreeMap::new();
    for row in rows {
        let mut words = row.split(' ');
        let of_pool = pools.entry(words.next().unwrap().to_owned()).or_default();
        let Some(address) = words.next() else { continue };
        let (address, lags) = address.split_once('*').unwrap_or((address, "0"));
        let cache = words.map(|word| {
            let (uri, status) = word.split_once('=').unwrap();
            let status = STATUSES.iter().find(|it| **it == status).unwrap();
            (uri.to_owned(), *status)
        });
        let backend = Backend {
            is_down: address.starts_with('!'),
            lags: lags.parse().unwrap(),
            cache: cache.collect(),
        };
        of_pool.insert(address.trim_start_matches('!').to_owned(), backend);
    }
    pools
}

/// In the order of their numbers.
const STATUSES: [&str; 6] = ["UNCHANGED", "NEEDUPDATE", "REMOVED", "NOTFOUND", "NEW", "UPDATED"];

/// Takes one request; returns the connection where it is not answered.
fn take(stream: TcpStream, state: &Mutex<State>) -> Option<TcpStream> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let (mut length, mut authorization) = (0, None);
    loop {
        let mut header = String::new();
        if reader.read_line(&mut header).ok()? == 0 || header.trim_end().is_empty() {
            break;
        }
        let (name, value) = header.trim_end().split_once(':')?;
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.trim().parse().ok()?,
            "authorization" => authorization = Some(value.trim().to_owned()),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let asked = line.trim_end().trim_end_matches(" HTTP/1.1").to_owned();
    let mut stream = reader.into_inner();
    let mut state = state.lock().unwrap();
    state.asked.push(asked.clone());
    state.authorizations.push(authorization.clone());
    let fault = state.faults.iter_mut().find(|it| asked.starts_with(it.0) && it.2 > 0);
    let fault = fault.map(|it| {
        it.2 -= 1;
        it.1
    });
    let (status, answer) = match fault {
        Some(Fault::Slow) => return Some(stream),
        Some(Fault::Status(status)) => (status, json!({"message": format!("fault {status}")})),
        _ => state.answer(&asked, authorization.as_deref(), &body),
    };
    drop(state);
    let text = answer.to_string();
    let head = |status: u16, length: usize| {
        format!(
            "HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\
             Connection: close\r\n\r\n"
        )
    };
    let _ = match fault {
        Some(Fault::Cut) => write!(stream, "{}{}", head(200, 5000), &text[..text.len() / 2]),
        Some(Fault::CutSilently) => {
            let half = &text[..text.len() / 2];
            write!(stream, "{}{half}", head(200, half.len()))
        }
        Some(Fault::Empty) => write!(stream, "{}", head(200, 0)),
        Some(Fault::Page) => write!(stream, "{}<p>hello", head(200, 8)),
        Some(Fault::Redirect) => {
            write!(stream, "HTTP/1.1 301 X\r\nLocation: /v1/pools/\r\nContent-Length: 0\r\n\r\n")
        }
        Some(Fault::Huge) => {
            let chunk = vec![b' '; 1 << 20];
            let _ = write!(stream, "{}", head(200, 20 << 20));
            (0..20).try_for_each(|_| stream.write_all(&chunk))
        }
        Some(Fault::Slow | Fault::Status(_)) | None => {
            write!(stream, "{}{text}", head(status, text.len()))
        }
    };
    None
}

impl State {
    fn answer(&mut self, asked: &str, authorization: Option<&str>, body: &[u8]) -> (u16, Value) {
        let unauthorized = (401, json!({"message": "Unauthorized"}));
        match authorization.map(|it| it.trim_start_matches("Bearer ")) {
            Some(token) if !self.tokens.contains(token) => return unauthorized,
            None if self.wants_token => return unauthorized,
            _ => {}
        }
        let (method, path) = asked.split_once(' ').unwrap();
        let body: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
        if self.is_map {
            self.of_map(method, path, &body)
        } else {
            self.of_admin(method, path, &body)
        }
    }

    fn of_admin(&mut self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let parts: Vec<&str> = path.split('/').skip(1).collect();
        match (method, parts.as_slice()) {
            ("GET", [""]) => {
                (200, json!({"openapi": "3.0.0", "info": {"title": "Py-Qgis services admin"}}))
            }
            ("GET", ["v1", "pools", ""]) => (200, self.list()),
            ("PATCH", ["v1", "pools"]) => {
                for (pool, backends) in std::mem::take(&mut self.found_later) {
                    self.pools.entry(pool).or_default().extend(backends);
                }
                (200, self.list())
            }
            (_, ["v1", "pools", pool, rest @ ..]) => {
                let Some(backends) = self.pools.get_mut(*pool) else {
                    return (404, json!({"message": format!("Unknown pool '{pool}'")}));
                };
                let gone = &self.gone;
                match (method, rest) {
                    ("GET", ["backends"]) => {
                        let one = |(address, backend): (&String, &Backend)| {
                            if backend.is_down {
                                return json!({"address": address, "status": "unavailable"});
                            }
                            json!({"address": address, "status": "ok", "numWorkers": 2})
                        };
                        let list: Vec<Value> = backends.iter().map(one).collect();
                        (200, json!({"label": pool, "address": "dns", "backends": list}))
                    }
                    ("GET", ["cache"]) if backends.values().all(|it| it.is_down) => {
                        let message = format!("No backends availables for pool '{pool}'");
                        (502, json!({"message": message}))
                    }
                    ("GET", ["cache"]) => (200, listed(backends)),
                    ("PATCH", ["cache"]) => {
                        let up = backends.values().filter(|it| !it.is_down);
                        let all: BTreeSet<String> =
                            up.flat_map(|it| it.cache.keys().cloned()).collect();
                        (200, pulled(backends, &all, gone))
                    }
                    ("PUT", ["cache"]) => {
                        let uris = body.as_array().unwrap().iter();
                        let uris = uris.map(|it| it.as_str().unwrap().to_owned()).collect();
                        (200, pulled(backends, &uris, gone))
                    }
                    _ => (404, json!({"message": "Not found"})),
                }
            }
            _ => (404, json!({"message": "Not found"})),
        }
    }

    fn list(&self) -> Value {
        let pool = |(label, backends): (&String, &BTreeMap<String, Backend>)| {
            json!({"label": label, "address": "dns", "title": label, "description": null,
                   "backends": backends.keys().collect::<Vec<_>>(), "links": []})
        };
        self.pools.iter().map(pool).collect()
    }

    fn of_map(&mut self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        if path == "/" {
            let endpoint = |route: &String| {
                json!({"name": route, "title": "", "description": "", "available": true,
                       "links": [{"href": format!("http://public.example{route}/catalog")}]})
            };
            let endpoints: Vec<Value> = self.pools.keys().map(endpoint).collect();
            return (200, json!({"endpoints": endpoints, "links": []}));
        }
        let route = path.strip_suffix("/admin/projects").unwrap_or(path);
        let gone = &self.gone;
        let Some(backends) = self.pools.get_mut(route) else {
            return (404, json!("Not found"));
        };
        // One of them answers, and nobody knows which.
        let Some(backend) = backends.values_mut().find(|it| !it.is_down) else {
            return (503, json!("Service not available, please retry later"));
        };
        match (method, body.get("uri")) {
            ("GET", _) => {}
            ("POST", Some(Value::Null)) => {
                let uris = backend.cache.keys().cloned().collect();
                pull(backend, &uris, gone);
            }
            ("POST", Some(Value::String(uri))) => {
                pull(backend, &[uri.clone()].into(), gone);
                let status = backend.cache.get(uri).copied().unwrap_or("NOTFOUND");
                return (200, item(uri, status, true));
            }
            _ => return (400, json!("Bad request")),
        }
        let items = backend.cache.iter().map(|(uri, status)| item(uri, status, true));
        (200, json!({"items": items.collect::<Vec<_>>()}))
    }
}

/// A project as the admin service (words) or the map server (numbers) says it.
fn item(uri: &str, status: &str, by_number: bool) -> Value {
    let number = STATUSES.iter().position(|it| *it == status);
    let shown = if by_number { json!(number) } else { json!(status) };
    let in_cache = !matches!(status, "REMOVED" | "NOTFOUND");
    json!({"uri": uri, "status": shown, "inCache": in_cache, "name": uri, "storage": "file",
           "timestamp": 1, "lastHit": 0, "hits": 0, "lastModified": "", "savedVersion": "3.34"})
}

/// One backend pulls; whether it answers.
fn pull(backend: &mut Backend, uris: &BTreeSet<String>, gone: &BTreeSet<String>) -> bool {
    if backend.is_down {
        return false;
    }
    if backend.lags > 0 {
        backend.lags -= 1;
        return true;
    }
    for uri in uris {
        let status = match backend.cache.get(uri) {
            _ if gone.contains(uri) => "REMOVED",
            None => "NEW",
            Some(&"NEEDUPDATE") => "UPDATED",
            Some(_) => "UNCHANGED",
        };
        backend.cache.insert(uri.clone(), status);
    }
    true
}

fn pulled(
    backends: &mut BTreeMap<String, Backend>,
    uris: &BTreeSet<String>,
    gone: &BTreeSet<String>,
) -> Value {
    for backend in backends.values_mut() {
        pull(backend, uris, gone);
    }
    listed(backends)
}

/// What those that answer have, by project.
fn listed(backends: &BTreeMap<String, Backend>) -> Value {
    let mut content: BTreeMap<&str, serde_json::Map<String, Value>> = BTreeMap::new();
    for (address, backend) in backends.iter().filter(|(_, it)| !it.is_down) {
        for (uri, status) in &backend.cache {
            let of_uri = content.entry(uri).or_default();
            of_uri.insert(address.clone(), item(uri, status, false));
        }
    }
    let shown = content.into_iter().map(|(uri, pool)| (uri, json!({"pool": pool, "links": []})));
    shown.collect::<BTreeMap<_, _>>().into_iter().map(|(uri, it)| (uri.to_owned(), it)).collect()
}
