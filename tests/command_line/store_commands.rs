//! `xbuild store`, command by command, beside the commands of stock Nix that do the same.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::process::Stdio;

use crate::for_each_user;
use crate::support::name_of;
use crate::support::oracle::{nix, shell};
use crate::support::ran::Ran;
use crate::support::world::World;

/// Three paths that refer to each other, the second also to itself; the first's file is in the third as well.
const CHAIN: &str = r#"
  let
    run = import ./run.nix;
    a = run "liba-1.2" "mkdir $out; echo plain >$out/file; ln -s file $out/link" { };
    b = run "libb-2.0-dev" "mkdir -p $out/lib; echo ${a} $out >$out/lib/refs; ln -s ${a}/file $out/lib/link" { };
    top = run "top-3" "mkdir -p $out/bin; echo ${b} ${a} >$out/bin/top; chmod +x $out/bin/top; ln -s ${b}/lib $out/lib" { };
    newer = run "top-4" "mkdir -p $out/bin; seq 10000 >$out/bin/top; echo ${a} >>$out/bin/top" { };
  in { inherit a b top newer; }
"#;

fn chain(world: &World) -> [String; 4] {
    world.write("default.nix", CHAIN);
    [".#a", ".#b", ".#top", ".#newer"].map(|name| {
        world
            .xbuild(&["realise", "--no-out-link", name])
            .succeeds()
            .line()
            .to_owned()
    })
}

/// What both print must be the same, but for colours, which Nix leaves in even where there is no terminal.
fn same(world: &World, ours: &[&str], program: &str, theirs: &[&str]) {
    let ours = world.xbuild(ours).succeeds();
    let theirs = nix(program, world.store(), theirs).succeeds();
    assert_eq!(
        ours.stdout,
        without_colours(&theirs.stdout),
        "{}",
        ours.report()
    );
}

fn without_colours(text: &str) -> String {
    let mut parts = text.split('\u{1b}');
    let first = parts.next().unwrap_or_default().to_owned();
    first
        + &parts
            .filter_map(|part| part.split_once('m').map(|(_, rest)| rest))
            .collect::<String>()
}

/// Changes a file behind the store's back, keeping its size and time.
pub(crate) fn damage(world: &World, path: &str) {
    let file = world.physical(path);
    let bytes = fs::read(&file).unwrap();
    let damaged: Vec<u8> = bytes.iter().map(|byte| byte ^ 1).collect();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(&file, damaged).unwrap();
    fs::File::open(&file)
        .unwrap()
        .set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(1))
        .unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o444)).unwrap();
}

for_each_user! {
    fn looking_into_paths(world) {
        let [a, b, top, newer] = chain(world);
        for flags in [&[][..], &["-l"], &["-R"], &["-lR"], &["-ld"], &["-d"], &["--json"], &["--json", "-R"]] {
            for path in [&a, &b, &top, &format!("{a}/file"), &format!("{a}/link"), &format!("{top}/bin"), &format!("{top}/bin/top")] {
                if flags.contains(&"--json") && flags.contains(&"-d") {
                    continue;
                }
                let args: Vec<&str> = ["store", "ls"].into_iter().chain(flags.iter().copied()).chain([path.as_str()]).collect();
                same(world, &args, "nix", &args);
            }
        }
        same(world, &["store", "cat", &format!("{a}/file")], "nix", &["store", "cat", &format!("{a}/file")]);
        // Nothing leads out of a store path.
        for below in [format!("{a}/.."), format!("{a}/../../file"), format!("{top}/bin/../bin/./top"), format!("{top}/bin/../..")] {
            same(world, &["store", "ls", &below], "nix", &["store", "ls", &below]);
        }
        for wrong in [&a, &format!("{a}/link"), &format!("{a}/none"), &format!("{a}/file/x")] {
            world.xbuild(&["store", "cat", wrong]).fails(1).says(&[&world.physical(wrong.trim_end_matches("/x")).display().to_string()]);
        }
        world.xbuild(&["store", "ls", "default.nix"]).fails(1).says(&["is not in the store"]);

        for flags in [&[][..], &["--all"], &["--precise"], &["--all", "--precise"]] {
            for (package, dependency) in [(&top, &a), (&top, &b), (&b, &a), (&b, &b), (&a, &top), (&newer, &a)] {
                let command: Vec<&str> = flags.iter().copied().chain([package.as_str(), dependency]).collect();
                let ours: Vec<&str> = ["store", "why-depends"].into_iter().chain(command.iter().copied()).collect();
                let theirs: Vec<&str> = ["why-depends"].into_iter().chain(command.iter().copied()).collect();
                same(world, &ours, "nix", &theirs);
            }
        }
        let why = world.xbuild(&["store", "why-depends", "--json", &top, &a]).succeeds().json();
        assert_eq!(why[&top][0], a.as_str());
        world.xbuild(&["store", "why-depends", &a, &top]).succeeds().says(&["does not depend on"]);

        for (before, after) in [(&top, &newer), (&newer, &top), (&a, &top), (&a, &a)] {
            let args = ["store", "diff-closures", before, after];
            same(world, &args, "nix", &args);
        }
        for options in [&[][..], &["-r"], &["-s"], &["-rS"], &["-rsS"], &["-rsSh"], &["-r", "--sigs"]] {
            for paths in [&[&top, &a][..], &[&a, &top], &[&newer, &top, &newer]] {
                let args: Vec<&str> = ["path-info"].iter().chain(options).copied().chain(paths.iter().map(|path| path.as_str())).collect();
                same(world, &args, "nix", &args);
            }
        }
        let changes = world.xbuild(&["store", "diff-closures", "--json", &top, &newer]).succeeds().json();
        assert_eq!(changes["top"]["added"][0], "4");

        let used = world.xbuild(&["store", "du", "--json", &top]).succeeds().json();
        let theirs = nix("nix", world.store(), &["path-info", "--json", "--json-format", "1", "-S", &top]).succeeds().json();
        assert_eq!(used["narSize"], theirs[&top]["closureSize"]);
        assert_eq!(used["paths"].as_array().unwrap().len(), 3);
        let used = world.xbuild(&["store", "du", "-H", &top]).succeeds();
        assert!(used.stdout.ends_with(" on disk\t3 store paths\n"), "{}", used.report());

        let said = world.xbuild(&["store", "ping"]).succeeds().says(&["Store URL: local://?root=", "Trusted: 1"]);
        assert_eq!(said.stdout, "");
        let ours = world.xbuild(&["store", "info", "--json"]).succeeds().json();
        let theirs = nix("nix", world.store(), &["store", "info", "--json"]).succeeds().json();
        assert_eq!((&ours["url"], &ours["trusted"]), (&theirs["url"], &theirs["trusted"]));
    }

    fn exporting_and_importing(world) {
        let [_, _, top, newer] = chain(world);
        let elsewhere = world.with_store(&world.root().join("elsewhere"));
        let file = world.path("stream");
        let ran = world.shell(&format!("$xbuild store export -r {top} {newer} >stream; $xbuild --store ../elsewhere store import <stream")).succeeds();
        assert_eq!(ran.lines().len(), 4);
        assert!(elsewhere.is_valid(&top) && elsewhere.is_valid(&newer));
        let theirs = shell("nix-store", world.store(), &world.path(""), &format!("--export $(\"$program\" -qR {top} {newer})"));
        assert_eq!(Ran::new("cat".to_owned(), &std::process::Command::new("cat").arg(&file).output().unwrap()).stdout, theirs.stdout);
        nix("nix-store", elsewhere.store(), &["--verify", "--check-contents"]).succeeds().does_not_say(&["error", "modified"]);
        world.shell("head -c 1000 stream | $xbuild --store ../third store import; exit 0").says(&["cannot import: at byte", "cut short"]);
        world.shell("echo hello there, how are you | $xbuild --store ../third store import; exit 0").says(&["not the output of"]);
    }

    /// Files that are the same in several outputs are stored once, unless that is not wanted.
    fn identical_files(world) {
        world.write(
            "default.nix",
            r#"let run = import ./run.nix; in map (name: run name "mkdir $out; seq 5000 >$out/same; echo ${name} >$out/own" { }) [ "one" "two" "three" ]"#,
        );
        let inodes = |world: &World, built: &Ran| -> Vec<u64> {
            built.lines().iter().map(|path| fs::metadata(world.physical(&format!("{path}/same"))).unwrap().ino()).collect()
        };
        let built = world.xbuild(&["realise", "--no-out-link", "."]).succeeds();
        let shared = inodes(world, &built);
        assert!(shared.iter().all(|inode| *inode == shared[0]), "{shared:?}");
        world.xbuild(&["store", "optimise"]).succeeds().says(&["0 B freed by hard-linking 0 files"]);

        let apart = world.with_store(&world.root().join("apart"));
        let built = apart.xbuild(&["realise", "--no-out-link", "--no-auto-optimise-store", "."]).succeeds();
        let different = inodes(&apart, &built);
        assert!(different[0] != different[1] && different[1] != different[2]);
        let done = apart.xbuild(&["store", "optimise", "--json"]).succeeds().json();
        assert_eq!((&done["filesLinked"], &done["bytesFreed"]), (&2.into(), &(2 * 24576).into()));
        let shared = inodes(&apart, &built);
        assert!(shared.iter().all(|inode| *inode == shared[0]));
        apart.xbuild(&["realise", "--no-out-link", "--rebuild", "."]).succeeds();
        nix("nix-store", apart.store(), &["--verify", "--check-contents"]).succeeds().does_not_say(&["error", "modified"]);
        apart.xbuild(&["store", "gc"]).succeeds().says(&["store paths deleted"]);
        assert_eq!(fs::read_dir(apart.physical("/nix/store/.links")).unwrap().count(), 0);
    }

    /// What is damaged or gone is built again, whatever shares its files; what nobody can build is named.
    fn repairing(world) {
        world.write(
            "default.nix",
            r#"let run = import ./run.nix;
                   dep = run "dep" "mkdir $out; seq 3000 >$out/same; echo dep >$out/own" { };
                   two = run "two" "mkdir $out $lib; seq 3000 >$out/same; echo lib >$lib/own" { outputs = [ "out" "lib" ]; };
                   random = run "random" "cat /proc/sys/kernel/random/uuid >$out" { };
               in { top = run "top" "cat ${dep}/own ${two}/same >$out; echo ${dep} ${two} ${two.lib} ${random} >>$out" { }; inherit dep random; }"#,
        );
        let top = world.xbuild(&["realise", ".#top"]).succeeds().line().to_owned();
        let closure = world.xbuild(&["path-info", "-r", &top]).succeeds();
        let path = |name: &str| closure.lines().into_iter().find(|path| name_of(path) == name).unwrap().to_owned();
        let (dep, two, lib, random) = (path("dep"), path("two"), path("two-lib"), path("random"));
        let verify = |code: i32, texts: &[&str]| {
            let ran = world.xbuild(&["store", "verify", "--check-contents"]);
            if code == 0 { ran.succeeds().says(texts) } else { ran.fails(code).says(texts) }
        };
        let sound = || {
            verify(0, &["all sound"]);
            nix("nix-store", world.store(), &["--verify", "--check-contents"]).succeeds().does_not_say(&["error", "modified", "missing"]);
        };
        sound();

        // The file is that of two outputs, and of the index.
        damage(world, &format!("{dep}/same"));
        verify(1, &[&dep, &two, ".links"]);
        let repaired = world.xbuild(&["store", "verify", "--check-contents", "--repair"]).succeeds();
        repaired.says(&[&format!("repaired '{dep}'"), &format!("repaired '{two}'")]).does_not_say(&[&format!("repaired '{lib}'")]);
        sound();
        assert_eq!(fs::metadata(world.physical(&format!("{dep}/same"))).unwrap().ino(), fs::metadata(world.physical(&format!("{two}/same"))).unwrap().ino());

        // Gone, and only one of them asked for.
        let gone = world.physical(&lib);
        xbuild_store::remove_tree(&gone).unwrap();
        damage(world, &format!("{dep}/own"));
        world.xbuild(&["store", "repair", &lib]).succeeds().says(&[&format!("repaired '{lib}'")]);
        verify(1, &[&dep]).does_not_say(&[&lib]);
        world.xbuild(&["realise", "--repair", ".#top"]).succeeds().says(&[&format!("repaired '{dep}'")]);
        sound();
        world.xbuild(&["realise", "--repair", ".#top"]).succeeds().does_not_say(&["repaired", "building"]);
        world.xbuild(&["store", "repair", &top, &dep]).succeeds().says(&["2 store paths: nothing is damaged"]);

        // A build that never gives the same.
        damage(world, &random);
        world.xbuild(&["store", "repair", &random]).succeeds().says(&["does not always give the same"]);
        sound();

        let source = world.xbuild(&["store", "add", "run.nix"]).succeeds().line().to_owned();
        damage(world, &source);
        world.xbuild(&["store", "repair", &source]).fails(1).says(&["does not know how to make 1 damaged path", &source]);
        world.xbuild(&["store", "delete", &source]).succeeds();
        world.xbuild(&["store", "repair", &source]).fails(1).says(&["not valid"]);
        sound();
    }

    /// What a root reaches is deleted only on demand, what others refer to never.
    fn deleting(world) {
        let [a, b, top, newer] = chain(world);
        world.xbuild(&["realise", "-o", "kept", &top]).succeeds();
        world.xbuild(&["store", "delete", &top]).fails(1).says(&["it is alive", "/kept"]);
        world.xbuild(&["store", "delete", "--ignore-liveness", &a]).fails(1).says(&["refers to it"]);
        let roots = world.xbuild(&["store", "roots", "--json"]).succeeds().json();
        assert!(roots[&top][0].as_str().unwrap().ends_with("/kept"), "{roots}");
        let deleted = world.xbuild(&["store", "delete", "--ignore-liveness", &top]).succeeds();
        assert_eq!(deleted.line(), top);
        let ran = world.shell(&format!("printf '%s\\n' {newer} | $xbuild store delete -r --stdin {b}")).succeeds();
        assert_eq!(ran.lines().len(), 3);
        assert!(![&a, &b, &top, &newer].into_iter().any(|path| world.is_valid(path)));
    }

    /// Generations of a profile are roots until they are deleted.
    fn profiles(world) {
        let [a, b, top, newer] = chain(world);
        for path in [&a, &b, &top, &top] {
            world.xbuild(&["realise", "--profile", "profile", path]).succeeds();
        }
        assert_eq!(fs::read_link(world.path("profile")).unwrap().to_str(), Some("profile-3-link"));
        assert_eq!(fs::canonicalize(world.path("profile")).unwrap(), world.physical(&top).canonicalize().unwrap());
        world.xbuild(&["store", "gc", "--delete-older-than", "1d"]).succeeds();
        assert!([&a, &b, &top].into_iter().all(|path| world.is_valid(path)) && !world.is_valid(&newer));
        for wrong in ["1", "0d", "-3d", "d", "1w"] {
            world.xbuild(&["store", "gc", &format!("--delete-older-than={wrong}")]).fails(1).says(&["not a number of days"]);
        }
        world.xbuild(&["realise", "--profile", "profile", &a]).succeeds();
        let planned = world.xbuild(&["store", "gc", "-d", "--dry-run"]).succeeds().says(&["would remove old generation", "profile-3-link"]);
        assert!(planned.lines().contains(&top.as_str()) && !planned.lines().contains(&a.as_str()), "{}", planned.report());
        let collected = world.xbuild(&["store", "gc", "--delete-old"]).succeeds().says(&["removing old generation"]);
        assert!(collected.lines().contains(&top.as_str()) && world.is_valid(&a) && !world.is_valid(&b));
        world.write("plain", "");
        world.xbuild(&["realise", "--profile", "plain", &a]).fails(1).says(&["not a link to a generation"]);
    }

    /// A program that runs keeps what it uses.
    fn running_programs(world) {
        let [a, b, top, _] = chain(world);
        let mut running = std::process::Command::new("sleep")
            .arg("1000")
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("USED", format!("x:{}/lib", world.physical(&b).display()))
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        // Somebody else's processes are closed to an ordinary user.
        let sees_it = fs::read_to_string(format!("/proc/{}/environ", running.id())).is_ok()
            && world.shell(&format!("cat /proc/{}/environ >/dev/null 2>&1 && echo yes || echo no", running.id())).line() == "yes";
        let roots = world.xbuild(&["store", "gc", "--print-roots"]).succeeds();
        let collected = world.xbuild(&["store", "gc"]).succeeds();
        running.kill().unwrap();
        running.wait().unwrap();
        assert_eq!(roots.stdout.contains(&format!("/proc/{}/environ -> {b}", running.id())), sees_it, "{}", roots.report());
        assert_eq!((world.is_valid(&a), world.is_valid(&b)), (sees_it, sees_it), "{}", collected.report());
        assert!(collected.lines().contains(&top.as_str()));
        world.xbuild(&["store", "gc"]).succeeds();
        assert_eq!(world.valid_paths(), Vec::<String>::new());
    }

    /// A disk that gets full is collected before a build; what the run needs stays.
    fn collecting_by_itself(world) {
        world.write(
            "default.nix",
            r#"let run = import ./run.nix; in { garbage = run "garbage" "echo >$out" { };
                 wanted = run "wanted" "cat ${run "needed" "echo needed >$out" { }} >$out" { }; }"#,
        );
        let garbage = world.xbuild(&["realise", "--no-out-link", ".#garbage"]).succeeds().line().to_owned();
        world.xbuild(&["realise", "--no-out-link", ".#wanted", "--min-free", "1"]).succeeds().does_not_say(&["collecting"]);
        assert!(world.is_valid(&garbage));
        world.write("default.nix", fs::read_to_string(world.path("default.nix")).unwrap().replace("needed >", "otherwise >"));
        let built = world
            .xbuild(&["realise", "--no-out-link", ".#wanted", "--min-free", "8000000T", "--min-free-check-interval", "0"])
            .succeeds()
            .says(&["min-free", "collecting garbage"]);
        assert!(!world.is_valid(&garbage) && world.is_valid(built.line()));
        assert_eq!(world.read(built.line()), "otherwise\n");
        world.xbuild(&["store", "verify", "--check-contents"]).succeeds();
    }
}
