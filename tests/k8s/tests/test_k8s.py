"""The command, and the page compared with the folders."""

import copy
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import documented
import gateway
import k8s_check
import pages
from installation import ROOT, Installation, RenderError
from support import INSTALLATIONS, PAGE, SECRETS, Case, spec


class Everything(Case):
    def test_what_is_shipped_has_no_problem(self):
        for name in k8s_check.FOLDERS:
            self.assertEqual(self.broken(name, lambda one: None), [])

    def test_a_folder_that_kustomize_refuses_is_a_problem(self):
        folder = Path(tempfile.mkdtemp())
        try:
            shutil.copytree(ROOT / "k8s", folder / "k8s")
            (folder / "k8s/base/ingress.yaml").unlink()
            with self.assertRaisesRegex(RenderError, "ingress.yaml"):
                Installation.of("single", folder / "k8s/overlays/single")
        finally:
            shutil.rmtree(folder)

    def test_the_command_fails_and_says_every_problem(self):
        folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, folder)
        files = subprocess.run(
            ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True
        )
        for file in files.stdout.splitlines():
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / file, folder / file)
        subprocess.run(["git", "init", "--quiet"], cwd=folder, check=True)
        for file, old, new in [
            ("k8s/overlays/single/gateway.toml", "drain_timeout", "drain_time"),
            ("k8s/base/service.yaml", "targetPort: admin", "targetPort: metrics"),
            ("k8s/overlays/production/kustomization.yaml", "newTag: 0.1.0", "newTag: latest"),
        ]:
            text = (folder / file).read_text()
            self.assertIn(old, text)
            (folder / file).write_text(text.replace(old, new))
        command = [sys.executable, "tests/k8s/k8s_check.py"]
        done = subprocess.run(
            command, cwd=folder, env={**os.environ, "DOORWARD": str(gateway.program())}, capture_output=True, text=True
        )
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        for complaint in (
            "server.drain_time: unknown key",
            "no port `metrics`",
            "doorward:latest is not pinned",
            "this is doorward 0.1.0",
        ):
            self.assertIn(complaint, done.stderr)


class Pages(Case):
    def test_the_page_and_the_folders_agree(self):
        def of(page):
            return pages.problems(INSTALLATIONS, SECRETS, page)

        self.assertEqual(list(of(PAGE)), [])
        self.assert_finds(
            of(PAGE.replace("| `k8s/base/ingress.yaml` |", "| `k8s/base/way.yaml` |")),
            "does not say what k8s/base/ingress.yaml is",
        )
        self.assert_finds(
            of(PAGE.replace("| `k8s/base/ingress.yaml` |", "| `k8s/base/way.yaml` |")), "there is no k8s/base/way.yaml"
        )
        self.assert_finds(of(PAGE + "`make nothing`"), "the Makefile has no `nothing`")
        self.assert_finds(of(PAGE + "`server.lame`"), "gateway.toml has no `server.lame`")
        self.assert_finds(of(PAGE + "`doorward vault restore`"), "`doorward vault restore`")
        self.assert_finds(of(PAGE.replace("doorward:0.1.0", "doorward:9.9.9")), "the image is")

    def test_a_command_that_does_not_work_is_a_problem(self):
        with self.assertRaisesRegex(AssertionError, "the commands do not work"):
            documented.secrets(PAGE.replace("--from-file=master.key=", "--from-file=master.key=/nowhere/"))

    def test_the_autoscaler_asks_for_a_metric_that_there_is(self):
        changed = copy.deepcopy(INSTALLATIONS)
        spec(changed["production"], "HorizontalPodAutoscaler", "doorward")["metrics"][1]["pods"]["metric"].update(
            name="doorward_requests_total"
        )
        self.assert_finds(pages.problems(changed, SECRETS, PAGE), "`doorward_requests_total` is not a gauge")

    def test_a_secret_that_nothing_uses_is_a_problem(self):
        made = {**SECRETS, "doorward-other": {"namespace": "elsewhere", "values": {}}}
        self.assert_finds(
            pages.problems(INSTALLATIONS, made, PAGE), "makes a Secret `doorward-other` that nothing uses"
        )
        self.assert_finds(pages.problems(INSTALLATIONS, made, PAGE), "in elsewhere")
