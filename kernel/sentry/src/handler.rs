//! From registers to typed arguments: any function `fn(&mut SyscallContext, A, B, …) -> SyscallResult` is a handler, its arity inferred.

use bevor_abi::FromArg;
use bevor_core::context::SyscallContext;
use bevor_core::error::SyscallResult;

/// A handler as the table holds it.
pub type RawHandler = fn(&mut SyscallContext<'_>, &[u64; 6]) -> SyscallResult;

/// A function with typed arguments, `Args` being their tuple.
pub trait Handler<Args> {
    /// Calls it with the arguments converted from registers.
    ///
    /// # Errors
    /// Those of the call.
    fn run(&self, ctx: &mut SyscallContext<'_>, args: &[u64; 6]) -> SyscallResult;
}

macro_rules! handlers {
    ($(($($type:ident = $index:literal),*);)*) => { $(
        impl<F, $($type: FromArg),*> Handler<($($type,)*)> for F
        where
            F: Fn(&mut SyscallContext<'_>, $($type),*) -> SyscallResult,
        {
            fn run(&self, ctx: &mut SyscallContext<'_>, _args: &[u64; 6]) -> SyscallResult {
                self(ctx, $($type::from_arg(_args[$index])),*)
            }
        }
    )* };
}

handlers! {
    ();
    (A = 0);
    (A = 0, B = 1);
    (A = 0, B = 1, C = 2);
    (A = 0, B = 1, C = 2, D = 3);
    (A = 0, B = 1, C = 2, D = 3, E = 4);
    (A = 0, B = 1, C = 2, D = 3, E = 4, G = 5);
}

/// A non-capturing closure around a typed handler.
macro_rules! raw {
    ($path:path) => {{
        fn raw(ctx: &mut bevor_core::context::SyscallContext<'_>, args: &[u64; 6]) -> bevor_core::error::SyscallResult {
            $crate::handler::Handler::run(&$path, ctx, args)
        }
        raw as $crate::handler::RawHandler
    }};
}
pub(crate) use raw;
