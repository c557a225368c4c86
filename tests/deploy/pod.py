"""A container's file system and identity, as far as a machine without an engine has them: a root directory that holds the
programs, their libraries, and the volumes of the rendered manifest, entered by chroot as the container's user.
"""

import os
import re
import shutil
import subprocess
from pathlib import Path

# What gcr.io/distroless/cc-debian12 brings beside the kernel's vDSO.
IMAGE_LIBRARIES = {"libc.so.6", "libgcc_s.so.1", "libm.so.6", "ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1"}
ENTRYPOINT = "usr/local/bin/link-report-proxy"


def as_root(program, *arguments):
    # By its path, since the container's environment has no PATH.
    command = [shutil.which(program, path="/usr/sbin:/usr/bin:/sbin:/bin"), *arguments]
    return command if os.getuid() == 0 else ["/usr/bin/sudo", "-n", "--preserve-env", *command]


def libraries(binary):
    """{name: path} of the shared libraries that the binary asks for."""
    listed = subprocess.run(["ldd", binary], capture_output=True, text=True, check=True).stdout
    paths = re.findall(r"(/\S+) \(0x", listed)
    return {Path(path).name: path for path in paths}


class Container:
    """A root directory and who runs in it."""

    def __init__(self, root, user, group, fs_group=None):
        self.root, self.user, self.group, self.fs_group = Path(root), user, group, fs_group

    def install(self, program, place):
        """A program where the image has it, with the libraries that it asks for."""
        for path in libraries(program).values():
            self._copy(path, self.root / path.lstrip("/"))
        self._copy(program, self.root / place)

    def _copy(self, source, target):
        self._run("install", "-D", "-m", "0555", source, str(target))

    @staticmethod
    def _run(*command):
        subprocess.run(as_root(*command), check=True)

    def directory(self, path, mode, group=0):
        self._run("install", "-d", "-m", f"{mode:o}", "-g", str(group), str(self.root / path.lstrip("/")))

    def file(self, path, text, mode):
        """As the kubelet's: root's, readable for fsGroup where there is one."""
        made = self.root.parent / "made"
        made.write_text(text)
        group = str(self.fs_group or 0)
        self._run("install", "-D", "-m", f"{mode:o}", "-g", group, str(made), str(self.root / path.lstrip("/")))

    def knows_host(self, *names):
        self.file("/etc/hosts", f"127.0.0.1 localhost {' '.join(names)}\n", 0o644)
        self.file("/etc/nsswitch.conf", "hosts: files\n", 0o644)

    def command(self, *arguments, program=ENTRYPOINT):
        groups = [f"--groups={self.fs_group}"] if self.fs_group is not None else []
        inside = as_root("chroot", f"--userspec={self.user}:{self.group}", *groups, str(self.root), f"/{program}")
        return [*inside, *arguments]


class PodContainer(Container):
    """One container of a rendered Pod, its volumes filled from the rendered ConfigMaps, and from Secrets ({name: {key: text}})
    or made-up ones."""

    def __init__(self, root, spec, container, config_maps, secrets=None):
        security = {**spec.get("securityContext", {}), **container.get("securityContext", {})}
        super().__init__(root, security["runAsUser"], security["runAsGroup"], security.get("fsGroup"))
        self.spec, self.container, self.config_maps, self.secrets = spec, container, config_maps, secrets or {}
        self.mount_all()

    def mount_all(self):
        """Again: as the kubelet does when a ConfigMap or a Secret has changed. What is on a disk stays."""
        volumes = {volume["name"]: volume for volume in self.spec["volumes"]}
        for mount in self.container["volumeMounts"]:
            # A StatefulSet's claims are beside the Pod.
            self._mount(volumes.get(mount["name"], {"persistentVolumeClaim": {}}), mount["mountPath"])

    def _mount(self, volume, place):
        if "emptyDir" in volume:
            self.directory(place, 0o777)
        elif "persistentVolumeClaim" in volume:
            # A new volume belongs to root; the kubelet gives it to fsGroup.
            self.directory(place, 0o2775, self.fs_group or 0)
        elif "configMap" in volume:
            for name, text in self.config_maps[volume["configMap"]["name"]].items():
                self.file(f"{place}/{name}", text, volume["configMap"].get("defaultMode", 0o644))
        elif "projected" in volume:
            for source in (source["secret"] for source in volume["projected"]["sources"]):
                for item in source["items"]:
                    secret = self.secrets.get(source["name"], {}).get(item["key"], f"made-up-{item['key']}")
                    self.file(f"{place}/{item['path']}", secret, volume["projected"].get("defaultMode", 0o644))
        else:
            raise AssertionError(f"a volume of a kind that these tests do not know: {volume}")

    def environment(self):
        values = {}
        for source in self.container.get("envFrom", []):
            values.update(self.config_maps[source["configMapRef"]["name"]])
        for variable in self.container.get("env", []):
            values[variable["name"]] = variable["value"]
        return values


def install_proxy(container, binary):
    """Our image: the binary, and the libraries of its base and no others."""
    strange = libraries(binary).keys() - IMAGE_LIBRARIES
    assert not strange, f"the image has no {sorted(strange)}"
    container.install(binary, ENTRYPOINT)


class Pod(PodContainer):
    """The container of the proxy."""

    def __init__(self, root, binary, spec, container, config_maps, secrets=None):
        super().__init__(root, spec, container, config_maps, secrets)
        install_proxy(self, binary)

    def run(self, *arguments, more=None):
        """Runs the binary with the container's environment, and `more`, to its end."""
        return subprocess.run(
            self.command(*arguments), env={**self.environment(), **(more or {})}, capture_output=True, text=True, timeout=30
        )
