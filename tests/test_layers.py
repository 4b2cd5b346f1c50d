"""The architecture as a test: the order of the core, no cycles, no plugin in it, no torch before it is needed."""

import ast
import subprocess
import sys
from pathlib import Path

import augkit

CORE = Path(augkit.__file__).parent

ORDER = (
    "errors",
    "amounts",
    "code",
    "allocator",
    "processor",
    "draws",
    "contracts",
    "checks",
    "events",
    "hookspecs",
    "registry",
    "document",
    "sweep",
    "recipe",
    "options",
    "schema",
    "images",
    "copies",
    "store",
    "image_sets",
    "weights",
    "shipped",
    "costs",
    "doctor",
    "tasks",
    "checked",
    "plan",
    "cache",
    "audience",
    "executors",
    "scheduler",
    "precision",
    "batches",
    "pipeline",
    "ranks",
    "ema",
    "checkpoints",
    "stopping",
    "rehearsal",
    "training",
    "metrics",
    "statistics",
    "inference",
    "contrasts",
    "comparison",
    "tables",
    "evidence",
    "figures",
    "curves",
    "report_words",
    "report_pictures",
    "report_samples",
    "report_record",
    "report",
    "recorded",
    "features",
    "distribution",
    "memorisation",
    "quality_pictures",
    "quality",
    "quality_table",
    "gather",
    "job",
    "stages",
    "followers",
    "engine",
    "worker",
    "estimate",
    "replay",
    "preview",
    "conformance",
    "testing",
    "reference",
    "scaffold",
    "check",
    "export_files",
    "export_layouts",
    "export_card",
    "export",
    "commands",
    "cli",
)
"""Each core module may import only from those before it; the modules of a package may import each other."""


def imported_modules(path: Path) -> set[str]:
    """Every absolute module name that a file imports, anywhere in it."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name} uses a relative import"
            names |= {node.module or ""} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def core_imports(path: Path) -> set[str]:
    parts = [name.split(".") for name in imported_modules(path)]
    return {part[1] for part in parts if part[0] == "augkit" and len(part) > 1 and part[1] in ORDER}


def files_of(name: str) -> list[Path]:
    """The files of a core module or package."""
    return [CORE / f"{name}.py"] if (CORE / f"{name}.py").is_file() else sorted((CORE / name).rglob("*.py"))


def test_every_core_module_has_its_place_in_the_order():
    modules = {path.stem for path in CORE.glob("*.py")} | {path.parent.name for path in CORE.glob("*/__init__.py")}
    assert modules - {"__init__"} == set(ORDER)


def test_core_modules_import_only_from_modules_before_them():
    offences = [
        f"{name} imports {other}"
        for position, name in enumerate(ORDER)
        for path in files_of(name)
        for other in core_imports(path)
        if ORDER.index(other) >= position and not (other == name and path.parent != CORE)
    ]
    assert offences == []


def test_the_core_imports_no_plugin():
    offences = [
        f"{path.name} imports {name}"
        for path in CORE.rglob("*.py")
        for name in imported_modules(path)
        if name.startswith("augkit_")
    ]
    assert offences == []


def test_plugins_import_the_core_and_themselves_only():
    folder = CORE.parent / "plugins"
    offences = [
        f"{path.parent.name}/{path.name} imports {name}"
        for path in folder.rglob("*.py")
        for name in imported_modules(path)
        if name.startswith("augkit_") and name.split(".")[0] != path.relative_to(folder).parts[0]
    ]
    assert offences == []


def test_help_validate_and_plugin_list_do_not_import_torch():
    recipe = CORE.parent / "recipes" / "allaug.yaml"
    for arguments in (
        ["--help"],
        ["validate", str(recipe)],
        ["plugin", "list"],
        ["plan", str(recipe)],
        ["schema"],
        ["ls"],
    ):
        code = (
            "import sys, atexit\n"
            "atexit.register(lambda: sys.stderr.write(f'torch imported: {\"torch\" in sys.modules}'))\n"
            f"sys.argv = ['augkit', *{arguments!r}]\n"
            "from augkit.cli import main; main()"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert "torch imported: False" in done.stderr, arguments
