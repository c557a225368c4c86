//! A simulated Constant Contact: what `demo` and the tests put behind the proxy.
//!
//! It knows what the vendor documents and nothing of the proxy: it imports no other module, so that a wrong
//! idea in ours can't hide behind the same wrong idea here. Where the vendor is silent it does what would
//! hurt a careless client most (cookies on every answer, key order that varies, three shapes of error).
//!
//! One request goes through it like this: `server` reads and records it, `gateway` asks `authority` (who is
//! it?), `quota` (may it?) and `reports` (what is the answer?), `faults` spoil the answer on demand, and
//! `reply` puts it on the wire.
//!
//! All time is tokio's clock plus a wall clock given at the start: under paused time, a day with its midnight
//! and its tokens takes a millisecond. It must never read the real clock by itself.

mod authority;
mod bodies;
mod campaigns;
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
mod server;
#[cfg(test)]
mod tests;

pub use bodies::BodyShape;
pub use campaigns::{Campaign, CampaignState, synthetic_id};
pub use device::Decision;
pub use faults::{Fault, Scope, UnknownFault};
pub use gateway::{DEVICE_AUTHORIZE_PATH, TOKEN_PATH};
pub use handle::Simulator;
pub use options::{Compression, Options, RefreshTokenPolicy};
pub use pipe::Pipe;
pub use quota::Limit;
pub use record::SeenRequest;
