//! An export leaves the replica of the daemon's own host as it was.

use fake_dfdaemon::{Fault, Quirk, Release, Rpc};

use crate::support::World;
use crate::support::files::PIECE;

fn is_persistent(world: &World, host: usize) -> bool {
    let list = world.on_host(host).args(["ls", "--format", "json"]);
    list.run().succeeds().json()["persistent"] == true
}

#[test]
fn a_local_export_leaves_the_replica_persistent() {
    let world = World::with(|builder| {
        let builder = builder.release(Release::V1_5);
        builder.quirks([Quirk::ExportClearsPersistent])
    });
    let file = world.file("file", 10);
    let id = world.import_with(&["--persistent-replica-count", "1"], &file);
    let modes = [
        &[][..],
        &["--force-hard-link"],
        &["--transfer-from-dfdaemon"],
    ];
    for (number, mode) in modes.into_iter().enumerate() {
        for host in [0, 1] {
            let output = format!("out-{number}-{host}");
            world.export(host, mode, &id, &output).succeeds();
            assert_eq!(is_persistent(&world, host), host == 0, "{mode:?}");
        }
    }
}

#[test]
fn an_export_that_is_broken_off_leaves_a_replica_that_serves_other_hosts() {
    for release in [Release::V0_2, Release::V1_5] {
        let world = World::with(|builder| {
            let builder = builder.hosts(4).release(release);
            builder.quirks([Quirk::PoisonedCopies])
        });
        let file = world.file("file", 3 * PIECE);
        let id = world.import_with(&["--persistent-replica-count", "1"], &file);
        for (number, end) in ["signal", "timeout", "reader"].into_iter().enumerate() {
            let fault = Fault::on(Rpc::Export).call(1).piece(1).stall();
            let _stalls = world.daemon().fault(fault);
            let timeout = if end == "timeout" { "2s" } else { "1h" };
            let export = world.dfcache().args(["export", "-O", "-", &id]);
            let mut running = export.args(["--timeout", timeout]).start();
            running.read(PIECE);
            match end {
                "signal" => running.interrupt(),
                "reader" => {
                    running.stop_reading();
                    running.interrupt();
                }
                _ => {}
            }
            let run = running.wait();
            assert_ne!(run.code(), Some(0));
            let output = format!("out-{number}");
            let options = ["--transfer-from-dfdaemon", "--timeout", "20s"];
            world.export(1 + number, &options, &id, &output).succeeds();
            world.assert_same(&file, &output);
        }
    }
}
