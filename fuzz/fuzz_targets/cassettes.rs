#![no_main]

use std::sync::{LazyLock, Mutex};

use dfcache_fuzz::{Cassettes, Target as _};
use libfuzzer_sys::fuzz_target;

static TARGET: LazyLock<Mutex<Cassettes>> = LazyLock::new(Mutex::default);

fuzz_target!(|input: &[u8]| TARGET.lock().unwrap().check(input));
