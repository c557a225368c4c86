//! The command line: arguments in, an exit code out.

use std::{
    io::{Write, stderr},
    process::ExitCode,
};

/// A hit allocates a few small pieces on whichever worker it lands; glibc's malloc is slower at that and fragments.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match link_report_proxy::commands::run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // With standard error gone there is nobody left to tell.
            let _told = writeln!(stderr(), "{failure}");
            failure.exit_code()
        }
    }
}
