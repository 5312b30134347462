"""``explain``, its formulas, and the page."""

import copy
import json
import re
import xml.etree.ElementTree as ElementTree
from dataclasses import replace

import pyro
import pyro.distributions as dist
import pytest
import torch

import pyro_vae
from pyro_vae.errors import DataError, ProgramError
from pyro_vae.explaining import mathml, written_out
from pyro_vae.explaining.derivation import derive
from pyro_vae.explaining.derivation_lines import Term, compare_terms
from pyro_vae.explaining.written import numbers, verdict
from pyro_vae.inference.engine.conjugate import ConjugateNormal
from pyro_vae.models import VAE, VQVAE, HierarchicalVAE, MixtureModel, PoorMansVAE
from pyro_vae.models.condition import Labels
from pyro_vae.models.likelihoods import Normal
from pyro_vae.models.linear import LinearVAE
from pyro_vae.networks import Dense, Unamortised
from pyro_vae.pages.derivation import Chapter, write_derivation

FEW = {"num_particles": 500}


def my_model(x):
    with pyro.plate("data", len(x), dim=-1):
        code = pyro.sample("my_code", dist.Normal(torch.zeros((), dtype=torch.double), 1.0))
        pyro.sample("x", dist.Normal(code, 1.0), obs=x)


def my_guide(x):
    with pyro.plate("data", len(x), dim=-1):
        pyro.sample("my_code", dist.Normal(x / 2, 0.8))


def explanations():
    torch.manual_seed(0)
    picture, row = torch.ones(2, 3, 3), torch.randn(2, 4)
    small = {"encoder": (8,), "decoder": (8,)}
    conditional = VAE((3, 3), 2, condition=Labels(3), **small)
    labelled = {"x": picture, "condition": torch.tensor([0, 2])}
    return {
        "vae": VAE((3, 3), 4, **small).explain(picture, **FEW),
        "hierarchical": HierarchicalVAE((3, 3), (2, 2), hidden=((8,), (8,))).explain(
            picture, **FEW
        ),
        "linear": LinearVAE((4,), 2).explain(row, datum=1, **FEW),
        "mixture": MixtureModel(2, Normal("latent"), (4,)).explain(row, **FEW),
        "conditional": conditional.explain(labelled, datum=1, **FEW),
        "toy": pyro_vae.explain(ConjugateNormal(), row[:, 0].double(), **FEW),
        "own": pyro_vae.explain(my_model, row[:, 0].double(), guide=my_guide, **FEW),
    }


@pytest.fixture(scope="module")
def explained():
    return explanations()


NAMES = ["vae", "hierarchical", "linear", "mixture", "conditional", "toy", "own"]


def balanced(latex):
    bare = re.sub(r"\\[{}]", "", latex)
    depth = 0
    for character in bare:
        depth += {"{": 1, "}": -1}.get(character, 0)
        assert depth >= 0
    assert depth == 0
    assert bare.count(r"\left") == bare.count(r"\right")
    assert re.findall(r"\\begin\{(\w+)\}", bare) == re.findall(r"\\end\{(\w+)\}", bare)


@pytest.mark.parametrize("name", NAMES)
def test_it_holds_and_is_shown(explained, name):
    shown = explained[name]
    shown.derivation.check()
    text, latex = str(shown), shown._repr_latex_()
    balanced(latex)
    assert latex.startswith("$$")
    assert latex.count("&&") == 2 * len(shown.derivation.steps)
    markdown = shown._repr_markdown_()
    balanced(markdown)
    assert markdown.count("$$") == 2 * len(shown.derivation.steps)
    html = shown._repr_html_()
    for step in shown.derivation.steps:
        balanced(step.latex)
        assert step.symbols in text
        ElementTree.fromstring(mathml(step.latex))
        assert all(site in text for site in step.sites)
    assert html.count("<math") == len(shown.derivation.steps)
    json.dumps(shown.derivation.to_dict(), allow_nan=True)


def test_a_model_is_left_as_it_was():
    model = VAE((3, 3), 2, encoder=(8,), decoder=(8,)).train()
    before = [parameter.clone() for parameter in model.parameters()]
    model.explain(torch.ones(1, 3, 3), **FEW)
    assert model.training
    for parameter, old in zip(model.parameters(), before, strict=True):
        assert parameter.dtype == torch.float32
        assert torch.equal(parameter, old)


def test_draws_are_not_normalised_by_each_other():
    """A model in training mode is derived as it is measured, by its running moments."""
    spec = Dense((8,), batch_norm=True)
    model, x = VAE((3, 3), 2, encoder=spec, decoder=spec), torch.ones(1, 3, 3)
    trained, measured = (model.train(mode).explain(x, **FEW).derivation for mode in (True, False))
    assert trained.elbo.value == measured.elbo.value


@pytest.mark.slow
def test_a_guide_of_its_own_is_fitted_to_the_datum():
    model = VAE((4,), 1, likelihood=Normal(0.5), encoder=Unamortised(3), decoder=())
    x = torch.tensor([[3.0, -2.0, 1.0, 0.5]])
    local = model.unamortised(x)
    start, found = derive(local.model, local.guide, x), model.explain(x, **FEW).derivation
    assert start.kl.value > 0.1
    # The posterior of a linear decoder and one z is a normal: nothing is left of the gap.
    assert found.kl.value < 0.02


def test_the_datum_asked_for(explained):
    torch.manual_seed(0)
    row = torch.randn(2, 4)
    exact = LinearVAE((4,), 2).double().log_prob(row.double())[1].item()
    assert explained["linear"].derivation.log_evidence.value == pytest.approx(exact, abs=1e-9)


def test_refusals():
    with pytest.raises(ProgramError, match="without a guide"):
        pyro_vae.explain(my_model, torch.zeros(1))
    with pytest.raises(DataError, match="datum got 5"):
        pyro_vae.explain(my_model, torch.zeros(2), guide=my_guide, datum=5)


def test_mathml_of_a_fraction_and_a_subscript():
    root = ElementTree.fromstring(mathml(r"\mathbb{E}_{q}\left[\log \frac{p(x)}{z_{1}}\right]"))
    fraction = next(root.iter("mfrac"))
    assert ["".join(part.itertext()) for part in fraction] == ["p(x)", "z1"]
    assert [part.tag for part in next(root.iter("msub"))] == ["mi", "mrow"]
    assert root.find(".//annotation").text.startswith(r"\mathbb{E}")


def test_mathml_has_every_relation_and_script_where_it_belongs():
    for latex, sign in ((r"\geq", "≥"), (r"\neq", "≠"), (r"\approx", "≈"), (r"\mid", "|")):
        assert f"<mo>{sign}</mo>" in mathml(f"a {latex} b")
    root = ElementTree.fromstring(mathml(r"\sum_{i}^{n} \theta^{2}"))
    (both,) = root.iter("msubsup")
    assert ["".join(part.itertext()) for part in both] == ["∑", "i", "n"]
    (power,) = root.iter("msup")
    assert ["".join(part.itertext()) for part in power] == ["θ", "2"]


def test_mathml_escapes_names():
    root = ElementTree.fromstring(mathml(r"p(\mathrm{a\_b\&c}) \geq 2.5"))
    assert "a_b&c" in "".join(root.itertext())
    assert next(root.iter("mn")).text == "2.5"


@pytest.mark.parametrize("wrong", [r"\unknown{x}", r"\frac{a}", "{a", "a}", r"\mathrm x"])
def test_mathml_refuses_what_it_does_not_know(wrong):
    with pytest.raises(ValueError, match="latex"):
        mathml(wrong)


def test_the_page_is_self_contained_and_marks_what_fails(tmp_path, explained):
    steps = explained["toy"].derivation.steps
    broken = replace(steps[3], residual=1.0)
    chapter = Chapter("One <b>", "Text & more.", (*steps[:3], broken), ("A note.",))
    page, markdown = write_derivation(
        tmp_path / "out", title="T", introduction="I", chapters=[chapter], provenance={"a": "b"}
    )
    html = page.read_text()
    assert "One &lt;b&gt;" in html
    assert html.count("<math") == 4
    assert html.count('class="mark fails"') == 1
    assert "DOES NOT HOLD" in html
    assert "DOES NOT HOLD" in markdown.read_text()
    for outside in ("http", "<script", "href=", "url(", "@import"):
        assert outside not in html
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "derivation.html",
        "derivation.md",
    ]


def test_a_subtracted_negative_number_is_in_brackets(explained):
    step = explained["toy"].derivation.steps[-3]
    negative = replace(step.right[1], value=-2.0)
    assert "- (-2.0000)" in written_out([replace(step, right=(step.right[0], negative))])


def test_a_line_in_numbers_has_its_signs_and_its_errors():
    def term(value, error=0.0, sign=1):
        return Term("t", "t", value, error, "", (), sign)

    right = (term(2.5, 0.25), term(0.75, 1e-12, sign=-1), term(1.0))
    step = compare_terms("n", term(-1.25), right, why="")
    assert numbers(step) == "-1.2500 ≈ 2.5000 (0.25) - 0.7500 + 1.0000"
    assert verdict(step) == "DOES NOT HOLD (left less right -4, tolerance 1)"
    first = compare_terms("n", term(3.0), (term(2.0, sign=-1),), why="", relation=">=")
    assert numbers(first) == "3.0000 ≥ -2.0000"
    other = compare_terms("n", term(3.0), (term(2.0),), why="", relation="!=")
    assert numbers(other) == "3.0000 ≠ 2.0000"


def coded(positions):
    torch.manual_seed(0)
    x = torch.bernoulli(torch.full((20, 3, 3), 0.5))
    settings = {"encoder": (8,), "decoder": (8,)}
    vq = VQVAE((3, 3), 4, 2, positions, **settings).eval()
    vq.initialise(x)
    return vq, x


def test_a_codebook_is_derived_with_the_sum_over_its_codes():
    vq, x = coded(2)
    found = vq.explain(x, datum=3, **FEW).derivation
    found.check()
    one = copy.deepcopy(vq).double().enumerated_log_prob(x[3:4].double())
    assert found.log_evidence.value == pytest.approx(one.item(), abs=1e-9)
    with torch.no_grad():
        z = vq.assign(x[3:4])
        bound = vq.observation(z).log_prob(x[3:4]) + vq.prior().log_prob(z)
    assert found.elbo.value == pytest.approx(bound.item(), abs=1e-4)
    (line,) = [step for step in found.steps if step.name == "the only weight"]
    assert (line.relation, line.kind) == (">=", "check")
    assert line.residual == pytest.approx(found.kl.value)


def test_a_codebook_with_too_many_values_is_not_judged_by_its_only_weight():
    vq, x = coded(7)
    with pytest.raises(ProgramError, match="above limit"):
        vq.enumerated_log_prob(x[:1])
    found = vq.explain(x, **FEW).derivation
    found.check()
    kinds = {step.name: step.kind for step in found.steps}
    assert kinds["the only weight"] == kinds["the bound"] == "not judged"
    assert any("one value of z" in note for note in found.notes)
    assert not any("float32" in note for note in found.notes)


def test_a_poor_mans_vae_is_derived_as_the_vae_that_it_is_measured_as():
    torch.manual_seed(0)
    x = torch.rand(2, 3, 3)
    poor = PoorMansVAE((3, 3), 1, encoder=(8,), decoder=(8,))
    found = poor.explain(x, **FEW).derivation
    found.check()
    assert found.elbo.value == poor.as_vae().explain(x, **FEW).derivation.elbo.value
