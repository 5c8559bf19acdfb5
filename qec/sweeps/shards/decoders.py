"""Decoders of the user's own on their way into a plan and out of it, as pickles.

A decoder is told apart from one with other settings by a digest. For a class that came along by value, from a script
or a notebook, the digest of the loaded decoder may differ from that of the original; so the planner loads every
pickle once in a new process, as a job will, and the plan keeps the digest found there.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import cloudpickle
import sinter

from quell.errors import IdentityError, InputError
from quell.qec.sweeps.identity import AnyDecoder, base_name, settings_digest
from quell.qec.sweeps.shards.plan import PlannedDecoder, ShardPlan

__all__ = ["digests_when_loaded", "load_decoders", "main"]

_LOAD_SECONDS = 300


def digests_when_loaded(pickles: dict[str, bytes]) -> dict[str, str]:
    """Loads decoders in a new process and returns their digests, by name.

    Raises:
        InputError: One cannot be loaded there; the message says why.
    """
    if not pickles:
        return {}
    with tempfile.TemporaryDirectory(prefix="quell-plan-") as folder:
        paths = [Path(folder, f"{number}.pickle") for number in range(len(pickles))]
        for path, content in zip(paths, pickles.values(), strict=True):
            path.write_bytes(content)
        try:
            done = subprocess.run(
                [sys.executable, "-c", f"from {__name__} import main; main()", *map(str, paths)],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=_LOAD_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            names = ", ".join(map(repr, pickles))
            raise InputError(f"loading decoder {names} takes more than {_LOAD_SECONDS} s in a new process") from error
    lines = [line for line in done.stdout.splitlines() if line.startswith('{"quell": ')]
    found = [json.loads(line)["quell"] for line in lines]
    for name, answer in zip(pickles, found, strict=False):
        if "error" in answer:
            raise InputError(
                f"decoder {name!r} cannot be loaded in a new process of Python, as a job would do ({answer['error']}): "
                f"install the module that defines it, or put its folder on PYTHONPATH"
            )
    if len(found) < len(pickles):
        raise InputError(f"decoder {list(pickles)[len(found)]!r} ends the process that loads it: {done.stderr[-500:]}")
    return {name: answer["digest"] for name, answer in zip(pickles, found, strict=True)}


def load_decoders(plan: ShardPlan) -> dict[str, tuple[str, AnyDecoder | None]]:
    """Loads the decoders of a plan, which runs their code.

    Returns:
        By their names in the plan: a name without settings, which no other decoder has here, and the decoder, or
        None if it is sinter's own.

    Raises:
        DataError: A pickle was changed.
        IdentityError: A decoder cannot be loaded, or has other settings here than where it was planned.
    """
    found: dict[str, tuple[str, AnyDecoder | None]] = {}
    for decoder in plan.decoders:
        if decoder.file is None:
            found[decoder.name] = decoder.name, None
            continue
        loaded = _load(decoder, plan.file(decoder.file))
        name = base_name(decoder.name)
        if name in sinter.BUILT_IN_SAMPLERS or any(name == other for other, _ in found.values()):
            name = f"{name}-{len(found)}"
        found[decoder.name] = name, loaded
    return found


def _load(decoder: PlannedDecoder, content: bytes) -> AnyDecoder:
    try:
        loaded: AnyDecoder = cloudpickle.loads(content)
        digest = settings_digest(loaded)
    except Exception as error:
        raise IdentityError(
            f"decoder {decoder.name!r} cannot be loaded here ({type(error).__name__}: {error}): install the module "
            f"that defines it, in the version that was planned with, or put its folder on PYTHONPATH"
        ) from error
    # The process that made the plan has the original class, and may run shards too.
    if digest not in (decoder.digest_when_loaded, decoder.name.removeprefix(f"{base_name(decoder.name)}@")):
        raise IdentityError(
            f"decoder {decoder.name!r} has other settings here than where it was planned (digest {digest}, planned "
            f"{decoder.digest_when_loaded}): its code, its defaults or the version of Python differ; "
            f"use what the plan was made with, or plan again"
        )
    return loaded


def main() -> None:
    """Loads the pickles that the command line names, and prints a line of JSON for each."""
    for path in sys.argv[1:]:
        try:
            answer = {"digest": settings_digest(cloudpickle.loads(Path(path).read_bytes()))}
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        sys.stdout.write(json.dumps({"quell": answer}) + "\n")
