"""Mutation tests: cargo-mutants changes one thing at a time in a module's code, and the module's own tests must notice.

A mutant costs a build of the tests, and the crate takes too long for that. The layers help: a module is built with those
that it imports and no others, in a crate of its own below `target/`, which is also what is changed, and never `src/`.
Mutants that change nothing anybody could notice are listed in `tests/mutants.toml`, each with its reason.

    mutants.py TARGET [PATH of src/...]
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# What decides without I/O and imports little: a mutant takes seconds.
DEFAULT = ["src/refresh", "src/report", "src/backoff.rs", "src/outage.rs"]
# A private module of tests: its declaration, or at the end of a file its text.
TESTS = re.compile(r"^#\[cfg\(test\)\]\nmod \w+(;\n| \{.*)", re.MULTILINE | re.DOTALL)
PROFILE = """
[profile.dev]
opt-level = 0
debug = false
"""


def modules():
    """Each module at the top of the crate, with its text."""
    found = {}
    for path in sorted((ROOT / "src").rglob("*.rs")):
        name = path.relative_to(ROOT / "src").parts[0].removesuffix(".rs")
        found[name] = found.get(name, "") + path.read_text()
    return {name: text for name, text in found.items() if name not in ("lib", "main")}


def needed(module):
    """The module and what it imports, directly or not."""
    texts, kept, waiting = modules(), set(), [module]
    while waiting:
        name = waiting.pop()
        kept.add(name)
        for group in re.findall(r"\bcrate::(\w+|\{.*?\};)", texts[name], re.DOTALL):
            group = group.strip("{};")
            while "{" in group:
                group = re.sub(r"\{[^{}]*(\}|$)", "", group)
            imported = {path.split("::")[0].strip() for path in group.split(",")}
            waiting += imported & texts.keys() - kept
    return kept


def manifest(text):
    """The crate's own, with the dependencies that this text names and without other targets."""
    kept, section = [], ""
    for line in (ROOT / "Cargo.toml").read_text().splitlines():
        section = line if line.startswith("[") else section
        name, _, value = line.partition(" = ")
        is_dependency = value and section in ("[dependencies]", "[dev-dependencies]")
        is_used = not is_dependency or re.search(rf"\b{name.replace('-', '_')}\b", text)
        if is_used and name != "default-run" and not section.startswith(("[[", "[profile")):
            kept.append(line)
    return "\n".join(kept) + PROFILE


def make_crate(place, module):
    kept = needed(module)
    shutil.rmtree(place, ignore_errors=True)
    (place / "src").mkdir(parents=True)
    (place / "Cargo.toml").write_text(manifest("".join(text for name, text in modules().items() if name in kept)))
    shutil.copy(ROOT / "Cargo.lock", place)
    for name in ("build.rs", "rust-toolchain.toml", "config", "deploy"):
        (place / name).symlink_to(ROOT / name)
    # With the times of now: with those of the sources, cargo would take what it built of the last mutant for these.
    for name in kept:
        source = ROOT / "src" / name
        if source.is_dir():
            shutil.copytree(source, place / "src" / name, copy_function=shutil.copy)
        else:
            shutil.copy(source.with_suffix(".rs"), place / "src")
    # The tests of the others are not run.
    for path in (place / "src").rglob("*.rs"):
        if path.relative_to(place / "src").parts[0].removesuffix(".rs") != module:
            path.write_text(TESTS.sub("", path.read_text()))
    lib = (ROOT / "src/lib.rs").read_text()
    for name in modules().keys() - kept:
        lib = re.sub(rf"^(#\[cfg.*\n)?(pub )?mod {name};\n", "", lib, flags=re.MULTILINE)
    (place / "src/lib.rs").write_text(lib)


def is_clean(target, module, paths):
    place = target / "mutants" / module
    make_crate(place, module)
    print(f"\n== {' '.join(paths)}, with {len(needed(module))} of {len(modules())} modules", flush=True)
    files = [word for path in paths for word in ("--file", path if path.endswith(".rs") else f"{path}/**")]
    command = ["cargo", "mutants", "--in-place", "--config", ROOT / "tests/mutants.toml", *files]
    command += ["--", "--lib", f"{module}::"]
    environment = os.environ | {"CARGO_TARGET_DIR": str(target), "CARGO_INCREMENTAL": "1"}
    code = subprocess.run(command, cwd=place, env=environment, check=False).returncode
    # 3: there was a mutant whose tests had no end, which is noticed; and perhaps one that was missed.
    return code in (0, 3) and not (place / "mutants.out/missed.txt").read_text()


def main():
    target = Path(sys.argv[1]).resolve()
    by_module = {}
    for path in sys.argv[2:] or DEFAULT:
        path = path.rstrip("/")
        if not (ROOT / path).exists() or Path(path).parts[:1] != ("src",):
            sys.exit(f"no {path} below src/")
        by_module.setdefault(Path(path).parts[1].removesuffix(".rs"), []).append(path)
    failed = [module for module, paths in by_module.items() if not is_clean(target, module, paths)]
    if failed:
        sys.exit(f"not all mutants were noticed, or the tests fail as they are: {', '.join(failed)}")


if __name__ == "__main__":
    main()
