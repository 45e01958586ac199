//! What both programs are held to under arbitrary input: one type a target, fed with bytes.
//!
//! libFuzzer feeds them in `fuzz/`. `make test` feeds them everything that was found before and is
//! kept in `fixtures/fuzz`, and random bytes. A check panics when it does not hold.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use arbitrary::{Arbitrary, Unstructured};

mod cassettes;
mod client_bytes;
mod client_messages;
mod control_bodies;
mod fake_requests;
mod fault_specs;
mod manifests;
mod options;
mod proxied_streams;
mod records;
mod stage;
mod wire;

pub use cassettes::Cassettes;
pub use client_bytes::ClientBytes;
pub use client_messages::ClientMessages;
pub use control_bodies::ControlBodies;
pub use fake_requests::FakeRequests;
pub use fault_specs::FaultSpecs;
pub use manifests::Manifests;
pub use options::Options;
pub use proxied_streams::ProxiedStreams;
pub use records::Records;

/// Values to the end of the input, but no more than `most`.
fn series<T: for<'a> Arbitrary<'a>>(input: &mut Unstructured<'_>, most: usize) -> Vec<T> {
    let values = std::iter::from_fn(|| match input.is_empty() {
        false => T::arbitrary(input).ok(),
        true => None,
    });
    values.take(most).collect()
}

/// Nothing in most cases: what is odd in many ways is refused for the first.
#[derive(Debug)]
pub(crate) struct Rarely<T>(pub(crate) Option<T>);

impl<'a, T: Arbitrary<'a>> Arbitrary<'a> for Rarely<T> {
    fn arbitrary(input: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        let is_odd = u8::arbitrary(input)? % 8 == 7;
        Ok(Self(is_odd.then(|| T::arbitrary(input)).transpose()?))
    }
}

/// What is held to something under arbitrary input. Whatever it needs is set up once.
pub trait Target: Default {
    /// The target's name, and that of its directory in `fixtures/fuzz`.
    const NAME: &str;

    /// Panics if something does not hold of this input.
    fn check(&mut self, input: &[u8]) {
        self.gets_far(input);
    }

    /// The same; whether the input got past whatever looks at it first.
    fn gets_far(&mut self, input: &[u8]) -> bool;
}
