//! The gzip variant of a report: made once, when first asked for.

use std::{io::Write, sync::Arc};

use flate2::{Compression, write::GzEncoder};

use super::Entry;
use crate::report::{LinkReport, Representation};

/// Who made the variant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoded {
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
    pub fn gzip(&self) -> Option<&Representation> {
        self.gzip.get().map(|gzip| &**gzip)
    }

    /// Makes the gzip variant, off the workers: a large report takes tens of milliseconds. Whoever asks meanwhile waits
    /// for the one that is being made. To be run by a task of its own: dropped half-way, it begins again.
    pub(super) async fn make_gzip(self: &Arc<Self>) -> Encoded {
        let mut made = Encoded::Before;
        let entry = Arc::clone(self);
        let variant = self.gzip.get_or_try_init(|| async {
            made = Encoded::Now;
            // Ends early only with the runtime, or by a panic: then the plain representation serves.
            let encoded = tokio::task::spawn_blocking(move || entry.report().and_then(encode)).await;
            encoded.ok().flatten().map(Box::new).ok_or(())
        });
        match variant.await {
            Ok(_) => made,
            Err(()) => Encoded::Not,
        }
    }
}

fn encode(report: &LinkReport) -> Option<Representation> {
    let plain = report.representation();
    let mut encoder = GzEncoder::new(Vec::with_capacity(plain.body().len() / 4), Compression::default());
    encoder.write_all(plain.body()).ok()?;
    Some(plain.gzip(&encoder.finish().ok()?))
}
