"""redis-start.sh does what redis.yaml expects of it."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from installation import ROOT
from support import INSTALLATIONS, Case, pod


class Redis(Case):
    """redis-start.sh, with a real Redis in the place of the image's."""

    def start(self, what, port):
        folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, folder)
        # Stand-ins for programs of the image, on a test port.
        for name, line in {
            # A name of a pod is nothing here.
            "redis-server": f'sed -i s/doorward-redis-0.doorward-redis/127.0.0.1/ "$1"\n'
            f'exec {shutil.which("redis-server")} "$@" --port {port} --bind 127.0.0.1',
            "redis-cli": f'exec {shutil.which("redis-cli")} -p {port} "$@"',
            "getent": "exit 0",
        }.items():
            (folder / name).write_text(f"#!/bin/sh\n{line}\n")
            (folder / name).chmod(0o755)
        (folder / "secrets").mkdir()
        for name, value in {"password": "theirs", "peers-password": "ours\n"}.items():
            (folder / "secrets" / name).write_text(value)
        containers = pod(INSTALLATIONS["production"], "StatefulSet", "doorward-redis")["containers"]
        self.box = next(one for one in containers if one["name"] == what)
        variables = {one["name"]: one["value"] for one in self.box["env"]}
        # The only pod, and nobody answers for others: the very first start.
        variables.update(SECRETS=str(folder / "secrets"), DATA=str(folder), HOSTNAME="doorward-redis-0", REPLICAS="1")
        self.env = {**variables, "PATH": f"{folder}:{os.environ['PATH']}"}
        script = ROOT / "k8s/overlays/production/redis-start.sh"
        started = subprocess.Popen(
            ["sh", str(script), what], env=self.env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        self.addCleanup(started.stdout.close)
        self.addCleanup(started.wait)
        self.addCleanup(started.send_signal, signal.SIGKILL)
        return folder

    def probe(self, name):
        command = [word.replace("-p 26379 ", "") for word in self.box[name]["exec"]["command"]]
        return subprocess.run(command, env=self.env, capture_output=True).returncode == 0

    def ask(self, user, password, *words):
        done = subprocess.run(
            ["redis-cli", "--user", user, *words],
            env={**self.env, "REDISCLI_AUTH": password},
            capture_output=True,
            text=True,
        )
        return done.stdout.strip() + done.stderr.strip()

    def assert_up(self, probe):
        end = time.monotonic() + 20
        while not self.probe(probe):
            self.assertLess(time.monotonic(), end, "it does not start")

    def free_port(self):
        with socket.socket() as one:
            one.bind(("127.0.0.1", 0))
            return one.getsockname()[1]

    def test_redis_starts_and_each_user_may_do_what_it_needs_only(self):
        self.start("redis", self.free_port())
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            self.assert_up(probe)
        for words in (
            ["set", "dw:s:x", "1"],
            ["get", "dw:s:x"],
            ["pexpire", "dw:s:x", "9000"],
            ["del", "dw:s:x"],
            ["ping"],
            ["info"],
            ["role"],
            ["config", "get", "maxmemory-policy"],
        ):
            self.assertNotRegex(self.ask("doorward", "theirs", *words), "NOPERM|WRONGPASS|ERR", words)
        for user, password, words in [
            ("doorward", "theirs", ["flushall"]),
            ("doorward", "theirs", ["get", "other"]),
            ("doorward", "theirs", ["eval", "return 1", "0"]),
            ("doorward", "theirs", ["config", "set", "maxmemory", "1"]),
            ("doorward", "theirs", ["keys", "*"]),
            ("peers", "ours", ["get", "dw:s:x"]),
            ("peers", "ours", ["config", "set", "maxmemory", "1"]),
            ("probe", "none", ["get", "dw:s:x"]),
            ("probe", "none", ["info"]),
        ]:
            self.assertIn("NOPERM", self.ask(user, password, *words), (user, words))
        self.assertIn("WRONGPASS", self.ask("default", "", "ping") + self.ask("doorward", "ours", "ping"))
        self.assertIn("volatile-ttl", self.ask("doorward", "theirs", "config", "get", "maxmemory-policy"))

    def test_a_sentinel_starts_and_tells_doorward_who_the_master_is_and_nothing_else(self):
        folder = self.start("sentinel", self.free_port())
        for probe in ("startupProbe", "livenessProbe"):
            self.assert_up(probe)
        asked = ["sentinel", "get-master-addr-by-name", "main"]
        self.assertEqual(self.ask("doorward", "theirs", *asked).split(), ["127.0.0.1", "6379"])
        self.assertIn("config-epoch", self.ask("doorward", "theirs", "sentinel", "master", "main"))
        # The query of another starting pod.
        self.assertEqual(self.ask("peers", "ours", *asked).split(), ["127.0.0.1", "6379"])
        for user, password, words in [
            ("doorward", "theirs", ["sentinel", "failover", "main"]),
            ("doorward", "theirs", ["sentinel", "set", "main", "quorum", "1"]),
            ("peers", "ours", ["shutdown"]),
            ("probe", "none", asked),
        ]:
            self.assertIn("NOPERM", self.ask(user, password, *words), (user, words))
        self.assertIn("WRONGPASS", self.ask("default", "", *asked) + self.ask("doorward", "ours", *asked))
        self.assertNotIn("theirs", (folder / "sentinel/sentinel.conf").read_text(), "only its digest")
