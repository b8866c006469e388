//! A repository in a bucket of an S3-compatible server, laid out as restic does.

use std::time::Duration;

use bytes::Bytes;
use reqwest::Url;
use reqwest::blocking::Client;
use reqwest::header::IF_NONE_MATCH;
use rusty_s3::actions::ListObjectsV2;
use rusty_s3::{Bucket, Credentials, S3Action, UrlStyle};

use super::http::{body, client, credential, joined, ranged, send};
use super::upload::no_bucket;
use super::{Fault, Kind, Part, Store, is_name};
use crate::backup::pause;
use crate::backup::protocol::{Access, Failure};
use crate::backup::talk::{Failed, Outcome};

/// How long the signature of a request holds.
pub(super) const SIGNED_FOR: Duration = Duration::from_mins(10);
/// How long whoever writes a config at the same time may take.
const SETTLES: Duration = Duration::from_secs(1);
/// Where there is no other word for it.
const REGION: &str = "us-east-1";

/// A bucket, and a place in it.
pub(in crate::backup) struct S3 {
    pub(super) client: Client,
    pub(super) bucket: Bucket,
    credentials: Option<Credentials>,
    pub(super) prefix: String,
}

impl S3 {
    pub(super) fn new(
        endpoint: &str,
        (bucket, prefix): (&str, &str),
        access: &Access,
    ) -> Outcome<Self> {
        let bad = |what: String| {
            let name = access.location.name();
            Failed::new(Failure::Other, format!("{name} is no bucket: {what}"))
        };
        let url: Url = endpoint.parse().map_err(|_| bad(format!("`{endpoint}` is no URL")))?;
        let named = |name: &str| credential(access, name).map(str::to_owned);
        let region = named("AWS_DEFAULT_REGION").unwrap_or_else(|| REGION.to_owned());
        let bucket = Bucket::new(url, UrlStyle::Path, bucket.to_owned(), region)
            .map_err(|error| bad(error.to_string()))?;
        let keys = named("AWS_ACCESS_KEY_ID").zip(named("AWS_SECRET_ACCESS_KEY"));
        let credentials = keys.map(|(key, secret)| match named("AWS_SESSION_TOKEN") {
            Some(token) => Credentials::new_with_token(key, secret, token),
            None => Credentials::new(key, secret),
        });
        let prefix = match prefix.trim_matches('/') {
            "" => String::new(),
            prefix => format!("{prefix}/"),
        };
        Ok(Self { client: client(access)?, bucket, credentials, prefix })
    }

    fn key(&self, kind: Kind, name: &str) -> String {
        let Self { prefix, .. } = self;
        match kind {
            Kind::Config => format!("{prefix}config"),
            // As restic's default layout: packs in 256 directories.
            Kind::Data => format!("{prefix}data/{}/{name}", &name[..2]),
            _ => format!("{prefix}{}/{name}", kind.directory()),
        }
    }

    pub(super) fn credentials(&self) -> Option<&Credentials> {
        self.credentials.as_ref()
    }
}

impl Store for S3 {
    fn list(&self, kind: Kind) -> Result<Vec<(String, u64)>, Fault> {
        let prefix = format!("{}{}/", self.prefix, kind.directory());
        let (mut files, mut next) = (Vec::new(), None::<String>);
        loop {
            let answer = send(|| {
                let mut list = self.bucket.list_objects_v2(self.credentials());
                list.with_prefix(prefix.as_str());
                if let Some(next) = &next {
                    list.with_continuation_token(next.as_str());
                }
                self.client.get(list.sign(SIGNED_FOR))
            })?;
            let answer = answer.ok_or_else(no_bucket)?;
            let listed = ListObjectsV2::parse_response(body(answer, None)?)
                .map_err(|error| Fault::Other(format!("its list cannot be read: {error}")))?;
            files.extend(listed.contents.into_iter().filter_map(|object| {
                let name = object.key.rsplit('/').next().unwrap_or_default();
                is_name(name).then(|| (name.to_owned(), object.size))
            }));
            next = listed.next_continuation_token;
            if next.is_none() {
                return Ok(files);
            }
        }
    }

    fn read(&self, kind: Kind, name: &str, part: Option<Part>) -> Result<Bytes, Fault> {
        let key = self.key(kind, name);
        let answer = send(|| {
            let get = self.bucket.get_object(self.credentials(), &key);
            ranged(self.client.get(get.sign(SIGNED_FOR)), part)
        })?;
        body(answer.ok_or(Fault::Missing)?, part)
    }

    fn write(&self, kind: Kind, name: &str, content: &[Bytes]) -> Result<(), Fault> {
        self.put_at(&self.key(kind, name), &joined(content))
    }

    fn write_config(&self, content: &[Bytes]) -> Result<(), Fault> {
        let (key, content) = (self.key(Kind::Config, ""), joined(content));
        let sent = send(|| {
            let mut put = self.bucket.put_object(self.credentials(), &key);
            put.headers_mut().insert("if-none-match", "*");
            let request = self.client.put(put.sign(SIGNED_FOR)).header(IF_NONE_MATCH, "*");
            request.body(content.clone())
        });
        match sent {
            Ok(Some(_)) => {}
            Ok(None) => return Err(Fault::Other("there is no such bucket".to_owned())),
            // A server that knows no conditions.
            Err(Fault::Unreachable(what) | Fault::Other(what)) if what.contains("501 ") => {
                if self.config()?.is_some() {
                    return Err(Fault::Other("there is a config already".to_owned()));
                }
                self.write(Kind::Config, "", &[content])?;
            }
            Err(fault) => return Err(fault),
        }
        // One that passes them over lets the last win: whoever wrote at the same time is done by then.
        pause(SETTLES);
        Ok(())
    }

    fn remove(&self, kind: Kind, name: &str) -> Result<(), Fault> {
        let key = self.key(kind, name);
        send(|| {
            let delete = self.bucket.delete_object(self.credentials(), &key);
            self.client.delete(delete.sign(SIGNED_FOR))
        })
        .map(|_| ())
    }

    fn create(&self) -> Result<(), Fault> {
        // A bucket has an owner who makes it; directories are only names.
        Ok(())
    }

    fn config(&self) -> Result<Option<u64>, Fault> {
        self.size_at(&self.key(Kind::Config, ""))
    }
}
