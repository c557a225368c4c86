"""What the pages of deploy/ say can be done: their links and files are there, and their commands run as far as they do without a
cluster: kubectl renders what it would apply, and has the files that it would read. A line can be pasted into zsh as into bash.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from documented import DEPLOY

ROOT = DEPLOY.parent
# In the order in which a new user comes to them. store.md is run by documented.py.
COMMANDS = ["kubernetes/README.md", "token.md", "helm/README.md"]
KUBECTL = """#!/bin/sh
for word; do
    case "$word" in --from-file=*) test -s "${word#--from-file=}" || { echo "no file in: $*" >&2; exit 1; } ;; esac
done
case "$*" in
"kustomize "*) exec "$REAL_KUBECTL" "$@" ;;
"apply -k "*) "$REAL_KUBECTL" kustomize "$3" >/dev/null ;;
"apply -f -") cat >/dev/null ;;
"apply -f "*) test -s "$3" ;;
*"create secret generic "* | *"create namespace "*) "$REAL_KUBECTL" "$@" --dry-run=client >/dev/null ;;
esac
"""
HELM = f"""#!/bin/sh
for word; do
    case "$word" in deploy/*) test -e "$word" || {{ echo "no $word" >&2; exit 1; }} ;; esac
done
case "$*" in "template "*" -s "*) exec {sys.executable} {Path(__file__).with_name("template.py")} "$@" ;; esac
"""
# What it is given is there, and has the settings.
DOCKER = """#!/bin/sh
for word; do
    case "$last" in
    -v) test -e "${word%%:*}" || { echo "no ${word%%:*}" >&2; exit 1; } ;;
    --env-file) grep -q '^LINK_REPORT_PROXY__TOKEN__CLIENT_ID=[^"]*$' "$word" || { echo "no settings in $word" >&2; exit 1; } ;;
    esac
    last=$word
done
"""


def anchors(page):
    """As GitHub makes them of headings."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def link_faults(page):
    text = page.read_text()
    for target, anchor in re.findall(r"\]\(([^)#:]*)(?:#([^)]*))?\)", text):
        place = (page.parent / target).resolve() if target else page
        if not place.exists():
            yield f"there is no {target}"
        elif anchor and anchor not in anchors(place):
            yield f"{target} has no heading {anchor}"
    # In commands and in text: what begins at the top of this repository. deploy/NAME alone may be a Deployment, for kubectl.
    for path in re.findall(r"(?<![\w./-])((?:deploy/[\w*-]+|tests/deploy|config)/[\w./*-]*\w)", text):
        if not any(ROOT.glob(path)) and not re.search(r"/(mine|my-program)\b", path):
            yield f"there is no {path}"


def comment_faults(page):
    """An interactive zsh knows no comments: it takes what is behind # for arguments."""
    for _, block in re.findall(r"^( *)```(?:sh|console)\n(.*?)^ *```$", page.read_text(), re.MULTILINE | re.DOTALL):
        for line in block.splitlines():
            if re.search(r"(^|\s)#(\s|$)", line):
                yield f"this line has a comment, which zsh takes for arguments: {line.strip()}"


def command_faults(page, checkout, programs):
    text = page.read_text()
    environment = {**os.environ, "PATH": f"{programs}:{Path(sys.executable).parent}:{os.environ['PATH']}"}
    environment["REAL_KUBECTL"] = str(Path(sys.executable).parent / "kubectl")
    blocks = re.findall(r"`(cp -r [^`]*)`", text)
    blocks += [block for _, block in re.findall(r"^( *)```sh\n(.*?)^ *```$", text, re.MULTILINE | re.DOTALL)]
    for block in blocks:
        command = ["bash", "-euo", "pipefail", "-c", block]
        # A person's paste.
        ran = subprocess.run(command, cwd=checkout, env=environment, input="pasted", capture_output=True, text=True, timeout=60)
        if ran.returncode != 0:
            yield f"these commands end with {ran.returncode}, {ran.stderr.strip()}:\n{block}"


def installed(programs):
    programs.mkdir()
    for name, text in (("kubectl", KUBECTL), ("helm", HELM), ("docker", DOCKER), ("curl", "#!/bin/sh\n")):
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)


def main():
    pages = sorted(DEPLOY.rglob("*.md"))
    commented = [ROOT / "README.md", *pages]
    found = [f"{page.relative_to(ROOT)}: {fault}" for page in pages for fault in link_faults(page)]
    found += [f"{page.relative_to(ROOT)}: {fault}" for page in commented for fault in comment_faults(page)]
    with tempfile.TemporaryDirectory() as directory:
        checkout, programs = Path(directory) / "checkout", Path(directory) / "programs"
        for part in ("deploy", "tests/deploy"):
            shutil.copytree(ROOT / part, checkout / part)
        installed(programs)
        for page in COMMANDS:
            found += [f"deploy/{page}: {fault}" for fault in command_faults(DEPLOY / page, checkout, programs)]
    for fault in found:
        print(fault)
    sys.exit(1 if found else 0)


main()
