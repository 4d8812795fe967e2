"""How far a long stage is: a bar in a terminal, one line a minute in a log."""

import sys

from tqdm import tqdm


def progress(total: int, title: str, unit: str, initial: int = 0) -> tqdm:
    """A tqdm bar that writes whole lines, one a minute, where nobody watches."""
    if sys.stderr.isatty():
        return tqdm(total=total, initial=initial, desc=title, unit=f" {unit}")
    line = "{desc}: {n_fmt}/{total_fmt}{unit} [{elapsed}<{remaining}, {rate_fmt}{postfix}]\n"
    return tqdm(total=total, initial=initial, desc=title, unit=f" {unit}", mininterval=60, maxinterval=60, bar_format=line)
