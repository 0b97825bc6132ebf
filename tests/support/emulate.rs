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

/// An AArch64 program that writes the first five bytes of its `argv[0]` to the file that `argv[1]` names.
pub fn name_writer() -> Vec<u8> {
    const CODE: [u32; 13] = [
        0x9280_0c60, // mov x0, #-100 (AT_FDCWD)
        0xf940_0be1, // ldr x1, [sp, #16]
        0xd280_0822, // mov x2, #65 (O_CREAT | O_WRONLY)
        0xd280_3483, // mov x3, #0644
        0xd280_0708, // mov x8, #56 (openat)
        0xd400_0001, // svc #0
        0xf940_07e1, // ldr x1, [sp, #8]
        0xd280_00a2, // mov x2, #5
        0xd280_0808, // mov x8, #64 (write)
        0xd400_0001, // svc #0
        0xd280_0000, // mov x0, #0
        0xd280_0ba8, // mov x8, #93 (exit)
        0xd400_0001, // svc #0
    ];
    const BASE: u64 = 0x40_0000;
    const HEADERS: u64 = 64 + 56;
    let length = HEADERS + 4 * CODE.len() as u64;
    let mut elf = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    let put16 = |words: &[u16]| {
        words
            .iter()
            .flat_map(|word| word.to_le_bytes())
            .collect::<Vec<u8>>()
    };
    let put64 = |words: &[u64]| {
        words
            .iter()
            .flat_map(|word| word.to_le_bytes())
            .collect::<Vec<u8>>()
    };
    elf.extend(put16(&[2, 183, 1, 0])); // executable, AArch64, version
    elf.extend(put64(&[BASE + HEADERS, 64, 0])); // entry, program headers, section headers
    elf.extend(put16(&[0, 0, 64, 56, 1, 0, 0, 0]));
    elf.extend(put16(&[1, 0, 5, 0])); // PT_LOAD, readable and executable
    elf.extend(put64(&[0, BASE, BASE, length, length, 0x1000]));
    elf.extend(CODE.iter().flat_map(|word| word.to_le_bytes()));
    elf
}
