//! The probe on machines that forbid sandboxes, made with `unshare` from settings that a user namespace has for itself.

#![allow(clippy::unwrap_used)]

use std::process::Command;

use xbuild_sandbox::{Step, probe};

#[test]
fn this_machine_allows_sandboxes() {
    if std::env::var_os("XBUILD_TEST_PROBE").is_none() {
        probe().unwrap();
    }
}

/// Run by [`probe_after`] in the changed surroundings.
#[test]
fn say_what_the_probe_says() {
    if std::env::var_os("XBUILD_TEST_PROBE").is_some() {
        match probe() {
            Ok(()) => println!("PROBE: available"),
            Err(found) => println!("PROBE: {:?} {}\nPROBE: {found}", found.step, found.errno),
        }
    }
}

/// What the probe says in a user, mount, network and PID namespace in which `script` ran before, as its root.
fn probe_after(script: &str) -> String {
    let own = std::env::current_exe().unwrap();
    let output = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "--net", "sh", "-c"])
        .arg(format!(
            "{script} && exec '{}' --exact --nocapture say_what_the_probe_says",
            own.display()
        ))
        .env("XBUILD_TEST_PROBE", "1")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success() && text.contains("PROBE: "),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    text
}

#[test]
fn sandboxes_nest() {
    let text = probe_after("true");
    assert!(text.contains("PROBE: available"), "{text}");
}

#[test]
fn forbidden_namespaces_are_named_with_the_setting_and_the_command() {
    for (name, step) in [
        ("user", Step::UserNamespace),
        ("mnt", Step::SpawnerMounts),
        ("net", Step::Clone),
        ("pid", Step::Clone),
        ("ipc", Step::Clone),
        ("uts", Step::Clone),
    ] {
        let text = probe_after(&format!("echo 0 > /proc/sys/user/max_{name}_namespaces"));
        assert!(
            text.contains(&format!("PROBE: {step:?} {}", libc::ENOSPC)),
            "{text}"
        );
        let cause = format!("cause: the setting user.max_{name}_namespaces is 0");
        assert!(text.contains(&cause), "{text}");
        let remedy = format!("sudo sysctl -w user.max_{name}_namespaces=15000");
        assert!(text.contains(&remedy), "{text}");
    }
}

#[test]
fn a_covered_proc_is_recognised() {
    let text = probe_after("mount --bind /dev/null /proc/keys");
    assert!(text.contains("PROBE: MountProc"), "{text}");
    assert!(text.contains("parts of /proc are covered"), "{text}");
    assert!(text.contains("systempaths=unconfined"), "{text}");
}
