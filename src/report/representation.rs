//! A response body and its strong `ETag` (RFC 9110 §8.8).

use std::{fmt, sync::Arc};

use ring::digest;

/// The size of an `Arc`'s two reference counts, in bytes.
const ARC_COUNTS: usize = 2 * size_of::<usize>();
/// How many bytes of the hash are kept: 128 bits, so that two versions of one report do not collide.
const HASH_BYTES: usize = 16;

/// The value of an `ETag` header: a strong entity tag, with its quotes.
pub(crate) type EntityTag = [u8; 2 * HASH_BYTES + 2];

/// A body and its hash.
///
/// The tag is the first half of the body's SHA-256, in quotes. Equal bodies have equal tags in every replica and after
/// every restart, so that a client's conditional request gets a 304 from any of them. A gzip variant has other bytes, and so a
/// tag of its own, as a strong tag must (RFC 9110 §8.8.1).
#[derive(Clone)]
pub struct Representation {
    hash: [u8; HASH_BYTES],
    body: Arc<[u8]>,
}

// === impl Representation ===

impl Representation {
    /// Copies `body`, which is often a slice of a much larger buffer that must not be kept alive, and hashes it.
    pub fn new(body: &[u8]) -> Self {
        let mut hash = [0; HASH_BYTES];
        hash.copy_from_slice(&digest::digest(&digest::SHA256, body).as_ref()[..HASH_BYTES]);
        Self { hash, body: body.into() }
    }

    /// The value of the `ETag` header. Written anew each time: each report would need 34 bytes for it.
    pub fn tag(&self) -> EntityTag {
        // Computed, not looked up: the processor does that for all digits at once.
        let digit = |half: u8| half + if half < 10 { b'0' } else { b'a' - 10 };
        let mut tag = [b'"'; 2 * HASH_BYTES + 2];
        for (digits, byte) in tag[1..].chunks_exact_mut(2).zip(self.hash) {
            digits.copy_from_slice(&[digit(byte >> 4), digit(byte & 15)]);
        }
        tag
    }

    /// The body: as the upstream sent it (decoded), or a variant of it.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// The same, shared.
    pub fn shared(&self) -> Arc<[u8]> {
        Arc::clone(&self.body)
    }

    /// The memory that the body occupies, in bytes.
    pub fn weight(&self) -> usize {
        block(ARC_COUNTS + self.body.len())
    }
}

/// Compares hashes and lengths only: bodies can have megabytes, and they are compared while a lock is held.
impl PartialEq for Representation {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash && self.body.len() == other.body.len()
    }
}

impl Eq for Representation {}

/// The bytes that the allocator uses for an allocation of `len`. mimalloc has four block sizes for each doubling, and
/// leaves a twelfth of the pages for large blocks unused (measured: see `benches/README.md`); what is larger still has pages
/// of the system of its own (`.cargo/config.toml`).
fn block(len: usize) -> usize {
    const LARGE: usize = 8 * 1024;
    const HUGE: usize = 64 * 1024;
    const PAGE: usize = 4 * 1024;
    if len > HUGE {
        return len.next_multiple_of(PAGE);
    }
    let block = len.next_multiple_of((len.next_power_of_two() / 8).max(16));
    if block > LARGE { block + block / 12 } else { block }
}

impl fmt::Debug for Representation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Representation").field(&String::from_utf8_lossy(&self.tag())).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_bodies_have_equal_tags_and_variants_have_their_own() {
        assert_eq!(Representation::new(b"{}"), Representation::new(b"{}"));
        assert_ne!(Representation::new(b"{}"), Representation::new(b"{} "));
        assert_ne!(Representation::new(b"{}").tag(), Representation::new(b"{} ").tag());
        // SHA-256 of the empty string begins e3b0c442…: the tag is the same on every machine.
        assert_eq!(&Representation::new(b"").tag(), b"\"e3b0c44298fc1c149afbf4c8996fb924\"");
    }

    #[test]
    fn the_weight_is_the_size_of_the_allocated_block() {
        assert_eq!([1, 455, 512, 1_795, 8_192, 8_530].map(block), [16, 512, 512, 2_048, 8_192, 11_093]);
        assert_eq!([65_536, 65_537, 69_632, 340_000].map(block), [70_997, 69_632, 69_632, 344_064]);
        // Two counts and the body.
        assert_eq!([0, 48, 49].map(|body| Representation::new(&vec![b' '; body]).weight()), [16, 64, 80]);
    }

    #[test]
    fn the_body_is_a_copy() {
        let representation = Representation::new(b"some body");
        assert_eq!(
            (representation.body(), &*representation.shared()),
            (&b"some body"[..], &b"some body"[..])
        );
    }
}
