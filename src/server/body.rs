//! The response body: shared bytes in memory, never copied.

use std::sync::Arc;

use bytes::Buf;
use http_body_util::Full;

/// The body of every response, on both ports.
pub type Body = Full<Chunk>;

/// Shared bytes, starting at some position.
///
/// Not `Bytes`: it keeps its reference count in a separate allocation, which costs each hit on a large cache one more
/// cache miss of the processor. `Arc<[u8]>` keeps both in one allocation.
#[derive(Debug, Clone)]
pub struct Chunk {
    bytes: Arc<[u8]>,
    from: usize,
}

// === impl Chunk ===

impl From<Arc<[u8]>> for Chunk {
    fn from(bytes: Arc<[u8]>) -> Self {
        Self { bytes, from: 0 }
    }
}

impl From<Vec<u8>> for Chunk {
    fn from(bytes: Vec<u8>) -> Self {
        Arc::<[u8]>::from(bytes).into()
    }
}

impl Buf for Chunk {
    fn remaining(&self) -> usize {
        self.bytes.len() - self.from
    }

    fn chunk(&self) -> &[u8] {
        &self.bytes[self.from..]
    }

    fn advance(&mut self, count: usize) {
        assert!(count <= self.remaining(), "cannot advance past the end");
        self.from += count;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_is_read_from_its_position_to_the_end() {
        let mut chunk = Chunk::from(Vec::from(*b"body"));
        assert_eq!((chunk.remaining(), chunk.chunk()), (4, &b"body"[..]));
        chunk.advance(3);
        assert_eq!((chunk.remaining(), chunk.chunk()), (1, &b"y"[..]));
        chunk.advance(1);
        assert!(!chunk.has_remaining());
    }
}
