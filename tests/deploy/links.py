"""What the pages of deploy/ point at is there: links, their anchors, and the files that commands name."""

import re
import sys

from documented import DEPLOY

ROOT = DEPLOY.parent


def anchors(page):
    """As GitHub makes them of headings."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def faults(page):
    text = page.read_text()
    for target, anchor in re.findall(r"\]\(([^)#:]*)(?:#([^)]*))?\)", text):
        place = (page.parent / target).resolve() if target else page
        if not place.exists():
            yield f"there is no {target}"
        elif anchor and anchor not in anchors(place):
            yield f"{target} has no heading {anchor}"
    # In commands and in text: what begins at the top of this repository, and is no Deployment for kubectl.
    for path in re.findall(r"(?<![\w./-])((?:deploy|tests/deploy|config)/[\w./*-]*\w)", text):
        if not any(ROOT.glob(path)) and not re.fullmatch(r"deploy/(link-report-proxy|program)|.*/(mine|my-program)\b.*", path):
            yield f"there is no {path}"


def main():
    found = [f"{page.relative_to(ROOT)}: {fault}" for page in sorted(DEPLOY.rglob("*.md")) for fault in faults(page)]
    for fault in found:
        print(fault)
    sys.exit(1 if found else 0)


main()
