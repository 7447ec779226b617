"""MobileNetV2 blocks on 3x32x32, batch 32, SGD with momentum."""

from workloads.convolutional import Task, frameworks, mobile_net

STEPS = 4
LOSS = 1e-2
CHECKED = (1, 2)
FRAMEWORKS = frameworks(Task(mobile_net, (32, 3, 32, 32), False, 0.01))
