"""The descriptions of both ports are OpenAPI 3.1, and a running proxy with a simulated vendor answers as they say.

    described.py BINARY [MORE OPTIONS OF SCHEMATHESIS]
"""

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml
from openapi_spec_validator import validate

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "deploy"))
from processes import Proxy, http  # noqa: E402

SCHEMATHESIS = Path(sys.executable).with_name("schemathesis")


def faults(port, url, ids, directory, more):
    described = yaml.safe_load((ROOT / "deploy" / "openapi" / f"{port}.yaml").read_text())
    validate(described)
    # Invented ids are 404: these are the simulator's.
    for parameter in activities(described):
        parameter["schema"] = {"enum": ids}
    schema = Path(directory) / f"{port}.json"
    schema.write_text(json.dumps(described))
    command = [
        SCHEMATHESIS, "run", schema, f"--url={url}",
        "--checks=all", "--max-examples=30", "--seed=1", "--generation-database=none", "--phases=examples,coverage,fuzzing",
        "--exclude-checks=" + ",".join(LEFT_OUT), "--no-color", *more,
    ]
    ran = subprocess.run(command, capture_output=True, text=True, cwd=directory, timeout=120)
    print(ran.stdout[-12000:] if ran.returncode else ran.stdout[-400:])
    return ran.returncode


def activities(described):
    """The parameters that are an activity's id, wherever they stand."""
    shared = described["components"].get("parameters", {}).values()
    own = [parameter for item in described["paths"].values() for parameter in item.get("parameters", [])]
    return [parameter for parameter in [*shared, *own] if parameter.get("name") == "campaign_activity_id"]


# positive_data_acceptance: a report may be 404 or 502 whatever the request. negative_data_rejection: other parameters are
# ignored, as the contract says, and so are values of If-None-Match that match nothing.
LEFT_OUT = ["positive_data_acceptance", "negative_data_rejection"]


def main(binary, *more):
    with tempfile.TemporaryDirectory() as directory:
        proxy = Proxy(binary, "demo", {"quota.per_day": 0, "status.enabled": "true"}, directory)
        try:
            ids = proxy.campaigns()[:3]
            # Held from here on, so that no question has to wait for its turn at the vendor.
            asked = [proxy.report(activity, query)[0] for activity in ids for query in ("", "?no_clicks=true")]
            assert asked == [200] * 6, asked
            failed = [port for port, url in (("data", proxy.data), ("admin", proxy.admin)) if faults(port, url, ids, directory, more)]
            # Else it would have seen refusals alone.
            series = r'requests_total\{client="anonymous",code="200",outcome="hit"\} (\d+)'
            hits = int((re.search(series, proxy.metrics()) or [0, 0])[1])
            assert hits > 50, f"{hits} hits"
            status, served = http("GET", f"{proxy.admin}/openapi.json")
            assert status == 200 and json.loads(served)["openapi"] == "3.1.0", served
            validate(json.loads(served))
        finally:
            proxy.end()
    if failed:
        raise SystemExit(f"not as described: {', '.join(failed)}")


if __name__ == "__main__":
    main(*sys.argv[1:])
