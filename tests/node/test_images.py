"""The images that are shipped, built here on a Debian that debootstrap made: what is in them, and that they run restricted."""

from collections.abc import Callable

import pytest
from tests.node.pods import RESTRICTED, await_phase, claim_folder, end_of, pod
from tests.testbed.api import Api, Object
from tests.testbed.images import ENVIRONMENT, base, environment, image, layers, settings

from evolution_operator.pod import HOME

OPERATOR_BYTES = 150_000_000
"""What the operator's image may add to its base."""
SECURITY = {name: value for name, value in RESTRICTED.items() if name != "runAsUser"}
"""The user is the image's."""
MODEL_PACKAGES = ("torch", "torchvision", "transformers", "deepspeed", "kserve")
BUILD_TOOLS = ("uv", "pip", "pip3", "gcc", "cc", "make", "git", "curl", "wget")
LOOK = """
import importlib.util, os, pathlib, shutil, sys
modules, programs = sys.argv[1].split(), sys.argv[2].split()
print("user", os.getuid(), "at home", pathlib.Path.home() == pathlib.Path.cwd())
print("modules", *(name for name in modules if importlib.util.find_spec(name)))
print("programs", *(name for name in programs if shutil.which(name)))
"""
DRAW = """
import evolution_jobs.cleanup, evolution_jobs.generate, evolution_jobs.prepare, evolution_jobs.probe
import evolution_jobs.proposers.endpoint, evolution_storage.s3
from evolution_api.run.scenes import Procedural
from evolution_jobs.scenes.prepare import prepare_procedural
print(*prepare_procedural("file:///tmp/scenes", Procedural(rooms=2, width=32, height=32), seed=1, frames=2, heldout=1))
"""
LOAD = """
import deepspeed, kserve, torch, transformers
import evolution_jobs.evaluate.__main__, evolution_jobs.serve.server, evolution_jobs.train.loop
import evolution_jobs
print(torch.ones(2).sum().item(), evolution_jobs.__file__)
"""


def said(api: Api, namespace: str, image: str, *command: str, mounts: Object | None = None) -> str:
    """What a restricted pod of the image says in the end; it can write to /tmp and to its home, as the pods of runs can."""
    volumes: Object = {path: {"emptyDir": {}} for path in ("/tmp", HOME)} | (mounts or {})
    names = {path: f"volume-{number}" for number, path in enumerate(volumes)}
    mounted = [{"name": name, "mountPath": path} for path, name in names.items()]
    made = pod(namespace, "main", "", image=image, command=list(command), securityContext=SECURITY, volumeMounts=mounted)
    made["spec"]["volumes"] = [{"name": names[path], **volume} for path, volume in volumes.items()]
    end = end_of(await_phase(api, api.create(made), "Succeeded", "Failed"))
    logs = api.kubectl("logs", "main", namespace=namespace)
    assert end["exitCode"] == 0, logs
    return logs


def test_the_operators_image_adds_little_to_its_base() -> None:
    below = layers(base())
    own = {layer: size for layer, size in layers(image("operator")).items() if layer not in below}
    assert len(own) == len(layers(image("operator"))) - len(below)
    assert sum(own.values()) <= OPERATOR_BYTES


@pytest.mark.parametrize(("name", "target"), [("operator", ""), ("jobs", ""), ("train", "runtime")])
def test_an_image_names_a_user_by_number_so_that_a_kubelet_sees_that_it_is_not_root(name: str, target: str) -> None:
    user, _, group = settings(image(name, target))["User"].partition(":")
    assert int(user) > 0
    assert int(group) > 0


def test_nothing_of_the_machine_that_built_an_image_is_told_in_it() -> None:
    told = settings(image("operator"))
    assert {variable.partition("=")[0] for variable in told["Env"]} == {"PATH", "PYTHONUNBUFFERED"}
    assert set(told) <= {"User", "Env", "Cmd", "WorkingDir", "Labels"}


class TestOperator:
    def test_its_program_starts_in_a_restricted_pod(self, api: Api, restricted: str, loaded: Callable[..., str]) -> None:
        told = said(api, restricted, loaded("operator"), "python", "-m", "evolution_operator.cluster", "--help")
        assert "--jobs-image" in told

    def test_the_command_for_people_is_there(self, api: Api, restricted: str, loaded: Callable[..., str]) -> None:
        told = said(api, restricted, loaded("operator"), "evolution", "--help")
        assert "describe" in told

    def test_it_has_neither_models_nor_what_built_it(self, api: Api, restricted: str, loaded: Callable[..., str]) -> None:
        modules = " ".join(("kopf", *MODEL_PACKAGES, "open3d", "pyarrow", "pip"))
        told = said(api, restricted, loaded("operator"), "python", "-c", LOOK, modules, " ".join(BUILD_TOOLS))
        assert told == "user 65532 at home True\nmodules kopf\nprograms\n"


class TestJobs:
    def test_its_programs_draw_rooms_without_a_model(self, api: Api, restricted: str, loaded: Callable[..., str]) -> None:
        assert said(api, restricted, loaded("jobs"), "python", "-c", DRAW) == "['room-00000'] ['heldout-00000']\n"

    def test_it_has_neither_models_nor_what_built_it(self, api: Api, restricted: str, loaded: Callable[..., str]) -> None:
        modules = " ".join(("open3d", *MODEL_PACKAGES, "kopf", "pip"))
        told = said(api, restricted, loaded("jobs"), "python", "-c", LOOK, modules, " ".join(BUILD_TOOLS))
        assert told == "user 65532 at home True\nmodules open3d\nprograms\n"


class TestTrain:
    def test_it_loads_what_is_mounted_where_its_packages_would_be(
        self, api: Api, restricted: str, loaded: Callable[..., str]
    ) -> None:
        claim = claim_folder(api, restricted, "packages", environment())
        told = said(api, restricted, loaded("train", "runtime"), "python", "-c", LOAD, mounts={ENVIRONMENT: claim})
        assert told.endswith(f"2.0 {ENVIRONMENT}/lib/python3.11/site-packages/evolution_jobs/__init__.py\n")
