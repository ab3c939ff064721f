//! Seccomp allow-lists: the host calls a confined process may still make. Anything else kills the process (SIGSYS).

use std::collections::BTreeMap;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen as Len, SeccompCmpOp as Op, SeccompCondition as Condition, SeccompFilter,
    SeccompRule, TargetArch,
};

/// A filter under construction.
#[derive(Clone, Debug, Default)]
pub struct AllowList {
    calls: BTreeMap<i64, Vec<SeccompRule>>,
    missing: BTreeMap<i64, Vec<SeccompRule>>,
}

/// Why a filter could not be built or installed.
#[derive(Debug)]
pub struct FilterError(String);

impl std::fmt::Display for FilterError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for FilterError {}

fn failed(e: impl std::fmt::Display) -> FilterError {
    FilterError(e.to_string())
}

impl AllowList {
    /// Allows `calls` whatever their arguments.
    #[must_use]
    pub fn allow(mut self, calls: &[i64]) -> Self {
        for &call in calls {
            self.calls.insert(call, Vec::new());
        }
        self
    }

    /// Allows `call` when the low 32 bits of argument `index` are one of `values`.
    ///
    /// # Errors
    /// For an argument index beyond 5.
    pub fn allow_values(mut self, call: i64, index: u8, values: &[u32]) -> Result<Self, FilterError> {
        for &value in values {
            let condition = Condition::new(index, Len::Dword, Op::Eq, u64::from(value)).map_err(failed)?;
            self.calls.entry(call).or_default().push(SeccompRule::new(vec![condition]).map_err(failed)?);
        }
        Ok(self)
    }

    /// Allows `call` when argument `index` has no bit of `mask`.
    ///
    /// # Errors
    /// For an argument index beyond 5.
    pub fn allow_without(self, call: i64, index: u8, mask: u32) -> Result<Self, FilterError> {
        self.allow_without_all(call, &[(index, mask)])
    }

    /// Allows `call` when no argument has a bit of the mask that is named for it.
    ///
    /// # Errors
    /// For an argument index beyond 5.
    pub fn allow_without_all(mut self, call: i64, masks: &[(u8, u32)]) -> Result<Self, FilterError> {
        let condition = |&(index, mask): &(u8, u32)| Condition::new(index, Len::Dword, Op::MaskedEq(u64::from(mask)), 0);
        let conditions = masks.iter().map(condition).collect::<Result<_, _>>().map_err(failed)?;
        self.calls.entry(call).or_default().push(SeccompRule::new(conditions).map_err(failed)?);
        Ok(self)
    }

    /// Answers `call` with ENOSYS, as if the host were too old for it: libc then uses an older call, whose arguments a filter
    /// can check (clone3 → clone).
    #[must_use]
    pub fn not_implemented(mut self, call: i64) -> Self {
        self.calls.insert(call, Vec::new());
        self.missing.insert(call, Vec::new());
        self
    }

    /// Installs the filter for all threads of this process, and forbids gaining privileges by execve(2).
    ///
    /// # Errors
    /// When the host refuses the filter or a thread can't be made to share it.
    pub fn install(self) -> Result<(), FilterError> {
        let missing = !self.missing.is_empty();
        if missing {
            let enosys = SeccompAction::Errno(38);
            install(self.missing, SeccompAction::Allow, enosys)?;
        }
        install(self.calls, SeccompAction::KillProcess, SeccompAction::Allow)
    }
}

fn install(rules: BTreeMap<i64, Vec<SeccompRule>>, otherwise: SeccompAction, matched: SeccompAction) -> Result<(), FilterError> {
    let filter = SeccompFilter::new(rules, otherwise, matched, TargetArch::x86_64).map_err(failed)?;
    let program = BpfProgram::try_from(filter).map_err(failed)?;
    seccompiler::apply_filter_all_threads(&program).map_err(failed)
}
