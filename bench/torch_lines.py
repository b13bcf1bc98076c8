"""What the PyTorch peers of single operators share: options, clock, lines."""
import argparse
import os
import time

import torch

from torch_measure import best_seconds


class Lines:
    def __init__(self, description):
        parser = argparse.ArgumentParser(description=description)
        parser.add_argument("words", nargs="*")
        parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
        parser.add_argument("--seconds", type=float, default=1.0, help="of samples for each line")
        parser.add_argument("--csv")
        parser.add_argument("--memory", action="store_true", help="accepted, measures nothing")
        parser.add_argument("--cpu-time", action="store_true", help="one thread's processor time")
        self.options = parser.parse_args()
        torch.set_num_threads(self.options.threads)
        torch.manual_seed(0)
        self.clock = time.process_time if self.options.cpu_time else time.perf_counter
        self.csv = open(self.options.csv, "w") if self.options.csv else None

    def wanted(self, *names):
        words = self.options.words
        return not words or any(word in name for word in words for name in names)

    def pair(self, name, module, inputs):
        """Forward without a graph, and backward alone, of module(*inputs)."""
        names = [f"{name}/forward", f"{name}/backward"]
        if not self.wanted(*names):
            return

        def forward():
            with torch.no_grad():
                module(*inputs)

        y = module(*inputs)
        dy = torch.randn_like(y)
        leaves = [x for x in inputs if x.requires_grad]
        if isinstance(module, torch.nn.Module):
            leaves += list(module.parameters())
        backward = lambda: torch.autograd.grad(y, leaves, dy, retain_graph=True)
        self.measure(dict(zip(names, (forward, backward))))

    def product(self, name, function, x, w):
        """function(x, w) without a graph, and its gradients to x and to w, each alone."""
        names = [f"{name}/forward", f"{name}/input_grad", f"{name}/weight_grad"]
        if not self.wanted(*names):
            return

        def forward():
            with torch.no_grad():
                function(x, w)

        y = function(x, w)
        dy = torch.randn_like(y)
        to_x = lambda: torch.autograd.grad(y, x, dy, retain_graph=True)
        to_w = lambda: torch.autograd.grad(y, w, dy, retain_graph=True)
        self.measure(dict(zip(names, (forward, to_x, to_w))))

    def measure(self, calls):
        """Times the wanted ones of {line: call}. compare.sh takes the best where a line recurs."""
        for line, call in calls.items():
            if not self.wanted(line):
                continue
            seconds = best_seconds(call, self.clock, self.options.seconds)
            print(f"{line:56} {seconds * 1e3:9.3f} ms", flush=True)
            if self.csv:
                self.csv.write(f"{line},{seconds:.9f}\n")
