//! Heartbeats.

use super::{
    super::{
        super::*,
        backend::{Backend, DAY, NOON},
    },
    replica::{Replica, call, granted, ms, one, secs},
};

pub(in super::super) async fn a_member_is_counted_for_a_minute_after_its_last_heartbeat(on: &Backend) {
    let [mut first, mut second, mut third] = Replica::fleet(on).await;
    assert_eq!(first.beat().await.members.len(), 1);
    assert_eq!(first.beat().await.members.len(), 1);
    assert_eq!(second.beat().await.members.len(), 2);
    assert_eq!(third.beat().await.members.len(), 3);
    third.store.leave(MemberId(third.number)).await.unwrap();
    third.store.leave(MemberId(third.number)).await.unwrap();
    assert_eq!(first.beat().await.members.len(), 2);
    on.faults.put_clock_forward(ms(59_999));
    assert_eq!(first.beat().await.members.len(), 2);
    on.faults.put_clock_forward(ms(1));
    assert_eq!(first.beat().await.members.len(), 1);
}

pub(in super::super) async fn a_member_that_has_stopped_does_not_outlive_a_clock_that_was_put_back(
    on: &Backend,
) {
    let [mut first, mut second] = Replica::fleet(on).await;
    first.beat().await;
    assert_eq!(second.beat().await.members.len(), 2);
    on.faults.put_clock_back(secs(30));
    assert_eq!(first.beat().await.members.len(), 2, "a small step");
    on.faults.put_clock_back(secs(3_600));
    assert_eq!(first.beat().await.members.len(), 1);
    assert_eq!(second.beat().await.members.len(), 2);
}

pub(in super::super) async fn the_state_says_who_the_members_are_and_when_each_was_heard_last(on: &Backend) {
    let [mut first, mut second] = Replica::fleet(on).await;
    first.beat().await;
    on.faults.put_clock_forward(secs(7));
    let seen = |replica: &Replica, age| MemberSeen {
        id: MemberId(replica.number),
        heartbeat_age: secs(age),
        feed_lag: ms(replica.number),
        about: replica.about(),
    };
    let members = second.beat().await.members;
    assert_eq!(members, [seen(&first, 7), seen(&second, 0)]);
}

pub(in super::super) async fn a_heartbeat_raises_the_count_and_never_lowers_it(on: &Backend) {
    let [mut replica] = Replica::fleet(on).await;
    replica.told.spent = 12;
    let raised = replica.beat().await;
    assert_eq!(raised.today, SpentDay { day: DAY, spent: 12 });
    replica.told.spent = 3;
    assert_eq!(replica.beat().await.today.spent, 12);
    replica.told = SpentDay { day: DAY - 1, spent: 9_999 };
    assert_eq!(replica.beat().await.today, raised.today);
}

pub(in super::super) async fn calls_made_while_the_store_was_away_are_counted_once(on: &Backend) {
    let [mut first, mut second] = Replica::fleet(on).await;
    first.spend().await;
    assert_eq!(first.beat_offline(5).await.today.spent, 6);
    assert_eq!(first.beat_offline(5).await.today.spent, 6);
    assert_eq!(second.beat_offline(3).await.today.spent, 9);
    assert_eq!(first.beat_offline(7).await.today.spent, 11);
    assert_eq!(first.beat_offline(2).await.today.spent, 11);
    assert_eq!(first.beat_offline(7).await.today.spent, 11);
}

pub(in super::super) async fn calls_made_while_the_store_was_away_across_midnight_count_on_their_day(
    on: &Backend,
) {
    let [mut replica] = Replica::fleet(on).await;
    assert_eq!(replica.beat_offline(5).await.today.spent, 5);
    on.faults.put_clock_forward(secs(43_198));
    replica.told = SpentDay { day: DAY + 1, spent: 0 };
    assert_eq!(replica.beat_offline(2).await.today, SpentDay { day: DAY + 1, spent: 2 });
    assert_eq!(replica.take_with(call(DAY + 1)).await, granted(ms(0), 3));
    assert_eq!(replica.beat_offline(5).await.today.spent, 6);
}

pub(in super::super) async fn the_state_shows_what_the_fleet_shares(on: &Backend) {
    let [mut replica] = Replica::fleet(on).await;
    let fresh = replica.beat().await;
    assert_eq!((fresh.token_version, fresh.purged, fresh.locked_out_for), (0, Fence(0), None));
    assert_eq!(fresh.clock, NOON + secs(2));
    let swap = TokenSwap { expected: 0, generation: 1, token: SealedToken("a".into()) };
    replica.store.swap_token(replica.seen, swap).await.unwrap().unwrap();
    let of_key = replica.purge(PurgeScope::Key(one())).await;
    assert_eq!(replica.beat().await.purged, Fence(0));
    let of_all = replica.purge(PurgeScope::All).await;
    replica.lock_out(DAY, secs(5)).await;
    let state = replica.beat().await;
    assert_eq!((state.token_version, state.purged, state.locked_out_for), (1, of_all, Some(secs(5))));
    assert!(fresh.sequence < of_key.into() && of_key < of_all && state.sequence > of_all.into());
}
