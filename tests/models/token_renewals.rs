//! The renewer's own task, and requests that ask it for a newer token: several 401s are one renewal, and each request goes on.

use real_std::{
    sync::{Arc as RealArc, Mutex as RealMutex},
    time::{Duration, SystemTime},
};

use super::{
    current::{Arrival, CurrentToken, Expiry, TokenVerdict, Validity},
    failed::Failed,
    inputs::RefreshTokenInputs,
    records::{Answer, TokenRecords},
    renewal_state::RenewalState,
    renewer::{RefreshTokenUse, Renewal, RenewalConfig, Renewer},
    schedule::RenewalSchedule,
    secret,
    token_response::TokenError,
    with_token,
};
use crate::{
    backoff::Jitter,
    checker::thread,
    explore::Model,
    outage::Outage,
    state::StoredAccess,
    sync::{Arc, Step},
    task::{block_on, join, spawn},
    telemetry::TokenMetrics,
    time::{Instant, advance},
    upstream::FormClient,
};

pub(super) const MANY_401S: Model = Model {
    name: "renewals: four 401s to a token are one renewal, and each request goes on with the new token",
    run: many_401s,
    preemptions: None,
    schedules: 20_000,
};
pub(super) const FAILED_RENEWAL: Model = Model {
    name: "renewals: after a renewal that fails, the next one answers all who wait",
    run: failed_renewal,
    preemptions: None,
    schedules: 20_000,
};
pub(super) const SAME_TOKEN: Model = Model {
    name: "renewals: where the endpoint gives the refused token again, all who wait go on with it, after one renewal",
    run: same_token,
    preemptions: None,
    schedules: 20_000,
};
pub(super) const NO_TOKEN_YET: Model = Model {
    name: "renewals: requests that find no token wait for the first one, which is renewed once",
    run: no_token_yet,
    preemptions: None,
    schedules: 20_000,
};

const DAY: Duration = Duration::from_secs(86_400);

/// A process with its renewer.
#[derive(Clone)]
struct Process {
    current: Arc<CurrentToken>,
    renewals: Arc<RenewalState>,
    endpoint: TokenRecords,
}

// === impl Process ===

impl Process {
    /// Starts the renewer. It has nothing to do before a request asks for it.
    fn start(current: Arc<CurrentToken>, answers: &[Answer]) -> Self {
        let renewals = Arc::new(RenewalState::new());
        let answers = answers.iter().copied().collect();
        let endpoint = TokenRecords(RealArc::new(RealMutex::new((answers, 0))));
        renewals.set_generation(current.generation());
        let mut schedule = RenewalSchedule::at_once(Instant::now());
        schedule.holding(Instant::now(), DAY, DAY, Jitter(0.5));
        let renewer = Renewer {
            renewing: RenewalConfig {
                url: http::Uri::from_static("http://token.test/"),
                form_client: FormClient,
                client_id: String::new(),
                client_secret: None,
            },
            current: Arc::clone(&current),
            renewal_state: Arc::clone(&renewals),
            records: endpoint.clone(),
            consent: None,
            look_after: Instant::now(),
            look_outage: Outage::default(),
            begin_outage: Outage::default(),
            inputs: RefreshTokenInputs,
            schedule,
            metrics: TokenMetrics,
            refresh_token: RefreshTokenUse::Unused,
        };
        spawn(renewer.run());
        Self { current, renewals, endpoint }
    }

    /// A call of this generation was answered 401: what `TokenManager::refused` does.
    fn refused(&self, generation: u64) {
        self.current.record_response(generation, TokenVerdict::Refused, Instant::now());
        block_on(self.renewals.newer_than(generation));
    }

    /// Each request on a thread of its own; returns the generations that they go on with.
    fn requests<const COUNT: usize>(&self, request: fn(&Self)) -> [thread::JoinHandle<u64>; COUNT] {
        [(); COUNT].map(|()| {
            let process = self.clone();
            thread::spawn(move || {
                request(&process);
                process.current.generation()
            })
        })
    }

    fn end(&self) {
        self.renewals.ending.cancel();
        block_on(self.renewals.ended.cancelled());
    }
}

impl Renewer {
    /// In the place of the real one: the endpoint answers, and the token is installed as the real one does it.
    pub(super) async fn exchange(&mut self) -> Result<Renewal, Failed> {
        let step = Step::default();
        step.take();
        let asked_at = Instant::now();
        self.schedule.called(asked_at);
        let (answer, number) = {
            let mut endpoint = self.records.0.lock().unwrap();
            endpoint.1 += 1;
            (endpoint.0.pop_front().unwrap_or(Answer::Granted), endpoint.1)
        };
        step.take();
        if answer == Answer::Unanswered {
            return Err(Failed::Endpoint(TokenError::Unanswered));
        }
        let token = if answer == Answer::Same { secret(1) } else { secret(100 + u64::from(number)) };
        let access = StoredAccess { token, renewed_at: SystemTime::UNIX_EPOCH };
        self.install(&access, Expiry::Until(asked_at + DAY), Arrival::Renewed(Instant::now()));
        self.schedule.holding(Instant::now(), DAY, DAY, Jitter(0.5));
        Ok(Renewal::Granted)
    }

    /// No other process shares the record.
    pub(super) async fn look(&mut self) {}

    pub(super) fn adopted(&self) {}
}

fn many_401s() {
    let process = Process::start(with_token(), &[]);
    let after = join(process.requests::<4>(|process| process.refused(1)));
    assert_eq!(after, [2; 4]);
    // One more, to a call that was on its way all the time.
    process.refused(1);
    process.end();
    assert_eq!((process.endpoint.called(), process.current.generation()), (1, 2));
    assert_eq!(process.current.standing(Instant::now()), Validity::Valid);
}

fn failed_renewal() {
    let process = Process::start(with_token(), &[Answer::Unanswered]);
    let requests = process.requests::<3>(|process| process.refused(1));
    while process.renewals.info().last_error.is_none() {
        thread::yield_now();
    }
    // The second attempt is due a second after the first, give or take a fifth.
    advance(Duration::from_secs(2));
    let after = join(requests);
    process.end();
    assert_eq!(after, [2; 3]);
    assert_eq!(process.endpoint.called(), 2);
}

fn same_token() {
    let process = Process::start(with_token(), &[Answer::Same, Answer::Same]);
    let after = join(process.requests::<3>(|process| process.refused(1)));
    process.end();
    assert_eq!((after, process.endpoint.called()), (vec![1; 3], 1));
}

fn no_token_yet() {
    let process = Process::start(Arc::new(CurrentToken::empty()), &[]);
    let after = join(process.requests::<3>(|process| block_on(process.renewals.newer_than(0))));
    assert_eq!(after, [1; 3]);
    process.end();
    assert_eq!(process.endpoint.called(), 1);
}
