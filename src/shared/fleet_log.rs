//! What an operator reads in the log of the fleet: a new epoch and what it was charged, calls made without the store,
//! replicas of another version.

use super::{Epoch, EpochBegin, EpochOrigin, FleetState, Knowledge, MemberAbout, SpentDay};

/// Which replica has begun an epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EpochBeginner {
    This,
    Other,
}

/// This replica has learned an epoch; before, it knew `before`.
pub(super) fn epoch(before: Option<Epoch>, fleet: &FleetState, beginner: EpochBeginner) {
    let FleetState { epoch, today, members, begun: EpochBegin { charged, origin, .. }, .. } = fleet;
    let (epoch, spent) = (format!("{:016x}", epoch.0), today.spent);
    match (before, beginner) {
        (Some(before), _) if before == fleet.epoch => {}
        (Some(_), EpochBeginner::This) => tracing::warn!(
            epoch,
            spent,
            charged,
            "the shared store has lost writes or was replaced: it goes on with what the replicas know, and {charged} calls are charged to the day in case they were lost"
        ),
        (Some(_), EpochBeginner::Other) => tracing::warn!(
            epoch,
            spent,
            charged,
            "the shared store has lost writes or was replaced: another replica has restored it and charged {charged} calls to the day"
        ),
        (None, EpochBeginner::This) if *origin == EpochOrigin::NewStore => tracing::info!(
            epoch,
            spent,
            charged,
            "began the fleet's count in an empty store: {charged} calls are charged to the day in case replicas before this one made them"
        ),
        (None, EpochBeginner::This | EpochBeginner::Other) => {
            tracing::info!(epoch, spent, others = members.len(), "joined the fleet");
        }
    }
}

/// A heartbeat has told the store of all calls that this replica has made without it today.
pub(super) fn offline_calls(known: &mut Knowledge, told: SpentDay) {
    let before = if known.offline_told.day == told.day { known.offline_told.spent } else { 0 };
    if told.spent > before {
        let calls = told.spent - before;
        tracing::info!(calls, "the calls made without the shared store are now counted for all replicas");
        known.offline_told = told;
    }
}

/// Once whenever the replicas of another version change.
pub(super) fn versions(known: &mut Knowledge, own: &MemberAbout) {
    let Some(told) = &known.fleet else { return };
    let mut others: Vec<_> = told.state.members.iter().map(|member| member.about.clone()).collect();
    others.retain(|about| about.version() != own.version());
    others.sort_unstable();
    if others == known.other_versions {
        return;
    }
    if others.is_empty() {
        tracing::info!(version = own.version(), "all replicas have this version now");
    } else {
        let shown: Vec<_> = others.iter().map(ToString::to_string).collect();
        tracing::info!(
            version = own.version(),
            others = shown.join(", "),
            "replicas of another version share the store"
        );
    }
    known.other_versions = others;
}
