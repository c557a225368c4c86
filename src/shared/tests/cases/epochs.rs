//! The store has lost writes: who notices, and what it costs.

use super::{
    super::{
        super::*,
        backend::{Backend, DAY},
    },
    replica::{MARGIN, Replica, call, granted, ms, one, secs},
};

pub(in super::super) async fn a_store_without_an_epoch_refuses_everything_until_it_is_recovered(
    on: &Backend,
) {
    let mut replica = Replica::new(on, 1);
    assert_eq!(replica.try_beat(0).await, Err(StoreChanged::Empty));
    assert_eq!(replica.try_take(call(DAY)).await, Err(StoreChanged::Empty));
    let looked_up = on.store.look_up(replica.seen, replica.look_up(1, Fence(0))).await;
    assert_eq!(looked_up.unwrap(), Err(StoreChanged::Empty));
    let recovery = replica.recovery();
    let state = replica.recover().await;
    assert_eq!((state.epoch, state.today.spent), (recovery.fresh, MARGIN));
    on.faults.put_clock_forward(secs(3));
    let begun = EpochBegin { origin: EpochOrigin::NewStore, age: secs(3), charged: MARGIN };
    assert_eq!(replica.try_beat(0).await.map(|state| state.begun), Ok(begun));
    assert_eq!(replica.try_beat(0).await.map(|state| state.members.len()), Ok(1));
}

pub(in super::super) async fn of_three_replicas_that_recover_at_once_one_begins_an_epoch_and_charges_once(
    on: &Backend,
) {
    let mut replicas: [Replica; 3] = Replica::fleet(on).await;
    for (replica, spends) in replicas.iter_mut().zip([3, 2, 1]) {
        for _ in 0..spends {
            replica.spend().await;
        }
        replica.beat().await;
    }
    on.faults.put_clock_forward(secs(60));
    on.faults.flush().await;
    for replica in &replicas {
        assert_eq!(replica.try_beat(0).await, Err(StoreChanged::Empty));
    }
    let [one, two, three] = &mut replicas;
    let (one, two, three) = tokio::join!(one.recover(), two.recover(), three.recover());
    assert_eq!([two.epoch, three.epoch], [one.epoch; 2]);
    // The first was told 3, the second 5, the third 6; each adds what it cannot know.
    let state = replicas[0].beat().await;
    assert_eq!(state.today.spent, 6 + MARGIN);
    assert_eq!((state.begun.origin, state.begun.charged), (EpochOrigin::Fork, MARGIN));
}

pub(in super::super) async fn a_repeated_recovery_changes_nothing(on: &Backend) {
    let [mut replica] = Replica::fleet(on).await;
    replica.spend().await;
    replica.beat().await;
    on.faults.flush().await;
    let recovery = replica.recovery();
    let first = replica.recover_with(recovery).await;
    let again = replica.recover_with(recovery).await;
    assert_eq!(first, again);
}

pub(in super::super) async fn a_lost_store_takes_over_count_and_sequence_of_the_survivor(on: &Backend) {
    let [mut replica] = Replica::fleet(on).await;
    for _ in 0..7 {
        replica.spend().await;
    }
    let before = replica.beat().await;
    on.faults.flush().await;
    let after = replica.recover().await;
    assert_eq!(after.today, SpentDay { day: DAY, spent: 7 + MARGIN });
    assert!(after.sequence.0 >= before.sequence.0 + (1 << 20), "no fence is granted twice");
    assert_ne!(after.epoch, before.epoch);
}

pub(in super::super) async fn an_older_copy_is_refused_and_a_refused_operation_has_no_effect(on: &Backend) {
    let [mut replica, mut other] = Replica::fleet(on).await;
    replica.spend().await;
    other.beat().await;
    on.faults.copy().await;
    for _ in 0..12 {
        replica.spend().await;
    }
    replica.beat().await;
    on.faults.put_back().await;
    assert_eq!(replica.try_take(call(DAY)).await, Err(StoreChanged::RolledBack));
    // The other was told nothing that the copy lacks: it cannot know.
    assert_eq!(other.spend().await, 2);
    on.faults.put_clock_forward(secs(60));
    assert_eq!(replica.recover().await.today.spent, 13 + MARGIN);
    let epoch = replica.seen.epoch.unwrap();
    assert_eq!(other.try_take(call(DAY)).await, Err(StoreChanged::OtherEpoch(epoch)));
    assert_eq!(other.recover().await.today.spent, 13 + MARGIN);
}

pub(in super::super) async fn an_older_copy_that_others_have_overtaken_is_found_by_the_server_s_identity(
    on: &Backend,
) {
    let [mut replica, other] = Replica::fleet(on).await;
    on.faults.copy().await;
    replica.spend().await;
    replica.beat().await;
    on.faults.put_back().await;
    for _ in 0..5 {
        other.spend().await;
    }
    let state = replica.try_beat(0).await.expect("sequence and epoch look right");
    on.faults.put_clock_forward(secs(60));
    let forced = replica.recover_with(Recovery { force: true, ..replica.recovery() }).await;
    assert_ne!(forced.epoch, state.epoch);
    assert_eq!(forced.today.spent, state.today.spent + MARGIN);
    assert!(forced.sequence > state.sequence);
    // The other has seen the change of identity too, but the epoch is new already: it only merges.
    let mut other = other;
    let merged = other.recover_with(Recovery { force: true, ..other.recovery() }).await;
    assert_eq!((merged.epoch, merged.today), (forced.epoch, forced.today));
}

pub(in super::super) async fn recoveries_soon_after_one_another_charge_what_can_have_been_lost_since(
    on: &Backend,
) {
    let [mut replica, mut other] = Replica::fleet(on).await;
    on.faults.put_clock_forward(secs(60));
    let forced = |replica: &Replica| Recovery { force: true, ..replica.recovery() };
    assert_eq!(replica.recover_with(forced(&replica)).await.today.spent, 40);
    other.recover().await;
    on.faults.put_clock_forward(ms(1_500));
    // Four a second and one.
    assert_eq!(replica.recover_with(forced(&replica)).await.today.spent, 40 + 7);
    // The other knows of the same calls: it adds no more than the recovery did.
    assert_eq!(other.recover().await.today.spent, 40 + 7);
    on.faults.put_clock_forward(secs(9));
    assert_eq!(replica.recover_with(forced(&replica)).await.today.spent, 47 + 37);
    on.faults.put_clock_forward(secs(10));
    assert_eq!(replica.recover_with(forced(&replica)).await.today.spent, 84 + 40);
    // A clock that was put back tells nothing of the time since.
    on.faults.put_clock_back(secs(30));
    assert_eq!(replica.recover_with(forced(&replica)).await.today.spent, 124 + 40);
}

pub(in super::super) async fn a_survivor_that_knows_more_than_the_new_epoch_raises_count_and_sequence(
    on: &Backend,
) {
    let [mut survivor] = Replica::fleet(on).await;
    for _ in 0..9 {
        survivor.spend().await;
    }
    on.faults.flush().await;
    survivor.recover().await;
    let before = survivor.beat().await;
    on.faults.put_clock_back(secs(3_600));
    on.faults.flush().await;
    let mut new = Replica::new(on, 9);
    let fork = new.recover().await;
    assert!(fork.sequence < before.sequence, "a new replica cannot know");
    let merged = survivor.recover().await;
    assert_eq!(merged.epoch, fork.epoch);
    assert_eq!(merged.today.spent, before.today.spent + MARGIN);
    assert!(merged.sequence > before.sequence, "what is stored next is newer than what the survivor holds");
}

pub(in super::super) async fn fences_rise_though_nobody_remembers_the_last_one(on: &Backend) {
    let [replica] = Replica::fleet(on).await;
    let before = replica.fetch(1, "before").await;
    on.faults.evict(StoreValue::Fleet).await;
    let mut new = Replica::new(on, 9);
    new.recover().await;
    assert_eq!(new.body().await.as_deref(), Some("before"));
    let after = new.fetch(1, "after").await;
    assert!(after > before);
    assert_eq!(new.body().await.as_deref(), Some("after"));
    assert_eq!(new.store.get(one(), before).await.map(|report| report.is_some()), Ok(true));
}

pub(in super::super) async fn a_new_replica_is_charged_nothing_for_joining(on: &Backend) {
    let [mut replica] = Replica::fleet(on).await;
    replica.spend().await;
    let before = replica.beat().await;
    let mut new = Replica::new(on, 9);
    assert_eq!(new.try_beat(0).await, Err(StoreChanged::OtherEpoch(before.epoch)));
    let joined = new.recover().await;
    assert_eq!((joined.epoch, joined.today), (before.epoch, before.today));
}

pub(in super::super) async fn what_is_charged_while_the_day_is_unknown_counts_on_the_day_that_begins(
    on: &Backend,
) {
    let mut replica = Replica { told: SpentDay::default(), ..Replica::new(on, 1) };
    replica.recover().await;
    on.faults.put_clock_forward(secs(2));
    assert_eq!(replica.take().await, granted(ms(0), MARGIN + 1));
    on.faults.put_clock_forward(secs(86_400));
    assert_eq!(replica.take_with(call(DAY + 1)).await, granted(ms(0), 1));
}

pub(in super::super) async fn no_call_leaves_in_the_second_after_a_recovery(on: &Backend) {
    let mut replica = Replica::new(on, 1);
    replica.recover().await;
    assert_eq!(replica.take().await, granted(ms(1_100), MARGIN + 1));
}

pub(in super::super) async fn a_day_that_has_not_begun_is_not_taken_over(on: &Backend) {
    let [mut replica] = Replica::fleet(on).await;
    replica.spend().await;
    replica.told = SpentDay { day: DAY + 1, spent: 5_000 };
    let recovered = replica.recover().await;
    assert_eq!(recovered.today, SpentDay { day: DAY, spent: 1 });
    replica.told = SpentDay { day: DAY + 1, spent: 5_000 };
    assert_eq!(replica.beat().await.today, SpentDay { day: DAY, spent: 1 });
}
