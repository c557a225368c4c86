//! The operator's settings: every key with its type, the layers it may come from, and why settings are refused.
//!
//! Knows the names of the keys, how their values are written, and the files that hold secrets. Must never know what
//! a setting is for: no socket is opened and no task is spawned here, so that `check` can load and check the settings
//! of a machine on which nothing else works.
//!
//! Later layers win: `config/default.toml` (compiled in), the file of `--config`, the environment
//! (`LINK_REPORT_PROXY__CACHE__TTL=5m`). Everything wrong is reported at once, one line a key.

mod activity_names;
mod check;
mod client_tokens;
#[cfg(test)]
mod default_keys;
mod enums;
mod host_port;
mod load;
mod model;
mod namespace;
mod origins;
#[cfg(test)]
mod plan_tests;
mod printable;
mod problem;
#[cfg(test)]
mod reference_tests;
mod reload;
mod scalar;
mod seal_keys;
mod secret_file;
mod secret_watch;
mod section;
mod shared;
#[cfg(test)]
mod shared_tests;
mod store_url;
#[cfg(test)]
mod tests;
mod token;
mod url;

pub use activity_names::NamedActivities;
pub use client_tokens::ClientToken;
pub(crate) use enums::{ClientNoCache, HostName, LogFormat, TokenSourceKind};
pub use enums::{DerivationMode, ProbeMode, RefreshMode};
pub use host_port::HostPort;
pub(crate) use load::DEFAULTS;
pub use load::SettingsSources;
pub use model::Settings;
pub(crate) use model::{Cache, Circuit, Clients, Cors, Quota};
pub use namespace::StoreNamespace;
pub(crate) use origins::{CONFIG_VARIABLE, variable};
pub use origins::{SettingOrigin, StrayVariable};
pub(crate) use printable::is_printable;
pub use problem::SettingsError;
pub use reload::ReloadedSettings;
pub use seal_keys::{SealKeyBytes, SealKeys};
pub use secret_file::SecretFile;
pub(crate) use secret_file::{SecretContent, SecretFileError};
pub(crate) use secret_watch::{SecretWatch, WATCH_INTERVAL};
pub use shared::StoreLocation;
pub use store_url::{StoreEncryption, StorePlace, StoreUrl};
pub(crate) use url::BaseUrl;
