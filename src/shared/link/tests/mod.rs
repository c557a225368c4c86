//! The link against a fake server, and against real ones.

mod failures;
mod fixture;
mod logs;
mod places;
mod real;
