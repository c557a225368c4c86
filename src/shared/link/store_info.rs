//! What the server's INFO says of it, parsed once for each connection.

use super::DownReason;
use crate::shared::StoreIdentity;

/// The sections that are read. One command each: Redis 6.2 takes one section only.
pub(super) const SECTIONS: [&str; 4] = ["replication", "persistence", "memory", "server"];
/// The sections that can change while a connection lasts.
pub(super) const CHANGING_SECTIONS: [&str; 2] = ["replication", "persistence"];
/// INFO of a section has some kilobytes.
const MOST_BYTES: usize = 64 * 1024;
const LONGEST_VALUE: usize = 64;

/// What the server says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StoreInfo {
    /// Changes with a promotion and with a restart.
    pub(crate) identity: StoreIdentity,
    /// `redis` or `valkey`.
    pub(crate) engine: &'static str,
    /// Its version.
    pub(crate) version: Box<str>,
    /// Connected replicas.
    pub(crate) replicas: u64,
    /// It has an append-only file.
    pub(crate) append_only: bool,
    /// It is rewriting its append-only file: what it acknowledges now may be lost if it is killed.
    pub(crate) rewriting: bool,
    /// `maxmemory-policy`; `None`: it does not say.
    pub(crate) eviction: Option<Box<str>>,
}

/// How a server can lose what it has acknowledged, by its settings. A label of `shared_store_risk`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StoreRisk {
    /// Its `maxmemory-policy` may evict keys without a lifetime: the day's count and the token.
    EvictsAll,
    /// It has no append-only file: a restart empties it.
    NoAppendOnlyFile,
}

// === impl StoreRisk ===

impl StoreRisk {
    pub(crate) const ALL: [Self; 2] = [Self::EvictsAll, Self::NoAppendOnlyFile];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::EvictsAll => "evicts_all",
            Self::NoAppendOnlyFile => "no_append_only_file",
        }
    }
}

// === impl StoreInfo ===

impl StoreInfo {
    /// Of all [`SECTIONS`].
    pub(in crate::shared) fn parse(sections: &[&[u8]]) -> Result<Self, DownReason> {
        let text = text(sections)?;
        let valkey = field(&text, "valkey_version");
        let redis = field(&text, "redis_version").unwrap_or("unknown");
        Ok(Self {
            identity: identity(&text)?,
            engine: if valkey.is_some() { "valkey" } else { "redis" },
            version: valkey.unwrap_or(redis).into(),
            replicas: field(&text, "connected_slaves").and_then(|count| count.parse().ok()).unwrap_or(0),
            append_only: field(&text, "aof_enabled") == Some("1"),
            rewriting: is_rewriting(&text),
            eviction: field(&text, "maxmemory_policy").map(Into::into),
        })
    }

    /// The same, with what [`CHANGING_SECTIONS`] say now.
    pub(super) fn renewed(&self, sections: &[&[u8]]) -> Result<Self, DownReason> {
        let text = text(sections)?;
        let replicas = field(&text, "connected_slaves").and_then(|count| count.parse().ok()).unwrap_or(0);
        Ok(Self { identity: identity(&text)?, replicas, rewriting: is_rewriting(&text), ..self.clone() })
    }

    /// Whether the server can lose what it holds in this way.
    pub(crate) fn has(&self, risk: StoreRisk) -> bool {
        match risk {
            StoreRisk::EvictsAll => {
                self.eviction.as_deref().is_some_and(|policy| policy.starts_with("allkeys"))
            }
            StoreRisk::NoAppendOnlyFile => !self.append_only,
        }
    }
}

fn text(sections: &[&[u8]]) -> Result<String, DownReason> {
    if sections.iter().any(|section| section.len() > MOST_BYTES) {
        return Err(DownReason::Malformed);
    }
    let sections = sections.iter().map(|section| std::str::from_utf8(section));
    let sections: Vec<_> = sections.collect::<Result<_, _>>().map_err(|_not_text| DownReason::Malformed)?;
    Ok(sections.join("\n"))
}

/// Of a primary; a replica is refused here.
fn identity(text: &str) -> Result<StoreIdentity, DownReason> {
    if field(text, "role").ok_or(DownReason::Malformed)? != "master" {
        return Err(DownReason::Replica);
    }
    field(text, "master_replid").map(|id| StoreIdentity(id.into())).ok_or(DownReason::Malformed)
}

fn is_rewriting(text: &str) -> bool {
    ["aof_rewrite_in_progress", "aof_rewrite_scheduled"].iter().any(|name| field(text, name) == Some("1"))
}

fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let mut values = text.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    values.next().map(str::trim).filter(|value| !value.is_empty() && value.len() <= LONGEST_VALUE)
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPLICATION: &[u8] =
        b"# Replication\r\nrole:master\r\nconnected_slaves:2\r\nmaster_replid:abc\r\nmaster_replid2:000\r\n";

    fn with(more: &str) -> Result<StoreInfo, DownReason> {
        StoreInfo::parse(&[REPLICATION, more.as_bytes()])
    }

    #[test]
    fn a_primary_says_who_it_is_and_how_it_keeps_its_data() {
        let info = with(
            "redis_version:7.2.4\r\nvalkey_version:9.0.1\r\naof_enabled:1\r\naof_rewrite_in_progress:0\r\n\
             aof_rewrite_scheduled:0\r\nmaxmemory_policy:noeviction\r\n",
        );
        let expected = StoreInfo {
            identity: StoreIdentity("abc".into()),
            engine: "valkey",
            version: "9.0.1".into(),
            replicas: 2,
            append_only: true,
            rewriting: false,
            eviction: Some("noeviction".into()),
        };
        assert_eq!(info, Ok(expected.clone()));
        assert_eq!(StoreRisk::ALL.map(|risk| expected.has(risk)), [false, false]);
        let renewed = expected.renewed(&[
            b"role:master\r\nmaster_replid:def\r\nconnected_slaves:0",
            b"aof_rewrite_in_progress:1",
        ]);
        let identity = StoreIdentity("def".into());
        assert_eq!(renewed, Ok(StoreInfo { identity, replicas: 0, rewriting: true, ..expected }));
    }

    #[test]
    fn a_server_that_hides_much_is_a_server_all_the_same() {
        let info = with("redis_version:6.2.0").unwrap();
        assert_eq!((info.engine, &*info.version, info.eviction), ("redis", "6.2.0", None));
        let risks = |more: &str| StoreRisk::ALL.map(|risk| with(more).unwrap().has(risk));
        assert_eq!(risks("maxmemory_policy:allkeys-lru\naof_enabled:1"), [true, false]);
        assert_eq!(risks("maxmemory_policy:volatile-lru\naof_enabled:0"), [false, true]);
    }

    #[test]
    fn a_replica_and_what_is_no_info_are_refused() {
        assert_eq!(StoreInfo::parse(&[b"role:slave\r\nmaster_replid:abc"]), Err(DownReason::Replica));
        for odd in
            [&b"hello"[..], b"role:master", b"role:master\nmaster_replid:", b"\xff", &[b'x'; MOST_BYTES + 1]]
        {
            assert_eq!(StoreInfo::parse(&[odd]), Err(DownReason::Malformed));
        }
    }
}
