//! Ctrl-C, SIGTERM and SIGHUP: the first asks running builds to stop cleanly, the second ends the process at once (and with it
//! every build, whose life is tied to this process). Where nothing is being built, the first one does: whatever a store is in the
//! middle of, it bears being ended (see `xbuild-store`). A SIGHUP that whoever started this process ignores (`nohup`) stays ignored.
//!
//! And SIGXFSZ: a write beyond the limit of a file's size (`ulimit -f`) is an error like others, and not the end.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, OnceLock};
use std::thread;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGXFSZ};
use signal_hook::iterator::Signals;
use xbuild_eval::stack::Limit;
use xbuild_sandbox::CancelToken;

use crate::output;
use crate::screen;

/// Has writes beyond the limit of a file's size fail. A handler, and not `SIG_IGN`, which the programs that are run would inherit.
fn outlive_size_limits() -> std::io::Result<()> {
    signal_hook::flag::register(SIGXFSZ, Arc::default()).map(drop)
}

/// The stack of the thread that waits, in bytes: it does little.
const STACK: usize = 256 << 10;

/// Starts a thread that does `work` with the signals. Where the system has no thread for that, signals end the process, as
/// they do by themselves.
fn start(work: impl FnOnce(Signals) + Send + 'static) -> std::io::Result<()> {
    let (sender, receiver) = sync_channel::<Signals>(1);
    let started = thread::Builder::new()
        .name("signals".to_owned())
        .stack_size(STACK)
        .spawn(move || {
            if let Ok(signals) = receiver.recv() {
                work(signals);
            }
        });
    if started.is_ok() {
        // The thread only ends with the process.
        let mut signals = vec![SIGINT, SIGTERM];
        if !is_ignored(SIGHUP) {
            signals.push(SIGHUP);
        }
        let _ = sender.send(Signals::new(signals)?);
    }
    Ok(())
}

/// Whether this process was started with `signal` ignored, as `/proc` tells it: a mask in hexadecimal, the first signal its lowest bit.
fn is_ignored(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (signal - 1) & 1 == 1)
}

/// Starts the thread that waits for signals and sets `cancel`; `runs` counts what must be waited for.
pub(crate) fn watch(cancel: &CancelToken, runs: &Arc<AtomicUsize>) -> std::io::Result<()> {
    outlive_size_limits()?;
    let (cancel, runs) = (cancel.clone(), Arc::clone(runs));
    start(move |mut signals| {
        for (count, signal) in signals.forever().enumerate() {
            cancel.cancel();
            if count > 0 || runs.load(Ordering::SeqCst) == 0 {
                xbuild_vm::terminal::restore();
                screen::show(Vec::new());
                output::note("error: interrupted");
                std::process::exit(128 + signal);
            }
            output::note("xbuild: stopping; once more to leave at once");
        }
    })
}

/// What Ctrl-C means to a conversation: it stops the evaluation that goes on, and the conversation goes on.
#[derive(Debug, Default)]
pub(crate) struct Interrupts {
    /// Where the evaluation sees it.
    pub(crate) limit: OnceLock<&'static Limit>,
    /// Whether there is an evaluation to be stopped.
    pub(crate) busy: AtomicBool,
}

/// As [`watch`], for a conversation.
pub(crate) fn watch_interactive(interrupts: &Arc<Interrupts>) -> std::io::Result<()> {
    outlive_size_limits()?;
    let interrupts = Arc::clone(interrupts);
    start(move |mut signals| {
        for signal in signals.forever() {
            let busy = interrupts.busy.load(Ordering::SeqCst);
            match interrupts.limit.get() {
                Some(limit) if signal == SIGINT && busy => limit.interrupt(),
                _ => std::process::exit(128 + signal),
            }
        }
    })
}
