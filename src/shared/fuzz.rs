//! A fuzz target: the replies of the shared store, as bytes of its protocol.

use redis::parse_redis_value;

use super::{
    ChangeId, MemberAbout, StoreInfo,
    wire::{
        ReplyLimits, parse_call_turn, parse_feed, parse_fence, parse_fleet_state, parse_guarded_done,
        parse_guarded_fleet_state, parse_looked_up, parse_report, parse_stored, parse_swapped, parse_token,
    },
};

/// Each reply, read as that of each script.
pub(crate) fn store_reply(data: &[u8]) {
    let limits = ReplyLimits { max_body: 1 << 16 };
    let Ok(value) = parse_redis_value(data) else { return };
    let reads: [fn(redis::Value, ReplyLimits); 11] = [
        |value, _| drop(parse_guarded_fleet_state(value)),
        |value, _| drop(parse_fleet_state(value)),
        |value, _| drop(parse_guarded_done(value)),
        |value, _| drop(parse_call_turn(value)),
        |value, limits| drop(parse_looked_up(value, limits)),
        |value, limits| {
            if let Ok(Some(report)) = parse_report(value, limits) {
                assert!(report.body.len() <= limits.max_body);
            }
        },
        |value, _| drop(parse_stored(value)),
        |value, _| drop(parse_fence(value)),
        |value, _| drop(parse_token(value)),
        |value, _| drop(parse_swapped(value)),
        |value, _| drop(parse_feed(value, ChangeId::default())),
    ];
    for read in reads {
        read(value.clone(), limits);
    }
    if let Ok(text) = std::str::from_utf8(data) {
        assert!(MemberAbout::parse(text).name().bytes().all(|byte| byte.is_ascii_graphic()));
    }
    drop(StoreInfo::parse(&[data]));
}
