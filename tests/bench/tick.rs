//! The cost of a tick: `World::tick` beside a bare queue of the same turns at the same ticks, which for each that is due
//! looks the creature up, makes the same sentence and puts its next turn back. No tick could do with less.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::hint::black_box;
use std::time::Instant;

use aqevia_engine::limits::{EVERY_MINUTES_MAX, TICKS_PER_MINUTE};
use aqevia_engine::world::random::mix2;
use aqevia_engine::world::{Kind, Parts, Verb, World};

use crate::progress;
use crate::table::{Pairs, Side, digits, thousands, time};
use crate::worlds::{carriers, parts};

const SIZES: [u64; 4] = [1_000, 10_000, 100_000, 1_000_000];
const ROUNDS: usize = 11;
/// Ticks that are measured at once, because a clock cannot see one at rest.
const TICKS_AT_REST: u64 = 1_000;
/// Seconds for a tick of a million entities at rest.
const BUDGET: f64 = 1e-3;

pub fn measure() {
    for entities in SIZES {
        progress(&format!("tick of {entities} entities at rest"));
        let (pairs, events) = alternate(parts(entities, Verb::Say, EVERY_MINUTES_MAX), TICKS_AT_REST);
        let what = format!("tick, {} entities at rest ({} events due)", thousands(entities), digits(events));
        pairs.row(&what, "bare queue", time, (entities == 1_000_000).then_some(("1 ms", pairs.engine() < BUDGET)));
    }
    for entities in SIZES {
        progress(&format!("tick of {entities} entities, busy"));
        // About a thousand events in each tick.
        let every_minutes = (entities / 10_000).max(1);
        let (pairs, events) = alternate(parts(entities, Verb::Say, every_minutes), TICKS_PER_MINUTE);
        // A creature speaks once a minute at most.
        let most = if entities < 10_000 { ", as many as there can be" } else { "" };
        let what = format!("tick, {} entities ({events:.0} events due{most})", thousands(entities));
        pairs.row(&what, "bare queue", time, None);
    }
    progress("tick of carriers in a full room");
    let [mut full, mut empty] = [100_000, 0].map(|things| World::restore(carriers(400, things)).unwrap());
    let pairs = Pairs::alternate(ROUNDS, |side| {
        let world = if side == Side::Engine { &mut full } else { &mut empty };
        let begun = Instant::now();
        (0..TICKS_AT_REST).for_each(|_| world.tick(&mut |_, effect| _ = black_box(effect)));
        begun.elapsed().as_secs_f64() / TICKS_AT_REST as f64
    });
    pairs.row("tick, 400 carriers and eaters among 100,000 things", "the same in an empty room", time, None);
}

/// Seconds for each tick of either, and how many events a tick had.
fn alternate(parts: Parts, ticks: u64) -> (Pairs, f64) {
    let mut bare = Bare::new(&parts);
    let mut world = World::restore(parts).unwrap();
    let (mut events, mut of_bare) = (0, 0);
    let pairs = Pairs::alternate(ROUNDS, |side| {
        let begun = Instant::now();
        for _ in 0..ticks {
            match side {
                Side::Engine => world.tick(&mut |_, effect| events += usize::from(black_box(effect).actor.is_some())),
                Side::Yardstick => of_bare += black_box(bare.tick()).len(),
            }
        }
        begun.elapsed().as_secs_f64() / ticks as f64
    });
    assert_eq!(events, of_bare, "the yardstick does not do the same work");
    (pairs, events as f64 / ((ROUNDS + 1) as u64 * ticks) as f64)
}

struct Bare {
    now: u64,
    span: u64,
    queue: BinaryHeap<Reverse<(u64, u64)>>,
    names: BTreeMap<u64, String>,
    line: String,
}

impl Bare {
    fn new(parts: &Parts) -> Bare {
        let habit = parts.habits.values().next().unwrap()[0].clone();
        let creatures = parts.entities.iter().filter(|entity| entity.kind == Kind::Creature && !entity.is_prototype());
        let names: BTreeMap<u64, String> = creatures.map(|c| (c.id.get(), c.name.clone().unwrap().into())).collect();
        let span = habit.every_minutes * TICKS_PER_MINUTE;
        let mut bare = Bare { now: 0, span, queue: BinaryHeap::new(), names, line: habit.lines[0].to_string() };
        bare.queue = bare.names.keys().map(|id| Reverse((bare.next_turn(*id), *id))).collect();
        bare
    }

    fn tick(&mut self) -> Vec<String> {
        self.now += 1;
        let mut said = Vec::new();
        while let Some(&Reverse((due, id))) = self.queue.peek()
            && due <= self.now
        {
            self.queue.pop();
            said.push(format!("{} says, \"{}\"", self.names[&id], self.line));
            self.queue.push(Reverse((self.next_turn(id), id)));
        }
        said
    }

    /// One turn in each span, where the world has it.
    fn next_turn(&self, id: u64) -> u64 {
        let turn = |index: u64| index * self.span + mix2(mix2(id, Verb::Say as u64), index) % self.span;
        let this = turn(self.now / self.span);
        if this > self.now { this } else { turn(self.now / self.span + 1) }
    }
}
