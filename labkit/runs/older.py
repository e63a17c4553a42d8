"""States in checkpoints from before 27 November 2026, when every lab named for itself what a Loop names now."""

from __future__ import annotations

from typing import Any, Mapping

import torch


def today(saved: Mapping[str, Any]) -> tuple[Mapping[str, Any], list[torch.Tensor]]:
    """`saved` under today's names, and sums whose names only the lab knows, in the order in which it averages them."""
    if "timed_steps" in saved:
        return saved, []
    timed_steps = saved["step"] if "seconds" in saved else 0
    new = {"looks": [], "seconds": 0.0, **saved, "timed_steps": timed_steps, "sums": {}}
    sums = saved.get("sums", torch.zeros(0))
    if isinstance(sums, dict):  # detectron2
        names = sorted(sums, key=lambda name: name != "total_loss")  # which comes first today, as train_loss
        new["sums"] = {name.replace("total", "train"): [sums[name], saved["count"]] for name in names}
        return new, []
    if "maps" in saved:  # dashboards
        new["looks"] = saved["maps"]
    if "penalties" in saved:  # stylegan
        total, count = saved["penalties"]
        new["sums"] = {"r1": [total, int(count)]} if count else {}
    if "summed" in saved:  # autoencoder
        sums = saved["summed"].reshape(1)
    if "loss_sum" in saved:  # segmentation
        sums = torch.tensor([saved["loss_sum"]], dtype=torch.float64)
    return new, list(sums)
