//! `xbuild store`, `xbuild path-info`, and stores in odd places.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use crate::for_each_user;
use crate::support::name_of;
use crate::support::oracle::nix;

for_each_user! {
    fn adding_and_deleting(world) {
        world.write("tree/file", "content\n");
        world.write("tree/sub/other", "more\n");
        let tree = world.xbuild(&["store", "add", "tree"]).succeeds();
        let flat = world.xbuild(&["store", "add", "--mode", "flat", "--name", "renamed", "tree/file"]).succeeds();
        assert_eq!([name_of(tree.line()), name_of(flat.line())], ["tree", "renamed"]);
        assert_eq!(world.read(&format!("{}/sub/other", tree.line())), "more\n");
        let stock = world.root().join("stock");
        let path = world.path("tree");
        assert_eq!(nix("nix-store", &stock, &["--add", path.to_str().unwrap()]).succeeds().stdout, tree.stdout);
        let ours = world.xbuild(&["path-info", "--json", tree.line()]).succeeds().json();
        let theirs = nix("nix", &stock, &["path-info", "--json", "--json-format", "1", tree.line()]).succeeds().json();
        for key in ["narHash", "narSize", "ca", "references"] {
            assert_eq!(ours[tree.line()][key], theirs[tree.line()][key], "{key}");
        }
        let sizes = world.xbuild(&["path-info", "-s", "-S", tree.line()]).succeeds();
        let size = ours[tree.line()]["narSize"].to_string();
        assert_eq!(sizes.line().split_whitespace().collect::<Vec<_>>(), [tree.line(), &size, &size]);

        world.xbuild(&["store", "delete", tree.line()]).succeeds();
        assert!(!world.is_valid(tree.line()) && !world.physical(tree.line()).exists());
        world.xbuild(&["store", "add", "nowhere"]).fails(1).says(&["nowhere"]);
        world.xbuild(&["store", "delete", "tree"]).fails(1).says(&["not a store path"]);
    }

    /// All ways to add, and to print where something would be, beside stock Nix. An executable file stays one.
    fn ways_of_adding(world) {
        world.write("tree/file", "content\n");
        world.write("script", "#!/bin/sh\n");
        fs::set_permissions(world.path("script"), fs::Permissions::from_mode(0o755)).unwrap();
        std::os::unix::fs::symlink("script", world.path("link")).unwrap();
        let stock = world.root().join("stock");
        for mode in ["nar", "flat", "text"] {
            for algo in ["sha256", "md5"] {
                for (file, fits) in [("tree", mode == "nar"), ("script", true), ("tree/file", true), ("link", mode == "nar")] {
                    let options = ["store", "add", "--mode", mode, "--hash-algo", algo];
                    let path = world.path(file);
                    let [adding, asking] = [&[][..], &["--dry-run"]].map(|dry_run| {
                        world.xbuild(&[&options, dry_run, &[path.to_str().unwrap()]].concat())
                    });
                    if !fits {
                        adding.fails(1).says(&["is for one regular file"]);
                        asking.fails(1).says(&["is for one regular file"]);
                        continue;
                    }
                    if mode == "text" && algo != "sha256" {
                        // Where stock Nix aborts.
                        adding.fails(1).says(&["must be hashed with sha256, not ", algo]);
                        asking.fails(1).says(&["must be hashed with sha256, not ", algo]);
                        continue;
                    }
                    let theirs = nix("nix", &stock, &[&options[..], &[path.to_str().unwrap()]].concat()).succeeds();
                    assert_eq!((&adding.stdout, &asking.stdout), (&theirs.stdout, &theirs.stdout), "{mode} {algo} {file}");
                }
            }
        }
        for version in ["1", "2"] {
            let options = ["path-info", "--json", "--json-format", version, "-S", "--all"];
            let (mut ours, mut theirs) = (world.xbuild(&options).succeeds().json(), nix("nix", &stock, &options).succeeds().json());
            let of = |all: &mut serde_json::Value| {
                let paths = if version == "2" { &mut all["info"] } else { &mut *all };
                assert_eq!(paths.as_object().unwrap().len(), 14);
                for info in paths.as_object_mut().unwrap().values_mut() {
                    info.as_object_mut().unwrap().remove("registrationTime");
                }
            };
            of(&mut ours);
            of(&mut theirs);
            assert_eq!(ours, theirs);
        }
        for options in [&["-s", "-S"][..], &["-sSh"], &["-h"], &["--sigs"], &["--sigs", "-rsh"]] {
            let options = [&["path-info", "--all"], options].concat();
            assert_eq!(world.xbuild(&options).succeeds().stdout, nix("nix", &stock, &options).succeeds().stdout, "{options:?}");
        }
        world.xbuild(&["path-info", "--all", "tree"]).fails(2);
        world.xbuild(&["path-info", "--help"]).succeeds();

        let nothing = world.with_store(&world.root().join("nothing"));
        nothing.xbuild(&["store", "add", "--dry-run", "tree"]).succeeds();
        assert_eq!(nothing.valid_paths(), Vec::<String>::new());
        world.xbuild(&["store", "add", "--mode", "text", "--name", "a b", "script"]).fails(1).says(&["' '"]);
        world.xbuild(&["store", "add", "--mode", "text", "--name", "no.drv", "script"]).fails(1).says(&["no.drv"]);
    }

    fn what_is_used_is_not_deleted(world) {
        world.write(
            "default.nix",
            r#"let run = import ./run.nix; dep = run "dep" "echo >$out" { }; in { top = run "top" "echo ${dep} >$out" { }; loose = run "loose" "echo >$out" { }; inherit dep; }"#,
        );
        let top = world.xbuild(&["realise", ".#top"]).succeeds();
        let loose = world.xbuild(&["realise", "--no-out-link", ".#loose"]).succeeds();
        let dep = world.xbuild(&["realise", "--no-out-link", ".#dep"]).succeeds();
        world.xbuild(&["store", "delete", dep.line()]).fails(1).says(&[dep.line()]);
        assert!(world.is_valid(dep.line()));
        let collected = world.xbuild(&["store", "gc"]).succeeds();
        assert!(collected.lines().contains(&loose.line()), "{}", collected.report());
        assert!(world.is_valid(top.line()) && world.is_valid(dep.line()) && !world.is_valid(loose.line()));
        fs::remove_file(world.path("result")).unwrap();
        world.xbuild(&["store", "gc"]).succeeds();
        assert_eq!(world.valid_paths(), Vec::<String>::new());
    }

    /// Nix reads no more than 64 levels of directories, so no store path has more.
    fn deep_trees(world) {
        world.write(
            "default.nix",
            r#"{ levels }: import ./run.nix "deep-${levels}" "mkdir $out; cd $out; for i in $(seq ${levels}); do mkdir d; cd d; done" { }"#,
        );
        let stock = world.root().join("stock");
        for (levels, fits) in [(63, true), (64, false), (200, false)] {
            let directory = world.mkdir(&format!("deep-{levels}{}", "/d".repeat(levels)));
            let name = format!("deep-{levels}");
            let ours = world.xbuild(&["store", "add", &name]);
            let theirs = nix("nix-store", &stock, &["--add", world.path(&name).to_str().unwrap()]);
            assert_eq!((ours.code == 0, theirs.code == 0), (fits, fits), "{levels} {}", directory.display());
            assert_eq!(ours.stdout, theirs.stdout);
            let built = world.xbuild(&["realise", "--no-out-link", ".", "--argstr", "levels", &levels.to_string()]);
            if fits {
                built.succeeds();
            } else {
                built.fails(100).says(&["nested too deeply", "64 levels"]);
                ours.fails(1).says(&["nested too deeply", "64 levels"]);
            }
        }
        nix("nix-store", world.store(), &["--verify", "--check-contents"]).succeeds().does_not_say(&["error"]);
    }

    /// What was changed behind the store's back is found.
    fn verifying(world) {
        world.write("default.nix", r#"import ./run.nix "made" "mkdir $out; echo content >$out/file" { }"#);
        let built = world.xbuild(&["realise", "."]).succeeds();
        world.xbuild(&["store", "verify", "--check-contents"]).succeeds().says(&["all sound"]);
        let file = world.physical(built.line()).join("file");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
        fs::write(&file, "Content\n").unwrap();
        world.xbuild(&["store", "verify", "--check-contents"]).fails(1).says(&[built.line()]);
    }

    fn a_store_in_a_path_with_blanks(world) {
        let world = world.with_store(&world.mkdir("a store, with  blanks & 'quotes'").join("ö"));
        world.write("default.nix", r#"let run = import ./run.nix; in run "top" "cat ${run "dep" "echo content >$out" { }} >$out" { }"#);
        let built = world.xbuild(&["realise", "-o", "a result", "."]).succeeds();
        assert_eq!(world.read(built.line()), "content\n");
        assert_eq!(world.xbuild(&["path-info", "a result"]).succeeds().line(), built.line());
        world.xbuild(&["realise", "--rebuild", "--no-out-link", "a result", "."]).succeeds();
        world.xbuild(&["store", "verify", "--check-contents"]).succeeds();
        world.xbuild(&["store", "gc"]).succeeds();
        assert!(world.is_valid(built.line()));
    }

    /// A full disk stops a build or an addition with a reason, harms nothing, and does not hinder the collector. The disk is
    /// one in memory that only this test sees.
    fn a_full_disk(world) {
        world.write(
            "default.nix",
            r#"{ script ? "echo small >$out", name ? "small" }: import ./run.nix name script { }"#,
        );
        std::fs::write(world.write("big", ""), vec![0; 20 << 20]).unwrap();
        let ran = world.shell(r#"mkdir disk
exec unshare --map-root-user --mount sh -uc '
mount -t tmpfs -o size=24M none disk
export XBUILD_STORE=$PWD/disk/store
exec 2>&1
step() { echo "== $1"; shift; "$@"; echo "code $?"; }
step small $xbuild realise -o small .
step too-big $xbuild realise --argstr name big --argstr script "dd if=/dev/zero of=\$out bs=1M count=20" .
step add $xbuild store add big
step verify $xbuild store verify --check-contents
cat /dev/zero >disk/filler 2>/dev/null
step full $xbuild realise --argstr name other .
step gc $xbuild store gc
rm disk/filler
step verify-again $xbuild store verify --check-contents
step again $xbuild realise -o small .
'"#).succeeds();
        let steps: std::collections::BTreeMap<&str, &str> =
            ran.stdout.split("== ").filter_map(|step| step.split_once('\n')).collect();
        let expect = |step: &str, code: i32, texts: &[&str]| {
            let said = steps.get(step).unwrap_or_else(|| panic!("no step {step}\n{}", ran.report()));
            assert!(said.ends_with(&format!("code {code}\n")), "{step}\n{}", ran.report());
            for text in texts {
                assert!(said.contains(text), "{step} does not say `{text}`\n{}", ran.report());
            }
            assert!(!said.contains("panicked"), "{}", ran.report());
        };
        expect("small", 0, &["-small\n"]);
        expect("too-big", 1, &["No space left on device"]);
        expect("add", 1, &["No space left on device", "free some space", "xbuild store gc"]);
        expect("verify", 0, &["all sound"]);
        expect("full", 1, &["disk"]);
        expect("gc", 0, &["deleted"]);
        expect("verify-again", 0, &["all sound"]);
        expect("again", 0, &["-small\n"]);
    }

    /// A disk on which 8 MiB cannot be set aside: there, too, the collector has its room. Without any, the reason is said, and what
    /// to do. What was left unfinished is deleted first, which makes room for the rest.
    fn a_small_full_disk(world) {
        world.write("default.nix", r#"import ./run.nix "small" "echo small >$out" { }"#);
        let ran = world.shell(r#"mkdir disk
exec unshare --map-root-user --mount sh -uc '
mount -t tmpfs -o size=6M none disk
export XBUILD_STORE=$PWD/disk/store
exec 2>&1
step() { echo "== $1"; shift; "$@"; echo "code $?"; }
fill() { cat /dev/zero >disk/filler 2>/dev/null; }
step small $xbuild realise --no-out-link .
fill
step gc $xbuild store gc
step nothing-left sh -c "ls disk/store/nix/store/*-small"
rm disk/filler
step again $xbuild realise --no-out-link .
rm disk/store/nix/var/nix/db/reserved
fill
step full $xbuild store gc
step add $xbuild store add run.nix
step look $xbuild store verify
rm disk/filler
head -c 1000000 /dev/zero >disk/store/nix/store/tmp-left-behind
step leftover $xbuild store gc --max-freed 1
'"#).succeeds();
        let step = |name: &str, code: i32, texts: &[&str]| {
            let said = ran.stdout.split("== ").find(|step| step.starts_with(&format!("{name}\n")));
            let said = said.unwrap_or_else(|| panic!("no step {name}\n{}", ran.report()));
            assert!(said.ends_with(&format!("code {code}\n")), "{name}\n{}", ran.report());
            for text in texts {
                assert!(said.contains(text), "{name} does not say `{text}`\n{}", ran.report());
            }
        };
        step("small", 0, &["-small\n"]);
        step("gc", 0, &["deleted"]);
        step("nothing-left", 2, &[]);
        step("again", 0, &["-small\n"]);
        step("full", 1, &["free some space", "hint: a deletion, too, needs some room", "disk/store/nix/var/log/nix/drvs"]);
        step("add", 1, &["free some space"]);
        step("look", 0, &["all sound"]);
        step("leftover", 0, &["0 store paths and 1 unfinished leftover deleted"]);
    }

    /// A store on a medium that cannot be written: what it has can be used, and all else says why it cannot be.
    fn a_read_only_disk(world) {
        world.write("default.nix", r#"let run = import ./run.nix; in { small = run "small" "echo small >$out" { }; other = run "other" "echo >$out" { }; }"#);
        let ran = world.shell(r#"mkdir disk
exec unshare --map-root-user --mount sh -uc '
mount -t tmpfs -o size=60M none disk
export XBUILD_STORE=$PWD/disk/store
exec 2>&1
step() { echo "== $1"; shift; "$@"; echo "code $?"; }
small=$($xbuild realise --no-out-link .#small 2>/dev/null)
mount -o remount,bind,ro disk
step built $xbuild realise --no-out-link .#small
step planned $xbuild realise --dry-run .#small
step evaluated $xbuild eval --raw .#small.outPath
step new-name $xbuild eval --raw .#other.outPath
step read $xbuild store cat $small
step sound $xbuild store verify --check-contents
step info $xbuild path-info -r $small
step build $xbuild realise --no-out-link .#other
step link $xbuild realise .#small
step add $xbuild store add default.nix
step gc $xbuild store gc
'"#).succeeds();
        let step = |name: &str, code: i32, texts: &[&str]| {
            let said = ran.stdout.split("== ").find(|step| step.starts_with(&format!("{name}\n")));
            let said = said.unwrap_or_else(|| panic!("no step {name}\n{}", ran.report()));
            assert!(said.ends_with(&format!("code {code}\n")), "{name}\n{}", ran.report());
            for text in texts {
                assert!(said.contains(text), "{name} does not say `{text}`\n{}", ran.report());
            }
        };
        for (name, text) in [
            ("built", "-small\n"),
            ("planned", ""),
            ("evaluated", "-small"),
            ("new-name", "-other"),
            ("read", "small\n"),
            ("sound", "all sound"),
            ("info", "-small\n"),
        ] {
            step(name, 0, &[text]);
        }
        for name in ["build", "link", "add", "gc"] {
            step(name, 1, &["is opened read-only", "mounted read-only: remount it, or use another store"]);
        }
        step("link", 1, &["--no-out-link"]);
    }

    /// A limit of the size of files is an error that names the file, and not the end without a word.
    fn a_limit_of_the_size_of_files(world) {
        std::fs::write(world.write("big", ""), vec![0; 1 << 20]).unwrap();
        world.xbuild(&["store", "ping"]).succeeds();
        world.shell("ulimit -f 1000; $xbuild store add big").fails(1).says(&["File too large", "ulimit -f"]);
        world.xbuild(&["store", "add", "big"]).succeeds();
    }

    /// `--store`, and the default place in the user's data directory.
    fn where_the_store_is(world) {
        world.write("default.nix", r#"import ./run.nix "made" "echo >$out" { }"#);
        let named = world.root().join("work/named");
        let built = world.xbuild(&["--store", named.to_str().unwrap(), "realise", "."]).succeeds();
        assert!(named.join(&built.line()[1..]).is_file());
        assert!(!world.store().exists());
        let mut command = world.command(&["realise", "--no-out-link", "."]);
        command.env_remove("XBUILD_STORE");
        assert!(command.output().unwrap().status.success());
        let home = world.root().join("home/.local/share/xbuild/store");
        assert!(home.join(&built.line()[1..]).is_file());
        let mut command = world.command(&["realise", "."]);
        command.env_remove("XBUILD_STORE").env_remove("HOME");
        let refused = crate::support::ran::Ran::new("xbuild realise, without HOME".to_owned(), &command.output().unwrap());
        refused.fails(1).says(&["--store DIR"]);
    }

    fn a_store_that_cannot_be_written(world) {
        world.write("default.nix", r#"import ./run.nix "made" "echo >$out" { }"#);
        let file = world.write("file", "");
        let below_file = file.join("store");
        world.with_store(&below_file).xbuild(&["realise", "."]).fails(1).says(&[below_file.to_str().unwrap()]);
        let closed = world.mkdir("closed");
        fs::set_permissions(&closed, fs::Permissions::from_mode(0o555)).unwrap();
        // Root is not held up by a mode.
        let in_closed = world.with_store(&closed.join("store")).xbuild(&["realise", "--no-out-link", "."]);
        if in_closed.code != 0 {
            in_closed.fails(1).says(&[closed.to_str().unwrap(), "ermission denied"]);
        }
        fs::set_permissions(&closed, fs::Permissions::from_mode(0o755)).unwrap();
    }
}
