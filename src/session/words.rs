//! Words for what happens: the same event in the same words each time, the most important word first, for whoever
//! notices it.

use crate::text::capitalised;
use crate::world::{Deed, Effect, EntityId, Posture, World};

/// What a listener reads of an effect; `None` if there are no words for it because something else is shown. Without a
/// listener, what everybody else reads.
pub fn sentence(world: &World, effect: &Effect, listener: Option<EntityId>) -> Option<String> {
    let is_own = effect.actor.is_some() && effect.actor == listener;
    let actor = effect.actor.map(|actor| capitalised(world.name_of(actor))).unwrap_or_default();
    let name = |id| if Some(id) == listener { "you" } else { world.name_of(id) };
    // In the words of who does it, and of others.
    let does = |first: &str, third: &str, rest: &str| match is_own {
        true => format!("You {first}{rest}"),
        false => format!("{actor} {third}{rest}"),
    };
    Some(match effect.deed {
        // They see where they come to.
        Deed::Goes(_) | Deed::Arrives(_) | Deed::Enters if is_own => return None,
        Deed::Goes(exit) => {
            // A direction is one word; what has more is a thing that one goes by.
            let by = if name(exit).contains(' ') { "by the " } else { "" };
            format!("{actor} {} {by}{}.", world.gait_of(effect.actor?), name(exit).trim_start_matches("the "))
        }
        Deed::Arrives(_) => format!("{actor} arrives."),
        Deed::Enters => format!("{actor} wakes into the world."),
        Deed::Leaves => does("leave", "leaves", " the world."),
        Deed::Becomes(name) => does("are", "is", &format!(" {name} from now on.")),
        Deed::Says(words) => does("say", "says", &format!(", \"{words}\"")),
        Deed::Shouts(words) => does("shout", "shouts", &format!(", \"{words}\"")),
        Deed::Whispers(words, to) => does("whisper", "whispers", &format!(" to {}, \"{words}\"", name(to))),
        Deed::Tells(words, to) => does("tell", "tells", &format!(" {}, \"{words}\"", name(to))),
        Deed::Acts(words) if words.starts_with(['\'', ',']) => format!("{actor}{words}"),
        Deed::Acts(words) => format!("{actor} {words}"),
        Deed::Takes(thing, None) => does("pick up", "picks up", &format!(" {}.", name(thing))),
        Deed::Takes(thing, Some(from)) => does("take", "takes", &format!(" {} from {}.", name(thing), name(from))),
        Deed::Drops(thing) => does("put down", "puts down", &format!(" {}.", name(thing))),
        Deed::Puts(thing, into) => does("put", "puts", &format!(" {} into {}.", name(thing), name(into))),
        Deed::Gives(thing, to) => does("give", "gives", &format!(" {} to {}.", name(thing), name(to))),
        Deed::Eats(prey) => does("eat", "eats", &format!(" {}.", name(prey))),
        Deed::Assumes(Posture::Standing) => does("stand", "stands", " up."),
        Deed::Assumes(Posture::Sitting) => does("sit", "sits", " down."),
        Deed::Assumes(Posture::Resting) => does("lie", "lies", " down to rest."),
        Deed::FallsAsleep => format!("{actor} falls asleep."),
        Deed::WakesUp => format!("{actor} wakes up."),
        Deed::Appears(words) => words?.to_owned(),
        Deed::Sky(words) => words.to_owned(),
    })
}
