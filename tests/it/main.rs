//! Tests of the whole program, in one binary: what it promises from outside.
#![cfg(test)]

mod road;
