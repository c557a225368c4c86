//! Tests on real servers. One that is not installed is a failing test that says what to install.

mod access;
mod random;
mod real_time;

mod redis {
    crate::shared::tests::conformance::conforms! { #[tokio::test] crate::shared::tests::backend::redis }
}

mod valkey {
    crate::shared::tests::conformance::conforms! { #[tokio::test] crate::shared::tests::backend::valkey }
}
