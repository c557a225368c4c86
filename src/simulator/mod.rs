//! A simulated Constant Contact: the upstream of `demo` and of the tests. Only in a build with the feature
//! `demo`.
//!
//! It knows what the vendor documents and nothing of the proxy: it imports no other module, so that a
//! mistake in our code can't hide behind the same mistake here. Where the documents say nothing it does what a careless
//! client is least prepared for (cookies on every answer, key order that varies, three shapes of error).
//!
//! One request goes through it like this: `server` reads and records it, `gateway` asks `authority` (who is
//! it?), `quota` (may it?) and `reports`, `statistics` or `activities` (what is the answer?), `faults` change the answer on demand, and
//! `reply` sends it. The clicks are those of `clicks` or, for a campaign that a test or the demo plays, of `scripted`.
//!
//! All time is tokio's clock plus a wall clock given at the start: under paused time, a day with its midnight
//! and its tokens takes a millisecond. It must never read the real clock by itself.

mod activities;
mod authority;
mod bodies;
mod campaigns;
mod clicks;
mod clock;
mod control;
mod device;
mod faults;
mod gateway;
mod handle;
mod jwt;
mod oauth;
mod options;
mod pipe;
mod quota;
mod record;
mod reply;
mod reports;
mod scripted;
mod server;
mod statistics;
#[cfg(test)]
mod tests;

pub use bodies::BodyShape;
pub use campaigns::{CampaignState, synthetic_id};
pub use device::Decision;
pub use faults::{Fault, Scope};
pub use gateway::{DEVICE_AUTHORIZE_PATH, TOKEN_PATH};
pub use handle::Simulator;
pub use options::{Options, RefreshTokenPolicy};
pub use pipe::Pipe;
pub use quota::Limit;
pub use record::{SeenRefresh, SeenRequest};
pub use reports::LinkListing;
pub use scripted::{EmClicks, Fall, Recomputed, ScriptedCampaign};
