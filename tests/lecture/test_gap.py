"""The panel of the gap's two parts: its densities and integrals against SciPy and PyTorch."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from pyro_vae.inference import gap_parts
from pyro_vae.lecture.page import write_page
from pyro_vae.lecture.panels import gap
from pyro_vae.models.guides import FullCovarianceNormal, InverseAutoregressiveFlow, MeanFieldNormal
from tests.lecture.models import roughened
from tests.lecture.pages import press, set_slider, shown, wait_until

# A training of seconds, and a browser.
pytestmark = pytest.mark.slow

DATA = torch.tensor([(0.0, -3.0), (0.4, -1.0), (-0.7, 0.5)])
FAMILIES = {
    "mean_field": MeanFieldNormal(),
    "full": FullCovarianceNormal(),
    "flow": InverseAutoregressiveFlow(num_transforms=2, hidden=6, context_dim=3),
}


def log_joint(x, z1, z2):
    likelihood = stats.norm(0.3 * z1, 0.3).logpdf(x[0]) + stats.norm(z2 - z1**2, 0.3).logpdf(x[1])
    return stats.norm.logpdf(z1) + stats.norm.logpdf(z2) + likelihood


def log_evidence(x):
    """z_2 has a closed form given z_1; z_1 by a fine sum."""
    z1, step = np.linspace(-9, 9, 36001, retstep=True)
    inner = stats.norm(-(z1**2), math.hypot(1, 0.3)).logpdf(x[1])
    total = stats.norm.logpdf(z1) + stats.norm(0.3 * z1, 0.3).logpdf(x[0]) + inner
    return math.log(np.exp(total).sum() * step)


@pytest.fixture(scope="module")
def models():
    made = {}
    for seed, (name, family) in enumerate(FAMILIES.items()):
        twins = (roughened(gap.banana_vae(family, 0), seed + 3 * i, size=0.05) for i in range(2))
        made[name] = dict(zip(("best", "amortised"), twins, strict=True))
    return made


@pytest.fixture(scope="module")
def about(models):
    guides = {
        name: {member: gap._bound(model, DATA, 0) for member, model in pair.items()}
        for name, pair in models.items()
    }
    data = [tuple(x) for x in DATA.double().tolist()]
    evidence = [log_evidence(x) for x in data]
    return {"data": data, "evidence": evidence, "slope": 0.3, "scale": 0.3, "guides": guides}


@pytest.fixture
def page(opened, tmp_path, about):
    write_page(tmp_path / "page.html", {"gap": about}, heading="lecture")
    return opened(tmp_path / "page.html")


@pytest.mark.parametrize("datum", range(3))
@pytest.mark.parametrize("name", FAMILIES)
def test_numbers_are_those_of_scipy_and_of_the_guide(page, about, models, name, datum):
    page.select_option("#gap-guide", name)
    set_slider(page, "gap-datum", datum)
    x = about["data"][datum]
    for member in ("best", "amortised"):
        page.select_option("#gap-member", member)
        told = page.evaluate("pyroVae.gap.terms()")
        assert told["quadrature"] == pytest.approx(log_evidence(x), abs=1e-9)
        parts = told["bound"] + told["approximation"] + told["amortisation"]
        assert parts == pytest.approx(told["evidence"], abs=1e-12)
        assert abs(told["residual"]) < 1e-9
        draws = np.array(page.evaluate("pyroVae.gap.draws()"))
        assert draws.shape == (200, 3)
        q = models[name][member].posterior(DATA)
        z = torch.tensor(draws[:, :2]).float()
        if name != "flow":
            # The flow inverts no draw but its own.
            each = q.log_prob(z.unsqueeze(1).expand(-1, len(DATA), -1))[:, datum]
            np.testing.assert_allclose(draws[:, 2], each.detach(), atol=2e-4)
        logs = log_joint(x, *draws[:, :2].T) - draws[:, 2]
        assert told["drawn"] == pytest.approx(logs.mean(), abs=1e-6)
        assert told["drawnError"] == pytest.approx(stats.sem(logs), rel=1e-6)
        # Within 5 standard errors of 200 draws; seed 0.
        exact = about["guides"][name][member]["elbo"][datum]
        assert abs(told["drawn"] - exact) < 5 * told["drawnError"]
    both = told["approximation"] + told["amortisation"]
    assert shown(page, "gap-value-gap") == pytest.approx(both, abs=5.1e-5)
    assert shown(page, "gap-value-evidence") == pytest.approx(told["evidence"], abs=5.1e-5)
    for part in ("approximation", "amortisation"):
        assert shown(page, f"gap-value-{part}") == pytest.approx(told[part], abs=5.1e-5)
    errors = [about["guides"][name][m]["error"][datum] for m in ("best", "amortised")]
    assert told["bothError"] == pytest.approx(math.hypot(*errors), rel=1e-12)


def test_contours_enclose_their_share(page, about):
    set_slider(page, "gap-datum", 0)
    heights = page.evaluate("pyroVae.gap.heights()")
    z1, z2 = np.meshgrid(np.linspace(-4, 4, 801), np.linspace(-5, 5, 1001))
    density = np.exp(log_joint(about["data"][0], z1, z2))
    for height, share in zip(heights, (0.5, 0.95), strict=True):
        inside = density[density > height].sum() / density.sum()
        # The page's grid has steps of 0.08, beside a ridge of width 0.3.
        assert inside == pytest.approx(share, abs=0.02)


def test_every_control_moves_its_picture_by_keyboard(page):
    def pictures():
        return [page.inner_html(f"#gap-{name}") for name in ("plane", "bars")]

    seen = [pictures()]
    for selector, key, both in (
        ("#gap-datum", "ArrowLeft", True),
        ("#gap-guide", "ArrowDown", True),
        ("#gap-member", "ArrowDown", False),
    ):
        press(page, selector, key)
        seen.append(pictures())
        assert seen[-1][0] != seen[-2][0], selector
        assert (seen[-1][1] != seen[-2][1]) is both, selector
    told = page.evaluate("pyroVae.gap.terms()")
    assert (told["datum"], told["guide"], told["member"]) == (1, "full", "amortised")
    wait_until(page, "document.getElementById('gap-said').textContent !== ''")


def test_what_the_panel_says_of_its_numbers():
    for seed in (0, 1):
        made = gap.gap_of(seed)
        evidence = np.array(made["evidence"])
        np.testing.assert_allclose(evidence, [log_evidence(x) for x in made["data"]], atol=1e-4)
        best = {name: np.array(g["best"]["elbo"]) for name, g in made["guides"].items()}
        error = {name: np.array(g["best"]["error"]) for name, g in made["guides"].items()}
        left = {name: evidence - bound for name, bound in best.items()}
        # Two arms at x_2 = -3: a normal on one of them leaves log 2 at least.
        assert min(left["mean_field"][0], left["full"][0]) > math.log(2)
        assert left["full"][0] < left["mean_field"][0] - 5 * error["mean_field"][0]
        # From x_2 = -1 on the banana is whole.
        assert (left["flow"] < np.minimum(left["mean_field"], left["full"]))[2:].all()
        for name in FAMILIES:
            assert (left[name] > 2 * error[name]).all()


def test_the_parts_are_those_of_the_package():
    model = roughened(gap.banana_vae(MeanFieldNormal(), 0), size=0.05)
    x = torch.tensor([(0.0, 0.0), (0.0, 1.0)])
    parts = gap_parts(model, x, 4000, steps=200, learning_rate=0.02, seed=0)
    exact = np.array([log_evidence(row) for row in x.tolist()])
    found = gap._bound(model, x, 0)
    np.testing.assert_allclose(found["elbo"], parts["elbo"], rtol=1e-6)
    best = model.unamortised(x)
    gap.fit_guide(best, x, steps=200, learning_rate=0.02, seed=0)
    np.testing.assert_allclose(gap._bound(best, x, 0)["elbo"], parts["best_elbo"], rtol=1e-6)
    assert (exact - parts["best_elbo"] > 0).all()
