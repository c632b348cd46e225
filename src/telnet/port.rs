//! The port of telnet: whoever connects has a session at once, as soon as it is known where they come from.

use std::io;

use super::{Event, Telnet};
use crate::limits::{LINES_PER_TURN, SESSION_WRITE_MS_MAX, TELNET_INPUT_BYTES_MAX};
use crate::net::Net;
use crate::net::connection::{Listener, NEVER};
use crate::session::terminal::Terminal;
use crate::session::{Limit, Moment, Output, People};
use crate::sys::Readiness;
use crate::transport::{Heard, Lines, Transport};

/// The port and its connections.
pub struct Port {
    /// Which port of the network it is.
    pub port: usize,
    /// Its connections.
    pub lines: Lines<Telnet>,
}

impl Port {
    /// Lets in whoever comes by way of `listener`, at most `connections_max` at a time.
    pub fn open<L: Listener>(
        listener: L,
        connections_max: usize,
        net: &mut Net<L>,
        poller: &mut impl Readiness,
    ) -> io::Result<Port> {
        let port = net.open(listener, connections_max, TELNET_INPUT_BYTES_MAX, SESSION_WRITE_MS_MAX, poller)?;
        Ok(Port { port, lines: Lines::default() })
    }

    /// Hears those that have a turn, and lets in who has connected.
    pub fn serve<L: Listener>(&mut self, net: &mut Net<L>, people: &mut People, moment: &mut Moment) {
        let mut budget = LINES_PER_TURN;
        while budget > 0
            && let Some(number) = net.next(self.port)
        {
            budget = budget.saturating_sub(self.lines.take_turn(number, net, people, moment));
        }
        if net.is_behind(self.port) {
            people.reach(Limit::LinesPerTurn);
        }
        // A session has deadlines of its own.
        for number in net.accept(self.port, moment.now, NEVER) {
            if let Some(telnet) = net.with(number, |connection| Telnet::new(&mut connection.output)) {
                self.lines.open(number, telnet, net, people, moment);
            }
        }
        for number in net.gone(self.port) {
            self.lines.part(number, people, moment.now);
        }
    }

    /// Lets nobody else in.
    pub fn stop<L: Listener>(&mut self, net: &mut Net<L>) {
        self.lines.stop();
        net.refuse(self.port);
    }
}

impl Transport for Telnet {
    fn hear(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> (usize, Option<Heard<'_>>) {
        let (taken, event) = self.next(bytes, out);
        let heard = event.map(|event| match event {
            Event::Line(line) => Heard::Line(line),
            Event::CutLine(line) => Heard::CutLine(line),
            Event::Message { package, json } => Heard::Message(package, json),
            Event::AreYouThere => Heard::Sign,
            Event::Terminal => Heard::Terminal,
            Event::Foreign => Heard::End,
        });
        (taken, heard)
    }

    fn terminal(&self) -> Terminal {
        Telnet::terminal(self).clone()
    }

    fn say(&mut self, output: &Output, out: &mut Vec<u8>) {
        output.messages.iter().for_each(|(package, json)| self.message(package, json, out));
        output.status.iter().for_each(|table| self.status(table, out));
        self.text(&output.text, out);
        self.secret(output.is_secret, out);
        output.prompt.iter().for_each(|prompt| self.prompt(prompt, out));
    }

    fn keep_alive(&self, out: &mut Vec<u8>) {
        Telnet::keep_alive(self, out);
    }

    fn end(&mut self, _: bool, _: &mut Vec<u8>) {}
}
