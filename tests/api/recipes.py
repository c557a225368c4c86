"""The recipes of deploy/analyst.md that can be run here work as they are written, against a real proxy that wants a token.

    recipes.py BINARY
"""

import csv
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "deploy"))
from processes import Proxy  # noqa: E402

PAGE = (ROOT / "deploy" / "analyst.md").read_text()
TOKEN = "a-client-token-of-the-recipes-0123456789"
COLUMNS = ["as_of", "campaign_activity_id", "link_url", "url_id", "unique_clicks", "list_action", "list_id"]


def recipe(language):
    (only,) = re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    return only


def main(binary):
    with tempfile.TemporaryDirectory() as directory:
        tokens = Path(directory) / "tokens"
        tokens.write_text(f"analyst {TOKEN}\n")
        proxy = Proxy(binary, "demo", {"quota.per_day": 0, "clients.tokens_file": tokens}, directory)
        try:
            activity = proxy.campaigns()[0]
            environment = {"PATH": os.environ["PATH"], "PROXY": proxy.data, "ACTIVITY": activity, "CLIENT_TOKEN": TOKEN}

            def run(*command, **changed):
                return subprocess.run(command, env={**environment, **changed}, cwd=directory, capture_output=True, text=True, timeout=60)

            fetched = run("sh", "-c", recipe("sh"))
            assert fetched.returncode == 0, fetched.stderr
            with (Path(directory) / "links.csv").open(newline="") as table:
                rows = list(csv.DictReader(table))
            assert rows and list(rows[0]) == COLUMNS and rows[0]["campaign_activity_id"] == activity, rows
            drawn = run(sys.executable, "-c", recipe("py"), MPLBACKEND="Agg", HOME=directory)
            assert drawn.returncode == 0 and (Path(directory) / "links.png").stat().st_size > 10_000, drawn.stderr

            assert run("sh", "-c", recipe("sh"), CLIENT_TOKEN="another").returncode != 0

            shown = run(sys.executable, "-c", recipe("python"))
            assert shown.returncode == 0 and all(row["link_url"] in shown.stdout for row in rows), shown.stdout + shown.stderr
        finally:
            proxy.end()


if __name__ == "__main__":
    main(*sys.argv[1:])
