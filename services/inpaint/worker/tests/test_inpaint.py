"""The grid prior and the diffusion inpainter, against closed forms and plain loops."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from epipar_nerfiller.failures import BadInputError, StoppedError
from epipar_nerfiller.inpaint.canvas import fit_views
from epipar_nerfiller.inpaint.diffusion import DiffusionInpainter, DiffusionOptions
from epipar_nerfiller.inpaint.grid import (
    Layout,
    grids_from_tiles,
    individual_layout,
    joint_layout,
    tiles_from_grids,
)
from epipar_nerfiller.inpaint.inpainter import HoleyView
from epipar_nerfiller.inpaint.noise import Branch, Condition, guidance_weights, predict_noise
from epipar_nerfiller.inpaint.schedule import annealed_strength, steps_of_strength
from epipar_nerfiller.inpaint.solid import SolidInpainter
from epipar_nerfiller.testing import make_tiny_pipeline

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def tiny():
    return make_tiny_pipeline()


def quiet() -> None:
    """A tick that never stops."""


def ignore(done: int, total: int) -> None:
    """A progress that nobody sees."""


def random_views(count: int, size: tuple[int, int] = (48, 64), seed: int = 0, *, init=False):
    generator = torch.Generator().manual_seed(seed)
    views = []
    for _ in range(count):
        image = torch.rand(3, *size, generator=generator)
        hole = torch.zeros(1, *size, dtype=torch.bool)
        hole[:, size[0] // 4 : size[0] // 2, size[1] // 4 : size[1] // 2] = True
        start = torch.rand(3, *size, generator=generator) if init else None
        views.append(HoleyView(image, hole, start))
    return views


def random_condition(views: int, generator: torch.Generator) -> Condition:
    return Condition(
        (torch.rand(views, 1, 8, 12, generator=generator) > 0.5).float(),
        torch.randn(views, 4, 8, 12, generator=generator),
        torch.randn(1, 77, 32, generator=generator),
    )


def written_out(denoise, latents, time, branches, orders):
    """The noise prediction view by view and picture by picture, in plain loops."""
    sums = [torch.zeros_like(latents[0]) for _ in latents]
    seen = [0] * len(latents)
    for order in orders:
        for first in range(0, len(order), 4):
            members = [int(view) for view in order[first : first + 4]]
            answer = 0.0
            for branch in branches:
                rows = []
                for row in (members[:2], members[2:]):
                    cells = []
                    for view in row:
                        condition = branch.condition
                        layers = [latents[view], condition.mask[view], condition.masked[view]]
                        cells.append(torch.cat(layers, 0))
                    rows.append(torch.cat(cells, dim=2))
                picture = torch.cat(rows, dim=1)[None]
                answer = answer + branch.weight * denoise(picture, time, branch.condition.text)[0]
            height, width = latents.shape[2:]
            for place, view in enumerate(members):
                top, left = (place // 2) * height, (place % 2) * width
                sums[view] = sums[view] + answer[:, top : top + height, left : left + width]
                seen[view] += 1
    return torch.stack([total / count for total, count in zip(sums, seen, strict=True)])


@pytest.mark.parametrize("views", [1, 3, 4, 6, 8])
@pytest.mark.parametrize("averages", [1, 3])
def test_the_noise_prediction_equals_the_written_out_reference(tiny, views, averages):
    generator = torch.Generator().manual_seed(views)
    latents = torch.randn(views, 4, 8, 12, generator=generator)
    weights = guidance_weights(2.0, 1.5)
    branches = [Branch(random_condition(views, generator), weight) for weight in weights]
    layouts = [joint_layout(views, generator) for _ in range(averages)]

    def denoise(pictures, time, text):
        return tiny.unet(pictures, time, encoder_hidden_states=text).sample

    with torch.no_grad():
        fast = predict_noise(denoise, latents, 501, branches, layouts, micro_batch=2)
        slow = written_out(denoise, latents, 501, branches, [la.order.tolist() for la in layouts])
    torch.testing.assert_close(fast, slow, rtol=1e-4, atol=1e-4)


def test_a_tile_sees_its_three_neighbours(tiny):
    """What stands beside a view changes its prediction: that is the prior."""
    generator = torch.Generator().manual_seed(0)
    latents = torch.randn(4, 4, 8, 12, generator=generator)
    condition = random_condition(4, generator)
    other = torch.cat([latents[:3], torch.randn(1, 4, 8, 12, generator=generator)])

    def denoise(pictures, time, text):
        return tiny.unet(pictures, time, encoder_hidden_states=text).sample

    def predicted(values, layout):
        return predict_noise(denoise, values, 501, [Branch(condition, 1)], [layout], micro_batch=4)

    together, alone = Layout(torch.arange(4), joint=True), individual_layout(4)
    with torch.no_grad():
        assert not torch.allclose(predicted(latents, together)[0], predicted(other, together)[0])
        assert torch.equal(predicted(latents, alone)[0], predicted(other, alone)[0])


@pytest.mark.parametrize("micro_batch", [1, 2, 3, 100])
def test_micro_batches_do_not_change_the_prediction(tiny, micro_batch):
    generator = torch.Generator().manual_seed(1)
    latents = torch.randn(12, 4, 8, 12, generator=generator)
    branch = Branch(random_condition(12, generator), 1.0)
    layout = joint_layout(12, generator)
    sizes = []

    def denoise(pictures, time, text):
        sizes.append(len(pictures))
        return tiny.unet(pictures, time, encoder_hidden_states=text).sample

    with torch.no_grad():
        whole = predict_noise(denoise, latents, 9, [branch], [layout], micro_batch=3)
        sizes.clear()
        parts = predict_noise(denoise, latents, 9, [branch], [layout], micro_batch=micro_batch)
    assert max(sizes) == min(micro_batch, 3)
    torch.testing.assert_close(whole, parts, rtol=1e-4, atol=1e-5)


def test_averaging_is_the_mean_over_permutations():
    latents = torch.arange(4.0).view(4, 1, 1, 1).expand(4, 4, 2, 2).contiguous()
    condition = Condition(torch.zeros(4, 1, 2, 2), torch.zeros(4, 4, 2, 2), torch.zeros(1, 1, 1))
    orders = [torch.tensor(order) for order in ([0, 1, 2, 3], [3, 2, 1, 0], [1, 0, 3, 2])]

    def left_half(pictures, time, text):
        answer = torch.zeros(len(pictures), 4, 4, 4)
        answer[:, :, :, :2] = pictures[:, :1, :, :2]  # only what stands on the left is predicted
        return answer

    layouts = [Layout(order, joint=True) for order in orders]
    branches = [Branch(condition, 1.0)]
    seen = predict_noise(left_half, latents, 0, branches, layouts, micro_batch=1)
    # View v stands on the left in the layouts where its place is even.
    lefts = [sum(order.tolist().index(v) % 2 == 0 for order in orders) for v in range(4)]
    for view in range(4):
        assert seen[view].unique().item() == pytest.approx(view * lefts[view] / 3)


def test_guidance_is_the_closed_form():
    text, image, none = torch.randn(3, 5).unbind(0)
    for text_scale, image_scale in itertools.product((0.0, 7.5), (0.0, 1.5)):
        wanted = image + text_scale * (text - image) + image_scale * (image - none)
        weights = guidance_weights(text_scale, image_scale)
        got = sum(w * e for w, e in zip(weights, (text, image, none), strict=True))
        torch.testing.assert_close(got, wanted)
        assert sum(weights) == pytest.approx(1)


@pytest.mark.parametrize("views", range(1, 14))
def test_every_number_of_views_fills_whole_grids(views):
    layout = joint_layout(views, torch.Generator().manual_seed(views))
    assert len(layout.order) % 4 == 0
    assert len(layout.order) - views < 4
    assert sorted(layout.order[:views].tolist()) == list(range(views))


def test_layouts_are_permuted_anew_and_by_the_seed_alone():
    def orders(seed):
        generator = torch.Generator().manual_seed(seed)
        return [joint_layout(16, generator).order.tolist() for _ in range(3)]

    assert orders(0) == orders(0)
    assert len({tuple(order) for order in orders(0)}) == 3


def test_tiling_is_undone_exactly_and_goes_row_by_row():
    tiles = torch.randn(8, 3, 5, 7)
    grids = grids_from_tiles(tiles)
    assert grids.shape == (2, 3, 10, 14)
    assert torch.equal(grids[0, :, :5, 7:], tiles[1])
    assert torch.equal(grids[0, :, 5:, :7], tiles[2])
    assert torch.equal(tiles_from_grids(grids), tiles)
    with pytest.raises(ValueError, match="6 tiles"):
        grids_from_tiles(torch.zeros(6, 1, 2, 2))


def test_strength_goes_down_in_a_line():
    assert [annealed_strength(p) for p in (-1, 0, 0.5, 1, 2)] == pytest.approx(
        [1, 1, 0.7, 0.4, 0.4]
    )


@pytest.mark.parametrize(("strength", "steps"), [(1.0, 20), (0.5, 10), (0.4, 8), (0.01, 1)])
def test_a_strength_takes_its_share_of_the_steps(strength, steps):
    assert steps_of_strength(strength, 20) == steps


@pytest.mark.parametrize("strength", [0.0, -0.5, 1.01, float("nan")])
def test_a_strength_outside_its_range_is_refused(strength):
    with pytest.raises(ValueError, match="strength"):
        steps_of_strength(strength, 20)


@pytest.mark.parametrize("size", [(48, 64), (64, 48), (50, 171), (33, 33)])
def test_views_keep_their_aspect_ratio(size):
    (fit,) = fit_views([size], 64, 16)
    assert fit.inner[0] / fit.inner[1] == pytest.approx(size[0] / size[1], rel=0.03)
    assert fit.inner[0] * fit.inner[1] == pytest.approx(64 * 64, rel=0.03)
    assert all(side % 16 == 0 for side in fit.canvas)
    ramp = torch.linspace(0, 1, size[1]).expand(3, *size)
    assert fit.image(ramp).shape[1:] == fit.canvas
    torch.testing.assert_close(fit.back(fit.image(ramp)), ramp, atol=0.05, rtol=0)


def test_a_thin_hole_does_not_vanish_and_padding_is_known():
    hole = torch.zeros(1, 40, 130, dtype=torch.bool)
    hole[:, 20, 60] = True
    (fit,) = fit_views([(40, 130)], 32, 16)
    scaled = fit.hole(hole)
    assert scaled.sum() >= 1
    assert scaled[:, fit.inner[0] :].sum() == 0
    assert scaled[:, :, fit.inner[1] :].sum() == 0


@pytest.mark.parametrize("method", ["joint-multiview", "individual"])
@pytest.mark.parametrize("count", [1, 5])
def test_known_pixels_stay_bit_for_bit_and_holes_are_painted(tiny, method, count):
    inpainter = DiffusionInpainter(tiny, DiffusionOptions(method, steps=2, tile_px=32))
    views = random_views(count)
    painted = inpainter.inpaint(views, strength=1.0, seed=1, tick=quiet, progress=ignore)
    assert len(painted) == count
    for view, picture in zip(views, painted, strict=True):
        assert picture.shape == view.image.shape
        known = ~view.hole.expand_as(picture)
        assert torch.equal(picture[known], view.image[known])
        assert torch.isfinite(picture).all()
        assert picture.min() >= 0
        assert picture.max() <= 1
        assert (picture[~known] != view.image[~known]).any()


def test_what_is_in_the_hole_does_not_matter(tiny):
    inpainter = DiffusionInpainter(tiny, DiffusionOptions(steps=2, tile_px=32))
    views = random_views(3)
    emptied = [
        HoleyView(v.image.masked_fill(v.hole, 0.123), v.hole, v.init) for v in random_views(3)
    ]
    first, second = (
        inpainter.inpaint(v, strength=1.0, seed=1, tick=quiet, progress=ignore)
        for v in (views, emptied)
    )
    # The hole's rim mixes with it when a view is scaled; inside the mask it is greyed out.
    for one, other, view in zip(first, second, views, strict=True):
        hole = view.hole.expand_as(one)
        torch.testing.assert_close(one[hole], other[hole], atol=0.05, rtol=0)


def test_the_seed_alone_decides(tiny):
    inpainter = DiffusionInpainter(tiny, DiffusionOptions(steps=3, tile_px=32))
    views = random_views(5, init=True)

    def paint(seed, strength=0.7):
        torch.rand(7)  # the global generator must not matter
        return torch.stack(
            inpainter.inpaint(views, strength=strength, seed=seed, tick=quiet, progress=ignore)
        )

    assert torch.equal(paint(1), paint(1))
    assert not torch.equal(paint(1), paint(2))


def test_less_strength_stays_nearer_to_the_start(tiny):
    """With a model that predicts the noise it was given, the result is the start itself."""
    inpainter = DiffusionInpainter(tiny, DiffusionOptions(steps=10, tile_px=32))
    views = random_views(4, init=True)
    starts = torch.stack([v.init for v in views])

    def distance(strength):
        painted = inpainter.inpaint(views, strength=strength, seed=3, tick=quiet, progress=ignore)
        hole = torch.stack([v.hole for v in views]).expand_as(starts)
        fits = inpainter._fits(views)
        through = inpainter._decode(
            inpainter._encode(
                torch.stack([f.image(s) for f, s in zip(fits, starts, strict=True)]), quiet
            ).float(),
            quiet,
        )
        back = torch.stack([f.back(t) for f, t in zip(fits, through, strict=True)])
        return (torch.stack(painted) - back)[hole].abs().mean().item()

    near, far = distance(0.1), distance(0.9)
    assert near < far


def test_a_stop_is_seen_between_two_forward_passes(tiny):
    inpainter = DiffusionInpainter(tiny, DiffusionOptions(steps=50, tile_px=32, micro_batch=1))
    ticks = []

    def stop_at_ten():
        ticks.append(0)
        if len(ticks) == 10:
            raise StoppedError("stop")

    with pytest.raises(StoppedError):
        inpainter.inpaint(random_views(4), strength=1.0, seed=1, tick=stop_at_ten, progress=ignore)
    assert len(ticks) == 10


def test_shrinking_paints_the_same(tiny):
    inpainter = DiffusionInpainter(tiny, DiffusionOptions(steps=2, tile_px=32, micro_batch=4))
    views = random_views(8)
    before = inpainter.inpaint(views, strength=1.0, seed=1, tick=quiet, progress=ignore)
    assert inpainter.shrink()
    assert not inpainter.shrink()
    after = inpainter.inpaint(views, strength=1.0, seed=1, tick=quiet, progress=ignore)
    torch.testing.assert_close(torch.stack(before), torch.stack(after), atol=1e-4, rtol=0)


def test_half_precision_paints_nearly_the_same(tiny):
    views = random_views(4)
    full = DiffusionInpainter(tiny, DiffusionOptions(steps=2, tile_px=32))
    half_pipeline = make_tiny_pipeline()
    for part in (half_pipeline.unet, half_pipeline.vae, half_pipeline.text_encoder):
        part.to(torch.bfloat16)
    half = DiffusionInpainter(half_pipeline, DiffusionOptions(steps=2, tile_px=32))
    pictures = [
        torch.stack(i.inpaint(views, strength=1.0, seed=1, tick=quiet, progress=ignore))
        for i in (full, half)
    ]
    assert pictures[1].dtype == torch.float32
    assert (pictures[0] - pictures[1]).abs().mean() < 0.05


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ({"method": "joint"}, "inpaint_method"),
        ({"steps": 0}, "steps"),
        ({"averages": 65}, "averages"),
        ({"micro_batch": 0}, "micro_batch"),
        ({"image_scale": float("nan")}, "image_scale"),
    ],
)
def test_an_option_out_of_range_is_refused_with_its_name(values, name):
    with pytest.raises(BadInputError) as caught:
        DiffusionOptions(**values)
    assert caught.value.field == name


def test_a_model_that_does_not_inpaint_is_refused():
    pipeline = make_tiny_pipeline(in_channels=4)
    with pytest.raises(BadInputError, match="4 channels"):
        DiffusionInpainter(pipeline, DiffusionOptions())


def test_a_solid_colour_is_painted_into_holes_only():
    views = random_views(2)
    painted = SolidInpainter.from_name("solid:ff0080").inpaint(
        views, strength=1.0, seed=0, tick=quiet, progress=ignore
    )
    for view, picture in zip(views, painted, strict=True):
        inside = picture[:, view.hole[0]].mean(dim=1)
        np.testing.assert_allclose(inside, [1, 0, 128 / 255], atol=1e-6)
        assert torch.equal(picture[:, ~view.hole[0]], view.image[:, ~view.hole[0]])
    with pytest.raises(BadInputError, match="RRGGBB"):
        SolidInpainter.from_name("solid:red")
