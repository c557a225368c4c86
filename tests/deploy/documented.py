"""The Secrets, as the pages of deploy/ have a person make them: their commands are run, with a kubectl that only keeps them."""

import os
import re
import subprocess
from pathlib import Path

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
KUBECTL = """#!/bin/sh
while [ "$1" != generic ]; do shift; done
name=$2; shift 2; mkdir -p "$KEPT/$name"
for flag; do cp "${flag#--from-file=}" "$KEPT/$name/"; done
"""


def documented_keys():
    """The Secrets and their keys that the pages have a person create."""
    pages = [(DEPLOY / page).read_text() for page in ("token.md", "store.md", "kubernetes/README.md")]
    words = [line.split() for page in pages for line in page.splitlines() if "create secret generic" in line]
    return {(line[line.index("generic") + 1], flag.split("=")[1]) for line in words for flag in line if "--from-file=" in flag}


def store_secrets(directory):
    """{name: {key: text}} of what the commands of store.md make."""
    place, kept = directory / "checkout", directory / "kept"
    place.mkdir()
    (place / "deploy").symlink_to(DEPLOY)
    kubectl = directory / "bin" / "kubectl"
    kubectl.parent.mkdir()
    kubectl.write_text(KUBECTL)
    kubectl.chmod(0o755)
    blocks = re.findall(r"^```sh\n(.*?)^```$", (DEPLOY / "store.md").read_text(), re.MULTILINE | re.DOTALL)
    commands = next(block for block in blocks if "create secret generic" in block)
    environment = {**os.environ, "PATH": f"{kubectl.parent}:{os.environ['PATH']}", "KEPT": str(kept)}
    subprocess.run(["sh", "-euc", commands], cwd=place, env=environment, check=True, capture_output=True)
    left = [path.name for path in place.iterdir() if path.name != "deploy"]
    assert not left, f"the commands leave {left}"
    return {secret.name: {file.name: file.read_text() for file in secret.iterdir()} for secret in kept.iterdir()}
