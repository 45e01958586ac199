//! What lies between a call and the socket: the connection, a streaming call and its decoder, how
//! values and errors look on the wire.
//!
//! What is called lives in `client`; what an answer means for a file lives in `import` and `export`.

pub(crate) mod connection;
pub(crate) mod convert;
pub(crate) mod list;
pub(crate) mod piece_decoder;
mod spinning_socket;
pub(crate) mod status;
pub(crate) mod streaming_call;
