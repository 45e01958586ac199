//! Exports whose content must give the id again.

use dfdaemon_api::common::v2::PersistentCacheTask;
use dfdaemon_api::digest::crc32;

use super::*;

/// The id of `content` by release 0.2.
fn id(content: &[u8]) -> TaskId {
    let hashed = [content, b"PERSISTENT_CACHE"].concat();
    crc32(&hashed).to_string().parse().unwrap()
}

/// A daemon that exports `CONTENT`, in this order of pieces, whatever is asked for.
fn daemon(order: [usize; 3]) -> ScriptedDaemon {
    let pieces = pieces();
    let steps = started_with(order.map(|number| pieces[number].clone()));
    ScriptedDaemon::start(Answers {
        export: Arc::new(move |_| Ok(steps.clone())),
        stat: Arc::new(|request| {
            Ok(PersistentCacheTask {
                id: request.task_id.clone(),
                ..PersistentCacheTask::default()
            })
        }),
        ..Answers::default()
    })
}

#[tokio::test]
async fn a_transfer_is_verified_by_its_id_whatever_order_pieces_come_in() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("out");
    for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0]] {
        let daemon = daemon(order);
        for client in [
            connected(&daemon).await,
            connected(&daemon).await.writing_inline(),
        ] {
            let mut request = ExportRequest::new(id(CONTENT))
                .mode(ExportMode::ByTransfer)
                .verify(true);
            let export = client.export_to_path(&request, &path);
            export.await.unwrap();
            assert_eq!(fs::read(&path).unwrap(), CONTENT);
            fs::remove_file(&path).unwrap();
            let mut content = Vec::new();
            client
                .export_to_writer(&request, &mut content)
                .await
                .unwrap();
            assert_eq!(content, CONTENT);

            request.task_id = id(b"0123456788");
            let export = client.export_to_path(&request, &path);
            assert_eq!(export.await.unwrap_err().kind(), ErrorKind::Integrity);
            assert!(names(directory.path()).is_empty());
            let export = client.export_to_writer(&request, &mut content);
            assert_eq!(export.await.unwrap_err().kind(), ErrorKind::Integrity);
        }
    }
}
