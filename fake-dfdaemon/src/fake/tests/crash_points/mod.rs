//! Every step that the store takes on the disk, as the point where a run ends and as the point where
//! the disk fails: what was promised is there, whole, and nothing else is.
//!
//! Each scenario runs once to count its steps, and then once for every step. What the disk does there
//! is in [`plan`], what a scenario consists of in [`steps`], its files in [`place`]; [`running_fake`] does
//! the steps, and [`on_disk`] looks at what must hold after them; the runs are in [`crashes`] and [`errors`]. [`opening`] only counts.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod crashes;
mod errors;
mod on_disk;
mod opening;
mod place;
mod plan;
mod running_fake;
mod scenarios;
mod steps;

/// Runs a case, and says its name if it panics.
async fn named<T>(name: &str, case: impl Future<Output = T>) -> T {
    struct Named<'a>(&'a str);
    impl Drop for Named<'_> {
        fn drop(&mut self) {
            if std::thread::panicking() {
                eprintln!("it was {}", self.0);
            }
        }
    }
    let _named = Named(name);
    case.await
}
