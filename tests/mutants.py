"""Mutation tests: cargo-mutants changes one thing at a time in a module's code, and the module's own tests must notice.

A mutant costs a build of the tests, and the crate takes too long for that. The layers help: a module is a crate of its own
below `target/`, and those that it imports are another, `below`, which is built once. That copy is also what is changed, and
never `src/`.
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
# What decides without I/O, or with little of it: a mutant takes seconds.
DEFAULT = ["src/refresh", "src/report", "src/quota", "src/resilience", "src/backoff.rs", "src/outage.rs"]
# A private module of tests: its declaration, or at the end of a file its text.
TESTS = re.compile(r"^#\[cfg\(test\)\]\nmod \w+(;\n| \{.*)", re.MULTILINE | re.DOTALL)
# Of a mutant it matters only whether some case fails.
PROPERTIES = {
    "PROPTEST_CASES": "32",
    "PROPTEST_MAX_SHRINK_ITERS": "0",
    "PROPTEST_DISABLE_FAILURE_PERSISTENCE": "true",
}
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


def manifest(text, below):
    """The crate's own, with the dependencies that this text names and without other targets. In `below`, what is for tests is
    for all."""
    kept, section, places = [], "", {}
    for line in (ROOT / "Cargo.toml").read_text().splitlines():
        section = line if line.startswith("[") else section
        name, _, value = line.partition(" = ")
        is_dependency = value and section in ("[dependencies]", "[dev-dependencies]")
        is_used = not is_dependency or re.search(rf"\b{name.replace('-', '_')}\b", text)
        is_left_out = section.startswith(("[[", "[profile")) or below and section.startswith("[lints")
        if not is_used or is_left_out or name == "default-run" or below and line == "[dev-dependencies]":
            continue
        if below and is_dependency and name in places:
            features = re.search(r"features = \[(.*)\]", value).group(1)
            place = places[name]
            kept[place] = kept[place].replace("features = [", f"features = [{features}, ")
            continue
        places[name] = len(kept)
        kept.append('name = "below"' if below and line == 'name = "link-report-proxy"' else line)
    return "\n".join(kept) + PROFILE


def copy_crate(place, kept, below):
    """These modules, and what else a crate needs."""
    (place / "src").mkdir(parents=True)
    (place / "Cargo.toml").write_text(manifest("".join(text for name, text in modules().items() if name in kept), below))
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
    lib = (ROOT / "src/lib.rs").read_text()
    for name in modules().keys() - kept:
        lib = re.sub(rf"^(#\[cfg.*\n)?(pub )?mod {name};\n", "", lib, flags=re.MULTILINE)
    (place / "src/lib.rs").write_text(lib)


def open_up(place):
    """Shows another crate all of this one, also what is there for tests; but the tests themselves are left out."""
    for path in (place / "src").rglob("*.rs"):
        text = TESTS.sub("", path.read_text())
        text = re.sub(r"#\[cfg\((test|any\(test, .*?\))\)\]\s*", "", text)
        path.write_text(text.replace("pub(crate)", "pub"))
    lib = place / "src/lib.rs"
    lib.write_text(re.sub(r"^mod ", "pub mod ", lib.read_text(), flags=re.MULTILINE))


def make_crate(place, module):
    shutil.rmtree(place, ignore_errors=True)
    copy_crate(place, {module}, below=False)
    imported = needed(module) - {module}
    if imported:
        copy_crate(place / "below", imported, below=True)
        open_up(place / "below")
        for name, old, new in (
            ("Cargo.toml", "[dependencies]", '[dependencies]\nbelow = { path = "below" }'),
            ("src/lib.rs", f"mod {module};\n", f"mod {module};\nuse below::{{{', '.join(sorted(imported))}}};\n"),
        ):
            path = place / name
            path.write_text(path.read_text().replace(old, new, 1))


def is_clean(target, module, paths):
    place = target / "mutants" / module
    make_crate(place, module)
    print(f"\n== {' '.join(paths)}, with {len(needed(module))} of {len(modules())} modules", flush=True)
    files = [word for path in paths for word in ("--file", path if path.endswith(".rs") else f"{path}/**")]
    command = ["cargo", "mutants", "--in-place", "--config", ROOT / "tests/mutants.toml", *files]
    command += ["--", "--lib", f"{module}::"]
    environment = os.environ | {"CARGO_TARGET_DIR": str(target), "CARGO_INCREMENTAL": "1"} | PROPERTIES
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
