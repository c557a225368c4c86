//! Which call brought an entry.

/// Which call brought an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntrySource {
    /// That for its report.
    Fetched,
    /// That for the activity's report of all links: the links without clicks were cut out.
    Derived,
}

// === impl EntrySource ===

impl EntrySource {
    /// The word in `GET /cache/{id}`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fetched => "fetched",
            Self::Derived => "derived",
        }
    }
}
