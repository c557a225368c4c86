//! The link runs the store's scripts.

use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt as _};
use redis::{Cmd, Value};

use super::Link;
use crate::shared::{
    SharedStoreError, StoreIdentity, WriteMark, WriteSafety, redis_store::Scripts, store_script::StoreScript,
};

// === impl Link ===

impl Scripts for Link {
    fn run(
        &self,
        script: &'static StoreScript,
        keys: Vec<Vec<u8>>,
        args: Vec<Vec<u8>>,
    ) -> BoxFuture<'_, Result<Value, SharedStoreError>> {
        self.run(script, keys, args).boxed()
    }

    fn identity(&self) -> BoxFuture<'_, Result<StoreIdentity, SharedStoreError>> {
        self.identity().boxed()
    }

    fn write_mark(&self) -> WriteMark {
        self.write_mark()
    }

    fn write_safety(&self, since: WriteMark) -> BoxFuture<'_, Result<WriteSafety, SharedStoreError>> {
        self.write_safety(since).boxed()
    }

    fn query_blocking(&self, command: Cmd, wait: Duration) -> BoxFuture<'_, Result<Value, SharedStoreError>> {
        self.listen(command, wait).boxed()
    }
}
