//! The whole road with real packages: fetched, cross-built in sandboxes, proven AArch64, run under an emulator, built again
//! bit for bit, and kept in a store that stock Nix finds sound.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use support::oracle::nix;
use support::world::{Who, World, copy_store, is_root};
use support::{emulate, expressions};
use support::{name_of, progress};

/// Packages for any AArch64 Linux.
const PACKAGES: [&str; 6] = ["hello", "zlib", "pigz", "fmt", "fmt-demo", "busybox"];
/// Packages for boards.
const FOR_BOARDS: [&str; 3] = [
    "nvidia-jetson-orin-agx.hello",
    "nvidia-jetson-orin-nx.pigz",
    "nxp-imx8mp-evk.hello",
];

/// A store with all of [`PACKAGES`] and [`FOR_BOARDS`], which no test changes but by building more.
struct Built {
    world: World,
    /// A copy of the store, taken before any test builds more; its files are links to the same data.
    copy: World,
    /// Attribute → output.
    out: BTreeMap<&'static str, String>,
}

static BUILT: LazyLock<Built> = LazyLock::new(|| {
    let world = World::new("packages", Who::Caller);
    expressions::copy(&world);
    emulate::tools(&world);
    progress("packages: an empty store, every package");
    let attributes: Vec<&str> = PACKAGES.into_iter().chain(FOR_BOARDS).collect();
    let mut args = vec!["realise".to_owned()];
    args.extend(attributes.iter().map(|attribute| format!(".#{attribute}")));
    let built = world
        .xbuild(&args.iter().map(String::as_str).collect::<Vec<_>>())
        .succeeds();
    assert_eq!(built.lines().len(), attributes.len(), "{}", built.report());
    let out = attributes
        .iter()
        .copied()
        .zip(built.lines().into_iter().map(str::to_owned))
        .collect();
    let copy = World::new("packages-gc", Who::Caller);
    copy_store(world.store(), copy.store());
    Built { world, copy, out }
});

/// What `script` prints, with `${pkgs.NAME}` for any AArch64 and `$emulator`.
fn emulate(world: &World, name: &str, script: &str) -> String {
    emulate::run(world, "import ./default.nix", name, script)
}

#[test]
fn results_are_linked() {
    let Built { world, out, .. } = &*BUILT;
    let attributes: Vec<&str> = PACKAGES.into_iter().chain(FOR_BOARDS).collect();
    for (index, attribute) in attributes.iter().enumerate() {
        let link = if index == 0 {
            "result".to_owned()
        } else {
            format!("result-{}", index + 1)
        };
        let target = fs::read_link(world.path(&link)).expect("a link to the result");
        assert_eq!(target, world.physical(&out[attribute]), "{link}");
    }
    assert!(world.path("result/bin/hello").is_file());
}

#[test]
fn names_say_target_and_version() {
    let out = &BUILT.out;
    let names: Vec<String> = PACKAGES
        .into_iter()
        .chain(FOR_BOARDS)
        .map(|attribute| name_of(&out[attribute]))
        .collect();
    assert_eq!(
        names,
        [
            "hello-aarch64-linux-2.10",
            "zlib-aarch64-linux-1.2.13.dfsg",
            "pigz-aarch64-linux-2.8",
            "fmt-aarch64-linux-9.1.0+ds1",
            "fmt-demo-aarch64-linux-9.1.0+ds1",
            "busybox-aarch64-linux-1.35.0",
            "hello-cortex-a78ae-2.10",
            "pigz-cortex-a78ae-2.8",
            "hello-cortex-a53-2.10",
        ]
    );
}

#[test]
fn hello_greets() {
    let world = &BUILT.world;
    let printed = emulate(
        world,
        "run-hello",
        "$emulator ${pkgs.hello}/bin/hello; $emulator ${pkgs.hello}/bin/hello --greeting=Tag",
    );
    assert_eq!(printed, "Hello, world!\nTag\n");
}

/// The emulated processor is one that knows what the board's knows and no more.
#[test]
fn programs_for_boards_run_on_their_processors() {
    let world = &BUILT.world;
    let printed = emulate(
        world,
        "run-for-boards",
        "$emulator -cpu cortex-a76 ${pkgs.nvidia-jetson-orin-agx.hello}/bin/hello
        echo orin | $emulator -cpu cortex-a76 ${pkgs.nvidia-jetson-orin-nx.pigz}/bin/pigz | $emulator -cpu cortex-a76 ${pkgs.nvidia-jetson-orin-nx.pigz}/bin/unpigz
        $emulator -cpu cortex-a53 ${pkgs.nxp-imx8mp-evk.hello}/bin/hello --greeting=imx8mp",
    );
    assert_eq!(printed, "Hello, world!\norin\nimx8mp\n");
}

#[test]
fn pigz_compresses_and_decompresses() {
    let world = &BUILT.world;
    let printed = emulate(
        world,
        "run-pigz",
        "seq 1 200000 >numbers
        $emulator ${pkgs.pigz}/bin/pigz -k -p 2 numbers
        # Another gzip understands it, and it understands itself.
        gunzip -c numbers.gz | cmp - numbers && echo gunzip
        $emulator ${pkgs.pigz}/bin/unpigz -c numbers.gz | cmp - numbers && echo unpigz
        $emulator ${pkgs.pigz}/bin/pigz -t numbers.gz && echo sound
        [ $(wc -c <numbers.gz) -lt $(($(wc -c <numbers) / 2)) ] && echo smaller",
    );
    assert_eq!(printed, "gunzip\nunpigz\nsound\nsmaller\n");
}

#[test]
fn busybox_has_its_applets() {
    let world = &BUILT.world;
    let printed = emulate(
        world,
        "run-busybox",
        r#"busybox="$emulator ${pkgs.busybox}/bin/busybox"
        printf 'b\na\n' | $busybox sort
        printf abc | $busybox sha256sum | $busybox cut -c1-16
        $busybox awk 'BEGIN { print 6 * 7 }'
        $busybox sh -c 'echo $((1 << 40))'
        $busybox uname -m"#,
    );
    assert_eq!(
        printed,
        "a\nb\nba7816bf8f01cfea\n42\n1099511627776\naarch64\n"
    );
    let applets = emulate(
        world,
        "run-busybox-list",
        "$emulator ${pkgs.busybox}/bin/busybox --list",
    );
    let bin = world.physical(&BUILT.out["busybox"]).join("bin");
    let applets: BTreeSet<&str> = applets.lines().collect();
    for applet in ["ash", "cat", "ip", "mount", "tar", "udhcpc", "vi", "wget"] {
        assert!(applets.contains(applet), "no applet {applet}");
    }
    assert_eq!(
        fs::read_link(bin.join("cat")).expect("bin/cat is a link"),
        Path::new("busybox")
    );
}

#[test]
fn fmt_formats_throws_and_runs_threads() {
    let world = &BUILT.world;
    let printed = emulate(world, "run-fmt", "$emulator ${pkgs.fmt-demo}/bin/fmt-demo");
    assert_eq!(
        printed,
        "answer:    42\npi: 3.1416\nlist: [1, 2, 3]\nexception: caught\nthread: ran\n"
    );
}

#[test]
fn zlib_serves_static_and_shared() {
    let Built { world, out, .. } = &*BUILT;
    let lib = world.physical(&out["zlib"]).join("lib");
    assert!(lib.join("libz.a").is_file() && lib.join("libz.so.1.2.13").is_file());
    assert_eq!(
        fs::read_link(lib.join("libz.so.1")).expect("a link"),
        Path::new("libz.so.1.2.13")
    );
    world.write(
        "crc.c",
        r#"#include <stdio.h>
#include <string.h>
#include <zlib.h>
int main(void) {
  const char *text = "123456789";
  unsigned char packed[100], again[100];
  unsigned long n = sizeof packed, m = sizeof again;
  if (compress(packed, &n, (const unsigned char *)text, 9) != Z_OK) return 1;
  if (uncompress(again, &m, packed, n) != Z_OK || m != 9 || memcmp(again, text, 9)) return 2;
  printf("%s %08lx\n", zlibVersion(), crc32(0, (const unsigned char *)text, 9));
}
"#,
    );
    world.write(
        "crc.nix",
        r#"let pkgs = import ./default.nix;
in pkgs.stdenv.mkDerivation {
  pname = "crc";
  version = "1";
  src = ./crc.c;
  dontUnpack = true;
  buildInputs = [ pkgs.zlib ];
  buildPhase = ''
    cp $src crc.c
    $CC -Wall -Werror -o shared crc.c -lz
    $CC -Wall -Werror -o static crc.c -l:libz.a
  '';
  installPhase = "install -Dt $out/bin shared static";
}
"#,
    );
    let crc = world
        .xbuild(&["realise", "--no-out-link", "./crc.nix"])
        .succeeds();
    assert!(world.physical(crc.line()).join("bin/static").is_file());
    let printed = emulate(
        world,
        "run-crc",
        "$emulator ${import ./crc.nix}/bin/static; $emulator ${import ./crc.nix}/bin/shared",
    );
    assert_eq!(printed, "1.2.13 cbf43926\n1.2.13 cbf43926\n");
}

#[test]
fn boards_have_the_flags_of_their_cpu_and_share_its_derivations() {
    let world = &BUILT.world;
    world.write(
        "features.nix",
        r#"{ board }: with (import ./default.nix).${board};
stdenv.mkDerivation {
  name = "features-${board}";
  dontUnpack = true;
  buildPhase = "echo | $CC -x c -dM -E - | grep -E 'define __ARM_FEATURE_(ATOMICS|AES|DOTPROD|FP16_SCALAR_ARITHMETIC) ' | cut -d ' ' -f 2 | sort >features";
  installPhase = "cp features $out";
  dontFixup = true;
}
"#,
    );
    let mut wrappers = BTreeSet::new();
    let orin =
        "__ARM_FEATURE_ATOMICS\n__ARM_FEATURE_DOTPROD\n__ARM_FEATURE_FP16_SCALAR_ARITHMETIC\n";
    for (board, flags, features) in [
        ("nvidia-jetson-orin-agx", "-mcpu=cortex-a78ae", orin),
        ("nvidia-jetson-orin-nx", "-mcpu=cortex-a78ae", orin),
        (
            "nxp-imx8mp-evk",
            "-mcpu=cortex-a53+crypto",
            "__ARM_FEATURE_AES\n",
        ),
    ] {
        let shown = world
            .xbuild(&["derivation", "show", &format!(".#{board}.hello.cc")])
            .succeeds()
            .json();
        let shown = shown["derivations"].as_object().expect("derivations");
        let (wrapper, derivation) = shown.iter().next().expect("the compiler's derivation");
        assert_eq!(derivation["env"]["cpuFlags"], flags, "{board}");
        wrappers.insert((flags, wrapper.clone()));
        let defined = world
            .xbuild(&[
                "realise",
                "--no-out-link",
                "-f",
                "features.nix",
                "--argstr",
                "board",
                board,
            ])
            .succeeds();
        assert_eq!(world.read(defined.line()), features, "{board}");
    }
    assert_eq!(wrappers.len(), 2, "one compiler for each CPU: {wrappers:?}");
    let hellos: BTreeSet<String> = [
        "hello",
        "nvidia-jetson-orin-agx.hello",
        "nvidia-jetson-orin-nx.hello",
        "nxp-imx8mp-evk.hello",
    ]
    .into_iter()
    .map(|attribute| {
        world
            .xbuild(&["instantiate", "-A", attribute])
            .succeeds()
            .line()
            .to_owned()
    })
    .collect();
    assert_eq!(
        hellos.len(),
        3,
        "one derivation for any AArch64, and one for each CPU: {hellos:?}"
    );
}

#[test]
fn closures_have_no_toolchain() {
    let Built { world, out, .. } = &*BUILT;
    let closure = |attribute: &str| -> BTreeSet<String> {
        let listed = world
            .xbuild(&["path-info", "-r", &out[attribute]])
            .succeeds();
        // Dependencies come first.
        assert_eq!(listed.lines().last(), Some(&out[attribute].as_str()));
        listed.lines().into_iter().map(name_of).collect()
    };
    let set = |names: &[&str]| {
        names
            .iter()
            .map(|name| (*name).to_owned())
            .collect::<BTreeSet<_>>()
    };
    let libc = "glibc-aarch64-linux-2.36";
    assert_eq!(closure("hello"), set(&["hello-aarch64-linux-2.10", libc]));
    assert_eq!(
        closure("zlib"),
        set(&["zlib-aarch64-linux-1.2.13.dfsg", libc])
    );
    assert_eq!(
        closure("pigz"),
        set(&[
            "pigz-aarch64-linux-2.8",
            "zlib-aarch64-linux-1.2.13.dfsg",
            libc
        ])
    );
    assert_eq!(closure("busybox"), set(&["busybox-aarch64-linux-1.35.0"]));
    assert_eq!(
        closure("fmt-demo"),
        set(&[
            "fmt-demo-aarch64-linux-9.1.0+ds1",
            "fmt-aarch64-linux-9.1.0+ds1",
            "gcc-runtime-aarch64-linux-12.2.0",
            libc
        ])
    );
}

#[test]
fn everything_is_genuine() {
    let Built { world, out, .. } = &*BUILT;
    for (attribute, path) in out {
        let target = match attribute.split_once('.') {
            None => "aarch64-linux",
            Some(("nxp-imx8mp-evk", _)) => "cortex-a53",
            Some(_) => "cortex-a78ae",
        };
        let checked = world.xbuild(&["check", path]).succeeds();
        assert!(
            checked
                .line()
                .starts_with(&format!("{path}: genuine for {target} (")),
            "{}",
            checked.report()
        );
    }
    let json = world
        .xbuild(&["check", "--json", ".#pigz", "result"])
        .succeeds()
        .json();
    let report = &json[&out["pigz"]];
    assert_eq!(report["findings"], serde_json::json!([]), "{json}");
    assert!(json.get(&out["hello"]).is_some(), "{json}");
}

#[test]
fn what_is_built_is_not_built_again() {
    let Built { world, out, .. } = &*BUILT;
    let again = world
        .xbuild(&["realise", "-o", "again", ".#hello"])
        .succeeds();
    assert_eq!(again.line(), out["hello"]);
    assert_eq!(again.stderr, "", "nothing is fetched or built");
    let planned = world
        .xbuild(&["realise", "--dry-run", ".#hello", ".#pigz"])
        .succeeds();
    assert_eq!((planned.stdout.as_str(), planned.stderr.as_str()), ("", ""));
}

#[test]
fn builds_are_bit_identical() {
    let Built { world, out, .. } = &*BUILT;
    progress("packages: four of them once more");
    let again = world
        .xbuild(&[
            "realise",
            "--rebuild",
            "--no-out-link",
            ".#hello",
            ".#zlib",
            ".#pigz",
            ".#fmt",
        ])
        .succeeds();
    assert_eq!(
        again.stderr.matches("building again /nix/store/").count(),
        4,
        "{}",
        again.report()
    );
    let paths: Vec<&str> = ["hello", "zlib", "pigz", "fmt"]
        .iter()
        .map(|attribute| out[attribute].as_str())
        .collect();
    assert_eq!(again.lines(), paths);
}

#[test]
fn logs_are_kept() {
    let Built { world, out, .. } = &*BUILT;
    let log = world.xbuild(&["log", ".#hello"]).succeeds().stdout;
    for line in [
        "== configurePhase",
        "== buildPhase",
        "== installPhase",
        "checking for aarch64-linux-gnu-gcc... aarch64-linux-gnu-gcc",
    ] {
        assert!(
            log.lines()
                .any(|logged| logged.starts_with(line) || logged.contains(line)),
            "no `{line}` in the log:\n{log}"
        );
    }
    assert_eq!(world.xbuild(&["log", &out["hello"]]).succeeds().stdout, log);
    assert_eq!(world.xbuild(&["log", "result"]).succeeds().stdout, log);
}

#[test]
fn stock_nix_finds_the_store_sound() {
    let Built { world, out, .. } = &*BUILT;
    let store = world.store();
    let verified = nix("nix-store", store, &["--verify", "--check-contents"]).succeeds();
    let complaints: Vec<&str> = verified
        .stderr
        .lines()
        .filter(|line| {
            !(line.starts_with("reading the Nix store") || line.starts_with("checking "))
        })
        .collect();
    assert!(complaints.is_empty(), "{}", verified.report());
    world
        .xbuild(&["store", "verify", "--check-contents"])
        .succeeds()
        .says(&["all sound"]);
    // The same facts about every path: hash, size, references, deriver.
    let closure = world
        .xbuild(&[
            "path-info",
            "-r",
            &out["pigz"],
            &out["fmt-demo"],
            &out["busybox"],
        ])
        .succeeds();
    let mut ours = vec!["path-info", "--json"];
    ours.extend(closure.lines());
    let mut theirs = vec!["path-info", "--json", "--json-format", "1"];
    theirs.extend(closure.lines());
    let (ours, theirs) = (
        world.xbuild(&ours).succeeds().json(),
        nix("nix", store, &theirs).succeeds().json(),
    );
    assert_eq!(ours, theirs);
    for path in closure.lines() {
        let references = nix("nix-store", store, &["-q", "--references", path]).succeeds();
        let known: Vec<&str> = ours[path]["references"]
            .as_array()
            .expect("a list")
            .iter()
            .filter_map(|r| r.as_str())
            .collect();
        assert_eq!(
            references.lines().into_iter().collect::<BTreeSet<_>>(),
            known.into_iter().collect(),
            "{path}"
        );
    }
}

/// On a copy of the store.
#[test]
fn garbage_is_what_no_result_needs() {
    let Built {
        world: original,
        copy: world,
        out,
    } = &*BUILT;
    let pigz = &out["pigz"];
    world.xbuild(&["realise", pigz]).succeeds();
    let closure = world.xbuild(&["path-info", "-r", pigz]).succeeds();
    let kept: BTreeSet<&str> = closure.lines().into_iter().collect();

    // A program that runs is a root, and other tests run some, or name them on a command line: so until all of `expected` was garbage.
    let collect = |options: &[&str], expected: &BTreeSet<String>| {
        let mut all = BTreeSet::new();
        for _ in 0..600 {
            let ran = world
                .xbuild(&[&["store", "gc"], options].concat())
                .succeeds();
            all.extend(ran.lines().into_iter().map(str::to_owned));
            if all.is_superset(expected) {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(200));
        }
        assert!(all.is_superset(expected), "{all:?}\n{expected:?}");
        let needed = |path: &&String| kept.contains(path.as_str());
        assert_eq!(all.iter().filter(needed).count(), 0, "{all:?}");
        all
    };
    let garbage = collect(&["--dry-run"], &BTreeSet::from([out["hello"].clone()]));
    assert!(world.is_valid(&out["hello"]), "a dry run deletes nothing");
    collect(&[], &garbage);
    assert!(!world.is_valid(&out["hello"]) && !world.physical(&out["hello"]).exists());
    // What made the kept paths stays too (keep-derivations), and nothing else.
    let left = world.valid_paths();
    assert!(
        kept.iter()
            .all(|path| left.iter().any(|other| other == path))
    );
    nix(
        "nix-store",
        world.store(),
        &["--verify", "--check-contents"],
    )
    .succeeds()
    .does_not_say(&["error", "missing"]);

    fs::remove_file(world.path("result")).expect("remove the link");
    for _ in 0..600 {
        world.xbuild(&["store", "gc"]).succeeds();
        if world.valid_paths().is_empty() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
    assert_eq!(world.valid_paths(), Vec::<String>::new());
    assert!(!world.physical(pigz).exists());
    assert!(original.is_valid(pigz), "the copy was a copy");
}

/// A user without rights, with a store of its own, gets the same bits. The downloads come from those of the first store.
#[test]
fn an_ordinary_user_builds_the_same_hello() {
    let Built {
        world: first, out, ..
    } = &*BUILT;
    if !is_root() {
        return; // The store that was built belongs to an ordinary user.
    }
    let world = World::new("packages-of-ordinary-user", Who::Ordinary);
    expressions::copy(&world);
    emulate::tools(&world);
    let mirror = world.mkdir("mirror");
    first.write(
        "fetched.nix",
        "let lock = builtins.fromJSON (builtins.readFile ./toolchains/lock.json); fetch = import ./toolchains/fetch.nix;
         in map (file: { inherit (file) path; out = (fetch file).outPath; }) (builtins.attrValues lock.packages ++ builtins.attrValues lock.sources)",
    );
    let fetched = first
        .xbuild(&["eval", "--strict", "--json", "fetched.nix"])
        .succeeds()
        .json();
    for file in fetched.as_array().expect("a list") {
        let (path, out) = (
            file["path"].as_str().expect("a path"),
            file["out"].as_str().expect("a store path"),
        );
        let physical = first.physical(out);
        if physical.is_file() {
            let copy = mirror.join(path);
            fs::create_dir_all(copy.parent().expect("a directory"))
                .expect("create a directory of the mirror");
            // Two architectures may share a package: one file of the mirror.
            if copy.exists() {
                continue;
            }
            fs::hard_link(&physical, &copy)
                .or_else(|_| fs::copy(&physical, &copy).map(|_| ()))
                .expect("fill the mirror");
        }
    }
    progress("packages: hello, by an ordinary user");
    let option = format!("file://{}", mirror.display());
    let built = world
        .xbuild(&["realise", ".#hello", "--option", "debian-mirror", &option])
        .succeeds();
    assert_eq!(built.line(), out["hello"]);
    let hash = |world: &World| {
        world
            .xbuild(&["path-info", "--json", &out["hello"]])
            .succeeds()
            .json()[&out["hello"]]["narHash"]
            .clone()
    };
    assert_eq!(hash(&world), hash(first), "the same bits, whoever builds");
    assert_eq!(
        emulate(&world, "run-hello", "$emulator ${pkgs.hello}/bin/hello"),
        "Hello, world!\n"
    );
    nix(
        "nix-store",
        world.store(),
        &["--verify", "--check-contents"],
    )
    .succeeds()
    .does_not_say(&["error", "missing"]);
}
