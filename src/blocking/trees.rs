//! The calls of the blocking client for trees, staged copies and streams, and its `diagnose`.

use std::io::Read;
use std::path::Path;

use super::{Client, Runtime};
use crate::client::doctor::Check;
use crate::import::{ImportRequest, Imported};
use crate::tree::{ExportTree, ExportedTree, ImportTree, ImportedTree, VerifiedTree, VerifyTree};
use crate::types::endpoint::Endpoint;
use crate::types::error::Result;

impl Client {
    /// As the asynchronous [`import_staged`](crate::Client::import_staged).
    ///
    /// # Errors
    ///
    /// Those of that method.
    pub fn import_staged(
        &self,
        request: impl Into<ImportRequest>,
        staging: impl AsRef<Path>,
    ) -> Result<Imported> {
        let import = self.client.import_staged(request, staging);
        self.runtime.wait_for(import)
    }

    /// As the asynchronous [`import_reader`](crate::Client::import_reader).
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let daemon = fake_dfdaemon::FakeDfdaemon::start_blocking()?;
    /// # let staging = tempfile::tempdir()?;
    /// use dfcache::blocking::Client;
    ///
    /// let client = Client::connect(daemon.endpoint())?;
    /// let imported = client.import_reader("a greeting", &b"hello"[..], &staging)?;
    /// assert_eq!(imported.task.content_length, 5);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Those of that method.
    pub fn import_reader(
        &self,
        request: impl Into<ImportRequest>,
        reader: impl Read + Send + 'static,
        staging: impl AsRef<Path>,
    ) -> Result<Imported> {
        let import = self.client.import_reader(request, reader, staging);
        self.runtime.wait_for(import)
    }

    /// As the asynchronous [`import_tree`](crate::Client::import_tree).
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let daemon = fake_dfdaemon::FakeDfdaemon::start_blocking()?;
    /// # let directory = tempfile::tempdir()?;
    /// # let model = directory.path().join("model");
    /// # let copy = directory.path().join("copy");
    /// # std::fs::create_dir(&model)?;
    /// # std::fs::write(model.join("weights.bin"), "content")?;
    /// use dfcache::blocking::Client;
    /// use dfcache::{ExportTree, ImportTree, VerifyTree};
    ///
    /// let client = Client::connect(daemon.endpoint())?;
    /// let tree = client.import_tree(&ImportTree::new(&*model))?;
    /// client.export_tree(&ExportTree::new(&tree.task.task_id), &copy)?;
    /// assert_eq!(std::fs::read(copy.join("weights.bin"))?, b"content");
    /// client.verify_tree(&VerifyTree::new(&tree.task.task_id), &copy)?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Those of that method.
    pub fn import_tree(&self, tree: &ImportTree) -> Result<ImportedTree> {
        self.runtime.wait_for(self.client.import_tree(tree))
    }

    /// As the asynchronous [`export_tree`](crate::Client::export_tree).
    ///
    /// # Errors
    ///
    /// Those of that method.
    pub fn export_tree(&self, tree: &ExportTree, path: impl AsRef<Path>) -> Result<ExportedTree> {
        self.runtime.wait_for(self.client.export_tree(tree, path))
    }

    /// As the asynchronous [`verify_tree`](crate::Client::verify_tree).
    ///
    /// # Errors
    ///
    /// Those of that method.
    pub fn verify_tree(&self, tree: &VerifyTree, path: impl AsRef<Path>) -> Result<VerifiedTree> {
        self.runtime.wait_for(self.client.verify_tree(tree, path))
    }
}

/// As the asynchronous [`diagnose`](crate::diagnose), without the client.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let daemon = fake_dfdaemon::FakeDfdaemon::start_blocking()?;
/// let checks = dfcache::blocking::diagnose(&dfcache::Endpoint::new(daemon.endpoint())?)?;
/// assert!(checks.iter().all(|check| check.result.is_ok()));
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// [`ErrorKind::Failure`](crate::ErrorKind::Failure) if no thread can be started. What is wrong is in
/// the checks.
pub fn diagnose(endpoint: &Endpoint) -> Result<Vec<Check>> {
    let runtime = Runtime::start()?;
    runtime.wait_for(async {
        let (checks, _) = crate::client::doctor::diagnose(endpoint).await;
        Ok(checks)
    })
}
