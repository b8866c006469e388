//! The variables of the ready jobs that keep a host tidy: the files in `jobs/` read them.

use super::{Group, Status, Variable};

pub(super) const DURATION: &str = "duration: w, d, h, m, s";
pub(super) const SCHEDULE: &str = "schedule";
const SIZE: &str = "size in bytes, or with k, m, g";
pub(super) const TRUE_OR_FALSE: &str = "true or false";

/// These variables, in the order of the example file.
pub(super) const VARIABLES: &[Variable] = &[
    of_ready_job(
        "AUTODEPLOY_LOGROTATE_FILES",
        "absolute paths or patterns, separated by spaces",
        "",
        "/logs/*.log",
        "Log files of other programs to rotate, as our own container sees them: the job `logrotate` is \
         there when this is set.",
    ),
    of_ready_job(
        "AUTODEPLOY_LOGROTATE_SCHEDULE",
        SCHEDULE,
        "@daily",
        "*/10 * * * *",
        "When the job `logrotate` looks at them.",
    ),
    of_ready_job(
        "AUTODEPLOY_LOGROTATE_SIZE",
        SIZE,
        "",
        "20m",
        "A file is rotated as soon as it has so many bytes.",
    ),
    of_ready_job(
        "AUTODEPLOY_LOGROTATE_EVERY",
        DURATION,
        "1w",
        "1d",
        "A file is rotated when its last rotation is so long ago.",
    ),
    of_ready_job(
        "AUTODEPLOY_LOGROTATE_MIN_SIZE",
        SIZE,
        "500k",
        "1m",
        "A file with fewer bytes is not rotated.",
    ),
    of_ready_job(
        "AUTODEPLOY_LOGROTATE_KEEP",
        "number of files, 1 to 10000",
        "6",
        "50",
        "Rotated files kept of each.",
    ),
    of_ready_job(
        "AUTODEPLOY_LOGROTATE_COMPRESS",
        "none, gzip or zstd",
        "gzip",
        "zstd",
        "How rotated files are packed.",
    ),
    of_ready_job(
        "AUTODEPLOY_LOGROTATE_CONTAINER",
        "name of a container",
        "",
        "proxy",
        "The writer, which is told to open its files anew, and then loses no line. Without it files are \
         copied and truncated.",
    ),
    of_ready_job(
        "AUTODEPLOY_LOGROTATE_SIGNAL",
        "name of a signal",
        "SIGUSR1",
        "SIGHUP",
        "What AUTODEPLOY_LOGROTATE_CONTAINER is sent.",
    ),
    of_ready_job(
        "AUTODEPLOY_PROXY_LOGROTATE_FILES",
        "absolute paths or patterns, separated by spaces",
        "",
        "/proxy-logs/*.log",
        "Log files of the proxy, as our own container sees them: the job `logrotate-proxy` is there when \
         this is set.",
    ),
    also(
        &["SCHEDULER_JOB_LOGROTATE_NGINX_JOB_SCHEDULE"],
        of_ready_job(
            "AUTODEPLOY_PROXY_LOGROTATE_SCHEDULE",
            SCHEDULE,
            "*/10 * * * *",
            "@hourly",
            "When the job `logrotate-proxy` looks at them.",
        ),
    ),
    also(
        &["SCHEDULER_JOB_LOGROTATE_NGINX_SIZE"],
        of_ready_job(
            "AUTODEPLOY_PROXY_LOGROTATE_SIZE",
            SIZE,
            "20m",
            "100m",
            "A file is rotated as soon as it has so many bytes.",
        ),
    ),
    also(
        &["SCHEDULER_JOB_LOGROTATE_NGINX_ROTATE"],
        of_ready_job(
            "AUTODEPLOY_PROXY_LOGROTATE_KEEP",
            "number of files, 1 to 10000",
            "50",
            "100",
            "Rotated files kept of each.",
        ),
    ),
    of_ready_job(
        "AUTODEPLOY_PROXY_LOGROTATE_CONTAINER",
        "name of a container",
        "proxy",
        "nginx",
        "The writer, which is sent SIGUSR1 and then loses no line.",
    ),
    of_ready_job(
        "AUTODEPLOY_CLEAN_DIRECTORY",
        "absolute path",
        "",
        "/data/wps_outputs",
        "Old files below this directory, as our own container sees it, are removed: the job \
         `clean-old-files` is there when this is set.",
    ),
    of_ready_job(
        "AUTODEPLOY_CLEAN_SCHEDULE",
        SCHEDULE,
        "5 4 * * 0",
        "@daily",
        "When the job `clean-old-files` runs.",
    ),
    of_ready_job("AUTODEPLOY_CLEAN_OLDER_THAN", DURATION, "30d", "1w", "Files that are older go."),
    of_ready_job(
        "AUTODEPLOY_CLEAN_BY",
        "mtime, atime or ctime",
        "mtime",
        "atime",
        "Which of its times says how old a file is.",
    ),
    of_ready_job(
        "AUTODEPLOY_CLEAN_INCLUDE",
        "patterns, separated by spaces",
        "",
        "*.nc",
        "Only these files; without it all.",
    ),
    of_ready_job(
        "AUTODEPLOY_CLEAN_EXCLUDE",
        "patterns, separated by spaces",
        "",
        "*.keep public/**",
        "None of these files.",
    ),
    of_ready_job(
        "AUTODEPLOY_CLEAN_EMPTY_DIRECTORIES",
        TRUE_OR_FALSE,
        "true",
        "false",
        "Removes directories that are empty then.",
    ),
    of_ready_job(
        "AUTODEPLOY_CLEAN_MAX_FILES",
        "number of files",
        "",
        "10000",
        "Where more files than this are to go, none does, and the run fails.",
    ),
    of_ready_job(
        "AUTODEPLOY_CLEAN_DRY_RUN",
        TRUE_OR_FALSE,
        "false",
        "true",
        "The job says what it would remove, and removes nothing.",
    ),
    of_ready_job(
        "AUTODEPLOY_PRUNE_SCHEDULE",
        SCHEDULE,
        "",
        "@weekly",
        "When images, containers and networks of ours that nothing needs any more are removed: the job \
         `prune` is there when this is set.",
    ),
    of_ready_job(
        "AUTODEPLOY_PRUNE_OLDER_THAN",
        DURATION,
        "7d",
        "30d",
        "Nothing that is younger goes.",
    ),
    of_ready_job(
        "AUTODEPLOY_PRUNE_KEEP",
        "number, 1 to 1000",
        "3",
        "5",
        "So many revisions of each deploy keep their images, and so many of the newest images of each \
         repository stay.",
    ),
    of_ready_job(
        "AUTODEPLOY_PRUNE_ALL_IMAGES",
        TRUE_OR_FALSE,
        "false",
        "true",
        "Removes also images that no run of ours used.",
    ),
    of_ready_job(
        "AUTODEPLOY_PRUNE_VOLUMES",
        TRUE_OR_FALSE,
        "false",
        "true",
        "Removes also volumes of our projects that nothing uses and no project declares, older than 30 \
         days, with all that is in them.",
    ),
    of_ready_job(
        "AUTODEPLOY_PRUNE_MAX_REMOVALS",
        "number of things",
        "",
        "100",
        "Where more than this are to go, none does, and the run fails.",
    ),
    of_ready_job(
        "AUTODEPLOY_PRUNE_DRY_RUN",
        TRUE_OR_FALSE,
        "false",
        "true",
        "The job says what it would remove, and removes nothing.",
    ),
    also(
        &["RENEW_LETSENCRYPT_SSL_SCHEDULE"],
        of_ready_job(
            "AUTODEPLOY_CERTIFICATE_SCHEDULE",
            SCHEDULE,
            "",
            "22 5 * * 0",
            "When the certificate is looked at: the job `renew-certificate` is there when this is set.",
        ),
    ),
    also(
        &["BIRDHOUSE_SSL_CERTIFICATE", "SSL_CERTIFICATE"],
        of_ready_job(
            "AUTODEPLOY_CERTIFICATE_BUNDLE",
            "absolute path",
            "",
            "/data/certificates/bundle.pem",
            "The file of chain and key together, as our own container sees it; its directory must be \
             mounted for writing.",
        ),
    ),
    also(
        &["BIRDHOUSE_FQDN", "PAVICS_FQDN"],
        of_ready_job(
            "AUTODEPLOY_CERTIFICATE_DOMAINS",
            "names, separated by spaces",
            "",
            "example.org www.example.org",
            "The names it is for; the first one names it at certbot, too.",
        ),
    ),
    also(
        &["BIRDHOUSE_SUPPORT_EMAIL", "SUPPORT_EMAIL"],
        of_ready_job(
            "AUTODEPLOY_CERTIFICATE_EMAIL",
            "address",
            "",
            "ops@example.org",
            "Whom the authority writes to.",
        ),
    ),
    of_ready_job(
        "AUTODEPLOY_CERTIFICATE_RENEW_BEFORE",
        DURATION,
        "30d",
        "20d",
        "It is renewed when it ends within this time; until then nothing is touched.",
    ),
    also(
        &["RENEW_LETSENCRYPT_SSL_EXTRA_OPTS"],
        of_ready_job(
            "AUTODEPLOY_CERTIFICATE_ARGUMENTS",
            "arguments, as a shell has them",
            "",
            "--test-cert",
            "Further arguments of certbot.",
        ),
    ),
    of_ready_job(
        "AUTODEPLOY_CERTIFICATE_CONTAINER",
        "name of a container",
        "proxy",
        "nginx",
        "Who has the ports 80 and 443: stopped only when the certificate is due, and started again \
         whatever happened.",
    ),
    also(
        &["CERTBOT_IMAGE"],
        of_ready_job(
            "AUTODEPLOY_CERTIFICATE_IMAGE",
            "image",
            "certbot/certbot:v3.1.0",
            "certbot/certbot:v5.0.0",
            "The image of certbot.",
        ),
    ),
];

/// The same variable, also read under other names.
pub(super) const fn also(aliases: &'static [&'static str], variable: Variable) -> Variable {
    Variable { aliases, ..variable }
}

/// A variable of a ready job that keeps the host tidy.
pub(super) const fn of_ready_job(
    name: &'static str,
    unit: &'static str,
    default: &'static str,
    example: &'static str,
    meaning: &'static str,
) -> Variable {
    let (aliases, status, group) = (&[], Status::Read, Group::Housekeeping);
    Variable { name, aliases, status, group, unit, default, example, meaning }
}
