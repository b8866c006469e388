//! The variables of the ready jobs that sync data: the files in `jobs/` read them.

use super::Variable;
use super::housekeeping::{SCHEDULE, also, of_ready_job};

/// These variables, in the order of the example file.
pub(super) const VARIABLES: &[Variable] = &[
    also(
        &["BIRDHOUSE_AUTODEPLOY_NOTEBOOK_FREQUENCY"],
        of_ready_job(
            "AUTODEPLOY_NOTEBOOK_FREQUENCY",
            SCHEDULE,
            "@hourly",
            "*/30 * * * *",
            "When the job `notebookdeploy` looks at its source.",
        ),
    ),
    of_ready_job(
        "AUTODEPLOY_NOTEBOOK_REPO",
        "URL of a git repository, or a directory",
        "",
        "https://git.example/notebooks.git",
        "Notebooks are synced from this repository into JUPYTERHUB_USER_DATA_DIR: the job `notebookdeploy` \
         is there when this is set.",
    ),
    of_ready_job(
        "AUTODEPLOY_NOTEBOOK_REF",
        "branch, tag or commit",
        "",
        "master",
        "What of the repository is followed; without it its default branch.",
    ),
    of_ready_job(
        "AUTODEPLOY_NOTEBOOK_SOURCE_DIR",
        "directory in the repository",
        "",
        "notebooks",
        "Only what is below this directory; without it all.",
    ),
    of_ready_job(
        "AUTODEPLOY_NOTEBOOK_INCLUDE",
        "patterns, separated by spaces",
        "*.ipynb",
        "*.ipynb data/**",
        "Which files are notebooks.",
    ),
    of_ready_job(
        "AUTODEPLOY_NOTEBOOK_DIRECTORY",
        "name of a directory",
        "tutorial-notebooks",
        "notebooks",
        "Where they go below JUPYTERHUB_USER_DATA_DIR: notebooks there that the repository does not have \
         are removed.",
    ),
    of_ready_job(
        "JUPYTERHUB_USER_DATA_DIR",
        "absolute path",
        "",
        "/data/jupyterhub_user_data",
        "Directory of the users' data of JupyterHub, as our own container sees it.",
    ),
    of_ready_job(
        "AUTODEPLOY_DEPLOY_DATA_IMAGE",
        "image",
        "docker:28.5.1-cli",
        "bash:5.2",
        "What the `post_actions` of birdhouse's deploy-data files run in.",
    ),
];
