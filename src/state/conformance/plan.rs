//! What each backend does with a refresh plan.

use std::time::Duration;

use uuid::Uuid;

use super::{Fixture, claim, swap, take};
use crate::{
    refresh::{CampaignStats, PriceController, PriceLimits, ReportForm, UtcTime},
    report::ActivityId,
    state::PlanRecord,
};

const NOW: Duration = Duration::from_secs(1_795_666_951);

/// A plan of this many campaigns.
pub(super) fn plan(campaigns: u32) -> PlanRecord {
    let (now, limits) = (UtcTime::since_epoch(NOW), PriceLimits { per_day: 10_000, reserve: 0.02 });
    let campaign = |number: u32| {
        let id = ActivityId::from(Uuid::from_u128(number.into()));
        let mut stats = CampaignStats::first_look(ReportForm::AllLinks, number, NOW - Duration::from_mins(1));
        stats.look(ReportForm::Clicked, number / 2, NOW);
        (id, stats.record())
    };
    PlanRecord {
        price: PriceController::new(limits, now).record(now),
        campaigns: (0..campaigns).map(campaign).collect(),
    }
}

/// The number of campaigns in the stored plan, which is checked.
pub(super) async fn read(Fixture { stores, .. }: &Fixture) -> Option<u32> {
    let held = stores.plan_store.read().await.unwrap()?;
    let campaigns = u32::try_from(held.campaigns.len()).unwrap();
    assert_eq!(held, plan(campaigns));
    Some(campaigns)
}

pub(super) async fn keeps_the_last_plan(backend: &Fixture) {
    let store = &backend.stores.plan_store;
    assert_eq!(read(backend).await, None);
    for campaigns in [3, 700, 0, 2] {
        store.write(plan(campaigns)).await.unwrap();
        assert_eq!(read(backend).await, Some(campaigns));
    }
    let written = futures_util::future::join_all((0..9).map(|campaigns| store.write(plan(campaigns)))).await;
    assert!(written.iter().all(Result::is_ok));
    assert_eq!(read(backend).await, Some(8), "in the order of the requests");
}

pub(super) async fn refuses_too_many_campaigns(backend: &Fixture) {
    let store = &backend.stores.plan_store;
    let most = u32::try_from(PlanRecord::MAX_CAMPAIGNS).unwrap();
    store.write(plan(most)).await.unwrap();
    let refused = store.write(plan(most + 1)).await.unwrap_err();
    assert!(format!("{refused:?}").contains("TooManyCampaigns"), "{refused:?}");
    assert_eq!(read(backend).await, Some(most));
}

pub(super) async fn keeps_the_stores_apart(backend: &Fixture) {
    let stores = &backend.stores;
    stores.plan_store.write(plan(2)).await.unwrap();
    assert!(stores.token_store.read().await.unwrap().is_none());
    assert_eq!(stores.call_counter.read().await.unwrap(), None);
    swap(stores, None, "one").await.unwrap();
    take(stores, claim(20_000, 8)).await;
    assert_eq!(read(backend).await, Some(2));
    let durable =
        [stores.token_store.durability(), stores.call_counter.durability(), stores.plan_store.durability()];
    assert_eq!(durable, [durable[0]; 3]);
}
