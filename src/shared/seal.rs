//! Seals the token for the store, and signs reports: with the fleet's keys, so that whoever reads or writes the store can
//! neither read a token nor plant a report.
//!
//! The token: ChaCha20-Poly1305 with a random nonce, bound to namespace and generation. A report: HMAC-SHA256, bound to
//! namespace, key and kind. So whoever writes to the store can put an older report of the same key in a newer one's place, or
//! lie about its age, but not make one up. The key of each use is derived from the fleet's (HKDF-SHA256). What was made says
//! with which key: a fleet may have two.

use std::{
    fmt,
    sync::{Arc, PoisonError, RwLock},
};

use bytes::Bytes;
use ring::{
    aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce as AeadNonce, UnboundKey},
    hkdf, hmac,
    rand::{SecureRandom as _, SystemRandom},
};
use secrecy::{ExposeSecret as _, SecretSlice};

use super::{ReportKind, SealedToken, SharedReport};
use crate::{
    report::ReportKey,
    settings::{SealKeyBytes, SealKeys, StoreNamespace},
};

/// The first byte of a sealed token.
const FORMAT: u8 = 1;
const KEY_ID_BYTES: usize = 4;
const HEAD_BYTES: usize = 1 + KEY_ID_BYTES + NONCE_LEN;

/// The fleet's keys, ready for use.
pub(crate) struct FleetSeal {
    namespace: StoreNamespace,
    keys: RwLock<Arc<FleetKeys>>,
}

struct FleetKeys {
    /// Seals and signs.
    first: FleetKey,
    /// Opens and checks, besides.
    second: Option<FleetKey>,
}

/// What is made of one key.
struct FleetKey {
    id: [u8; KEY_ID_BYTES],
    token: LessSafeKey,
    report: hmac::Key,
}

/// Why something is not sealed or opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SealError {
    /// A report without a signature.
    #[error("missing: stored by a replica without shared.key_file, or by another program")]
    Unsigned,
    /// It is too short, or of a later format.
    #[error("not in a form that this version knows")]
    UnknownForm,
    /// It was made with a key that is not in `shared.key_file`.
    #[error("made with a key that is not in shared.key_file")]
    UnknownKey,
    /// It was changed, or belongs to another namespace, generation or report.
    #[error("not authentic")]
    NotAuthentic,
    /// The system gives no random numbers.
    #[error("no random numbers")]
    NoRandomness,
}

/// The length of a key's id, for HKDF.
struct IdLength;

// === impl FleetSeal ===

impl FleetSeal {
    pub(crate) fn new(namespace: StoreNamespace, keys: &SealKeys) -> Self {
        Self { namespace, keys: RwLock::new(FleetKeys::derive(keys)) }
    }

    /// With a key and a namespace that are the same for all.
    #[cfg(test)]
    pub(crate) fn fixed() -> Self {
        use crate::settings::SecretContent as _;

        Self::new(StoreNamespace::fixed("test"), &SealKeys::parse(&"01".repeat(32)).expect("a key"))
    }

    /// Seals, signs, opens and checks with these keys from now on.
    pub(crate) fn replace(&self, keys: &SealKeys) {
        let keys = FleetKeys::derive(keys);
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = keys;
    }

    /// Seals a token's record.
    ///
    /// # Errors
    /// [`SealError::NoRandomness`].
    pub(crate) fn seal_token(&self, generation: u64, record: &[u8]) -> Result<SealedToken, SealError> {
        let first = &self.keys().first;
        let mut nonce = [0; NONCE_LEN];
        SystemRandom::new().fill(&mut nonce).map_err(|_unspecified| SealError::NoRandomness)?;
        let mut sealed = Vec::with_capacity(HEAD_BYTES + record.len() + CHACHA20_POLY1305.tag_len());
        sealed.push(FORMAT);
        sealed.extend(first.id);
        sealed.extend(nonce);
        sealed.extend(record);
        let (nonce, aad) = (AeadNonce::assume_unique_for_key(nonce), self.token_aad(generation));
        let tag = first.token.seal_in_place_separate_tag(nonce, aad, &mut sealed[HEAD_BYTES..]);
        sealed.extend(tag.map_err(|_too_long| SealError::UnknownForm)?.as_ref());
        Ok(SealedToken(sealed.into()))
    }

    /// A token's record.
    ///
    /// # Errors
    /// [`SealError`], if it was not sealed with one of the keys for this namespace and generation.
    pub(crate) fn open_token(
        &self,
        generation: u64,
        sealed: &SealedToken,
    ) -> Result<SecretSlice<u8>, SealError> {
        let (head, record) = sealed.0.split_at_checked(HEAD_BYTES).ok_or(SealError::UnknownForm)?;
        let (Some((&FORMAT, rest)), Some(nonce)) = (head.split_first(), head.last_chunk()) else {
            return Err(SealError::UnknownForm);
        };
        let keys = self.keys();
        let key = keys.find(rest)?;
        let nonce = AeadNonce::assume_unique_for_key(*nonce);
        let mut record = record.to_vec();
        let opened = key.token.open_in_place(nonce, self.token_aad(generation), &mut record);
        let length = opened.map_err(|_unspecified| SealError::NotAuthentic)?.len();
        record.truncate(length);
        Ok(record.into())
    }

    /// What [`ReportToStore::mac`](super::ReportToStore::mac) is for this report.
    pub(crate) fn sign_report(&self, key: ReportKey, kind: ReportKind, body: &[u8]) -> Bytes {
        let first = &self.keys().first;
        let signature = hmac::sign(&first.report, &self.report_message(key, kind, body));
        [&first.id, signature.as_ref()].concat().into()
    }

    /// Whether a replica of this fleet has stored this report for this key.
    ///
    /// # Errors
    /// [`SealError`], if not.
    pub(crate) fn check_report(&self, key: ReportKey, report: &SharedReport) -> Result<(), SealError> {
        if report.mac.is_empty() {
            return Err(SealError::Unsigned);
        }
        let (_id, signature) = report.mac.split_at_checked(KEY_ID_BYTES).ok_or(SealError::UnknownForm)?;
        let keys = self.keys();
        let signer = keys.find(&report.mac)?;
        let message = self.report_message(key, report.kind, &report.body);
        hmac::verify(&signer.report, &message, signature).map_err(|_unspecified| SealError::NotAuthentic)
    }

    fn keys(&self) -> Arc<FleetKeys> {
        Arc::clone(&self.keys.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn token_aad(&self, generation: u64) -> Aad<String> {
        Aad::from(format!("lrp1|{}|tok|{FORMAT}|{generation}", self.namespace.as_str()))
    }

    /// A namespace has no `|`, and only the last part is of any length.
    fn report_message(&self, key: ReportKey, kind: ReportKind, body: &[u8]) -> Vec<u8> {
        let (namespace, kind) = (self.namespace.as_str(), kind.as_str());
        let mut message = format!("lrp1|{namespace}|rep|{key}|{kind}|").into_bytes();
        message.extend(body);
        message
    }
}

impl fmt::Debug for FleetSeal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FleetSeal").field("namespace", &self.namespace).finish_non_exhaustive()
    }
}

// === impl FleetKeys ===

impl FleetKeys {
    fn derive(keys: &SealKeys) -> Arc<Self> {
        let first = FleetKey::derive(&keys.first);
        Arc::new(Self { first, second: keys.second.as_ref().map(FleetKey::derive) })
    }

    /// The key whose id is at the beginning.
    fn find(&self, id: &[u8]) -> Result<&FleetKey, SealError> {
        let mut keys = [Some(&self.first), self.second.as_ref()].into_iter().flatten();
        keys.find(|key| id.starts_with(&key.id)).ok_or(SealError::UnknownKey)
    }
}

// === impl FleetKey ===

impl FleetKey {
    fn derive(key: &SealKeyBytes) -> Self {
        let base = hkdf::Salt::new(hkdf::HKDF_SHA256, b"lrp1").extract(key.expose_secret());
        let mut id = [0; KEY_ID_BYTES];
        let filled = base.expand(&[b"id"], IdLength).and_then(|okm| okm.fill(&mut id));
        filled.expect("four bytes are less than HKDF's limit");
        let token = base.expand(&[b"token"], &CHACHA20_POLY1305).map(UnboundKey::from);
        let report = base.expand(&[b"report"], hmac::HMAC_SHA256).map(hmac::Key::from);
        Self {
            id,
            token: LessSafeKey::new(token.expect("32 bytes are less than HKDF's limit")),
            report: report.expect("32 bytes are less than HKDF's limit"),
        }
    }
}

// === impl IdLength ===

impl hkdf::KeyType for IdLength {
    fn len(&self) -> usize {
        KEY_ID_BYTES
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::{
        report::{ActivityId, NoClicks},
        settings::SecretContent as _,
        shared::Fence,
    };

    const ONE: &str = "0101010101010101010101010101010101010101010101010101010101010101";
    const TWO: &str = "0202020202020202020202020202020202020202020202020202020202020202";

    fn seal(namespace: &str, keys: &[&str]) -> FleetSeal {
        let namespace = StoreNamespace::try_from(namespace).unwrap();
        FleetSeal::new(namespace, &SealKeys::parse(&keys.join("\n")).unwrap())
    }

    fn key(no_clicks: NoClicks) -> ReportKey {
        ReportKey { id: ActivityId::from(uuid::Uuid::from_u128(7)), no_clicks }
    }

    fn stored(body: Vec<u8>, kind: ReportKind, mac: Bytes) -> SharedReport {
        let (age, unchanged_for) = (Duration::ZERO, Duration::ZERO);
        SharedReport { fence: Fence(1), kind, age, unchanged_for, body: body.into(), mac }
    }

    #[test]
    fn a_second_key_opens_what_it_sealed_and_the_first_one_seals() {
        let (old, both, new) = (seal("x", &[ONE]), seal("x", &[TWO, ONE]), seal("x", &[TWO]));
        let sealed = old.seal_token(1, b"record").unwrap();
        assert_eq!(both.open_token(1, &sealed).unwrap().expose_secret(), b"record");
        assert_eq!(new.open_token(1, &sealed).unwrap_err(), SealError::UnknownKey);
        let sealed = both.seal_token(1, b"record").unwrap();
        assert_eq!(new.open_token(1, &sealed).unwrap().expose_secret(), b"record");
        assert_eq!(old.open_token(1, &sealed).unwrap_err(), SealError::UnknownKey);
        let mac = old.sign_report(key(NoClicks::Listed), ReportKind::Report, b"{}");
        let report = stored(b"{}".to_vec(), ReportKind::Report, mac);
        assert_eq!(both.check_report(key(NoClicks::Listed), &report), Ok(()));
        assert_eq!(new.check_report(key(NoClicks::Listed), &report), Err(SealError::UnknownKey));
        assert!(!format!("{both:?}").contains("key"));
        new.replace(&SealKeys::parse(ONE).unwrap());
        assert_eq!(new.check_report(key(NoClicks::Listed), &report), Ok(()));
        let unsigned = stored(b"{}".to_vec(), ReportKind::Report, Bytes::new());
        assert_eq!(both.check_report(key(NoClicks::Listed), &unsigned), Err(SealError::Unsigned));
    }

    #[test]
    fn a_nonce_is_never_used_twice() {
        let seal = seal("x", &[ONE]);
        let nonce = |sealed: SealedToken| sealed.0[1 + KEY_ID_BYTES..HEAD_BYTES].to_vec();
        let nonces = (0..100).map(|_| nonce(seal.seal_token(1, b"record").unwrap()));
        assert_eq!(nonces.collect::<std::collections::HashSet<_>>().len(), 100);
    }

    proptest! {
        #[test]
        fn a_sealed_token_opens_for_its_namespace_and_generation_only(
            record: Vec<u8>, generation: u64, other: u64,
        ) {
            let sealed = seal("x", &[ONE]).seal_token(generation, &record).unwrap();
            let opened = seal("x", &[ONE]).open_token(generation, &sealed).unwrap();
            prop_assert_eq!(opened.expose_secret(), &record[..]);
            let elsewhere = seal("y", &[ONE]).open_token(generation, &sealed).unwrap_err();
            prop_assert_eq!(elsewhere, SealError::NotAuthentic);
            if other != generation {
                let later = seal("x", &[ONE]).open_token(other, &sealed).unwrap_err();
                prop_assert_eq!(later, SealError::NotAuthentic);
            }
            let clear = record.len() >= 8 && sealed.0.windows(record.len()).any(|part| part == record);
            prop_assert!(!clear);
        }

        #[test]
        fn a_token_that_was_cut_off_or_changed_does_not_open(
            record: Vec<u8>, at: prop::sample::Index, bit in 0..8_u32,
        ) {
            let seal = seal("x", &[ONE, TWO]);
            let sealed = seal.seal_token(1, &record).unwrap();
            let cut = SealedToken(sealed.0.slice(..at.index(sealed.0.len())));
            prop_assert!(seal.open_token(1, &cut).is_err());
            let mut flipped = sealed.0.to_vec();
            flipped[at.index(sealed.0.len())] ^= 1 << bit;
            prop_assert!(seal.open_token(1, &SealedToken(flipped.into())).is_err());
        }

        #[test]
        fn a_report_is_authentic_for_its_namespace_key_kind_and_body_only(
            body: Vec<u8>, other: Vec<u8>, at: prop::sample::Index, bit in 0..8_u32,
        ) {
            let (fleet, listed) = (seal("x", &[ONE]), key(NoClicks::Listed));
            let mac = fleet.sign_report(listed, ReportKind::Report, &body);
            let report = stored(body.clone(), ReportKind::Report, mac.clone());
            prop_assert_eq!(fleet.check_report(listed, &report), Ok(()));
            let not = Err(SealError::NotAuthentic);
            prop_assert_eq!(seal("y", &[ONE]).check_report(listed, &report), not);
            prop_assert_eq!(fleet.check_report(key(NoClicks::Omitted), &report), not);
            let negative = stored(body.clone(), ReportKind::Negative, mac.clone());
            prop_assert_eq!(fleet.check_report(listed, &negative), not);
            if other != body {
                let replaced = stored(other, ReportKind::Report, mac.clone());
                prop_assert_eq!(fleet.check_report(listed, &replaced), not);
            }
            let mut flipped = mac.to_vec();
            flipped[at.index(mac.len())] ^= 1 << bit;
            let flipped = stored(body.clone(), ReportKind::Report, flipped.into());
            prop_assert!(fleet.check_report(listed, &flipped).is_err());
            let cut = stored(body, ReportKind::Report, mac.slice(..at.index(mac.len())));
            prop_assert!(fleet.check_report(listed, &cut).is_err());
        }
    }
}
