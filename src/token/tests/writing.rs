//! Writing the renewed token down while the disk fails, or another process writes too.

use std::{sync::OnceLock, time::SystemTime};

use futures_util::future::BoxFuture;
use tokio::time::timeout;

use super::{
    trap::{Point, Trap},
    *,
};
use crate::state::{
    Durability, MemoryStore, Stored, StoredAccess, Swap, TokenRecord, TokenStore, TokenStoreError, Version,
};

const OK: Result<StatusCode, Cause> = Ok(StatusCode::OK);
const LIFETIME: Duration = Duration::from_secs(60 * 60);

/// A process that has renewed its token once and is about to do so again.
async fn started(trap: &Trap) -> (Place, Process) {
    let place = Place::with(options(RefreshTokenPolicy::Rotating, LIFETIME), trap.clone());
    let process = place.start().await;
    assert_eq!((process.ask().await, renewals(&process)), (OK, 1.0));
    (place, process)
}

fn renewals(process: &Process) -> f64 {
    process.metric("token_renewals_total{result=\"success\"}")
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_was_written_though_the_disk_denied_it_is_used() {
    let trap = Trap::default();
    let (place, process) = started(&trap).await;
    trap.silence(Point::AfterAnswer);
    pass(LIFETIME).await;
    assert_eq!((process.ask().await, process.tokens.generation(), renewals(&process)), (OK, 2, 2.0));
    assert_eq!(place.refresh_token().await, place.vendor.refresh_token());
    assert_eq!((process.state(), process.last_error()), ("valid", String::new()));
}

/// A store beside which the inbox is damaged when a login has been written, so that it cannot be emptied.
#[derive(Debug, Default)]
struct BesideDamage {
    memory: MemoryStore,
    taken: Arc<OnceLock<PathBuf>>,
}

impl TokenStore for BesideDamage {
    fn durability(&self) -> Durability {
        Durability::Durable
    }

    fn read(&self) -> BoxFuture<'_, Result<Option<Stored>, TokenStoreError>> {
        TokenStore::read(&self.memory)
    }

    fn compare_and_set<'a>(
        &'a self,
        expected: Option<Version>,
        new: &'a TokenRecord,
    ) -> BoxFuture<'a, Result<Swap, TokenStoreError>> {
        if let Some(taken) = self.taken.get().filter(|taken| taken.exists()) {
            fs::write(taken, "damaged").unwrap();
        }
        self.memory.compare_and_set(expected, new)
    }

    fn changed(&self, seen: Option<Version>) -> BoxFuture<'_, ()> {
        self.memory.changed(seen)
    }
}

#[tokio::test(start_paused = true)]
async fn a_login_that_was_written_but_not_taken_out_of_the_inbox_is_used_once_it_is() {
    let store = BesideDamage::default();
    let inbox = Arc::clone(&store.taken);
    let place = Place::with(options(RefreshTokenPolicy::Rotating, LIFETIME), store).watched();
    place.vendor.revoke_refresh_tokens();
    let process = place.start().await;
    assert_eq!(process.ask().await, Err(Cause::Local(LocalDenial::NoToken)));
    let taken = place.dir.path().join("state/login.taken.json");
    inbox.set(taken.clone()).unwrap();
    let now = SystemTime::now();
    let token = place.vendor.issue_access_token().into();
    let access = Some(StoredAccess { token, renewed_at: now, expires_at: now + LIFETIME });
    let login = TokenRecord { access, ..TokenRecord::new(place.vendor.issue_refresh_token().into()) };
    place.inbox().leave(&login).await.unwrap();
    pass(Duration::from_secs(5)).await;
    assert!(process.last_error().contains("login.taken.json"), "{}", process.last_error());
    fs::remove_file(taken).unwrap();
    pass(Duration::from_secs(5)).await;
    assert_eq!((process.ask().await, process.state()), (OK, "valid"));
}

#[tokio::test(start_paused = true)]
async fn a_record_that_another_process_has_touched_is_written_over_if_its_refresh_token_is_the_one_that_was_sent()
 {
    let trap = Trap::default();
    let (place, process) = started(&trap).await;
    let sent = TokenRecord::new(place.refresh_token().await.into());
    for touched in [TokenRecord { intent: Some(SystemTime::now()), ..sent.clone() }, sent] {
        let touched = TokenRecord { refresh_token: place.refresh_token().await.into(), ..touched };
        let before = (process.tokens.generation(), renewals(&process));
        trap.overtake(Point::BeforeAnswer, touched);
        pass(LIFETIME).await;
        assert_eq!((process.tokens.generation(), renewals(&process)), (before.0 + 1, before.1 + 1.0));
        assert_eq!(place.refresh_token().await, place.vendor.refresh_token(), "the old one works no more");
        assert_eq!((process.ask().await, process.last_error()), (OK, String::new()));
    }
}

#[tokio::test(start_paused = true)]
async fn a_refresh_token_that_another_process_has_written_meanwhile_is_kept_and_its_access_token_used() {
    let trap = Trap::default();
    let (place, process) = started(&trap).await;
    let now = SystemTime::now();
    let token = place.vendor.issue_access_token().into();
    let access = Some(StoredAccess { token, renewed_at: now, expires_at: now + LIFETIME });
    trap.overtake(Point::BeforeAnswer, TokenRecord { access, ..TokenRecord::new("of a login".into()) });
    pass(LIFETIME * 19 / 20).await;
    assert_eq!((process.ask().await, process.tokens.generation()), (OK, 2));
    assert_eq!((place.refresh_token().await.as_str(), renewals(&process)), ("of a login", 1.0));
}

#[tokio::test(start_paused = true)]
async fn a_process_that_ends_tries_to_write_its_answer_three_times() {
    let trap = Trap::default();
    let (_place, process) = started(&trap).await;
    trap.set(Point::BeforeAnswer);
    while !trap.has_sprung() {
        pass(Duration::from_secs(60)).await;
    }
    let ended = timeout(Duration::from_secs(10), process.tokens.finish()).await;
    assert!(ended.is_ok(), "it does not end as long as the disk is full");
}
