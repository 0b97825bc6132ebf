//! Kernel images: the header of an arm64 `Image` (Linux, `Documentation/arch/arm64/booting.rst`, "Call the kernel image").

use std::io::Read as _;

/// The magic of an arm64 `Image`, and where it stands.
const MAGIC: &[u8] = b"ARM\x64";
const MAGIC_AT: usize = 56;
/// The bytes of the header.
const HEADER: usize = 64;
/// How many bytes [`check`] wants to see, to tell what else the file is.
pub(crate) const HEAD: u64 = 4096;
/// Bit of the flags: the kernel is big-endian.
const BIG_ENDIAN: u64 = 1;

/// Whether a file is called as kernels are.
pub(crate) fn is_named(name: &str) -> bool {
    matches!(name, "Image" | "Image.gz" | "vmlinuz") || name.starts_with("vmlinuz-")
}

/// Whether the file that starts with `head` is an arm64 `Image`, whatever it is called.
pub(crate) fn is_image(head: &[u8]) -> bool {
    head.get(MAGIC_AT..HEADER - 4) == Some(MAGIC)
}

/// Checks the start of a kernel: an `Image`, one that gzip packed, or an EFI program that unpacks one itself (whose machine
/// is checked as that of every EFI program).
pub(crate) fn check(head: &[u8]) -> Option<String> {
    if head.starts_with(b"\x1f\x8b") {
        let mut unpacked = Vec::with_capacity(HEADER);
        // A damaged stream shows in what came out before.
        let _ = flate2::read::GzDecoder::new(head)
            .take(HEADER as u64)
            .read_to_end(&mut unpacked);
        return check_image(&unpacked).map(|why| format!("in the gzip stream: {why}"));
    }
    if head.starts_with(b"MZ") && head.get(4..8) == Some(b"zimg") {
        return None;
    }
    check_image(head)
}

fn check_image(head: &[u8]) -> Option<String> {
    if head.len() < HEADER {
        return Some(format!(
            "the kernel image is cut short before the end of its header ({HEADER} bytes)"
        ));
    }
    if !is_image(head) {
        let other = if head.get(0x202..0x206) == Some(b"HdrS") {
            "the kernel is for x86"
        } else if head.get(0x24..0x28) == Some(&0x016f_2818_u32.to_le_bytes()) {
            "the kernel is for Arm (32-bit)"
        } else if head.get(0x38..0x3c) == Some(b"RSC\x05") {
            "the kernel is for RISC-V"
        } else {
            "the file is called as kernels are, but has no header of a kernel (`ARM\\x64` at byte 56)"
        };
        return Some(format!("{other}, expected an arm64 Image"));
    }
    let field = |at: usize| {
        let bytes = head.get(at..at + 8)?.try_into().ok()?;
        Some(u64::from_le_bytes(bytes))
    };
    let (size, flags) = (field(16)?, field(24)?);
    if flags & BIG_ENDIAN != 0 {
        return Some("the kernel is big-endian, expected little-endian".to_owned());
    }
    if size == 0 {
        return Some(
            "the kernel's header does not say how much memory it takes (`image_size` is 0)"
                .to_owned(),
        );
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for name in ["Image", "Image.gz", "vmlinuz", "vmlinuz-6.12.95"] {
            assert!(is_named(name), "{name}");
        }
        for name in ["Image.py", "vmlinux", "image", "vmlinuzfoo"] {
            assert!(!is_named(name), "{name}");
        }
    }
}
