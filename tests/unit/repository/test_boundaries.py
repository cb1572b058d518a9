"""What each half may load, and what must never be in the tree."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


def modules_after(statement: str) -> set[str]:
    """Top-level names in sys.modules of a fresh interpreter that ran `statement`."""
    program = f"{statement}\nimport sys\nprint(*sorted({{m.partition('.')[0] for m in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120, cwd="/")
    return set(done.stdout.split())


def test_the_contract_loads_pydantic_and_nothing_else() -> None:
    files = (p for p in (ROOT / "crds" / "evolution_api").rglob("*.py") if p.stem not in ("__init__", "crd"))
    names = [".".join(p.relative_to(ROOT / "crds" / "evolution_api").with_suffix("").parts) for p in files]
    loaded = modules_after("\n".join(f"import evolution_api.{name}" for name in names))
    third_party = {name for name in loaded - set(sys.stdlib_module_names) if not name.startswith("_")}
    assert third_party == {
        "evolution_api",
        "pydantic",
        "pydantic_core",
        "annotated_types",
        "typing_extensions",
        "typing_inspection",
    }


@pytest.mark.parametrize("heavy", ["torch", "transformers", "deepspeed", "kserve", "open3d"])
def test_the_operator_half_loads_no_model_library(heavy: str) -> None:
    modules = [
        ".".join(p.relative_to(ROOT / "operator").with_suffix("").parts)
        for p in sorted((ROOT / "operator" / "evolution_operator").rglob("*.py"))
        if p.stem not in ("__init__", "__main__")
    ]
    assert heavy not in modules_after("\n".join(f"import {m}" for m in modules))


def test_operator_is_a_folder_and_never_a_package() -> None:
    for folder in ("operator", "jobs", "crds"):
        assert not (ROOT / folder / "__init__.py").exists(), f"{folder}/__init__.py shadows other packages at the root"


def test_the_standard_library_still_works_at_the_root() -> None:
    subprocess.run([sys.executable, "-c", "import operator; operator.add(1, 2)"], cwd=ROOT, check=True, timeout=60)


def test_no_lock_file_with_download_addresses_is_tracked() -> None:
    lock = (ROOT / "requirements.lock").read_text()
    assert "://" not in lock
    assert "--hash=sha256:" in lock
