"""The Dockerfile compared with the repository: copied files exist and suffice for cargo; hadolint reports nothing."""

import re
import shutil
import subprocess
import sys
import tempfile
from fnmatch import fnmatch
from pathlib import Path

from installation import ROOT

HADOLINT = Path(sys.executable).parent / "hadolint"


def ignored(text, path):
    """Returns true if .dockerignore excludes a path; the last matching line decides."""
    out = False
    for line in text.splitlines():
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        keeps, pattern = line.startswith("!"), line.removeprefix("!").rstrip("/")
        parts = Path(path).parts
        if any(fnmatch("/".join(parts[:depth]), pattern) for depth in range(1, len(parts) + 1)):
            out = not keeps
    return out


def copied(dockerfile):
    """Paths copied from the repository."""
    for line in re.findall(r"^COPY (?!--from)(.*)$", dockerfile, re.MULTILINE):
        *sources, _ = line.split()
        yield from (source for source in sources if not source.startswith("--"))


def problems(root=ROOT):
    dockerfile, ignore = (root / "Dockerfile").read_text(), (root / ".dockerignore").read_text()
    done = subprocess.run(
        [HADOLINT, "--failure-threshold", "info", "-"], input=dockerfile, capture_output=True, text=True
    )
    if done.returncode != 0:
        yield f"Dockerfile: {done.stdout.strip()}"
    for base in re.findall(r"^FROM (\S+)", dockerfile, re.MULTILINE):
        name, _, tag = base.partition(":")
        if not tag or tag == "latest":
            yield f"Dockerfile: {name} is not pinned"
    pinned = re.search(r'^rust-version = "([\d.]+)"', (root / "Cargo.toml").read_text(), re.MULTILINE)[1]
    if not re.search(rf"^FROM rust:{re.escape(pinned)}\b", dockerfile, re.MULTILINE):
        yield f"Dockerfile: builds with another Rust than the {pinned} of Cargo.toml"
    context = Path(tempfile.mkdtemp(prefix="doorward-context-"))
    try:
        for source in copied(dockerfile):
            if not (root / source).exists():
                yield f"Dockerfile: copies `{source}`, which is not there"
                continue
            tracked = subprocess.run(
                ["git", "ls-files", "-co", "--exclude-standard", source],
                cwd=root,
                capture_output=True,
                text=True,
                check=True,
            )
            for file in tracked.stdout.splitlines():
                if not ignored(ignore, file) and (root / file).exists():
                    (context / file).parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy(root / file, context / file)
        yield from enough(context, root)
    finally:
        shutil.rmtree(context)


def enough(context, root):
    """What is left is a crate that cargo accepts, with every file that the code includes."""
    if not (context / "Cargo.lock").exists():
        yield "Dockerfile: Cargo.lock is not copied: the build would choose its own versions"
        return
    # Cargo reads the whole manifest and looks for every file it names before it finds that there is no such program.
    done = subprocess.run(
        ["cargo", "build", "--offline", "--locked", "--bin", "none"], cwd=context, capture_output=True, text=True
    )
    if "no bin target named `none`" not in done.stderr:
        yield f"Dockerfile: cargo cannot build what it copies: {done.stderr.strip()}"
    for file in (context / "src").rglob("*.rs"):
        if "tests" in file.parts:
            continue
        text = file.read_text()
        # Files included only by tests are below this line.
        text = text.split("#[cfg(test)]")[0]
        for included in re.findall(r'include_(?:str|bytes)!\("([^"]+)"\)', text):
            if not (file.parent / included).resolve().exists():
                yield f"Dockerfile: {file.relative_to(context)} includes {included}, which is not copied"
        # Pages are compiled from these.
        for template in re.findall(r'#\[template\(path = "([^"]+)"', text):
            if not (context / "templates" / template).exists():
                yield f"Dockerfile: {file.relative_to(context)} is made of templates/{template}, which is not copied"
    if (root / "build.rs").exists() and not (context / "build.rs").exists():
        yield "Dockerfile: build.rs is not copied"
