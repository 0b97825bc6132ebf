//! A flash script that is not whole, or that finds a machine without what it needs, does nothing and says so.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::machine::Machine;
use crate::support::ran::Ran;
use crate::support::test_tool;
use crate::{SCRIPT, end_of_text};

/// A script, run by a shell.
fn run(shell: &Path, args: &[&str], path: Option<&Path>) -> Ran {
    let mut command = Command::new(shell);
    command.args(args).stdin(Stdio::null());
    if let Some(path) = path {
        command.env("PATH", path);
    }
    let output = command.output().expect("run the script");
    Ran::new(format!("{} {args:?}", shell.display()), &output)
}

#[test]
fn wherever_it_is_cut_off_it_is_an_error() {
    let machine = Machine::new("cut");
    let card = machine.disk("sdb", "pci/usb1/1-1", "8:16");
    let whole = fs::read(&*SCRIPT).expect("read the script");
    let end = end_of_text(&whole);
    let copy = machine.root.join("copy");
    let copy_name = copy.to_str().expect("UTF-8");
    let root = machine.root.to_str().expect("UTF-8");
    let device = card.to_str().expect("UTF-8");
    let args = [copy_name, "--stand-in", root, "--yes", "--device", device];
    let bash = Path::new("bash");
    // From the second line on.
    let mut seven = 0;
    for length in (21..end).step_by(211).chain([end - 1, end, end + 1]) {
        fs::write(&copy, &whole[..length]).expect("write a copy");
        let ran = run(bash, &args, None);
        assert!(matches!(ran.code, 2 | 7), "{length}: {}", ran.report());
        seven += usize::from(ran.code == 7);
    }
    assert!(seven > 50, "most of the lengths are found out by the file");
    machine.is_untouched();
}

#[test]
fn a_changed_program_is_found_out() {
    let machine = Machine::new("changed");
    let card = machine.disk("sdb", "pci/usb1/1-1", "8:16");
    let whole = fs::read(&*SCRIPT).expect("read the script");
    let copy = machine.root.join("copy");
    for place in [
        "\nIMAGE_BYTES=",
        "\nPARTITIONS='",
        "\nTEXT_SHA256=",
        "read_back() {\n  d",
    ] {
        let at = whole
            .windows(place.len())
            .position(|window| window == place.as_bytes())
            .expect("it is in the text")
            + place.len();
        let mut changed = whole.clone();
        changed[at] = if changed[at] == b'7' { b'8' } else { b'7' };
        fs::write(&copy, changed).expect("write a copy");
        let args = [
            copy.to_str().expect("UTF-8"),
            "--stand-in",
            machine.root.to_str().expect("UTF-8"),
            "--yes",
            "--device",
            card.to_str().expect("UTF-8"),
        ];
        run(Path::new("bash"), &args, None)
            .fails(7)
            .says(&["this file is damaged: the SHA-256 of the program"]);
    }
    machine.is_untouched();
}

#[test]
fn missing_tools_are_named() {
    let machine = Machine::new("tools");
    let script = SCRIPT.to_str().expect("UTF-8");
    let bin = machine.root.join("few");
    fs::create_dir(&bin).expect("create a directory");
    let which = |tool: &str| {
        let paths = std::env::var_os("PATH").expect("PATH");
        std::env::split_paths(&paths)
            .map(|directory| directory.join(tool))
            .find(|file| file.is_file())
            .unwrap_or_else(|| panic!("there is no {tool}"))
    };
    let bash = which("bash");
    let tools = "cat cmp cut dd dirname find gzip head id mktemp readlink rm sed sha256sum sort stat tail tr truncate";
    for tool in tools.split(' ') {
        symlink(which(tool), bin.join(tool)).expect("make a link");
    }
    run(&bash, &[script, "--list"], Some(&bin)).succeeds();
    for tool in ["readlink", "find", "sort", "mktemp", "head", "sed", "cmp"] {
        let (link, away) = (bin.join(tool), bin.join("away"));
        fs::rename(&link, &away).expect("take it away");
        for args in [&["--list"][..], &["--device", "/dev/null"]] {
            let all = [&[script], args].concat();
            run(&bash, &all, Some(&bin))
                .fails(8)
                .says(&[&format!("the program `{tool}' is needed and not in PATH")]);
        }
        fs::rename(&away, &link).expect("put it back");
    }
    // Not everybody's dd can do what is asked of it.
    fs::remove_file(bin.join("dd")).expect("remove a link");
    symlink(test_tool("busybox"), bin.join("dd")).expect("make a link");
    run(&bash, &[script, "--list"], Some(&bin))
        .fails(8)
        .says(&["is not that of GNU coreutils 8.24 or newer"]);
}

#[test]
fn other_shells_and_pipes_are_told() {
    let script = SCRIPT.to_str().expect("UTF-8");
    let message = "Run it with bash";
    run(&test_tool("busybox"), &["sh", script, "--list"], None)
        .fails(2)
        .says(&[message]);
    let output = Command::new("bash")
        .args(["-s", "--", "--layout"])
        .stdin(fs::File::open(&*SCRIPT).expect("open the script"))
        .output();
    Ran::new(
        "bash -s <script".to_owned(),
        &output.expect("run the script"),
    )
    .fails(2)
    .says(&["not through a pipe"]);
}
