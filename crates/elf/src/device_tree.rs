//! Flattened device trees (Devicetree Specification v0.4, chapter 5): is it whole, and is it for the board?

use crate::rule::Rule;

/// The magic, big-endian.
pub(crate) const MAGIC: [u8; 4] = 0xd00d_feed_u32.to_be_bytes();

/// The largest tree that an arm64 kernel takes (Linux, `Documentation/arch/arm64/booting.rst`, "Setup the device tree").
pub(crate) const MAX_SIZE: u64 = 2 << 20;

/// The bytes of the header.
const HEADER: usize = 40;
/// The version of the format that is described in the specification, and the oldest one it is compatible with.
const VERSION: u32 = 17;
const COMPATIBLE_VERSION: u32 = 16;

/// Tokens of the structure block (section 5.4.1).
const BEGIN_NODE: u32 = 1;
const END_NODE: u32 = 2;
const PROP: u32 = 3;
const NOP: u32 = 4;
const END: u32 = 9;

/// Whether a file is called as device trees are, or overlays of them.
pub(crate) fn is_named(name: &str) -> bool {
    name.ends_with(".dtb") || is_overlay(name)
}

/// Whether a file is called as an overlay, whose root says what it is laid over in its own way.
pub(crate) fn is_overlay(name: &str) -> bool {
    name.ends_with(".dtbo")
}

/// Why a device tree of `size` bytes is none for a kernel.
pub(crate) fn too_large(size: u64) -> String {
    format!("the device tree has {size} bytes; a kernel takes {MAX_SIZE} at most")
}

/// Checks a device tree. `compatible` are the boards it may be for; empty: any.
pub(crate) fn check(data: &[u8], compatible: &[String]) -> Option<(Rule, String)> {
    let root = match read(data) {
        Ok(root) => root,
        Err(why) => return Some((Rule::DeviceTree, why)),
    };
    if compatible.is_empty() {
        return None;
    }
    let expected = compatible.join(" or ");
    let reason = match root {
        None => format!("the device tree's root has no `compatible`, expected {expected}"),
        Some(names) if names.iter().any(|name| compatible.contains(name)) => return None,
        Some(names) => format!(
            "the device tree is for {} (`compatible` of its root), expected {expected}",
            names.join(", ")
        ),
    };
    Some((Rule::DeviceTreeBoard, reason))
}

/// Checks what the first bytes of a file say of a device tree's size and version. `length` is the file's.
pub(crate) fn check_header(head: &[u8], length: u64) -> Result<(), String> {
    let word = |at| number(head, at).ok_or_else(|| cut("header (40 bytes)"));
    if word(0)? != u32::from_be_bytes(MAGIC) {
        return Err(
            "the file is called a device tree, but does not start with its magic d00dfeed"
                .to_owned(),
        );
    }
    let _last = word(HEADER - 4)?;
    let total = u64::from(word(4)?);
    if total > length {
        return Err(format!(
            "the device tree has {total} bytes by its header, but the file has {length}"
        ));
    }
    let (version, compatible) = (word(20)?, word(24)?);
    if version < VERSION || !(COMPATIBLE_VERSION..=VERSION).contains(&compatible) {
        return Err(format!(
            "the device tree's format is version {version}, compatible with {compatible}; expected {VERSION}, compatible with {COMPATIBLE_VERSION}"
        ));
    }
    Ok(())
}

/// Walks through a whole tree, and gives the root's `compatible`, if it has one.
fn read(data: &[u8]) -> Result<Option<Vec<String>>, String> {
    check_header(data, data.len() as u64)?;
    let word = |at| number(data, at).ok_or_else(|| cut("header (40 bytes)"));
    let total = word(4)? as usize;
    let data = data.get(..total).ok_or_else(|| cut("header (40 bytes)"))?;
    let block = |name: &str, start: u32, size: Option<u32>, align: u32| {
        if !start.is_multiple_of(align) {
            return Err(format!(
                "the {name} starts at byte {start}, which is not a multiple of {align}"
            ));
        }
        let start = start as usize;
        let end = size.map_or(Some(total), |size| start.checked_add(size as usize));
        end.filter(|_| start >= HEADER)
            .and_then(|end| data.get(start..end))
            .ok_or_else(|| format!("the {name} lies outside the device tree"))
    };
    let structure = block("structure block", word(8)?, Some(word(36)?), 4)?;
    let strings = block("strings block", word(12)?, Some(word(32)?), 1)?;
    let reservations = block("memory reservation block", word(16)?, None, 8)?;
    if !reservations
        .chunks_exact(16)
        .any(|entry| entry.iter().all(|byte| *byte == 0))
    {
        return Err("the memory reservation block has no end".to_owned());
    }
    Walk {
        structure,
        strings,
        at: 0,
    }
    .tree()
}

/// A walk through the structure block.
struct Walk<'a> {
    structure: &'a [u8],
    strings: &'a [u8],
    at: usize,
}

impl<'a> Walk<'a> {
    fn tree(mut self) -> Result<Option<Vec<String>>, String> {
        let mut compatible = None;
        // Of each open node, whether it has had a child: its properties come before.
        let mut open: Vec<bool> = Vec::new();
        let mut closed = false;
        loop {
            let at = self.at;
            let token = self.word()?;
            match token {
                NOP => {}
                END if closed && open.is_empty() => return Ok(compatible),
                END => return Err(format!("the structure ends at byte {at}, inside a node")),
                _ if closed => {
                    return Err(format!("there is more after the root node, at byte {at}"));
                }
                BEGIN_NODE => {
                    let name = self.text()?;
                    match open.last_mut() {
                        None if !name.is_empty() => {
                            return Err("the root node has a name".to_owned());
                        }
                        None => {}
                        Some(_) if name.is_empty() => {
                            return Err(format!("the node at byte {at} has no name"));
                        }
                        Some(has_child) => *has_child = true,
                    }
                    open.push(false);
                }
                END_NODE => {
                    if open.pop().is_none() {
                        return Err(format!("a node ends at byte {at} that never began"));
                    }
                    closed = open.is_empty();
                }
                PROP => {
                    let (name, value) = self.property(at)?;
                    match open.last() {
                        None => return Err(format!("the property at byte {at} is in no node")),
                        Some(true) => {
                            return Err(format!("the property at byte {at} follows a child node"));
                        }
                        Some(false) => {}
                    }
                    if open.len() == 1 && name == b"compatible" {
                        compatible = Some(string_list(value)?);
                    }
                }
                other => {
                    return Err(format!("the token at byte {at} is {other}, which is none"));
                }
            }
        }
    }

    fn word(&mut self) -> Result<u32, String> {
        let word = number(self.structure, self.at).ok_or_else(|| cut("structure block"))?;
        self.at += 4;
        Ok(word)
    }

    /// Goes on to the next token, after `size` bytes and what pads them.
    fn skip(&mut self, size: usize) -> Result<&'a [u8], String> {
        let end = self.at.checked_add(size);
        let bytes = end
            .and_then(|end| self.structure.get(self.at..end))
            .ok_or_else(|| cut("structure block"))?;
        self.at = (self.at + size).next_multiple_of(4);
        Ok(bytes)
    }

    fn text(&mut self) -> Result<&'a [u8], String> {
        let rest = self.structure.get(self.at..).unwrap_or_default();
        let end = memchr::memchr(0, rest).ok_or_else(|| cut("structure block"))?;
        let text = self.skip(end + 1)?;
        Ok(&text[..end])
    }

    fn property(&mut self, at: usize) -> Result<(&'a [u8], &'a [u8]), String> {
        let (size, name) = (self.word()? as usize, self.word()? as usize);
        let value = self.skip(size)?;
        let name = self.strings.get(name..).and_then(|name| {
            let end = memchr::memchr(0, name)?;
            Some(&name[..end])
        });
        let name =
            name.ok_or_else(|| format!("the property at byte {at} has no name in the strings"))?;
        Ok((name, value))
    }
}

/// The strings of a `<stringlist>` (section 2.2.4).
fn string_list(value: &[u8]) -> Result<Vec<String>, String> {
    let wrong = || "the root's `compatible` is no list of strings".to_owned();
    let value = value.strip_suffix(b"\0").ok_or_else(wrong)?;
    value
        .split(|byte| *byte == 0)
        .map(|text| match std::str::from_utf8(text) {
            Ok(text) if text.bytes().all(|byte| byte.is_ascii_graphic()) => Ok(text.to_owned()),
            _ => Err(wrong()),
        })
        .collect()
}

fn number(data: &[u8], at: usize) -> Option<u32> {
    let bytes = data.get(at..at.checked_add(4)?)?;
    Some(u32::from_be_bytes(bytes.try_into().ok()?))
}

fn cut(what: &str) -> String {
    format!("the device tree is cut short before the end of its {what}")
}
