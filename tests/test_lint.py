"""Promises about the source that a reader could break without noticing: who writes files, where numbers come from."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = sorted([*(ROOT / "augkit").rglob("*.py"), *(ROOT / "plugins").rglob("*.py")])

WRITING_METHODS = {"write_text", "write_bytes", "savefig", "tofile", "touch", "symlink_to", "hardlink_to"}
MOVING = {"rename", "replace", "unlink", "remove", "rmdir", "renames", "link", "symlink", "truncate", "mkstemp"}
WRITERS = {
    "np.save", "np.savez", "np.savez_compressed", "np.savetxt", "numpy.save", "torch.save", "json.dump", "yaml.dump",
    "safetensors.torch.save_file", "save_file", "mkstemp", "NamedTemporaryFile", "TemporaryFile",
}  # fmt: skip
GLOBAL_TORCH = {
    "rand", "randn", "randint", "randperm", "rand_like", "randn_like", "randint_like", "bernoulli", "multinomial",
    "normal", "poisson",
}  # fmt: skip
IN_PLACE = {"uniform_", "normal_", "random_", "bernoulli_", "exponential_", "log_normal_", "cauchy_", "geometric_"}
SEEDING = {"manual_seed", "manual_seed_all", "set_rng_state", "seed_all"}
PRINTING = ("augkit/cli.py", "augkit/commands/", "plugins/augkit_paint/command.py", "plugins/augkit_slurm/command.py")
DROPOUT = {"dropout", "dropout2d", "alpha_dropout", "Dropout", "Dropout2d", "AlphaDropout"}
FOREIGN = ("plugins/augkit_nnunet/package.py", "foreign_randomness")
"""The one function that seeds NumPy's generator, for a package that draws from there, and puts it back."""
NUMPY_SEEDING = {"seed", "set_state"}
SEEDERS = {("augkit/training/loop.py", "seeded"), ("augkit/contracts/manners.py", "restore")}
"""Who may: they put back what was."""
NUMPY_ALLOWED = {"Generator", "Philox", "PCG64", "SeedSequence", "get_state"}


def dotted(node: ast.expr) -> str:
    """Return ``a.b.c`` of a name or attribute, with ``?`` for anything else."""
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else "?"


def calls(tree: ast.AST, inside: str = "") -> Iterator[tuple[ast.Call, str, str]]:
    """Yield every call with its dotted name and the function it stands in."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Call):
            yield node, dotted(node.func), inside
        name = node.name if isinstance(node, (ast.FunctionDef, ast.ClassDef)) else inside
        yield from calls(node, name)


def keyword(call: ast.Call, name: str) -> ast.expr | None:
    return next((k.value for k in call.keywords if k.arg == name), None)


def is_constant(node: ast.expr | None, value: object) -> bool:
    return isinstance(node, ast.Constant) and node.value is value


def mode_of(call: ast.Call, name: str) -> str | None:
    """Return the mode of an ``open``; '?' where it is not a constant, None where the call opens nothing."""
    if name in ("open", "io.open", "os.fdopen", "gzip.open"):
        position = 1
    elif name.endswith(".open"):
        position = 0
    else:
        return None
    node = keyword(call, "mode") or (call.args[position] if len(call.args) > position else None)
    if node is None:
        return "r"
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    # Component.open(folder, device) and Store.open(address) are no files: only a constant mode says "file".
    return "?" if position == 1 else None


def memory_streams(tree: ast.AST) -> set[str]:
    """Return the names that hold a stream in memory: writing to one writes no file."""
    return {
        dotted(t) for n in ast.walk(tree) if isinstance(n, ast.Assign) and _makes_stream(n.value) for t in n.targets
    }


def _makes_stream(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and dotted(node.func) in ("BytesIO", "io.BytesIO", "StringIO", "io.StringIO")


def writes(call: ast.Call, name: str, streams: set[str]) -> bool:
    last = name.rpartition(".")[2]
    mode = mode_of(call, name)
    if mode is not None and set(mode) & set("wax+?"):
        return True
    if name in WRITERS or last in WRITERS or (name.startswith("shutil.") and last != "disk_usage"):
        return True
    if last in WRITING_METHODS and "." in name:
        return not (call.args and dotted(call.args[0]) in streams)
    if name.startswith("os.") and last in MOVING:
        return True
    if last in ("unlink", "rmdir", "rename") and "." in name:
        return True
    if last == "replace" and len(call.args) == 1 and not call.keywords and "." in name:
        return True  # Path.replace(target); str.replace has two arguments, dataclasses.replace keywords
    if last != "save" or "." not in name or name == "safetensors.torch.save":
        return False
    return bool(call.args) and dotted(call.args[0]) not in streams


def draws_globally(call: ast.Call, name: str, inside: str, module: str) -> bool:
    parts = name.split(".")
    last = parts[-1]
    if (module, inside) in SEEDERS and (last in SEEDING or last == "set_state"):
        return False
    if parts[0] == "random" or name.startswith(("np.random.", "numpy.random.")):
        return last not in NUMPY_ALLOWED and not (last in NUMPY_SEEDING and (module, inside) == FOREIGN)
    if last == "default_rng":
        return True
    if last in SEEDING:
        return True
    if (parts[0] == "torch" and last in GLOBAL_TORCH) or (last in IN_PLACE and parts[0] != "nn"):
        return keyword(call, "generator") is None
    return last in DROPOUT


def runs_foreign_code(call: ast.Call, name: str) -> bool:
    parts = name.split(".")
    if name in ("eval", "exec", "compile", "__import__") or parts[0] in ("pickle", "dill", "cloudpickle", "marshal"):
        return True
    if name == "torch.load":
        return not is_constant(keyword(call, "weights_only"), True)
    if name in ("yaml.load", "yaml.unsafe_load", "yaml.full_load", "yaml.load_all", "torch.export.load"):
        return True
    return parts[-1] == "load" and is_constant(keyword(call, "allow_pickle"), True)


def imported(tree: ast.AST) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


FORBIDDEN_IMPORTS = (
    "random", "pickle", "dill", "marshal", "shelve", "shutil", "numpy.random", "safetensors.torch.save_file"
)  # fmt: skip


_OUTPUTS = ("own_output", "fill_closed_streams")


def offences(text: str, module: str) -> list[str]:
    """Return ``line: what`` for everything in a module that breaks a promise; `module` is its path in the project."""
    tree, found = ast.parse(text), []
    streams = memory_streams(tree)
    for call, name, inside in calls(tree):
        # The standard output, under another number or closed before, is no file.
        is_output = (module, name) == ("augkit/commands/terminal.py", "os.fdopen") and inside in _OUTPUTS
        if not module.startswith("augkit/store/") and not is_output and writes(call, name, streams):
            found.append((call.lineno, f"writes with {name}"))
        if draws_globally(call, name, inside, module):
            found.append((call.lineno, f"draws or seeds globally with {name}"))
        if runs_foreign_code(call, name):
            found.append((call.lineno, f"runs foreign code with {name}"))
        if name == "print" and not module.startswith(PRINTING):
            found.append((call.lineno, "prints"))
    for line, name in imported(tree):
        if not module.startswith("augkit/store/") or name != "shutil":
            bad = [f for f in FORBIDDEN_IMPORTS if name == f or name.startswith(f + ".")]
            found += [(line, f"imports {name}") for _ in bad]
    return [f"{line}: {what}" for line, what in sorted(found)]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_module_writes_only_through_the_store_draws_only_from_draws_and_runs_no_foreign_code(path):
    module = path.relative_to(ROOT).as_posix()
    assert [f"{module}:{offence}" for offence in offences(path.read_text(encoding="utf-8"), module)] == []


PLANTED = """\
open('x', 'w')
open('x', mode='ab')
open(p, mode)
path.open('wb')
path.open(mode='x')
io.open(p, 'r+')
gzip.open(p, 'wt')
path.write_text('x')
path.write_bytes(b'x')
path.touch()
np.save(path, a)
np.savez(path, a=a)
a.tofile(path)
np.savetxt(path, a)
torch.save(x, path)
json.dump(x, stream)
image.save(path)
image.save('a.png')
Image.open(p).save(q)
save_file(tensors, path)
safetensors.torch.save_file(t, p)
shutil.copy(a, b)
shutil.rmtree(a)
figure.savefig(path)
figure.savefig(buffer)
path.write_text(stream)
os.rename(a, b)
os.replace(a, b)
path.rename(b)
path.replace(b)
path.unlink()
os.remove(p)
path.rmdir()
tempfile.mkstemp()
NamedTemporaryFile()
import random
import shutil
from random import shuffle
random.random()
np.random.seed(0)
np.random.rand(3)
numpy.random.normal()
np.random.default_rng()
np.random.default_rng(3)
default_rng(0)
from numpy.random import default_rng
torch.manual_seed(0)
torch.cuda.manual_seed_all(0)
torch.set_rng_state(s)
torch.rand(3)
torch.randn(3)
torch.randperm(n)
torch.randn_like(x)
torch.bernoulli(p)
x.normal_()
x.uniform_(0, 1)
nn.Dropout(0.5)
torch.nn.functional.dropout(x)
F.dropout2d(x)
import pickle
from pickle import loads
pickle.loads(b)
torch.load(p)
torch.load(p, weights_only=False)
torch.load(p, weights_only=flag)
yaml.load(text, Loader=L)
yaml.unsafe_load(text)
np.load(p, allow_pickle=True)
eval(text)
exec(text)
__import__(name)
print('x')
""".splitlines()


@pytest.mark.parametrize("line", PLANTED)
def test_a_planted_offence_is_found(line):
    assert offences(f"def f():\n    {line}\n", "augkit/running/engine.py") != []


HARMLESS = """\
open('x')
open('x', 'rb')
path.open('rb')
path.open(encoding='utf-8')
path.open(newline='', mode='r')
text.replace('a', 'b')
replace(arm, name='x')
component.open(folder, device)
store.open(address)
json.dumps(x)
safetensors.torch.save(tensors)
save(tensors)
buffer = BytesIO(); figure.savefig(buffer)
image.save()
stream = io.BytesIO(); image.save(stream, 'PNG')
path.mkdir(parents=True)
np.load(p, allow_pickle=False)
torch.load(p, weights_only=True)
yaml.safe_load(text)
network.eval()
np.random.Generator(np.random.Philox(key=k))
torch.rand(3, generator=g)
x.normal_(generator=g)
nn.init.normal_(w)
console.print('x')
write_bytes(path, data)
re.compile('a')
""".splitlines()


@pytest.mark.parametrize("line", HARMLESS)
def test_harmless_lines_are_let_through(line):
    assert offences(f"def f():\n    {line}\n", "augkit/running/engine.py") == []


def test_seeding_is_allowed_in_one_function_only():
    seeded = "def seeded():\n    torch.manual_seed(0)\n"
    assert offences(seeded, "augkit/training/loop.py") == []
    assert offences(seeded, "plugins/augkit_unet/training.py") == ["2: draws or seeds globally with torch.manual_seed"]
    assert offences("def other():\n    torch.manual_seed(0)\n", "augkit/training/loop.py") != []


def test_numpy_is_seeded_in_one_function_only():
    seeded = "def foreign_randomness():\n    np.random.seed(0)\n    np.random.set_state(before)\n"
    assert offences(seeded, "plugins/augkit_nnunet/package.py") == []
    assert len(offences(seeded, "plugins/augkit_nnunet/training.py")) == 2
    assert offences("def foreign_randomness():\n    np.random.rand()\n", "plugins/augkit_nnunet/package.py") != []


def test_the_lint_reads_every_module():
    names = {path.relative_to(ROOT).as_posix() for path in SOURCES}
    assert {"augkit/store/writing.py", "augkit/training/loop.py", "plugins/augkit_unet/training.py"} <= names
    assert len(names) > 40
