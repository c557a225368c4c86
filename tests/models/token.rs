//! The current token, which requests read while it is replaced, and the renewals that requests ask for and wait for.

#[path = "../../src/token/access.rs"]
mod access;
#[path = "../../src/token/current.rs"]
mod current;
#[path = "../../src/token/renewal_backoff.rs"]
mod renewal_backoff;
#[path = "../../src/token/renewal_state.rs"]
mod renewal_state;
#[path = "../../src/token/renewer.rs"]
mod renewer;
#[path = "../../src/token/schedule.rs"]
mod schedule;
#[path = "../../src/token/unauthorized_backoff.rs"]
mod unauthorized_backoff;

// What the renewer imports beside them.
#[path = "standins/token.rs"]
mod standins;
use standins::{failed, inputs, outcome, records, source, token_response};

#[path = "token_renewals.rs"]
mod renewals;

use real_std::{
    sync::atomic::{AtomicU32, Ordering::SeqCst},
    time::{Duration, SystemTime},
};

use access::AccessToken;
use current::{Arrival, CurrentToken, Expiry, StatusChange, TokenVerdict, Validity};
use secrecy::SecretString;

use crate::{checker::thread, explore::Model, sync::Arc, task::join, time::Instant};

pub(crate) const MODELS: &[Model] = &[
    Model {
        name: "token: a reader sees whole tokens, and never an older one than before",
        run: replaced_while_read,
        preemptions: Some(3),
        schedules: 0,
    },
    Model {
        name: "token: late 401s to the token before do not count for a new one",
        run: late_401,
        preemptions: Some(4),
        schedules: 0,
    },
    Model {
        name: "token: of a token that is backed off, one call at a time is a probe, and its end lets the next one go",
        run: one_probe,
        preemptions: Some(3),
        schedules: 0,
    },
    renewals::MANY_401S,
    renewals::FAILED_RENEWAL,
    renewals::SAME_TOKEN,
    renewals::NO_TOKEN_YET,
];

fn secret(generation: u64) -> SecretString {
    format!("token-{generation}").into()
}

/// Installs the token of this generation.
fn install(current: &CurrentToken, generation: u64, arrival: Arrival) {
    let installed =
        current.install(secret(generation), Expiry::Unknown, arrival, SystemTime::UNIX_EPOCH).unwrap();
    assert_eq!(installed, Some(generation));
}

fn with_token() -> Arc<CurrentToken> {
    let current = Arc::new(CurrentToken::empty());
    install(&current, 1, Arrival::ProvidedToken);
    current
}

fn replaced_while_read() {
    let current = with_token();
    let readers = [(); 2].map(|()| {
        let current = Arc::clone(&current);
        thread::spawn(move || {
            let now = Instant::now();
            let mut seen = 0;
            for _ in 0..2 {
                let token = current.current(now).unwrap();
                assert!(token.is(&secret(token.generation())), "a torn token");
                let (sent, _permit) = current.to_send(now).unwrap();
                assert!(seen <= token.generation() && token.generation() <= sent.generation());
                seen = current.generation();
                assert!(sent.generation() <= seen);
            }
        })
    });
    for generation in [2, 3] {
        install(&current, generation, Arrival::Renewed(Instant::now()));
    }
    join(readers);
}

fn late_401() {
    let (current, now) = (with_token(), Instant::now());
    // As many as a back-off begins with.
    let callers = [(); 3].map(|()| {
        let current = Arc::clone(&current);
        thread::spawn(move || current.record_response(1, TokenVerdict::Refused, now))
    });
    install(&current, 2, Arrival::ProvidedToken);
    join(callers);
    assert_eq!(current.standing(now), Validity::Valid);
    assert!(!current.is_backed_off(now), "it was never sent");
}

fn one_probe() {
    let (current, now) = (with_token(), Instant::now());
    for _ in 0..3 {
        current.record_response(1, TokenVerdict::Refused, now);
    }
    assert!(current.to_send(now).is_none(), "in the pause");
    let after_the_pause = now + Duration::from_secs(5);
    let under_way = Arc::new(AtomicU32::new(0));
    let probes = [(); 2].map(|()| {
        let (current, under_way) = (Arc::clone(&current), Arc::clone(&under_way));
        thread::spawn(move || match current.to_send(after_the_pause) {
            Some((_token, permit)) => {
                assert_eq!(under_way.fetch_add(1, SeqCst), 0, "two probes at a time");
                // A step.
                current.generation();
                under_way.fetch_sub(1, SeqCst);
                drop(permit);
                1
            }
            None => 0,
        })
    });
    let sent: u32 = join(probes).iter().sum();
    assert!(sent >= 1 && current.to_send(after_the_pause).is_some(), "a permit was lost");
}
