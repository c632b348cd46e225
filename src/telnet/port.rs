//! The port of telnet: connections of the network on one side, sessions on the other, and nothing decided here.

use std::collections::BTreeMap;
use std::io;

use super::{Event, Telnet};
use crate::clock::Monotonic;
use crate::limits::{OUTPUT_BYTES_MAX, TELNET_INPUT_BYTES_MAX, TELNET_LINES_PER_TURN, TELNET_WRITE_MS_MAX};
use crate::net::Net;
use crate::net::connection::{Connection, Listener, NEVER};
use crate::session::{Limit, Moment, Number, People};
use crate::sys::Readiness;

/// The port and its connections.
pub struct Port {
    /// Which port of the network it is.
    pub port: usize,
    /// By the numbers of their connections.
    lines: BTreeMap<Number, Telnet>,
}

impl Port {
    /// Lets in whoever comes by way of `listener`, at most `connections_max` at a time.
    pub fn open<L: Listener>(
        listener: L,
        connections_max: usize,
        net: &mut Net<L>,
        poller: &mut impl Readiness,
    ) -> io::Result<Port> {
        let port = net.open(listener, connections_max, TELNET_INPUT_BYTES_MAX, TELNET_WRITE_MS_MAX, poller)?;
        Ok(Port { port, lines: BTreeMap::new() })
    }

    /// Hears those that have a turn, and lets in who has connected.
    pub fn serve<L: Listener>(&mut self, net: &mut Net<L>, people: &mut People, moment: &mut Moment) {
        let mut budget = TELNET_LINES_PER_TURN;
        while budget > 0
            && let Some(number) = net.next(self.port)
        {
            let Some(telnet) = self.lines.get_mut(&number) else { continue };
            let lines = net.with(number, |connection| take_turn(number, telnet, connection, people, moment));
            // To negotiate counts too.
            budget = budget.saturating_sub(lines.unwrap_or(0).max(1));
        }
        if net.is_behind(self.port) {
            people.reach(Limit::LinesPerTurn);
        }
        // A session has deadlines of its own.
        for number in net.accept(self.port, moment.now, NEVER) {
            let address = net.peer(number);
            let telnet = net.with(number, |connection| Telnet::new(&mut connection.output));
            if let Some(telnet) = telnet {
                self.lines.insert(number, telnet);
                people.arrive(number, address, moment);
            }
        }
        for number in net.gone(self.port) {
            self.lines.remove(&number);
            people.part(number, moment.now);
        }
    }

    /// Gives a sign of life to quiet connections.
    pub fn keep_alive<L: Listener>(&mut self, net: &mut Net<L>, quiet: &[Number]) {
        for number in quiet {
            let Some(telnet) = self.lines.get(number) else { continue };
            net.with(*number, |connection| telnet.keep_alive(&mut connection.output));
        }
    }

    /// Gives connections what their sessions have to say. One that has not taken what came before gets it later.
    pub fn send<L: Listener>(&mut self, net: &mut Net<L>, people: &mut People, now: Monotonic) {
        let stirred: Vec<Number> = people.stirred().filter(|number| self.lines.contains_key(number)).collect();
        for number in stirred {
            let Some(telnet) = self.lines.get_mut(&number) else { continue };
            net.with(number, |connection| {
                if connection.output.len() >= OUTPUT_BYTES_MAX || !connection.is_open() {
                    return;
                }
                let Some(output) = people.take_output(number, now) else { return };
                telnet.text(&output.text, &mut connection.output);
                telnet.secret(output.is_secret, &mut connection.output);
                output.prompt.into_iter().for_each(|prompt| telnet.prompt(prompt, &mut connection.output));
                if output.is_in {
                    // They make way for none who only come.
                    connection.idle_since = NEVER;
                }
                if output.is_over {
                    // Whoever is told to go makes way before all others.
                    connection.idle_since = Monotonic::default();
                    connection.close();
                }
            });
        }
    }

    /// Lets nobody else in.
    pub fn stop<L: Listener>(&self, net: &mut Net<L>) {
        net.refuse(self.port);
    }
}

/// Takes the lines of one connection, as many as its pace allows; the rest waits where it is. Returns how much there was
/// to do.
fn take_turn(
    number: Number,
    telnet: &mut Telnet,
    connection: &mut Connection,
    people: &mut People,
    moment: &mut Moment,
) -> usize {
    let (mut used, mut lines) = (0, 0);
    connection.due = NEVER;
    while connection.is_open() && used < connection.input.len() {
        let at = people.takes_at(number);
        if at > moment.now {
            people.reach(Limit::Commands);
            connection.due = at;
            break;
        }
        let (taken, event) = telnet.next(&connection.input[used..], &mut connection.output);
        used += taken;
        lines += usize::from(event.is_some());
        match event {
            Some(Event::Line(line)) => people.line(number, line, moment),
            Some(Event::CutLine(line)) => {
                people.complain_of_length(number);
                people.line(number, line, moment);
            }
            Some(Event::Terminal) => people.show_on(number, telnet.terminal()),
            Some(Event::Foreign) => connection.close(),
            Some(Event::AreYouThere) | None => (),
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
