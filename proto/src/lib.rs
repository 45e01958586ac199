//! The Dragonfly wire as dfcache and fake-dfdaemon speak it.
//!
//! [`common`], [`dfdaemon`] and [`errordetails`] hold the generated messages and services of the `.proto` files
//! beside this crate. They are committed in `src/generated`: `make lint` generates them again and compares, and a
//! test compares checksums. The other modules hold the rules of the protocol that are not RPC: [`task_id`],
//! [`piece`], [`digest`] and [`piece_packet`]. What a daemon decides (states, errors, limits) does not live here,
//! nor does any transport.

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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    /// Types have to be generated again when a `.proto` file changes, and are not edited by hand. That they are what
    /// the compiler makes of the files `make lint` shows.
    #[test]
    fn the_committed_types_are_of_these_proto_files() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let sums = fs::read_to_string(root.join("src/generated/sums.txt")).unwrap();
        let mut named = BTreeSet::new();
        for line in sums.lines() {
            let (sum, name) = line.split_once(' ').unwrap();
            let content = fs::read(root.join(name)).unwrap();
            let is = format!("{:08x}", crate::digest::crc32(&content));
            assert_eq!(is, sum, "{name} has changed: `make generated` compiles");
            named.insert(name.to_owned());
        }
        let mut there = BTreeSet::new();
        for part in ["", "src/generated/"] {
            for entry in fs::read_dir(root.join(part)).unwrap() {
                let name = entry.unwrap().file_name().into_string().unwrap();
                let is_of_this = match part {
                    "" => name.ends_with(".proto"),
                    _ => name != "sums.txt",
                };
                there.extend(is_of_this.then(|| format!("{part}{name}")));
            }
        }
        assert_eq!(named, there);
    }
}
