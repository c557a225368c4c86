//! Layers made of an `async fn` that wraps a request: the only adapters between such functions and tower.
//!
//! [`from_fn()`] takes a free `async fn(state, request, next)`. It is for the data port, where layers of tower-http stand in
//! between and where a layer may answer with another type than the one below. [`step()`] takes a type with an
//! `async fn handle(&self, request, next)`. It is for upstream calls: a step borrows the steps below it, so that a whole
//! stack is one future without a box or a clone for each. [`TowerService`] is the bottom of such a stack, and
//! [`SharedService`] makes it a tower service again. Must never know what is requested.

mod from_fn;
mod service;
mod step;

pub(crate) use from_fn::from_fn;
pub(crate) use service::SharedService;
pub use service::TowerService;
pub(crate) use step::{Middleware, Next, step};
