//! The binary: runs the command that the arguments name, and maps its result to an exit code.

use std::{
    io::{Write, stderr},
    process::ExitCode,
};

/// A hit makes a few small allocations, on any worker thread; glibc's malloc is slower at that, and fragments.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match link_report_proxy::commands::run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // If standard error is closed, the exit code still shows the failure.
            let _written = writeln!(stderr(), "{failure}");
            failure.exit_code()
        }
    }
}
