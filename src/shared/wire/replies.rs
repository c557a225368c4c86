//! Parses the reply of each script. Whoever can write to the server could have planted it: every length has a limit.

use bytes::Bytes;
use redis::Value;

use super::reply_fields::ReplyFields;
use crate::shared::{
    CallTurn, EpochBegin, EpochOrigin, Fence, FleetState, FlightLease, Guarded, LookedUp, MemberAbout,
    MemberId, MemberSeen, ReportKind, SealedToken, Sequence, SharedReport, SharedStoreError, SharedToken,
    SpentDay, TokenSwapped, short_word::LONGEST_WORD,
};

/// A sealed record is a few kilobytes.
const LARGEST_TOKEN: usize = 64 << 10;

const LARGEST_MAC: usize = 256;

/// What a replica says of itself.
const LARGEST_ABOUT: usize = 256;

const MOST_MEMBERS: usize = 1_000;

const NEITHER_0_NOR_1: SharedStoreError = SharedStoreError::Malformed("neither 0 nor 1");

const UNKNOWN_WORD: SharedStoreError = SharedStoreError::Malformed("an unknown word");

/// The limits that are settings.
#[derive(Debug, Clone, Copy)]
pub(in crate::shared) struct ReplyLimits {
    /// The largest body.
    pub(in crate::shared) max_body: usize,
}

type ReplyParsed<T> = Result<T, SharedStoreError>;

pub(in crate::shared) fn parse_guarded_fleet_state(value: Value) -> ReplyParsed<Guarded<FleetState>> {
    ReplyFields::read_guarded(value, fleet_state)
}

pub(in crate::shared) fn parse_fleet_state(value: Value) -> ReplyParsed<FleetState> {
    ReplyFields::read(value, fleet_state)
}

pub(in crate::shared) fn parse_guarded_done(value: Value) -> ReplyParsed<Guarded<()>> {
    ReplyFields::read_guarded(value, done)
}

pub(in crate::shared) fn parse_done(value: Value) -> ReplyParsed<()> {
    ReplyFields::read(value, done)
}

pub(in crate::shared) fn parse_call_turn(value: Value) -> ReplyParsed<Guarded<CallTurn>> {
    ReplyFields::read_guarded(value, |word, fields| match word {
        "granted" => Ok(CallTurn::Granted {
            wait: fields.duration()?,
            spent: fields.integer()?,
            probe: match fields.integer()? {
                0 => false,
                1 => true,
                _ => return Err(NEITHER_0_NOR_1),
            },
        }),
        "exhausted" => Ok(CallTurn::Exhausted { spent: fields.integer()? }),
        "late" => Ok(CallTurn::Late { wait: fields.duration()? }),
        "locked_out" => Ok(CallTurn::LockedOut { ends_in: fields.duration()? }),
        "day_is_over" => Ok(CallTurn::DayIsOver),
        "day_not_begun" => Ok(CallTurn::DayNotBegun { begins_in: fields.duration()? }),
        _ => Err(UNKNOWN_WORD),
    })
}

pub(in crate::shared) fn parse_looked_up(
    value: Value,
    limits: ReplyLimits,
) -> ReplyParsed<Guarded<LookedUp>> {
    ReplyFields::read_guarded(value, |word, fields| match word {
        "report" => looked_up_report(fields, limits).map(LookedUp::Newer),
        "leased" => Ok(LookedUp::Leased(FlightLease { fence: fields.fence()?, answers: fields.integer()? })),
        "in_flight" => Ok(LookedUp::InFlight { ends_in: fields.duration()? }),
        "back_off" => Ok(LookedUp::BackOff { ends_in: fields.duration()?, why: fields.text(LONGEST_WORD)? }),
        _ => Err(UNKNOWN_WORD),
    })
}

pub(in crate::shared) fn parse_report(
    value: Value,
    limits: ReplyLimits,
) -> ReplyParsed<Option<SharedReport>> {
    ReplyFields::read(value, |word, fields| match word {
        "none" => Ok(None),
        "report" => report(fields, limits).map(Some),
        _ => Err(UNKNOWN_WORD),
    })
}

pub(in crate::shared) fn parse_stored(value: Value) -> ReplyParsed<Guarded<Option<Fence>>> {
    ReplyFields::read_guarded(value, |word, fields| match word {
        "stored" => fields.fence().map(Some),
        "superseded" => Ok(None),
        _ => Err(UNKNOWN_WORD),
    })
}

pub(in crate::shared) fn parse_fence(value: Value) -> ReplyParsed<Guarded<Fence>> {
    ReplyFields::read_guarded(value, |word, fields| match word {
        "purged" => fields.fence(),
        _ => Err(UNKNOWN_WORD),
    })
}

pub(in crate::shared) fn parse_token(value: Value) -> ReplyParsed<Option<SharedToken>> {
    ReplyFields::read(value, |word, fields| match word {
        "none" => Ok(None),
        "token" => token(fields).map(Some),
        _ => Err(UNKNOWN_WORD),
    })
}

pub(in crate::shared) fn parse_swapped(value: Value) -> ReplyParsed<Guarded<TokenSwapped>> {
    ReplyFields::read_guarded(value, |word, fields| match word {
        "done" => fields.integer().map(TokenSwapped::Done),
        "none" => Ok(TokenSwapped::Conflict(None)),
        "token" => Ok(TokenSwapped::Conflict(Some(token(fields)?))),
        _ => Err(UNKNOWN_WORD),
    })
}

pub(in crate::shared) fn parse_restored(value: Value) -> ReplyParsed<Guarded<u64>> {
    ReplyFields::read_guarded(value, |word, fields| match word {
        "done" => fields.integer(),
        _ => Err(UNKNOWN_WORD),
    })
}

fn done(word: &str, _: &mut ReplyFields) -> ReplyParsed<()> {
    if word == "done" { Ok(()) } else { Err(UNKNOWN_WORD) }
}

fn fleet_state(word: &str, fields: &mut ReplyFields) -> ReplyParsed<FleetState> {
    if word != "fleet" {
        return Err(UNKNOWN_WORD);
    }
    Ok(FleetState {
        epoch: fields.epoch()?,
        sequence: Sequence(fields.integer()?),
        today: SpentDay { day: fields.integer()?, spent: fields.integer()? },
        locked_out_for: Some(fields.duration()?).filter(|left| !left.is_zero()),
        members: members(fields.next()?)?,
        token_version: fields.integer()?,
        purged: fields.fence()?,
        clock: fields.duration()?,
        begun: EpochBegin {
            age: fields.duration()?,
            charged: fields.integer()?,
            origin: match fields.integer()? {
                0 => EpochOrigin::NewStore,
                1 => EpochOrigin::Fork,
                _ => return Err(NEITHER_0_NOR_1),
            },
        },
    })
}

fn members(value: Value) -> ReplyParsed<Vec<MemberSeen>> {
    let Value::Array(members) = value else { return Err(SharedStoreError::Malformed("not an array")) };
    if members.len() > MOST_MEMBERS {
        return Err(SharedStoreError::Malformed("too many replicas"));
    }
    let mut members = members.into_iter().map(member).collect::<Result<Vec<_>, _>>()?;
    members.sort_unstable_by_key(|member| member.id);
    Ok(members)
}

fn member(value: Value) -> ReplyParsed<MemberSeen> {
    let mut fields = ReplyFields::of(value)?;
    let seen = MemberSeen {
        id: MemberId(fields.epoch()?.0),
        heartbeat_age: fields.duration()?,
        feed_lag: fields.duration()?,
        about: MemberAbout::parse(&fields.text(LARGEST_ABOUT)?),
    };
    fields.end()?;
    Ok(seen)
}

fn report(fields: &mut ReplyFields, limits: ReplyLimits) -> ReplyParsed<SharedReport> {
    Ok(SharedReport {
        fence: fields.fence()?,
        kind: report_kind(fields)?,
        age: fields.duration()?,
        unchanged_for: fields.duration()?,
        body: fields.bytes(limits.max_body)?,
        mac: fields.bytes(LARGEST_MAC)?,
    })
}

/// One whose content cannot be read is an empty one, which nobody takes for a report. With its fence known, what is fetched
/// instead takes its place; else the store would have it for as long as a report is kept.
fn looked_up_report(fields: &mut ReplyFields, limits: ReplyLimits) -> ReplyParsed<SharedReport> {
    let (fence, kind) = (fields.fence()?, report_kind(fields));
    let (age, unchanged_for) = (fields.duration()?, fields.duration()?);
    let (body, mac) = (fields.bytes(limits.max_body), fields.bytes(LARGEST_MAC));
    let (kind, body, mac) = match (kind, body, mac) {
        (Ok(kind), Ok(body), Ok(mac)) => (kind, body, mac),
        (_, _, _) => (ReportKind::Report, Bytes::new(), Bytes::new()),
    };
    Ok(SharedReport { fence, kind, age, unchanged_for, body, mac })
}

fn report_kind(fields: &mut ReplyFields) -> ReplyParsed<ReportKind> {
    match &*fields.text(LONGEST_WORD)? {
        "report" => Ok(ReportKind::Report),
        "negative" => Ok(ReportKind::Negative),
        _ => Err(SharedStoreError::Malformed("an unknown kind of report")),
    }
}

fn token(fields: &mut ReplyFields) -> ReplyParsed<SharedToken> {
    Ok(SharedToken {
        version: fields.integer()?,
        generation: fields.integer()?,
        token: SealedToken(fields.bytes(LARGEST_TOKEN)?),
    })
}
