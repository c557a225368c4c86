//! The wire format: an operation is a script with its keys and arguments, and its reply an array that begins with a word.
//!
//! Integers only, times in milliseconds. Epochs, nonces and replicas are random numbers of 64 bits and more, which Lua's
//! numbers cannot hold: they are hexadecimal text.

mod feed_page;
mod replies;
mod reply_fields;
mod requests;
mod script_call;

pub(super) use feed_page::{FeedRead, parse_feed};
pub(super) use replies::{
    ReplyLimits, parse_call_turn, parse_done, parse_fence, parse_fleet_state, parse_guarded_done,
    parse_guarded_fleet_state, parse_looked_up, parse_report, parse_restored, parse_stored, parse_swapped,
    parse_token,
};
pub(super) use requests::{ScriptRequests, change_id_text};
pub(super) use script_call::ScriptCall;
