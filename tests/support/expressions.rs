//! The repository's expressions, copied to where a test works: evaluation sees nothing else of the checkout.

use std::fs;
use std::path::Path;

use super::repository;
use super::world::World;

/// What evaluation reads.
pub const EXPRESSIONS: &[&str] = &[
    "default.nix",
    "targets.nix",
    "boards",
    "examples",
    "image",
    "modules",
    "pkgs",
    "sysroots",
    "toolchains",
    "vm",
];

/// Copies the expressions into the working directory.
pub fn copy(world: &World) {
    for name in EXPRESSIONS {
        copy_tree(world, &repository().join(name), name);
    }
}

fn copy_tree(world: &World, from: &Path, name: &str) {
    if from.is_dir() {
        for entry in fs::read_dir(from).expect("list the expressions") {
            let entry = entry.expect("list the expressions");
            let file_name = entry.file_name();
            let inner = file_name.to_str().expect("UTF-8");
            copy_tree(world, &entry.path(), &format!("{name}/{inner}"));
        }
    } else {
        let mode = fs::metadata(from)
            .expect("look at an expression")
            .permissions();
        let to = world.write(name, fs::read(from).expect("read an expression"));
        fs::set_permissions(to, mode).expect("copy a mode");
    }
}
