//! Reads a body to its end, decoded, and never further than its cap.

use std::{
    error::Error as StdError,
    io::{self, Write},
    pin::pin,
};

use bytes::{Buf as _, Bytes};
use flate2::write::MultiGzDecoder;
use http::{HeaderMap, header::CONTENT_ENCODING};
use http_body::Body;
use http_body_util::BodyExt as _;

use crate::report::InvalidReport;

/// How a body is coded. We ask for gzip and nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    Identity,
    Gzip,
}

/// Takes what fits. A gzip bomb stops at the byte that does not, however much is still to come out of the chunk.
struct Capped {
    bytes: Vec<u8>,
    limit: u64,
}

#[derive(Debug, thiserror::Error)]
#[error("the cap is reached")]
struct CapReached;

enum Sink {
    Plain(Capped),
    Gzip(Box<MultiGzDecoder<Capped>>),
}

// === impl Encoding ===

impl Encoding {
    /// Reads `Content-Encoding`.
    ///
    /// # Errors
    /// [`InvalidReport::Encoding`] for a coding that was not asked for, or several.
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, InvalidReport> {
        let mut values = headers.get_all(CONTENT_ENCODING).into_iter();
        match (values.next().map(|value| value.as_bytes().trim_ascii()), values.next()) {
            (None, None) => Ok(Self::Identity),
            (Some(coding), None) if coding.eq_ignore_ascii_case(b"identity") => Ok(Self::Identity),
            (Some(coding), None)
                if coding.eq_ignore_ascii_case(b"gzip") || coding.eq_ignore_ascii_case(b"x-gzip") =>
            {
                Ok(Self::Gzip)
            }
            _ => Err(InvalidReport::Encoding),
        }
    }
}

/// The whole body, decoded.
///
/// # Errors
/// [`InvalidReport::TooLarge`] past `limit` bytes, coded or decoded; [`InvalidReport::Truncated`] when the connection
/// ends first; [`InvalidReport::Encoding`] when it is not the gzip that it claims to be.
pub(super) async fn read<B>(body: B, encoding: Encoding, limit: u64) -> Result<Vec<u8>, InvalidReport>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    let mut body = pin!(body);
    let hint = body.size_hint();
    if hint.lower() > limit {
        return Err(InvalidReport::TooLarge { limit });
    }
    let mut sink = Sink::new(encoding, hint.exact().unwrap_or(0), limit);
    let mut received = 0;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_error| InvalidReport::Truncated)?;
        let Ok(mut data) = frame.into_data() else { continue };
        received += data.remaining() as u64;
        if received > limit {
            return Err(InvalidReport::TooLarge { limit });
        }
        sink.take(&data.split_to(data.len()), limit)?;
    }
    sink.finish(limit)
}

// === impl Sink ===

impl Sink {
    fn new(encoding: Encoding, expected: u64, limit: u64) -> Self {
        let room = usize::try_from(expected).unwrap_or(0);
        let capped = Capped { bytes: Vec::with_capacity(room), limit };
        match encoding {
            Encoding::Identity => Self::Plain(capped),
            Encoding::Gzip => Self::Gzip(Box::new(MultiGzDecoder::new(capped))),
        }
    }

    fn take(&mut self, data: &[u8], limit: u64) -> Result<(), InvalidReport> {
        match self {
            Self::Plain(capped) => capped.write_all(data),
            Self::Gzip(decoder) => decoder.write_all(data),
        }
        .map_err(|error| unreadable(&error, limit))
    }

    fn finish(self, limit: u64) -> Result<Vec<u8>, InvalidReport> {
        match self {
            Self::Plain(capped) => Ok(capped.bytes),
            // A stream that lacks its end is refused here.
            Self::Gzip(decoder) => {
                decoder.finish().map(|capped| capped.bytes).map_err(|error| unreadable(&error, limit))
            }
        }
    }
}

fn unreadable(error: &io::Error, limit: u64) -> InvalidReport {
    if error.get_ref().is_some_and(<dyn StdError + Send + Sync>::is::<CapReached>) {
        InvalidReport::TooLarge { limit }
    } else {
        InvalidReport::Encoding
    }
}

// === impl Capped ===

impl Write for Capped {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        if (self.bytes.len() + data.len()) as u64 > self.limit {
            return Err(io::Error::other(CapReached));
        }
        self.bytes.extend_from_slice(data);
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Compression, write::GzEncoder};
    use http::HeaderValue;
    use http_body_util::Full;

    const LIMIT: u64 = 1 << 20;

    fn gzip(data: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(data).unwrap();
        encoder.finish().unwrap()
    }

    async fn ungzip(body: Vec<u8>) -> Result<Vec<u8>, InvalidReport> {
        read(Full::new(Bytes::from(body)), Encoding::Gzip, LIMIT).await
    }

    #[tokio::test]
    async fn a_gzip_body_is_decoded_and_a_broken_one_refused() {
        let whole = gzip(b"{}");
        assert_eq!(ungzip(whole.clone()).await.unwrap(), b"{}");
        assert_eq!(ungzip([gzip(b"{"), gzip(b"}")].concat()).await.unwrap(), b"{}");
        assert_eq!(ungzip(whole[..whole.len() - 1].to_vec()).await, Err(InvalidReport::Encoding));
        assert_eq!(ungzip(b"{}".to_vec()).await, Err(InvalidReport::Encoding));
    }

    #[tokio::test]
    async fn the_cap_holds_as_sent_and_once_decoded() {
        let too_large = Err(InvalidReport::TooLarge { limit: LIMIT });
        let exact = vec![b' '; LIMIT as usize];
        let plain = |bytes: Vec<u8>| read(Full::new(Bytes::from(bytes)), Encoding::Identity, LIMIT);
        assert_eq!(plain(exact.clone()).await.unwrap().len(), exact.len());
        assert_eq!(plain([exact.clone(), vec![b' ']].concat()).await, too_large);
        assert_eq!(ungzip(gzip(&exact)).await.unwrap().len(), exact.len());
        assert_eq!(ungzip(gzip(&[exact, vec![b' ']].concat())).await, too_large);
    }

    #[tokio::test]
    async fn a_bomb_never_fills_more_memory_than_the_cap() {
        let bomb = gzip(&vec![0; 32 << 20]);
        let mut sink = Sink::new(Encoding::Gzip, bomb.len() as u64, LIMIT);
        assert_eq!(sink.take(&bomb, LIMIT), Err(InvalidReport::TooLarge { limit: LIMIT }));
        let Sink::Gzip(decoder) = sink else { unreachable!() };
        assert!(decoder.get_ref().bytes.capacity() as u64 <= 2 * LIMIT);
    }

    #[test]
    fn only_a_single_gzip_or_identity_coding_is_read() {
        let of = |values: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(CONTENT_ENCODING, HeaderValue::from_static(value));
            }
            Encoding::of(&headers)
        };
        assert_eq!(of(&[]), Ok(Encoding::Identity));
        assert_eq!(of(&["identity"]), Ok(Encoding::Identity));
        assert_eq!(of(&["GZip"]), Ok(Encoding::Gzip));
        for values in [&["br"] as &[_], &["gzip, gzip"], &["gzip", "gzip"], &[""]] {
            assert_eq!(of(values), Err(InvalidReport::Encoding), "{values:?}");
        }
    }
}
