//! How a store that has lost writes is recovered.

/// Whether an epoch begins though the sequence looks right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Force {
    Yes,
    No,
}

/// Whether the store is told of calls that are only assumed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Assumed {
    /// It has lost the count.
    Told,
    /// It has one.
    Ignored,
}
