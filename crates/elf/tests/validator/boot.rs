//! Device trees, kernels and EFI programs, right and wrong.

use std::io::Write as _;

use crate::make::{Closure, Elf, device_tree, findings_of, kernel, lines_of, pe};
use insta::assert_snapshot;
use xbuild_elf::{Exceptions, Target};

const NX: &str = "nvidia,p3768-0000+p3767-0000";

/// The findings of a file of an output for the board NX.
fn for_board(name: &str, content: impl AsRef<[u8]>) -> String {
    let target = Target::by_name("cortex-a78ae").unwrap();
    let target = target.with_compatible(&format!("{NX} nvidia,other"));
    let closure = Closure::new().file("p", name, content);
    lines_of(&closure.check_for("p", &target, &Exceptions::default()))
}

/// A device tree with a field of its header changed.
fn with_field(at: usize, value: u32) -> Vec<u8> {
    let mut tree = device_tree(&[NX]);
    tree[at..at + 4].copy_from_slice(&value.to_be_bytes());
    tree
}

/// A device tree whose word `index` of the structure block is changed. The words are: 0 and 1 the root, 2 to 4 the head of its
/// property, from 14 on the child.
fn with_word(index: usize, value: u32) -> Vec<u8> {
    with_field(56 + 4 * index, value)
}

#[test]
fn device_trees_of_the_board() {
    assert_snapshot!(for_board("a.dtb", device_tree(&[NX, "nvidia,tegra234"])), @"");
    assert_snapshot!(for_board("a.dtb", device_tree(&["x,y", "nvidia,other"])), @"");
    assert_snapshot!(for_board("a.dtb", device_tree(&["fsl,imx8mp-evk", "fsl,imx8mp"])), @"/nix/store/p/a.dtb: the device tree is for fsl,imx8mp-evk, fsl,imx8mp (`compatible` of its root), expected nvidia,p3768-0000+p3767-0000 or nvidia,other [device-tree-board]");
    assert_snapshot!(for_board("a.dtb", device_tree(&[])), @"/nix/store/p/a.dtb: the device tree's root has no `compatible`, expected nvidia,p3768-0000+p3767-0000 or nvidia,other [device-tree-board]");
    // Any board, and an overlay.
    assert_snapshot!(findings_of("a.dtb", device_tree(&["fsl,imx8mp-evk"])), @"");
    assert_snapshot!(for_board("a.dtbo", device_tree(&["fsl,imx8mp-evk"])), @"");
}

#[test]
fn device_trees_that_are_none() {
    assert_snapshot!(findings_of("a.dtb", "/dts-v1/; / { compatible = \"x\"; chosen { }; memory { }; };"), @"/nix/store/p/a.dtb: the file is called a device tree, but does not start with its magic d00dfeed [device-tree]");
    assert_snapshot!(findings_of("a.dtb", ""), @"/nix/store/p/a.dtb: the device tree is cut short before the end of its header (40 bytes) [device-tree]");
    let whole = device_tree(&[NX]);
    assert_snapshot!(findings_of("a.dtb", &whole[..whole.len() - 1]), @"/nix/store/p/a.dtb: the device tree has 179 bytes by its header, but the file has 178 [device-tree]");
    for end in 0..whole.len() {
        assert_ne!(findings_of("a.dtb", &whole[..end]), "", "cut at {end}");
    }
    assert_snapshot!(findings_of("a.dtb", vec![0; (2 << 20) + 1]), @"/nix/store/p/a.dtb: the device tree has 2097153 bytes; a kernel takes 2097152 at most [device-tree]");
}

#[test]
fn headers_of_device_trees() {
    assert_snapshot!(findings_of("a.dtb", with_field(20, 16)), @"/nix/store/p/a.dtb: the device tree's format is version 16, compatible with 16; expected 17, compatible with 16 [device-tree]");
    assert_snapshot!(findings_of("a.dtb", with_field(8, 58)), @"/nix/store/p/a.dtb: the structure block starts at byte 58, which is not a multiple of 4 [device-tree]");
    assert_snapshot!(findings_of("a.dtb", with_field(36, u32::MAX)), @"/nix/store/p/a.dtb: the structure block lies outside the device tree [device-tree]");
    assert_snapshot!(findings_of("a.dtb", with_field(12, 0)), @"/nix/store/p/a.dtb: the strings block lies outside the device tree [device-tree]");
    assert_snapshot!(findings_of("a.dtb", with_field(16, 96)), @"/nix/store/p/a.dtb: the memory reservation block has no end [device-tree]");
    // A file with the magic and another name is a FIT image: what its header says must be there.
    assert_snapshot!(findings_of("a.itb", with_field(4, 4000)), @"/nix/store/p/a.itb: the device tree has 4000 bytes by its header, but the file has 179 [device-tree]");
    assert_snapshot!(findings_of("a.itb", [device_tree(&[]), vec![1; 5000]].concat()), @"");
}

#[test]
fn structures_of_device_trees() {
    let broken = |index, value| findings_of("a.dtb", with_word(index, value));
    assert_snapshot!(broken(0, 9), @"/nix/store/p/a.dtb: the structure ends at byte 0, inside a node [device-tree]");
    assert_snapshot!(broken(0, 2), @"/nix/store/p/a.dtb: a node ends at byte 0 that never began [device-tree]");
    assert_snapshot!(broken(0, 3), @"/nix/store/p/a.dtb: the property at byte 0 is in no node [device-tree]");
    assert_snapshot!(broken(0, 7), @"/nix/store/p/a.dtb: the token at byte 0 is 7, which is none [device-tree]");
    assert_snapshot!(broken(1, u32::from_be_bytes(*b"abc\0")), @"/nix/store/p/a.dtb: the root node has a name [device-tree]");
    assert_snapshot!(broken(3, 1 << 31), @"/nix/store/p/a.dtb: the device tree is cut short before the end of its structure block [device-tree]");
    assert_snapshot!(broken(4, 100), @"/nix/store/p/a.dtb: the property at byte 8 has no name in the strings [device-tree]");
    assert_snapshot!(broken(5, u32::from_be_bytes(*b"a\nbc")), @"/nix/store/p/a.dtb: the root's `compatible` is no list of strings [device-tree]");
    // The child's property becomes an end, and what was its size a property after the child.
    let words = device_tree(&[NX]);
    let child = (words.len() - 15 - 56) / 4 - 8;
    assert_snapshot!(broken(child, 2), @"/nix/store/p/a.dtb: the token at byte 80 is 8, which is none [device-tree]");
    assert_snapshot!(broken(child + 5, 4), @"/nix/store/p/a.dtb: the structure ends at byte 104, inside a node [device-tree]");
    assert_snapshot!(broken(child + 7, 4), @"/nix/store/p/a.dtb: the device tree is cut short before the end of its structure block [device-tree]");
    assert_snapshot!(broken(child + 7, 1), @"/nix/store/p/a.dtb: there is more after the root node, at byte 104 [device-tree]");
}

#[test]
fn kernels() {
    let packed = |content: &[u8]| {
        let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        writer.write_all(content).unwrap();
        writer.finish().unwrap()
    };
    for name in ["Image", "vmlinuz", "vmlinuz-6.12", "another"] {
        assert_eq!(findings_of(name, kernel(0b1010)), "", "{name}");
    }
    assert_eq!(findings_of("Image.gz", packed(&kernel(0))), "");
    assert_snapshot!(findings_of("Image", kernel(1)), @"/nix/store/p/Image: the kernel is big-endian, expected little-endian [kernel-image]");
    assert_snapshot!(findings_of("another", kernel(1)), @"/nix/store/p/another: the kernel is big-endian, expected little-endian [kernel-image]");
    assert_snapshot!(findings_of("Image.gz", packed(&kernel(1))), @"/nix/store/p/Image.gz: in the gzip stream: the kernel is big-endian, expected little-endian [kernel-image]");
    assert_snapshot!(findings_of("Image", &kernel(0)[..63]), @"/nix/store/p/Image: the kernel image is cut short before the end of its header (64 bytes) [kernel-image]");
    assert_snapshot!(findings_of("Image", Elf::default().bytes()), @r"/nix/store/p/Image: the file is called as kernels are, but has no header of a kernel (`ARM\x64` at byte 56), expected an arm64 Image [kernel-image]");
    let marked = |at: usize, mark: &[u8]| {
        let mut file = vec![0; 4096];
        file[at..at + 4].copy_from_slice(mark);
        file
    };
    assert_snapshot!(findings_of("vmlinuz", marked(0x202, b"HdrS")), @"/nix/store/p/vmlinuz: the kernel is for x86, expected an arm64 Image [kernel-image]");
    assert_snapshot!(findings_of("Image", marked(0x38, b"RSC\x05")), @"/nix/store/p/Image: the kernel is for RISC-V, expected an arm64 Image [kernel-image]");
    assert_snapshot!(findings_of("vmlinuz", marked(0x24, &0x016f_2818u32.to_le_bytes())), @"/nix/store/p/vmlinuz: the kernel is for Arm (32-bit), expected an arm64 Image [kernel-image]");
    let mut old = kernel(0);
    old[16..24].fill(0);
    assert_snapshot!(findings_of("Image", old), @"/nix/store/p/Image: the kernel's header does not say how much memory it takes (`image_size` is 0) [kernel-image]");
}

#[test]
fn efi_programs() {
    let unified = |linux, tree: &[&str]| {
        pe(
            0xaa64,
            &[
                (".osrel", b"ID=xbuild".to_vec()),
                (".linux", linux),
                (".dtb", device_tree(tree)),
            ],
        )
    };
    assert_snapshot!(for_board("BOOTAA64.EFI", unified(kernel(0), &[NX])), @"");
    assert_snapshot!(for_board("a.efi", unified(kernel(0), &["fsl,imx8mp"])), @"/nix/store/p/a.efi: section .dtb: the device tree is for fsl,imx8mp (`compatible` of its root), expected nvidia,p3768-0000+p3767-0000 or nvidia,other [device-tree-board]");
    assert_snapshot!(for_board("a.efi", unified(kernel(1), &[NX])), @"/nix/store/p/a.efi: section .linux: the kernel is big-endian, expected little-endian [kernel-image]");
    assert_snapshot!(findings_of("a.efi", pe(0x8664, &[])), @"/nix/store/p/a.efi: this is a PE file for x86-64, expected AArch64 [foreign-executable]");
    assert_snapshot!(findings_of("a.efi", "text"), @"/nix/store/p/a.efi: the file is called an EFI program, but is no PE file [pe-malformed]");
    assert_snapshot!(findings_of("a.efi", ["MZ", &" ".repeat(100)].concat()), @"/nix/store/p/a.efi: the file is cut short before the end of the PE header [pe-malformed]");
    assert_snapshot!(findings_of("a.exe", ["MZ", &" ".repeat(100)].concat()), @"");
    let whole = unified(kernel(0), &[NX]);
    assert_snapshot!(findings_of("a.exe", &whole[..whole.len() - 1]), @"/nix/store/p/a.exe: the section .dtb spans bytes 4480 to 4672, but the file has 4671 bytes [pe-malformed]");
    for end in 0..whole.len() {
        assert_ne!(findings_of("a.efi", &whole[..end]), "", "cut at {end}");
    }
    let mut console = whole.clone();
    console[0x58 + 68] = 3;
    assert_snapshot!(findings_of("a.efi", console), @"/nix/store/p/a.efi: the subsystem is 3, expected one of EFI (10 to 13) [pe-malformed]");
    let mut narrow = whole;
    narrow[0x59] = 1;
    assert_snapshot!(findings_of("a.efi", narrow), @"/nix/store/p/a.efi: the optional header's magic is 0x10b, expected 0x20b (64-bit) [pe-malformed]");
}
