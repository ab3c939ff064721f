//! Helper threads for host calls that may block.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

type Job = Box<dyn FnOnce() + Send>;

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Job>,
    idle: usize,
    threads: usize,
}

/// A pool that grows with blocked jobs and shrinks after a few idle seconds.
#[derive(Clone, Default)]
pub(crate) struct Pool(Arc<(Mutex<Queue>, Condvar)>);

const MAX_THREADS: usize = 128;
const IDLE: Duration = Duration::from_secs(5);

impl Pool {
    /// Runs `job` soon. With all threads blocked it waits for one.
    pub(crate) fn spawn(&self, job: Job) {
        let (lock, condvar) = &*self.0;
        let mut queue = lock.lock();
        queue.jobs.push_back(job);
        if queue.idle >= queue.jobs.len() {
            condvar.notify_one();
        } else if queue.threads < MAX_THREADS {
            queue.threads += 1;
            let pool = self.clone();
            let started = std::thread::Builder::new().name("blocking".into()).stack_size(256 << 10).spawn(move || pool.run());
            if started.is_err() {
                queue.threads -= 1;
                condvar.notify_one();
            }
        }
    }

    fn run(&self) {
        let (lock, condvar) = &*self.0;
        let mut queue = lock.lock();
        loop {
            if let Some(job) = queue.jobs.pop_front() {
                drop(queue);
                // A panicking job must not take the thread, which is counted, with it.
                let _ = catch_unwind(AssertUnwindSafe(job));
                queue = lock.lock();
                continue;
            }
            queue.idle += 1;
            let timed_out = condvar.wait_for(&mut queue, IDLE).timed_out();
            queue.idle -= 1;
            if timed_out && queue.jobs.is_empty() {
                queue.threads -= 1;
                return;
            }
        }
    }
}
