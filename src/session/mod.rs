//! People: who one is, a line that becomes a command of the world, effects of the world that become lines. Knows no
//! transport: telnet and the WebSocket are thin layers under it.

pub mod secret;
pub mod terminal;
pub mod words;
