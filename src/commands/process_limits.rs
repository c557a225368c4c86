//! The limits of the operating system that the process sets for itself.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// As many open files as the process may have: the usual soft limit, 1,024, is for programs that use `select`. And no core
/// file, which would hold every token.
pub(super) fn set() {
    let files = getrlimit(Resource::Nofile);
    // Where the system refuses, the data port takes fewer connections.
    let _refused = setrlimit(Resource::Nofile, Rlimit { current: files.maximum, ..files });
    let core = getrlimit(Resource::Core);
    // To lower a limit is never refused.
    let _done = setrlimit(Resource::Core, Rlimit { current: Some(0), ..core });
}
