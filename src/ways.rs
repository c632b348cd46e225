//! The ways in for people, telnet and the browser's: where they listen, and their ports once the world is there. Until then
//! whoever comes waits before the door.

use std::io;
use std::net::{SocketAddr, TcpListener};

use crate::clock::Monotonic;
use crate::config::{Config, TELNET_ADDR, WEB_ADDR};
use crate::exit::{Exit, LISTEN};
use crate::http::answer;
use crate::limits::{TELNET_CONNECTIONS_MAX, WEB_CONNECTIONS_MAX};
use crate::net::connection::{self, Door};
use crate::net::{Counters, Net};
use crate::session::{Moment, Number, People};
use crate::sys::Readiness;
use crate::telnet;
use crate::web;
use crate::world::World;

/// All of them.
pub struct Ways {
    telnet: Way<telnet::port::Port>,
    web: Way<web::port::Port>,
    /// From which further origins people may come by a browser.
    origins: Vec<String>,
    /// The proxies that may bring them.
    proxies: Vec<String>,
}

/// One of them, unless it is not wanted.
struct Way<P> {
    address: Option<SocketAddr>,
    listener: Option<TcpListener>,
    port: Option<P>,
}

impl<P> Way<P> {
    fn listen(what: &str, variable: &str, address: Option<SocketAddr>) -> Result<Way<P>, Exit> {
        let (listener, address) = address.map(|address| listen(what, variable, address)).transpose()?.unzip();
        Ok(Way { address, listener, port: None })
    }
}

impl Ways {
    /// Listens wherever people may come in.
    pub fn listen(config: &Config) -> Result<Ways, Exit> {
        Ok(Ways {
            telnet: Way::listen("telnet", TELNET_ADDR, config.telnet_addr)?,
            web: Way::listen("the page to play on", WEB_ADDR, config.web_addr)?,
            origins: config.web_origins.clone(),
            proxies: config.trusted_proxies.clone(),
        })
    }

    /// Where telnet listens, and where a browser of this machine finds the page; nothing for what does not.
    pub fn addresses(&self) -> [String; 2] {
        let page = |address: SocketAddr| match address.ip().is_unspecified() {
            true => format!("http://localhost:{}/", address.port()),
            false => format!("http://{address}/"),
        };
        let telnet = self.telnet.address.map(|address| address.to_string());
        [telnet, self.web.address.map(page)].map(Option::unwrap_or_default)
    }

    /// The port of telnet.
    pub fn telnet_port(&self) -> Option<u16> {
        self.telnet.address.map(|address| address.port())
    }

    /// Lets in whoever has come, and whoever comes.
    pub fn open(&mut self, net: &mut Net, poller: &mut impl Readiness) -> io::Result<()> {
        if let Some(listener) = self.telnet.listener.take() {
            // Where there are few places, some are left for browsers.
            let places = if self.web.listener.is_some() { net.places / 2 } else { net.places };
            let places = places.min(TELNET_CONNECTIONS_MAX);
            self.telnet.port = Some(telnet::port::Port::open(Door::Tcp(listener), places, net, poller)?);
        }
        if let Some(listener) = self.web.listener.take() {
            let (door, origins) = (Door::Tcp(listener), self.origins.clone());
            self.web.port = Some(web::port::Port::open(door, WEB_CONNECTIONS_MAX, origins, net, poller)?);
        }
        self.ports().into_iter().flatten().for_each(|port| net.trust(port, &self.proxies));
        Ok(())
    }

    /// Gives a sign of life to those that are quiet, hears those that have a turn, and lets in who has connected.
    pub fn serve(&mut self, quiet: &[Number], net: &mut Net, people: &mut People, moment: &mut Moment) {
        if let Some(port) = &mut self.telnet.port {
            port.lines.keep_alive(net, quiet);
            port.serve(net, people, moment);
        }
        if let Some(port) = &mut self.web.port {
            port.lines.keep_alive(net, quiet);
            port.serve(net, people, moment);
        }
    }

    /// Gives people what there is for them to read.
    pub fn send(&mut self, net: &mut Net, people: &mut People, world: &World, now: Monotonic) {
        self.telnet.port.iter_mut().for_each(|port| port.lines.send(net, people, world, now));
        self.web.port.iter_mut().for_each(|port| port.lines.send(net, people, world, now));
    }

    /// Lets nobody else in.
    pub fn stop(&mut self, net: &mut Net) {
        self.telnet.port.iter_mut().for_each(|port| port.stop(net));
        self.web.port.iter_mut().for_each(|port| port.stop(net));
    }

    /// Whether, after the last who could come, everybody has gone.
    pub fn are_done(&self, net: &Net) -> bool {
        self.ports().into_iter().flatten().all(|port| net.is_done(port))
    }

    /// What is counted of their connections.
    pub fn counters(&self, net: &Net) -> [Counters; 2] {
        self.ports().map(|port| port.map(|port| net.counters(port)).unwrap_or_default())
    }

    /// What is counted of the HTTP of browsers.
    pub fn http_counters(&self) -> Option<&answer::Counters> {
        self.web.port.as_ref().map(|port| &port.server.counters)
    }

    fn ports(&self) -> [Option<usize>; 2] {
        [self.telnet.port.as_ref().map(|port| port.port), self.web.port.as_ref().map(|port| port.server.port)]
    }
}

/// Listens where a variable says, or says what to do if that cannot be; returns the address with the port that was picked.
pub fn listen(what: &str, variable: &str, address: SocketAddr) -> Result<(TcpListener, SocketAddr), Exit> {
    let bound = connection::listen(address).and_then(|listener| Ok((listener.local_addr()?, listener)));
    bound.map(|(address, listener)| (listener, address)).map_err(|error| Exit {
        code: LISTEN,
        problems: vec![format!("cannot listen on {address}: {error}")],
        advice: format!(
            "{variable} sets where {what} listens: choose an address of this machine and a port that nobody else has, such \
             as 127.0.0.1:7879, or port 0 for any that is free."
        ),
    })
}
