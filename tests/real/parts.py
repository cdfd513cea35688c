"""Parts that others have built, for tests against real ones: installed once, into a cache under the home directory."""

import hashlib
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME", pathlib.Path.home() / ".cache"))


def installed(family, requirements, names):
    """The programs of an environment of Python with what the file asks for, in a folder that is named after the versions."""
    version = hashlib.sha256(requirements.read_bytes() + sys.version.encode()).hexdigest()[:12]
    folder = CACHE / family / version
    if not (folder / "complete").exists():
        print(f"installing {names} (once)", flush=True)
        shutil.rmtree(folder, ignore_errors=True)
        pip = [folder / "bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        try:
            subprocess.run([sys.executable, "-m", "venv", folder], check=True)
            subprocess.run([*pip, "--requirement", requirements], check=True)
        except (OSError, subprocess.CalledProcessError) as error:
            raise SystemExit(
                f"{names} could not be installed ({error}). This needs Python 3 with venv and pip, and the network; "
                f"the versions are in {requirements}"
            ) from None
        (folder / "complete").touch()
    return folder / "bin"


def prometheus_program():
    """Debian's Prometheus, without installing it."""
    of_the_harness = sorted(CACHE.glob("vexil-e2e/prometheus-*/prometheus"))
    return of_the_harness[-1] if of_the_harness else debian_program("prometheus", "prometheus")


def alertmanager_program():
    """Debian's Alertmanager, without installing it."""
    return debian_program("prometheus-alertmanager", "prometheus-alertmanager")


def debian_program(package, program):
    """A program of a package of Debian's, unpacked beside the system."""
    folder = CACHE / "vexil-providers" / package
    found = folder / "usr/bin" / program
    if not found.exists():
        print(f"fetching Debian's {package} (once)", flush=True)
        try:
            with tempfile.TemporaryDirectory() as fetched:
                subprocess.run(["apt-get", "download", "--quiet=2", package], cwd=fetched, check=True)
                archive = next(pathlib.Path(fetched).glob(f"{package}_*.deb"))
                subprocess.run(["dpkg", "--extract", archive, folder], check=True)
        except (OSError, subprocess.CalledProcessError) as error:
            raise SystemExit(
                f"{package} could not be had ({error}). This needs Debian's package of that name, by apt-get and dpkg; "
                "try apt-get update"
            ) from None
    return found


def victoria_program():
    """VictoriaMetrics, built from its Go module."""
    sources = pathlib.Path(__file__).resolve().parent / "victoria"
    version = hashlib.sha256((sources / "go.mod").read_bytes()).hexdigest()[:12]
    program = CACHE / "vexil-providers" / f"victoria-{version}"
    if not program.exists():
        print("building VictoriaMetrics (once, half a minute)", flush=True)
        program.parent.mkdir(parents=True, exist_ok=True)
        fresh = program.with_suffix(".new")
        environment = dict(os.environ, CGO_ENABLED="0", GOFLAGS="-mod=readonly -buildvcs=false", GOWORK="off")
        build = ["go", "build", "-trimpath", "-ldflags", "-s -w", "-o", fresh]
        build.append("github.com/VictoriaMetrics/VictoriaMetrics/app/victoria-metrics")
        try:
            subprocess.run(build, cwd=sources, env=environment, check=True)
        except (OSError, subprocess.CalledProcessError) as error:
            raise SystemExit(f"VictoriaMetrics could not be built ({error}). This needs Go 1.26 or newer, and the network") from None
        fresh.rename(program)
    return program


def end_of_logs(logs, lines=15):
    """Prints how each of these ends."""
    for log in sorted(logs):
        text = log.read_text(errors="replace").splitlines()[-lines:]
        print(f"--- {log.name}", *text, sep="\n", file=sys.stderr)
