//! People: who one is, a line that becomes a command of the world, effects of the world that become lines. Knows no
//! transport: telnet and the WebSocket are thin layers under it.
//!
//! A *session* is a connection and whoever is at its other end; a *body* is a player who is in the world, and may be
//! without a session for a while. Everything here happens at once, in one turn of the loop: what is to be sent waits in the
//! session until its transport has room. Next: `login.rs` for who comes in, `commands.rs` for what they can do.
#![forbid(unsafe_code)]

pub mod commands;
mod company;
mod deeds;
mod gmcp;
pub mod login;
mod look;
mod matching;
pub mod mssp;
pub mod operators;
pub mod page;
pub mod secret;
pub mod terminal;
mod throttle;
pub mod words;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::mem;
use std::net::IpAddr;
use std::time::Duration;

use crate::clock::{Monotonic, Wall};
use crate::limits::{
    ABSENCE_MS_MAX, COMMAND_BURST, COMMAND_PACE_MS, IDLE_MS_MAX, IDLE_WARNING_MS, KEEPALIVE_MS, LOGIN_MS_MAX,
    MISSED_LINES_MAX, OUTPUT_BYTES_MAX, WARNING_INTERVAL_MS,
};
use crate::log::{Level, Line};
use crate::text::keys;
use crate::world::{Audience, Deed, Effect, EntityId, Kind, Player, World};
use company::Said;
use gmcp::{Gmcp, Message, Scene};
use login::Stage;
use page::{Style, View};
use terminal::{Messages, Terminal};
use throttle::Throttle;

/// The number of a connection; it is never used again.
pub type Number = u64;

keys! {
    /// What bounds people.
    Limit {
        /// `SESSIONS_PER_ADDRESS_MAX`.
        Address = "address",
        /// `LOGINS_MAX`.
        Logins = "logins",
        /// `LOGIN_MS_MAX`.
        LoginTime = "login_time",
        /// Logins that had to wait.
        Throttle = "throttle",
        /// `COMMAND_PACE_MS`.
        Commands = "commands",
        /// `LINES_PER_TURN`.
        LinesPerTurn = "lines_per_turn",
        /// `OUTPUT_BYTES_MAX`.
        Output = "output",
        /// `IDLE_MS_MAX`.
        Idle = "idle",
        /// Bans.
        Banned = "banned",
        /// The world is closed to new logins.
        Closed = "closed",
    }
}

/// What is counted of people.
#[derive(Debug, Default)]
pub struct Counts {
    /// Lines that were taken as commands of players.
    pub commands: u64,
    /// Players and guests who came in.
    pub logins: u64,
    /// Wrong passwords.
    pub failures: u64,
    /// How often each limit was reached, in the order of `Limit::ALL`.
    pub reached: [u64; Limit::ALL.len()],
}

/// What a line meets: the world, the time, and where random bits come from.
pub struct Moment<'a> {
    /// The world.
    pub world: &'a mut World,
    /// Now.
    pub now: Monotonic,
    /// Now, as others count.
    pub wall: Wall,
    /// Bits for a new password.
    pub random: &'a mut dyn FnMut() -> [u8; 10],
}

/// Everybody who is connected, and everybody who is in the world.
#[derive(Default)]
pub struct People {
    sessions: BTreeMap<Number, Session>,
    bodies: BTreeMap<EntityId, Body>,
    /// Sessions that have something to be sent.
    stirred: BTreeSet<Number>,
    /// What is shown of rooms by messages, since something was moved last.
    scenes: BTreeMap<EntityId, Scene>,
    /// When something is to be looked at next.
    due: BTreeSet<(Monotonic, Due)>,
    /// When the last line was taken.
    now: Monotonic,
    throttle: Throttle,
    /// How many sessions there are from each address, as `login::network` has it. None is 0.
    addresses: BTreeMap<String, usize>,
    /// Sessions in which nobody has come in yet.
    outside: BTreeSet<Number>,
    /// How many guests there were.
    guests: u64,
    /// When it was logged last that a limit was reached.
    warned_at: [Option<Monotonic>; Limit::ALL.len()],
    /// Nobody may come in for the time being.
    pub is_closed: bool,
    /// What crawlers are told beside what changes.
    pub fixed: mssp::Table,
    /// When it was logged last that they are told of a World without a name of its own.
    unnamed_at: Option<Monotonic>,
    /// What is counted.
    pub counts: Counts,
    /// What is to be logged.
    pub notes: Vec<Line>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    Session(Number),
    Body(EntityId),
}

const KEEPALIVE: Duration = Duration::from_millis(KEEPALIVE_MS);
/// How often a session is looked at at most.
const GLANCE: Duration = Duration::from_secs(1);

/// A connection and whoever is at its other end.
struct Session {
    address: Option<IpAddr>,
    /// It is counted among those of its address.
    is_counted: bool,
    terminal: Terminal,
    stage: Stage,
    /// When it came, when a line came last, when something was sent last, and when it is looked after next.
    came: Monotonic,
    heard: Monotonic,
    sent: Monotonic,
    due: Monotonic,
    is_warned: bool,
    /// What is to be sent, and how many lines were left out because it was too much.
    out: String,
    lost: u64,
    prompt: Prompt,
    gmcp: Gmcp,
    /// It has asked what kind of server this is.
    asks_status: bool,
    /// The last words, after which it is over.
    farewell: Option<&'static str>,
    /// By commands at the pace that is allowed, how far it has come.
    pace: Monotonic,
    /// Not heard before this.
    held: Monotonic,
    /// Somebody's words, as long as nothing else was written since.
    said: Said,
    /// Which of several things was meant?
    question: Option<commands::Question>,
    /// How who is at the other end wants to be shown things.
    wishes: Player,
    /// Wrong passwords.
    failures: u32,
}

/// Whether a session has shown a prompt.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Prompt {
    /// It stands at the end of what was sent: a line of its own must end it.
    Shown,
    /// It is to be sent.
    Due,
    /// None.
    Gone,
}

/// A player who is in the world.
struct Body {
    session: Option<Number>,
    left: Monotonic,
    /// What happened meanwhile.
    missed: VecDeque<(Style, String)>,
    /// Whom `reply` answers.
    told_by: Option<EntityId>,
    /// What was said to them last, and of that, what only they were told.
    heard: VecDeque<String>,
    told: VecDeque<String>,
    /// With whom they go.
    follows: Option<EntityId>,
    /// Whom they do not hear.
    ignored: BTreeSet<EntityId>,
    /// The password by which a guest can come back, sealed.
    password: Option<String>,
}

/// What a transport is to send.
pub struct Output {
    /// Messages of GMCP, before all else.
    pub messages: Vec<Message>,
    /// The answer to a crawler.
    pub status: Option<mssp::Table>,
    /// Lines, each ended with a line feed.
    pub text: String,
    /// A prompt after them.
    pub prompt: Option<&'static str>,
    /// Whether what is typed now is not to be shown.
    pub is_secret: bool,
    /// Whoever reads it is in the world.
    pub is_in: bool,
    /// Nothing comes after it.
    pub is_over: bool,
}

impl Session {
    fn view(&self) -> View {
        View::of(&self.terminal, &self.wishes)
    }

    /// Bytes that wait to be sent.
    fn waiting(&self) -> usize {
        self.out.len() + self.gmcp.bytes
    }

    /// Counts one more of what has a pace.
    fn step(&mut self, now: Monotonic) {
        self.pace = self.pace.max(now).after(Duration::from_millis(COMMAND_PACE_MS));
    }

    fn append(&mut self, style: Style, text: &str) {
        if self.prompt == Prompt::Shown {
            self.out.push('\n');
            self.prompt = Prompt::Due;
        }
        self.view().write(&mut self.out, style, text);
    }
}

impl People {
    /// Takes a new connection, with what is known of its terminal so far. `None` for the address: it is not known.
    pub fn arrive(&mut self, number: Number, address: Option<IpAddr>, terminal: &Terminal, moment: &mut Moment) {
        let now = moment.now;
        self.sessions.insert(
            number,
            Session {
                address,
                is_counted: false,
                terminal: terminal.clone(),
                stage: Stage::Name,
                came: now,
                heard: now,
                sent: now,
                due: now,
                is_warned: false,
                out: String::new(),
                lost: 0,
                prompt: Prompt::Gone,
                gmcp: Gmcp::default(),
                asks_status: false,
                farewell: None,
                pace: now,
                held: now,
                said: Said::default(),
                question: None,
                wishes: Player::default(),
                failures: 0,
            },
        );
        self.plan(number, now.after(Duration::from_millis(LOGIN_MS_MAX)));
        self.welcome(number, moment);
    }

    /// Sets when a session is looked after next.
    fn plan(&mut self, number: Number, at: Monotonic) {
        let Some(session) = self.sessions.get_mut(&number) else { return };
        self.due.remove(&(session.due, Due::Session(number)));
        session.due = at;
        self.due.insert((at, Due::Session(number)));
    }

    /// Takes what is known of a terminal.
    pub fn show_on(&mut self, number: Number, terminal: &Terminal) {
        let Some(session) = self.sessions.get_mut(&number) else { return };
        if terminal.gmcp != Messages::None && session.terminal.gmcp == Messages::None {
            session.gmcp = Gmcp::default();
            self.stirred.insert(number);
            // Who is told everything is told it afresh.
            self.scenes.clear();
        }
        if terminal.mssp && !session.terminal.mssp {
            session.asks_status = true;
            self.stirred.insert(number);
        }
        let before = mem::replace(&mut session.terminal, terminal.clone());
        if session.terminal.client.is_empty() {
            // It has said so by a message.
            session.terminal.client = before.client;
        }
    }

    /// When the next line of a session may be taken.
    pub fn takes_at(&self, number: Number) -> Monotonic {
        let Some(session) = self.sessions.get(&number) else { return Monotonic::default() };
        let burst = Duration::from_millis(COMMAND_PACE_MS * COMMAND_BURST);
        session.held.max(Monotonic(session.pace.0.saturating_sub(burst)))
    }

    /// Whether so much waits to be sent to a session that there may be no room for an answer.
    pub fn is_behind(&self, number: Number) -> bool {
        self.sessions.get(&number).is_some_and(|session| session.lost > 0 || session.waiting() > OUTPUT_BYTES_MAX / 2)
    }

    /// Takes a line.
    pub fn line(&mut self, number: Number, line: &str, moment: &mut Moment) {
        let Some(session) = self.sessions.get_mut(&number).filter(|session| session.farewell.is_none()) else { return };
        (session.heard, session.is_warned, self.now) = (moment.now, false, moment.now);
        // The end of a line that is not shown is not shown either.
        session.prompt = if matches!(session.stage, Stage::Password(_)) { Prompt::Shown } else { Prompt::Due };
        session.step(moment.now);
        self.stirred.insert(number);
        let line = page::harmless(line);
        match session.stage {
            Stage::Playing(me) => {
                self.counts.commands += 1;
                commands::run(&mut commands::Turn { people: self, moment, me, number, command: "" }, line.trim());
            }
            _ => {
                session.gmcp.is_current = false;
                self.log_in(number, line.trim(), moment);
            }
        }
    }

    /// Says something to a session, the line having been cut.
    pub fn complain_of_length(&mut self, number: Number) {
        self.write(number, Style::Notice, "That line was too long; what was beyond its end is lost.");
    }

    /// Lets go of a connection that has ended. The body stays for a while.
    pub fn part(&mut self, number: Number, now: Monotonic) {
        self.stirred.remove(&number);
        self.outside.remove(&number);
        let Some(session) = self.sessions.remove(&number) else { return };
        self.due.remove(&(session.due, Due::Session(number)));
        let network = session.address.filter(|_| session.is_counted).map(login::network);
        if let Some(network) = network
            && let Some(count) = self.addresses.get_mut(&network)
        {
            *count -= 1;
            if *count == 0 {
                self.addresses.remove(&network);
            }
        }
        let Stage::Playing(me) = session.stage else { return };
        if let Some(body) = self.bodies.get_mut(&me).filter(|body| body.session == Some(number)) {
            (body.session, body.left) = (None, now);
            self.due.insert((now.after(Duration::from_millis(ABSENCE_MS_MAX)), Due::Body(me)));
        }
    }

    /// Lets everybody who notices an effect read of it.
    pub fn hear(&mut self, world: &World, effect: &Effect) {
        let outdoors = |world: &World, id| {
            let room = world.entity(id).and_then(|body| world.entity(body.location?));
            room.is_some_and(|room| !room.indoors)
        };
        let listeners: Vec<EntityId> = match effect.audience {
            Audience::Room(room) => world.contents(room, Kind::Player).map(|player| player.id).collect(),
            Audience::Outdoors => self.bodies.keys().copied().filter(|id| outdoors(world, *id)).collect(),
            Audience::World => self.bodies.keys().copied().collect(),
            Audience::One(id) => vec![id],
        };
        let moves = effect.deed.moves();
        if moves {
            self.scenes.clear();
        }
        if let (Deed::Arrives(_), Some(actor)) = (&effect.deed, effect.actor) {
            self.report_step(world, actor);
        }
        for listener in listeners {
            if moves {
                self.stir(listener);
            }
            if let Some(words) = words::sentence(world, effect, Some(listener)) {
                let is_speech =
                    matches!(effect.deed, Deed::Says(_) | Deed::Shouts(_) | Deed::Whispers(..) | Deed::Tells(..))
                        && effect.actor != Some(listener);
                let is_own_words = is_speech || matches!(effect.deed, Deed::Acts(_));
                if is_own_words && effect.actor.is_some_and(|actor| self.ignores(listener, actor)) {
                    continue;
                }
                // Creatures have few words, and say them in their time.
                let is_of_a_player = effect.actor.is_some_and(|actor| self.bodies.contains_key(&actor));
                let (can_be_spam, now) = (is_own_words && is_of_a_player && effect.actor != Some(listener), self.now);
                if can_be_spam && self.said(listener).is_some_and(|said| said.counts(&words, now)) {
                    continue;
                }
                let talker = effect.actor.map_or("", |actor| world.name_of(actor));
                self.report_words(listener, &effect.deed, talker, &words);
                self.tell(listener, if is_speech { Style::Speech } else { Style::Plain }, &words);
                let said = self.said(listener).filter(|_| can_be_spam);
                said.into_iter().for_each(|said| *said = Said::new(&words, now));
                let is_private = is_speech && matches!(effect.deed, Deed::Whispers(..) | Deed::Tells(..));
                let body = self.bodies.get_mut(&listener).filter(|_| is_private);
                body.into_iter().for_each(|body| company::remember(&mut body.told, &words));
            }
        }
    }

    /// What a listener has read last of somebody's words, unless their connection is gone or lines are left out.
    fn said(&mut self, listener: EntityId) -> Option<&mut Said> {
        let session = self.sessions.get_mut(&self.bodies.get(&listener)?.session?);
        session.filter(|session| session.lost == 0).map(|session| &mut session.said)
    }

    /// Whether one does not want to hear another.
    fn ignores(&self, listener: EntityId, actor: EntityId) -> bool {
        self.bodies.get(&listener).is_some_and(|body| body.ignored.contains(&actor))
    }

    /// Lets one player read something, now or when they are back.
    pub fn tell(&mut self, id: EntityId, style: Style, text: &str) {
        let Some(body) = self.bodies.get_mut(&id) else { return };
        if style == Style::Speech {
            company::remember(&mut body.heard, text);
        }
        match body.session {
            Some(number) => self.write(number, style, text),
            None => {
                if body.missed.len() >= MISSED_LINES_MAX {
                    body.missed.pop_front();
                }
                body.missed.push_back((style, text.to_owned()));
            }
        }
    }

    /// Appends to what a session is to be sent, unless that is too much already: then all is left out until it is sent.
    fn write(&mut self, number: Number, style: Style, text: &str) {
        let Some(session) = self.sessions.get_mut(&number) else { return };
        self.stirred.insert(number);
        if session.lost > 0 || session.waiting() + text.len() > OUTPUT_BYTES_MAX {
            session.lost += 1;
            return;
        }
        let said = mem::take(&mut session.said);
        said.summary().into_iter().for_each(|summary| session.append(Style::Plain, &summary));
        session.append(style, text);
    }

    /// Sessions that have something to be sent.
    pub fn stirred(&self) -> impl Iterator<Item = Number> {
        self.stirred.iter().copied()
    }

    /// Takes what is to be sent to a session, if there is room for it.
    pub fn take_output(&mut self, number: Number, world: &World, now: Monotonic) -> Option<Output> {
        self.stirred.remove(&number);
        let session = self.sessions.get_mut(&number)?;
        let lost = mem::take(&mut session.lost);
        if lost > 0 {
            let words = format!("Missing here: {lost}. These came faster than your connection took them.");
            session.append(Style::Notice, &words);
            self.counts.reached[Limit::Output as usize] += 1;
        }
        session.sent = now;
        let is_wanted = match session.stage {
            Stage::Playing(_) => !session.wishes.no_prompt && !session.view().is_read_aloud,
            _ => true,
        };
        let is_over = session.farewell.is_some();
        let is_due = session.prompt == Prompt::Due && is_wanted && !is_over;
        // One that stands there already still does if there are only messages to be sent.
        let stays = is_due || session.prompt == Prompt::Shown;
        session.prompt = if stays { Prompt::Shown } else { Prompt::Gone };
        let asks_status = mem::take(&mut session.asks_status);
        let mut output = Output {
            messages: session.take_messages(world, &mut self.scenes),
            status: None,
            text: mem::take(&mut session.out),
            prompt: is_due.then(|| session.stage.prompt()),
            is_secret: matches!(session.stage, Stage::Password(_)) && !is_over,
            is_in: matches!(session.stage, Stage::Playing(_)),
            is_over,
        };
        output.status = asks_status.then(|| self.status(world, now));
        Some(output)
    }

    /// When something is to be looked at next.
    pub fn next_due(&self) -> Option<Monotonic> {
        self.due.first().map(|(at, _)| *at)
    }

    /// Does what is due: logins that took too long, people who do nothing, bodies nobody has come back to. Returns the
    /// sessions that are to be sent a sign of life.
    pub fn pass(&mut self, moment: &mut Moment) -> Vec<Number> {
        let (now, mut signs) = (moment.now, Vec::new());
        while let Some(&(at, due)) = self.due.first()
            && at <= now
        {
            self.due.pop_first();
            match due {
                Due::Body(id) => self.rest_if_absent(id, moment),
                Due::Session(number) => {
                    if self.look_after(number, moment) {
                        signs.push(number);
                    }
                }
            }
        }
        signs
    }

    /// Looks after a session; true if it is to be sent a sign of life.
    fn look_after(&mut self, number: Number, moment: &mut Moment) -> bool {
        let Some(session) = self.sessions.get_mut(&number).filter(|session| session.farewell.is_none()) else {
            return false;
        };
        let now = moment.now;
        let [until_in, until_warned, until_rest] =
            [LOGIN_MS_MAX, IDLE_WARNING_MS, IDLE_MS_MAX].map(Duration::from_millis);
        let me = match session.stage {
            Stage::Playing(me) => me,
            Stage::Guest if session.held <= now => {
                (session.prompt, session.gmcp.is_current) = (Prompt::Due, false);
                self.let_guest_in(number, moment);
                return false;
            }
            _ if now.since(session.came) >= until_in => {
                self.reach(Limit::LoginTime);
                self.end(number, "It has taken too long. Come again.");
                return false;
            }
            _ => {
                let at = session.came.after(until_in);
                self.plan(number, at);
                return false;
            }
        };
        let idle = now.since(session.heard);
        if idle >= until_rest {
            self.reach(Limit::Idle);
            self.rest(me, moment.world);
            self.end(number, "You have done nothing for a long time, and rest now. Come again.");
            return false;
        }
        let is_warned = idle >= until_warned;
        let is_news = is_warned && !mem::replace(&mut session.is_warned, true);
        let is_quiet = now.since(session.sent) >= KEEPALIVE;
        if is_quiet {
            session.sent = now;
        }
        let next = session.heard.after(if is_warned { until_rest } else { until_warned });
        let (next, wants) = (next.min(session.sent.after(KEEPALIVE)), !session.wishes.no_keepalive);
        if is_news {
            self.tell(me, Style::Notice, "You have done nothing for a while. In five minutes you will rest.");
        }
        self.plan(number, next.max(now.after(GLANCE)));
        is_quiet && wants
    }

    fn rest_if_absent(&mut self, id: EntityId, moment: &mut Moment) {
        let absence = Duration::from_millis(ABSENCE_MS_MAX);
        let is_absent = |body: &Body| body.session.is_none() && moment.now.since(body.left) >= absence;
        if self.bodies.get(&id).is_some_and(is_absent) {
            self.rest(id, moment.world);
        }
    }

    /// Lets a player rest, out of sight and company.
    fn rest(&mut self, id: EntityId, world: &mut World) {
        let room = world.entity(id).and_then(|body| body.location);
        let followers = room.map_or(Vec::new(), |room| self.followers(id, room, world));
        followers.into_iter().chain([id]).for_each(|id| _ = self.unfollow(id, world));
        if self.bodies.remove(&id).is_some() {
            world.rest(id, &mut |world, effect| self.hear(world, effect));
        }
    }

    /// Ends a session with a word.
    fn end(&mut self, number: Number, words: &'static str) {
        self.write(number, Style::Notice, words);
        if let Some(session) = self.sessions.get_mut(&number) {
            (session.farewell, session.gmcp.is_current) = (Some(words), false);
        }
    }

    /// Tells everybody, and ends every session: the engine stops.
    pub fn end_all(&mut self, words: &'static str) {
        let all: Vec<Number> = self.sessions.keys().copied().collect();
        all.into_iter().for_each(|number| self.end(number, words));
    }

    /// Counts that a limit was reached.
    pub fn reach(&mut self, limit: Limit) {
        self.counts.reached[limit as usize] += 1;
    }

    /// The same of a limit that strangers reach from an address: now and then the log tells what helps.
    fn reach_from(&mut self, limit: Limit, address: Option<IpAddr>, now: Monotonic) {
        self.reach(limit);
        let pause = Duration::from_millis(WARNING_INTERVAL_MS);
        let warned_at = &mut self.warned_at[limit as usize];
        let is_due = warned_at.is_none_or(|at| now.since(at) >= pause);
        let Some(network) = address.map(login::network).filter(|_| is_due) else { return };
        *warned_at = Some(now);
        let help = format!("if nobody else comes from there, `aqevia-engine ctl ban {network}` keeps it out");
        let fields = [("limit", limit.label()), ("address", &network), ("help", &help)];
        self.note(Level::Warn, "somebody reaches a limit of logins", &fields);
    }

    fn note(&mut self, level: Level, message: &str, fields: &[(&str, &str)]) {
        self.notes.push(Line::new(level, message, fields));
    }

    /// How many sessions there are.
    pub fn sessions(&self) -> usize {
        self.sessions.len()
    }

    /// Everybody who is in the world, and whether they are there.
    pub fn online(&self) -> impl Iterator<Item = (EntityId, bool)> {
        self.bodies.iter().map(|(id, body)| (*id, body.session.is_some()))
    }
}
