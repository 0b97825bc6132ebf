//! Foreign bytes never panic and never run away.

use crate::make::{Elf, archive, findings_of};
use proptest::prelude::*;

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
    fn noise_after_a_magic(magic in 0usize..5, noise in prop::collection::vec(any::<u8>(), 0..300)) {
        let magics: [&[u8]; 5] = [b"\x7fELF\x02\x01\x01", b"!<arch>\n", b"#!", b"MZ", b"!<thin>\n"];
        let _ = findings_of("f", [magics[magic], &noise].concat());
    }
}
