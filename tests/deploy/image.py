"""Builds the real Dockerfile with Debian's buildah, and holds the image to what the Dockerfile promises: its files, who it runs as,
what a registry would be told of it, its size; and that `healthcheck` in it knows whether `serve` in it is ready.

    image.py PLACE RUSTUP CARGO_HOME SYSROOT

PLACE keeps Cargo's objects between runs, and nothing else. No registry of images is asked: the two base images are made from
packages that are installed on this machine, and the toolchain and the crates are this machine's. Cargo is told by its environment
not to optimize, since a release takes minutes. The other architecture is not built.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import tomllib
from pathlib import Path

import netns
from pod import ENTRYPOINT
from processes import http, wait_for

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILE = "deploy/container/Dockerfile"
RUST, DISTROLESS = "docker.io/library/rust:{}-slim-bookworm", "gcr.io/distroless/cc-debian12:nonroot"
BINARY = f"/{ENTRYPOINT}"
HOME = Path("/home", "nonroot")
PATHS = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
REVISION, DATE = "0123456789abcdef0123456789abcdef01234567", "2001-02-03"
# Of the release 20 MB, of which it had 13.1 when it had 43.7 without optimization.
MAX_ADDED_BYTES = 20_000_000 * 43.7 / 13.1
PROFILE = {"LTO": "off", "OPT_LEVEL": "0", "CODEGEN_UNITS": "4"}
SECOND = 1_000_000_000
PROMISED = {
    "User": "65532:65532",
    "Entrypoint": [BINARY],
    "Cmd": ["serve"],
    "StopSignal": "SIGTERM",
    "Healthcheck": {
        "Test": ["CMD", BINARY, "healthcheck"],
        "Interval": 10 * SECOND,
        "Timeout": 3 * SECOND,
        "StartPeriod": 5 * SECOND,
    },
    "Labels": {
        "org.opencontainers.image.title": "link-report-proxy",
        "org.opencontainers.image.description": "A caching reverse proxy for Constant Contact's email link reports",
        "org.opencontainers.image.licenses": "MIT OR Apache-2.0",
        "org.opencontainers.image.revision": REVISION,
    },
    # Of the base image, but for the last.
    "WorkingDir": str(HOME),
    "Env": [f"PATH={PATHS}", "SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt", "MIMALLOC_PURGE_DELAY=0"],
}
# Neither the default ports nor the environment: what a person gives the image, who has a file of settings.
SETTINGS_PLACE = "/etc/link-report-proxy.toml"
ADMIN = "127.0.0.1:19191"
SETTINGS = f"""
server.listen = "127.0.0.1:18181"
admin.listen = "{ADMIN}"
token.source = "static"
token.access_token = "made-up"
"""


def packaged_files(*packages):
    """The files of these installed packages and of all that they depend on, but for what slim images leave out."""
    depends = ["apt-cache", "depends", "--recurse", "--installed", "--important", *packages]
    listed = subprocess.run(depends, capture_output=True, text=True, check=True).stdout.splitlines()
    names = [line for line in listed if not line.startswith((" ", "<"))]
    found = subprocess.run(["dpkg-query", "--listfiles", *names], capture_output=True, text=True, check=True).stdout
    for path in map(Path, found.splitlines()):
        if path.is_symlink() or path.is_file():
            # Packages say /lib, which is /usr/lib.
            place = path.parent.resolve() / path.name
            if not place.is_relative_to("/usr/share"):
                yield place.relative_to("/")


class Buildah:
    def __init__(self, place):
        # In TMPDIR are what the Dockerfile mounts as caches, and directories of buildah's own.
        self.place, self.caches, self.scratch = place, place / "buildah-cache", place / "scratch"
        storage = ["--root", self.scratch / "storage", "--runroot", self.scratch / "run", "--storage-driver", "vfs"]
        self.command = ["buildah", *map(str, storage)]
        self.environment = {**os.environ, "TMPDIR": str(place), "BUILDAH_ISOLATION": "chroot"}

    def clear(self):
        """All but the caches, and never this machine's own directories, which a build that failed may have left mounted."""
        mounted = Path("/proc/self/mountinfo").read_text()
        for path in self.place.glob("*"):
            if path != self.caches and f" {path}" not in mounted:
                shutil.rmtree(path, ignore_errors=True)

    def arguments(self, *arguments):
        return [*self.command, *map(str, arguments)]

    def __call__(self, *arguments):
        done = subprocess.run(self.arguments(*arguments), env=self.environment, cwd=ROOT, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"buildah {arguments[0]}: {done.stdout[-2000:]}{done.stderr[-4000:]}")
        return done.stdout.strip()

    def stand_in(self, image, packages, config, directories, files, links=None):
        """A base image of one layer."""
        container = self("from", "scratch")
        root = Path(self("mount", container))
        for name in ("bin", "sbin", "lib", "lib64"):
            (root / "usr" / name).mkdir(parents=True)
            (root / name).symlink_to(f"usr/{name}")
        paths = "\0".join(sorted({str(path) for path in packaged_files(*packages)}))
        tar = ["tar", "--create", "--directory=/", "--no-recursion", "--null", "--verbatim-files-from", "--files-from=-"]
        packed = subprocess.run(tar, input=paths.encode(), stdout=subprocess.PIPE, check=True).stdout
        subprocess.run(["tar", "--extract", "--directory", root], input=packed, check=True)
        for path in directories:
            (root / path).mkdir(parents=True)
        for path, text in files.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(text)
        for path, target in (links or {}).items():
            (root / path).symlink_to(target)
        self("config", *config, container)
        self("commit", "--quiet", "--rm", container, image)

    def pushed(self, image):
        """(the configuration, the files of the layers over the base) that a registry gets."""
        place = self.scratch / "pushed"
        self("push", "--quiet", "--format", "v2s2", "--disable-compression", image, f"dir:{place}")
        manifest = json.loads((place / "manifest.json").read_text())
        blobs = [place / blob["digest"].removeprefix("sha256:") for blob in (manifest["config"], *manifest["layers"])]
        members = []
        for layer in blobs[2:]:
            with tarfile.open(layer) as tar:
                members += tar.getmembers()
        return json.loads(blobs[0].read_text())["config"], members


def toolchain(sysroot):
    """(its version, its name)"""
    said = subprocess.run([sysroot / "bin" / "rustc", "-vV"], capture_output=True, text=True, check=True).stdout
    version, host = (re.search(rf"^{key}: (\S+)$", said, re.MULTILINE)[1] for key in ("release", "host"))
    return version, f"{version}-{host}"


def sources(cargo_home):
    """Whence this machine has its crates, if that is not crates.io."""
    config = cargo_home / "config.toml"
    tables = tomllib.loads(config.read_text()).get("source", {}) if config.exists() else {}
    lines = []
    for name, keys in tables.items():
        lines += [f"[source.{json.dumps(name)}]", *(f"{key} = {json.dumps(value)}" for key, value in keys.items())]
    return "\n".join(lines)


def bind(source, target):
    target.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "--bind", source, target], check=True)
    subprocess.run(["mount", "-o", "remount,bind,ro", target], check=True)


def build(buildah, rustup, cargo_home, sysroot):
    version, name = toolchain(sysroot)
    environment = {
        "RUSTUP_HOME": "/usr/local/rustup",
        "CARGO_HOME": "/usr/local/cargo",
        "PATH": f"/usr/local/cargo/bin:{PATHS}",
        "CARGO_NET_OFFLINE": "true",
        # Nowhere else is it compiled as released, without the simulator.
        "RUSTFLAGS": "-D warnings",
        **{f"CARGO_PROFILE_RELEASE_{key}": value for key, value in PROFILE.items()},
    }
    config = [part for variable in environment.items() for part in ("--env", "=".join(variable))]
    # A link that is in no package, but made when it is installed.
    links = {"usr/bin/cc": "gcc"}
    compiler = ["dash", "coreutils", "gcc", "libc6-dev"]
    buildah.stand_in(RUST.format(version), compiler, config, ["tmp"], {"usr/local/cargo/config.toml": sources(cargo_home)}, links)
    nonroot = {"etc/passwd": f"nonroot:x:65532:65532:nonroot:{HOME}:/sbin/nologin\n", "etc/group": "nonroot:x:65532:\n"}
    config = ["--user", "65532", "--workingdir", PROMISED["WorkingDir"]]
    config += [part for variable in PROMISED["Env"][:2] for part in ("--env", variable)]
    buildah.stand_in(DISTROLESS, ["libc6", "libgcc-s1"], config, ["tmp", HOME.relative_to("/")], nonroot)
    # Read-only, since they are this machine's; the directory above has a lock file of buildah's.
    for part in ("index", "cache", "src"):
        bind(cargo_home / "registry" / part, buildah.caches / "usr/local/cargo/registry" / part)
    given = {"REVISION": REVISION, "DATE": DATE}
    buildah(
        *("build", "--file", DOCKERFILE, "--pull-never", "--format", "docker", "--tag", "built"),
        *(f"--volume={rustup}:/usr/local/cargo/bin/{proxy}:ro" for proxy in ("cargo", "rustc")),
        f"--volume={sysroot}:/usr/local/rustup/toolchains/{name}:ro",
        *(f"--build-arg={key}={value}" for key, value in given.items()),
        ".",
    )


def config_faults(config):
    config["Labels"].pop("io.buildah.version", None)
    for key in PROMISED.keys() | {key for key, value in config.items() if value}:
        # Docker's own names of what the image was built from and in.
        if key not in ("Image", "Hostname", "ArgsEscaped", "OnBuild") and config.get(key) != PROMISED.get(key):
            yield f"its {key} is {config.get(key)}, not {PROMISED.get(key)}"


def file_faults(members):
    way = {str(path) for path in Path(ENTRYPOINT).parents}
    files = {member.name: member for member in members if not (member.isdir() and member.name.rstrip("/") in way)}
    if files.keys() != {ENTRYPOINT}:
        yield f"over its base it has {sorted(files)}"
    for member in files.values():
        if (member.mode & 0o7777, member.uid, member.gid) != (0o555, 0, 0) or not member.isreg():
            yield f"{member.name} is {member.mode:o} of {member.uid}:{member.gid}"
    added = sum(member.size for member in files.values())
    if added > MAX_ADDED_BYTES:
        yield f"it is {added} bytes over its base"
    print(f"over its base: {added / 1e6:.1f} MB, not optimized")


class Running:
    """The image in its own root, by its own configuration."""

    def __init__(self, buildah, config):
        self.buildah, self.config = buildah, config
        settings = buildah.scratch / "settings.toml"
        settings.write_text(SETTINGS)
        given = ["--env", f"LINK_REPORT_PROXY_CONFIG={SETTINGS_PLACE}", "--volume", f"{settings}:{SETTINGS_PLACE}:ro"]
        self.inside = buildah.arguments("run", *given, buildah("from", "--pull-never", "built"), "--")

    def run(self, *command):
        return subprocess.run(
            [*self.inside, *command], env=self.buildah.environment, capture_output=True, text=True, timeout=60
        )

    def healthcheck(self):
        kind, *command = self.config["Healthcheck"]["Test"]
        assert kind == "CMD", f"without a shell, {kind} does not run"
        return self.run(*command)

    def processes(self):
        """Those of the binary: in this script's namespace are no others."""
        for directory in Path("/proc").glob("[0-9]*"):
            try:
                if os.readlink(directory / "exe").endswith(BINARY):
                    yield directory
            except OSError:
                pass

    def faults(self):
        said = self.run(*self.config["Entrypoint"], "--version").stdout
        if not re.fullmatch(rf"link-report-proxy \S+ \({REVISION[:7]}, {DATE}\)\n", said):
            yield f"it calls itself {said!r}"
        offered = self.run(*self.config["Entrypoint"], "--help").stdout
        if "healthcheck" not in offered or re.search(r"^ *(demo|simulator)\b", offered, re.MULTILINE):
            yield f"it offers {offered}"
        if self.run(*self.config["Entrypoint"], "simulator", "--help").returncode == 0:
            yield "it has the simulator"
        for line in ("demo", "demo --busy", "demo --busy --replicas 3", "demo --replicas 2 --shared redis://127.0.0.1"):
            said = self.run(*self.config["Entrypoint"], *line.split(" ")).stderr
            # A store's address may hold a password.
            if f'"cargo run --release -- {re.sub("redis:.*", "URL", line)}"' not in said:
                yield f"{line} does not say how to run it: {said}"
        if (found := self.healthcheck()).returncode != 69:
            yield f"without a proxy, its healthcheck says {found}"
        log = self.buildah.scratch / "serve.log"
        with log.open("w") as out:
            serve = subprocess.Popen(
                [*self.inside, *self.config["Entrypoint"], *self.config["Cmd"]], env=self.buildah.environment, stdout=out, stderr=out
            )
        try:
            answers = lambda: serve.poll() is not None or self.healthcheck().returncode == 0
            wait_for("its healthcheck", answers, seconds=60, said=log.read_text)
            yield from self.serving_faults(serve, log)
        finally:
            serve.kill()
            serve.wait()

    def serving_faults(self, serve, log):
        processes = list(self.processes())
        if serve.poll() is not None or len(processes) != 1:
            yield f"serve ended: {log.read_text()}"
            return
        status = (processes[0] / "status").read_text()
        owners = [re.search(rf"^{key}:\s(.*)$", status, re.MULTILINE)[1].split() for key in ("Uid", "Gid")]
        if owners != [["65532"] * 4] * 2:
            yield f"its process belongs to {owners}"
        if json.loads(http("GET", f"http://{ADMIN}/version")[1])["revision"] != REVISION:
            yield "its /version has another revision"
        os.kill(int(processes[0].name), signal.Signals[self.config["StopSignal"]])
        if (code := serve.wait(60)) != 0:
            yield f"stopped, it ends with {code}: {log.read_text()}"


def main(place, *machine):
    # Mounts and processes go with the namespaces, however this ends.
    netns.enter("--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
    buildah = Buildah(Path(place).resolve())
    buildah.clear()
    buildah.scratch.mkdir(parents=True)
    try:
        build(buildah, *map(Path, machine))
        config, members = buildah.pushed("built")
        faults = [*config_faults(config), *file_faults(members)]
        # What is not as promised may well not run.
        faults = faults or [*Running(buildah, config).faults()]
    finally:
        buildah.clear()
    for fault in faults:
        print(f"the image: {fault}")
    sys.exit(1 if faults else 0)


main(*sys.argv[1:])
