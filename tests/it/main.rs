//! Tests of the whole program, in one binary: what it promises from outside.
#![cfg(test)]

mod bounded;
mod cache;
mod change_probe;
mod contract;
mod cycles;
mod day;
mod derivation;
mod faults;
mod fleet;
mod kill;
mod labels;
mod layers;
mod login;
mod metrics_lint;
mod openapi;
mod plan;
mod played;
mod rationing;
mod reload;
mod repo;
mod restart;
mod sdk;
mod secrets;
mod sockets;
mod support;
mod traces;
mod upstream_call;
mod words;
