//! Chooses the refresh token: the one in the store, the one in the settings (the seed), or one from a login. Pure.

use secrecy::SecretString;

use super::outcome::same;
use crate::state::{Fingerprint, Rotation, TokenRecord};

/// How many replaced tokens are kept: the latest two, and the oldest, which is the one that has worked.
const REPLACED_KEPT: usize = 3;

/// The result of a comparison.
#[derive(Debug)]
pub(super) enum SeedChoice {
    /// The store's record stays: nothing is to be written.
    Kept,
    /// A new record: to be written before it is used.
    Begun(Box<TokenRecord>),
}

/// Compares the settings' refresh token with the store's record: the store wins unless the settings have changed.
pub(super) fn seeded(stored: Option<&TokenRecord>, seed: Option<&SecretString>) -> SeedChoice {
    let Some(seed) = seed else { return SeedChoice::Kept };
    let fingerprint = Some(Fingerprint::of(seed));
    if stored.is_some_and(|stored| stored.seed == fingerprint || is_former(stored, fingerprint.as_ref())) {
        return SeedChoice::Kept;
    }
    SeedChoice::Begun(Box::new(TokenRecord {
        seed: fingerprint,
        login_fingerprint: stored.and_then(|stored| stored.login_fingerprint.clone()),
        replaced: replaced_by(seed, stored),
        ..TokenRecord::new(seed.clone())
    }))
}

/// Compares a login's tokens with the store's record: the login wins, unless it was installed before.
pub(super) fn login_fingerprint(
    stored: Option<&TokenRecord>,
    seed: Option<&SecretString>,
    left: TokenRecord,
) -> SeedChoice {
    let fingerprint = Some(Fingerprint::of(&left.refresh_token));
    if stored.is_some_and(|stored| {
        stored.login_fingerprint == fingerprint || is_former(stored, fingerprint.as_ref())
    }) {
        return SeedChoice::Kept;
    }
    // The settings' token counts as older than the login, even if it has changed.
    let seed = seed.map(Fingerprint::of).or_else(|| stored.and_then(|stored| stored.seed.clone()));
    let replaced = replaced_by(&left.refresh_token, stored);
    SeedChoice::Begun(Box::new(TokenRecord { seed, login_fingerprint: fingerprint, replaced, ..left }))
}

/// Another replica's settings may still have it, in a rollout.
fn is_former(stored: &TokenRecord, fingerprint: Option<&Fingerprint>) -> bool {
    fingerprint.is_some_and(|fingerprint| stored.former.contains(fingerprint))
}

/// The refresh tokens to fall back to until the new one has worked: the store's, and those that it replaced if it has not
/// worked either.
fn replaced_by(newcomer: &SecretString, stored: Option<&TokenRecord>) -> Vec<SecretString> {
    let before =
        stored.iter().flat_map(|stored| std::iter::once(&stored.refresh_token).chain(&stored.replaced));
    let mut replaced: Vec<_> = before.filter(|token| !same(token, newcomer)).cloned().collect();
    while replaced.len() > REPLACED_KEPT {
        replaced.remove(REPLACED_KEPT - 1);
    }
    replaced
}

/// The record with the previous refresh token, once the new one is known to be invalid; `None`: there is no previous one.
pub(super) fn restored(record: &TokenRecord) -> Option<TokenRecord> {
    let (previous, older) = record.replaced.split_first()?;
    Some(TokenRecord {
        refresh_token: previous.clone(),
        replaced: older.to_vec(),
        // It belongs to the new refresh token, perhaps of another account.
        access: None,
        rotation: Rotation::Unknown,
        intent: None,
        is_refused: false,
        // The fingerprints stay, so that the invalid token is not tried again.
        ..record.clone()
    })
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    fn begun(choice: SeedChoice) -> TokenRecord {
        match choice {
            SeedChoice::Begun(record) => *record,
            SeedChoice::Kept => panic!("kept"),
        }
    }

    fn secret(secret: &str) -> Option<SecretString> {
        Some(secret.into())
    }

    #[test]
    fn the_store_wins_unless_the_seed_changed() {
        assert!(matches!(seeded(None, None), SeedChoice::Kept));
        let first = begun(seeded(None, secret("a").as_ref()));
        let rotated = TokenRecord { refresh_token: "a2".into(), ..first };
        assert!(matches!(seeded(Some(&rotated), secret("a").as_ref()), SeedChoice::Kept));
        assert!(matches!(seeded(Some(&rotated), None), SeedChoice::Kept));
        let second = begun(seeded(Some(&rotated), secret("b").as_ref()));
        assert_eq!(second.refresh_token.expose_secret(), "b");
        assert!(second.access.is_none(), "another consent has no old access token");
    }

    #[test]
    fn a_login_wins_once_over_both() {
        let stored = begun(seeded(None, secret("a").as_ref()));
        let login = TokenRecord::new("l".into());
        let taken = begun(login_fingerprint(Some(&stored), secret("b").as_ref(), login.clone()));
        assert!(
            matches!(seeded(Some(&taken), secret("b").as_ref()), SeedChoice::Kept),
            "older than the login"
        );
        let rotated = TokenRecord { refresh_token: "l2".into(), ..taken };
        assert!(
            matches!(login_fingerprint(Some(&rotated), None, login), SeedChoice::Kept),
            "met again after a kill"
        );
        assert_eq!(begun(seeded(Some(&rotated), secret("c").as_ref())).refresh_token.expose_secret(), "c");
        let again = begun(login_fingerprint(Some(&rotated), None, TokenRecord::new("m".into())));
        assert_eq!(again.refresh_token.expose_secret(), "m");
    }

    #[test]
    fn a_seed_keeps_the_mark_of_the_login_before_it() {
        let login = begun(login_fingerprint(None, None, TokenRecord::new("l".into())));
        let seeded = begun(seeded(Some(&login), secret("a").as_ref()));
        assert!(seeded.login_fingerprint.is_some() && seeded.login_fingerprint == login.login_fingerprint);
    }

    #[test]
    fn a_token_that_was_replaced_in_the_fleet_does_not_come_back_from_the_settings_of_another_replica() {
        let former = vec![Fingerprint::of(&"old".into())];
        let stored = TokenRecord { former, ..TokenRecord::new("new".into()) };
        assert!(matches!(seeded(Some(&stored), secret("old").as_ref()), SeedChoice::Kept));
        let login = login_fingerprint(Some(&stored), None, TokenRecord::new("old".into()));
        assert!(matches!(login, SeedChoice::Kept));
    }

    #[test]
    fn what_was_known_of_a_token_is_forgotten_with_it() {
        let invalid = TokenRecord {
            replaced: vec!["previous".into()],
            rotation: Rotation::Rotating,
            intent: Some(std::time::SystemTime::UNIX_EPOCH),
            is_refused: true,
            ..TokenRecord::new("invalid".into())
        };
        let back = restored(&invalid).unwrap();
        assert_eq!((back.rotation, back.intent, back.is_refused), (Rotation::Unknown, None, false));
        assert!(back.access.is_none() && back.replaced.is_empty());
    }

    #[test]
    fn what_is_replaced_is_kept_but_for_the_middle_of_many() {
        let tokens = |record: &TokenRecord| -> Vec<_> {
            record.replaced.iter().map(|token| token.expose_secret().to_owned()).collect()
        };
        let mut record = begun(seeded(None, secret("a").as_ref()));
        for (seed, replaced) in
            [("b", vec!["a"]), ("c", vec!["b", "a"]), ("d", vec!["c", "b", "a"]), ("e", vec!["d", "c", "a"])]
        {
            record = begun(seeded(Some(&record), secret(seed).as_ref()));
            assert_eq!(tokens(&record), replaced);
        }
        let login = begun(login_fingerprint(Some(&record), None, TokenRecord::new("d".into())));
        assert_eq!(tokens(&login), ["e", "c", "a"], "none is kept twice");
        let back = restored(&login).unwrap();
        assert_eq!((back.refresh_token.expose_secret(), tokens(&back)), ("e", vec!["c".into(), "a".into()]));
        assert!(matches!(
            login_fingerprint(Some(&back), None, TokenRecord::new("d".into())),
            SeedChoice::Kept
        ));
        let proved = TokenRecord { replaced: Vec::new(), ..back };
        assert!(restored(&proved).is_none());
    }
}
