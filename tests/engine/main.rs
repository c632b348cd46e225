//! The engine from outside: the real binary, real sockets, real signals, a real SQLite file.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, missing_docs)]

mod browser;
mod clients;
mod commands;
mod control;
mod deadlines;
mod durability;
mod environment;
mod export;
mod flips;
mod hostile;
mod http;
mod kill;
#[path = "../vectors/lines.rs"]
mod lines;
mod memory;
mod mistakes;
mod neighbours;
mod preload;
mod remains;
mod rescue;
mod people;
mod proxy;
mod ranges;
mod signals;
mod slow;
mod support;
mod tls;
mod trade;
mod trouble;
mod vectors;
mod visitor;
mod web;
mod world;
mod writer;
#[allow(dead_code)]
#[path = "../proof/worlds.rs"]
mod worlds;
