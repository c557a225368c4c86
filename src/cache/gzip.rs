//! The gzip variant of a report: made once, for the first request that accepts it.

use std::{io::Write, sync::OnceLock};

use flate2::{Compression, write::GzEncoder};
use tokio::sync::OnceCell;

use crate::report::{LinkReport, Representation};

/// The place of a variant, small until somebody asks for one: most entries never have it.
#[derive(Debug, Clone, Default)]
pub(super) struct GzipCell(OnceLock<Box<OnceCell<Representation>>>);

/// The outcome of [`GzipCell::make`].
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
    /// The variant, if it has been made.
    pub(super) fn get(&self) -> Option<&Representation> {
        self.0.get()?.get()
    }

    /// The memory that the variant occupies, in bytes.
    pub(super) fn weight(&self) -> usize {
        self.get().map_or(0, |variant| size_of::<OnceCell<Representation>>() + variant.weight())
    }

    /// Makes the variant on a blocking thread, since a large report takes tens of milliseconds. Concurrent calls wait for the
    /// one that makes it. Run it in a task of its own: if it is dropped midway, the next call starts again.
    pub(super) async fn make<M>(&self, make: M) -> Encoded
    where
        M: FnOnce() -> Option<Representation> + Send + 'static,
    {
        let mut made = Encoded::Before;
        let variant = self.0.get_or_init(Box::default).get_or_try_init(|| async {
            made = Encoded::Now;
            // Ends early only with the runtime, or by a panic: then the plain representation serves.
            let encoded = tokio::task::spawn_blocking(make).await;
            encoded.ok().flatten().ok_or(())
        });
        match variant.await {
            Ok(_) => made,
            Err(()) => Encoded::Not,
        }
    }
}

/// A gzip variant of a report.
pub(super) fn encode(report: &LinkReport) -> Option<Representation> {
    let plain = report.representation().body();
    let mut encoder = GzEncoder::new(Vec::with_capacity(plain.len() / 4), Compression::default());
    encoder.write_all(plain).ok()?;
    Some(Representation::new(&encoder.finish().ok()?))
}
