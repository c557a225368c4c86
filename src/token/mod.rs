//! The one OAuth token: where it comes from, which one is in use, and who stamps it on a request.
//!
//! The only room that ever holds a secret of the upstream's. Must never know what is fetched with it, what is
//! remembered, or what may be spent; others learn a generation number from it and nothing else.

mod access;
mod authorize;
mod keeper;
mod source;

pub use access::{AccessToken, UnsendableToken};
pub use authorize::{Authorize, AuthorizeLayer};
pub use keeper::{Standing, TokenSnapshot, Tokens};
pub use source::{SourceError, TokenSource};
