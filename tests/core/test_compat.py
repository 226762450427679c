"""What is kept from the user for a release's sake, and nothing else."""

from __future__ import annotations

import warnings

from mot_dinov3.core.compat import SCRIPTS_GO, silence, without_warning


def test_only_the_named_warning_is_kept_away() -> None:
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("always")
        with without_warning(SCRIPTS_GO):
            warnings.warn("`torch.jit.load` is deprecated. Please switch", FutureWarning, stacklevel=1)
            warnings.warn("`torch.jit.load` is not supported in Python 3.14+", FutureWarning, stacklevel=1)
        warnings.warn("`torch.jit.load` is deprecated", FutureWarning, stacklevel=1)
    assert [str(one.message) for one in shown] == [
        "`torch.jit.load` is not supported in Python 3.14+",
        "`torch.jit.load` is deprecated",
    ]


def test_what_is_silenced_stays_so_and_nothing_else() -> None:
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("always")
        silence(SCRIPTS_GO)
        for text in ("`torch.jit.load` is deprecated", "`torch.jit.load` is not supported in Python 3.14+"):
            warnings.warn(text, FutureWarning, stacklevel=1)
    assert ["3.14" in str(one.message) for one in shown] == [True]
