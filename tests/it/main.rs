//! Tests of the whole program, in one binary: what it promises from outside.
#![cfg(test)]

mod bounded;
mod cache;
mod contract;
mod day;
mod floors;
mod kill;
mod login;
mod metrics_lint;
mod rationing;
mod repo;
mod road;
mod sdk;
mod secrets;
mod sockets;
mod support;
