//! What is said first on each connection: login, name, INFO, the scripts.

use redis::{Cmd, Value, cmd, pipe};
use secrecy::ExposeSecret as _;

use super::{
    DownReason, StoreInfo, StoreUnreachable,
    connection::{StoreConnection, load},
    current_connection::LinkOptions,
    failure::{CommandFailure, Redirect},
    store_info::{CHANGING_SECTIONS, SECTIONS},
};
use crate::settings::StoreUrl;

/// As which CLIENT LIST shows our connections.
const CLIENT_NAME: &str = "link-report-proxy";

/// Why a connection is not used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum HandshakeFailure {
    /// The store cannot be used at present.
    Down(StoreUnreachable),
    /// The keys are on another node.
    Moved(Redirect),
}

/// Logs in, and finds out whether this is a primary that has our keys. Loads the scripts.
pub(super) async fn greet(
    connection: &StoreConnection,
    url: &StoreUrl,
    options: &LinkOptions,
) -> Result<StoreInfo, HandshakeFailure> {
    log_in(connection, url).await?;
    let mut commands = pipe();
    for section in SECTIONS {
        commands.add_command(info(section));
    }
    // Reads a key of ours: a node of a cluster that has other keys says so, and so does an ACL that does not allow it.
    let mut probe = cmd("HGET");
    probe.arg(options.probe_key.as_slice()).arg("epoch");
    commands.add_command(probe);
    for script in options.scripts {
        commands.add_command(load(script));
    }
    let replies = connection.send_all(&commands).await?;
    let (sections, others) = replies.split_at(SECTIONS.len());
    // Before the role: a replica of a cluster knows where its primary is.
    for reply in others {
        succeeded(reply)?;
    }
    let sections: Vec<_> = sections.iter().map(text).collect::<Result<_, _>>()?;
    Ok(StoreInfo::parse(&sections).map_err(StoreUnreachable::from)?)
}

/// Logs in, chooses the database, and says our name.
pub(super) async fn log_in(connection: &StoreConnection, url: &StoreUrl) -> Result<(), HandshakeFailure> {
    if let Some(login) = login(url) {
        connection.send(&login).await?;
    }
    if url.database != 0 {
        connection.send(cmd("SELECT").arg(url.database)).await?;
    }
    match connection.send(cmd("CLIENT").arg("SETNAME").arg(CLIENT_NAME)).await {
        // The name is for people: an ACL may refuse it.
        Err(CommandFailure::Down(DownReason::NotPermitted, _) | CommandFailure::Refused(_)) | Ok(_) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// AUTH; `None`: there is no password.
pub(super) fn login(url: &StoreUrl) -> Option<Cmd> {
    let password = url.password.as_ref()?;
    let mut command = cmd("AUTH");
    if let Some(user) = &url.user {
        command.arg(user);
    }
    command.arg(password.expose_secret());
    Some(command)
}

/// What has changed since `info` was read.
pub(super) async fn renew(
    connection: &StoreConnection,
    known: &StoreInfo,
) -> Result<StoreInfo, CommandFailure> {
    let mut commands = pipe();
    for section in CHANGING_SECTIONS {
        commands.add_command(info(section));
    }
    let replies = connection.send_all(&commands).await?;
    let sections: Vec<_> = replies.iter().map(text).collect::<Result<_, _>>()?;
    known.renewed(&sections).map_err(|why| CommandFailure::Down(why, why.as_str().into()))
}

fn info(section: &str) -> Cmd {
    let mut command = cmd("INFO");
    command.arg(section);
    command
}

fn text(reply: &Value) -> Result<&[u8], CommandFailure> {
    match reply {
        Value::BulkString(text) => Ok(text),
        other => {
            succeeded(other)?;
            Err(CommandFailure::Malformed)
        }
    }
}

fn succeeded(reply: &Value) -> Result<(), CommandFailure> {
    match reply {
        Value::ServerError(error) => Err(CommandFailure::of_server(error)),
        _ => Ok(()),
    }
}

// === impl HandshakeFailure ===

impl From<StoreUnreachable> for HandshakeFailure {
    fn from(unreachable: StoreUnreachable) -> Self {
        Self::Down(unreachable)
    }
}

impl From<CommandFailure> for HandshakeFailure {
    fn from(failure: CommandFailure) -> Self {
        let (why, detail) = match failure {
            CommandFailure::Moved(redirect) => return Self::Moved(redirect),
            CommandFailure::Lost => (DownReason::Lost, String::new()),
            CommandFailure::Malformed => (DownReason::Malformed, String::new()),
            CommandFailure::Down(why, _) => (why, String::new()),
            CommandFailure::NoScript => (DownReason::Rejected, "NOSCRIPT".to_owned()),
            CommandFailure::Refused(word) => (DownReason::Rejected, word.into_string()),
        };
        Self::Down(StoreUnreachable { why, detail })
    }
}
