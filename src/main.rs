//! dfcache.
fn main() {}
