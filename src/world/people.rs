//! People: who may be in the world as a player, who may not, and how one comes in and goes.
//!
//! A player is an entity like others, with a record of its own beside it. One who is not there rests: the body stands
//! nowhere, has its place as its home, and keeps what it holds. Next: `session/`, where lines become commands.

use super::digest::Hasher;
use super::{Audience, Bound, Deed, Ear, Effect, Entity, EntityId, Kind, World, unheard};
use crate::limits::PLAYER_NAME_LETTERS;
use crate::text::keys;

keys! {
    /// How somebody holds themselves. Its number is part of stored digests, and its place in `ALL`.
    #[derive(Default)]
    Posture {
        #[default]
        /// On their feet.
        Standing [0] = "standing",
        /// Sitting.
        Sitting [1] = "sitting",
        /// Lying down.
        Resting [2] = "resting",
    }
}

keys! {
    /// What somebody wants of something that is otherwise found out, or known. Its number is part of stored digests, and
    /// its place in `ALL`.
    #[derive(Default)]
    Wish {
        #[default]
        /// As it is found.
        Auto [0] = "auto",
        /// Not.
        Off [1] = "off",
        /// Yes.
        On [2] = "on",
    }
}

/// What is stored of a player beside the entity.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Player<T = Box<str>> {
    /// The password, sealed; a guest has none.
    pub password: Option<T>,
    /// How the body holds itself.
    pub posture: Posture,
    /// No descriptions on the way.
    pub brief: bool,
    /// Without prompts.
    pub no_prompt: bool,
    /// Without a sign of life while nothing is sent.
    pub no_keepalive: bool,
    /// Colours.
    pub colour: Wish,
    /// Words for a screen reader.
    pub screen_reader: Wish,
    /// Columns of a line; 0: as it is found.
    pub width: u16,
    /// Words that follow the name.
    pub title: Option<T>,
    /// When they came for the first time, in seconds since 1970, if that is known.
    pub since: Option<u64>,
}

impl<T> Player<T> {
    /// Whether the player is gone for ever when they leave.
    pub fn is_guest(&self) -> bool {
        self.password.is_none()
    }

    /// The same with its texts taken another way.
    pub fn with_texts<'a, U>(&'a self, take: impl Fn(&'a T) -> U) -> Player<U> {
        let Player { password, posture, brief, no_prompt, no_keepalive, colour, screen_reader, width, .. } = self;
        Player {
            password: password.as_ref().map(&take),
            posture: *posture,
            brief: *brief,
            no_prompt: *no_prompt,
            no_keepalive: *no_keepalive,
            colour: *colour,
            screen_reader: *screen_reader,
            width: *width,
            title: self.title.as_ref().map(take),
            since: self.since,
        }
    }
}

impl Player {
    /// The same, with its texts where they are.
    pub fn borrowed(&self) -> Player<&str> {
        self.with_texts(AsRef::as_ref)
    }
}

impl<T: AsRef<str>> Player<T> {
    /// A digest of every field, and of whose they are.
    pub fn digest(&self, id: EntityId) -> u64 {
        let Player { password, posture, brief, no_prompt, no_keepalive, colour, .. } = self;
        let Player { screen_reader, width, title, since, .. } = self;
        let mut hasher = Hasher::new(5);
        hasher.number(id.get()).text_option(password.as_ref().map(AsRef::as_ref));
        let flags = [brief, no_prompt, no_keepalive].map(|flag| u64::from(*flag));
        let numbers = [*posture as u64, *colour as u64, *screen_reader as u64, u64::from(*width)];
        flags.into_iter().chain(numbers).for_each(|number| _ = hasher.number(number));
        // Came later: the digests of what has them not are as they were before.
        if title.is_some() || since.is_some() {
            hasher.text_option(title.as_ref().map(AsRef::as_ref)).option(*since);
        }
        hasher.finish()
    }
}

/// Somebody, or everybody from somewhere, who is not let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ban {
    /// A name, or an address with the length of its prefix, as in `192.0.2.0/24`.
    pub of: Box<str>,
    /// When it ends, in seconds since 1970; `None`: never.
    pub until: Option<u64>,
}

/// The last moment that is kept, in seconds since 1970: it fits SQLite's signed integers.
pub const SECONDS_MAX: u64 = i64::MAX as u64;

impl Ban {
    /// A digest of every field, and of its number.
    pub fn digest(&self, id: EntityId) -> u64 {
        let mut hasher = Hasher::new(6);
        hasher.number(id.get()).text(&self.of).option(self.until).finish()
    }
}

keys! {
    /// What is kept for players. Its number is part of stored digests, and its place in `ALL`.
    Keeping {
        /// A word of their own, the name, and what it stands for.
        Alias [0] = "alias",
        /// What somebody of that name has told them while they were away.
        Tell [1] = "tell",
    }
}

/// Something that is kept for a player.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keepsake {
    /// Whose it is.
    pub player: EntityId,
    /// What it is.
    pub kind: Keeping,
    /// A name that belongs to it.
    pub name: Box<str>,
    /// Its words.
    pub text: Box<str>,
    /// Since when it is kept, in seconds since 1970.
    pub at: u64,
}

impl Keepsake {
    /// A digest of every field, and of its number.
    pub fn digest(&self, id: EntityId) -> u64 {
        let Keepsake { player, kind, name, text, at } = self;
        let mut hasher = Hasher::new(7);
        [id.get(), player.get(), *kind as u64, *at].into_iter().for_each(|number| _ = hasher.number(number));
        hasher.text(name).text(text).finish()
    }
}

/// A name as it is compared: its case does not matter, and what looks alike is one, for I and l do.
pub fn folded(name: &str) -> String {
    name.chars()
        .map(|letter| letter.to_ascii_lowercase())
        .map(|letter| if letter == 'i' { 'l' } else { letter })
        .collect()
}

/// The name that no player can have because of this one: a creature's of one word, or of one after another, such as an
/// article.
pub(super) fn taken_by(entity: &Entity) -> Option<String> {
    let called = entity.name.as_deref().filter(|_| entity.kind == Kind::Creature)?;
    let mut words = called.split(' ').rev();
    let last = words.next().filter(|last| PLAYER_NAME_LETTERS.contains(&last.len()))?;
    // No more is kept than can matter: in a large world many have numbers for names.
    if !last.bytes().all(|letter| letter.is_ascii_alphabetic()) {
        return None;
    }
    (words.count() < 2).then(|| folded(last))
}

impl World {
    /// The player of a name, however it is written.
    pub fn player_named(&self, name: &str) -> Option<EntityId> {
        self.names.get(&folded(name)).copied()
    }

    /// Where one stands who comes in for the first time: the first of all rooms.
    pub fn first_room(&self) -> Option<EntityId> {
        self.rooms.first().copied()
    }

    /// Whether a creature is called so, with an article or without.
    pub fn has_creature_named(&self, name: &str) -> bool {
        self.taken.contains(&folded(name))
    }

    /// The players whose names begin so, by name.
    pub fn players_like(&self, start: &str) -> impl Iterator<Item = EntityId> {
        let start = folded(start);
        let names = self.names.range(start.clone()..);
        names.take_while(move |(name, _)| name.starts_with(&start)).map(|(_, id)| *id)
    }

    /// Makes a player, or a guest if there is no password, who rests in the first room until they enter. `None`: there is
    /// no room for one more, or the name is taken.
    pub fn add_player(&mut self, name: &str, password: Option<String>) -> Option<EntityId> {
        let room = self.first_room()?;
        if self.player_named(name).is_some() || self.is_full(Bound::Players) {
            return None;
        }
        let entity = |id| Entity { name: Some(name.into()), home: Some(room), ..Entity::new(id, Kind::Player) };
        let id = self.create(entity)?;
        self.parts.players.insert(id, Player { password: password.map(Into::into), ..Player::default() });
        Some(id)
    }

    /// Makes a guest a player.
    pub fn register(&mut self, guest: EntityId, name: &str, password: String, hear: Ear) -> bool {
        let Some(before) = self.entity(guest).and_then(|entity| entity.name.as_deref()).map(folded) else {
            return false;
        };
        if self.player_named(name).is_some() || !self.players.get(&guest).is_some_and(Player::is_guest) {
            return false;
        }
        if let Some(room) = self.entity(guest).and_then(|entity| entity.location) {
            hear(self, &Effect { audience: Audience::Room(room), actor: Some(guest), deed: Deed::Becomes(name) });
        }
        if let Some(entity) = self.change(guest) {
            entity.name = Some(name.into());
        }
        self.change_player(guest, |player| player.password = Some(password.into()));
        self.names.remove(&before);
        self.names.insert(folded(name), guest);
        true
    }

    /// Changes what is stored of a player beside the entity.
    pub fn change_player(&mut self, id: EntityId, change: impl FnOnce(&mut Player)) {
        self.note(id);
        self.parts.players.get_mut(&id).map(change);
    }

    /// Sets what people see who look at a player.
    pub fn describe(&mut self, id: EntityId, description: &str) {
        if let Some(entity) = self.change(id).filter(|entity| entity.kind == Kind::Player) {
            entity.description = (!description.is_empty()).then(|| description.into());
        }
    }

    /// Lets a player who rests come in where they were.
    pub fn wake(&mut self, id: EntityId, hear: Ear) {
        let Some(entity) = self.entity(id).filter(|entity| entity.location.is_none()) else { return };
        let Some(room) = entity.home.or_else(|| self.first_room()) else { return };
        self.relocate(id, Some(room));
        hear(self, &Effect { audience: Audience::Room(room), actor: Some(id), deed: Deed::Enters });
    }

    /// Lets a player rest, out of sight; a guest is no more, and what they held lies where they stood.
    pub fn rest(&mut self, id: EntityId, hear: Ear) {
        let Some(is_guest) = self.players.get(&id).map(Player::is_guest) else { return };
        if let Some(room) = self.entity(id).and_then(|entity| entity.location) {
            hear(self, &Effect { audience: Audience::Room(room), actor: Some(id), deed: Deed::Leaves });
            if !is_guest {
                self.relocate(id, None);
                self.change(id).into_iter().for_each(|entity| entity.home = Some(room));
            }
        }
        if is_guest {
            self.destroy(id);
        }
    }

    /// Lets everybody rest: nobody is there when an engine starts.
    pub fn rest_all(&mut self) {
        let players: Vec<EntityId> = self.players.keys().copied().collect();
        players.into_iter().for_each(|id| self.rest(id, &mut unheard));
    }

    /// Keeps somebody out. False: there are as many bans as there may be.
    pub fn ban(&mut self, of: &str, until: Option<u64>) -> bool {
        self.lift_ban(of);
        let Some(id) = self.number(Bound::Bans) else { return false };
        self.parts.bans.insert(id, Ban { of: of.into(), until: until.map(|until| until.min(SECONDS_MAX)) });
        true
    }

    /// The next number, for what is no entity, if there is room for one more.
    fn number(&mut self, bound: Bound) -> Option<EntityId> {
        let id = EntityId::new(self.next_id).filter(|_| !self.is_full(bound))?;
        self.parts.next_id += 1;
        self.note(id);
        Some(id)
    }

    /// Lets somebody in again. False: nobody of that name was kept out.
    pub fn lift_ban(&mut self, of: &str) -> bool {
        let found = self.bans.iter().find(|(_, ban)| ban.of.eq_ignore_ascii_case(of)).map(|(id, _)| *id);
        if let Some(id) = found {
            self.note(id);
            self.parts.bans.remove(&id);
            self.forget_unseen(id);
        }
        found.is_some()
    }

    /// What of one kind is kept for a player, in the order in which it came.
    pub fn kept(&self, player: EntityId, kind: Keeping) -> impl Iterator<Item = (EntityId, &Keepsake)> {
        let own = self.kept.get(&player).into_iter().flatten();
        own.filter_map(|id| Some((*id, self.keepsakes.get(id)?))).filter(move |(_, kept)| kept.kind == kind)
    }

    /// Keeps something for a player. False: for a guest nothing is kept, or there is as much as there may be.
    pub fn keep(&mut self, keepsake: Keepsake) -> bool {
        let is_guest = self.players.get(&keepsake.player).is_none_or(Player::is_guest);
        let Some(id) = Some(Bound::Keepsakes).filter(|_| !is_guest).and_then(|bound| self.number(bound)) else {
            return false;
        };
        self.kept.entry(keepsake.player).or_default().push(id);
        self.parts.keepsakes.insert(id, Keepsake { at: keepsake.at.min(SECONDS_MAX), ..keepsake });
        true
    }

    /// Keeps something no longer.
    pub fn forget(&mut self, id: EntityId) {
        let Some(player) = self.keepsakes.get(&id).map(|keepsake| keepsake.player) else { return };
        self.note(id);
        self.parts.keepsakes.remove(&id);
        if let Some(ids) = self.kept.get_mut(&player) {
            ids.retain(|kept| *kept != id);
            if ids.is_empty() {
                self.kept.remove(&player);
            }
        }
        self.forget_unseen(id);
    }
}
