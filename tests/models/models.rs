//! Model checks of what threads share: flights, the current token, turns of the pacer, wake-ups.
//!
//! The checked files are those that are shipped, byte for byte: they are compiled here with another `std` and `tokio`, whose
//! locks, atomics and waiters are the checker's. What they import beside that is a stand-in with the same names. Each model
//! has its properties in its assertions; a waiter that nobody wakes is a deadlock, which the checkers report.

#![allow(
    dead_code,
    unused_imports,
    reason = "a checked file has more than its models use, and so have stand-ins"
)]

extern crate self as std;
extern crate self as tokio;
extern crate std as real_std;

#[cfg(not(feature = "shuttle"))]
use loom as checker;
#[cfg(feature = "shuttle")]
use shuttle as checker;

pub use real_std::{cmp, collections, fmt, future, iter, mem, num, ops, panic, pin};

mod explore;

// `std` and `tokio`.
#[path = "standins/io.rs"]
pub mod io;
#[path = "standins/sync.rs"]
pub mod sync;
#[path = "standins/task.rs"]
pub mod task;
#[path = "standins/time.rs"]
pub mod time;
pub(crate) use checker::thread;
pub use task::spawn;

// What the checked modules import of the crate.
#[path = "../../src/backoff.rs"]
mod backoff;
#[path = "../../src/middleware/step.rs"]
mod middleware;
#[path = "../../src/outage.rs"]
mod outage;
#[path = "standins/report.rs"]
mod report;
#[path = "standins/settings.rs"]
mod settings;
#[path = "standins/state.rs"]
mod state;
#[path = "standins/telemetry.rs"]
mod telemetry;
#[path = "standins/upstream.rs"]
mod upstream;

// The checked modules and their models.
#[path = "flights.rs"]
mod cache;
#[path = "quota.rs"]
mod quota;
#[path = "circuit.rs"]
mod resilience;
#[path = "connections.rs"]
mod server;
#[path = "fleet.rs"]
mod shared;
#[path = "token.rs"]
mod token;

use explore::Model;

/// `tokio::select!`, without its random order.
#[macro_export]
macro_rules! select {
    (biased; $($branches:tt)*) => { ::real_tokio::select! { biased; $($branches)* } };
    ($($branches:tt)*) => { ::real_tokio::select! { biased; $($branches)* } };
}

fn main() {
    let models: Vec<Model> =
        [cache::MODELS, token::MODELS, quota::MODELS, resilience::MODELS, server::MODELS, shared::MODELS]
            .concat();
    explore::all(&models);
}
