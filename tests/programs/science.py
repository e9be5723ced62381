"""Programs of scientific computing, as people write them in NumPy; nothing here knows of graphc."""

import numpy as np


def rotated(q, points):
    """Points turned by a quaternion."""
    w, x, y, z = q / np.linalg.norm(q)
    first = np.stack([1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)])
    second = np.stack([2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)])
    third = np.stack([2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)])
    return points @ np.stack([first, second, third]).T


def quaternion_fit(q, points, target):
    return np.sum((rotated(q, points) - target) ** 2)


def reprojection_error(cameras, points, features, of_camera, of_point):
    """Bundle adjustment: 11 numbers a camera, rotated by Rodrigues' formula, radial distortion."""
    camera, X = cameras[of_camera], points[of_point]
    rotation, center, focal = camera[:, :3], camera[:, 3:6], camera[:, 6]
    x0, radial = camera[:, 7:9], camera[:, 9:11]
    theta = np.sqrt(np.sum(rotation**2, axis=1, keepdims=True))
    w = rotation / theta
    v = X - center
    along = np.sum(w * v, axis=1, keepdims=True)
    turned = v * np.cos(theta) + np.cross(w, v) * np.sin(theta) + w * along * (1 - np.cos(theta))
    projected = turned[:, :2] / turned[:, 2:]
    r2 = np.sum(projected * projected, axis=1)
    distortion = 1 + radial[:, 0] * r2 + radial[:, 1] * r2**2
    return np.sum((focal[:, None] * projected * distortion[:, None] + x0 - features) ** 2)


def skinning_error(bones, weights, vertices, target):
    """Linear blend skinning: every vertex is moved by the weighted bones."""
    homogeneous = np.hstack([vertices, np.ones((vertices.shape[0], 1))])
    return 0.5 * np.sum((np.einsum("vb,bij,vj->vi", weights, bones, homogeneous) - target) ** 2)


def negative_sharpe(w, returns):
    """A softmax portfolio's Sharpe ratio, with a penalty on its worst fall from a peak."""
    w = np.exp(w) / np.sum(np.exp(w))
    r = returns @ w
    wealth = np.cumprod(1 + r)
    fall = np.max(1 - wealth / np.maximum.accumulate(wealth))
    return -r.mean() / r.std(ddof=1) * np.sqrt(252) + 0.1 * fall


def hmm_log_likelihood(transition, start, emission, observed):
    """The forward algorithm in logarithms."""
    transition = transition - np.logaddexp.reduce(transition, axis=1, keepdims=True)
    emission = emission - np.log(np.sum(np.exp(emission), axis=1, keepdims=True))
    alpha = start - np.log(np.sum(np.exp(start))) + emission[:, observed[0]]
    for symbol in observed[1:]:
        alpha = np.log(np.sum(np.exp(alpha[:, None] + transition), axis=0)) + emission[:, symbol]
    return np.log(np.exp(alpha).sum())


def rbf_network_loss(x, y, centers, log_width, w):
    squares = ((x[:, None, :] - centers[None, :, :]) ** 2).sum(-1)
    features = np.exp(-squares / (2 * np.exp(log_width) ** 2))
    features = np.column_stack([features, np.ones(len(x))])
    return 0.5 * np.mean((features.dot(w) - y) ** 2)


def gauss_newton_step(p, t, y):
    """The squared length of a damped step on p0 exp(-p1 t) + p2, and the squared residual."""
    decay = np.exp(-p[1] * t)
    J = np.stack([decay, -p[0] * t * decay, np.ones_like(t)], axis=1)
    r = y - (p[0] * decay + p[2])
    step = np.linalg.solve(J.T @ J + 1e-3 * np.eye(3), J.T @ r)
    return step @ step + r @ r


def sir_misfit(beta, gamma, state, data):
    """An epidemic by Euler's steps, against the infected that were counted."""
    S, infected, R = state
    found = []
    for _ in range(len(data)):
        new, healed = 0.5 * beta * S * infected, 0.5 * gamma * infected
        S, infected, R = S - new, infected + new - healed, R + healed
        found.append(infected)
    return np.sum((np.stack(found) - data) ** 2)


def poisson_residual(u, f, k):
    """A five-point Laplacian on a torus, and the total variation by central differences."""
    around = np.roll(u, 1, 0) + np.roll(u, -1, 0) + np.roll(u, 1, 1) + np.roll(u, -1, 1)
    residual = k * (around - 4 * u) - f
    gx, gy = np.gradient(u)
    return np.sum(residual[1:-1, 1:-1] ** 2) + np.sqrt(gx**2 + gy**2 + 1e-8).mean()


def sinkhorn_cost(a, b, cost):
    a, b = a / a.sum(), b / b.sum()
    K = np.exp(-cost / 0.1)
    u = np.ones(len(a))
    for _ in range(15):
        v = b / (K.T @ u)
        u = a / (K @ v)
    return np.sum(u[:, None] * K * v[None, :] * cost)


def kabsch_distance(a, b):
    """The distance of two sets of points after the best rotation."""
    a, b = a - a.mean(axis=0), b - b.mean(axis=0)
    U, _, Vt = np.linalg.svd(a.T @ b)
    flip = np.sign(np.linalg.det(Vt.T @ U.T))
    R = Vt.T @ np.diag(np.stack([1.0, 1.0, flip])) @ U.T
    return np.sqrt(np.mean(np.sum((a @ R.T - b) ** 2, axis=1)))


def cox_likelihood(beta, X, event):
    """Cox's partial likelihood of rows in the order of their times."""
    eta = X @ beta
    at_risk = np.cumsum(np.exp(eta)[::-1])[::-1]
    return np.sum(event * (eta - np.log(at_risk)))


def ssim(a, b):
    covariance = ((a - a.mean()) * (b - b.mean())).mean()
    means = (2 * a.mean() * b.mean() + 1e-4) / (a.mean() ** 2 + b.mean() ** 2 + 1e-4)
    return means * (2 * covariance + 9e-4) / (a.var() + b.var() + 9e-4)
