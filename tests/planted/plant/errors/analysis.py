"""Right measurements, and a table that says something else."""

from __future__ import annotations

from statistics import pstdev

from planting import spoils


@spoils("semgap.summary", "deviation_of_the_population")
def divide_by_n(summary):
    summary.stdev = pstdev


@spoils("semgap.summary", "best_of_the_repeats")
def take_the_smallest_for_the_mean(summary):
    summary.fmean = min


@spoils("semgap.table", "gibibytes")
def divide_by_gibibytes(table):
    table._BYTES_PER_GB = 2**30


@spoils("semgap.table", "rows_exchanged")
def put_modes_under_each_others_labels(table):
    table_rows = table.table_rows

    def rows_of_other_modes(summary, labels, phases):
        exchanged = dict(zip(reversed(labels), labels.values(), strict=True))
        return table_rows(summary, exchanged, phases)

    table.table_rows = rows_of_other_modes


@spoils("semgap.comparisons", "test_of_nothing")
def compare_labels_that_do_not_exist(comparisons):
    import scipy

    welch = comparisons.welch

    def welch_of_nobody(own, others):
        test = welch(own, others)
        nothing = scipy.stats.ttest_ind([], [], equal_var=False)
        return type(test)(float(nothing.statistic), float(nothing.df), float(nothing.pvalue))

    comparisons.welch = welch_of_nobody
