//! One store for several users, who share a group. Only root can become other users, so the test needs root; for others there is
//! nothing to test here: they are one user.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use crate::prepare;
use crate::support::name_of;
use crate::support::oracle::nix;
use crate::support::ran::Ran;
use crate::support::world::{Who, World, is_root};

const GROUP: u32 = 23456;
const ALICE: u32 = 23457;
const BOB: u32 = 23458;
const STRANGER: u32 = 23459;

fn as_user(world: &World, user: u32, group: u32, args: &[&str]) -> Command {
    let mut command = world.command(args);
    command
        .uid(user)
        .gid(group)
        .env("HOME", world.root().join(user.to_string()));
    command.current_dir(world.path(&user.to_string()));
    command
}

fn run(world: &World, user: u32, args: &[&str]) -> Ran {
    let mut command = as_user(world, user, GROUP, args);
    Ran::new(
        format!("user {user}: xbuild {args:?}"),
        &command.output().unwrap(),
    )
}

#[test]
fn a_group_shares_a_store() {
    if !is_root() {
        return; // one user, who is tested everywhere else
    }
    let world = World::new("command-line/several-users", Who::Ordinary);
    prepare(&world);
    let store = world.store().to_owned();
    fs::create_dir(&store).unwrap();
    chown(&store, Some(ALICE), Some(GROUP)).unwrap();
    fs::set_permissions(&store, fs::Permissions::from_mode(0o2770)).unwrap();
    for user in [ALICE, BOB, STRANGER] {
        let directory = world.mkdir(&user.to_string());
        chown(&directory, Some(user), Some(user)).unwrap();
    }
    world.write(
        "default.nix",
        r#"let run = import ./run.nix;
               dep = run "dep" "mkdir $out; seq 3000 >$out/same; echo dep >$out/own; echo made" { };
               own = run "own" "echo own >$out" { };
               many = builtins.genList (n: run "n${toString n}" "mkdir $out; echo ${toString n} >$out/file; cp ${dep}/same $out" { }) 20;
           in { inherit dep own many; top = run "top" "mkdir $out; cat ${dep}/own >$out/own; cp ${dep}/same $out/same; echo ${dep} >$out/refs" { }; }"#,
    );
    let expression = |attribute: &str| format!("{}#{attribute}", world.path("").display());
    let build = |user: u32, attribute: &str| {
        let what = expression(attribute);
        run(&world, user, &["realise", "-o", attribute, &what])
            .succeeds()
            .line()
            .to_owned()
    };
    let owner = |path: &str| fs::symlink_metadata(world.physical(path)).unwrap().uid();

    // One makes the store and builds; the other uses that, and builds more.
    let dep = build(ALICE, "dep");
    let top = build(BOB, "top");
    assert_eq!((owner(&dep), owner(&top)), (ALICE, BOB));
    assert_eq!(build(ALICE, "top"), top, "and back");
    for place in [
        "nix/store",
        "nix/var/nix/gcroots/auto",
        "nix/var/nix/temproots",
        "nix/var/xbuild",
        "nix/var/log/nix/drvs",
    ] {
        let meta = fs::metadata(store.join(place)).unwrap();
        assert_eq!(
            (meta.mode() & 0o7777, meta.gid()),
            (0o2775, GROUP),
            "{place}"
        );
    }
    nix("nix-store", &store, &["--verify", "--check-contents"])
        .succeeds()
        .does_not_say(&["error"]);

    // Both at once.
    let what = expression("many");
    let both: Vec<_> = [ALICE, BOB]
        .iter()
        .map(|&user| {
            as_user(&world, user, GROUP, &["realise", "--no-out-link", &what])
                .spawn()
                .unwrap()
        })
        .collect();
    for mut child in both {
        assert!(child.wait().unwrap().success());
    }

    // Each collects what is theirs; what the other's links need stays.
    let own = build(ALICE, "own");
    fs::remove_file(world.path(&format!("{ALICE}/own"))).unwrap();
    fs::remove_file(world.path(&format!("{BOB}/top"))).unwrap();
    let collected = run(&world, BOB, &["store", "gc"])
        .succeeds()
        .says(&["of other users"]);
    assert!(
        world_valid(&world, &own) && world_valid(&world, &top) && world_valid(&world, &dep),
        "{}",
        collected.report()
    );
    run(&world, BOB, &["store", "delete", &own])
        .fails(1)
        .says(&["belongs to user", &ALICE.to_string()]);
    let collected = run(&world, ALICE, &["store", "gc"]).succeeds();
    assert!(
        collected.lines().contains(&own.as_str()) && !world_valid(&world, &own),
        "{}",
        collected.report()
    );

    // What one left behind when they were killed is not in the other's way.
    let left = world.physical(&own);
    fs::create_dir(&left).unwrap();
    fs::write(left.join("half"), "").unwrap();
    for path in [left.join("half"), left.clone()] {
        chown(&path, Some(ALICE), Some(GROUP)).unwrap();
    }
    fs::set_permissions(&left, fs::Permissions::from_mode(0o555)).unwrap();
    assert_eq!(build(BOB, "own"), own);
    assert_eq!((name_of(&own), owner(&own)), ("own".to_owned(), BOB));
    run(&world, ALICE, &["store", "gc"]).succeeds();
    let names = fs::read_dir(store.join("nix/store"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert_eq!(names.filter(|name| name.starts_with("tmp-left")).count(), 0);

    run(&world, ALICE, &["store", "verify", "--check-contents"]).succeeds();
    run(&world, BOB, &["store", "optimise"]).succeeds();
    nix("nix-store", &store, &["--verify", "--check-contents"])
        .succeeds()
        .does_not_say(&["error"]);
    // Who is not of the group stays outside.
    let mut stranger = as_user(&world, STRANGER, STRANGER, &["path-info", &dep]);
    Ran::new("a stranger".to_owned(), &stranger.output().unwrap())
        .fails(1)
        .says(&["ermission denied"]);
}

fn world_valid(world: &World, path: &str) -> bool {
    run(world, ALICE, &["path-info", path]).code == 0
}
