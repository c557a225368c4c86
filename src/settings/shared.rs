//! `shared.*`: which keys go together.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::enums::TokenSourceKind;
use super::model::{Settings, SharedSettings};
use super::namespace::StoreNamespace;
use super::problem::SettingProblems;
use super::secret_file::{SecretFile, SecretFileError};
use super::store_url::{StoreEncryption, StoreUrl};

/// A miss waits for the store: with more than some seconds, it would better do without.
const TIMEOUTS: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(5);

/// Where the store's URL is set.
#[derive(Clone, Debug)]
pub enum StoreLocation {
    /// `shared.url`
    Url(StoreUrl),
    /// `shared.url_file`: read at each connect, so that a password can be changed.
    File(SecretFile<StoreUrl>),
}

/// Adds a problem for each rule that is broken.
pub(super) fn check(settings: &Settings, problems: &mut SettingProblems) {
    let shared = &settings.shared;
    if !TIMEOUTS.contains(&shared.timeout) {
        problems.add("shared.timeout", "must be a time from 1ms to 5s");
    }
    if shared.url.is_some() && shared.url_file.is_some() {
        problems.add("shared.url_file", "is set and so is shared.url: set one of the two");
        return;
    }
    let Some(location) = shared.location() else {
        return unused(shared, problems);
    };
    SecretFile::check(shared.key_file.as_ref(), "shared.key_file", problems);
    if shared.key_file.is_none() && settings.token.source == TokenSourceKind::Refresh {
        problems.add(
            "shared.key_file",
            "is missing: with token.source = \"refresh\" the replicas share the token, sealed with this key (make it with openssl rand -hex 32, the same for all replicas): without it, the first renewal of a refresh token that rotates ends it for the other replicas",
        );
    }
    if settings.namespace().is_none() {
        problems.add(
            "shared.namespace",
            "is missing: its default is made of token.client_id, which is not set: give the replicas of one API key the same name",
        );
    }
    match location.read() {
        Err(error) => problems.add("shared.url_file", format!("{error}; correct the path or the file")),
        Ok(url) if shared.ca_file.is_some() && url.encryption() == StoreEncryption::None => {
            problems.add("shared.ca_file", "is not used without TLS: the store's URL must begin with rediss");
        }
        Ok(_) => {}
    }
}

/// Without a store.
fn unused(shared: &SharedSettings, problems: &mut SettingProblems) {
    let keys = [
        ("shared.namespace", shared.namespace.is_some()),
        ("shared.key_file", shared.key_file.is_some()),
        ("shared.ca_file", shared.ca_file.is_some()),
    ];
    for (key, _) in keys.into_iter().filter(|(_, is_set)| *is_set) {
        problems
            .add(key, "is not used without shared.url or shared.url_file: set one of them, or leave it out");
    }
}

// === impl Settings ===

impl Settings {
    /// `shared.namespace`, or the default: the same for all replicas of one application that call the same API. `None`:
    /// there is no default, since the application is not known.
    pub fn namespace(&self) -> Option<StoreNamespace> {
        if self.shared.namespace.is_some() {
            return self.shared.namespace.clone();
        }
        let client_id = self.token.client_id.as_deref()?;
        Some(StoreNamespace::of_application(client_id, &self.upstream.base_url))
    }
}

// === impl SharedSettings ===

impl SharedSettings {
    /// Where the store's URL is; `None`: this replica shares nothing.
    pub fn location(&self) -> Option<StoreLocation> {
        match (&self.url, &self.url_file) {
            (Some(url), _) => Some(StoreLocation::Url(url.clone())),
            (None, Some(file)) => Some(StoreLocation::File(file.clone())),
            (None, None) => None,
        }
    }
}

// === impl StoreLocation ===

impl StoreLocation {
    /// The URL, read now, on this thread, if it is in a file.
    ///
    /// # Errors
    /// If the file cannot be read, or holds no URL of a store.
    pub fn read(&self) -> Result<StoreUrl, SecretFileError> {
        match self {
            Self::Url(url) => Ok(url.clone()),
            Self::File(file) => file.read(),
        }
    }
}
