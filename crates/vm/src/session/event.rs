//! What goes into a session and comes out of it.

use super::outcome::{Check, Stage};
use crate::description::{BootMenu, Dialect, Timeouts};
use crate::qemu::Ending;

/// What is expected of an image.
#[derive(Debug, Clone)]
pub struct Expected {
    /// The line that says that the machine is up.
    pub ready: String,
    /// What the console understands.
    pub dialect: Dialect,
    /// The key that the boot menu needs.
    pub boot_menu: Option<BootMenu>,
    /// Whether firmware boots the image.
    pub firmware: bool,
    /// A public key: log in with it, by ssh.
    pub login: Option<String>,
    /// How long things may take.
    pub timeouts: Timeouts,
}

/// What happened.
#[derive(Debug)]
pub enum Event<'a> {
    /// The console printed this.
    Output(&'a [u8]),
    /// Time has passed.
    Tick,
    /// The attempt to log in has ended: what `uname -m` printed, or why it failed.
    LoggedIn(Result<String, String>),
    /// QEMU has ended.
    Ended(Ending),
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Type this.
    Send(String),
    /// Log in by ssh and run `uname -m`.
    Login,
    /// Tell the user.
    Tell(Progress),
    /// The test is over: see [`Session::outcome`].
    Finish,
}

/// What the user is told on the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// A stage was reached.
    Stage(Stage),
    /// A check has passed or failed.
    Check(Check),
}
