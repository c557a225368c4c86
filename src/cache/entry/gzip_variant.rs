//! The gzip variant of a stored report.

use std::sync::Arc;

use super::{
    super::gzip::{Encoded, GzipCell, encode},
    Entry, ReportBehind,
};
use crate::report::Representation;

impl Entry {
    /// The gzip variant, if it has been made.
    pub fn gzip(&self) -> Option<&Representation> {
        self.gzip.get()
    }

    /// Makes the gzip variant, if there is none yet.
    pub(in crate::cache) async fn make_gzip(self: &Arc<Self>) -> Encoded {
        let entry = Arc::clone(self);
        self.gzip.make(move || entry.report().and_then(encode)).await
    }

    /// The same entry without a variant, of the report behind it neither.
    pub(in crate::cache) fn without_gzip(&self) -> Self {
        let behind = self.behind.as_ref().map(|behind| ReportBehind {
            report: Arc::new(behind.report.without_gzip()),
            negative_since: behind.negative_since,
        });
        Self { behind: behind.map(Box::new), gzip: GzipCell::default(), ..self.again() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_and_its_two_counts_fit_into_a_block_of_the_allocator() {
        assert!(size_of::<Entry>() + 2 * size_of::<usize>() <= 320, "{}", size_of::<Entry>());
    }
}
