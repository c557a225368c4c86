//! The store's Lua scripts, each made of the parts that it needs.
//!
//! A guarded script refuses before it does anything. Only the scripts' first part reads the clock; tests put another one
//! there.

use super::store_script::StoreScript;

/// The first part of each script that needs the time.
#[cfg(test)]
pub(super) const CLOCK: &str = include_str!("scripts/clock.lua");

macro_rules! script {
    ($name:literal: $($part:literal)*) => {
        StoreScript {
            name: $name,
            text: concat!($(include_str!(concat!("scripts/", $part, ".lua"))),*),
        }
    };
}

pub(super) static HEARTBEAT: StoreScript =
    script!("heartbeat": "clock" "fleet" "guard" "turn_day" "fleet_state" "heartbeat");
pub(super) static RECOVER: StoreScript =
    script!("recover": "clock" "fleet" "turn_day" "fleet_state" "recover");
pub(super) static LEAVE: StoreScript = script!("leave": "leave");
pub(super) static TAKE_CALL: StoreScript =
    script!("take_call": "clock" "fleet" "guard" "turn_day" "take_call");
pub(super) static LOCK_OUT: StoreScript = script!("lock_out": "clock" "fleet" "guard" "turn_day" "lock_out");
pub(super) static THROTTLE: StoreScript = script!("throttle": "clock" "fleet" "guard" "throttle");
pub(super) static LOOK_UP: StoreScript = script!("look_up": "clock" "fleet" "guard" "report" "look_up");
pub(super) static GET: StoreScript = script!("get": "clock" "fleet" "report" "get");
pub(super) static STORE: StoreScript = script!("store": "clock" "fleet" "guard" "report" "store");
pub(super) static FAIL: StoreScript = script!("fail": "clock" "fleet" "guard" "fail");
pub(super) static PURGE_KEY: StoreScript = script!("purge": "clock" "fleet" "guard" "purge_key");
pub(super) static PURGE_ALL: StoreScript = script!("purge_all": "clock" "fleet" "guard" "purge_all");
pub(super) static READ_TOKEN: StoreScript = script!("read_token": "read_token");
pub(super) static SWAP_TOKEN: StoreScript = script!("swap_token": "clock" "fleet" "guard" "swap_token");
pub(super) static RESTORE_TOKEN: StoreScript =
    script!("restore_token": "clock" "fleet" "guard" "restore_token");
pub(super) static CHANGES: StoreScript = script!("changes": "changes");

/// All of them.
pub(super) static ALL: &[&StoreScript] = &[
    &HEARTBEAT,
    &RECOVER,
    &LEAVE,
    &TAKE_CALL,
    &LOCK_OUT,
    &THROTTLE,
    &LOOK_UP,
    &GET,
    &STORE,
    &FAIL,
    &PURGE_KEY,
    &PURGE_ALL,
    &READ_TOKEN,
    &SWAP_TOKEN,
    &RESTORE_TOKEN,
    &CHANGES,
];
