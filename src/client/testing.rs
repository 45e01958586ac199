//! A client of the scripted daemon.

use testkit::ScriptedDaemon;

use crate::client::Client;
use crate::types::options::Endpoint;

pub(crate) async fn connected(daemon: &ScriptedDaemon) -> Client {
    let endpoint = Endpoint::new(&daemon.endpoint).unwrap();
    Client::connect(&endpoint).await.unwrap()
}
