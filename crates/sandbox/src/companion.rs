//! Programs that run beside xbuild, outside of any sandbox (an emulator, an ssh client): they must not outlive it, either.

use std::os::unix::process::CommandExt as _;
use std::process::Command;

use rustix::io::Errno;
use rustix::process::Signal;

/// Makes the process that `command` starts end with SIGKILL when the thread that starts it ends, however that happens.
#[allow(unsafe_code)]
pub fn end_with_caller(command: &mut Command) {
    let caller = rustix::process::getpid();
    let tie = move || {
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
        // The caller may have ended before that.
        if rustix::process::getppid() != Some(caller) {
            return Err(Errno::SRCH.into());
        }
        Ok(())
    };
    // SAFETY: between fork and exec, `tie` makes two system calls; it takes no lock and allocates nothing.
    unsafe {
        command.pre_exec(tie);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;
    use std::sync::mpsc;
    use std::thread;

    use super::*;

    #[test]
    fn a_companion_ends_with_the_thread_that_started_it() {
        let (sender, receiver) = mpsc::channel();
        thread::spawn(move || {
            let mut command = Command::new("sleep");
            command.arg("1000");
            end_with_caller(&mut command);
            sender.send(command.spawn().unwrap()).unwrap();
        })
        .join()
        .unwrap();
        let status = receiver.recv().unwrap().wait().unwrap();
        assert_eq!(status.signal(), Some(Signal::KILL.as_raw()));
    }
}
