//! Archives that are wrong, and what is said about them.

use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::symlink;

use xbuild_store_model::nar::{self, Limits, NarError, NarSink};

/// A sink that is content with everything.
struct Ignore;

impl NarSink for Ignore {
    fn regular(&mut self, _: &[u8], _: bool, _: u64, contents: &mut dyn Read) -> io::Result<()> {
        // Half of it, so that the rest is left to the reader.
        let mut buf = [0; 3];
        contents.read(&mut buf).map(drop)
    }
    fn symlink(&mut self, _: &[u8], _: &[u8]) -> io::Result<()> {
        Ok(())
    }
    fn begin_directory(&mut self, _: &[u8]) -> io::Result<()> {
        Ok(())
    }
    fn end_directory(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn read(archive: &[u8]) -> Result<u64, NarError> {
    nar::read(archive, &mut Ignore, &Limits::default())
}

/// The strings of an archive, with the magic in front.
fn archive(words: &[&[u8]]) -> Vec<u8> {
    let mut archive = Vec::new();
    for text in [&b"nix-archive-1"[..]].iter().chain(words) {
        archive.extend((text.len() as u64).to_le_bytes());
        archive.extend(*text);
        archive.resize(archive.len().next_multiple_of(8), 0);
    }
    archive
}

/// As [`archive`], from words separated by blanks; `''` is the empty one.
fn words(text: &str) -> Vec<u8> {
    let words: Vec<&[u8]> = text
        .split_whitespace()
        .map(|word| {
            if word == "''" {
                &b""[..]
            } else {
                word.as_bytes()
            }
        })
        .collect();
    archive(&words)
}

fn error(archive: &[u8]) -> String {
    read(archive).expect_err("must fail").to_string()
}

const FILE: &str = "( type regular contents x )";

#[test]
fn what_is_right_is_taken() {
    for text in [
        FILE,
        "( type regular executable '' contents '' )",
        "( type symlink target /anything/at/../all )",
        "( type directory )",
        "( type directory entry ( name a node ( type directory ) ) entry ( name b node ( type regular contents '' ) ) )",
        "( type directory entry ( name ... node ( type directory ) ) )",
    ] {
        let archive = words(text);
        assert_eq!(
            read(&archive).expect("valid"),
            archive.len() as u64,
            "{text}"
        );
    }
}

#[test]
fn no_archive_at_all() {
    insta::assert_snapshot!(error(b""), @"NAR is cut short at byte 0: expected 'nix-archive-1'");
    insta::assert_snapshot!(error(b"hello, this is not an archive"), @"NAR is not valid at byte 0: expected 'nix-archive-1' (is this a NAR? it may be compressed), found 'hello, this is not an ar'");
    insta::assert_snapshot!(error(b"\x28\xb5\x2f\xfd"), @r"NAR is not valid at byte 0: expected 'nix-archive-1' (is this a NAR? it may be compressed), found '(\xb5/\xfd'");
    insta::assert_snapshot!(error(&words(FILE)[..10]), @"NAR is cut short at byte 10: expected 'nix-archive-1'");
    insta::assert_snapshot!(error(b"\x0d\0\0\0\0\0\0\0nix-archive-2\0\0\0"), @r"NAR is not valid at byte 0: expected 'nix-archive-1' (is this a NAR? it may be compressed), found '\r\x00\x00\x00\x00\x00\x00\x00nix-archive-2\x00\x00\x00'");
}

#[test]
fn structure() {
    insta::assert_snapshot!(error(&words("x")), @"NAR is not valid at byte 24: expected '(', found 'x'");
    insta::assert_snapshot!(error(&words("( type")), @"NAR is cut short at byte 56: expected 'regular', 'directory' or 'symlink'");
    insta::assert_snapshot!(error(&words("( type fifo )")), @"NAR is not valid at byte 56: expected 'regular', 'directory' or 'symlink', found 'fifo'");
    insta::assert_snapshot!(error(&words("( kind regular )")), @"NAR is not valid at byte 40: expected 'type', found 'kind'");
    insta::assert_snapshot!(error(&words("( type regular )")), @"NAR is not valid at byte 72: expected 'executable' or 'contents', found ')'");
    insta::assert_snapshot!(error(&words("( type regular executable yes contents x )")), @"NAR is not valid at byte 96: expected an empty string behind 'executable', found 'yes'");
    insta::assert_snapshot!(error(&words("( type regular executable '' executable '' contents x )")), @"NAR is not valid at byte 104: expected 'contents', found 'executable'");
    insta::assert_snapshot!(error(&words("( type regular contents x contents x )")), @"NAR is not valid at byte 104: expected ')', found 'contents'");
    insta::assert_snapshot!(error(&words("( type directory name a )")), @"NAR is not valid at byte 80: expected 'entry' or ')', found 'name'");
    insta::assert_snapshot!(error(&words("( type directory entry ( name a ) )")), @"NAR is not valid at byte 144: expected 'node', found ')'");
    insta::assert_snapshot!(error(&words("( type directory entry ( node ( type directory ) ) )")), @"NAR is not valid at byte 112: expected 'name', found 'node'");
    insta::assert_snapshot!(error(&words("( type symlink )")), @"NAR is not valid at byte 72: expected 'target', found ')'");
    insta::assert_snapshot!(error(&words(&format!("{FILE} {FILE}"))), @"NAR is not valid at byte 120: expected the end, found more data");
}

#[test]
fn names() {
    let entry = |name: &[u8]| {
        let mut list: Vec<&[u8]> = vec![b"(", b"type", b"directory", b"entry", b"(", b"name", name];
        list.extend([&b"node"[..], b"(", b"type", b"directory", b")", b")", b")"]);
        error(&archive(&list))
    };
    insta::assert_snapshot!(entry(b""), @"NAR is not valid at byte 128: file name '' is empty");
    insta::assert_snapshot!(entry(b"."), @"NAR is not valid at byte 128: file name '.' names a directory itself");
    insta::assert_snapshot!(entry(b".."), @"NAR is not valid at byte 128: file name '..' names a directory itself");
    insta::assert_snapshot!(entry(b"../../etc/passwd"), @"NAR is not valid at byte 128: file name '../../etc/passwd' contains '/'");
    insta::assert_snapshot!(entry(b"/"), @"NAR is not valid at byte 128: file name '/' contains '/'");
    insta::assert_snapshot!(entry(b"a\0b"), @r"NAR is not valid at byte 128: file name 'a\x00b' contains a zero byte");
    insta::assert_snapshot!(entry(&[b'x'; 256]), @"NAR is not valid at byte 128: a file name of 256 bytes, at most 255 are allowed");
}

#[test]
fn order() {
    let two = |first: &str, second: &str| {
        let entry = |name| format!("entry ( name {name} node ( type regular contents x ) )");
        error(&words(&format!(
            "( type directory {} {} )",
            entry(first),
            entry(second)
        )))
    };
    insta::assert_snapshot!(two("a", "a"), @"NAR is not valid at byte 320: file name 'a' repeats 'a' (names must be sorted and distinct)");
    insta::assert_snapshot!(two("b", "a"), @"NAR is not valid at byte 320: file name 'a' must come before 'b' (names must be sorted and distinct)");
    insta::assert_snapshot!(two("a", "B"), @"NAR is not valid at byte 320: file name 'B' must come before 'a' (names must be sorted and distinct)");
}

#[test]
fn links() {
    let link = |target: &[u8]| {
        error(&archive(&[
            b"(", b"type", b"symlink", b"target", target, b")",
        ]))
    };
    insta::assert_snapshot!(link(b""), @"NAR is not valid at byte 88: symbolic link target '' is empty");
    insta::assert_snapshot!(link(b"a\0b"), @r"NAR is not valid at byte 88: symbolic link target 'a\x00b' contains a zero byte");
    insta::assert_snapshot!(link(&[b'x'; 4096]), @"NAR is not valid at byte 88: a symbolic link target of 4096 bytes, at most 4095 are allowed");
}

#[test]
fn lengths_that_lie() {
    let mut long = words("( type regular contents x )");
    let at = long.len() - 32;
    assert_eq!(long[at..at + 8], 1u64.to_le_bytes());
    let mut with = |length: u64| {
        long[at..at + 8].copy_from_slice(&length.to_le_bytes());
        error(&long)
    };
    insta::assert_snapshot!(with(0), @"NAR is not valid at byte 96: expected ')', found a string of 120 bytes");
    insta::assert_snapshot!(with(9), @"NAR is not valid at byte 112: expected ')', found a string of 41 bytes");
    insta::assert_snapshot!(with(1 << 49), @"NAR is cut short at byte 120: expected the rest of a file's contents");
    insta::assert_snapshot!(with(1 << 63), @"NAR is too large at byte 96: a file's size exceeds the limit of 1125899906842624");
    insta::assert_snapshot!(with(u64::MAX), @"NAR is too large at byte 96: a file's size exceeds the limit of 1125899906842624");
    let mut word = words("( type regular contents x )");
    word[24..32].copy_from_slice(&u64::MAX.to_le_bytes());
    insta::assert_snapshot!(error(&word), @"NAR is not valid at byte 24: expected '(', found a string of 18446744073709551615 bytes");
}

#[test]
fn padding_that_is_not_zero() {
    let mut dirty = words(FILE);
    dirty[33] = b'x';
    insta::assert_snapshot!(error(&dirty), @"NAR is not valid at byte 33: expected 7 zero bytes of padding, found other bytes");
    let mut dirty = words(FILE);
    let at = dirty.len() - 17;
    dirty[at] = 1;
    insta::assert_snapshot!(error(&dirty), @"NAR is not valid at byte 97: expected 7 zero bytes of padding, found other bytes");
}

#[test]
fn more_behind_the_end() {
    let mut more = words(FILE);
    let size = more.len() as u64;
    more.push(0);
    insta::assert_snapshot!(error(&more), @"NAR is not valid at byte 120: expected the end, found more data");

    // Unless it is a part of a longer stream: then not one byte is lost.
    more.extend(b"rest");
    let mut stream = &more[..];
    let read = nar::read_embedded(&mut stream, &mut Ignore, &Limits::default());
    assert_eq!(read.expect("valid"), size);
    assert_eq!(stream, b"\0rest");
}

#[test]
fn every_cut_is_an_error_at_the_cut() {
    let whole = words(
        "( type directory entry ( name a node ( type regular executable '' contents 1234567890 ) ) \
         entry ( name b node ( type symlink target x ) ) entry ( name c node ( type directory ) ) )",
    );
    for len in 0..whole.len() {
        match read(&whole[..len]).expect_err("cut short") {
            NarError::Truncated { offset, .. } => assert_eq!(offset, len as u64),
            error => panic!("cut at {len}: {error}"),
        }
    }
}

#[test]
fn nesting() {
    let nested = |depth: usize| {
        let open = "( type directory entry ( name a node ".repeat(depth);
        let close = ") ) ".repeat(depth);
        words(&format!("{open} ( type directory ) {close}"))
    };
    assert!(read(&nested(63)).is_ok());
    insta::assert_snapshot!(error(&nested(64)), @"NAR is not valid at byte 8728: directories are nested more than 64 deep");
    // However deep: no stack is used up.
    insta::assert_snapshot!(error(&nested(100_000)), @"NAR is not valid at byte 8728: directories are nested more than 64 deep");
}

#[test]
fn limits() {
    let whole =
        words("( type directory entry ( name a node ( type regular contents 1234567890 ) ) )");
    let with = |limits: Limits| {
        nar::read(&whole[..], &mut Ignore, &limits)
            .expect_err("must fail")
            .to_string()
    };
    let default = Limits::default();
    insta::assert_snapshot!(with(Limits { file_size: 9, ..default }), @"NAR is too large at byte 232: a file's size exceeds the limit of 9");
    insta::assert_snapshot!(with(Limits { total_size: 200, ..default }), @"NAR is too large at byte 216: the archive's size exceeds the limit of 200");
    insta::assert_snapshot!(with(Limits { objects: 1, ..default }), @"NAR is too large at byte 160: the number of files exceeds the limit of 1");
    insta::assert_snapshot!(with(Limits { depth: 1, ..default }), @"NAR is not valid at byte 160: directories are nested more than 1 deep");
    let enough = Limits {
        file_size: 10,
        total_size: whole.len() as u64,
        objects: 2,
        depth: 2,
    };
    assert!(nar::read(&whole[..], &mut Ignore, &enough).is_ok());
}

/// Fails at a certain place.
struct Broken<'a>(&'a [u8]);

impl Read for Broken<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self.0.read(buf)? {
            0 => Err(io::Error::other("connection reset")),
            n => Ok(n),
        }
    }
}

#[test]
fn sources_that_fail() {
    let whole = words(FILE);
    for len in [0, 20, 40, whole.len() - 30, whole.len()] {
        let error = nar::read(Broken(&whole[..len]), &mut Ignore, &Limits::default());
        let error = error.expect_err("must fail").to_string();
        assert_eq!(
            error,
            format!("cannot read NAR at byte {len}: connection reset")
        );
    }
}

#[test]
fn restoring_over_something() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let show = |archive: &[u8], name: &str| {
        let error = nar::restore(archive, &dir.path().join(name)).expect_err("must fail");
        error
            .to_string()
            .replace(dir.path().to_str().expect("UTF-8"), "DIR")
    };
    fs::write(dir.path().join("file"), "precious").expect("a test file");
    fs::create_dir(dir.path().join("target")).expect("a test directory");
    symlink("target", dir.path().join("link")).expect("a test link");
    symlink("new", dir.path().join("dangling")).expect("a test link");
    let tree = words("( type directory entry ( name a node ( type regular contents x ) ) )");
    insta::assert_snapshot!(show(&words(FILE), "file"), @"cannot unpack NAR at byte 96: cannot create file 'DIR/file': File exists (os error 17); remove it first, an archive is only unpacked to a new place");
    insta::assert_snapshot!(show(&tree, "link"), @"cannot unpack NAR at byte 80: cannot create directory 'DIR/link': File exists (os error 17); remove it first, an archive is only unpacked to a new place");
    insta::assert_snapshot!(show(&words(FILE), "dangling"), @"cannot unpack NAR at byte 96: cannot create file 'DIR/dangling': File exists (os error 17); remove it first, an archive is only unpacked to a new place");
    insta::assert_snapshot!(show(&words("( type symlink target x )"), "link"), @"cannot unpack NAR at byte 104: cannot create symbolic link 'DIR/link': File exists (os error 17); remove it first, an archive is only unpacked to a new place");
    insta::assert_snapshot!(show(&tree, "missing/new"), @"cannot unpack NAR at byte 80: cannot create directory 'DIR/missing/new': No such file or directory (os error 2)");
    // What was there is still there, and nothing else.
    assert_eq!(
        fs::read_to_string(dir.path().join("file")).expect("kept"),
        "precious"
    );
    assert_eq!(
        fs::read_dir(dir.path().join("target"))
            .expect("kept")
            .count(),
        0
    );
    assert!(!dir.path().join("new").exists());
}

#[test]
fn writing_what_cannot_be_archived() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let show = |name: &str| {
        let error = nar::write_path(&dir.path().join(name), &mut Vec::new());
        let error = error.expect_err("must fail");
        error
            .to_string()
            .replace(dir.path().to_str().expect("UTF-8"), "DIR")
    };
    insta::assert_snapshot!(show("missing"), @"cannot read the attributes of 'DIR/missing': No such file or directory (os error 2)");
    let _socket = std::os::unix::net::UnixListener::bind(dir.path().join("socket"));
    insta::assert_snapshot!(show("socket"), @"'DIR/socket' is a socket, which a NAR cannot hold: only regular files, directories and symbolic links");

    // With a filter it may stay behind.
    let mut kinds = Vec::new();
    nar::write_path_filtered(dir.path(), &mut Vec::new(), &mut |_, kind| {
        kinds.push(kind.name());
        Ok(false)
    })
    .expect("nothing to archive");
    assert_eq!(kinds, ["unknown"]);
}
