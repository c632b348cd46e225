//! What happens: commands, the habits of creatures, spawns, the turning of day and weather.
//!
//! Nothing about the future is stored. When something is due next follows from ids and the present tick alone: each
//! habit has one turn in every span of its length, at a point that is fixed pseudo-randomly for that span. So a world
//! that is loaded at tick T goes on exactly as it would have without the interruption.

use super::calendar::{MINUTES_PER_DAY, PHASES, TURNING_MINUTES, WAKING, next_minute_of_day};
use super::random::mix2;
use super::{
    Active, Audience, Bound, Deed, Ear, Effect, Entity, EntityId, Habit, Kind, Posture, Spawn, Tick, Time, Verb, World,
};
use crate::limits::{CONTAINMENT_DEPTH_MAX, TICKS_PER_MINUTE};

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
    /// Pick up a thing in the room, or take it out of another that is there or carried.
    Take(EntityId),
    /// Put down a thing carried.
    Drop(EntityId),
    /// Put a thing carried into another that is there or carried.
    Put(EntityId, EntityId),
    /// Give a thing carried to somebody in the room.
    Give(EntityId, EntityId),
    /// Sit or lie down, or stand up.
    Assume(Posture),
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
    /// Nothing can be put into it, or not that.
    NoContainer,
    /// They do not want it.
    Unwanted,
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
    /// Lets one tick pass and does what is due. The cost follows what happens, not how large the world is. At the last
    /// tick of all nothing passes and nothing is due any more.
    pub fn tick(&mut self, hear: Ear) {
        let before = self.time();
        if self.tick >= Tick::MAX {
            return;
        }
        self.parts.tick.0 += 1;
        self.turn_sky(before, hear);
        while let Some(&(due, event)) = self.queue.first()
            && due <= self.tick
        {
            self.queue.pop_first();
            match event {
                Event::Rest(creature) => self.turn_in(creature, hear),
                Event::Habit(creature, verb) => self.follow_habit(creature, verb, hear),
                Event::Spawn(rule) => self.spawn(rule, hear),
            }
            self.queue.extend(match event {
                Event::Rest(creature) | Event::Habit(creature, _) => self.next_event(creature, Some(event)),
                Event::Spawn(rule) => self.next_spawn(rule),
            });
        }
    }

    /// Carries out one command, or refuses it and changes nothing.
    pub fn apply(&mut self, Command { actor, action }: Command, hear: Ear) -> Result<(), Refusal> {
        let acts = |entity: &&Entity| matches!(entity.kind, Kind::Creature | Kind::Player);
        let entity = self.entity(actor).filter(acts).ok_or(Refusal::NoActor)?;
        let room = entity.location.ok_or(Refusal::NoActor)?;
        if entity.asleep {
            return Err(Refusal::Asleep);
        }
        let mut show = |world: &World, place, deed| {
            hear(world, &Effect { audience: Audience::Room(place), actor: Some(actor), deed });
        };
        match action {
            Action::Go(exit) => {
                let exit = self.find(exit, Kind::Exit, room)?;
                let (exit, to) = (exit.id, exit.destination.filter(|_| !exit.locked).ok_or(Refusal::Locked)?);
                self.assume(actor, Posture::Standing);
                show(self, room, Deed::Goes(exit));
                self.relocate(actor, Some(to));
                show(self, to, Deed::Arrives(room));
            }
            Action::Say(text) => show(self, room, Deed::Says(text)),
            Action::Act(text) => show(self, room, Deed::Acts(text)),
            Action::Take(thing) => {
                let place = self.within_reach(thing, room, actor)?;
                if self.find(thing, Kind::Thing, place)?.fixed {
                    return Err(Refusal::Fixed);
                }
                show(self, room, Deed::Takes(thing, Some(place).filter(|place| *place != room)));
                self.relocate(thing, Some(actor));
            }
            Action::Drop(thing) => {
                self.find(thing, Kind::Thing, actor)?;
                show(self, room, Deed::Drops(thing));
                self.relocate(thing, Some(room));
            }
            Action::Put(thing, into) => {
                self.find(thing, Kind::Thing, actor)?;
                self.within_reach(into, room, actor)?;
                if thing == into || !self.can_hold(into, thing) {
                    return Err(Refusal::NoContainer);
                }
                show(self, room, Deed::Puts(thing, into));
                self.relocate(thing, Some(into));
            }
            Action::Give(thing, to) => {
                self.find(thing, Kind::Thing, actor)?;
                let taker = self.find(to, Kind::Player, room).or_else(|_| self.find(to, Kind::Creature, room))?;
                if taker.asleep || to == actor || taker.kind == Kind::Creature && !self.carries(taker, thing) {
                    return Err(Refusal::Unwanted);
                }
                show(self, room, Deed::Gives(thing, to));
                self.relocate(thing, Some(to));
            }
            Action::Assume(posture) => {
                self.assume(actor, posture);
                show(self, room, Deed::Assumes(posture));
            }
            Action::Eat(prey) => {
                let food = self.find(prey, Kind::Thing, room).or_else(|_| self.find(prey, Kind::Creature, room))?;
                if food.prototype.is_none() || prey == actor {
                    return Err(Refusal::Inedible);
                }
                show(self, room, Deed::Eats(prey));
                self.destroy(prey);
            }
        }
        Ok(())
    }

    /// Where a thing is that somebody in a room can reach: there, on them, or in something that they can reach.
    fn within_reach(&self, thing: EntityId, room: EntityId, actor: EntityId) -> Result<EntityId, Refusal> {
        let place = self.entity(thing).and_then(|thing| thing.location).ok_or(Refusal::NotHere)?;
        let outer =
            |place: &EntityId| self.entity(*place).filter(|it| it.kind == Kind::Thing).and_then(|it| it.location);
        let is_near = std::iter::successors(Some(place), outer).any(|place| place == room || place == actor);
        if is_near { Ok(place) } else { Err(Refusal::NotHere) }
    }

    /// Whether a thing can be put into another: one that is made for it or holds something, if that becomes no circle and
    /// is not too deep.
    fn can_hold(&self, into: EntityId, thing: EntityId) -> bool {
        let holds = |id| self.contents(id, Kind::Thing).next().is_some();
        let is_shallow = !self.contents(thing, Kind::Thing).any(|inner| holds(inner.id));
        let around = std::iter::successors(self.entity(into), |entity| self.entity(entity.location?));
        let depth = around.take(CONTAINMENT_DEPTH_MAX).take_while(|entity| entity.kind == Kind::Thing).count();
        let is_made_for_it = self.entity(into).is_some_and(|into| into.kind == Kind::Thing && into.container);
        (is_made_for_it || holds(into)) && is_shallow && depth + 2 <= CONTAINMENT_DEPTH_MAX
    }

    /// Whether it is a creature's habit to carry a thing, so that it puts it down again some time.
    fn carries(&self, creature: &Entity, thing: EntityId) -> bool {
        let model = self.entity(thing).and_then(|thing| thing.prototype).unwrap_or(thing);
        let habits = self.own_habits(creature.prototype.unwrap_or(creature.id)).iter();
        habits.filter(|habit| habit.verb == Verb::Carry).any(|habit| habit.targets.contains(&model))
    }

    /// Only players have a posture.
    fn assume(&mut self, actor: EntityId, posture: Posture) {
        if self.players.get(&actor).is_some_and(|player| player.posture != posture) {
            self.change_player(actor, |player| player.posture = posture);
        }
    }

    fn find(&self, id: EntityId, kind: Kind, place: EntityId) -> Result<&Entity, Refusal> {
        let found = self.entity(id).filter(|entity| entity.kind == kind && entity.location == Some(place));
        found.ok_or(Refusal::NotHere)
    }

    fn turn_sky(&mut self, before: Time, hear: Ear) {
        let minute = self.time().minute_of_day();
        if minute == before.minute_of_day() {
            return;
        }
        let announce = |world: &World, hear: Ear, words| {
            hear(world, &Effect { audience: Audience::Outdoors, actor: None, deed: Deed::Sky(words) });
        };
        let phases = PHASES.iter().filter(|(begins, _)| *begins == minute);
        phases.for_each(|(_, words)| announce(self, hear, *words));
        if minute.is_multiple_of(60) {
            let weather = self.weather.next(&mut self.parts.random);
            if weather != self.weather {
                self.parts.weather = weather;
                announce(self, hear, weather.announcement());
            }
        }
    }

    fn turn_in(&mut self, creature: EntityId, hear: Ear) {
        let Some(entity) = self.entity(creature) else { return };
        let (asleep, room) = (sleeps_at(entity.active, self.time()), entity.location);
        if asleep == entity.asleep {
            return;
        }
        if let Some(entity) = self.change(creature) {
            entity.asleep = asleep;
        }
        let deed = if asleep { Deed::FallsAsleep } else { Deed::WakesUp };
        room.into_iter().for_each(|room| {
            hear(self, &Effect { audience: Audience::Room(room), actor: Some(creature), deed });
        });
    }

    /// Lets a creature follow its habit, if it can just now.
    fn follow_habit(&mut self, creature: EntityId, verb: Verb, hear: Ear) {
        let Some(entity) = self.entity(creature).filter(|entity| !entity.asleep) else { return };
        let Some(habits) = self.habits.get(&entity.prototype.unwrap_or(creature)).cloned() else { return };
        let Some((habit, room)) = habits.iter().find(|habit| habit.verb == verb).zip(entity.location) else { return };
        let Some(action) = self.choose(creature, room, habit) else { return };
        if self.apply(Command { actor: creature, action }, hear).is_ok() && verb == Verb::Route {
            self.note_step(creature, habit);
        }
    }

    fn choose<'h>(&mut self, creature: EntityId, room: EntityId, habit: &'h Habit) -> Option<Action<'h>> {
        match habit.verb {
            Verb::Wander => {
                let allowed = |to: &EntityId| habit.targets.is_empty() || habit.targets.contains(to);
                let ways: Vec<EntityId> =
                    self.open_exits(room).filter(|(_, to)| allowed(to)).map(|(id, _)| id).collect();
                let way = self.parts.random.below(ways.len().max(1) as u64) as usize;
                ways.get(way).copied().map(Action::Go)
            }
            Verb::Route => {
                let next = self.next_stop(creature, room, habit)?;
                self.open_exits(room).find(|(_, to)| *to == next).map(|(exit, _)| Action::Go(exit))
            }
            Verb::Say | Verb::Act => {
                let line = habit.lines.get(self.parts.random.below(habit.lines.len() as u64) as usize)?;
                Some(if habit.verb == Verb::Say { Action::Say(line) } else { Action::Act(line) })
            }
            Verb::Carry => {
                let drop = self.first_of(&habit.targets, creature, creature).map(Action::Drop);
                drop.or_else(|| self.first_of(&habit.targets, room, creature).map(Action::Take))
            }
            Verb::Eat => self.first_of(&habit.targets, room, creature).map(Action::Eat),
        }
    }

    /// The first of all targets and copies of targets at a place that can be moved: things before creatures, then by id.
    /// Its cost follows the number of targets, not what lies about.
    fn first_of(&self, targets: &[EntityId], place: EntityId, except: EntityId) -> Option<EntityId> {
        let movable = targets.iter().filter_map(|target| self.entity(*target)).filter(|target| !target.fixed);
        let found = movable.flat_map(|target| {
            let copy = self.copies_at(place, target).find(|copy| copy.id != except && !copy.fixed);
            copy.into_iter().chain(Some(target).filter(|target| target.location == Some(place)))
        });
        found.map(|found| (found.kind, found.id)).min().map(|(_, id)| id)
    }

    fn open_exits(&self, room: EntityId) -> impl Iterator<Item = (EntityId, EntityId)> {
        let open = self.contents(room, Kind::Exit).filter(|exit| !exit.locked);
        open.filter_map(|exit| exit.destination.map(|to| (exit.id, to)))
    }

    /// The stop after the one the creature is at. One that strayed from its route takes it up where it meets it.
    fn next_stop(&self, creature: EntityId, room: EntityId, habit: &Habit) -> Option<EntityId> {
        let stops = &habit.targets;
        match stop_at(stops, self.entity(creature)?.step as usize, room) {
            Some(here) => stops.get((here + 1) % stops.len()).copied(),
            None => self.open_exits(room).map(|(_, to)| to).find(|to| stops.contains(to)),
        }
    }

    /// Notes which stop of its route a creature has just reached: the one after the last, or the first that fits.
    fn note_step(&mut self, creature: EntityId, habit: &Habit) {
        let stops = &habit.targets;
        let Some(entity) = self.change(creature) else { return };
        let next = (entity.step as usize + 1) % stops.len();
        let reached = entity.location.and_then(|room| stop_at(stops, next, room));
        // Fits: a route has no more stops than `step` can count.
        entity.step = reached.unwrap_or(0) as u8;
    }

    fn spawn(&mut self, rule: usize, hear: Ear) {
        let Some(&Spawn { prototype, room, at_most, .. }) = self.spawns.get(rule) else { return };
        let copies = self.copies.get(&(prototype, room)).copied().unwrap_or(0);
        if copies >= at_most || self.is_full(Bound::SpawnEntities) {
            return;
        }
        let Some(model) = self.entity(prototype) else { return };
        let (kind, active, fixed, container, time) =
            (model.kind, model.active, model.fixed, model.container, self.time());
        let born = self.create(|id| Entity {
            location: Some(room),
            home: Some(room),
            prototype: Some(prototype),
            active,
            fixed,
            container,
            asleep: sleeps_at(active, time),
            ..Entity::new(id, kind)
        });
        if let Some(born) = born {
            self.queue.extend(self.next_event(born, None));
            let deed = Deed::Appears(self.spawns[rule].text.as_deref());
            hear(self, &Effect { audience: Audience::Room(room), actor: Some(born), deed });
        }
    }

    pub(super) fn schedule_all(&mut self) {
        let creatures = self.entities.iter().filter_map(|entity| self.next_event(entity.id, None));
        let spawns = (0..self.spawns.len()).filter_map(|rule| self.next_spawn(rule));
        let mut turns = Vec::from_iter(creatures.chain(spawns));
        // The set would sort them in half as much memory again.
        turns.sort_unstable();
        self.queue = turns.into_iter().collect();
    }

    /// Takes out of the queue what a creature would do next, if that is later than now; what would be due at this very tick
    /// comes to nothing before the tick is over.
    pub(super) fn unschedule(&mut self, id: EntityId) {
        let Some(entity) = self.entity(id) else { return };
        let turns: Vec<(Tick, Event)> = self.turns(entity, |_| self.tick).collect();
        turns.iter().for_each(|turn| _ = self.queue.remove(turn));
    }

    /// What a creature is due to do next, and when, once it has done `last` at this tick. Only this is in the queue,
    /// whatever its habits, so the queue can be no longer than creatures and spawn rules are many.
    fn next_event(&self, id: EntityId, last: Option<Event>) -> Option<(Tick, Event)> {
        let entity = self.entity(id).filter(|entity| !entity.is_prototype())?;
        // Its events of the same tick come in their order.
        let may_be_now = |event| u64::from(last.is_some_and(|last| event > last));
        self.turns(entity, |event| Tick(self.tick.0.saturating_sub(may_be_now(event)))).min()
    }

    /// The first turn of each event of a creature after the tick that `after` gives for it.
    fn turns(&self, entity: &Entity, after: impl Fn(Event) -> Tick) -> impl Iterator<Item = (Tick, Event)> {
        let id = entity.id;
        let rest = Some(Event::Rest(id)).filter(|_| entity.active != Active::Always);
        let rest = rest.map(|event| (next_rest(id, after(event)), event));
        let habits = self.own_habits(entity.prototype.unwrap_or(id)).iter().map(move |habit| {
            let event = Event::Habit(id, habit.verb);
            (next_turn(mix2(id.get(), habit.verb as u64), habit.every_minutes, after(event)), event)
        });
        rest.into_iter().chain(habits)
    }

    fn next_spawn(&self, rule: usize) -> Option<(Tick, Event)> {
        let spawn = self.spawns.get(rule)?;
        // Spawn rules take keys that no creature can have: ids fit into 62 bits.
        Some((next_turn(mix2(u64::MAX, rule as u64), spawn.every_minutes, self.tick), Event::Spawn(rule)))
    }
}

/// Which of its stops a route has in a room: the likely one if it is there, or the first.
fn stop_at(stops: &[EntityId], likely: usize, room: EntityId) -> Option<usize> {
    if stops.get(likely) == Some(&room) { Some(likely) } else { stops.iter().position(|stop| *stop == room) }
}

/// Whether a creature sleeps at a time, once it has had its hour to wake or settle.
pub fn sleeps_at(active: Active, time: Time) -> bool {
    let by_day = WAKING.contains(&time.minute_of_day());
    match active {
        Active::Always => false,
        Active::Day => !by_day,
        Active::Night => by_day,
    }
}

/// When a creature wakes or settles next after `now`, each in its own time.
fn next_rest(creature: EntityId, now: Tick) -> Tick {
    let jitter = move |day, half| mix2(creature.get(), 2 * day + half) % TURNING_MINUTES;
    let morning = next_minute_of_day(now, |day| WAKING.start + jitter(day, 0));
    let evening = next_minute_of_day(now, |day| WAKING.end + jitter(day, 1));
    morning.min(evening)
}

/// The first turn after `now` of what has one turn in every span of `every_minutes`.
fn next_turn(key: u64, every_minutes: u64, now: Tick) -> Tick {
    let span = every_minutes * TICKS_PER_MINUTE;
    let turn = |index: u64| Tick(index * span + mix2(key, index) % span);
    let this = turn(now.0 / span);
    if this > now { this } else { turn(now.0 / span + 1) }
}

const _: () = assert!(WAKING.end + TURNING_MINUTES <= MINUTES_PER_DAY);
