//! What all the ways in have in common, telnet and the WebSocket: connections of the network on one side, sessions on the
//! other, and nothing decided here.
//!
//! A `Transport` is how one connection speaks: a bounded state machine that knows no socket and no World. `Lines` has
//! those of a port, gives sessions what comes in, at the pace that they take it, and connections what sessions say.

use std::collections::BTreeMap;

use crate::clock::Monotonic;
use crate::limits::OUTPUT_BYTES_MAX;
use crate::net::Net;
use crate::net::connection::{Connection, Listener, NEVER};
use crate::session::terminal::Terminal;
use crate::session::{Limit, Moment, Number, Output, People};
use crate::world::World;

/// How a connection speaks.
pub trait Transport {
    /// Takes bytes until something has happened or none is left. Returns how many it has taken, and what has happened;
    /// what the other end must be answered goes to `out`.
    fn hear(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> (usize, Option<Heard<'_>>);

    /// What is known of the terminal.
    fn terminal(&self) -> Terminal;

    /// Says what a session has to say.
    fn say(&mut self, output: &Output, out: &mut Vec<u8>);

    /// Gives a sign of life.
    fn keep_alive(&self, out: &mut Vec<u8>);

    /// Says that nothing comes after this, because the engine stops or for whatever reason was said.
    fn end(&mut self, is_stopping: bool, out: &mut Vec<u8>);
}

/// What has happened on a connection.
pub enum Heard<'a> {
    /// A line was typed.
    Line(&'a str),
    /// The beginning of a line that was too long.
    CutLine(&'a str),
    /// A message of GMCP: its package, and what it says.
    Message(&'a str, &'a str),
    /// Something that is known of the terminal has changed.
    Terminal,
    /// Nothing that a session would hear of.
    Sign,
    /// The connection is over, once what was answered is sent.
    End,
}

/// The connections of a port that have sessions.
pub struct Lines<T> {
    transports: BTreeMap<Number, T>,
    is_stopping: bool,
}

impl<T> Default for Lines<T> {
    fn default() -> Lines<T> {
        Lines { transports: BTreeMap::new(), is_stopping: false }
    }
}

impl<T: Transport> Lines<T> {
    /// Begins a session.
    pub fn open<L: Listener>(
        &mut self,
        number: Number,
        transport: T,
        net: &Net<L>,
        people: &mut People,
        moment: &mut Moment,
    ) {
        people.arrive(number, net.peer(number), &transport.terminal(), moment);
        self.transports.insert(number, transport);
    }

    /// Takes the lines of one connection, as many as its pace allows; the rest waits where it is. Returns how much there
    /// was to do, at least 1: to negotiate counts too.
    pub fn take_turn<L: Listener>(
        &mut self,
        number: Number,
        net: &mut Net<L>,
        people: &mut People,
        moment: &mut Moment,
    ) -> usize {
        let Some(transport) = self.transports.get_mut(&number) else { return 1 };
        let lines = net.with(number, |connection| take_lines(number, transport, connection, people, moment));
        lines.unwrap_or(0).max(1)
    }

    /// Ends the session of a connection that is gone.
    pub fn part(&mut self, number: Number, people: &mut People, now: Monotonic) {
        if self.transports.remove(&number).is_some() {
            people.part(number, now);
        }
    }

    /// Gives a sign of life to quiet connections.
    pub fn keep_alive<L: Listener>(&self, net: &mut Net<L>, quiet: &[Number]) {
        for number in quiet {
            let Some(transport) = self.transports.get(number) else { continue };
            net.with(*number, |connection| transport.keep_alive(&mut connection.output));
        }
    }

    /// Gives connections what their sessions have to say. One that has not taken what came before gets it later.
    pub fn send<L: Listener>(&mut self, net: &mut Net<L>, people: &mut People, world: &World, now: Monotonic) {
        let stirred: Vec<Number> = people.stirred().filter(|number| self.transports.contains_key(number)).collect();
        for number in stirred {
            let Some(transport) = self.transports.get_mut(&number) else { continue };
            net.with(number, |connection| {
                if connection.output.len() >= OUTPUT_BYTES_MAX || !connection.is_open() {
                    return;
                }
                let Some(output) = people.take_output(number, world, now) else { return };
                transport.say(&output, &mut connection.output);
                if output.is_in {
                    // They make way for none who only come.
                    connection.idle_since = NEVER;
                }
                if output.is_over {
                    transport.end(self.is_stopping, &mut connection.output);
                    // Whoever is told to go makes way before all others.
                    connection.idle_since = Monotonic::default();
                    connection.close();
                }
            });
        }
    }

    /// Who is told to go from now on is told because the engine stops.
    pub fn stop(&mut self) {
        self.is_stopping = true;
    }
}

fn take_lines(
    number: Number,
    transport: &mut impl Transport,
    connection: &mut Connection,
    people: &mut People,
    moment: &mut Moment,
) -> usize {
    let (mut used, mut lines) = (0, 0);
    connection.due = NEVER;
    while connection.is_open() && used < connection.input.len() {
        if people.is_behind(number) {
            // Its answer would be left out. What waits is sent in this turn: there is room for it in the next.
            connection.due = moment.now;
            break;
        }
        let at = people.takes_at(number);
        if at > moment.now {
            people.reach(Limit::Commands);
            connection.due = at;
            break;
        }
        let (taken, heard) = transport.hear(&connection.input[used..], &mut connection.output);
        used += taken;
        lines += usize::from(heard.is_some());
        match heard {
            Some(Heard::Line(line)) => people.line(number, line, moment),
            Some(Heard::CutLine(line)) => {
                people.complain_of_length(number);
                people.line(number, line, moment);
            }
            Some(Heard::Message(package, json)) => people.message(number, package, json, moment),
            Some(Heard::Terminal) => people.show_on(number, &transport.terminal()),
            Some(Heard::End) => connection.close(),
            Some(Heard::Sign) | None => (),
        }
    }
    if connection.is_open() {
        connection.consume(used);
        connection.idle_since = connection.idle_since.max(moment.now);
        if connection.ended && connection.due == NEVER {
            connection.close();
        }
    }
    lines
}
