//! The fake as somebody meets it who should not get in: other users of the machine, web pages,
//! whoever sends odd ids and paths.

mod bad_parents;
mod ground;
mod hung;
mod hung_content;
mod hung_journal;
mod hung_sockets;
mod ids;
mod modes;
mod network;
mod parents;
mod paths;
mod piece_packets;
mod places;
mod stalling;
mod tcp;
