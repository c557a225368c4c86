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
