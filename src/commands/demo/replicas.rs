//! The replicas of `demo --replicas`: the ports of each, and the store that they share.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, SystemTime},
};

use super::options::DemoOptions;
use crate::{
    app::{Ports, SharedBackend},
    commands::{CommandOutcome, Failure, serve},
    settings::{Settings, StoreLocation},
    shared::MemorySharedStore,
};

/// The store that the demo's replicas share.
pub(super) enum DemoStore {
    /// There is one proxy.
    None,
    /// In this process.
    Memory(Arc<MemorySharedStore>),
    /// On the server of `--shared`.
    Server,
}

/// The ports of each replica: those of the settings, and for each replica the next ones.
///
/// # Errors
/// If there are not as many, or data ports and admin ports overlap.
pub(super) fn ports(settings: &Settings, replicas: u16) -> Result<Vec<Ports>, Failure> {
    let (data, admin) = (settings.server.listen, settings.admin.listen);
    let ports = (0..replicas).map(|replica| {
        let no_port =
            |key| move || Failure::Settings(format!("{key}: leaves no port for each of {replicas} replicas"));
        Ok(Ports {
            data: following(data, replica).ok_or_else(no_port("server.listen"))?,
            admin: following(admin, replica).ok_or_else(no_port("admin.listen"))?,
        })
    });
    let ports = ports.collect::<Result<Vec<_>, Failure>>()?;
    check_apart(data, admin, replicas)?;
    Ok(ports)
}

/// `None`: port numbers end before. Port 0 is any free port.
fn following(address: SocketAddr, replica: u16) -> Option<SocketAddr> {
    let port = match address.port() {
        0 => 0,
        first => first.checked_add(replica)?,
    };
    Some(SocketAddr::new(address.ip(), port))
}

fn check_apart(data: SocketAddr, admin: SocketAddr, replicas: u16) -> CommandOutcome {
    let (data, admin) = (data.port(), admin.port());
    if data != 0 && admin != 0 && data.abs_diff(admin) < replicas {
        return Err(Failure::Settings(format!(
            "admin.listen: {replicas} replicas take the data ports from {data} on and the admin ports from {admin} on, \
             which overlap: choose ports that are at least {replicas} apart"
        )));
    }
    Ok(())
}

// === impl DemoStore ===

impl DemoStore {
    pub(super) fn of(options: &DemoOptions, now: SystemTime) -> Self {
        match (options.shared(), options.replicas()) {
            (Some(_url), _) => Self::Server,
            (None, 1) => Self::None,
            (None, _) => {
                let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
                Self::Memory(Arc::new(MemorySharedStore::new(now)))
            }
        }
    }

    /// What a replica with these settings is built with.
    pub(super) fn backend(&self, settings: &Settings) -> Result<Option<SharedBackend>, Failure> {
        match self {
            Self::None => Ok(None),
            Self::Memory(store) => Ok(Some(SharedBackend::Store(Arc::<MemorySharedStore>::clone(store)))),
            Self::Server => serve::shared_backend(settings),
        }
    }

    /// Where it is, without a password.
    pub(super) fn place(&self, settings: &Settings) -> String {
        match (self, settings.shared.location(), settings.namespace()) {
            (Self::Server, Some(StoreLocation::Url(url)), Some(namespace)) => {
                format!("{url}, keys \"lrp:{{{}}}:*\"", namespace.as_str())
            }
            (Self::None | Self::Memory(_) | Self::Server, _, _) => "the memory of this process".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(data: &str, admin: &str) -> Settings {
        let environment = [
            ("LINK_REPORT_PROXY__SERVER__LISTEN", data),
            ("LINK_REPORT_PROXY__ADMIN__LISTEN", admin),
            ("LINK_REPORT_PROXY__TOKEN__ACCESS_TOKEN", "x"),
        ];
        Settings::load(None, environment).unwrap()
    }

    fn numbers(data: &str, admin: &str, replicas: u16) -> Result<Vec<(u16, u16)>, String> {
        let ports = ports(&settings(data, admin), replicas).map_err(|failure| failure.to_string())?;
        Ok(ports.iter().map(|ports| (ports.data.port(), ports.admin.port())).collect())
    }

    #[test]
    fn each_replica_has_the_next_ports_or_any_free_ones() {
        let three = vec![(8080, 9090), (8081, 9091), (8082, 9092)];
        assert_eq!(numbers("127.0.0.1:8080", "127.0.0.1:9090", 3), Ok(three));
        assert_eq!(numbers("127.0.0.1:0", "127.0.0.1:0", 2), Ok(vec![(0, 0); 2]));
        assert_eq!(numbers("127.0.0.1:8080", "127.0.0.1:0", 2), Ok(vec![(8080, 0), (8081, 0)]));
    }

    #[test]
    fn ports_that_do_not_exist_or_overlap_are_refused_by_their_setting() {
        for (data, admin, key) in [
            ("127.0.0.1:65534", "127.0.0.1:9090", "server.listen: "),
            ("127.0.0.1:8080", "127.0.0.1:65535", "admin.listen: "),
            ("127.0.0.1:8080", "127.0.0.1:8082", "admin.listen: "),
            ("127.0.0.1:8080", "127.0.0.1:8078", "admin.listen: "),
        ] {
            let refused = numbers(data, admin, 3).unwrap_err();
            assert!(refused.starts_with(key), "{refused}");
        }
        assert!(numbers("127.0.0.1:8080", "127.0.0.1:8083", 3).is_ok());
    }
}
