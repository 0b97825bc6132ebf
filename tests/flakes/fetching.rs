//! Fetchers and references, by builtins.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::places::Places;

#[test]
fn references() {
    let places = Places::new("flake-references");
    places.same_value(
        r#"map (text: let parsed = builtins.parseFlakeRef text; in [ parsed (builtins.flakeRefToString parsed) ]) [
             "nixpkgs" "nixpkgs/release" "nixpkgs/0123456789012345678901234567890123456789" "a/b/0123456789012345678901234567890123456789"
             "github:o/r" "github:o/r/branch/of/slashes?dir=x&host=h" "github:o/r/0123456789012345678901234567890123456789" "github:o/r//"
             "gitlab:a/b/c" "sourcehut:~a/b" "github:o/r?ref=x&narHash=sha256-47DEQpj8HBSa%2B/TImW%2B5JCeuQeRkm5NMpJWZG3hSuFU="
             "git+file:/x?ref=a/b" "git+file:///x%20y" "git+ssh://git@h:22/a?rev=0123456789012345678901234567890123456789"
             "git+https://h/x?shallow=1&foo=bar&submodules=0&dir=d" "git://h/x" "hg+https://x/y?ref=z"
             "https://h/a" "https://h/a.txt" "file+https://h/a" "tarball+https://h/x.zip?a=b&rev=0123456789012345678901234567890123456789"
             "https://u:p@h/a.tar.gz?lastModified=7&revCount=3" "path:./x" "path:/x?lastModified=3" "/abs/path?dir=z" "path:a/../b"
           ]"#,
    );
    for text in [
        "./x",
        "a b",
        "a/b/c/d",
        "path:/x?foo=1",
        "path:/x?lastModified=x",
        "path://h/x",
        "github:a",
        "github:a/b?rev=x",
        "github:a/b/c?ref=d",
        "",
        "file+git:///x",
        "foo://bar",
        "/x#y",
        "/x?%zz",
        "http://[::1",
        "git+https://x?ref=-a",
        "nixpkgs#x",
    ] {
        places.same_error(&format!("builtins.parseFlakeRef {text:?}"));
    }
    for attrs in [
        r#"{ type = "foo"; }"#,
        "{ }",
        r#"{ type = "git"; }"#,
        r#"{ type = "git"; url = [ ]; }"#,
        r#"{ type = "path"; path = "/x"; lastModified = -1; }"#,
        r#"{ type = "path"; path = "/x"; foo = "bar"; }"#,
        r#"{ type = "indirect"; id = "1"; }"#,
        r#"{ type = "github"; owner = "o"; repo = "r"; rev = "x"; ref = "y"; }"#,
        r#"{ type = "github"; owner = "o"; repo = "r"; host = "a b"; }"#,
    ] {
        places.same_error(&format!("builtins.flakeRefToString {attrs}"));
    }
}

/// A repository with attributes, a link, a program, a submodule and a tag; a dirty copy of it, and a bare one.
const REPOSITORIES: &str = r#"
    mkdir inner; cd inner; git init -q; echo inner > f; git add f; git commit -qm inner; cd ..
    mkdir repo; cd repo; git init -q
    echo one > a; git add a; git commit -qm 1
    mkdir -p gone kept; echo 1 > gone/x; echo 2 > kept/y.txt; echo 3 > kept/z; ln -s a link; echo x > program; chmod +x program
    printf 'gone export-ignore\n*.txt export-ignore\n' > .gitattributes
    git add .; git commit -qm 2; git tag -a v1 -m v1; git clone -q --bare . ../bare.git
    git -c protocol.file.allow=always submodule --quiet add "$(realpath ../inner)" sub; git commit -qm 3
    cd ..
    cp -r repo dirty; cd dirty; echo 9 >> kept/z; rm a; echo n > new; git add new; echo u > untracked; git rm -q --cached program; cd ..
    git clone -q --bare repo modules.git
"#;

/// All that is known of a tree; as JSON, a set with `outPath` is that alone.
const ATTRS: &str = "(tree: if builtins.isString tree then tree else { inherit (tree) outPath; x = builtins.removeAttrs tree [ \"outPath\" ]; }.x // { out = tree.outPath; })";

#[test]
fn trees() {
    let places = Places::new("flake-trees");
    places.shell(REPOSITORIES);
    let dir = places.dir();
    let first = places.shell("git -C bare.git rev-parse HEAD~1").stdout;
    let first = first.trim();
    for expression in [
        "fetchGit ./repo".to_owned(),
        "fetchGit ./dirty".to_owned(),
        "fetchGit { url = ./repo; submodules = true; }".to_owned(),
        "fetchGit { url = ./dirty; submodules = true; }".to_owned(),
        "fetchGit { url = ./repo; exportIgnore = false; }".to_owned(),
        format!("fetchGit {{ url = ./repo; rev = {first:?}; }}"),
        format!("fetchGit {{ url = ./repo; rev = {first:?}; shallow = true; name = \"n\"; }}"),
        "fetchGit { url = ./repo; ref = \"v1\"; }".to_owned(),
        "fetchGit { url = ./bare.git; ref = \"refs/tags/v1\"; }".to_owned(),
        "fetchGit { url = ./bare.git; allRefs = true; }".to_owned(),
        "fetchGit { url = ./modules.git; submodules = true; }".to_owned(),
        format!("fetchGit {{ url = ./bare.git; rev = {first:?}; }}"),
        format!("fetchTree \"git+file://{dir}/repo\""),
        format!("fetchTree \"git+file://{dir}/repo?ref=v1\""),
        format!("fetchTree {{ type = \"git\"; url = \"file://{dir}/dirty\"; }}"),
        format!(
            "fetchTree {{ type = \"git\"; url = \"file://{dir}/bare.git\"; shallow = false; }}"
        ),
        format!("fetchTree \"path:{dir}/dirty\""),
        format!("fetchTree \"path:{dir}/dirty?lastModified=5\""),
        "fetchTree { type = \"path\"; path = ./dirty; }".to_owned(),
    ] {
        places.same_value(&format!("{ATTRS} (builtins.{expression})"));
    }
    for expression in [
        "fetchGit { url = ./repo; ref = \"nope\"; }".to_owned(),
        "fetchGit { url = ./repo; foo = 1; }".to_owned(),
        "fetchGit { url = ./repo; type = \"git\"; }".to_owned(),
        "fetchGit { url = ./repo; exportIgnore = true; submodules = true; }".to_owned(),
        "fetchGit { url = ./repo; ref = \"-x\"; }".to_owned(),
        "fetchGit { url = \"a:b\"; }".to_owned(),
        "fetchGit /nowhere".to_owned(),
        "fetchGit { }".to_owned(),
        "fetchTree { url = \"x\"; }".to_owned(),
        "fetchTree { type = \"git\"; url = \"x\"; name = \"x\"; }".to_owned(),
        "fetchTree { type = \"indirect\"; id = \"x\"; }".to_owned(),
        "fetchTree { type = \"path\"; path = \"x\"; }".to_owned(),
        "fetchTree { type = \"path\"; path = ./repo; narHash = \"sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\"; }".to_owned(),
        format!("fetchTree \"file://{dir}/repo\""),
        format!("fetchTree \"file://{dir}/nowhere.tar\""),
        "fetchTree { type = \"tarball\"; url = []; }".to_owned(),
        "fetchTree { type = \"tarball\"; url = \"x\"; lastModified = -1; }".to_owned(),
        "fetchTree { type = \"git\"; url = \"file:///x\"; __final = true; }".to_owned(),
        "fetchMercurial { url = \"x\"; foo = 1; }".to_owned(),
    ] {
        places.same_error(&format!("builtins.{expression}"));
    }
    // What is not what its hash says ends with a code of its own.
    places.shell("echo x >file; tar cf archive.tar file");
    let wrong = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    for expression in [
        format!("fetchurl {{ url = \"file://{dir}/file\"; sha256 = \"{wrong}\"; }}"),
        format!("fetchTarball {{ url = \"file://{dir}/archive.tar\"; sha256 = \"{wrong}\"; }}"),
        format!(
            "fetchTree {{ type = \"file\"; url = \"file://{dir}/file\"; narHash = \"sha256-{wrong}\"; }}"
        ),
        format!("fetchTree \"file://{dir}/archive.tar?narHash=sha256-{wrong}\""),
        format!("path {{ path = ./file; sha256 = \"{wrong}\"; }}"),
        format!("path {{ path = ./file; filter = _: _: true; sha256 = \"{wrong}\"; }}"),
        "fetchurl \"file:///nowhere\"".to_owned(),
        "fetchTarball \"file:///nowhere\"".to_owned(),
    ] {
        places.same_error(&format!("builtins.{expression}"));
    }
    let lfs = places.ours(
        "",
        &[
            "eval",
            "-E",
            "builtins.fetchGit { url = ./repo; lfs = true; }",
        ],
    );
    lfs.fails(1).says(&["xbuild has no Git LFS"]);
}

/// A zip archive: a directory `top` with a file, a program, a link, and directories with and without files.
const ZIP: &str = "
UEsDBAoAAAAAAKMgQyoAAAAAAAAAAAAAAAAEABwAdG9wL1VUCQADcoN7OtYRCmt1eAsAAQQAAAAABAAAAABQSwMECgAAAAAAoyBDKp+oF/gEAAAABAAAAAcA
HAB0b3Avb25lVVQJAANyg3s61hEKa3V4CwABBAAAAAAEAAAAAG9uZQpQSwMECgAAAAAAoyBDKgAAAAAAAAAAAAAAAAoAHAB0b3AvZW1wdHkvVVQJAANyg3s6
1hEKa3V4CwABBAAAAAAEAAAAAFBLAwQKAAAAAACjIEMq8YZsegMAAAADAAAACAAcAHRvcC9saW5rVVQJAANyg3s61hEKa3V4CwABBAAAAAAEAAAAAG9uZVBL
AwQKAAAAAACjIEMqAAAAAAAAAAAAAAAACAAcAHRvcC9zdWIvVVQJAANyg3s61hEKa3V4CwABBAAAAAAEAAAAAFBLAwQUAAAACACjIEMqdgWkiAQCAABEBAAA
DwAcAHRvcC9zdWIvbnVtYmVyc1VUCQADcoN7OtYRCmt1eAsAAQQAAAAABAAAAAAd08sRBSEMA8G7okECDOSf2I737nqfaWFFU0tbpaOrJw/ZcuQpL3nLJR/5
yk8ZipUoU1nKVko5ylWe5tC0Jh85NZfm1izNo3k1n9bQsla0+MaltbVK62hdrac9tK0d7anND9rapX20r/ZTDZVVUU3VUvF7S3VUV/V0ho51ojN1ls7W4e8c
navzdIeudaM7dZfu1i1d/u3VfXpDz3rRm3pLb+uV3tEjRtcgx6DHIMigyCDJoMkgyqDKIMvg7s/GXYfrcp2u23W8rtf56GcCOt2XOxqaiKaiyWg6mpCmpElp
Wno2BHfkND1NUFPUJDVNTVRT1WT1ajHuKGvSmrYmrqlr8pq+JrAp7N203BHZVDaZTWcT2pQ2qU1rE9vVG+CO3ia4KW6Sm+YmuqluspvuPj0W7khv2pv4pr7J
b/obACNgCHx7VdyhYBiMg4EwEobCWBgMo+HX8+v9MUA8gkfwCB7BI3gEj+ARPOIeKnd4BI/gETyCR/AIHuk996D/RXPXm+5R96p71r3rHjYewSN4ZPb0ucMj
eASP4BE8gkfwCB7BI6vfCHd4BI/gETyCR/AIHsEjeGT3Y+IOj+ARPIJH8AgewSN4BI9Uvzru8AgewSN4BI/gETyCR/DI6efJHR7BI3gEj+ARPIJH8Ageuf2O
ucMjeASP4BE8gkfwCB7BI68ffL/4oQ9QSwMECgAAAAAAoyBDKh2d+wQKAAAACgAAAAcAHAB0b3AvcnVuVVQJAANyg3s61hEKa3V4CwABBAAAAAAEAAAAACMh
L2Jpbi9zaApQSwECHgMKAAAAAACjIEMqAAAAAAAAAAAAAAAABAAYAAAAAAAAABAA7UEAAAAAdG9wL1VUBQADcoN7OnV4CwABBAAAAAAEAAAAAFBLAQIeAwoA
AAAAAKMgQyqfqBf4BAAAAAQAAAAHABgAAAAAAAEAAACkgT4AAAB0b3Avb25lVVQFAANyg3s6dXgLAAEEAAAAAAQAAAAAUEsBAh4DCgAAAAAAoyBDKgAAAAAA
AAAAAAAAAAoAGAAAAAAAAAAQAO1BgwAAAHRvcC9lbXB0eS9VVAUAA3KDezp1eAsAAQQAAAAABAAAAABQSwECHgMKAAAAAACjIEMq8YZsegMAAAADAAAACAAY
AAAAAAAAAAAA/6HHAAAAdG9wL2xpbmtVVAUAA3KDezp1eAsAAQQAAAAABAAAAABQSwECHgMKAAAAAACjIEMqAAAAAAAAAAAAAAAACAAYAAAAAAAAABAA7UEM
AQAAdG9wL3N1Yi9VVAUAA3KDezp1eAsAAQQAAAAABAAAAABQSwECHgMUAAAACACjIEMqdgWkiAQCAABEBAAADwAYAAAAAAABAAAApIFOAQAAdG9wL3N1Yi9u
dW1iZXJzVVQFAANyg3s6dXgLAAEEAAAAAAQAAAAAUEsBAh4DCgAAAAAAoyBDKh2d+wQKAAAACgAAAAcAGAAAAAAAAQAAAO2BmwMAAHRvcC9ydW5VVAUAA3KD
ezp1eAsAAQQAAAAABAAAAABQSwUGAAAAAAcABwAlAgAA5gMAAAAA
";

#[test]
fn zip_archives() {
    let places = Places::new("flake-zip");
    places.world.write("tree.base64", ZIP);
    places.shell("base64 -d tree.base64 >tree.zip; head -c 700 tree.zip >cut.zip; printf 'PK\\003\\004' >none.zip");
    let dir = places.dir();
    for url in [
        format!("file://{dir}/tree.zip"),
        format!("tarball+file://{dir}/tree.zip"),
    ] {
        places.same_value(&format!("{ATTRS} (builtins.fetchTree {url:?})"));
    }
    places.same_value(&format!(
        "{ATTRS} (builtins.fetchTarball \"file://{dir}/tree.zip\")"
    ));
    for broken in ["cut", "none"] {
        let expression = format!("builtins.fetchTarball \"file://{dir}/{broken}.zip\"");
        places
            .ours("", &["eval", "-E", &expression])
            .fails(1)
            .says(&["cannot read the archive"]);
    }
}

/// A stand-in for Mercurial, with the one changeset that a directory `.hg` tells.
const HG: &str = r#"#!/bin/sh
set -eu
command=$1; shift
repository= template= flags= rest=
while [ $# -gt 0 ]; do
  case $1 in
    -R) repository=$2; shift ;;
    -r) wanted=$2; shift ;;
    --template) template=$2; shift ;;
    --) ;;
    -*) flags="$flags $1" ;;
    *) rest="$rest $1" ;;
  esac
  shift
done
known() { [ "$wanted" = default ] || [ "$wanted" = "$(cat "$repository/.hg/node")" ] || { echo "abort: unknown revision '$wanted'" >&2; exit 255; }; }
case $command in
  status) case $flags in *--print0*) printf 'a\0sub/b\0' ;; *) cat "$repository/.hg/changes" ;; esac ;;
  branch) echo feature ;;
  clone) set -- $rest; [ -d "${1#file://}/.hg" ] || { echo "abort: repository ${1#file://} not found" >&2; exit 255; }; cp -r "${1#file://}" "$2" ;;
  pull) cp -r "${rest# }/.hg" "$repository/" ;;
  log) known; case $template in 1) printf 1 ;; *) printf '%s 7 default' "$(cat "$repository/.hg/node")" ;; esac ;;
  archive) known; mkdir -p $rest; cp -r "$repository/.hg/tree/." $rest; echo >"${rest# }/.hg_archival.txt" ;;
esac
"#;

#[test]
fn mercurial() {
    let places = Places::new("flake-mercurial");
    let dir = places.dir();
    let missing = places.ours(
        "",
        &[
            "eval",
            "-E",
            &format!("builtins.fetchMercurial \"{dir}/repo\""),
        ],
    );
    missing
        .fails(1)
        .says(&["cannot run 'hg'", "hint: install Mercurial"]);
    places.world.write("bin/hg", HG);
    let node = "0123456789abcdef0123456789abcdef01234567";
    places.shell(&format!(
        "chmod +x bin/hg; mkdir -p repo/.hg/tree/sub repo/sub; cd repo; echo {node} >.hg/node; echo 1 >.hg/tree/a; echo 2 >.hg/tree/sub/b
         echo changed >a; echo 2 >sub/b; echo untracked >c; : >.hg/changes; cp -r ../repo ../dirty; echo 'M a' >../dirty/.hg/changes"
    ));
    for value in [
        format!("{ATTRS} (builtins.fetchMercurial \"{dir}/repo\")"),
        format!("{ATTRS} (builtins.fetchMercurial \"{dir}/dirty\")"),
        format!(
            "{ATTRS} (builtins.fetchMercurial {{ url = \"file://{dir}/repo\"; rev = \"default\"; name = \"n\"; }})"
        ),
        format!("{ATTRS} (builtins.fetchMercurial {{ url = {dir}/repo; rev = \"{node}\"; }})"),
        format!("{ATTRS} (builtins.fetchTree \"hg+file://{dir}/repo\")"),
        format!("{ATTRS} (builtins.fetchTree \"hg+file://{dir}/repo?rev={node}\")"),
        format!("{ATTRS} (builtins.fetchTree {{ type = \"hg\"; url = \"file://{dir}/dirty\"; }})"),
    ] {
        places.same_value(&value);
    }
    for error in [
        format!("builtins.fetchMercurial \"{dir}/nowhere\""),
        format!("builtins.fetchTree \"hg+file://{dir}/repo?ref=other\""),
        format!(
            "builtins.fetchTree {{ type = \"hg\"; url = \"file://{dir}/repo\"; ref = \"-a\"; }}"
        ),
        format!(
            "builtins.fetchTree \"hg+file://{dir}/repo?rev=1123456789abcdef0123456789abcdef01234567\""
        ),
    ] {
        places.same_error(&error);
    }
    let unclean = ["eval", "--no-allow-dirty", "-E"];
    let expression = format!("builtins.fetchMercurial \"{dir}/dirty\"");
    let refused = places.ours("", &[&unclean[..], &[expression.as_str()]].concat());
    refused
        .fails(1)
        .says(&[&format!("Mercurial tree '{dir}/dirty' is unclean")]);
}

#[test]
fn features_open_the_doors() {
    let places = Places::new("flake-features");
    let without = |expression: &str| places.world.xbuild(&["eval", "--strict", "-E", expression]);
    assert_eq!(without("builtins ? fetchTree").succeeds().stdout, "false\n");
    assert_eq!(without("builtins ? getFlake").succeeds().stdout, "true\n");
    without("builtins.parseFlakeRef \"nixpkgs\"").fails(1).says(&["error: experimental Nix feature 'flakes' is disabled; add '--extra-experimental-features flakes' to enable it"]);
    without("builtins.getFlake \"path:/x\"")
        .fails(1)
        .says(&["experimental Nix feature 'flakes' is disabled"]);
}

/// Serves one file: with an entity tag, and with a link to a URL that never changes. Gives the port, and counts what was sent
/// in full.
fn serve(file: Vec<u8>) -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("listen");
    let port = listener.local_addr().expect("an address").port();
    let sent = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&sent);
    std::thread::spawn(move || {
        for mut connection in listener.incoming().flatten() {
            let mut request = [0; 4096];
            let length = connection.read(&mut request).unwrap_or(0);
            let request = String::from_utf8_lossy(&request[..length]).to_lowercase();
            let path = request.split(' ').nth(1).unwrap_or("/").to_owned();
            let known = request.contains("if-none-match: \"tag\"");
            let link = if path.starts_with("/latest") {
                format!(
                    "Link: <http://127.0.0.1:{port}/fixed.tar?rev=0123456789012345678901234567890123456789&revCount=4>; rel=\"immutable\"\r\n"
                )
            } else {
                String::new()
            };
            let (status, body) = if known {
                ("304 Not Modified", &[][..])
            } else {
                count.fetch_add(1, Ordering::SeqCst);
                ("200 OK", &file[..])
            };
            let head = format!(
                "HTTP/1.1 {status}\r\nETag: \"tag\"\r\n{link}Content-Length: {}\r\nConnection: close\r\n\r\n",
                body.len()
            );
            let _ = connection.write_all(head.as_bytes());
            let _ = connection.write_all(body);
        }
    });
    (port, sent)
}

#[test]
fn archives_over_http() {
    let places = Places::new("flake-archives");
    places.shell("mkdir -p t/empty; echo x > t/f; ln -s f t/l; chmod +x t/f; touch -d @1000000 t/f t/l t/empty t; tar cf t.tar t");
    let file = std::fs::read(places.world.path("t.tar")).expect("the archive");
    let (port, sent) = serve(file);
    for expression in [
        format!("fetchTree \"http://127.0.0.1:{port}/t.tar\""),
        format!("fetchTree \"http://127.0.0.1:{port}/latest.tar\""),
        format!(
            "fetchTree {{ type = \"tarball\"; url = \"http://127.0.0.1:{port}/t.tar\"; lastModified = 1000000; }}"
        ),
        format!("fetchTree \"file+http://127.0.0.1:{port}/t.tar\""),
        format!("fetchTarball \"http://127.0.0.1:{port}/t.tar\""),
        format!("fetchTarball {{ url = \"http://127.0.0.1:{port}/t.tar\"; name = \"named\"; }}"),
        format!("fetchurl \"http://127.0.0.1:{port}/t.tar\""),
    ] {
        places.same_value(&format!("{ATTRS} (builtins.{expression})"));
    }
    let url = format!("http://127.0.0.1:{port}/t.tar");
    let zeros = "sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
    places.same_error(&format!(
        "builtins.fetchTree {{ type = \"tarball\"; url = {url:?}; narHash = {zeros:?}; }}"
    ));

    // Less than tarball-ttl ago: nobody is asked. After that the server says that nothing has changed.
    let before = sent.load(Ordering::SeqCst);
    let expression = format!("builtins.fetchTree {url:?}");
    let again = |ttl: &str| {
        let args = [
            "eval",
            "--strict",
            "-E",
            &expression,
            "--option",
            "tarball-ttl",
            ttl,
        ];
        places.ours("", &args).succeeds().stdout
    };
    assert_eq!(again("3600"), again("0"));
    assert_eq!(sent.load(Ordering::SeqCst), before);
}

/// What is pinned by a NAR hash and in the store needs no network.
#[test]
fn pinned_inputs_offline() {
    let places = Places::new("flake-offline");
    places.shell("mkdir src; echo x > src/f");
    let fetched = places.ours(
        "",
        &["eval", "--strict", "--json", "-E", "let t = builtins.fetchTree { type = \"path\"; path = ./src; }; in [ t.outPath t.narHash ]"],
    );
    let fetched: Vec<String> = serde_json::from_str(&fetched.succeeds().stdout).expect("a list");
    let pinned = format!(
        "(builtins.fetchTree {{ type = \"github\"; owner = \"nobody\"; repo = \"nothing\"; rev = \"0123456789012345678901234567890123456789\"; narHash = {:?}; }}).outPath",
        fetched[1]
    );
    let ours = places.ours("", &["eval", "--json", "-E", &pinned]);
    assert_eq!(ours.succeeds().stdout, format!("{:?}\n", fetched[0]));
}

/// A directory with nothing but a `flake.nix` is that flake, for `eval` as well.
#[test]
fn directories() {
    let places = Places::new("flake-directories");
    let flake = "{ outputs = _: { packages.x86_64-linux.default = 5; v = 6; }; }";
    places.shell(&format!(
        "git init -q fp; echo '{flake}' >fp/flake.nix; git -C fp add ."
    ));
    for named in ["./fp", "./fp#v"] {
        let stock = places.stock("", &["eval", named]).succeeds();
        let ours = places.world.xbuild(&["eval", named]).succeeds();
        assert_eq!(ours.line(), stock.line(), "{named}");
    }
    let by_option = places.world.xbuild(&["eval", "./fp", "-A", "v"]);
    assert_eq!(by_option.succeeds().line(), "6");
}
