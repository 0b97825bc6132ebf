//! The test of an image, as a state machine: what the machine prints and how time passes go in, what to do comes out.
//!
//! ```text
//! Starting ──ready mark──▶ Checking ──summary──▶ [ Authorising ──▶ LoggingIn ] ──▶ PoweringOff ──QEMU ends──▶ over
//! ```
//!
//! The two states in brackets are passed through when somebody can log in by ssh. Every state has a time-out. A kernel panic, a
//! firmware that finds nothing to boot, or a QEMU that ends end the test in any state.

use std::collections::VecDeque;
use std::time::Duration;

use crate::console::Lines;
use crate::description::{BootMenu, Dialect, Timeouts};
use crate::qemu::Ending;

/// Lines of the console that are kept for messages.
const TAIL: usize = 15;
/// Checks that are kept: more than any image has.
const MAX_CHECKS: usize = 1000;
/// How long a command may stay without any answer before it is typed again: the console may just have been opened.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often a command is typed.
const TRIES: u32 = 3;
/// How long a boot menu may go on after the key.
const MENU: Duration = Duration::from_secs(60);
/// How long QEMU may take to end after the kernel's last words.
const LAST_WORDS: Duration = Duration::from_secs(30);
/// Between two attempts to log in.
const BETWEEN_LOGINS: Duration = Duration::from_secs(2);
/// How long panics are listened to, for what the kernel says of them.
const PANIC: Duration = Duration::from_secs(2);

/// The machine's name for itself.
const MACHINE: &str = "aarch64";

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

/// How far a machine has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// It was switched on.
    Started,
    /// The boot menu is there.
    Menu,
    /// The kernel runs.
    Kernel,
    /// The ready mark was printed.
    Ready,
    /// The checks are done.
    Checked,
    /// It is off.
    Off,
}

impl Stage {
    /// The stage, in words.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Menu => "boot menu",
            Self::Kernel => "kernel",
            Self::Ready => "ready",
            Self::Checked => "checked",
            Self::Off => "off",
        }
    }
}

/// A check and its result.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Check {
    /// Its name.
    pub name: String,
    /// Whether it passed.
    pub passed: bool,
    /// What it said.
    pub detail: String,
}

/// Why a test could not go on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// The kernel panicked.
    #[error("the kernel panicked: {0}")]
    Panic(String),
    /// Firmware found nothing to boot.
    #[error(
        "the firmware did not boot the disk: it printed `{0}`\nhint: look at the ESP (EFI/BOOT/BOOTAA64.EFI) and at the partition table"
    )]
    NotBootable(String),
    /// The boot menu stays.
    #[error(
        "the boot menu went on for {} s after the keys `{keys}` were typed, and started no kernel\nhint: look at the loader's entries",
        after.as_secs()
    )]
    MenuStuck {
        /// What was typed.
        keys: String,
        /// When the test gave up.
        after: Duration,
    },
    /// Something did not come in time.
    #[error("timed out after {} s, waiting for {what}{}", after.as_secs(), hint.map_or(String::new(), |hint| format!("\nhint: {hint}")))]
    TimedOut {
        /// What was waited for.
        what: String,
        /// For how long.
        after: Duration,
        /// What may be the cause.
        hint: Option<&'static str>,
    },
    /// QEMU ended too early, as it does when the guest resets or switches off.
    #[error("the machine switched off or reset itself, before {what}")]
    EndedEarly {
        /// What had not been seen.
        what: String,
    },
    /// QEMU failed.
    #[error("QEMU failed before {what} ({status}){}", if messages.is_empty() { String::new() } else { format!(":\n{messages}") })]
    Qemu {
        /// What had not been seen.
        what: String,
        /// How it ended.
        status: String,
        /// What it printed.
        messages: String,
    },
}

/// What came out of a test.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// The checks, in order.
    pub checks: Vec<Check>,
    /// Why the test could not go on to its end.
    pub trouble: Option<Trouble>,
    /// When each stage was reached.
    pub stages: Vec<(Stage, Duration)>,
    /// The last lines of the console.
    pub tail: Vec<String>,
}

impl Outcome {
    /// Whether everything was as it should be.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.trouble.is_none() && self.checks.iter().all(|check| check.passed)
    }
}

/// The states.
#[derive(Debug, Clone)]
enum State {
    /// Waiting for the ready mark. `menu`: when the key was pressed, how often, and whether the kernel came.
    Starting { menu: Option<(Duration, u32)> },
    /// `selftest` was typed.
    Checking { asked: Duration, tries: u32 },
    /// The key is being written to the machine.
    Authorising { asked: Duration, tries: u32 },
    /// Attempts to log in; when the next one is due, unless one is under way, and why the last one failed.
    LoggingIn { next: Option<Duration>, why: String },
    /// `poweroff` was typed. `words`: when the kernel said that it switches off.
    PoweringOff {
        asked: Duration,
        tries: u32,
        words: Option<Duration>,
    },
    /// The kernel panicked.
    Panicked { line: String, at: Duration },
    /// There is nothing more to do.
    Over,
}

/// A test that goes on.
#[derive(Debug)]
pub struct Session {
    expected: Expected,
    lines: Lines,
    state: State,
    /// When the state began.
    since: Duration,
    /// Whether there was any output since a command was typed, in the state.
    answered: bool,
    tail: VecDeque<String>,
    outcome: Outcome,
}

impl Session {
    /// A test that starts now, at time 0.
    #[must_use]
    pub fn new(expected: Expected) -> Self {
        Self {
            expected,
            lines: Lines::default(),
            state: State::Starting { menu: None },
            since: Duration::ZERO,
            answered: false,
            tail: VecDeque::new(),
            outcome: Outcome {
                stages: vec![(Stage::Started, Duration::ZERO)],
                ..Outcome::default()
            },
        }
    }

    /// What came out.
    #[must_use]
    pub fn outcome(mut self) -> Outcome {
        self.outcome.tail = self.tail.into();
        let rest = self.lines.partial();
        if !rest.trim().is_empty() {
            self.outcome.tail.push(rest);
        }
        self.outcome
    }

    /// Goes on. `now` is the time since the start; it never goes back.
    pub fn handle(&mut self, now: Duration, event: Event<'_>) -> Vec<Action> {
        let mut actions = Vec::new();
        if matches!(self.state, State::Over) {
            return actions;
        }
        match event {
            Event::Output(bytes) => {
                for line in self.lines.feed(bytes) {
                    self.line(now, &line, &mut actions);
                    self.keep(line);
                }
                self.prompt(now, &mut actions);
            }
            Event::Tick => {}
            Event::LoggedIn(result) => self.logged_in(now, result, &mut actions),
            Event::Ended(ending) => self.ended(now, ending, &mut actions),
        }
        self.tick(now, &mut actions);
        actions
    }

    fn keep(&mut self, line: String) {
        if line.trim().is_empty() {
            return;
        }
        if self.tail.len() == TAIL {
            self.tail.pop_front();
        }
        self.tail.push_back(line);
    }

    fn enter(&mut self, now: Duration, state: State) {
        self.state = state;
        self.since = now;
        self.answered = false;
    }

    fn stage(&mut self, now: Duration, stage: Stage, actions: &mut Vec<Action>) {
        if self
            .outcome
            .stages
            .iter()
            .all(|(reached, _)| *reached < stage)
        {
            self.outcome.stages.push((stage, now));
            actions.push(Action::Tell(Progress::Stage(stage)));
        }
    }

    fn check(&mut self, name: &str, result: Result<&str, &str>, actions: &mut Vec<Action>) {
        let check = Check {
            name: name.to_owned(),
            passed: result.is_ok(),
            detail: result.unwrap_or_else(|why| why).to_owned(),
        };
        if self.outcome.checks.len() < MAX_CHECKS {
            actions.push(Action::Tell(Progress::Check(check.clone())));
            self.outcome.checks.push(check);
        }
    }

    fn fail(&mut self, now: Duration, trouble: Trouble, actions: &mut Vec<Action>) {
        self.outcome.trouble = Some(trouble);
        self.enter(now, State::Over);
        actions.push(Action::Finish);
    }

    /// A complete line.
    fn line(&mut self, now: Duration, line: &str, actions: &mut Vec<Action>) {
        if let Some(at) = line.find("Kernel panic - not syncing") {
            let line = line[at..].to_owned();
            if !matches!(self.state, State::Panicked { .. } | State::Over) {
                self.enter(now, State::Panicked { line, at: now });
            }
            return;
        }
        match &mut self.state {
            State::Starting { .. } => {
                if self.expected.firmware
                    && let Some(said) = not_bootable(line)
                {
                    let said = said.to_owned();
                    return self.fail(now, Trouble::NotBootable(said), actions);
                }
                if KERNEL.iter().any(|sign| line.contains(sign)) {
                    self.stage(now, Stage::Kernel, actions);
                }
                self.boot_menu(now, line, actions);
                if let Some((_, why)) = line.split_once(NOT_UP) {
                    let why = why.split_once(": ").map_or(why, |(_, why)| why).to_owned();
                    self.check("services", Err(&why), actions);
                    return self.ready(now, actions);
                }
                if has_mark(line, &self.expected.ready) {
                    self.ready(now, actions);
                }
            }
            State::Checking { .. } => {
                if let Some((_, said)) = line.split_once("selftest: ") {
                    self.answered = true;
                    self.selftest(now, said, actions);
                }
            }
            State::Authorising { .. } => {
                if line.contains(KEY_WRITTEN) {
                    let next = Some(now);
                    let why = String::new();
                    self.enter(now, State::LoggingIn { next, why });
                }
            }
            State::PoweringOff { words, .. } => {
                if line.contains("reboot: Power down") {
                    *words = Some(now);
                }
                self.answered = true;
            }
            State::LoggingIn { .. } | State::Panicked { .. } | State::Over => {}
        }
    }

    /// The console is open.
    fn ready(&mut self, now: Duration, actions: &mut Vec<Action>) {
        self.stage(now, Stage::Ready, actions);
        actions.push(Action::Send("selftest\n".to_owned()));
        let (asked, tries) = (now, 1);
        self.enter(now, State::Checking { asked, tries });
    }

    /// What stands in the line that is not complete.
    fn prompt(&mut self, now: Duration, actions: &mut Vec<Action>) {
        if !matches!(self.state, State::Starting { .. }) {
            return;
        }
        let partial = self.lines.partial();
        if partial.trim().is_empty() {
            return;
        }
        match not_bootable(&partial) {
            Some(said) if self.expected.firmware => {
                self.fail(now, Trouble::NotBootable(said.to_owned()), actions);
            }
            _ => self.boot_menu(now, &partial, actions),
        }
    }

    fn boot_menu(&mut self, now: Duration, text: &str, actions: &mut Vec<Action>) {
        let State::Starting { menu } = &mut self.state else {
            return;
        };
        if let Some(expected) = &self.expected.boot_menu
            && menu.is_none()
            && text.contains(&expected.mark)
        {
            *menu = Some((now, 1));
            actions.push(Action::Send(expected.keys.clone()));
            self.stage(now, Stage::Menu, actions);
        }
    }

    /// A line of the image's own checks.
    fn selftest(&mut self, now: Duration, said: &str, actions: &mut Vec<Action>) {
        let said = said.trim_end();
        if let Some(rest) = said.strip_prefix("ok ") {
            let (name, detail) = rest.split_once(' ').unwrap_or((rest, ""));
            let detail = detail
                .strip_prefix('(')
                .map_or(detail, |detail| detail.strip_suffix(')').unwrap_or(detail));
            return self.check(name, Ok(detail), actions);
        }
        if let Some(rest) = said.strip_prefix("FAIL ") {
            let (name, why) = rest
                .split_once(':')
                .unwrap_or((rest, "it does not say why"));
            return self.check(name.trim(), Err(why.trim()), actions);
        }
        let Some((passed, failed)) = summary(said) else {
            return;
        };
        if passed + failed == 0 {
            self.check("selftest", Err("the image has no checks"), actions);
        }
        // A line of a failed check can be garbled by the kernel's messages; the sum counts all the same.
        let seen = self.outcome.checks.iter().filter(|check| !check.passed);
        if failed > 0 && seen.count() == 0 {
            let noun = if failed == 1 { "check" } else { "checks" };
            let why = format!("{failed} {noun} failed, by the summary");
            self.check("selftest", Err(&why), actions);
        }
        self.stage(now, Stage::Checked, actions);
        match &self.expected.login {
            Some(key) if self.expected.dialect == Dialect::Shell => {
                actions.push(Action::Send(authorise(key)));
                self.enter(
                    now,
                    State::Authorising {
                        asked: now,
                        tries: 1,
                    },
                );
            }
            _ => self.power_off(now, actions),
        }
    }

    fn power_off(&mut self, now: Duration, actions: &mut Vec<Action>) {
        actions.push(Action::Send("poweroff\n".to_owned()));
        let (asked, tries, words) = (now, 1, None);
        self.enter(
            now,
            State::PoweringOff {
                asked,
                tries,
                words,
            },
        );
    }

    fn logged_in(
        &mut self,
        now: Duration,
        result: Result<String, String>,
        actions: &mut Vec<Action>,
    ) {
        let State::LoggingIn { next, why } = &mut self.state else {
            return;
        };
        match result {
            Ok(machine) if machine.trim() == MACHINE => {
                self.check("ssh", Ok("uname -m: aarch64"), actions);
            }
            Ok(machine) => {
                let said = format!("uname -m: `{}`, expected {MACHINE}", machine.trim());
                self.check("ssh", Err(&said), actions);
            }
            Err(error) => {
                *next = Some(now + BETWEEN_LOGINS);
                *why = error;
                return;
            }
        }
        self.power_off(now, actions);
    }

    fn ended(&mut self, now: Duration, ending: Ending, actions: &mut Vec<Action>) {
        if let State::Panicked { line, .. } = &self.state {
            let line = line.clone();
            return self.fail(now, Trouble::Panic(line), actions);
        }
        if let State::PoweringOff { words: Some(_), .. } = self.state
            && ending.success
        {
            self.check("power-off", Ok(""), actions);
            self.stage(now, Stage::Off, actions);
            self.enter(now, State::Over);
            return actions.push(Action::Finish);
        }
        let (what, ..) = self.waiting_for();
        let trouble = if ending.success {
            Trouble::EndedEarly { what }
        } else {
            Trouble::Qemu {
                what,
                status: ending.status,
                messages: ending.messages,
            }
        };
        self.fail(now, trouble, actions);
    }

    /// What is being waited for, for how long, and why it may not come.
    fn waiting_for(&self) -> (String, Duration, Option<&'static str>) {
        let seconds = Duration::from_secs;
        let limits = &self.expected.timeouts;
        match &self.state {
            State::Starting { .. } => {
                let reached = self
                    .outcome
                    .stages
                    .last()
                    .map_or(Stage::Started, |(stage, _)| *stage);
                let (before, hint) = match reached {
                    Stage::Started if self.expected.firmware => (
                        "; no kernel has started",
                        "look at the boot loader and its entries",
                    ),
                    Stage::Started if self.tail.is_empty() => (
                        "; the kernel has printed nothing",
                        "look at the kernel's `console=`, and at the device tree",
                    ),
                    Stage::Menu => (
                        "; the boot menu was there, and no kernel has started",
                        "look at the loader's entries",
                    ),
                    _ => (
                        "; the kernel has started",
                        "look at the services and at the inittab of the image; --timeout gives a slow machine more time",
                    ),
                };
                (
                    format!("the line `{}`{before}", self.expected.ready),
                    seconds(limits.ready),
                    Some(hint),
                )
            }
            State::Checking { .. } => (
                "the summary of `selftest`".to_owned(),
                seconds(limits.selftest),
                if self.answered {
                    None
                } else {
                    Some("the console did not answer at all")
                },
            ),
            State::Authorising { .. } => (
                "the console to take an ssh key".to_owned(),
                seconds(limits.ssh),
                None,
            ),
            State::LoggingIn { .. } => (
                "somebody to be let in by ssh".to_owned(),
                seconds(limits.ssh),
                None,
            ),
            State::PoweringOff { words: None, .. } => (
                "the kernel's `reboot: Power down`".to_owned(),
                seconds(limits.power_off),
                Some("look at the services that do not stop"),
            ),
            State::PoweringOff { words: Some(_), .. } => (
                "QEMU to end after `reboot: Power down`".to_owned(),
                LAST_WORDS,
                Some("the machine has no way to switch off, as far as the kernel knows"),
            ),
            State::Panicked { .. } | State::Over => (String::new(), PANIC, None),
        }
    }

    /// What is due because of the time.
    fn tick(&mut self, now: Duration, actions: &mut Vec<Action>) {
        let (what, limit, hint) = self.waiting_for();
        let mut began = self.since;
        match &mut self.state {
            State::Over => return,
            State::Panicked { line, at } => {
                if now >= *at + PANIC {
                    let line = line.clone();
                    self.fail(now, Trouble::Panic(line), actions);
                }
                return;
            }
            State::Starting {
                menu: Some((pressed, times)),
            } => {
                let started = self
                    .outcome
                    .stages
                    .iter()
                    .any(|(stage, _)| *stage == Stage::Kernel);
                if !started && let Some(menu) = &self.expected.boot_menu {
                    if now >= *pressed + MENU {
                        let trouble = Trouble::MenuStuck {
                            keys: menu.keys.clone(),
                            after: MENU,
                        };
                        return self.fail(now, trouble, actions);
                    }
                    if *times < TRIES && now >= *pressed + PATIENCE * *times / 4 {
                        *times += 1;
                        actions.push(Action::Send(menu.keys.clone()));
                    }
                }
            }
            State::Starting { menu: None } => {}
            State::Checking { asked, tries } => {
                if !self.answered && *tries < TRIES && now >= *asked + PATIENCE {
                    (*asked, *tries) = (now, *tries + 1);
                    actions.push(Action::Send("selftest\n".to_owned()));
                }
            }
            State::Authorising { asked, tries } => {
                if *tries < TRIES && now >= *asked + PATIENCE {
                    (*asked, *tries) = (now, *tries + 1);
                    if let Some(key) = &self.expected.login {
                        actions.push(Action::Send(authorise(key)));
                    }
                }
            }
            State::LoggingIn { next, .. } => {
                if next.is_some_and(|next| now >= next) {
                    *next = None;
                    actions.push(Action::Login);
                }
            }
            State::PoweringOff {
                asked,
                tries,
                words,
            } => {
                if let Some(words) = words {
                    began = *words;
                } else if !self.answered && *tries < TRIES && now >= *asked + PATIENCE {
                    (*asked, *tries) = (now, *tries + 1);
                    actions.push(Action::Send("poweroff\n".to_owned()));
                }
            }
        }
        if now < began + limit {
            return;
        }
        // Without ssh, the rest can still be tried.
        let no_login = match &self.state {
            State::Authorising { .. } => Some(what.clone()),
            State::LoggingIn { why, .. } => Some(format!("{what}; the last attempt: {why}")),
            _ => None,
        };
        if let Some(what) = no_login {
            let why = format!("timed out after {} s, waiting for {what}", limit.as_secs());
            self.check("ssh", Err(&why), actions);
            return self.power_off(now, actions);
        }
        let after = limit;
        self.fail(now, Trouble::TimedOut { what, after, hint }, actions);
    }
}

/// What the console says in place of the ready mark when services do not come up: `xbuild-failed: NAME: not up: SERVICES`.
const NOT_UP: &str = "xbuild-failed: ";

/// What is printed when the kernel starts, the first by its EFI stub. Most images ask for fewer messages than the others.
const KERNEL: [&str; 3] = [
    "EFI stub: ",
    "Booting Linux on physical CPU",
    "Linux version ",
];

/// What the console prints when the key is in its place; typed in two pieces, so that the echo is not taken for it.
const KEY_WRITTEN: &str = "xbuild-key-written";

/// The command that lets in who has the key.
fn authorise(key: &str) -> String {
    format!(
        "mkdir -p /root/.ssh && chmod 700 /root/.ssh && echo '{key}' >>/root/.ssh/authorized_keys && chmod 600 /root/.ssh/authorized_keys && echo xbuild-key'-'written\n"
    )
}

/// Whether a line has the ready mark, and not that of an image whose name is longer.
fn has_mark(line: &str, mark: &str) -> bool {
    line.match_indices(mark).any(|(at, _)| {
        let next = line[at + mark.len()..].chars().next();
        !next.is_some_and(|next| next.is_alphanumeric() || matches!(next, '-' | '_' | '.'))
    })
}

/// What EDK II prints when it does not boot the disk.
fn not_bootable(line: &str) -> Option<&str> {
    const SIGNS: [&str; 4] = [
        "Shell>",
        "UEFI Interactive Shell",
        ">>Start PXE",
        "No bootable option or device was found",
    ];
    SIGNS
        .iter()
        .any(|sign| line.contains(sign))
        .then(|| line.trim())
}

/// `N passed, M failed`
fn summary(said: &str) -> Option<(u64, u64)> {
    let (passed, failed) = said.split_once(" passed, ")?;
    let failed = failed.strip_suffix(" failed")?;
    Some((passed.parse().ok()?, failed.parse().ok()?))
}

#[cfg(test)]
mod tests;
