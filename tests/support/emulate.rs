//! Programs for AArch64, run by an emulator in a sandbox.

use super::world::World;

/// Puts what [`run`] needs into the working directory.
pub fn tools(world: &World) {
    world.tool("busybox", "tools/busybox");
    world.tool("qemu", "tools/qemu");
}

/// What `script` prints, run by busybox's shell in a sandbox that holds the closures of what it names and nothing else:
/// `${pkgs.NAME}` of the set that the expression `packages` gives, and `$emulator` for qemu. So a program runs with what its
/// closure has, or not at all.
pub fn run(world: &World, packages: &str, name: &str, script: &str) -> String {
    let expression = format!(
        r#"let pkgs = {packages};
in derivation {{
  name = "{name}";
  system = "x86_64-linux";
  builder = "${{./tools}}/busybox";
  args = [ "sh" "-euc" ''
    emulator=${{./tools}}/qemu
    run() {{ {script}
    }}
    run >$out
  '' ];
}}
"#
    );
    world.write(&format!("{name}.nix"), expression);
    let ran = world
        .xbuild(&["realise", "--no-out-link", &format!("./{name}.nix")])
        .succeeds();
    world.read(ran.line())
}
