//! Seeded schedules of a fleet: simulated hours, and some days. `tests/run fleet N` plays more of them.

use std::{
    num::NonZero,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread::{available_parallelism, scope},
    time::Duration,
};

use super::schedule::{Played, Size, play};

const HOUR: Size = Size { length: Duration::from_hours(1), step: Duration::from_secs(3) };
const DAY: Size = Size { length: Duration::from_hours(24), step: Duration::from_secs(40) };

/// The seeds of days begin here.
const DAYS: u64 = 1 << 32;

fn size(seed: u64) -> Size {
    if seed < DAYS { HOUR } else { DAY }
}

fn play_alone(seed: u64) -> Result<Played, String> {
    alone(play(seed, size(seed)))
}

/// Each schedule has a runtime of its own: it depends on nothing but its seed.
pub(super) fn alone<T>(schedule: impl Future<Output = T>) -> Result<T, String> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let played = catch_unwind(AssertUnwindSafe(|| runtime.block_on(schedule)));
    played.map_err(|panic| {
        let words = panic.downcast_ref::<String>().map(String::as_str);
        words.or_else(|| panic.downcast_ref().copied()).unwrap_or("it panicked").to_owned()
    })
}

/// Plays all of them on all cores, and returns what they found. Fails with what the failed ones said.
pub(super) fn play_all<T: Send>(seeds: &[u64], play: impl Fn(u64) -> Result<T, String> + Sync) -> Vec<T> {
    let (next, failed, played) = (AtomicU64::new(0), Mutex::new(Vec::new()), Mutex::new(Vec::new()));
    scope(|threads| {
        for _core in 0..available_parallelism().map_or(1, NonZero::get) {
            threads.spawn(|| {
                while let Some(seed) =
                    seeds.get(usize::try_from(next.fetch_add(1, Ordering::Relaxed)).unwrap())
                {
                    match play(*seed) {
                        Ok(one) => played.lock().unwrap().push(one),
                        Err(what) => {
                            let again = format!("FLEET_SEED={seed} tests/run fleet 1");
                            let failure = format!("seed {seed}: {what}\n  again: {again}\n");
                            println!("{failure}");
                            failed.lock().unwrap().push(failure);
                        }
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "{} of {}:\n{}", failed.len(), seeds.len(), failed.concat());
    played.into_inner().unwrap()
}

/// How many hours; `tests/run fleet N` plays more.
pub(super) fn hours() -> u64 {
    number("FLEET_SCHEDULES").unwrap_or(12)
}

pub(super) fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|number| number.parse().expect("a number"))
}

#[test]
fn whatever_goes_wrong_a_fleet_keeps_its_promises() {
    let seeds: Vec<_> = match number("FLEET_SEED") {
        Some(seed) => vec![seed],
        None => {
            let days = number("FLEET_DAYS").unwrap_or(0);
            // The longest ones first.
            (DAYS..DAYS + days).chain(0..hours()).collect()
        }
    };
    let played = play_all(&seeds, play_alone);
    println!("{} schedules, {} calls", played.len(), played.iter().map(|one| one.calls).sum::<u64>());
}

#[test]
fn a_seed_plays_the_same_schedule_again() {
    assert_eq!(play_alone(7), play_alone(7));
}
