//! The command line, as its users meet it: small derivations, built by busybox's shell, through the real program. Each test
//! runs for who runs the tests and, if that is root, for an ordinary user as well.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the report")]

mod building;
mod concurrency;
mod content_addressed;
mod crashes;
mod eval_jobs;
mod evaluating;
mod evaluation_errors;
mod failures;
mod interactive;
mod machines;
mod sandbox;
mod scheduling;
mod several_users;
mod store_commands;
mod storing;
#[path = "../support/mod.rs"]
mod support;

use support::world::World;

/// Makes two tests of each function of a [`World`]: `NAME::as_the_caller` and `NAME::as_an_ordinary_user`.
macro_rules! for_each_user {
    ($($(#[$doc:meta])* fn $name:ident($world:ident) $body:block)*) => { $(
        $(#[$doc])*
        mod $name {
            #[allow(unused_imports, reason = "not every test needs everything")]
            use super::*;
            use crate::support::world::{Who, World, is_root};

            fn test($world: &World) $body

            fn place(who: Who) -> World {
                let world = World::new(&format!("command-line/{}", stringify!($name)), who);
                crate::prepare(&world);
                world
            }

            #[test]
            fn as_the_caller() {
                test(&place(Who::Caller));
            }

            #[test]
            fn as_an_ordinary_user() {
                // Who is no root is an ordinary user: the other test is this one.
                if is_root() {
                    test(&place(Who::Ordinary));
                }
            }
        }
    )* };
}
use for_each_user;

/// Puts into the working directory what the expressions below start from: `run NAME SCRIPT ATTRIBUTES`, a derivation whose
/// builder is busybox's shell.
fn prepare(world: &World) {
    world.tool("busybox", "tools/busybox");
    world.write(
        "run.nix",
        r#"name: script: attributes: derivation ({
  inherit name;
  system = "x86_64-linux";
  builder = "${./tools}/busybox";
  args = [ "sh" "-euc" script ];
} // attributes)
"#,
    );
}

/// `--option sandbox-paths /shared=DIR` for a directory that builds and the test share: they agree through fifos and files in
/// it what happens when, with no clock.
fn shared(world: &World) -> (std::path::PathBuf, Vec<String>) {
    use std::os::unix::fs::PermissionsExt as _;
    let directory = world.mkdir("shared");
    std::fs::set_permissions(&directory, std::fs::Permissions::from_mode(0o777))
        .expect("open the shared directory");
    let option = format!("/shared={}", directory.display());
    (
        directory,
        ["--option", "sandbox-paths", &option]
            .map(str::to_owned)
            .to_vec(),
    )
}
