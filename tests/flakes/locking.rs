//! Flakes: lock files, outputs, commands, installables.

use crate::places::Places;

/// A flake with inputs of every kind: of a repository, of directories, in its own tree, followed, and no flake at all.
fn flakes(name: &str) -> Places {
    let places = Places::new(name);
    let dir = places.dir();
    let write = |file: &str, text: &str| {
        places.world.write(file, text.replace("DIR", &dir));
    };
    write("leaf/flake.nix", "{ outputs = _: { y = 41; }; }");
    write("tree/file", "data");
    write(
        "dep/flake.nix",
        r#"{ description = "dep"; inputs.leaf.url = "path:DIR/leaf"; inputs.more.url = "path:DIR/leaf";
             outputs = { self, leaf, more }: { x = leaf.y + 1; p = self.outPath; m = more.narHash; }; }"#,
    );
    write(
        "top/flake.nix",
        r#"{
          description = "top";
          nixConfig.bash-prompt = "x";
          inputs = {
            dep = { url = "git+file://DIR/dep"; inputs.leaf.follows = "leaf"; };
            leaf.url = "path:DIR/leaf";
            tree = { url = "path:DIR/tree"; flake = false; };
            sub.url = "path:./sub";
            again.follows = "dep/more";
            within = { type = "git"; url = "file://DIR/many"; dir = "inner/flake"; };
          };
          outputs = { self, dep, leaf, tree, sub, again, within }:
            let d = name: derivation { inherit name; system = "x86_64-linux"; builder = "/bin/sh"; args = [ "-c" "echo ${self} ${tree}" ./flake.nix ]; }
                  // { meta.description = "it is ${name}"; };
            in {
              packages.x86_64-linux = { default = d "def"; hello = d "hello"; };
              packages.aarch64-linux.default = d "other";
              legacyPackages.x86_64-linux = { old = d "old"; wrong = throw "wrong"; };
              checks.x86_64-linux.c = d "c";
              devShells.x86_64-linux.default = d "shell";
              formatter.x86_64-linux = d "formatter";
              apps.x86_64-linux.a = { type = "app"; program = "/bin/x"; };
              overlays.default = final: prev: { };
              nixosModules.m = { };
              templates.t = { path = ./.; description = "template"; };
              hydraJobs.x = d "job";
              lib.v = dep.x;
              info = {
                inherit (self) _type narHash lastModified lastModifiedDate rev shortRev revCount;
                source = self.sourceInfo; names = builtins.attrNames self; inputs = builtins.attrNames self.inputs;
                s = sub.z; o = self.outPath; d = dep.p; t = "${tree}/file"; tree = builtins.attrNames tree; again = again.narHash;
                w = within.outPath; i = within.i; sys = builtins ? currentSystem; m = dep.m;
              };
            };
        }"#,
    );
    write(
        "top/sub/flake.nix",
        r#"{ outputs = { self }: { z = "sub" + self.outPath; }; }"#,
    );
    write(
        "many/inner/flake/flake.nix",
        r#"{ outputs = { self }: { i = self.outPath + self.sourceInfo.outPath; }; }"#,
    );
    places.shell(
        "touch -d @1000000 leaf leaf/flake.nix tree tree/file
         for d in dep many top; do cd $d; git init -q; git add .; git commit -qm 1; cd ..; done",
    );
    places
}

#[test]
fn lock_files_and_commands() {
    let places = flakes("flake-lock");
    let lock = places.world.path("top/flake.lock");
    let read = || std::fs::read_to_string(&lock).expect("the lock file");
    places.stock("top", &["flake", "lock"]).succeeds();
    let stock = read();
    places.shell("cd top; git rm -qf --cached flake.lock; rm flake.lock");
    let ours = places.ours("top", &["flake", "lock"]).succeeds();
    assert_eq!(read(), stock);
    ours.says(&[
        "creating lock file \"",
        "• Added input 'again':\n    follows 'dep/more'\n",
        "• Added input 'sub':\n    'path:./sub'\n",
    ]);
    places.shell("cd top; git add .; git commit -qm lock");

    for args in [
        &["flake", "metadata", "--json"][..],
        &["flake", "metadata"],
        &["flake", "show", "--json"],
        &["flake", "show"],
        &["flake", "show", "--json", "--legacy", "--all-systems"],
        &["flake", "show", "--legacy", "--all-systems"],
        &[
            "flake",
            "metadata",
            "--json",
            "--override-input",
            "dep/more",
            "path:../leaf?lastModified=3",
        ],
        &[
            "flake",
            "metadata",
            "--json",
            "--override-input",
            "tree",
            "../leaf",
        ],
        &["flake", "metadata", "--json", "--no-update-lock-file"],
        &["eval", ".#info", "--json"],
        &["eval", ".#lib.v"],
        &["eval", ".#.lib.v"],
        &["eval", ".#default.drvPath"],
        &["eval", ".#hello.drvPath"],
        &["eval", ".#old.drvPath"],
        &["eval", ".#default.drvPath^out"],
        &["eval", ".#lib.v^*"],
        &["eval", ".?dir=sub#z"],
        &["eval", "path:.#hello.name"],
        &[
            "eval",
            "--json",
            "--override-input",
            "leaf",
            "path:../many/inner/flake",
            ".#info.inputs",
        ],
    ] {
        places.same("top", args);
    }
    places.same("top/sub", &["eval", "..#lib.v"]);
    places
        .ours("top", &["flake", "check", "--no-build"])
        .succeeds()
        .says(&["all checks passed!"]);

    // An update of one input, of one below it, and of all.
    places.shell("cd dep; echo >> flake.nix; git commit -qam 2; cd ..; echo 2 > tree/file; touch -d @2000000 tree/file");
    for args in [
        &["flake", "update", "dep"][..],
        &["flake", "update", "dep/more"],
        &["flake", "update", "tree"],
        &["flake", "update"],
    ] {
        let before = read();
        places.stock("top", args).succeeds();
        let stock = read();
        std::fs::write(&lock, before).expect("write the lock file");
        places.ours("top", args).succeeds();
        assert_eq!(read(), stock, "{args:?}");
    }
    places
        .ours(
            "top",
            &[
                "flake",
                "lock",
                "--update-input",
                "dep",
                "--commit-lock-file",
            ],
        )
        .succeeds();
}

#[test]
fn lock_files_are_committed_and_written_elsewhere() {
    let places = flakes("flake-commit");
    let flags = ["flake", "lock", "--commit-lock-file"];
    // What is evaluated by the command that makes the lock file is the flake without it.
    for args in [
        &["flake", "metadata", "--json"][..],
        &["flake", "metadata", "--json", "--commit-lock-file"],
        &["eval", "--raw", ".#packages.x86_64-linux.default.drvPath"],
    ] {
        places.shell("cd top; git tag -f before");
        let stock = places.stock("top", args).succeeds().stdout;
        places.shell("cd top; git reset -q --hard before; rm -f flake.lock");
        let ours = places.ours("top", args).succeeds().stdout;
        assert_eq!(ours, stock, "{args:?}");
        places.shell("cd top; git reset -q --hard before; rm -f flake.lock");
    }
    places.ours("top", &flags).succeeds();
    let log = places
        .shell("cd top; git log -1 --format=%B; git status --short")
        .stdout;
    assert!(
        log.starts_with("flake.lock: Add\n\nFlake lock file updates:\n\n• Added input 'again':"),
        "{log}"
    );
    places
        .ours(
            "top",
            &["flake", "update", "--output-lock-file", "../other.lock"],
        )
        .succeeds();
    places.shell("cmp other.lock top/flake.lock");
    places
        .ours(
            "top",
            &[
                "flake",
                "metadata",
                "--reference-lock-file",
                "../other.lock",
            ],
        )
        .succeeds();
    places.same("top", &["flake", "metadata", "--json"]);
}

/// What is fetched ahead is where stock Nix has it, and is told as there.
#[test]
fn trees_ahead() {
    let places = flakes("flake-ahead");
    places.stock("top", &["flake", "lock"]).succeeds();
    places.shell("cd top; git add .; git commit -qm lock");
    let dir = places.dir();
    for args in [
        &["flake", "archive", "--json"][..],
        &["flake", "archive", "--json", "--dry-run"],
        &["flake", "archive"],
        &["flake", "prefetch", "--json", "."],
        &["flake", "prefetch", "--json", "path:../leaf?dir=x"],
    ] {
        places.same("top", args);
    }
    places.same_text("top", &["flake", "prefetch", "."]);
    let archive = places
        .ours("top", &["flake", "archive", "--json"])
        .succeeds();
    let path = archive.json()["inputs"]["tree"]["path"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(places.world.is_valid(&path), "{path}");
    places.same_failure("", &["flake", "prefetch", "path:./nowhere"]);
    places.same_failure("", &["flake", "prefetch", &format!("path:{dir}/leaf#x")]);
    let there = places.ours("top", &["flake", "archive", "--to", "/elsewhere"]);
    there
        .fails(1)
        .says(&["cannot copy to '/elsewhere'", "--store DIR"]);
    places
        .ours("top", &["flake", "prefetch", ".", "-o", "link"])
        .succeeds();
    assert!(places.world.path("top/link").is_symlink());
    // What is there to be worked on.
    for (reference, file) in [
        ("./top", "top/.git/config"),
        ("path:./leaf", "leaf/flake.nix"),
    ] {
        places
            .ours("", &["flake", "clone", reference, "--dest", "cloned"])
            .succeeds();
        let file = file.split_once('/').unwrap().1;
        places.shell(&format!("echo >>cloned/{file}"));
        places
            .ours("", &["flake", "clone", reference, "--dest", "cloned"])
            .fails(1);
        places.shell("rm -r cloned");
    }
    places.same_failure(
        "",
        &[
            "flake",
            "clone",
            &format!("git+file://{dir}/nowhere"),
            "--dest",
            "cloned",
        ],
    );
    // Nix clones no commits.
    let clone_commit = |rev: &str| {
        let commit = format!("git+file://{dir}/top?rev={rev}");
        places.ours("", &["flake", "clone", &commit, "--dest", "cloned"])
    };
    let unknown = "0".repeat(40);
    let said = clone_commit(&unknown).fails(1);
    said.says(&[&format!("fetching the commit '{unknown}' into 'cloned'")]);
    places.shell(
        "rm -r cloned; cd top; git commit -q --allow-empty -m beside; git rev-parse HEAD >../rev; git reset -q --soft HEAD~",
    );
    let rev = std::fs::read_to_string(places.world.path("rev")).unwrap();
    let rev = rev.trim();
    clone_commit(rev).succeeds();
    let head = std::fs::read_to_string(places.world.path("cloned/.git/HEAD")).unwrap();
    assert_eq!(head.trim(), rev);
    places.shell("rm -r cloned rev");
    // A work tree with changes has a fingerprint of its own.
    places.shell(
        "cd top; mkdir a; for file in a/x a-b a.c; do echo 1 >$file; done
         git add a a-b a.c; chmod +x a-b; rm -f flake.lock; ln -s a/x to; git add to; echo '# more' >>flake.nix",
    );
    places.same(
        "top",
        &["flake", "metadata", "--json", "--no-write-lock-file"],
    );
}

#[test]
fn messages() {
    let places = flakes("flake-messages");
    places.stock("top", &["flake", "lock"]).succeeds();
    places.shell("cd top; git add .; git commit -qm lock");
    let texts: &[(&str, &str)] = &[
        ("no-outputs", "{ }"),
        ("not-a-set", "x: x"),
        ("computed", "let x = 1; in { outputs = _: { }; }"),
        (
            "thunk",
            "{ description = \"a\" + \"b\"; outputs = _: { }; }",
        ),
        (
            "input-thunk",
            "{ inputs.x.url = \"a\" + \"b\"; outputs = _: { }; }",
        ),
        ("input-int", "{ inputs.x = 1; outputs = _: { }; }"),
        (
            "flake-int",
            "{ inputs.x = { url = \"path:/x\"; flake = 1; }; outputs = _: { }; }",
        ),
        (
            "both",
            "{ inputs.x = { url = \"path:/x\"; follows = \"y\"; }; outputs = _: { }; }",
        ),
        (
            "attribute",
            "{ inputs.x = { foo = \"bar\"; }; outputs = _: { }; }",
        ),
        ("unsupported", "{ outputs = _: { }; foo = 1; }"),
        ("outputs-int", "{ outputs = 1; }"),
        ("config", "{ nixConfig.x = { }; outputs = _: { }; }"),
        ("self", "{ inputs.self.foo = true; outputs = _: { }; }"),
        ("follows", "{ inputs.x.follows = \"y\"; outputs = _: { }; }"),
        (
            "cycle",
            "{ inputs.x.follows = \"y\"; inputs.y.follows = \"x\"; outputs = _: { }; }",
        ),
        ("indirect", "{ outputs = { self, nowhere }: { }; }"),
    ];
    for (name, text) in texts {
        places.world.write(&format!("bad/{name}/flake.nix"), text);
        let reference = format!("path:./bad/{name}");
        places.same_failure("", &["flake", "metadata", &reference]);
    }
    places.shell("mkdir untracked nothing; cd untracked; git init -q; echo '{ outputs = _: { }; }' > flake.nix; cd ../nothing; git init -q; echo > a; git add a; git commit -qm 1");
    let dir = places.dir();
    places.same_failure("", &["flake", "metadata", "./untracked"]);
    places.same_failure(
        "",
        &["flake", "metadata", &format!("git+file://{dir}/nothing")],
    );
    places.same_failure("nothing", &["flake", "metadata"]);
    for args in [
        &["eval", ".#nothere"][..],
        &["eval", ".#helo"],
        &["eval", ".#lib.v.deeper"],
        &["eval", ".#lib.v^"],
        &["eval", "path:.?x=[y]#lib.v"],
        &["eval", ".#packages.x86_64-linux.helo"],
        &["eval", "--override-input", "", "x", ".#lib.v"],
        &["eval", "--override-input", "1", "x", ".#lib.v"],
        &[
            "eval",
            "--no-update-lock-file",
            "--recreate-lock-file",
            "--override-input",
            "tree",
            "path:../leaf",
            ".#x",
        ],
        &["eval", "nowhere#x"],
        &["flake", "metadata", "nowhere"],
    ] {
        places.same_failure("top", args);
    }
    places.shell("cd top; git rm -q flake.lock; git commit -qm unlocked");
    places.same_failure("top", &["eval", "--no-update-lock-file", ".#lib.v"]);
    places.same_error(&format!("(builtins.getFlake \"{dir}/nowhere\").x"));
    places.same_value(&format!("(builtins.getFlake \"git+file://{dir}/dep\").x"));
    let pure = places.ours(
        "",
        &[
            "eval",
            "--pure-eval",
            "-E",
            &format!("builtins.getFlake \"git+file://{dir}/dep\""),
        ],
    );
    pure.fails(1)
        .says(&["cannot call 'getFlake' on unlocked flake reference"]);
}

#[test]
fn registries_name_flakes() {
    let places = flakes("flake-registry");
    let dir = places.dir();
    places.world.write(
        "registry.json",
        format!(
            r#"{{ "version": 2, "flakes": [
                {{ "from": {{ "type": "indirect", "id": "deps" }}, "to": {{ "type": "git", "url": "file://{dir}/dep" }} }},
                {{ "from": {{ "type": "indirect", "id": "inner" }}, "to": {{ "type": "path", "path": "{dir}/many", "dir": "inner/flake" }} }} ] }}"#
        ),
    );
    places.world.write(
        "uses/flake.nix",
        "{ outputs = { self, deps, inner }: { v = deps.x; i = inner.i; }; }",
    );
    let registry = format!("{dir}/registry.json");
    let flags = [
        "--no-write-lock-file",
        "--option",
        "flake-registry",
        &registry,
    ];
    for args in [
        &["eval", "path:./uses#v"][..],
        &["eval", "path:./uses#i"],
        &["eval", "deps#x"],
        &["flake", "metadata", "--json", "inner"],
    ] {
        places.same("", &[args, &flags].concat());
    }
    let missing = places.ours("", &["eval", "nowhere#x"]);
    missing.fails(1).says(&[
        "cannot find flake 'flake:nowhere' in the flake registries",
        "hint: ",
    ]);
}

#[test]
fn templates() {
    let places = flakes("flake-templates");
    places.world.write(
        "templates/flake.nix",
        r#"{ outputs = { self }: { templates = {
          one = { path = ./one; description = "d"; welcomeText = "Welcome\n"; };
          default = { path = "${./one}"; description = "d"; };
          missing = { path = ./nowhere; description = "d"; };
          pathless = { description = "d"; };
        }; }; }"#,
    );
    places.shell(
        "mkdir -p templates/one/sub templates/one/empty; cd templates/one; echo 1 >a; echo 2 >sub/b; ln -s a link; echo x >run; chmod +x run
         cd ../..; for d in both stock ours; do mkdir $d; cd $d; git init -q; cd ..; done",
    );
    let template = format!("path:{}/templates", places.dir());
    let both = |args: &[&str]| {
        let stock = places.stock("stock", args);
        let ours = places.ours("ours", args);
        assert_eq!(
            ours.code,
            stock.code,
            "{}\n{}",
            ours.report(),
            stock.report()
        );
        let trees = places.shell(
            "for d in stock ours; do (cd $d; find . -name .git -prune -o -print -exec stat -c '%A' {} + | sort; git status --short) >$d.tree; done; diff stock.tree ours.tree",
        );
        assert_eq!(trees.stdout, "");
        ours
    };
    both(&["flake", "init", "-t", &template]).says(&["wrote: ", "sub/b"]);
    let one = format!("{template}#one");
    both(&["flake", "init", "-t", &one]).says(&["skipping identical file: ", "Welcome"]);
    for dir in ["stock", "ours"] {
        places.shell(&format!("cd {dir}; echo changed >a; ln -sfn b link"));
    }
    both(&["flake", "init", "-t", &one]).says(&[
        "refusing to overwrite existing file",
        "encountered 2 conflicts - see above",
    ]);
    both(&["flake", "new", "-t", &one, "new/dir"]);
    both(&[
        "flake",
        "new",
        "-t",
        &format!("{template}#pathless"),
        "other",
    ])
    .says(&["attribute 'templates.pathless.path' does not exist"]);
    both(&[
        "flake",
        "new",
        "-t",
        &format!("{template}#missing"),
        "other",
    ]);
    both(&["flake", "new", "-t", &format!("{template}#on"), "other"])
        .says(&["does not provide attribute 'templates.on' or 'on'"]);
}

#[test]
fn names_stand_for_what_the_command_line_says() {
    let places = flakes("flake-overrides");
    let dir = places.dir();
    places.ours("top", &["flake", "lock"]).succeeds();
    places.same("top", &["eval", "--inputs-from", ".", "leaf#y"]);
    let leaf = format!("path:{dir}/leaf");
    places.same(
        "top",
        &["eval", "--override-flake", "named", &leaf, "named#y"],
    );
    places.same_failure("top", &["eval", "--inputs-from", ".", "nowhere#x"]);
}

/// `realise`, `instantiate` and `derivation show` take outputs of flakes, too.
#[test]
fn outputs_are_installables() {
    let places = flakes("flake-installables");
    places.ours("top", &["flake", "lock"]).succeeds();
    let drv = places
        .ours("top", &["eval", "--raw", ".#hello.drvPath"])
        .succeeds()
        .stdout;
    let instantiated = places
        .ours("top", &["instantiate", ".#hello"])
        .succeeds()
        .stdout;
    assert_eq!(instantiated.trim(), drv);
    places
        .ours("top", &["realise", "--dry-run", ".#hello"])
        .succeeds()
        .says(&[&drv]);
    let shown = places
        .ours("top", &["derivation", "show", ".#hello"])
        .succeeds()
        .stdout;
    assert!(shown.contains("\"hello\""), "{shown}");
    places.ours("top", &["realise", "--dry-run", ".#lib.v"]).fails(1).says(&["expected flake output attribute 'lib.v' to be a derivation or path but found an integer: 42"]);
    let jobs = places
        .ours("top", &["eval-jobs", ".#packages.x86_64-linux"])
        .succeeds()
        .stdout;
    assert!(jobs.contains(&drv), "{jobs}");
    // A directory without flake.nix is what it always was.
    places.world.write("plain/default.nix", "{ x = 1; }");
    assert_eq!(
        places.ours("", &["eval", "plain#x"]).succeeds().stdout,
        "1\n"
    );
    assert_eq!(
        places.ours("plain", &["eval", ".#x"]).succeeds().stdout,
        "1\n"
    );
}

/// This project's expressions as a flake: the same derivations as without, and as with stock Nix.
#[test]
fn the_project_as_a_flake() {
    let places = Places::new("flake-project");
    crate::support::expressions::copy(&places.world);
    places.world.write(
        "flake.nix",
        "{ outputs = { self }: { packages.x86_64-linux = import ./default.nix; }; }",
    );
    places.shell("git init -q; git add default.nix targets.nix boards image modules pkgs sysroots toolchains vm flake.nix; git commit -qm 1");
    for name in ["hello", "nvidia-jetson-orin-nx-release-from-x86_64"] {
        let attribute = format!(".#{name}.drvPath");
        let flake = places.same("", &["eval", "--raw", &attribute]);
        let file = places.ours(
            "",
            &["eval", "--raw", "-f", ".", &format!("{name}.drvPath")],
        );
        assert_eq!(flake, file.succeeds().stdout);
    }
}
