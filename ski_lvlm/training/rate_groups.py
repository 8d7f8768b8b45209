"""Groups of an optimizer's parameters with settings of their own."""

from torch.optim import Optimizer


def split_groups(optimizer: Optimizer, ids: set[int], *, multiplier: float, setting: str = "lr") -> None:
    """Give the parameters with these ids groups of their own, with the rate or another setting times `multiplier`."""
    groups = list(optimizer.param_groups)
    optimizer.param_groups.clear()
    for group in groups:
        for is_changed in (False, True):
            parameters = [p for p in group["params"] if (id(p) in ids) == is_changed]
            if parameters:
                value = group[setting] * (multiplier if is_changed else 1.0)
                optimizer.add_param_group({**group, "params": parameters, setting: value})
