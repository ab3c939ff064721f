//! execve(2): the other threads end, then a fresh image takes over.

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

use bevor_abi::Errno;
use bevor_abi::signal::SIGKILL;
use bevor_platform::{EndWords, OwnerRef, Reply, Thread};

use super::run::{GUEST, RUNNING, TaskOwner};
use super::{Task, WaitStatus, task_name};
use crate::creds::Credentials;
use crate::loader::Loaded;
use crate::vfs::FdTable;

/// An image that waits for the other threads to end.
pub struct PendingExec {
    /// The image.
    pub loaded: Loaded,
    /// The credentials that it runs with.
    pub creds: Credentials,
    /// A descriptor table of its own, where it has shared one.
    pub files: Option<Arc<FdTable>>,
    /// PR_GET_DUMPABLE afterwards: false for images that gain privileges or that the caller may not read.
    pub dumpable: bool,
    /// It has other rights than the caller: PR_SET_PDEATHSIG is not the caller's to leave there.
    pub secure: bool,
}

impl Task {
    /// Stores the image and starts the end of the other threads.
    ///
    /// # Errors
    /// EAGAIN if the process is exiting or another thread makes an execve.
    pub fn begin_exec(self: &Arc<Self>, pending: PendingExec) -> Result<(), Errno> {
        *self.exec.lock() = Some(Box::new(pending));
        let others = {
            let mut group = self.group.signals.lock();
            if group.exit.is_some() || group.exec.is_some() {
                drop(group);
                *self.exec.lock() = None;
                return Err(Errno::EAGAIN);
            }
            group.exec = Some(self.tid());
            let others = group.threads.iter().filter(|t| !Arc::ptr_eq(t, self));
            others.map(|t| t.kick()).count() > 0
        };
        if others {
            self.set_exit_deadline(false);
        }
        Ok(())
    }

    /// A copy of the descriptor table for an image, if it is shared with other processes. (Threads end first.)
    ///
    /// # Errors
    /// ENOMEM.
    pub fn files_for_exec(&self) -> Result<Option<Arc<FdTable>>, Errno> {
        let files = Arc::clone(&self.files.lock());
        // The task's and this one.
        let shared = Arc::strong_count(&files) > 2 && !bevor_abi::mutated!("exec/shared-files");
        if shared && self.is_alone() { files.fork().map(Some) } else { Ok(None) }
    }

    /// Whether the calling thread is the only one left.
    #[must_use]
    pub fn is_alone(&self) -> bool {
        self.group.signals.lock().threads.len() == 1
    }

    /// Starts the prepared image in place of `thread`.
    pub(crate) fn commit_exec(self: &Arc<Self>, thread: &Arc<dyn Thread>) {
        let Some(pending) = self.exec.lock().take() else {
            self.begin_group_exit(WaitStatus::killed(SIGKILL));
            return self.exit_thread(Some(thread));
        };
        if bevor_abi::mutated!("exec/mask-emptied") {
            thread.set_sigmask(0);
        }
        self.initial_mask.store(thread.sigmask(), SeqCst);
        let PendingExec { loaded, creds, files, dumpable, secure } = *pending;
        let Ok(files) = files.map_or_else(|| self.files_for_exec(), |files| Ok(Some(files))) else {
            // Too late for an error, as on Linux.
            self.begin_group_exit(WaitStatus::killed(SIGKILL));
            return self.exit_thread(Some(thread));
        };
        if let Some(own) = files {
            // Closing has effects on others: not under the lock.
            let before = std::mem::replace(&mut *self.files.lock(), own);
            drop(before);
        }
        self.take_leadership();
        if secure && !bevor_abi::mutated!("exec/pdeath-kept") {
            self.pdeath_signal.store(0, SeqCst);
        }
        let borrows = self.group.borrows_memory.load(SeqCst);
        if !borrows && self.keeps_rights(&creds, dumpable) && thread.may_replace_image(&loaded.image) {
            return self.exec_in_place(thread, loaded, creds, dumpable);
        }
        self.group.keep_cpu_time(Some(Arc::clone(thread)));
        if !borrows {
            let own = self.cpu_time();
            *self.earlier.lock() = own;
        }
        self.group.borrows_memory.store(false, SeqCst);
        self.reset_for_exec(&loaded, creds, dumpable);
        self.clear_tid.store(0, SeqCst);
        let EndWords { clear_tid, robust_list } = thread.end_words();
        let reply = Reply::Exit { clear_tid: bevor_abi::mutant!("exec/clear-tid", clear_tid, 0), robust_list };
        self.release_memory();
        self.started.store(false, SeqCst);
        let owner = OwnerRef(Arc::new(TaskOwner(Arc::clone(self))));
        // From here on another worker may process the new image's first event.
        self.state.store(GUEST, SeqCst);
        let identity = self.identity();
        match self.kernel.platform.exec(owner, loaded.image, identity) {
            Ok(_) => thread.reply(reply),
            Err(errno) => {
                self.kernel.klog(&format!("pid {}: no process for execve: {errno}", self.pid()));
                self.state.store(RUNNING, SeqCst);
                // What it is still to use in the old one is not worth counting; the rest has been.
                self.group.borrows_memory.store(true, SeqCst);
                self.begin_group_exit(WaitStatus::killed(SIGKILL));
                self.exit_thread(Some(thread));
            }
        }
    }

    /// Whether the process has had and will have the same rights since its last image was started, and neither image is kept from others with
    /// those rights. Then what the old image can have done to its stub (a thread of its own that stays), and what of it is left there
    /// (in the channel), concerns nobody else.
    fn keeps_rights(&self, new: &Credentials, dumpable: bool) -> bool {
        let same = |creds: &Arc<Credentials>| **creds == *new;
        let open = dumpable && self.group.dumpable.load(SeqCst) == 1;
        open && self.group.image_creds.lock().as_ref().is_some_and(same) && same(&self.creds.lock())
    }

    /// Replaces the image in the same host process.
    fn exec_in_place(self: &Arc<Self>, thread: &Arc<dyn Thread>, loaded: Loaded, creds: Credentials, dumpable: bool) {
        self.reset_for_exec(&loaded, creds, dumpable);
        // Nobody else could see clear_tid cleared.
        let robust_list = thread.end_words().robust_list;
        thread.set_end_words(EndWords::default());
        self.release_memory();
        if !bevor_abi::mutated!("exec/altstack") {
            thread.reset_altstack();
        }
        self.group.bound_memory(&*thread.space());
        thread.set_identity(self.identity());
        self.publish_pending();
        self.send_reply(thread, Reply::Exec { image: Box::new(loaded.image), robust_list });
    }

    /// The thread becomes the leader, whatever it was.
    fn take_leadership(self: &Arc<Self>) {
        let mut tree = self.kernel.tree.lock();
        if self.tid() != self.pid() {
            tree.remove_task(self);
            self.set_tid(self.pid());
            tree.add_task(self);
        }
        if let Some(process) = tree.process_mut(self.pid()) {
            process.last_status = None;
            process.execed = !bevor_abi::mutated!("exec/may-join");
        }
        self.group.signals.lock().exec = None;
    }

    fn reset_for_exec(&self, loaded: &Loaded, creds: Credentials, dumpable: bool) {
        {
            let mut handlers = self.group.handlers.lock();
            let own = bevor_abi::mutant!("exec/shared-handlers", Arc::new(handlers.copy()), Arc::clone(&handlers));
            own.reset_caught();
            *handlers = own;
        }
        let files = Arc::clone(&self.files.lock());
        files.close_on_exec();
        drop(files);
        let creds = Arc::new(creds);
        *self.group.image_creds.lock() = Some(Arc::clone(&creds));
        // In this order: who finds the new image, or the new credentials, finds what protects it.
        if !dumpable {
            self.group.dumpable.store(0, SeqCst);
        }
        *self.creds.lock() = creds;
        *self.name.lock() = task_name(&loaded.name);
        *self.group.image.lock() = Arc::new(loaded.info.clone());
        let was = bevor_abi::mutant!("exec/dumpable-stays", 1, self.group.dumpable.load(SeqCst));
        self.group.dumpable.store(u8::from(dumpable).min(was), SeqCst);
        if !bevor_abi::mutated!("exec/timers-kept") {
            self.group.itimers.lock().clear(bevor_abi::mutated!("exec/alarm-lost"));
        }
        *self.saved_mask.lock() = None;
        if bevor_abi::mutated!("exec/pending-own") {
            self.pending.lock().remove(u64::MAX);
        }
        self.last_frame.store(0, SeqCst);
    }

    /// Starts a task that has no thread yet (init).
    ///
    /// # Errors
    /// What the platform says.
    pub fn start(self: &Arc<Self>, loaded: Loaded) -> Result<(), Errno> {
        let creds = (*self.creds()).clone();
        self.reset_for_exec(&loaded, creds, true);
        let owner = OwnerRef(Arc::new(TaskOwner(Arc::clone(self))));
        self.kernel.platform.exec(owner, loaded.image, self.identity()).map(|_| ())
    }
}
