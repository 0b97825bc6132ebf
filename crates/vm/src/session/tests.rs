//! Conversations with machines that are played here.

use proptest::prelude::*;

use super::*;
use crate::description::{BootMenu, Timeouts};

/// A test, and what it wanted so far.
struct Play {
    session: Session,
    now: Duration,
    /// What was typed.
    typed: Vec<String>,
    /// How often somebody was to log in.
    logins: usize,
    over: bool,
}

fn expected() -> Expected {
    Expected {
        ready: "xbuild-ready: a-debug".to_owned(),
        dialect: Dialect::Shell,
        boot_menu: None,
        firmware: false,
        login: None,
        timeouts: Timeouts {
            ready: 600,
            selftest: 300,
            ssh: 60,
            power_off: 120,
        },
    }
}

fn with_firmware() -> Expected {
    Expected {
        firmware: true,
        boot_menu: Some(BootMenu {
            mark: "Boot in ".to_owned(),
            keys: "2".to_owned(),
        }),
        ..expected()
    }
}

fn ended(success: bool) -> Event<'static> {
    Event::Ended(Ending {
        success,
        status: if success {
            "exit code 0"
        } else {
            "exit code 1"
        }
        .to_owned(),
        messages: if success { "" } else { "qemu: no such file" }.to_owned(),
    })
}

impl Play {
    fn new(expected: Expected) -> Self {
        Self {
            session: Session::new(expected),
            now: Duration::ZERO,
            typed: Vec::new(),
            logins: 0,
            over: false,
        }
    }

    fn event(&mut self, event: Event<'_>) {
        for action in self.session.handle(self.now, event) {
            match action {
                Action::Send(text) => self.typed.push(text),
                Action::Login => self.logins += 1,
                Action::Tell(_) => {}
                Action::Finish => self.over = true,
            }
        }
    }

    fn prints(&mut self, text: &str) -> &mut Self {
        self.event(Event::Output(text.as_bytes()));
        self
    }

    /// Seconds pass, with a look at the clock in each.
    fn waits(&mut self, seconds: u64) -> &mut Self {
        for _ in 0..seconds {
            self.now += Duration::from_secs(1);
            self.event(Event::Tick);
        }
        self
    }

    fn ends(&mut self, success: bool) -> &mut Self {
        self.event(ended(success));
        self
    }

    fn last_typed(&self) -> &str {
        self.typed.last().map_or("", String::as_str)
    }

    fn outcome(self) -> Outcome {
        assert!(self.over, "the test goes on: {:?}", self.session);
        self.session.outcome()
    }

    fn trouble(self) -> String {
        self.outcome().trouble.expect("trouble").to_string()
    }
}

fn names(outcome: &Outcome) -> Vec<String> {
    outcome
        .checks
        .iter()
        .map(|check| {
            let mark = if check.passed { "ok" } else { "FAIL" };
            format!("{mark} {}: {}", check.name, check.detail)
        })
        .collect()
}

const CHECKS: &str = "/ # selftest\r\nselftest: ok machine (aarch64)\r\nselftest: ok log\r\nselftest: 2 passed, 0 failed\r\n/ # ";

#[test]
fn an_image_that_is_good() {
    let mut play = Play::new(expected());
    play.prints("[    0.000000] Booting Linux on physical CPU 0x0\r\n")
        .waits(20);
    play.prints("\r\nxbuild-ready: a-debug\r\n/ # ");
    assert_eq!(play.typed, ["selftest\n"]);
    play.waits(3).prints(CHECKS);
    assert_eq!(play.last_typed(), "poweroff\n");
    play.prints("poweroff\r\n")
        .waits(2)
        .prints("[   30.1] reboot: Power down\r\n")
        .ends(true);
    let outcome = play.outcome();
    assert!(outcome.is_good());
    assert_eq!(
        names(&outcome),
        ["ok machine: aarch64", "ok log: ", "ok power-off: "]
    );
    let seconds: Vec<_> = outcome
        .stages
        .iter()
        .map(|(stage, at)| (stage.name(), at.as_secs()))
        .collect();
    assert_eq!(
        seconds,
        [
            ("started", 0),
            ("kernel", 0),
            ("ready", 20),
            ("checked", 23),
            ("off", 25)
        ]
    );
}

/// A machine that is up and has done its own checks, and where a login is to be tried next.
fn checked_and_to_be_logged_in() -> Play {
    let mut play = Play::new(Expected {
        login: Some("ssh-ed25519 AAAA xbuild-test".to_owned()),
        ..expected()
    });
    play.prints("xbuild-ready: a-debug\n").prints(CHECKS);
    play
}

#[test]
fn logging_in() {
    let mut play = checked_and_to_be_logged_in();
    assert!(
        play.last_typed()
            .contains("echo 'ssh-ed25519 AAAA xbuild-test' >>/root/.ssh/authorized_keys")
    );
    // The echo of the command is not its answer.
    let echo = play.last_typed().to_owned();
    play.prints(&format!("{}\r\n", echo.trim_end()));
    assert_eq!(play.logins, 0);
    play.prints("xbuild-key-written\r\n/ # ");
    assert_eq!(play.logins, 1);
    play.event(Event::LoggedIn(Err("connection refused".to_owned())));
    play.waits(1);
    assert_eq!(play.logins, 1);
    play.waits(1);
    assert_eq!(play.logins, 2);
    play.event(Event::LoggedIn(Ok("aarch64\n".to_owned())));
    assert_eq!(play.last_typed(), "poweroff\n");
    play.prints("reboot: Power down\n").ends(true);
    let outcome = play.outcome();
    assert!(outcome.is_good());
    assert_eq!(outcome.checks[2].detail, "uname -m: aarch64");
}

#[test]
fn nobody_is_let_in() {
    let mut play = checked_and_to_be_logged_in();
    play.prints("xbuild-key-written\n");
    for _ in 0..20 {
        play.event(Event::LoggedIn(Err("permission denied".to_owned())));
        play.waits(3);
    }
    // The rest is tested all the same.
    assert_eq!(play.last_typed(), "poweroff\n");
    play.prints("reboot: Power down\n").ends(true);
    assert_eq!(
        names(&play.outcome())[2],
        "FAIL ssh: timed out after 60 s, waiting for somebody to be let in by ssh; the last attempt: permission denied"
    );
}

#[test]
fn another_machine() {
    let mut play = checked_and_to_be_logged_in();
    play.prints("xbuild-key-written\n");
    play.event(Event::LoggedIn(Ok("x86_64".to_owned())));
    play.prints("reboot: Power down\n").ends(true);
    let outcome = play.outcome();
    assert!(!outcome.is_good());
    assert_eq!(
        names(&outcome)[2],
        "FAIL ssh: uname -m: `x86_64`, expected aarch64"
    );
}

#[test]
fn a_key_that_cannot_be_written() {
    let mut play = checked_and_to_be_logged_in();
    play.waits(61);
    assert_eq!(
        play.typed
            .iter()
            .filter(|typed| typed.contains("authorized_keys"))
            .count(),
        3
    );
    play.prints("reboot: Power down\n").ends(true);
    assert_eq!(
        names(&play.outcome())[2],
        "FAIL ssh: timed out after 60 s, waiting for the console to take an ssh key"
    );
}

#[test]
fn checks_that_fail() {
    let mut play = Play::new(expected());
    play.prints("xbuild-ready: a-debug\n");
    play.prints("selftest: FAIL root: type: ext4 writable: 0\nselftest: FAIL data:\nselftest: 0 passed, 2 failed\n");
    play.prints("reboot: Power down\n").ends(true);
    let outcome = play.outcome();
    assert!(!outcome.is_good() && outcome.trouble.is_none());
    assert_eq!(
        names(&outcome),
        [
            "FAIL root: type: ext4 writable: 0",
            "FAIL data: ",
            "ok power-off: "
        ]
    );
}

#[test]
fn a_sum_without_its_lines() {
    let mut play = Play::new(expected());
    play.prints("xbuild-ready: a-debug\nselftest: FA[  9.1] usb 1-1: new\nIL root: x\nselftest: 3 passed, 1 failed\n");
    play.prints("reboot: Power down\n").ends(true);
    assert_eq!(
        names(&play.outcome())[0],
        "FAIL selftest: 1 check failed, by the summary"
    );
    let mut play = Play::new(expected());
    play.prints("xbuild-ready: a-debug\nselftest: 0 passed, 0 failed\nreboot: Power down\n")
        .ends(true);
    assert_eq!(
        names(&play.outcome())[0],
        "FAIL selftest: the image has no checks"
    );
}

#[test]
fn services_that_do_not_come_up() {
    let mut play = Play::new(expected());
    play.prints("xbuild-failed: a-debug: not up: dropbear, httpd\n");
    assert_eq!(play.typed, ["selftest\n"]);
    play.prints("selftest: 1 passed, 0 failed\nreboot: Power down\n")
        .ends(true);
    assert_eq!(
        names(&play.outcome())[0],
        "FAIL services: not up: dropbear, httpd"
    );
}

#[test]
fn the_mark_of_another_image() {
    let mut play = Play::new(expected());
    play.prints("xbuild-ready: a-debug-nodemoapps\nxbuild-ready: a-debug2\n");
    assert_eq!(play.typed.len(), 0);
    play.prints("x xbuild-ready: a-debug\n");
    assert_eq!(play.typed.len(), 1);
}

#[test]
fn a_console_that_opens_late() {
    let mut play = Play::new(expected());
    play.prints("xbuild-ready: a-debug\n").waits(45);
    assert_eq!(play.typed, ["selftest\n"; 3]);
    play.waits(254).prints("selftest: 1 passed, 0 failed\n");
    assert_eq!(play.typed.len(), 4);
    play.waits(120);
    assert_eq!(
        play.trouble(),
        "timed out after 120 s, waiting for the kernel's `reboot: Power down`\nhint: look at the services that do not stop"
    );
    let mut play = Play::new(expected());
    play.prints("xbuild-ready: a-debug\n").waits(300);
    assert_eq!(
        play.trouble(),
        "timed out after 300 s, waiting for the summary of `selftest`\nhint: the console did not answer at all"
    );
}

#[test]
fn machines_that_do_not_come_up() {
    let after = |expected: Expected, printed: &str| {
        let mut play = Play::new(expected);
        play.prints(printed).waits(600);
        play.trouble()
    };
    assert_eq!(
        after(expected(), ""),
        "timed out after 600 s, waiting for the line `xbuild-ready: a-debug`; the kernel has printed nothing\nhint: look at the kernel's `console=`, and at the device tree"
    );
    assert_eq!(
        after(expected(), "Linux version 6.12\n"),
        "timed out after 600 s, waiting for the line `xbuild-ready: a-debug`; the kernel has started\nhint: look at the services and at the inittab of the image; --timeout gives a slow machine more time"
    );
    assert_eq!(
        after(with_firmware(), "UEFI firmware\n"),
        "timed out after 600 s, waiting for the line `xbuild-ready: a-debug`; no kernel has started\nhint: look at the boot loader and its entries"
    );
}

#[test]
fn panics() {
    let mut play = Play::new(expected());
    play.prints(
        "[ 1.0] Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)\r\n",
    );
    // What the kernel says of it is waited for.
    assert!(!play.over);
    play.prints("[ 1.1] CPU: 0 PID: 1 Comm: swapper\r\n")
        .waits(2);
    let outcome = play.outcome();
    assert_eq!(
        outcome.trouble.expect("trouble").to_string(),
        "the kernel panicked: Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)"
    );
    assert_eq!(outcome.tail.len(), 2);
    // QEMU may end at once.
    let mut play = Play::new(expected());
    play.prints("Kernel panic - not syncing: init\n").ends(true);
    assert_eq!(
        play.trouble(),
        "the kernel panicked: Kernel panic - not syncing: init"
    );
}

#[test]
fn firmware_that_boots_nothing() {
    for (printed, said) in [
        (
            "\x1b[2J\x1b[01;01HUEFI Interactive Shell v2.2\r\n",
            "UEFI Interactive Shell v2.2",
        ),
        ("BdsDxe: failed\r\n\r\nShell> ", "Shell>"),
        (">>Start PXE over IPv4.", ">>Start PXE over IPv4."),
    ] {
        let mut play = Play::new(with_firmware());
        play.prints(printed);
        assert_eq!(
            play.trouble(),
            format!(
                "the firmware did not boot the disk: it printed `{said}`\nhint: look at the ESP (EFI/BOOT/BOOTAA64.EFI) and at the partition table"
            )
        );
    }
    let mut play = Play::new(expected());
    play.prints("Shell> ");
    assert!(!play.over);
}

#[test]
fn boot_menus() {
    let mut play = Play::new(with_firmware());
    play.prints("\x1b[03;10H Image\x1b[10;10HBoot in 3 s.");
    assert_eq!(play.typed, ["2"]);
    play.prints("\x1b[10;10HBoot in 2 s.");
    assert_eq!(play.typed.len(), 1);
    play.prints("\r\nEFI stub: Booting Linux Kernel...\r\n")
        .waits(70)
        .prints("xbuild-ready: a-debug\n");
    assert_eq!(play.typed, ["2", "selftest\n"]);

    let mut play = Play::new(with_firmware());
    play.prints("Boot in 3 s.").waits(59);
    assert_eq!(play.typed, ["2", "2", "2"]);
    play.waits(1);
    assert_eq!(
        play.trouble(),
        "the boot menu went on for 60 s after the keys `2` were typed, and started no kernel\nhint: look at the loader's entries"
    );
}

#[test]
fn machines_that_end() {
    let mut play = Play::new(expected());
    play.prints("Linux version 6.12\n").ends(true);
    assert_eq!(
        play.trouble(),
        "the machine switched off or reset itself, before the line `xbuild-ready: a-debug`; the kernel has started"
    );
    let mut play = Play::new(expected());
    play.ends(false);
    assert_eq!(
        play.trouble(),
        "QEMU failed before the line `xbuild-ready: a-debug`; the kernel has printed nothing (exit code 1):\nqemu: no such file"
    );
    let mut play = Play::new(expected());
    play.prints("xbuild-ready: a-debug\nselftest: 1 passed, 0 failed\n")
        .ends(true);
    assert_eq!(
        play.trouble(),
        "the machine switched off or reset itself, before the kernel's `reboot: Power down`"
    );
}

#[test]
fn a_machine_that_stays_on() {
    let mut play = Play::new(expected());
    play.prints("xbuild-ready: a-debug\nselftest: 1 passed, 0 failed\nreboot: Power down\n")
        .waits(30);
    assert_eq!(
        play.trouble(),
        "timed out after 30 s, waiting for QEMU to end after `reboot: Power down`\nhint: the machine has no way to switch off, as far as the kernel knows"
    );
}

#[test]
fn nothing_happens_after_the_end() {
    let mut play = Play::new(expected());
    play.ends(false);
    play.typed.clear();
    play.prints("xbuild-ready: a-debug\n").waits(10);
    assert_eq!(play.typed.len(), 0);
}

/// Pieces of what machines print.
fn printed() -> impl Strategy<Value = Vec<u8>> {
    let pieces = [
        "xbuild-ready: a-debug",
        "selftest: ",
        "ok ",
        "FAIL x: ",
        "1 passed, 0 failed",
        "xbuild-key-written",
        "reboot: Power down",
        "Kernel panic - not syncing",
        "Boot in ",
        "xbuild-failed: ",
        "\n",
        "\r\n",
        "\x1b[1;1H",
    ];
    prop_oneof![
        3 => prop::sample::select(pieces.to_vec()).prop_map(|piece| piece.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..20),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_test_ends(outputs in prop::collection::vec((printed(), 0u64..40, 0u8..4), 0..60), login in any::<bool>(), firmware in any::<bool>()) {
        let expected = if firmware { with_firmware() } else { expected() };
        let mut play = Play::new(Expected { login: login.then(|| "key".to_owned()), ..expected });
        for (output, seconds, event) in outputs {
            play.event(Event::Output(&output));
            match event {
                0 => play.event(Event::LoggedIn(Ok("aarch64".to_owned()))),
                1 => play.event(Event::LoggedIn(Err("no".to_owned()))),
                _ => {}
            }
            play.waits(seconds);
        }
        play.waits(2000);
        let outcome = play.outcome();
        prop_assert!(outcome.tail.len() <= TAIL + 1);
        prop_assert!(outcome.is_good() <= outcome.checks.iter().any(|check| check.name == "power-off"));
    }
}
