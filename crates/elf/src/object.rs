//! The facts of one ELF file that the rules are about (System V ABI, "Object files"; ELF for the Arm 64-bit
//! Architecture; LSB, "Symbol versioning").
//!
//! Everything dynamic is read through the program headers, as the dynamic linker does: section headers can be absent.

use std::cell::Cell;

use object::elf::{self, FileHeader64};
use object::read::ReadRef;
use object::read::elf::{Dyn as _, FileHeader as _, ProgramHeader as _, SectionHeader as _};
use object::{Endianness, LittleEndian};

use crate::rule::Rule;

/// What the rules need to know of an ELF file for the right machine.
#[derive(Debug, Clone, Default)]
pub(crate) struct Object {
    /// Executable, shared object or relocatable object.
    pub(crate) kind: Kind,
    /// `PT_INTERP`.
    pub(crate) interpreter: Option<Vec<u8>>,
    /// Whether there is a dynamic section.
    pub(crate) dynamic: bool,
    /// `DT_FLAGS_1` has `DF_1_PIE`.
    pub(crate) pie: bool,
    /// `DT_NEEDED`, in order.
    pub(crate) needed: Vec<Vec<u8>>,
    /// `DT_SONAME`.
    pub(crate) soname: Option<Vec<u8>>,
    /// `DT_RPATH`, split at colons.
    pub(crate) rpath: Vec<Vec<u8>>,
    /// `DT_RUNPATH`, split at colons. The dynamic linker ignores `DT_RPATH` beside it.
    pub(crate) runpath: Option<Vec<Vec<u8>>>,
    /// Versions that the file provides (`DT_VERDEF`).
    pub(crate) provides: Vec<Vec<u8>>,
    /// Versions that the file needs, with the library they come from (`DT_VERNEED`); weak ones are left out.
    pub(crate) requires: Vec<(Vec<u8>, Vec<u8>)>,
}

/// The type of an ELF file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `ET_REL`
    #[default]
    Relocatable,
    /// `ET_EXEC`
    Executable,
    /// `ET_DYN`: a shared object, or a position independent executable.
    Shared,
}

/// A rule that the file breaks, and why.
pub(crate) type Broken = (Rule, String);

/// Entries of one table that are looked at: more than any real file has.
const MAX_ENTRIES: usize = 1 << 16;
/// Bytes of all strings that are taken from one file: they may overlap, so the file's size is no limit.
const MAX_STRINGS: usize = 4 << 20;

/// Reads an ELF file. `data` starts with the ELF magic.
pub(crate) fn read<'data, R: ReadRef<'data>>(data: R) -> Result<Object, Broken> {
    let ident = data
        .read_bytes_at(0, 16)
        .map_err(|()| truncated("the identification (16 bytes)"))?;
    identity(ident)?;
    let header: &FileHeader64<Endianness> =
        FileHeader64::parse(data).map_err(|_| truncated("the file header (64 bytes)"))?;
    let endian = Endianness::Little;
    let machine = header.e_machine(endian);
    if machine != elf::EM_AARCH64 {
        return Err((
            Rule::ElfMachine,
            format!(
                "the machine is {}, expected AArch64",
                machine_name(machine.0)
            ),
        ));
    }
    let e_type = header.e_type(endian);
    let kind = if e_type == elf::ET_REL {
        Kind::Relocatable
    } else if e_type == elf::ET_EXEC {
        Kind::Executable
    } else if e_type == elf::ET_DYN {
        Kind::Shared
    } else if e_type == elf::ET_CORE {
        return Err((Rule::ElfType, "this is a core dump".to_owned()));
    } else {
        return Err((
            Rule::ElfType,
            format!("the type is {}, expected an executable or object", e_type.0),
        ));
    };
    let mut object = Object {
        kind,
        ..Object::default()
    };
    let segments = header
        .program_headers(endian, data)
        .map_err(|_| truncated("the program headers"))?;
    if kind == Kind::Relocatable {
        header
            .section_headers(endian, data)
            .map_err(|_| truncated("the section headers"))?;
        return Ok(object);
    }
    let length = data.len().unwrap_or(0);
    let (sections, count) = (header.e_shoff(endian), u64::from(header.e_shnum(endian)));
    let sections_end = sections.checked_add(count.max(1) * u64::from(header.e_shentsize(endian)));
    if sections != 0 && sections_end.is_none_or(|end| end > length) {
        return Err(truncated("the section headers"));
    }
    if is_debug_only(header, data) {
        return Ok(object);
    }
    let image = Image { data, segments };
    for segment in segments {
        let (start, size) = segment.file_range(endian);
        let end = start
            .checked_add(size)
            .ok_or_else(|| malformed("a segment ends beyond 2^64"))?;
        if end > length {
            return Err(malformed(&format!(
                "a segment spans bytes {start} to {end}, but the file has {length} bytes"
            )));
        }
    }
    for segment in segments {
        if let Some(interpreter) = segment
            .interpreter(endian, data)
            .map_err(|_| malformed("the interpreter is no terminated string"))?
        {
            if object.interpreter.is_some() {
                return Err(malformed("the file names two interpreters"));
            }
            object.interpreter = Some(interpreter.to_vec());
        }
        if let Some(entries) = segment
            .dynamic(endian, data)
            .map_err(|_| malformed("the dynamic section lies outside the file"))?
        {
            if object.dynamic {
                return Err(malformed("the file has two dynamic sections"));
            }
            object.dynamic = true;
            read_dynamic(&image, entries, &mut object)?;
        }
    }
    Ok(object)
}

/// Whether a linked file is the separated debug information of another (`objcopy --only-keep-debug`): its code and dynamic
/// section have headers but no contents, so nothing can load it, and its program headers may mean anything.
fn is_debug_only<'data, R: ReadRef<'data>>(header: &FileHeader64<Endianness>, data: R) -> bool {
    let endian = Endianness::Little;
    let Ok(sections) = header.section_headers(endian, data) else {
        return false;
    };
    let loaded = |wanted: &dyn Fn(elf::SectionType) -> bool| {
        sections.iter().any(|section| {
            let flags = section.sh_flags(endian).0;
            flags & elf::SHF_ALLOC.0 != 0
                && section.sh_size(endian) > 0
                && wanted(section.sh_type(endian))
        })
    };
    loaded(&|kind| kind == elf::SHT_NOBITS)
        && !loaded(&|kind| kind == elf::SHT_PROGBITS || kind == elf::SHT_DYNAMIC)
}

/// Checks the first 16 bytes.
fn identity(ident: &[u8]) -> Result<(), Broken> {
    match ident[4] {
        2 => {}
        1 => {
            return Err((
                Rule::ElfClass,
                "the file is 32-bit ELF, expected 64-bit".to_owned(),
            ));
        }
        other => {
            return Err((
                Rule::ElfClass,
                format!("the class is {other}, expected 2 (64-bit)"),
            ));
        }
    }
    match ident[5] {
        1 => {}
        2 => {
            return Err((
                Rule::ElfByteOrder,
                "the file is big-endian, expected little-endian".to_owned(),
            ));
        }
        other => {
            return Err((
                Rule::ElfByteOrder,
                format!("the byte order is {other}, expected 1 (little-endian)"),
            ));
        }
    }
    if ident[6] != 1 {
        return Err(malformed(&format!(
            "the ELF version is {}, expected 1",
            ident[6]
        )));
    }
    // System V and GNU; everything else is for another system.
    if !matches!(ident[7], 0 | 3) {
        return Err((
            Rule::ElfType,
            format!(
                "the OS ABI is {}, expected 0 (System V) or 3 (GNU/Linux)",
                ident[7]
            ),
        ));
    }
    Ok(())
}

/// A loaded file: translates addresses as the dynamic linker's mapping does.
struct Image<'data, R: ReadRef<'data>> {
    data: R,
    segments: &'data [elf::ProgramHeader64<Endianness>],
}

impl<'data, R: ReadRef<'data>> Image<'data, R> {
    /// Where in the file the byte at `address` lies, and how many follow it in its segment.
    fn locate(&self, address: u64) -> Option<(u64, u64)> {
        let endian = Endianness::Little;
        self.segments
            .iter()
            .filter(|segment| segment.p_type(endian) == elf::PT_LOAD)
            .find_map(|segment| {
                let skip = address.checked_sub(segment.p_vaddr(endian))?;
                let (start, size) = segment.file_range(endian);
                let left = size.checked_sub(skip).filter(|left| *left > 0)?;
                Some((start.checked_add(skip)?, left))
            })
    }

    /// Up to `limit` bytes from `address`, within its segment. No more is read of the file: a segment can be large.
    fn bytes(&self, address: u64, limit: u64) -> Option<&'data [u8]> {
        let (offset, left) = self.locate(address)?;
        self.data.read_bytes_at(offset, left.min(limit)).ok()
    }

    /// An entry of a table.
    fn entry<T: object::Pod>(&self, address: u64) -> Option<&'data T> {
        let size = size_of::<T>() as u64;
        let (offset, left) = self.locate(address)?;
        if left < size {
            return None;
        }
        self.data.read_at(offset).ok()
    }
}

/// Reads the dynamic section.
fn read_dynamic<'data, R: ReadRef<'data>>(
    image: &Image<'data, R>,
    entries: &[elf::Dyn64<Endianness>],
    object: &mut Object,
) -> Result<(), Broken> {
    let endian = Endianness::Little;
    let entries = || {
        entries
            .iter()
            .take(MAX_ENTRIES)
            .map(move |entry| (entry.d_tag(endian), entry.d_val(endian)))
            .take_while(|(tag, _)| *tag != elf::DT_NULL)
    };
    let value = |wanted| {
        entries()
            .find(|(tag, _)| *tag == wanted)
            .map(|(_, value)| value)
    };
    let strings = match value(elf::DT_STRTAB) {
        Some(address) => image
            .bytes(address, value(elf::DT_STRSZ).unwrap_or(MAX_STRINGS as u64))
            .ok_or_else(|| malformed("the dynamic string table lies outside the file"))?,
        None if entries().next().is_none() => return Ok(()),
        None => return Err(malformed("the dynamic section has no string table")),
    };
    let budget = Cell::new(MAX_STRINGS);
    let string = |offset: u64| -> Result<Vec<u8>, Broken> {
        let rest = usize::try_from(offset)
            .ok()
            .and_then(|offset| strings.get(offset..));
        let rest =
            rest.ok_or_else(|| malformed("a dynamic string lies outside the string table"))?;
        let end =
            memchr::memchr(0, rest).ok_or_else(|| malformed("a dynamic string has no end"))?;
        let left = budget.get().checked_sub(end + 1);
        budget.set(
            left.ok_or_else(|| malformed("the dynamic strings are longer than any real ones"))?,
        );
        Ok(rest[..end].to_vec())
    };
    let path_list = |offset: u64| -> Result<Vec<Vec<u8>>, Broken> {
        Ok(string(offset)?
            .split(|b| *b == b':')
            .map(<[u8]>::to_vec)
            .collect())
    };
    for (tag, value) in entries() {
        if tag == elf::DT_NEEDED {
            object.needed.push(string(value)?);
        } else if tag == elf::DT_SONAME {
            object.soname = Some(string(value)?);
        } else if tag == elf::DT_RPATH {
            object.rpath = path_list(value)?;
        } else if tag == elf::DT_RUNPATH {
            object.runpath = Some(path_list(value)?);
        } else if tag == elf::DT_FLAGS_1 {
            object.pie = value & elf::DF_1_PIE.0 != 0;
        }
    }
    if let Some(address) = value(elf::DT_VERNEED) {
        let count = value(elf::DT_VERNEEDNUM).unwrap_or(0);
        read_verneed(image, address, count, &string, object)?;
    }
    if let Some(address) = value(elf::DT_VERDEF) {
        let count = value(elf::DT_VERDEFNUM).unwrap_or(0);
        read_verdef(image, address, count, &string, object)?;
    }
    Ok(())
}

type StringAt<'a> = &'a dyn Fn(u64) -> Result<Vec<u8>, Broken>;

fn read_verneed<'data, R: ReadRef<'data>>(
    image: &Image<'data, R>,
    table: u64,
    count: u64,
    string: StringAt<'_>,
    object: &mut Object,
) -> Result<(), Broken> {
    let outside = || malformed("a needed version lies outside its segment");
    let after =
        |address: u64, distance: u32| address.checked_add(u64::from(distance)).ok_or_else(outside);
    let mut address = table;
    let mut left = MAX_ENTRIES;
    let mut take = || -> Result<(), Broken> {
        left = left
            .checked_sub(1)
            .ok_or_else(|| malformed("the table of needed versions does not end"))?;
        Ok(())
    };
    for _ in 0..count {
        take()?;
        let need: &elf::Verneed<LittleEndian> = image.entry(address).ok_or_else(outside)?;
        let library = string(u64::from(need.vn_file.get(LittleEndian)))?;
        let mut aux_address = after(address, need.vn_aux.get(LittleEndian))?;
        for _ in 0..need.vn_cnt.get(LittleEndian) {
            take()?;
            let aux: &elf::Vernaux<LittleEndian> = image.entry(aux_address).ok_or_else(outside)?;
            // A weak version may be absent at run time.
            if aux.vna_flags.get(LittleEndian).0 & elf::VER_FLG_WEAK.0 == 0 {
                let version = string(u64::from(aux.vna_name.get(LittleEndian)))?;
                object.requires.push((library.clone(), version));
            }
            match aux.vna_next.get(LittleEndian) {
                0 => break,
                next => aux_address = after(aux_address, next)?,
            }
        }
        match need.vn_next.get(LittleEndian) {
            0 => break,
            next => address = after(address, next)?,
        }
    }
    Ok(())
}

fn read_verdef<'data, R: ReadRef<'data>>(
    image: &Image<'data, R>,
    table: u64,
    count: u64,
    string: StringAt<'_>,
    object: &mut Object,
) -> Result<(), Broken> {
    let outside = || malformed("a provided version lies outside its segment");
    let after =
        |address: u64, distance: u32| address.checked_add(u64::from(distance)).ok_or_else(outside);
    let mut address = table;
    for index in 0..count {
        if index as usize > MAX_ENTRIES {
            return Err(malformed("the table of provided versions does not end"));
        }
        let definition: &elf::Verdef<LittleEndian> = image.entry(address).ok_or_else(outside)?;
        // The first auxiliary entry is the version's own name, the others are its predecessors.
        let aux = after(address, definition.vd_aux.get(LittleEndian))?;
        let aux: &elf::Verdaux<LittleEndian> = image.entry(aux).ok_or_else(outside)?;
        object
            .provides
            .push(string(u64::from(aux.vda_name.get(LittleEndian)))?);
        match definition.vd_next.get(LittleEndian) {
            0 => break,
            next => address = after(address, next)?,
        }
    }
    Ok(())
}

fn truncated(what: &str) -> Broken {
    (
        Rule::ElfMalformed,
        format!("the file is cut short before the end of {what}"),
    )
}

fn malformed(what: &str) -> Broken {
    (Rule::ElfMalformed, what.to_owned())
}

/// The name of a machine (`e_machine`, System V ABI).
pub(crate) fn machine_name(machine: u16) -> String {
    let name = match machine {
        3 => "x86 (32-bit)",
        8 => "MIPS",
        20 => "PowerPC",
        21 => "PowerPC64",
        22 => "S/390",
        40 => "Arm (32-bit)",
        62 => "x86-64",
        183 => "AArch64",
        243 => "RISC-V",
        247 => "BPF",
        258 => "LoongArch",
        other => return format!("number {other}"),
    };
    name.to_owned()
}
