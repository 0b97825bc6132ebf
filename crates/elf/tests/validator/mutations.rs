//! Foreign bytes never panic and never run away.

use crate::make::{Closure, Elf, archive, device_tree, findings_of, kernel, lines_of, pe};
use proptest::prelude::*;
use xbuild_elf::{Exceptions, Target};

fn rich() -> Vec<u8> {
    Elf {
        interpreter: Some("/nix/store/x"),
        needed: vec!["a", "b"],
        soname: Some("s"),
        rpath: Some("/a:b"),
        requires: vec![("a", "V1", false), ("b", "V2", false)],
        provides: vec!["s", "V1", "V2"],
        ..Elf::default()
    }
    .bytes()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn mutated_elf(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12)) {
        let mut file = rich();
        for (index, byte) in changes {
            let at = index.index(file.len() - 4) + 4;
            file[at] = byte;
        }
        let _ = findings_of("f", file);
    }

    #[test]
    fn mutated_archive(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12)) {
        let mut file = archive(&[("a.o", rich()), ("b.o", rich())]);
        for (index, byte) in changes {
            let at = index.index(file.len() - 8) + 8;
            file[at] = byte;
        }
        let _ = findings_of("f.a", file);
    }

    #[test]
    fn mutated_device_tree(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6), cut in any::<prop::sample::Index>(), shorten in any::<bool>()) {
        let mut file = device_tree(&["a,b", "c,d"]);
        for (index, byte) in changes {
            let at = index.index(file.len() - 4) + 4;
            file[at] = byte;
        }
        if shorten {
            file.truncate(cut.index(file.len()));
        }
        let _ = findings_of("f.dtb", &file);
        let target = Target::by_name("aarch64-linux").unwrap().with_compatible("a,b");
        let closure = Closure::new().file("p", "f.dtb", &file);
        let _ = lines_of(&closure.check_for("p", &target, &Exceptions::default()));
    }

    #[test]
    fn noise_of_device_tree_words(words in prop::collection::vec(prop_oneof![0u32..12, any::<u32>()], 0..60)) {
        let mut file = device_tree(&["a,b"]);
        let noise: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
        let strings = file.split_off(file.len() - 15);
        let at = (file.len() + noise.len()) as u32;
        file.truncate(56);
        file.extend_from_slice(&noise);
        let size = noise.len() as u32;
        file.resize(at as usize, 0);
        file.extend_from_slice(&strings);
        for (field, value) in [(4, file.len() as u32), (12, at), (36, size)] {
            file[field..field + 4].copy_from_slice(&value.to_be_bytes());
        }
        let _ = findings_of("f.dtb", &file);
    }

    #[test]
    fn mutated_efi_program(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8), early in any::<bool>()) {
        let mut file = pe(0xaa64, &[(".linux", kernel(0)), (".dtb", device_tree(&["a,b"]))]);
        for (index, byte) in changes {
            let at = index.index(if early { 0x200 } else { file.len() - 2 }) + 2;
            file[at] = byte;
        }
        let _ = findings_of("f.efi", file);
    }

    #[test]
    fn noise_after_a_magic(magic in 0usize..7, name in 0usize..4, noise in prop::collection::vec(any::<u8>(), 0..300)) {
        let magics: [&[u8]; 7] = [b"\x7fELF\x02\x01\x01", b"!<arch>\n", b"#!", b"MZ", b"!<thin>\n", b"\xd0\x0d\xfe\xed", b"\x1f\x8b\x08\0"];
        let _ = findings_of(["f", "f.efi", "f.dtb", "vmlinuz"][name], [magics[magic], &noise].concat());
    }
}
