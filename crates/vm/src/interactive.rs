//! Connects the machine's console with the user's terminal.

use std::io::{self, Write as _};
use std::os::fd::AsFd as _;

use rustix::event::{PollFd, PollFlags, Timespec};

use crate::console::Lines;
use crate::description::BootMenu;
use crate::error::{Error, Result};
use crate::escape::{HELP, Key, Keys};
use crate::qemu::Qemu;
use crate::terminal::Raw;

/// How long is waited before the wish to stop is looked at.
const TURN: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 100_000_000,
};

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The machine switched off or reset itself.
    Off,
    /// The user ended it.
    Quit,
}

/// Runs until the machine is off or the user has had enough. `menu` is answered without the user.
///
/// # Errors
/// A QEMU that fails, a terminal that cannot be used, an interruption.
pub fn run(mut qemu: Qemu, menu: Option<&BootMenu>, cancelled: &dyn Fn() -> bool) -> Result<End> {
    let raw = Raw::new()?;
    let is_terminal = raw.is_some();
    let mut keys = Keys::default();
    let mut menu = menu.map(|menu| (menu, Lines::default()));
    let mut typing = true;
    let mut buffer = vec![0; 16 << 10];
    loop {
        if cancelled() {
            return Err(Error::Interrupted);
        }
        let stdin = io::stdin();
        let (printed, typed) = {
            let output = qemu.output();
            let input = stdin.as_fd();
            let mut polled = [
                PollFd::new(&output, PollFlags::IN),
                PollFd::new(&input, PollFlags::IN),
            ];
            let count = if typing { 2 } else { 1 };
            match rustix::event::poll(&mut polled[..count], Some(&TURN)) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(Error::system("wait for the console")(error)),
            }
            let ready = |polled: &PollFd<'_>| !polled.revents().is_empty();
            (ready(&polled[0]), typing && ready(&polled[1]))
        };
        if printed {
            let count = qemu.receive(&mut buffer)?;
            let bytes = &buffer[..count];
            if bytes.is_empty() {
                drop(raw);
                let ending = qemu.wait()?;
                return if ending.success {
                    Ok(End::Off)
                } else {
                    Err(ending.into_error())
                };
            }
            print(bytes)?;
            if let Some((expected, lines)) = &mut menu {
                let complete = lines.feed(bytes);
                let seen = |line: &String| line.contains(&expected.mark);
                if complete.iter().any(seen) || seen(&lines.partial()) {
                    qemu.send(expected.keys.as_bytes())?;
                    menu = None;
                }
            }
        }
        if typed {
            match rustix::io::read(stdin.as_fd(), &mut buffer[..]) {
                // What was typed ahead is used up; the machine goes on.
                Ok(0) => typing = false,
                Ok(count) if is_terminal => {
                    for key in keys.feed(&buffer[..count]) {
                        match key {
                            Key::Type(bytes) => qemu.send(&bytes)?,
                            Key::Help => print(format!("\r\n{HELP}\r\n").as_bytes())?,
                            Key::Quit => return Ok(End::Quit),
                        }
                    }
                }
                // A file or pipe may hold any byte.
                Ok(count) => qemu.send(&buffer[..count])?,
                Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => {}
                Err(error) => return Err(Error::system("read what is typed")(error)),
            }
        }
    }
}

fn print(bytes: &[u8]) -> Result<()> {
    let mut stdout = io::stdout().lock();
    stdout
        .write_all(bytes)
        .and_then(|()| stdout.flush())
        .map_err(Error::system("write to stdout"))
}
