//! The stack that a command has: the system gives the first thread what `ulimit -s` says, which may be less than it takes to tell the
//! arguments apart. (An evaluation has a stack of its own, see `xbuild_eval::stack`.)

use std::panic::resume_unwind;

use rustix::process::{Resource, getrlimit};

/// The least that the first thread must have, in bytes. The environment and the arguments, up to 128 KiB each, are a part of it.
const LEAST: u64 = 4 << 20;

/// Runs `command` on this thread where its stack suffices, and else on a thread of its own, for which this one waits.
pub(crate) fn with_enough<T: Send>(command: impl FnOnce() -> T + Send) -> T {
    if getrlimit(Resource::Stack)
        .current
        .is_none_or(|limit| limit >= LEAST)
    {
        return command();
    }
    let mut command = Some(command);
    let slot = &mut command;
    let ran = std::thread::scope(|scope| {
        let thread = std::thread::Builder::new()
            .name("xbuild".into())
            .stack_size(LEAST as usize)
            .spawn_scoped(scope, || slot.take().map(|command| command()));
        match thread {
            Ok(thread) => thread.join().unwrap_or_else(|panic| resume_unwind(panic)),
            // Without memory or threads for that: what there is may do.
            Err(_) => None,
        }
    });
    match (ran, command) {
        (Some(result), _) => result,
        (None, Some(command)) => command(),
        (None, None) => unreachable!("the thread ran the command, and it gave no result"),
    }
}
