//! Parses a page of the change feed.
//!
//! Its entries are written by other replicas, which can be of another version: a kind of change that is unknown here is
//! skipped. An entry that cannot be read may be any change, so the reader is told to restart.

use redis::Value;

use super::reply_fields::{ReplyFields, parse_epoch};
use crate::shared::{
    Change, ChangeId, ChangeKind, FeedPage, FeedRestart, Fence, SharedStoreError, change::PAGE_LENGTH,
    feed_window::FeedWindow, short_word::LONGEST_WORD, store_keys::parse_report_key,
};

/// Two numbers of 20 digits.
const LONGEST_ID: usize = 41;

/// The entries have a few fields; those of later versions may have more.
const MOST_FIELDS: usize = 16;

const LONGEST_FIELD: usize = 256;

/// What a read of the feed found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::shared) struct FeedRead {
    /// The changes that are known here.
    pub(in crate::shared) page: FeedPage,
    /// The last entry that was read, known or not; the position asked for if there was none.
    pub(in crate::shared) last: ChangeId,
    /// The newest entry of the feed.
    pub(in crate::shared) newest: ChangeId,
}

enum EntryRead {
    Known(ChangeKind),
    Unknown,
    Unreadable,
}

// === impl FeedRead ===

pub(in crate::shared) fn parse_feed(value: Value, after: ChangeId) -> Result<FeedRead, SharedStoreError> {
    ReplyFields::read(value, |word, fields| {
        if word != "feed" {
            return Err(SharedStoreError::Malformed("an unknown word"));
        }
        let window = FeedWindow {
            first: change_id(fields)?,
            newest: change_id(fields)?,
            length: usize::try_from(fields.integer()?).unwrap_or(usize::MAX),
        };
        let newest = window.newest;
        let Value::Array(entries) = fields.next()? else {
            return Err(SharedStoreError::Malformed("not an array"));
        };
        if entries.len() > PAGE_LENGTH {
            return Err(SharedStoreError::Malformed("too many changes"));
        }
        if let Some(restart) = window.restart(after) {
            let page = FeedPage { changes: Vec::new(), restart: Some(restart) };
            return Ok(FeedRead { page, last: after, newest });
        }
        let (mut page, mut last) = (FeedPage { changes: Vec::new(), restart: None }, after);
        for entry in entries {
            let mut entry = ReplyFields::of(entry)?;
            let id = change_id(&mut entry)?;
            if id <= last {
                return Err(SharedStoreError::Malformed("changes out of order"));
            }
            match entry_kind(&entry.next()?) {
                EntryRead::Known(kind) => page.changes.push(Change { id, kind }),
                EntryRead::Unknown => {}
                EntryRead::Unreadable => {
                    page.restart = Some(FeedRestart::Missed(newest));
                    break;
                }
            }
            last = id;
        }
        Ok(FeedRead { page, last, newest })
    })
}

fn change_id(fields: &mut ReplyFields) -> Result<ChangeId, SharedStoreError> {
    let text = fields.text(LONGEST_ID)?;
    let parts = text.split_once('-').and_then(|(ms, n)| Some((ms.parse().ok()?, n.parse().ok()?)));
    let (ms, n) = parts.ok_or(SharedStoreError::Malformed("not a position"))?;
    Ok(ChangeId { ms, n })
}

fn entry_kind(fields: &Value) -> EntryRead {
    let Value::Array(fields) = fields else { return EntryRead::Unreadable };
    if fields.len() > MOST_FIELDS {
        return EntryRead::Unreadable;
    }
    let texts = fields.iter().map(|field| match field {
        Value::BulkString(bytes) if bytes.len() <= LONGEST_FIELD => Some(bytes.as_slice()),
        _ => None,
    });
    let Some(texts) = texts.collect::<Option<Vec<_>>>() else { return EntryRead::Unreadable };
    let Some(kind) = texts.first() else { return EntryRead::Unreadable };
    let read = match *kind {
        b"report" => report(&texts),
        b"failure" => failure(&texts),
        b"purge" => purge(&texts),
        b"token" => integer(&texts, b"token").map(|version| ChangeKind::Token { version }),
        b"lockout" => Some(ChangeKind::Lockout),
        b"epoch" => text(&texts, b"epoch").and_then(parse_epoch).map(ChangeKind::Epoch),
        _ => return EntryRead::Unknown,
    };
    read.map_or(EntryRead::Unreadable, EntryRead::Known)
}

fn report(texts: &[&[u8]]) -> Option<ChangeKind> {
    let key = parse_report_key(field(texts, b"report")?)?;
    Some(ChangeKind::Report { key, fence: Fence(integer(texts, b"fence")?) })
}

fn failure(texts: &[&[u8]]) -> Option<ChangeKind> {
    let key = parse_report_key(field(texts, b"failure")?)?;
    let why = text(texts, b"why").filter(|why| why.len() <= LONGEST_WORD)?;
    Some(ChangeKind::Failure { key, why: why.into() })
}

fn purge(texts: &[&[u8]]) -> Option<ChangeKind> {
    let key = match field(texts, b"purge")? {
        b"" => None,
        key => Some(parse_report_key(key)?),
    };
    Some(ChangeKind::Purge { key, fence: Fence(integer(texts, b"fence")?) })
}

fn field<'a>(texts: &[&'a [u8]], name: &[u8]) -> Option<&'a [u8]> {
    texts.chunks_exact(2).find(|pair| pair[0] == name).map(|pair| pair[1])
}

fn text<'a>(texts: &[&'a [u8]], name: &[u8]) -> Option<&'a str> {
    std::str::from_utf8(field(texts, name)?).ok()
}

fn integer(texts: &[&[u8]], name: &[u8]) -> Option<u64> {
    text(texts, name)?.parse().ok()
}
