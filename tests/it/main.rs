//! Tests of the whole program, in one binary: what it promises from outside.
#![cfg(test)]

mod floors;
mod repo;
mod road;
