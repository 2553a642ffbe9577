"""The statistics as Markdown, with what cannot be concluded from them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from semgap.comparisons import BASES, TESTED_MODE, ComparisonRow
from semgap.markdown import markdown_table
from semgap.phases import MEASURED_PHASES
from semgap.stability import (
    FEWEST_FOR_BIMODALITY,
    FEWEST_FOR_OUTLIERS,
    Sample,
    Stability,
)
from semgap.stats import (
    BIMODALITY_THRESHOLD,
    MOST_SPLITS,
    OUTLIER_SCORE,
    holm,
    smallest_permutation_p,
)
from semgap.summary import SummaryRow

SIGNIFICANCE_LEVEL = 0.05
# Tests of normality miss most departures in samples smaller than about this.
FEWEST_FOR_NORMALITY = 30
_ABSENT = "–"


def stats_report(
    summary: Sequence[SummaryRow], comparisons: Sequence[ComparisonRow], found: Stability
) -> str:
    """The content of ``stats.md``."""
    measured = [row for phase in MEASURED_PHASES for row in summary if row.phase == phase]
    sections = [
        "# Statistics of the latency",
        _latency_table(measured),
        "Seconds, over the repeats of a whole phase. SD: sample standard deviation (n−1). MAD: "
        "median absolute deviation from the median, unscaled. Interval: of the mean, by Student's "
        "t.",
        *_ratio_sections(comparisons),
        *_test_sections([row for row in comparisons if row.base == TESTED_MODE]),
        *_stability_sections(found),
        "## What cannot be concluded",
        "\n".join(f"- {sentence}" for sentence in _limits(measured, comparisons)),
    ]
    return "\n\n".join(sections) + "\n"


def _latency_table(rows: Iterable[SummaryRow]) -> str:
    return markdown_table(
        ("Phase", "Mode", "n", "Mean", "SD", "Median", "MAD", "Min–max", "95 % interval"),
        [
            (
                row.phase.capitalize(),
                row.mode,
                str(row.n),
                _figure(row.latency_mean_s),
                _figure(row.latency_std_s),
                _figure(row.latency_median_s),
                _figure(row.latency_mad_s),
                f"{_figure(row.latency_min_s)} – {_figure(row.latency_max_s)}",
                _range(row.latency_ci_low_s, row.latency_ci_high_s, _ABSENT),
            )
            for row in rows
        ],
        text_columns=2,
    )


def _ratio_sections(comparisons: Sequence[ComparisonRow]) -> Iterable[str]:
    for base in BASES:
        rows = [row for row in comparisons if row.base == base]
        if rows:
            yield f"## Ratio to `{base}`"
            yield markdown_table(
                ("Phase", "Mode", "n", f"n of {base}", f"Mean ÷ {base}", "95 % interval"),
                [
                    (
                        row.phase.capitalize(),
                        row.mode,
                        str(row.n),
                        str(row.n_base),
                        _figure(row.ratio),
                        _ratio_range(row),
                    )
                    for row in rows
                ],
                text_columns=2,
            )
    if comparisons:
        yield (
            "Ratios of mean latencies with Fieller's interval for unequal variances (degrees of "
            "freedom by Welch and Satterthwaite). Unbounded: the base's mean is too uncertain "
            "for a finite interval."
        )


def _ratio_range(row: ComparisonRow) -> str:
    absent = _ABSENT if min(row.n, row.n_base) < 2 else "unbounded"
    return _range(row.ratio_ci_low, row.ratio_ci_high, absent)


def _test_sections(tests: Sequence[ComparisonRow]) -> Iterable[str]:
    if not tests:
        return
    yield f"## Tests against `{TESTED_MODE}`"
    yield markdown_table(
        (
            *("Phase", "Mode", "Welch's t", "df", "p", "p (Holm)"),
            *("Permutation p", "p (Holm)", "Smallest possible", "Hedges' g"),
        ),
        [
            (
                row.phase.capitalize(),
                row.mode,
                _figure(row.welch_t),
                _figure(row.welch_df),
                _figure(row.welch_p),
                _figure(row.welch_p_holm),
                _figure(row.permutation_p),
                _figure(row.permutation_p_holm),
                _figure(row.smallest_permutation_p),
                _figure(row.hedges_g),
            )
            for row in tests
        ],
        text_columns=2,
    )
    yield (
        "Two-sided tests of equal means; t and g are positive where the mode is slower than "
        f"`{TESTED_MODE}`. Permutation: exact, over all splits of the repeats. Holm's correction: "
        "for each kind of test, over both phases together. A dash: the repeats do not determine "
        "it."
    )


def _stability_sections(found: Stability) -> Iterable[str]:
    yield "## Drift over run order"
    yield markdown_table(
        ("Phase", "Runs", "Kendall's tau", "p"),
        [
            (
                item.phase.capitalize(),
                str(item.runs),
                _figure(item.correlation.tau if item.correlation else None),
                _figure(item.correlation.p if item.correlation else None),
            )
            for item in found.drifts
        ],
    )
    yield (
        "Each run's latency ÷ the mean of its mode, against the order in which the runs were made. "
        "Positive: later runs were slower. The p is approximate, because dividing by means ties "
        "the repeats of a mode together."
    )
    yield "## Outliers among repeats"
    yield " ".join(_outlier_sentences(found.samples))
    yield "## Bimodality of decode steps"
    yield markdown_table(
        ("Mode", "Steps", "Coefficient", "Above 5/9"),
        [
            (shape.mode, str(shape.steps), _figure(shape.coefficient), _above(shape.coefficient))
            for shape in found.shapes
        ],
    )
    yield (
        "Sarle's coefficient of the latencies of all decode steps of a mode, where there are at "
        f"least {FEWEST_FOR_BIMODALITY}. Above 5/9, the value of a uniform distribution, there may "
        "be more than one mode of operation; a few slow steps raise it too."
    )
    yield "Nothing was removed for what this page reports."


def _above(coefficient: float | None) -> str:
    if coefficient is None:
        return _ABSENT
    return "yes" if coefficient > BIMODALITY_THRESHOLD else "no"


def _outlier_sentences(samples: Sequence[Sample]) -> Iterable[str]:
    few = [sample for sample in samples if sample.outliers is None]
    if len(few) < len(samples):
        named = [
            f"{sample.phase} of {sample.mode}, repeat {repeat}"
            for sample in samples
            for repeat in sample.outliers or ()
        ]
        yield f"Modified z score above {OUTLIER_SCORE:g}: {'; '.join(named) or 'none'}."
    if few:
        named = [f"{sample.phase} of {sample.mode} (n = {sample.n})" for sample in few]
        yield (
            f"Not looked for where there are fewer than {FEWEST_FOR_OUTLIERS} repeats: "
            f"{'; '.join(named)}."
        )


def _limits(summary: Sequence[SummaryRow], comparisons: Sequence[ComparisonRow]) -> Iterable[str]:
    tests = [row for row in comparisons if row.base == TESTED_MODE]
    yield from _permutation_limits(tests)
    counts = sorted({row.n for row in summary})
    if 1 in counts:
        yield "One repeat (n = 1) has no spread: it gives no interval and no test of means."
    few = [str(n) for n in counts if 1 < n < FEWEST_FOR_NORMALITY]
    if few:
        yield (
            "Welch's test and all intervals assume independent, normally distributed repeats; "
            f"n = {' or '.join(few)} values cannot show that they are."
        )
    if tests:
        yield "A difference that is not significant is not shown to be absent."
    yield (
        "Each interval holds by itself at 95 %, not all of them together. They speak of further "
        "repeats of this session on this machine, not of other machines or other days."
    )


def _permutation_limits(tests: Sequence[ComparisonRow]) -> Iterable[str]:
    # Holm's adjustment grows with every p, so that of the smallest possible ones is its bound.
    bounds = holm(
        [row.smallest_permutation_p if row.permutation_p is not None else None for row in tests]
    )
    by_counts = {(row.n, row.n_base): bound for row, bound in zip(tests, bounds, strict=True)}
    for (n, n_base), bound in sorted(by_counts.items()):
        yield f"With n = {n} against {n_base} repeats {_permutation_limit(n, n_base, bound)}"


def _permutation_limit(n: int, n_base: int, smallest_corrected: float | None) -> str:
    if smallest_corrected is None:
        return f"there are more than {MOST_SPLITS} splits: the exact permutation test was not made."
    smallest = smallest_permutation_p(n, n_base)
    least = f"the smallest possible exact two-sided permutation p is {smallest:.4g}"
    if smallest > SIGNIFICANCE_LEVEL:
        return (
            f"{least}: no difference can be significant at {SIGNIFICANCE_LEVEL:g} by that test, "
            "whatever the data."
        )
    corrected = f"{least} and, by Holm's correction, {smallest_corrected:.4g}"
    if smallest_corrected > SIGNIFICANCE_LEVEL:
        return (
            f"{corrected}: no difference can be significant at {SIGNIFICANCE_LEVEL:g} once "
            "corrected, whatever the data."
        )
    return f"{corrected}: a difference can be significant at {SIGNIFICANCE_LEVEL:g} by that test."


def _figure(value: float | None) -> str:
    """Four significant digits, so that the last bits of floating point do not show."""
    if value is None:
        return _ABSENT
    return "0" if value == 0 else f"{value:#.4g}".rstrip(".")


def _range(low: float | None, high: float | None, absent: str) -> str:
    if low is None or high is None:
        return absent
    return f"{_figure(low)} – {_figure(high)}"
