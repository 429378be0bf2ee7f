"""Hosts of one machine: namespaces for network, mounts, processes and name, with an sshd as their first process.

Nothing of it has a name outside: the bridge is in the first host's network namespace, the others' links in theirs,
and a namespace lives as long as its processes. All of a host's processes end with its first one, and that one ends with
the thread that booted the host. So nothing can be left behind, and no other program on the machine can be meant.
"""

import contextlib
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import psutil

#: What a host does when it boots, before it becomes its sshd.
BOOT = """
set -e
for path; do
    case $path in /tmp/*) mkdir -p "$DISK$path"; mount --rbind "$path" "$DISK$path";; esac
done
mount --rbind "$DISK/tmp" /tmp
mount --bind "$DISK/home" "$HOME"
for file in passwd hosts resolv.conf; do mount --bind "$ETC/$file" /etc/$file; done
mount -t tmpfs shm /dev/shm
mount -t tmpfs run /run && mkdir /run/sshd
hostname "$NAME"
exec /usr/sbin/sshd -D -e -f "$ETC/sshd_config"
"""

SSHD_CONFIG = """
HostKey {etc}/host_key
AuthorizedKeysFile {etc}/key.pub
PidFile none
StrictModes no
UsePAM no
UseDNS no
PasswordAuthentication no
PermitRootLogin prohibit-password
MaxStartups 100
LogLevel ERROR
"""

BOOTS_WITHIN_S = 30.0


class Network:
    """Hosts on one bridge. The first, `user`, is the computer that commands are typed on, and holds the bridge.

    Args:
        root: An empty directory for their disks.
        names: Of the hosts next to `user`.
        ssh_user: Who can log in, by :attr:`key`.
        shared: Directories that all hosts see, besides the root directory; they see nothing else below /tmp.
        furnish: Puts into a new host's home directory what it comes with; called with the host's name.

    Use as a context manager; :meth:`close` ends every host.
    """

    def __init__(
        self,
        root: Path,
        names: Sequence[str],
        *,
        ssh_user: str,
        furnish: Callable[[str, Path], None],
        shared: Sequence[Path] = (),
    ) -> None:
        self.root, self.furnish, self.shared = root, furnish, (root, *shared)
        self.etc = root / "etc"
        self.home = root / "home"
        self.key = self.etc / "key"
        self.user = Host(self, "user", 1)
        self.hosts = {name: Host(self, name, number) for number, name in enumerate(names, start=2)}
        self._write_etc(ssh_user)

    def __enter__(self) -> "Network":
        try:
            self.user.boot()
            for host in self.hosts.values():
                host.boot()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End every host."""
        for host in (*self.hosts.values(), self.user):
            host.kill()

    def _write_etc(self, ssh_user: str) -> None:
        self.etc.mkdir()
        self.home.mkdir()
        for key in ("key", "host_key"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.etc / key], check=True)
        # Who logs in is root by another name, with a home of this host: the interpreter may be root's alone to read.
        others = Path("/etc/passwd").read_text()
        (self.etc / "passwd").write_text(f"{ssh_user}:x:0:0::{self.home}:/bin/bash\n{others}")
        addresses = [f"{host.address} {host.name}\n" for host in (self.user, *self.hosts.values())]
        (self.etc / "hosts").write_text("127.0.0.1 localhost\n" + "".join(addresses))
        (self.etc / "resolv.conf").write_text("# nobody to ask\n")
        (self.etc / "sshd_config").write_text(SSHD_CONFIG.format(etc=self.etc))


class Host:
    """One of them; made by :class:`Network`."""

    def __init__(self, network: Network, name: str, number: int) -> None:
        self.name, self.address, self._link_address = name, f"10.0.0.{number}", f"02:00:00:00:00:{number:02x}"
        self.disk = network.root / name
        self._network = network
        self._process: subprocess.Popen[bytes] | None = None
        self._init: psutil.Process | None = None

    @property
    def home(self) -> Path:
        """Its home directory, as seen from outside; all hosts see their own at the same path."""
        return self.disk / "home"

    @property
    def is_up(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def boot(self) -> None:
        """Begin: as a new machine, or after a power failure with what is on its disk."""
        assert not self.is_up
        if not self.disk.exists():
            for directory in (self.home, self.disk / "tmp"):
                directory.mkdir(parents=True)
            self._network.furnish(self.name, self.home)
        network = self._network
        env = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "NAME": self.name}
        env |= {"DISK": str(self.disk), "ETC": str(network.etc), "HOME": str(network.home)}
        apart = ["unshare", "--net", "--mount", "--uts", "--pid", "--fork", "--mount-proc", "--kill-child=KILL"]
        with (self.disk / "sshd.log").open("ab") as log:
            self._process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *apart, "bash", "-c", BOOT, "boot", *map(str, network.shared)],
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self._init = None
        self._init = self._first_process()
        self._join_bridge()
        self._wait_for_sshd()

    def kill(self) -> None:
        """SIGKILL to all its processes, and wait until they are gone. Its disk stays."""
        if self._process is None:
            return
        with contextlib.suppress(psutil.NoSuchProcess):
            # All others end with the first; who has started it reaps it, and ends.
            (self._init or self._process).kill()
        self._process.wait()

    def cut(self) -> None:
        """Take its network link down. Nothing reports this: what is sent is lost."""
        self._on_bridge("set", "dev", self.name, "down")

    def mend(self) -> None:
        self._on_bridge("set", "dev", self.name, "up")

    def processes(self, *titles: str) -> list[psutil.Process]:
        """All that were started on it, or those whose command line has these parts."""
        if not self.is_up:
            return []
        found = []
        for process in [self._init, *self._init.children(recursive=True)]:
            try:
                if process.status() != psutil.STATUS_ZOMBIE and all(t in " ".join(process.cmdline()) for t in titles):
                    found.append(process)
            except psutil.NoSuchProcess:
                continue
        return found

    def reaches(self, other: "Host", port: int = 22) -> bool:
        """Whether a connection from here to there is made within two seconds."""
        knock = f"exec 3<> /dev/tcp/{other.address}/{port}"
        command = self.enter("timeout", "2", "bash", "-c", knock)
        return subprocess.run(command, capture_output=True, check=False).returncode == 0

    def enter(self, *words: str | Path) -> list[str]:
        """A command line that runs another on it."""
        spaces = ("--net", "--mount", "--uts", "--pid")
        return ["nsenter", "--target", str(self._init.pid), *spaces, "--", *map(str, words)]

    def _first_process(self) -> psutil.Process:
        given_up_at = time.monotonic() + BOOTS_WITHIN_S
        while self.is_up and time.monotonic() < given_up_at:
            if children := psutil.Process(self._process.pid).children():
                return children[0]
            time.sleep(0.01)
        raise RuntimeError(f"{self.name} does not boot; see {self.disk / 'sshd.log'}")

    def _wait_for_sshd(self) -> None:
        given_up_at = time.monotonic() + BOOTS_WITHIN_S
        while not self._network.user.reaches(self):
            if not self.is_up or time.monotonic() > given_up_at:
                raise RuntimeError(f"{self.name} has no sshd; see {self.disk / 'sshd.log'}")
            time.sleep(0.05)

    def _join_bridge(self) -> None:
        pid, user = str(self._init.pid), self._network.user
        if self is user:
            self._ip("link", "add", "bridge", "type", "bridge")
            device = "bridge"
        else:
            # With an address of its own, so that the others know the host again after it was killed.
            peer = ("peer", "name", "eth0", "address", self._link_address, "netns", pid)
            user._ip("link", "add", "name", self.name, "type", "veth", *peer)
            user._ip("link", "set", "dev", self.name, "master", "bridge", "up")
            device = "eth0"
        self._ip("addr", "add", f"{self.address}/24", "dev", device)
        self._ip("link", "set", "lo", "up")
        self._ip("link", "set", device, "up")
        if self is not user:
            # It leads nowhere, yet Ray learns its own address by asking which way the world would be.
            self._ip("route", "add", "default", "via", user.address)

    def _on_bridge(self, *words: str) -> None:
        self._network.user._ip("link", *words)

    def _ip(self, *words: str) -> None:
        # From outside but for the network: process ids are the outside's.
        subprocess.run(["nsenter", "--target", str(self._init.pid), "--net", "ip", *words], check=True)
