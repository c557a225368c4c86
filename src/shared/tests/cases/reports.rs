//! Reports that one replica has fetched for all.

use std::time::Duration;

use bytes::Bytes;

use super::{
    super::{super::*, backend::Backend},
    replica::{Replica, ms, one, secs},
};

pub(in super::super) async fn a_stored_report_is_what_the_others_get(on: &Backend) {
    let [first, second] = Replica::fleet(on).await;
    assert_eq!(first.get().await, None);
    let fence = first.fetch(1, "body").await;
    let expected = SharedReport {
        fence,
        kind: ReportKind::Report,
        age: Duration::ZERO,
        unchanged_for: Duration::ZERO,
        body: "body".into(),
        mac: "mac".into(),
    };
    assert_eq!(second.get().await.as_ref(), Some(&expected));
    assert_eq!(second.look(1, Fence(0)).await, LookedUp::Newer(expected));
    assert_eq!(second.store.get(one(), fence).await, Ok(None));
    // Who has it fetches it anew, when it is due.
    let LookedUp::Leased(lease) = second.look(2, fence).await else { panic!("no lease") };
    assert!(lease.fence > fence);
}

pub(in super::super) async fn a_report_grows_old_and_is_never_shown_younger_than_it_is(on: &Backend) {
    let [replica] = Replica::fleet(on).await;
    let fence = replica.lease(1).await.fence;
    let mut landing = replica.landing(1, fence, "body");
    landing.report.age = Duration::from_micros(1_500_001);
    landing.report.unchanged_for = Duration::from_micros(60_000_999);
    replica.land_with(landing).await;
    on.faults.put_clock_forward(secs(10));
    let report = replica.get().await.unwrap();
    assert_eq!((report.age, report.unchanged_for), (ms(11_501), secs(70)));
    on.faults.put_clock_back(secs(60));
    let report = replica.get().await.unwrap();
    assert_eq!((report.age, report.unchanged_for), (Duration::ZERO, secs(10)));
}

pub(in super::super) async fn a_report_is_gone_when_its_time_is_up(on: &Backend) {
    let [replica] = Replica::fleet(on).await;
    let fence = replica.lease(1).await.fence;
    replica.land_with(StoreReport { keep: ms(100), ..replica.landing(1, fence, "body") }).await;
    on.faults.put_clock_forward(ms(99));
    assert_eq!(replica.body().await.as_deref(), Some("body"));
    on.faults.put_clock_forward(ms(1));
    assert_eq!(replica.get().await, None);
    let counting = LookUp { answers: 3, ..replica.look_up(2, Fence(0)) };
    let LookedUp::Leased(lease) = replica.look_with(counting).await else { panic!("no lease") };
    assert_eq!(lease.answers, 0, "it is not even counted");
}

pub(in super::super) async fn a_body_and_its_mac_may_be_any_bytes(on: &Backend) {
    let [replica] = Replica::fleet(on).await;
    let all: Bytes = (0..=255).chain([0, 0, 13, 10, 255]).collect::<Vec<u8>>().into();
    for (flight, body, mac) in [(1, all.clone(), all.slice(..200)), (2, Bytes::new(), Bytes::new())] {
        let fence = replica.lease(flight).await.fence;
        let mut landing = replica.landing(flight, fence, "");
        (landing.report.body, landing.report.mac) = (body.clone(), mac.clone());
        assert_eq!(replica.land_with(landing).await, Some(fence));
        let report = replica.get().await.unwrap();
        assert_eq!((report.body, report.mac), (body, mac));
    }
}

pub(in super::super) async fn a_negative_answer_is_kept_as_one(on: &Backend) {
    let [replica] = Replica::fleet(on).await;
    let fence = replica.lease(1).await.fence;
    let mut landing = replica.landing(1, fence, "404");
    landing.report.kind = ReportKind::Negative;
    replica.land_with(landing).await;
    assert_eq!(replica.get().await.map(|report| report.kind), Some(ReportKind::Negative));
}

pub(in super::super) async fn a_late_result_does_not_replace_a_newer_one(on: &Backend) {
    let [slow, quick] = Replica::fleet(on).await;
    let late = slow.lease(1).await.fence;
    on.faults.put_clock_forward(secs(20));
    let fence = quick.fetch(1, "newer").await;
    assert!(fence > late);
    assert_eq!(slow.land(1, late, "older").await, None);
    assert_eq!(quick.body().await.as_deref(), Some("newer"));
}

pub(in super::super) async fn a_late_result_is_kept_if_there_is_no_newer_one(on: &Backend) {
    let [slow, quick] = Replica::fleet(on).await;
    let late = slow.lease(1).await.fence;
    on.faults.put_clock_forward(secs(20));
    let fence = quick.lease(1).await.fence;
    assert_eq!(slow.land(1, late, "older").await, Some(late));
    assert!(matches!(slow.look(2, late).await, LookedUp::InFlight { .. }), "the other's flight goes on");
    assert_eq!(quick.land(1, fence, "newer").await, Some(fence));
    assert_eq!(slow.body().await.as_deref(), Some("newer"));
}

pub(in super::super) async fn a_repeated_store_is_recognised(on: &Backend) {
    let [first, second] = Replica::fleet(on).await;
    let fence = first.fetch(1, "body").await;
    on.faults.put_clock_forward(secs(5));
    let next = second.lease(1).await;
    assert_eq!(first.land(1, fence, "body").await, Some(fence));
    assert_eq!(first.get().await.unwrap().age, secs(5), "it is not written again");
    assert_eq!(second.lease(1).await.fence, next.fence, "the flight after it goes on");
}

pub(in super::super) async fn answers_are_summed_for_the_next_flight(on: &Backend) {
    let [first, second] = Replica::fleet(on).await;
    let have = first.fetch(1, "body").await;
    let answers = |replica: &Replica, have, answers| LookUp { answers, ..replica.look_up(2, have) };
    assert!(matches!(second.look_with(answers(&second, Fence(0), 3)).await, LookedUp::Newer(_)));
    let leased = first.look_with(answers(&first, have, 4)).await;
    let LookedUp::Leased(lease) = leased else { panic!("{leased:?}") };
    assert_eq!(lease.answers, 7);
    assert_eq!(first.look_with(answers(&first, have, 4)).await, leased, "a repeated one adds nothing");
    assert!(matches!(second.look_with(answers(&second, have, 2)).await, LookedUp::InFlight { .. }));
    let LookedUp::Leased(lease) = first.look_with(answers(&first, have, 0)).await else { panic!("no lease") };
    assert_eq!(lease.answers, 9);
    assert_eq!(first.land(2, lease.fence, "body").await, Some(lease.fence));
    let LookedUp::Leased(lease) = first.look(3, lease.fence).await else { panic!("no lease") };
    assert_eq!(lease.answers, 0, "they were given with the report before");
}

pub(in super::super) async fn an_evicted_report_is_fetched_again(on: &Backend) {
    let [first, second] = Replica::fleet(on).await;
    first.fetch(1, "body").await;
    on.faults.evict(StoreValue::Report(one())).await;
    assert_eq!(second.get().await, None);
    assert!(matches!(second.look(1, Fence(0)).await, LookedUp::Leased(_)));
}
