//! What operators do with people. Who may is decided where they come in (`control.rs`); here it is done, and told in rows of
//! JSON, or why not.

use std::time::Duration;

use super::page::Style;
use super::{Moment, Number, People, Session, secret};
use crate::clock::{Monotonic, Wall};
use crate::json::Json;
use crate::text::{covers, network};
use crate::world::{EntityId, Player, World};

/// What an operator gets: rows, or why nothing was done.
pub type Answer = Result<Vec<String>, String>;

impl People {
    /// Everybody who is in the world, then whoever is still coming in.
    pub fn who(&self, world: &World, now: Monotonic) -> Vec<String> {
        let row = |id: Option<EntityId>, session: Option<&Session>| {
            let room = id.and_then(|id| world.entity(world.entity(id)?.location?));
            Json::object(|json| {
                json.key("name").string(id.map(|id| world.name_of(id)));
                json.key("guest").plain(id.and_then(|id| world.players.get(&id)).is_some_and(Player::is_guest));
                json.key("room").string(room.map(|room| world.name_of(room.id)));
                let address = session.and_then(|session| session.address).map(|address| address.to_string());
                json.key("connected").plain(session.is_some());
                json.key("address").string(address.as_deref());
                let client =
                    session.map(|session| session.terminal.client.as_str()).filter(|client| !client.is_empty());
                json.key("client").string(client);
                json.key("idle_seconds").number(session.map(|session| now.since(session.heard).as_secs()));
            })
        };
        let bodies = self
            .bodies
            .iter()
            .map(|(id, body)| row(Some(*id), body.session.and_then(|number| self.sessions.get(&number))));
        let coming =
            self.outside.iter().filter_map(|number| self.sessions.get(number)).map(|session| row(None, Some(session)));
        bodies.chain(coming).collect()
    }

    /// Issues a new password to a player who has lost theirs.
    pub fn renew_password(&mut self, name: &str, moment: &mut Moment) -> Answer {
        let (id, name) = player(name, moment.world)?;
        if moment.world.players.get(&id).is_none_or(Player::is_guest) {
            return Err(format!("{name} is a guest, and has no password"));
        }
        let password = secret::issue((moment.random)());
        let sealed = secret::sealed(&password);
        moment.world.change_player(id, |player| player.password = Some(sealed.into()));
        self.tell(id, Style::Notice, "An operator has made a new password for you.");
        Ok(vec![Json::object(|json| {
            json.key("name").string(name.as_str());
            json.key("password").string(password.as_str());
        })])
    }

    /// Ends the visit of a player.
    pub fn boot(&mut self, name: &str, moment: &mut Moment) -> Answer {
        let (id, name) = player(name, moment.world)?;
        if !self.bodies.contains_key(&id) {
            return Err(format!("{name} is not in the world"));
        }
        self.turn_out(id, "An operator has ended your visit.", moment.world);
        Ok(Vec::new())
    }

    fn turn_out(&mut self, id: EntityId, words: &'static str, world: &mut World) {
        let number = self.bodies.get(&id).and_then(|body| body.session);
        self.rest(id, world);
        number.into_iter().for_each(|number| self.end(number, words));
    }

    /// Keeps a player out, or everybody from an address or a network, until some time in seconds since 1970 or for ever.
    /// Whoever that covers and is here has to go.
    pub fn ban(&mut self, of: &str, until: Option<u64>, moment: &mut Moment) -> Answer {
        let of = match network(of) {
            Some(network) => network,
            None if of.contains(['.', ':', '/']) => {
                return Err(format!("{of} is no address, and no network such as 192.0.2.0/24"));
            }
            None => player(of, moment.world)?.1,
        };
        let now = moment.wall.0.as_secs();
        let over = moment.world.bans.values().filter(|ban| ban.until.is_some_and(|until| until <= now));
        for of in over.map(|ban| ban.of.clone()).collect::<Vec<_>>() {
            moment.world.lift_ban(&of);
        }
        if !moment.world.ban(&of, until) {
            return Err("there are as many bans as there may be: lift one of them first".to_owned());
        }
        let words = "An operator keeps you out from now on.";
        let named = moment.world.player_named(&of);
        let is_covered = |number: &Number| {
            let address = self.sessions.get(number).and_then(|session| session.address);
            address.is_some_and(|address| covers(&of, address))
        };
        let coming: Vec<Number> = self.outside.iter().copied().filter(is_covered).collect();
        let bodies = self
            .bodies
            .iter()
            .filter(|(id, body)| Some(**id) == named || body.session.as_ref().is_some_and(is_covered));
        let bodies: Vec<EntityId> = bodies.map(|(id, _)| *id).collect();
        let ended = coming.len() + bodies.len();
        coming.into_iter().for_each(|number| self.end(number, words));
        bodies.into_iter().for_each(|id| self.turn_out(id, words, moment.world));
        Ok(vec![Json::object(|json| {
            row_of_ban(json, &of, until);
            json.key("ended").plain(ended);
        })])
    }

    /// Lets a player in again, or everybody from an address or a network.
    pub fn lift_ban(&mut self, of: &str, world: &mut World) -> Answer {
        let name = network(of).or_else(|| Some(player(of, world).ok()?.1));
        match world.lift_ban(name.as_deref().unwrap_or(of)) {
            true => Ok(Vec::new()),
            false => Err(format!("{of} is not banned")),
        }
    }

    /// Lets nobody in any more, those who are about to come in among them; or lets people in again.
    pub fn close(&mut self, is_closed: bool) {
        self.is_closed = is_closed;
        let coming: Vec<Number> = if is_closed { self.outside.iter().copied().collect() } else { Vec::new() };
        coming.into_iter().for_each(|number| self.end(number, "The world is closed just now. Come again later."));
    }

    /// Tells everybody who is in the world.
    pub fn announce(&mut self, words: &str) {
        let everybody: Vec<EntityId> = self.bodies.keys().copied().collect();
        everybody.into_iter().for_each(|id| self.tell(id, Style::Notice, words));
    }
}

/// Who is kept out now, and until when.
pub fn bans(world: &World, wall: Wall) -> Vec<String> {
    let bans = world.bans.values().filter(|ban| ban.until.is_none_or(|until| until > wall.0.as_secs()));
    bans.map(|ban| Json::object(|json| row_of_ban(json, &ban.of, ban.until))).collect()
}

fn row_of_ban(json: &mut Json, of: &str, until: Option<u64>) {
    json.key("ban").string(of);
    let until = until.map(|until| Wall(Duration::from_secs(until)).rfc3339());
    json.key("until").string(until.as_deref());
}

/// A player, and the name as it is written.
fn player(name: &str, world: &World) -> Result<(EntityId, String), String> {
    let id = world.player_named(name).filter(|id| world.players.contains_key(id));
    let id = id.ok_or_else(|| format!("there is no player called {name}"))?;
    Ok((id, world.name_of(id).to_owned()))
}
