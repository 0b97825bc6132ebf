//! Programs for another processor, run by an emulator that the build does not see.

#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use common::{BUSYBOX, Place, run, try_run};
use xbuild_sandbox::{BuilderProblem, Emulator, Machine, SandboxError, Spec, Status};

/// An AArch64 program that prints the first five bytes of its `argv[0]` and exits with 7.
fn program() -> Vec<u8> {
    const CODE: [u32; 8] = [
        0xd280_0020, // mov x0, #1
        0xf940_07e1, // ldr x1, [sp, #8]
        0xd280_00a2, // mov x2, #5
        0xd280_0808, // mov x8, #64 (write)
        0xd400_0001, // svc #0
        0xd280_00e0, // mov x0, #7
        0xd280_0ba8, // mov x8, #93 (exit)
        0xd400_0001, // svc #0
    ];
    const BASE: u64 = 0x40_0000;
    const HEADERS: u64 = 64 + 56;
    let length = HEADERS + 4 * CODE.len() as u64;
    let mut elf = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    let words16 = |elf: &mut Vec<u8>, words: &[u16]| {
        elf.extend(words.iter().flat_map(|word| word.to_le_bytes()));
    };
    let words64 = |elf: &mut Vec<u8>, words: &[u64]| {
        elf.extend(words.iter().flat_map(|word| word.to_le_bytes()));
    };
    words16(&mut elf, &[2, 183, 1, 0]); // executable, AArch64, version
    words64(&mut elf, &[BASE + HEADERS, 64, 0]); // entry, program headers, section headers
    words16(&mut elf, &[0, 0, 64, 56, 1, 0, 0, 0]);
    words16(&mut elf, &[1, 0, 5, 0]); // PT_LOAD, readable and executable
    words64(&mut elf, &[0, BASE, BASE, length, length, 0x1000]);
    elf.extend(CODE.iter().flat_map(|word| word.to_le_bytes()));
    elf
}

fn qemu() -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/test-tools/qemu");
    assert!(
        path.exists(),
        "{} is missing: run tests/setup",
        path.display()
    );
    path
}

/// A place with the program among its inputs, and a build that runs it.
fn emulated(place: &Place, program_name: &str) -> Spec {
    let path = place.path("store/busybox/bin").join(program_name);
    fs::write(&path, program()).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o555)).unwrap();
    let mut spec = place.script("");
    spec.builder = format!("{BUSYBOX}/bin/{program_name}").into();
    spec.args.clear();
    spec.emulator = Some(Emulator {
        program: qemu(),
        machine: Machine::Aarch64,
    });
    spec
}

#[test]
fn a_program_for_another_processor_runs() {
    let place = Place::new();
    let spec = emulated(&place, "hello");
    for _ in 0..2 {
        let (report, log) = run(&spec);
        assert_eq!((report.status, log.as_str()), (Status::Exited(7), "hello"));
    }
}

#[test]
fn other_builds_do_not_run_it() {
    let place = Place::new();
    let mut spec = emulated(&place, "world");
    assert_eq!(run(&spec).0.status, Status::Exited(7));
    spec.emulator = None;
    match try_run(&spec) {
        Err(SandboxError::Builder { problem, .. }) => {
            assert_eq!(problem, BuilderProblem::WrongFormat);
        }
        other => panic!("{other:?}"),
    }
    let spec = place.script(&format!("{BUSYBOX}/bin/world; echo $?"));
    let log = run(&spec).1;
    assert!(!log.contains("world\n7"), "{log}");
}

#[test]
fn an_emulated_build_is_as_closed_as_any() {
    let place = Place::new();
    let mut spec = emulated(&place, "hello");
    spec.builder = format!("{BUSYBOX}/bin/sh").into();
    spec.args = vec![
        "-c".into(),
        format!(
            "id -u; id -g; cat /proc/1/environ 2>/dev/null || echo hidden; grep CapEff /proc/self/status; ls /proc/sys/fs/binfmt_misc; \
             touch f; chmod 4755 f 2>/dev/null || echo refused; (exec -a hello {BUSYBOX}/bin/hello); echo $?"
        )
        .into(),
    ];
    let log = run(&spec).1;
    assert_eq!(
        log,
        "1000\n100\nhidden\nCapEff:\t0000000000000000\nrefused\nhello7\n"
    );
}

#[test]
fn an_emulator_that_is_not_there_is_named() {
    let place = Place::new();
    let mut spec = emulated(&place, "hello");
    spec.emulator.as_mut().unwrap().program = "/does/not/exist".into();
    let error = try_run(&spec).expect_err("refused").to_string();
    assert!(
        error.contains("the emulator /does/not/exist cannot be opened"),
        "{error}"
    );
}
