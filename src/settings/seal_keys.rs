//! `shared.key_file`: the keys that seal what the replicas share.

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use secrecy::{ExposeSecret as _, SecretBox, SecretString};

use super::secret_file::{SecretContent, SecretFileError};

/// The bytes of one key.
pub type SealKeyBytes = Arc<SecretBox<[u8; 32]>>;

/// The fleet's keys. Two, so that a key can be changed without a gap: put the new one behind the old one everywhere, then
/// before it, then remove the old one.
#[derive(Clone, Debug)]
pub struct SealKeys {
    /// Seals, and opens.
    pub first: SealKeyBytes,
    /// Opens.
    pub second: Option<SealKeyBytes>,
}

// === impl SealKeys ===

/// One key a line; blank lines and those that begin with `#` are skipped.
impl SecretContent for SealKeys {
    fn parse(text: &str) -> Result<Self, SecretFileError> {
        let lines = <Vec<SecretString> as SecretContent>::parse(text)?;
        let mut keys = lines.iter().map(|line| key(line.expose_secret()));
        let (first, second, third) = (keys.next(), keys.next(), keys.next());
        match (first.ok_or(SecretFileError::Empty)?, second.transpose()?, third) {
            (first, second, None) => Ok(Self { first: first?, second }),
            _ => Err(SecretFileError::Malformed("the file holds more than two keys".to_owned())),
        }
    }
}

fn key(line: &str) -> Result<SealKeyBytes, SecretFileError> {
    let mut bytes = SecretBox::new(Box::new([0; 32]));
    let slots = secrecy::ExposeSecretMut::expose_secret_mut(&mut bytes);
    let read = match line.len() {
        64 => hex(line, slots),
        44 => STANDARD.decode_slice(line, slots).is_ok_and(|read| read == 32),
        _ => false,
    };
    let malformed = "the file's key is not 32 bytes: write 64 hexadecimal digits (openssl rand -hex 32), or base64 (openssl rand -base64 32)";
    if read { Ok(Arc::new(bytes)) } else { Err(SecretFileError::Malformed(malformed.to_owned())) }
}

fn hex(text: &str, bytes: &mut [u8; 32]) -> bool {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)).all(|(byte, pair)| {
        let value = digit(pair[0]).zip(digit(pair[1])).map(|(high, low)| high << 4 | low);
        *byte = value.unwrap_or(0);
        value.is_some()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191A1B1C1D1E1F";
    const TWO: &str = "//////////////////////////////////////////8=";

    #[test]
    fn a_file_holds_one_key_or_two_in_hexadecimal_or_base64() {
        let one = SealKeys::parse(&format!("# the fleet's\n{ONE}\n")).unwrap();
        assert_eq!(one.first.expose_secret()[..4], [0, 1, 2, 3]);
        assert_eq!(one.first.expose_secret()[31], 31);
        assert!(one.second.is_none());
        let two = SealKeys::parse(&format!("{TWO}\n{ONE}\n")).unwrap();
        assert_eq!(two.first.expose_secret(), &[255; 32]);
        assert_eq!(two.second.as_ref().unwrap().expose_secret()[31], 31);
        assert!(!format!("{two:?}").contains("255"));
    }

    #[test]
    fn what_is_no_key_is_refused_without_showing_it() {
        for (text, reason) in [
            (String::new(), "empty"),
            (ONE[..62].to_owned(), "not 32 bytes"),
            (format!("{}zz", &ONE[..62]), "not 32 bytes"),
            (TWO.replace("8=", "=="), "not 32 bytes"),
            (format!("{ONE}\n{TWO}hush"), "not 32 bytes"),
            (format!("{ONE}\n{ONE}\n{TWO}"), "more than two"),
        ] {
            let error = SealKeys::parse(&text).unwrap_err().to_string();
            assert!(error.contains(reason) && !error.contains("0102") && !error.contains("hush"), "{error}");
        }
    }
}
