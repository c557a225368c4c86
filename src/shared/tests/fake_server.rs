//! A server without a server: it decodes each call, has the model do it, and encodes the reply.

use std::{sync::Arc, time::Duration};

use futures_util::future::{BoxFuture, FutureExt as _};
use redis::{Cmd, Value};
use tokio::time::{Instant, sleep};

use super::{
    super::{
        redis_store::Scripts,
        store_script::StoreScript,
        wire::{ScriptCall, change_id_text},
        *,
    },
    wire_values::{decode, encode, integer, word},
};
use crate::report::ReportKey;

/// The model behind the wire format.
#[derive(Debug)]
pub(in crate::shared) struct FakeServer(pub(in crate::shared) Arc<MemorySharedStore>);

// === impl FakeServer ===

impl FakeServer {
    async fn feed(&self, call: &ScriptCall) -> Result<Value, SharedStoreError> {
        let text = |at: usize| str::from_utf8(&call.args[at]).expect("UTF-8");
        let after = change_id(text(0));
        let most: usize = text(1).parse().expect("an integer");
        let window = self.0.feed_window();
        let changes = self.0.changes(after, Duration::ZERO).await?.changes;
        let entries = changes
            .into_iter()
            .take(most)
            .map(|change| Value::Array(vec![word(&change_id_text(change.id)), entry(change.kind)]));
        Ok(Value::Array(vec![
            word("feed"),
            word(&change_id_text(window.first)),
            word(&change_id_text(window.newest)),
            integer(window.length.try_into().expect("a small number")),
            Value::Array(entries.collect()),
        ]))
    }
}

impl Scripts for FakeServer {
    fn run(
        &self,
        script: &'static StoreScript,
        keys: Vec<Vec<u8>>,
        args: Vec<Vec<u8>>,
    ) -> BoxFuture<'_, Result<Value, SharedStoreError>> {
        let call = ScriptCall { script, keys, args };
        async move {
            match decode(&call) {
                Some(operation) => operation.perform(&*self.0).await.map(encode),
                None => self.feed(&call).await,
            }
        }
        .boxed()
    }

    fn identity(&self) -> BoxFuture<'_, Result<StoreIdentity, SharedStoreError>> {
        self.0.identity()
    }

    fn write_mark(&self) -> WriteMark {
        WriteMark::default()
    }

    fn write_safety(&self, _: WriteMark) -> BoxFuture<'_, Result<WriteSafety, SharedStoreError>> {
        std::future::ready(Ok(WriteSafety::Kept)).boxed()
    }

    fn query_blocking(&self, command: Cmd, wait: Duration) -> BoxFuture<'_, Result<Value, SharedStoreError>> {
        let after = command.args_iter().last().expect("a position");
        let redis::Arg::Simple(after) = after else { panic!("a position") };
        let after = change_id(str::from_utf8(after).expect("UTF-8"));
        async move {
            let deadline = Instant::now() + wait;
            loop {
                self.0.changes(after, deadline.saturating_duration_since(Instant::now())).await?;
                if self.0.feed_window().newest > after {
                    return Ok(Value::Array(Vec::new()));
                }
                // XREAD does not return when the feed is lost.
                if Instant::now() >= deadline {
                    return Ok(Value::Nil);
                }
                sleep(Duration::from_millis(1)).await;
            }
        }
        .boxed()
    }
}

fn change_id(text: &str) -> ChangeId {
    let (ms, n) = text.split_once('-').expect("a position");
    ChangeId { ms: ms.parse().expect("an integer"), n: n.parse().expect("an integer") }
}

fn entry(kind: ChangeKind) -> Value {
    let number = |number: u64| word(&number.to_string());
    let key = |key: &ReportKey| word(&store_keys::report_key_text(key));
    Value::Array(match kind {
        ChangeKind::Report { key: of, fence } => {
            vec![word("report"), key(&of), word("fence"), number(fence.0)]
        }
        ChangeKind::Failure { key: of, why } => vec![word("failure"), key(&of), word("why"), word(&why)],
        ChangeKind::Purge { key: of, fence } => {
            let of = of.as_ref().map_or_else(|| word(""), key);
            vec![word("purge"), of, word("fence"), number(fence.0)]
        }
        ChangeKind::Token { version } => vec![word("token"), number(version)],
        ChangeKind::Lockout => vec![word("lockout"), word("")],
        ChangeKind::Epoch(epoch) => vec![word("epoch"), word(&format!("{:016x}", epoch.0))],
    })
}
