//! The engine's parts against a machine that fails, forgets, stalls and lies: in-process, without sockets or real time.
#![deny(unsafe_code)]
#![allow(clippy::unwrap_used, missing_docs)]

mod commands;
mod company;
mod connections;
mod crowd;
mod disk;
mod faults;
mod folder;
mod gmcp;
mod hosts;
#[path = "../vectors/lines.rs"]
mod lines;
mod network;
mod parties;
mod ports;
mod people;
mod power;
mod proxy;
mod schema;
mod simulation;
mod stand;
mod telnet;
mod vectors;
mod vfs;
mod visit;
mod websocket;
mod worlds;
mod writer;
