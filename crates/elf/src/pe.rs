//! EFI programs: PE files for AArch64, and the kernel and device tree that a unified kernel image carries in its sections
//! (PE format, "Signature", "COFF File Header", "Optional Header", "Section Table"; UAPI group, "Unified Kernel Image").

use object::read::ReadRef;

use crate::device_tree;
use crate::kernel;
use crate::portable::PE_ARM64;
use crate::rule::Rule;

/// Where the offset of the PE signature stands.
const SIGNATURE_AT: u64 = 0x3c;
/// The bytes of the signature and the COFF header.
const COFF_HEADER: u64 = 4 + 20;
/// The bytes of one section header.
const SECTION_HEADER: u64 = 40;
/// The magic of the optional header of a 64-bit program.
const PE32_PLUS: u16 = 0x20b;
/// Where the subsystem stands in the optional header.
const SUBSYSTEM_AT: u64 = 68;
/// The subsystems of EFI: application, boot service driver, run-time driver, ROM.
const EFI_SUBSYSTEMS: std::ops::RangeInclusive<u16> = 10..=13;

/// A rule that the file breaks, and why.
type Broken = (Rule, String);

/// Whether a file is called as EFI programs are.
pub(crate) fn is_named(name: &str) -> bool {
    name.len() > 4 && name.as_bytes()[name.len() - 4..].eq_ignore_ascii_case(b".efi")
}

/// Checks a file that starts with `MZ`, or is called an EFI program. `efi`: it must be one for EFI.
pub(crate) fn check<'data, R: ReadRef<'data>>(
    data: R,
    efi: bool,
    compatible: &[String],
) -> Result<(), Broken> {
    let length = data.len().unwrap_or(0);
    let bytes = |at: u64, size: u64, what: &str| {
        let inside = at.checked_add(size).is_some_and(|end| end <= length);
        let bytes = inside.then(|| data.read_bytes_at(at, size).ok()).flatten();
        bytes.ok_or_else(|| malformed(&format!("the file is cut short before the end of {what}")))
    };
    let short = |bytes: &[u8], at: usize| {
        let bytes = bytes.get(at..at + 2).and_then(|b| b.try_into().ok());
        bytes.map_or(0, u16::from_le_bytes)
    };
    let long = |bytes: &[u8], at: usize| {
        let bytes = bytes.get(at..at + 4).and_then(|b| b.try_into().ok());
        u64::from(bytes.map_or(0, u32::from_le_bytes))
    };
    let start = data.read_bytes_at(0, length.min(2)).unwrap_or_default();
    if start != b"MZ" {
        return Err(malformed(
            "the file is called an EFI program, but is no PE file",
        ));
    }
    let signature = long(bytes(SIGNATURE_AT, 4, "the DOS header (64 bytes)")?, 0);
    let coff = match bytes(signature, COFF_HEADER, "the PE header") {
        Ok(coff) if coff.starts_with(b"PE\0\0") => coff,
        _ if !efi => return Ok(()),
        Ok(_) => return Err(malformed("the file has no PE signature")),
        Err(broken) => return Err(broken),
    };
    let machine = short(coff, 4);
    if machine != PE_ARM64 {
        // The rule about foreign executables says so.
        return Ok(());
    }
    let sections = u64::from(short(coff, 6));
    let optional_size = u64::from(short(coff, 20));
    let optional_at = signature + COFF_HEADER;
    let optional = bytes(optional_at, optional_size, "the optional header")?;
    if short(optional, 0) != PE32_PLUS {
        return Err(malformed(&format!(
            "the optional header's magic is {:#x}, expected {PE32_PLUS:#x} (64-bit)",
            short(optional, 0)
        )));
    }
    if efi {
        let subsystem = short(optional, SUBSYSTEM_AT as usize);
        if optional_size < SUBSYSTEM_AT + 2 || !EFI_SUBSYSTEMS.contains(&subsystem) {
            return Err(malformed(&format!(
                "the subsystem is {subsystem}, expected one of EFI (10 to 13)"
            )));
        }
    }
    let table = bytes(
        optional_at + optional_size,
        sections * SECTION_HEADER,
        "the section table",
    )?;
    for header in table.chunks_exact(SECTION_HEADER as usize) {
        let name = header[..8].split(|byte| *byte == 0).next();
        let name = name.unwrap_or_default();
        let (memory, size, at) = (long(header, 8), long(header, 16), long(header, 20));
        // A section without contents may point anywhere.
        if size == 0 {
            continue;
        }
        let shown = String::from_utf8_lossy(name);
        if at + size > length {
            return Err(malformed(&format!(
                "the section {shown} spans bytes {at} to {}, but the file has {length} bytes",
                at + size
            )));
        }
        // What is in the file is padded; the size in memory is the true one.
        let size = if memory == 0 { size } else { size.min(memory) };
        let inside = |(rule, why): Broken| (rule, format!("section {shown}: {why}"));
        match name {
            b".linux" => {
                let head = bytes(at, size.min(kernel::HEAD), "the kernel")?;
                if let Some(why) = kernel::check(head) {
                    return Err(inside((Rule::KernelImage, why)));
                }
            }
            b".dtb" | b".dtbauto" => {
                if size > device_tree::MAX_SIZE {
                    return Err(inside((Rule::DeviceTree, device_tree::too_large(size))));
                }
                let tree = bytes(at, size, "the device tree")?;
                if let Some(broken) = device_tree::check(tree, compatible) {
                    return Err(inside(broken));
                }
            }
            _ => {}
        }
    }
    Ok(())
}

fn malformed(what: &str) -> Broken {
    (Rule::PeMalformed, what.to_owned())
}
