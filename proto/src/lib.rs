//! The Dragonfly wire as dfcache and fake-dfdaemon speak it.
//!
//! [`common`], [`dfdaemon`] and [`errordetails`] hold the generated messages and services of the
//! `.proto` files beside this crate, committed in `src/generated` and held to them by a test. The other modules hold the rules of the protocol that are
//! not RPC: [`task_id`], [`piece`], [`digest`] and [`piece_packet`]. What a daemon decides (states, errors, limits)
//! does not live here, nor does any transport.

pub mod digest;
pub mod piece;
pub mod piece_packet;
pub mod task_id;

/// Messages of package `common.v2`.
pub mod common {
    /// Version 2.
    pub mod v2 {
        #![allow(missing_docs, unreachable_pub, clippy::all)]
        include!("generated/common.v2.rs");
    }
}

/// Messages and services of package `dfdaemon.v2`.
pub mod dfdaemon {
    /// Version 2.
    pub mod v2 {
        #![allow(missing_docs, unreachable_pub, clippy::all)]
        include!("generated/dfdaemon.v2.rs");
    }
}

/// Messages of package `errordetails.v2`.
pub mod errordetails {
    /// Version 2.
    pub mod v2 {
        #![allow(missing_docs, unreachable_pub, clippy::all)]
        include!("generated/errordetails.v2.rs");
    }
}

/// The encoded `FileDescriptorSet` of the `.proto` files, for server reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!("generated/descriptors.bin");
