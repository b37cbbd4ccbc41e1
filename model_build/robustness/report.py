"""Results → docs/robustness.md."""

from collections.abc import Iterable, Mapping

from model_build.robustness.measure import Counts, Results
from model_build.search.measurements import wilson_interval

_PARTS = {
    "test": "held-out digits: MNIST's test part, and by turns digits of other writers (UCI)",
    "validation": "MNIST's validation part: figures to choose by, which prove nothing",
}
_INTRODUCTION = (
    "How {version} reads pictures as people send them. Written by `make robustness`, which draws "
    "every picture and sends it to the function's handler. Drawn from {part}. ± is the 95% "
    "interval (Wilson, its larger half)."
)
_DIGITS = (
    "Mean of {families} families: **{mean:.1%}** right; below 90%: {low}; sure (over 99%) "
    "and wrong: {sure:.2%}."
)
_OUTLIERS = (
    "AUROC of `digit_probability`, against all digits above: **{auroc:.4f}**. Where 95% of these "
    "pictures are rejected, so are {rejected:.1%} of the digits. With the model's own threshold "
    "{own:.1%} are rejected."
)
_CORRUPTIONS = (
    "Share of wrong answers with `preprocess=none` on the fifteen corruptions of Mu and Gilmer "
    "(2019), made from the article's description, so that only figures of this table compare. "
    "MLP: the network of the tutorials (recipe `mlp`), without augmentation."
)


def write(results: Results, version: str) -> str:
    """Markdown page of all figures; version: of the model that was measured."""
    kinds = [counts for members in results.digits.values() for counts in members.values()]
    sections = [
        "# Robustness",
        _INTRODUCTION.format(version=version, part=_PARTS[results.part]),
        "## One legible digit",
        _DIGITS.format(
            families=len(kinds),
            mean=mean_right(kinds),
            low=sum(kind.right < 0.9 * kind.total for kind in kinds),
            sure=_share(kinds, "sure_wrong"),
        ),
        _table(("group", "families", "right"), _groups(results)),
        _table(("family", "right", "not a digit", "refused", "sure and wrong"), _families(results)),
        "## Nothing on the picture",
        f"Refused or answered as no digit: **{_share_without(results.empty):.1%}**.",
        _table(("family", "refused", "not a digit", "sure"), _without(results.empty)),
    ]
    if results.outliers:
        sections += [
            "## Something other than a digit",
            _OUTLIERS.format(
                auroc=results.auroc,
                rejected=results.rejected,
                own=_share_without(results.outliers),
            ),
            _table(("family", "refused", "not a digit", "sure"), _without(results.outliers)),
        ]
    sections += ["## Numbers of two to six digits", *_numbers(results.numbers)]
    service, article = zip(*results.errors.values(), strict=True)
    sections += [
        "## MNIST-C",
        _CORRUPTIONS,
        _table(
            ("corruption", "this model", "MLP"),
            [
                *((name, f"{a:.1%}", f"{b:.1%}") for name, (a, b) in results.errors.items()),
                ("**mean**", f"**{_mean(service):.1%}**", f"**{_mean(article):.1%}**"),
            ],
        ),
    ]
    return "\n\n".join(sections) + "\n"


def mean_right(kinds: Iterable[Counts]) -> float:
    """Mean over families of the share of right answers."""
    return _mean([kind.right / kind.total for kind in kinds])


def _groups(results: Results) -> list[tuple[str, ...]]:
    return [
        (group, str(len(members)), f"{mean_right(members.values()):.1%}")
        for group, members in results.digits.items()
    ]


def _families(results: Results) -> list[tuple[str, ...]]:
    return [
        (
            name,
            with_interval(kind.right, kind.total),
            f"{kind.no_digit / kind.total:.1%}",
            f"{kind.refused / kind.total:.1%}",
            f"{kind.sure_wrong / kind.total:.1%}",
        )
        for members in results.digits.values()
        for name, kind in members.items()
    ]


def _without(kinds: Mapping[str, Counts]) -> list[tuple[str, ...]]:
    return [
        (
            name,
            with_interval(kind.refused, kind.total),
            f"{kind.no_digit / kind.total:.1%}",
            f"{kind.sure_wrong / kind.total:.1%}",
        )
        for name, kind in kinds.items()
    ]


def _numbers(numbers: Mapping[int, tuple[int, int]] | None) -> list[str]:
    if numbers is None:
        return ["The service reads one digit only."]
    whole, sent = (sum(counted) for counted in zip(*numbers.values(), strict=True))
    rows = [(str(length), with_interval(*counted)) for length, counted in numbers.items()]
    return [
        f"Read whole with `digits=many`: **{with_interval(whole, sent)}**.",
        _table(("digits", "read whole"), rows),
    ]


def with_interval(right: int, total: int) -> str:
    """Share with the larger half of its interval."""
    low, high = wilson_interval(right, total)
    share = right / total
    return f"{share:.1%} ± {max(share - low, high - share):.1%}"


def _share(kinds: Iterable[Counts], field: str) -> float:
    kinds = list(kinds)
    counted: int = sum(getattr(kind, field) for kind in kinds)
    return counted / sum(kind.total for kind in kinds)


def _share_without(kinds: Mapping[str, Counts]) -> float:
    return _share(kinds.values(), "refused") + _share(kinds.values(), "no_digit")


def _mean(values: Iterable[float]) -> float:
    values = list(values)
    return sum(values) / len(values)


def _table(heads: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [f"| {' | '.join(heads)} |", "| --- |" + " --: |" * (len(heads) - 1)]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])
