//! Which `token.*` keys each source needs, and which it does not use.

use super::enums::TokenSourceKind;
use super::model::{State, Token};
use super::problem::SettingProblems;
use super::secret_file::SecretFile;

/// Adds a problem for each rule that is broken.
pub(super) fn check(token: &Token, state: &State, problems: &mut SettingProblems) {
    let both = [
        ("access_token", token.access_token.is_some(), token.access_token_file.as_ref()),
        ("client_secret", token.client_secret.is_some(), token.client_secret_file.as_ref()),
        ("refresh_token", token.refresh_token.is_some(), token.refresh_token_file.as_ref()),
    ];
    let mut clear = true;
    for (key, is_set, file) in both {
        if is_set && file.is_some() {
            let said = format!("is set and so is token.{key}: set one of the two");
            problems.add(&format!("token.{key}_file"), said);
            clear = false;
        }
    }
    // One kind of problem at a time: with a key too many set, what else seems to be missing would mislead.
    if !clear {
        return;
    }
    for (key, source) in token.misplaced() {
        let (ours, needed) = (token.source.as_str(), token.source.key());
        let said = format!(
            "is not used by token.source = \"{ours}\", which takes {needed}: leave it out, or set token.source = \"{}\"",
            source.as_str()
        );
        problems.add(key, said);
    }
    if token.misplaced().next().is_some() {
        return;
    }
    token.needs(state, problems);
    for (key, file) in [
        ("token.access_token_file", &token.access_token_file),
        ("token.client_secret_file", &token.client_secret_file),
        ("token.refresh_token_file", &token.refresh_token_file),
    ] {
        SecretFile::check(file.as_ref(), key, problems);
    }
}

// === impl TokenSourceKind ===

impl TokenSourceKind {
    /// The key that it needs in the first place.
    const fn key(self) -> &'static str {
        match self {
            Self::Static => "token.access_token",
            Self::File => "token.access_token_file",
            Self::Refresh => "token.refresh_token",
        }
    }
}

// === impl Token ===

impl Token {
    /// The keys that are set for another source, each with the source that uses it.
    fn misplaced(&self) -> impl Iterator<Item = (&'static str, TokenSourceKind)> {
        let keys = [
            ("token.access_token", self.access_token.is_some(), TokenSourceKind::Static),
            ("token.access_token_file", self.access_token_file.is_some(), TokenSourceKind::File),
            ("token.refresh_token", self.refresh_token.is_some(), TokenSourceKind::Refresh),
            ("token.refresh_token_file", self.refresh_token_file.is_some(), TokenSourceKind::Refresh),
        ];
        let ours = self.source;
        keys.into_iter()
            .filter(move |(_, is_set, source)| *is_set && *source != ours)
            .map(|(key, _, source)| (key, source))
    }

    fn needs(&self, state: &State, problems: &mut SettingProblems) {
        match self.source {
            TokenSourceKind::Static if self.access_token.is_none() => problems.add(
                "token.access_token",
                "is missing: set it in the environment, or set token.source = \"file\" or \"refresh\" and the keys they need",
            ),
            TokenSourceKind::File if self.access_token_file.is_none() => problems.add(
                "token.access_token_file",
                "is missing: token.source = \"file\" reads the token from it",
            ),
            TokenSourceKind::Refresh => {
                if self.client_id.is_none() {
                    problems.add(
                        "token.client_id",
                        "is missing: token.source = \"refresh\" renews the token of an application: set its API key",
                    );
                }
                let seed = self.refresh_token.is_some() || self.refresh_token_file.is_some();
                if !seed && state.dir.is_none() {
                    problems.add(
                        "token.refresh_token",
                        "is missing: set it or token.refresh_token_file, or set state.dir and run \"login\"",
                    );
                }
            }
            TokenSourceKind::Static | TokenSourceKind::File => {}
        }
    }
}
