//! Ctrl-C and SIGTERM: the first asks running builds to stop cleanly, the second ends the process at once (and with it
//! every build, whose life is tied to this process). Where nothing is being built, the first one does: whatever a store is in the
//! middle of, it bears being ended (see `xbuild-store`).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use xbuild_sandbox::CancelToken;

use crate::output;

/// Starts the thread that waits for signals and sets `cancel`; `runs` counts what must be waited for.
pub(crate) fn watch(cancel: &CancelToken, runs: &Arc<AtomicUsize>) -> std::io::Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])?;
    let (cancel, runs) = (cancel.clone(), Arc::clone(runs));
    thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || {
            for (count, signal) in signals.forever().enumerate() {
                cancel.cancel();
                if count > 0 || runs.load(Ordering::SeqCst) == 0 {
                    xbuild_vm::terminal::restore();
                    output::note("error: interrupted");
                    std::process::exit(128 + signal);
                }
                output::note("xbuild: stopping; once more to leave at once");
            }
        })?;
    Ok(())
}
