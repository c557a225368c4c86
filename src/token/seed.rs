//! Which refresh token counts: the one in the store, the one in the settings, or one from a login. Pure.

use secrecy::SecretString;

use crate::state::{Fingerprint, TokenRecord};

/// What a comparison came to.
#[derive(Debug)]
pub(super) enum Choice {
    /// The store's, or none at all: nothing is to be written.
    Kept,
    /// Another one begins: to be written before it is used.
    Begun(Box<TokenRecord>),
}

/// A refresh token of the settings against the store's record: the store wins, unless the settings changed.
pub(super) fn seeded(stored: Option<&TokenRecord>, seed: Option<&SecretString>) -> Choice {
    let Some(seed) = seed else { return Choice::Kept };
    let fingerprint = Some(Fingerprint::of(seed));
    if stored.is_some_and(|stored| stored.seed == fingerprint) {
        return Choice::Kept;
    }
    Choice::Begun(Box::new(TokenRecord {
        seed: fingerprint,
        handed_over: stored.and_then(|stored| stored.handed_over.clone()),
        ..TokenRecord::new(seed.clone())
    }))
}

/// What a login left against the store's record: it wins, unless it is the one that was taken up before.
pub(super) fn handed_over(
    stored: Option<&TokenRecord>,
    seed: Option<&SecretString>,
    left: TokenRecord,
) -> Choice {
    let fingerprint = Some(Fingerprint::of(&left.refresh_token));
    if stored.is_some_and(|stored| stored.handed_over == fingerprint) {
        return Choice::Kept;
    }
    // The settings' token, whatever it is by now, is older than a login.
    let seed = seed.map(Fingerprint::of).or_else(|| stored.and_then(|stored| stored.seed.clone()));
    Choice::Begun(Box::new(TokenRecord { seed, handed_over: fingerprint, ..left }))
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    fn begun(choice: Choice) -> TokenRecord {
        match choice {
            Choice::Begun(record) => *record,
            Choice::Kept => panic!("kept"),
        }
    }

    fn secret(secret: &str) -> Option<SecretString> {
        Some(secret.into())
    }

    #[test]
    fn the_store_wins_unless_the_seed_changed() {
        assert!(matches!(seeded(None, None), Choice::Kept));
        let first = begun(seeded(None, secret("a").as_ref()));
        let rotated = TokenRecord { refresh_token: "a2".into(), ..first };
        assert!(matches!(seeded(Some(&rotated), secret("a").as_ref()), Choice::Kept));
        assert!(matches!(seeded(Some(&rotated), None), Choice::Kept));
        let second = begun(seeded(Some(&rotated), secret("b").as_ref()));
        assert_eq!(second.refresh_token.expose_secret(), "b");
        assert!(second.access.is_none(), "another consent has no old access token");
    }

    #[test]
    fn a_login_wins_once_over_both() {
        let stored = begun(seeded(None, secret("a").as_ref()));
        let login = TokenRecord::new("l".into());
        let taken = begun(handed_over(Some(&stored), secret("b").as_ref(), login.clone()));
        assert!(matches!(seeded(Some(&taken), secret("b").as_ref()), Choice::Kept), "older than the login");
        let rotated = TokenRecord { refresh_token: "l2".into(), ..taken };
        assert!(matches!(handed_over(Some(&rotated), None, login), Choice::Kept), "met again after a kill");
        assert_eq!(begun(seeded(Some(&rotated), secret("c").as_ref())).refresh_token.expose_secret(), "c");
        let again = begun(handed_over(Some(&rotated), None, TokenRecord::new("m".into())));
        assert_eq!(again.refresh_token.expose_secret(), "m");
    }
}
