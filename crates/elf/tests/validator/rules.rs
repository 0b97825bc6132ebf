//! Each rule, kept and broken.

use crate::make::{Closure, Elf, archive, findings_of, path, with_libc};
use insta::assert_snapshot;
use xbuild_elf::Exceptions;

const LIBC: &str = "/nix/store/00000000000000000000000000000000-libc/lib";
const INTERPRETER: &str =
    "/nix/store/00000000000000000000000000000000-libc/lib/ld-linux-aarch64.so.1";

fn program() -> Elf {
    Elf {
        interpreter: Some(INTERPRETER),
        needed: vec!["libc.so.6"],
        rpath: Some(LIBC),
        requires: vec![("libc.so.6", "GLIBC_2.17", false)],
        pie: true,
        ..Elf::default()
    }
}

#[test]
fn a_genuine_program() {
    let closure = with_libc().file("p", "bin/p", program().bytes());
    let report = closure.check("p");
    assert!(report.is_genuine(), "{report}");
    assert_eq!((report.files, report.binaries), (1, 1));
    assert_eq!(with_libc().findings("libc"), "");
}

#[test]
fn other_machines() {
    assert_snapshot!(findings_of("f", Elf { machine: 62, ..Elf::default() }.bytes()), @"/nix/store/p/f: the machine is x86-64, expected AArch64 [elf-machine]");
    assert_snapshot!(findings_of("f", Elf { machine: 40, class: 1, ..Elf::default() }.bytes()), @"/nix/store/p/f: the file is 32-bit ELF, expected 64-bit [elf-class]");
    assert_snapshot!(findings_of("f", Elf { data: 2, ..Elf::default() }.bytes()), @"/nix/store/p/f: the file is big-endian, expected little-endian [elf-byte-order]");
    assert_snapshot!(findings_of("f", Elf { os_abi: 9, ..Elf::default() }.bytes()), @"/nix/store/p/f: the OS ABI is 9, expected 0 (System V) or 3 (GNU/Linux) [elf-type]");
    assert_snapshot!(findings_of("f", Elf { e_type: 4, ..Elf::default() }.bytes()), @"/nix/store/p/f: this is a core dump [elf-type]");
}

#[test]
fn cut_short() {
    let whole = program().bytes();
    assert_snapshot!(findings_of("f", &whole[..10]), @"/nix/store/p/f: the file is cut short before the end of the identification (16 bytes) [elf-malformed]");
    assert_snapshot!(findings_of("f", &whole[..40]), @"/nix/store/p/f: the file is cut short before the end of the file header (64 bytes) [elf-malformed]");
    assert_snapshot!(findings_of("f", &whole[..100]), @"/nix/store/p/f: the file is cut short before the end of the program headers [elf-malformed]");
    for end in 4..whole.len() {
        assert_ne!(findings_of("f", &whole[..end]), "", "cut at {end}");
    }
}

#[test]
fn interpreters() {
    let with = |interpreter| {
        Elf {
            interpreter: Some(interpreter),
            ..program()
        }
        .bytes()
    };
    let findings = |interpreter| with_libc().file("p", "p", with(interpreter)).findings("p");
    assert_snapshot!(findings("/lib/ld-linux-aarch64.so.1"), @"/nix/store/p/p: the interpreter is /lib/ld-linux-aarch64.so.1: /lib/ld-linux-aarch64.so.1 is not below /nix/store [interpreter]");
    assert_snapshot!(findings("/nix/store/00000000000000000000000000000000-libc/lib/ld.so"), @"/nix/store/p/p: the interpreter is /nix/store/libc/lib/ld.so: /nix/store/libc/lib/ld.so does not exist [interpreter]");
    assert_snapshot!(findings("/nix/store/00000000000000000000000000000000-other/ld.so"), @"/nix/store/p/p: the interpreter is /nix/store/other/ld.so: /nix/store/other is not in the closure of the output [interpreter]");
    let none = Elf {
        interpreter: None,
        ..program()
    }
    .bytes();
    assert_snapshot!(with_libc().file("p", "p", none).findings("p"), @"/nix/store/p/p: the program needs libraries but names no interpreter to load them [interpreter]");
    let foreign = with_libc().file(
        "libc",
        "lib/ld-linux-aarch64.so.1",
        Elf {
            machine: 62,
            ..Elf::default()
        }
        .bytes(),
    );
    assert_snapshot!(foreign.file("p", "p", program().bytes()).findings("p"), @"/nix/store/p/p: the interpreter /nix/store/libc/lib/ld-linux-aarch64.so.1 is not genuine: the machine is x86-64, expected AArch64 [interpreter]");
}

#[test]
fn libraries() {
    let without = Elf {
        rpath: None,
        ..program()
    }
    .bytes();
    assert_snapshot!(with_libc().file("p", "p", without).findings("p"), @"/nix/store/p/p: the library libc.so.6 is not found: the file has no RPATH [needed]");
    let another = Elf {
        needed: vec!["libc.so.6", "libz.so.1"],
        ..program()
    }
    .bytes();
    assert_snapshot!(with_libc().file("p", "p", another).findings("p"), @"/nix/store/p/p: the library libz.so.1 is not found in /nix/store/libc/lib [needed]");
    let foreign = with_libc().file(
        "libc",
        "lib/libc.so.6",
        Elf {
            machine: 62,
            ..Elf::default()
        }
        .bytes(),
    );
    assert_snapshot!(foreign.file("p", "p", program().bytes()).findings("p"), @"/nix/store/p/p: the library libc.so.6 is at /nix/store/libc/lib/libc.so.6, but the machine is x86-64, expected AArch64 [needed]");
}

#[test]
fn rpath_reaches_dependencies_and_runpath_does_not() {
    let library = Elf {
        needed: vec!["libc.so.6"],
        soname: Some("libx.so"),
        ..Elf::default()
    };
    let base = || with_libc().file("p", "lib/libx.so", library.bytes());
    let rpath = "$ORIGIN/../lib:/nix/store/00000000000000000000000000000000-libc/lib";
    let old = Elf {
        needed: vec!["libx.so"],
        requires: vec![],
        rpath: Some(rpath),
        ..program()
    };
    let findings = |elf: &Elf| {
        let text = base().file("p", "bin/p", elf.bytes()).findings("p");
        text.lines()
            .filter(|line| line.contains("bin/p:"))
            .collect::<Vec<_>>()
            .join("\n")
    };
    assert_snapshot!(findings(&old), @"");
    let new = Elf {
        rpath: None,
        runpath: Some(rpath),
        ..old
    };
    assert_snapshot!(findings(&new), @"/nix/store/p/bin/p: the library libc.so.6 (by /nix/store/p/bin/../lib/libx.so) is not found: the file has no RPATH [needed]");
}

#[test]
fn symbol_versions() {
    let newer = Elf {
        requires: vec![
            ("libc.so.6", "GLIBC_2.99", false),
            ("libc.so.6", "GLIBC_3", true),
        ],
        ..program()
    };
    assert_snapshot!(with_libc().file("p", "p", newer.bytes()).findings("p"), @"/nix/store/p/p: version GLIBC_2.99 is needed, but /nix/store/libc/lib/libc.so.6 does not have it [symbol-version]");
}

#[test]
fn search_paths() {
    let findings = |rpath| {
        let elf = Elf {
            rpath: Some(rpath),
            ..Elf::default()
        };
        with_libc().file("p", "l.so", elf.bytes()).findings("p")
    };
    assert_snapshot!(findings("/build/hello/lib"), @"/nix/store/p/l.so: the RPATH entry `/build/hello/lib` leads out of the closure: /build/hello/lib is not below /nix/store [rpath]");
    assert_snapshot!(findings("lib"), @"/nix/store/p/l.so: the RPATH entry `lib` is not absolute [rpath]");
    assert_snapshot!(findings(""), @"/nix/store/p/l.so: the RPATH has an empty entry, which means the current directory [rpath]");
    assert_snapshot!(findings("/nix/store/00000000000000000000000000000000-gone/lib"), @"/nix/store/p/l.so: the RPATH entry `/nix/store/gone/lib` leads out of the closure: /nix/store/gone is not in the closure of the output [rpath]");
    assert_snapshot!(findings("/nix/store/00000000000000000000000000000000-libc/../../../usr/lib"), @"/nix/store/p/l.so: the RPATH entry `/nix/store/libc/../../../usr/lib` leads out of the closure: /usr/lib is not below /nix/store [rpath]");
    assert_snapshot!(findings("/nix/store/00000000000000000000000000000000-libc/no-such-directory"), @"");
}

#[test]
fn search_paths_with_tokens() {
    let findings = |rpath| {
        let elf = Elf {
            rpath: Some(rpath),
            ..Elf::default()
        };
        with_libc().file("p", "lib/l.so", elf.bytes()).findings("p")
    };
    assert_snapshot!(findings("$ORIGIN:${ORIGIN}/../lib:$ORIGIN/../../00000000000000000000000000000000-libc/lib"), @"");
    assert_snapshot!(findings("$ORIGIN/../../../../usr/lib"), @"/nix/store/p/lib/l.so: the RPATH entry `$ORIGIN/../../../../usr/lib` leads out of the closure: /usr/lib is not below /nix/store [rpath]");
    assert_snapshot!(findings("$ORIGIN/$LIB"), @"/nix/store/p/lib/l.so: the RPATH entry `$ORIGIN/$LIB` uses $LIB, whose meaning depends on the C library [rpath]");
    assert_snapshot!(findings("$ORIGINAL"), @"/nix/store/p/lib/l.so: the RPATH entry `$ORIGINAL` is not absolute [rpath]");
}

#[test]
fn libraries_by_path_and_of_a_wrong_type() {
    let needs = |needed| Elf {
        needed: vec![needed],
        requires: vec![],
        rpath: Some("$ORIGIN"),
        ..program()
    };
    let object = Elf {
        e_type: 1,
        ..Elf::default()
    };
    let findings = |needed| {
        with_libc()
            .file("p", "libo.so", object.bytes())
            .file("p", "libt.so", "GROUP ( libt.so.1 )")
            .file("p", "libr.so", Elf::default().bytes())
            .file("p", "p", needs(needed).bytes())
            .findings("p")
    };
    assert_snapshot!(findings("$ORIGIN/libr.so"), @"");
    assert_snapshot!(findings("./libr.so"), @"/nix/store/p/p: the library ./libr.so is needed by a name relative to the current directory [needed]");
    assert_snapshot!(findings("libo.so"), @"/nix/store/p/p: the library libo.so is at /nix/store/p/libo.so, but it is not a shared object [needed]");
    assert_snapshot!(findings("libt.so"), @"/nix/store/p/p: the library libt.so is at /nix/store/p/libt.so, but it is not an ELF file [needed]");
}

#[test]
fn musl_programs_need_nothing_beside_the_loader() {
    let loader = Elf {
        soname: Some("libc.so"),
        ..Elf::default()
    };
    let interpreter = "/nix/store/00000000000000000000000000000000-musl/lib/ld-musl-aarch64.so.1";
    let program = Elf {
        interpreter: Some(interpreter),
        needed: vec!["libc.musl-aarch64.so.1", "libpthread.so.0", "libz.so.1"],
        requires: vec![],
        rpath: None,
        ..program()
    };
    let closure = Closure::new()
        .file("musl", "lib/ld-musl-aarch64.so.1", loader.bytes())
        .file("p", "p", program.bytes());
    assert_snapshot!(closure.findings("p"), @"/nix/store/p/p: the library libz.so.1 is not found: the file has no RPATH [needed]");
}

#[test]
fn names_of_files_cannot_forge_a_report() {
    assert_snapshot!(findings_of("x\n/nix/store/p/y: all is well\x1b[2J", Elf { machine: 62, ..Elf::default() }.bytes()), @r"/nix/store/p/x\n/nix/store/p/y: all is well\u{1b}[2J: the machine is x86-64, expected AArch64 [elf-machine]");
}

#[test]
fn what_stands_in_a_file_twice() {
    // The interpreter's program header is made a second dynamic section, and the dynamic section a second interpreter.
    let mut twice = program().bytes();
    twice[64 + 2 * 56] = 2;
    let size = 64 + 2 * 56 + 32;
    let bytes =
        (u64::from_le_bytes(twice[size..size + 8].try_into().unwrap()) / 16 * 16).to_le_bytes();
    twice[size..size + 8].copy_from_slice(&bytes);
    assert_snapshot!(findings_of("f", &twice), @"/nix/store/p/f: the file has two dynamic sections [elf-malformed]");
}

#[test]
fn section_headers_beyond_the_end() {
    let mut file = Elf::default().bytes();
    let end = file.len() as u64;
    file[40..48].copy_from_slice(&end.to_le_bytes());
    file[58] = 64;
    file[60] = 1;
    assert_snapshot!(findings_of("f", &file), @"/nix/store/p/f: the file is cut short before the end of the section headers [elf-malformed]");
}

#[test]
fn separated_debug_information_is_not_loaded() {
    // One section of code without contents, as `objcopy --only-keep-debug` leaves it; the program headers lie about the file.
    let mut file = program().bytes();
    let at = file.len() as u64;
    file[40..48].copy_from_slice(&at.to_le_bytes());
    file[58] = 64;
    file[60] = 1;
    let mut section = [0u8; 64];
    section[4] = 8; // SHT_NOBITS
    section[8] = 6; // SHF_ALLOC | SHF_EXECINSTR
    section[32] = 1; // its size
    file.extend_from_slice(&section);
    file[64 + 32 + 6] = 1; // the first segment has 2^48 bytes
    assert_snapshot!(findings_of("f", &file), @"");
    let code = file.len() - 64 + 4;
    file[code] = 1; // SHT_PROGBITS
    assert!(findings_of("f", &file).contains("a segment spans"));
}

#[test]
fn archives() {
    let object = |machine| {
        Elf {
            e_type: 1,
            machine,
            ..Elf::default()
        }
        .bytes()
    };
    assert_snapshot!(findings_of("lib.a", archive(&[("a.o", object(183)), ("notes", b"text".to_vec())])), @"");
    assert_snapshot!(findings_of("lib.a", archive(&[("a.o", object(183)), ("b.o", object(62))])), @"/nix/store/p/lib.a(b.o): the machine is x86-64, expected AArch64 [elf-machine]");
    assert_snapshot!(findings_of("lib.a", archive(&[("l.so", Elf::default().bytes())])), @"/nix/store/p/lib.a(l.so): the member is linked already, expected a relocatable object [archive]");
    assert_snapshot!(findings_of("lib.a", archive(&[("b.o", b"BC\xc0\xdexxxx".to_vec())])), @"/nix/store/p/lib.a(b.o): the member is LLVM bitcode, which proves no machine [archive]");
    assert_snapshot!(findings_of("lib.a", b"!<thin>\n"), @"/nix/store/p/lib.a: the archive is thin: its members are files elsewhere, which are not part of the output [archive]");
    let inner = archive(&[("x.o", object(243))]);
    assert_snapshot!(findings_of("lib.a", archive(&[("in.a", inner)])), @"/nix/store/p/lib.a(in.a/x.o): the machine is RISC-V, expected AArch64 [elf-machine]");
    let whole = archive(&[("a.o", object(183))]);
    assert_ne!(findings_of("lib.a", &whole[..whole.len() - 3]), "");
}

#[test]
fn scripts() {
    let shell = || {
        Closure::new().file(
            "sh",
            "bin/sh",
            Elf {
                e_type: 2,
                ..Elf::default()
            }
            .bytes(),
        )
    };
    let findings = |line: &str| shell().file("p", "s", line).findings("p");
    assert_eq!(findings("#!/bin/sh\n"), "");
    assert_eq!(findings("#! /usr/bin/env lua\n"), "");
    assert_eq!(
        findings("#!/nix/store/00000000000000000000000000000000-sh/bin/sh -e\n"),
        ""
    );
    assert_snapshot!(findings("#!/usr/bin/perl -w\n"), @"/nix/store/p/s: the script's interpreter is /usr/bin/perl: /usr/bin/perl is not below /nix/store [script-interpreter]");
    assert_snapshot!(findings("#!\n"), @"/nix/store/p/s: the script's first line names no interpreter [script-interpreter]");
    assert_snapshot!(findings("#!/nix/store/00000000000000000000000000000000-sh/bin"), @"/nix/store/p/s: the script's interpreter /nix/store/sh/bin is not an executable file [script-interpreter]");
    let foreign = Closure::new().file(
        "sh",
        "bin/sh",
        Elf {
            e_type: 2,
            machine: 62,
            ..Elf::default()
        }
        .bytes(),
    );
    let foreign = foreign.file(
        "p",
        "s",
        "#!/nix/store/00000000000000000000000000000000-sh/bin/sh",
    );
    assert_snapshot!(foreign.findings("p"), @"/nix/store/p/s: the script's interpreter /nix/store/sh/bin/sh does not run on the target: the machine is x86-64, expected AArch64 [script-interpreter]");
}

#[test]
fn links_stay_in_the_closure() {
    let through = |target: &str| {
        let closure = with_libc().link("p", "lib/libc.so.6", target);
        let elf = Elf {
            rpath: Some("$ORIGIN/../lib"),
            requires: vec![],
            ..program()
        };
        closure.file("p", "bin/p", elf.bytes()).findings("p")
    };
    assert_eq!(
        through("/nix/store/00000000000000000000000000000000-libc/lib/libc.so.6"),
        ""
    );
    assert_eq!(
        through("../../00000000000000000000000000000000-libc/lib/libc.so.6"),
        ""
    );
    assert_ne!(through("/lib/libc.so.6"), "");
    assert_ne!(through("libc.so.6"), "");
}

#[test]
fn exceptions() {
    let closure = Closure::new().file(
        "p",
        "firmware/m7.elf",
        Elf {
            machine: 40,
            ..Elf::default()
        }
        .bytes(),
    );
    let exceptions = Exceptions::parse("elf-machine firmware/* runs on the Cortex-M7").unwrap();
    let report = closure.check_with("p", &exceptions);
    assert!(report.is_genuine());
    assert_eq!(report.accepted.len(), 1);
    assert_eq!(report.accepted[0].1, "runs on the Cortex-M7");
    assert_eq!(path("p").name(), "p");
}
