//! The variables of the ready jobs that keep backups: the files in `jobs/` read them.

use super::housekeeping::{SCHEDULE, TRUE_OR_FALSE, also, of_ready_job};
use super::{Group, Status, Variable};

const PATH: &str = "absolute path";
const NAMES: &str = "names, separated by spaces";

/// These variables, in the order of the example file.
pub(super) const VARIABLES: &[Variable] = &[
    of_backup(
        "AUTODEPLOY_BACKUP_REPOSITORY",
        "directory, rest:URL or s3:URL/BUCKET/PREFIX",
        "",
        "s3:https://s3.example.org/backup/host",
        "The repository of restic's format that volumes, directories and databases are kept in: the job \
         `backup` is there when this is set.",
    ),
    of_backup(
        "AUTODEPLOY_BACKUP_PASSWORD_FILE",
        PATH,
        "RESTIC_PASSWORD_FILE of AUTODEPLOY_BACKUP_ENV_FILE",
        "/run/secrets/backup",
        "File whose first line is the password of the repository. Without the password nobody can read it.",
    ),
    of_backup(
        "AUTODEPLOY_BACKUP_ENGINE",
        "rustic, restic or tar",
        "rustic, or restic where only that opens the repository",
        "restic",
        "Who reads and writes it: ourselves, restic in a container, or ourselves one tar archive a snapshot.",
    ),
    also(
        &["RESTIC_IMAGE"],
        of_backup(
            "AUTODEPLOY_BACKUP_IMAGE",
            "image",
            "restic/restic:0.18.0",
            "restic/restic:0.18.0",
            "The image of restic, where that is the engine.",
        ),
    ),
    also(
        &["BIRDHOUSE_BACKUP_SSH_KEY_DIR"],
        of_backup(
            "AUTODEPLOY_BACKUP_SSH_DIR",
            PATH,
            "",
            "/etc/roadstead/ssh",
            "Keys and known_hosts for repositories by sftp, with restic as engine.",
        ),
    ),
    of_backup(
        "AUTODEPLOY_BACKUP_RECIPIENTS",
        "public keys of age, separated by spaces",
        "",
        "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p",
        "Whom archives are encrypted for, with tar as engine; without it and a password they are not.",
    ),
    of_backup(
        "AUTODEPLOY_BACKUP_IDENTITY_FILE",
        PATH,
        "",
        "/run/secrets/age.key",
        "Secret keys of age to read such archives by.",
    ),
    also(
        &["BIRDHOUSE_BACKUP_RESTIC_ENV_FILE"],
        of_backup(
            "AUTODEPLOY_BACKUP_ENV_FILE",
            PATH,
            "",
            "/etc/roadstead/restic.env",
            "File of restic's variables: RESTIC_PASSWORD or RESTIC_PASSWORD_FILE, AWS_ACCESS_KEY_ID, \
             AWS_SECRET_ACCESS_KEY, RESTIC_REST_USERNAME and the like.",
        ),
    ),
    of_backup(
        "AUTODEPLOY_BACKUP_CA_FILE",
        PATH,
        "",
        "/etc/ssl/ours.pem",
        "Certificate authorities to trust besides the usual ones.",
    ),
    of_backup(
        "AUTODEPLOY_BACKUP_INIT",
        TRUE_OR_FALSE,
        "false",
        "true",
        "Makes the repository where there is none.",
    ),
    also(
        &["SCHEDULER_JOB_BACKUP_FREQUENCY"],
        of_backup(
            "AUTODEPLOY_BACKUP_SCHEDULE",
            SCHEDULE,
            "1 1 * * *",
            "@daily",
            "When the job `backup` runs.",
        ),
    ),
    of_backup(
        "AUTODEPLOY_BACKUP_TIMEOUT",
        "duration: w, d, h, m, s",
        "12h",
        "6h",
        "How long one run of a job of backups may take.",
    ),
    of_backup(
        "AUTODEPLOY_BACKUP_LABELS",
        TRUE_OR_FALSE,
        "true",
        "false",
        "What the labels `roadstead.backup.*` of containers ask for is kept.",
    ),
    of_backup("AUTODEPLOY_BACKUP_VOLUMES", NAMES, "", "shop_data", "Volumes that are kept."),
    of_backup(
        "AUTODEPLOY_BACKUP_PATHS",
        "absolute paths, separated by spaces",
        "",
        "/data/documents",
        "Directories and files that are kept, as our own container sees them.",
    ),
    of_backup(
        "AUTODEPLOY_BACKUP_PROJECTS",
        NAMES,
        "",
        "shop",
        "Compose projects of which all named volumes are kept.",
    ),
    of_backup(
        "AUTODEPLOY_BACKUP_QUIESCE",
        "none, pause or stop",
        "none",
        "pause",
        "How containers that write to what is read are kept still meanwhile.",
    ),
    of_backup(
        "AUTODEPLOY_BACKUP_EXCLUDE",
        "patterns, separated by spaces",
        "",
        "*.tmp",
        "What is left out, as restic's --exclude.",
    ),
    also(
        &["BIRDHOUSE_BACKUP_RESTIC_FORGET_ARGS"],
        of_backup(
            "AUTODEPLOY_BACKUP_KEEP",
            "rules: last, hourly, daily, weekly, monthly, yearly, within, tag; or restic's --keep-daily 7 …",
            "",
            "daily=7 weekly=5 monthly=12",
            "Which snapshots stay after a good backup; without it all.",
        ),
    ),
    of_backup(
        "AUTODEPLOY_BACKUP_DRY_RUN",
        TRUE_OR_FALSE,
        "false",
        "true",
        "The jobs `backup` and `backup-prune` say what they would do, and do nothing.",
    ),
    of_backup(
        "AUTODEPLOY_BACKUP_PRUNE_SCHEDULE",
        SCHEDULE,
        "",
        "15 5 * * 0",
        "When data that no snapshot needs is removed: the job `backup-prune` is there when this is set.",
    ),
    of_backup(
        "AUTODEPLOY_BACKUP_CHECK_SCHEDULE",
        SCHEDULE,
        "",
        "15 4 * * 0",
        "When the repository is looked at: the job `backup-check` is there when this is set.",
    ),
    of_backup(
        "AUTODEPLOY_BACKUP_CHECK_READ_IN",
        "number of runs, 0 to 366",
        "7",
        "30",
        "In how many runs of `backup-check` all data is read once; 0 reads none.",
    ),
    of_backup(
        "AUTODEPLOY_RESTORE_DRILL_SCHEDULE",
        SCHEDULE,
        "",
        "@monthly",
        "When the newest snapshot is restored aside and looked at: the job `restore-drill` is there when \
         this is set.",
    ),
    of_backup(
        "AUTODEPLOY_RESTORE_DRILL_OF",
        "name of a job",
        "backup",
        "backup",
        "Whose newest snapshot is restored.",
    ),
    of_backup(
        "AUTODEPLOY_RESTORE_DRILL_PATH",
        "path in the snapshot",
        "",
        "/volumes/shop_data",
        "What of it; without it all.",
    ),
    of_backup(
        "AUTODEPLOY_RESTORE_DRILL_IMAGE",
        "image",
        "alpine:3.22",
        "postgres:17",
        "What looks at it, where it finds it at /restore.",
    ),
    of_backup(
        "AUTODEPLOY_RESTORE_DRILL_COMMAND",
        "arguments, as a shell has them",
        "sh -c 'find /restore -type f | grep -q .'",
        "test -s /restore/index.html",
        "The command there; the drill is good when it ends with 0.",
    ),
    without_effect(
        "BIRDHOUSE_BACKUP_RESTIC_BACKUP_ARGS",
        "arguments of restic backup",
        "--exclude *.tmp",
        "What AUTODEPLOY_BACKUP_EXCLUDE, or `tags` and `host` of a `backup` job of one's own, say.",
    ),
    without_effect(
        "BIRDHOUSE_BACKUP_RESTIC_EXTRA_DOCKER_OPTIONS",
        "arguments of docker run",
        "--network host",
        "No container of restic is run.",
    ),
    without_effect(
        "SCHEDULER_JOB_BACKUP_ARGS",
        "arguments of birdhouse backup create",
        "-a \\* -u \\*",
        "What is kept is said by AUTODEPLOY_BACKUP_VOLUMES, _PATHS, _PROJECTS, and by labels on containers.",
    ),
];

/// A variable of the ready jobs around backup.
const fn of_backup(
    name: &'static str,
    unit: &'static str,
    default: &'static str,
    example: &'static str,
    meaning: &'static str,
) -> Variable {
    Variable { group: Group::Backup, ..of_ready_job(name, unit, default, example, meaning) }
}

/// A variable of birdhouse that cannot be honoured: whoever sets it is told.
const fn without_effect(
    name: &'static str,
    unit: &'static str,
    example: &'static str,
    meaning: &'static str,
) -> Variable {
    Variable { status: Status::Later, ..of_backup(name, unit, "", example, meaning) }
}
