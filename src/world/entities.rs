//! The entities of a world by id: millions with hardly more memory than they take side by side.
//!
//! Ids are given in order and never again, so neighbours by id are kept in one piece of memory, where what has gone
//! leaves no hole.

use std::collections::BTreeMap;

use super::entity::{Entity, EntityId};

/// How many ids share a piece: enough that what a piece costs does not count, and few enough that to close the gap of one
/// that goes costs nothing either.
const SPAN: u64 = 64;

/// Entities, each under its id.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entities {
    /// By the first part of their ids; in each piece by id. None is empty.
    pieces: BTreeMap<u64, Vec<Entity>>,
    count: usize,
}

impl Entities {
    /// How many there are.
    pub fn count(&self) -> usize {
        self.count
    }

    /// The entity with this id.
    pub fn get(&self, id: EntityId) -> Option<&Entity> {
        let piece = self.pieces.get(&(id.get() / SPAN))?;
        piece.get(place(piece, id).ok()?)
    }

    /// The same, to be changed.
    pub fn get_mut(&mut self, id: EntityId) -> Option<&mut Entity> {
        let piece = self.pieces.get_mut(&(id.get() / SPAN))?;
        let place = place(piece, id).ok()?;
        piece.get_mut(place)
    }

    /// All of them, by id.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Entity> {
        self.pieces.values().flatten()
    }

    /// Adds an entity, in the place of the one that has its id, if there is one.
    pub fn insert(&mut self, entity: Entity) {
        let piece = self.pieces.entry(entity.id.get() / SPAN).or_default();
        match place(piece, entity.id) {
            Ok(place) => piece[place] = entity,
            Err(place) => {
                piece.insert(place, entity);
                self.count += 1;
            }
        }
    }

    /// Takes an entity out.
    pub fn remove(&mut self, id: EntityId) -> Option<Entity> {
        let key = id.get() / SPAN;
        let piece = self.pieces.get_mut(&key)?;
        let removed = piece.remove(place(piece, id).ok()?);
        self.count -= 1;
        if piece.is_empty() {
            self.pieces.remove(&key);
        } else if piece.len() <= piece.capacity() / 2 {
            piece.shrink_to_fit();
        }
        Some(removed)
    }
}

/// Where an entity is in its piece, or would have to be. While none of its neighbours has gone its id tells.
fn place(piece: &[Entity], id: EntityId) -> Result<usize, usize> {
    let likely = (id.get() % SPAN) as usize;
    let is_there = piece.get(likely).is_some_and(|entity| entity.id == id);
    if is_there { Ok(likely) } else { piece.binary_search_by_key(&id, |entity| entity.id) }
}
