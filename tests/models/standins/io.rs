//! `std::io` and `tokio::io`.

pub use real_std::io::*;
pub use real_tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
