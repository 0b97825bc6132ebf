//! Executables that are not ELF: PE (EFI programs, kernel images with an EFI stub) and Mach-O.

/// How many bytes of a file [`foreign`] wants to see: enough for the headers of real files.
pub(crate) const HEAD: usize = 4096;

/// `IMAGE_FILE_MACHINE_ARM64` (PE format, "Machine types").
pub(crate) const PE_ARM64: u16 = 0xaa64;

/// Why a file that starts with `head` is an executable for something else, or `None` if it is not.
pub(crate) fn foreign(head: &[u8]) -> Option<String> {
    if let [0xfe, 0xed, 0xfa, 0xce | 0xcf, ..] | [0xce | 0xcf, 0xfa, 0xed, 0xfe, ..] = head {
        return Some("this is a Mach-O file, for another operating system".to_owned());
    }
    if !head.starts_with(b"MZ") {
        return None;
    }
    let offset = u32::from_le_bytes(head.get(0x3c..0x40)?.try_into().ok()?);
    let header = head.get(usize::try_from(offset).ok()?..)?;
    let machine = header.strip_prefix(b"PE\0\0")?.get(..2)?;
    let machine = u16::from_le_bytes(machine.try_into().ok()?);
    let name = match machine {
        PE_ARM64 => return None,
        0x014c => "x86 (32-bit)".to_owned(),
        0x8664 => "x86-64".to_owned(),
        0x01c0 | 0x01c4 => "Arm (32-bit)".to_owned(),
        other => format!("number {other:#06x}"),
    };
    Some(format!("this is a PE file for {name}, expected AArch64"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pe(machine: u16) -> Vec<u8> {
        let mut file = vec![0; 0x40];
        file[..2].copy_from_slice(b"MZ");
        file[0x3c] = 0x40;
        file.extend_from_slice(b"PE\0\0");
        file.extend_from_slice(&machine.to_le_bytes());
        file
    }

    #[test]
    fn pe_machines() {
        assert_eq!(foreign(&pe(PE_ARM64)), None);
        assert_eq!(
            foreign(&pe(0x8664)).unwrap(),
            "this is a PE file for x86-64, expected AArch64"
        );
        assert_eq!(foreign(b"MZ is also how this text begins"), None);
        assert!(foreign(&[0xcf, 0xfa, 0xed, 0xfe]).is_some());
    }
}
