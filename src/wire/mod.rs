//! What lies between a call and the socket: the connection, the daemon's service, calls and their decoders, how
//! values and errors look on the wire.
//!
//! What is called lives in `client`; what an answer means for a file lives in `import` and `export`.

pub(crate) mod call;
pub(crate) mod connection;
pub(crate) mod convert;
pub(crate) mod grpc;
mod list;
pub(crate) mod piece_decoder;
pub(crate) mod service;
mod spinning_socket;
pub(crate) mod status;
