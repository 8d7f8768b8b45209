"""`--agreement A B`: two judges of the same items, or the repeats of one."""

from pathlib import Path

from eval.scoring.terminal import plain_table, print_table, write_result


def agreement(a: Path, b: Path, out: Path | None = None) -> int:
    """Print the agreement of two judges, or of the repeats of one folder given twice. Returns 0.

    OUT/agreement.json gets the same numbers.

    Raises:
        ValueError: other answers, no item in common, or a single repeat.
    """
    from eval.results.agreement import agreement_of

    result = agreement_of(a, b)
    table = plain_table("metric", "pairs", "kappa", "Spearman", "same", "within 1", "b - a")
    for name, row in [*result["metrics"].items(), ("all", result["overall"])]:
        coefficients = (_coefficient(row["kappa"]), _coefficient(row["spearman"]))
        shares = (f"{100 * row['exact']:.0f} %", f"{100 * row['within_one']:.0f} %")
        table.add_row(name, str(row["pairs"]), *coefficients, *shares, f"{row['difference']:+.2f}")
    print_table(table)
    for metric, count in result["scored_by_one"].items():
        reason = "some repeats have no score" if result["repeats"] else "only one of the two has a score"
        print(f"{metric}: {count} left out, {reason}")
    print(f"a, b: each two repeats of {a}" if result["repeats"] else f"a: {a}\nb: {b}")
    print("kappa: quadratically weighted; within 1, b - a: in points of 0 to 5")
    write_result(out, "agreement.json", result)
    return 0


def _coefficient(value: float | None) -> str:
    return "none" if value is None else f"{value:.2f}"
