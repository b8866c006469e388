//! The messages that are exchanged with `BuildKit`, as far as they are used.
//!
//! Numbers are those of its `.proto` files; what is not named here is skipped when read.

use std::collections::BTreeMap;

use prost::Message;

/// `moby.buildkit.v1.SolveRequest`: build something.
#[derive(Clone, PartialEq, Message)]
pub(super) struct SolveRequest {
    #[prost(string, tag = "1")]
    pub(super) reference: String,
    #[prost(string, tag = "3")]
    pub(super) exporter: String,
    #[prost(btree_map = "string, string", tag = "4")]
    pub(super) exporter_attributes: BTreeMap<String, String>,
    #[prost(string, tag = "5")]
    pub(super) session: String,
    #[prost(string, tag = "6")]
    pub(super) frontend: String,
    #[prost(btree_map = "string, string", tag = "7")]
    pub(super) attributes: BTreeMap<String, String>,
    #[prost(message, optional, tag = "8")]
    pub(super) cache: Option<CacheOptions>,
    #[prost(string, repeated, tag = "9")]
    pub(super) entitlements: Vec<String>,
}

/// Where the cache goes to and comes from.
#[derive(Clone, PartialEq, Message)]
pub(super) struct CacheOptions {
    #[prost(message, repeated, tag = "4")]
    pub(super) exports: Vec<CacheEntry>,
    #[prost(message, repeated, tag = "5")]
    pub(super) imports: Vec<CacheEntry>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct CacheEntry {
    #[prost(string, tag = "1")]
    pub(super) kind: String,
    #[prost(btree_map = "string, string", tag = "2")]
    pub(super) attributes: BTreeMap<String, String>,
}

/// A message of which nothing is used.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Nothing {}

/// `moby.buildkit.v1.StatusRequest`: how does it go?
#[derive(Clone, PartialEq, Message)]
pub(super) struct StatusRequest {
    #[prost(string, tag = "1")]
    pub(super) reference: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct StatusResponse {
    #[prost(message, repeated, tag = "1")]
    pub(super) vertexes: Vec<Vertex>,
    #[prost(message, repeated, tag = "2")]
    pub(super) statuses: Vec<VertexStatus>,
    #[prost(message, repeated, tag = "3")]
    pub(super) logs: Vec<VertexLog>,
    #[prost(message, repeated, tag = "4")]
    pub(super) warnings: Vec<VertexWarning>,
}

/// A step of a build.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Vertex {
    #[prost(string, tag = "1")]
    pub(super) digest: String,
    #[prost(string, tag = "3")]
    pub(super) name: String,
    #[prost(bool, tag = "4")]
    pub(super) cached: bool,
    #[prost(message, optional, tag = "5")]
    pub(super) started: Option<Timestamp>,
    #[prost(message, optional, tag = "6")]
    pub(super) completed: Option<Timestamp>,
    #[prost(string, tag = "7")]
    pub(super) error: String,
}

/// How far a part of a step is.
#[derive(Clone, PartialEq, Message)]
pub(super) struct VertexStatus {
    #[prost(string, tag = "1")]
    pub(super) id: String,
    #[prost(string, tag = "2")]
    pub(super) vertex: String,
    #[prost(int64, tag = "4")]
    pub(super) current: i64,
    #[prost(message, optional, tag = "8")]
    pub(super) completed: Option<Timestamp>,
}

/// What a step writes.
#[derive(Clone, PartialEq, Message)]
pub(super) struct VertexLog {
    #[prost(string, tag = "1")]
    pub(super) vertex: String,
    #[prost(message, optional, tag = "2")]
    pub(super) timestamp: Option<Timestamp>,
    #[prost(bytes = "vec", tag = "4")]
    pub(super) text: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct VertexWarning {
    #[prost(bytes = "vec", tag = "3")]
    pub(super) short: Vec<u8>,
    #[prost(string, tag = "5")]
    pub(super) address: String,
}

#[derive(Clone, Copy, PartialEq, Message)]
pub(super) struct Timestamp {
    #[prost(int64, tag = "1")]
    pub(super) seconds: i64,
    #[prost(int32, tag = "2")]
    pub(super) nanoseconds: i32,
}

/// `google.rpc.Status`: how a call ended, in full.
#[derive(Clone, PartialEq, Message)]
pub(super) struct RichStatus {
    #[prost(message, repeated, tag = "3")]
    pub(super) details: Vec<Any>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Any {
    #[prost(string, tag = "1")]
    pub(super) kind: String,
    #[prost(bytes = "vec", tag = "2")]
    pub(super) value: Vec<u8>,
}

/// `grpc.health.v1.HealthCheckResponse`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Health {
    #[prost(int32, tag = "1")]
    pub(super) status: i32,
}

/// The request of `GetSecret` and of `CheckAgent`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Named {
    #[prost(string, tag = "1")]
    pub(super) id: String,
}

/// The answer of `GetSecret`, and a piece of a talk with an agent.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Data {
    #[prost(bytes = "vec", tag = "1")]
    pub(super) data: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct CredentialsRequest {
    #[prost(string, tag = "1")]
    pub(super) host: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct CredentialsResponse {
    #[prost(string, tag = "1")]
    pub(super) username: String,
    #[prost(string, tag = "2")]
    pub(super) secret: String,
}

/// `fsutil.types.Packet`: a step of the transfer of a directory.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Packet {
    #[prost(enumeration = "PacketKind", tag = "1")]
    pub(super) kind: i32,
    #[prost(message, optional, tag = "2")]
    pub(super) stat: Option<Stat>,
    #[prost(uint32, tag = "3")]
    pub(super) id: u32,
    #[prost(bytes = "vec", tag = "4")]
    pub(super) data: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub(super) enum PacketKind {
    /// There is such a file; without one: that was all of them.
    Stat = 0,
    /// Send the content of this one.
    Request = 1,
    /// Some of the content; empty: that was all of it.
    Data = 2,
    /// Nothing more is wanted.
    Finish = 3,
    Error = 4,
}

/// `fsutil.types.Stat`: a file of a directory.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Stat {
    #[prost(string, tag = "1")]
    pub(super) path: String,
    /// As Go writes modes, not as Unix does.
    #[prost(uint32, tag = "2")]
    pub(super) mode: u32,
    #[prost(int64, tag = "5")]
    pub(super) size: i64,
    #[prost(int64, tag = "6")]
    pub(super) modified_nanoseconds: i64,
    #[prost(string, tag = "7")]
    pub(super) link: String,
}
