//! The test of an image, as a state machine: what the machine prints and how time passes go in, what to do comes out.
//!
//! ```text
//! Starting ──ready mark──▶ Checking ──summary──▶ [ Authorising ──▶ LoggingIn ] ──▶ PoweringOff ──QEMU ends──▶ over
//! ```
//!
//! The two states in brackets are passed through when somebody can log in by ssh. Every state has a time-out. A kernel panic, a
//! firmware that finds nothing to boot, or a QEMU that ends end the test in any state.

mod event;
mod outcome;
mod words;

use std::collections::VecDeque;
use std::time::Duration;

pub use self::event::{Action, Event, Expected, Progress};
pub use self::outcome::{Check, Outcome, Stage, Trouble};
use self::words::{KERNEL, KEY_WRITTEN, NOT_UP, authorise, has_mark, not_bootable, summary};
use crate::console::Lines;
use crate::description::Dialect;
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

#[cfg(test)]
mod tests;
