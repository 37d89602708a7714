"""The Dockerfile, broken."""

import shutil
import subprocess
import tempfile
from pathlib import Path

import image
from installation import ROOT
from support import Case


class Image(Case):
    def of(self, changes):
        """The problems of the image, in a copy of what concerns it."""
        root = Path(tempfile.mkdtemp())
        try:
            names = ("Dockerfile", ".dockerignore", "Cargo.toml", "Cargo.lock", ".gitignore")
            for name in (*names, "src", "benches", "templates", "assets"):
                copied = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
                copied(ROOT / name, root / name)
            subprocess.run(["git", "init", "--quiet"], cwd=root, check=True)
            for file, (old, new) in changes.items():
                text = (root / file).read_text()
                self.assertIn(old, text)
                (root / file).write_text(text.replace(old, new))
            return list(image.problems(root))
        finally:
            shutil.rmtree(root)

    def test_the_image_can_be_built_of_what_it_copies(self):
        self.assertEqual(self.of({}), [])
        self.assert_finds(self.of({"Dockerfile": ("COPY src src", "COPY source src")}), "copies `source`")
        self.assert_finds(self.of({"Dockerfile": ("COPY benches benches\n", "")}), "cargo cannot build")
        self.assert_finds(self.of({".dockerignore": ("!Cargo.lock\n", "")}), "Cargo.lock is not copied")
        self.assert_finds(
            self.of({".dockerignore": ("!src\n", "!src\nsrc/vault/sqlite/migrations\n")}), "which is not copied"
        )
        self.assert_finds(self.of({".dockerignore": ("!src\n", "")}), "cargo cannot build")
        self.assert_finds(self.of({".dockerignore": ("!assets\n", "")}), "includes ../../assets/page.css, which is not copied")
        self.assert_finds(self.of({".dockerignore": ("!templates\n", "")}), "templates/sign_in.html, which is not copied")

    def test_bases_are_pinned_and_hadolint_is_content(self):
        self.assert_finds(self.of({"Dockerfile": ("cc-debian12:nonroot", "cc-debian12")}), "is not pinned")
        self.assert_finds(self.of({"Dockerfile": ("FROM rust:1.95", "FROM rust:1.90")}), "another Rust")
        self.assert_finds(self.of({"Dockerfile": ("USER 65532:65532", "USER root")}), "DL3002")
