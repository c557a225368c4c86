//! How many connections the operating system's limit of open files leaves room for.

use std::num::NonZeroUsize;

use rustix::process::{Resource, getrlimit};

/// File descriptors that are not for connections of clients: the admin port's, those to the upstream and the shared store,
/// files, and the runtime's own.
const RESERVED: u64 = 128;

/// `wanted` connections, or as many as the process has file descriptors for: with the last one, the admin port could not
/// be asked any more whether the process lives, and no report could be fetched.
pub(crate) fn most_connections(wanted: NonZeroUsize) -> NonZeroUsize {
    within(wanted, getrlimit(Resource::Nofile).current)
}

fn within(wanted: NonZeroUsize, open_files: Option<u64>) -> NonZeroUsize {
    let Some(open_files) = open_files else { return wanted };
    let left = open_files.saturating_sub(RESERVED).max(open_files / 2);
    let left = usize::try_from(left).ok().and_then(NonZeroUsize::new).unwrap_or(NonZeroUsize::MIN);
    wanted.min(left)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_file_descriptors_for_everything_else() {
        for (wanted, open_files, most) in [
            (10_000, None, 10_000),
            (10_000, Some(1_048_576), 10_000),
            (10_000, Some(10_127), 9_999),
            (10_000, Some(1_024), 896),
            (10_000, Some(200), 100),
            (7, Some(200), 7),
            (7, Some(0), 1),
        ] {
            let wanted = NonZeroUsize::new(wanted).unwrap();
            assert_eq!(within(wanted, open_files).get(), most, "{open_files:?}");
        }
    }
}
