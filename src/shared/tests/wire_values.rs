//! The wire format the other way round: decodes the call of a script as its operation, and encodes its result as a reply.

use std::time::Duration;

use bytes::Bytes;
use redis::Value;

use super::{
    super::{store_keys::parse_report_key, wire::ScriptCall, *},
    operation::{OperationResult, StoreOperation},
};
use crate::report::ReportKey;

/// The arguments that are not read yet.
struct ScriptArguments<'a>(std::slice::Iter<'a, Vec<u8>>);

// === impl ScriptArguments ===

impl ScriptArguments<'_> {
    fn bytes(&mut self) -> Bytes {
        self.0.next().expect("an argument").clone().into()
    }

    fn text(&mut self) -> String {
        String::from_utf8(self.bytes().to_vec()).expect("UTF-8")
    }

    fn integer(&mut self) -> u64 {
        self.text().parse().expect("an integer")
    }

    fn duration(&mut self) -> Duration {
        Duration::from_millis(self.integer())
    }

    fn hex(&mut self) -> u64 {
        u64::from_str_radix(&self.text(), 16).expect("hexadecimal digits")
    }

    fn seen(&mut self) -> StoreSeen {
        let epoch = Some(self.text()).filter(|text| !text.is_empty());
        let epoch = epoch.map(|text| Epoch(u64::from_str_radix(&text, 16).expect("an epoch")));
        StoreSeen { epoch, sequence: Sequence(self.integer()) }
    }

    fn told(&mut self) -> SpentDay {
        SpentDay { day: self.integer(), spent: self.integer() }
    }

    fn nonce(&mut self) -> Nonce {
        Nonce(u128::from_str_radix(&self.text(), 16).expect("a nonce"))
    }

    fn key(&mut self) -> ReportKey {
        parse_report_key(&self.bytes()).expect("a key")
    }

    fn sealed(&mut self) -> SealedToken {
        SealedToken(self.bytes())
    }
}

/// A key of the store ends with the report's.
fn key_of(store_key: &[u8]) -> ReportKey {
    parse_report_key(&store_key[store_key.len() - 38..]).expect("a key")
}

/// The operation of a call, if it is not one of the change feed.
pub(in crate::shared) fn decode(call: &ScriptCall) -> Option<StoreOperation> {
    let mut args = ScriptArguments(call.args.iter());
    let args = &mut args;
    let operation = match call.script.name {
        "heartbeat" => StoreOperation::Heartbeat(
            args.seen(),
            Heartbeat {
                member: MemberId(args.hex()),
                told: args.told(),
                offline: args.integer(),
                feed_lag: args.duration(),
                about: MemberAbout::parse(&args.text()),
            },
        ),
        "recover" => {
            let StoreSeen { epoch: known, sequence: seen } = args.seen();
            StoreOperation::Recover(Recovery {
                known,
                seen,
                fresh: Epoch(args.hex()),
                told: args.told(),
                margin: args.integer(),
                force: args.integer() == 1,
                purged: Fence(args.integer()),
            })
        }
        "leave" => StoreOperation::Leave(MemberId(args.hex())),
        "take_call" => StoreOperation::TakeCall(
            args.seen(),
            CallRequest {
                day: args.integer(),
                ceiling: args.integer(),
                interval: args.duration(),
                horizon: args.duration(),
                count: if args.integer() == 1 { CallCount::One } else { CallCount::Counted },
            },
        ),
        "lock_out" => StoreOperation::LockOut(
            args.seen(),
            LockoutRequest { day: args.integer(), lasts: args.duration() },
        ),
        "throttle" => StoreOperation::Throttle(args.seen(), ThrottleRequest { hold: args.duration() }),
        "look_up" => StoreOperation::LookUp(
            args.seen(),
            LookUp {
                key: key_of(&call.keys[2]),
                nonce: args.nonce(),
                have: Fence(args.integer()),
                lease: args.duration(),
                answers: args.integer(),
            },
        ),
        "get" => StoreOperation::Get(key_of(&call.keys[2]), Fence(args.integer())),
        "store" => StoreOperation::Store(
            args.seen(),
            StoreReport {
                key: args.key(),
                nonce: args.nonce(),
                fence: Fence(args.integer()),
                keep: args.duration(),
                report: ReportToStore {
                    kind: match args.text().as_str() {
                        "report" => ReportKind::Report,
                        _ => ReportKind::Negative,
                    },
                    age: args.duration(),
                    unchanged_for: args.duration(),
                    body: args.bytes(),
                    mac: args.bytes(),
                },
            },
        ),
        "fail" => StoreOperation::Fail(
            args.seen(),
            FlightFailure {
                key: args.key(),
                nonce: args.nonce(),
                back_off: args.duration(),
                why: args.text().into(),
            },
        ),
        "purge" => StoreOperation::Purge(args.seen(), PurgeScope::Key(args.key())),
        "purge_all" => StoreOperation::Purge(args.seen(), PurgeScope::All),
        "read_token" => StoreOperation::ReadToken,
        "swap_token" => StoreOperation::SwapToken(
            args.seen(),
            TokenSwap { expected: args.integer(), generation: args.integer(), token: args.sealed() },
        ),
        "restore_token" => StoreOperation::RestoreToken(
            args.seen(),
            SharedToken { version: args.integer(), generation: args.integer(), token: args.sealed() },
        ),
        _ => return None,
    };
    assert_eq!(args.0.len(), 0, "{}: more arguments", call.script.name);
    Some(operation)
}

pub(in crate::shared) fn word(text: &str) -> Value {
    Value::BulkString(text.into())
}

pub(in crate::shared) fn integer(integer: u64) -> Value {
    Value::Int(integer.try_into().expect("a small integer"))
}

fn millis(duration: Duration) -> Value {
    integer(duration.as_millis().try_into().expect("a short duration"))
}

fn reply<const MORE: usize>(first: &str, more: [Value; MORE]) -> Value {
    Value::Array([word(first)].into_iter().chain(more).collect())
}

fn guarded<T>(result: Guarded<T>, encode: impl FnOnce(T) -> Value) -> Value {
    match result {
        Ok(result) => encode(result),
        Err(StoreChanged::Empty) => reply("empty", []),
        Err(StoreChanged::OtherEpoch(epoch)) => reply("other_epoch", [word(&format!("{:016x}", epoch.0))]),
        Err(StoreChanged::RolledBack) => reply("rolled_back", []),
    }
}

/// The reply of a script.
pub(in crate::shared) fn encode(result: OperationResult) -> Value {
    match result {
        OperationResult::Heartbeat(state) => guarded(state, fleet_state),
        OperationResult::Recovered(state) => fleet_state(state),
        OperationResult::Left => reply("done", []),
        OperationResult::Call(turn) => guarded(turn, call_turn),
        OperationResult::Done(done) => guarded(done, |()| reply("done", [])),
        OperationResult::LookedUp(looked_up) => guarded(looked_up, |looked_up| match looked_up {
            LookedUp::Newer(newer) => report(newer),
            LookedUp::Leased(FlightLease { fence, answers }) => {
                reply("leased", [integer(fence.0), integer(answers)])
            }
            LookedUp::InFlight { ends_in } => reply("in_flight", [millis(ends_in)]),
            LookedUp::BackOff { ends_in, why } => reply("back_off", [millis(ends_in), word(&why)]),
        }),
        OperationResult::Report(newer) => newer.map_or_else(|| reply("none", []), report),
        OperationResult::Stored(fence) => guarded(fence, |fence| match fence {
            Some(fence) => reply("stored", [integer(fence.0)]),
            None => reply("superseded", []),
        }),
        OperationResult::Purged(fence) => guarded(fence, |fence| reply("purged", [integer(fence.0)])),
        OperationResult::Token(record) => token(record),
        OperationResult::Swapped(swapped) => guarded(swapped, |swapped| match swapped {
            TokenSwapped::Done(version) => reply("done", [integer(version)]),
            TokenSwapped::Conflict(record) => token(record),
        }),
        OperationResult::Restored(version) => guarded(version, |version| reply("done", [integer(version)])),
    }
}

fn fleet_state(state: FleetState) -> Value {
    let FleetState { epoch, sequence, today, locked_out_for, members, token_version, purged, clock, begun } =
        state;
    let member = |MemberSeen { id, heartbeat_age, feed_lag, about }: MemberSeen| {
        Value::Array(vec![
            word(&id.to_string()),
            millis(heartbeat_age),
            millis(feed_lag),
            word(&about.to_string()),
        ])
    };
    reply(
        "fleet",
        [
            word(&format!("{:016x}", epoch.0)),
            integer(sequence.0),
            integer(today.day),
            integer(today.spent),
            millis(locked_out_for.unwrap_or_default()),
            Value::Array(members.into_iter().map(member).collect()),
            integer(token_version),
            integer(purged.0),
            millis(clock),
            millis(begun.age),
            integer(begun.charged),
            integer(u64::from(begun.origin == EpochOrigin::Fork)),
        ],
    )
}

fn call_turn(turn: CallTurn) -> Value {
    match turn {
        CallTurn::Granted { wait, spent, probe } => {
            reply("granted", [millis(wait), integer(spent), integer(u64::from(probe))])
        }
        CallTurn::Exhausted { spent } => reply("exhausted", [integer(spent)]),
        CallTurn::Late { wait } => reply("late", [millis(wait)]),
        CallTurn::LockedOut { ends_in } => reply("locked_out", [millis(ends_in)]),
        CallTurn::DayIsOver => reply("day_is_over", []),
        CallTurn::DayNotBegun { begins_in } => reply("day_not_begun", [millis(begins_in)]),
    }
}

fn report(SharedReport { fence, kind, age, unchanged_for, body, mac }: SharedReport) -> Value {
    let kind = match kind {
        ReportKind::Report => "report",
        ReportKind::Negative => "negative",
    };
    let bytes = |bytes: Bytes| Value::BulkString(bytes.into());
    let fields = [integer(fence.0), word(kind), millis(age), millis(unchanged_for), bytes(body), bytes(mac)];
    reply("report", fields)
}

fn token(record: Option<SharedToken>) -> Value {
    let Some(SharedToken { version, generation, token }) = record else { return reply("none", []) };
    let sealed = |SealedToken(bytes): SealedToken| Value::BulkString(bytes.into());
    reply("token", [integer(version), integer(generation), sealed(token)])
}
