//! One connection: sends commands and scripts. Time is bounded by its users.

use std::sync::Arc;

use redis::{
    AsyncConnectionConfig, Cmd, Pipeline, RedisConnectionInfo, Value, aio::MultiplexedConnection, cmd,
};
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use super::{StoreNode, StoreStream, failure::CommandFailure};
use crate::shared::store_script::StoreScript;

/// A connection. It is closed when it is dropped and the commands on their way have ended.
#[derive(Debug)]
pub(crate) struct StoreConnection {
    node: StoreNode,
    commands: MultiplexedConnection,
    /// Ends with the connection.
    open: watch::Receiver<()>,
    _driver: AbortOnDropHandle<()>,
}

// === impl StoreConnection ===

impl StoreConnection {
    /// Over a stream to `node`; nothing is sent yet.
    pub(super) async fn open(
        node: StoreNode,
        stream: Box<dyn StoreStream>,
    ) -> Result<Arc<Self>, CommandFailure> {
        // Neither login nor name here: their errors would lose the server's word. Without a timeout: ours is around it.
        let info = RedisConnectionInfo::default().set_skip_set_lib_name();
        let config = AsyncConnectionConfig::new().set_response_timeout(None);
        let connection = MultiplexedConnection::new_with_config(&info, stream, config).await;
        let (commands, driver) = connection.map_err(|_nothing_was_sent| CommandFailure::Lost)?;
        let (closes, open) = watch::channel(());
        let driver = tokio::spawn(async move {
            driver.await;
            drop(closes);
        });
        Ok(Arc::new(Self { node, commands, open, _driver: AbortOnDropHandle::new(driver) }))
    }

    pub(super) const fn node(&self) -> &StoreNode {
        &self.node
    }

    /// Returns once the connection has ended.
    pub(super) async fn closed(&self) {
        let mut open = self.open.clone();
        while open.changed().await.is_ok() {}
    }

    pub(super) async fn send(&self, command: &Cmd) -> Result<Value, CommandFailure> {
        // A clone is a handle: `&mut` is the crate's way to say one reply at a time.
        CommandFailure::check(self.commands.clone().send_packed_command(command).await)
    }

    /// The replies, which may be errors, to commands that are sent together.
    pub(super) async fn send_all(&self, commands: &Pipeline) -> Result<Vec<Value>, CommandFailure> {
        let replies = self.commands.clone().send_packed_commands(commands, 0, commands.len()).await;
        let replies = replies.or_else(|error| CommandFailure::check(Err(error)).map(|value| vec![value]))?;
        if replies.len() == commands.len() { Ok(replies) } else { Err(CommandFailure::Malformed) }
    }

    /// Runs a script; loads it first if the server does not have it.
    pub(super) async fn run(
        &self,
        script: &StoreScript,
        keys: &[Vec<u8>],
        args: &[Vec<u8>],
    ) -> Result<Value, CommandFailure> {
        let mut command = cmd("EVALSHA");
        command.arg(sha1(script)).arg(keys.len());
        for part in keys.iter().chain(args) {
            command.arg(part.as_slice());
        }
        match self.send(&command).await {
            Err(CommandFailure::NoScript) => {
                self.send(&load(script)).await?;
                self.send(&command).await
            }
            reply => reply,
        }
    }
}

/// SCRIPT LOAD.
pub(super) fn load(script: &StoreScript) -> Cmd {
    let mut command = cmd("SCRIPT");
    command.arg("LOAD").arg(script.text);
    command
}

/// The name of a script on the server.
pub(super) fn sha1(script: &StoreScript) -> String {
    let hash = digest(&SHA1_FOR_LEGACY_USE_ONLY, script.text.as_bytes());
    hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_s_name_is_its_sha1() {
        let script = StoreScript { name: "one", text: "return 1" };
        assert_eq!(sha1(&script), "e0e1f9fabfc9d4800c877a703b823ac0578ff8db");
    }
}
