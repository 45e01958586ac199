//! Requests as most tests make them.

use std::path::Path;

use super::client::{Export, Import};

/// A duration of whole seconds, as it is sent.
pub fn seconds(seconds: i64) -> prost_types::Duration {
    prost_types::Duration { seconds, nanos: 0 }
}

/// An import of a file; the TTL is in seconds.
pub fn import(path: &Path, replicas: u64, ttl: i64) -> Import {
    Import {
        path: path.to_str().unwrap().to_owned(),
        persistent_replica_count: replicas,
        ttl: Some(seconds(ttl)),
        ..Import::default()
    }
}

/// An import whose id is computed from `content`.
pub fn import_as(path: &Path, content: &str, replicas: u64, ttl: i64) -> Import {
    Import {
        content_for_calculating_task_id: Some(content.to_owned()),
        ..import(path, replicas, ttl)
    }
}

/// An export into the host's cache only.
pub fn cache(id: &str) -> Export {
    Export {
        task_id: id.to_owned(),
        ..Export::default()
    }
}

/// An export with the content in the stream.
pub fn transfer(id: &str) -> Export {
    Export {
        need_piece_content: true,
        ..cache(id)
    }
}

/// An export to a path.
pub fn export_to(id: &str, path: &Path) -> Export {
    Export {
        output_path: Some(path.to_str().unwrap().to_owned()),
        ..cache(id)
    }
}
