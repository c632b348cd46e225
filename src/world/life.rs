//! What happens: commands, the habits of creatures, spawns, the turning of day and weather.
//!
//! Nothing about the future is stored. When something is due next follows from ids and the present tick alone: each
//! habit has one turn in every span of its length, at a point that is fixed pseudo-randomly for that span. So a world
//! that is loaded at tick T goes on exactly as it would have without the interruption.

use std::cmp::Reverse;
use std::fmt;

use super::calendar::{MINUTES_PER_DAY, TURNING_MINUTES, WAKING, next_minute_of_day};
use super::random::mix2;
use super::{Active, Audience, Effect, Entity, EntityId, Habit, Kind, Spawn, Tick, Time, Verb, World};
use crate::limits::TICKS_PER_MINUTE;

/// An actor does something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Command<'a> {
    /// The creature or player.
    pub actor: EntityId,
    /// What they do.
    pub action: Action<'a>,
}

/// What an actor can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action<'a> {
    /// Take an exit of the room.
    Go(EntityId),
    /// Say something to the room.
    Say(&'a str),
    /// Do something to be seen; the text follows the actor's name.
    Act(&'a str),
    /// Pick up a thing in the room.
    Take(EntityId),
    /// Put down a thing carried.
    Drop(EntityId),
    /// Eat a copy of a prototype that is in the room.
    Eat(EntityId),
}

/// Why a command was not carried out. The world is as before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// There is no such creature or player in a room.
    NoActor,
    /// The actor sleeps.
    Asleep,
    /// What the command names is not where it would have to be, or is no such thing.
    NotHere,
    /// The exit is locked.
    Locked,
    /// The thing cannot be picked up.
    Fixed,
    /// It cannot be eaten.
    Inedible,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Refusal::NoActor => "there is no such actor",
            Refusal::Asleep => "the actor is asleep",
            Refusal::NotHere => "that is not here",
            Refusal::Locked => "it is locked",
            Refusal::Fixed => "it cannot be moved",
            Refusal::Inedible => "it cannot be eaten",
        })
    }
}

/// Something that is due at a tick. The order of these, after that of ticks, is the order in which things happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Event {
    /// A creature wakes or goes to sleep.
    Rest(EntityId),
    /// A creature follows a habit.
    Habit(EntityId, Verb),
    /// The spawn rule at this place in the list has its turn.
    Spawn(usize),
}

impl World {
    /// Lets one tick pass and does what is due. The cost follows what happens, not how large the world is.
    pub fn tick(&mut self) -> Vec<Effect> {
        let before = self.time();
        self.tick.0 += 1;
        let mut effects = Vec::new();
        self.turn_sky(before, &mut effects);
        while let Some(&Reverse((due, event))) = self.queue.peek()
            && due <= self.tick
        {
            self.queue.pop();
            if self.happen(event, &mut effects) {
                self.schedule(event);
            }
        }
        effects
    }

    /// Carries out one command, or refuses it and changes nothing.
    pub fn apply(&mut self, command: Command) -> Result<Vec<Effect>, Refusal> {
        let mut effects = Vec::new();
        self.perform(command, &mut effects)?;
        Ok(effects)
    }

    fn perform(&mut self, Command { actor, action }: Command, effects: &mut Vec<Effect>) -> Result<(), Refusal> {
        let entity = self.entity(actor).filter(|entity| entity.kind.is_actor()).ok_or(Refusal::NoActor)?;
        let room = entity.location.ok_or(Refusal::NoActor)?;
        if entity.asleep {
            return Err(Refusal::Asleep);
        }
        let name = capitalised(self.name_of(actor));
        let mut show = |place, text| effects.push(Effect { audience: Audience::Room(place), actor: Some(actor), text });
        match action {
            Action::Go(exit) => {
                let exit = self.find(exit, Kind::Exit, room)?;
                let destination = exit.destination.filter(|_| !exit.locked).ok_or(Refusal::Locked)?;
                let gait = self.inherited(actor, |entity| entity.gait.as_deref()).unwrap_or("goes");
                show(room, format!("{name} {gait} {}.", self.name_of(exit.id)));
                show(destination, format!("{name} arrives."));
                self.relocate(actor, destination);
            }
            Action::Say(text) => show(room, format!("{name} says, \"{text}\"")),
            Action::Act(text) => show(room, format!("{name} {text}")),
            Action::Take(thing) => {
                if self.find(thing, Kind::Thing, room)?.fixed {
                    return Err(Refusal::Fixed);
                }
                show(room, format!("{name} picks up {}.", self.name_of(thing)));
                self.relocate(thing, actor);
            }
            Action::Drop(thing) => {
                self.find(thing, Kind::Thing, actor)?;
                show(room, format!("{name} puts down {}.", self.name_of(thing)));
                self.relocate(thing, room);
            }
            Action::Eat(prey) => {
                let food = self.find(prey, Kind::Thing, room).or_else(|_| self.find(prey, Kind::Creature, room))?;
                if food.prototype.is_none() || prey == actor {
                    return Err(Refusal::Inedible);
                }
                show(room, format!("{name} eats {}.", self.name_of(prey)));
                self.destroy(prey);
            }
        }
        Ok(())
    }

    fn find(&self, id: EntityId, kind: Kind, place: EntityId) -> Result<&Entity, Refusal> {
        let found = self.entity(id).filter(|entity| entity.kind == kind && entity.location == Some(place));
        found.ok_or(Refusal::NotHere)
    }

    /// Does what is due; false if it will never be due again.
    fn happen(&mut self, event: Event, effects: &mut Vec<Effect>) -> bool {
        match event {
            Event::Rest(creature) => self.rest(creature, effects),
            Event::Habit(creature, verb) => self.follow_habit(creature, verb, effects),
            Event::Spawn(rule) => self.spawn(rule, effects),
        }
    }

    fn turn_sky(&mut self, before: Time, effects: &mut Vec<Effect>) {
        let now = self.time();
        let mut announce =
            |text: &str| effects.push(Effect { audience: Audience::Outdoors, actor: None, text: text.to_owned() });
        if now.phase() != before.phase() {
            announce(now.phase().announcement());
        }
        if now.minute_of_day() != before.minute_of_day() && now.minute_of_day().is_multiple_of(60) {
            let weather = self.weather.next(&mut self.random);
            if weather != self.weather {
                announce(weather.announcement());
                self.weather = weather;
            }
        }
    }

    fn rest(&mut self, creature: EntityId, effects: &mut Vec<Effect>) -> bool {
        let time = self.time();
        let Some(entity) = self.entity(creature) else { return false };
        let (asleep, room) = (sleeps_at(entity.active, time), entity.location);
        if asleep != entity.asleep {
            let verb = if asleep { "falls asleep" } else { "wakes up" };
            let text = format!("{} {verb}.", capitalised(self.name_of(creature)));
            let audience = room.map(Audience::Room);
            effects.extend(audience.map(|audience| Effect { audience, actor: Some(creature), text }));
            if let Some(entity) = self.change(creature) {
                entity.asleep = asleep;
            }
        }
        true
    }

    /// Lets a creature follow its habit, if it can just now; false if the creature is gone.
    fn follow_habit(&mut self, creature: EntityId, verb: Verb, effects: &mut Vec<Effect>) -> bool {
        let Some(entity) = self.entity(creature) else { return false };
        if entity.asleep {
            return true;
        }
        let habits = self.habits_of(entity);
        let Some((habit, room)) = habits.iter().find(|habit| habit.verb == verb).zip(entity.location) else {
            return false;
        };
        if let Some(action) = self.choose(creature, room, habit) {
            let done = self.perform(Command { actor: creature, action }, effects).is_ok();
            if done && verb == Verb::Route {
                self.note_step(creature, habit);
            }
        }
        true
    }

    fn choose<'h>(&mut self, creature: EntityId, room: EntityId, habit: &'h Habit) -> Option<Action<'h>> {
        match habit.verb {
            Verb::Wander => {
                let allowed = |to: &EntityId| habit.targets.is_empty() || habit.targets.contains(to);
                let ways: Vec<EntityId> =
                    self.open_exits(room).filter(|(_, to)| allowed(to)).map(|(id, _)| id).collect();
                let way = self.random.below(ways.len().max(1) as u64) as usize;
                ways.get(way).copied().map(Action::Go)
            }
            Verb::Route => {
                let next = self.next_stop(creature, room, habit)?;
                self.open_exits(room).find(|(_, to)| *to == next).map(|(exit, _)| Action::Go(exit))
            }
            Verb::Say | Verb::Act => {
                let line = habit.lines.get(self.random.below(habit.lines.len() as u64) as usize)?;
                Some(if habit.verb == Verb::Say { Action::Say(line) } else { Action::Act(line) })
            }
            Verb::Carry => {
                let wanted = |place| self.contents(place, Kind::Thing).find(|thing| is_one_of(thing, &habit.targets));
                let drop = wanted(creature).map(|thing| Action::Drop(thing.id));
                drop.or_else(|| wanted(room).map(|thing| Action::Take(thing.id)))
            }
            Verb::Eat => {
                let food = self.contents(room, Kind::Thing).chain(self.contents(room, Kind::Creature));
                let prey = |food: &&Entity| food.id != creature && is_one_of(food, &habit.targets);
                { food }.find(prey).map(|food| Action::Eat(food.id))
            }
        }
    }

    fn open_exits(&self, room: EntityId) -> impl Iterator<Item = (EntityId, EntityId)> {
        let open = self.contents(room, Kind::Exit).filter(|exit| !exit.locked);
        open.filter_map(|exit| exit.destination.map(|to| (exit.id, to)))
    }

    /// The stop after the one the creature is at. One that strayed from its route takes it up where it meets it.
    fn next_stop(&self, creature: EntityId, room: EntityId, habit: &Habit) -> Option<EntityId> {
        let stops = &habit.targets;
        let last = self.entity(creature)?.step as usize;
        let here =
            if stops.get(last) == Some(&room) { Some(last) } else { stops.iter().position(|stop| *stop == room) };
        match here {
            Some(here) => stops.get((here + 1) % stops.len()).copied(),
            None => self.open_exits(room).map(|(_, to)| to).find(|to| stops.contains(to)),
        }
    }

    /// Notes which stop of its route a creature has just reached: the one after the last, or the first that fits.
    fn note_step(&mut self, creature: EntityId, habit: &Habit) {
        let stops = &habit.targets;
        let Some(entity) = self.change(creature) else { return };
        let next = (entity.step as usize + 1) % stops.len();
        let here = entity.location;
        let reached =
            if stops.get(next).copied() == here { Some(next) } else { stops.iter().position(|s| Some(*s) == here) };
        entity.step = reached.unwrap_or(0) as u32;
    }

    fn spawn(&mut self, rule: usize, effects: &mut Vec<Effect>) -> bool {
        let spawns = self.spawns.clone();
        let Some(Spawn { prototype, room, at_most, text, .. }) = spawns.get(rule) else { return false };
        let copies = self.copies.get(&(*prototype, *room)).copied().unwrap_or(0);
        let Some(model) = self.entity(*prototype).filter(|_| copies < *at_most) else { return true };
        let (kind, active, fixed, time) = (model.kind, model.active, model.fixed, self.time());
        let born = self.create(|id| Entity {
            location: Some(*room),
            home: Some(*room),
            prototype: Some(*prototype),
            active,
            fixed,
            asleep: sleeps_at(active, time),
            ..Entity::new(id, kind)
        });
        if let Some(born) = born {
            self.schedule_entity(born);
            let text = text.clone();
            effects.extend(text.map(|text| Effect { audience: Audience::Room(*room), actor: Some(born), text }));
        }
        true
    }

    pub(super) fn schedule_all(&mut self) {
        let creatures: Vec<EntityId> =
            self.entities().filter(|entity| entity.kind == Kind::Creature).map(|entity| entity.id).collect();
        creatures.into_iter().for_each(|creature| self.schedule_entity(creature));
        (0..self.spawns.len()).for_each(|rule| self.schedule(Event::Spawn(rule)));
    }

    fn schedule_entity(&mut self, id: EntityId) {
        let Some(entity) = self.entity(id).filter(|entity| !entity.is_prototype()) else { return };
        let rests = entity.active != Active::Always;
        let habits = self.habits_of(entity);
        if rests {
            self.schedule(Event::Rest(id));
        }
        habits.iter().for_each(|habit| self.schedule(Event::Habit(id, habit.verb)));
    }

    /// Puts an event into the queue at the next tick at which it is due.
    fn schedule(&mut self, event: Event) {
        let now = self.tick;
        let due = match event {
            Event::Rest(creature) => {
                let jitter = move |day, half| mix2(creature.get(), 2 * day + half) % TURNING_MINUTES;
                let morning = next_minute_of_day(now, |day| WAKING.start + jitter(day, 0));
                let evening = next_minute_of_day(now, |day| WAKING.end + jitter(day, 1));
                Some(morning.min(evening))
            }
            Event::Habit(creature, verb) => self.entity(creature).and_then(|entity| {
                let habits = self.habits_of(entity);
                let habit = habits.iter().find(|habit| habit.verb == verb)?;
                Some(next_turn(mix2(creature.get(), verb as u64), habit.every_minutes, now))
            }),
            // Spawn rules take keys that no creature can have: ids fit into 63 bits.
            Event::Spawn(rule) => {
                self.spawns.get(rule).map(|spawn| next_turn(mix2(u64::MAX, rule as u64), spawn.every_minutes, now))
            }
        };
        self.queue.extend(due.map(|due| Reverse((due, event))));
    }

    fn habits_of(&self, entity: &Entity) -> std::rc::Rc<[Habit]> {
        let model = entity.prototype.unwrap_or(entity.id);
        self.habits.get(&model).cloned().unwrap_or_default()
    }
}

/// Whether a creature sleeps at a time, once it has had its hour to wake or settle.
pub fn sleeps_at(active: Active, time: Time) -> bool {
    match active {
        Active::Always => false,
        Active::Day => !time.is_waking_hours(),
        Active::Night => time.is_waking_hours(),
    }
}

/// The first turn after `now` of what has one turn in every span of `every_minutes`.
fn next_turn(key: u64, every_minutes: u64, now: Tick) -> Tick {
    let span = every_minutes * TICKS_PER_MINUTE;
    let turn = |index: u64| Tick(index * span + mix2(key, index) % span);
    let this = turn(now.0 / span);
    if this > now { this } else { turn(now.0 / span + 1) }
}

fn is_one_of(entity: &Entity, targets: &[EntityId]) -> bool {
    !entity.fixed && (targets.contains(&entity.id) || entity.prototype.is_some_and(|model| targets.contains(&model)))
}

fn capitalised(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

const _: () = assert!(WAKING.end + TURNING_MINUTES <= MINUTES_PER_DAY);
