//! How what stands in a world file belongs together: what follows from the rest and need not be said, paths that lead
//! nowhere, and what is of no use.

use std::collections::BTreeSet;

use crate::limits::CONTAINMENT_DEPTH_MAX;
use crate::world::{Entity, EntityId, Kind, Parts, Problems, Time, Verb, World, sleeps_at};

/// Fills in what follows from the rest: what copies have from their prototypes, homes, and who sleeps at first.
pub fn settle(parts: &mut Parts) {
    let (ids, holders): (Vec<EntityId>, _) = (parts.entities.iter().map(|entity| entity.id).collect(), parts.holders());
    let time = Time::at(parts.tick);
    for id in ids {
        let find = |id: EntityId| parts.entities.get(id);
        let Some(entity) = find(id) else { continue };
        let model = entity.prototype.and_then(find).unwrap_or(entity);
        let (active, fixed) = (model.active, model.fixed);
        let container = model.container || holders.contains(&model.id);
        let home = entity.home.or_else(|| room_above(entity.location.filter(|_| entity.kind != Kind::Exit), find));
        if let Some(entity) = parts.entities.get_mut(id) {
            (entity.active, entity.fixed, entity.container, entity.home) = (active, fixed, container, home);
            entity.asleep = !entity.is_prototype() && sleeps_at(active, time);
        }
    }
}

/// The room at a place, or in which what is that place stands: the home of whatever has no other.
pub fn room_above<'e>(place: Option<EntityId>, find: impl Fn(EntityId) -> Option<&'e Entity>) -> Option<EntityId> {
    let above = std::iter::successors(place.and_then(&find), |entity| find(entity.location?));
    above.take(CONTAINMENT_DEPTH_MAX + 1).find(|entity| entity.kind == Kind::Room).map(|room| room.id)
}

/// Finds creatures that could not follow their wandering or their route from where they begin.
pub fn check_paths(parts: &Parts, problems: &mut Problems) {
    let exits = parts.entities.iter().filter(|entity| entity.kind == Kind::Exit && !entity.locked);
    let ways: BTreeSet<(EntityId, EntityId)> = exits.filter_map(|e| e.location.zip(e.destination)).collect();
    let placed = parts.entities.iter().filter(|entity| entity.kind == Kind::Creature);
    let placed = placed.filter_map(|e| Some((e.prototype.unwrap_or(e.id), e.location?)));
    let starts: BTreeSet<(EntityId, EntityId)> =
        placed.chain(parts.spawns.iter().map(|spawn| (spawn.prototype, spawn.room))).collect();
    let tag = |id: EntityId| parts.entities.get(id).and_then(|entity| entity.tag.as_deref()).unwrap_or_default();
    let habits = parts.habits.iter().flat_map(|(creature, habits)| habits.iter().map(move |habit| (creature, habit)));
    for (creature, habit) in habits.filter(|(_, habit)| !habit.targets.is_empty()) {
        let rooms = &habit.targets;
        let place = || format!("creatures.{}.habits.{}", tag(*creature), habit.verb.label());
        if habit.verb == Verb::Route {
            for (from, to) in rooms.iter().zip(rooms.iter().cycle().skip(1)) {
                if from != to && !ways.contains(&(*from, *to)) {
                    let what = format_args!("no open exit leads from {:?} to {:?}", tag(*from), tag(*to));
                    problems.add(place(), what);
                }
            }
        }
        if matches!(habit.verb, Verb::Route | Verb::Wander) {
            let here = starts.range((*creature, EntityId::FIRST)..).take_while(|(model, _)| model == creature);
            for (_, start) in here.filter(|(_, start)| !rooms.contains(start)) {
                problems.add(place(), format_args!("{:?}, where it begins, is not among the rooms named", tag(*start)));
            }
        }
    }
}

/// What is likely to be a mistake in the file of this world, but need not be one: prototypes that nothing copies. Of what
/// is eaten the last copy may be gone from an exported world.
pub fn warnings(world: &World) -> Vec<String> {
    let eaten = world.habits.values().flat_map(|habits| habits.iter()).filter(|habit| habit.verb == Verb::Eat);
    let eaten = eaten.flat_map(|habit| habit.targets.iter().copied());
    let copied = world.entities().filter_map(|entity| entity.prototype);
    let spawned = world.spawns.iter().map(|spawn| spawn.prototype);
    // Not collected, which would take memory for every copy.
    let mut used = BTreeSet::new();
    used.extend(copied.chain(spawned).chain(eaten));
    let mut warnings = Problems::default();
    for entity in world.entities().filter(|entity| entity.is_prototype() && !used.contains(&entity.id)) {
        let place = format!("{}s.{}", entity.kind.label(), entity.tag.as_deref().unwrap_or_default());
        let what =
            "stands nowhere, and nothing makes copies of it; to put it into the world, give it `in` or a spawn rule";
        warnings.add(place, what);
    }
    warnings.finish()
}
