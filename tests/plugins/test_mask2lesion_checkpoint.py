import json
import os
import pickle
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from augkit import Draws, InputError, cli
from augkit.contracts.registry import load_registry
from augkit.planning.alone import build_alone
from augkit.sharing.weights import import_weights
from augkit.store import read_json
from augkit_mask2lesion.checkpoint import import_checkpoint
from augkit_mask2lesion.generator import Mask2Lesion
from samples import image_draws, lesions, workspace


class Block(nn.Module):
    """One block of pix2pix's nested U-Net, after the published structure; the next one is inside it."""

    def __init__(self, outer, inner, inputs, within, norm, outermost=False):
        super().__init__()
        bias = norm != "batch"
        layer = nn.BatchNorm2d if norm == "batch" else nn.InstanceNorm2d
        down = nn.Conv2d(inputs, inner, 4, 2, 1, bias=bias)
        joined = inner if within is None else 2 * inner
        up = nn.ConvTranspose2d(joined, outer, 4, 2, 1, bias=bias or outermost)
        if outermost:
            parts = [down, within, nn.ReLU(), up, nn.Tanh()]
        elif within is None:
            parts = [nn.LeakyReLU(0.2), down, nn.ReLU(), up, layer(outer)]
        else:
            parts = [nn.LeakyReLU(0.2), down, layer(inner), within, nn.ReLU(), up, layer(outer)]
        self.outermost = outermost
        self.model = nn.Sequential(*parts)

    def forward(self, x):
        return self.model(x) if self.outermost else torch.cat([x, self.model(x)], 1)


class Reference(nn.Module):
    def __init__(self, size, width, norm, mask_channels):
        super().__init__()
        downs = int(np.log2(size))
        widths = [width * min(2**level, 8) for level in range(downs)]
        block = None
        for outer, inner in reversed(list(pairwise(widths))):
            block = Block(outer, inner, outer, block, norm)
        self.model = Block(3, widths[0], mask_channels, block, norm, outermost=True)

    def forward(self, x):
        return self.model(x)


def reference(size=32, width=4, norm="batch", mask_channels=1):
    """Return a generator with weights that matter: norms off one, biases off zero."""
    network = Reference(size, width, norm, mask_channels)
    numbers = np.random.Generator(np.random.Philox(key=size + mask_channels))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(torch.from_numpy(numbers.normal(0.02, 0.1, parameter.shape)))
    return network


def save_reference(folder, **options):
    file = folder / "latest_net_G.pth"
    torch.save(reference(**options).state_dict(), file)
    return file


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
@pytest.mark.parametrize("mask_channels", [1, 3])
@pytest.mark.parametrize("size", [128, 256])
@pytest.mark.parametrize("norm", ["batch", "instance"])
def test_an_imported_generator_computes_what_the_published_structure_computes(
    norm, size, mask_channels, legacy, tmp_path
):
    theirs = reference(size, 4, norm, mask_channels)
    file = tmp_path / "latest_net_G.pth"
    torch.save(theirs.state_dict(), file, _use_new_zipfile_serialization=not legacy)
    facts = import_checkpoint(file, tmp_path / "out")
    expected_facts = {"size": size, "width": 4, "norm": norm, "mask_channels": mask_channels, "dropout": "torch_port"}
    assert {key: facts[key] for key in expected_facts} == expected_facts
    assert read_json(tmp_path / "out" / "generator.json") == facts
    ours = Mask2Lesion(dropout="none").open(tmp_path / "out", "cpu")._network
    mask = torch.from_numpy(lesions(2, size).masks[:, None]).float() * 2 - 1
    mask = mask.expand(-1, mask_channels, -1, -1)
    with torch.inference_mode():
        found = ours(mask, Draws.on_device(0, "noise", torch.arange(2)))
        expected = torch.cat([theirs(one[None]) for one in mask])  # as pix2pix tests: batch 1, its own statistics
    assert expected.std() > 0.05
    assert (found - expected).abs().max() < 1e-5


def test_a_recipe_uses_published_weights_instead_of_training(tmp_path):
    file = save_reference(tmp_path, size=128, norm="batch")
    train = lesions(4, 128)
    generator = Mask2Lesion(weights=file, epochs=10_000)
    space = workspace(tmp_path / "work")
    generator.fit(train, space)
    paint = generator.open(space.folder, "cpu")
    draws = image_draws(4)
    images = paint(train.masks, draws)
    assert images.shape == train.images.shape
    assert np.array_equal(paint(train.masks[2:3], draws[2:3])[0], images[2])
    assert not np.array_equal(paint(train.masks[:1], image_draws(1, 1))[0], images[0])
    said = " ".join(space.log.notes)
    assert "latest_net_G.pth (pix2pix (PyTorch)): 128 pixels, width 4, batch normalisation, 1 mask channels" in said
    assert "dropout is taken to be where the PyTorch release has it" in said
    assert "each image's own statistics" in said
    assert read_json(space.folder / "health.json")["values"]["l1_first"] is None
    assert (space.folder / "progress.png").is_file()


def test_dropout_none_turns_the_noise_of_imported_weights_off(tmp_path):
    file = save_reference(tmp_path, size=64)
    import_checkpoint(file, tmp_path / "out")
    masks = lesions(1, 64).masks
    for dropout, same in (("lua", False), ("none", True)):
        paint = Mask2Lesion(dropout=dropout).open(tmp_path / "out", "cpu")
        first, second = (paint(masks, image_draws(1, seed)) for seed in (0, 1))
        assert np.array_equal(first, second) == same


def test_augkit_s_own_weights_can_be_used_again(tmp_path):
    options = Mask2Lesion(width=4, epochs=1, decay_epochs=0, batch_size=4, patch_layers=1, norm="none", mask_channels=3)
    train, draws = lesions(4), image_draws(4)
    options.fit(train, workspace(tmp_path / "first", 3))
    again = Mask2Lesion(weights=tmp_path / "first" / "generator.safetensors")
    again.fit(train, workspace(tmp_path / "second", 4))
    painted = [g.open(tmp_path / f, "cpu")(train.masks, draws) for g, f in ((options, "first"), (again, "second"))]
    assert np.array_equal(*painted)
    (tmp_path / "first" / "generator.json").unlink()
    with pytest.raises(InputError, match=r"generator.json: cannot be read .*Copy it from the folder of the generator"):
        import_checkpoint(tmp_path / "first" / "generator.safetensors", tmp_path / "third")


class Evil:
    def __init__(self, file):
        self.file = file

    def __reduce__(self):
        return (os.mkdir, (str(self.file),))


@pytest.mark.parametrize("wrap", ["torch", "legacy", "bare"])
def test_a_checkpoint_that_would_run_code_is_refused_and_not_run(wrap, tmp_path):
    file, touched = tmp_path / "latest_net_G.pth", tmp_path / "touched"
    data = {**reference().state_dict(), "extra": Evil(touched)}
    if wrap == "bare":
        file.write_bytes(pickle.dumps(data, protocol=2))
    else:
        torch.save(data, file, _use_new_zipfile_serialization=wrap == "torch")
    with pytest.raises(InputError, match=r"is damaged, or holds more than tensors, and was not loaded \(Unpickl"):
        import_checkpoint(file, tmp_path / "out")
    assert not touched.exists()
    assert not (tmp_path / "out").exists()
    if wrap == "bare":
        pickle.loads(file.read_bytes())
    else:
        torch.load(file, weights_only=False)
    assert touched.exists(), "the trap works where nobody guards"


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.999])
@pytest.mark.parametrize("name", ["latest_net_G.pth", "generator.safetensors"])
def test_a_truncated_file_is_refused(name, share, tmp_path):
    from safetensors.torch import save

    whole = save(reference().state_dict()) if name.endswith("safetensors") else save_reference(tmp_path).read_bytes()
    file = tmp_path / name
    file.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(InputError, match=f"{name}: is damaged, or holds more than tensors"):
        import_checkpoint(file, tmp_path / "out")


def test_every_tensor_that_does_not_fit_is_named(tmp_path):
    state = reference(64).state_dict()
    second = "model.model.1.model"
    state[f"{second}.1.weight"] = torch.zeros(9, 4, 4, 4)
    state[f"{second}.3.model.5.weight"] = torch.zeros(1, 2)
    state[f"{second}.6.bias"][0] = float("nan")
    del state[f"{second}.3.model.2.bias"]
    state["model.model.7.weight"] = torch.zeros(1)
    file = tmp_path / "latest_net_G.pth"
    torch.save(state, file)
    with pytest.raises(InputError) as caught:
        import_checkpoint(file, tmp_path / "out")
    found = sorted(problem.what for problem in caught.value.problems)
    assert found == sorted(
        [
            f"{second}.1.weight is (9, 4, 4, 4); expected (8, 4, 4, 4)",
            f"{second}.3.model.5.weight is (1, 2); expected (32, 8, 4, 4)",
            f"{second}.6.bias has values that are not finite",
            f"{second}.3.model.2.bias is missing; expected (16,)",
            "model.model.7.weight has no place in the generator",
        ]
    )
    assert all(problem.where == str(file) for problem in caught.value.problems)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"mask_channels": 4},
            r"model.model.0.weight is \(4, 4, 4, 4\); allowed: \(width, 1 or 3 mask channels, 4, 4\)",
        ),
        ({"size": 16}, "halves images 4 times, for 16 pixels; allowed: 32, 64, 128, 256"),
    ],
)
def test_a_generator_of_another_kind_is_refused(options, message, tmp_path):
    with pytest.raises(InputError, match=message):
        import_checkpoint(save_reference(tmp_path, **options), tmp_path / "out")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            {"model.0.weight": torch.zeros(3)},
            r"is no generator that is known; it begins with model.0.weight.*net_D",
        ),
        ({}, "is no generator that is known; it begins with nothing"),
        ({"epoch": 3}, "holds a dict with other things than tensors"),
        (torch.zeros(3), "holds a Tensor with other things than tensors"),
    ],
)
def test_a_file_without_a_generator_is_refused(content, message, tmp_path):
    file = tmp_path / "latest_net_D.pth"
    torch.save(content, file)
    with pytest.raises(InputError, match=message):
        import_checkpoint(file, tmp_path / "out")


@pytest.mark.parametrize("value", [1e300, -1e39, float("nan")])
def test_a_number_that_float32_cannot_hold_is_refused(value, tmp_path):
    file = save_reference(tmp_path)
    state = torch.load(file, weights_only=True)
    state["model.model.0.weight"] = state["model.model.0.weight"].double()
    state["model.model.0.weight"][0, 0, 0, 0] = value
    torch.save(state, file)
    with pytest.raises(InputError, match=r"model.model.0.weight has values that are not finite"):
        import_checkpoint(file, tmp_path / "out")


def test_a_width_that_no_option_allows_is_refused_before_memory_is_taken_for_it(tmp_path):
    file = tmp_path / "latest_net_G.pth"
    inner = {f"model.model.1.model.{'3.model.' * i}1.weight": torch.zeros(1) for i in range(4)}
    outer = {"model.model.0.weight": torch.zeros(5000, 1, 4, 4), "model.model.3.weight": torch.zeros(1, 3, 4, 4)}
    torch.save({**outer, **inner}, file)
    with pytest.raises(InputError, match=r"model.model.0.weight is \(5000, 1, 4, 4\); allowed: a width up to 256"):
        import_checkpoint(file, tmp_path / "out")


@pytest.mark.parametrize(
    "change", [{"width": 10**9}, {"width": True}, {"size": 64.0}, {"style": 10**9}, {"norm": []}, {"styles": -1}, []]
)
def test_facts_beside_the_weights_that_tell_no_generator_are_refused(change, tmp_path):
    (tmp_path / "given").mkdir()
    import_checkpoint(save_reference(tmp_path / "given", size=32), tmp_path / "out")
    facts = tmp_path / "out" / "generator.json"
    facts.write_text(json.dumps({**read_json(facts), **change} if change else change))
    with pytest.raises(InputError, match=r"generator.json: cannot be read \((ValueError|TypeError)\)"):
        import_checkpoint(tmp_path / "out" / "generator.safetensors", tmp_path / "again")


def test_names_of_parallel_training_and_running_averages_of_old_instance_norms_are_understood(tmp_path):
    state = reference(norm="instance").state_dict()
    state["model.model.1.model.2.running_mean"] = torch.zeros(8)
    file = tmp_path / "latest_net_G.pth"
    torch.save({f"module.{name}": value for name, value in state.items()}, file)
    facts = import_checkpoint(file, tmp_path / "out")
    assert facts["norm"] == "instance"
    assert facts["imported"]["running averages left out"] == 1


def test_weights_that_are_no_such_file_are_refused_before_anything_runs(tmp_path):
    with pytest.raises(InputError, match=r"missing.pth: is not a file. Correct the option weights; a relative path"):
        Mask2Lesion(weights=Path("missing.pth")).sources()
    other = tmp_path / "G.onnx"
    other.write_bytes(b"")
    with pytest.raises(InputError, match=r"G.onnx: is no file of weights; allowed: a file ending in .pth, .pt, .safe"):
        Mask2Lesion(weights=other).sources()


def test_the_files_of_the_weights_are_listed_so_that_a_change_is_noticed(tmp_path):
    file = save_reference(tmp_path)
    assert tuple(Mask2Lesion().sources()) == ()
    assert list(Mask2Lesion(weights=file).sources()) == [file]
    import_checkpoint(file, tmp_path / "out")
    assert list(Mask2Lesion(weights=tmp_path / "out").sources()) == [
        tmp_path / "out" / "generator.safetensors",
        tmp_path / "out" / "generator.json",
    ]
    own = Mask2Lesion(weights=tmp_path / "out" / "generator.safetensors")
    assert [path.name for path in own.sources()] == ["generator.safetensors", "generator.json"]


def test_the_command_turns_a_pix2pix_file_into_a_folder_that_a_recipe_trains_nothing_for(tmp_path, monkeypatch, capsys):
    file = save_reference(tmp_path, size=32, width=4)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        cli.app(["generator", "import", file.name])
    assert ended.value.code == 0
    assert "In a recipe: generator: {mask2lesion: {weights: latest_net_G}}" in capsys.readouterr().out
    space = workspace(tmp_path / "work")
    Mask2Lesion(weights=Path("latest_net_G")).fit(lesions(4), space)
    ours = (tmp_path / "latest_net_G" / "generator.safetensors").read_bytes()
    assert (space.folder / "generator.safetensors").read_bytes() == ours
    assert "nothing is trained" in space.log.notes[0]


def test_the_command_refuses_a_discriminator_with_exit_code_2(tmp_path, monkeypatch, capsys):
    torch.save(nn.Sequential(nn.Conv2d(4, 8, 4, 2, 1)).state_dict(), tmp_path / "latest_net_D.pth")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        cli.app(["generator", "import", "latest_net_D.pth"])
    assert ended.value.code == 2
    assert "is no generator that is known" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["latest_net_D.pth"]


def test_a_sealed_generator_that_was_changed_is_refused_when_a_recipe_names_it(tmp_path):
    file = save_reference(tmp_path, size=64)
    sealed = tmp_path / "imported"
    import_weights(file, sealed, "mask2lesion", load_registry())
    entry = load_registry().entries["generator", "mask2lesion"]
    assert build_alone(entry, [f"weights={sealed}"]).sources()
    weights = sealed / "generator.safetensors"
    data = bytearray(weights.read_bytes())
    data[-5] ^= 1
    weights.write_bytes(data)
    said = (
        f"{sealed}: generator.safetensors does not have the bytes that were written. "
        "Import or train it again: a changed one would be used without a word"
    )
    for named in (sealed, weights):
        with pytest.raises(InputError) as caught:
            build_alone(entry, [f"weights={named}"])
        assert str(caught.value) == f"mask2lesion: mask2lesion: {said}"
    with pytest.raises(InputError) as caught:
        import_weights(weights, tmp_path / "again", "mask2lesion", load_registry())
    assert str(caught.value) == said
    assert not (tmp_path / "again").exists()
