//! `shared.url`: where Redis or Valkey is, and as whom to log in.

use std::fmt;
use std::path::PathBuf;

use percent_encoding::percent_decode_str;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value as Json;

use super::host_port::HostPort;
use super::printable::is_printable;
use super::secret_file::{SecretContent, SecretFileError};
use super::section::Scalar;

const REDIS_PORT: u16 = 6379;
const SENTINEL_PORT: u16 = 26379;
/// Redis has 16 databases unless it is told otherwise.
const MOST_DATABASES: u32 = 10_000;

/// A store's URL. Its `Debug` and its shown form have no password.
#[derive(Clone, Debug)]
pub struct StoreUrl {
    /// Where to connect.
    pub place: StorePlace,
    /// The ACL user; `None`: Redis's `default`.
    pub user: Option<String>,
    /// `None`: the store asks for none.
    pub password: Option<SecretString>,
    /// The number of the database.
    pub database: u32,
}

/// Where a store is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StorePlace {
    /// `redis://`, `rediss://`: one server, or one node of a cluster.
    Server(HostPort, StoreEncryption),
    /// `unix://`
    Socket(PathBuf),
    /// `redis+sentinel://`, `rediss+sentinel://`: the sentinels know the primary of this service.
    Sentinels(Vec<HostPort>, String, StoreEncryption),
}

/// Whether a connection is encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreEncryption {
    /// Plain TCP.
    None,
    /// TLS.
    Tls,
}

/// Why a store's URL is refused. What was written is not repeated: it may hold a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidStoreUrl {
    /// Another scheme, or none.
    #[error(
        "must begin with redis://, rediss:// (TLS), unix://, redis+sentinel:// or rediss+sentinel://: write it like rediss://user:password@valkey.example:6379"
    )]
    Scheme,
    /// No host, or one that is none.
    #[error("holds no valid host and port: write it like rediss://user:password@valkey.example:6379")]
    Host,
    /// A user or a password with a bad escape.
    #[error(
        "holds a user or a password with a % that is not followed by two hexadecimal digits, or is not text"
    )]
    Credentials,
    /// A user and no password.
    #[error("holds a user without a password: write user:password@")]
    PasswordMissing,
    /// What follows the host is not a database's number.
    #[error("must end after the host and port, or after the number of the database")]
    Database,
    /// No service after the sentinels' hosts.
    #[error("names no service: write it like redis+sentinel://one.example,two.example/mymaster")]
    Service,
    /// A query or a fragment.
    #[error("must hold no ? and no #: in a password write them as %3F and %23")]
    Query,
    /// `unix://` without an absolute path.
    #[error("holds no absolute path: write it like unix:///run/valkey/valkey.sock")]
    Path,
}

// === impl StoreUrl ===

impl StoreUrl {
    /// Whether connections are encrypted.
    pub const fn encryption(&self) -> StoreEncryption {
        match self.place {
            StorePlace::Server(_, encryption) | StorePlace::Sentinels(_, _, encryption) => encryption,
            StorePlace::Socket(_) => StoreEncryption::None,
        }
    }
}

impl TryFrom<&str> for StoreUrl {
    type Error = InvalidStoreUrl;

    fn try_from(text: &str) -> Result<Self, InvalidStoreUrl> {
        let (scheme, rest) = text.split_once("://").ok_or(InvalidStoreUrl::Scheme)?;
        let scheme = scheme.to_ascii_lowercase().replace("valkey", "redis");
        if rest.contains(['?', '#']) {
            return Err(InvalidStoreUrl::Query);
        }
        // The last @: a password may hold another one unescaped.
        let (login, rest) = rest.rsplit_once('@').map_or((None, rest), |(login, rest)| (Some(login), rest));
        let (user, password) = login.map_or(Ok((None, None)), credentials)?;
        let (hosts, path) = rest.split_once('/').map_or((rest, ""), |(hosts, path)| (hosts, path));
        let one = |encryption| {
            let server = StorePlace::Server(server(hosts, REDIS_PORT)?, encryption);
            Ok((server, database(path)?))
        };
        let (place, database) = match scheme.as_str() {
            "redis" => one(StoreEncryption::None)?,
            "rediss" => one(StoreEncryption::Tls)?,
            "redis+sentinel" => sentinels(hosts, path, StoreEncryption::None)?,
            "rediss+sentinel" => sentinels(hosts, path, StoreEncryption::Tls)?,
            "unix" | "redis+unix" if hosts.is_empty() && !path.is_empty() => {
                (StorePlace::Socket(format!("/{}", decode(path)?).into()), 0)
            }
            "unix" | "redis+unix" => return Err(InvalidStoreUrl::Path),
            _ => return Err(InvalidStoreUrl::Scheme),
        };
        Ok(Self { place, user, password, database })
    }
}

impl fmt::Display for StoreUrl {
    /// With `[redacted]` for the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let secure = match self.encryption() {
            StoreEncryption::None => "",
            StoreEncryption::Tls => "s",
        };
        match self.place {
            StorePlace::Server(..) => write!(f, "redis{secure}://")?,
            StorePlace::Socket(_) => f.write_str("unix://")?,
            StorePlace::Sentinels(..) => write!(f, "redis{secure}+sentinel://")?,
        }
        if self.password.is_some() {
            write!(f, "{}:[redacted]@", self.user.as_deref().unwrap_or_default())?;
        }
        match &self.place {
            StorePlace::Server(server, _) => write!(f, "{server}")?,
            StorePlace::Socket(path) => return write!(f, "{}", path.display()),
            StorePlace::Sentinels(hosts, service, _) => {
                let hosts: Vec<_> = hosts.iter().map(ToString::to_string).collect();
                write!(f, "{}/{service}", hosts.join(","))?;
            }
        }
        if self.database == 0 { Ok(()) } else { write!(f, "/{}", self.database) }
    }
}

impl Scalar for StoreUrl {
    fn parse(text: &str) -> Result<Self, String> {
        if !is_printable(text) {
            return Err("holds a space, a control character or one that is not ASCII".to_owned());
        }
        Self::try_from(text).map_err(|error| error.to_string())
    }

    fn show(&self) -> Json {
        self.to_string().into()
    }

    fn is_same(&self, other: &Self) -> bool {
        let password = |url: &Self| url.password.as_ref().map(|held| held.expose_secret().to_owned());
        self.to_string() == other.to_string() && password(self) == password(other)
    }
}

impl SecretContent for StoreUrl {
    fn parse(text: &str) -> Result<Self, SecretFileError> {
        let url = <SecretString as SecretContent>::parse(text)?;
        Self::try_from(url.expose_secret())
            .map_err(|error| SecretFileError::Malformed(format!("the file's URL {error}")))
    }
}

fn credentials(login: &str) -> Result<(Option<String>, Option<SecretString>), InvalidStoreUrl> {
    let (user, password) = login.split_once(':').ok_or(InvalidStoreUrl::PasswordMissing)?;
    if password.is_empty() {
        return Err(InvalidStoreUrl::PasswordMissing);
    }
    let user = (!user.is_empty()).then(|| decode(user)).transpose()?;
    Ok((user, Some(decode(password)?.into())))
}

fn sentinels(
    hosts: &str,
    path: &str,
    encryption: StoreEncryption,
) -> Result<(StorePlace, u32), InvalidStoreUrl> {
    let hosts = hosts.split(',').map(|host| server(host, SENTINEL_PORT)).collect::<Result<_, _>>()?;
    let (service, number) = path.split_once('/').unwrap_or((path, ""));
    if service.is_empty() {
        return Err(InvalidStoreUrl::Service);
    }
    Ok((StorePlace::Sentinels(hosts, decode(service)?, encryption), database(number)?))
}

fn server(text: &str, default_port: u16) -> Result<HostPort, InvalidStoreUrl> {
    HostPort::parse(text, default_port).ok_or(InvalidStoreUrl::Host)
}

fn database(path: &str) -> Result<u32, InvalidStoreUrl> {
    if path.is_empty() {
        return Ok(0);
    }
    path.parse().ok().filter(|number| *number < MOST_DATABASES).ok_or(InvalidStoreUrl::Database)
}

fn decode(text: &str) -> Result<String, InvalidStoreUrl> {
    let mut after = text.split('%').skip(1);
    let hex = |rest: &str| rest.len() >= 2 && rest.bytes().take(2).all(|byte| byte.is_ascii_hexdigit());
    if !after.all(hex) {
        return Err(InvalidStoreUrl::Credentials);
    }
    let decoded = percent_decode_str(text).decode_utf8().map_err(|_| InvalidStoreUrl::Credentials)?;
    Ok(decoded.into_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(text: &str) -> String {
        StoreUrl::try_from(text).unwrap().to_string()
    }

    #[test]
    fn a_url_of_each_kind_is_read_and_shown_without_its_password() {
        for (text, redacted) in [
            ("redis://valkey", "redis://valkey:6379"),
            ("rediss://lrp:hush@valkey.example:6380", "rediss://lrp:[redacted]@valkey.example:6380"),
            ("valkeys://:hush@10.0.0.1/3", "rediss://:[redacted]@10.0.0.1:6379/3"),
            ("redis://u:hu@sh@[::1]:7000/0", "redis://u:[redacted]@[::1]:7000"),
            ("unix:///run/valkey.sock", "unix:///run/valkey.sock"),
            ("unix://u:hush@/run/valkey.sock", "unix://u:[redacted]@/run/valkey.sock"),
            ("redis+sentinel://:hush@a,b:1/main", "redis+sentinel://:[redacted]@a:26379,b:1/main"),
            ("rediss+sentinel://a/main/2", "rediss+sentinel://a:26379/main/2"),
        ] {
            assert_eq!(shown(text), redacted);
            let debug = format!("{:?}", StoreUrl::try_from(text).unwrap());
            assert!(!debug.contains("hush") && !debug.contains("hu@sh"), "{debug}");
        }
    }

    #[test]
    fn a_password_may_hold_escapes() {
        let url = StoreUrl::try_from("redis://us%3Aer:p%40ss%2Fw%25+rd@h").unwrap();
        assert_eq!(url.user.as_deref(), Some("us:er"));
        assert_eq!(url.password.unwrap().expose_secret(), "p@ss/w%+rd");
    }

    #[test]
    fn what_is_no_store_s_url_is_refused_by_name() {
        for (text, error) in [
            ("valkey:6379", InvalidStoreUrl::Scheme),
            ("http://valkey", InvalidStoreUrl::Scheme),
            ("redis://", InvalidStoreUrl::Host),
            ("redis://a b", InvalidStoreUrl::Host),
            ("redis://a:0", InvalidStoreUrl::Host),
            ("redis://a:70000", InvalidStoreUrl::Host),
            ("redis://a,b", InvalidStoreUrl::Host),
            ("redis://[::g]", InvalidStoreUrl::Host),
            ("redis://[::1]x", InvalidStoreUrl::Host),
            ("redis://user@a", InvalidStoreUrl::PasswordMissing),
            ("redis://user:@a", InvalidStoreUrl::PasswordMissing),
            ("redis://u:p%4@a", InvalidStoreUrl::Credentials),
            ("redis://u:p%ff@a", InvalidStoreUrl::Credentials),
            ("redis://a/x", InvalidStoreUrl::Database),
            ("redis://a/1/2", InvalidStoreUrl::Database),
            ("redis://a?db=1", InvalidStoreUrl::Query),
            ("rediss://a#insecure", InvalidStoreUrl::Query),
            ("redis+sentinel://a", InvalidStoreUrl::Service),
            ("redis+sentinel://a/", InvalidStoreUrl::Service),
            ("unix://run/valkey.sock", InvalidStoreUrl::Path),
            ("unix://", InvalidStoreUrl::Path),
        ] {
            assert_eq!(StoreUrl::try_from(text).unwrap_err(), error, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_read_is_read_again_as_it_is_shown(text in "(redis|unix|rediss\\+sentinel)://[a-z0-9.:,/\\[\\]%]{0,30}") {
            if let Ok(url) = StoreUrl::try_from(text.as_str()) {
                let again = StoreUrl::try_from(url.to_string().as_str()).map(|again| again.place);
                let escaped = text.contains('%');
                prop_assert!(escaped || again == Ok(url.place));
            }
        }

        #[test]
        fn any_password_can_be_written(password in ".+") {
            let escaped: String = password.bytes().map(|byte| format!("%{byte:02X}")).collect();
            let url = StoreUrl::try_from(format!("redis://user:{escaped}@host").as_str()).unwrap();
            let read = url.password.unwrap();
            prop_assert_eq!(read.expose_secret(), password);
        }
    }
}
