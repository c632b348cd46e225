//! The port of the browser: the page to play on, and its WebSocket, which has a session from its handshake on. Nothing
//! else is to be had here.

use std::io;
use std::mem;

use super::handshake::{Subprotocol, shake};
use super::{Event, Socket, code};
use crate::http::answer::{Counters, Status, error, no_content, page};
use crate::http::page::Page;
use crate::http::request::{Method, Path, Request};
use crate::http::server::{Reply, Server, Site};
use crate::limits::{LINES_PER_TURN, SESSION_WRITE_MS_MAX};
use crate::net::Net;
use crate::net::connection::{Listener, NEVER};
use crate::session::terminal::Terminal;
use crate::session::{Moment, Number, Output, People};
use crate::sys::Readiness;
use crate::transport::{Heard, Lines, Transport};

/// The port and its connections.
pub struct Port {
    /// Its HTTP.
    pub server: Server,
    /// Those of its connections that have become WebSockets.
    pub lines: Lines<Socket>,
    page: Page,
    /// From which further origins that page may be used.
    origins: Vec<String>,
}

/// What is to be had here, in one turn of the loop.
struct Place<'a, 'm> {
    page: &'a Page,
    origins: &'a [String],
    lines: &'a mut Lines<Socket>,
    people: &'a mut People,
    moment: &'a mut Moment<'m>,
    /// What the connection that is opened next will speak.
    chosen: Subprotocol,
}

impl Port {
    /// Lets in whoever comes by way of `listener`, at most `connections_max` at a time; pages of these `origins` may open
    /// WebSockets too.
    pub fn open<L: Listener>(
        listener: L,
        connections_max: usize,
        origins: Vec<String>,
        net: &mut Net<L>,
        poller: &mut impl Readiness,
    ) -> io::Result<Port> {
        let server = Server::bounded(listener, connections_max, LINES_PER_TURN, SESSION_WRITE_MS_MAX, net, poller)?;
        let page =
            Page::new(include_str!("page/play.html"), include_str!("page/play.css"), include_str!("page/play.js"));
        Ok(Port { server, lines: Lines::default(), page, origins })
    }

    /// Hears those that have a turn, and lets in who has connected.
    pub fn serve<L: Listener>(&mut self, net: &mut Net<L>, people: &mut People, moment: &mut Moment) {
        let (now, wall) = (moment.now, moment.wall);
        let Port { server, lines, page, origins } = self;
        let mut place = Place { page, origins, lines, people, moment, chosen: Subprotocol::Plain };
        server.serve(net, now, wall, &mut place);
    }

    /// Lets nobody else in.
    pub fn stop<L: Listener>(&mut self, net: &mut Net<L>) {
        self.lines.stop();
        self.server.stop(net);
    }
}

impl<'a, L: Listener> Site<'a, L> for Place<'a, '_> {
    fn answer(&mut self, request: &Request, head: &[u8], _: &Counters) -> Reply<'a> {
        Reply::Answer(match (request.method, request.path) {
            (Method::Unknown, _) => error(Status::NotImplemented, "this method is not known here"),
            (Method::NotAllowed, _) => error(Status::MethodNotAllowed, "only GET, HEAD and OPTIONS are allowed here"),
            (Method::Options, Path::Root | Path::Socket) | (_, Path::Asterisk) => no_content(),
            (_, Path::Root) => page(self.page),
            (_, Path::Socket) => {
                let mut answer = Vec::new();
                match shake(request, head, self.origins, &mut answer) {
                    Ok(chosen) => {
                        self.chosen = chosen;
                        return Reply::Switch(answer);
                    }
                    Err(refusal) => {
                        let (status, message) = refusal.answer();
                        error(status, message)
                    }
                }
            }
            _ => error(Status::NotFound, "there are / and /ws here"),
        })
    }

    fn open(&mut self, number: Number, net: &mut Net<L>) {
        let socket = Socket::new(mem::take(&mut self.chosen));
        net.with(number, |connection| connection.due = NEVER);
        self.lines.open(number, socket, net, self.people, self.moment);
    }

    fn take_turn(&mut self, number: Number, net: &mut Net<L>) -> usize {
        self.lines.take_turn(number, net, self.people, self.moment)
    }

    fn part(&mut self, number: Number) {
        self.lines.part(number, self.people, self.moment.now);
    }
}

impl Transport for Socket {
    fn hear(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> (usize, Option<Heard<'_>>) {
        let (taken, event) = self.next(bytes, out);
        let heard = event.map(|event| match event {
            Event::Line(line) => Heard::Line(line),
            Event::CutLine(line) => Heard::CutLine(line),
            Event::Gmcp { package, json } => Heard::Message(package, json),
            Event::Frame => Heard::Sign,
            Event::Closed => Heard::End,
        });
        (taken, heard)
    }

    fn terminal(&self) -> Terminal {
        Socket::terminal(self)
    }

    fn say(&mut self, output: &Output, out: &mut Vec<u8>) {
        output.messages.iter().for_each(|(package, json)| self.gmcp(package, json, out));
        self.text(&output.text, out);
        output.prompt.iter().for_each(|prompt| self.text(prompt, out));
    }

    fn keep_alive(&self, out: &mut Vec<u8>) {
        self.ping(out);
    }

    fn end(&mut self, is_stopping: bool, out: &mut Vec<u8>) {
        self.close(if is_stopping { code::GOING_AWAY } else { code::NORMAL }, out);
    }
}
