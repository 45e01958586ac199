//! How threads that wait for a disk hand back what they have done to the thread of the runtime. To wake that thread is a system
//! call: here one does for all that was done before it comes.

use std::pin::{Pin, pin};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Wake, Waker};

use tokio::runtime::Handle;

use crate::dfdaemon::mutex::Mutex;

/// Wakes the tasks of one runtime for other threads.
#[derive(Clone, Debug, Default)]
pub(super) struct HandBack(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared(Mutex<Due>);

/// Locked for a moment, with nothing else.
#[derive(Debug, Default)]
struct Due {
    /// The tasks that are to be woken.
    tasks: Vec<Waker>,
    /// Wakes the [`Runner`], while there is one.
    runner: Option<Waker>,
    is_started: bool,
}

/// The task that wakes the others, on the thread that runs them.
struct Runner {
    shared: Weak<Shared>,
    /// Memory for those that are woken next.
    tasks: Vec<Waker>,
}

/// Takes the place of a task's own waker.
struct Relay {
    shared: Arc<Shared>,
    task: Waker,
}

impl HandBack {
    /// Awaits what another thread does, on the runtime that runs this.
    pub(super) async fn from<F: Future>(&self, work: F) -> F::Output {
        self.start();
        let mut work = pin!(work);
        let mut relay: Option<(Waker, Waker)> = None;
        std::future::poll_fn(move |context| {
            let task = context.waker();
            let relay = match &mut relay {
                Some((of, relay)) if of.will_wake(task) => relay,
                relay => {
                    let shared = Arc::clone(&self.0);
                    let new = Relay {
                        shared,
                        task: task.clone(),
                    };
                    &mut relay.insert((task.clone(), Arc::new(new).into())).1
                }
            };
            work.as_mut().poll(&mut Context::from_waker(relay))
        })
        .await
    }

    fn start(&self) {
        let mut due = self.0.0.lock();
        if std::mem::replace(&mut due.is_started, true) {
            return;
        }
        drop(due);
        // Without a runtime each task is woken for itself.
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(Runner {
                shared: Arc::downgrade(&self.0),
                tasks: Vec::new(),
            });
        }
    }
}

impl Future for Runner {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let Some(shared) = self.shared.upgrade() else {
            return Poll::Ready(());
        };
        {
            let mut due = shared.0.lock();
            std::mem::swap(&mut due.tasks, &mut self.tasks);
            let task = context.waker();
            if !due.runner.as_ref().is_some_and(|it| it.will_wake(task)) {
                due.runner = Some(task.clone());
            }
        }
        self.tasks.drain(..).for_each(Waker::wake);
        Poll::Pending
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        if let Some(shared) = self.shared.upgrade() {
            let mut due = shared.0.lock();
            due.runner = None;
            let tasks = std::mem::take(&mut due.tasks);
            drop(due);
            tasks.into_iter().for_each(Waker::wake);
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // The runner sees that nothing comes any more.
        if let Some(runner) = self.0.lock().runner.take() {
            runner.wake();
        }
    }
}

impl Wake for Relay {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let mut due = self.shared.0.lock();
        let Some(runner) = &due.runner else {
            drop(due);
            return self.task.wake_by_ref();
        };
        // The runner was woken for the first of them.
        let runner = due.tasks.is_empty().then(|| runner.clone());
        due.tasks.push(self.task.clone());
        drop(due);
        if let Some(runner) = runner {
            runner.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::oneshot;

    use super::*;

    #[derive(Default)]
    struct Counted(AtomicUsize);

    impl Wake for Counted {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn one_wake_up_of_the_runtime_is_for_all_that_was_done_before_it() {
        let (runner, task) = <(Arc<Counted>, Arc<Counted>)>::default();
        let hand_back = HandBack::default();
        hand_back.0.0.lock().runner = Some(Arc::clone(&runner).into());
        for _ in 0..3 {
            let relay = Relay {
                shared: Arc::clone(&hand_back.0),
                task: Arc::clone(&task).into(),
            };
            Waker::from(Arc::new(relay)).wake();
        }
        assert_eq!(runner.0.load(Ordering::Relaxed), 1);
        assert_eq!(task.0.load(Ordering::Relaxed), 0);
        drop(Runner {
            shared: Arc::downgrade(&hand_back.0),
            tasks: Vec::new(),
        });
        assert_eq!(task.0.load(Ordering::Relaxed), 3);
    }

    #[test]
    fn what_is_done_comes_to_whichever_runtime_waits() {
        let hand_back = HandBack::default();
        for _ in 0..2 {
            let mut runtime = tokio::runtime::Builder::new_current_thread();
            runtime.build().unwrap().block_on(async {
                for number in 0..100 {
                    let (sender, done) = oneshot::channel();
                    let thread = std::thread::spawn(move || sender.send(number));
                    assert_eq!(hand_back.from(done).await, Ok(number));
                    thread.join().unwrap().unwrap();
                }
            });
        }
    }
}
