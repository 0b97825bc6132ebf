//! The packages that images are made of, for one board: each is proven genuine, keeps what it needs and no more, and its
//! programs do their work under an emulator of the board's processor.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use support::world::World;
use support::{emulate, expressions, name_of, progress};

const BOARD: &str = "nxp-imx8mp-evk";
const CPU: &str = "cortex-a53";

/// Packages, and what their closures hold beside themselves and libc.
const PACKAGES: &[(&str, &[&str])] = &[
    ("busybox", &[]),
    ("cacert", &[]),
    ("curl", &["cacert", "mbedtls", "zlib"]),
    ("dropbear", &[]),
    ("e2fsprogs", &[]),
    ("ethtool", &[]),
    ("gdbserver", &[]),
    ("htop", &["ncurses"]),
    ("i2c-tools", &[]),
    ("iperf", &[]),
    ("locale-c-utf8", &[]),
    ("lua", &[]),
    ("memtester", &[]),
    ("nano", &["ncurses"]),
    ("sqlite", &[]),
    ("strace", &[]),
    ("stress", &[]),
    ("tmux", &["libevent", "ncurses"]),
    ("util-linux", &[]),
];

/// Those that refer to nothing, not even to libc.
const WITHOUT_LIBC: [&str; 3] = ["busybox", "cacert", "locale-c-utf8"];

struct Built {
    world: World,
    /// Attribute → output.
    out: BTreeMap<&'static str, String>,
}

static BUILT: LazyLock<Built> = LazyLock::new(|| {
    let world = World::images("packages");
    expressions::copy(&world);
    emulate::tools(&world);
    progress("image packages: all of a board");
    let mut args = vec!["realise".to_owned()];
    args.extend(PACKAGES.iter().map(|(name, _)| format!(".#{BOARD}.{name}")));
    let built = world
        .xbuild(&args.iter().map(String::as_str).collect::<Vec<_>>())
        .succeeds();
    let out: BTreeMap<_, _> = PACKAGES
        .iter()
        .map(|(name, _)| *name)
        .zip(built.lines().into_iter().map(str::to_owned))
        .collect();
    assert_eq!(out.len(), PACKAGES.len(), "{}", built.report());
    Built { world, out }
});

/// What `script` prints, with `${pkgs.NAME}` for the board, and `$emulator` for its processor.
fn run(name: &str, script: &str) -> String {
    let world = &BUILT.world;
    emulate::run(
        world,
        &format!("(import ./default.nix).{BOARD}"),
        &format!("run-{name}"),
        &format!("emulator=\"$emulator -cpu cortex-a53\"\n{script}"),
    )
}

#[test]
fn closures_hold_what_is_needed() {
    let Built { world, out } = &*BUILT;
    for (name, needs) in PACKAGES {
        let listed = world.xbuild(&["path-info", "-r", &out[name]]).succeeds();
        let closure: BTreeSet<String> = listed
            .lines()
            .into_iter()
            .map(|path| {
                let full = name_of(path);
                let short = full
                    .split_once(&format!("-{CPU}-"))
                    .map_or(full.as_str(), |(short, _)| short);
                short.to_owned()
            })
            .collect();
        let mut expected: BTreeSet<String> = needs.iter().map(|&need| need.to_owned()).collect();
        expected.insert((*name).to_owned());
        if !WITHOUT_LIBC.contains(name) {
            expected.insert("glibc-aarch64-linux-2.36".to_owned());
        }
        assert_eq!(closure, expected, "the closure of {name}");
    }
}

#[test]
fn everything_is_genuine() {
    let Built { world, out } = &*BUILT;
    for path in out.values() {
        let checked = world.xbuild(&["check", path]).succeeds();
        assert!(
            checked
                .line()
                .starts_with(&format!("{path}: genuine for {CPU} (")),
            "{}",
            checked.report()
        );
    }
}

/// Of those that build in seconds.
#[test]
fn builds_are_bit_identical() {
    let Built { world, out } = &*BUILT;
    let names = ["cacert", "i2c-tools", "lua", "memtester", "sqlite"];
    let mut args = vec![
        "realise".to_owned(),
        "--rebuild".to_owned(),
        "--no-out-link".to_owned(),
    ];
    args.extend(names.iter().map(|name| format!(".#{BOARD}.{name}")));
    let again = world
        .xbuild(&args.iter().map(String::as_str).collect::<Vec<_>>())
        .succeeds();
    let paths: Vec<&str> = names.iter().map(|name| out[name].as_str()).collect();
    assert_eq!(again.lines(), paths);
}

/// What an image's init, services and shell call.
#[test]
fn busybox_has_the_applets_of_images() {
    let listed = run(
        "busybox-list",
        "$emulator ${pkgs.busybox}/bin/busybox --list",
    );
    let applets: BTreeSet<&str> = listed.lines().collect();
    for applet in [
        "ash",
        "blkid",
        "blockdev",
        "chpst",
        "cttyhack",
        "devmem",
        "flock",
        "fstrim",
        "getty",
        "halt",
        "httpd",
        "hwclock",
        "init",
        "ip",
        "klogd",
        "login",
        "logread",
        "mdev",
        "modprobe",
        "mount",
        "mountpoint",
        "ntpd",
        "poweroff",
        "reboot",
        "runsv",
        "runsvdir",
        "setsid",
        "sulogin",
        "sv",
        "svlogd",
        "switch_root",
        "sysctl",
        "syslogd",
        "telnet",
        "udhcpc",
        "umount",
        "watchdog",
    ] {
        assert!(applets.contains(applet), "no applet {applet}");
    }
}

/// A file system is made, checked, and grown with its disk, as at an image's first boot.
#[test]
fn e2fsprogs_grows_a_file_system() {
    let printed = run(
        "e2fsprogs",
        "bin=${pkgs.e2fsprogs}/sbin
        mkdir tree
        echo content >tree/file
        $emulator $bin/mke2fs -q -t ext4 -L data -d tree disk 8M >made
        truncate -s 24M disk
        $emulator $bin/e2fsck -fy disk >checked
        $emulator $bin/resize2fs disk 2>&1 | grep -o 'is now [0-9]* ([0-9]*k) blocks'
        $emulator $bin/tune2fs -L grown disk >tuned
        $emulator $bin/dumpe2fs -h disk 2>&1 | sed -nE 's/^Filesystem volume name: *//p'
        $emulator $bin/e2fsck -fn disk | grep -o '^grown: 13/'",
    );
    assert_eq!(printed, "is now 24576 (1k) blocks\ngrown\ngrown: 13/\n");
}

/// The last partition of a disk grows to its end, also when the disk is larger than the image was.
#[test]
fn util_linux_grows_a_partition() {
    let printed = run(
        "util-linux",
        r"bin=${pkgs.util-linux}/sbin
        truncate -s 16M disk
        printf 'label: gpt\nstart=1MiB, size=4MiB, name=root\nstart=5MiB, size=4MiB, name=data\n' | $emulator $bin/sfdisk -q disk
        truncate -s 64M disk
        echo ', +' | $emulator $bin/sfdisk -q --no-reread --force -N 2 disk
        $emulator $bin/sfdisk --verify disk | grep -o 'No errors detected'
        $emulator $bin/partx --show --noheadings --output NR,START,SECTORS,NAME disk | awk '{ print $1, $2, $3, $4 }'
        $emulator $bin/blkid -p -o value -s PTTYPE disk",
    );
    assert_eq!(
        printed,
        "No errors detected\n1 2048 8192 root\n2 10240 120799 data\ngpt\n"
    );
}

#[test]
fn dropbear_makes_keys() {
    let printed = run(
        "dropbear",
        r#"bin=${pkgs.dropbear}/bin
        $emulator ${pkgs.dropbear}/sbin/dropbear -V 2>&1
        for type in ed25519 ecdsa rsa; do
          $emulator $bin/dropbearkey -t $type -f $type >made 2>&1
          $emulator $bin/dropbearkey -y -f $type | grep -oE '^(ssh|ecdsa)-[a-z0-9-]*'
        done
        ls -l ed25519 | cut -c1-10
        $emulator $bin/dbclient -V 2>&1"#,
    );
    assert_eq!(
        printed,
        "Dropbear v2022.83\nssh-ed25519\necdsa-sha2-nistp256\nssh-rsa\n-rw-------\nDropbear v2022.83\n"
    );
}

#[test]
fn sqlite_answers_queries() {
    let printed = run(
        "sqlite",
        r#"sqlite="$emulator ${pkgs.sqlite}/bin/sqlite3 data.db"
        $sqlite 'create table board (name text, cores int); insert into board values ("orin", 12), ("imx8mp", 4);'
        $sqlite 'select name from board where cores > 4; select sum(cores) from board;'
        $sqlite "create virtual table note using fts5(text); insert into note values ('the quick brown fox'); select text from note where note match 'brown';"
        $sqlite "select json_extract('{\"a\": [1, 2]}', '$.a[1]'), sqrt(16);"
        $sqlite 'pragma integrity_check'"#,
    );
    assert_eq!(printed, "orin\n16\nthe quick brown fox\n2|4.0\nok\n");
}

#[test]
fn lua_runs_scripts() {
    let printed = run(
        "lua",
        r#"cat >script.lua <<'END'
        local squares = {}
        for i = 1, 5 do squares[i] = i * i end
        print(table.concat(squares, " "), _VERSION, math.type(1 << 40))
        print(pcall(error, "caught"))
END
        $emulator ${pkgs.lua}/bin/luac -o script.out script.lua
        $emulator ${pkgs.lua}/bin/lua script.out"#,
    );
    assert_eq!(printed, "1 4 9 16 25\tLua 5.4\tinteger\nfalse\tcaught\n");
}

/// A fetch by HTTPS, from a server whose certificate curl trusts only when told to; without a word it trusts the bundle's.
#[test]
fn curl_fetches_by_https() {
    let Built { world, .. } = &*BUILT;
    world.write(
        "run-curl.nix",
        r#"let
  everything = import ./default.nix;
  pkgs = everything.nxp-imx8mp-evk;
  tools = everything.toolchains.buildTools [ "native-gcc" "shell" "kernel" ];
in derivation {
  name = "run-curl";
  system = "x86_64-linux";
  builder = "${tools}/usr/bin/bash";
  sandboxRoot = tools;
  PATH = "/usr/bin";
  args = [ "-euc" ''
    curl="${./tools}/qemu -cpu cortex-a53 ${pkgs.curl}/bin/curl --silent --show-error"
    exec >$out
    $curl --version | sed -nE 's/^(curl [0-9.]*) .*(mbedTLS).*/\1 \2/p; s/^Protocols: //p'
    printf '[req]\ndistinguished_name = name\nx509_extensions = extensions\n[name]\n[extensions]\nsubjectAltName = DNS:localhost\n' >openssl.cnf
    openssl req -x509 -config openssl.cnf -newkey rsa:2048 -nodes -subj /CN=localhost -keyout key -out certificate 2>made || { cat made >&2; exit 1; }
    echo page >page
    openssl s_server -accept 4433 -key key -cert certificate -WWW -quiet >served 2>&1 &
    for try in {1..100}; do
      if : <>/dev/tcp/127.0.0.1/4433; then break; fi 2>/dev/null
      sleep 0.1
    done
    $curl --cacert certificate https://localhost:4433/page
    $curl https://localhost:4433/page || echo "exit code $?"
    $curl file://$PWD/page
    kill %1
  '' ];
}
"#,
    );
    let ran = world
        .xbuild(&["realise", "--no-out-link", "./run-curl.nix"])
        .succeeds();
    assert_eq!(
        world.read(ran.line()),
        "curl 7.88.1 mbedTLS\nfile ftp ftps http https mqtt ws wss\npage\nexit code 60\npage\n"
    );
}

/// They start, and those that can do their work in a sandbox without devices do it.
#[test]
fn tools_start() {
    let printed = run(
        "tools",
        r#"$emulator ${pkgs.strace}/bin/strace -V | head -n 1
        $emulator ${pkgs.gdbserver}/bin/gdbserver --version | head -n 1
        $emulator ${pkgs.htop}/bin/htop --version | head -n 1
        $emulator ${pkgs.nano}/bin/nano --version | head -n 1 | tr -d ' '
        LOCPATH=${pkgs.locale-c-utf8}/lib/locale LC_CTYPE=C.UTF-8 $emulator ${pkgs.tmux}/bin/tmux -V
        $emulator ${pkgs.ethtool}/sbin/ethtool --version
        $emulator ${pkgs.i2c-tools}/sbin/i2cdetect -V 2>&1
        $emulator ${pkgs.iperf}/bin/iperf --version 2>&1 | cut -d ' ' -f 1-3
        $emulator ${pkgs.stress}/bin/stress --cpu 1 --timeout 1 | grep -o 'successful run completed'
        $emulator ${pkgs.memtester}/bin/memtester 64K 1 2>&1 | grep -oE '^memtester version [0-9.]*|^Done|FAILURE'"#,
    );
    assert_eq!(
        printed,
        "strace -- version 6.1\nGNU gdbserver (GDB) 13.1\nhtop 3.2.2\nGNUnano,version7.2\ntmux 3.3a\nethtool version 6.1\n\
         i2cdetect version 4.3\niperf version 2.1.8\nsuccessful run completed\nmemtester version 4.6.0\nDone\n"
    );
}

/// A program draws its screen on terminals that it knows, by the descriptions in its closure.
#[test]
fn terminals_are_known() {
    let Built { world, .. } = &*BUILT;
    let ncurses = world
        .xbuild(&["realise", "--no-out-link", &format!(".#{BOARD}.ncurses")])
        .succeeds();
    let terminfo = world.physical(ncurses.line()).join("share/terminfo");
    for terminal in [
        "linux",
        "screen",
        "screen-256color",
        "tmux",
        "tmux-256color",
        "vt100",
        "vt102",
        "vt220",
        "xterm",
        "xterm-256color",
    ] {
        assert!(
            terminfo.join(&terminal[..1]).join(terminal).is_file(),
            "no description of {terminal}"
        );
    }
}
