//! Archives, hashes and the search for references: what every import and
//! every build's registration does to all of its data.
//!
//! `cargo bench -p xbuild-store-model`; figures are bytes of the files.

use std::fs;
use std::hint::black_box;
use std::io::{self, Read};
use std::path::PathBuf;

use divan::Bencher;
use divan::counter::BytesCount;
use xbuild_store_model::nar::{self, Limits, NarSink};
use xbuild_store_model::{Hash, HashAlgo, Hasher, RefScanner, StorePath};

fn main() {
    divan::main();
}

const SIZE: usize = 32 << 20;

/// Bytes as from a xorshift generator.
fn random(size: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut data = Vec::with_capacity(size + 8);
    while data.len() < size {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        data.extend_from_slice(&state.to_le_bytes());
    }
    data.truncate(size);
    data
}

/// Text of hexadecimal digits: nearly every window is one of base-32 digits.
fn hexadecimal(size: usize) -> Vec<u8> {
    random(size)
        .iter()
        .map(|byte| b"0123456789abcdf"[usize::from(byte % 15)])
        .collect()
}

/// This benchmark's own program: code, tables and debug lines.
fn program(size: usize) -> Vec<u8> {
    let path = std::env::current_exe().expect("it runs");
    let program = fs::read(path).expect("it can be read");
    program.iter().copied().cycle().take(size).collect()
}

fn candidates(count: usize) -> Vec<StorePath> {
    let path = |i: usize| {
        let hash = Hash::of(HashAlgo::Sha256, &i.to_le_bytes()).to_base32();
        StorePath::from_base_name(&format!("{}-x", &hash[..32])).expect("a valid name")
    };
    (0..count).map(path).collect()
}

#[divan::bench(args = ["md5", "sha1", "sha256", "sha512", "blake3"], sample_count = 20)]
fn hash(bencher: Bencher<'_, '_>, algo: &str) {
    let algo = algo.parse().expect("an algorithm");
    let data = random(SIZE);
    bencher
        .counter(BytesCount::new(SIZE))
        .bench_local(|| Hash::of(algo, black_box(&data)));
}

type Make = fn(usize) -> Vec<u8>;

#[divan::bench(args = ["program", "random", "zero", "hexadecimal"], sample_count = 20)]
fn reference_scan(bencher: Bencher<'_, '_>, kind: &str) {
    let make: Make = match kind {
        "program" => program,
        "random" => random,
        "zero" => |size| vec![0; size],
        _ => hexadecimal,
    };
    let data = make(SIZE);
    let candidates = candidates(500);
    bencher.counter(BytesCount::new(SIZE)).bench_local(|| {
        let mut scanner = RefScanner::new(&candidates);
        for chunk in data.chunks(256 << 10) {
            scanner.update(black_box(chunk));
        }
        scanner.found()
    });
}

/// A tree of `files` files that together have `SIZE` bytes.
fn tree(files: usize) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let root = dir.path().join("tree");
    let data = random(SIZE);
    for (i, chunk) in data.chunks(SIZE / files).enumerate() {
        let parent = root.join((i / 100).to_string());
        fs::create_dir_all(&parent).expect("a directory");
        fs::write(parent.join(i.to_string()), chunk).expect("a file");
    }
    (dir, root)
}

#[divan::bench(args = [1, 1000, 10_000], sample_count = 20)]
fn nar_dump(bencher: Bencher<'_, '_>, files: usize) {
    let (_dir, root) = tree(files);
    bencher
        .counter(BytesCount::new(SIZE))
        .bench_local(|| nar::write_path(&root, &mut io::sink()).expect("readable"));
}

#[divan::bench(args = [1, 1000, 10_000], sample_count = 20)]
fn nar_dump_and_hash(bencher: Bencher<'_, '_>, files: usize) {
    let (_dir, root) = tree(files);
    bencher
        .counter(BytesCount::new(SIZE))
        .bench_local(|| nar::hash_path(&root, HashAlgo::Sha256).expect("readable"));
}

/// What registering a build's output takes.
#[divan::bench(args = [1, 1000, 10_000], sample_count = 20)]
fn nar_dump_hash_and_scan(bencher: Bencher<'_, '_>, files: usize) {
    struct Both(Hasher, RefScanner);
    impl io::Write for Both {
        fn write(&mut self, data: &[u8]) -> io::Result<usize> {
            self.0.update(data);
            self.1.update(data);
            Ok(data.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let (_dir, root) = tree(files);
    let candidates = candidates(500);
    bencher.counter(BytesCount::new(SIZE)).bench_local(|| {
        let mut both = Both(Hasher::new(HashAlgo::Sha256), RefScanner::new(&candidates));
        nar::write_path(&root, &mut both).expect("readable");
        (both.0.finish(), both.1.found())
    });
}

struct Ignore;

impl NarSink for Ignore {
    fn regular(&mut self, _: &[u8], _: bool, _: u64, _: &mut dyn Read) -> io::Result<()> {
        Ok(())
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

#[divan::bench(args = [1, 10_000], sample_count = 20)]
fn nar_read(bencher: Bencher<'_, '_>, files: usize) {
    let (_dir, root) = tree(files);
    let mut archive = Vec::new();
    nar::write_path(&root, &mut archive).expect("readable");
    bencher
        .counter(BytesCount::new(SIZE))
        .bench_local(|| nar::read(&archive[..], &mut Ignore, &Limits::default()).expect("valid"));
}

#[divan::bench(args = [1, 1000], sample_count = 20)]
fn nar_restore(bencher: Bencher<'_, '_>, files: usize) {
    let (dir, root) = tree(files);
    let mut archive = Vec::new();
    nar::write_path(&root, &mut archive).expect("readable");
    let mut count = 0;
    let mut fresh = || {
        count += 1;
        dir.path().join(format!("copy-{count}"))
    };
    bencher
        .counter(BytesCount::new(SIZE))
        .with_inputs(&mut fresh)
        .bench_local_refs(|copy| nar::restore(&archive[..], copy).expect("valid"));
}
