//! Whether what is kept outlives the process.

/// Whether a store outlives its process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// It survives kill -9 and a power cut.
    Durable,
    /// It ends with the process.
    Volatile,
}

// === impl Durability ===

impl Durability {
    /// For `GET /token`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Durable => "durable",
            Self::Volatile => "volatile",
        }
    }
}
