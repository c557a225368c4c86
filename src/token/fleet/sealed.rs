//! Token records, sealed for the shared store.

use secrecy::{ExposeSecret as _, SecretSlice};

use super::error::RecordError;
use crate::{
    shared::{FleetSeal, SealedToken, SharedToken},
    state::{FleetPosition, PairOrigin, TokenRecord},
};

/// The largest that the store's readers take.
const LARGEST_BYTES: usize = 64 * 1024;

/// Seals a record; its place in the fleet is written beside it.
pub(super) fn seal(seal: &FleetSeal, record: &TokenRecord) -> Result<SealedToken, RecordError> {
    let FleetPosition { version, generation, .. } = record.fleet;
    let bare = TokenRecord { fleet: FleetPosition::default(), ..record.clone() };
    let bytes: SecretSlice<u8> = bare.to_bytes(version).map_err(|_invalid| RecordError::Invalid)?.into();
    let sealed = seal.seal_token(generation, bytes.expose_secret())?;
    if sealed.0.len() > LARGEST_BYTES { Err(RecordError::Invalid) } else { Ok(sealed) }
}

/// Opens the store's record, which another replica may have written.
pub(super) fn open(seal: &FleetSeal, shared: &SharedToken) -> Result<TokenRecord, RecordError> {
    let bytes = seal.open_token(shared.generation, &shared.token)?;
    let (_version, record) =
        TokenRecord::from_bytes(bytes.expose_secret()).map_err(|_invalid| RecordError::Invalid)?;
    let (version, generation) = (shared.version, shared.generation);
    Ok(TokenRecord { fleet: FleetPosition { version, generation, origin: PairOrigin::Another }, ..record })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_record_tells_its_place_in_the_fleet_once_and_is_as_large_as_readers_take() {
        let keys = FleetSeal::fixed();
        let fleet = FleetPosition { version: 7, generation: 3, origin: PairOrigin::Own };
        let record = |length| TokenRecord { fleet, ..TokenRecord::new("r".repeat(length).into()) };

        let token = seal(&keys, &record(100)).expect("sealed");
        let bytes = keys.open_token(3, &token).expect("opened");
        let (_version, bare) = TokenRecord::from_bytes(bytes.expose_secret()).expect("a record");
        assert_eq!(bare.fleet, FleetPosition::default());
        let opened = open(&keys, &SharedToken { version: 8, generation: 3, token }).expect("opened");
        assert_eq!(opened.fleet, FleetPosition { version: 8, generation: 3, origin: PairOrigin::Another });

        let length = |length| seal(&keys, &record(length)).map(|sealed| sealed.0.len());
        let most = LARGEST_BYTES - (length(100).expect("sealed") - 100);
        assert_eq!(length(most).expect("sealed"), LARGEST_BYTES);
        assert!(matches!(length(most + 1), Err(RecordError::Invalid)));
    }
}
