use proptest::prelude::*;

use super::*;

const COLD: Lane = Lane::Cold;

fn at(days: u32, hours: u64, seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + DAY * (20_000 + days) + Duration::from_secs(hours * 3600 + seconds)
}

fn limits(calls: u32) -> DayLimits {
    DayLimits { calls: NonZeroU32::new(calls), reserve: 0.1 }
}

fn ledger(calls: u32, now: SystemTime) -> Ledger {
    Ledger::new(limits(calls), Books::Memory, 0, now)
}

fn count(ledger: &mut Ledger, now: SystemTime) -> Result<(), DaySpent> {
    ledger.enter(COLD, now).map(drop)
}

/// A store as it should be, and a kill -9 that leaves it alone.
#[derive(Default)]
struct Stored {
    record: Option<(u64, u32)>,
}

impl Stored {
    fn start(&self, limits: DayLimits, now: SystemTime) -> Ledger {
        match self.record {
            Some((day, spent)) => Ledger::resumed(limits, LedgerRecord { day, spent }, now, 0.0),
            None => Ledger::new(limits, Books::Store, 0, now),
        }
    }

    fn enter(&mut self, ledger: &mut Ledger, now: SystemTime) -> Result<Line, DaySpent> {
        loop {
            match ledger.enter(COLD, now)? {
                Entry::Entered(line) => return Ok(line),
                Entry::Lease(lease) => {
                    let before =
                        self.record.filter(|(day, _)| *day == lease.day).map_or(0, |(_, spent)| spent);
                    let spent = before + lease.calls + lease.owed;
                    self.record = Some((lease.day, spent));
                    ledger.leased(lease, spent);
                }
            }
        }
    }
}

#[test]
fn a_start_that_knows_nothing_assumes_that_the_day_s_share_is_spent() {
    for (now, used) in
        [(at(0, 0, 0), 0), (at(0, 6, 0), 2_500), (at(0, 12, 1), 5_001), (at(0, 23, 3599), 10_000)]
    {
        assert_eq!(Ledger::pro_rata(limits(10_000), now), used);
    }
    let now = at(0, 12, 0);
    let used = Ledger::pro_rata(limits(10_000), now);
    let mut ledger = Ledger::new(limits(10_000), Books::Memory, used, now);
    assert_eq!(ledger.step(now), Step::Normal, "and that is no reason to stretch refreshes");
}

#[test]
fn a_spent_day_ends_at_midnight_utc() {
    let (before, after) = (at(0, 0, 0), at(1, 0, 0));
    let mut ledger = ledger(2, before);
    assert_eq!([count(&mut ledger, before), count(&mut ledger, before)], [Ok(()), Ok(())]);
    assert_eq!(count(&mut ledger, at(0, 23, 0)), Err(DaySpent { retry_in: Duration::from_secs(3600) }));
    assert_eq!(ledger.today(at(0, 23, 0)).used, 2, "a refusal counts nothing");
    assert_eq!(count(&mut ledger, after), Ok(()));
    assert_eq!(ledger.today(after).remaining, Some(1));
}

#[test]
fn cold_keys_go_on_until_the_reserve_is_spent_too() {
    let now = at(0, 0, 0);
    let mut ledger = ledger(100, now);
    let refreshes = std::iter::from_fn(|| ledger.enter(Lane::Refresh, now).ok()).count();
    assert!((40..=90).contains(&refreshes), "{refreshes}");
    assert_eq!(ledger.step(now), Step::ColdOnly);
    let cold = std::iter::from_fn(|| ledger.enter(COLD, now).ok()).count();
    assert_eq!(refreshes + cold, 100);
    assert_eq!((ledger.step(now), ledger.scarcity(now)), (Step::Spent, Scarcity::Stopped));
}

#[test]
fn quota_exceeded_spends_the_day_whatever_our_count_says_and_the_drift_is_known() {
    let noon = at(0, 12, 0);
    for (limit, unseen) in [(0, 0), (10_000, 9_999)] {
        let mut ledger = ledger(limit, noon);
        count(&mut ledger, noon).unwrap();
        assert_eq!(ledger.exceeded(noon, 0.0), None, "no store is there to be told");
        assert_eq!(count(&mut ledger, noon), Err(DaySpent { retry_in: DAY / 2 }));
        let today = ledger.today(noon);
        assert!(today.remaining.is_none_or(|left| left == 0));
        assert_eq!((today.step, today.unseen, today.forecast), (Step::Spent, unseen, Forecast::Exhausted));
        assert_eq!(count(&mut ledger, at(1, 0, 0)), Ok(()), "the probe");
        assert!(count(&mut ledger, at(1, 0, 0)).is_err(), "and no other call");
        assert_eq!(ledger.today(at(1, 0, 0)).unseen, 0);
    }
}

#[test]
fn a_call_that_was_counted_yesterday_does_not_go_today() {
    let (before, after) = (at(0, 23, 3599), at(1, 0, 0));
    let mut ledger = ledger(10, before);
    let Ok(Entry::Entered(line)) = ledger.enter(COLD, before) else { panic!("not entered") };
    assert!(ledger.is_good(line, before) && !ledger.is_good(line, after));
    ledger.strike_out(line, after);
    assert_eq!(ledger.today(after).used, 0);
    let Ok(Entry::Entered(line)) = ledger.enter(COLD, after) else { panic!("not entered") };
    ledger.exceeded(after, 0.0);
    assert!(!ledger.is_good(line, after), "nor one that quota_exceeded overtook");
}

#[test]
fn a_clock_set_back_hands_out_nothing_twice() {
    let mut ledger = ledger(1, at(3, 0, 0));
    assert_eq!(count(&mut ledger, at(3, 0, 0)), Ok(()));
    for earlier in [at(2, 23, 3599), at(3, 0, 1), at(0, 5, 0)] {
        assert!(count(&mut ledger, earlier).is_err());
    }
    assert_eq!(count(&mut ledger, at(1, 0, 0)), Ok(()), "a clock that was days ahead does not cost days");
}

#[test]
fn without_a_limit_nothing_is_refused() {
    let mut ledger = ledger(0, at(0, 23, 0));
    assert!((0..100_000).all(|_| ledger.enter(Lane::Refresh, at(0, 23, 0)).is_ok()));
    assert_eq!(ledger.today(at(0, 23, 0)).remaining, None);
}

#[test]
fn a_store_that_fails_ends_no_service_and_is_told_later() {
    let now = at(0, 1, 0);
    let mut ledger = Ledger::new(limits(100), Books::Store, 0, now);
    let Ok(Entry::Lease(lease)) = ledger.enter(COLD, now) else { panic!("no lease") };
    ledger.unleased(lease);
    for _ in 0..LEASE {
        assert!(matches!(ledger.enter(COLD, now), Ok(Entry::Entered(_))));
    }
    let Ok(Entry::Lease(next)) = ledger.enter(COLD, now) else { panic!("no lease") };
    assert_eq!((next.calls, next.owed), (LEASE, LEASE));
    ledger.leased(next, 2 * LEASE);
    assert_eq!(ledger.today(now).used, LEASE);
}

#[test]
fn what_others_take_from_the_same_store_is_spent() {
    let now = at(0, 1, 0);
    let mut ledger = Ledger::new(limits(100), Books::Store, 0, now);
    let Ok(Entry::Lease(lease)) = ledger.enter(COLD, now) else { panic!("no lease") };
    ledger.leased(lease, 100);
    assert_eq!(ledger.today(now).used, 100 - LEASE);
}

#[test]
fn a_closed_day_ends_when_it_ends_whatever_the_clock_says_at_the_next_start() {
    let record = LedgerRecord { day: day_of(at(1, 0, 0)), spent: LedgerRecord::CLOSED };
    for (start, last, probe) in [
        (at(1, 5, 0), at(2, 0, 29), at(2, 0, 30)),
        (at(2, 0, 1), at(2, 0, 29), at(2, 0, 30)),
        // The day was somebody's mistake, and the verdict was not.
        (at(0, 5, 0).checked_sub(DAY).unwrap(), at(0, 0, 29), at(0, 0, 30)),
    ] {
        let mut ledger = Ledger::resumed(limits(10), record, start, 0.5);
        assert_eq!((ledger.step(start), ledger.step(last)), (Step::Spent, Step::Spent));
        assert!(matches!(ledger.check(COLD, probe), Ok(Errand::Probe)), "{probe:?}");
    }
}

#[derive(Debug, Clone, Copy)]
enum Event {
    Call,
    NotSent,
    Kill,
    Pass(u64),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        8 => Just(Event::Call),
        1 => Just(Event::NotSent),
        1 => Just(Event::Kill),
        3 => (0..7_200_u64).prop_map(Event::Pass),
    ]
}

proptest! {
    #[test]
    fn no_day_holds_more_than_its_limit_and_a_kill_costs_a_handful(
        limit in 1..60_u32,
        events in prop::collection::vec(event(), 1..400),
    ) {
        let mut now = at(0, 0, 0);
        let mut stored = Stored::default();
        let mut ledger = stored.start(limits(limit), now);
        let (mut sent, mut kills) = (std::collections::BTreeMap::<u64, u32>::new(), 0);
        for event in events {
            match event {
                Event::Call => {
                    if stored.enter(&mut ledger, now).is_ok() {
                        *sent.entry(day_of(now)).or_default() += 1;
                    }
                }
                Event::NotSent => {
                    if let Ok(line) = stored.enter(&mut ledger, now) {
                        ledger.strike_out(line, now);
                    }
                }
                Event::Kill => {
                    kills += 1;
                    ledger = stored.start(limits(limit), now);
                }
                Event::Pass(seconds) => now += Duration::from_secs(seconds),
            }
            let (today, made) = (ledger.today(now).used, sent.get(&day_of(now)).copied().unwrap_or(0));
            prop_assert!(made <= limit);
            prop_assert!(today >= made, "never less than was sent");
            prop_assert!(today <= made + kills * LEASE, "{today} for {made} after {kills} kills");
        }
    }
}
