"""What is kept from the user for a release's sake, and nothing else."""

from __future__ import annotations

import warnings

from mot_dinov3.compat import SCRIPTS_GO, without_warning


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
