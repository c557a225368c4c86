//! Promises that only real sockets and a real process can break.

mod attacks;
mod commands;
mod damaged_state;
mod descriptors;
mod drain;
mod flood;
mod full_disk;
mod hostile;
mod keep_alive;
mod ledger;
mod log_lines;
mod log_pipe;
mod probe;
mod reload;
mod slow;
mod snapshot;
mod token_file;
mod vendor_curl;
mod wrong_settings;
