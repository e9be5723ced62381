"""The workloads: each row of the table, its full size, its size under test, its limits."""

from __future__ import annotations

from .adbench import character_lstm
from .case import Case, Workload
from .clusters import kmeans, mixture
from .images import convolution, pooling
from .networks import attention, embedding, lstm, mlp, normalisation
from .numeric import chain, logistic, logsumexp, neuron, rosenbrock, scalar_graph

__all__ = ["WORKLOADS", "Case", "Workload"]

WORKLOADS = (
    Workload("scalar neuron", neuron, (), (), 1.1, 0.1),
    Workload("2,000-node scalar graph", scalar_graph, (2000,), (60,), 1.1, 0.5),
    Workload("Rosenbrock, n=2", rosenbrock, (2,), (2,), 1.1, 0.5),
    Workload("Rosenbrock, n=100", rosenbrock, (100,), (7,), 1.1, 0.5),
    Workload("Rosenbrock, n=10,000", rosenbrock, (10_000,), (5000,), 1.1, 0.75),
    Workload("logistic regression, 100x10", logistic, (100, 10), (9, 3), 1.1, 0.5),
    Workload("logistic regression, 10,000x100", logistic, (10_000, 100), (2000, 3), 1.1, 0.85),
    Workload("logsumexp, 10", logsumexp, (10,), (10,), 1.1, 0.5),
    Workload("logsumexp, 2,500", logsumexp, (2500,), (2500,), 1.1, 0.5),
    Workload("logsumexp, 1.28e6", logsumexp, (1_280_000,), (70_000,), 1.05, 0.7),
    Workload("MLP 20-16-16-3, batch 32", mlp, (32, 20, 16, 16, 3), (5, 4, 3, 3, 2), 1.1, 0.8),
    Workload("MLP 784-256-256-10, batch 128", mlp, (128, 784, 256, 256, 10), (70, 30, 20, 16, 10),
             1.05, 1.03),
    Workload("MLP 784-1024-1024-10, batch 256", mlp, (256, 784, 1024, 1024, 10),
             (70, 30, 20, 16, 10), 1.02, 1.06, 6.0),
    Workload("elementwise chain, 1e5 f32", chain, (100_000, "f32"), (9, "f32"), 1.05, 1.1),
    Workload("elementwise chain, 1e5 f64", chain, (100_000, "f64"), (9, "f64"), 1.05, 1.1),
    Workload("elementwise chain, 1e7 f32", chain, (10_000_000, "f32"), (150_001, "f32"), 0.5, 0.4,
             10.0),
    Workload("elementwise chain, 1e7 f64", chain, (10_000_000, "f64"), (150_001, "f64"), 0.5, 0.4,
             10.0),
    Workload("k-means, k=100, n=10,000, d=8", kmeans, (100, 10_000, 8), (5, 700, 3), 1.1, 0.3),
    Workload("Gaussian mixture, d=10 k=25 n=1000", mixture, (10, 25, 1000), (3, 4, 300), 1.05, 0.4),
    Workload("Gaussian mixture, d=64 k=100 n=1000", mixture, (64, 100, 1000), (4, 3, 7), 1.05, 0.4,
             10.0),
    Workload("embedding, 10,000x128, 4,096 tokens", embedding, (10_000, 128, 4096), (9, 4, 40),
             1.05, 1.0),
    Workload("layer-norm, 512x768", normalisation, (512, 768, 1), (70, 20, 1), 1.05, 1.7),
    Workload("batch-norm, 512x768", normalisation, (512, 768, 0), (70, 20, 0), 1.05, 1.2),
    Workload("LSTM cell, batch 32, width 128, 50 steps", lstm, (50, 32, 128), (3, 4, 5), 1.05, 1.2,
             4.0),
    Workload("LSTM of ADBench, 2 layers, 1,024 characters", character_lstm, (2, 1024, 14),
             (2, 6, 3), 1.05, 2.2, 4.0),
    Workload("attention, 8x128x64", attention, (8, 128, 64), (2, 5, 4), 1.05, 1.03),
    Workload("convolution 3x3, 8x64x28x28", convolution, (8, 64, 28, 64, 3), (2, 16, 12, 8, 3),
             1.1, 1.6),
    Workload("convolution 3x3, 64x16x8x8", convolution, (64, 16, 8, 16, 3), (3, 4, 5, 6, 3), 1.1,
             2.0),
    Workload("convolution 5x5, 8x64x27x27, 192 kernels", convolution, (8, 64, 27, 192, 5),
             (2, 4, 13, 12, 5), 1.1, 1.6, 6.0),
    Workload("max pooling 3x3, stride 2, 8x64x55x55", pooling, (8, 64, 55, 3, 2), (2, 3, 23, 3, 2),
             1.1, 0.9),
    Workload("max pooling 2x2, 8x64x56x56", pooling, (8, 64, 56, 2, 2), (2, 3, 24, 2, 2), 1.1,
             0.9),
)  # fmt: skip
