//! The gzip variant of a report: made once, for the first request that accepts it.

use std::{
    io::Write,
    sync::{Arc, OnceLock},
};

use flate2::{Compression, write::GzEncoder};
use tokio::sync::OnceCell;

use super::Entry;
use crate::report::{LinkReport, Representation};

/// The place of a variant, small until somebody asks for one: most entries never have it.
#[derive(Debug, Clone, Default)]
pub(super) struct GzipCell(OnceLock<Box<OnceCell<Representation>>>);

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

// === impl GzipCell ===

impl GzipCell {
    fn get(&self) -> Option<&Representation> {
        self.0.get()?.get()
    }

    /// The memory that the variant occupies, in bytes.
    pub(super) fn weight(&self) -> usize {
        self.get().map_or(0, |variant| size_of::<OnceCell<Representation>>() + variant.weight())
    }
}

// === impl Entry ===

impl Entry {
    /// The gzip variant, if it has been made.
    pub fn gzip(&self) -> Option<&Representation> {
        self.gzip.get()
    }

    /// Makes the gzip variant on a blocking thread, since a large report takes tens of milliseconds. Concurrent calls
    /// wait for the one that makes it. Run it in a task of its own: if it is dropped midway, the next call starts again.
    pub(super) async fn make_gzip(self: &Arc<Self>) -> Encoded {
        let mut made = Encoded::Before;
        let entry = Arc::clone(self);
        let variant = self.gzip.0.get_or_init(Box::default).get_or_try_init(|| async {
            made = Encoded::Now;
            // Ends early only with the runtime, or by a panic: then the plain representation serves.
            let encoded = tokio::task::spawn_blocking(move || entry.report().and_then(encode)).await;
            encoded.ok().flatten().ok_or(())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_and_its_two_counts_fit_into_a_block_of_the_allocator() {
        assert!(size_of::<Entry>() + 2 * size_of::<usize>() <= 384, "{}", size_of::<Entry>());
    }
}
