//! Notices when the settings file changes, or a SIGHUP, and has the app take over the new settings.

use std::{future::pending, sync::Arc};

use ring::digest::{SHA256, digest};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::{signal::unix::Signal, task::spawn_blocking, time::sleep};

use crate::{
    app::{LiveSettings, ReloadError},
    settings::{SettingsError, SettingsSources, WATCH_INTERVAL},
};

/// Compares the content of the file, never its inode or time: Kubernetes swaps a symlink two levels up.
pub(super) struct ConfigWatch {
    sources: SettingsSources,
    /// What the last attempt has read.
    tried: Content,
    /// What the last read has found, if that is not what the last attempt has read.
    seen: Option<Content>,
    /// Why the last attempt was refused, if it was: each second it is made again, since a file that the settings name may
    /// come after them.
    refused: Option<String>,
}

/// What a read has found: the file's hash, since it may hold secrets, or why it cannot be read.
#[derive(Debug, PartialEq, Eq)]
enum Content {
    Text(Vec<u8>),
    Unreadable(String),
}

/// Why the settings are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Occasion {
    /// It is time to look at the file.
    Interval,
    /// SIGHUP.
    Signal,
}

// === impl Content ===

impl Content {
    fn of(read: &Result<Option<SecretString>, SettingsError>) -> Self {
        match read {
            Ok(text) => {
                let text = text.as_ref().map_or("", |text| text.expose_secret());
                Self::Text(digest(&SHA256, text.as_bytes()).as_ref().to_vec())
            }
            Err(error) => Self::Unreadable(error.to_string()),
        }
    }
}

// === impl ConfigWatch ===

impl ConfigWatch {
    /// Watches from this content of the file on.
    pub(super) fn new(sources: SettingsSources, text: Option<SecretString>) -> Self {
        Self { sources, tried: Content::of(&Ok(text)), seen: None, refused: None }
    }

    /// Reloads the settings of `live` at each change and each `hangup`. Never ends.
    pub(super) async fn run(mut self, live: Arc<LiveSettings>, mut hangup: Signal) {
        loop {
            let interval = async {
                match self.sources.file() {
                    Some(_) => sleep(WATCH_INTERVAL).await,
                    None => pending().await,
                }
            };
            let occasion = tokio::select! {
                () = interval => Occasion::Interval,
                Some(()) = hangup.recv() => Occasion::Signal,
            };
            self.look(occasion, &live).await;
        }
    }

    async fn look(&mut self, occasion: Occasion, live: &Arc<LiveSettings>) {
        let sources = self.sources.clone();
        // Not on a worker: a mounted file can hang.
        let Ok(read) = spawn_blocking(move || sources.read()).await else { return };
        let content = Content::of(&read);
        let is_new = content != self.tried;
        match occasion {
            // Two reads have to agree: a file that is written in place can be read half written, and still be valid.
            Occasion::Interval if is_new && self.seen.as_ref() != Some(&content) => {
                self.seen = Some(content);
                return;
            }
            Occasion::Interval if !is_new && self.refused.is_none() => {
                self.seen = None;
                return;
            }
            Occasion::Interval | Occasion::Signal => {}
        }
        (self.tried, self.seen) = (content, None);
        let (sources, reloaded) = (self.sources.clone(), Arc::clone(live));
        let reloaded = spawn_blocking(move || {
            let origins = read.as_ref().map(|text| sources.origins(text.as_ref())).unwrap_or_default();
            reloaded.reload(read.and_then(|text| sources.parse(text.as_ref())))?;
            reloaded.come_from(origins);
            Ok(())
        });
        match reloaded.await {
            Ok(Ok(())) => {
                self.refused = None;
                live.plan_again().await;
            }
            Ok(Err(refused)) => self.tell(occasion, &refused),
            Err(error) => tracing::error!(%error, "the settings could not be reloaded"),
        }
    }

    /// Logs why the settings are refused: once for each reason, and after each SIGHUP.
    fn tell(&mut self, occasion: Occasion, refused: &ReloadError) {
        let why = refused.to_string().replace('\n', "; ");
        if self.refused.as_ref() != Some(&why) || occasion == Occasion::Signal {
            tracing::error!(error = why, "the changed settings are refused, and those before stay in force");
        }
        self.refused = Some(why);
    }
}
