//! The gzip variant of a report: made once, for the first request that accepts it.

use std::{io::Write, sync::Arc};

use flate2::{Compression, write::GzEncoder};

use super::Entry;
use crate::report::{LinkReport, Representation};

/// The outcome of [`Entry::make_gzip`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoded {
    /// This call made the variant: the entry weighs more now.
    Now,
    /// It was there already, or another call made it meanwhile.
    Before,
    /// There is none: encoding failed, or the answer is no report.
    Not,
}

// === impl Entry ===

impl Entry {
    /// The gzip variant, if it has been made.
    pub fn gzip(&self) -> Option<&Representation> {
        self.gzip.get().map(|gzip| &**gzip)
    }

    /// Makes the gzip variant on a blocking thread, since a large report takes tens of milliseconds. Concurrent calls
    /// wait for the one that makes it. Run it in a task of its own: if it is dropped midway, the next call starts again.
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
