//! Durability: whether a store outlives its process.

/// Whether a store outlives its process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// It survives kill -9 and a power cut.
    Durable,
    /// It is lost when the process ends.
    Volatile,
}

// === impl Durability ===

impl Durability {
    /// The word in `GET /token`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Durable => "durable",
            Self::Volatile => "volatile",
        }
    }
}
