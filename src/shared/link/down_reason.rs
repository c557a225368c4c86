//! Why the link is down.

/// Why operations on the store fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum DownReason {
    /// The process has just started.
    NotYetConnected,
    /// `shared.url_file` cannot be read.
    UrlFile,
    /// Its name cannot be resolved.
    UnknownHost,
    /// No TCP connection, or no unix socket.
    Unreachable,
    /// No TLS: its certificate is not trusted, or it speaks none.
    Tls,
    /// It did not reply in time.
    TimedOut,
    /// It closed the connection.
    Lost,
    /// It replied with something that is not a reply.
    Malformed,
    /// It refused the connection with an error that is not in this list.
    Rejected,
    /// It is a replica.
    Replica,
    /// It is loading its data.
    Loading,
    /// It is a replica whose primary is down.
    PrimaryDown,
    /// It has fewer replicas than it must have to accept writes.
    TooFewReplicas,
    /// It cannot write to its disk.
    DiskFailing,
    /// Its memory is full.
    OutOfMemory,
    /// Its ACL does not permit an operation.
    NotPermitted,
    /// The user or the password is wrong, or it has none.
    WrongPassword,
    /// It needs a password.
    PasswordMissing,
    /// A script has been running for longer than it should.
    Busy,
    /// The cluster is down.
    ClusterDown,
    /// The cluster is moving our slot to another node.
    SlotMoving,
    /// The nodes of the cluster refer to one another.
    Redirects,
    /// No sentinel knows a primary.
    NoPrimary,
}

// === impl DownReason ===

impl DownReason {
    /// Each with the word with which the server says it.
    const WORDS: [(&'static str, Self); 13] = [
        ("READONLY", Self::Replica),
        ("LOADING", Self::Loading),
        ("MASTERDOWN", Self::PrimaryDown),
        ("NOREPLICAS", Self::TooFewReplicas),
        ("MISCONF", Self::DiskFailing),
        ("OOM", Self::OutOfMemory),
        ("NOPERM", Self::NotPermitted),
        ("WRONGPASS", Self::WrongPassword),
        ("NOAUTH", Self::PasswordMissing),
        ("BUSY", Self::Busy),
        ("CLUSTERDOWN", Self::ClusterDown),
        ("ASK", Self::SlotMoving),
        ("TRYAGAIN", Self::SlotMoving),
    ];
    /// How Redis 7 says that the ACL does not permit a command inside a script: with the word ERR.
    const NOT_PERMITTED_IN_SCRIPT: &'static str = "The user executing the script can't";

    /// How it says that there is a password in the URL and none on the server.
    const NO_PASSWORD: &'static str = "without any password configured";

    /// What an error reply says of the whole store; `None`: it concerns its command alone.
    pub(super) fn of_error(word: &str, detail: &str) -> Option<Self> {
        if let Some((_, reason)) = Self::WORDS.iter().find(|(known, _)| *known == word) {
            return Some(*reason);
        }
        // Redis 6.2 puts an error inside a script behind its own: "ERR Error running script …: -OOM command not allowed".
        let inner = Self::WORDS.iter().find(|(known, _)| detail.contains(&format!("-{known} ")));
        let others =
            [(Self::NOT_PERMITTED_IN_SCRIPT, Self::NotPermitted), (Self::NO_PASSWORD, Self::WrongPassword)];
        inner.or_else(|| others.iter().find(|(text, _)| detail.contains(text))).map(|(_, reason)| *reason)
    }

    /// Whether one is enough: the server said it, and would say it again.
    pub(super) const fn is_certain(self) -> bool {
        match self {
            Self::TimedOut | Self::Lost | Self::Malformed | Self::Unreachable | Self::Redirects => false,
            Self::NotYetConnected
            | Self::UrlFile
            | Self::UnknownHost
            | Self::Tls
            | Self::Rejected
            | Self::Replica
            | Self::Loading
            | Self::PrimaryDown
            | Self::TooFewReplicas
            | Self::DiskFailing
            | Self::OutOfMemory
            | Self::NotPermitted
            | Self::WrongPassword
            | Self::PasswordMissing
            | Self::Busy
            | Self::ClusterDown
            | Self::SlotMoving
            | Self::NoPrimary => true,
        }
    }

    /// The word in logs and on the admin port.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::NotYetConnected => "not_yet_connected",
            Self::UrlFile => "url_file",
            Self::UnknownHost => "unknown_host",
            Self::Unreachable => "unreachable",
            Self::Tls => "tls",
            Self::TimedOut => "timed_out",
            Self::Lost => "connection_lost",
            Self::Malformed => "malformed_reply",
            Self::Rejected => "rejected",
            Self::Replica => "replica",
            Self::Loading => "loading",
            Self::PrimaryDown => "primary_down",
            Self::TooFewReplicas => "too_few_replicas",
            Self::DiskFailing => "disk_failing",
            Self::OutOfMemory => "out_of_memory",
            Self::NotPermitted => "not_permitted",
            Self::WrongPassword => "wrong_password",
            Self::PasswordMissing => "password_missing",
            Self::Busy => "busy",
            Self::ClusterDown => "cluster_down",
            Self::SlotMoving => "slot_moving",
            Self::Redirects => "redirects",
            Self::NoPrimary => "no_primary",
        }
    }

    /// A sentence for an operator.
    pub(crate) const fn explanation(self) -> &'static str {
        match self {
            Self::NotYetConnected => "there was no connection yet",
            Self::UrlFile => "shared.url_file cannot be read",
            Self::UnknownHost => "its host name cannot be resolved",
            Self::Unreachable => "it cannot be connected to",
            Self::Tls => "there is no trusted TLS connection to it: see shared.ca_file",
            Self::TimedOut => "it did not reply within shared.timeout",
            Self::Lost => "it closed the connection",
            Self::Malformed => "what it replied is not the Redis protocol",
            Self::Rejected => "it refused the connection",
            Self::Replica => "it is a replica (READONLY): the primary is elsewhere",
            Self::Loading => "it is loading its data (LOADING)",
            Self::PrimaryDown => "it is a replica whose primary is down (MASTERDOWN)",
            Self::TooFewReplicas => "it has too few replicas to accept writes (NOREPLICAS)",
            Self::DiskFailing => "it cannot write to its disk (MISCONF)",
            Self::OutOfMemory => "its memory is full (OOM): raise maxmemory",
            Self::NotPermitted => "its ACL does not permit an operation (NOPERM)",
            Self::WrongPassword => {
                "the user or the password in shared.url is wrong (WRONGPASS), or the store has none"
            }
            Self::PasswordMissing => "it needs a password in shared.url (NOAUTH)",
            Self::Busy => "a script blocks it (BUSY)",
            Self::ClusterDown => "its cluster is down (CLUSTERDOWN)",
            Self::SlotMoving => "its cluster is moving the keys to another node",
            Self::Redirects => "the nodes of its cluster refer to one another (MOVED)",
            Self::NoPrimary => "no sentinel knows the primary of the service in shared.url",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_known_by_its_word_also_inside_a_script_s_error() {
        for (word, detail, reason) in [
            ("READONLY", "You can't write against a read only replica.", Some(DownReason::Replica)),
            (
                "ERR",
                "Error running script (call to f_x): @user_script:1: -OOM command not allowed",
                Some(DownReason::OutOfMemory),
            ),
            (
                "ERR",
                "The user executing the script can't run this command or subcommand script: x",
                Some(DownReason::NotPermitted),
            ),
            ("ERR", "wrong number of arguments", None),
            ("WRONGTYPE", "Operation against a key holding the wrong kind of value", None),
        ] {
            assert_eq!(DownReason::of_error(word, detail), reason, "{word} {detail}");
        }
    }
}
