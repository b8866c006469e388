//! The keys of `sync`.

use super::table::{Field, Form, Table, key};
use super::tables_of_work::{RUN, SOURCE};

pub(super) const ARCHIVE: Table = Table {
    of: "`archive`",
    fields: &[
        key(
            "url",
            Form::Text,
            "required",
            "https://data.example/set.tar.gz",
            "Address of a tar archive, packed with gzip or zstd or not at all; by http or https.",
        ),
        key(
            "sha256",
            Form::Pattern("^[0-9a-fA-F]{64}$"),
            "–",
            "${DATA_SHA256}",
            "What its bytes must hash to, as `sha256sum` prints it; what was got before is not got again.",
        ),
        key("max_size", Form::Size, "1g", "50m", "The most bytes of the packed archive."),
        key("max_unpacked", Form::Size, "4g", "200m", "The most bytes once it is unpacked."),
        key(
            "max_entries",
            Form::Integer(1, 10_000_000),
            "200000",
            "5000",
            "The most entries in it.",
        ),
        key(
            "strip_components",
            Form::Integer(0, 100),
            "0",
            "1",
            "So many leading parts of each name are dropped; entries with no more than these are left out.",
        ),
    ],
    is_service: false,
    later: &[],
};

const MODE: Form = Form::Pattern("^0?[0-7]{3}$");

pub(super) const MAP: Table = Table {
    of: "a map of `sync`",
    fields: &[
        key("from", Form::Text, "all of it", "notebooks", "Directory in the source."),
        key(
            "to",
            Form::Text,
            "required",
            "/data/notebooks",
            "Directory at the destination, as our own container sees it; made where it is missing.",
        ),
        key(
            "include",
            Form::Texts,
            "all files",
            "\"*.ipynb\"",
            "Of all files only these; a pattern without `/` means names in any directory, and a directory all that is below it.",
        ),
        key(
            "exclude",
            Form::Texts,
            "–",
            "[drafts, \"*.bak\"]",
            "None of these, nor anything below a directory of these; at the destination they are left alone.",
        ),
        key(
            "delete",
            Form::Boolean,
            "true",
            "false",
            "Files in `to` that are selected and not in the source are removed.",
        ),
        key(
            "atomic",
            Form::Boolean,
            "false",
            "true",
            "The new directory is made beside `to` and exchanged with it as a whole.",
        ),
        key(
            "owner",
            Form::Pattern("^[0-9]+:[0-9]+$"),
            "ours for what is new",
            "\"1000:1000\"",
            "User and group of all that is synced, by their numbers.",
        ),
        key(
            "mode",
            MODE,
            "0644, or 0755 where executable",
            "\"0640\"",
            "Permissions of files; one that is executable in the source may be executed by whoever may read it.",
        ),
        key("dir_mode", MODE, "0755 for what is new", "\"0750\"", "Permissions of directories."),
    ],
    is_service: false,
    later: &[],
};

pub(super) const SYNC: Table = Table {
    of: "`sync`",
    fields: &[
        key(
            "source",
            Form::Either(&[Form::Text, Form::Object(&SOURCE)]),
            "–",
            "{ repo: \"https://git.example/data.git\", ref: v2 }",
            "A git repository: `{ repo, ref }`, or as one text `URL#ref`; `ref` is a branch, a tag or a commit, `repo` a URL or the directory of a repository.",
        ),
        key(
            "archive",
            Form::Object(&ARCHIVE),
            "–",
            "{ url: \"https://data.example/set.tar.gz\" }",
            "An archive at a web server, in place of `source`.",
        ),
        key(
            "maps",
            Form::OneOrMore(&Form::Object(&MAP)),
            "–",
            "[{ from: notebooks, to: /data/notebooks }]",
            "Which directory follows which of the source; at least one.",
        ),
        key(
            "hooks",
            Form::OneOrMore(&Form::Object(&RUN)),
            "–",
            "[{ image: \"alpine:3.22\", command: /refresh }]",
            "Containers as `run` has them, run after something changed, in order, up to the first failure.",
        ),
        key("always", Form::Boolean, "false", "true", "The hooks run even if nothing changed."),
        key(
            "deploy_data",
            Form::Text,
            "–",
            "/etc/birdhouse/deploy-data.yml",
            "birdhouse's deploy-data file, in place of `source`, `maps` and `hooks`.",
        ),
        key(
            "image",
            Form::Text,
            "`AUTODEPLOY_DEPLOY_DATA_IMAGE`",
            "bash:5.2",
            "With `deploy_data`: what its `post_actions` run in, with `sh`.",
        ),
        DRY_RUN,
    ],
    is_service: false,
    later: &[],
};

const DRY_RUN: Field = key(
    "dry_run",
    Form::Boolean,
    "false",
    "true",
    "The run says what it would do, and does nothing.",
);
