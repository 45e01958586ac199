//! Settings that a test in Rust changes while a fake runs.

use std::time::Duration;

use fake_dfdaemon::{Code, FakeDfdaemon, SettingsError};

use crate::support::client::Client;

#[tokio::test]
async fn a_change_counts_from_then_on_until_a_reset() {
    let daemon = FakeDfdaemon::builder().capacity(1 << 20).start();
    let daemon = daemon.await.unwrap();
    let given = daemon.settings();
    assert_eq!(given.capacity, Some(1 << 20));
    let client = Client::connect(daemon.endpoint()).await;
    client.list().await.unwrap();

    let overloaded = daemon.change_settings(|settings| settings.max_requests = Some(0));
    overloaded.unwrap();
    let refused = client.list().await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted);
    assert_eq!(daemon.settings().max_requests, Some(0));
    assert_eq!(daemon.settings().capacity, Some(1 << 20));

    daemon.reset().await.unwrap();
    client.list().await.unwrap();
    assert_eq!(daemon.settings(), given);
}

#[tokio::test]
async fn a_change_that_cannot_be_changes_nothing() {
    let builder = FakeDfdaemon::builder().max_ttl(Duration::from_secs(120));
    let daemon = builder.start().await.unwrap();
    let given = daemon.settings();
    let never = daemon.change_settings(|settings| {
        settings.capacity = Some(5);
        settings.gc_interval = Duration::ZERO;
    });
    assert_eq!(never, Err(SettingsError::NoInterval));
    let no_ttl = daemon.change_settings(|settings| {
        settings.quirks.extend([fake_dfdaemon::Quirk::TtlLimits]);
    });
    let (min, max) = (Duration::from_secs(300), Duration::from_secs(120));
    assert_eq!(no_ttl, Err(SettingsError::NoTtl { min, max }));
    assert_eq!(daemon.settings(), given);
}
