//! The variables of the ready jobs that look after caches: the files in `jobs/` read them.

use super::housekeeping::{self, DURATION, SCHEDULE, TRUE_OR_FALSE};
use super::{Group, Variable};

/// These variables, in the order of the example file.
pub(super) const VARIABLES: &[Variable] = &[
    of_ready_job(
        "AUTODEPLOY_CACHE_SYNC_URL",
        "address",
        "",
        "http://qjazz-admin:9871",
        "Admin service of qjazz, or its map server, whose backends are to have the same in their caches: the \
         job `cache-sync` is there when this is set.",
    ),
    of_ready_job(
        "AUTODEPLOY_CACHE_SYNC_SCHEDULE",
        SCHEDULE,
        "*/30 * * * *",
        "@hourly",
        "When the job `cache-sync` runs, besides what the two variables below say.",
    ),
    of_ready_job(
        "AUTODEPLOY_CACHE_SYNC_DEPLOY",
        "name of a deploy job or of a Compose project",
        "",
        "autodeploy",
        "It runs as well after each deploy of this that changed something.",
    ),
    of_ready_job(
        "AUTODEPLOY_CACHE_SYNC_SERVICE",
        "PROJECT/SERVICE, or name of a container",
        "",
        "birdhouse/qgis",
        "It runs as well whenever a container of this starts.",
    ),
    of_ready_job(
        "AUTODEPLOY_CACHE_SYNC_POOLS",
        "labels or routes, separated by spaces, or all",
        "all",
        "maps features",
        "Which pools.",
    ),
    of_ready_job(
        "AUTODEPLOY_CACHE_SYNC_DIALECT",
        "auto, v1 or map",
        "auto",
        "v1",
        "v1 is the admin service of qjazz until 0.6, map the map server from 0.7 on.",
    ),
    of_ready_job(
        "AUTODEPLOY_CACHE_SYNC_TOKEN_FILE",
        "absolute path",
        "",
        "/run/secrets/qjazz",
        "File with the bearer token. Leave it empty where the server has no tokens: it refuses every one.",
    ),
    of_ready_job(
        "AUTODEPLOY_CACHE_SYNC_RESCAN_BACKENDS",
        TRUE_OR_FALSE,
        "true",
        "false",
        "The server first looks again which backends there are.",
    ),
    of_ready_job(
        "AUTODEPLOY_CACHE_SYNC_REQUIRE_ALL_BACKENDS",
        TRUE_OR_FALSE,
        "true",
        "false",
        "A backend that does not answer is a failure; else the run ends degraded.",
    ),
    of_ready_job(
        "AUTODEPLOY_CACHE_SYNC_PULL",
        "projects, separated by spaces",
        "",
        "/maps/roads.qgs",
        "Projects that every backend is to have in any case.",
    ),
    of_ready_job(
        "AUTODEPLOY_CACHE_SYNC_TIMEOUT",
        DURATION,
        "5m",
        "15m",
        "Longest time of one call; projects are loaded meanwhile.",
    ),
    of_ready_job(
        "AUTODEPLOY_CACHE_SYNC_CA_FILE",
        "absolute path",
        "",
        "/etc/ssl/ours.pem",
        "Certificate authorities to trust besides the usual ones.",
    ),
    of_ready_job(
        "AUTODEPLOY_CACHE_SYNC_DRY_RUN",
        TRUE_OR_FALSE,
        "false",
        "true",
        "The job says what is out of sync, and does nothing.",
    ),
    of_ready_job(
        "AUTODEPLOY_CACHE_REFRESH_URLS",
        "addresses, separated by spaces",
        "",
        "https://maps.example/a https://maps.example/b",
        "Asked for regularly, so that they are in their server's cache: the job `cache-refresh` is there when \
         this is set.",
    ),
    of_ready_job(
        "AUTODEPLOY_CACHE_REFRESH_SCHEDULE",
        SCHEDULE,
        "0 */6 * * *",
        "@hourly",
        "When the job `cache-refresh` runs.",
    ),
    of_ready_job(
        "AUTODEPLOY_CACHE_REFRESH_STATUS",
        "statuses: 200, 200-299 or 2xx, separated by commas",
        "200-299",
        "200,304",
        "Which answers are good.",
    ),
    of_ready_job(
        "AUTODEPLOY_CACHE_REFRESH_TIMEOUT",
        DURATION,
        "1m",
        "5m",
        "Longest time of one request.",
    ),
    of_ready_job(
        "AUTODEPLOY_CACHE_REFRESH_RETRIES",
        "number, 0 to 100",
        "2",
        "5",
        "Further tries of each request.",
    ),
    of_ready_job(
        "AUTODEPLOY_CACHE_REFRESH_PARALLEL",
        "number, 1 to 1000",
        "4",
        "16",
        "How many requests go on at once.",
    ),
    of_ready_job(
        "AUTODEPLOY_CACHE_REFRESH_PER_SECOND",
        "number, 1 to 10000",
        "",
        "5",
        "How many requests begin in a second at most.",
    ),
    of_ready_job(
        "AUTODEPLOY_CACHE_REFRESH_SOFT_TTL",
        DURATION,
        "",
        "12h",
        "When an entry of that cache is stale: a schedule that comes too seldom for it is warned of.",
    ),
    of_ready_job(
        "AUTODEPLOY_CACHE_REFRESH_HARD_TTL",
        DURATION,
        "",
        "1d",
        "When an entry is gone; twice the soft one or more forgives a schedule that comes seldom.",
    ),
    of_ready_job(
        "AUTODEPLOY_CACHE_REFRESH_DRY_RUN",
        TRUE_OR_FALSE,
        "false",
        "true",
        "The job says what it would ask for, and asks for nothing.",
    ),
];

const fn of_ready_job(
    name: &'static str,
    unit: &'static str,
    default: &'static str,
    example: &'static str,
    meaning: &'static str,
) -> Variable {
    let variable = housekeeping::of_ready_job(name, unit, default, example, meaning);
    Variable { group: Group::Caches, ..variable }
}
