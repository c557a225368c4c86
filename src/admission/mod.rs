//! May this call be made now? The circuit, the second, the day; and whether a failed call deserves another.
mod bucket;
mod circuit;
mod ledger;

pub use bucket::{Bucket, Place, QueueFull, Turn};
pub use circuit::{Circuit, CircuitLimits, CircuitOpen, CircuitState, Outcome, Pass};
pub use ledger::{DayCount, DaySpent, Ledger};
