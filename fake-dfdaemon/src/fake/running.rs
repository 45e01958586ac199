//! A running fake as its handle owns it: the instance, and its control API. Both end when it is dropped.

use std::sync::Arc;

use futures_util::future::join_all;

#[cfg(feature = "control")]
use crate::control::ControlServer;
use crate::instance::Instance;
use crate::instance::error::StartError;
use crate::instance::preload::Preloaded;

/// What runs, and ends when it is dropped.
#[derive(Debug)]
pub(super) struct Running {
    #[cfg(feature = "control")]
    pub(super) control: Option<ControlServer>,
    pub(super) preloaded: Vec<Preloaded>,
    pub(super) instance: Arc<Instance>,
}

impl Running {
    pub(super) fn new(instance: Arc<Instance>) -> Self {
        Self {
            #[cfg(feature = "control")]
            control: None,
            preloaded: Vec::new(),
            instance,
        }
    }

    pub(super) fn run_jobs(&self) {
        let jobs = self.instance.jobs();
        self.instance.cluster.spawn(jobs.run());
    }

    /// Lets clients in, once what is preloaded is there.
    pub(super) async fn open_up(&mut self) -> Result<(), StartError> {
        self.preload().await?;
        self.listen().await?;
        #[cfg(feature = "control")]
        self.serve_control().await?;
        Ok(())
    }

    async fn preload(&mut self) -> Result<(), StartError> {
        self.preloaded = self.instance.import_preloaded().await?;
        Ok(())
    }

    async fn listen(&self) -> Result<(), StartError> {
        for host in &self.instance.hosts {
            host.listen().await?;
        }
        Ok(())
    }

    /// Breaks off what is running, lets calls end for a moment, and waits until all has ended.
    pub(super) fn stop(&mut self) -> impl Future<Output = ()> + Send + use<> {
        self.instance.break_off();
        #[cfg(feature = "control")]
        let control = self.control.take();
        let instance = Arc::clone(&self.instance);
        async move {
            #[cfg(feature = "control")]
            if let Some(control) = control {
                control.stop().await;
            }
            // Together: each may have a reader that stalls to wait for.
            join_all(instance.hosts.iter().map(|host| host.stop())).await;
            instance.cluster.stop().await;
            instance.calls.journal.finish().await;
            instance.cluster.take_state_away().await;
        }
    }

    /// As [`Self::stop`], but breaks the connections.
    pub(super) fn break_up(&mut self) -> impl Future<Output = ()> + Send + use<> {
        self.instance.break_off();
        #[cfg(feature = "control")]
        let control = self.control.take();
        let instance = Arc::clone(&self.instance);
        async move {
            #[cfg(feature = "control")]
            if let Some(control) = control {
                control.break_up().await;
            }
            join_all(instance.hosts.iter().map(|host| host.close())).await;
            instance.cluster.stop().await;
            instance.calls.journal.finish().await;
            instance.cluster.take_state_away().await;
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // The cluster's jobs hold it, and would never end by themselves.
        self.instance.break_off();
    }
}
