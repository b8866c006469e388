//! `backup` and the kinds around it.

use super::{Answer, Context, failed};
use crate::job::work::{Backup, BackupCheck, BackupPrune, RestoreDrill};
use crate::run::Reason;

pub(super) async fn backup(_: Context<'_>, _: &Backup) -> Answer {
    Ok(failed(Reason::Internal, "to come"))
}

pub(super) async fn prune(_: Context<'_>, _: &BackupPrune) -> Answer {
    Ok(failed(Reason::Internal, "to come"))
}

pub(super) async fn check(_: Context<'_>, _: &BackupCheck) -> Answer {
    Ok(failed(Reason::Internal, "to come"))
}

pub(super) async fn drill(_: Context<'_>, _: &RestoreDrill) -> Answer {
    Ok(failed(Reason::Internal, "to come"))
}
