//! The variables of the ready jobs that keep a host tidy: the files in `jobs/` read them.

use super::{Group, Status, Variable};

const DURATION: &str = "duration: w, d, h, m, s";
const SCHEDULE: &str = "schedule";

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
        "size in bytes, or with k, m, g",
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
        "size in bytes, or with k, m, g",
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
        "true or false",
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
        "true or false",
        "false",
        "true",
        "The job says what it would remove, and removes nothing.",
    ),
];

const fn of_ready_job(
    name: &'static str,
    unit: &'static str,
    default: &'static str,
    example: &'static str,
    meaning: &'static str,
) -> Variable {
    let (aliases, status, group) = (&[], Status::Read, Group::Housekeeping);
    Variable { name, aliases, status, group, unit, default, example, meaning }
}
