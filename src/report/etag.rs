//! The strong validator of a body.

use bytes::Bytes;
use ring::digest;

/// How much of the hash is shown: 128 bits, far beyond what two versions of one report could collide in.
const SHOWN: usize = 16;

/// An entity tag with its quotes, as it stands in a header (RFC 9110 §8.8.3). Equal bodies have equal tags, in every
/// replica and after every restart, so that a caller's copy stays good wherever its next request lands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ETag(Bytes);

// === impl ETag ===

impl ETag {
    /// The tag of `body`: a part of its SHA-256, in hexadecimal.
    pub fn of(body: &[u8]) -> Self {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let hash = digest::digest(&digest::SHA256, body);
        let mut text = Vec::with_capacity(2 * SHOWN + 2);
        text.push(b'"');
        for byte in &hash.as_ref()[..SHOWN] {
            text.extend([DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
        }
        text.push(b'"');
        Self(text.into())
    }

    /// The tag of the same body's gzip variant: another representation needs another strong tag (RFC 9110 §8.8.1).
    pub fn gzip(&self) -> Self {
        let hash = &self.0[..self.0.len() - 1];
        Self([hash, b"-gzip\""].concat().into())
    }

    /// The tag as it stands in a header, quotes included.
    pub const fn as_bytes(&self) -> &Bytes {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_bodies_have_equal_tags_and_variants_have_their_own() {
        assert_eq!(ETag::of(b"{}"), ETag::of(b"{}"));
        assert_ne!(ETag::of(b"{}"), ETag::of(b"{} "));
        assert_eq!(ETag::of(b"").gzip().as_bytes().as_ref(), b"\"e3b0c44298fc1c149afbf4c8996fb924-gzip\"");
        // SHA-256 of the empty string begins e3b0c442…: the tag is the same on every machine.
        assert_eq!(ETag::of(b"").as_bytes().as_ref(), b"\"e3b0c44298fc1c149afbf4c8996fb924\"");
    }
}
