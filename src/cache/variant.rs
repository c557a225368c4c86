//! The gzip variant of a report: made once, when first asked for.

use std::{io::Write, sync::Arc};

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};

use super::Entry;
use crate::report::ETag;

/// Another representation of a report, with a validator of its own.
#[derive(Debug, Clone)]
pub struct Variant {
    body: Bytes,
    etag: ETag,
}

// === impl Variant ===

impl Variant {
    /// The encoded bytes.
    pub const fn body(&self) -> &Bytes {
        &self.body
    }

    /// Its own strong validator.
    pub const fn etag(&self) -> &ETag {
        &self.etag
    }

    pub(super) fn weight(&self) -> usize {
        self.body.len() + self.etag.as_bytes().len()
    }

    fn of(entry: &Entry) -> Option<Self> {
        let report = entry.report()?;
        let mut encoder = GzEncoder::new(Vec::with_capacity(report.body().len() / 4), Compression::default());
        encoder.write_all(report.body()).ok()?;
        let encoded = encoder.finish().ok()?;
        Some(Self { body: encoded.into_boxed_slice().into(), etag: report.etag().gzip() })
    }
}

// === impl Entry ===

impl Entry {
    /// The gzip variant, if somebody has asked for it before.
    pub fn gzip(&self) -> Option<&Variant> {
        self.gzip.get()
    }

    /// Makes the gzip variant, off the workers: a large report takes tens of milliseconds. `true` for the one caller
    /// that made it; whoever asks meanwhile waits for that one.
    pub(super) async fn make_gzip(self: &Arc<Self>) -> Made {
        let mut made = Made::Before;
        let entry = Arc::clone(self);
        let variant = self.gzip.get_or_try_init(|| async {
            made = Made::Now;
            // Ends early only with the runtime, or by a panic: then the plain representation serves.
            tokio::task::spawn_blocking(move || Variant::of(&entry)).await.ok().flatten().ok_or(())
        });
        match variant.await {
            Ok(_) => made,
            Err(()) => Made::Not,
        }
    }
}

/// Who made the variant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Made {
    /// This caller.
    Now,
    /// Another one.
    Before,
    /// Nobody: there is none.
    Not,
}
