//! What stands between clients and a daemon or a cassette, as a test holds it.

mod running;

pub(crate) use self::running::{Role, Running, Setup};
