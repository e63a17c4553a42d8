"""Nine errors that everybody meets, provoked: what PyTorch says, then and now, what it means and what helps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable

import torch

from labkit.base.language import Both, both
from labkit.runs.run import Run
from labs.autograd.checks import Checks


def leaf() -> torch.Tensor:
    return torch.tensor([1.0, 2.0], requires_grad=True)


def twice() -> None:
    y = (leaf() ** 2).sum()
    y.backward()
    y.backward()


def twice_kept() -> None:
    y = (leaf() ** 2).sum()
    y.backward(retain_graph=True)
    y.backward()


def saved() -> None:
    y = leaf().exp()  # exp keeps its result for backward
    y += 1
    y.sum().backward()


def saved_whole() -> None:
    y = leaf().exp()
    y = y + 1
    y.sum().backward()


def leaf_in_place() -> None:
    x = leaf()
    x += 1


def leaf_without_graph() -> None:
    x = leaf()
    with torch.no_grad():
        x += 1


def no_graph() -> None:
    x = leaf()
    loss = torch.tensor((x**2).sum().item())  # a number: where it came from is forgotten
    loss.backward()


def flags() -> None:
    y = leaf() * 2
    y.requires_grad = False


@dataclass(frozen=True)
class Error:
    """How to provoke one, its message in PyTorch 1.5.0 and in 2.11.0 up to its first full stop, and the cure."""

    code: str
    provoke: Callable[[], object]
    then: str
    now: str
    meaning: Both
    cure: Callable[[], object]


ERRORS = (
    Error(
        "y.backward(); y.backward()",
        twice,
        "Trying to backward through the graph a second time, but the buffers have already been freed",
        "Trying to backward through the graph a second time (or directly access saved tensors after they have "
        "already been freed)",
        both(
            "The first call freed what it had saved. Compute y anew, or retain_graph=True.",
            "第一次调用已释放保存的中间值。重新计算 y，或者用 retain_graph=True。",
        ),
        twice_kept,
    ),
    Error(
        "y = x.exp(); y += 1; y.sum().backward()",
        saved,
        "one of the variables needed for gradient computation has been modified by an inplace operation: [torch",
        "one of the variables needed for gradient computation has been modified by an inplace operation: [torch",
        both("exp had kept y for backward. Write y = y + 1.", "exp 为反向传播留着 y。改写为 y = y + 1。"),
        saved_whole,
    ),
    Error(
        "x += 1  # a leaf",
        leaf_in_place,
        "a leaf Variable that requires grad is being used in an in-place operation",
        "a leaf Variable that requires grad is being used in an in-place operation",
        both(
            "Nobody could say any more what x was. A step of descent goes under torch.no_grad().",
            "这样一来 x 原来的值就无从谈起。更新参数请放在 torch.no_grad() 之下。",
        ),
        leaf_without_graph,
    ),
    Error(
        "(x * 2).backward()",
        lambda: (leaf() * 2).backward(),
        "grad can be implicitly created only for scalar outputs",
        "grad can be implicitly created only for scalar outputs",
        both(
            "Two numbers: of which one? Sum them, or say the weights: backward(torch.ones(2)).",
            "有两个数，对哪一个求？先求和，或给出权重：backward(torch.ones(2))。",
        ),
        lambda: (leaf() * 2).backward(torch.ones(2)),
    ),
    Error(
        "torch.tensor(loss.item()).backward()",
        no_graph,
        "element 0 of tensors does not require grad and does not have a grad_fn",
        "element 0 of tensors does not require grad and does not have a grad_fn",
        both(
            "item(), float(), detach(), numpy() and torch.tensor() leave the graph.",
            "item()、float()、detach()、numpy()、torch.tensor() 都会离开计算图。",
        ),
        lambda: (leaf() ** 2).sum().backward(),
    ),
    Error(
        "torch.tensor([1, 2], requires_grad=True)",
        lambda: torch.tensor([1, 2], requires_grad=True),
        "Only Tensors of floating point dtype can require gradients",
        "Only Tensors of floating point and complex dtype can require gradients",
        both(
            "Between 1 and 2 an integer has no slope. Write [1.0, 2.0].",
            "整数在 1 和 2 之间没有斜率。写成 [1.0, 2.0]。",
        ),
        lambda: torch.tensor([1.0, 2.0], requires_grad=True),
    ),
    Error(
        "x.numpy()",
        lambda: leaf().numpy(),
        "Can't call numpy() on Variable that requires grad",
        "Can't call numpy() on Tensor that requires grad",
        both(
            "NumPy has no graph, so say that you leave it: x.detach().numpy().",
            "NumPy 没有计算图，要明说离开：x.detach().numpy()。",
        ),
        lambda: leaf().detach().numpy(),
    ),
    Error(
        "torch.autograd.grad(x.sum(), other)",
        lambda: torch.autograd.grad(leaf().sum(), leaf()),
        "One of the differentiated Tensors appears to not have been used in the graph",
        "One of the differentiated Tensors appears to not have been used in the graph",
        both(
            "The result does not depend on it; a typo, mostly. allow_unused=True gives None.",
            "结果与它无关，多半是写错了变量。allow_unused=True 时返回 None。",
        ),
        lambda: torch.autograd.grad(leaf().sum(), leaf(), allow_unused=True),
    ),
    Error(
        "y = x * 2; y.requires_grad = False",
        flags,
        "you can only change requires_grad flags of leaf variables",
        "you can only change requires_grad flags of leaf variables",
        both(
            "Freeze leaves, which are the weights; a result is taken out of the graph by y.detach().",
            "能冻结的是叶子，即权重；中间结果用 y.detach() 取出计算图。",
        ),
        lambda: (leaf() * 2).detach(),
    ),
)


def said_by(provoke: Callable[[], object]) -> str:
    """The message of the RuntimeError that it raises, '' where it raises none."""
    try:
        provoke()
    except RuntimeError as error:
        return str(error).splitlines()[0]
    return ""


def errors(run: Run, checks: Checks) -> None:
    made = torch.__version__.partition("+")[0]
    rows = []
    for error in ERRORS:
        said = said_by(error.provoke)
        versions = (
            both("the same in 1.5.0 and 2.11.0", "1.5.0 与 2.11.0 相同")
            if error.then == error.now
            else f"1.5.0: {error.then}; 2.11.0: {error.now}"
        )
        rows.append([error.code, said.partition(". ")[0], versions, error.meaning])
        known = {"1.5.0": (error.then,), "2.11.0": (error.now,)}.get(made, ("",))  # of others, only that it fails
        checks.hold(
            "36",
            both(
                f"{error.code} fails with the text of this version, and its cure does not fail.",
                f"{error.code} 按本版本的文字报错，改正后不再报错。",
            ),
            said and said.startswith(known) and not said_by(error.cure),
        )
    run.table(
        "errors",
        [
            both("code", "代码"),
            both(f"said here, by {made}", f"本机 {made} 的报错"),
            both("then and now", "从前与现在"),
            both("what it means, and what helps", "含义与解决办法"),
        ],
        rows,
        both("Nine errors, provoked just now.", "九种报错，均为刚才实际触发。"),
    )
