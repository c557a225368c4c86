//! What the store does over the link: run a script, ask who the server is, wait for the change feed.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use redis::{Cmd, Value, cmd};
use tokio::time::{Instant, timeout_at};

use super::{
    DownReason, LinkOptions, LinkView, StoreConnector, StoreUnreachable,
    connection::StoreConnection,
    current_connection::CurrentConnection,
    failure::CommandFailure,
    handshake::{HandshakeFailure, log_in, renew},
    keeper::{LinkKeeper, url},
};
use crate::{
    shared::{SharedStoreError, StoreIdentity, WriteMark, WriteSafety, store_script::StoreScript},
    telemetry::SharedMetrics,
};

/// The labels `op` of what is no script.
const IDENTITY: &str = "identity";
const LISTEN: &str = "listen";
const WRITE_SAFETY: &str = "write_safety";
/// How long replicas of the server have to confirm what was written; less if `shared.timeout` is shorter.
const CONFIRMED_WITHIN: Duration = Duration::from_millis(200);
/// The server ends a blocking read by itself; one that takes so much longer is on a dead connection.
const LISTEN_GRACE: Duration = Duration::from_secs(2);

/// The link to the store.
#[derive(Debug)]
pub(crate) struct Link {
    options: Arc<LinkOptions>,
    connector: Arc<dyn StoreConnector>,
    pub(super) current: Arc<CurrentConnection>,
    /// The connection of the change feed between two reads, with the command connection that was current when it was made.
    listener: Mutex<Option<FeedConnection>>,
    metrics: SharedMetrics,
}

/// Shows the link as it is.
#[derive(Debug, Clone)]
pub(crate) struct LinkWatch(Arc<CurrentConnection>);

/// A connection for blocking reads.
#[derive(Debug)]
struct FeedConnection {
    connection: Arc<StoreConnection>,
    beside: Arc<StoreConnection>,
}

/// How an operation ended: the label `result`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OperationResult {
    Ok,
    Away,
    TimedOut,
    Lost,
    Refused,
    Malformed,
}

// === impl Link ===

impl Link {
    /// A link without a connection, and the task that connects for as long as it runs.
    pub(crate) fn new(
        options: LinkOptions,
        connector: Arc<dyn StoreConnector>,
        metrics: SharedMetrics,
    ) -> (Self, LinkKeeper) {
        let operations: Vec<_> = options.scripts.iter().map(|script| script.name).collect();
        let timed = [operations.as_slice(), &[IDENTITY, WRITE_SAFETY]].concat();
        metrics.announce(&timed, &[LISTEN], &OperationResult::ALL.map(OperationResult::as_str));
        let options = Arc::new(options);
        let current = Arc::new(CurrentConnection::none(metrics.clone()));
        let keeper = LinkKeeper::new(Arc::clone(&options), Arc::clone(&connector), Arc::clone(&current));
        (Self { options, connector, current, listener: Mutex::default(), metrics }, keeper)
    }

    /// Shows it from now on.
    pub(crate) fn watch(&self) -> LinkWatch {
        LinkWatch(Arc::clone(&self.current))
    }

    /// Runs a script. Dropping the future does not undo it.
    ///
    /// # Errors
    /// [`SharedStoreError`].
    pub(crate) async fn run(
        &self,
        script: &'static StoreScript,
        keys: Vec<Vec<u8>>,
        args: Vec<Vec<u8>>,
    ) -> Result<Value, SharedStoreError> {
        let (keys, args) = (keys.as_slice(), args.as_slice());
        let operation = self.in_time(|connection| async move { connection.run(script, keys, args).await });
        let reply = self.measured(script.name, operation).await;
        if reply.is_ok() {
            self.current.succeeded();
        }
        reply
    }

    /// Who the server is now, and whether it still is a primary.
    ///
    /// # Errors
    /// [`SharedStoreError`].
    pub(crate) async fn identity(&self) -> Result<StoreIdentity, SharedStoreError> {
        let operation = self.in_time(|connection| async move {
            // Known since the handshake of this connection.
            let known = self.current.watch().borrow().info().cloned();
            renew(&connection, &known.ok_or(CommandFailure::Lost)?).await
        });
        let info = self.measured(IDENTITY, operation).await?;
        self.current.renewed(&info);
        Ok(info.identity)
    }

    /// Names the current connection, or the one before the next.
    pub(crate) fn write_mark(&self) -> WriteMark {
        self.current.mark()
    }

    /// Whether what was written on the connection of this mark outlives the server. Operations of this replica wait
    /// meanwhile: to be asked before and during a renewal of the token only.
    ///
    /// # Errors
    /// [`SharedStoreError`].
    pub(crate) async fn write_safety(&self, since: WriteMark) -> Result<WriteSafety, SharedStoreError> {
        let wait = CONFIRMED_WITHIN.min(self.options.timeout * 3 / 4);
        let operation = self.in_time(|connection| async move {
            let known = self.current.watch().borrow().info().cloned();
            let info = renew(&connection, &known.ok_or(CommandFailure::Lost)?).await?;
            if info.rewriting {
                return Ok(WriteSafety::Rewriting);
            }
            // WAIT speaks only of what was written on its own connection.
            if self.current.mark() != since {
                return Ok(WriteSafety::Unreplicated);
            }
            if info.replicas == 0 {
                return Ok(WriteSafety::Kept);
            }
            let mut command = cmd("WAIT");
            // WAIT takes 0 as for ever.
            command.arg(1).arg(wait.as_millis().max(1).to_string());
            match connection.send(&command).await? {
                Value::Int(0) => Ok(WriteSafety::Unreplicated),
                Value::Int(_) => Ok(WriteSafety::Kept),
                _ => Err(CommandFailure::Malformed),
            }
        });
        self.measured(WRITE_SAFETY, operation).await
    }

    /// Runs a command that the server ends within `wait`, on a connection of its own.
    ///
    /// # Errors
    /// [`SharedStoreError`].
    pub(crate) async fn listen(&self, command: Cmd, wait: Duration) -> Result<Value, SharedStoreError> {
        let reply = self.read_feed(&command, wait).await;
        // Not timed: it waits for changes.
        self.metrics.ended(LISTEN, OperationResult::of(&reply).as_str());
        reply
    }

    /// With the current connection, within the timeout, the wait for a connection included.
    async fn in_time<T, F>(
        &self,
        operation: impl Fn(Arc<StoreConnection>) -> F,
    ) -> Result<T, SharedStoreError>
    where
        F: Future<Output = Result<T, CommandFailure>>,
    {
        let mut used = None;
        let attempts = async {
            loop {
                let connection = self.current.get().await?;
                used = Some(Arc::clone(&connection));
                match operation(Arc::clone(&connection)).await {
                    Ok(reply) => return Ok(reply),
                    // It was not executed. Two nodes that refer to one another take the link down.
                    Err(CommandFailure::Moved(redirect)) => {
                        self.current.redirect(&connection, redirect);
                        used = None;
                    }
                    Err(failure) => return Err(self.failed(&connection, failure)),
                }
            }
        };
        match timeout_at(Instant::now() + self.options.timeout, attempts).await {
            Ok(result) => result,
            Err(_elapsed) => Err(match used {
                Some(connection) => {
                    self.current.discard(&connection, DownReason::TimedOut);
                    SharedStoreError::TimedOut
                }
                // Nothing was sent.
                None => {
                    self.current.waited_in_vain();
                    SharedStoreError::Away
                }
            }),
        }
    }

    fn failed(&self, connection: &Arc<StoreConnection>, failure: CommandFailure) -> SharedStoreError {
        let (why, error) = match failure {
            CommandFailure::Lost => (Some(DownReason::Lost), SharedStoreError::Lost),
            CommandFailure::Malformed => {
                (Some(DownReason::Malformed), SharedStoreError::Malformed("not the Redis protocol"))
            }
            CommandFailure::Down(why, word) => (Some(why), SharedStoreError::Refused(word)),
            CommandFailure::Refused(word) => (None, SharedStoreError::Refused(word)),
            CommandFailure::NoScript => (None, SharedStoreError::Refused("NOSCRIPT".into())),
            CommandFailure::Moved(_) => (None, SharedStoreError::Refused("MOVED".into())),
        };
        if let Some(why) = why {
            self.current.discard(connection, why);
        }
        error
    }

    async fn read_feed(&self, command: &Cmd, wait: Duration) -> Result<Value, SharedStoreError> {
        let beside = timeout_at(Instant::now() + self.options.timeout, self.current.get()).await;
        let beside = beside.unwrap_or(Err(SharedStoreError::Away))?;
        let taken = self.listener.lock().unwrap_or_else(PoisonError::into_inner).take();
        let connection = match taken {
            // One that was made beside an earlier command connection may lead to a primary of the past.
            Some(feed) if Arc::ptr_eq(&feed.beside, &beside) => feed.connection,
            Some(_) | None => self.connect_feed(&beside).await?,
        };
        let read = timeout_at(Instant::now() + wait + LISTEN_GRACE, connection.send(command));
        let mut view = self.current.watch();
        let replaced = view.wait_for(|view| view.connection().is_none_or(|now| !Arc::ptr_eq(now, &beside)));
        let reply = tokio::select! {
            reply = read => reply.map_err(|_elapsed| SharedStoreError::TimedOut)?,
            _replaced = replaced => return Err(SharedStoreError::Lost),
        };
        let reply = reply.map_err(|failure| match failure {
            CommandFailure::Lost => SharedStoreError::Lost,
            CommandFailure::Malformed => SharedStoreError::Malformed("not the Redis protocol"),
            CommandFailure::Down(_, word) | CommandFailure::Refused(word) => SharedStoreError::Refused(word),
            CommandFailure::NoScript => SharedStoreError::Refused("NOSCRIPT".into()),
            CommandFailure::Moved(_) => SharedStoreError::Refused("MOVED".into()),
        })?;
        let feed = FeedConnection { connection, beside };
        *self.listener.lock().unwrap_or_else(PoisonError::into_inner) = Some(feed);
        Ok(reply)
    }

    /// To the server of the command connection.
    async fn connect_feed(&self, beside: &StoreConnection) -> Result<Arc<StoreConnection>, SharedStoreError> {
        let connecting = async {
            let url = url(&self.options.location).await?;
            let stream = self.connector.connect(beside.node()).await?;
            let connection = StoreConnection::open(beside.node().clone(), stream).await?;
            log_in(&connection, &url).await?;
            Ok::<_, HandshakeFailure>(connection)
        };
        match timeout_at(Instant::now() + LISTEN_GRACE, connecting).await {
            Ok(Ok(connection)) => Ok(connection),
            Ok(Err(HandshakeFailure::Down(StoreUnreachable { why, .. }))) => {
                Err(SharedStoreError::Refused(why.as_str().into()))
            }
            Ok(Err(HandshakeFailure::Moved(_))) => Err(SharedStoreError::Refused("MOVED".into())),
            Err(_elapsed) => Err(SharedStoreError::Away),
        }
    }

    async fn measured<T>(
        &self,
        name: &'static str,
        operation: impl Future<Output = Result<T, SharedStoreError>>,
    ) -> Result<T, SharedStoreError> {
        let start = Instant::now();
        let result = operation.await;
        self.metrics.ended(name, OperationResult::of(&result).as_str());
        self.metrics.took(name, start.elapsed());
        result
    }
}

// === impl LinkWatch ===

impl LinkWatch {
    /// The link as it is now.
    pub(crate) fn view(&self) -> LinkView {
        self.0.watch().borrow().clone()
    }
}

// === impl OperationResult ===

impl OperationResult {
    const ALL: [Self; 6] = [Self::Ok, Self::Away, Self::TimedOut, Self::Lost, Self::Refused, Self::Malformed];

    const fn of<T>(result: &Result<T, SharedStoreError>) -> Self {
        match result {
            Ok(_) => Self::Ok,
            Err(SharedStoreError::Away | SharedStoreError::Recovering) => Self::Away,
            Err(SharedStoreError::TimedOut) => Self::TimedOut,
            Err(SharedStoreError::Lost) => Self::Lost,
            Err(SharedStoreError::Refused(_)) => Self::Refused,
            Err(SharedStoreError::Malformed(_)) => Self::Malformed,
        }
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Away => "away",
            Self::TimedOut => "timed_out",
            Self::Lost => "lost",
            Self::Refused => "refused",
            Self::Malformed => "malformed",
        }
    }
}
