//! Jobs that are ready in the image and off until a variable of `env.local` says otherwise.

use super::native::write::Written;
use super::native::{self, Context};
use crate::problem::Problems;

/// A shipped job file.
struct Ready {
    /// Its name for messages.
    file: &'static str,
    text: &'static str,
    /// The variable that turns it on, by any value.
    switch: &'static str,
    /// What its variables begin with.
    variables: &'static str,
}

const READY: &[Ready] = &[
    Ready {
        file: "jobs/logrotate.yml",
        text: include_str!("../../jobs/logrotate.yml"),
        switch: "AUTODEPLOY_LOGROTATE_FILES",
        variables: "AUTODEPLOY_LOGROTATE_…",
    },
    Ready {
        file: "jobs/logrotate-proxy.yml",
        text: include_str!("../../jobs/logrotate-proxy.yml"),
        switch: "AUTODEPLOY_PROXY_LOGROTATE_FILES",
        variables: "AUTODEPLOY_PROXY_LOGROTATE_…",
    },
    Ready {
        file: "jobs/clean-old-files.yml",
        text: include_str!("../../jobs/clean-old-files.yml"),
        switch: "AUTODEPLOY_CLEAN_DIRECTORY",
        variables: "AUTODEPLOY_CLEAN_…",
    },
    Ready {
        file: "jobs/cache-sync.yml",
        text: include_str!("../../jobs/cache-sync.yml"),
        switch: "AUTODEPLOY_CACHE_SYNC_URL",
        variables: "AUTODEPLOY_CACHE_SYNC_…",
    },
    Ready {
        file: "jobs/cache-refresh.yml",
        text: include_str!("../../jobs/cache-refresh.yml"),
        switch: "AUTODEPLOY_CACHE_REFRESH_URLS",
        variables: "AUTODEPLOY_CACHE_REFRESH_…",
    },
    Ready {
        file: "jobs/prune.yml",
        text: include_str!("../../jobs/prune.yml"),
        switch: "AUTODEPLOY_PRUNE_SCHEDULE",
        variables: "AUTODEPLOY_PRUNE_…",
    },
    Ready {
        file: "jobs/renew-certificate.yml",
        text: include_str!("../../jobs/renew-certificate.yml"),
        switch: "AUTODEPLOY_CERTIFICATE_SCHEDULE",
        variables: "AUTODEPLOY_CERTIFICATE_…",
    },
    Ready {
        file: "jobs/notebookdeploy.yml",
        text: include_str!("../../jobs/notebookdeploy.yml"),
        switch: "AUTODEPLOY_NOTEBOOK_REPO",
        variables: "AUTODEPLOY_NOTEBOOK_… and JUPYTERHUB_USER_DATA_DIR",
    },
    Ready {
        file: "jobs/backup.yml",
        text: include_str!("../../jobs/backup.yml"),
        switch: "AUTODEPLOY_BACKUP_REPOSITORY",
        variables: "AUTODEPLOY_BACKUP_…",
    },
    Ready {
        file: "jobs/backup-prune.yml",
        text: include_str!("../../jobs/backup-prune.yml"),
        switch: "AUTODEPLOY_BACKUP_PRUNE_SCHEDULE",
        variables: "AUTODEPLOY_BACKUP_…",
    },
    Ready {
        file: "jobs/backup-check.yml",
        text: include_str!("../../jobs/backup-check.yml"),
        switch: "AUTODEPLOY_BACKUP_CHECK_SCHEDULE",
        variables: "AUTODEPLOY_BACKUP_…",
    },
    Ready {
        file: "jobs/restore-drill.yml",
        text: include_str!("../../jobs/restore-drill.yml"),
        switch: "AUTODEPLOY_RESTORE_DRILL_SCHEDULE",
        variables: "AUTODEPLOY_RESTORE_DRILL_… and AUTODEPLOY_BACKUP_…",
    },
];

/// The ready jobs that are turned on, and what is wrong with those whose variables cannot be read.
pub(super) fn ready(context: &Context<'_>) -> (Vec<Written>, Problems) {
    let settings = context.settings;
    let (mut jobs, mut problems) = (Vec::new(), Problems::default());
    let is_on = |it: &&Ready| {
        settings.variables.get(it.switch).is_some_and(|value| !value.trim().is_empty())
    };
    for ready in READY.iter().filter(is_on) {
        let context = Context { variables: &settings.variables, ..*context };
        let (written, wrong) = native::read_written(ready.text, ready.file, &context);
        problems.0.extend(wrong.0.into_iter().map(|mut problem| {
            let ours = format!("its values are those of {} in env.local", ready.variables);
            problem.hint = Some(match problem.hint {
                Some(hint) => format!("{hint}; {ours}"),
                None => ours,
            });
            problem
        }));
        jobs.extend(written);
    }
    (jobs, problems)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::native::NoFiles;
    use crate::job::native::tests::settings;

    #[test]
    fn a_ready_job_is_there_when_its_variable_is_set() {
        // Variables, names of the jobs, what is wrong.
        type Row<'a> = (&'a [(&'a str, &'a str)], &'a [&'a str], Option<&'a str>);
        let rows: [Row<'_>; 22] = [
            (&[], &[], None),
            (&[("AUTODEPLOY_LOGROTATE_FILES", " ")], &[], None),
            (&[("AUTODEPLOY_LOGROTATE_FILES", "/logs/*.log /more/x")], &["logrotate"], None),
            (&[("AUTODEPLOY_PROXY_LOGROTATE_FILES", "/logs/*")], &["logrotate-proxy"], None),
            (&[("AUTODEPLOY_CLEAN_DIRECTORY", "/data/old")], &["clean-old-files"], None),
            (&[("AUTODEPLOY_PRUNE_SCHEDULE", "@weekly")], &["prune"], None),
            (
                &[
                    ("AUTODEPLOY_CERTIFICATE_SCHEDULE", "@weekly"),
                    ("AUTODEPLOY_CERTIFICATE_BUNDLE", "/b.pem"),
                    ("AUTODEPLOY_CERTIFICATE_DOMAINS", "a.example www.a.example"),
                ],
                &["renew-certificate"],
                None,
            ),
            (
                &[("AUTODEPLOY_CERTIFICATE_SCHEDULE", "@weekly")],
                &[],
                Some("AUTODEPLOY_CERTIFICATE_…"),
            ),
            (&[("AUTODEPLOY_CLEAN_DIRECTORY", "/")], &[], Some("AUTODEPLOY_CLEAN_…")),
            (&[("AUTODEPLOY_CACHE_SYNC_URL", "http://qjazz:9871")], &["cache-sync"], None),
            (
                &[
                    ("AUTODEPLOY_CACHE_SYNC_URL", "http://qjazz:9871"),
                    ("AUTODEPLOY_CACHE_SYNC_DEPLOY", "shop"),
                    ("AUTODEPLOY_CACHE_SYNC_SERVICE", "shop/qgis"),
                    ("AUTODEPLOY_CACHE_SYNC_POOLS", "a b"),
                ],
                &["cache-sync"],
                None,
            ),
            (&[("AUTODEPLOY_CACHE_REFRESH_URLS", "http://a/ http://b/")], &["cache-refresh"], None),
            (&[("AUTODEPLOY_CACHE_REFRESH_URLS", "a b")], &[], Some("AUTODEPLOY_CACHE_REFRESH_…")),
            (
                &[("AUTODEPLOY_LOGROTATE_FILES", "/logs/*"), ("AUTODEPLOY_LOGROTATE_KEEP", "all")],
                &[],
                Some("AUTODEPLOY_LOGROTATE_…"),
            ),
            (&[("JUPYTERHUB_USER_DATA_DIR", "/data/users")], &[], None),
            (
                &[
                    ("JUPYTERHUB_USER_DATA_DIR", "/data/users"),
                    ("AUTODEPLOY_NOTEBOOK_REPO", "https://git.example/notebooks.git"),
                    ("BIRDHOUSE_AUTODEPLOY_NOTEBOOK_FREQUENCY", "@daily"),
                ],
                &["notebookdeploy"],
                None,
            ),
            (
                &[("AUTODEPLOY_NOTEBOOK_REPO", "https://git.example/notebooks.git")],
                &[],
                Some("JUPYTERHUB_USER_DATA_DIR"),
            ),
            (&[("AUTODEPLOY_BACKUP_REPOSITORY", "/backup")], &[], Some("AUTODEPLOY_BACKUP_…")),
            (
                &[
                    ("AUTODEPLOY_BACKUP_REPOSITORY", "/backup"),
                    ("AUTODEPLOY_BACKUP_PASSWORD_FILE", "/run/secrets/x"),
                ],
                &["backup"],
                None,
            ),
            (
                &[
                    ("AUTODEPLOY_BACKUP_REPOSITORY", "s3:https://h/bucket"),
                    ("AUTODEPLOY_BACKUP_PASSWORD_FILE", "/run/secrets/x"),
                    ("AUTODEPLOY_BACKUP_PATHS", "/data/a /data/b"),
                    ("AUTODEPLOY_BACKUP_KEEP", "--keep-daily 7 --keep-weekly 5"),
                    ("AUTODEPLOY_BACKUP_PRUNE_SCHEDULE", "@weekly"),
                    ("AUTODEPLOY_BACKUP_CHECK_SCHEDULE", "@weekly"),
                    ("AUTODEPLOY_RESTORE_DRILL_SCHEDULE", "@monthly"),
                ],
                &["backup", "backup-prune", "backup-check", "restore-drill"],
                None,
            ),
            (
                &[
                    ("AUTODEPLOY_BACKUP_REPOSITORY", "/backup"),
                    ("AUTODEPLOY_BACKUP_PASSWORD_FILE", "/run/secrets/x"),
                    ("AUTODEPLOY_BACKUP_KEEP", "--keep-dayly 7"),
                ],
                &[],
                Some("did you mean `daily`?"),
            ),
            (
                &[("AUTODEPLOY_RESTORE_DRILL_SCHEDULE", "@monthly")],
                &[],
                Some("AUTODEPLOY_RESTORE_DRILL_…"),
            ),
        ];
        for (variables, names, wrong) in rows {
            let mut settings = settings();
            let set = variables.iter().map(|(name, value)| (name.to_string(), value.to_string()));
            settings.variables.extend(set);
            let context = Context {
                settings: &settings,
                variables: &settings.variables,
                toplevel: &|_| None,
                files: &NoFiles,
            };
            let (jobs, problems) = ready(&context);
            let found: Vec<&str> = jobs.iter().map(|it| it.job.name.as_str()).collect();
            assert_eq!(found, names, "{variables:?} {problems}");
            let hint = problems.0.first().and_then(|it| it.hint.clone()).unwrap_or_default();
            assert_eq!(problems.0.is_empty(), wrong.is_none(), "{problems}");
            assert!(hint.contains(wrong.unwrap_or_default()), "{hint}");
        }
    }
}
