//! What the checked files import of `upstream`.

#[derive(Debug)]
pub struct FormClient;
