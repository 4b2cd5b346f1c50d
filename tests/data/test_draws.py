import hashlib
import random

import numpy as np
import pytest
import torch
from scipy import stats

from augkit.data.draws import Draws, derive_seed, sample_keys

PAIRS = 1_000_000
IDS = tuple(f"patient-{i:04d}/left" for i in range(257))


def at_rest(seed=3, stream="batch", count=257, epochs=0):
    return Draws.of(seed, stream, sample_keys(IDS[:count]), epochs)


def in_flight(seed=3, stream="batch", count=257, epochs=0):
    return Draws.on_device(seed, stream, torch.from_numpy(sample_keys(IDS[:count])), epochs)


METHODS = {
    "bits": lambda draws: draws.bits("x"),
    "bits of a shape": lambda draws: draws.bits("x", (2, 3, 5)),
    "unit uniform": lambda draws: draws.uniform("x", shape=(7,)),
    "uniform": lambda draws: draws.uniform("x", -0.1, 3.7, shape=(7,)),
    "uniform in degrees": lambda draws: draws.uniform("x", -179.9, 180.1),
    "standard normal": lambda draws: draws.normal("x", shape=(11,)),
    "normal": lambda draws: draws.normal("x", 0.3, 1.7, shape=(11,)),
    "integers": lambda draws: draws.integers("x", -5, 1000, shape=(4,)),
    "many integers": lambda draws: draws.integers("x", 0, 2**62),
    "boolean": lambda draws: draws.boolean("x", 0.3, shape=(9,)),
    "several names": lambda draws: draws.uniforms(("x", "y", "z")),
    "field": lambda draws: draws.field("x", (3, 5, 7)),
    "fork": lambda draws: draws.fork("a").fork("b").uniform("x"),
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("epoch", [0, 1, 123456789])
def test_numpy_and_torch_give_equal_bits(method, epoch):
    rest, flight = METHODS[method](at_rest(epochs=epoch)), METHODS[method](in_flight(epochs=epoch)).numpy()
    assert rest.dtype == flight.dtype
    assert rest.shape == flight.shape
    assert rest.tobytes() == flight.tobytes()


def test_an_array_of_epochs_gives_each_sample_its_own_epoch():
    epochs = np.arange(257) % 3
    mixed = at_rest(epochs=epochs).uniform("x")
    for epoch in range(3):
        assert (mixed == at_rest(epochs=epoch).uniform("x")).tolist() == (epochs == epoch).tolist()
    assert (in_flight(epochs=torch.from_numpy(epochs)).uniform("x").numpy() == mixed).all()


@pytest.mark.parametrize("method", METHODS)
def test_a_sample_has_the_same_numbers_in_any_batch_order_and_position(method):
    whole = METHODS[method](at_rest())
    order = np.random.Generator(np.random.Philox(key=1)).permutation(257)
    assert (METHODS[method](at_rest()[order]) == whole[order]).all()
    assert (METHODS[method](at_rest()[100:107]) == whole[100:107]).all()
    alone = Draws.of(3, "batch", sample_keys([IDS[200]]))
    assert (METHODS[method](alone)[0] == whole[200]).all()
    again = Draws.of(3, "batch", sample_keys([IDS[5], IDS[200], IDS[5]]))
    assert (METHODS[method](again) == whole[[5, 200, 5]]).all()


def splitmix64(x):
    """The finaliser of Steele, Lea & Flood (2014) in unbounded integers."""
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
    x = (x ^ (x >> 27)) * 0x94D049BB133111EB % 2**64
    return x ^ (x >> 31)


def test_numbers_are_splitmix64_chains():
    def word(text):
        return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")

    golden = 0x9E3779B97F4A7C15
    keys = [splitmix64((splitmix64(word(i) ^ word("3\x1fbatch")) + 5 * golden) % 2**64) for i in IDS]
    forked = [splitmix64(((key ^ word("x")) + golden) % 2**64) for key in keys]
    draws = at_rest(epochs=5)
    assert draws.bits("x").view(np.uint64).tolist() == forked
    second = [splitmix64((key + 2 * golden) % 2**64) for key in forked]
    assert draws.bits("x", (2,))[:, 1].view(np.uint64).tolist() == second
    assert draws.uniform("x").tolist() == [(key >> 40) / 2**24 for key in forked]


def test_more_elements_of_a_name_begin_with_the_fewer():
    assert (at_rest().uniform("x", shape=(9,))[:, :4] == at_rest().uniform("x", shape=(4,))).all()


@pytest.mark.parametrize("empty", [(0,), (3, 0)])
def test_no_samples_and_no_elements_are_possible(empty):
    assert at_rest(count=0).uniform("x", shape=(3,)).shape == (0, 3)
    assert at_rest().uniform("x", shape=empty).shape == (257, *empty)
    assert tuple(in_flight().uniform("x", shape=empty).shape) == (257, *empty)


def samples(seed=0, stream="s", epoch=0, name="x"):
    return Draws.of(seed, stream, np.arange(PAIRS + 1), epoch).uniform(name).astype(np.float64)


def correlation(a, b):
    return abs(np.corrcoef(a[:PAIRS], b[:PAIRS])[0, 1])


def test_neighbouring_seeds_epochs_samples_names_and_elements_are_uncorrelated():
    x = samples()
    neighbours = {
        "seed": samples(seed=1),
        "epoch": samples(epoch=1),
        "sample": x[1:],
        "name": samples(name="y"),
        "stream": samples(stream="t"),
        "square of sample": x[1:] ** 2,
    }
    found = {what: correlation(x, values) for what, values in neighbours.items()}
    elements = Draws.of(0, "s", np.arange(1001)).uniform("x", shape=(1000,)).astype(np.float64).ravel()
    found["element"] = correlation(elements, elements[1:])
    found["same element of the next sample"] = correlation(elements, elements[1000:])
    assert {what: r for what, r in found.items() if r >= 0.01} == {}


def test_uniform_numbers_pass_kolmogorov_and_chi_squared():
    x = samples()
    assert x.min() >= 0
    assert x.max() < 1
    assert stats.kstest(x, "uniform").pvalue > 1e-4
    assert stats.chisquare(np.bincount((x * 4096).astype(int), minlength=4096)).pvalue > 1e-4
    pairs = (x[:-1] * 64).astype(int) * 64 + (x[1:] * 64).astype(int)
    assert stats.chisquare(np.bincount(pairs, minlength=4096)).pvalue > 1e-4


def test_every_bit_is_set_half_of_the_time():
    bits = Draws.of(0, "s", np.arange(100_000)).bits("x").view(np.uint8).reshape(-1, 8)
    share = np.unpackbits(bits, axis=1).mean(axis=0)
    assert abs(share - 0.5).max() < 5 * 0.5 / np.sqrt(100_000)


def test_normal_numbers_have_mean_zero_variance_one_and_the_normal_distribution():
    z = Draws.of(0, "s", np.arange(PAIRS)).normal("x").astype(np.float64)
    assert abs(z.mean()) < 0.005
    assert abs(z.std() - 1) < 0.005
    assert abs(z).max() < 4.4
    steps = (
        np.random.Generator(np.random.Philox(key=2)).uniform(-1, 1, PAIRS) * 1e-4
    )  # 65,536 levels are not continuous
    assert stats.kstest(z + steps, "norm").pvalue > 1e-4


def test_integers_are_equally_frequent_and_in_range():
    found = Draws.of(0, "s", np.arange(PAIRS)).integers("x", -3, 10)
    assert (found.min(), found.max()) == (-3, 9)
    assert stats.chisquare(np.bincount(found + 3)).pvalue > 1e-4


@pytest.mark.parametrize(("probability", "allowed"), [(0.0, {False}), (1.0, {True}), (0.5, {False, True})])
def test_a_probability_of_zero_is_never_and_of_one_is_always(probability, allowed):
    assert set(Draws.of(0, "s", np.arange(10_000)).boolean("x", probability).tolist()) == allowed


def test_seed_stream_epoch_id_and_name_each_change_the_numbers():
    base = at_rest().bits("x")
    others = [at_rest(seed=4), at_rest(stream="masks"), at_rest(epochs=1), at_rest().fork("a")]
    assert all((other.bits("x") != base).all() for other in others)
    assert (at_rest().bits("y") != base).all()
    assert len(set(sample_keys(IDS).tolist())) == 257


def test_derived_seeds_are_63_bits_and_differ_by_every_part():
    seeds = {derive_seed(s, *names) for s in range(50) for names in [(), ("a",), ("b",), ("a", "b"), ("ab",)]}
    assert len(seeds) == 250
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_a_generator_of_a_sample_depends_on_that_sample_and_name_only():
    draws = at_rest()
    first = draws.generator(7, "hair").random(5)
    assert (draws[7:8].generator(0, "hair").random(5) == first).all()
    assert (in_flight().generator(7, "hair").random(5) == first).all()
    assert (draws.generator(8, "hair").random(5) != first).all()
    assert (draws.generator(7, "ruler").random(5) != first).all()


def test_several_names_in_one_pass_are_the_numbers_of_each():
    names = ("angle", "scale", "angle")
    for draws in (at_rest(), in_flight()):
        together = draws.uniforms(names)
        assert together.shape == (257, 3)
        for column, name in enumerate(names):
            assert (together[:, column] == draws.uniform(name)).all()


def test_a_field_is_standard_normal_and_its_neighbours_are_independent():
    field = Draws.of(0, "s", np.arange(250)).field("noise", (4, 1000)).astype(np.float64)
    assert abs(field.mean()) < 0.005
    assert abs(field.std() - 1) < 0.005
    flat = field.ravel()
    for lag in (1, 2, 3, 4, 1000, 4000):
        assert abs(np.corrcoef(flat[:-lag], flat[lag:])[0, 1]) < 0.01
    steps = np.random.Generator(np.random.Philox(key=4)).uniform(-1, 1, len(flat)) * 1e-4
    assert stats.kstest(flat + steps, "norm").pvalue > 1e-4


FIELD_GOLDEN = "fe200f21e7f6d725c6086d9654f1bde18ab4c3a4a6e9efbd37734c561fabb8fe"


def test_ten_thousand_vectors_of_several_names_and_of_fields_have_the_golden_hash():
    draws = Draws.of(20170101, "golden", np.arange(10_000), np.arange(10_000) % 7)
    digest = hashlib.sha256()
    for array in (draws.uniforms(("a", "b", "c", "d", "e", "f", "g", "h")), draws.field("noise", (3, 3))):
        digest.update(np.ascontiguousarray(array).astype("<f4").tobytes())
    assert digest.hexdigest() == FIELD_GOLDEN


GOLDEN = "4e9405b530841bf5a1a00d3b04fba7c750db52f192a7a8313d935a1394605d3a"


def test_ten_thousand_vectors_have_the_golden_hash():
    """A change of this number changes every published result: bump the schema if it is meant."""
    draws = Draws.of(20170101, "golden", np.arange(10_000), np.arange(10_000) % 7)
    digest = hashlib.sha256()
    for array in (
        draws.bits("bits", (2,)),
        draws.uniform("angle", -180, 180, shape=(3,)),
        draws.normal("noise", 0.5, 2.0, shape=(2,)),
        draws.integers("crop", 0, 31),
        draws.boolean("flip", 0.25),
        draws.fork("inner").uniform("angle"),
    ):
        digest.update(np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<")).tobytes())
    digest.update(draws.generator(9_999, "field").integers(0, 2**32, 4, dtype=np.uint32).astype("<u4").tobytes())
    assert digest.hexdigest() == GOLDEN


def test_nothing_touches_the_global_generators():
    def states():
        return random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()  # noqa: NPY002

    before = states()
    for method in METHODS.values():
        method(at_rest())
        method(in_flight())
    at_rest().generator(0, "x").random()
    assert states() == before


def test_names_of_files_that_are_not_utf_8_have_keys_of_their_own_too():
    strange = [b"M\xfcller".decode("utf-8", "surrogateescape"), b"M\xfdller".decode("utf-8", "surrogateescape")]
    assert len(set(sample_keys([*strange, "Müller"]).tolist())) == 3
