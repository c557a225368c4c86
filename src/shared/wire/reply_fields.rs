//! Reads a reply field by field. Whatever is not as expected is an error.

use std::time::Duration;

use bytes::Bytes;
use redis::Value;

use crate::shared::{Epoch, Fence, Guarded, SharedStoreError, StoreChanged};

/// The words of the scripts are shorter.
const LONGEST_NAME: usize = 32;

/// The fields of a reply that are not read yet.
pub(super) struct ReplyFields {
    fields: std::vec::IntoIter<Value>,
}

type FieldRead<T> = Result<T, SharedStoreError>;

// === impl ReplyFields ===

impl ReplyFields {
    pub(super) fn of(value: Value) -> FieldRead<Self> {
        match value {
            Value::Array(fields) => Ok(Self { fields: fields.into_iter() }),
            _ => Err(SharedStoreError::Malformed("not an array")),
        }
    }

    /// Reads a whole reply; `read` has its first word and the other fields.
    pub(super) fn read<T>(value: Value, read: impl FnOnce(&str, &mut Self) -> FieldRead<T>) -> FieldRead<T> {
        let mut fields = Self::of(value)?;
        let word = fields.text(LONGEST_NAME)?;
        let read = read(&word, &mut fields)?;
        fields.end()?;
        Ok(read)
    }

    /// Reads the reply of a guarded script.
    pub(super) fn read_guarded<T>(
        value: Value,
        read: impl FnOnce(&str, &mut Self) -> FieldRead<T>,
    ) -> FieldRead<Guarded<T>> {
        Self::read(value, |word, fields| match word {
            "empty" => Ok(Err(StoreChanged::Empty)),
            "other_epoch" => Ok(Err(StoreChanged::OtherEpoch(fields.epoch()?))),
            "rolled_back" => Ok(Err(StoreChanged::RolledBack)),
            word => read(word, fields).map(Ok),
        })
    }

    pub(super) fn next(&mut self) -> FieldRead<Value> {
        self.fields.next().ok_or(SharedStoreError::Malformed("a field is missing"))
    }

    pub(super) fn end(&mut self) -> FieldRead<()> {
        match self.fields.next() {
            None => Ok(()),
            Some(_) => Err(SharedStoreError::Malformed("too many fields")),
        }
    }

    pub(super) fn integer(&mut self) -> FieldRead<u64> {
        match self.next()? {
            Value::Int(integer) => {
                u64::try_from(integer).map_err(|_| SharedStoreError::Malformed("a negative integer"))
            }
            _ => Err(SharedStoreError::Malformed("not an integer")),
        }
    }

    pub(super) fn duration(&mut self) -> FieldRead<Duration> {
        self.integer().map(Duration::from_millis)
    }

    pub(super) fn fence(&mut self) -> FieldRead<Fence> {
        self.integer().map(Fence)
    }

    pub(super) fn bytes(&mut self, limit: usize) -> FieldRead<Bytes> {
        bytes(self.next()?, limit)
    }

    pub(super) fn text(&mut self, limit: usize) -> FieldRead<Box<str>> {
        let bytes = self.bytes(limit)?;
        let text = std::str::from_utf8(&bytes).map_err(|_| SharedStoreError::Malformed("not UTF-8"))?;
        Ok(text.into())
    }

    pub(super) fn epoch(&mut self) -> FieldRead<Epoch> {
        parse_epoch(&self.text(LONGEST_NAME)?).ok_or(SharedStoreError::Malformed("not an epoch"))
    }
}

fn bytes(value: Value, limit: usize) -> FieldRead<Bytes> {
    match value {
        Value::BulkString(bytes) if bytes.len() <= limit => Ok(bytes.into()),
        Value::BulkString(_) => Err(SharedStoreError::Malformed("a value is too large")),
        _ => Err(SharedStoreError::Malformed("not a string")),
    }
}

/// 16 hexadecimal digits.
pub(super) fn parse_epoch(text: &str) -> Option<Epoch> {
    let digits = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    digits.then(|| u64::from_str_radix(text, 16).ok()).flatten().map(Epoch)
}
