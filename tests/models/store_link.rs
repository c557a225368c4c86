//! The link's connection of the moment: operations wait for it while others discard it and the keeper connects anew.

#[path = "../../src/shared/link/current_connection.rs"]
mod current_connection;
#[path = "../../src/shared/link/down_reason.rs"]
mod down_reason;
#[path = "../../src/shared/link/health.rs"]
mod health;

use current_connection::CurrentConnection;
use down_reason::DownReason;
use health::LinkState;

use super::SharedStoreError;
use crate::{
    checker::thread,
    explore::Model,
    sync::Arc,
    task::{block_on, join},
    telemetry::SharedMetrics,
};

pub(super) const WAITING_OPERATIONS: Model = Model {
    name: "link: who waits for a connection gets the next one, and never one that was discarded before",
    run: waiting_operations,
    preemptions: None,
    schedules: 20_000,
};

/// The server that was connected to.
#[derive(Debug, Clone)]
struct StoreNode;

/// What the server says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
struct StoreInfo;

mod failure {
    #[derive(Debug, Clone, Copy)]
    pub(super) struct Redirect;
}

mod connection {
    use super::{StoreNode, failure::Redirect};

    /// A connection, by its number.
    #[derive(Debug)]
    pub(super) struct StoreConnection(pub(super) u32);

    impl StoreConnection {
        pub(super) fn node(&self) -> &StoreNode {
            &StoreNode
        }
    }

    impl StoreNode {
        pub(super) fn redirected(&self, _redirect: Redirect) -> Option<Self> {
            None
        }
    }
}

use connection::StoreConnection;

fn waiting_operations() {
    let current = Arc::new(CurrentConnection::none(SharedMetrics));
    let keeper = {
        let current = Arc::clone(&current);
        thread::spawn(move || {
            let mut view = current.watch();
            for number in 1..=2 {
                current.connected(&Arc::new(StoreConnection(number)), StoreInfo);
                if number == 1 {
                    block_on(async { drop(view.wait_for(|view| view.connection().is_none()).await) });
                }
            }
        })
    };
    let operations = [(); 3].map(|()| {
        let current = Arc::clone(&current);
        thread::spawn(move || {
            let first = block_on(current.get()).unwrap();
            // Else the next failure would be the end of a trial.
            current.succeeded();
            if first.0 == 1 {
                // It was lost: several say so of the same one.
                current.discard(&first, DownReason::Lost);
            }
            let next = block_on(current.get()).unwrap();
            assert_eq!(next.0, 2, "a connection that was discarded");
        })
    });
    join(operations);
    keeper.join().unwrap();
    assert!(current.watch().borrow().state().is_up());
    assert_eq!(block_on(current.get()).map(|connection| connection.0), Ok(2));
}
