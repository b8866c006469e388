//! The parameters of Ofelia and its forks: to which types of jobs each says something, or why to none.

/// The types of jobs.
pub(super) const TYPES: [&str; 5] = [EXEC, RUN, LOCAL, SERVICE, COMPOSE];
pub(super) const EXEC: &str = "job-exec";
pub(super) const RUN: &str = "job-run";
pub(super) const LOCAL: &str = "job-local";
const SERVICE: &str = "job-service-run";
pub(super) const COMPOSE: &str = "job-compose";

/// What a parameter means here.
#[derive(Clone, Copy)]
pub(super) enum Meaning {
    /// Something, to jobs of these types.
    Of(&'static [&'static str]),
    /// Nothing, and why or what to do instead.
    None(&'static str),
}

const ALL: Meaning = Meaning::Of(&TYPES);
const CONTAINERS: Meaning = Meaning::Of(&[EXEC, RUN, SERVICE]);
const NEW: Meaning = Meaning::Of(&[RUN, SERVICE]);
const OURS: Meaning = Meaning::None(
    "output and history are kept by Roadstead: see `roadstead logs` and `roadstead runs`",
);
const MAIL: Meaning = Meaning::None(
    "mail is not sent: let `slack-webhook`, `webhooks` or `notify` of a native job file tell somebody",
);
const COMPOSE_KEYS: Meaning = Meaning::Of(&[COMPOSE]);

/// All parameters.
const PARAMETERS: &[(&str, Meaning)] = &[
    ("schedule", ALL),
    ("command", ALL),
    ("no-overlap", ALL),
    ("run-on-startup", ALL),
    ("depends-on", ALL),
    ("on-success", ALL),
    ("on-failure", ALL),
    ("max-retries", ALL),
    ("retry-delay-ms", ALL),
    ("retry-exponential", ALL),
    ("retry-max-delay-ms", ALL),
    ("history-limit", ALL),
    ("max-runtime", ALL),
    ("stop-signal", ALL),
    ("stop-timeout", ALL),
    ("webhooks", ALL),
    ("slack-webhook", ALL),
    ("slack-only-on-error", ALL),
    ("gotify-webhook", ALL),
    ("gotify-only-on-error", ALL),
    ("teams-webhook", ALL),
    ("teams-only-on-error", ALL),
    ("container", Meaning::Of(&[EXEC, RUN])),
    ("image", NEW),
    ("user", CONTAINERS),
    ("tty", CONTAINERS),
    ("environment", Meaning::Of(&[EXEC, RUN, LOCAL])),
    ("env-file", Meaning::Of(&[RUN])),
    ("env-from", Meaning::Of(&[EXEC, RUN])),
    ("working-dir", Meaning::Of(&[EXEC, RUN])),
    ("privileged", Meaning::Of(&[EXEC, RUN])),
    ("volume", Meaning::Of(&[RUN])),
    ("volumes-from", Meaning::Of(&[RUN])),
    ("network", NEW),
    ("hostname", Meaning::Of(&[RUN])),
    ("delete", NEW),
    ("pull", Meaning::Of(&[RUN])),
    ("entrypoint", Meaning::Of(&[RUN])),
    ("container-name", Meaning::Of(&[RUN])),
    ("annotations", Meaning::Of(&[RUN])),
    ("dir", Meaning::Of(&[LOCAL])),
    ("file", COMPOSE_KEYS),
    ("service", COMPOSE_KEYS),
    ("exec", COMPOSE_KEYS),
    ("save-folder", OURS),
    ("save-only-on-error", OURS),
    ("restore-history", OURS),
    ("save-mode", OURS),
    ("smtp-host", MAIL),
    ("smtp-port", MAIL),
    ("smtp-user", MAIL),
    ("smtp-password", MAIL),
    ("smtp-tls-skip-verify", MAIL),
    ("email-to", MAIL),
    ("email-from", MAIL),
    ("email-subject", MAIL),
    ("mail-only-on-error", MAIL),
    ("gotify-priority", Meaning::None("what fails has priority 8, what has recovered 4")),
    (
        "insecure-skip-verify",
        Meaning::None(
            "certificates are checked: have the one of the receiver signed by a known CA",
        ),
    ),
    ("console-height", Meaning::None("a terminal has the size that the Engine gives it")),
    ("console-width", Meaning::None("a terminal has the size that the Engine gives it")),
];

/// Parameters that are lists.
pub(super) const LISTS: [&str; 9] = [
    "volume",
    "environment",
    "volumes-from",
    "depends-on",
    "on-success",
    "on-failure",
    "env-file",
    "env-from",
    "annotations",
];

/// What a job exec of a label could use to reach beyond its own container.
pub(super) const REACHING: [&str; 3] = ["privileged", "env-file", "env-from"];

/// What a parameter means; `None` for one that there is not.
pub(super) fn meaning(name: &str) -> Option<Meaning> {
    PARAMETERS.iter().find(|(known, _)| *known == name).map(|(_, meaning)| *meaning)
}

/// The names of all parameters.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    PARAMETERS.iter().map(|(name, _)| *name)
}
