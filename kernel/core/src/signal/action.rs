//! What a process does on a signal (sigaction(2)).

use bevor_abi::signal::{self, KernelSigaction, SA_NODEFER, SA_RESETHAND, SIG_DFL, SIG_IGN, bit};

use crate::lock::{Rank, RankedMutex};

/// What a signal without a handler does (signal(7)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DefaultAction {
    /// Nothing.
    Ignore,
    /// End the process.
    Terminate,
    /// End the process with a core dump.
    Core,
    /// Stop the process.
    Stop,
}

/// The default action of `signo`. SIGCONT's resuming happens when it is sent, so that its default is to do nothing.
#[must_use]
pub fn default_action(signo: i32) -> DefaultAction {
    let b = bit(signo);
    if b & signal::IGNORE_SET != 0 && !(bevor_abi::mutated!("action/urg-kills") && signo == 23) {
        DefaultAction::Ignore
    } else if b & signal::STOP_SET != 0 {
        DefaultAction::Stop
    } else if b & signal::CORE_SET != 0 {
        DefaultAction::Core
    } else {
        DefaultAction::Terminate
    }
}

/// The actions for all signals, shared under CLONE_SIGHAND.
#[derive(Debug)]
pub struct SignalHandlers(RankedMutex<[KernelSigaction; 64]>);

impl Default for SignalHandlers {
    fn default() -> Self {
        Self(RankedMutex::new(Rank::Handlers, [KernelSigaction::default(); 64]))
    }
}

fn index(signo: i32) -> usize {
    usize::try_from(signo.clamp(1, signal::NSIG) - 1).unwrap_or(0)
}

impl SignalHandlers {
    /// The action for `signo` (1..=64).
    #[must_use]
    pub fn get(&self, signo: i32) -> KernelSigaction {
        self.0.lock()[index(signo)]
    }

    /// Replaces the action for `signo`; returns the old one.
    pub fn set(&self, signo: i32, mut action: KernelSigaction) -> KernelSigaction {
        action.mask &= bevor_abi::mutant!("sigaction/unblockable", !signal::UNBLOCKABLE, u64::MAX);
        std::mem::replace(&mut self.0.lock()[index(signo)], action)
    }

    /// A copy for a child that does not share.
    #[must_use]
    pub fn copy(&self) -> Self {
        Self(RankedMutex::new(Rank::Handlers, *self.0.lock()))
    }

    /// execve(2): handlers become the default action; with `ignored_too` (CLONE_CLEAR_SIGHAND keeps ignored ones too) everything else stays.
    pub fn reset_caught(&self) {
        for action in self.0.lock().iter_mut() {
            let handler = if action.handler == SIG_IGN && !bevor_abi::mutated!("exec/ignored-reset") { SIG_IGN } else { SIG_DFL };
            *action = KernelSigaction { handler, ..KernelSigaction::default() };
        }
    }

    /// Whether the process ignores `signo`, by choice or by default.
    #[must_use]
    pub fn ignores(&self, signo: i32) -> bool {
        let handler = self.get(signo).handler;
        handler == SIG_IGN || handler == SIG_DFL && default_action(signo) == DefaultAction::Ignore
    }

    /// The sets of ignored and of caught signals (/proc/PID/status).
    #[must_use]
    pub fn sets(&self) -> (u64, u64) {
        let actions = self.0.lock();
        let mut sets = (0, 0);
        for (i, action) in actions.iter().enumerate() {
            match action.handler {
                SIG_DFL => {}
                SIG_IGN => sets.0 |= 1 << i,
                _ => sets.1 |= 1 << i,
            }
        }
        sets
    }

    /// The action to run for `signo` now: SA_RESETHAND takes effect. Returns it and the mask to add while it runs.
    #[must_use]
    pub fn consume(&self, signo: i32) -> (KernelSigaction, u64) {
        let mut actions = self.0.lock();
        let slot = &mut actions[index(signo)];
        let action = *slot;
        if action.handler != SIG_DFL && action.handler != SIG_IGN && action.flags & SA_RESETHAND != 0 {
            slot.handler = SIG_DFL;
        }
        let mut action = action;
        let own = if action.flags & SA_NODEFER != 0
            || bevor_abi::mutated!("deliver/resethand-nodefer") && action.flags & SA_RESETHAND != 0
        {
            0
        } else {
            bit(signo)
        };
        if bevor_abi::mutated!("deliver/nodefer-mask") && own == 0 {
            action.mask = 0;
        }
        (action, (action.mask | own) & !signal::UNBLOCKABLE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bevor_abi::signal::{SIGCHLD, SIGINT, SIGKILL, SIGQUIT, SIGTSTP};

    #[test]
    fn defaults_follow_signal_7() {
        assert_eq!(default_action(SIGINT), DefaultAction::Terminate);
        assert_eq!(default_action(SIGQUIT), DefaultAction::Core);
        assert_eq!(default_action(SIGTSTP), DefaultAction::Stop);
        assert_eq!(default_action(SIGCHLD), DefaultAction::Ignore);
        assert_eq!(default_action(64), DefaultAction::Terminate);
    }

    #[test]
    fn reset_hand_applies_once_and_kill_is_never_masked() {
        let handlers = SignalHandlers::default();
        handlers.set(
            SIGINT,
            KernelSigaction {
                handler: 0x1000,
                flags: SA_RESETHAND,
                mask: bit(SIGKILL) | bit(SIGQUIT),
                ..KernelSigaction::default()
            },
        );
        let (action, mask) = handlers.consume(SIGINT);
        assert_eq!(action.handler, 0x1000);
        assert_eq!(mask, bit(SIGINT) | bit(SIGQUIT));
        assert_eq!(handlers.get(SIGINT).handler, SIG_DFL);
    }

    #[test]
    fn exec_keeps_ignored_signals_only() {
        let handlers = SignalHandlers::default();
        let action = |handler| KernelSigaction { handler, ..KernelSigaction::default() };
        handlers.set(SIGINT, action(SIG_IGN));
        handlers.set(SIGQUIT, action(0x1000));
        handlers.reset_caught();
        assert_eq!(handlers.get(SIGINT).handler, SIG_IGN);
        assert_eq!(handlers.get(SIGQUIT).handler, SIG_DFL);
    }
}
