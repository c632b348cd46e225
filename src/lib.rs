//! Aqevia Engine hosts exactly one World: a persistent text world in two processes of one thread
//! each: the loop, which has the World and talks to strangers, and the writer, which has the database.
//!
//! Each module below uses only those above it; `engine` alone knows them all. To read the whole source, take them in
//! this order, or begin with `engine` to see the loop that everything else serves.

pub mod limits;
pub mod text;
pub mod clock;
pub mod sys;
pub mod schedule;
pub mod log;
pub mod json;
pub mod config;
pub mod metrics;
pub mod world;
pub mod storage;
pub mod exit;
pub mod writer;
pub mod net;
pub mod session;
pub mod transport;
pub mod telnet;
pub mod http;
pub mod web;
pub mod ways;
pub mod control;
pub mod engine;
pub mod cli;
