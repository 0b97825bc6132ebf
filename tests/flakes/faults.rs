//! What is shown and said of flakes that have faults.

use crate::places::Places;

/// A function that makes a derivation.
const DRV: &str =
    "drv = name: derivation { inherit name; system = \"x86_64-linux\"; builder = \"/b\"; };";

/// Flakes by name: what their function `outputs` gives, with [`DRV`].
const OUTPUTS: &[(&str, &str)] = &[
    (
        "good",
        r#"{
          packages.x86_64-linux = { default = drv "a"; b = drv "b-1.0" // { meta.description = "B"; }; };
          packages.aarch64-linux.default = drv "c";
          legacyPackages.x86_64-linux = { x = drv "x"; y.z = drv "z"; bad = throw "bad"; };
          legacyPackages.aarch64-linux.q = drv "q";
          apps.x86_64-linux.default = { type = "app"; program = "/bin/sh"; meta.description = "run"; };
          checks.x86_64-linux.c = drv "chk";
          devShells.x86_64-linux.default = drv "sh";
          formatter.x86_64-linux = drv "fmt";
          overlays.default = final: prev: { };
          nixosModules.m = { };
          nixosConfigurations.n.config.system.build.toplevel = drv "os";
          templates.t = { path = ./.; description = "T"; };
          hydraJobs.h.i = drv "job";
          lib.f = x: x; other = 1; emptyThing = { };
          bundlers.x86_64-linux.b = x: x;
        }"#,
    ),
    (
        "thrown-inside",
        r#"{ packages.x86_64-linux = { a = drv "a"; b = throw "no b"; c = drv "c"; }; lib = 1; }"#,
    ),
    (
        "thrown-set",
        r#"{ packages.x86_64-linux = throw "all"; apps.x86_64-linux.x = 1; }"#,
    ),
    ("thrown-outputs", r#"throw "outputs""#),
    ("no-set", "1"),
    (
        "string",
        r#"{ packages.x86_64-linux = { a = "str"; b = { }; c = drv "c"; }; }"#,
    ),
    ("no-sets", r#"{ packages = 1; apps = "x"; }"#),
    (
        "no-app",
        r#"{ apps.x86_64-linux.a = { type = "foo"; program = ""; }; packages.x86_64-linux.x = drv "x"; }"#,
    ),
    ("no-type", r#"{ apps.x86_64-linux.a = { program = ""; }; }"#),
    (
        "no-description",
        r#"{ templates.a = { path = ./.; }; packages.x86_64-linux.x = drv "x"; }"#,
    ),
    (
        "no-name",
        r#"{ packages.x86_64-linux.x = { type = "derivation"; }; }"#,
    ),
    (
        "name-no-string",
        r#"{ packages.x86_64-linux.x = { type = "derivation"; name = 1; }; }"#,
    ),
    (
        "no-system",
        r#"{ packages.foo.x = drv "x"; packages.x86_64-linux.x = drv "x"; packages.bar-baz.x = drv "y"; }"#,
    ),
    (
        "description-no-string",
        r#"{ packages.x86_64-linux.x = drv "x" // { meta.description = 1; }; }"#,
    ),
    (
        "many",
        r#"{
          packages.x86_64-linux = { d = throw "d"; b = 1; c = drv "c"; a = throw "a"; };
          apps.x86_64-linux = { r = { type = "app"; program = 1; }; s = { type = "app"; program = "/x"; foo = 1; }; q = 1; };
          overlays = { x = 1; y = a: b: 1; z = { f }: 1; };
          templates = { t = { path = ./nope; description = "x"; }; u = { path = ./.; description = "x"; q = 1; }; };
          nixosModules.x = throw "mod"; nixosConfigurations.y = { }; hydraJobs.x = 1; hydraJobs.y = drv "y";
          checks.x86_64-linux.z = 2; devShells.x86_64-linux.z = 3; formatter.x86_64-linux = 4; bundlers.x86_64-linux.a = 1;
          unknownThing = 1; defaultPackage.x86_64-linux = drv "d"; legacyPackages.x86_64-linux = throw "legacy";
        }"#,
    ),
];

fn flakes(name: &str) -> Places {
    let places = Places::new(name);
    for (name, outputs) in OUTPUTS {
        places.world.write(
            &format!("{name}/flake.nix"),
            format!("{{ outputs = {{ self }}: let {DRV} in {outputs}; }}"),
        );
    }
    places
}

/// The tree is printed as far as the flake can be evaluated, before the error.
#[test]
fn shown_as_far_as_possible() {
    let places = flakes("flake-faults-shown");
    for (name, _) in OUTPUTS {
        let reference = format!("path:./{name}");
        for options in [&[][..], &["--json"], &["--legacy", "--all-systems"]] {
            let args = [&["flake", "show", &reference], options].concat();
            if places.ours("", &args).code == 0 {
                places.same("", &args);
            } else {
                places.same_failure("", &args);
            }
        }
    }
}

/// Faults are found in the order in which stock Nix finds them.
#[test]
fn checked_in_order() {
    let places = flakes("flake-faults-checked");
    for (name, _) in OUTPUTS {
        let reference = format!("path:./{name}");
        for options in [&[][..], &["--all-systems"], &["--keep-going"]] {
            let args = [&["flake", "check", "--no-build", &reference], options].concat();
            places.same_messages("", &args);
        }
    }
}

/// A flake whose outputs name its files, or files that it does not have.
const FILES: &str = r#"{ outputs = { self }: {
  thrown = throw "no";
  imported = import ./thrower.nix;
  function = x: x;
  path = ./thrower.nix;
  root = [ ./. ];
  read = builtins.readFile ./nowhere;
  link = builtins.readFile ./link;
  listed = builtins.readDir ./nowhere;
  missing = import ./nowhere.nix;
  untracked = import ./untracked.nix;
  added = "${./nowhere}";
  copied = builtins.path { path = ./nowhere; };
  syntax = import ./syntax.nix;
  traced = builtins.trace ./thrower.nix 1;
  place = __curPos;
  other = builtins.unsafeGetAttrPos "place" self.outputs;
  text = toString ./thrower.nix;
  string = "${self}";
  there = builtins.pathExists ./nowhere;
}; }
"#;

/// Files of a flake are named by where they are from, not by their copies in the store; what a program sees is the store.
#[test]
fn files_by_where_they_are_from() {
    let places = Places::new("flake-files");
    let dir = places.dir();
    for name in ["dirty", "top/sub"] {
        places.world.write(&format!("{name}/flake.nix"), FILES);
        places
            .world
            .write(&format!("{name}/thrower.nix"), "throw \"thrown\"\n");
        places
            .world
            .write(&format!("{name}/syntax.nix"), "{\n  a = ;\n}\n");
        places.shell(&format!("cd {name}; ln -s nowhere link"));
    }
    places.shell(
        "tar czf archive.tar.gz -C top sub; cp -r top clean; cp -r top rev
         for repository in dirty clean rev; do (cd $repository; git init -q; git add .; echo 1 >untracked.nix); done
         cd clean; echo 1 >sub/untracked.nix; git commit -qm 1; cd ../rev; git commit -qm 1",
    );
    let rev = places.shell("git -C rev rev-parse HEAD").stdout;
    let rev = rev.trim();
    let names = [
        "thrown",
        "imported",
        "function",
        "path",
        "root",
        "read",
        "link",
        "listed",
        "missing",
        "untracked",
        "syntax",
        "traced",
        "place",
        "other",
        "text",
        "string",
        "there",
    ];
    for reference in [
        format!("git+file://{dir}/dirty"),
        format!("{dir}/clean/sub"),
        format!("git+file://{dir}/rev?rev={rev}&dir=sub"),
        format!("file://{dir}/archive.tar.gz"),
    ] {
        for name in names {
            places.same_text("", &["eval", &format!("{reference}#{name}")]);
        }
        for name in ["added", "copied"] {
            places.same_failure("", &["eval", &format!("{reference}#{name}")]);
        }
    }
    places.same_text("dirty", &["eval", "--impure", ".#function"]);
    places.same_text("", &["eval", "--pure-eval", "--expr", &format!(
        "let\n  url = \"file://{dir}/rev\";\n  rev = \"{rev}\";\nin\nimport\n  \"${{fetchGit {{ inherit url rev; }}}}/sub/thrower.nix\""
    )]);
}
