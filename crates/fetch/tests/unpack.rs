//! Archives, honest and hostile, made here.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use tar::{Builder, EntryType, Header};
use xbuild_fetch::{deb, tarball};

/// A tar archive under construction.
struct Tar(Builder<Vec<u8>>);

impl Tar {
    fn new() -> Self {
        Self(Builder::new(Vec::new()))
    }

    /// An entry whose name is written as it is, however bad.
    fn raw(mut self, kind: EntryType, name: &str, link: &str, mode: u32, content: &[u8]) -> Self {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_size(content.len() as u64);
        let gnu = header.as_gnu_mut().unwrap();
        gnu.name[..name.len()].copy_from_slice(name.as_bytes());
        gnu.linkname[..link.len()].copy_from_slice(link.as_bytes());
        header.set_cksum();
        self.0.append(&header, content).unwrap();
        self
    }

    fn file(self, name: &str, content: &[u8]) -> Self {
        self.raw(EntryType::Regular, name, "", 0o644, content)
    }

    fn executable(self, name: &str, content: &[u8]) -> Self {
        self.raw(EntryType::Regular, name, "", 0o6755, content)
    }

    fn directory(self, name: &str) -> Self {
        self.raw(EntryType::Directory, name, "", 0o700, b"")
    }

    fn symlink(self, name: &str, target: &str) -> Self {
        self.raw(EntryType::Symlink, name, target, 0o777, b"")
    }

    fn hard_link(self, name: &str, target: &str) -> Self {
        self.raw(EntryType::Link, name, target, 0o644, b"")
    }

    fn bytes(self) -> Vec<u8> {
        self.0.into_inner().unwrap()
    }
}

fn member(name: &str, content: &[u8]) -> Vec<u8> {
    let mut bytes = format!(
        "{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n",
        0,
        0,
        0,
        "100644",
        content.len()
    )
    .into_bytes();
    bytes.extend_from_slice(content);
    if content.len() % 2 == 1 {
        bytes.push(b'\n');
    }
    bytes
}

fn package(data_name: &str, data: &[u8]) -> Vec<u8> {
    let mut bytes = b"!<arch>\n".to_vec();
    bytes.extend(member("debian-binary", b"2.0\n"));
    bytes.extend(member("_gpgorigin", b"odd"));
    bytes.extend(member("control.tar.xz", b"not looked at"));
    bytes.extend(member(data_name, data));
    bytes
}

fn gzip(data: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

fn xz(data: &[u8]) -> Vec<u8> {
    let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 1);
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

fn bzip2(data: &[u8]) -> Vec<u8> {
    let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

/// One line for each entry of a tree, sorted.
fn list(root: &Path) -> String {
    fn walk(directory: &Path, prefix: &str, lines: &mut Vec<String>) {
        for entry in fs::read_dir(directory).unwrap() {
            let entry = entry.unwrap();
            let name = format!("{prefix}{}", entry.file_name().display());
            let metadata = entry.path().symlink_metadata().unwrap();
            let mode = metadata.mode() & 0o7777;
            if metadata.is_symlink() {
                lines.push(format!(
                    "{name} -> {}",
                    fs::read_link(entry.path()).unwrap().display()
                ));
            } else if metadata.is_dir() {
                assert_eq!(mode, 0o755, "{name}");
                lines.push(format!("{name}/"));
                walk(&entry.path(), &format!("{name}/"), lines);
            } else {
                let links = if metadata.nlink() > 1 {
                    " (linked)"
                } else {
                    ""
                };
                let content = fs::read(entry.path()).unwrap();
                lines.push(format!(
                    "{name} {mode:o} '{}'{links}",
                    content.escape_ascii()
                ));
            }
        }
    }
    let mut lines = Vec::new();
    walk(root, "", &mut lines);
    lines.sort();
    lines.join("\n")
}

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn file(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.0.path().join(name);
        fs::write(&path, content).unwrap();
        path
    }

    fn dest(&self) -> PathBuf {
        self.0.path().join("dest")
    }

    /// Checks that an error left nothing, and makes its text independent of the place.
    fn failed<T>(&self, result: Result<T, xbuild_fetch::UnpackError>) -> String {
        let Err(error) = result else {
            panic!("should have failed:\n{}", list(&self.dest()))
        };
        let left: Vec<_> = fs::read_dir(self.0.path())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.is_dir())
            .collect();
        assert!(left.is_empty(), "left behind: {left:?}");
        error
            .to_string()
            .replace(&format!("{}/", self.0.path().display()), "")
    }

    fn tarball(&self, content: &[u8]) -> Result<String, String> {
        let result = tarball::unpack(&self.file("x.tar", content), &self.dest());
        if result.is_ok() {
            Ok(list(&self.dest()))
        } else {
            Err(self.failed(result))
        }
    }

    fn debs(&self, packages: &[Tar]) -> Result<String, String>
    where
        Tar: Clone,
    {
        self.raw_debs(
            &packages
                .iter()
                .map(|tar| package("data.tar.xz", &xz(&tar.clone().bytes())))
                .collect::<Vec<_>>(),
        )
    }

    fn raw_debs(&self, packages: &[Vec<u8>]) -> Result<String, String> {
        let debs: Vec<_> = packages
            .iter()
            .enumerate()
            .map(|(i, content)| self.file(&format!("{i}.deb"), content))
            .collect();
        let result = deb::unpack(&debs, &self.dest());
        if result.is_ok() {
            Ok(list(&self.dest()))
        } else {
            Err(self.failed(result))
        }
    }
}

impl Clone for Tar {
    fn clone(&self) -> Self {
        Self(Builder::new(self.0.get_ref().clone()))
    }
}

fn tarball_of(tar: Tar) -> Result<String, String> {
    Place::new().tarball(&tar.bytes())
}

fn debs_of(packages: &[Tar]) -> Result<String, String> {
    Place::new().debs(packages)
}

fn honest() -> Tar {
    Tar::new()
        .raw(
            EntryType::XGlobalHeader,
            "pax_global_header",
            "",
            0o644,
            b"19 comment=0123456\n",
        )
        .directory("hello-1/")
        .executable("hello-1/configure", b"#!")
        .file("./hello-1/src/main.c", b"int")
        .symlink("hello-1/link", "/etc/passwd")
        .hard_link("hello-1/other", "hello-1/configure")
        .directory("hello-1/empty/")
}

#[test]
fn tarballs_in_every_compression() {
    let tar = honest().bytes();
    let zst = zstd::encode_all(&tar[..], 1).unwrap();
    let forms = [tar.clone(), gzip(&tar), xz(&tar), bzip2(&tar), zst];
    let all = forms.map(|form| Place::new().tarball(&form).unwrap());
    insta::assert_snapshot!(all[0], @r"
    configure 755 '#!' (linked)
    empty/
    link -> /etc/passwd
    other 755 '#!' (linked)
    src/
    src/main.c 644 'int'
    ");
    assert!(all.iter().all(|listing| *listing == all[0]));
    // gzip's members one after the other, and what fills up the last block of a tape.
    let (one, two) = tar.split_at(tar.len() / 2);
    let parts = [&gzip(one)[..], &gzip(b""), &gzip(two)].concat();
    for rest in [&b""[..], &[0; 512], b"garbage"] {
        let filled = [&parts[..], rest].concat();
        assert_eq!(Place::new().tarball(&filled).unwrap(), all[0]);
    }
    let cut = gzip(&tar);
    assert!(Place::new().tarball(&cut[..cut.len() - 1]).is_err());
}

#[test]
fn a_tarball_without_a_single_directory_stays_as_it_is() {
    insta::assert_snapshot!(tarball_of(Tar::new().file("a/x", b"1").file("b", b"2")).unwrap(), @r"
    a/
    a/x 644 '1'
    b 644 '2'
    ");
    insta::assert_snapshot!(tarball_of(Tar::new().directory("./").file("./only", b"1")).unwrap(), @"only 644 '1'");
}

#[test]
fn a_hard_link_to_a_symlink_is_that_symlink() {
    let tar = Tar::new()
        .file("d/x", b"1")
        .symlink("d/l", "/etc/passwd")
        .hard_link("d/h", "d/l")
        .hard_link("d/l", "d/l")
        .hard_link("d/x", "d/h");
    insta::assert_snapshot!(tarball_of(tar).unwrap(), @r"
    h -> /etc/passwd
    l -> /etc/passwd
    x -> /etc/passwd
    ");
}

#[test]
fn later_entries_replace_earlier_ones() {
    let tar = Tar::new()
        .file("d/x", b"1")
        .hard_link("d/y", "d/x")
        .executable("d/x", b"2")
        .symlink("d/z", "x")
        .file("d/z", b"3");
    insta::assert_snapshot!(tarball_of(tar).unwrap(), @r"
    x 755 '2'
    y 644 '1'
    z 644 '3'
    ");
}

#[test]
fn long_names() {
    let long = format!("d/{}/{}", "a".repeat(200), "b".repeat(200));
    let mut gnu = Builder::new(Vec::new());
    let mut header = Header::new_gnu();
    header.set_size(1);
    header.set_mode(0o644);
    gnu.append_data(&mut header, &long, &b"x"[..]).unwrap();
    let listing = Place::new().tarball(&gnu.into_inner().unwrap()).unwrap();
    assert!(
        listing.ends_with(&format!("{} 644 'x'", &long[2..])),
        "{listing}"
    );

    let record = format!(" path={long}\n");
    let record = format!("{}{record}", record.len() + 3);
    let pax = Tar::new()
        .raw(EntryType::XHeader, "pax", "", 0o644, record.as_bytes())
        .file("short", b"x");
    let listing = tarball_of(pax).unwrap();
    assert!(
        listing.ends_with(&format!("{} 644 'x'", &long[2..])),
        "{listing}"
    );
}

#[test]
fn hostile_tarballs() {
    let error = |tar: Tar| tarball_of(tar).unwrap_err();
    insta::assert_snapshot!(error(Tar::new().file("d/../../x", b"")), @"the entry 'd/../../x' of the archive 'x.tar' is refused: its path contains '..'");
    insta::assert_snapshot!(error(Tar::new().file("/etc/x", b"")), @"the entry '/etc/x' of the archive 'x.tar' is refused: its path is absolute");
    insta::assert_snapshot!(error(Tar::new().symlink("a", "/etc").file("a/passwd", b"")), @"the entry 'a/passwd' of the archive 'x.tar' is refused: 'a' is a symbolic link (to '/etc'), not a directory");
    insta::assert_snapshot!(error(Tar::new().symlink("a", "..").directory("a/b")), @"the entry 'a/b' of the archive 'x.tar' is refused: 'a' is a symbolic link (to '..'), not a directory");
    insta::assert_snapshot!(error(Tar::new().symlink("a", "..").hard_link("a/b", "a")), @"the entry 'a/b' of the archive 'x.tar' is refused: 'a' is a symbolic link (to '..'), not a directory");
    insta::assert_snapshot!(error(Tar::new().file("a", b"").file("a/b", b"")), @"the entry 'a/b' of the archive 'x.tar' is refused: 'a' is a file, not a directory");
    insta::assert_snapshot!(error(Tar::new().file("a/b", b"").symlink("a", "/etc")), @"the entry 'a' of the archive 'x.tar' is refused: a directory is there already");
    insta::assert_snapshot!(error(Tar::new().hard_link("a", "/etc/passwd")), @"the entry 'a' of the archive 'x.tar' is refused: the target of a hard link: its path is absolute");
    insta::assert_snapshot!(error(Tar::new().hard_link("a", "b")), @"the entry 'a' of the archive 'x.tar' is refused: it is a hard link to 'b', and no such file was unpacked before it");
    insta::assert_snapshot!(error(Tar::new().symlink("l", "..").hard_link("a", "l/x")), @"the entry 'a' of the archive 'x.tar' is refused: it is a hard link to 'l/x', and no such file was unpacked before it");
    insta::assert_snapshot!(error(Tar::new().raw(EntryType::Char, "tty", "", 0o666, b"")), @"the entry 'tty' of the archive 'x.tar' is refused: it is a device node");
    insta::assert_snapshot!(error(Tar::new().raw(EntryType::Fifo, "p", "", 0o666, b"")), @"the entry 'p' of the archive 'x.tar' is refused: it is a named pipe");
    insta::assert_snapshot!(error(Tar::new().symlink("./", "/etc").file("x", b"")), @"the entry './' of the archive 'x.tar' is refused: the root of an archive must be a directory");
    insta::assert_snapshot!(error(Tar::new().raw(EntryType::GNULongName, "././@LongLink", "", 0, &vec![b'a'; 2 << 20])), @"'x.tar' is not a usable archive: an extended header has more than 1048576 bytes");
    insta::assert_snapshot!(error(Tar::new().file("new\nline\u{1b}[31m", b"").file("new\nline\u{1b}[31m/x", b"")), @r"the entry 'new\nline\x1b[31m/x' of the archive 'x.tar' is refused: 'new\nline\x1b[31m' is a file, not a directory");
}

#[test]
fn damaged_tarballs() {
    let tar = honest().bytes();
    let zst = zstd::encode_all(&tar[..], 1).unwrap();
    for whole in [gzip(&tar), xz(&tar), bzip2(&tar), zst] {
        let error = Place::new().tarball(&whole[..whole.len() / 2]).unwrap_err();
        assert!(
            error.starts_with("cannot read the archive 'x.tar': "),
            "{error}"
        );
    }
    let mut flipped = gzip(&tar);
    let crc = flipped.len() - 6;
    flipped[crc] ^= 1;
    assert!(
        Place::new()
            .tarball(&flipped)
            .unwrap_err()
            .starts_with("cannot read the archive 'x.tar': ")
    );
    assert!(Place::new().tarball(&tar[..tar.len() - 3000]).is_err());
    insta::assert_snapshot!(Place::new().tarball(b"").unwrap_err(), @"'x.tar' is not a usable archive: it is not a tar archive, or an empty one");
    assert!(Place::new().tarball(b"<html>not found</html>").is_err());
}

#[test]
fn an_existing_destination_is_left_alone() {
    let place = Place::new();
    let archive = place.file("x.tar", &honest().bytes());
    let deb = place.file("x.deb", &package("data.tar", &honest().bytes()));
    fs::create_dir(place.dest()).unwrap();
    fs::write(place.dest().join("mine"), "").unwrap();
    assert!(tarball::unpack(&archive, &place.dest()).is_err());
    assert!(deb::unpack(&[deb], &place.dest()).is_err());
    assert_eq!(list(&place.dest()), "mine 644 ''");
}

fn library() -> Tar {
    Tar::new()
        .directory("./")
        .directory("./lib/x/")
        .file("./lib/x/libz.so.1.2", b"elf")
        .symlink("./lib/x/libz.so.1", "libz.so.1.2")
        .symlink("./lib/x/up", "../../usr/share/z")
        .file("./usr/share/doc/zlib/copyright", b"text")
        .directory("./usr/share/docs/")
        .file("./usr/share/locale/de/x.mo", b"text")
        .symlink("./usr/share/man", "/x")
        .symlink("./etc/alternatives", "/lib")
}

fn development() -> Tar {
    Tar::new()
        .directory("./usr/lib/x")
        .symlink("./usr/lib/x/libz.so", "/lib/x/libz.so.1.2")
        .symlink("./usr/lib/x/libq.so", "../../../lib/x/libz.so.1")
        .symlink("./usr/lib/x/near.so", "../x/libz.so.1")
        .symlink("./bin", "usr/bin")
        .symlink("./lib32", "/usr/lib32")
        .executable("./bin/tool", b"#!")
        .hard_link("./usr/bin/tool2", "./bin/tool")
        .file("./libx32/a", b"")
        .executable("./opt/o", b"")
        .file("./usr/share/doc/zlib/copyright", b"other text")
}

#[test]
fn packages_are_merged() {
    insta::assert_snapshot!(debs_of(&[library(), development(), library()]).unwrap(), @r"
    bin -> usr/bin
    etc/
    etc/alternatives -> ../usr/lib
    lib -> usr/lib
    lib64 -> usr/lib64
    libx32 -> usr/libx32
    opt/
    opt/o 755 ''
    sbin -> usr/sbin
    usr/
    usr/bin/
    usr/bin/tool 755 '#!' (linked)
    usr/bin/tool2 755 '#!' (linked)
    usr/lib/
    usr/lib/x/
    usr/lib/x/libq.so -> libz.so.1
    usr/lib/x/libz.so -> libz.so.1.2
    usr/lib/x/libz.so.1 -> libz.so.1.2
    usr/lib/x/libz.so.1.2 644 'elf'
    usr/lib/x/near.so -> ../x/libz.so.1
    usr/lib/x/up -> ../../share/z
    usr/lib64/
    usr/libx32/
    usr/libx32/a 644 ''
    usr/sbin/
    usr/share/
    usr/share/docs/
    ");
    assert_eq!(
        debs_of(&[development(), library()]).unwrap(),
        debs_of(&[library(), development()]).unwrap()
    );
}

#[test]
fn an_empty_list_has_the_frame() {
    insta::assert_snapshot!(debs_of(&[]).unwrap(), @r"
    bin -> usr/bin
    lib -> usr/lib
    lib64 -> usr/lib64
    sbin -> usr/sbin
    usr/
    usr/bin/
    usr/lib/
    usr/lib64/
    usr/sbin/
    ");
}

#[test]
fn contradicting_packages() {
    let error = |a: Tar, b: Tar| debs_of(&[a, b]).unwrap_err();
    let file = |content| Tar::new().file("./usr/x", content);
    insta::assert_snapshot!(error(file(b"1"), file(b"2")), @"'usr/x' is in both '0.deb' and '1.deb', but not the same in both");
    for other in [
        file(b""),
        file(b"11"),
        Tar::new().executable("usr/x", b"1"),
        Tar::new().symlink("usr/x", "y"),
        Tar::new().directory("usr/x"),
        Tar::new().file("usr/y", b"2").hard_link("usr/x", "usr/y"),
    ] {
        let expected = "'usr/x' is in both '0.deb' and '1.deb', but not the same in both";
        assert_eq!(error(file(b"1"), other), expected);
    }
    let link = |target| Tar::new().symlink("usr/l", target);
    insta::assert_snapshot!(error(link("a"), link("b")), @"'usr/l' is in both '0.deb' and '1.deb', but not the same in both");
    assert!(
        debs_of(&[link("/usr/a"), link("a")]).is_ok(),
        "the same after rewriting"
    );
    insta::assert_snapshot!(error(Tar::new().file("bin/x", b"1"), Tar::new().file("usr/bin/x", b"2")), @"'usr/bin/x' is in both '0.deb' and '1.deb', but not the same in both");
    insta::assert_snapshot!(error(Tar::new().symlink("bin", "/etc"), file(b"")), @"'usr/bin' is in both 'the usr-merged layout' and '0.deb', but not the same in both");
}

#[test]
fn hostile_packages() {
    let error = |tar: Tar| debs_of(&[tar]).unwrap_err();
    insta::assert_snapshot!(error(Tar::new().file("./../x", b"")), @"the entry './../x' of the archive '0.deb' is refused: its path contains '..'");
    insta::assert_snapshot!(error(Tar::new().file("/usr/x", b"")), @"the entry '/usr/x' of the archive '0.deb' is refused: its path is absolute");
    insta::assert_snapshot!(error(Tar::new().symlink("usr/a", "/etc").file("usr/a/passwd", b"")), @"the entry 'usr/a/passwd' of the archive '0.deb' is refused: 'usr/a' is a symbolic link (to '../etc'), not a directory");
    insta::assert_snapshot!(error(Tar::new().symlink("usr/a", "../../etc")), @"the entry 'usr/a' of the archive '0.deb' is refused: its target leads out of the tree");
    insta::assert_snapshot!(error(Tar::new().raw(EntryType::Block, "dev/sda", "", 0o666, b"")), @"the entry 'dev/sda' of the archive '0.deb' is refused: it is a device node");
    insta::assert_snapshot!(error(Tar::new().file("usr/share/doc/x", b"").hard_link("usr/x", "usr/share/doc/x")), @"the entry 'usr/x' of the archive '0.deb' is refused: it is a hard link to 'usr/share/doc/x', and no such file was unpacked before it");
    insta::assert_snapshot!(error(Tar::new().symlink("usr/a", "")), @"the entry 'usr/a' of the archive '0.deb' is refused: it is a link without a target");
}

#[test]
fn malformed_packages() {
    let error = |bytes: Vec<u8>| Place::new().raw_debs(&[bytes]).unwrap_err();
    let good = package("data.tar.gz", &gzip(&library().bytes()));
    insta::assert_snapshot!(error(b"PK\x03\x04".to_vec()), @"'0.deb' is not a usable archive: it is not a Debian package: it does not begin with '!<arch>'");
    insta::assert_snapshot!(error(good[..8].to_vec()), @"'0.deb' is not a usable archive: it ends before its member 'debian-binary'");
    insta::assert_snapshot!(error(good[..40].to_vec()), @"'0.deb' is not a usable archive: the header at offset 8 is cut off");
    insta::assert_snapshot!(error(good[..good.len() - 10].to_vec()), @"'0.deb' is not a usable archive: the header at offset 210 has a size that goes beyond the end of the file");
    insta::assert_snapshot!(error(package("data.tar.lzma", b"")), @"'0.deb' is not a usable archive: its member 'data.tar.lzma' has an unknown compression");
    insta::assert_snapshot!(error(package("readme", b"")), @"'0.deb' is not a usable archive: its member 'readme' stands where 'data.tar' must be");
    let with = |from: &[u8], to: &[u8]| {
        let mut bytes = good.clone();
        let at = bytes
            .windows(from.len())
            .position(|window| window == from)
            .unwrap();
        bytes[at..at + to.len()].copy_from_slice(to);
        bytes
    };
    insta::assert_snapshot!(error(with(b"2.0\n", b"3.0\n")), @"'0.deb' is not a usable archive: its format version is '3.0', not 2");
    insta::assert_snapshot!(error(with(b"`\n", b"??")), @"'0.deb' is not a usable archive: the header at offset 8 does not end as it must");
    insta::assert_snapshot!(error(with(b"4         `", b"-4        `")), @"'0.deb' is not a usable archive: the header at offset 8 has a size that is not a number");
    insta::assert_snapshot!(error(with(b"4         `", b"9999999999`")), @"'0.deb' is not a usable archive: the header at offset 8 has a size that goes beyond the end of the file");
}

#[test]
fn modes_do_not_depend_on_the_umask() {
    // The umask belongs to the whole process, so this looks at what the system made of ours: `list` checks directories, this checks files.
    let place = Place::new();
    place
        .debs(&[Tar::new().executable("usr/bin/su", b"").raw(
            EntryType::Regular,
            "usr/secret",
            "",
            0o4600,
            b"",
        )])
        .unwrap();
    let mode = |path: &str| {
        fs::metadata(place.dest().join(path))
            .unwrap()
            .permissions()
            .mode()
            & 0o7777
    };
    assert_eq!((mode("usr/bin/su"), mode("usr/secret")), (0o755, 0o644));
}

/// Random archives from few names, so that entries collide, go through links and replace each other.
fn any_tar() -> impl Strategy<Value = Vec<(u8, String, String)>> {
    let name = "(\\./)?([abc]|usr|bin|lib|\\.\\.)(/([abc]|bin|\\.\\.)){0,3}/?";
    let target = "(/|\\.\\./)?([abc]|usr|\\.\\.)(/([abc]|\\.\\.)){0,2}";
    proptest::collection::vec((0_u8..5, name, target), 1..12)
}

fn build(entries: &[(u8, String, String)]) -> Tar {
    entries
        .iter()
        .fold(Tar::new(), |tar, (kind, name, target)| match kind {
            0 => tar.file(name, target.as_bytes()),
            1 => tar.directory(name),
            2 => tar.symlink(name, target),
            3 => tar.hard_link(name, target),
            _ => tar.executable(name, b"x"),
        })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]

    #[test]
    fn nothing_is_written_outside(entries in any_tar()) {
        let place = Place::new();
        let tar = build(&entries);
        let unpacked = place.tarball(&tar.clone().bytes()).is_ok();
        let names: Vec<_> = fs::read_dir(place.0.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        prop_assert_eq!(names.len(), 1 + usize::from(unpacked), "{:?}", names);
        let place = Place::new();
        let unpacked = place.debs(&[tar]).is_ok();
        let names: Vec<_> = fs::read_dir(place.0.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        prop_assert_eq!(names.len(), 1 + usize::from(unpacked), "{:?}", names);
    }

    #[test]
    fn damage_never_panics(entries in any_tar(), at: proptest::sample::Index, value: u8, cut: proptest::sample::Index) {
        let mut bytes = package("data.tar", &build(&entries).bytes());
        let index = at.index(bytes.len());
        bytes[index] = value;
        bytes.truncate(cut.index(bytes.len() * 2).max(1));
        let _ = Place::new().raw_debs(&[bytes.clone()]);
        let _ = Place::new().tarball(&bytes);
    }
}

#[test]
fn single_members_of_a_package() {
    let place = Place::new();
    let tar = honest_package();
    let deb = place.file("x.deb", &package("data.tar.xz", &xz(&tar.bytes())));
    deb::unpack_only(std::slice::from_ref(&deb), &["usr/bin/tool"], &place.dest()).unwrap();
    let unpacked = list(&place.dest());
    assert!(
        unpacked.contains("tool") && !unpacked.contains("other"),
        "{unpacked}"
    );
    assert!(!unpacked.contains("lib64"), "{unpacked}");
    let place = Place::new();
    let deb = place.file(
        "x.deb",
        &package("data.tar.xz", &xz(&honest_package().bytes())),
    );
    let failed = place.failed(deb::unpack_only(
        &[deb],
        &["usr/bin/tool", "usr/bin/absent"],
        &place.dest(),
    ));
    assert!(
        failed.contains("it has no 'usr/bin/absent', which was asked for"),
        "{failed}"
    );
}

/// A package with two programs, one of them before the merge of `/bin`.
fn honest_package() -> Tar {
    Tar::new()
        .directory("./bin/")
        .executable("./bin/tool", b"#!")
        .directory("./usr/bin/")
        .executable("./usr/bin/other", b"#!")
}
