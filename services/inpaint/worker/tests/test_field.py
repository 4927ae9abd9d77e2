"""Losses, sampling, updates, prior and consistency, against closed forms."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scenes import make_holey_room, write_prior

from epipar_nerfiller.consistency import agreement, agreement_share, witnessed_share
from epipar_nerfiller.failures import BadInputError
from epipar_nerfiller.nerf import losses
from epipar_nerfiller.nerf.bank import NEVER, ViewBank
from epipar_nerfiller.nerf.dataparser import frame3d_of
from epipar_nerfiller.nerf.sampling import RaySampler
from epipar_nerfiller.nerf.updates import update_at
from epipar_nerfiller.prior import continued
from epipar_nerfiller.settings import NerfillerSettings
from epipar_scene import SceneFolder


@pytest.fixture(scope="module")
def room(tmp_path_factory):
    return make_holey_room(tmp_path_factory.mktemp("room"))


@pytest.fixture
def bank(room):
    scene = SceneFolder.open(room.root)
    return ViewBank.load(scene, room.masks, scale=0.5, near_share=0.5, held_out_every=0)


def test_color_counts_only_where_it_is_known_or_painted():
    predicted, wanted = torch.zeros(3, 3), torch.tensor([[1.0] * 3, [9.0] * 3, [3.0] * 3])
    loss = losses.color_loss(predicted, wanted, torch.tensor([1.0, 0.0, 1.0]))
    assert loss.item() == pytest.approx((1 + 9) / 2)


def test_depth_on_the_surface_costs_nothing_whatever_the_scale():
    for scale in (0.01, 1.0, 100.0):
        wanted = torch.tensor([2.0, 3.0]) * scale
        middles = torch.tensor([[1.0, 2.0, 4.0], [1.0, 3.0, 4.0]]) * scale
        weights = torch.tensor([[0.0, 1.0, 0.0], [0.0, 1.0, 0.0]])
        sure = torch.ones(2)
        assert losses.depth_loss(wanted, weights, middles, wanted, sure, 1.0).item() < 1e-6
        off = losses.depth_loss(wanted * 1.5, weights, middles, wanted, sure, 1.0)
        assert off.item() == pytest.approx(np.log(1.5) - 0.025, rel=1e-3)


def test_depth_says_nothing_where_it_is_unknown_or_not_trusted():
    wanted, sure = torch.tensor([0.0, 2.0]), torch.tensor([1.0, 0.0])
    weights, middles = torch.ones(2, 1), torch.ones(2, 1)
    assert losses.depth_loss(torch.ones(2), weights, middles, wanted, sure, 0.5).item() == 0


def test_rank_asks_for_the_order_of_the_guess_alone():
    guess = torch.tensor([1.0, 2.0, 5.0, 1.0, 1.0, 1.001, 0.0, 3.0])
    right = torch.tensor([10.0, 20.0, 50.0, 10.0, 9.0, 1.0, 4.0, 3.0])
    unknown = torch.zeros(8)
    assert losses.rank_loss(right, guess, unknown).item() == 0
    wrong = torch.tensor([20.0, 10.0, 50.0, 10.0, 9.0, 1.0, 4.0, 3.0])
    loss = losses.rank_loss(wrong, guess, unknown)
    assert loss.item() == pytest.approx((np.log(2) + 0.02) / 2, rel=1e-4)


def test_rank_compares_with_what_is_known_and_moves_the_other_alone():
    guess, known = torch.tensor([1.0, 2.0]), torch.tensor([3.0, 0.0])
    depth = torch.tensor([9.0, 2.9], requires_grad=True)  # the known one is rendered wrongly
    loss = losses.rank_loss(depth, guess, known)
    assert loss.item() == pytest.approx(0.02 - np.log(2.9 / 3), rel=1e-4)
    loss.backward()
    assert depth.grad[0] == 0
    assert depth.grad[1] < 0  # it is to go farther


def test_depth_is_continued_on_one_surface_only_whatever_the_guess_s_scale():
    known = torch.tensor([4.0, 0.0, 0.0, 4.0, 4.0, 0.0, 0.0, 0.0, 4.0, 0.0])
    guess = torch.tensor([2.0, 2.01, 2.0, 2.01, 2.0, 2.5, 2.0, 2.0, 2.0, 0.0])
    wanted = torch.tensor([0.0, 4.02, 4 / 1.005, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0])
    for scale in (0.01, 1.0, 100.0):
        torch.testing.assert_close(losses.continued_depth(guess * scale, known), wanted)


def test_a_prior_is_taken_as_it_is_and_a_bad_one_refused(room, tmp_path):
    prior = write_prior(tmp_path / "prior", room, scale=0.1)
    (first, *_) = sorted(prior.iterdir())
    guess = np.load(first)
    guess[:3] = 0  # no guess there
    np.save(first, guess)

    def load():
        scene = SceneFolder.open(room.root)
        options = {"scale": 0.5, "near_share": 0.5, "held_out_every": 0}
        return ViewBank.load(scene, room.masks, depth_prior=prior, **options)

    assert np.array_equal(load().prior[: guess.size].numpy(), guess.ravel())
    for bad in (-guess, guess[1:], guess * np.nan):
        np.save(first, bad)
        with pytest.raises(BadInputError, match=first.name) as caught:
            load()
        assert caught.value.field == "depth_prior"
    first.unlink()
    with pytest.raises(BadInputError, match="cannot be read"):
        load()


def test_free_space_costs_what_is_opaque():
    density = torch.tensor([0.0, 1e9])
    assert losses.free_space_loss(density, torch.ones(2)).item() == pytest.approx(0.5)


def test_structure_compares_gradients_not_levels():
    patch = torch.rand(2, 3, 8, 8)
    assert losses.structure_loss(patch, patch + 0.2).item() < 1e-6
    assert losses.structure_loss(patch, torch.zeros_like(patch)).item() > 0.05


def test_updates_come_at_their_steps_and_all_views_have_their_turn():
    settings = NerfillerSettings(
        first_fit_iterations=10, nerfiller_iterations=40, dataset_update=10, views_per_update=2
    )
    candidates = torch.tensor([1, 3, 4, 6])
    updates = {s: update_at(s, settings, candidates, 5) for s in range(50)}
    due = {s: u for s, u in updates.items() if u is not None}
    assert list(due) == [10, 20, 30, 40]
    assert [u.strength for u in due.values()] == pytest.approx([1.0, 0.8, 0.6, 0.4])
    views = [u.views.tolist() for u in due.values()]
    assert sorted(views[0] + views[1]) == [1, 3, 4, 6]
    assert sorted(views[2] + views[3]) == [1, 3, 4, 6]
    assert update_at(10, settings, candidates[:0], 5) is None


def test_rays_are_those_of_the_step_alone(bank):
    sampler = RaySampler(bank, NerfillerSettings(perceptual="off"), seed=3)
    first = sampler.draw(7, 64).pixels
    sampler.draw(8, 64)
    assert torch.equal(sampler.draw(7, 64).pixels, first)
    assert not torch.equal(sampler.draw(8, 64).pixels, first)


def test_known_rays_are_known_and_painted_ones_come_from_the_latest_views(bank):
    settings = NerfillerSettings(perceptual="structure", patch_px=4, latest_share=0.75)
    bank.painted[:4] = torch.tensor([0, 0, 1, 1])
    sampler = RaySampler(bank, settings, seed=0)
    views = []
    for step in range(40):
        sample = sampler.draw(step, 256)
        assert not bank.color_hole[sample.pixels[: sample.known]].any()
        hole = sample.pixels[sample.known : sample.known + 2 * sample.pairs : 2]
        assert bank.color_hole[hole].all()
        views.append(bank.indices(hole)[:, 0])
        assert sample.patches * 16 + 2 * sample.pairs + sample.known == 256
    counts = torch.bincount(torch.cat(views), minlength=6) / sum(map(len, views))
    assert counts[4:].sum() == 0  # never painted
    # Three quarters from the latest, and half of the rest, which is from any.
    assert counts[2:4].sum().item() == pytest.approx(0.875, abs=0.03)


def test_held_out_views_teach_nothing(bank):
    bank.held_out[2] = True
    sampler = RaySampler(bank, NerfillerSettings(perceptual="off"), seed=0)
    for step in range(10):
        pixels = torch.cat([sampler.draw(step, 256).pixels, sampler.known_with_depth(step, 64)])
        assert (bank.indices(pixels)[:, 0] != 2).all()
    assert 2 not in bank.views_to_paint().tolist()


def test_paint_changes_the_hole_alone_and_is_restored(bank):
    before = bank.rgb.clone()
    bank.paint(1, torch.full((3, *bank.shapes[1].tolist()), 0.5), 4)
    changed = (bank.rgb != before).any(dim=1).nonzero()[:, 0]
    assert torch.equal(changed, bank.missing(1))
    assert bank.painted.tolist() == [NEVER, 4, NEVER, NEVER, NEVER, NEVER]
    state = {name: value.clone() for name, value in bank.state().items()}
    after = bank.rgb.clone()
    bank.paint(1, torch.zeros(3, *bank.shapes[1].tolist()), 5)
    bank.restore(state)
    assert torch.equal(bank.rgb, after)


def test_a_hole_in_a_wall_is_continued_as_that_wall():
    x, y = np.meshgrid(np.arange(64) + 0.5, np.arange(48) + 0.5)
    wall = (1 / (0.2 + 0.001 * x + 0.002 * y)).astype(np.float32)
    known = np.hypot(x - 30, y - 25) > 9
    filled = continued(np.where(known, wall, 0).astype(np.float32), known)
    assert np.array_equal(filled[known], wall[known])
    np.testing.assert_allclose(filled, wall, rtol=2e-3)
    assert not continued(wall, np.zeros_like(known)).any()


def test_the_cameras_and_nearly_all_points_are_in_the_unit_cube(room):
    scene = SceneFolder.open(room.root)
    frame3d = frame3d_of(scene)
    centers = np.stack([f.cam_to_world[:3, 3] for f in scene.frames])
    assert np.abs((centers - frame3d.center) * frame3d.scale).max() <= 1 + 1e-6


def test_what_is_true_agrees_and_a_floater_is_contradicted(room):
    frames, depths, hole = room.room.frames, list(room.depths), room.holes[2]
    assert agreement_share([agreement(frames, depths, 2, hole)]) > 0.95
    assert agreement(frames, depths, 2, hole).confidence.mean() > 0.5
    cheating = [d.copy() for d in depths]
    cheating[2][hole] = 2.5  # in mid-air: the others look through it
    votes = agreement(frames, cheating, 2, hole)
    assert agreement_share([votes]) < 0.05
    assert votes.confidence[votes.contradict > 0].max() < 0.1


def test_a_floater_just_before_its_camera_has_no_witnesses(room):
    frames, depths, hole = room.room.frames, list(room.depths), room.holes[2]
    assert witnessed_share([agreement(frames, depths, 2, hole)]) > 0.95
    cheating = [d.copy() for d in depths]
    cheating[2][hole] = 0.1
    assert witnessed_share([agreement(frames, cheating, 2, hole)]) < 0.05
