//! The gzip variant of a report: made once, when first asked for.

use std::{io::Write, sync::Arc};

use flate2::{Compression, write::GzEncoder};

use super::Entry;
use crate::report::{LinkReport, Tagged};

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

// === impl Entry ===

impl Entry {
    /// The gzip variant, if somebody has asked for it before.
    pub fn gzip(&self) -> Option<&Tagged> {
        self.gzip.get().map(|gzip| &**gzip)
    }

    /// Makes the gzip variant, off the workers: a large report takes tens of milliseconds. Whoever asks meanwhile waits
    /// for the one that is being made. To be run by a task of its own: dropped half-way, it begins again.
    pub(super) async fn make_gzip(self: &Arc<Self>) -> Made {
        let mut made = Made::Before;
        let entry = Arc::clone(self);
        let variant = self.gzip.get_or_try_init(|| async {
            made = Made::Now;
            // Ends early only with the runtime, or by a panic: then the plain representation serves.
            let encoded = tokio::task::spawn_blocking(move || entry.report().and_then(encode)).await;
            encoded.ok().flatten().map(Box::new).ok_or(())
        });
        match variant.await {
            Ok(_) => made,
            Err(()) => Made::Not,
        }
    }
}

fn encode(report: &LinkReport) -> Option<Tagged> {
    let plain = report.tagged();
    let mut encoder = GzEncoder::new(Vec::with_capacity(plain.body().len() / 4), Compression::default());
    encoder.write_all(plain.body()).ok()?;
    Some(plain.gzip(&encoder.finish().ok()?))
}
