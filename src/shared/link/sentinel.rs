//! Sentinel: asks where the primary is, at each connect; nobody tells of a failover.

use std::time::Duration;

use redis::{Value, cmd};
use tokio::time::timeout;

use super::{
    DownReason, StoreConnector, StoreNode, StoreUnreachable,
    connection::StoreConnection,
    failure::CommandFailure,
    handshake::{HandshakeFailure, login},
};
use crate::settings::{HostPort, StoreEncryption, StoreUrl};

/// The primary of `service`, by the first sentinel that knows it; each has this time to answer.
pub(super) async fn primary(
    connector: &dyn StoreConnector,
    sentinels: &[HostPort],
    service: &str,
    url: &StoreUrl,
    each: Duration,
) -> Result<StoreNode, StoreUnreachable> {
    let mut last = StoreUnreachable::from(DownReason::NoPrimary);
    for sentinel in sentinels {
        let node = StoreNode::Tcp(sentinel.clone(), url.encryption());
        let answer = timeout(each, ask(connector, node, service, url)).await;
        match answer.unwrap_or_else(|_elapsed| Err(StoreUnreachable::from(DownReason::TimedOut).into())) {
            Ok(Some(primary)) => return Ok(primary),
            Ok(None) => last = StoreUnreachable::from(DownReason::NoPrimary),
            Err(HandshakeFailure::Down(error)) => last = error,
            Err(HandshakeFailure::Moved(_)) => {}
        }
    }
    Err(last)
}

async fn ask(
    connector: &dyn StoreConnector,
    node: StoreNode,
    service: &str,
    url: &StoreUrl,
) -> Result<Option<StoreNode>, HandshakeFailure> {
    let stream = connector.connect(&node).await?;
    let connection = StoreConnection::open(node, stream).await?;
    let mut command = cmd("SENTINEL");
    command.arg("GET-MASTER-ADDR-BY-NAME").arg(service);
    let mut reply = connection.send(&command).await;
    // Sentinels may have no login at all, or the store's.
    if let (Err(CommandFailure::Down(DownReason::PasswordMissing, _)), Some(login)) = (&reply, login(url)) {
        connection.send(&login).await?;
        reply = connection.send(&command).await;
    }
    Ok(match reply? {
        Value::Nil => None,
        Value::Array(parts) => Some(address(&parts, url.encryption()).ok_or(CommandFailure::Malformed)?),
        _ => return Err(CommandFailure::Malformed.into()),
    })
}

fn address(parts: &[Value], encryption: StoreEncryption) -> Option<StoreNode> {
    let [Value::BulkString(host), Value::BulkString(port)] = parts else { return None };
    let text = |bytes: &[u8]| std::str::from_utf8(bytes).ok().map(ToOwned::to_owned);
    let (host, port) = (text(host)?, text(port)?.parse().ok()?);
    Some(StoreNode::Tcp(HostPort { host, port }, encryption))
}
