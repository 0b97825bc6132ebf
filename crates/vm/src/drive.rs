//! Runs a test: QEMU, the session, the clock, ssh and the transcript together.

use std::io::Write;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};

use crate::error::{Error, Result};
use crate::qemu::Qemu;
use crate::session::{Action, Event, Outcome, Progress, Session};
use crate::ssh::{Key, Login};
use crate::transcript::Transcript;

/// How long is waited for output before the clock is looked at.
const TURN: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 100_000_000,
};

/// What a test is run with.
pub struct Test<'a, W: Write> {
    /// The machine, just started.
    pub qemu: Qemu,
    /// What is expected of it.
    pub session: Session,
    /// The key and the port, if somebody is to log in.
    pub login: Option<(Key, u16)>,
    /// Where everything is recorded.
    pub transcript: Transcript<W>,
    /// Is told what happens, with the time since the start.
    pub tell: &'a mut dyn FnMut(Duration, &Progress),
    /// Whether to stop.
    pub cancelled: &'a dyn Fn() -> bool,
}

impl<W: Write> std::fmt::Debug for Test<'_, W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Test")
            .field("session", &self.session)
            .finish_non_exhaustive()
    }
}

impl<W: Write> Test<'_, W> {
    /// Runs the test to its end. QEMU has ended afterwards.
    ///
    /// # Errors
    /// What is no fault of the image: the system's, the transcript's, an interruption.
    pub fn run(mut self) -> Result<Outcome> {
        let start = Instant::now();
        let mut buffer = vec![0; 16 << 10];
        let mut attempt: Option<Login> = None;
        loop {
            if (self.cancelled)() {
                self.record(start.elapsed(), "interrupted")?;
                self.finish(start.elapsed())?;
                return Err(Error::Interrupted);
            }
            let ready = {
                let output = self.qemu.output();
                let mut polled = [PollFd::new(&output, PollFlags::IN)];
                match rustix::event::poll(&mut polled, Some(&TURN)) {
                    Ok(count) => count > 0,
                    Err(rustix::io::Errno::INTR) => false,
                    Err(error) => return Err(Error::system("wait for the console")(error)),
                }
            };
            let mut actions = Vec::new();
            if ready {
                let count = self.qemu.receive(&mut buffer)?;
                let now = start.elapsed();
                let bytes = &buffer[..count];
                if bytes.is_empty() {
                    let ending = self.qemu.wait()?;
                    self.record(
                        now,
                        &format!("QEMU ended: {}\n{}", ending.status, ending.messages),
                    )?;
                    actions = self.session.handle(now, Event::Ended(ending));
                } else {
                    let written = self.transcript.output(now, bytes);
                    written.map_err(Error::system("write the transcript"))?;
                    actions = self.session.handle(now, Event::Output(bytes));
                }
            }
            if let Some(login) = &mut attempt
                && let Some(result) = login.poll()?
            {
                attempt = None;
                let now = start.elapsed();
                self.record(now, &format!("ssh: {result:?}"))?;
                actions.extend(self.session.handle(now, Event::LoggedIn(result)));
            }
            actions.extend(self.session.handle(start.elapsed(), Event::Tick));
            for action in actions {
                let now = start.elapsed();
                match action {
                    Action::Send(text) => {
                        self.record(now, &format!("typed {text:?}"))?;
                        self.qemu.send(text.as_bytes())?;
                    }
                    Action::Login => {
                        if let Some((key, port)) = &self.login {
                            attempt = Some(key.run(*port, "uname -m")?);
                        }
                    }
                    Action::Tell(progress) => {
                        if let Progress::Stage(stage) = &progress {
                            self.record(now, stage.name())?;
                        }
                        (self.tell)(now, &progress);
                    }
                    Action::Finish => {
                        self.qemu.kill();
                        self.finish(now)?;
                        return Ok(self.session.outcome());
                    }
                }
            }
        }
    }

    fn record(&mut self, now: Duration, text: &str) -> Result<()> {
        let written = self.transcript.note(now, text);
        written.map_err(Error::system("write the transcript"))
    }

    fn finish(&mut self, now: Duration) -> Result<()> {
        let written = self.transcript.finish(now);
        written.map_err(Error::system("write the transcript"))
    }
}
